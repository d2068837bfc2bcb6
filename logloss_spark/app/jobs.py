"""What each subcommand does: read, judge, write, in this order, and a report for a person."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from pyspark.sql import DataFrame, SparkSession

from logloss_spark.app.evaluate_config import EvaluateConfig
from logloss_spark.app.run_date import with_run_date
from logloss_spark.app.sections import Input, Renaming, Tolerance
from logloss_spark.errors import DataError, MissingInputError, SpecError
from logloss_spark.evaluation import Evaluation
from logloss_spark.io.caching import cache_or_collect
from logloss_spark.io.places import folders
from logloss_spark.io.source import read_table
from logloss_spark.io.writing import reserved, write_tables
from logloss_spark.report.evaluations import SHOWN_SLICES, title_of, view_of, worst_first
from logloss_spark.report.frames import first_of_each_set
from logloss_spark.report.text import as_text
from logloss_spark.rows.status import reasons_in
from logloss_spark.statistics.catalogue import METRICS, columns_of, columns_of_loss
from logloss_spark.wording import counted, did_you_mean, listed

Advice = Callable[[Mapping[Any, Any]], str]
"""From what counts rows by status, what lets more of them be scored."""


def evaluate(spark: SparkSession, config: EvaluateConfig, run_date: str | None = None) -> str:
    """Evaluate a table of predictions and write what the config asks for.

    Parameters
    ----------
    spark : SparkSession
    config : EvaluateConfig
    run_date : str, as 2026-01-31
        A column of every table that is written.

    Returns
    -------
    str, the report: main metrics of the first slices, and what was read, left out and written

    Raises
    ------
    SpecError, DataError
        As the config or the input breaks its contract. Then nothing has been written.
    """
    given, output, outputs = config.input, config.output, config.output.paths
    source = read_input(spark, given, config.columns)
    asked = config.evaluate
    evaluation = Evaluation(source, config.predictions, config.reporting, auc=asked.auc, calibration=asked.calibration)
    targets = {name: output.target(path) for name, path in outputs.items()}
    rows, roots = source if output.invalid else None, read_from(spark, source, given)
    with evaluation, reserved(spark, targets, mode=output.mode, apart_from=roots, rows=rows) as reservation:
        counts, sources = evaluation.counts, evaluation.sources
        check_any(sum(counts.values()), given)
        judge(counts, config.evaluate, evaluation.advice)
        with kept(evaluation.metrics) as table:
            shown = report(
                table,
                title=title_of(config.predictions, given.table or given.path),
                slices=config.predictions.slices,
                confidence=asked.confidence,
                chosen=asked.metrics,
                advice=evaluation.advice,
            )
            # Spark takes a second to plan all of them: only those that are written are made.
            made: dict[str, Callable[[], DataFrame]] = {
                # The rows are read again for these alone, and only if the counts say that there are any.
                "invalid": lambda: evaluation.invalid if reasons_in(counts) else evaluation.invalid.limit(0),
                "state": lambda: evaluation.state.table,
                "reliability": lambda: evaluation.reliability,
                "by_class": lambda: evaluation.by_class,
                "metrics": lambda: chosen_metrics(table, asked.metrics),
            }
            tables = {name: make() for name, make in made.items() if name in outputs}
            write_tables(reservation, with_run_date(tables, outputs, run_date))
    read = f"read {counted(sum(counts.values()), 'row')} of {given.table or given.path}, scored {counts['ok']:,}"
    return "\n".join([shown, read, *taken(sources), *written(outputs)])


def read_input(spark: SparkSession, given: Input, columns: Renaming) -> DataFrame:
    """The table that a section of a config names, its columns renamed as [columns] says."""
    table = read_table(
        spark,
        path=given.path,
        table=given.table,
        format=given.format,
        options=given.options,
        schema=given.schema,
        where=given.where,
    )
    return renamed(table, columns.rename) if columns.rename else table


def renamed(table: DataFrame, names: Mapping[str, str]) -> DataFrame:
    """A table under new names of some columns; SpecError where a name is absent, or would stand twice."""
    for name in names:
        if name not in table.columns:
            raise SpecError(
                f"[columns] rename names columns of the table, got {name!r}; {did_you_mean(name, table.columns)}"
            )
    columns = [names.get(name, name) for name in table.columns]
    folded = [name.casefold() for name in columns]  # as Spark compares names
    for new in names.values():
        if folded.count(new.casefold()) > 1:
            raise SpecError(
                f"[columns] rename gives each column a name of its own, and {new!r} would be the name of two: "
                "choose another"
            )
    return table.toDF(*columns)


def read_from(spark: SparkSession, table: DataFrame, given: Input) -> set[str]:
    """The addresses of all that is read for a table that a section of a config names."""
    return folders(spark, table, path=given.path, name=given.table, where=given.where)


@contextmanager
def kept(table: DataFrame) -> Iterator[DataFrame]:
    """A table that is computed once for all that is read off it."""
    computed_once = cache_or_collect(table)
    try:
        yield computed_once
    finally:
        computed_once.unpersist()


def check_any(rows: int, given: Input) -> None:
    """Raise MissingInputError where a section of a config found no rows: their writer is late, or `where` is wrong."""
    if not rows:
        met = f" for which {given.where}" if given.where else ""
        raise MissingInputError(
            f"[{given.section}] must find rows, and {given.table or given.path} has none{met}: "
            "run again when they are there, or check the filter and the run date"
        )


def judge(counts: Mapping[str, int], asked: Tolerance, advice: Advice) -> None:
    """Raise DataError where more rows are invalid than a section of the config tolerates, or all for a known cause.

    `advice` says what the user can do, from the counts of rows by status.
    """
    reasons, total = reasons_in(counts), sum(counts.values())
    invalid = sum(reasons.values())
    way_out = advice(counts) if invalid > asked.tolerance * total or not counts["ok"] else ""
    if not counts["ok"] and way_out:
        raise DataError(f"no row of {total:,} can be scored: {listed(reasons)}; {way_out}")
    if invalid > asked.tolerance * total:
        enough = math.ceil(invalid / total * 1e4) / 1e4
        raise DataError(
            f"tolerated_share of invalid rows is {asked.tolerance:g}, and {invalid:,} of {total:,} are: "
            f"{listed(reasons)}; {way_out or f'mend them, or tolerate {enough:g}'}"
        )


def chosen_metrics(table: DataFrame, chosen: Sequence[str] | None) -> DataFrame:
    """The table of metrics, with those alone that are chosen; all where none are."""
    return table if chosen is None else table.drop(*[name for name in measured(table) if name not in chosen])


def measured(table: DataFrame) -> list[str]:
    """The metrics that a table has, whatever its loss."""
    known = {*columns_of(METRICS), *columns_of_loss(METRICS, "another").values()}
    return [name for name in table.columns if name in known]


def report(
    table: DataFrame,
    *,
    title: str,
    slices: Sequence[str],
    confidence: float,
    chosen: Sequence[str] | None,
    advice: Advice = lambda _: "",
) -> str:
    """The main metrics of the first slices, or those that were chosen, and what a reader should know of them."""
    order = worst_first("log_loss" if "log_loss" in table.columns else "loss")
    first = first_of_each_set(table, order, SHOWN_SLICES)
    way_out = advice(first.frame.iloc[0].to_dict())
    return as_text(view_of(first, title, slices, confidence, chosen, way_out=way_out))


def taken(sources: Mapping[str, str]) -> list[str]:
    """A line on where ranking and CORP come from, or one for each where they differ."""
    words = {"rows": "the rows themselves", "cells": "cells of the score"}
    names = {source: [name for name in sources if sources[name] == source] for source in words}
    return [f"took {' and '.join(names[source])} from {words[source]}" for source in words if names[source]]


def written(outputs: Mapping[str, str]) -> list[str]:
    """A line for each table that was written."""
    return [f"wrote {name} to {path}" for name, path in outputs.items()]
