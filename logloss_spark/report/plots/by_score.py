"""Plots of rows by their score, from the cells of states: reliability, histograms, ranking, and drift."""

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from logloss_spark.kernels.sums import Array
from logloss_spark.report.palette import LIGHT, Palette
from logloss_spark.report.plots.canvas import BAND, DASHED, axes_of, explain, name_axes, say_nothing, write
from logloss_spark.report.plots.score_axis import ScoreAxis, axis_of, cells_in
from logloss_spark.statistics.calibration import Cells, pooled
from logloss_spark.statistics.consistency import consistency_band
from logloss_spark.statistics.distributions import normal_quantile
from logloss_spark.statistics.intervals import standard_error, with_interval
from logloss_spark.statistics.ranking import ranking as measures_of_ranking
from logloss_spark.statistics.ranking import roc_band, roc_curve, squared_influence_of_auc

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.patches import StepPatch

BARS, FEWER_BARS = 40, 20
"""The most bars of a histogram of scores. Two states may score with other values, so theirs are wider."""


def reliability(
    frame: pd.DataFrame,
    ax: "Axes | None" = None,
    *,
    residuals: Array | None = None,
    confidence: float = 0.95,
    palette: Palette = LIGHT,
) -> "Axes":
    """Draw what happened against what was forecast, and below it how frequent scores are.

    The line is the isotonic fit (CORP) to the label means of the cells, by pooling adjacent violators. Calibrated
    forecasts would have it on the diagonal, and by chance within the grey band: the consistency band, simulated by
    `statistics.consistency.consistency_band`. Where the line leaves the band it is red. The axes are of logits if more
    than half of the forecasts are below 0.1, or above 0.9; they then leave out the outermost 0.1 % on either side.

    Parameters
    ----------
    frame : DataFrame
        The cells of a state: see `logloss_spark.tables.cells.cells_table`.
    ax : Axes, optional
        Where to draw. By default a new figure is made.
    residuals : array, optional
        With clusters, their residuals from `logloss_spark.tables.cells.cluster_residuals`: the band allows for them.
        Without it rows are taken as independent.
    confidence : float
        The share of simulated lines that the band holds at each score.
    palette : Palette
        The colours.

    Returns
    -------
    Axes of the diagram; the histogram is its child

    References
    ----------
    Dimitriadis, Gneiting, Jordan, Stable reliability diagrams for probabilistic classifiers, PNAS 118 (2021).
    """
    ax = axes_of(ax, palette, 4.2)
    if frame.empty:
        return say_nothing(ax, palette)
    cells, axis = cells_in(frame), axis_of(frame)
    line = pooled(cells.weight, cells.labels)[0]
    low, high = consistency_band(cells, confidence, residuals)
    x = axis.unbounded().of(cells.predictions[0], cells.of_other[0])
    inside = (x >= axis.least) & (x <= axis.most)
    x, line, low, high = (of_cells[inside] for of_cells in (x, line, low, high))
    upright = axis_of_lines(axis, line, low, high)
    low, high, y = (upright.of_probability(of_cells) for of_cells in (low, high, line))
    ends = np.array([axis.least, axis.most])
    ax.fill_between(x, low, high, color=palette.faint, lw=0, label="consistency band")
    ax.plot(ends, ends, color=palette.soft, lw=0.8, ls=DASHED, label="diagonal")
    ax.plot(x, y, color=palette.first, lw=1.3, label="CORP")
    beyond = (y < low) | (y > high)
    ax.plot(x, np.where(beyond, y, np.nan), color=palette.bad, lw=1.8, marker=".", ms=2.5, label="CORP beyond the band")
    axis.dress(ax, palette, "x")
    upright.dress(ax, palette, "y")
    ax.tick_params(labelbottom=False)
    name_axes(ax, palette, y="what happened")
    below = ax.inset_axes((0.0, -0.26, 1.0, 0.2))
    axes_of(below, palette)
    draw_bars(below, axis, frame, frame["w"].to_numpy(), frame["w2"].to_numpy(), palette.soft)
    axis.dress(below, palette, "x")
    below.set_yticks([])
    name_axes(below, palette, x="forecast", y="rows")
    return ax


