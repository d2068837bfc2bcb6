"""Plots of slices, from tables of metrics and comparisons: which slices cost most, and how a metric moves over time."""

import datetime
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from logloss_spark.errors import SpecError
from logloss_spark.kernels.sums import Array
from logloss_spark.report.evaluations import loss_in
from logloss_spark.report.palette import LIGHT, Palette
from logloss_spark.report.plots.canvas import (
    BAND,
    DASHED,
    LABEL,
    SMALLER,
    axes_of,
    draw_intervals,
    frame_of_intervals,
    height_of_rows,
    name_axes,
    name_rows,
    name_ticks,
    say_nothing,
    signed,
    write_beside,
)
from logloss_spark.statistics.catalogue import WINDOW
from logloss_spark.statistics.distributions import normal_p_value, student_p_value
from logloss_spark.statistics.multiplicity import adjusted_p_values
from logloss_spark.wording import did_you_mean, visible_slice

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST_SLICES = 20
"""Slices that a forest shows."""

MOST_TICKS = 4
"""Days or values that are named along an axis."""

CERTAIN = 0.05
"""A slice is coloured if its adjusted p-value is at most this."""

MOST_NAMES = 24
"""Values without an order that are named along an axis; of more, every second or third, so that names do not touch."""

SUMS = ("weight", "n_eff", "minority", "clipped_weight", "zero_weight")
"""Metrics of all rows that are sums of those of slices, or as good as; all counts are, too."""

MOST_DOTS = 60
"""From this many points on, a line has no dots."""


def slices(frame: pd.DataFrame, ax: "Axes | None" = None, *, palette: Palette = LIGHT) -> "Axes":
    """Draw the loss of slices with intervals, those first that add most to the loss of all rows.

    A slice adds W_s (L_s - L) / W, the number on the right: a large slice that is a little worse than all rows may cost
    more than a small one that is much worse. Up to 20 slices are drawn. A slice is red or green if its loss differs
    from that of all rows, taken as known, with a p-value of at most 0.05 after adjustment for all slices of the frame
    (Benjamini and Hochberg). A hollow dot has too few rows for its interval. Arrows stand where an interval goes beyond
    the plot.

    Parameters
    ----------
    frame : DataFrame
        Metrics, as `Evaluation.to_pandas` returns them.
    ax : Axes, optional
        Where to draw. By default a new figure is made, as high as its slices need.
    palette : Palette
        The colours.
    """
    loss, ordered = loss_in(frame), by_excess(frame)
    shown = ordered.head(MOST_SLICES)
    ax = axes_of(ax, palette, height_of_rows(len(shown)))
    if shown.empty:
        return say_nothing(ax, palette, "no slice was scored")
    overall = frame.loc[frame["slice"] == "all", loss].iloc[0]
    places = name_rows(ax, [visible_slice(name, LABEL) for name in shown["slice"]], palette)
    ax.axvline(overall, color=palette.soft, lw=0.8, ls=DASHED, zorder=1)
    differs = shown["p_adjusted"] <= CERTAIN
    colours = np.where(differs, np.where(shown["excess"] > 0, palette.bad, palette.good), palette.first)
    frame_of_intervals(ax, shown, loss, include=overall)
    draw_intervals(ax, shown, loss, places, colours.tolist(), palette)
    write_beside(ax, places, signed(shown["excess"].tolist()), palette)
    write_beside(ax, places[:1] + 0.8, ["adds"], palette, color=palette.soft)
    part = f", {len(shown)} of {len(ordered):,} slices" if len(ordered) > len(shown) else ""
    name_axes(ax, palette, x=f"{loss} (dashed: all rows{part})", x_at="right")
    return ax


