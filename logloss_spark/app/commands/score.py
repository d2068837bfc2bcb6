"""The command `score`: read a table, add the forecasts of a stored model, write it."""

from argparse import Namespace
from dataclasses import dataclass, field
from typing import ClassVar

from pyspark.sql import SparkSession

from logloss_spark.app.command import Command
from logloss_spark.app.commands.fit import FitConfig
from logloss_spark.app.config import JobConfig
from logloss_spark.app.outcome import Outcome
from logloss_spark.app.reading import addresses_of, check_any, read_input
from logloss_spark.app.run_date import RUN_DATE, with_run_date
from logloss_spark.app.sections import Input, Output, Renaming
from logloss_spark.errors import SpecError
from logloss_spark.fit.model import LogisticModel
from logloss_spark.io.places import located
from logloss_spark.io.writing import reserved, write_tables
from logloss_spark.wording import did_you_mean


@dataclass(frozen=True, kw_only=True)
class ScoreInput(Input):
    """What to score, as in [input]; where the scored table is written, and the names of its new columns.

    Parameters
    ----------
    output : str
        The path of the scored table.
    model : str
        The path of a stored model, by default that of [output], where `fit` writes it.
    partition_by : list of str
        The columns by which the scored table is partitioned.
    probability : str
        The name of the new column of probabilities.
    logit : str
        The name of the new column of logits.
    prediction : str
        The name of the new column of the most probable class.
    """

    section: ClassVar[str] = "score"

    output: str
    model: str | None = None
    partition_by: list[str] = field(default_factory=list)
    probability: str = "probability"
    logit: str = "logit"
    prediction: str = "prediction"

    @property
    def added(self) -> dict[str, str]:
        """The names of the new columns."""
        return {"probability": self.probability, "logit": self.logit, "prediction": self.prediction}


@dataclass(frozen=True, kw_only=True)
class ScoredOutput(Output):
    """How the scored table is written, and where `fit` wrote the model.

    Parameters
    ----------
    model : str
        The path of the model, unless [score] has one.
    """

    model: str | None = None


@dataclass(frozen=True, kw_only=True)
class ScoreConfig(JobConfig):
    """The config of `score`. It may be that of `fit`, whose other sections and keys are passed over."""

    DATED: ClassVar[tuple[str, ...]] = ("score", "output")
    OTHER: ClassVar[type[JobConfig] | None] = FitConfig
    REFUSES: ClassVar[bool] = False  # the same overrides may be given to both

    score: ScoreInput
    columns: Renaming = field(default_factory=Renaming)
    output: ScoredOutput = ScoredOutput()

    def __post_init__(self) -> None:
        _ = self.model  # it must be given

    @property
    def model(self) -> str:
        """Where the model is stored."""
        path = self.score.model or self.output.model
        if not path:
            raise SpecError("[score] model is missing: it says where a model is stored, as [output] model does for fit")
        return path


def run(spark: SparkSession, config: ScoreConfig, given: Namespace) -> Outcome:
    """Add a model's forecasts to a table, and write it.

    Raises
    ------
    SpecError, DataError
        As the config or the input breaks its contract. Then nothing has been written.
    """
    asked, output = config.score, config.output
    source = read_input(spark, asked, config.columns)
    columns = source.columns + ([RUN_DATE] if given.run_date else [])
    for name in asked.partition_by:
        if name not in columns:
            raise SpecError(f"partition_by must name columns of the table, got {name!r}; {did_you_mean(name, columns)}")
    targets = {"scored": output.target(asked.output, asked.partition_by)}
    addresses = addresses_of(spark, source, asked) | {located(spark, config.model)}
    rows = with_run_date({"scored": source}, targets, given.run_date)["scored"]
    with reserved(spark, targets, mode=output.mode, apart_from=addresses, rows=rows) as reservation:
        model = LogisticModel.load(config.model)
        check_any(not source.isEmpty(), asked)
        scored = model.transform(source, **asked.added)
        write_tables(reservation, with_run_date({"scored": scored}, targets, given.run_date))
    return Outcome(
        command="score",
        inputs=(asked.name, config.model),
        details={"columns": list(asked.added.values())},
        written={"scored": asked.output},
        notes=(f"scored {asked.name} with {config.model}: {', '.join(asked.added.values())}",),
    )


COMMAND = Command(
    help="add a model's probabilities and logits to a table", example="conf/fit.toml", config=ScoreConfig, run=run
)
