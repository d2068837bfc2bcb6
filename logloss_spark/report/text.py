"""Lay out a result for a person: a title, a table and remarks, for a terminal or as HTML.

All text that comes from data passes through here: control characters are made visible and long names are cut, and in
HTML all of it is escaped.
"""

import html
import math
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import pandas as pd

from logloss_spark.report.bars import Bars
from logloss_spark.wording import NAME, columns_taken, visible, visible_slice

TERMINAL_WIDTH = 100
"""The widest table, in columns of a terminal; a narrower terminal gets a narrower table."""

NARROWEST = 20
"""The first column, of names, keeps at least this width."""

FEWEST = 3
"""This many columns beside the names are always shown, however narrow the terminal."""

SENTENCE = 500
"""The longest title or remark, in characters."""

ALIGNED = "white-space: pre; font-variant-numeric: tabular-nums"
"""The style of a table in HTML: an interval is not broken, and digits and stars are aligned."""

NOTHING = "-"
"""Shown in the place of a number that is not defined."""


@dataclass(frozen=True, kw_only=True)
class View:
    """What is shown of a result.

    Parameters
    ----------
    title : str
    table : mapping from the name of a column to its cells
        The first column holds names.
    remarks : sequence of str
        What was found, and what a reader should know of it, a sentence each.
    notes : sequence of str
        How the table is to be read: its order, its stars.
    bars : mapping from the name of a column to the bars that stand beside its cells in HTML
    """

    title: str
    table: Mapping[str, Sequence[str]]
    remarks: Sequence[str] = ()
    notes: Sequence[str] = ()
    bars: Mapping[str, Bars] = field(default_factory=dict)

    @property
    def lines(self) -> tuple[str, ...]:
        """The sentences below the table, in order."""
        return (*self.notes, *self.remarks)


def as_text(view: View, width: int | None = None) -> str:
    """Return a view as text of a width; by default that of the terminal, and at most `TERMINAL_WIDTH`.

    Long names lose their middle. If the table is still too wide, its last columns are omitted and named below it.
    """
    width = width or min(shutil.get_terminal_size((TERMINAL_WIDTH, 24)).columns, TERMINAL_WIDTH)
    cells = {header: list(map(shower_of(header), column)) for header, column in view.table.items()}
    heads = {header: broken(visible(header), widest(column)) for header, column in cells.items()}
    taken = {header: widest([*heads[header], *column]) for header, column in cells.items()}
    names, *others = cells
    kept = list(others)
    while len(kept) > FEWEST and min(taken[names], NARROWEST) + sum(taken[header] + 1 for header in kept) > width:
        kept.pop()
    taken[names] = min(taken[names], max(NARROWEST, width - sum(taken[header] + 1 for header in kept)))
    cells[names] = [shower_of(names)(cell, taken[names]) for cell in cells[names]]
    rows = [
        [column[place] for column in (cells[names], *map(cells.__getitem__, kept))]
        for place in range(len(cells[names]))
    ]
    titles = [list(line) for line in zip(*(heads[header] for header in (names, *kept)), strict=True) if any(line)]
    lines = [aligned_row(row, [taken[header] for header in (names, *kept)]) for row in [*titles, *rows]]
    left_out = others[len(kept) :]
    narrow = [f"not shown in {width} columns: {', '.join(left_out)}"] if left_out else []
    return "\n".join(
        [visible(view.title, SENTENCE), *lines, *(visible(line, SENTENCE) for line in (*view.lines, *narrow))]
    )


def as_html(view: View) -> str:
    """Return a view as HTML for a notebook, which takes none of its text as markup or as a formula."""

    def safe(text: str, width: int = NAME) -> str:
        return html.escape(visible(text, width))

    def row(cells: Iterable[str], tag: str) -> str:
        name, *numbers = cells
        rest = "".join(f"<{tag}>{number}</{tag}>" for number in numbers)
        return f'<tr><{tag} style="text-align: left">{name}</{tag}>{rest}</tr>'

    columns = {header: [html.escape(shower_of(header)(cell)) for cell in cells] for header, cells in view.table.items()}
    for header, bars in view.bars.items():
        columns[header] = [cell + drawn for cell, drawn in zip(columns[header], bars.html(), strict=True)]
    body = "".join(row(cells, "td") for cells in zip(*columns.values(), strict=True))
    legend = [f"bars: {header}; the line is {bars.meaning}" for header, bars in view.bars.items()]
    remarks = "".join(f"<p>{safe(line, SENTENCE)}</p>" for line in (*view.lines, *legend))
    head = row(map(safe, columns), "th")
    return (
        f'<div class="tex2jax_ignore mathjax_ignore"><p><b>{safe(view.title, SENTENCE)}</b></p>'
        f'<table class="dataframe" style="{ALIGNED}"><thead style="white-space: normal">{head}</thead>'
        f"<tbody>{body}</tbody></table>{remarks}</div>"
    )


