"""The command `metrics`: read stored states, read metrics off their sum, write them where it is told to."""

from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import pandas as pd
from pyspark.sql import DataFrame, SparkSession

from logloss_spark.app.arguments import add_by, add_overwrite, add_states, add_windows, mode_of, sets_of, windows_of
from logloss_spark.app.choosing import check_chosen, chosen_metrics, records_of
from logloss_spark.app.command import Command
from logloss_spark.app.config import JobConfig
from logloss_spark.app.evaluating import EvaluateConfig
from logloss_spark.app.outcome import Outcome
from logloss_spark.app.reading import cached
from logloss_spark.app.reading_states import ReadStates, persisted, read_states, read_store
from logloss_spark.app.run_date import with_run_date
from logloss_spark.app.sections import ReadingWithSearch, SlicesSection, TableFormat, searched
from logloss_spark.app.storing import StoreSection
from logloss_spark.errors import SpecError
from logloss_spark.io.local import LocalTable, as_dataframe
from logloss_spark.io.writing import reserved, write_tables
from logloss_spark.report.evaluations import first_slices, last_windows, view_of, view_of_windows
from logloss_spark.report.frames import Ranked
from logloss_spark.report.text import View
from logloss_spark.roles import grouping_sets, slices_of
from logloss_spark.rows.status import reasons_in
from logloss_spark.scoring import LossName
from logloss_spark.state import State
from logloss_spark.tables.long_form import long_form
from logloss_spark.wording import PATH, visible

Sets = tuple[tuple[str, ...], ...]
"""Grouping sets."""


@dataclass(frozen=True, kw_only=True)
class ReadOff(SlicesSection, ReadingWithSearch):
    """Which metrics to read off a state, and by which slices: arguments of `State.metrics`.

    Parameters
    ----------
    metrics : list of str
        The names of the metrics to keep, by default all.
    loss : str
        The loss of which the state has the sums.
    """

    metrics: list[str] | None = None
    loss: LossName = "cross_entropy"

    def __post_init__(self) -> None:
        SlicesSection.__post_init__(self)
        ReadingWithSearch.__post_init__(self)
        check_chosen(self.metrics, self.loss)


@dataclass(frozen=True, kw_only=True)
class MetricsConfig(JobConfig):
    """The config of `metrics`. It may be that of the evaluation that stored the states: other keys are passed over.

    States come from the command line, or else from the store, and results go where the command line says.
    """

    DATED: ClassVar[tuple[str, ...]] = ()
    OTHER: ClassVar[type[JobConfig] | None] = EvaluateConfig

    evaluate: ReadOff = ReadOff()
    output: TableFormat = field(default_factory=TableFormat)
    store: StoreSection | None = None


def add_arguments(parser: ArgumentParser) -> None:
    """Add the paths that the command reads and writes, and the slices."""
    add_states(parser, instead="those of the config's [store]")
    parser.add_argument("--where", metavar="SQL", help="read only slices that meet this condition on slice columns")
    parser.add_argument("--to", metavar="PATH", help="write the metrics there; by default they are only printed")
    parser.add_argument(
        "--long", action="store_true", help="write them in long form there: one row per slice and metric"
    )
    parser.add_argument("--reliability", metavar="PATH", help="write the table of reliability there")
    parser.add_argument("--by-class", metavar="PATH", help="write the table by class there")
    add_by(parser)
    add_windows(parser)
    add_overwrite(parser)


