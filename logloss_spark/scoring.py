"""How a row is scored."""

import math
import sys
from collections.abc import Callable
from typing import Any, Literal, get_args

from logloss_spark.errors import SpecError

Kind = Literal["probability", "logit", "margin"]


Score = Literal["probability", "logit"]


Clip = Literal["eps", "none"]


LossName = Literal[
    "cross_entropy",
    "hinge",
    "smooth_hinge",
    "squared",
    "exponential",
    "savage",
    "tangent",
    "focal",
    "label_smoothed",
]


Loss = LossName | Callable[..., Any]


Label = bool | int | float | str


LOSSES: tuple[str, ...] = get_args(LossName)
"""The losses that have a name here."""


def allowed(tolerance: float, size: int) -> float:
    """How far off a distribution of `size` entries may be: its tolerance, and the rounding of entries and their sum.

    A sum of .9999 is within 1e-4 of 1, and yet as doubles 1 - .9999 > 1e-4.
    """
    return tolerance + size * sys.float_info.epsilon


def cap_of(kind: str, clip: str, eps: float) -> float:
    """The largest loss that one class can bring, in nats: -ln eps, where probabilities are clipped."""
    return -math.log(eps) if kind == "probability" and clip == "eps" else math.inf


def own_name(name: str) -> None:
    """Raise SpecError unless a loss function has a name, and one that tells it from the losses that there are."""
    if not name.isidentifier() or name in LOSSES:
        raise SpecError(
            "a loss function has a name of its own, by which states know what they hold, and "
            f"{repr(name) if name else 'one without'} came: define it with `def`, under another name"
        )
