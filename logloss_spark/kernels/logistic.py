"""Loss, gradient and Hessian of logistic regression over a block of rows. NumPy only; every function is total.

Features are never standardised in memory. A block holds x - c for a centre c of its own (0 for sparse rows), and the
fitted coefficients belong to (x - mean) scale. The products use scaled coefficients and a moved intercept instead.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from logloss_spark.kernels.matrix import (
    Matrix,
    chunks,
    dense,
    dense_chunks,
    largest,
    some_rows,
    times,
    transposed_times,
)
from logloss_spark.kernels.sums import Array

PRODUCTS = 2**19
"""How many products of two columns are held at a time: 4 MB. Fewer rows at a time multiply more slowly."""


@dataclass(frozen=True)
class Block:
    """Rows of a training table.

    `y` is the class 0..K-1, `weight` what a row counts for in the objective, `held` in the loss of validation; `key` is
    a hash of the row. `centre` has been taken off the features.
    """

    x: Matrix
    y: Array
    weight: Array
    key: Array
    centre: Array
    offset: Array | None = None
    held: Array | None = None


@dataclass(frozen=True)
class Standardization:
    """The features as the solver sees them: (x - mean) scale. A scale of 0 leaves a column out."""

    mean: Array
    scale: Array


AS_THEY_CAME = Standardization(np.zeros(()), np.ones(()))
"""The features themselves."""


def binary_derivatives(z: Array, y: Array) -> tuple[Array, Array, Array]:
    """Cross-entropy of labels under their logits, with its first and second derivative by the logit.

    With e = exp(-|z|), taken once, p and 1 - p are 1 / (1 + e) and e / (1 + e), so neither derivative cancels.

    Parameters
    ----------
    z : array of shape (n,), any finite float
    y : array of shape (n,), 0 or 1

    Returns
    -------
    loss, residual, curvature : arrays of shape (n,): nats in [0, inf); p - y in [-1, 1]; p (1 - p) in [0, 1/4]
    """
    with np.errstate(under="ignore"):
        odds = np.exp(-np.abs(z))
        share = 1.0 / (1.0 + odds)
        wrong_way = (z >= 0) != (y == 1)
        loss = np.where(wrong_way, np.abs(z), 0.0) + np.log1p(odds)
        miss = np.where(wrong_way, share, odds * share)
        return loss, np.where(y == 1, -miss, miss), odds * share * share


def multinomial_derivatives(z: Array, y: Array) -> tuple[Array, Array, Array]:
    """Cross-entropy of classes under their logits, with its derivative by each logit.

    Parameters
    ----------
    z : array of shape (n, K), any finite float
    y : array of shape (n,), the class 0..K-1

    Returns
    -------
    loss : array of shape (n,), nats in [0, inf)
    residual : array of shape (n, K), p - 1 for the class that happened, p for the others
    p : array of shape (n, K), the softmax; the second derivative by z_j and z_k is p_j (1[j=k] - p_k)
    """
    rows, happened = np.arange(len(z)), y.astype(np.intp)
    with np.errstate(under="ignore"):
        top = z.max(axis=1) if len(z) else np.zeros(0)
        powers = np.exp(z - top[:, None])
        total = powers.sum(axis=1)
        p = powers / total[:, None]
        loss = (top - z[rows, happened]) + np.log(total)
        residual = p.copy()
        residual[rows, happened] -= 1.0
        return loss, residual, p


def logits(block: Block, rows: slice, theta: Array, standard: Standardization) -> Array:
    """Logits of a block's rows under coefficients of standardised features, the intercept last.

    Parameters
    ----------
    theta : array of shape (C, d + 1); C is 1 for two classes

    Returns
    -------
    array of shape (n,) for C = 1, otherwise (n, C)
    """
    raw = theta[:, :-1] * standard.scale
    intercept = theta[:, -1] - raw @ np.broadcast_to(standard.mean - block.centre, raw.shape[1])
    x = some_rows(block.x, rows)
    if len(theta) > 1:
        return times(x, raw.T) + intercept
    z = times(x, raw[0]) + intercept[0]
    return z if block.offset is None else np.asarray(z + block.offset[rows])


def raw_parameters(theta: Array, standard: Standardization) -> Array:
    """Parameters by which the features as they came have the logits that standardised features have by `theta`."""
    raw = theta[:, :-1] * standard.scale
    return np.column_stack([raw, theta[:, -1] - raw @ standard.mean])


def standardised_gradient(gradient: Array, standard: Standardization) -> Array:
    """The gradient by `theta` of a loss whose gradient by `raw_parameters` of theta is known."""
    of_intercept = gradient[:, -1]
    centred = gradient[:, :-1] - np.outer(of_intercept, standard.mean)
    return np.column_stack([centred * standard.scale, of_intercept])


def loss_and_gradient(block: Block, theta: Array, standard: Standardization) -> dict[str, Array]:
    """Sums over a block: `loss`, its `gradient` of theta's shape, and the loss of the rows `held` for validation."""
    return summed(block, theta, standard, chunks(block.x), None)


