"""Where plots are drawn: axes in the colours of a palette, and text from data, which is never taken as a formula."""

import math
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd

from logloss_spark.extras import from_extra
from logloss_spark.kernels.sums import Array
from logloss_spark.report.bars import ends_of
from logloss_spark.report.palette import Palette
from logloss_spark.wording import columns_taken, visible

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH = 4.0
"""The width of a figure in inches: as wide as a phone, on which its text is then as large as on a page."""

SMALL, SMALLER = 8.0, 7.0
"""Sizes of text in points, of labels and of ticks and notes."""

LABEL = 28
"""The longest name of a slice beside an axis, in characters."""

DASHED = (0, (4, 3))
"""The dashes of a line that is no data, and no axis: the diagonal, or all rows."""

SIGN = 0.6
"""The width of a letter, of the size of its text."""

BAND = 0.25
"""The opacity of a band around a line of the same colour."""


def axes_of(ax: "Axes | None", palette: Palette, height: float = 3.0) -> "Axes":
    """Return the axes to draw on, in the colours of a palette: `ax`, or those of a new figure.

    The figure is pyplot's if pyplot is loaded already, as in a script that calls `plt.show`, or in a notebook's
    kernel, which shows what pyplot has open at the end of a cell. Else it belongs to nobody but the caller: pyplot
    would keep it until it is closed.
    """
    if ax is None:
        shown = not sys.modules.keys().isdisjoint(("matplotlib.pyplot", "ipykernel"))
        ax = figure_of(palette, height, shown=shown).subplots()
    ax.set_facecolor(palette.page)
    ax.spines[["top", "right"]].set_visible(False)
    ax.spines[["left", "bottom"]].set_color(palette.soft)
    ax.tick_params(colors=palette.soft, labelcolor=palette.soft, labelsize=SMALLER, length=2.5)
    ax.ticklabel_format(useOffset=False, useMathText=False)
    return ax


def figure_of(palette: Palette, height: float, *, shown: bool = False) -> "Figure":
    """Return an empty figure of the usual width; pyplot's if it is to be shown, else one that pyplot does not know."""
    module, name = ("matplotlib.pyplot", "figure") if shown else ("matplotlib.figure", "Figure")
    made = getattr(from_extra(module, "report", "plots"), name)
    figure: Figure = made(figsize=(WIDTH, height), layout="constrained", facecolor=palette.page)
    return figure


def name_axes(
    ax: "Axes",
    palette: Palette,
    *,
    x: str = "",
    y: str = "",
    title: str = "",
    x_at: Literal["center", "right"] = "center",
) -> None:
    """Write what the axes are, and above them what is drawn.

    Beside long names on the y axis there is little room: a label of the x axis that ends on the right may be as long
    as the figure is wide.
    """
    ax.set_xlabel(visible(x, 80), loc=x_at, color=palette.ink, fontsize=SMALL, parse_math=False)
    ax.set_ylabel(visible(y, 80), color=palette.ink, fontsize=SMALL, parse_math=False)
    ax.set_title(visible(title, 80), color=palette.ink, fontsize=SMALL, loc="left", parse_math=False)


def write(ax: "Axes", x: float, y: float, text: str, palette: Palette, **options: Any) -> None:
    """Write a text onto the axes, by default where x and y are shares of their width and height."""
    settings: dict[str, Any] = {"transform": ax.transAxes, "fontsize": SMALLER, "color": palette.ink} | options
    ax.text(x, y, text, parse_math=False, **settings)


def write_beside(ax: "Axes", places: Array, texts: Sequence[str], palette: Palette, **options: Any) -> None:
    """Write texts to the right of the axes, at these places of the y axis."""
    for place, text in zip(places, texts, strict=True):
        write(ax, 1.02, place, text, palette, transform=ax.get_yaxis_transform(), va="center", **options)


def signed(values: Sequence[float]) -> list[str]:
    """Write numbers with their signs, all to the same decimals: three digits of the largest.

    Examples
    --------
    >>> signed([0.0134, -0.00071, -1e-9])
    ['+0.0134', '−0.0007', '+0.0000']
    """
    largest = max((abs(value) for value in values if math.isfinite(value)), default=0.0)
    decimals = max(0, 2 - math.floor(math.log10(largest))) if largest else 0
    return [f"{value:+z.{decimals}f}".replace("-", "−") for value in values]


