"""Compare models on the same rows: one state, and everything that is computed from it."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

import pandas as pd
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from logloss_spark.checks import at_least_one
from logloss_spark.errors import DataError, SpecError
from logloss_spark.held import HeldState
from logloss_spark.io.files import Table, table_and_files
from logloss_spark.io.local import LocalTable
from logloss_spark.report.accessors import ComparisonPlots
from logloss_spark.report.calls import call_of_comparison
from logloss_spark.report.collecting import versions
from logloss_spark.report.comparisons import (
    CLEAREST_FIRST,
    OF_CHALLENGER,
    OF_VERDICT,
    WORST_FIRST,
    conclusions,
    first_of_comparison,
    title_of_comparison,
    view_of_comparison,
)
from logloss_spark.report.evaluations import SHOWN_SLICES
from logloss_spark.report.frames import Order, Ranked, order_by
from logloss_spark.report.page import Page
from logloss_spark.report.reported import Reported
from logloss_spark.report.text import View
from logloss_spark.roles import By, Columns, Roles
from logloss_spark.rows.advice import advice
from logloss_spark.rows.engines import Engine
from logloss_spark.rows.inputs import ComparedRows, Rows
from logloss_spark.rows.models import Models, compared_rows, forecast_lengths
from logloss_spark.rows.status import reasons_in
from logloss_spark.scoring import Clip, Kind, Label, Scoring
from logloss_spark.states.engines import by_engine
from logloss_spark.states.files import state_from_files
from logloss_spark.states.pairs import state_of_pairs
from logloss_spark.states.slices import check_names
from logloss_spark.states.state import CheckedState
from logloss_spark.statistics.catalogue import COMPARISON, by_column
from logloss_spark.statistics.reporting import Coverage, Intervals
from logloss_spark.tables.comparison import comparison_here, comparison_in_spark
from logloss_spark.wording import LISTED, counted, listed


class Comparison(HeldState, Reported):
    """The comparison of models: one state, and the table that is computed from it. `compare` makes it.

    Attributes
    ----------
    metrics : DataFrame
        One row per slice and challenger; `help(logloss_spark.State.comparison)` says what each column is. With
        rows="shared" it raises DataError if no challenger shares a row with the baseline.
    state : State
        The sums, to be saved, added, and read by other slices with `State.comparison`.

    The first use of either computes the state, so that the rows are read once; a state of up to 250,000 rows comes to
    the driver, and a larger one is cached. Labels that are -1 and 1, or 1 to K, are then refused unless `classes` were
    given. `close` frees the state, and so does leaving a `with` block.
    """

    def __init__(self, rows: Rows, coverage: Coverage, call: Sequence[str] = ()) -> None:
        coverage.check(clustered=rows.form.clustered)
        self._rows, self._coverage, self._call = rows, coverage, tuple(call)
        check_names(rows.roles.slices, by_column(COMPARISON))

    def _table(self) -> DataFrame | LocalTable:
        state, self._ran = by_engine(
            self._rows,
            lambda scan: state_from_files(self._rows, scan, self._source)[0],
            lambda: state_of_pairs(self._rows, self._source),
        )
        return state

    @property
    def metrics(self) -> DataFrame:
        """One row per slice and challenger: the global row, and one per group of each grouping set."""
        if self._found:
            return self._found.table
        return comparison_in_spark(self._checked, self._rows.roles.sets, self._coverage)

    @cached_property
    def _found(self) -> LocalTable | None:
        local = self._checked.local
        return comparison_here(local, self._conventions, self._rows.roles.sets, self._coverage) if local else None

    @property
    def _checked(self) -> CheckedState:
        """The state; DataError if a challenger is compared on shared rows, and none can be scored."""
        pairs = sum(self.counts.values())
        if self._conventions.rows == "shared" and pairs and not self.counts["ok"]:
            raise DataError(
                "a challenger is compared on the rows that it shares with the baseline, and none of "
                f"{counted(pairs, 'pair')} of a row and a challenger can be scored: {listed(reasons_in(self.counts))}; "
                f"{self.advice(self.counts) or 'compare models that forecast the same rows'}"
            )
        return self.state.checked

    @property
    def plot(self) -> ComparisonPlots:
        """The plot of this comparison, `plot.differences()`. It needs the extra `report`."""
        return ComparisonPlots(metrics=self._drawn)

    def _drawn(self) -> pd.DataFrame:
        """The metrics, or if they are too many for the driver those of the slices that are shown first."""
        return self.to_pandas(None if self._collected is not None else SHOWN_SLICES)

    def advice(self, counts: Mapping[Any, Any]) -> str:
        """How more rows can be scored, from the counts of rows by status and the forecasts of the baseline."""
        of_baseline = self._rows.table.withColumn("prediction", F.col("prediction_0"))
        return advice(counts, replace(self._rows, table=of_baseline))

    def lengths(self) -> dict[str, int]:
        """The number of entries in the forecast of each model, from some row; empty if a forecast is one number."""
        return forecast_lengths(self._rows)

    def to_pandas(
        self, limit: int | None = None, *, sort_by: str | None = None, ascending: bool = False
    ) -> pd.DataFrame:
        """Return the metrics as pandas: the global row, then the slices of each grouping set, challenger by challenger.

        Parameters
        ----------
        limit : int, optional
            The number of slices of each grouping set; by default all.
        sort_by, ascending :
            As in `Evaluation.to_pandas`. By default the slices in which the challenger is worst come first, and
            slices that are `few` come last.
        """
        return self._in_order(limit, sort_by, ascending).frame

    def remarks(self) -> list[str]:
        """Return what the comparison says: a line per challenger and grouping set, and one on rows not scored."""
        return conclusions(self.slices_to_name(), self._conventions)

    def in_report(self) -> dict[str, Any]:
        """Return what a report shows of this comparison: fields of its page."""
        return {"comparison": self._view(), "differences": self.first_slices().frame}

    def report_page(self) -> Page:
        """Return what a report on this comparison shows."""
        shown = self.in_report()
        first = first_of_comparison(shown["comparison"], shown["differences"], self._conventions, self._coverage)
        facts = {"engine": str(self.engine)} | versions()
        return Page(title=self._title, coverage=self._coverage.words, config=self._call, facts=facts, **shown | first)

    def slices_to_name(self) -> Ranked:
        """Return the first slices of each verdict, which conclusions name."""
        return self._ranked(CLEAREST_FIRST, LISTED, OF_VERDICT)

    def _in_order(self, limit: int | None, sort_by: str | None, ascending: bool) -> Ranked:
        if limit is not None:
            at_least_one("limit", limit)
        order = WORST_FIRST
        if sort_by is not None:
            order = Order((("challenger", True), *order_by(self._schema, sort_by, ascending).by))
        return self._ranked(order, limit, OF_CHALLENGER)

    def _view(self, limit: int = SHOWN_SLICES, sort_by: str | None = None, ascending: bool = False) -> View:
        shown = self._in_order(limit, sort_by, ascending)
        named = self.slices_to_name()
        return view_of_comparison(shown, named, self._title, self._conventions, self._coverage)

    @property
    def _title(self) -> str:
        return title_of_comparison(self._rows)


def compare(
    table: Table,
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
    intervals: Intervals = "fixed",
    sum_tolerance: float = 1e-5,
    engine: Engine = "auto",
) -> Comparison:
    """Compare models on the same rows, as a whole and by slices: tell whether a challenger beats the baseline.

    A wide table has one column, or one per class, for each model: give `predictions`. It is read once. A long table has
    one row for each model and event: give `prediction`, `model`, and as `keys` the columns that identify an event. It
    is read twice; the first time at once, to check that keys are unique.

    Parameters
    ----------
    table : DataFrame, str, or list of str
        As in `evaluate`.
    label : str, or list of str
        As in `evaluate`.
    baseline : str
        The model that all others are compared with.
    predictions : dict from str to str or list of str
        For a wide table: maps the name of each model to the column of its forecast, or to one column per class.
    prediction : str, or list of str
        For a long table: the column of the forecast, or one column per class.
    model : str
        For a long table: the column that names the model.
    keys : str, or list of str
        For a long table: the columns that identify an event.
    models : list of str, optional
        For a long table: the models to compare; rows of others are ignored. By default all models of the table.
    rows : "all" or "shared"
        Which rows count. "all": those that all models score, so that all challengers are compared on the same rows.
        "shared": for each challenger those that it and the baseline score.
    cluster : str, optional
        The column that says which rows depend on each other, such as a user or a day. Errors and intervals then take
        clusters as independent, not rows.
    weight, by, kind, classes, soft_labels, eps, clip, sum_tolerance, engine :
        As in `evaluate`. Divergences are computed in Python with either engine.
    confidence : float
        The coverage of the intervals. A verdict is given if `p_adjusted` is at most 1 - confidence.
    intervals : "fixed" or "any_time"
        As in `evaluate`. With "any_time" p-values and verdicts hold at every look, too.

    Returns
    -------
    Comparison

    Raises
    ------
    SpecError
        A column does not exist or cannot have its role, a model forecasts other classes than the baseline, the baseline
        is none of the models, or an argument has an invalid value.
    DataError
        In a long table a key has a model twice, or its models differ in label, weight, cluster or slices, or no key has
        a forecast of all models (rows="shared": of the baseline and another model).

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
    coverage = Coverage(confidence=confidence, intervals=intervals)
    if predictions is not None and not isinstance(predictions, Mapping):
        raise SpecError(
            'predictions must map models to columns, as in {"champion": "p_a", "challenger": "p_b"}, '
            f"got {predictions!r}"
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
    source, files = table_and_files(table)
    ready = replace(compared_rows(source, roles, scoring, compared, engine=engine), files=files)
    return Comparison(ready, coverage, tuple(call_of_comparison(roles, scoring, compared, coverage)))
