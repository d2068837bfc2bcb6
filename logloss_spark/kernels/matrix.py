"""Products with a block's features, dense or sparse. NumPy only; sparse products use SciPy if the worker has it."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from logloss_spark.kernels.sums import Array

DENSE_CHUNK = 2**17
"""How many numbers a chunk of rows holds: 1 MB, which a core's cache keeps between the two products of a pass."""


@dataclass(frozen=True)
class Sparse:
    """Rows in compressed form: row i has the `values` and column `indices` from `indptr[i]` to `indptr[i + 1]`."""

    indptr: npt.NDArray[Any]
    indices: npt.NDArray[Any]
    values: Array
    width: int

    @property
    def shape(self) -> tuple[int, int]:
        """The numbers of rows and columns."""
        return len(self.indptr) - 1, self.width


Matrix = Array | Sparse


def chunks(x: Matrix) -> Iterator[slice]:
    """Slices of a matrix's rows that fit into the cache. A sparse matrix is one slice: its columns bound the speed."""
    return iter([slice(0, x.shape[0])]) if isinstance(x, Sparse) else dense_chunks(x, x.shape[1])


def dense_chunks(x: Matrix, numbers: int) -> Iterator[slice]:
    """Slices of a matrix's rows that fit into the cache if that many numbers are computed of each row."""
    rows = x.shape[0]
    step = max(DENSE_CHUNK // max(numbers, 1), 64)
    return (slice(start, min(start + step, rows)) for start in range(0, rows, step))


def some_rows(x: Matrix, rows: slice) -> Matrix:
    """A slice of a matrix's rows."""
    if not isinstance(x, Sparse):
        return x[rows]
    start, stop, _ = rows.indices(x.shape[0])
    if (start, stop) == (0, x.shape[0]):
        return x
    first, last = x.indptr[start], x.indptr[stop]
    return Sparse(x.indptr[start : stop + 1] - first, x.indices[first:last], x.values[first:last], x.width)


def times(x: Matrix, v: Array) -> Array:
    """The product X v.

    Parameters
    ----------
    x : matrix of shape (n, d)
    v : array of shape (d,) or (d, C)

    Returns
    -------
    array of shape (n,) or (n, C)
    """
    if not isinstance(x, Sparse):
        return np.asarray(x @ v)
    compressed = scipy_matrix(x)
    if compressed is not None:
        return np.asarray(compressed @ v)
    gathered = v[x.indices] * (x.values if v.ndim == 1 else x.values[:, None])
    return row_sums(gathered, x.indptr)


def transposed_times(x: Matrix, r: Array) -> Array:
    """The product of the transposed matrix, X' r.

    Parameters
    ----------
    x : matrix of shape (n, d)
    r : array of shape (n,) or (n, C)

    Returns
    -------
    array of shape (d,) or (d, C)
    """
    if not isinstance(x, Sparse):
        return np.asarray(x.T @ r)
    compressed = scipy_matrix(x)
    if compressed is not None:
        return np.asarray(compressed.T @ r)
    of_entry = np.repeat(np.arange(x.shape[0]), np.diff(x.indptr))
    if r.ndim == 1:
        return np.asarray(np.bincount(x.indices, weights=x.values * r[of_entry], minlength=x.width), dtype=np.float64)
    columns = [np.bincount(x.indices, weights=x.values * column[of_entry], minlength=x.width) for column in r.T]
    return np.stack(columns, axis=1).astype(np.float64)


def dense(x: Matrix) -> Array:
    """A matrix as a dense array. Entries with the same row and column are added."""
    if not isinstance(x, Sparse):
        return x
    filled = np.zeros(x.shape)
    np.add.at(filled, (np.repeat(np.arange(x.shape[0]), np.diff(x.indptr)), x.indices), x.values)
    return filled


def largest(x: Matrix, shift: Array) -> Array:
    """The largest absolute value of x - shift in each column; in compressed rows only stored entries count."""
    if not isinstance(x, Sparse):
        return np.asarray(np.abs(x - shift).max(axis=0, initial=0.0))
    sizes = np.zeros(x.width)
    np.maximum.at(sizes, x.indices, np.abs(x.values - shift[x.indices]))
    return sizes


def limits(x: Sparse) -> tuple[Array, Array]:
    """The least and the greatest number of each column that is stored in every row.

    They tell whether a column is constant. Sums of squares cannot: compressed rows are not centred, so the difference
    of such sums cancels. It does not cancel in a column with zeros that are not stored.

    Returns
    -------
    low, high : arrays of shape (d,); -inf and inf for the other columns, inf and -inf if there are no rows
    """
    whole = np.bincount(x.indices, minlength=x.width) >= x.shape[0]
    low, high = np.where(whole, np.inf, -np.inf), np.where(whole, -np.inf, np.inf)
    if whole.any():
        entries = whole[x.indices]
        np.minimum.at(low, x.indices[entries], x.values[entries])
        np.maximum.at(high, x.indices[entries], x.values[entries])
    return low, high


def row_sums(entries: Array, indptr: npt.NDArray[np.int64]) -> Array:
    """The sum of each row's entries; 0 for a row without entries."""
    total = np.zeros((len(indptr) - 1, *entries.shape[1:]))
    filled = np.flatnonzero(np.diff(indptr))  # for an empty range, reduceat would return the entry at its start
    if len(filled):
        total[filled] = np.add.reduceat(entries, indptr[filled], axis=0)
    return total


def scipy_matrix(x: Sparse) -> Any:
    """The matrix as a SciPy array that shares its memory; None if SciPy is not installed.

    SciPy is imported inside the function because a worker may lack it.
    """
    try:
        from scipy.sparse import csr_array
    except ImportError:
        return None
    indptr = x.indptr if len(x.values) >= 2**31 else x.indptr.astype(np.int32)
    return csr_array((x.values, x.indices, indptr), shape=x.shape)
