"""The bin of the score grid that a score lies in, as a Spark column.

Spark has no binary search. A first guess comes from arithmetic on numbers that the loss needs anyway, and is then
corrected against the literal edges. So every double gets the bin that NumPy gives it, whatever `ln` a platform has.
"""

from collections.abc import Iterable
from functools import reduce
from operator import add
from typing import Any

import numpy as np
import numpy.typing as npt
from pyspark.sql import Column
from pyspark.sql import functions as F

from logloss_spark.kernels.grid import EDGES, LOGIT_EDGES
from logloss_spark.kernels.sums import Array
from logloss_spark.scoring import Score

LINEAR_FROM = 0.05
"""From here to one half the guess has steps of 1/1000; below, it has 40 steps per decade, down to 1e-9."""

SLACK = 1e-9
"""How far off a guess may be, relatively: far more than rounding, far less than the distance between two edges."""

CORRECTIONS = 3
"""The largest number of edges within one step of the guess (a test checks all steps)."""

_DECADE_STEPS = 40
_FIRST_DECADE = -9
_LINEAR_STEPS = 1000
_LOGARITHMIC = int(np.ceil(_DECADE_STEPS * (np.log10(LINEAR_FROM) - _FIRST_DECADE)))
_STEPS = _LOGARITHMIC + int(_LINEAR_STEPS * (0.5 - LINEAR_FROM)) + 1


def step_starts() -> Array:
    """The smallest tail probability of each step of the guess. The first step begins at 0."""
    logarithmic = 10.0 ** (_FIRST_DECADE + np.arange(_LOGARITHMIC) / _DECADE_STEPS)
    linear = LINEAR_FROM + np.arange(_STEPS - _LOGARITHMIC) / _LINEAR_STEPS
    return np.concatenate([[0.0], logarithmic[1:], linear])


def certain_bins() -> Array:
    """The lowest bin of each step: first for scores below one half, then, mirrored, for the others."""
    starts = step_starts()
    ends = np.append(starts[1:], 0.5)
    below_half = np.searchsorted(EDGES, starts * (1 - SLACK), side="right")
    above_half = np.searchsorted(EDGES, 1 - ends * (1 + SLACK), side="right")
    return np.concatenate([below_half, above_half])


def certain_bin(*, tail: Column, tail_surprisal: Column, upper: Column) -> Column:
    """A lower bound of each score's bin, at most `CORRECTIONS` below it.

    Parameters
    ----------
    tail : min(p, 1 - p)
    tail_surprisal : -ln tail, inf where it is 0
    upper : boolean, whether p is one half or more
    """
    decades = F.greatest(tail_surprisal / -np.log(10.0) - _FIRST_DECADE, F.lit(0.0))
    linear = F.floor((tail - LINEAR_FROM) * _LINEAR_STEPS) + _LOGARITHMIC
    step = F.when(tail >= LINEAR_FROM, linear).otherwise(F.floor(decades * _DECADE_STEPS))
    bounded = F.least(step, F.lit(_STEPS - 1)).cast("int")
    return F.get(literal_array(certain_bins(), "int"), bounded + F.when(upper, _STEPS).otherwise(0))


def corrected_bin(score: Column, kind: Score, certain: Column) -> Column:
    """The bin of each score, from the lower bound `certain`.

    `certain` must be a column by name, not an expression: Spark evaluates it once per correction.

    Returns
    -------
    integer column, equal to `kernels.grid.bin_of_probability` or `bin_of_logit`; unspecified for an invalid score
    """
    edges = literal_array(EDGES if kind == "probability" else LOGIT_EDGES, "double")
    passed = [F.when(score >= F.get(edges, certain + further), 1).otherwise(0) for further in range(CORRECTIONS)]
    return reduce(add, passed, certain)


def literal_array(values: npt.NDArray[Any], type_: str) -> Column:
    """Numbers as a literal array."""
    return literal_texts(map(repr, values.tolist()), type_)


def literal_texts(texts: Iterable[str], type_: str) -> Column:
    """Texts, cast to a type, as a literal array.

    It is a single expression, which Spark folds. A thousand literals would be a thousand calls to the JVM.
    """
    known = list(texts)
    separator = next(sign for sign in map(chr, range(1, 32)) if not any(sign in text for text in known))
    return F.split(F.lit(separator.join(known)), separator).cast(f"array<{type_}>")
