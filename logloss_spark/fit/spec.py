"""What a fit is asked for: which columns mean what, the objective, and how to minimise it."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any, Literal

from logloss_spark.checks import between, distinct, named, one_of
from logloss_spark.errors import SpecError
from logloss_spark.scoring import Label

Family = Literal["auto", "binomial", "multinomial"]
Solver = Literal["gd", "lbfgs", "newton"]
OnInvalid = Literal["count", "quarantine", "fail"]
ClassWeight = Literal["balanced"] | Mapping[Any, float]


@dataclass(frozen=True, kw_only=True)
class Training:
    """The roles of a training table's columns, the objective and the solver.

    The objective is Spark's: the weighted mean of the log loss, and `reg_param` times
    (1 - a)/2 |b|^2 + a |b|_1 with a = `elastic_net_param`, over the coefficients of standardised features where
    `standardization` is on. The intercept is free of it. Features are divided by Spark's weighted deviation, a constant
    column, which is left out beside an intercept only, by its absolute value.

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
        is "fail". "quarantine" is "count" to the fit: it is the job that writes such rows.

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
        for role in ("label", "weight", "offset", "validation"):
            name = getattr(self, role)
            if not isinstance(name, str) and (name is not None or role == "label"):
                raise SpecError(f"{role} is given by the name of a column, and {name!r} came")
        for switch in ("fit_intercept", "standardization"):
            if not isinstance(getattr(self, switch), bool):
                raise SpecError(f"{switch} is True or False, and {getattr(self, switch)!r} came")
        if self.tolerated_share is not None:
            within("tolerated_share", self.tolerated_share, 0, 1)
        within("reg_param", self.reg_param, 0)
        within("elastic_net_param", self.elastic_net_param, 0, 1)
        within("max_iter", self.max_iter, 0, whole=True)
        within("patience", self.patience, 1, whole=True)
        between("tol", self.tol, 0.0, 1.0)
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
        elif isinstance(self.class_weight, Mapping):
            for label, factor in self.class_weight.items():
                within(f"class_weight of {label!r}", factor, 0)
        elif self.class_weight is not None:
            raise SpecError(f"class_weight is 'balanced' or maps classes to factors, and {self.class_weight!r} came")
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


def within(name: str, value: Any, low: int, high: float = math.inf, *, whole: bool = False) -> None:
    """Raise SpecError unless `value` is a finite number from `low` to `high`, and `whole` where that is asked."""
    is_number = isinstance(value, Integral if whole else Real) and not isinstance(value, bool)
    if not is_number or not low <= value <= high or value == math.inf:
        what = "a whole number" if whole else "a number"
        limits = f"of {low} or more" if high == math.inf else f"from {low} to {high}"
        raise SpecError(f"{name} must be {what} {limits}, and {value!r} came")


def columns_or_one(features: str | Sequence[str]) -> str | tuple[str, ...]:
    """The features as one column's name or as a tuple of names."""
    return features if isinstance(features, str) else named("features", features)


def listed_classes(classes: Sequence[Label] | None) -> tuple[Label, ...] | None:
    """The classes as a tuple, where they are given."""
    if classes is None:
        return None
    if isinstance(classes, str) or not isinstance(classes, Iterable):
        raise SpecError(f"classes is a list of the labels there can be, and {classes!r} came")
    return tuple(classes)
