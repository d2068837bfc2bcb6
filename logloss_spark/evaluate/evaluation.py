"""Evaluate a table of predictions: the object that holds one state, and everything that derives from it."""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, get_args

import pandas as pd
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from logloss_spark.errors import SpecError, counted, listed
from logloss_spark.evaluate.exact import scores_of, with_pooling, with_ranking
from logloss_spark.evaluate.held import HeldState
from logloss_spark.evaluate.metrics import Reporting, columns_of_loss
from logloss_spark.evaluate.state import PARTIAL, columns_of, scale_of
from logloss_spark.evaluate.sums import state_of
from logloss_spark.evaluate.tables import METRICS, class_table, metrics_table, reliability_table, reporting_of
from logloss_spark.rows.inputs import Inputs, check_logits, inputs
from logloss_spark.rows.losses import check_loss
from logloss_spark.rows.status import STATUSES, reasons_in, status_code, status_name
from logloss_spark.spec import (
    Clip,
    Columns,
    Engine,
    Kind,
    Label,
    Loss,
    Predictions,
    Source,
    grouping_sets,
    one_name_or_many,
    one_of,
)

SHOWN = (
    "slice",
    "rows",
    "n",
    "log_loss",
    "log_loss_low",
    "log_loss_high",
    "loss",
    "loss_low",
    "loss_high",
    "normalized_entropy",
    "calibration_ratio",
    "brier",
    "ece",
)
"""What a person is shown first, of what there is."""

RESULT_COLUMNS = {"slice", "grouping_id", "rows", "n", "part", "place", "fingerprint", "bin", "bin_low", "bin_high"}
INNER_COLUMNS = {"cells", "classes", *(f"{part}_{name}" for part in ("clipped", "zero") for name in ("n", *PARTIAL))}
"""Columns on the way from a state to metrics, which a slice column must not be called either."""


class Evaluation(HeldState):
    """One state, and what can be read off it. Made by `evaluate`.

    Attributes
    ----------
    metrics : DataFrame
        One row per slice: see `metrics`.
    reliability : DataFrame
        One row per slice and bin of the score.
    by_class : DataFrame
        One row per slice and class.
    state : DataFrame
        The sums themselves: store them, `merge` them, read metrics off them again.
    invalid : DataFrame
        The rows that were not scored, whole, with their `row_status`; a scan of its own.

    All are lazy. The state is cached when the first of them is used, so that the rows are read once; `close` lets it
    go, and so does leaving a `with` block.
    """

    def __init__(
        self,
        df: DataFrame,
        spec: Predictions,
        reporting: Reporting,
        *,
        auc: Source = "cells",
        calibration: Source = "cells",
    ) -> None:
        self._df, self._spec, self._reporting = df, spec, reporting
        self._rows = inputs(df, spec)
        self._sorted = sorted_rows(self._rows, spec, auc=auc, calibration=calibration)
        check_loss(self._rows, spec)
        check_logits(self._rows, spec)
        self._scale = scale_of(self._rows, spec)
        reporting.shares(len(self._scale.classes))
        metrics = columns_of_loss(METRICS, self._scale.loss).values()
        check_names(self._scale.slices, results=[*columns_of(self._scale), *metrics])

    def _made(self) -> DataFrame:
        return state_of(self._rows, self._spec, self._scale, self._source)

    @property
    def metrics(self) -> DataFrame:
        """One row per slice: the global row, and one per group of each grouping set."""
        table = metrics_table(self.state, self._scale, self._spec.by, self._reporting)
        for exactly in self._sorted:
            table = exactly(table, scores_of(self._rows, self._spec), self._spec.slices)
        return table

    @property
    def reliability(self) -> DataFrame:
        """One row per slice and bin of the score."""
        return reliability_table(self.state, self._scale, self._spec.by, self._reporting)

    @property
    def by_class(self) -> DataFrame:
        """One row per slice and class: what it was forecast, how often it happened, and its part of the loss."""
        return class_table(self.state, self._scale, self._spec.by)

    @property
    def invalid(self) -> DataFrame:
        """The rows that were not scored, with the column `row_status` that says why."""
        rows = inputs(self._df, self._spec, keep_row=True)
        marked = rows.table.withColumn("status", status_code(rows, self._spec)).where("status != 0")
        return marked.select("row.*", status_name(F.col("status")).alias("row_status"))

    def to_pandas(self, limit: int | None = None) -> pd.DataFrame:
        """The metrics as pandas, the global row first; all of them, or the first `limit`."""
        if limit is not None:
            return self.metrics.orderBy(F.col("grouping_id").desc(), F.col("slice")).limit(limit).toPandas()
        # Spark would make the table twice to sort it all: once to find the ranges of its partitions.
        frame = self.metrics.toPandas()
        return frame.sort_values(["grouping_id", "slice"], ascending=[False, True], ignore_index=True)

    def to_json(self) -> str:
        """The metrics as JSON, a list with an object per slice; infinite numbers are written as Spark writes them."""
        return json.dumps([plain(record) for record in self.to_pandas().to_dict("records")], default=str)

    def show(self, limit: int = 20) -> None:
        """Print the main metrics of the first slices."""
        frame = self.to_pandas(limit)
        print("\n".join([summary(frame).to_string(index=False), *remarks_on(frame.iloc[0])]))

    def remarks(self) -> list[str]:
        """What a reader of the global row should know: rows that were not scored, a loss that is infinite."""
        return remarks_on(self.to_pandas(limit=1).iloc[0])

    def __repr__(self) -> str:
        return (
            f"Evaluation of {self._spec.prediction!r} by {list(map(list, self._spec.by))}: .show() prints its metrics"
        )

    def _repr_html_(self) -> str:
        frame = self.to_pandas(20)
        remarks = "".join(f"<p>{line}</p>" for line in remarks_on(frame.iloc[0]))
        return summary(frame).to_html(index=False, notebook=True) + remarks


