"""Compare models on the same rows: the object that holds one state, and everything that derives from it."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pandas as pd
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from logloss_spark.checks import at_least_one, between
from logloss_spark.errors import DataError, SpecError
from logloss_spark.held import HeldState
from logloss_spark.report.comparisons import (
    CLEAREST_FIRST,
    OF_CHALLENGER,
    OF_VERDICT,
    WORST_FIRST,
    conclusions,
    title_of_comparison,
    view_of_comparison,
)
from logloss_spark.report.evaluations import (
    SHOWN_SLICES,
)
from logloss_spark.report.frames import Order, Ranked, order_by, plain
from logloss_spark.report.text import SENTENCE, View, as_html, as_text
from logloss_spark.roles import By, Columns, Roles
from logloss_spark.rows.advice import advice
from logloss_spark.rows.engines import Engine
from logloss_spark.rows.inputs import ComparedRows, Rows
from logloss_spark.rows.models import Models, compared_rows, lengths
from logloss_spark.rows.status import reasons_in
from logloss_spark.scoring import Clip, Kind, Label, Scoring
from logloss_spark.states.pairs import state_of_pairs
from logloss_spark.states.slices import check_names
from logloss_spark.statistics.catalogue import COMPARISON, by_column
from logloss_spark.tables.comparison import comparison_table
from logloss_spark.wording import LISTED, counted, listed, visible


class Comparison(HeldState):
    """The state of a comparison, and what can be read off it. Made by `compare`.

    Attributes
    ----------
    metrics : DataFrame
        One row per slice and challenger: see `State.comparison`. With rows="shared" a DataError is raised where the
        baseline shares a row with no challenger.
    state : State
        The sums themselves: save them, add them, read metrics off them again with `State.comparison`.

    The state is made and cached when either is first used, so that the rows are read once, and looked through then:
    labels that are -1 and 1, or 1 to K, are refused where `classes` were not given. `close` lets it go, and so does
    leaving a `with` block.
    """

    def __init__(self, rows: Rows, confidence: float) -> None:
        between("confidence", confidence, 0.0, 1.0)
        self._rows, self._confidence = rows, confidence
        check_names(rows.roles.slices, by_column(COMPARISON))

    def _table(self) -> DataFrame:
        return state_of_pairs(self._rows, self._source)

    @property
    def metrics(self) -> DataFrame:
        """One row per slice and challenger: the global row, and one per group of each grouping set."""
        pairs = sum(self.counts.values())
        if self._conventions.rows == "shared" and pairs and not self.counts["ok"]:
            raise DataError(
                "a challenger is compared on the rows that it shares with the baseline, and none of "
                f"{counted(pairs, 'pair')} of a row and a challenger can be scored: {listed(reasons_in(self.counts))}; "
                f"{self.advice(self.counts) or 'compare models that forecast the same rows'}"
            )
        return comparison_table(self.state.checked, self._rows.roles.sets, self._confidence)

    def advice(self, counts: Mapping[Any, Any]) -> str:
        """What lets rows be scored that could not be; of their forecasts the baseline's are looked at."""
        of_baseline = self._rows.table.withColumn("prediction", F.col("prediction_0"))
        return advice(counts, replace(self._rows, table=of_baseline))

    def lengths(self) -> dict[str, int]:
        """How many entries the forecast of each model has, where it has one per class; read off some row."""
        return lengths(self._rows)

    def to_pandas(
        self, limit: int | None = None, *, sort_by: str | None = None, ascending: bool = False
    ) -> pd.DataFrame:
        """Return the metrics as pandas: the global row, then the slices of each grouping set, challenger by challenger.

        Parameters
        ----------
        limit : int, optional
            The number of slices of each grouping set; by default all.
        sort_by, ascending :
            As in `Evaluation.to_pandas`. By default the slices where the challenger is worst come first, and slices
            that are `few` come last.
        """
        return self._in_order(limit, sort_by, ascending).frame

    def to_json(self) -> str:
        """Return the metrics as JSON, a list with an object per slice and challenger."""
        return json.dumps([plain(record) for record in self.to_pandas().to_dict("records")], default=str)

    def show(self, limit: int = SHOWN_SLICES, *, sort_by: str | None = None, ascending: bool = False) -> None:
        """Print the main metrics of the first slices of each grouping set, and what they say."""
        print(as_text(self._view(limit, sort_by, ascending)))

    def remarks(self) -> list[str]:
        """Return what the comparison says: a line per challenger and grouping set, and one on rows not scored."""
        return conclusions(self._ranked(CLEAREST_FIRST, LISTED, OF_VERDICT), self._conventions)

    def _in_order(self, limit: int | None, sort_by: str | None, ascending: bool) -> Ranked:
        if limit is not None:
            at_least_one("limit", limit)
        order = WORST_FIRST
        if sort_by is not None:
            order = Order((("challenger", True), *order_by(self._schema, sort_by, ascending).by))
        return self._ranked(order, limit, OF_CHALLENGER)

    def _view(self, limit: int = SHOWN_SLICES, sort_by: str | None = None, ascending: bool = False) -> View:
        shown = self._in_order(limit, sort_by, ascending)
        named = self._ranked(CLEAREST_FIRST, LISTED, OF_VERDICT)
        return view_of_comparison(shown, named, self._title, self._conventions, self._confidence)

    @property
    def _title(self) -> str:
        return title_of_comparison(self._rows)

    def __repr__(self) -> str:
        return f"Comparison: {visible(self._title, SENTENCE)}; .show() prints its metrics"

    def _repr_html_(self) -> str:
        return as_html(self._view())


