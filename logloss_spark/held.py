"""What evaluations and comparisons share: a state that is cached, and metrics that are collected once."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import cached_property
from typing import Any, Self

import pandas as pd
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import StructType

from logloss_spark.errors import LogLossError
from logloss_spark.io.caching import cache_or_collect, uncache
from logloss_spark.kernels.status import STATUSES
from logloss_spark.report.frames import Order, Ranked, first_of_each_set, kept_whole, ranked, readable
from logloss_spark.rows.inputs import Rows
from logloss_spark.rows.labels import check_labels
from logloss_spark.rows.weights import exponent_of, in_range, rescaled
from logloss_spark.state import State
from logloss_spark.states.conventions import Conventions, conventions_of
from logloss_spark.states.state import CheckedState, new_source


class HeldState(ABC):
    """The base of what has one state. The first use computes and caches it, so that the rows are read once.

    Metrics are collected once. `close` frees both, and so does leaving a `with` block.
    """

    _rows: Rows
    _counts: dict[str, int]

    @abstractmethod
    def _table(self) -> DataFrame:
        """The table of the state, from the rows; lazy."""

    @property
    @abstractmethod
    def metrics(self) -> DataFrame:
        """The metrics of the state."""

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
        """The sums per slice, cached. They come from the rows, and need no check."""
        state = cache_or_collect(self._table())
        try:
            found = first_look(state)
            if found["unknown_label"] and not found["first_class"]:
                check_labels(self._rows)
            if self._rows.form.weighted and not in_range(found["w"], found["w2"], found["least_w2"]):
                exponent = exponent_of(self._rows)
                if exponent:
                    state.unpersist()
                    self._rows = rescaled(self._rows, exponent)
                    state = cache_or_collect(self._table())
        except LogLossError:
            uncache(state)
            raise
        self._counts = {status: found[status] for status in STATUSES}
        return State.from_checked(CheckedState(state, self._conventions, frozenset([self._source])))

    @property
    def counts(self) -> dict[str, int]:
        """How many rows have each status; of a comparison with rows="shared" pairs of a row and a challenger."""
        _ = self.state  # making the state counts its rows
        return self._counts

    @cached_property
    def _schema(self) -> StructType:
        """The columns of the metrics, cached: building their plan takes a third of a second."""
        return self.metrics.schema

    @cached_property
    def _collected(self) -> pd.DataFrame | None:
        """All metrics, or None if they are too many for the driver."""
        return kept_whole(self.metrics, len(self._conventions.classes))

    def _ranked(self, order: Order, limit: int | None = None, sets: Sequence[str] = ("grouping_id",)) -> Ranked:
        """The metrics in order: all, or the first `limit` of each set, by default of each grouping set."""
        if self._collected is not None:
            return ranked(self._collected, order, limit, sets)
        if limit is not None:
            return first_of_each_set(self.metrics, order, limit, sets)
        return ranked(readable(self.metrics).toPandas(), order)

    def close(self) -> None:
        """Free the cached state and the collected metrics; the next use computes them again."""
        self.__dict__.pop("_collected", None)
        if "state" in self.__dict__:
            self.state.unpersist()
            del self.__dict__["state"]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def first_look(state: DataFrame) -> dict[str, Any]:
    """Facts that show whether the state is what the caller meant, from one small job, the first that uses the state.

    The rows of each status; of the scored rows those of the first class, `first_class`; and the sums `w` and `w2` of
    all slices, and `least_w2` of one.
    """
    scored = "part IN ('moments', 'pair') AND n > 0"
    found = state.agg(
        *[F.expr(f"coalesce(sum(n) FILTER (WHERE part = '{status}'), 0) AS {status}") for status in STATUSES],
        F.expr("coalesce(sum(n) FILTER (WHERE part = 'class' AND place = 0), 0) AS first_class"),
        F.expr(f"sum(w + w_low) FILTER (WHERE {scored}) AS w"),
        F.expr(f"sum(w2) FILTER (WHERE {scored}) AS w2"),
        F.expr(f"min(w2) FILTER (WHERE {scored}) AS least_w2"),
    ).first()
    assert found is not None
    return found.asDict()
