"""Show a state to a person: what it holds, and if it is small, the metrics that can be read off it."""

import pandas as pd

from logloss_spark.io.local import LocalTable
from logloss_spark.report.comparisons import CLEAREST_FIRST, OF_CHALLENGER, OF_VERDICT, WORST_FIRST, view_of_comparison
from logloss_spark.report.evaluations import loss_in, view_of, worst_first
from logloss_spark.report.frames import ranked
from logloss_spark.report.text import View
from logloss_spark.states.conventions import Conventions
from logloss_spark.states.state import CheckedState
from logloss_spark.statistics.reporting import Coverage, Reading
from logloss_spark.tables.comparison import comparison_table
from logloss_spark.tables.metrics import metrics_table
from logloss_spark.wording import LISTED, shortened

QUICK = 20_000
"""A state of at most this many rows is read off to be shown: it takes a moment, and no query."""

SHOWN = 5
"""The slices of each column that are shown."""


def view_of_state(state: CheckedState, title: str) -> View:
    """Return what a person sees of a state: its metrics by each slice column, or of a large one what it holds.

    Nothing is computed in Spark: whoever looks at a state in a notebook has not asked for a query.
    """
    local = state.local
    if local is None or local.rows.num_rows > QUICK:
        return View(title=title, table=facts_of(state.conventions))
    slices = state.conventions.slices
    by = tuple((name,) for name in slices)
    if state.conventions.models:
        frame = frame_of(comparison_table(state, by, Coverage()))
        shown, named = (
            ranked(frame, WORST_FIRST, SHOWN, OF_CHALLENGER),
            ranked(frame, CLEAREST_FIRST, LISTED, OF_VERDICT),
        )
        return view_of_comparison(shown, named, title, state.conventions, Coverage())
    frame = frame_of(metrics_table(state, by, Reading()))
    return view_of(ranked(frame, worst_first(loss_in(frame)), SHOWN), title, slices, Reading())


def frame_of(table: object) -> pd.DataFrame:
    """The rows of a table that was computed on the driver."""
    assert isinstance(table, LocalTable)  # the state is on the driver
    return table.frame


def facts_of(conventions: Conventions) -> dict[str, list[str]]:
    """Return what a state holds, as the two columns of a table."""
    facts = {
        "forecasts": f"{conventions.kind} of {shortened(conventions.classes)}",
        "loss": conventions.loss,
        "slices": shortened(conventions.slices) or "none",
        "models": shortened(conventions.models) or "one",
        "errors": "by clusters" if conventions.buckets else "of independent rows",
    }
    return {"what": list(facts), "value": list(facts.values())}
