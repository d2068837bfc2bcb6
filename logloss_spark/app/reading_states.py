"""The input of a job that reads stored states, and no predictions."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain

from pyspark.sql import DataFrame, SparkSession

from logloss_spark.errors import MissingInputError, SpecError
from logloss_spark.io.places import folders
from logloss_spark.io.source import Source, read_table
from logloss_spark.state import State, merge
from logloss_spark.wording import counted


@dataclass(frozen=True)
class StoredStates:
    """The states that are there, by their paths, and the paths of those that are missing."""

    found: Mapping[str, DataFrame]
    missing: Sequence[str]

    @property
    def sum(self) -> State:
        """Their sum."""
        return merge(*map(State, self.found.values()))

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences on what was read, and what is missing."""
        missing = f"left out {counted(len(self.missing), 'missing state')}: {', '.join(self.missing)}"
        read = f"read {counted(len(self.found), 'state')}: {', '.join(self.found)}"
        return (read, missing) if self.missing else (read,)

    @property
    def counts(self) -> dict[str, int]:
        """How many were read, and how many are missing."""
        return {"states": len(self.found), "missing": len(self.missing)}


def read_states(spark: SparkSession, paths: Sequence[str], format: str, allow_missing: int) -> StoredStates:
    """Read the states at these paths; raise MissingInputError if more are missing than are allowed to be."""
    found: dict[str, DataFrame] = {}
    missing: dict[str, MissingInputError] = {}
    for path in paths:
        if path in found:
            raise SpecError(f"each state must be named once, got {path} twice: its rows would count twice")
        try:
            found[path] = read_state_table(spark, path, format)
        except MissingInputError as error:
            missing[path] = error
    if len(missing) > allow_missing or not found:
        if len(missing) == 1:
            raise next(iter(missing.values()))
        raise MissingInputError(
            f"of {counted(len(paths), 'state')} at most {allow_missing} may be missing (--allow-missing), "
            f"got {len(missing)} missing: {', '.join(missing)}"
        )
    return StoredStates(found, list(missing))


def read_state_table(spark: SparkSession, path: str, format: str) -> DataFrame:
    """Read the state at a path."""
    return read_table(spark, Source(path=path, format=format))


def addresses_of_states(spark: SparkSession, states: Mapping[str, DataFrame]) -> set[str]:
    """Return the addresses of all states that are read, by their paths."""
    return set(chain.from_iterable(folders(spark, state, path=path) for path, state in states.items()))


@contextmanager
def persisted(state: State) -> Iterator[State]:
    """Let Spark compute the sums of a state once for all that is read off it within this block."""
    computed_once = state.persist()
    try:
        yield computed_once
    finally:
        computed_once.unpersist()
