"""A report as one HTML file: it needs no network, takes no text of data as markup, and is readable on a phone."""

import base64
import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from importlib.resources import files
from itertools import groupby
from typing import Any

from logloss_spark.extras import from_extra
from logloss_spark.io.secrets import redacted
from logloss_spark.report.documents import write_document
from logloss_spark.report.first_screen import MOODS, headline, numbers
from logloss_spark.report.page import Page, SliceTable
from logloss_spark.report.palette import DARK, LIGHT
from logloss_spark.report.sections import sections_of
from logloss_spark.report.slice_table import cell_text, to_json
from logloss_spark.report.text import SENTENCE
from logloss_spark.version import __version__
from logloss_spark.wording import visible, visible_slice

WITHOUT_SCRIPT = 40
"""Slices that are in the table before a script runs."""

NEEDED = ("jinja2", "matplotlib")
"""The libraries of the extra `report`."""


def check_libraries() -> None:
    """Raise SpecError where a library that reports need is not installed."""
    for module in NEEDED:
        from_extra(module, "report", "reports")


def write_report(path: str, page: Page) -> None:
    """Write a report as one HTML file, in the place of an older one: readers find the one or the other.

    Raises
    ------
    SpecError
        A library of the extra `report` is missing, or the file cannot be written there.
    """
    write_document("the report", path, to_html(page))


def to_html(page: Page) -> str:
    """Return a report as one HTML document. The same page gives the same bytes."""
    check_libraries()
    jinja2 = from_extra("jinja2", "report", "reports")
    safe = from_extra("markupsafe", "report", "reports").Markup

    def shown(value: Any) -> Any:
        if not isinstance(value, str) or isinstance(value, safe):
            return value
        return visible(redacted(value, page.secrets), SENTENCE)

    def breakable(text: str) -> Any:
        return safe("/<wbr>").join(shown(text).split("/"))

    script = template("report.js")
    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined, finalize=shown
    )
    environment.filters |= {
        "markup": safe,
        "breakable": breakable,
        "lines": lines_of,
        "first_rows": first_rows,
        "shown_without_script": shown_without_script,
        "json": lambda table: safe(to_json(table)),
    }
    environment.tests["words"] = are_words
    sections = list(sections_of(page))
    document: str = environment.from_string(template("report.html")).render(
        page=page,
        verdict=headline(page),
        numbers=numbers(page),
        sections=sections,
        has_slices=any(section.slices for section in sections),
        light=asdict(LIGHT),
        dark=asdict(DARK),
        style=safe(template("report.css")),
        script=safe(script),
        script_hash=digest(script),
        version=__version__,
    )
    return document


def template(name: str) -> str:
    """Return a template of this package, which may be a zip file."""
    return (files("logloss_spark.report") / "templates" / name).read_text(encoding="utf-8")


def digest(script: str) -> str:
    """Return what a page's policy calls its only script: no other one runs, even where a text was taken as markup."""
    return f"sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}"


NUMBER = re.compile(r"[-+<]?[\d.,]+(e[-+]?\d+)?%?|-?inf|-|to|nan|")
"""What a word of a cell with numbers is, brackets and stars removed."""

LONG = 30
"""Texts from this length on are broken into lines."""


@dataclass(frozen=True)
class Cell:
    """A cell of a table: its text, the classes that say how it looks, and the lines it spans, 0 if one above does."""

    text: str
    looks: str
    rows: int = 1


def lines_of(table: Mapping[str, Sequence[str]]) -> Iterator[list[Cell]]:
    """Return the lines of a table. Words are aligned left, verdicts have their colour, and a name stands once.

    A name is in the first column, and lines below each other may have the same.
    """
    looks = [
        " ".join(["words"] * are_words(cells) + ["long"] * any(len(cell) > LONG for cell in cells))
        for cells in table.values()
    ]
    shown = [list(map(quoted_blanks, cells)) if name == "slice" else cells for name, cells in table.items()]
    spans = [span for _, names in groupby(shown[0]) for span in spans_of(len(list(names)))] if shown else []
    for line, rows in zip(zip(*shown, strict=True), spans, strict=True):
        first, *others = (
            Cell(cell, f"{of_column} {MOODS[cell]}".strip() if cell in MOODS else of_column)
            for cell, of_column in zip(line, looks, strict=True)
        )
        yield [replace(first, rows=rows), *others]


def spans_of(lines: int) -> list[int]:
    """Return how many lines the name of so many lines spans in each: all of them in the first.

    Examples
    --------
    >>> spans_of(3)
    [3, 0, 0]
    """
    return [lines] + [0] * (lines - 1)


def quoted_blanks(text: str) -> str:
    """Return a slice whose empty values, and blanks at their ends, can be seen."""
    return visible_slice(text, SENTENCE)


def are_words(cells: Sequence[str]) -> bool:
    """Whether a column holds words, and not numbers or intervals.

    Examples
    --------
    >>> are_words(["0.5 [0.4, 0.6] *", "-"]), are_words(["1,234"]), are_words(["fail", "-"])
    (False, False, True)
    """
    return not all(NUMBER.fullmatch(word.strip("[],*")) for cell in cells for word in cell.split())


@dataclass(frozen=True)
class TableRow:
    """A line of the table of slices without a script: its cells as texts, and its mood."""

    cells: Sequence[str]
    mood: str


def first_rows(table: SliceTable) -> Iterator[TableRow]:
    """Return the lines that the table of slices has before a script runs."""
    for _, side, *cells in table.rows[:WITHOUT_SCRIPT]:
        texts = [cell_text(cell, column) for cell, column in zip(cells, table.columns, strict=True)]
        yield TableRow(texts, {1: "bad", -1: "good"}.get(side, ""))


def shown_without_script(table: SliceTable) -> str:
    """Return how many slices are shown before a script runs."""
    shown = min(len(table.rows), WITHOUT_SCRIPT)
    rest = "; a script shows the others" if shown < len(table.rows) else ""
    return f"{shown:,} of {len(table.rows):,} slices{rest}"
