"""Turn Arrow batches of a training table into blocks: give each row a status, drop the rows that cannot be fitted."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from logloss_spark.kernels.hashing import mixed, splitmix64, unit_interval
from logloss_spark.kernels.logistic import Block, moments
from logloss_spark.kernels.matrix import Matrix, Sparse, dense, limits
from logloss_spark.kernels.sums import Array

TRAINING_STATUSES = (
    "ok",
    "null_label",
    "nan_label",
    "unknown_label",
    "null_features",
    "nan_features",
    "infinite_features",
    "feature_length",
    "null_weight",
    "nan_weight",
    "negative_weight",
    "null_offset",
    "nan_offset",
)
"""The statuses of a row. A row has the first one that applies."""

CODE = {status: code for code, status in enumerate(TRAINING_STATUSES)}
Codes = npt.NDArray[np.int8]
EXTREMES = {"low": np.minimum, "high": np.maximum, "reach": np.maximum}
"""Sums by name for which the minimum or maximum over rows is taken instead."""


@dataclass(frozen=True)
class FeatureForm:
    """How many features there are; `sparse` if blocks keep rows in compressed form."""

    width: int
    sparse: bool


def block_of(batch: pa.RecordBatch, form: FeatureForm, centre: Array | None) -> tuple[Block, Codes]:
    """The rows of a batch that can be fitted on, and the status code of each row.

    Parameters
    ----------
    centre : array of shape (d,), optional
        It is subtracted from the features, so that small differences of large numbers keep their digits. By default it
        is the mean of these rows. Sparse rows keep their zeros, so their centre is 0.
    """
    x, weight, offset, codes = rows_with_status(batch, form)
    label = batch.column("label").to_numpy(zero_copy_only=False)
    held = batch.column("held").to_numpy(zero_copy_only=False) if "held" in batch.schema.names else None
    kept = (codes == CODE["ok"]) & (weight > 0)
    if not kept.all():
        x, label, weight, offset = kept_rows(x, kept), label[kept], weight[kept], offset[kept]
        held = held[kept] if held is not None else None
    key = keys(x, label)
    if isinstance(x, Sparse):
        centre = np.zeros(())
    else:
        if centre is None:
            centre = x.mean(axis=0) if len(x) else np.zeros(form.width)
        x = np.subtract(x, centre, out=x if x.flags.writeable else None)  # Arrow's own memory is read-only
    return Block(
        x=x,
        y=label,
        weight=weight if held is None else np.where(held, 0.0, weight),
        key=key,
        centre=centre,
        offset=offset if "offset" in batch.schema.names else None,
        held=None if held is None else np.where(held, weight, 0.0),
    ), codes


def rows_with_status(batch: pa.RecordBatch, form: FeatureForm) -> tuple[Matrix, Array, Array, Codes]:
    """Features, weights and offsets of a batch, and the status code of each row."""
    x, codes = features_of(batch, form)
    label = batch.column("label").to_numpy(zero_copy_only=False)
    codes = np.where(label < 0, (-label).astype(np.int8), codes)
    weight, codes = number_column(batch, "weight", codes, 1.0)
    offset, codes = number_column(batch, "offset", codes, 0.0)
    return x, weight, offset, codes


def training_statuses(*columns: pa.Array, names: tuple[str, ...], form: FeatureForm) -> pa.Array:
    """The status of each row, from the columns of a training table."""
    codes = rows_with_status(pa.RecordBatch.from_arrays(list(columns), names=list(names)), form)[-1]
    return pa.array(np.array(TRAINING_STATUSES, dtype=object)[codes])


def block_sums(block: Block, codes: Codes, classes: int) -> dict[str, Array]:
    """The sums over the rows of a block: counts by status and by class, and the moments of the features."""
    spread = moments(block.x, block.weight)
    if isinstance(block.x, Sparse):
        weighted = kept_rows(block.x, block.weight > 0)
        assert isinstance(weighted, Sparse)
        spread["low"], spread["high"] = limits(weighted)
    return spread | {
        "statuses": np.bincount(codes, minlength=len(TRAINING_STATUSES)).astype(np.float64),
        "rows_of_class": np.bincount(block.y[block.weight > 0].astype(np.intp), minlength=classes).astype(np.float64),
        "weight_of_class": np.bincount(block.y.astype(np.intp), weights=block.weight, minlength=classes),
        "held": np.array([0.0 if block.held is None else block.held.sum()]),
    }


def features_of(batch: pa.RecordBatch, form: FeatureForm) -> tuple[Matrix, Codes]:
    """The features of a batch, and the status code of each row's. Features that are missing may be any number."""
    if "features" not in batch.schema.names:
        return from_columns([batch.column(f"feature_{place}") for place in range(form.width)])
    column = batch.column("features")
    return from_vectors(column, form) if pa.types.is_struct(column.type) else from_lists(column, form)


