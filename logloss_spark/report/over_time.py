"""The section of a report that shows how metrics move from day to day, with what a gate allows.

Days whose labels are still coming in are immature, and marked: they are better or worse for that alone.
"""

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
from logloss_spark.report.text import View, cells
from logloss_spark.wording import counted

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LABELLED = "share labelled"
"""The share of a day's rows whose label has come."""

PANELS = {"calibration_ratio": 1.3, "n": 1.1, LABELLED: 1.1}
"""What is drawn below the loss, where the forecasts have it, and the heights in inches."""

NAMES = {"n": "rows scored"}
"""What panels are called, where it is not the name of their metric."""

FAR = 2.0
"""A bound that is farther from the days than so many times the range of their intervals is not drawn."""


def of_days(page: Page) -> Section | None:
    """How the loss, the calibration and the number of rows move from day to day."""
    if page.days is None or (page.days["slice"] != "all").sum() < 2:
        return None
    days = with_share_labelled(page.days)
    of_day = days[days["slice"] != "all"].sort_values(page.day)
    heights = {loss_in(days): 2.2} | {name: height for name, height in PANELS.items() if has_numbers(days, name)}
    bounds = {name: near(bounds_of(page.judgement, name), of_day, name) for name in heights}
    window = baseline_of(page.judgement, loss_in(days))
    young = immature(page, of_day)
    drawn = picture(
        "over-time",
        partial(draw, days=days, day=page.day, bounds=bounds, window=window, young=young),
        list(heights.values()),
        caption=caption(page, bounds, window, young),
        words="; ".join(in_words(of_day, page.day, name) for name in heights),
    )
    first, last = of_day[page.day].iloc[0], of_day[page.day].iloc[-1]
    lines = [f"{counted(len(of_day), 'day')}, {first} to {last}."]
    if young.empty:
        return Section(id="days", title="Over time", lines=lines, pictures=[drawn])
    lines.append(
        f"Labels may still come for {counted(len(young), 'day')}, the hollow ones: compare them with days of the same "
        "age, because they are better or worse than older ones for their age alone."
    )
    return Section(id="days", title="Over time", lines=lines, pictures=[drawn], tables=[view_of_young(page, young)])


def with_share_labelled(days: pd.DataFrame) -> pd.DataFrame:
    """Return days with the share of their rows whose label has come, if some labels have not."""
    if "unlabelled" not in days or not days["unlabelled"].any():
        return days
    return days.assign(**{LABELLED: 1.0 - days["unlabelled"] / days["rows"].where(days["rows"] > 0)})


def immature(page: Page, of_day: pd.DataFrame) -> pd.DataFrame:
    """Return the days that were evaluated before all of their labels were there."""
    ages = of_day[page.day].map(lambda value: page.ages.get(str(value)))
    final = max(page.ages.values(), default=0) if page.final_age is None else page.final_age
    return of_day[ages.notna() & (ages < final)]


def view_of_young(page: Page, young: pd.DataFrame) -> View:
    """Return the table of immature days, the last one first: how old they are, and how many labels have come."""
    last_first = young.iloc[::-1]
    ages = [page.ages[str(value)] for value in last_first[page.day]]
    of = "" if page.final_age is None else f" of {page.final_age}"
    shares = last_first[LABELLED].tolist() if LABELLED in young else [1.0] * len(young)
    table = {
        page.day: [str(value) for value in last_first[page.day]],
        "age in days": [f"{age}{of}" for age in ages],
        LABELLED: ["-" if math.isnan(share) else f"{share:.1%}" for share in shares],
        "rows scored": cells(last_first["n"]),
    }
    return View(title="", table=table)


def draw(
    panels: "Sequence[Axes]",
    *,
    days: pd.DataFrame,
    day: str,
    bounds: dict[str, list[float]],
    window: tuple[str, str] | None,
    young: pd.DataFrame,
) -> None:
    """Draw a metric on each panel, with its bounds; the first panel shades the days that a gate compares with.

    All panels have the same days above each other, and immature ones are hollow.
    """
    first = min(filter(None, map(order_of, days[day].tolist())))
    for ax, (name, of_metric) in zip(panels, bounds.items(), strict=True):
        plots.over(days, day, ax, metric=name, bound=of_metric[0] if of_metric else None)
        at = [(order_of(value) or 0.0) - first for value in young[day]]
        ax.plot(at, young[name].tolist(), "o", color=LIGHT.first, mfc=LIGHT.page, ms=4, zorder=3, label="immature")
        for bound in of_metric[1:]:
            ax.axhline(bound, color=LIGHT.bad, lw=0.8)
        ax.set_title("", loc="left")
        ax.set_ylabel(NAMES.get(name, name.replace("_", " ")))
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


def caption(page: Page, bounds: dict[str, list[float]], window: tuple[str, str] | None, young: pd.DataFrame) -> str:
    """Return what the panels show."""
    lines = [f"The loss of each day with its {page.coverage}; the dashed line is all of these days."]
    if any(bounds.values()):
        lines.append("Red lines are bounds of the gate.")
    if window:
        lines.append(f"Grey are the days that it compares with, {window[0]} to {window[1]}.")
    lines += [] if young.empty else ["Hollow are the days whose labels may still come."]
    if "calibration_ratio" in bounds:
        labelled = ", and the share of rows with a label" if LABELLED in bounds else ""
        lines.append(f"Below, mean forecast over mean label, and the rows that were scored{labelled}.")
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
