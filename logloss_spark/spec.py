"""Which columns mean what, and under which conventions they are scored."""

import math
import sys
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

from logloss_spark.errors import SpecError, did_you_mean

Kind = Literal["probability", "logit", "margin"]
Score = Literal["probability", "logit"]
Clip = Literal["eps", "none"]
Engine = Literal["pandas", "native"]
Source = Literal["auto", "cells", "exact"]
ComparedRows = Literal["all", "shared"]
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
Columns = str | Sequence[str]

LOSSES: tuple[str, ...] = get_args(LossName)
"""The losses that have a name here."""


@dataclass(frozen=True, kw_only=True)
class Predictions:
    """The roles of a table's columns, and the conventions of the score.

    Parameters
    ----------
    label : str or tuple of str
        The column of what happened; with `soft_labels` of the shares, and then also a column per class.
    prediction : str or tuple of str
        The column of the forecast (number, array or ML vector), or one column per class.
    weight : str, optional
        The column of non-negative weights.
    cluster : str, optional
        The column of what rows hang together by, such as a user.
    by : tuple of tuples of str
        The grouping sets beside the global row.
    kind : "probability", "logit" or "margin"
        A margin is the logit of a binary forecast as Spark's `rawPrediction` holds it, [-z, z], or as a plain number.
    classes : tuple, optional
        The labels, in the prediction's order. For a number: (negative, positive).
    soft_labels : bool
        The label is a share, or a distribution over the classes.
    eps, clip :
        The loss of a class is capped at -ln eps, unless `clip` is "none". Logits are never capped.
    sum_tolerance : float
        How far the sum of a distribution may be from 1, and an entry outside [0, 1]: it then counts as 0 or 1.
    engine : "pandas" or "native"
    loss : a name of `LOSSES`, or a function of labels and predictions
        What the loss of a row is; `eps` and `clip` are those of cross-entropy alone.

    Raises
    ------
    SpecError
        A value that cannot be meant.
    """

    label: str | tuple[str, ...]
    prediction: str | tuple[str, ...]
    weight: str | None = None
    cluster: str | None = None
    by: tuple[tuple[str, ...], ...] = ()
    kind: Kind = "probability"
    classes: tuple[Label, ...] | None = None
    soft_labels: bool = False
    eps: float = 1e-15
    clip: Clip = "eps"
    sum_tolerance: float = 1e-5
    engine: Engine = "pandas"
    loss: Loss = "cross_entropy"

    def __post_init__(self) -> None:
        one_of("kind", self.kind, get_args(Kind))
        one_of("clip", self.clip, ("eps", "none"))
        one_of("engine", self.engine, ("pandas", "native"))
        if callable(self.loss):
            own_name(self.loss_name)
        else:
            one_of("loss", self.loss, LOSSES)
        if self.loss != "cross_entropy" and self.engine == "native":
            raise SpecError(
                f"engine='native' computes cross_entropy alone, and loss {self.loss_name!r} came: leave engine out"
            )
        between("eps", self.eps, 0.0, 0.5)
        if not isinstance(self.sum_tolerance, (int, float)) or not 0.0 <= self.sum_tolerance < 1.0:
            raise SpecError(f"sum_tolerance must lie in [0, 1), not {self.sum_tolerance!r}")
        for role in ("weight", "cluster"):
            column = getattr(self, role)
            if column is not None and not isinstance(column, str):
                raise SpecError(f"{role} is given by the name of a column, and {column!r} came")
        if isinstance(self.prediction, tuple) and len(self.prediction) < 2:
            raise SpecError(
                f"a prediction in columns has one for each class, two or more, and {list(self.prediction)} came; "
                "a column alone is given without a list"
            )
        if self.kind == "margin" and isinstance(self.prediction, tuple) and len(self.prediction) != 2:
            raise SpecError(
                "kind='margin' reads Spark's rawPrediction, [-z, z], from one column or two, or z from a column of "
                f"numbers, got {len(self.prediction)} columns: K logits have kind='logit'"
            )
        if self.classes is not None:
            distinct("classes", self.classes)
            if len(self.classes) < 2:
                raise SpecError(f"classes names the labels there can be, two or more; it has {list(self.classes)}")
        for column in self.by:
            distinct("a grouping set of by", column)

    @property
    def slices(self) -> tuple[str, ...]:
        """The columns of all grouping sets."""
        return slices_of(self.by)

    @property
    def loss_name(self) -> str:
        """The loss in a word: a function's own name, or nothing where it has none."""
        return getattr(self.loss, "__name__", "") if callable(self.loss) else self.loss

    @property
    def score(self) -> Score:
        """What is scored once the columns have been read: of a margin the logit that it holds."""
        return "probability" if self.kind == "probability" else "logit"

    @property
    def cap(self) -> float:
        """The largest loss that one class can bring, in nats."""
        return cap_of(self.score, self.clip, self.eps)


