"""Show a drift to a person: its table, and what moved."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from logloss_spark.report.first_screen import MOODS
from logloss_spark.report.page import Headline, KeyFigure
from logloss_spark.report.text import View, alone, cells, p_values
from logloss_spark.states.slices import set_name
from logloss_spark.tables.drift import SIDES
from logloss_spark.wording import visible

NAMED = 3
"""Slices that a sentence names."""


def title_of_drift(slices: Sequence[str]) -> str:
    """Return what was compared, in words."""
    return "drift of one state from another" + (f" by {', '.join(map(visible, slices))}" if slices else "")


def view_of_drift(frame: pd.DataFrame, limit: int, slices: Sequence[str], classes: Sequence[Any]) -> View:
    """Return what a person sees of a drift: the first slices, and what all of them say.

    A mean label with an entry per class is omitted.
    """
    shown = frame.head(limit)
    means = [shown[f"{side}_label_mean"] for side in SIDES]
    per_class = any(pd.api.types.is_object_dtype(of_side) for of_side in means)
    table = {
        "slice": shown["slice"].tolist(),
        "reference_n": cells(shown["reference_n"]),
        "current_n": cells(shown["current_n"]),
        "psi": cells(shown["psi"]),
        "psi_expected": cells(shown["psi_expected"]),
        "p_adjusted": p_values(shown["p_adjusted"]),
        "scores_verdict": cells(shown["scores_verdict"]),
        **({} if per_class else {"label_mean": from_to(*means)}),
        "labels_verdict": cells(shown["labels_verdict"]),
        "label_p_adjusted": p_values(shown["label_p_adjusted"]),
    }
    part = [f"the first {limit:,} of {len(frame):,} slices"] if len(frame) > limit else []
    return View(title=title_of_drift(slices), table=table, remarks=[*part, *remarks_on_drift(frame, slices, classes)])


def from_to(before: "pd.Series[float]", after: "pd.Series[float]") -> list[str]:
    """Return two columns of numbers as one of texts, as in `0.1700 to 0.2800`."""
    return [f"{first} to {second}" for first, second in zip(cells(before), cells(after), strict=True)]


def remarks_on_drift(frame: pd.DataFrame, slices: Sequence[str], classes: Sequence[Any]) -> list[str]:
    """Return what moved, in a line for the scores and one for the labels of each grouping set."""
    sets = frame.groupby("grouping_id", sort=False)
    return [line for _, of_set in sets for line in what_moved(of_set, slices, classes)]


def what_moved(of_set: pd.DataFrame, slices: Sequence[str], classes: Sequence[Any]) -> list[str]:
    """Return a line on the scores and one on the labels of a grouping set."""
    first = of_set.iloc[0]
    if first["slice"] == "all":
        return [of_scores(first), of_labels(first, classes)]
    name = set_name(first["grouping_id"], slices)
    return [
        f"by {name}: {what} {on_slices(of_set, f'{what}_verdict', size)}"
        for what, size in (("scores", "psi"), ("labels", "label_kl"))
    ]


def of_scores(row: "pd.Series[Any]") -> str:
    """Return a line on whether the scores of a slice moved."""
    if not (row["reference_n"] and row["current_n"]):
        return f"the {'current' if row['reference_n'] else 'reference'} state has no row of positive weight"
    found = {"no evidence": "no evidence that scores moved"}.get(
        row["scores_verdict"], f"scores {row['scores_verdict']}"
    )
    return f"{found}: psi {row['psi']:.4f}, by chance alone {row['psi_expected']:.4f}"


def of_labels(row: "pd.Series[Any]", classes: Sequence[Any]) -> str:
    """Return a line on whether the labels of a slice moved; for K classes it names the class that moved most."""
    found = "labels moved" if row["labels_verdict"] == "moved" else "no evidence that labels moved"
    before, after = (np.atleast_1d(np.asarray(row[f"{side}_label_mean"], dtype=float)) for side in SIDES)
    if np.isnan(before).any() or np.isnan(after).any():
        return found
    most = int(np.argmax(np.abs(after - before)))
    what = "mean label" if len(before) == 1 else f"share of class {visible(repr(classes[most]))}"
    return f"{found}: {what} {before[most]:.4f} to {after[most]:.4f}"


def on_slices(of_set: pd.DataFrame, verdict: str, size: str) -> str:
    """Return how many slices each verdict has, and which; slices that moved most are named first."""
    parts = []
    for word in ("moved", "hardly moved", "no evidence"):
        such = of_set[of_set[verdict] == word]
        if len(such):
            largest = such.sort_values(size, ascending=False, kind="stable")["slice"].head(NAMED).map(visible)
            names = "" if word == "no evidence" else f" ({', '.join(largest)}{', ...' if len(such) > NAMED else ''})"
            parts.append(f"{word} on {len(such):,} of {len(of_set):,}{names}")
    return ", ".join(parts)


def headline_of_drift(frame: pd.DataFrame) -> Headline:
    """Return what moved: of all rows, or in how many slices where the states are compared slice by slice alone."""
    overall = frame[frame["slice"] == "all"]
    judged = frame if overall.empty else overall
    moved = [what for what in ("scores", "labels") if (judged[f"{what}_verdict"] == "moved").any()]
    if not moved:
        if (judged["scores_verdict"] == "hardly moved").any():
            return Headline("Hardly moved", "Scores moved less than matters.")
        return Headline("No evidence of drift", "Scores and labels are as the reference would have them by chance.")
    word = " and ".join(moved).capitalize() + " moved"
    if not overall.empty:
        return Headline(word, "They are not as the reference would have them by chance.", "bad")
    counts = [f"{what} on {(frame[f'{what}_verdict'] == 'moved').sum():,} of {len(frame):,}" for what in moved]
    return Headline(word, f"{' and '.join(counts).capitalize()} slices.", "bad")


def numbers_of_drift(frame: pd.DataFrame) -> list[KeyFigure]:
    """Return how far scores and labels of all rows moved; none where the states are compared by slices alone."""
    overall = frame[frame["slice"] == "all"]
    if overall.empty:
        return []
    row = overall.iloc[0]

    psi = KeyFigure(
        name="psi of the scores",
        value=alone(row["psi"]),
        meaning=f"by chance alone {alone(row['psi_expected'])}",
        mood=MOODS.get(row["scores_verdict"], ""),
    )
    before, after = (row[f"{side}_label_mean"] for side in SIDES)
    if not isinstance(after, float):  # one for each class
        return [psi]
    mood = MOODS.get(row["labels_verdict"], "")
    return [
        psi,
        KeyFigure(name="mean label", value=alone(after), meaning=f"{alone(before)} in the reference", mood=mood),
    ]
