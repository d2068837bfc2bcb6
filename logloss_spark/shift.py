"""Drift: whether the population has moved between two states.

`statistics.drift` has the definitions. No row is read again.
"""

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import pandas as pd
from pyspark.sql import DataFrame

from logloss_spark.checks import between, column_name
from logloss_spark.errors import SpecError
from logloss_spark.io.local import LocalTable, as_dataframe
from logloss_spark.report.accessors import DriftPlots
from logloss_spark.report.collecting import versions
from logloss_spark.report.drifts import (
    headline_of_drift,
    numbers_of_drift,
    remarks_on_drift,
    title_of_drift,
    view_of_drift,
)
from logloss_spark.report.evaluations import SHOWN_SLICES
from logloss_spark.report.page import Page
from logloss_spark.report.reported import Reported
from logloss_spark.report.shown import Shown
from logloss_spark.report.text import View, as_text
from logloss_spark.roles import By, grouping_sets, slices_of
from logloss_spark.state import State, check_states
from logloss_spark.states.slices import check_names, check_slices
from logloss_spark.states.state import CheckedState
from logloss_spark.statistics.catalogue import DRIFT, SLICE, by_column
from logloss_spark.statistics.reference import explains
from logloss_spark.tables.cells import cells_table
from logloss_spark.tables.drift import SIDES, check_comparable, check_types, drift_table


class Drift(Shown, Reported):
    """The drift of a current state from a reference. `drift` makes it.

    Attributes
    ----------
    metrics : DataFrame
        One row per slice that either state has: see `drift`. It is lazy.
    slices, classes : tuple
        The slice columns, and the classes of the label.

    What `to_pandas`, `show` and the notebook's table have collected once is kept.
    """

    def __init__(self, found: DataFrame | LocalTable, slices: Sequence[str], both: Sequence[CheckedState]) -> None:
        self._found, self._both = found, both
        self.slices, self.classes = tuple(slices), both[0].conventions.classes

    @cached_property
    def metrics(self) -> DataFrame:
        """One row per slice that either state has."""
        return as_dataframe(self._found)

    @property
    def plot(self) -> DriftPlots:
        """The plot of this drift, `plot.scores()`. It needs the extra `report`."""
        return DriftPlots(cells=self._cells)

    def _cells(self) -> pd.DataFrame:
        sides = zip(SIDES, self._both, strict=True)
        return pd.concat([cells_table(state).assign(side=side) for side, state in sides], ignore_index=True)

    @cached_property
    def _collected(self) -> pd.DataFrame:
        frame = self._found.frame if isinstance(self._found, LocalTable) else self._found.toPandas()
        return frame.sort_values(["grouping_id", "slice"], ascending=[False, True], ignore_index=True)

    def to_pandas(self, limit: int | None = None) -> pd.DataFrame:
        """The metrics as pandas, the global row first; all of them, or the first `limit`."""
        return self._collected.head(len(self._collected) if limit is None else limit).copy()

    def show(self, limit: int = SHOWN_SLICES) -> None:
        """Print the main metrics of the first slices, and what all of them say."""
        print(as_text(self._view(limit)))

    def __str__(self) -> str:
        """What `show` prints."""
        return as_text(self._view())

    def _view(self, limit: int = SHOWN_SLICES) -> View:
        return view_of_drift(self._collected, limit, self.slices, self.classes)

    def remarks(self) -> list[str]:
        """What moved, in a line for scores and labels of each grouping set; the slices that moved most are named."""
        return remarks_on_drift(self._collected, self.slices, self.classes)

    def in_report(self) -> dict[str, Any]:
        """Return what a report shows of this drift: fields of its page."""
        return {"drift": self._view(), "drift_cells": self._cells()}

    def report_page(self) -> Page:
        """Return what a report on this drift shows."""
        frame = self._collected
        first, found = headline_of_drift(frame), numbers_of_drift(frame)
        return Page(title=self._title, headline=first, numbers=found, facts=versions(), **self.in_report())

    @property
    def _title(self) -> str:
        return title_of_drift(self.slices)


@explains(*SLICE, *DRIFT)
def drift(
    reference_state: State,
    current_state: State,
    *,
    by: By = (),
    partition: str | None = None,
    confidence: float = 0.95,
) -> Drift:
    """Compare the scores and the labels of a state with those of a reference. No row is read again.

    Parameters
    ----------
    reference_state, current_state : State
        States of the same kind of prediction and the same classes. They may have more slice columns than `by` names.
        For K classes the score is the probability of the top class.
    by : str, list of one str, or list of lists of str
        Grouping sets of slice columns that both states have, beside the global row.
    partition : str, optional
        A slice column of the current state, such as the day. Each of its values is compared with the one reference, as
        a whole and by the grouping sets.
    confidence : float
        A verdict is given if an adjusted p-value is at most 1 - confidence.

    Returns
    -------
    Drift, which shows itself. States are checked at once if they were not yet; everything else is lazy. Its
    `metrics` have one row per slice that either state has: the slice columns (the partition first) and the columns
    described below. What needs both sides is null where either has no rows.

    Rows are taken as independent, and those of both states as different ones. With clusters in both states errors come
    from their buckets, and clusters may be in both: what a user does on both days cancels.

    Raises
    ------
    SpecError
        The states cannot be compared, or one of them lacks a slice column.

    Examples
    --------
    >>> import logloss_spark as ls
    >>> days = {"mon": 0, "tue": 0, "wed": 25}
    >>> rows = [(day, hour % 2, (hour + later) / 50) for day, later in days.items() for hour in range(24)]
    >>> df = spark.createDataFrame(rows, "day string, label int, p double")
    >>> state = ls.evaluate(df, label="label", prediction="p", by=[["day"]]).state
    >>> moved = ls.drift(state.where("day = 'mon'"), state, partition="day")
    >>> moved.to_pandas()[["slice", "bins", "psi", "psi_expected", "scores_verdict"]].round(2)
         slice  bins   psi  psi_expected scores_verdict
    0  day=mon    12  0.00          0.92    no evidence
    1  day=tue    12  0.00          0.92    no evidence
    2  day=wed    12  2.85          0.92          moved

    References
    ----------
    Lin, Divergence measures based on the Shannon entropy, IEEE Trans. Inf. Theory 37 (1991). Yurdakul, Statistical
    properties of population stability index (2018), for its mean without drift.
    """
    between("confidence", confidence, 0.0, 1.0)
    old, new = check_states(reference_state, current_state)
    both = [old.conventions, new.conventions]
    check_comparable(*both)
    sets = grouping_sets(by)
    common = slices_of(sets)
    if partition in common:
        raise SpecError(f"by must not name the partition, got {partition!r}: all partitions have the same reference")
    of_partition = () if partition is None else (column_name("partition", partition),)
    check_slices(both[0], sets)
    check_slices(both[1], [*sets, of_partition])
    check_types(old.slice_types, new.slice_types, common)
    slices = (*of_partition, *common)
    check_names(slices, by_column(DRIFT))
    return Drift(drift_table((old, new), sets, of_partition, confidence), slices, (old, new))