def explain(ax: "Axes", palette: Palette, entries: Sequence[tuple[Any, str]], **options: Any) -> None:
    """Add a legend of artists and what each of them is. Names from data are shown whatever they begin with."""
    drawn = [artist for artist, _ in entries]
    legend = ax.legend(drawn, ["."] * len(drawn), fontsize=SMALLER, frameon=False, **options)
    for text, (_, name) in zip(legend.get_texts(), entries, strict=True):
        text.set_parse_math(False)
        text.set_text(visible(name))
        text.set_color(palette.ink)


def name_rows(ax: "Axes", names: Sequence[str], palette: Palette) -> Array:
    """Make the y axis one of names, the first at the top, and return where each of them is."""
    places = np.arange(len(names), dtype=np.float64)[::-1]
    ax.set_yticks(places, [visible(name, LABEL) for name in names], parse_math=False, color=palette.ink)
    ax.set_ylim(-0.7, max(len(names), 1) - 0.3)
    ax.spines["left"].set_visible(False)
    ax.tick_params(axis="y", length=0)
    return places


def name_ticks(ax: "Axes", places: Array, names: Sequence[str], longest: int) -> None:
    """Name places of the x axis, each in at most so many letters. Names that have no room side by side are slanted."""
    shown = [visible(name, longest) for name in names]
    ax.set_xticks(places, shown, parse_math=False)
    left, right = ax.get_xlim()
    nearest = np.diff(places).min(initial=right - left) / (right - left)
    room = 72.0 * ax.bbox.width / ax.figure.dpi / (SIGN * SMALLER)
    if max(map(columns_taken, shown)) + 1 > nearest * room:
        slanted = {"rotation": 45, "ha": "right", "rotation_mode": "anchor"}
        for label in ax.get_xticklabels():
            label.set(**slanted)


def height_of_rows(count: int) -> float:
    """Return the height in inches of a figure with this many names on its y axis."""
    return 0.75 + 0.19 * max(count, 2)


def frame_of_intervals(ax: "Axes", frame: pd.DataFrame, name: str, *, include: float) -> None:
    """Choose how far the x axis goes: it holds all estimates, `include`, and the intervals but for very wide ones."""
    value, low, high = (frame[column].to_numpy(dtype=np.float64) for column in (name, f"{name}_low", f"{name}_high"))
    ax.set_xlim(*ends_of(value, low, high, include))
    ax.locator_params(axis="x", nbins=5)


def draw_intervals(
    ax: "Axes", frame: pd.DataFrame, name: str, places: Array, colours: Sequence[str], palette: Palette
) -> None:
    """Draw estimates as dots and their intervals as lines at these places of the y axis, within the x axis.

    A dot is hollow where the frame says that its rows are too few. An arrow stands where an interval leaves the axes.
    """
    value, low, high = (frame[column].to_numpy(dtype=np.float64) for column in (name, f"{name}_low", f"{name}_high"))
    left, right = ax.get_xlim()
    few = frame["few"].to_numpy(dtype=bool) if "few" in frame else np.zeros(len(frame), dtype=bool)
    ax.hlines(places, np.clip(low, left, right), np.clip(high, left, right), colors=list(colours), lw=1.2, zorder=2)
    faces = [palette.page if hollow else colour for hollow, colour in zip(few, colours, strict=True)]
    ax.scatter(value, places, s=14, c=faces, edgecolors=list(colours), linewidths=1.0, zorder=3)
    for beyond, end, marker in ((low < left, left, "<"), (high > right, right, ">")):
        inks = [colour for colour, is_beyond in zip(colours, beyond, strict=True) if is_beyond]
        if inks:
            ax.scatter(
                np.full(len(inks), end), places[beyond], s=12, c=inks, marker=marker, linewidths=0, clip_on=False
            )


def say_nothing(ax: "Axes", palette: Palette, why: str = "no row was scored") -> "Axes":
    """Say why there is nothing to draw, and return the axes."""
    ax.set_axis_off()
    write(ax, 0.5, 0.5, why, palette, ha="center", va="center", color=palette.soft)
    return ax
