"""What the subcommands `fit` and `score` do, and a report for a person."""

import sys
import warnings

from pyspark.sql import SparkSession

from logloss_spark.app.fit_config import FitConfig
from logloss_spark.app.jobs import check_any, read_input
from logloss_spark.app.run_date import RUN_DATE, with_run_date
from logloss_spark.errors import DataError, InvalidRows, SpecError, counted, did_you_mean
from logloss_spark.fit.fitting import fitted
from logloss_spark.fit.inputs import invalid_rows, training_table
from logloss_spark.fit.model import LogisticModel
from logloss_spark.fit.solvers import Step
from logloss_spark.io.tables import check_outputs, folders, write_tables


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
    roots = folders(spark, source, path=given.path, name=given.table)
    check_outputs(spark, output.paths, mode=output.mode, apart_from=roots)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", InvalidRows)  # the report counts them
        try:
            model = fitted(source, training, checkpoint=config.fit.checkpoint, progress=told)
        except DataError:
            check_any(not source.isEmpty(), given)  # what the fit lacks may be its rows
            raise
    lines = [model.summary(), ""]
    report = model.report
    held = f", {report.held:,} held out" if training.validation else ""
    lines.append(f"read {counted(report.read, 'row')} of {given.table or given.path}, fitted on {report.rows:,}{held}")
    if output.invalid:
        invalid = invalid_rows(source, training, training_table(source, training))
        kept = invalid if model.report.invalid else invalid.limit(0)
        outputs = {"invalid": output.invalid}
        tables = with_run_date({"invalid": kept}, outputs, run_date)
        write_tables(spark, tables, outputs, format=output.format, mode=output.mode)
        lines.append(f"wrote invalid to {output.invalid}")
    model.save(output.model, overwrite=output.mode == "overwrite")
    return "\n".join([*lines, f"wrote model to {output.model}"])


def told(step: Step) -> None:
    """Print an iteration as it is done."""
    held = "" if step.validation_loss is None else f"  validation {step.validation_loss:.8f}"
    print(
        f"iteration {step.iteration:3d}  objective {step.objective:.10f}  gradient {step.gradient_norm:.1e}{held}  "
        f"{step.seconds:.2f} s",
        file=sys.stderr,
        flush=True,
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
    outputs = {"scored": asked.output}
    roots = folders(spark, source, path=asked.path, name=asked.table)
    check_outputs(spark, outputs, mode=config.output.mode, apart_from=roots)
    model = LogisticModel.load(config.output.model)
    check_any(not source.isEmpty(), asked)
    scored = model.transform(source, probability=asked.probability, logit=asked.logit, prediction=asked.prediction)
    write_tables(
        spark,
        with_run_date({"scored": scored}, outputs, run_date),
        outputs,
        format=config.output.format,
        mode=config.output.mode,
        partition_by=asked.partition_by,
    )
    return "\n".join(
        [
            f"scored {asked.table or asked.path} with {config.output.model}: {asked.probability}, {asked.logit}, "
            f"{asked.prediction}",
            f"wrote scored to {asked.output}",
        ]
    )
