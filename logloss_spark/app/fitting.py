"""What the subcommands `fit` and `score` do, and a report for a person."""

import warnings

from pyspark.sql import SparkSession

from logloss_spark.app.fit_config import FitConfig
from logloss_spark.app.jobs import check_any, read_from, read_input, written
from logloss_spark.app.printing import tell
from logloss_spark.app.run_date import RUN_DATE, with_run_date
from logloss_spark.errors import DataError, InvalidRowsWarning, SpecError
from logloss_spark.fit.fitting import fit_table
from logloss_spark.fit.model import LogisticModel
from logloss_spark.fit.solvers import Step
from logloss_spark.fit.storage import lines_of
from logloss_spark.fit.table import invalid_training_rows, training_table
from logloss_spark.io.places import located
from logloss_spark.io.signals import Interrupted
from logloss_spark.io.writing import Target, reserved, write_tables
from logloss_spark.wording import counted, did_you_mean


def fit(spark: SparkSession, config: FitConfig, run_date: str | None = None) -> str:
    """Fit a model to a table and write it.

    Parameters
    ----------
    spark : SparkSession
    config : FitConfig
    run_date : str, as 2026-01-31
        A column of every table that is written.

    Returns
    -------
    str, the report: the model's summary, what was read, left out and written; each iteration has been printed before

    Raises
    ------
    SpecError, DataError
        As the config or the input breaks its contract. Then nothing has been written.
    """
    given, output, training = config.input, config.output, config.training
    source = read_input(spark, given, config.columns)
    checkpoint = config.fit.checkpoint
    targets = {name: output.target(path) for name, path in output.paths.items()}
    targets["model"] = Target(path=output.model, format="text")
    with reserved(
        spark,
        targets,
        mode=output.mode,
        apart_from=read_from(spark, source, given),
        kept={"checkpoint": checkpoint} if checkpoint else {},
        rows=source if output.invalid else None,
    ) as reservation:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", InvalidRowsWarning)  # the report counts them
            try:
                table = training_table(source, training)
                model = fit_table(table, checkpoint=checkpoint, progress=told)
            except DataError:
                check_any(not source.isEmpty(), given)  # what the fit lacks may be its rows
                raise
            except Interrupted as stop:
                if checkpoint:
                    stop.stands += f"; the iterations so far are in {checkpoint}"
                raise
        invalid = invalid_training_rows(table)
        tables = with_run_date({"invalid": invalid if model.report.invalid else invalid.limit(0)}, targets, run_date)
        write_tables(reservation, tables | {"model": lines_of(model.to_json())})
    report = model.report
    held = f", {report.held:,} held out" if training.validation else ""
    read = f"read {counted(report.read, 'row')} of {given.table or given.path}, fitted on {report.rows:,}{held}"
    return "\n".join([model.summary(), "", read, *written(output.paths)])


def told(step: Step) -> None:
    """Print an iteration as it is done."""
    held = "" if step.validation_loss is None else f"  validation {step.validation_loss:.8f}"
    tell(
        f"iteration {step.iteration:3d}  objective {step.objective:.10f}  gradient {step.gradient_norm:.1e}{held}  "
        f"{step.seconds:.2f} s"
    )


def score(spark: SparkSession, config: FitConfig, run_date: str | None = None) -> str:
    """Add a model's forecasts to a table, and write it.

    Parameters
    ----------
    spark : SparkSession
    config : FitConfig, with a section [score]
    run_date : str, as 2026-01-31
        A column of the table that is written.

    Returns
    -------
    str, what was read and written

    Raises
    ------
    SpecError, DataError
        As the config or the input breaks its contract. Then nothing has been written.
    """
    asked = config.score
    if asked is None:
        raise SpecError(
            "the section [score] is missing: it says what to score, path or table, and where that goes, output"
        )
    source = read_input(spark, asked, config.columns)
    columns = source.columns + ([RUN_DATE] if run_date else [])
    for name in asked.partition_by:
        if name not in columns:
            raise SpecError(f"partition_by names {name!r}, which is not in the table; {did_you_mean(name, columns)}")
    output = config.output
    targets = {"scored": output.target(asked.output, asked.partition_by)}
    roots = read_from(spark, source, asked) | {located(spark, output.model)}
    rows = with_run_date({"scored": source}, targets, run_date)["scored"]
    with reserved(spark, targets, mode=output.mode, apart_from=roots, rows=rows) as reservation:
        model = LogisticModel.load(output.model)
        check_any(not source.isEmpty(), asked)
        scored = model.transform(source, probability=asked.probability, logit=asked.logit, prediction=asked.prediction)
        write_tables(reservation, with_run_date({"scored": scored}, targets, run_date))
    return "\n".join(
        [
            f"scored {asked.table or asked.path} with {config.output.model}: {asked.probability}, {asked.logit}, "
            f"{asked.prediction}",
            f"wrote scored to {asked.output}",
        ]
    )