def compare(
    df: DataFrame,
    *,
    label: Columns,
    baseline: str,
    predictions: Mapping[str, Columns] | None = None,
    prediction: Columns | None = None,
    model: str | None = None,
    keys: str | Sequence[str] = (),
    models: Sequence[str] | None = None,
    rows: ComparedRows = "all",
    weight: str | None = None,
    cluster: str | None = None,
    by: By = (),
    kind: Kind = "probability",
    classes: Sequence[Label] | None = None,
    soft_labels: bool = False,
    eps: float = 1e-15,
    clip: Clip = "eps",
    confidence: float = 0.95,
    sum_tolerance: float = 1e-5,
    engine: Engine = "pandas",
) -> Comparison:
    """Compare models that forecast the same rows, whole and by slices: is a challenger better than the baseline.

    A wide table has columns for each model, named by `predictions`, and is read once. A long table has a row for each
    model and event: `prediction` is its column of forecasts, `model` that of models, and `keys` the columns whose
    values the rows of one event share. It is read twice, the first time at once, to look whether its keys are unique.

    Parameters
    ----------
    df : DataFrame
        Classic or over Spark Connect.
    label : str, or list of str
        As in `evaluate`.
    baseline : str
        The model that all others are compared with.
    predictions : dict from str to str or list of str
        Of a wide table, by the model's name, the column of its forecast, or one column per class.
    prediction : str, or list of str
        Of a long table, the column of the forecast, or one column per class.
    model : str
        Of a long table, the column that names the model.
    keys : str, or list of str
        Of a long table, the columns that identify what was forecast.
    models : list of str, optional
        Of a long table, the models to compare; rows of others are left out. By default all that the table holds.
    rows : "all" or "shared"
        Which rows count: those that all models score, so that all challengers are compared on the same ones, or with
        "shared" for each challenger those that it and the baseline score, whatever the others do.
    cluster : str, optional
        A column of what rows hang together by, such as a user or a day; its rows are taken as one observation.
    weight, by, kind, classes, soft_labels, eps, clip, sum_tolerance, engine :
        As in `evaluate`. The divergences of forecasts come from Python, whichever engine gives the losses.
    confidence : float
        The coverage of the intervals; a verdict is given where `p_adjusted` is at most 1 less this.

    Returns
    -------
    Comparison

    Raises
    ------
    SpecError
        A column that is not there or cannot have its role, models that forecast other classes than the baseline, a
        baseline that is none of the models, or a value that cannot be meant.
    DataError
        A long table in which a key has a model twice, or whose models differ in a key's label, weight, cluster or
        slices, or in which no key has a forecast of all models (rows="shared": of the baseline and another model).

    Examples
    --------
    >>> import logloss_spark as ls
    >>> rows = [(1, 0.8, 0.9), (0, 0.4, 0.2), (1, 0.6, 0.7), (0, 0.1, 0.3)]
    >>> df = spark.createDataFrame(rows, "label int, p_a double, p_b double")
    >>> models = {"champion": "p_a", "challenger": "p_b"}
    >>> with ls.compare(df, label="label", predictions=models, baseline="champion") as comparison:
    ...     row = comparison.metrics.first()
    >>> round(row.baseline_log_loss, 4), round(row.challenger_log_loss, 4), row.verdict
    (0.3375, 0.2605, 'no evidence')
    >>> round(row.difference, 4), round(row.p_value, 2), row.better_share
    (-0.0771, 0.5, 0.75)
    """
    if predictions is not None and not isinstance(predictions, Mapping):
        raise SpecError(
            f'predictions names the models, as in {{"champion": "p_a", "challenger": "p_b"}}, and {predictions!r} came'
        )
    compared = Models(
        baseline=baseline,
        predictions=predictions or {},
        prediction=prediction,
        model=model,
        keys=keys,
        models=models,
        rows=rows,
    )
    scoring = Scoring(
        kind=kind, classes=classes, soft_labels=soft_labels, eps=eps, clip=clip, sum_tolerance=sum_tolerance
    )
    roles = Roles(label=label, prediction=compared.of_baseline, weight=weight, cluster=cluster, by=by)
    return Comparison(compared_rows(df, roles, scoring, compared, engine=engine), confidence)
