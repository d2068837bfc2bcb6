"""Plots as SVG within a page: the colours are the page's, and the same data give the same bytes."""

import io
import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any
from xml.etree import ElementTree

from logloss_spark.extras import from_extra
from logloss_spark.report.page import Picture
from logloss_spark.report.palette import LIGHT

WIDTH = 4.0
"""The width of a picture in inches: a phone shows it nearly in its own size, and its text can be read."""

PAINT = {colour: f"var(--{name})" for name, colour in asdict(LIGHT).items()}
"""The page's variable for each colour of a plot, so that a dark page has dark pictures."""

SVG = "{http://www.w3.org/2000/svg}"
LEFT_OUT = (f"{SVG}metadata", f"{SVG}style")
"""Elements that say when and by what a picture was made, and how lines are joined on the whole page."""

COLOUR = re.compile(r"#[0-9a-f]{6}")
FONT = re.compile(r"font-family: [^;]*;? ?")
REFERENCE = re.compile(r"(?<=#)[\w.-]+")
COORDINATE = re.compile(r"-?\d+\.\d+")
DRAWN = ("d", "x", "y", "width", "height", "transform")
"""Attributes with coordinates. A hundredth of 1/288 of the width is finer than any screen."""

REFERRING = ("clip-path", "href")
"""Attributes that refer to an id."""


def picture(
    name: str, draw: Callable[[Any], Any], height: float | Sequence[float], *, caption: str, words: str
) -> Picture:
    """Return a picture of what `draw` draws on axes.

    Parameters
    ----------
    name : str
        Its name on the page, of letters and hyphens; no other picture may have it.
    draw : callable
        One of the functions of `report.plots`, with its frame; or a function that draws on a list of axes.
    height : float or sequence of float
        In inches; of several axes, which then stand below each other.
    caption : str
        What a reader should look at.
    words : str
        The numbers in words, for those who hear the page.
    """
    figures = from_extra("matplotlib.figure", "report", "reports")
    style = from_extra("matplotlib.style", "report", "reports")
    # A user's own style must not change a report.
    settings = ["default", {"svg.fonttype": "none", "svg.hashsalt": name}]
    with style.context(settings), warnings.catch_warnings():
        # The browser has the signs that matplotlib's font lacks.
        warnings.filterwarnings("ignore", r"Glyph .* missing from font", UserWarning)
        heights = list(height) if isinstance(height, Sequence) else [height]
        figure = figures.Figure(figsize=(WIDTH, sum(heights)), layout="constrained", facecolor="none")
        axes = figure.subplots(len(heights), height_ratios=heights, squeeze=False)[:, 0]
        draw(list(axes) if isinstance(height, Sequence) else axes[0])
        out = io.StringIO()
        figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None}, facecolor="none")
    return Picture(name=name, svg=embedded(out.getvalue(), name), caption=caption, words=words)


def embedded(svg: str, name: str) -> str:
    """Return a picture of matplotlib's as an element of a page: without a size, colours, fonts and ids of its own."""
    root = ElementTree.fromstring(svg)
    root.attrib = {"viewBox": root.attrib["viewBox"], "aria-hidden": "true", "focusable": "false"}
    for parent in root.iter():
        for child in list(parent):
            if child.tag in LEFT_OUT:
                parent.remove(child)
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]
        element.attrib = {key.rpartition("}")[2]: value for key, value in element.attrib.items()}
        if element.tag != "text":
            element.text = None
        element.tail = None
    ids = ids_in(root, name)
    for element in root.iter():
        element.attrib = {
            key: attribute_of(key, value, ids) for key, value in element.attrib.items() if key != "id" or value in ids
        }
    return ElementTree.tostring(root, encoding="unicode")


def ids_in(root: ElementTree.Element, name: str) -> dict[str, str]:
    """Return the ids that a picture refers to, with those that they get on a page.

    Those of matplotlib are hashes of coordinates, whose last digits change from process to process.
    """
    referring = [element.get(key, "") for element in root.iter() for key in REFERRING]
    used = dict.fromkeys(found[0] for value in referring if (found := REFERENCE.search(value)))
    return {old: f"{name}-{place}" for place, old in enumerate(used)}


def attribute_of(key: str, value: str, ids: Mapping[str, str]) -> str:
    """Return the value that an attribute of a picture has on a page."""
    if key == "id":
        return ids[value]
    if key in REFERRING:
        return REFERENCE.sub(lambda found: ids[found[0]], value)
    if key in DRAWN:
        return " ".join(COORDINATE.sub(lambda found: f"{float(found[0]):.2f}", value).split())
    return COLOUR.sub(lambda found: PAINT.get(found[0], found[0]), FONT.sub("", value)) if key == "style" else value
