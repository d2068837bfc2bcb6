"""Evaluate a table of predictions: one state, and everything that is computed from it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property, partial
from typing import Any

import pandas as pd
from pyspark.sql import Column, DataFrame

from logloss_spark.checks import at_least_one
from logloss_spark.errors import SpecError
from logloss_spark.held import HeldState
from logloss_spark.io.caching import cache_or_collect, uncache
from logloss_spark.io.files import Table, table_and_files
from logloss_spark.io.local import LocalTable, as_dataframe
from logloss_spark.kernels.sums import Array
from logloss_spark.report.accessors import EvaluationPlots
from logloss_spark.report.calls import call_of
from logloss_spark.report.collecting import costliest, page_of, versions
from logloss_spark.report.evaluations import SHOWN_SLICES, remarks_on, title_of, view_of, worst_first
from logloss_spark.report.frames import Order, Ranked, order_by
from logloss_spark.report.page import Page
from logloss_spark.report.reported import Reported
from logloss_spark.report.text import View
from logloss_spark.roles import By, Columns, Roles, slices_of
from logloss_spark.rows.advice import advice
from logloss_spark.rows.engines import Engine
from logloss_spark.rows.inputs import Rows, check_logits, rows_of
from logloss_spark.rows.losses import check_loss
from logloss_spark.rows.status import invalid_rows
from logloss_spark.rows.terms import scored
from logloss_spark.scoring import Clip, Kind, Label, Loss, Scoring
from logloss_spark.states.catalyst import state_of
from logloss_spark.states.engines import by_engine
from logloss_spark.states.files import state_from_files
from logloss_spark.states.slices import check_names, inner_names
from logloss_spark.statistics.catalogue import METRICS, WORST_SLICES, columns_of_loss
from logloss_spark.statistics.reporting import Exactness, Intervals, Reporting
from logloss_spark.tables.by_class import class_table, class_table_columns
from logloss_spark.tables.cells import cells_table, cluster_residuals
from logloss_spark.tables.exact import SMALL, score_rows, scores_of, with_pooling, with_ranking, with_scores
from logloss_spark.tables.metrics import metrics_here, metrics_in_spark
from logloss_spark.tables.reliability import reliability_columns, reliability_table
from logloss_spark.worst import WorstSlices


class Evaluation(HeldState, Reported):
    """The evaluation of a table: one state, and the tables that are computed from it. `evaluate` makes it.

    Attributes
    ----------
    metrics : DataFrame
        One row per slice; `help(logloss_spark.State.metrics)` says what each column is.
    log_loss : float
        The log loss of all rows.
    reliability : DataFrame
        One row per slice and bin of the score.
    by_class : DataFrame
        One row per slice and class.
    engine : Ran
        The engine that computed them: its `name`, and `because`, why it was this one and not a faster one.
    state : State
        The sums, to be saved, added, and read by other slices.
    counts : dict
        How many rows have each status.
    sources : dict
        Whether ranking ("auc") and CORP ("calibration") are computed from "rows" or from "cells" of the score.
    invalid : DataFrame
        The rows that were not scored, with all columns and their `row_status`. It scans the table again.

    The first of them that is used computes the state, so that the rows are read once. Labels that are -1 and 1, or 1 to
    K, are then refused unless `classes` were given. A state of up to 250,000 rows comes to the driver, where its tables
    are computed without Spark; a larger one is cached, and its tables are lazy. `close` frees the state, and so does
    leaving a `with` block.
    """

    def __init__(self, rows: Rows, reporting: Reporting) -> None:
        self._rows, self._reporting = rows, reporting
        self._sources = sources_of(rows, reporting)
        check_loss(rows)
        check_logits(rows)
        reporting.check(clustered=rows.form.clustered)
        reporting.shares(len(self._conventions.classes))
        metrics = columns_of_loss(METRICS, self._conventions.loss).values()
        others = (*reliability_columns(self._conventions), *class_table_columns(self._conventions))
        check_names(self._conventions.slices, [*metrics, *others])
        check_names(rows.roles.search, columns_of_loss(WORST_SLICES, self._conventions.loss).values())

    def _table(self) -> DataFrame | LocalTable:
        (state, self._score_rows), self._ran = by_engine(
            self._rows,
            lambda scan: state_from_files(self._rows, scan, self._source),
            lambda: (state_of(self._scored, self._rows, self._source), None),
            most_scores=SMALL if {"exact", "auto"}.intersection(self._sources.values()) else 0,
        )
        return state

    @cached_property
    def _scored(self) -> DataFrame:
        """The rows with their terms; its plan takes hundreds of calls to the JVM."""
        return scored(self._rows)

    @property
    def metrics(self) -> DataFrame:
        """One row per slice: the global row, and one per group of each grouping set.

        `help(logloss_spark.State.metrics)` says what each column is.
        """
        if self._found:
            return self._found.table
        of_state = partial(metrics_in_spark, self.state.checked, self._rows.roles.sets, self._reporting)
        if not self._of_rows:
            return of_state()
        if self._is_small:
            return of_state(scores=self._scores, of_rows=self._of_rows)
        scores, inner = scores_of(self._scored, self._rows), list(inner_names(self._rows.roles.sets).values())
        return of_state(then=[partial(SORTED[name], scores=scores, slices=inner) for name in self._of_rows])

    @cached_property
    def _found(self) -> LocalTable | None:
        """The metrics, if the state is on the driver, and so are the scores that they need."""
        local = self.state.checked.local
        if local is None or (self._of_rows and not self._is_small):
            return None
        if self._of_rows:
            scores = self._score_rows
            if scores is None:
                scores = score_rows(self._scored, self._rows, self._conventions).toArrow()
            local = with_scores(local, scores)
        return metrics_here(local, self._conventions, self._rows.roles.sets, self._reporting, self._of_rows)

    @property
    def _of_rows(self) -> list[str]:
        """What is computed from the rows themselves."""
        return [name for name, source in self.sources.items() if source == "rows"]

    @cached_property
    def _scores(self) -> DataFrame:
        """The scores of a small table, cached beside its state: further tables need not read the rows again."""
        return cache_or_collect(scores_of(self._scored, self._rows))

    def close(self) -> None:
        """Free all that is cached or collected; the next use computes it again."""
        if "_scores" in self.__dict__:
            uncache(self._scores)
            del self.__dict__["_scores"]
        super().close()

    @property
    def sources(self) -> dict[str, str]:
        """What "auc" and "calibration" are computed from, "rows" or "cells"; empty for a prediction per class."""
        exact = ("exact", "auto") if self._is_small else ("exact",)
        return {name: "rows" if source in exact else "cells" for name, source in self._sources.items()}

    @property
    def _is_small(self) -> bool:
        return self.counts["ok"] <= SMALL

    @property
    def reliability(self) -> DataFrame:
        """One row per slice and bin of the score."""
        return as_dataframe(self._reliability)

    @cached_property
    def _reliability(self) -> DataFrame | LocalTable:
        return reliability_table(self.state.checked, self._rows.roles.sets, self._reporting)

    @property
    def by_class(self) -> DataFrame:
        """One row per slice and class: what it was forecast, how often it happened, and its part of the loss."""
        return as_dataframe(self._by_class)

    @cached_property
    def _by_class(self) -> DataFrame | LocalTable:
        return class_table(self.state.checked, self._rows.roles.sets)

    @property
    def plot(self) -> EvaluationPlots:
        """The plots of this evaluation, such as `plot.reliability()`. They need the extra `report`."""
        return EvaluationPlots(metrics=self._drawn, cells=self._cells, residuals=self._residuals)

    def _cells(self, where: str | Column | None = None) -> pd.DataFrame:
        """The sums by bin of the score, of all rows or of the slices that meet a condition."""
        return cells_table((self.state if where is None else self.state.where(where)).checked)

    def _residuals(self, where: str | Column | None = None) -> Array | None:
        """The residuals of clusters, of all rows or of the slices that meet a condition."""
        return cluster_residuals((self.state if where is None else self.state.where(where)).checked)

    def _drawn(self) -> pd.DataFrame:
        """The metrics, or if they are too many for the driver those of the slices that add most to the loss."""
        if self._collected is not None:
            return self.to_pandas()
        with self.measured() as table:
            return costliest(table, len(self._conventions.classes))[0]

    @property
    def invalid(self) -> DataFrame:
        """The rows that were not scored, with the reason in `row_status`, which replaces a column of this name."""
        return invalid_rows(self._rows)

    def advice(self, counts: Mapping[Any, Any]) -> str:
        """How more rows can be scored, from the counts of rows by status, as in a row of metrics."""
        return advice(counts, self._rows)

    @property
    def log_loss(self) -> float:
        """The log loss of all rows, in nats; NaN if no row of positive weight can be scored.

        Raises SpecError for another loss, whose mean is the column `loss` of the metrics.
        """
        if self._loss != "log_loss":
            raise SpecError(
                f"log_loss is the mean cross-entropy, and this evaluation has the loss {self._conventions.loss!r}: "
                "its mean is to_pandas()['loss']"
            )
        return float(self._ranked(self._worst_first, 1).frame["log_loss"].iloc[0])

    def to_pandas(
        self, limit: int | None = None, *, sort_by: str | None = None, ascending: bool = False
    ) -> pd.DataFrame:
        """Return the metrics as pandas: the global row, then the slices of each grouping set.

        The first call of this, `show`, `to_json` or `log_loss` collects them. Up to 2 million numbers (16 MB) are kept
        until `close`.

        Parameters
        ----------
        limit : int, optional
            The number of slices of each grouping set; by default all.
        sort_by : str, optional
            The column that orders slices within their grouping set. By default the largest log loss comes first, and
            slices that are `few` come last.
        ascending : bool
            Whether the smallest value comes first.

        Raises
        ------
        SpecError
            `sort_by` is no column of the metrics, or its cells have one value per class.
        """
        return self._in_order(limit, sort_by, ascending).frame

    def report_page(self, worst: WorstSlices | None = None) -> Page:
        """Return what a report shows; `worst` are by default the worst slices of `search`, if it was given."""
        roles, reporting = self._rows.roles, self._reporting
        with self.measured():
            page = page_of(self.state.checked, self._found or self._measured, roles.sets, reporting, title=self._title)
        call = tuple(call_of(roles, self._rows.scoring, reporting))
        facts = {"engine": str(self.engine)} | versions()
        worst = self.worst_slices() if worst is None and roles.search else worst
        shown = worst.view() if worst is not None else None
        return replace(page, way_out=self.advice(self.counts), worst=shown, config=call, facts=facts)

    def remarks(self) -> list[str]:
        """Return what a reader should know of the global row: rows that were not scored, an infinite loss."""
        overall = self._ranked(self._worst_first, 1).frame.iloc[0]
        return remarks_on(overall, self.advice(overall.to_dict()))

    def worst_slices(self, *, max_depth: int = 2, min_rows: int = 100, confidence: float | None = None) -> WorstSlices:
        """Search for slices that are worse than all other rows, among all combinations of the columns of `search`.

        Without `search` these are the columns of `by`. See `State.worst_slices`, whose arguments these are; the
        confidence is by default that of the evaluation.
        """
        roles, reporting = self._rows.roles, self._reporting
        return self.state.worst_slices(
            roles.search or None,
            max_depth=max_depth,
            min_rows=min_rows,
            confidence=reporting.confidence if confidence is None else confidence,
        )

    @property
    def _loss(self) -> str:
        """The column of the mean loss."""
        return columns_of_loss(METRICS, self._conventions.loss)["log_loss"]

    @property
    def _worst_first(self) -> Order:
        return worst_first(self._loss)

    def _in_order(self, limit: int | None, sort_by: str | None, ascending: bool) -> Ranked:
        if limit is not None:
            at_least_one("limit", limit)
        order = self._worst_first if sort_by is None else order_by(self._schema, sort_by, ascending)
        return self._ranked(order, limit)

    def _view(self, limit: int = SHOWN_SLICES, sort_by: str | None = None, ascending: bool = False) -> View:
        ranked = self._in_order(limit, sort_by, ascending)
        way_out = self.advice(ranked.frame.iloc[0].to_dict())
        return view_of(ranked, self._title, slices_of(self._rows.roles.sets), self._reporting, way_out=way_out)

    @property
    def _title(self) -> str:
        return title_of(self._rows)


def evaluate(
    table: Table,
    label: Columns,
    prediction: Columns,
    *,
    weight: str | None = None,
    by: By = (),
    search: Columns = (),
    kind: Kind = "probability",
    classes: Sequence[Label] | None = None,
    soft_labels: bool = False,
    eps: float = 1e-15,
    clip: Clip = "eps",
    cluster: str | None = None,
    confidence: float = 0.95,
    intervals: Intervals = "fixed",
    sum_tolerance: float = 1e-5,
    ece_bins: int = 10,
    baseline: float | Sequence[float] | None = None,
    auc: Exactness = "auto",
    calibration: Exactness = "auto",
    engine: Engine = "auto",
    loss: Loss = "cross_entropy",
) -> Evaluation:
    """Evaluate a table of probabilistic predictions as a whole and by slices, in one pass over its rows.

    Parameters
    ----------
    table : DataFrame, str, or list of str
        One row per prediction: a DataFrame, classic or over Spark Connect; or the path, or the paths, of Parquet files,
        which the active session reads.
    label : str, or list of str
        The column of what happened: numbers, booleans or strings; with `soft_labels` a share or a distribution.
    prediction : str, or list of str
        The column of the forecast: a number (binary), an array<double>, or an ML vector; or one column per class.
    weight : str, optional
        The column of weights, finite and not negative. A row of weight 0 is counted and adds nothing.
    by : str, list of one str, or list of lists of str
        A slice column, or grouping sets, beside the global row: `"dt"`, `[["dt"], ["dt", "segment"]]`.
    search : str, or list of str
        Columns among whose combinations `worst_slices` searches for bad slices. The state has their sums; the tables of
        metrics have the slices of `by` alone.
    kind : "probability", "logit" or "margin"
        What the prediction is. "margin" is Spark's `rawPrediction` of two classes, [-z, z], whose last entry is the
        logit; a plain number is the logit itself. Two logits that look like it are refused. `GBTClassifier` writes half
        of its logit there, and other models write no logit: evaluate their `probability`.
    classes : sequence, optional
        The labels in the prediction's order; for a number (negative, positive). By default (0, 1), or 0..K-1 if the
        prediction has K columns.
    soft_labels : bool
        Whether the label is a share, or a distribution over the classes.
    eps, clip :
        The loss of a class is at most -ln eps; `clip="none"` lets it be infinite. Logits are never capped.
    cluster : str, optional
        The column that says which rows depend on each other, such as a user. Errors and intervals then take clusters as
        independent, not rows. A number is the same cluster in every numeric type and as text.
    confidence : float
        The coverage of the intervals.
    intervals : "fixed" or "any_time"
        Whether an interval holds at the one look that was planned, or at all looks at rows that grow in number, such as
        a new look every day. Those of "any_time" are wider, and need independent rows: `cluster` is an error with them.
        The intervals of the reliability table are always fixed.
    sum_tolerance : float
        How far the sum of a distribution may be from 1, and how far its entries may lie outside [0, 1]; they then count
        as 0 or 1. A prediction that is one number must lie in [0, 1].
    ece_bins : int
        The number of equal-width bins of ece, mce and the reliability table; it must divide 200 or 15. Bins are [a, b),
        and the last one holds 1; those of scikit-learn's `calibration_curve` are (a, b].
    baseline : float or list of float, optional
        The class shares that normalized_entropy compares with; by default each slice's own.
    auc, calibration : "auto", "cells" or "exact"
        How ranking (auc, average_precision, ks, and their bounds) and the CORP decomposition are computed. "cells" uses
        the state, as `State.metrics` does. "exact" reads the rows again and gives scikit-learn's result; beyond 10,000
        scored rows each of the two costs a read and a sort. "auto" is "exact" up to that size, where it is cheap and
        cells may be far off (CORP by 14 % on 92 rows). It is "cells" for larger tables, for a prediction per class, and
        for CORP of a loss other than cross-entropy.
    engine : "auto", "arrow", "native" or "pandas"
        What computes the sums. With "arrow" Python workers read the files and add up in NumPy; it takes a table that is
        nothing but Parquet files. "native" computes the same formulas as Spark expressions, on any table. "pandas"
        computes the losses by NumPy kernels in Python workers, and serves functions of your own. "auto" takes the first
        of these that can serve, and `engine` says which and why.
    loss : str or function
        "cross_entropy", or another loss: "focal" (gamma 2) and "label_smoothed" (by 0.1) for two or more classes; for a
        forecast that is one number also "hinge", "smooth_hinge", "squared", "exponential", "savage" and "tangent", of
        the margin of its logit (see `logloss_spark.kernels.margin`). Or a NumPy function `loss(y, p)` with a name of
        its own. It gets the rows that can be scored: labels as indices of classes (with `soft_labels` as shares), and
        predictions of shape (n,) or (n, K); it returns n numbers. Functions of a notebook or a script travel to the
        workers by themselves; for a module that workers lack call
        `pyspark.cloudpickle.register_pickle_by_value(module)` first. The mean of another loss is called `loss`, metrics
        of cross-entropy alone are omitted, and `eps` and `clip` do not cap it.

    Returns
    -------
    Evaluation, lazy; only the first rows of two logits have been read. It shows itself, with these columns for each
    slice:

    - `rows`: rows read; `n`: rows scored whose weight is positive;
    - `log_loss`: mean loss, nats, and its interval, with a star if there are too few rows for it (`few`);
    - `normalized_entropy`: log loss over that of forecasting each slice its own class shares: below 1 is better;
    - `calibration_ratio`: mean forecast over mean label, above 1 if forecasts are too high;
    - `brier`: mean squared error of the forecast; `ece`: mean distance of forecasts from labels, by bins.

    `help(logloss_spark.State.metrics)` explains these and all other metrics.

    Raises
    ------
    SpecError
        A column does not exist or cannot have its role, or an argument has an invalid value. When the rows are read:
        labels are -1 and 1, or 1 to K, and `classes` were not given.

    Examples
    --------
    >>> import logloss_spark as ls
    >>> df = spark.createDataFrame([("a", 1, 0.9), ("a", 0, 0.2), ("b", None, 0.5)], "day string, label int, p double")
    >>> with ls.evaluate(df, label="label", prediction="p", by=[["day"]]) as evaluation:
    ...     metrics = evaluation.metrics.withColumn("log_loss", F.round("log_loss", 4))
    ...     metrics.select("slice", "rows", "n", "log_loss").orderBy("slice").show()
    +-----+----+---+--------+
    |slice|rows|  n|log_loss|
    +-----+----+---+--------+
    |  all|   3|  2|  0.1643|
    |day=a|   2|  2|  0.1643|
    |day=b|   1|  0|    NULL|
    +-----+----+---+--------+
    <BLANKLINE>
    """
    scoring = Scoring(
        kind=kind,
        classes=classes,
        soft_labels=soft_labels,
        eps=eps,
        clip=clip,
        sum_tolerance=sum_tolerance,
        loss=loss,
    )
    reporting = Reporting(
        confidence=confidence,
        intervals=intervals,
        ece_bins=ece_bins,
        baseline=baseline,
        auc=auc,
        calibration=calibration,
    )
    roles = Roles(label=label, prediction=prediction, weight=weight, cluster=cluster, by=by, search=search)
    source, files = table_and_files(table)
    rows = replace(rows_of(source, roles, scoring, engine=engine), files=files)
    return Evaluation(rows, reporting)


SORTED: Mapping[str, Callable[..., DataFrame]] = {"auc": with_ranking, "calibration": with_pooling}
"""Steps that replace metrics from cells by exact ones, for any number of rows."""


def sources_of(rows: Rows, reporting: Reporting) -> dict[str, Exactness]:
    """Where ranking and CORP come from: as asked for, and "cells" where "auto" has no other way; {} for K classes."""
    asked: dict[str, Exactness] = {"auc": reporting.auc, "calibration": reporting.calibration}
    loss = rows.scoring.loss_name
    for name, source in asked.items():
        if source == "exact" and not rows.form.scalar:
            raise SpecError(
                f'{name}="exact" sorts binary forecasts, and the prediction is one per class: '
                "give the positive class's as a number"
            )
    if reporting.calibration == "exact" and loss != "cross_entropy":
        raise SpecError(f'calibration="exact" needs the loss cross_entropy, got {loss!r}: leave one of them out')
    if not rows.form.scalar:
        return {}
    return asked if loss == "cross_entropy" else asked | {"calibration": "cells"}
