"""Show an evaluation to a person: its title, its table, and remarks."""

import math
from collections.abc import Iterable, Sequence
from typing import Any

import pandas as pd
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from logloss_spark.io.local import LocalTable
from logloss_spark.io.names import quoted
from logloss_spark.report.bars import bars_of
from logloss_spark.report.frames import Order, Ranked, first_of_each_set, ranked
from logloss_spark.report.text import View, cells, estimates
from logloss_spark.roles import Columns, Roles
from logloss_spark.rows.inputs import Rows
from logloss_spark.rows.status import reasons_in
from logloss_spark.states.slices import set_name
from logloss_spark.statistics.catalogue import METRICS, shown_first
from logloss_spark.statistics.intervals import FEW_BUCKETS, FEW_ROWS
from logloss_spark.statistics.reporting import Coverage
from logloss_spark.wording import PATH, counted, listed, visible

SHOWN_SLICES = 20
"""Slices that are shown of each grouping set, unless more are asked for."""


FEW_REMARK = (
    f"* few: the interval misses more often than it claims (under {FEW_ROWS} rows of the rarer class, or {FEW_BUCKETS} "
    "buckets of clusters)"
)


def worst_first(loss: str) -> Order:
    """The order in which slices are shown: the largest loss first, and slices of too few rows last."""
    return Order((("few", True), (loss, False)))


def first_slices(table: DataFrame | LocalTable, order: Order | None = None, limit: int = SHOWN_SLICES) -> Ranked:
    """Collect the first slices of a table of metrics, by default the worst, where all would be too many to collect."""
    if isinstance(table, LocalTable):
        return ranked(table.frame, order or worst_first(loss_in(table.schema.names)), limit)
    return first_of_each_set(table, order or worst_first(loss_in(table.columns)), limit)


def last_windows(table: DataFrame | LocalTable) -> Ranked:
    """Collect the windows that end on the last day of a table by windows: the slices of each that are shown."""
    sets = ("grouping_id", "window")
    if isinstance(table, LocalTable):
        frame, order = table.frame, by_window(loss_in(table.schema.names))
        return ranked(frame[frame.iloc[:, 0] == frame.iloc[:, 0].max()], order, SHOWN_SLICES, sets)
    day = quoted(table.columns[0])
    last = table.agg(F.max(day).alias("last")).first()
    assert last is not None
    of_day = table.where(day == F.lit(last["last"]))
    return first_of_each_set(of_day, by_window(loss_in(table.columns)), SHOWN_SLICES, sets)


def by_window(loss: str) -> Order:
    """The order in which windows are shown: the shortest first, of each the slices as `worst_first` orders them."""
    return Order((("window", True), *worst_first(loss).by))


def loss_in(columns: Iterable[Any]) -> str:
    """The column of the mean loss in a table of metrics: only cross-entropy is a log loss."""
    return "log_loss" if "log_loss" in columns else "loss"


def title_of(rows: Rows, source: str | None = None) -> str:
    """Return what was evaluated, in words: the loss, the columns, the table if it has a name, and the grouping sets.

    Examples
    --------
    >>> from logloss_spark.rows.inputs import rows_of
    >>> from logloss_spark.scoring import Scoring
    >>> df = spark.createDataFrame([], "late int, p double, day date, month int")
    >>> roles = Roles(label="late", prediction="p", cluster="day", by="month")
    >>> title_of(rows_of(df, roles, Scoring()), "flights")
    'log loss of p against late, clusters by day in flights: all rows, by month'
    """
    roles = rows.roles
    return f"{what_is_measured(rows.scoring.loss_name, roles.prediction, roles.label)}{setting(roles, source)}"


def what_is_measured(loss: str, prediction: Columns, label: Columns) -> str:
    """The loss and the columns in words."""
    what = "log loss" if loss == "cross_entropy" else loss
    return f"{what} of {column_names(prediction)} against {column_names(label)}"


def setting(roles: Roles, source: str | None) -> str:
    """The end of a title: how rows count, which table they are of, and by what they are sliced."""
    given = {", weights": roles.weight, ", clusters by": roles.cluster}
    others = "".join(f"{words} {visible(name)}" for words, name in given.items() if name)
    others += f" in {visible(source, PATH)}" if source else ""
    return f"{others}: {', '.join(['all rows', *(f'by {set_of(names)}' for names in roles.sets)])}"


def set_of(names: Sequence[str]) -> str:
    """A grouping set in words."""
    return " and ".join(map(visible, names))


def column_names(columns: Columns) -> str:
    """One column by its name, several by the first and the last."""
    if isinstance(columns, str) or len(columns) == 1:
        return visible(columns if isinstance(columns, str) else columns[0])
    return f"{visible(columns[0])} to {visible(columns[-1])}"


def view_of(
    ranked: Ranked,
    title: str,
    slices: Sequence[str],
    coverage: Coverage,
    metrics: Sequence[str] | None = None,
    way_out: str = "",
) -> View:
    """Return what a person sees of some slices: the metrics that are named, by default the main ones.

    Metrics with one value per class are omitted unless they are named. `way_out` says what lets more rows be scored.
    """
    frame, loss = ranked.frame, loss_in(ranked.frame)
    table, remarks = shown_columns(frame, coverage, metrics)
    remarks = [*remarks, *remarks_on_order(ranked, slices), *remarks_on(frame.iloc[0], way_out)]
    header = f"{loss} [{coverage.words}]"
    drawn = header in table and len(frame) > 1
    bars = {header: bars_of(frame, loss, float(frame[loss].iloc[0]), "all rows")} if drawn else {}
    return View(title=title, table=table, remarks=remarks, bars=bars)


