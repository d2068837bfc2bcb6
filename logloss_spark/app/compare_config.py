"""The config of the job that compares models."""

from dataclasses import dataclass, field

from logloss_spark.app.config import JobConfig
from logloss_spark.app.sections import Input, Renaming, Scoring, WithState
from logloss_spark.checks import one_of
from logloss_spark.roles import Columns, one_name_or_many
from logloss_spark.rows.models import Models
from logloss_spark.spec import ComparedRows, Predictions


@dataclass(frozen=True, kw_only=True)
class EventColumns(Renaming):
    """Which columns mean what, besides those of [models]; of a long table also which hold forecast, model and keys."""

    label: str | list[str]
    weight: str | None = None
    cluster: str | None = None
    prediction: str | list[str] | None = None
    model: str | None = None
    keys: list[str] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class Compare(Scoring):
    """What to compare with what, and how: the arguments of `logloss_spark.compare`.

    `models` are those of a long table, all by default. A row is invalid where one of the models cannot be scored; with
    rows = "shared" it counts once for each challenger, and is invalid where the challenger or the baseline cannot.
    """

    baseline: str
    models: list[str] | None = None
    rows: ComparedRows = "all"

    def __post_init__(self) -> None:
        super().__post_init__()
        one_of("[compare] on_invalid", self.on_invalid, ("count", "fail"))


@dataclass(frozen=True, kw_only=True)
class ComparisonOutput(WithState):
    """Where the tables go: a folder each, or none (an empty path is none, too)."""

    metrics: str | None = None

    @property
    def paths(self) -> dict[str, str]:
        """The paths that are given, by the name of their table."""
        return {name: path for name, path in (("metrics", self.metrics), ("state", self.state)) if path}


@dataclass(frozen=True, kw_only=True)
class CompareConfig(JobConfig):
    """A job that compares models; `models` are those of a wide table, with the column (or columns) of each."""

    input: Input
    columns: EventColumns
    compare: Compare
    models: dict[str, Columns] = field(default_factory=dict)
    output: ComparisonOutput = ComparisonOutput()

    def __post_init__(self) -> None:
        _ = self.predictions  # it checks what it is made of

    @property
    def contest(self) -> Models:
        """Where the forecasts of the models are."""
        columns, asked = self.columns, self.compare
        return Models(
            baseline=asked.baseline,
            predictions={name: one_name_or_many(column) for name, column in self.models.items()},
            prediction=None if columns.prediction is None else one_name_or_many(columns.prediction),
            model=columns.model,
            keys=tuple(columns.keys),
            models=None if asked.models is None else tuple(asked.models),
            rows=asked.rows,
        )

    @property
    def predictions(self) -> Predictions:
        """The spec of the table, as of its baseline."""
        columns = self.columns
        return self.compare.predictions(
            label=columns.label, prediction=self.contest.of_baseline, weight=columns.weight, cluster=columns.cluster
        )
