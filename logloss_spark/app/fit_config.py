"""The config of the jobs that fit a model, and that score a table with it."""

from dataclasses import dataclass, field
from typing import ClassVar, Literal

from logloss_spark.app.config import JobConfig
from logloss_spark.app.sections import Input, Renaming, Written
from logloss_spark.errors import SpecError
from logloss_spark.fit.spec import Family, OnInvalid, Solver, Training, columns_or_one
from logloss_spark.scoring import Label


@dataclass(frozen=True, kw_only=True)
class TrainingColumns(Renaming):
    """Which columns of a training table mean what."""

    features: str | list[str]
    label: str
    weight: str | None = None
    offset: str | None = None
    validation: str | None = None


@dataclass(frozen=True, kw_only=True)
class Fit:
    """What to fit, and how: the arguments of `logloss_spark.fit_logistic`."""

    classes: list[Label] | None = None
    class_weight: Literal["balanced"] | dict[str, float] | None = None
    family: Family = "auto"
    reg_param: float = 0.0
    elastic_net_param: float = 0.0
    fit_intercept: bool = True
    standardization: bool = True
    solver: Solver = "gd"
    max_iter: int = 100
    tol: float = 1e-12
    patience: int = 3
    checkpoint: str | None = None
    on_invalid: OnInvalid = "count"
    tolerated_share: float | None = None


@dataclass(frozen=True, kw_only=True)
class ModelOutput(Written):
    """Where the model goes, the rows that could not be fitted on, and what to do where something is."""

    model: str
    invalid: str | None = None

    @property
    def paths(self) -> dict[str, str]:
        """The paths that are given, by the name of what is written there."""
        return {"model": self.model} | ({"invalid": self.invalid} if self.invalid else {})


@dataclass(frozen=True, kw_only=True)
class Score(Input):
    """What to score with the model, as in [input]; where the scored table goes, and what its new columns are called."""

    section: ClassVar[str] = "score"

    output: str
    partition_by: list[str] = field(default_factory=list)
    probability: str = "probability"
    logit: str = "logit"
    prediction: str = "prediction"


@dataclass(frozen=True, kw_only=True)
class FitConfig(JobConfig):
    """A job that fits a model to a table, and one that scores another with it."""

    input: Input
    columns: TrainingColumns
    output: ModelOutput
    fit: Fit = Fit()
    score: Score | None = None

    def __post_init__(self) -> None:
        if self.fit.on_invalid == "quarantine" and not self.output.invalid:
            raise SpecError(
                'on_invalid = "quarantine" writes the invalid rows, and [output] has no path for them: invalid'
            )
        _ = self.training  # it checks what it is made of

    @property
    def training(self) -> Training:
        """The fit, as the library takes it."""
        columns, asked = self.columns.roles, vars(self.fit)
        return Training(
            **columns | {"features": columns_or_one(self.columns.features)},
            **{name: value for name, value in asked.items() if name not in ("checkpoint", "classes")},
            classes=None if self.fit.classes is None else tuple(self.fit.classes),
        )