def shower_of(header: str) -> Callable[..., str]:
    """Return what makes the cells of a column fit for one line, at most so wide."""
    return visible_slice if header == "slice" else visible


def broken(header: str, width: int) -> tuple[str, str]:
    """Return a header in two lines; the first is empty if the header is no longer than the cells below it.

    Examples
    --------
    >>> broken("calibration_ratio", 6), broken("brier", 6), broken("log_loss [95% interval]", 15)
    (('calibration', '_ratio'), ('', 'brier'), ('log_loss', '[95% interval]'))
    """
    breaks = [place for place, sign in enumerate(header) if sign == "[" and place] or [
        place for place, sign in enumerate(header) if sign == "_" and place
    ]
    if len(header) <= width or not breaks:
        return "", header
    at = min(breaks, key=lambda place: max(place, len(header) - place))
    return header[:at].rstrip(), header[at:]


def widest(texts: Iterable[str]) -> int:
    """Return the width of the longest text on a terminal."""
    return max(map(columns_taken, texts), default=0)


def aligned_row(row: Sequence[str], widths: Sequence[int]) -> str:
    """Return a row of a table as text, its first cell aligned left and all others right."""
    blanks = [" " * (width - columns_taken(cell)) for cell, width in zip(row, widths, strict=True)]
    numbers = [blank + cell for cell, blank in zip(row[1:], blanks[1:], strict=True)]
    return " ".join([row[0] + blanks[0], *numbers]).rstrip()


def cells(values: "pd.Series") -> list[str]:
    """Return a column of a frame as texts: counts with thousands separators, numbers with the digits that matter."""
    if pd.api.types.is_bool_dtype(values):
        return ["yes" if value else "no" for value in values]
    if pd.api.types.is_integer_dtype(values):
        return [f"{value:,}" for value in values]
    if pd.api.types.is_float_dtype(values):
        return list(map(formatter(values), values))
    return [NOTHING if value is None else str(value) for value in values]


def cells_of_lists(values: "pd.Series") -> list[str]:
    """Return a column with an entry per class as texts."""
    return [NOTHING if value is None else ", ".join(cells(pd.Series(value, dtype=float))) for value in values]


def estimates(frame: pd.DataFrame, name: str) -> list[str]:
    """Return estimates with their intervals, as in `0.5268 [0.5250, 0.5286]`, or alone if the interval is undefined."""
    written = formatter(frame[name])
    values, lows, highs = (right(map(written, frame[f"{name}{end}"])) for end in ("", "_low", "_high"))
    defined = frame[f"{name}_low"].notna()
    blank = " " * len(f" [{lows[0]}, {highs[0]}]")
    return [
        value + (f" [{low}, {high}]" if known else blank)
        for value, low, high, known in zip(values, lows, highs, defined, strict=True)
    ]


def right(texts: Iterable[str]) -> list[str]:
    """Return texts padded to one width, aligned right."""
    kept = list(texts)
    width = widest(kept)
    return [text.rjust(width) for text in kept]


def p_values(values: "pd.Series[float]") -> list[str]:
    """Return p-values with four decimals; smaller ones are shown as <0.0001.

    Examples
    --------
    >>> p_values(pd.Series([0.25, 1e-19, math.nan]))
    ['0.2500', '<0.0001', '-']
    """
    return [NOTHING if math.isnan(p) else "<0.0001" if p < 0.0001 else f"{p:.4f}" for p in values]


def alone(value: float) -> str:
    """Return a number that stands alone, with the digits that matter.

    Examples
    --------
    >>> alone(0.52681), alone(0.00578), alone(math.nan)
    ('0.5268', '0.00578', '-')
    """
    return formatter(pd.Series([value]))(value)


def formatter(values: "pd.Series") -> Callable[[float], str]:
    """Return a function that formats the numbers of a column: four decimals, more for small ones, fewer for large ones.

    Examples
    --------
    >>> [formatter(pd.Series(values))(values[0]) for values in ([0.52681], [0.00578], [1234.5], [2e-12], [math.inf])]
    ['0.5268', '0.00578', '1234.50', '2.00e-12', 'inf']
    """
    typical = values[values.map(math.isfinite) & (values != 0.0)].abs().median()
    size = 0 if math.isnan(typical) else math.floor(math.log10(typical))
    decimals = max(0, 5 - size) if size > 1 else max(4, 2 - size)

    def written(value: float) -> str:
        if math.isnan(value):
            return NOTHING
        if decimals > 8:
            return f"{value:.2e}"
        return f"{value:z.{decimals}f}" if abs(value) < 1e6 else f"{value:.4g}"

    return written