def scores(
    frame: pd.DataFrame, ax: "Axes | None" = None, *, confidence: float = 0.95, palette: Palette = LIGHT
) -> "Axes":
    """Draw the histograms of the scores of the rows that happened, and of those that did not, with bands.

    Each has the area 1. The axis is chosen as in `reliability`. With a forecast per class the score is the probability
    of the likeliest class.

    Parameters
    ----------
    frame : DataFrame
        The cells of a state: see `logloss_spark.tables.cells.cells_table`.
    ax, palette :
        As in `reliability`.
    confidence : float
        The coverage of each bar's band, for independent rows.
    """
    ax = axes_of(ax, palette, 2.6)
    if frame.empty:
        return say_nothing(ax, palette)
    axis = axis_of(frame)
    sums = {name: frame[name].to_numpy(dtype=np.float64) for name in ("w", "w2", "wy", "w2y")}
    sides = (
        ("did not happen", sums["w"] - sums["wy"], sums["w2"] - sums["w2y"], palette.first),
        ("happened", sums["wy"], sums["w2y"], palette.second),
    )
    drawn = [
        (draw_bars(ax, axis, frame, weight, squares, colour, confidence), name)
        for name, weight, squares, colour in sides
        if weight.sum() > 0
    ]
    finish_histogram(ax, axis, palette, drawn)
    return ax


def ranking(
    frame: pd.DataFrame,
    ax: "Axes | None" = None,
    *,
    metrics: "pd.Series[Any] | None" = None,
    confidence: float = 0.95,
    palette: Palette = LIGHT,
) -> "Axes":
    """Draw the ROC curve with a band that holds all of it, and the bounds between which the rows' own order puts it.

    The light band is Campbell's: see `statistics.ranking.roc_band`. The dark one is what rows that share a cell of the
    score leave open; mostly it is thinner than the line, and a box where many rows have one score. By how much these
    may move the area is written below its interval, which does not hold it. Labels are 0 and 1.

    Rows are independent, unless `metrics` are those of clusters: these bring the error of the area under the curve, and
    the band is wider by as much as this error is than that of independent rows (Kish's design effect).

    Parameters
    ----------
    frame : DataFrame
        The cells of a state: see `logloss_spark.tables.cells.cells_table`.
    ax, palette :
        As in `reliability`.
    metrics : Series, optional
        The metrics of the same rows, with the area under the curve and its interval. By default these come from the
        cells (DeLong).
    confidence : float
        The coverage of the band, and of the interval if it comes from the cells.
    """
    ax = axes_of(ax, palette, 3.7)
    cells = cells_in(frame)
    if not 0.0 < cells.labels.sum() < cells.weight.sum():
        return say_nothing(ax, palette, "no row was scored" if frame.empty else "one class only: nothing to rank")
    (false,), (true,) = roc_curve(cells)
    area, stretch = area_of(cells, confidence), 1.0
    if metrics is not None and np.isfinite(metrics.get("auc_low", np.nan)):
        if metrics["buckets"] and area["auc_se"] > 0.0:
            stretch = max(1.0, float(metrics["auc_se"]) / area["auc_se"])
        area = {name: float(metrics[name]) for name in area}
    of_false, of_true = (stretch * reach[0] for reach in roc_band(cells, confidence))
    left, up = np.maximum(false - of_false, 0.0), np.minimum(true + of_true, 1.0)
    right, down = np.minimum(false + of_false, 1.0), np.maximum(true - of_true, 0.0)
    ax.fill(
        [0.0, *left, 1.0, 1.0, *right[::-1], 0.0],
        [0.0, *up, 1.0, 1.0, *down[::-1], 0.0],
        color=palette.first, alpha=BAND, lw=0, label="band",
    )  # fmt: skip
    ax.fill(
        np.concatenate([np.repeat(false, 2)[:-1], np.repeat(false, 2)[:0:-1]]),
        np.concatenate([np.repeat(true, 2)[1:], np.repeat(true, 2)[-2::-1]]),
        color=palette.first, alpha=0.5, lw=0, label="ties",
    )  # fmt: skip
    ax.plot([0, 1], [0, 1], color=palette.soft, lw=0.8, ls=DASHED, label="diagonal")
    ax.plot(false, true, color=palette.first, lw=1.3, label="ROC")
    ax.set_xlim(0, 1)
    ax.set_ylim(0, 1)
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_ticks([0.0, 0.25, 0.5, 0.75, 1.0], ["0", "0.25", "0.5", "0.75", "1"])
    words = "AUC {auc:.4f} [{auc_low:.4f}, {auc_high:.4f}]".format_map(area)
    words += f"\nties in cells add ± {area['auc_bound']:.2g}" if area["auc_bound"] else ""
    write(ax, 0.97, 0.05, words, palette, ha="right", va="bottom")
    name_axes(ax, palette, x="share of the others at or above a score", y="share of what happened at or above it")
    return ax


