"""The config of the job that evaluates predictions, and of those that read its stored states."""

from dataclasses import dataclass, replace
from typing import ClassVar

from logloss_spark.app.config import JobConfig
from logloss_spark.app.sections import Input, Renaming, Scoring, WithState
from logloss_spark.checks import one_of
from logloss_spark.errors import SpecError
from logloss_spark.roles import grouping_sets
from logloss_spark.scoring import LossName
from logloss_spark.spec import Predictions, Source
from logloss_spark.statistics.catalogue import METRICS, columns_of_loss
from logloss_spark.statistics.reporting import Reporting
from logloss_spark.tables.metrics import reporting_of


@dataclass(frozen=True, kw_only=True)
class Columns(Renaming):
    """Which columns mean what; a list where each class has its own."""

    label: str | list[str]
    prediction: str | list[str]
    weight: str | None = None
    cluster: str | None = None


@dataclass(frozen=True, kw_only=True)
class Evaluate(Scoring):
    """How to score, by which slices, what to report, and what becomes of rows that cannot be scored.

    Most are the arguments of `logloss_spark.evaluate`. `metrics` names the metrics to keep, all by default.
    """

    loss: LossName = "cross_entropy"
    ece_bins: int = 10
    baseline: float | list[float] | None = None
    auc: Source = "auto"
    calibration: Source = "auto"
    metrics: list[str] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in self.metrics or ():
            one_of("an entry of metrics", name, tuple(columns_of_loss(METRICS, self.loss).values()))


@dataclass(frozen=True, kw_only=True)
class Output(WithState):
    """Where the tables go: a folder each, or none (an empty path is none, too)."""

    metrics: str | None = None
    reliability: str | None = None
    by_class: str | None = None
    invalid: str | None = None

    @property
    def paths(self) -> dict[str, str]:
        """The paths that are given, by the name of their table."""
        found = {name: getattr(self, name) for name in ("metrics", "reliability", "by_class", "state", "invalid")}
        return {name: path for name, path in found.items() if path}


@dataclass(frozen=True, kw_only=True)
class EvaluateConfig(JobConfig):
    """A job that evaluates a table of predictions."""

    input: Input
    columns: Columns
    evaluate: Evaluate = Evaluate()
    output: Output = Output()

    def __post_init__(self) -> None:
        if self.evaluate.on_invalid == "quarantine" and not self.output.invalid:
            raise SpecError(
                'on_invalid = "quarantine" writes the invalid rows, and [output] has no path for them: invalid'
            )
        _ = self.predictions, self.reporting  # they check what they are made of

    @property
    def predictions(self) -> Predictions:
        """The spec of the table."""
        return replace(self.evaluate.predictions(**self.columns.roles), loss=self.evaluate.loss)

    @property
    def reporting(self) -> Reporting:
        """How metrics are read off the state."""
        return reporting_from(self.evaluate)


@dataclass(frozen=True, kw_only=True)
class StatesConfig(JobConfig):
    """A job that reads stored states: the config of the evaluation that stored them, or none at all.

    The job uses `[evaluate]` (`by`, `metrics`, `confidence`, `ece_bins`, `baseline`) and the format of `[output]`.
    It ignores every path: states come from the command line, and results go where the command line says.
    """

    DATED: ClassVar[tuple[str, ...]] = ()

    input: Input | None = None
    columns: Columns | None = None
    evaluate: Evaluate = Evaluate()
    output: Output = Output()

    def __post_init__(self) -> None:
        _ = self.by, self.reporting  # they check what they are made of

    @property
    def by(self) -> tuple[tuple[str, ...], ...]:
        """The grouping sets of the metrics."""
        return grouping_sets(self.evaluate.by)

    @property
    def reporting(self) -> Reporting:
        """How metrics are read off the state."""
        return reporting_from(self.evaluate)


def reporting_from(asked: Evaluate) -> Reporting:
    """How the section [evaluate] says that metrics are read off a state."""
    return reporting_of(confidence=asked.confidence, ece_bins=asked.ece_bins, baseline=asked.baseline)
