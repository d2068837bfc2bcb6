"""The sections of a report: each is made of the frames of a page, in the order in which a reader meets them."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial

import pandas as pd

from logloss_spark.kernels.status import MEANING
from logloss_spark.report import plots
from logloss_spark.report.evaluations import loss_in, remarks_on, remarks_on_losses
from logloss_spark.report.first_screen import gate_in_words
from logloss_spark.report.frames import has_number
from logloss_spark.report.gates import view_of_gate
from logloss_spark.report.over_time import of_days
from logloss_spark.report.page import Page, Picture, RowCounts, Section
from logloss_spark.report.pictures import picture
from logloss_spark.report.plots.by_slice import MOST_SLICES, by_excess
from logloss_spark.report.plots.canvas import height_of_rows
from logloss_spark.report.reliability import of_reliability
from logloss_spark.report.slice_table import FEW, slice_table
from logloss_spark.report.text import View, cells, estimates
from logloss_spark.rows.status import reasons_in
from logloss_spark.wording import counted, shortened, visible, visible_slice

NAMED = 3
"""Slices that a sentence names."""


def of_rows(page: Page) -> Section | None:
    """How many rows were read and used, and why the others were not."""
    if page.metrics is None:
        return section_on_rows(page.rows) if page.rows else None
    row = page.overall
    counts = RowCounts(read=int(row["rows"]), left_out=reasons_in(row.to_dict()))
    if not (row["n"] or counts.left_out):
        return Section(id="rows", title="Rows", lines=list(map(sentence, remarks_on(row))))
    return section_on_rows(counts, page.way_out, remarks_on_losses(row))


def section_on_rows(counts: RowCounts, way_out: str = "", remarks: Sequence[str] = ()) -> Section:
    """Return the section on rows; `way_out` lets more of them be scored, and `remarks` are on those that were."""
    read, reasons, used = counts.read, counts.left_out, counts.used
    dropped, said = sum(reasons.values()), list(map(sentence, remarks))
    if not dropped:
        return Section(id="rows", title="Rows", lines=[f"All {counted(read, 'row')} were {used}.", *said])
    lines = [f"{read - dropped:,} of {counted(read, 'row')} were {used}; {share(dropped / read)} were not:"]
    lines += [f"To score more of them: {way_out}."] if way_out else []
    ordered = sorted(reasons, key=lambda reason: -reasons[reason])
    table = {
        "reason": ordered,
        "rows": [f"{reasons[reason]:,}" for reason in ordered],
        "share": [share(reasons[reason] / read) for reason in ordered],
    }
    if all(reason in MEANING for reason in ordered):
        table["meaning"] = [MEANING[reason] for reason in ordered]
    return Section(id="rows", title="Rows", lines=lines, tables=[View(title="", table=table, remarks=said)])


def share(part: float) -> str:
    """Return a share as a percentage; one that is not 0 is never shown as 0.

    Examples
    --------
    >>> share(0.25), share(0.00002)
    ('25.00%', '<0.01%')
    """
    return "<0.01%" if 0.0 < part < 0.00005 else f"{part:.2%}"


def sentence(line: str, names: Iterable[str] = ()) -> str:
    """Return a remark as a sentence. If it begins with one of these names from data, the name stays as it is.

    Examples
    --------
    >>> sentence("scores moved"), sentence("v2 is better than v1", ["v2"])
    ('Scores moved.', 'v2 is better than v1.')
    """
    begins_with_name = any(line.startswith((name, visible(name))) for name in names if name)
    return f"{line}." if begins_with_name else f"{line[:1].upper()}{line[1:]}."


def of_gate(page: Page) -> Section | None:
    """What the gate says, the worst rules first."""
    if page.judgement is None:
        return None
    shown = view_of_gate(page.judgement, page.subject)
    names = [judged.rule.name for judged in page.judgement.rules]
    table = {name: shown.table[name] for name in ("rule", "verdict", "judged", "bound", "slice", "p")}
    view = View(title="", table=table, remarks=[sentence(line, names) for line in shown.remarks])
    intervals = f"Rules are judged on {100 * page.judgement.gate.confidence:g}% intervals, the worst first."
    return Section(id="gate", title="Gate", lines=[gate_in_words(page.judgement), intervals], tables=[view])


def of_slices(page: Page) -> Section | None:
    """Which slices add most to the loss, and all of them in a table."""
    table = None if page.metrics is None else slice_table(page)
    if page.metrics is None or table is None:
        return None
    loss, overall = loss_in(page.metrics), page.overall
    ordered = by_excess(page.metrics)
    worse = ordered[(ordered[f"{loss}_low"] > overall[loss]) & ~ordered["few"]]
    total = sum(size for rolled_up, size in page.sizes.items() if rolled_up != overall["grouping_id"]) or len(ordered)
    words = (
        f"{counted(len(worse), 'slice')} of {len(ordered):,} with an interval above the loss of all rows: "
        f"{shortened(list(map(visible_slice, worse['slice'])), NAMED)}"
        if len(worse)
        else f"No slice of {len(ordered):,} has an interval above the loss of all rows"
    )
    shown = min(len(ordered), MOST_SLICES)
    forest = picture(
        "slices",
        partial(plots.slices, page.metrics),
        height_of_rows(shown),
        caption=f"The loss of the slices that add most to it, with their {page.coverage}; the dashed line is all rows. "
        f"Slices in red or green differ from it after adjustment for all {len(ordered):,} (Benjamini and Hochberg).",
        words=forest_in_words(ordered.head(NAMED), loss, overall[loss]),
    )
    part = f" The {len(table.rows):,} that add most are listed." if total > len(table.rows) else ""
    explained = (
        "What a slice adds to the loss is its share of the weight times how far its loss lies above that of all rows: "
        f"a slice that is large and a little worse may cost more than a small one that is much worse.{part}"
    )
    alone = (
        "The number of slices above, and the colours and the filter of the table, take each interval by itself: of "
        "many slices that do not differ, some are above by chance."
    )
    few = [f"“{FEW}”: too few rows for an interval that holds what it claims."] if ordered["few"].any() else []
    return Section(
        id="slices-section",
        title="Slices",
        lines=[f"{words}.", explained],
        pictures=[forest],
        slices=table,
        notes=[alone, *few],
    )


def forest_in_words(first: pd.DataFrame, loss: str, overall: float) -> str:
    """Return the slices that add most to the loss in words."""
    known = zip(first["slice"], estimates(first, loss), strict=True)
    parts = [f"{visible_slice(name)} {' '.join(estimate.split())}" for name, estimate in known]
    return f"Loss of all rows {overall:.4f}; of the slices that add most to it: {'; '.join(parts)}"


def of_decomposition(page: Page) -> Section | None:
    """How the log loss comes about."""
    if page.metrics is None:
        return None
    row = page.overall
    if not has_number(row, "log_loss_miscalibration") or not has_number(row, "label_entropy"):
        return None
    words = (
        f"Knowing the class shares alone costs {row['label_entropy']:.4f}; telling rows apart saves "
        f"{row['log_loss_discrimination']:.4f}; forecasts that are off cost "
        f"{row['log_loss_miscalibration']:.4f}; the log loss is {row['log_loss']:.4f}"
    )
    waterfall = picture(
        "decomposition",
        partial(plots.decomposition, row),
        2.8,
        caption="From the loss of the class shares to that of the forecasts, by isotonic regression (CORP).",
        words=words,
    )
    return Section(id="decomposition", title="Where the loss comes from", lines=[f"{words}."], pictures=[waterfall])


def of_recalibration(page: Page) -> Section | None:
    """What recalibration would gain."""
    if page.recalibration is None:
        return None
    view, title = page.recalibration, "What recalibration would gain"
    if not view.table:
        return Section(id="recalibration", title=title, lines=view.remarks)
    line = "By how much the log loss falls if forecasts go through a curve of other rows. Below 0 it rises."
    said = replace(view, title="", remarks=list(map(sentence, view.remarks)))
    return Section(id="recalibration", title=title, lines=[line], tables=[said])


def of_classes(page: Page) -> Section | None:
    """What each class was forecast, how often it happened, and its part of the loss."""
    found = page.by_class
    if found is None or len(found) <= 2:
        return None
    share = "log_loss_share" if "log_loss_share" in found else "loss_share"
    first = found.sort_values(share, ascending=False, kind="stable").head(MOST_CLASSES)
    table = {
        "class": first["class"].astype(str).tolist(),
        "rows": cells(first["n"]),
        "happened": cells(first["label_mean"]),
        "forecast": cells(first["prediction_mean"]),
        "forecast / happened": cells(first["calibration_ratio"]),
        "share of the loss": cells(first[share]),
    }
    part = f"The {len(first)} of {len(found):,} with the largest share of the loss."
    lines = [part] if len(found) > len(first) else []
    return Section(id="classes", title="Classes", lines=lines, tables=[View(title="", table=table)])


MOST_CLASSES = 50
"""Classes that a report lists."""


def of_worst(page: Page) -> Section | None:
    """Which slices a search found, with a sentence that says how to read them."""
    if page.worst is None:
        return None
    named = page.worst.table["slice"]
    section = of_view("worst", "Slices that are worse than the rest", page.worst, [], named)
    words = "Own excess is by how much its loss is larger beside the other slices listed; contributions add up."
    return replace(section, notes=[words]) if named else section


def of_drift(page: Page) -> Section | None:
    """Whether scores and labels moved since a reference; of a store the days before the judged one."""
    if page.drift is None:
        return None
    found = page.drift_cells
    pictures = (
        []
        if found is None or found.empty
        else [
            picture(
                "drift",
                partial(plots.drift, found),
                2.6,
                caption="The scores of the reference and of now.",
                words="Two histograms of scores; " + "; ".join(page.drift.remarks),
            )
        ]
    )
    return of_view("drift", "Drift", page.drift, pictures)


def of_comparison(page: Page) -> Section | None:
    """Whether a challenger is better."""
    if page.comparison is None:
        return None
    found = page.differences
    pictures = (
        []
        if found is None
        else [
            picture(
                "differences",
                partial(plots.differences, found),
                height_of_rows(min(len(found), MOST_SLICES)),
                caption=f"The difference in loss from the baseline, with its {page.coverage}: left of 0 is better.",
                words="; ".join(page.comparison.remarks),
            )
        ]
    )
    challengers = [] if found is None else found["challenger"].astype(str).unique().tolist()
    table = page.comparison.table
    ordered = {name: table[name] for name in sorted(table, key=place_in_comparison)}
    return of_view("comparison", "Comparison", replace(page.comparison, table=ordered), pictures, challengers)


FIRST_OF_COMPARISON = ("slice", "challenger", "verdict", "difference", "p_adjusted")
"""The columns that a phone shows of a comparison."""


def place_in_comparison(column: str) -> int:
    """Where a column of a comparison stands; those that are not shown first keep their order behind."""
    name = column.partition(" ")[0]  # an interval says its coverage
    return FIRST_OF_COMPARISON.index(name) if name in FIRST_OF_COMPARISON else len(FIRST_OF_COMPARISON)


def of_fit(page: Page) -> Section | None:
    """What a fit did."""
    if page.fit is None:
        return None
    pictures = []
    history, found = page.history, page.coefficients
    if found is not None and len(found):
        shown = height_of_rows(min(len(found), MOST_SLICES))
        pictures.append(
            picture(
                "coefficients",
                partial(plots.coefficients, found),
                shown,
                caption="Coefficients with their 95% intervals, those first that are the most errors from 0.",
                words=f"{counted(len(found), 'coefficient')} of the model, which the table lists",
            )
        )
    if history is not None and len(history) > 1:
        pictures.append(
            picture(
                "history",
                partial(plots.history, history),
                2.4,
                caption="How far the objective is above its optimum after each iteration, and the largest entry of "
                "the gradient.",
                words="; ".join(page.fit.remarks),
            )
        )
    return of_view("fit", "Fit", page.fit, pictures)


def of_view(name: str, title: str, view: View, pictures: Sequence[Picture], names: Sequence[str] = ()) -> Section:
    """Return a section that shows a view: its remarks first, then pictures and the table.

    Remarks may begin with one of the names, which are from data.
    """
    lines, notes = ([sentence(line, names) for line in of_view] for of_view in (view.remarks, view.notes))
    table = View(title="", table=view.table)
    return Section(id=name, title=title, lines=lines, pictures=pictures, tables=[table], notes=notes)


def of_run(page: Page) -> Section | None:
    """What makes the same evaluation again: versions, the command, and the config without its secrets."""
    facts = View(title="", table={"what": list(page.facts), "value": list(page.facts.values())})
    command = [f"$ {page.command}"] if page.command else []
    text = [*command, *([""] if command and page.config else []), *page.config]
    if not (page.facts or text):
        return None
    return Section(id="run", title="How this was made", tables=[facts] if page.facts else [], text=text)


SECTIONS: tuple[Callable[[Page], Section | None], ...] = (
    of_rows,
    of_gate,
    of_days,
    of_reliability,
    of_slices,
    of_worst,
    of_decomposition,
    of_recalibration,
    of_classes,
    of_drift,
    of_comparison,
    of_fit,
    of_run,
)
"""What makes each section, in the order of the page; None where the page has nothing for it."""


def sections_of(page: Page) -> Iterator[Section]:
    """Return the sections of a page, in order."""
    for make in SECTIONS:
        section = make(page)
        if section is not None:
            yield section
