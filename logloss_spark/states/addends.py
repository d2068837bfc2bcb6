"""What each row adds to the sums of its group, in NumPy: the same sums, by the same names, as `states.catalyst` has."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from logloss_spark.kernels.sums import Array
from logloss_spark.states.schema import low_of

GRID = 1.5 * 2.0 ** (52 - 20)
"""Adding and subtracting this rounds a number to a multiple of 2^-20."""

SPLITTER = 2.0**27 + 1.0
"""Veltkamp's constant: it splits a weight into two halves of 26 bits."""

Terms = Mapping[str, npt.NDArray[Any]]
Halves = tuple[Array, Array]
Addends = Iterator[tuple[str, Array]]


def addends_of_group(terms: Terms, weight: Array | None, *, shift: float, scalar: bool, soft: bool) -> Addends:
    """What the rows of a batch add to their cells: one array after the other, so that few are in memory at a time.

    Parameters
    ----------
    terms : those of `kernels.terms`, of rows that are scored
    weight : array of shape (n,), positive; None where every row weighs 1
    shift : ln K, by which a loss is shifted before it is squared
    scalar, soft : whether a forecast is one number, and labels are shares

    Yields
    ------
    name and array of shape (n,). Without weights the sums of w^2 are those of w, and only one of both is here.
    """
    loss, brier, tail = terms["loss"], terms["brier"], terms["tail"]
    variance = terms["variance"] if scalar else tail * (1.0 - tail)
    halves = None if weight is None else split(weight)
    # Each term is weighted before it is multiplied by another: (w x) w x' stays infinite for infinite x even if w^2
    # underflows.
    if weight is not None:
        yield from one_precise("w", weight)
        yield "w2", weight * weight
    yield from precise(halves, "wl", loss)
    wl = times(weight, loss)
    yield "w2l", times(weight, wl)
    yield "w2ll", wl * wl
    wd = times(weight, loss - shift)
    yield "w2dd", wd * wd
    yield from precise(halves, "wb", brier)
    wb = times(weight, brier)
    yield "w2b", times(weight, wb)
    yield "w2bb", wb * wb
    yield "wh", times(weight, terms["entropy"])
    wt = times(weight, tail)
    if scalar:
        yield from precise(halves, "wt", tail)
        yield "w2t", times(weight, wt)
        yield "w2e", times(weight, times(weight, terms["logit_variance"]))
    else:
        yield "wt", wt
    w2v = times(weight, times(weight, variance))
    yield "w2v", w2v
    if scalar:
        yield "w2s", w2v * (1.0 - 4.0 * variance)
    if soft:
        yield from soft_addends(terms, weight, halves, scalar=scalar)


def soft_addends(terms: Terms, weight: Array | None, halves: Halves | None, *, scalar: bool) -> Addends:
    """What rows with soft labels add beside."""
    y, tail = terms["y"], terms["tail"]
    wy = times(weight, y)
    yield "w2y", times(weight, wy)
    if not scalar:
        yield "wy", wy
        return
    p = np.where(terms["upper"], 1.0 - tail, tail)
    yield from precise(halves, "wy", y)
    yield "w2yy", wy * wy
    yield "w2ly", times(weight, times(weight, terms["loss"])) * y
    yield "w2uy", times(weight, p - y) * wy
    yield "ws", times(weight, (y - p) * (1.0 - 2.0 * p))
    yield "n_0", (y < 1.0).astype(np.float64)
    yield "n_1", (y > 0.0).astype(np.float64)


def times(weight: Array | None, term: Array) -> Array:
    """A term times the weight."""
    return term if weight is None else weight * term


def split(weight: Array) -> Halves:
    """Weights as two parts of 26 bits, whose products with short factors are exact."""
    high = SPLITTER * weight
    rest = high - weight
    high -= rest
    return high, np.subtract(weight, high, out=rest)


def precise(halves: Halves | None, name: str, term: Array) -> Addends:
    """What rows add to a sum of weight times term that loses no digit, in two columns.

    `_high` sums the multiples of 2^-20 next to the products, and `_low` the remainders, which are NaN for an infinite
    term. The weight comes in two halves and the term is split at the grid, so that the product of the leading parts is
    exact.
    """
    if halves is None:
        yield from one_precise(name, term)
        return
    half, rest = halves
    near = on_grid(term)
    product = half * near
    high = on_grid(product)
    yield f"{name}_high", high
    product -= high
    np.subtract(term, near, out=near)
    near *= half
    near += rest * term
    near += product
    yield low_of(name), near


def one_precise(name: str, term: Array) -> Addends:
    """As `precise`, for terms that weigh 1."""
    high = on_grid(term)
    yield f"{name}_high", high
    yield low_of(name), term - high


def on_grid(term: Array) -> Array:
    """The multiple of 2^-20 next to each term."""
    near = term + GRID
    near -= GRID
    return near