def over(
    frame: pd.DataFrame,
    column: str,
    ax: "Axes | None" = None,
    *,
    metric: str | None = None,
    bound: float | None = None,
    palette: Palette = LIGHT,
) -> "Axes":
    """Draw a metric over the values of a slice column, such as the day, with the band of its intervals.

    Days and numbers are joined by a line, and stand as far apart as they are. Other values, which have no order, are
    drawn side by side with an interval each. Slices of NULL are left out. The dashed line is all rows; counts and sums
    have none, because theirs is the total.

    Parameters
    ----------
    frame : DataFrame
        Metrics, as `Evaluation.to_pandas` returns them, by a grouping set of the column alone; or windows of one size,
        as `windows(...)` has them, over the column that is their last day.
    column : str
        The slice column: dates, texts as 2026-01-31, timestamps, numbers, or anything else.
    ax : Axes, optional
        Where to draw. By default a new figure is made.
    metric : str, optional
        The column of the metrics that is drawn; by default the loss.
    bound : float, optional
        A line that the metric should not cross, such as the bound of a gate.
    palette : Palette
        The colours.

    Raises
    ------
    SpecError
        The frame has no such slice column or metric, no grouping set of the column alone, or windows of several sizes.
    """
    metric, along, whole = along_column(frame, column, metric)
    if along.empty:
        return say_nothing(axes_of(ax, palette, 2.4), palette, "no slice was scored")
    at, ordered = positions(along[column].tolist())
    ax = axes_of(ax, palette, 2.4 if ordered else 3.0)
    if whole is not None:
        ax.axhline(whole, color=palette.soft, lw=0.8, ls=DASHED, label="all")
    if bound is not None:
        ax.axhline(bound, color=palette.bad, lw=0.8, label="bound")
    y = along[metric].to_numpy(dtype=np.float64)
    low, high = (along.get(f"{metric}{end}", along[metric]).to_numpy(dtype=np.float64) for end in ("_low", "_high"))
    if ordered:
        ax.fill_between(at, low, high, color=palette.first, alpha=BAND, lw=0)
        ax.plot(at, y, color=palette.first, lw=1.2, marker="o" if len(at) <= MOST_DOTS else None, ms=2.5)
    else:
        ax.vlines(at, low, high, color=palette.first, lw=1.2)
        ax.plot(at, y, "o", color=palette.first, ms=3.5)
        ax.set_xlim(at[0] - 0.5, at[-1] + 0.5)
    count = len(at)
    named = (
        np.linspace(0, count - 1, MOST_TICKS).astype(int) if ordered else np.arange(0, count, -(-count // MOST_NAMES))
    )
    named = np.unique(named)
    name_ticks(ax, at[named], [str(along[column].iloc[place]) for place in named], 10 if ordered else LABEL)
    ax.locator_params(axis="y", nbins=5)
    lines = {"dashed: all rows": whole, "red: bound": bound}
    title = "; ".join(name for name, value in lines.items() if value is not None)
    name_axes(ax, palette, x=column, y=metric, title=title)
    ax.title.set(color=palette.soft, fontsize=SMALLER)
    return ax


def differences(frame: pd.DataFrame, ax: "Axes | None" = None, *, palette: Palette = LIGHT) -> "Axes":
    """Draw the difference of each challenger from the baseline by slice, with intervals, in the order of the frame.

    Green is better, red is worse, blue no evidence: the verdicts of the comparison, which are adjusted for the number
    of slices. The first 20 rows are drawn, all rows first. A hollow dot has too few rows for its interval.

    Parameters
    ----------
    frame : DataFrame
        A comparison, as `Comparison.to_pandas` returns it.
    ax, palette :
        As in `slices`.
    """
    known = frame[frame["difference"].notna()]
    shown = known.head(MOST_SLICES)
    ax = axes_of(ax, palette, height_of_rows(len(shown)))
    if shown.empty:
        return say_nothing(ax, palette)
    of_slices = shown["slice"].astype(str)
    several = frame["challenger"].nunique() > 1
    names = shown["challenger"].astype(str) + ": " + of_slices if several else of_slices
    places = name_rows(ax, [visible_slice(name, LABEL) for name in names], palette)
    ax.axvline(0.0, color=palette.soft, lw=0.8, zorder=1)
    colours = shown["verdict"].map({"better": palette.good, "worse": palette.bad}).fillna(palette.first)
    frame_of_intervals(ax, shown, "difference", include=0.0)
    draw_intervals(ax, shown, "difference", places, colours.tolist(), palette)
    part = f", {len(shown)} of {len(known):,} rows" if len(known) > len(shown) else ""
    name_axes(ax, palette, x=f"difference in log loss (below 0: better{part})", x_at="right")
    return ax


def by_excess(frame: pd.DataFrame) -> pd.DataFrame:
    """The slices of metrics that were scored, those first that add most to the loss of all rows.

    Returns
    -------
    DataFrame with two more columns: `excess`, W_s (L_s - L) / W; and `p_adjusted`, the p-value of L_s = L, adjusted for
    the number of slices, NaN where the loss has no error
    """
    loss, is_all = loss_in(frame), frame["slice"] == "all"
    overall, rest = frame[is_all].iloc[0], frame[~is_all & (frame["n"] > 0)]
    with np.errstate(all="ignore"):
        value = rest[loss].to_numpy(dtype=np.float64)
        away = np.where(np.isinf(value), value, value - overall[loss])
        z = away / rest[f"{loss}_se"].to_numpy(dtype=np.float64)
        df = rest["buckets"].to_numpy(dtype=np.float64) - 1.0
        p = np.where(df >= 0.0, student_p_value(z, np.maximum(df, 1.0)), normal_p_value(z))
    excess = rest["weight"].to_numpy(dtype=np.float64) * away / overall["weight"]
    ranked = rest.assign(excess=excess, p_adjusted=adjusted_p_values(p, np.zeros(len(p), dtype=np.int64)))
    return ranked.sort_values("excess", ascending=False, kind="stable")


def along_column(frame: pd.DataFrame, column: str, metric: str | None) -> tuple[str, pd.DataFrame, float | None]:
    """The metric that is drawn, the slices of a column alone in the order of its values, and the metric of all rows.

    The last is None where it is no height that a slice could reach.
    """
    metric = loss_in(frame) if metric is None else metric
    names = [str(name) for name in frame.loc[:, :"slice"]][:-1]
    are_windows = names[1:3] == [of.name for of in WINDOW]
    names = names[:1] if are_windows else names
    if column not in names:
        raise SpecError(f"column must be a slice column of the metrics, got {column!r}; {did_you_mean(column, names)}")
    if metric not in frame or not pd.api.types.is_numeric_dtype(frame[metric]):
        numbers = [str(name) for name in frame.select_dtypes("number")]
        raise SpecError(f"metric must be a column of numbers, got {metric!r}; {did_you_mean(metric, numbers)}")
    is_all = frame["slice"] == "all"
    if are_windows and frame["window"].nunique() > 1:
        sizes = ", ".join(map(str, sorted(frame["window"].unique())))
        raise SpecError(f"windows must be of one size, got {sizes}: draw frame[frame['window'] == ...]")
    of_set = frame[is_all if are_windows else frame["grouping_id"] == grouping_id_of(names, column)]
    if of_set.empty and len(frame) > 1:
        raise SpecError(
            f"the metrics must have slices by {column!r} alone, got none: evaluate with by=[[{column!r}], ...]"
        )
    along = of_set[of_set[column].notna() & of_set[metric].notna()].sort_values(column, kind="stable")
    is_total = metric in SUMS or pd.api.types.is_integer_dtype(frame[metric])
    return metric, along, None if are_windows or is_total else float(frame.loc[is_all, metric].iloc[0])


def grouping_id_of(names: Sequence[str], column: str) -> int:
    """The `grouping_id` of the set that has this slice column and no other.

    Examples
    --------
    >>> grouping_id_of(["day", "country", "device"], "day"), grouping_id_of(["day"], "day")
    (3, 0)
    """
    return (1 << len(names)) - 1 - (1 << len(names) - 1 - names.index(column))


def positions(values: Sequence[Any]) -> tuple[Array, bool]:
    """Where the values of a slice column are along an axis, and whether they have an order: days and numbers have.

    Examples
    --------
    >>> positions(["2026-01-01", "2026-01-04"]), positions(["DE", "US"])
    ((array([0., 3.]), True), (array([0., 1.]), False))
    """
    numbers = [order_of(value) for value in values]
    known = [number for number in numbers if number is not None]
    if len(known) < len(values):
        return np.arange(len(values), dtype=np.float64), False
    return np.array(known) - known[0], True


def order_of(value: Any) -> float | None:
    """A day as a number of days, a number as itself; None for anything else."""
    if isinstance(value, str):
        try:
            return float(datetime.date.fromisoformat(value).toordinal())
        except ValueError:
            return None
    if isinstance(value, datetime.datetime):
        return value.timestamp() / 86_400.0
    if isinstance(value, datetime.date):
        return float(value.toordinal())
    return float(value) if pd.api.types.is_number(value) and np.isfinite(float(value)) else None
