"""Column functions for queries: the score of each row, from Python and from SQL.

They take names or columns of any numeric, boolean or string type, arrays and ML vectors. They learn the types from the
data. A row that cannot be scored gives null; `row_status` says why.

If a plan reads an ML vector column from Parquet, Spark 4.3 fails under any Python function unless
`spark.sql.execution.arrow.pythonUDF.columnarInput.enabled` is false. Sessions that this package makes set it to false.
Spark 4.0 has Pandas UDFs alone, in which a NaN looks like a null: in SQL `row_status` calls it a null there.

Examples
--------
>>> from logloss_spark import functions as L
>>> df = spark.createDataFrame([(1, 0.9), (0, 0.2), (7, 0.5)], "label int, p double")
>>> loss, status = L.cross_entropy("label", "p"), L.row_status("label", "p")
>>> df.select(F.round(loss, 4).alias("loss"), status.alias("status")).show()
+------+-------------+
|  loss|       status|
+------+-------------+
|0.1054|           ok|
|0.2231|           ok|
|  NULL|unknown_label|
+------+-------------+
<BLANKLINE>
"""

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import pyarrow as pa
from pyspark.sql import Column, SparkSession
from pyspark.sql import functions as F

from logloss_spark.kernels.cross_entropy import binary_entropy
from logloss_spark.kernels.cross_entropy import entropy as entropy_of_distribution
from logloss_spark.kernels.divergence import binary_kl, kl
from logloss_spark.kernels.status import STATUSES, Mask, off_one, outside_unit_interval
from logloss_spark.kernels.sums import Array
from logloss_spark.rows.arrow import dense_lists, loss_kernel, numbers
from logloss_spark.rows.arrow_status import (
    arrow_statuses,
    class_of,
    entries_that,
    is_list,
    lengths,
    nulls,
)
from logloss_spark.scoring import Clip, Kind, Label, Scoring, allowed
from logloss_spark.workers.columns import vectorised

__all__ = ["cross_entropy", "entropy", "kl_divergence", "register", "row_status"]

ColumnOrName = Column | str

SUM_TOLERANCE = 1e-5
"""How far the sum of a distribution may be from 1, for entropy and divergence."""


def __dir__() -> list[str]:
    """The public names, which a notebook completes."""
    return __all__


def cross_entropy(
    label: ColumnOrName,
    prediction: ColumnOrName | Sequence[ColumnOrName],
    *,
    kind: Kind = "probability",
    classes: Sequence[Label] | None = None,
    soft_labels: bool = False,
    eps: float = 1e-15,
    clip: Clip = "eps",
    sum_tolerance: float = 1e-5,
) -> Column:
    """Cross-entropy of each row, in nats.

    Parameters
    ----------
    label : str or Column
        What happened: a class, or with `soft_labels` a share or a distribution.
    prediction : str or Column, or a list of them
        The forecast: a number, an array, an ML vector, or one column per class.
    kind, classes, soft_labels, eps, clip, sum_tolerance :
        As in `logloss_spark.evaluate`; classes are (0, 1) unless given, or 0..K-1 for K columns. Spark's
        `rawPrediction` needs kind="margin". `evaluate` looks at the rows and refuses it under kind="logit"; a column
        function cannot look, and takes its two entries for two logits.

    Returns
    -------
    Column of double, in [0, inf]; null where the row cannot be scored

    Raises
    ------
    SpecError
        An argument has an invalid value, or two arguments contradict each other.
    """
    scoring = Scoring(
        kind=kind,
        classes=classes_of_columns(prediction) if classes is None else classes,
        soft_labels=soft_labels,
        eps=eps,
        clip=clip,
        sum_tolerance=sum_tolerance,
    )
    losses = vectorised(partial(arrow_cross_entropy, scoring), "double")
    return losses(label, one_column(prediction)).alias("cross_entropy")


