"""The input of a job that reads stored states, and no predictions."""

from argparse import Namespace
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from pyspark.sql import SparkSession

from logloss_spark.app.sections import OutputWithState
from logloss_spark.app.storing import StoreSection, empty_store, note_on_snapshot
from logloss_spark.errors import MissingInputError, SpecError
from logloss_spark.io.places import folders, located
from logloss_spark.io.source import Source, read_table
from logloss_spark.state import State, merge
from logloss_spark.states.on_disk import state_on_disk
from logloss_spark.wording import counted


@dataclass(frozen=True, kw_only=True)
class ReadStates:
    """States that a command reads.

    Attributes
    ----------
    names : what was read, as a title names it
    sum : the sum of the states; the state itself if there is one, which need not be added up
    counts : how many were read, and how many are missing
    notes : sentences on what was read
    addresses : where they are
    """

    names: tuple[str, ...]
    sum: State
    counts: Mapping[str, int]
    notes: tuple[str, ...]
    addresses: set[str]


def paths_of_states(given: Namespace, output: OutputWithState) -> list[str]:
    """Return where the states are that a command line names, or else the one that the config's [output] has."""
    return given.states or ([output.state] if output.state else [])


def read_states(
    spark: SparkSession, paths: Sequence[str], format: str, allow_missing: int, *, without: Collection[str] = ()
) -> ReadStates:
    """Read the states at these paths; raise MissingInputError if more are missing than are allowed to be.

    The caller does without some parts of them, which small states need not have.
    """
    found: dict[str, State] = {}
    missing: dict[str, MissingInputError] = {}
    for path in paths:
        if path in found:
            raise SpecError(f"each state must be named once, got {path} twice: its rows would count twice")
        try:
            found[path] = read_state(spark, path, format, without)
        except MissingInputError as error:
            missing[path] = error
    if len(missing) > allow_missing or not found:
        if len(missing) == 1:
            raise next(iter(missing.values()))
        raise MissingInputError(
            f"of {counted(len(paths), 'state')} at most {allow_missing} may be missing (--allow-missing), "
            f"got {len(missing)} missing: {', '.join(missing)}"
        )
    left_out = f"left out {counted(len(missing), 'missing state')}: {', '.join(missing)}"
    return ReadStates(
        names=tuple(found),
        sum=merge(*found.values()) if len(found) > 1 else next(iter(found.values())),
        counts={"states": len(found), "missing": len(missing)},
        notes=(f"read {counted(len(found), 'state')}: {', '.join(found)}", *([left_out] if missing else [])),
        addresses=addresses_of_states(spark, found.items()),
    )


def read_store(spark: SparkSession, section: StoreSection, where: str | None) -> ReadStates:
    """Read the states of a store, or those of the slices that meet a condition; MissingInputError if it is empty."""
    store = section.open()
    snapshot = store.live()
    if not snapshot.units:
        raise empty_store(section)
    return ReadStates(
        names=(section.path,),
        sum=store.state_of(snapshot, where),
        counts={"states": len(snapshot.units), "missing": 0},
        notes=(note_on_snapshot(snapshot),),
        addresses={located(spark, section.path)},
    )


def read_state(spark: SparkSession, path: str, format: str, without: Collection[str] = ()) -> State:
    """Read the state at a path: here, and without some of its parts, if it is small and on a disk of this machine."""
    here = state_on_disk(spark, path, without) if format == "parquet" else None
    if here is not None:
        return State.from_checked(here)
    return State(read_table(spark, Source(path=path, format=format)))


def addresses_of_states(spark: SparkSession, states: Iterable[tuple[str, State]]) -> set[str]:
    """Return the addresses of all states that are read, each with its path. States are checked if they were not yet."""
    return set().union(
        *(
            {located(spark, path)} if state.checked.local else folders(spark, state.table, path=path)
            for path, state in states
        )
    )


@contextmanager
def persisted(state: State) -> Iterator[State]:
    """Let Spark compute the sums of a state once for all that is read off it within this block."""
    computed_once = state.persist()
    try:
        yield computed_once
    finally:
        computed_once.unpersist()
