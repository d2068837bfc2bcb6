"""Labels that arrive late, in a table of their own: join them to predictions, and know when to look again."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from typing import ClassVar

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from logloss_spark.app.sections import Input
from logloss_spark.errors import DataError, SpecError
from logloss_spark.io.names import in_backquotes, quoted
from logloss_spark.io.source import read_table
from logloss_spark.io.units import Key
from logloss_spark.wording import did_you_mean, visible

LABELLED = "label has arrived"
"""The column that a join adds to predictions."""


@dataclass(frozen=True, kw_only=True)
class Labels(Input):
    """A table of labels, which arrive after the predictions: one row per label.

    Parameters
    ----------
    on : list of str
        The columns by which a label finds its prediction; both tables have them.
    window : int
        A label counts if it arrives up to this many days after the prediction; then its unit is closed.
    revisit : list of int
        The ages in days at which a unit is evaluated again.
    arrived : str, optional
        The column of this table that says when a label arrived. Without it every label that is there counts.
    predicted : str, optional
        The column of the predictions that says when a prediction was made; `arrived` is compared with it.
    """

    section: ClassVar[str] = "labels"

    on: list[str] = field(default_factory=list)
    window: int = 7
    revisit: list[int] = field(default_factory=lambda: [0, 1, 3, 7])
    arrived: str | None = None
    predicted: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.on:
            raise SpecError('[labels] on must name a column that both tables have, got none: set on = ["id"]')
        if not self.revisit or self.revisit[0] != 0 or any(one >= other for one, other in pairwise(self.revisit)):
            raise SpecError(f"[labels] revisit must be ages in days that rise from 0, got {self.revisit}")
        if self.window < self.revisit[-1]:
            raise SpecError(
                f"[labels] window must not end before the last age in revisit, got {self.window} and "
                f"{self.revisit[-1]}: labels are looked for as long as a unit is evaluated again"
            )
        if bool(self.arrived) != bool(self.predicted):
            raise SpecError("[labels] arrived and predicted belong together: give both, or neither")


def joined(spark: SparkSession, predictions: DataFrame, labels: Labels, label: Sequence[str]) -> DataFrame:
    """Return predictions with their labels, and with a column that says whether a label has arrived.

    Raises
    ------
    SpecError
        A table lacks a column.
    DataError
        Two labels have the same key.
    """
    found = read_table(spark, labels)
    check_has("predictions", predictions, [*labels.on, *([labels.predicted] if labels.predicted else [])])
    check_has("labels", found, [*labels.on, *label, *([labels.arrived] if labels.arrived else [])])
    keys = [f"key {index}" for index in range(len(labels.on))]
    own = [quoted(name).alias(key) for name, key in zip(labels.on, keys, strict=True)]
    when = [quoted(labels.arrived).alias("arrived")] if labels.arrived else []
    right = found.select(*own, *(quoted(name) for name in label), *when, F.lit(True).alias(LABELLED))
    check_distinct(right, predictions, labels.on, keys)
    left = predictions.drop(*label)
    same = [left[in_backquotes(name)] == right[in_backquotes(key)] for name, key in zip(labels.on, keys, strict=True)]
    together = left.join(right, same, "left")
    there = F.coalesce(quoted(LABELLED), F.lit(False))
    if labels.predicted:
        latest = quoted(labels.predicted).cast("timestamp") + F.make_dt_interval(F.lit(labels.window))
        there &= F.coalesce(F.col("arrived").cast("timestamp") <= latest, F.lit(False))
    return together.withColumn(LABELLED, there).drop(*keys, "arrived")


def check_has(what: str, table: DataFrame, names: Sequence[str]) -> None:
    """Raise SpecError where a table lacks a column."""
    for name in names:
        if name not in table.columns:
            advice = did_you_mean(name, table.columns)
            raise SpecError(f"[labels] must name columns that are there, and the {what} have no {name!r}; {advice}")


def check_distinct(labels: DataFrame, predictions: DataFrame, on: Sequence[str], keys: Sequence[str]) -> None:
    """Raise DataError where two labels have the key of one of the predictions."""
    asked = predictions.select(*(quoted(name).alias(key) for name, key in zip(on, keys, strict=True)))
    twice = labels.join(asked, list(keys), "left_semi").groupBy(*keys).count().where("count > 1").first()
    if twice is not None:
        key = ", ".join(f"{name}={twice[key]}" for name, key in zip(on, keys, strict=True))
        raise DataError(
            f"a key must have one label, got {twice['count']:,} for {visible(key)}: correct the labels, or set a "
            "condition in [labels] where"
        )


def ages(labels: Labels, columns: Sequence[str], run_date: str | None) -> Callable[[Key], int]:
    """Return a function from the key of a unit to the last age in `revisit` that the unit has reached.

    The first unit column must hold days, and the age of a unit counts from its day to the run date, by default today.
    """
    today = date.fromisoformat(run_date) if run_date else datetime.now(UTC).date()

    def age(key: Key) -> int:
        days = (today - day_of(key, columns)) // timedelta(days=1)
        return max(step for step in labels.revisit if step <= max(days, 0))

    return age


def day_of(key: Key, columns: Sequence[str]) -> date:
    """The day of a unit; raise SpecError where its first unit column holds none."""
    try:
        return date.fromisoformat((key[0] or "")[:10])
    except ValueError as error:
        raise SpecError(
            "[labels] needs units whose first column is a day as 2026-01-31, got "
            f"{columns[0]}={visible(key[0] or 'null')}"
        ) from error
