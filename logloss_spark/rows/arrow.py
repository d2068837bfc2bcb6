"""The cross-entropy of a row by the NumPy kernels, in Python workers: the reference engine.

Only the columns that a kernel needs cross to Python, as Arrow arrays, and one double comes back. Where Spark has them
(4.1) Arrow UDFs serve: arrays are three times cheaper than as pandas Series of arrays. Before, the same function runs
as a Pandas UDF.
"""

from collections.abc import Callable
from functools import partial

import numpy as np
import pyarrow as pa
import pyspark.sql.functions as F
from pyspark.sql import Column

from logloss_spark.kernels.cross_entropy import (
    binary_from_logit,
    binary_from_probability,
    categorical_from_logits,
    categorical_from_probabilities,
    distribution_from_logits,
    distribution_from_probabilities,
)
from logloss_spark.kernels.sums import Array
from logloss_spark.rows.casts import as_doubles
from logloss_spark.rows.inputs import Rows
from logloss_spark.scoring import Scoring
from logloss_spark.workers.columns import vectorised

Kernel = Callable[..., Array]


def cross_entropy(rows: Rows) -> Column:
    """The loss of each row of a scored table (columns `label`, `index`, `prediction`), in nats."""
    form = rows.form
    kernel = loss_kernel(rows.scoring, scalar=form.scalar)
    label = F.col("label") if form.soft_labels else F.col("index") == 1 if form.scalar else F.col("index")
    return vectorised(partial(row_losses, kernel, form.size), "double")(label, F.col("prediction"))


def loss_kernel(scoring: Scoring, *, scalar: bool) -> Kernel:
    """The kernel of cross-entropy, from labels and scores to losses. `scalar` says that a score is one number."""
    soft = scoring.soft_labels
    if scoring.score == "logit":
        return binary_from_logit if scalar else distribution_from_logits if soft else categorical_from_logits
    if scalar:
        return partial(binary_from_probability, cap=scoring.cap, soft=soft)
    return partial(distribution_from_probabilities if soft else categorical_from_probabilities, cap=scoring.cap)


def row_losses(kernel: Kernel, size: int, label: pa.Array, score: pa.Array) -> pa.Array:
    """Losses of an Arrow batch. For rows with nulls or with too few or many entries the value is unspecified."""
    return pa.array(kernel(numbers(label, size), numbers(score, size)), type=pa.float64(), from_pandas=False)


def numbers(values: pa.Array, size: int) -> Array:
    """An Arrow array as NumPy: of shape (n,), or (n, size) for lists. A list of another length becomes NaNs."""
    if pa.types.is_boolean(values.type):
        values = values.cast(pa.int8())
    if pa.types.is_decimal(values.type) or pa.types.is_floating(values.type) or pa.types.is_null(values.type):
        values = as_doubles(values)
    if not (pa.types.is_list(values.type) or pa.types.is_large_list(values.type)):
        if values.null_count:
            values = values.fill_null(-1 if pa.types.is_integer(values.type) else np.nan)
        return values.to_numpy(zero_copy_only=False)
    entries = as_doubles(values.flatten()).fill_null(np.nan).to_numpy(zero_copy_only=False)
    lengths = values.value_lengths().fill_null(0).to_numpy(zero_copy_only=False)
    if (lengths == size).all():
        return entries.reshape(-1, size)
    matrix = np.full((len(values), size), np.nan)
    matrix[lengths == size] = entries[np.repeat(lengths == size, lengths)].reshape(-1, size)
    return matrix


def dense_lists(values: pa.Array) -> pa.Array:
    """ML vectors, which arrive as structs, as lists of their entries; other arrays unchanged."""
    return lists_of_vectors(values) if pa.types.is_struct(values.type) else values


def lists_of_vectors(vectors: pa.Array) -> pa.Array:
    """ML vectors as lists of their entries. They are structs of type (1 dense, 0 sparse), size, indices and values."""
    values = vectors.field("values")
    kind = vectors.field("type").fill_null(1).to_numpy(zero_copy_only=False)
    lengths = values.value_lengths().fill_null(0).to_numpy(zero_copy_only=False)
    sizes = vectors.field("size").fill_null(0).to_numpy(zero_copy_only=False)
    sparse = kind == 0
    sizes = np.where(sparse, sizes, lengths)
    offsets = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    stored = values.flatten().to_numpy(zero_copy_only=False)
    mask = vectors.is_null() if vectors.null_count else None
    if not sparse.any():
        return pa.LargeListArray.from_arrays(pa.array(offsets), pa.array(stored), mask=mask)
    dense = np.zeros(offsets[-1])
    row = np.repeat(np.arange(len(kind)), lengths)
    within = np.arange(len(stored)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    indices = vectors.field("indices")
    within[sparse[row]] = indices.flatten().to_numpy(zero_copy_only=False)[
        np.repeat(sparse, indices.value_lengths().fill_null(0).to_numpy(zero_copy_only=False))
    ]
    dense[offsets[row] + within] = stored
    return pa.LargeListArray.from_arrays(pa.array(offsets), pa.array(dense), mask=mask)
