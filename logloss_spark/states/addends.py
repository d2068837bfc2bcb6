"""What each row adds to the sums of its group, in NumPy: the same sums, by the same names, as `states.catalyst` has."""

from collections.abc import Mapping
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


def addends_of_group(terms: Terms, weight: Array | None, *, shift: float, scalar: bool, soft: bool) -> dict[str, Array]:
    """What the rows of a batch add to their cells.

    Parameters
    ----------
    terms : those of `kernels.terms`, of rows that are scored
    weight : array of shape (n,), positive; None where every row weighs 1
    shift : ln K, by which a loss is shifted before it is squared
    scalar, soft : whether a forecast is one number, and labels are shares

    Returns
    -------
    dict of arrays of shape (n,). Without weights the sums of w^2 are those of w, and only one of both is here.
    """
    with np.errstate(invalid="ignore", over="ignore"):  # of infinite losses
        return all_addends(terms, weight, shift, scalar=scalar, soft=soft)


def all_addends(terms: Terms, weight: Array | None, shift: float, *, scalar: bool, soft: bool) -> dict[str, Array]:
    """As `addends_of_group`, but infinite losses warn."""
    loss, brier, tail = terms["loss"], terms["brier"], terms["tail"]
    variance = terms["variance"] if scalar else tail * (1.0 - tail)
    halves = None if weight is None else split(weight)
    # Each term is weighted before it is multiplied by another: (w x) w x' stays infinite for infinite x even if w^2
    # underflows.
    wl, wd, wb, wt, wv = (times(weight, term) for term in (loss, loss - shift, brier, tail, variance))
    sums = precise(halves, {"wl": loss, "wb": brier} | ({"wt": tail} if scalar else {}))
    sums |= {} if weight is None else one_precise("w", weight) | {"w2": weight * weight}
    sums |= {} if scalar else {"wt": wt}
    sums |= {
        "w2l": times(weight, wl),
        "w2ll": wl * wl,
        "w2dd": wd * wd,
        "w2b": times(weight, wb),
        "w2bb": wb * wb,
        "wh": times(weight, terms["entropy"]),
        "w2v": times(weight, wv),
    }
    if scalar:
        sums |= {
            "w2t": times(weight, wt),
            "w2s": sums["w2v"] * (1.0 - 4.0 * variance),
            "w2e": times(weight, times(weight, terms["logit_variance"])),
        }
    return sums | (soft_addends(terms, weight, halves, scalar=scalar) if soft else {})


def soft_addends(terms: Terms, weight: Array | None, halves: Halves | None, *, scalar: bool) -> dict[str, Array]:
    """What rows with soft labels add beside."""
    y, tail = terms["y"], terms["tail"]
    wy = times(weight, y)
    if not scalar:
        return {"w2y": times(weight, wy), "wy": wy}
    p = np.where(terms["upper"], 1.0 - tail, tail)
    return precise(halves, {"wy": y}) | {
        "w2y": times(weight, wy),
        "w2yy": wy * wy,
        "w2ly": times(weight, times(weight, terms["loss"])) * y,
        "w2uy": times(weight, p - y) * wy,
        "ws": times(weight, (y - p) * (1.0 - 2.0 * p)),
        "n_0": (y < 1.0).astype(np.float64),
        "n_1": (y > 0.0).astype(np.float64),
    }


def times(weight: Array | None, term: Array) -> Array:
    """A term times the weight."""
    return term if weight is None else weight * term


def split(weight: Array) -> Halves:
    """Weights as two parts of 26 bits, whose products with short factors are exact."""
    high = SPLITTER * weight
    high -= high - weight
    return high, weight - high


def precise(halves: Halves | None, terms: Mapping[str, Array]) -> dict[str, Array]:
    """What rows add to sums of weight times term that lose no digit, each in two columns.

    `_high` sums the multiples of 2^-20 next to the products, and `_low` the remainders, which are NaN for an infinite
    term. The weight comes in two halves and the term is split at the grid, so that the product of the leading parts is
    exact.
    """
    sums: dict[str, Array] = {}
    for name, term in terms.items():
        if halves is None:
            sums |= one_precise(name, term)
            continue
        half, rest = halves
        near = on_grid(term)
        product = half * near
        high = on_grid(product)
        low = product
        low -= high
        np.subtract(term, near, out=near)
        near *= half
        near += rest * term
        low += near
        sums |= {f"{name}_high": high, low_of(name): low}
    return sums


def one_precise(name: str, term: Array) -> dict[str, Array]:
    """As `precise`, for terms that weigh 1."""
    high = on_grid(term)
    return {f"{name}_high": high, low_of(name): term - high}


def on_grid(term: Array) -> Array:
    """The multiple of 2^-20 next to each term."""
    near = term + GRID
    near -= GRID
    return near