def row_status(
    label: ColumnOrName,
    prediction: ColumnOrName | Sequence[ColumnOrName],
    weight: ColumnOrName | None = None,
    *,
    kind: Kind = "probability",
    classes: Sequence[Label] | None = None,
    soft_labels: bool = False,
    sum_tolerance: float = 1e-5,
) -> Column:
    """The status of each row: `ok`, or the first reason why it cannot be scored.

    Parameters
    ----------
    label, prediction, kind, classes, soft_labels, sum_tolerance :
        As in `cross_entropy`.
    weight : str or Column, optional
        A weight to check, too.

    Returns
    -------
    Column of string
    """
    scoring = Scoring(
        kind=kind,
        classes=classes_of_columns(prediction) if classes is None else classes,
        soft_labels=soft_labels,
        sum_tolerance=sum_tolerance,
    )
    words = vectorised(partial(arrow_row_status, scoring), "string", nulls=True)
    return words(label, one_column(prediction), *([] if weight is None else [weight])).alias("row_status")


def entropy(p: ColumnOrName) -> Column:
    """Entropy of each forecast, in nats: the log loss that it expects of itself.

    Parameters
    ----------
    p : str or Column
        A probability, or a distribution as an array or an ML vector.

    Returns
    -------
    Column of double, in [0, ln K]; null where `p` is no probability or distribution

    Examples
    --------
    >>> from logloss_spark import functions as L
    >>> spark.range(1).select(F.round(L.entropy(F.lit(0.5)), 6).alias("h")).first().h
    0.693147
    """
    return vectorised(arrow_entropy, "double")(p).alias("entropy")


def kl_divergence(p: ColumnOrName, q: ColumnOrName) -> Column:
    """Kullback-Leibler divergence KL(p ‖ q) of each row, in nats: what forecasting `q` costs where `p` is true.

    Parameters
    ----------
    p, q : str or Column
        Both probabilities, or both distributions as arrays or ML vectors of one length; they are normalised first.

    Returns
    -------
    Column of double, in [0, inf]; null where one of them is no probability or distribution

    Examples
    --------
    >>> from logloss_spark import functions as L
    >>> spark.range(1).select(F.round(L.kl_divergence(F.lit(0.5), F.lit(0.25)), 6).alias("kl")).first().kl
    0.143841
    """
    return vectorised(arrow_kl_divergence, "double")(p, q).alias("kl_divergence")


def register(
    spark: SparkSession,
    *,
    kind: Kind = "probability",
    classes: Sequence[Label] | None = None,
    soft_labels: bool = False,
    eps: float = 1e-15,
    clip: Clip = "eps",
    sum_tolerance: float = 1e-5,
) -> None:
    """Register the four functions for SQL, scoring as the arguments say, for the life of the session.

    Parameters
    ----------
    spark : SparkSession
    kind, classes, soft_labels, eps, clip, sum_tolerance :
        As in `cross_entropy`.

    Examples
    --------
    >>> from logloss_spark import functions as L
    >>> L.register(spark)
    >>> spark.sql("SELECT round(cross_entropy(1, 0.9), 4) AS loss, row_status(1, 1.5) AS status").show()
    +------+----------------+
    |  loss|          status|
    +------+----------------+
    |0.1054|prediction_range|
    +------+----------------+
    <BLANKLINE>
    """
    scoring = Scoring(
        kind=kind, classes=classes, soft_labels=soft_labels, eps=eps, clip=clip, sum_tolerance=sum_tolerance
    )
    functions: dict[str, tuple[Callable[..., pa.Array], str]] = {
        "cross_entropy": (partial(arrow_cross_entropy, scoring), "double"),
        "row_status": (partial(arrow_row_status, scoring), "string"),
        "entropy": (arrow_entropy, "double"),
        "kl_divergence": (arrow_kl_divergence, "double"),
    }
    for name, (function, type_) in functions.items():
        spark.udf.register(name, vectorised(function, type_))