def allowed(tolerance: float, size: int) -> float:
    """How far off a distribution of `size` entries may be: its tolerance, and the rounding of entries and their sum.

    A sum of .9999 is within 1e-4 of 1, and yet as doubles 1 - .9999 > 1e-4.
    """
    return tolerance + size * sys.float_info.epsilon


def cap_of(kind: str, clip: str, eps: float) -> float:
    """The largest loss that one class can bring, in nats: -ln eps, where probabilities are clipped."""
    return -math.log(eps) if kind == "probability" and clip == "eps" else math.inf


MOST_SLICES = 62
"""Spark groups by up to 64 columns in grouping sets, and a state has two of its own, `part` and `place`."""


def grouping_sets(by: Sequence[Sequence[str]]) -> tuple[tuple[str, ...], ...]:
    """The grouping sets of `by`: a list of lists of column names, without repetitions.

    Examples
    --------
    >>> grouping_sets([["dt"], ["dt", "segment"]])
    (('dt',), ('dt', 'segment'))
    """
    if isinstance(by, str) or any(isinstance(columns, str) for columns in by):
        names = [by] if isinstance(by, str) else list(by)
        others = f" for each alone, {[names]} for their combinations" if len(names) > 1 else ""
        raise SpecError(
            f"by is a list of lists of columns, and {by!r} came: write {[[name] for name in names]}{others}"
        )
    sets: dict[frozenset[str], tuple[str, ...]] = {}
    for columns in by:
        together = named("by", columns)
        if together:
            sets.setdefault(frozenset(together), together)
    count = len(slices_of(tuple(sets.values())))
    if count > MOST_SLICES:
        raise SpecError(
            f"by may name up to {MOST_SLICES} columns, as many as Spark can group by, got {count}: evaluate in parts"
        )
    return tuple(sets.values())


def slices_of(by: Sequence[Sequence[str]]) -> tuple[str, ...]:
    """The columns of all grouping sets, in the order in which they are first named."""
    return tuple(dict.fromkeys(name for columns in by for name in columns))


def one_name_or_many(columns: Columns) -> str | tuple[str, ...]:
    """A column name as it is, a list of them as a tuple."""
    return columns if isinstance(columns, str) else named("a role", columns)


def named(what: str, columns: Any) -> tuple[str, ...]:
    """The names of columns as a tuple; raises SpecError for anything but names, such as Spark's `Column`."""
    if isinstance(columns, Sequence) and all(isinstance(name, str) for name in columns):
        return tuple(columns)
    raise SpecError(f"{what} is given by the names of columns, and {columns!r} came")


def one_of(name: str, value: Any, allowed: Sequence[str]) -> None:
    """Raise SpecError unless `value` is one of the words allowed."""
    if value not in allowed:
        raise SpecError(f"{name} cannot be {value!r}; {did_you_mean(str(value), allowed)}")


def own_name(name: str) -> None:
    """Raise SpecError unless a loss function has a name, and one that tells it from the losses that there are."""
    if not name.isidentifier() or name in LOSSES:
        raise SpecError(
            "a loss function has a name of its own, by which states know what they hold, and "
            f"{repr(name) if name else 'one without'} came: define it with `def`, under another name"
        )


def between(name: str, value: float, low: float, high: float) -> None:
    """Raise SpecError unless `value` lies strictly between `low` and `high`."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not low < value < high:
        raise SpecError(f"{name} must lie between {low:g} and {high:g}, and {value!r} came")


def at_least_one(name: str, value: Any) -> None:
    """Raise SpecError unless `value` is a whole number of 1 or more."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise SpecError(f"{name} must be a whole number of 1 or more, got {value!r}")


def distinct(name: str, values: Sequence[Any]) -> None:
    """Raise SpecError where a value comes twice."""
    seen: set[Any] = set()
    for value in values:
        if not isinstance(value, Hashable):
            raise SpecError(f"{name} must hold plain values, got {value!r}")
        if value in seen:
            raise SpecError(f"{name} must not repeat itself, and {value!r} comes twice in {list(values)}")
        seen.add(value)
