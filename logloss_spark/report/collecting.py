"""Collect what a report shows from a state and its metrics. No row is read, and nothing grows with the rows."""

import datetime
from collections import Counter
from collections.abc import Sequence
from typing import Any

import pandas as pd
import pyspark
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from logloss_spark.io.local import LocalTable
from logloss_spark.io.names import quoted
from logloss_spark.report.evaluations import loss_in
from logloss_spark.report.frames import Order, first_of_each_set, free_name, kept_whole
from logloss_spark.report.page import LISTED, Page
from logloss_spark.report.plots.by_slice import grouping_id_of
from logloss_spark.roles import slices_of
from logloss_spark.states.state import CheckedState
from logloss_spark.statistics.reporting import Reading
from logloss_spark.tables.by_class import class_table
from logloss_spark.tables.cells import cells_table, cluster_residuals
from logloss_spark.version import __version__

FEWEST_DAYS = 2
"""Days from which on a report shows how metrics move."""


def page_of(
    state: CheckedState,
    metrics: DataFrame | LocalTable,
    by: Sequence[Sequence[str]],
    reading: Reading,
    **others: Any,
) -> Page:
    """Return the page of a report on a state.

    Parameters
    ----------
    state : CheckedState
    metrics : DataFrame or LocalTable
        Its metrics.
    by : sequence of sequences of str
        The grouping sets of the metrics.
    reading : Reading
        How they were read off.
    others :
        What the page has beside them: its title, and all that is optional.
    """
    slices, classes = slices_of(by), state.conventions.classes
    frame, sizes = costliest(metrics, len(classes))
    found = {
        "metrics": frame,
        "slices": slices,
        "sizes": sizes,
        "coverage": reading.words,
        "cells": cells_table(state),
        "residuals": cluster_residuals(state),
        "by_class": collected(class_table(state, ())) if len(classes) > 2 else None,
        **days_in(frame, by, slices),
    }
    return Page(**found | others)


def costliest(metrics: DataFrame | LocalTable, classes: int) -> tuple[pd.DataFrame, dict[int, int]]:
    """Collect the metrics, and how many slices each grouping set has.

    If they are too many for the driver, the slices of each grouping set that add most to the loss are collected.
    """
    frame = metrics.frame if isinstance(metrics, LocalTable) else kept_whole(metrics, classes)
    if frame is not None:
        return frame, dict(Counter(frame["grouping_id"].tolist()))
    assert isinstance(metrics, DataFrame)
    loss, excess = loss_in(metrics.columns), free_name("excess", metrics.columns)
    overall = metrics.where("slice = 'all'").select(quoted(loss).alias("loss")).first()
    assert overall is not None
    added = metrics.withColumn(excess, F.col("weight") * (quoted(loss) - F.lit(overall["loss"])))
    found = first_of_each_set(added, Order(((excess, False),)), LISTED)
    return found.frame.drop(columns=[excess]), {rolled_up: size for (rolled_up,), size in found.sizes.items()}


def collected(table: DataFrame | LocalTable) -> pd.DataFrame:
    """Return a table as pandas."""
    return table.frame if isinstance(table, LocalTable) else table.toPandas()


def days_in(frame: pd.DataFrame, by: Sequence[Sequence[str]], slices: Sequence[str]) -> dict[str, Any]:
    """Return the metrics by day, and the column of the day; nothing if no grouping set consists of days."""
    for names in by:
        if len(names) == 1:
            of_column = frame["grouping_id"] == grouping_id_of(list(slices), names[0])
            values = frame.loc[of_column, names[0]].dropna()
            if len(values) >= FEWEST_DAYS and all(map(is_day, values)):
                return {"days": frame[of_column | (frame["slice"] == "all")], "day": names[0]}
    return {}


def is_day(value: Any) -> bool:
    """Whether a value of a slice column is a day: a date, or a text as 2026-01-31.

    Examples
    --------
    >>> is_day(datetime.date(2026, 1, 31)), is_day("2026-01-31"), is_day("20260131"), is_day(3)
    (True, True, False, False)
    """
    if not isinstance(value, str):
        return isinstance(value, datetime.date)
    try:
        return datetime.date.fromisoformat(value).isoformat() == value
    except ValueError:
        return False


def versions() -> dict[str, str]:
    """Return the versions that numbers may depend on."""
    return {"logloss-spark": __version__, "Spark": pyspark.__version__}
