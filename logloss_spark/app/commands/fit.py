"""The command `fit`: read a training table, fit a logistic regression to it, write the model."""

import json
import warnings
from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from pyspark.sql import DataFrame, SparkSession

from logloss_spark.app.command import Command
from logloss_spark.app.outcome import Outcome
from logloss_spark.app.printing import tell
from logloss_spark.app.reading import addresses_of, check_any, files_of_input, read_input
from logloss_spark.app.reporting import check_report, described, with_report
from logloss_spark.app.run_date import with_run_date
from logloss_spark.app.sections import Input, Output, Renaming
from logloss_spark.app.sinks.telling import WithDashboards
from logloss_spark.errors import DataError, InvalidRowsWarning, SpecError
from logloss_spark.fit.fitting import fit_table
from logloss_spark.fit.model import LogisticModel
from logloss_spark.fit.report import SHOWN, fit_title, fit_view, reading_of
from logloss_spark.fit.solvers import Step
from logloss_spark.fit.spec import Settings, Training, columns_or_one
from logloss_spark.fit.table import invalid_training_rows, training_table
from logloss_spark.io.signals import Interrupted
from logloss_spark.io.texts import lines_of
from logloss_spark.io.units import fingerprint_of
from logloss_spark.io.writing import Target, reserved, write_tables
from logloss_spark.scoring import Label
from logloss_spark.wording import counted


@dataclass(frozen=True, kw_only=True)
class TrainingColumns(Renaming):
    """Which columns of a training table mean what.

    Parameters
    ----------
    features : str, or list of str
        A column of vectors or arrays, or columns of numbers and booleans.
    label : str
        The class of a row: numbers, booleans or strings.
    weight : str
        The weight of a row; 1 by default.
    offset : str
        A number that is added to the logit of two classes.
    validation : str
        A boolean, true for rows that are held out for validation.
    """

    features: str | list[str]
    label: str
    weight: str | None = None
    offset: str | None = None
    validation: str | None = None


@dataclass(frozen=True, kw_only=True)
class Fit(Settings):
    """What to fit, and how: the arguments of `logloss_spark.fit_logistic`.

    Parameters
    ----------
    classes : list
        The labels, (negative, positive) or in the order of the model's rows. By default they are read from the table.
    class_weight : "balanced" or table from class to factor
        Factors that multiply the weights; "balanced" makes all classes weigh the same.
    checkpoint : str
        A folder that keeps each iteration, from which a fit that was killed resumes.
    """

    classes: list[Label] | None = None
    class_weight: Literal["balanced"] | dict[str, float] | None = None
    checkpoint: str | None = None


@dataclass(frozen=True, kw_only=True)
class ModelOutput(Output):
    """Where the model, its report, and the rows that could not be fitted on are written.

    Parameters
    ----------
    model : str
        The path of the model.
    invalid : str
        The path of the rows that could not be fitted on, with the reason.
    report : str
        The file of the report on the fit, one page of HTML, which replaces an older one.
    """

    model: str
    invalid: str | None = None
    report: str | None = None

    @property
    def paths(self) -> dict[str, str]:
        """The paths that are given, by the name of what is written there."""
        return {"model": self.model} | ({"invalid": self.invalid} if self.invalid else {})


@dataclass(frozen=True, kw_only=True)
class FitConfig(WithDashboards):
    """The config of `fit`. The command `score` uses the same file, for its section [score]."""

    DATED: ClassVar[tuple[str, ...]] = ("input", "output", "mlflow")
    PASSED_OVER: ClassVar[tuple[str, ...]] = ("score",)

    input: Input
    columns: TrainingColumns
    output: ModelOutput
    fit: Fit = Fit()

    def __post_init__(self) -> None:
        if self.fit.on_invalid == "quarantine" and not self.output.invalid:
            raise SpecError(
                'on_invalid = "quarantine" needs a path for the invalid rows, got none: set `invalid` in [output]'
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


def check(config: FitConfig, _: Namespace) -> None:
    """Raise SpecError without a library that a report needs."""
    check_report(config.output.report)


def run(spark: SparkSession, config: FitConfig, given: Namespace) -> Outcome:
    """Fit a model to a table and write it. Each iteration is printed on stderr, unless the outcome is to be JSON.

    Raises
    ------
    SpecError, DataError
        As the config or the input breaks its contract. Then nothing has been written.
    """
    output, training, checkpoint = config.output, config.training, config.fit.checkpoint
    source = read_input(spark, config.input, config.columns)
    targets = output.targets(output.paths) | {"model": Target(path=output.model, format="text")}
    with reserved(
        spark,
        targets,
        mode=output.mode,
        apart_from=addresses_of(spark, source, config.input),
        kept={"checkpoint": checkpoint} if checkpoint else {},
        rows=source if output.invalid else None,
    ) as reservation:
        with explained(source, config):
            files = files_of_input(spark, source, config.input, config.columns, engine=training.engine)
            table = training_table(source, training, files)
            model = fit_table(table, checkpoint=checkpoint, progress=None if given.json else print_step)
        invalid = invalid_training_rows(table)
        tables = {"invalid": invalid if model.report.invalid else invalid.limit(0)}
        tables = with_run_date(tables, targets, given.run_date)
        write_tables(reservation, tables | {"model": lines_of(model.to_json())})
    report = model.report
    held = f", {report.held:,} held out" if training.validation else ""
    outcome = Outcome(
        command="fit",
        inputs=(config.input.name,),
        counts={"read": report.read, "fitted": report.rows, "held_out": report.held},
        invalid=report.invalid,
        details=details_of(model),
        source=fingerprint_of(files),
        written=output.paths,
        view=fit_view(fit_title(report, len(model.feature_names), len(model.classes)), report, model.table),
        text=f"{model.summary()}\n",
        notes=(
            f"read {counted(report.read, 'row')} of {config.input.name}, fitted on {report.rows:,}{held}",
            reading_of(report),
        ),
    )
    return with_report(outcome, output.report, lambda: described(model.report_page(), given, None, config.input.name))


@contextmanager
def explained(source: DataFrame, config: FitConfig) -> Iterator[None]:
    """Add to an error or a signal that ends a fit what the job knows: there are no rows, there is a checkpoint."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", InvalidRowsWarning)  # the outcome counts them
        try:
            yield
        except DataError:
            check_any(not source.isEmpty(), config.input)  # what the fit lacks may be its rows
            raise
        except Interrupted as stop:
            if config.fit.checkpoint:
                stop.stands += f"; the iterations so far are in {config.fit.checkpoint}"
            raise


def print_step(step: Step) -> None:
    """Print an iteration."""
    held = "" if step.validation_loss is None else f"  validation {step.validation_loss:.8f}"
    tell(
        f"iteration {step.iteration:3d}  objective {step.objective:.10f}  gradient {step.gradient_norm:.1e}{held}  "
        f"{step.seconds:.2f} s"
    )


def details_of(model: LogisticModel) -> dict[str, Any]:
    """Return what a fit did, as the stored model has it, and the first coefficients with their errors."""
    coefficients = model.table.head(SHOWN).to_dict("records")
    return {"report": json.loads(model.to_json())["report"], "coefficients": coefficients}


COMMAND = Command(
    help="fit a logistic regression to a table", example="conf/fit.toml", config=FitConfig, run=run, check=check
)
