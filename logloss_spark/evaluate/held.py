"""A state that is computed once, whatever is read off it, and let go in the end."""

import secrets
import warnings
from abc import ABC, abstractmethod
from functools import cached_property
from typing import Self

from pyspark.errors import PySparkException
from pyspark.sql import DataFrame

HELD_ROWS = 1_000_000
"""A state up to this many rows is brought to the driver and back where Spark refuses to cache it (some 200 MB)."""

HELD_PARTITIONS = 32
"""A state is small. Cached as it comes from a shuffle, each table read off it would start 200 tasks."""


class HeldState(ABC):
    """What has one state, cached at its first use so that the rows are read once.

    A context manager: leaving it lets the state go, and so does `close`.
    """

    @abstractmethod
    def _made(self) -> DataFrame:
        """The state, from the rows."""

    @cached_property
    def _source(self) -> int:
        """What the state is known by when it is merged: the same number whenever it is made."""
        return secrets.randbits(63)

    @cached_property
    def state(self) -> DataFrame:
        """The sums per slice, cached."""
        return held(self._made())

    def close(self) -> None:
        """Let the cached state go; the next use makes it again."""
        if "state" in self.__dict__:
            self.state.unpersist()
            del self.__dict__["state"]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def held(state: DataFrame) -> DataFrame:
    """A state that is computed once: cached, or where Spark refuses that brought to the driver and back."""
    try:
        return state.coalesce(HELD_PARTITIONS).persist()
    except PySparkException:
        table = state.limit(HELD_ROWS + 1).toArrow()
        if table.num_rows <= HELD_ROWS:
            return state.sparkSession.createDataFrame(table, state.schema)
    warnings.warn(
        f"this Spark refuses to cache, and the state has more than {HELD_ROWS:,} rows: each result reads the table "
        "again; write .state to storage and read metrics off that",
        stacklevel=3,
    )
    return state
