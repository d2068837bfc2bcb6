"""Where plots are drawn: axes in the colours of a palette, and text from data, which is never taken as a formula."""

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from logloss_spark.extras import from_extra
from logloss_spark.kernels.sums import Array
from logloss_spark.report.palette import Palette
from logloss_spark.wording import visible

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH = 4.0
"""The width of a figure in inches: as wide as a phone, on which its text is then as large as on a page."""

SMALL, SMALLER = 8.0, 7.0
"""Sizes of text in points, of labels and of ticks and notes."""

LABEL = 28
"""The longest name of a slice beside an axis, in characters."""


def axes_of(ax: "Axes | None", palette: Palette, height: float = 3.0) -> "Axes":
    """Return the axes to draw on, in the colours of a palette: `ax`, or those of a new figure.

    The figure is pyplot's if pyplot is loaded already, as in a script that calls `plt.show`, or in a notebook's
    kernel, which shows what pyplot has open at the end of a cell. Else it belongs to nobody but the caller: pyplot
    would keep it until it is closed.
    """
    if ax is None:
        ax = figure_of(
            palette, height, shown="matplotlib.pyplot" in sys.modules or "ipykernel" in sys.modules
        ).subplots()
    ax.set_facecolor(palette.page)
    ax.spines[["top", "right"]].set_visible(False)
    ax.spines[["left", "bottom"]].set_color(palette.soft)
    ax.tick_params(colors=palette.soft, labelcolor=palette.soft, labelsize=SMALLER, length=2.5)
    return ax


def figure_of(palette: Palette, height: float, *, shown: bool = False) -> "Figure":
    """Return an empty figure of the usual width; pyplot's if it is to be shown, else one that pyplot does not know."""
    module, name = ("matplotlib.pyplot", "figure") if shown else ("matplotlib.figure", "Figure")
    made = getattr(from_extra(module, "report", "plots"), name)
    figure: Figure = made(figsize=(WIDTH, height), layout="constrained", facecolor=palette.page)
    return figure


def name_axes(ax: "Axes", palette: Palette, *, x: str = "", y: str = "", title: str = "") -> None:
    """Write what the axes are, and above them what is drawn."""
    ax.set_xlabel(visible(x, 80), color=palette.ink, fontsize=SMALL, parse_math=False)
    ax.set_ylabel(visible(y, 80), color=palette.ink, fontsize=SMALL, parse_math=False)
    ax.set_title(visible(title, 80), color=palette.ink, fontsize=SMALL, loc="left", parse_math=False)


def write(ax: "Axes", x: float, y: float, text: str, palette: Palette, **options: Any) -> None:
    """Write a text onto the axes, by default where x and y are shares of their width and height."""
    settings: dict[str, Any] = {"transform": ax.transAxes, "fontsize": SMALLER, "color": palette.ink} | options
    ax.text(x, y, text, parse_math=False, **settings)


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


def height_of_rows(count: int) -> float:
    """Return the height in inches of a figure with this many names on its y axis."""
    return 0.75 + 0.19 * max(count, 2)
