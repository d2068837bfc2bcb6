"""What the subcommand `compare` does, and a report for a person."""

from pyspark.sql import SparkSession

from logloss_spark.app.compare_config import CompareConfig
from logloss_spark.app.jobs import (
    check_any,
    judge,
    kept,
    read_from,
    read_input,
    written,
)
from logloss_spark.app.run_date import with_run_date
from logloss_spark.comparison import Comparison
from logloss_spark.errors import DataError
from logloss_spark.io.writing import reserved, write_tables
from logloss_spark.report.comparisons import shown_of_table, title_of_comparison
from logloss_spark.report.text import as_text
from logloss_spark.wording import counted, listed, shortened


def compare(spark: SparkSession, config: CompareConfig, run_date: str | None = None) -> str:
    """Compare models on the same rows and write what the config asks for.

    Parameters
    ----------
    spark : SparkSession
    config : CompareConfig
    run_date : str, as 2026-01-31
        A column of every table that is written.

    Returns
    -------
    str, the report: where each challenger is better or worse than the baseline, and what was read and written

    Raises
    ------
    SpecError, DataError
        As the config or the input breaks its contract. Then nothing has been written.
    """
    given, output, outputs = config.input, config.output, config.output.paths
    source = read_input(spark, given, config.columns)
    targets = {name: output.target(path) for name, path in outputs.items()}
    with (
        Comparison(source, config.predictions, config.contest, config.compare.confidence) as comparison,
        reserved(spark, targets, mode=output.mode, apart_from=read_from(spark, source, given)) as reservation,
    ):
        counts = comparison.counts
        check_any(sum(counts.values()), given)
        if not counts["ok"] and counts["prediction_length"]:
            raise DataError(wrong_lengths(comparison))
        judge(counts, config.compare, comparison.advice)
        with kept(comparison.metrics) as table:
            conventions = comparison.state.conventions
            title = title_of_comparison(conventions, config.predictions, given.table or given.path)
            shown = shown_of_table(table, title, conventions, config.compare.confidence)
            tables = {"state": comparison.state.table, "metrics": table}
            write_tables(reservation, with_run_date(tables, outputs, run_date))
    total, compared = sum(counts.values()), f"{counts['ok']:,}"
    if conventions.rows == "shared":
        total, compared = (
            total // (len(conventions.models) - 1),
            f"{counted(counts['ok'], 'pair')} of a row and a challenger",
        )
    read = f"read {counted(total, 'row')} of {given.table or given.path}, compared {compared}"
    return "\n".join([as_text(shown), read, *written(outputs)])


def wrong_lengths(comparison: Comparison) -> str:
    """The error of models of which one or more give, for every row, more or fewer entries than there are classes."""
    classes = comparison.state.conventions.classes
    return (
        f"models that are compared give one entry per class, and there are {len(classes)} classes "
        f"({shortened(classes)}) but forecasts have these entries: {listed(comparison.lengths())}, and no row can be "
        "compared: leave out models that forecast others, or name in [compare] the `classes` that all of them forecast"
    )