def evaluate(
    df: DataFrame,
    *,
    label: Columns,
    prediction: Columns,
    weight: str | None = None,
    by: Sequence[Sequence[str]] = (),
    kind: Kind = "probability",
    classes: Sequence[Label] | None = None,
    soft_labels: bool = False,
    eps: float = 1e-15,
    clip: Clip = "eps",
    cluster: str | None = None,
    confidence: float = 0.95,
    sum_tolerance: float = 1e-5,
    ece_bins: int = 10,
    baseline: float | Sequence[float] | None = None,
    auc: Source = "cells",
    calibration: Source = "cells",
    engine: Engine = "pandas",
    loss: Loss = "cross_entropy",
) -> Evaluation:
    """Evaluate a table of probabilistic predictions, whole and by slices, in one pass over its rows.

    Parameters
    ----------
    df : DataFrame
        One row per prediction, classic or over Spark Connect.
    label : str, or list of str
        What happened: numbers, booleans or strings; with `soft_labels` a share, or a distribution over the classes.
    prediction : str, or list of str
        The forecast: a number (binary), an array<double>, an ML vector, or one column per class.
    weight : str, optional
        Weights, finite and not negative. A row of weight 0 is counted, and adds nothing.
    by : list of lists of str
        Grouping sets beside the global row: `[["dt"], ["dt", "segment"]]`.
    kind : "probability", "logit" or "margin"
        What the prediction is. "margin" is Spark's `rawPrediction` of two classes, [-z, z]: its last entry is the logit
        (a plain number is the logit itself). Two logits that look like it are refused. `GBTClassifier` writes half of
        its logit there, and other models no logit at all: evaluate their `probability`.
    classes : sequence, optional
        The labels in the prediction's order, (negative, positive) for a number. By default (0, 1), or 0..K-1 where the
        prediction is K columns.
    soft_labels : bool
        The label is a share or a distribution.
    eps, clip :
        The loss of a class is at most -ln eps; `clip="none"` lets it be infinite. Logits are never capped.
    cluster : str, optional
        What rows hang together by, such as a user: errors and intervals then take clusters as independent, not rows.
    confidence : float
        The coverage of the intervals.
    sum_tolerance : float
        How far a distribution's sum may be from 1.
    ece_bins : int
        The equal-width bins of ece, mce and the reliability table; they divide 200.
    baseline : float or list of float, optional
        The class shares that normalized_entropy compares with; by default each slice's own.
    auc, calibration : "cells" or "exact"
        Whether ranking (auc, average_precision, ks) and the decomposition of CORP are read off the cells of the state,
        or off the rows themselves, which are then read and sorted once more for each.
    engine : "pandas" or "native"
        NumPy kernels in Python workers, or the same formulas as Spark expressions.
    loss : str or function
        "cross_entropy", or another loss: "focal" (gamma 2) and "label_smoothed" (by 0.1) for two classes or K; for a
        forecast that is one number also "hinge", "smooth_hinge", "squared", "exponential", "savage" and "tangent", of
        the margin of its logit (see `logloss_spark.kernels.margin`). Or a NumPy function `loss(y, p)` with a name of
        its own: it gets the rows that can be scored, labels as places of classes (with `soft_labels` as shares) and
        predictions as they came, (n,) or (n, K), and returns n numbers. Functions of a notebook or a script travel to
        the workers by themselves; one of a module that workers lack does after
        `pyspark.cloudpickle.register_pickle_by_value(module)`. The mean is then called `loss`, and what means something
        of cross-entropy alone is left out; `eps` and `clip` cap no other loss.

    Returns
    -------
    Evaluation, which has read nothing yet, but for the first rows of two logits

    Raises
    ------
    SpecError
        A column that is not there or cannot have its role, or a value that cannot be meant.

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
    spec = Predictions(
        label=one_name_or_many(label),
        prediction=one_name_or_many(prediction),
        weight=weight,
        cluster=cluster,
        by=grouping_sets(by),
        kind=kind,
        classes=None if classes is None else tuple(classes),
        soft_labels=soft_labels,
        eps=eps,
        clip=clip,
        sum_tolerance=sum_tolerance,
        engine=engine,
        loss=loss,
    )
    reporting = reporting_of(confidence=confidence, ece_bins=ece_bins, baseline=baseline)
    return Evaluation(df, spec, reporting, auc=auc, calibration=calibration)


def sorted_rows(rows: Inputs, spec: Predictions, *, auc: Source, calibration: Source) -> list[Callable[..., DataFrame]]:
    """What replaces metrics that are read off cells by those of the rows, as far as that is asked for."""
    asked = {"auc": (auc, with_ranking), "calibration": (calibration, with_pooling)}
    for name, (source, _) in asked.items():
        one_of(name, source, get_args(Source))
        if source == "exact" and not rows.scalar:
            raise SpecError(
                f'{name}="exact" sorts binary forecasts, and the prediction is one per class: '
                "give the positive class's as a number"
            )
    if calibration == "exact" and spec.loss_name != "cross_entropy":
        raise SpecError(
            f'calibration="exact" decomposes cross-entropy, and the loss is {spec.loss_name!r}: leave one of them out'
        )
    return [exactly for source, exactly in asked.values() if source == "exact"]


def check_names(slices: Sequence[str], *, results: Sequence[str]) -> None:
    """Raise SpecError where a slice column has the name of a column that results have."""
    taken = {name.casefold() for name in RESULT_COLUMNS.union(INNER_COLUMNS, STATUSES, results)}
    for name in slices:
        if name.casefold() in taken:
            raise SpecError(
                f"a slice column must not have the name of a result, and {name!r} has: "
                f"rename it, as in df.withColumnRenamed({name!r}, {name + '_slice'!r})"
            )


def summary(frame: pd.DataFrame) -> pd.DataFrame:
    """The main metrics of a frame of all, rounded to what a reader takes in; what is one per class is left out."""
    numbers = frame[[name for name in SHOWN[1:] if name in frame]].select_dtypes("number")
    return pd.concat([frame["slice"], numbers], axis=1).round(5)


def remarks_on(overall: "pd.Series[Any]") -> list[str]:
    """What a reader should know of a slice, by its row of metrics."""
    loss = "log_loss" if "log_loss" in overall else "loss"
    lines = not_scored(overall)
    if overall["clipped"]:
        capped = "" if math.isinf(overall[loss]) else f", {overall['clipped_loss_share']:.1%} of the loss"
        lines.append(
            f"{counted(overall['clipped'], 'row')} gave what happened a probability below eps"
            f" ({overall['zero']:,} gave it 0){capped}"
        )
    if math.isinf(overall[loss]):
        lines.append(
            "log_loss is inf: with clip='none' one impossible event that happens costs everything"
            if loss == "log_loss"
            else "loss is inf: one row whose loss has no bound costs everything"
        )
    return lines


def not_scored(overall: "pd.Series[Any]", by: str = "") -> list[str]:
    """A line on the rows of a slice that were not scored, by its row of results; none where all were."""
    reasons = reasons_in(overall.to_dict())
    dropped = counted(sum(reasons.values()), "row")
    return [f"{dropped} of {overall['rows']:,} not scored{by}: {listed(reasons)}"] if reasons else []


def plain(record: Mapping[Any, Any]) -> dict[Any, Any]:
    """A record without the numbers that JSON does not have: NaN becomes null, inf its name."""

    def value(x: Any) -> Any:
        if x is pd.NaT:
            return None
        if isinstance(x, float):
            return None if math.isnan(x) else x if math.isfinite(x) else "Infinity" if x > 0 else "-Infinity"
        if hasattr(x, "tolist"):
            return value(x.tolist())
        if isinstance(x, list):
            return [value(entry) for entry in x]
        return x

    return {name: value(entry) for name, entry in record.items()}
