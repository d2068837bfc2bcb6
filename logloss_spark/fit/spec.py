"""What a fit is asked for: the roles of columns, the objective, and how to minimise it."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any, Literal, get_args

from logloss_spark.checks import between, column_name, distinct, named, one_of
from logloss_spark.errors import SpecError
from logloss_spark.scoring import Label

Family = Literal["auto", "binomial", "multinomial"]
Solver = Literal["gd", "lbfgs", "newton"]
OnInvalid = Literal["count", "quarantine", "fail"]
FitEngine = Literal["auto", "arrow", "native"]
ClassWeight = Literal["balanced"] | Mapping[Any, float]


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The objective, the solver, and how many rows may be invalid.

    The objective is Spark's: the weighted mean of the log loss, plus `reg_param ((1 - a)/2 |b|^2 + a |b|_1)`, where a
    is `elastic_net_param` and b are the coefficients, with `standardization` those of standardised features. The
    intercept is not penalised. Features are divided by Spark's weighted standard deviation. A constant column is left
    out beside an intercept, and otherwise divided by its absolute value.

    Parameters
    ----------
    family : "auto", "binomial" or "multinomial"
        A multinomial model has a row of coefficients for each class.
    reg_param : float
        The strength of the penalty.
    elastic_net_param : float from 0 to 1
        The share of L1 in the penalty.
    fit_intercept : bool
        Whether the model has an intercept.
    standardization : bool
        Whether the penalty is over the coefficients of standardised features.
    solver : "gd", "lbfgs" or "newton"
        Gradient descent that a sample starts and preconditions; L-BFGS, for many features; or Newton, for few.
    max_iter : int
        The largest number of iterations.
    tol : float
        How far above the optimum the objective may end, as a share of the entropy of the labels.
    patience : int
        Iterations without a smaller loss on the validation rows, after which the fit stops.
    on_invalid : "count", "quarantine" or "fail"
        Whether rows that cannot be fitted on are counted by reason, also written by the job, or end the fit.
    tolerated_share : float from 0 to 1
        The largest share of invalid rows with which the fit goes on. The default is 0 for "fail" and 1 otherwise.
    engine : "auto", "arrow" or "native"
        Whether Python workers read the rows from Parquet files ("arrow") or Spark reads the table ("native"). "auto" is
        "arrow" if the table is nothing but Parquet files that workers can read.

    Raises
    ------
    SpecError
        An argument has an invalid value.
    """

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
    engine: FitEngine = "auto"

    def __post_init__(self) -> None:
        one_of("family", self.family, ("auto", "binomial", "multinomial"))
        within("reg_param", self.reg_param, 0)
        within("elastic_net_param", self.elastic_net_param, 0, 1)
        for switch in ("fit_intercept", "standardization"):
            if not isinstance(getattr(self, switch), bool):
                raise SpecError(f"{switch} must be True or False, got {getattr(self, switch)!r}")
        one_of("solver", self.solver, ("gd", "lbfgs", "newton"))
        one_of("engine", self.engine, get_args(FitEngine))
        one_of("on_invalid", self.on_invalid, ("count", "quarantine", "fail"))
        if self.tolerated_share is not None:
            within("tolerated_share", self.tolerated_share, 0, 1)
        within("max_iter", self.max_iter, 0, whole=True)
        within("patience", self.patience, 1, whole=True)
        between("tol", self.tol, 0.0, 1.0)

    @property
    def tolerance(self) -> float:
        """The share of rows that may be invalid: `tolerated_share`, or by default what `on_invalid` implies."""
        return self.tolerated_share if self.tolerated_share is not None else 0.0 if self.on_invalid == "fail" else 1.0


@dataclass(frozen=True, kw_only=True)
class Training(Settings):
    """A fit as it was asked for: the roles of a training table's columns, the classes, and the settings.

    Parameters
    ----------
    features : str or tuple of str
        A column of vectors or arrays, or columns of numbers and booleans.
    label : str
        The column of the class.
    weight : str, optional
        The column of a row's weight.
    offset : str, optional
        The column of a number that is added to the logit.
    validation : str, optional
        The column that tells whether a row is held out for validation.
    classes : tuple, optional
        The labels, (negative, positive) or in the order of the model's rows. By default they are read from the table.
    class_weight : "balanced" or mapping from class to factor, optional
        Factors that multiply the weights; "balanced" makes all classes weigh the same.

    Raises
    ------
    SpecError
        An argument has an invalid value, or two arguments contradict each other.
    """

    features: str | tuple[str, ...]
    label: str
    weight: str | None = None
    offset: str | None = None
    validation: str | None = None
    classes: tuple[Label, ...] | None = None
    class_weight: ClassWeight | None = None

    def __post_init__(self) -> None:
        self._check_columns()
        super().__post_init__()
        self._check_offset()
        self._check_classes()

    def _check_columns(self) -> None:
        for role in ("label", "weight", "offset", "validation"):
            name = getattr(self, role)
            if name is not None or role == "label":
                column_name(role, name)
        if isinstance(self.features, tuple):
            if not self.features:
                raise SpecError("features must name a column or more, got none")
            distinct("features", self.features)

    def _check_offset(self) -> None:
        if self.offset is not None and (self.family == "multinomial" or len(self.classes or ()) > 2):
            raise SpecError(
                "offset needs a model of two classes, whose one logit it is added to, got family multinomial"
            )

    def _check_classes(self) -> None:
        if self.classes is not None:
            distinct("classes", self.classes)
            if len(self.classes) < 2:
                raise SpecError(f"classes must name two labels or more, got {list(self.classes)}")
        if isinstance(self.class_weight, str):
            one_of("class_weight", self.class_weight, ("balanced",))
        elif isinstance(self.class_weight, Mapping):
            for label, factor in self.class_weight.items():
                within(f"class_weight of {label!r}", factor, 0)
        elif self.class_weight is not None:
            raise SpecError(f"class_weight must be 'balanced' or map classes to factors, got {self.class_weight!r}")

    @property
    def feature_columns(self) -> tuple[str, ...]:
        """The columns that hold the features."""
        return (self.features,) if isinstance(self.features, str) else self.features


def within(name: str, value: Any, low: int, high: float = math.inf, *, whole: bool = False) -> None:
    """Raise SpecError unless `value` is a finite number from `low` to `high`, and if asked a `whole` one."""
    is_number = isinstance(value, Integral if whole else Real) and not isinstance(value, bool)
    if not is_number or not low <= value <= high or value == math.inf:
        what = "a whole number" if whole else "a number"
        limits = f"of {low} or more" if high == math.inf else f"from {low} to {high}"
        raise SpecError(f"{name} must be {what} {limits}, got {value!r}")


def columns_or_one(features: str | Sequence[str]) -> str | tuple[str, ...]:
    """The features as one column's name or as a tuple of names."""
    return features if isinstance(features, str) else named("features", features)


def listed_classes(classes: Sequence[Label] | None) -> tuple[Label, ...] | None:
    """The classes as a tuple, or None if they are not given."""
    if classes is None:
        return None
    if isinstance(classes, str) or not isinstance(classes, Iterable):
        raise SpecError(f"classes must be a list of labels, got {classes!r}")
    return tuple(classes)
