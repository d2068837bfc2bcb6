"""How a row is scored: the kind of its prediction, the classes, and the loss."""

import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal, get_args

from logloss_spark.checks import between, distinct, one_of
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
"""The names of the losses."""


@dataclass(frozen=True, kw_only=True)
class Scoring:
    """How a row is scored.

    Parameters
    ----------
    kind : "probability", "logit" or "margin"
        What the prediction is. A margin is the logit of a binary forecast as Spark's `rawPrediction` holds it, [-z, z],
        or as a plain number.
    classes : sequence, optional, kept as a tuple
        The labels in the prediction's order. For a number: (negative, positive).
    soft_labels : bool
        Whether the label is a share, or a distribution over the classes.
    eps : float in (0, 0.5)
        Cross-entropy caps the loss of a class at -ln eps. It never caps logits.
    clip : "eps" or "none"
        "none" lets the loss of a class be infinite.
    sum_tolerance : float
        How far the sum of a distribution may be from 1, and an entry outside [0, 1]. Such an entry counts as 0 or 1.
    loss : a name of `LOSSES`, or a function of labels and predictions
        What the loss of a row is.

    Raises
    ------
    SpecError
        An argument has an invalid value.
    """

    kind: Kind = "probability"
    classes: Sequence[Label] | None = None
    soft_labels: bool = False
    eps: float = 1e-15
    clip: Clip = "eps"
    sum_tolerance: float = 1e-5
    loss: Loss = "cross_entropy"

    def __post_init__(self) -> None:
        one_of("kind", self.kind, get_args(Kind))
        one_of("clip", self.clip, get_args(Clip))
        if callable(self.loss):
            own_name(self.loss_name)
        else:
            one_of("loss", self.loss, LOSSES)
        between("eps", self.eps, 0.0, 0.5)
        if not isinstance(self.sum_tolerance, (int, float)) or not 0.0 <= self.sum_tolerance < 1.0:
            raise SpecError(f"sum_tolerance must lie in [0, 1), got {self.sum_tolerance!r}")
        if self.classes is not None:
            object.__setattr__(self, "classes", plain_classes(self.classes))

    @property
    def loss_name(self) -> str:
        """The name of the loss; of a function its own name, or "" if it has none."""
        return getattr(self.loss, "__name__", "") if callable(self.loss) else self.loss

    @property
    def score(self) -> Score:
        """The kind of the score of a row: a margin holds a logit."""
        return "probability" if self.kind == "probability" else "logit"

    @property
    def cap(self) -> float:
        """The largest loss of one class, in nats."""
        return cap_of(self.score, self.clip, self.eps)


def plain_classes(classes: Sequence[Label]) -> tuple[Label, ...]:
    """The classes as Python's own types; raises SpecError unless they are two or more, all different."""
    given = tuple(classes)
    distinct("classes", given)
    if len(given) < 2:
        raise SpecError(f"classes must name two labels or more, got {list(given)}")
    return tuple(map(plain_label, given))


def plain_label(label: Any) -> Label:
    """A class as Python's own type, a boolean or a whole number as an integer."""
    value: Label = label.item() if hasattr(label, "item") else label
    if isinstance(value, Decimal):
        return int(value) if value % 1 == 0 else float(value)
    return int(value) if isinstance(value, (bool, float)) and float(value).is_integer() else value


def allowed(tolerance: float, size: int) -> float:
    """How far off a distribution of `size` entries may be: the tolerance, and the rounding of entries and their sum.

    A sum of .9999 is within 1e-4 of 1, although as doubles 1 - .9999 > 1e-4.
    """
    return tolerance + size * sys.float_info.epsilon


def cap_of(kind: str, clip: str, eps: float) -> float:
    """The largest loss of one class, in nats: -ln eps if probabilities are clipped, else infinite."""
    return -math.log(eps) if kind == "probability" and clip == "eps" else math.inf


def own_name(name: str) -> None:
    """Raise SpecError unless a loss function has a name, and a different one than the losses in `LOSSES`."""
    if not name.isidentifier() or name in LOSSES:
        raise SpecError(
            "a loss function must have a name of its own, by which its states are told from others, "
            f"got {repr(name) if name else 'none'}: define it with `def`, under another name"
        )