def loss_gradient_and_hessian(block: Block, theta: Array, standard: Standardization) -> dict[str, Array]:
    """The sums of `loss_and_gradient` and the `hessian`, of shape (C (d + 1), C (d + 1)): for few columns."""
    size, width = theta.shape
    count = max(size * (size - 1) // 2, 1)
    halves = share_products(count, width)
    grams = np.zeros((count, width * (width + 1) // 2) if halves else (count, width, width))
    sums = summed(block, theta, standard, dense_chunks(block.x, max(width - 1, count)), grams)
    matrices = [standardised_gram(total, block, standard) for total in (symmetric(grams, width) if halves else grams)]
    return sums | {"hessian": matrices[0] if size == 1 else multinomial_hessian(matrices, size)}


def summed(
    block: Block, theta: Array, standard: Standardization, parts: Iterable[slice], grams: Array | None
) -> dict[str, Array]:
    """The sums of `loss_and_gradient`; the gram matrices of a Hessian are added to `grams` in place.

    They are of the features about the block's centre: one for two classes, otherwise one for each pair of classes. They
    are whole, or their lower halves in one axis.
    """
    loss, held = 0.0, 0.0
    of_features, of_intercept = np.zeros((len(theta), theta.shape[1] - 1)), np.zeros(len(theta))
    for rows in parts:
        y, w = block.y[rows], block.weight[rows]
        x = some_rows(block.x, rows)
        z = logits(block, rows, theta, standard)
        losses, residual, curved = binary_derivatives(z, y) if len(theta) == 1 else multinomial_derivatives(z, y)
        loss += float(w @ losses)
        if block.held is not None:
            held += float(block.held[rows] @ losses)
        pull = residual * (w if len(theta) == 1 else w[:, None])
        of_features += transposed_times(x, pull).T
        of_intercept += pull.sum(axis=0)
        if grams is not None:
            h = w * (curved[None] if len(theta) == 1 else products_of_pairs(curved.T))
            add_grams(grams, dense(x), h)
    centred = of_features - np.outer(of_intercept, standard.mean - block.centre)
    gradient = np.column_stack([centred * standard.scale, of_intercept])
    return {"loss": np.array([loss]), "gradient": gradient, "held": np.array([held])}


def gram(block: Block, standard: Standardization) -> dict[str, Array]:
    """Sums over a block: the weighted `gram` matrix of the standardised features and the intercept."""
    total = np.zeros((len(standard.mean) + 1, len(standard.mean) + 1))
    for rows in dense_chunks(block.x, len(standard.mean)):
        total += weighted_gram(dense(some_rows(block.x, rows)), block.weight[rows])
    return {"gram": standardised_gram(total, block, standard)}


def weighted_gram(x: Array, h: Array) -> Array:
    """The matrix X' diag(h) X of features and a column of ones after them; h is not negative."""
    total = np.empty((x.shape[1] + 1, x.shape[1] + 1))
    scaled = x * np.sqrt(h)[:, None]
    total[:-1, :-1] = scaled.T @ scaled  # of a matrix and itself NumPy computes but one half
    total[-1, :-1] = total[:-1, -1] = h @ x
    total[-1, -1] = h.sum()
    return total


def add_grams(grams: Array, x: Array, h: Array) -> None:
    """Add X' diag(h_m) X to each of `grams`, for the rows h_m of h. If these hold lower halves, halves are added."""
    if grams.ndim == 3:
        for total, weights in zip(grams, h, strict=True):
            total += weighted_gram(x, weights)
        return
    width = x.shape[1] + 1
    products = np.empty((grams.shape[1], max(PRODUCTS // grams.shape[1], 64)))
    for start in range(0, len(x), products.shape[1]):
        rows = slice(start, start + products.shape[1])
        columns = np.vstack([x[rows].T, np.ones(len(x[rows]))])
        some = products[:, : columns.shape[1]]
        for j in range(width):
            np.multiply(columns[j], columns[: j + 1], out=some[j * (j + 1) // 2 : (j + 1) * (j + 2) // 2])
        grams += h[:, rows] @ some.T


def symmetric(halves: Array, width: int) -> Array:
    """The symmetric matrices with these lower halves."""
    row, column = np.tril_indices(width)
    whole = np.empty((len(halves), width, width))
    whole[:, row, column] = whole[:, column, row] = halves
    return whole


def share_products(count: int, width: int) -> bool:
    """Whether gram matrices of the same columns are computed from products of two columns that they share.

    Each product is then computed once for all matrices, and only for their lower halves. With few matrices or many
    columns, the memory that the products take costs more than they spare.
    """
    return 2 * count > width


def products_of_pairs(p: Array) -> Array:
    """The products p_j p_k of each pair of rows j < k, in the order of `np.triu_indices`."""
    first, second = np.triu_indices(len(p), 1)
    return np.asarray(p[first] * p[second])


def multinomial_hessian(grams: Sequence[Array], size: int) -> Array:
    """The second derivatives of weighted losses of K classes by their coefficients, (K (d + 1), K (d + 1)).

    Each pair of classes has its gram matrix, with the weights w p_j p_k. The term of one class, p (1 - p), is the sum
    of its terms with all others: p - p^2 would lose digits.
    """
    width = len(grams[0])
    total = np.zeros((size, width, size, width))
    for gram_of_pair, j, k in zip(grams, *np.triu_indices(size, 1), strict=True):
        total[j, :, k, :] = total[k, :, j, :] = -gram_of_pair
        total[j, :, j, :] += gram_of_pair
        total[k, :, k, :] += gram_of_pair
    return total.reshape(size * width, size * width)


def standardised_gram(total: Array, block: Block, standard: Standardization) -> Array:
    """A weighted gram matrix of a block's features as one of the standardised features.

    With x - mean = (x - c) - shift each entry loses what the shift adds to it; the shift is small beside the spread of
    the features, as c is the mean of rows of this block.
    """
    turn = np.diag(np.append(standard.scale, 1.0))
    turn[:-1, -1] = -standard.scale * (standard.mean - block.centre)
    return np.asarray(turn @ total @ turn.T)


def lead(block: Block, theta: Array, standard: Standardization) -> dict[str, Array]:
    """By how much the class that happened leads the others in a direction.

    Where no row has a negative lead the classes are separated along it, and where all are positive perfectly so.
    Offsets are no part of a direction.

    Returns
    -------
    `low`, `high` : the smallest and the largest lead of a row over a class
    `reach` : array of shape (d,), by how much each feature moves a logit at most
    """
    low, high, reach = np.inf, -np.inf, np.zeros(theta.shape[1] - 1)
    steepness = np.abs(theta[:, :-1]).max(axis=0) * standard.scale
    for rows in chunks(block.x):
        counted = block.weight[rows] > 0
        if not counted.any():
            continue
        y = block.y[rows]
        z = logits(replace(block, offset=None), rows, theta, standard)
        if len(theta) == 1:
            leads = np.where(y == 1, z, -z)[:, None]
        else:
            at, others = np.arange(len(z)), np.ones_like(z, dtype=bool)
            others[at, y.astype(np.intp)] = False
            leads = (z[at, y.astype(np.intp)][:, None] - z)[others].reshape(len(z), -1)
        low, high = min(low, leads[counted].min()), max(high, leads[counted].max())
        reach = np.maximum(reach, largest(some_rows(block.x, rows), standard.mean - block.centre) * steepness)
    return {"low": np.array([low]), "high": np.array([high]), "reach": reach}


def standardised(block: Block, rows: slice, standard: Standardization) -> Array:
    """The rows as the solver sees them, with a column of ones for the intercept: for few columns."""
    x = (dense(some_rows(block.x, rows)) - (standard.mean - block.centre)) * standard.scale
    return np.column_stack([x, np.ones(len(x))])


def moments(x: Matrix, weight: Array) -> dict[str, Array]:
    """Sums of a batch of features that mean and variance are made of: `w`, `w2`, `wx` and `wxx`."""
    with np.errstate(over="ignore", invalid="ignore"):
        if isinstance(x, np.ndarray):
            squares = np.einsum("i,ij,ij->j", weight, x, x)
        else:
            squares = transposed_times(type(x)(x.indptr, x.indices, x.values * x.values, x.width), weight)
        return {
            "w": np.array([weight.sum()]),
            "w2": np.array([weight @ weight]),
            "wx": transposed_times(x, weight),
            "wxx": squares,
        }