def from_columns(columns: Sequence[pa.Array]) -> tuple[Array, Codes]:
    """The features in columns of numbers, and the status code of each row's."""
    x = np.empty((len(columns[0]), len(columns)))
    null = np.zeros(len(x), dtype=bool)
    for place, column in enumerate(columns):
        x[:, place] = column.to_numpy(zero_copy_only=False)
        if column.null_count:
            null |= column.is_null().to_numpy(zero_copy_only=False)
    return x, finite_codes(x, null)


def from_lists(lists: pa.Array, form: FeatureForm) -> tuple[Matrix, Codes]:
    """The features in arrays, and the status code of each row's."""
    entries = lists.flatten()
    lengths = lists.value_lengths().fill_null(-1).to_numpy(zero_copy_only=False)
    stored = entries.to_numpy(zero_copy_only=False)
    right = lengths == form.width
    if right.all():
        x = stored.reshape(-1, form.width)
        null = (
            entries.is_null().to_numpy(zero_copy_only=False).reshape(x.shape).any(axis=1)
            if entries.null_count
            else None
        )
    else:
        at = np.repeat(right, np.maximum(lengths, 0))
        x, null = np.zeros((len(lists), form.width)), np.zeros(len(lists), dtype=bool)
        x[right] = stored[at].reshape(-1, form.width)
        absent = entries.is_null().to_numpy(zero_copy_only=False)[at].reshape(-1, form.width)
        null[right] = absent.any(axis=1)
    codes = finite_codes(x, np.zeros(len(x), dtype=bool) if null is None else null)
    codes[(lengths >= 0) & ~right] = CODE["feature_length"]
    codes[lengths < 0] = CODE["null_features"]
    return (compressed(x) if form.sparse else x), codes


def from_vectors(vectors: pa.StructArray, form: FeatureForm) -> tuple[Matrix, Codes]:
    """The features in ML vectors, and the status code of each row's.

    A vector is a struct, whose type is 0 if it is sparse, 1 if it is dense, and null, as may be the struct, if there is
    no vector.
    """
    null = vectors.field("type").is_null().to_numpy(zero_copy_only=False)
    if vectors.null_count:
        null |= vectors.is_null().to_numpy(zero_copy_only=False)
    values, indices = vectors.field("values"), vectors.field("indices")
    stored = values.value_lengths().fill_null(0).to_numpy(zero_copy_only=False)
    is_dense = vectors.field("type").fill_null(0).to_numpy(zero_copy_only=False) == 1
    size = np.where(is_dense, stored, vectors.field("size").fill_null(form.width).to_numpy(zero_copy_only=False))
    wrong = (size != form.width) & ~null
    numbers_of = values.flatten().to_numpy(zero_copy_only=False)
    if is_dense.all() and not wrong.any() and not null.any() and not form.sparse:
        entries: Array = numbers_of.reshape(-1, form.width)
        return entries, finite_codes(entries, null)
    places = indices.flatten().to_numpy(zero_copy_only=False)
    if is_dense.any():
        of_sparse, places_of_sparse = np.repeat(~is_dense, stored), places
        places = np.arange(len(numbers_of)) - np.repeat(np.cumsum(stored) - stored, stored)
        places[of_sparse] = places_of_sparse
    sparse = kept_entries(
        Sparse(starts(stored), places.astype(np.int32, copy=False), numbers_of, form.width), ~wrong & ~null
    )
    codes = np.zeros(len(vectors), dtype=np.int8)
    if not np.isfinite(sparse.values).all():
        row = np.repeat(np.arange(len(vectors)), np.diff(sparse.indptr))
        codes[row[np.isinf(sparse.values)]] = CODE["infinite_features"]
        codes[row[np.isnan(sparse.values)]] = CODE["nan_features"]
    codes[wrong] = CODE["feature_length"]
    codes[null] = CODE["null_features"]
    return (sparse if form.sparse else dense(sparse)), codes


