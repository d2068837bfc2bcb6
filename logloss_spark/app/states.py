"""What the subcommands `metrics`, `merge` and `drift` do: they read states that were stored, and no predictions."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain

from pyspark.sql import DataFrame, SparkSession

from logloss_spark.app.evaluate_config import StatesConfig
from logloss_spark.app.jobs import chosen_metrics, kept, report, written
from logloss_spark.app.run_date import with_run_date
from logloss_spark.app.sections import Mode
from logloss_spark.errors import MissingInputError, SpecError
from logloss_spark.io.places import folders
from logloss_spark.io.source import read_table
from logloss_spark.io.writing import reserved, write_tables
from logloss_spark.roles import slices_of
from logloss_spark.shift import drift
from logloss_spark.state import State, merge
from logloss_spark.wording import PATH, counted, visible


def metrics_of_states(
    spark: SparkSession,
    config: StatesConfig,
    paths: Sequence[str],
    *,
    outputs: Mapping[str, str],
    mode: Mode = "errorifexists",
    allow_missing: int = 0,
    run_date: str | None = None,
) -> str:
    """Merge stored states, and read metrics off their sum.

    Parameters
    ----------
    spark : SparkSession
    config : StatesConfig
    paths : sequence of str
        Where the states are stored.
    outputs : mapping from metrics, reliability and by_class to paths
        A table without a path is not written.
    mode : "errorifexists" or "overwrite"
    allow_missing : int
        Up to this many of the states may be missing.
    run_date : str, as 2026-01-31
        A column of every table that is written.

    Returns
    -------
    str, the report

    Raises
    ------
    MissingInputError
        More states are missing.
    SpecError, DataError
        The states were made under different conventions, or are none. Then nothing has been written.
    """
    found, read = read_states(spark, config, paths, allow_missing)
    targets = {name: config.output.target(path) for name, path in outputs.items()}
    by, asked = config.by, config.evaluate
    confidence, bins = asked.confidence, asked.ece_bins
    with (
        reserved(spark, targets, mode=mode, apart_from=read_from(spark, found)) as reservation,
        held(merge(*map(State, found.values()))) as state,
        kept(state.metrics(by=by, confidence=confidence, ece_bins=bins, baseline=asked.baseline)) as table,
    ):
        title = f"metrics of {', '.join(visible(path, PATH) for path in found)}"
        shown = report(table, title=title, slices=slices_of(by), confidence=confidence, chosen=asked.metrics)
        tables = {
            "reliability": state.reliability(by=by, confidence=confidence, ece_bins=bins),
            "by_class": state.by_class(by=by),
            "metrics": chosen_metrics(table, asked.metrics),
        }
        write_tables(reservation, with_run_date(tables, outputs, run_date))
    return "\n".join([shown, *read, *written(outputs)])


def merge_states(
    spark: SparkSession,
    config: StatesConfig,
    paths: Sequence[str],
    *,
    to: str,
    mode: Mode = "errorifexists",
    allow_missing: int = 0,
) -> str:
    """Merge stored states, of evaluations or of comparisons, and write their sum.

    Parameters, errors as in `metrics_of_states`; `to` is where the sum goes.

    Returns
    -------
    str, what was read and written
    """
    found, read = read_states(spark, config, paths, allow_missing)
    targets = {"state": config.output.target(to)}
    with reserved(spark, targets, mode=mode, apart_from=read_from(spark, found)) as reservation:
        write_tables(reservation, {"state": merge(*map(State, found.values())).table})
    return "\n".join([*read, *written({"state": to})])


def drift_of_states(
    spark: SparkSession,
    config: StatesConfig,
    reference: str,
    current: str,
    *,
    partition: str | None = None,
    to: str | None = None,
    mode: Mode = "errorifexists",
    run_date: str | None = None,
) -> str:
    """Say how far the scores and the labels of a stored state have moved from those of another.

    Parameters, errors as in `metrics_of_states`; `partition` as in `logloss_spark.drift`, and `to` is where its table
    goes, if anywhere.

    Returns
    -------
    str, the report
    """
    pair = {path: read_table(spark, path=path, format=config.output.format) for path in (reference, current)}
    outputs = {"drift": to} if to else {}
    targets = {name: config.output.target(path) for name, path in outputs.items()}
    asked = config.evaluate
    with reserved(spark, targets, mode=mode, apart_from=read_from(spark, pair)) as reservation:
        moved = drift(
            State(pair[reference]), State(pair[current]), by=config.by, partition=partition, confidence=asked.confidence
        )
        report = str(moved)
        write_tables(reservation, with_run_date({"drift": moved.metrics}, outputs, run_date))
    return "\n".join([report, f"compared {current} with {reference}", *written(outputs)])


def read_states(
    spark: SparkSession, config: StatesConfig, paths: Sequence[str], allow_missing: int
) -> tuple[dict[str, DataFrame], list[str]]:
    """Read the states at these paths; return those that are there, and the lines that say what was read."""
    found: dict[str, DataFrame] = {}
    missing: list[MissingInputError] = []
    absent: list[str] = []
    for path in paths:
        if path in found:
            raise SpecError(f"each state is named once, and {path} is named again: its rows would count twice")
        try:
            found[path] = read_table(spark, path=path, format=config.output.format)
        except MissingInputError as error:
            missing.append(error)
            absent.append(path)
    if len(missing) > allow_missing or not found:
        if len(missing) == 1:
            raise missing[0]
        raise MissingInputError(
            f"{counted(len(paths), 'state')} must be there, but for {allow_missing} (--allow-missing), "
            f"and {len(missing)} are not: {', '.join(absent)}"
        )
    lines = [f"read {counted(len(found), 'state')}: {', '.join(found)}"]
    return found, lines + ([f"left out {counted(len(absent), 'missing state')}: {', '.join(absent)}"] if absent else [])


def read_from(spark: SparkSession, states: Mapping[str, DataFrame]) -> set[str]:
    """The addresses of all states that are read."""
    return set(chain.from_iterable(folders(spark, state, path=path) for path, state in states.items()))


@contextmanager
def held(state: State) -> Iterator[State]:
    """A state whose sums are computed once for all that is read off it."""
    persisted = state.persist()
    try:
        yield persisted
    finally:
        persisted.unpersist()