def classes_of_columns(prediction: ColumnOrName | Sequence[ColumnOrName]) -> range | None:
    """The classes of a forecast in K columns, 0..K-1; None if the forecast is one column."""
    return None if isinstance(prediction, (str, Column)) else range(len(prediction))


def one_column(prediction: ColumnOrName | Sequence[ColumnOrName]) -> ColumnOrName:
    """The forecast as one column: K columns become an array."""
    return prediction if isinstance(prediction, (str, Column)) else F.array(*prediction)


def arrow_cross_entropy(scoring: Scoring, label: pa.Array, prediction: pa.Array) -> pa.Array:
    """Losses of a batch; null where the status is not `ok`."""
    label, score = dense_lists(label), dense_lists(prediction)
    classes = scoring.classes or (0, 1)
    y = label if scoring.soft_labels else class_of(label, classes)
    values, shares = numbers(score, len(classes)), numbers(y, len(classes))
    if scoring.kind == "margin" and is_list(score):
        values = values[:, -1]
    if scoring.kind == "probability" and is_list(score):
        values = np.clip(values, 0.0, 1.0)
    if scoring.soft_labels and is_list(label):
        shares = np.clip(shares, 0.0, 1.0)
    kernel = loss_kernel(scoring, scalar=values.ndim == 1)
    valid = arrow_statuses(label, score, None, scoring) == 0
    return where_valid(valid, kernel(shares, values))


def arrow_row_status(
    scoring: Scoring, label: pa.Array, prediction: pa.Array, weight: pa.Array | None = None
) -> pa.Array:
    """Names of the statuses of a batch."""
    return pa.array(np.array(STATUSES)[arrow_statuses(dense_lists(label), dense_lists(prediction), weight, scoring)])


def arrow_entropy(p: pa.Array) -> pa.Array:
    """Entropies of a batch, null where `p` is no probability or distribution."""
    p = dense_lists(p)
    kernel = entropy_of_distribution if is_list(p) else binary_entropy
    return where_valid(is_forecast(p), kernel(padded(p, longest(p))))


def arrow_kl_divergence(p: pa.Array, q: pa.Array) -> pa.Array:
    """Divergences of a batch, null where one side is no probability or distribution."""
    p, q = dense_lists(p), dense_lists(q)
    if is_list(p) != is_list(q):
        return pa.nulls(len(p), pa.float64())
    size = max(longest(p), longest(q))
    kernel = kl if is_list(p) else binary_kl
    alike = lengths(p) == lengths(q) if is_list(p) else True
    return where_valid(is_forecast(p) & is_forecast(q) & alike, kernel(padded(p, size), padded(q, size)))


def is_forecast(p: pa.Array) -> Mask:
    """Rows that are a probability, or a distribution of any length."""
    missing, wrong = nulls(p), entries_that(np.isnan, p)
    if missing is not None:
        wrong = wrong | missing
    if not is_list(p):
        return ~(wrong | outside_unit_interval(numbers(p, 1)))
    slack = allowed(SUM_TOLERANCE, longest(p))
    outside = entries_that(partial(outside_unit_interval, slack=slack), p)
    return ~(wrong | outside | off_one(padded(p, longest(p)), slack))


def longest(p: pa.Array) -> int:
    """The length of the longest list; 1 for numbers."""
    return int(lengths(p).max(initial=1)) if is_list(p) else 1


def padded(p: pa.Array, size: int) -> Array:
    """Numbers unchanged; lists as rows of a matrix, clipped to [0, 1] and padded with zeros, which change no sum."""
    if not is_list(p):
        return numbers(p, size)
    matrix = np.zeros((len(p), size))
    matrix[np.arange(size) < lengths(p)[:, np.newaxis]] = numbers(p.flatten(), size)
    return np.clip(matrix, 0.0, 1.0)


def where_valid(valid: Mask, values: Array) -> pa.Array:
    """Values of a batch, null where a row is not valid."""
    return pa.array(values, type=pa.float64(), mask=~valid)
