"""The table of all slices of a report, which a script sorts and searches."""

import json
import math
from typing import Any

import pandas as pd

from logloss_spark.report.evaluations import loss_in
from logloss_spark.report.frames import has_numbers
from logloss_spark.report.page import LISTED, Column, Page, SliceTable
from logloss_spark.report.plots.by_slice import by_excess
from logloss_spark.report.text import NOTHING
from logloss_spark.states.slices import set_name
from logloss_spark.wording import visible, visible_slice

NAME = 80
"""The longest name of a slice, in columns of a terminal: 5,000 of them are 0.4 MB."""

DIGITS = 6
"""Significant digits of a number that the script sorts by."""

SHOWN = ("normalized_entropy", "calibration_ratio")
"""Metrics that the table has beside the loss, where the forecasts have them."""

FEW = "few"
"""What the last cell of a slice says whose interval misses more often than it claims."""


def slice_table(page: Page) -> SliceTable | None:
    """Return the slices of a page, those first that add most to the loss; None if there is none."""
    assert page.metrics is not None
    frame = by_excess(page.metrics).head(LISTED)
    if frame.empty:
        return None
    loss = loss_in(frame)
    numbers = ["excess", loss, f"{loss}_low", f"{loss}_high", *(name for name in SHOWN if has_numbers(frame, name))]
    columns = (
        Column(name="slice", kind="text"),
        Column(name="rows scored", kind="count"),
        *(
            Column(name=TITLES.get(name, name.replace("_", " ")), kind="number", decimals=decimals(frame[name]))
            for name in numbers
        ),
        Column(name="", kind="text"),
    )
    found = frame["grouping_id"].unique().tolist()
    sets = sorted(found, key=lambda rolled_up: (-rolled_up.bit_count(), -rolled_up))
    overall, few = page.overall[loss], frame["few"].tolist()
    sides = (frame[f"{loss}_low"] > overall).astype(int) - (frame[f"{loss}_high"] < overall).astype(int)
    rows = [
        [
            sets.index(rolled_up),
            0 if is_few else side,
            visible_slice(name, NAME),
            count,
            *map(short, values),
            FEW * is_few,
        ]
        for rolled_up, is_few, side, name, count, *values in zip(
            frame["grouping_id"].tolist(),
            few,
            sides.tolist(),
            frame["slice"].tolist(),
            frame["n"].tolist(),
            *(frame[name].tolist() for name in numbers),
            strict=True,
        )
    ]
    names = tuple(visible(set_name(rolled_up, page.slices)) for rolled_up in sets)
    return SliceTable(columns=columns, sets=names, rows=rows, order=2 + numbers.index("excess"))


TITLES = {"excess": "adds to the loss", "log_loss_low": "low", "log_loss_high": "high", "loss_low": "low",
          "loss_high": "high"}  # fmt: skip
"""The titles of columns, where they are not their names."""


def decimals(values: "pd.Series[float]") -> int:
    """Return the decimals that a column is shown with: four, and more where all numbers are small."""
    largest = values[values.map(math.isfinite)].abs().max()
    return min(max(4, 2 - math.floor(math.log10(largest))), 9) if largest > 0 else 4


def short(value: float) -> float | str | None:
    """Return a number as JSON has it, with the digits that matter; an infinite one as a text."""
    if math.isnan(value):
        return None
    return float(f"{value:.{DIGITS}g}") if math.isfinite(value) else "inf" if value > 0 else "-inf"


def cell_text(value: Any, column: Column) -> str:
    """Return a cell as it is shown; the script has a function of the same kind."""
    if value is None:
        return NOTHING
    if isinstance(value, str):
        return value
    return f"{value:,}" if column.kind == "count" else f"{value:z.{column.decimals}f}"


def to_json(table: SliceTable) -> str:
    """Return a table as JSON that HTML takes for nothing but text."""
    document = {
        "columns": [{"kind": column.kind, "decimals": column.decimals} for column in table.columns],
        "rows": table.rows,
        "sorted": table.order,
    }
    text = json.dumps(document, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.translate(INERT)


INERT = {ord(sign): f"\\u{ord(sign):04x}" for sign in "<>&\u2028\u2029"}
"""Signs that HTML or a script would take as their own, as JSON's escapes."""
