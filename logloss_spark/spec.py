"""Which columns mean what, and under which conventions they are scored."""

from dataclasses import dataclass
from typing import Literal, get_args

from logloss_spark.checks import between, distinct, one_of
from logloss_spark.errors import SpecError
from logloss_spark.roles import slices_of
from logloss_spark.scoring import LOSSES, Clip, Kind, Label, Loss, Score, cap_of, own_name

Engine = Literal["pandas", "native"]


Source = Literal["auto", "cells", "exact"]


ComparedRows = Literal["all", "shared"]


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
