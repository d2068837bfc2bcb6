"""Show a comparison to a person: its title, its table, and conclusions."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pandas as pd

from logloss_spark.report.bars import bars_of
from logloss_spark.report.evaluations import (
    FEW_REMARK,
    column_names,
    marked,
    not_scored,
    remarks_on_order,
    setting,
)
from logloss_spark.report.first_screen import MOODS
from logloss_spark.report.frames import Order, Ranked
from logloss_spark.report.page import Headline, KeyFigure, RowCounts
from logloss_spark.report.text import View, alone, cells, estimates, formatter, p_values
from logloss_spark.rows.inputs import Rows
from logloss_spark.rows.status import reasons_in
from logloss_spark.states.conventions import Conventions
from logloss_spark.states.slices import set_name
from logloss_spark.statistics.reporting import Coverage
from logloss_spark.wording import counted, visible

WORST_FIRST = Order((("challenger", True), ("few", True), ("difference", False)))
"""The order of a challenger's slices: the worst first, and slices of too few rows last."""


CLEAREST_FIRST = Order((("challenger", True), ("few", True), ("p_value", True)))
"""The order in which slices of a verdict are named: the least likely by chance first."""


BY_ALL = " by all models"
"""Who does not score a row that is left out."""

OF_CHALLENGER = ("grouping_id", "challenger")


OF_VERDICT = ("grouping_id", "challenger", "verdict")


def title_of_comparison(rows: Rows, source: str | None = None) -> str:
    """Return what was compared, in words."""
    baseline, *challengers = map(visible, rows.models)
    label = column_names(rows.roles.label)
    label += ", each on the rows that both score" if rows.compared_on == "shared" else ""
    return f"{' and '.join(challengers)} compared with {baseline} on {label}{setting(rows.roles, source)}"


def view_of_comparison(shown: Ranked, named: Ranked, title: str, conventions: Conventions, coverage: Coverage) -> View:
    """Return what a person sees of a comparison: some slices, and a sentence on each challenger and grouping set."""
    frame = shown.frame
    several = frame["challenger"].nunique() > 1
    header = f"difference [{coverage.words}]"
    table = {
        "slice": frame["slice"].tolist(),
        **({"challenger": frame["challenger"].tolist()} if several else {}),
        "n": cells(frame["n"]),
        "baseline_log_loss": cells(frame["baseline_log_loss"]),
        "challenger_log_loss": cells(frame["challenger_log_loss"]),
        header: marked(estimates(frame, "difference"), frame["few"]),
        "p_adjusted": p_values(frame["p_adjusted"]),
        "verdict": frame["verdict"].tolist(),
    }
    few = [FEW_REMARK] if frame["few"].any() else []
    return View(
        title=title,
        table=table,
        remarks=conclusions(named, conventions),
        notes=[*few, *remarks_on_order(shown, conventions.slices)],
        bars={header: bars_of(frame, "difference", 0.0, "0, below which the challenger is better")},
    )


def conclusions(named: Ranked, conventions: Conventions) -> list[str]:
    """Return lines on what a comparison found: for each challenger as a whole and by slices, and on rows not scored."""
    sets = named.frame.groupby(list(OF_CHALLENGER), sort=False)
    lines = [conclusion(of_set, named.sizes, conventions.slices) for _, of_set in sets]
    if conventions.rows == "all":
        return [*lines, *not_scored(named.frame.iloc[0], BY_ALL)]
    for _, overall in named.frame[named.frame["slice"] == "all"].iterrows():
        lines += not_scored(overall, f" by both {visible(overall['baseline'])} and {visible(overall['challenger'])}")
    return lines


def conclusion(of_set: pd.DataFrame, sizes: Mapping[tuple[Any, ...], int], slices: Sequence[str]) -> str:
    """Return a line on what a comparison found for one challenger and grouping set."""
    first = of_set.iloc[0]
    baseline, challenger = visible(first["baseline"]), visible(first["challenger"])
    if first["slice"] != "all":
        key = first["grouping_id"], first["challenger"]
        numbers = {verdict: sizes.get((*key, verdict), 0) for verdict in ("better", "worse", "no evidence")}
        total = sum(numbers.values())
        lines = []
        for verdict, number in numbers.items():
            names = of_set.loc[of_set["verdict"] == verdict, "slice"].map(visible)
            more = ", ..." if number > len(names) else ""
            if number:
                lines.append(f"{verdict} on {number:,} of {total:,} ({', '.join(names)}{more})")
        return f"{challenger} by {visible(set_name(key[0], slices))}: {', '.join(lines)}"
    if not first["n"]:
        return f"no row of positive weight is scored by {baseline} and {challenger} alike"
    claim = {
        "better": f"{challenger} is better than {baseline}",
        "worse": f"{challenger} is worse than {baseline}",
        "no evidence": f"no evidence that {challenger} is better or worse than {baseline}",
    }[first["verdict"]]
    interval = " ({difference_low:.5f} to {difference_high:.5f})" if pd.notna(first["difference_low"]) else ""
    found = f"{claim}: difference " + ("{difference:.5f}" + interval).format_map(first)
    if first["verdict"] != "no evidence" or not first["detectable"] > 0:
        return found
    return f"{found}; {first['n']:,} rows find {first['detectable']:.5f} or more in 80% of samples"


