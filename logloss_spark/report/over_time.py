"""The section of a report that shows how metrics move from day to day, with what a gate allows."""

import math
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

import pandas as pd

from logloss_spark.gates.judging import Judged, Judgement
from logloss_spark.gates.rules import ALL
from logloss_spark.report import plots
from logloss_spark.report.evaluations import loss_in
from logloss_spark.report.frames import has_numbers
from logloss_spark.report.page import Page, Section
from logloss_spark.report.palette import LIGHT
from logloss_spark.report.pictures import picture
from logloss_spark.report.plots.by_slice import order_of
from logloss_spark.report.text import cells
from logloss_spark.wording import counted

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PANELS = {"calibration_ratio": 1.3, "n": 1.1}
"""What is drawn below the loss, where the forecasts have it, and the heights in inches."""

FAR = 2.0
"""A bound that is farther from the days than so many times the range of their intervals is not drawn."""


def of_days(page: Page) -> Section | None:
    """How the loss, the calibration and the number of rows move from day to day."""
    days = page.days
    if days is None or (days["slice"] != "all").sum() < 2:
        return None
    of_day = days[days["slice"] != "all"].sort_values(page.day)
    heights = {loss_in(days): 2.2} | {name: height for name, height in PANELS.items() if has_numbers(days, name)}
    bounds = {name: near(bounds_of(page.judgement, name), of_day, name) for name in heights}
    window = baseline_of(page.judgement, loss_in(days))
    drawn = picture(
        "over-time",
        partial(draw, days=days, day=page.day, bounds=bounds, window=window),
        list(heights.values()),
        caption=caption(page, bounds, window),
        words="; ".join(in_words(of_day, page.day, name) for name in heights),
    )
    first, last = of_day[page.day].iloc[0], of_day[page.day].iloc[-1]
    lines = [f"{counted(len(of_day), 'day')}, {first} to {last}."]
    return Section(id="days", title="Over time", lines=lines, pictures=[drawn])


def draw(
    panels: "Sequence[Axes]",
    *,
    days: pd.DataFrame,
    day: str,
    bounds: dict[str, list[float]],
    window: tuple[str, str] | None,
) -> None:
    """Draw a metric on each panel, with its bounds; the first panel shades the days that a gate compares with.

    All panels have the same days above each other.
    """
    first = min(filter(None, map(order_of, days[day].tolist())))
    for ax, (name, of_metric) in zip(panels, bounds.items(), strict=True):
        plots.over(days, day, ax, metric=name, bound=of_metric[0] if of_metric else None)
        for bound in of_metric[1:]:
            ax.axhline(bound, color=LIGHT.bad, lw=0.8)
        ax.set_title("", loc="left")
        if ax is not panels[-1]:
            ax.set_xlabel("")
            ax.tick_params(labelbottom=False)
    if window is not None:
        start, end = (order_of(value) for value in window)
        if start is not None and end is not None:
            panels[0].axvspan(start - first - 0.5, end - first + 0.5, color=LIGHT.faint, alpha=0.5, lw=0, zorder=0)
    lefts, rights = zip(*(ax.get_xlim() for ax in panels), strict=True)
    for ax in panels:
        ax.set_xlim(min(lefts), max(rights))


def caption(page: Page, bounds: dict[str, list[float]], window: tuple[str, str] | None) -> str:
    """Return what the panels show."""
    lines = [f"The loss of each day with its {page.coverage}; the dashed line is all of these days."]
    if any(bounds.values()):
        lines.append("Red lines are bounds of the gate.")
    if window:
        lines.append(f"Grey are the days that it compares with, {window[0]} to {window[1]}.")
    if "calibration_ratio" in bounds:
        lines.append("Below, mean forecast over mean label, and the rows that were scored.")
    return " ".join(lines)


def judged_on_all(judgement: Judgement | None, metric: str) -> list[tuple[Judged, "pd.Series[float]"]]:
    """The rules on a metric of all rows, each with the row of its verdict."""
    found = [] if judgement is None else [one for one in judgement.rules if one.rule.metric == metric]
    return [
        (judged, judged.slices.loc[judged.slices["slice"] == ALL].iloc[0])
        for judged in found
        if (judged.slices["slice"] == ALL).any()
    ]


def bounds_of(judgement: Judgement | None, metric: str) -> list[float]:
    """Return the values of a metric of all rows that a gate allows at most or at least, also by their changes."""
    bounds = []
    for judged, row in judged_on_all(judgement, metric):
        corridor, baseline = judged.rule.corridor, float(row["baseline"])
        for end in (corridor.low, corridor.high):
            change = baseline * (1.0 + end) if corridor.relative else baseline + end
            bounds.append(change if judged.rule.is_change else end)
    return [bound for bound in dict.fromkeys(bounds) if math.isfinite(bound)]


def near(bounds: Sequence[float], of_day: pd.DataFrame, metric: str) -> list[float]:
    """The bounds that can be drawn without pressing the days into a line."""
    low, high = (of_day.get(f"{metric}_{end}", of_day[metric]) for end in ("low", "high"))
    least, most = float(low.min()), float(high.max())
    reach = FAR * (most - least)
    return [bound for bound in bounds if least - reach <= bound <= most + reach]


def baseline_of(judgement: Judgement | None, metric: str) -> tuple[str, str] | None:
    """The first and the last day that a rule on a metric of all rows compares with."""
    for judged, _ in judged_on_all(judgement, metric):
        if judged.baseline is not None and judged.baseline.first and judged.baseline.last:
            return judged.baseline.first, judged.baseline.last
    return None


def in_words(of_day: pd.DataFrame, day: str, name: str) -> str:
    """Return the range of a metric over days in words, and its last value."""
    known = of_day[of_day[name].notna()]
    if known.empty:
        return f"{name} is defined on no day"
    values, on = [cell.strip() for cell in cells(known[name])], known[day].tolist()
    least, most = int(known[name].to_numpy().argmin()), int(known[name].to_numpy().argmax())
    return (
        f"{name} over {counted(len(of_day), 'day')}: the least is {values[least]} on {on[least]}, the largest "
        f"{values[most]} on {on[most]}, and the last {values[-1]} on {on[-1]}"
    )
