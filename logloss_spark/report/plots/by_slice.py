"""Plots of slices, from tables of metrics and comparisons: which slices cost most, and how a metric moves over time."""

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from logloss_spark.errors import SpecError
from logloss_spark.report.evaluations import loss_in
from logloss_spark.report.palette import LIGHT, Palette
from logloss_spark.report.plots.canvas import axes_of, height_of_rows, name_axes, name_rows
from logloss_spark.wording import did_you_mean

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST_SLICES = 20
"""Slices that a forest shows."""


def slices(frame: pd.DataFrame, ax: "Axes | None" = None, *, palette: Palette = LIGHT) -> "Axes":
    """Draw the loss of slices with intervals, those first that add most to the loss.

    Parameters
    ----------
    frame : DataFrame
        Metrics, as `Evaluation.to_pandas` returns them.
    ax : Axes, optional
    palette : Palette
    """
    loss = loss_in(frame)
    overall = frame[frame["slice"] == "all"].iloc[0]
    ordered = by_excess(frame).head(MOST_SLICES)
    ax = axes_of(ax, palette, height_of_rows(len(ordered)))
    places = name_rows(ax, ordered["slice"].tolist(), palette)
    worse = ordered[f"{loss}_low"] > overall[loss]
    better = ordered[f"{loss}_high"] < overall[loss]
    ax.axvline(overall[loss], color=palette.soft, lw=0.8)
    for mask, colour in ((worse, palette.bad), (better, palette.good), (~(worse | better), palette.first)):
        draw_intervals(ax, ordered[mask], loss, places[mask.to_numpy()], colour)
    name_axes(ax, palette, x=loss)
    return ax


def over(
    frame: pd.DataFrame, column: str, ax: "Axes | None" = None, *, metric: str | None = None, palette: Palette = LIGHT
) -> "Axes":
    """Draw a metric over the values of a slice column, such as the day, with the band of its intervals.

    Parameters
    ----------
    frame : DataFrame
        Metrics, as `Evaluation.to_pandas` returns them.
    column : str
        The slice column: dates, numbers, or texts.
    ax : Axes, optional
    metric : str, optional
        The column that is drawn; by default the loss.
    palette : Palette
    """
    metric = loss_in(frame) if metric is None else metric
    names = [str(name) for name in frame.loc[:, :"slice"]][:-1]
    if column not in names:
        raise SpecError(f"column must be a slice column of the metrics, got {column!r}; {did_you_mean(column, names)}")
    ax = axes_of(ax, palette)
    along = frame[(frame["grouping_id"] == alone(names, column)) & frame[column].notna()].sort_values(column)
    x = np.arange(len(along))
    if f"{metric}_low" in along:
        ax.fill_between(x, along[f"{metric}_low"], along[f"{metric}_high"], color=palette.first, alpha=0.25, lw=0)
    ax.plot(x, along[metric], color=palette.first, lw=1.2, marker="o", ms=2.5)
    ax.axhline(frame.loc[frame["slice"] == "all", metric].iloc[0], color=palette.soft, lw=0.8)
    ax.set_xticks(x, [str(value) for value in along[column]], parse_math=False)
    name_axes(ax, palette, x=column, y=metric)
    return ax


def differences(frame: pd.DataFrame, ax: "Axes | None" = None, *, palette: Palette = LIGHT) -> "Axes":
    """Draw the difference of each challenger from the baseline by slice, with intervals.

    Parameters
    ----------
    frame : DataFrame
        A comparison, as `Comparison.to_pandas` returns it.
    ax : Axes, optional
    palette : Palette
    """
    shown = frame.head(MOST_SLICES)
    ax = axes_of(ax, palette, height_of_rows(len(shown)))
    several = frame["challenger"].nunique() > 1
    of_slices = shown["slice"].astype(str)
    names = (shown["challenger"].astype(str) + ": " + of_slices if several else of_slices).tolist()
    places = name_rows(ax, names, palette)
    ax.axvline(0.0, color=palette.soft, lw=0.8)
    for verdict, colour in (("better", palette.good), ("worse", palette.bad), ("no evidence", palette.first)):
        mask = shown["verdict"] == verdict
        draw_intervals(ax, shown[mask], "difference", places[mask.to_numpy()], colour)
    name_axes(ax, palette, x="difference in log loss (negative: better)")
    return ax


def by_excess(frame: pd.DataFrame) -> pd.DataFrame:
    """The slices of metrics by what each adds to the loss, W_s (L_s - L) / W, as `excess`; the largest first."""
    loss, is_all = loss_in(frame), frame["slice"] == "all"
    overall, rest = frame[is_all].iloc[0], frame[~is_all]
    excess = rest["weight"] * (rest[loss] - overall[loss]) / overall["weight"]
    return rest.assign(excess=excess).sort_values("excess", ascending=False, kind="stable")


def alone(names: list[str], column: str) -> int:
    """The `grouping_id` of the set that has this slice column and no other."""
    return (1 << len(names)) - 1 - (1 << len(names) - 1 - names.index(column))


def draw_intervals(ax: "Axes", frame: pd.DataFrame, name: str, places: Any, colour: str) -> None:
    """Draw estimates as dots and their intervals as lines, at these places of the y axis."""
    ax.hlines(places, frame[f"{name}_low"], frame[f"{name}_high"], color=colour, lw=1.2)
    ax.plot(frame[name], places, "o", color=colour, ms=3.5)