def finite_codes(x: Array, null: npt.NDArray[np.bool_]) -> Codes:
    """The status code of the features of each row."""
    codes = np.zeros(len(x), dtype=np.int8)
    if not np.isfinite(x).all():
        codes[np.isinf(x).any(axis=1)] = CODE["infinite_features"]
        codes[np.isnan(x).any(axis=1)] = CODE["nan_features"]
    codes[null] = CODE["null_features"]
    return codes


def number_column(batch: pa.RecordBatch, name: str, codes: Codes, default: float) -> tuple[Array, Codes]:
    """The column of weights or offsets, by default one number, and the status codes with what is wrong with it."""
    if name not in batch.schema.names:
        return np.full(batch.num_rows, default), codes
    column = batch.column(name)
    values = column.to_numpy(zero_copy_only=False)
    fine = codes == CODE["ok"]
    null = column.is_null().to_numpy(zero_copy_only=False)
    codes = codes.copy()
    if name == "weight":
        codes[fine & (values < 0)] = CODE["negative_weight"]
    codes[fine & ~np.isfinite(values)] = CODE[f"nan_{name}"]
    codes[fine & null] = CODE[f"null_{name}"]
    return values, codes


def kept_rows(x: Matrix, kept: npt.NDArray[np.bool_]) -> Matrix:
    """The rows of a matrix where `kept` is true."""
    if not isinstance(x, Sparse):
        return x[kept]
    entries = kept_entries(x, kept)
    return Sparse(starts(np.diff(x.indptr)[kept]), entries.indices, entries.values, x.width)


def kept_entries(x: Sparse, kept: npt.NDArray[np.bool_]) -> Sparse:
    """The same rows; those where `kept` is false lose their entries."""
    if kept.all():
        return x
    lengths = np.diff(x.indptr)
    entries = np.repeat(kept, lengths)
    return Sparse(starts(np.where(kept, lengths, 0)), x.indices[entries], x.values[entries], x.width)


def starts(lengths: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    """Where each row's entries start, and where the last one's end."""
    return np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)


def compressed(x: Array) -> Sparse:
    """A dense matrix in compressed form."""
    row, column = np.nonzero(x)
    counts = np.bincount(row, minlength=len(x))
    return Sparse(starts(counts), column.astype(np.int32), x[row, column], x.shape[1])


def keys(x: Matrix, y: Array) -> Array:
    """A hash of each row in [0, 1), which depends on its content alone and not on how it is stored.

    The bits of each number are multiplied by an odd number of its column and added modulo 2^64, so that zeros may be
    left out. The finalizer of SplitMix64 mixes the sum.
    """
    with np.errstate(over="ignore"):
        odd = splitmix64(np.arange(1, x.shape[1] + 1, dtype=np.uint64)) | np.uint64(1)
        total = mixed(y.astype(np.uint64) + np.uint64(1))
        if isinstance(x, Sparse):
            terms = odd[x.indices]
            terms *= np.ascontiguousarray(x.values).view(np.uint64)
            running = np.zeros(len(terms) + 1, dtype=np.uint64)
            np.cumsum(terms, out=running[1:])
            total = total + (running[x.indptr[1:]] - running[x.indptr[:-1]])
        else:
            total = total + (np.ascontiguousarray(x).view(np.uint64) @ odd)
        return unit_interval(mixed(total))


def merged_sums(sums: Mapping[str, Array] | None, more: Mapping[str, Array]) -> dict[str, Array]:
    """The sums over two sets of rows; for the names in `EXTREMES` the lower or the higher."""
    if sums is None:
        return dict(more)
    return {name: EXTREMES.get(name, np.add)(sums[name], value) for name, value in more.items()}
