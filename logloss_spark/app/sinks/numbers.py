"""The numbers of an outcome that dashboards are given: metrics of the slices that a config names, with intervals."""

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd
from pandas.api.types import is_numeric_dtype

from logloss_spark.app.outcome import Outcome
from logloss_spark.checks import one_of
from logloss_spark.gates.estimates import Measurement
from logloss_spark.gates.patterns import Name, pattern_of
from logloss_spark.statistics.catalogue import INTERVAL, METRICS, shown_first

PRINTED = ("rows", "n", "loss", *shown_first(METRICS, "cross_entropy"), "baseline_log_loss", "difference")
"""The metrics that a person is shown first."""

SLICES_FOR_DASHBOARDS = 1_000
"""Slices of each grouping set, those of most rows, that dashboards may name."""

OF_A_FIT = {
    "iterations": "Iterations of the fit.",
    "passes": "How often the fit passed over the rows.",
    "rows": "Rows that the model was fitted on.",
    "log_loss": "Log loss of the rows that the model was fitted on.",
    "label_entropy": "Log loss of a forecast that knows only the shares of the classes.",
    "normalized_entropy": "The log loss by the label entropy.",
    "validation_loss": "Log loss of the rows that were held out.",
    "objective": "The penalised objective.",
    "gradient_norm": "The largest entry of the gradient.",
    "gap": "How far the objective is above the optimum, as estimated.",
    "condition": "Condition number of the Hessian.",
}
"""The numbers of the report of a fit that are metrics of the model, and what they mean."""


@dataclass(frozen=True, kw_only=True)
class Chosen:
    """Which numbers a dashboard is given.

    Parameters
    ----------
    slices : list of str
        The slices, as the rules of a gate name them: `all`, or `country=*`.
    metrics : list of str
        The names of the metrics; each brings the ends of its interval along.
    """

    slices: list[str] = field(default_factory=lambda: ["all"])
    metrics: list[str] | None = None

    def check(self, section: str, slices: Sequence[str], columns: Collection[str]) -> None:
        """Raise SpecError unless slices and metrics are those of the table that is to be made."""
        for text in self.slices:
            pattern_of(text, slices)
        for name in self.metrics or ():
            one_of(f"[{section}] metrics", name, tuple(columns))


@dataclass(frozen=True)
class SliceMetric:
    """A metric of a slice, with the ends of its interval; NaN where it has none.

    Attributes
    ----------
    metric, value, low, high : the name and the numbers
    slice : the slice; empty for all rows
    labels : what it is of besides: the challenger of a comparison, or the rule of a gate
    """

    metric: str
    value: float
    low: float = math.nan
    high: float = math.nan
    slice: Name = ()
    labels: tuple[tuple[str, str], ...] = ()


def numbers_of(outcome: Outcome, chosen: Chosen, by_default: Collection[str] | None = None) -> Iterator[SliceMetric]:
    """Return the numbers of an outcome: of the slices that were measured, of a fit, or what a gate judged.

    Metrics that are null are omitted. Without names of metrics they are those of `by_default`, or else all.
    """
    if outcome.measured is not None:
        yield from of_slices(outcome.measured, chosen, by_default)
    elif "report" in outcome.details:
        yield from of_fit(outcome.details["report"])
    elif has_numbers(outcome):
        yield from of_verdicts(outcome.verdicts)


def has_numbers(outcome: Outcome) -> bool:
    """Whether a command found numbers, and did not merely repeat the verdict on what an earlier run stored."""
    return outcome.measured is not None or "report" in outcome.details or outcome.command == "gate"


def unmatched(outcome: Outcome, chosen: Chosen) -> list[str]:
    """Return the patterns of slices that name no slice of those that were measured."""
    if outcome.measured is None:
        return []
    names, slices = outcome.measured.names, outcome.measured.slices
    return [text for text in chosen.slices if not any(map(pattern_of(text, slices).names, names))]


def of_slices(measured: Measurement, chosen: Chosen, by_default: Collection[str] | None) -> Iterator[SliceMetric]:
    """The metrics of the slices that are named; where a pattern names several, those of most rows first."""
    table, names = measured.table, measured.names
    columns = metrics_in(table, measured.slices)
    if chosen.metrics is not None:
        for name in chosen.metrics:
            one_of("metrics", name, columns)
    wanted = chosen.metrics if chosen.metrics is not None else by_default
    kept = [name for name in columns if wanted is None or name in wanted]
    rows = table["rows"].tolist()
    patterns = [pattern_of(text, measured.slices) for text in chosen.slices]
    ordered = [
        row
        for pattern in patterns
        for row in sorted((row for row, name in enumerate(names) if pattern.names(name)), key=lambda row: -rows[row])
    ]
    for row in dict.fromkeys(ordered):
        record = table.iloc[row]
        of = (("challenger", str(record["challenger"])),) if "challenger" in table else ()
        for column in kept:
            value, low, high = (number_in(record, column + end) for end in ("", *INTERVAL[:2]))
            if not math.isnan(value):
                yield SliceMetric(column, value, low, high, names[row], of)


def metrics_in(table: pd.DataFrame, slices: Sequence[str]) -> list[str]:
    """The columns of a table of metrics that hold a number or a flag for each slice, without those of intervals."""
    keys = {"grouping_id", *slices}
    return [
        str(name)
        for name in table.columns
        if name not in keys and is_numeric_dtype(table[name]) and not is_end(str(name), table)
    ]


def is_end(column: str, table: pd.DataFrame) -> bool:
    """Whether a column is part of the interval of another one."""
    return any(column.endswith(end) and column.removesuffix(end) in table for end in INTERVAL)


def number_in(record: "pd.Series[Any]", column: str) -> float:
    """A cell as a number; NaN for null, and where there is no such column."""
    cell = record.get(column)
    return math.nan if cell is None or cell is pd.NA else float(cell)


def of_fit(report: Mapping[str, Any]) -> Iterator[SliceMetric]:
    """The metrics of a fit."""
    for name in OF_A_FIT:
        if isinstance(report.get(name), (int, float)):
            yield SliceMetric(name, float(report[name]))


def of_verdicts(verdicts: Sequence[Mapping[str, Any]]) -> Iterator[SliceMetric]:
    """What a gate judged, by rule and slice."""
    for rule in verdicts:
        for judged in rule["slices"]:
            value, low, high = (
                math.nan if judged[end] is None else float(judged[end]) for end in ("value", "low", "high")
            )
            if not math.isnan(value):
                name = tuple(sorted(judged["keys"].items()))
                yield SliceMetric(rule["metric"], value, low, high, name, (("rule", rule["name"]),))