def first_of_comparison(
    view: View, differences: pd.DataFrame, conventions: Conventions, coverage: Coverage
) -> dict[str, Any]:
    """Return what the page of a comparison alone says first: fields of the page.

    Parameters
    ----------
    view : View
        What a person sees of the comparison.
    differences : DataFrame
        Its table, the global rows among others.
    conventions : Conventions
    coverage : Coverage
    """
    overall = differences[differences["slice"] == "all"]
    fields = {"headline": headline_of_comparison(overall), "numbers": numbers_of_comparison(overall, coverage)}
    if conventions.rows == "shared":
        return fields
    first = overall.iloc[0]
    left_out = reasons_in(first.to_dict())
    remarks = [line for line in view.remarks if line not in not_scored(first, BY_ALL)]
    rows = RowCounts(read=int(first["rows"]), left_out=left_out, used="compared")
    return fields | {"rows": rows, "comparison": replace(view, remarks=remarks)}


def headline_of_comparison(overall: pd.DataFrame) -> Headline:
    """Return whether the challenger is better; of several, how many are."""
    verdicts = overall["verdict"].tolist()
    better = verdicts.count("better")
    if not overall["n"].any():
        return Headline("No row compared", "There is nothing to measure.", "bad")
    if len(verdicts) > 1:
        mood = "good" if better else "bad" if set(verdicts) == {"worse"} else ""
        baseline = visible(overall["baseline"].iloc[0])
        beaten = f"{better:,} of {counted(len(verdicts), 'challenger')} {'is' if better == 1 else 'are'} better"
        return Headline(f"{beaten} than {baseline}", "Each is compared on all rows, and by slices below.", mood)
    if overall["few"].any():
        return Headline("Too few rows to tell", "An interval of so few rows misses more often than it claims.")
    challenger, baseline = (visible(overall[name].iloc[0]) for name in ("challenger", "baseline"))
    sentence = {
        "better": f"The log loss of {challenger} is below that of {baseline}.",
        "worse": f"The log loss of {challenger} is above that of {baseline}.",
        "no evidence": f"The rows do not tell {challenger} and {baseline} apart.",
    }[verdicts[0]]
    word = {"no evidence": "No evidence of a difference"}.get(verdicts[0], verdicts[0].capitalize())
    return Headline(word, sentence, MOODS.get(verdicts[0], ""))


def numbers_of_comparison(overall: pd.DataFrame, coverage: Coverage) -> list[KeyFigure]:
    """Return the difference of the challenger with both losses; of several, the differences of the first three."""
    several = len(overall) > 1
    found = []
    for _, row in overall.head(FIRST_NUMBERS).iterrows():
        written = formatter(pd.Series([row["difference"]]))
        low, high = row["difference_low"], row["difference_high"]
        known = pd.notna(low) and pd.notna(high)
        found.append(
            KeyFigure(
                name=f"difference of {visible(row['challenger'])}" if several else "difference",
                value=written(row["difference"]),
                interval=f"{written(low)} to {written(high)}" if known else "",
                coverage=coverage.words if known else "",
                meaning=f"nats a row from {visible(row['baseline'])}; below 0 is better",
                mood=MOODS.get(row["verdict"], ""),
            )
        )
    if several:
        return found
    row = overall.iloc[0]
    losses = [
        KeyFigure(
            name=f"log loss of {visible(row[side])}",
            value=alone(row[f"{side}_log_loss"]),
            meaning=f"nats a row, the {side}",
        )
        for side in ("challenger", "baseline")
    ]
    return [*found, *losses]


FIRST_NUMBERS = 3
"""Numbers that a reader sees first."""