def run(spark: SparkSession, config: MetricsConfig, given: Namespace) -> Outcome:
    """Merge stored states, and read metrics off their sum, as a whole or by windows. Without paths nothing is written.

    Raises
    ------
    MissingInputError
        More states are missing than `--allow-missing` says.
    SpecError, DataError
        The states were made under different conventions, or are none. Then nothing has been written.
    """
    asked, windows = config.evaluate, windows_of(given)
    paths = {"metrics": given.to, "reliability": given.reliability, "by_class": given.by_class}
    outputs = {name: path for name, path in paths.items() if path}
    states = states_of(spark, config, given)
    by = sets_of(given, without(windows.over, asked.sets) if windows else asked.sets)
    confidence, bins = asked.confidence, asked.ece_bins
    targets = config.output.targets(outputs)
    with (
        reserved(spark, targets, mode=mode_of(given), apart_from=states.addresses) as reservation,
        persisted(states.sum) as state,
        cached(state.windowed(windows, by, asked) if windows else state.measured(by, asked)) as table,
    ):
        title = f"metrics of {', '.join(visible(path, PATH) for path in states.names)}"
        shown = shown_windows if windows else shown_slices
        first, overall, view = shown(state, table, title, by, asked)
        made: dict[str, Callable[[], DataFrame]] = {
            "reliability": lambda: state.reliability(by=by, confidence=confidence, ece_bins=bins),
            "by_class": lambda: state.by_class(by=by),
            "metrics": lambda: as_written(table, state, by, asked.metrics, long=given.long),
        }
        worst = None if windows else searched(state, asked)
        tables = {name: make() for name, make in made.items() if name in outputs}
        write_tables(reservation, with_run_date(tables, outputs, given.run_date))
    invalid = reasons_in(overall.to_dict())
    read = int(overall["rows"])
    return Outcome(
        command="metrics",
        inputs=states.names,
        counts={**states.counts} | {"read": read, "scored": read - sum(invalid.values())},
        invalid=invalid,
        slices=records_of(first, asked.metrics),
        details={} if worst is None else {"worst_slices": worst.to_record()},
        written=outputs,
        view=view,
        worst=None if worst is None else worst.view(),
        notes=states.notes,
    )


def states_of(spark: SparkSession, config: MetricsConfig, given: Namespace) -> ReadStates:
    """Read the states that the command line names, or else those of the store."""
    if config.store is not None and not given.states:
        return read_store(spark, config.store, given.where)
    states = read_states(spark, given.states, config.output.format, given.allow_missing)
    return states if given.where is None else replace(states, sum=states.sum.where(given.where))


def without(name: str, sets: Sets) -> Sets:
    """The grouping sets without a column, which windows go over."""
    return grouping_sets([[column for column in columns if column != name] for columns in sets])


def check(config: MetricsConfig, given: Namespace) -> None:
    """Raise SpecError where there are no states, or an output is asked for that there is not."""
    if config.store is None and not given.states:
        raise SpecError("metrics are read off states, got none: name where they are stored, or a [store] in the config")
    windows_of(given)
    if given.long and not given.to:
        raise SpecError(
            "--long is the form in which metrics are written, got no --to: say where, as in --to PATH --long"
        )
    for name in ("reliability", "by_class"):
        if given.windows and getattr(given, name):
            option = f"--{name.replace('_', '-')}"
            raise SpecError(f"--windows has metrics alone, got {option}: run the command once more without --windows")


def shown_slices(
    state: State, table: DataFrame | LocalTable, title: str, by: Sets, asked: ReadOff
) -> tuple[Ranked, "pd.Series[Any]", View]:
    """The first slices of a table of metrics, its global row, and what a person sees of it."""
    first = first_slices(table)
    view = view_of(first, title, slices_of(by), asked, asked.metrics)
    return first, first.frame.iloc[0], view


def shown_windows(
    state: State, table: DataFrame | LocalTable, title: str, by: Sets, asked: ReadOff
) -> tuple[Ranked, "pd.Series[Any]", View]:
    """The last windows of a table by windows, the global row of its state, and what a person sees of them."""
    first = last_windows(table)
    overall = first_slices(state.measured((), asked)).frame.iloc[0]
    return first, overall, view_of_windows(first, overall, title, slices_of(by), asked, asked.metrics)


def as_written(
    table: DataFrame | LocalTable, state: State, by: Sets, chosen: Sequence[str] | None, *, long: bool
) -> DataFrame:
    """A table of metrics as it is written: the chosen metrics, in long form or not."""
    if long:
        return as_dataframe(long_form(table, slices_of(by), state.conventions.classes, chosen))
    return as_dataframe(chosen_metrics(table, chosen))


COMMAND = Command(
    help="read metrics off stored states, by slices of your choice",
    example="conf/evaluate.toml",
    config=MetricsConfig,
    run=run,
    check=check,
    add_arguments=add_arguments,
)
