"""Show the worst slices to a person: what was searched, its table, and what it says."""

from collections.abc import Iterator

from logloss_spark.report.text import View, cells, estimates, p_values
from logloss_spark.statistics.reporting import Coverage
from logloss_spark.statistics.worst_slices import MOST_NAMED
from logloss_spark.tables.worst_slices import Searched
from logloss_spark.wording import counted, visible

SHOWN = 20
"""Slices that are shown, unless more are asked for."""


def title_of_search(found: Searched) -> str:
    """Return what was searched, in words."""
    depth = f", up to {found.max_depth} together" if len(found.columns) > 1 and found.max_depth > 1 else ""
    return f"slices that are worse than the rest, by {', '.join(map(visible, found.columns))}{depth}"


def view_of_search(found: Searched, limit: int = SHOWN) -> View:
    """Return what a person sees of the first slices that a search found."""
    frame = found.frame.head(limit)
    loss = "log_loss" if "log_loss" in frame else "loss"
    excess = f"excess [{Coverage(confidence=found.search.confidence).words}]"
    table = {
        "slice": frame["slice"].tolist(),
        "n": cells(frame["n"]),
        loss: cells(frame[loss]),
        excess: estimates(frame, "excess") if len(frame) else [],
        "own_excess": cells(frame["own_excess"]),
        "contribution": cells(frame["contribution"]),
        "p_adjusted": p_values(frame["p_adjusted"]),
    }
    return View(title=title_of_search(found), table=table, remarks=list(remarks_on_search(found, limit)))


def remarks_on_search(found: Searched, limit: int = SHOWN) -> Iterator[str]:
    """Return sentences on what a search found: how many slices, which hold the same rows, what was not looked at."""
    frame, asked = found.frame, found.search
    if not found.is_finite:
        yield "the mean loss is inf, and slices cannot be compared with it: evaluate with clip='eps'"
        return
    looked_at = f"{counted(found.looked_at, 'slice')} of {found.min_rows:,} rows or more"
    if not len(frame):
        yield f"no slice is worse than the rest: looked at {looked_at}"
    else:
        named = f"the {len(frame):,} listed say" if len(frame) > 1 else "the one listed says"
        by_themselves = f"looked at {looked_at}: {found.worse:,} worse than the rest"
        yield f"{by_themselves}; {named} all" if found.worse > len(frame) else by_themselves
    if len(frame) > limit:
        yield f"largest contribution first; shown: {limit:,} of {len(frame):,}"
    if len(frame) == MOST_NAMED:
        yield f"no more than {MOST_NAMED} slices are listed"
    for same, name in zip(frame["same_rows"].head(limit), frame["slice"].head(limit), strict=True):
        if same:
            yield f"{visible(name)} holds the same rows as {visible(same)}"
    if found.max_depth < min(asked.max_depth, len(found.columns)):
        yield (
            f"combinations of {found.max_depth + 1} columns are too many, and were not looked at: "
            "search fewer columns for them"
        )
    if found.min_rows > asked.min_rows:
        yield (
            f"there are too many combinations, so slices of fewer than {found.min_rows:,} rows were not looked at: "
            "search fewer columns for them"
        )
