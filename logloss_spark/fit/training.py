"""What a fit is asked for: which columns mean what, the objective, and how to minimise it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from logloss_spark.errors import SpecError
from logloss_spark.spec import Label, between, distinct, one_of

Family = Literal["auto", "binomial", "multinomial"]
Solver = Literal["gd", "lbfgs", "newton"]
OnInvalid = Literal["count", "quarantine", "fail"]
ClassWeight = Literal["balanced"] | Mapping[Any, float]


@dataclass(frozen=True, kw_only=True)
class Training:
    """The roles of a training table's columns, the objective and the solver.

    The objective is Spark's: the weighted mean of the log loss, and `reg_param` times
    (1 - a)/2 |b|^2 + a |b|_1 with a = `elastic_net_param`, over the coefficients of standardised features where
    `standardization` is on. The intercept is free of it.

    Parameters
    ----------
    features : str or tuple of str
        A column of vectors or arrays, or columns of numbers and booleans.
    label, weight, offset, validation : str
        The class; what a row counts for; what is added to the logit; rows to validate on (a boolean).
    classes : tuple, optional
        The labels, (negative, positive) or in the order of the model's rows. By default those that the table holds.
    class_weight : "balanced" or mapping from class to factor, optional
    family : "auto", "binomial" or "multinomial"
    solver : "gd", "lbfgs" or "newton"
    tol : float
        How far above the optimum the objective may end, as a share of the entropy of the labels.
    patience : int
        Iterations without a better loss on the validation rows, after which the fit stops.
    on_invalid, tolerated_share :
        Rows that cannot be fitted on are left out, up to this share of all: by default any, or none where `on_invalid`
        is "fail".

    Raises
    ------
    SpecError
        A value that cannot be meant.
    """

    features: str | tuple[str, ...]
    label: str
    weight: str | None = None
    offset: str | None = None
    validation: str | None = None
    classes: tuple[Label, ...] | None = None
    class_weight: ClassWeight | None = None
    family: Family = "auto"
    reg_param: float = 0.0
    elastic_net_param: float = 0.0
    fit_intercept: bool = True
    standardization: bool = True
    solver: Solver = "gd"
    max_iter: int = 100
    tol: float = 1e-12
    patience: int = 3
    on_invalid: OnInvalid = "count"
    tolerated_share: float | None = None

    def __post_init__(self) -> None:
        one_of("family", self.family, ("auto", "binomial", "multinomial"))
        one_of("solver", self.solver, ("gd", "lbfgs", "newton"))
        one_of("on_invalid", self.on_invalid, ("count", "quarantine", "fail"))
        if not 0.0 <= self.tolerance <= 1.0:
            raise SpecError(f"tolerated_share is a share of the rows, from 0 to 1, and {self.tolerance!r} came")
        at_least("reg_param", self.reg_param, 0.0)
        at_least("max_iter", self.max_iter, 0)
        at_least("patience", self.patience, 1)
        between("tol", self.tol, 0.0, 1.0)
        at_least("elastic_net_param", self.elastic_net_param, 0.0)
        if self.elastic_net_param > 1.0:
            raise SpecError(f"elastic_net_param lies between 0 (L2) and 1 (L1), and {self.elastic_net_param!r} came")
        if isinstance(self.features, tuple):
            if not self.features:
                raise SpecError("features names the columns to fit on, and none came")
            distinct("features", self.features)
        if self.classes is not None:
            distinct("classes", self.classes)
            if len(self.classes) < 2:
                raise SpecError(f"classes names the labels there can be, two or more; it has {list(self.classes)}")
        if isinstance(self.class_weight, str):
            one_of("class_weight", self.class_weight, ("balanced",))
        if self.offset is not None and (self.family == "multinomial" or len(self.classes or ()) > 2):
            raise SpecError("an offset is added to the one logit of two classes, and the family is multinomial")

    @property
    def tolerance(self) -> float:
        """`tolerated_share`, or what `on_invalid` says where it is not given."""
        return self.tolerated_share if self.tolerated_share is not None else 0.0 if self.on_invalid == "fail" else 1.0

    @property
    def feature_columns(self) -> tuple[str, ...]:
        """The columns that hold the features."""
        return (self.features,) if isinstance(self.features, str) else self.features


def at_least(name: str, value: Any, low: float) -> None:
    """Raise SpecError unless `value` is a number of `low` or more."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value < float("inf"):
        raise SpecError(f"{name} must be {low:g} or more, and {value!r} came")


def columns_or_one(features: str | Sequence[str]) -> str | tuple[str, ...]:
    """The features as one column's name or as a tuple of names."""
    return features if isinstance(features, str) else tuple(features)
