"""Plots of a fitted model: what its fit did, and its coefficients."""

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from logloss_spark.report.palette import LIGHT, Palette
from logloss_spark.report.plots.canvas import (
    axes_of,
    draw_intervals,
    explain,
    frame_of_intervals,
    height_of_rows,
    name_axes,
    name_rows,
)
from logloss_spark.report.plots.score_axis import tick_name
from logloss_spark.statistics.distributions import normal_quantile

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST_COEFFICIENTS = 20
"""Coefficients that are drawn."""

NOUGHT = 1e-17
"""A gap or a gradient below this is drawn here: 0 has no logarithm, and no double near 1 tells them apart."""


def history(frame: pd.DataFrame, ax: "Axes | None" = None, *, palette: Palette = LIGHT) -> "Axes":
    """Draw how a fit approached its optimum: the gap to it and the largest entry of the gradient, by iteration.

    With validation rows the losses are drawn below, of the rows that were fitted on and of those held out; the ring is
    the iteration whose model was kept.

    Parameters
    ----------
    frame : DataFrame
        `LogisticModel.history`.
    ax : Axes, optional
        Where to draw. By default a new figure is made.
    palette : Palette
        The colours.
    """
    validated = frame["validation_loss"].notna().any()
    ax = axes_of(ax, palette, 3.8 if validated else 2.4)
    x, entries = frame["iteration"].to_numpy(), []
    ax.set_yscale("log")
    for column, name, colour in (("gap", "gap", palette.first), ("gradient_norm", "gradient", palette.second)):
        values = np.maximum(frame[column].to_numpy(dtype=np.float64), NOUGHT)
        (line,) = ax.plot(x, values, color=colour, lw=1.2, marker="o", ms=3)
        entries.append((line, name))
    ax.yaxis.set_major_formatter(lambda value, _: tick_name(value))
    ax.yaxis.set_minor_formatter(lambda *_: "")
    ax.locator_params(axis="x", integer=True, nbins=6)
    explain(ax, palette, entries, loc="lower left", bbox_to_anchor=(0.0, 1.0), ncols=2, borderaxespad=0.2)
    name_axes(ax, palette, x="" if validated else "iteration", y="nats, on a scale of logs")
    if validated:
        draw_losses(ax.inset_axes((0.0, -0.95, 1.0, 0.75)), frame, palette)
    return ax


def draw_losses(ax: "Axes", frame: pd.DataFrame, palette: Palette) -> None:
    """Draw the loss of the rows that were fitted on and of the validation rows, by iteration."""
    axes_of(ax, palette)
    entries = []
    for column, name, colour in (("loss", "fitted on", palette.first), ("validation_loss", "held out", palette.second)):
        (line,) = ax.plot(frame["iteration"], frame[column].astype(float), color=colour, lw=1.2, marker="o", ms=3)
        entries.append((line, name))
    best = frame.loc[frame["validation_loss"].astype(float).idxmin()]
    ax.scatter([best["iteration"]], [best["validation_loss"]], s=50, facecolors="none", edgecolors=palette.ink)
    ax.locator_params(axis="x", integer=True, nbins=6)
    ax.locator_params(axis="y", nbins=4)
    explain(ax, palette, entries)
    name_axes(ax, palette, x="iteration", y="log loss")


def coefficients(
    frame: pd.DataFrame, ax: "Axes | None" = None, *, confidence: float = 0.95, palette: Palette = LIGHT
) -> "Axes":
    """Draw the coefficients of a model with intervals, those first that are the most errors from 0.

    Where a model has no errors (it is penalised, say), there are dots alone, the largest first. Up to 20 are drawn.

    Parameters
    ----------
    frame : DataFrame
        `LogisticModel.table`.
    ax : Axes, optional
        Where to draw. By default a new figure is made, as high as its coefficients need.
    confidence : float
        The coverage of the intervals.
    palette : Palette
        The colours.
    """
    importance = frame["z"].where(frame["z"].notna(), frame["coefficient"]).abs()
    order = importance.sort_values(ascending=False, kind="stable").index[:MOST_COEFFICIENTS]
    reach = normal_quantile(confidence) * frame["standard_error"]
    ends = {"coefficient_low": frame["coefficient"] - reach, "coefficient_high": frame["coefficient"] + reach}
    shown = frame.assign(**ends).loc[order]
    ax = axes_of(ax, palette, height_of_rows(len(shown)))
    features = shown["feature"].astype(str)
    names = features if "class" not in shown else shown["class"].astype(str) + ": " + features
    places = name_rows(ax, names.tolist(), palette)
    ax.axvline(0.0, color=palette.soft, lw=0.8, zorder=1)
    frame_of_intervals(ax, shown, "coefficient", include=0.0)
    draw_intervals(ax, shown, "coefficient", places, [palette.first] * len(shown), palette)
    part = f" ({len(shown)} of {len(frame):,})" if len(frame) > len(shown) else ""
    name_axes(ax, palette, x=f"coefficient{part}", x_at="right")
    return ax