def view_of_windows(
    ranked: Ranked,
    overall: "pd.Series[Any]",
    title: str,
    slices: Sequence[str],
    coverage: Coverage,
    metrics: Sequence[str] | None,
) -> View:
    """Return what a person sees of the last windows of a state, from `last_windows`; `overall` is its global row."""
    frame = ranked.frame
    table, remarks = shown_columns(frame, coverage, metrics)
    slice_, others = {"slice": table.pop("slice")}, table
    of_window = {name: cells(frame[name]) for name in ("window", "days")}
    sizes = frame["window"].unique().tolist()
    ending = (
        f": windows of {', '.join(map(str, sizes))} days that end on {frame.iloc[0, 0]}" if sizes else ": no windows"
    )
    remarks = [*remarks, *remarks_on_order(ranked, slices), *remarks_on(overall)]
    return View(title=title + ending, table=slice_ | of_window | others, remarks=remarks)


def shown_columns(
    frame: pd.DataFrame, coverage: Coverage, metrics: Sequence[str] | None
) -> tuple[dict[str, Sequence[str]], list[str]]:
    """Return the columns that a person sees of some slices, and a remark where intervals miss more than they claim."""
    loss = loss_in(frame)
    first = shown_first(METRICS, "cross_entropy" if loss == "log_loss" else loss)
    shown = [name for name in first if name in frame and frame[name].dtype != object] if metrics is None else metrics
    table: dict[str, Sequence[str]] = {
        "slice": frame["slice"].tolist(),
        "rows": cells(frame["rows"]),
        "n": cells(frame["n"]),
    }
    few = frame["few"] & bool(frame["n"].any())
    for name in shown:
        if name == loss:
            table[f"{name} [{coverage.words}]"] = marked(estimates(frame, name), few)
        else:
            table[name] = cells(frame[name])
    return table, [FEW_REMARK] if few.any() and loss in shown else []


def marked(texts: Sequence[str], few: "pd.Series[bool]") -> list[str]:
    """Return estimates, with a star at those whose interval does not cover what it claims."""
    return (
        [text + (" *" if mark else "  ") for text, mark in zip(texts, few, strict=True)] if few.any() else list(texts)
    )


def remarks_on_order(ranked: Ranked, slices: Sequence[str]) -> list[str]:
    """Return a line on the order of the slices, and on how many of them are shown."""
    shown = ranked.frame.groupby("grouping_id", sort=False)["slice"].nunique()
    if len(shown) == 1:
        return []
    column, ascending = ranked.order.by[-1]
    # Of several challengers each has the same slices.
    sizes = {set_[0]: size for set_, size in ranked.sizes.items()}
    parts = [
        f"{number:,} of {sizes[grouping_id]:,} slices by {visible(set_name(grouping_id, slices))}"
        for grouping_id, number in zip(shown.index.tolist(), shown.tolist(), strict=True)
        if sizes[grouping_id] > number
    ]
    first = f"{'smallest' if ascending else 'largest'} {visible(column)} first"
    return [f"{first}; shown: {', '.join(parts)}" if parts else first]


def remarks_on(overall: "pd.Series[Any]", way_out: str = "") -> list[str]:
    """Return what a reader should know of a slice, from its row of metrics."""
    lines = [f"{line}; {way_out}" if way_out else line for line in not_scored(overall)]
    if not (overall["n"] or lines):
        lines.append(f"no row was scored: {'all weights are 0' if overall['rows'] else 'the table has none'}")
    return [*lines, *remarks_on_losses(overall)]


def remarks_on_losses(overall: "pd.Series[Any]") -> list[str]:
    """Return what a reader should know of the losses of a slice, from its row of metrics."""
    loss, lines = loss_in(overall.index), []
    if overall["n"] and math.isnan(overall.get("weight", 0.0)):
        lines.append("weight is null: the sum of the weights is beyond a double, and the other metrics do without it")
    if overall["clipped"]:
        capped = "" if math.isinf(overall[loss]) else f", {overall['clipped_loss_share']:.1%} of the loss"
        lines.append(
            f"{counted(overall['clipped'], 'row')} gave what happened a probability below eps"
            f" ({overall['zero']:,} gave it 0){capped}"
        )
    if math.isinf(overall[loss]):
        lines.append(
            "log_loss is inf: with clip='none' one impossible event that happens costs everything"
            if loss == "log_loss"
            else "loss is inf: one row whose loss has no bound costs everything"
        )
    return lines


def not_scored(overall: "pd.Series[Any]", by: str = "") -> list[str]:
    """Return a line on the rows of a slice that were not scored, from its row of results; none if all were."""
    reasons = reasons_in(overall.to_dict())
    dropped = counted(sum(reasons.values()), "row")
    return [f"{dropped} of {overall['rows']:,} not scored{by}: {listed(reasons)}"] if reasons else []
