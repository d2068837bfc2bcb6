"""What evaluations and comparisons share: a state that is computed once, and the metrics of its slices."""

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import Any, Self

import pandas as pd
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import StructType

from logloss_spark.errors import LogLossError
from logloss_spark.io.caching import cache_or_collect, uncache
from logloss_spark.io.local import LocalTable
from logloss_spark.kernels.status import STATUSES
from logloss_spark.report.evaluations import SHOWN_SLICES
from logloss_spark.report.frames import Order, Ranked, first_of_each_set, kept_whole, ranked, readable
from logloss_spark.report.shown import Shown
from logloss_spark.report.text import View, as_text
from logloss_spark.rows.engines import Ran
from logloss_spark.rows.inputs import Rows
from logloss_spark.rows.labels import check_labels
from logloss_spark.rows.weights import exponent_of, in_range, rescaled
from logloss_spark.state import State
from logloss_spark.states.conventions import Conventions, conventions_of
from logloss_spark.states.small import facts_of, held, release
from logloss_spark.states.state import CheckedState, new_source


class HeldState(Shown):
    """The base of what has one state. The first use computes it, so that the rows are read once.

    A small state is on the driver, and a large one is cached in Spark. Metrics are collected once. `close` frees both,
    and so does leaving a `with` block.
    """

    _rows: Rows
    _ran: Ran
    _counts: dict[str, int]
    _cached: DataFrame | None = None

    @abstractmethod
    def _table(self) -> DataFrame | LocalTable:
        """The table of the state, from the rows; lazy, or on the driver already. Sets `_ran`."""

    @property
    @abstractmethod
    def metrics(self) -> DataFrame:
        """The metrics of the state."""

    @abstractmethod
    def _in_order(self, limit: int | None, sort_by: str | None, ascending: bool) -> Ranked:
        """The rows of metrics that a caller asks for, in the order that the caller asks for."""

    @abstractmethod
    def _view(self, limit: int = SHOWN_SLICES, sort_by: str | None = None, ascending: bool = False) -> View:
        """What a person sees of the rows that a caller asks for."""

    def show(self, limit: int = SHOWN_SLICES, *, sort_by: str | None = None, ascending: bool = False) -> None:
        """Print the main metrics of the first slices of each grouping set, and what they say.

        The arguments are those of `to_pandas`.
        """
        print(as_text(self._view(limit, sort_by, ascending)))

    @property
    def _conventions(self) -> Conventions:
        """What the rows are scored under."""
        return conventions_of(self._rows)

    @cached_property
    def _source(self) -> int:
        """The id of this evaluation: a state that is computed again is the same state."""
        return new_source()

    @cached_property
    def state(self) -> State:
        """The sums per slice, on the driver if they are few, else cached. They come from rows, and need no check."""
        sums = held(self._table(), self._conventions)
        try:
            found = first_look(sums)
            if found["unknown_label"] and not found["first_class"]:
                check_labels(self._rows)
            if self._rows.form.weighted and not in_range(found["w"], found["w2"], found["least_w2"]):
                exponent = exponent_of(self._rows)
                if exponent:
                    release(sums)
                    self._rows = rescaled(self._rows, exponent)
                    self.__dict__.pop("_scored", None)
                    sums = held(self._table(), self._conventions)
        except LogLossError:
            release(sums)
            raise
        self._counts = {status: int(found[status]) for status in STATUSES}
        return State.from_checked(CheckedState(sums, self._conventions, frozenset([self._source])))

    @property
    def engine(self) -> Ran:
        """The engine that computed the state, and why it was this one and not a faster one."""
        _ = self.state  # making the state chooses
        return self._ran

    @property
    def counts(self) -> dict[str, int]:
        """How many rows have each status; of a comparison with rows="shared" pairs of a row and a challenger."""
        _ = self.state  # making the state counts its rows
        return self._counts

    @property
    @abstractmethod
    def _found(self) -> LocalTable | None:
        """The metrics, if they are computed on the driver."""

    @contextmanager
    def measured(self) -> Iterator[DataFrame | LocalTable]:
        """The metrics, computed once for all that is read off them within this block."""
        if self._found:
            yield self._found
            return
        self._cached = cache_or_collect(self.metrics)
        try:
            yield self._cached
        finally:
            uncache(self._cached)
            self._cached = None

    @property
    def _measured(self) -> DataFrame:
        """The metrics, from which several things may be read."""
        return self.metrics if self._cached is None else self._cached

    def first_slices(self) -> Ranked:
        """The slices of each grouping set that are shown first."""
        return self._in_order(SHOWN_SLICES, None, False)

    @cached_property
    def _schema(self) -> StructType:
        """The columns of the metrics, cached: building their plan takes a third of a second."""
        return self._found.schema if self._found else self.metrics.schema

    @cached_property
    def _collected(self) -> pd.DataFrame | None:
        """All metrics, or None if they are too many for the driver."""
        return self._found.frame if self._found else kept_whole(self._measured, len(self._conventions.classes))

    def _ranked(self, order: Order, limit: int | None = None, sets: Sequence[str] = ("grouping_id",)) -> Ranked:
        """The metrics in order: all, or the first `limit` of each set, by default of each grouping set."""
        if self._collected is not None:
            return ranked(self._collected, order, limit, sets)
        if limit is not None:
            return first_of_each_set(self._measured, order, limit, sets)
        return ranked(readable(self._measured).toPandas(), order)

    def close(self) -> None:
        """Free the cached state and the collected metrics; the next use computes them again."""
        for name in ("_collected", "_found", "_reliability", "_by_class"):
            self.__dict__.pop(name, None)
        if "state" in self.__dict__:
            self.state.unpersist()
            del self.__dict__["state"]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def first_look(sums: DataFrame | LocalTable) -> dict[str, Any]:
    """Facts that show whether the state is what the caller meant. If Spark has it, they take a small job.

    The rows of each status; of the scored rows those of the first class, `first_class`; and the sums `w` and `w2` of
    all slices, and `least_w2` of one.
    """
    if isinstance(sums, LocalTable):
        return facts_of(sums)
    scored = "part IN ('moments', 'pair') AND n > 0"
    found = sums.agg(
        *[F.expr(f"coalesce(sum(n) FILTER (WHERE part = '{status}'), 0) AS {status}") for status in STATUSES],
        F.expr("coalesce(sum(n) FILTER (WHERE part = 'class' AND place = 0), 0) AS first_class"),
        F.expr(f"sum(w + w_low) FILTER (WHERE {scored}) AS w"),
        F.expr(f"sum(w2) FILTER (WHERE {scored}) AS w2"),
        F.expr(f"min(w2) FILTER (WHERE {scored}) AS least_w2"),
    ).first()
    assert found is not None
    return found.asDict()
