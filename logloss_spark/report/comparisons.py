"""Show a comparison to a person: its title, its table, and conclusions."""

from collections.abc import Mapping, Sequence
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
from logloss_spark.report.frames import Order, Ranked
from logloss_spark.report.text import View, cells, estimates, p_values
from logloss_spark.rows.inputs import Rows
from logloss_spark.states.conventions import Conventions
from logloss_spark.states.slices import set_name
from logloss_spark.statistics.reporting import Coverage
from logloss_spark.wording import visible

WORST_FIRST = Order((("challenger", True), ("few", True), ("difference", False)))
"""The order of a challenger's slices: the worst first, and slices of too few rows last."""


CLEAREST_FIRST = Order((("challenger", True), ("few", True), ("p_value", True)))
"""The order in which slices of a verdict are named: the least likely by chance first."""


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
    remarks = [FEW_REMARK] if frame["few"].any() else []
    return View(
        title=title,
        table=table,
        remarks=[*remarks, *remarks_on_order(shown, conventions.slices), *conclusions(named, conventions)],
        bars={header: bars_of(frame, "difference", 0.0, "0, below which the challenger is better")},
    )


def conclusions(named: Ranked, conventions: Conventions) -> list[str]:
    """Return lines on what a comparison found: for each challenger as a whole and by slices, and on rows not scored."""
    sets = named.frame.groupby(list(OF_CHALLENGER), sort=False)
    lines = [conclusion(of_set, named.sizes, conventions.slices) for _, of_set in sets]
    if conventions.rows == "all":
        return [*lines, *not_scored(named.frame.iloc[0], " by all models")]
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
