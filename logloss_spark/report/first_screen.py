"""What a reader of a report sees first: the verdict, and three numbers with their intervals."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import pandas as pd

from logloss_spark.gates.judging import Judgement
from logloss_spark.report.evaluations import loss_in
from logloss_spark.report.gates import where
from logloss_spark.report.page import Headline, KeyFigure, Page
from logloss_spark.report.text import alone, formatter
from logloss_spark.wording import counted, shortened

NAMED = 3
"""Rules that a sentence names."""

WHOLE = 150
"""The longest name of a rule with its slices, in characters, that a sentence shows in full: three of them fit."""

MOODS = {"pass": "good", "fail": "bad", "better": "good", "worse": "bad", "moved": "bad"}
"""The moods of verdicts; others have none."""

OF_GATE = {
    "pass": "Pass",
    "fail": "Fail",
    "warn": "Warning",
    "watch": "Watch",
    "missing": "Not judged",
    "too_few": "Too few rows",
    "no_baseline": "No baseline yet",
}
"""What a page says first of each verdict of a gate."""


def headline(page: Page) -> Headline:
    """Return the verdict of the gate; without one, whether the forecasts beat the shares of the classes.

    A page without metrics brings a headline of its own.
    """
    if page.judgement is not None:
        verdict = page.judgement.verdict
        return Headline(OF_GATE[verdict], reason_of_gate(page.judgement), MOODS.get(verdict, ""))
    if page.metrics is None:
        return page.headline or Headline("Report", "")
    row = page.overall
    if not row["n"]:
        return Headline("No row scored", "There is nothing to measure.", "bad")
    if row["few"]:
        return Headline("Too few rows to tell", "An interval of so few rows misses more often than it claims.")
    low, high = (row.get(f"normalized_entropy_{end}", math.nan) for end in ("low", "high"))
    without = "There is no gate."
    if high < 1.0:
        return Headline("Better than the base rate", f"The forecasts beat the class shares alone. {without}", "good")
    if low > 1.0:
        return Headline("Worse than the base rate", f"The class shares alone would do better. {without}", "bad")
    if math.isnan(low):
        return Headline("Evaluated", without)
    return Headline("No better than the base rate", f"No evidence that the forecasts beat the class shares. {without}")


def reason_of_gate(judgement: Judgement) -> str:
    """Return which rules have the verdict of the gate, and where; how many there are, if all of them pass."""
    guilty = [judged for judged in judgement.rules if judged.verdict == judgement.verdict]
    if judgement.verdict == "pass":
        return gate_in_words(judgement)
    named = shortened([f"{judged.rule.name} ({where(judged)})" for judged in guilty], NAMED, WHOLE)
    return f"{len(guilty)} of {counted(len(judgement.rules), 'rule')}: {named}."


def gate_in_words(judgement: Judgement) -> str:
    """Return how many rules have each verdict."""
    counts = ", ".join(f"{count} {verdict.replace('_', ' ')}" for verdict, count in judgement.counts.items())
    return f"{counted(len(judgement.rules), 'rule')}: {counts}."


def numbers(page: Page) -> Sequence[KeyFigure]:
    """Return the three numbers that a reader sees first: those of the candidates that these forecasts have."""
    if page.metrics is None:
        return page.numbers
    row = page.overall
    loss = loss_in(row.index)
    candidates: dict[str, Callable[[Any], tuple[str, str]]] = {
        loss: of_loss,
        "normalized_entropy": of_normalized_entropy,
        "calibration_ratio": of_calibration_ratio,
        "brier": of_brier,
        "accuracy": lambda _: ("of the likeliest class", ""),
    }
    return [
        number(page, name, *meaning(row))
        for name, meaning in candidates.items()
        if name in row and isinstance(row[name], float) and not math.isnan(row[name])
    ][:3]


def number(page: Page, name: str, meaning: str, mood: str) -> KeyFigure:
    """Return a metric of all rows as one of the first numbers."""
    row = page.overall
    ends = [row.get(f"{name}_{end}", math.nan) for end in ("low", "high")]
    written = formatter(pd.Series([row[name]]))
    interval = "" if any(map(math.isnan, ends)) else f"{written(ends[0])} to {written(ends[1])}"
    return KeyFigure(
        name=name.replace("_", " "),
        value=written(row[name]),
        interval=interval,
        coverage=(f"{page.coverage}, of too few rows" if row["few"] else page.coverage) if interval else "",
        meaning=meaning,
        mood=mood,
    )


def of_loss(row: "pd.Series[Any]") -> tuple[str, str]:
    """What the mean loss says."""
    if "log_loss" not in row:
        return "mean loss of a row", ""
    return f"nats a row; the class shares alone would cost {alone(row['label_entropy'])}", ""


def of_normalized_entropy(row: "pd.Series[Any]") -> tuple[str, str]:
    """What the normalized entropy says."""
    if row["normalized_entropy_high"] < 1.0:
        return f"of the base rate's loss: {1.0 - row['normalized_entropy']:.1%} less", "good"
    if row["normalized_entropy_low"] > 1.0:
        return f"of the base rate's loss: {row['normalized_entropy'] - 1.0:.1%} more", "bad"
    return "of the base rate's loss; no evidence of a difference", ""


def of_calibration_ratio(row: "pd.Series[Any]") -> tuple[str, str]:
    """What the calibration ratio says."""
    off = row["calibration_ratio"] - 1.0
    if row["calibration_ratio_low"] > 1.0 or row["calibration_ratio_high"] < 1.0:
        return f"forecasts are {abs(off):.1%} too {'high' if off > 0 else 'low'} on average", ""
    return "mean forecast over mean label; no evidence that it is off 1", ""


def of_brier(_: Any) -> tuple[str, str]:
    """What the Brier score says."""
    return "mean squared error of the forecasts", ""
