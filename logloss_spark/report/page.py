"""What a report consists of: the frames that were collected for it, and the sections that are made of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, runtime_checkable

import pandas as pd

from logloss_spark.errors import SpecError
from logloss_spark.gates.judging import Judgement
from logloss_spark.kernels.sums import Array
from logloss_spark.report.text import View
from logloss_spark.rows.columns import kind_of

LISTED = 5_000
"""Slices that a report lists, those that contribute most to the loss first: some 0.6 MB."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Page:
    """What a report is made of. All of it is on the driver; what is None has no section.

    Attributes
    ----------
    title : str
        What was evaluated, compared or fitted, in words.
    subject : str
        Which part of it, such as the day of a store; may be empty.
    coverage : str
        What an interval is called, as in `95% interval`.
    headline, numbers : Headline and sequence of KeyFigure
        What a reader sees first of a page without metrics.
    rows : RowCounts, optional
        The rows of a page without metrics.
    slices : tuple of str
        The slice columns, in the order of `grouping_id`.
    metrics : DataFrame, optional
        The metrics of the global row and of slices, in any order. A comparison, a drift or a fit alone has none.
    sizes : mapping from a grouping_id to the number of its slices, listed or not
    way_out : str
        What lets more rows be scored; may be empty.
    judgement : Judgement, optional
        What a gate says.
    days : DataFrame, optional
        The metrics of all rows and of each day; `day` is the column of the day.
    ages, final_age : mapping from the text of a day to a number of days, and such a number
        With labels that come late: how old each day was when it was evaluated, and the age at which all that count are
        there. A younger day is immature.
    cells : DataFrame, optional
        The cells of the score of all rows, from `tables.cells`.
    residuals : array, optional
        The residuals of clusters, from `tables.cells.cluster_residuals`.
    by_class : DataFrame, optional
        The table by class of all rows.
    worst : View, optional
        Which slices are worse than all other rows, among the combinations that were searched.
    recalibration : View, optional
        What recalibration would gain.
    drift : View, optional
        What moved since a reference; `drift_cells` are the cells of both states.
    comparison : View, optional
        What a comparison found; `differences` is its table.
    fit : View, optional
        What a fit did; `history` and `coefficients` are its tables.
    config : sequence of str
        The lines of the config, without secrets.
    command : str
        What makes the same evaluation again.
    facts : mapping of str to str
        What else is known of the run: its time, its date, versions, the engine.
    secrets : sequence of str
        Texts that are shown nowhere.
    """

    title: str
    coverage: str = ""
    metrics: pd.DataFrame | None = None
    subject: str = ""
    headline: "Headline | None" = None
    numbers: "Sequence[KeyFigure]" = ()
    rows: "RowCounts | None" = None
    slices: tuple[str, ...] = ()
    sizes: Mapping[int, int] = field(default_factory=dict)
    way_out: str = ""
    judgement: Judgement | None = None
    days: pd.DataFrame | None = None
    day: str = ""
    ages: Mapping[str, int] = field(default_factory=dict)
    final_age: int | None = None
    cells: pd.DataFrame | None = None
    residuals: Array | None = None
    by_class: pd.DataFrame | None = None
    worst: View | None = None
    recalibration: View | None = None
    drift: View | None = None
    drift_cells: pd.DataFrame | None = None
    comparison: View | None = None
    differences: pd.DataFrame | None = None
    fit: View | None = None
    history: pd.DataFrame | None = None
    coefficients: pd.DataFrame | None = None
    config: Sequence[str] = ()
    command: str = ""
    facts: Mapping[str, str] = field(default_factory=dict)
    secrets: Sequence[str] = ()

    @property
    def overall(self) -> "pd.Series[Any]":
        """The metrics of all rows, of a page that has metrics."""
        assert self.metrics is not None
        return self.metrics.loc[self.metrics["slice"] == "all"].iloc[0]


@runtime_checkable
class InReport(Protocol):
    """What can be shown in the report of something else: a drift, a comparison, a calibrator, a fitted model."""

    def in_report(self) -> Mapping[str, Any]:
        """Return the fields of a `Page` that it has."""


def page_with(page: Page, others: Sequence[InReport]) -> Page:
    """Return a page that shows other results, too; raise SpecError for what no report shows."""
    for other in others:
        if not isinstance(other, InReport):
            raise SpecError(
                f"a report also shows a Drift, a Comparison, a Calibrator or a LogisticModel, got a {kind_of(other)}"
            )
    return replace(page, **{name: value for other in others for name, value in other.in_report().items()})


@dataclass(frozen=True)
class Headline:
    """What a page says first: a word or two, a sentence, and the mood "good", "bad" or ""."""

    word: str
    sentence: str
    mood: str = ""


@dataclass(frozen=True, kw_only=True)
class RowCounts:
    """How many rows were read, and how many could not be used, by reason; what the others were is a word."""

    read: int
    left_out: Mapping[str, int]
    used: str = "scored"


@dataclass(frozen=True, kw_only=True)
class KeyFigure:
    """One of the numbers that a reader sees first.

    Attributes
    ----------
    name : str
    value, interval : str
        `interval` is empty where there is none.
    coverage : str
        What the interval is called.
    meaning : str
        What it says, in a sentence.
    mood : "good", "bad" or ""
    """

    name: str
    value: str
    meaning: str
    interval: str = ""
    coverage: str = ""
    mood: str = ""


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A picture: SVG that takes its colours from the page, and what it shows, in words."""

    name: str
    svg: str
    caption: str
    words: str


@dataclass(frozen=True, kw_only=True)
class Column:
    """A column of the table of slices: its name, whether its cells are "text", "count" or "number", its decimals."""

    name: str
    kind: str
    decimals: int = 0


@dataclass(frozen=True, kw_only=True)
class SliceTable:
    """The table of all slices.

    Attributes
    ----------
    columns : tuple of Column, of which the first is the slice
    sets : tuple of str
        The grouping sets.
    rows : list of lists
        One for each slice: the index of its grouping set, whether its interval lies above the loss of all rows (1), or
        below (-1), or neither (0), and its cells.
    order : int
        The index of the column by which rows are in order, the largest first.
    """

    columns: tuple[Column, ...]
    sets: tuple[str, ...]
    rows: list[list[Any]]
    order: int


@dataclass(frozen=True, kw_only=True)
class Section:
    """A section of a report. It may have sentences, pictures, tables, notes, and text with line breaks.

    Notes say how pictures and tables are to be read.
    """

    id: str
    title: str
    lines: Sequence[str] = ()
    pictures: Sequence[Picture] = ()
    tables: Sequence[View] = ()
    slices: SliceTable | None = None
    text: Sequence[str] = ()
    notes: Sequence[str] = ()