def drift(
    frame: pd.DataFrame, ax: "Axes | None" = None, *, confidence: float = 0.95, palette: Palette = LIGHT
) -> "Axes":
    """Draw the histograms of the scores of two states with bands.

    Parameters
    ----------
    frame : DataFrame
        The cells of both states: those of `logloss_spark.tables.cells.cells_table`, and `side`, "reference" or
        "current".
    ax, confidence, palette :
        As in `scores`.
    """
    ax = axes_of(ax, palette, 2.6)
    if frame.empty:
        return say_nothing(ax, palette)
    axis, drawn = axis_of(frame.sort_values("cell", kind="stable")), []
    for side, colour in (("reference", palette.first), ("current", palette.second)):
        of_side = frame[frame["side"] == side]
        if not of_side.empty:
            weight, squares = (of_side[name].to_numpy(dtype=np.float64) for name in ("w", "w2"))
            drawn.append((draw_bars(ax, axis, of_side, weight, squares, colour, confidence, FEWER_BARS), side))
    finish_histogram(ax, axis, palette, drawn)
    return ax


def axis_of_lines(axis: ScoreAxis, *lines: Array) -> ScoreAxis:
    """The axis beside that of the scores, of the same kind and long enough for these lines, but for 0 and 1."""
    if not axis.logit:
        ends = np.concatenate(lines)
        return replace(axis, least=min(axis.least, ends.min()), most=max(axis.most, ends.max()))
    inner = np.concatenate([line[(line > 0.0) & (line < 1.0)] for line in lines])
    at = axis.unbounded().of_probability(inner)
    return replace(axis, least=min([axis.least, *at]), most=max([axis.most, *at]))


def area_of(cells: Cells, confidence: float) -> dict[str, float]:
    """The area under the curve from cells, its error and interval, and how far ties within cells may move it."""
    found = measures_of_ranking(cells)
    rows = cells.weight.sum(axis=1) ** 2 / cells.squares.sum(axis=1)
    error = standard_error(squared_influence_of_auc(cells, found["auc"]), rows)
    area = with_interval("auc", found["auc"], error, normal_quantile(confidence)) | {"auc_bound": found["auc_bound"]}
    in_range = {"auc_low": np.maximum(area["auc_low"], 0.0), "auc_high": np.minimum(area["auc_high"], 1.0)}
    return {name: float(values[0]) for name, values in (area | in_range).items()}


def draw_bars(
    ax: "Axes",
    axis: ScoreAxis,
    frame: pd.DataFrame,
    weight: Array,
    squares: Array,
    colour: str,
    confidence: float | None = None,
    most: int = BARS,
) -> "StepPatch":
    """Draw how dense the weight of cells is along an axis of scores; filled, or with a band of this confidence."""
    edges = axis.edges(most)
    at = axis.of(frame["wp"].to_numpy(), frame["wq"].to_numpy())
    held, of_squares = (np.histogram(at, edges, weights=sums)[0] for sums in (weight, squares))
    share, width = held / weight.sum(), np.diff(edges)
    if confidence is None:
        bars: StepPatch = ax.stairs(share / width, edges, color=colour, fill=True, alpha=0.6)
        return bars
    # The linearised variance of a share of weights: sum of w^2 (in the bar or not, less the share)^2.
    variance = (of_squares * (1.0 - 2.0 * share) + share**2 * squares.sum()) / weight.sum() ** 2
    reach = normal_quantile(confidence) * np.sqrt(np.maximum(variance, 0.0))
    low, high = np.maximum(share - reach, 0.0) / width, (share + reach) / width
    ax.stairs(high, edges, baseline=low, color=colour, fill=True, alpha=BAND, lw=0)
    line: StepPatch = ax.stairs(share / width, edges, color=colour, baseline=None, lw=1.1)
    return line


def finish_histogram(ax: "Axes", axis: ScoreAxis, palette: Palette, drawn: list[tuple[Any, str]]) -> None:
    """Give histograms their axes and a legend above them."""
    axis.dress(ax, palette, "x")
    ax.set_ylim(bottom=0.0)
    ax.set_yticks([])
    name_axes(ax, palette, x="forecast", y="density")
    explain(ax, palette, drawn, loc="lower left", bbox_to_anchor=(0.0, 1.0), ncols=2, borderaxespad=0.2)
