"""Plots of rows by their score, from the cells of states: reliability, histograms, ranking, and drift."""

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from logloss_spark.kernels.sums import Array
from logloss_spark.report.palette import LIGHT, Palette
from logloss_spark.report.plots.canvas import axes_of, explain, name_axes, write
from logloss_spark.report.plots.score_axis import ScoreAxis, cells_in, score_axis
from logloss_spark.statistics.calibration import pooled
from logloss_spark.statistics.ranking import ranking as ranking_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

BARS = 40
"""The most bars of a histogram of scores."""


def reliability(frame: pd.DataFrame, ax: "Axes | None" = None, *, palette: Palette = LIGHT) -> "Axes":
    """Draw what happened against what was forecast: the isotonic (CORP) line, and below it how frequent scores are.

    Parameters
    ----------
    frame : DataFrame
        The cells of a state: see `logloss_spark.tables.cells.cells_table`.
    ax : Axes, optional
    palette : Palette
    """
    ax = axes_of(ax, palette, 4.0)
    if frame.empty:
        return without_rows(ax, palette)
    cells = cells_in(frame)
    axis = axis_of(frame)
    ax.plot([axis.least, axis.most], [axis.least, axis.most], color=palette.soft, lw=0.8, ls=(0, (4, 3)))
    line = pooled(cells.weight, cells.labels)[0]
    ax.plot(
        axis.of(cells.predictions[0], cells.of_other[0]),
        axis.of_probability(line),
        color=palette.first,
        lw=1.4,
        drawstyle="default",
    )
    axis.dress(ax, palette, "x")
    axis.dress(ax, palette, "y")
    name_axes(ax, palette, y="happened")
    below = ax.inset_axes((0.0, -0.3, 1.0, 0.2))
    axes_of(below, palette)
    draw_bars(below, axis, frame, frame["w"].to_numpy(), palette.first)
    axis.dress(below, palette, "x")
    below.set_yticks([])
    name_axes(below, palette, x="forecast")
    return ax


def scores(frame: pd.DataFrame, ax: "Axes | None" = None, *, palette: Palette = LIGHT) -> "Axes":
    """Draw the histogram of the scores of either class.

    Parameters
    ----------
    frame : DataFrame
        The cells of a state: see `logloss_spark.tables.cells.cells_table`.
    ax : Axes, optional
    palette : Palette
    """
    ax = axes_of(ax, palette)
    if frame.empty:
        return without_rows(ax, palette)
    axis = axis_of(frame)
    positive = frame["wy"].to_numpy()
    happened = draw_bars(ax, axis, frame, positive, palette.second)
    not_ = draw_bars(ax, axis, frame, frame["w"].to_numpy() - positive, palette.first)
    axis.dress(ax, palette, "x")
    ax.set_yticks([])
    name_axes(ax, palette, x="forecast", y="density")
    explain(ax, palette, [(happened, "happened"), (not_, "did not")])
    return ax


def ranking(frame: pd.DataFrame, ax: "Axes | None" = None, *, palette: Palette = LIGHT) -> "Axes":
    """Draw the ROC curve, and within which bounds the rows' own order may move it.

    Parameters
    ----------
    frame : DataFrame
        The cells of a state: see `logloss_spark.tables.cells.cells_table`.
    ax : Axes, optional
    palette : Palette
    """
    ax = axes_of(ax, palette, 3.6)
    if frame.empty:
        return without_rows(ax, palette)
    cells = cells_in(frame)
    positive, negative = cells.labels[0, ::-1], (cells.weight - cells.labels)[0, ::-1]
    true, false = (np.concatenate([[0.0], np.cumsum(side) / side.sum()]) for side in (positive, negative))
    ax.plot([0, 1], [0, 1], color=palette.soft, lw=0.8, ls=(0, (4, 3)))
    ax.plot(false, true, color=palette.first, lw=1.4)
    found = {name: float(values[0]) for name, values in ranking_of(cells).items()}
    write(ax, 0.97, 0.05, f"AUC {found['auc']:.4f} ± {found['auc_bound']:.1g}", palette, ha="right")
    ax.set_xlim(0, 1)
    ax.set_ylim(0, 1)
    name_axes(ax, palette, x="false positive rate", y="true positive rate")
    return ax


def drift(frame: pd.DataFrame, ax: "Axes | None" = None, *, palette: Palette = LIGHT) -> "Axes":
    """Draw the distributions of the scores of two states.

    Parameters
    ----------
    frame : DataFrame
        The cells of both states: those of `logloss_spark.tables.cells.cells_table`, and `side`, "reference" or
        "current".
    ax : Axes, optional
    palette : Palette
    """
    ax = axes_of(ax, palette)
    if frame.empty:
        return without_rows(ax, palette)
    axis = axis_of(frame.sort_values("cell"))
    entries = []
    for side, colour in (("reference", palette.first), ("current", palette.second)):
        of_side = frame[frame["side"] == side]
        entries.append((draw_bars(ax, axis, of_side, of_side["w"].to_numpy(), colour), side))
    axis.dress(ax, palette, "x")
    ax.set_yticks([])
    name_axes(ax, palette, x="forecast", y="density")
    explain(ax, palette, entries)
    return ax


def axis_of(frame: pd.DataFrame) -> ScoreAxis:
    """The axis on which the scores of cells are best seen."""
    return score_axis(*(frame[name].to_numpy(dtype=np.float64) for name in ("w", "wp", "wq")))


def draw_bars(ax: "Axes", axis: ScoreAxis, frame: pd.DataFrame, weights: Array, colour: str) -> object:
    """Draw how dense the weight of cells is along an axis of scores."""
    edges = axis.edges(BARS)
    at = axis.of(frame["wp"].to_numpy(), frame["wq"].to_numpy())
    held, _ = np.histogram(at, edges, weights=weights)
    with np.errstate(all="ignore"):
        density = held / weights.sum() / np.diff(edges)
    return ax.stairs(density, edges, color=colour, fill=False, lw=1.2)


def without_rows(ax: "Axes", palette: Palette) -> "Axes":
    """Say that there is nothing to draw."""
    ax.set_axis_off()
    write(ax, 0.5, 0.5, "no row was scored", palette, ha="center", va="center", color=palette.soft)
    return ax
