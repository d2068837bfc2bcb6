"""What a person is told of a drift: its table, and what moved."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from logloss_spark.states.slices import set_name
from logloss_spark.tables.drift import SIDES
from logloss_spark.wording import visible

SHOWN = (
    "slice",
    "reference_n",
    "current_n",
    "psi",
    "psi_expected",
    "p_adjusted",
    "scores_verdict",
    "reference_label_mean",
    "current_label_mean",
    "label_p_adjusted",
    "labels_verdict",
)
"""What a person is shown first; of labels of K classes their p-value and verdict alone."""


NAMED = 3
"""Slices that a sentence names."""


def summary(frame: pd.DataFrame) -> pd.DataFrame:
    """The main metrics of some slices, rounded. Columns with an entry per class are omitted."""
    numbers = frame[list(SHOWN)].assign(slice=frame["slice"].map(visible))
    per_class = [name for name in numbers if numbers[name].map(lambda value: isinstance(value, np.ndarray)).any()]
    return numbers.drop(columns=per_class).round(4)


def conclusions(of_set: pd.DataFrame, slices: Sequence[str], classes: Sequence[Any]) -> list[str]:
    """What a grouping set says, in a line for the scores and one for the labels."""
    first = of_set.iloc[0]
    if first["slice"] == "all":
        return [of_scores(first), of_labels(first, classes)]
    name = set_name(first["grouping_id"], slices)
    return [
        f"by {name}: {what} {on_slices(of_set, f'{what}_verdict', size)}"
        for what, size in (("scores", "psi"), ("labels", "label_kl"))
    ]


def of_scores(row: "pd.Series[Any]") -> str:
    """What a slice says of the scores."""
    if not (row["reference_n"] and row["current_n"]):
        return f"the {'current' if row['reference_n'] else 'reference'} state has no row of positive weight"
    found = {"no evidence": "no evidence that scores moved"}.get(
        row["scores_verdict"], f"scores {row['scores_verdict']}"
    )
    return f"{found}: psi {row['psi']:.4f}, by chance alone {row['psi_expected']:.4f}"


def of_labels(row: "pd.Series[Any]", classes: Sequence[Any]) -> str:
    """What a slice says of the labels; of K classes by the one whose share moved most."""
    found = "labels moved" if row["labels_verdict"] == "moved" else "no evidence that labels moved"
    before, after = (np.atleast_1d(np.asarray(row[f"{side}_label_mean"], dtype=float)) for side in SIDES)
    if np.isnan(before).any() or np.isnan(after).any():
        return found
    most = int(np.argmax(np.abs(after - before)))
    what = "mean label" if len(before) == 1 else f"share of class {visible(repr(classes[most]))}"
    return f"{found}: {what} {before[most]:.4f} to {after[most]:.4f}"


def on_slices(of_set: pd.DataFrame, verdict: str, size: str) -> str:
    """On how many slices each verdict is given, and on which: those that moved most, the first of all."""
    parts = []
    for word in ("moved", "hardly moved", "no evidence"):
        such = of_set[of_set[verdict] == word]
        if len(such):
            largest = such.sort_values(size, ascending=False, kind="stable")["slice"].head(NAMED).map(visible)
            names = "" if word == "no evidence" else f" ({', '.join(largest)}{', ...' if len(such) > NAMED else ''})"
            parts.append(f"{word} on {len(such):,} of {len(of_set):,}{names}")
    return ", ".join(parts)
