"""The config of the jobs that evaluate predictions, and that read metrics off stored states."""

from dataclasses import dataclass, replace

from logloss_spark.app.sections import Input, Mode, Scoring
from logloss_spark.errors import SpecError
from logloss_spark.evaluate.metrics import Reporting, columns_of_loss
from logloss_spark.evaluate.tables import METRICS, reporting_of
from logloss_spark.spec import LossName, Predictions, Source, one_of


@dataclass(frozen=True, kw_only=True)
class Columns:
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
    auc: Source = "cells"
    calibration: Source = "cells"
    metrics: list[str] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in self.metrics or ():
            one_of("an entry of metrics", name, tuple(columns_of_loss(METRICS, self.loss).values()))


@dataclass(frozen=True, kw_only=True)
class Output:
    """Where the tables go: a folder each, or none (an empty path is none, too)."""

    metrics: str | None = None
    reliability: str | None = None
    by_class: str | None = None
    state: str | None = None
    invalid: str | None = None
    format: str = "parquet"
    mode: Mode = "errorifexists"

    @property
    def paths(self) -> dict[str, str]:
        """The paths that are given, by the name of their table."""
        found = {name: getattr(self, name) for name in ("metrics", "reliability", "by_class", "state", "invalid")}
        return {name: path for name, path in found.items() if path}


@dataclass(frozen=True, kw_only=True)
class EvaluateConfig:
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
        return replace(self.evaluate.predictions(**vars(self.columns)), loss=self.evaluate.loss)

    @property
    def reporting(self) -> Reporting:
        """How metrics are read off the state."""
        evaluate = self.evaluate
        return reporting_of(confidence=evaluate.confidence, ece_bins=evaluate.ece_bins, baseline=evaluate.baseline)
