"""Show what came of a gate to a person."""

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from logloss_spark.gates.alarms import Expectation, per_run
from logloss_spark.gates.estimates import Baseline
from logloss_spark.gates.judging import CAUSES, Judged, Judgement
from logloss_spark.gates.rules import VERDICTS, Rule
from logloss_spark.report.text import NOTHING, View
from logloss_spark.wording import counted, shortened

SHOWN = 5
"""Slices of a rule that a person is shown."""

BAD = ("fail", "warn", "watch")
"""Verdicts that a person looks at."""

UNJUDGED = ("missing", "too_few", "no_baseline")
"""Verdicts that say why a slice was not judged."""


def title_of_gate(judgement: Judgement, source: str) -> str:
    """Return what was judged, and what came of it, in words."""
    rules = ", ".join(f"{count} {verdict}" for verdict, count in judgement.counts.items())
    confidence = f"{100 * judgement.gate.confidence:g}% intervals"
    return f"gate of {source}: {judgement.verdict} ({counted(len(judgement.rules), 'rule')}: {rules}; {confidence})"


def view_of_gate(judgement: Judgement, source: str) -> View:
    """Return what a person sees of a gate: of each rule its worst slices, the worst rules first."""
    rules = worst_rules_first(judgement)
    rows = [row for judged in rules for row in rows_of(judged)]
    headers = ("rule", "verdict", "slice", "judged", "bound", "p")
    table = {header: [row[place] for row in rows] for place, header in enumerate(headers)}
    return View(title=title_of_gate(judgement, source), table=table, remarks=list(remarks_on_gate(rules)))


def worst_rules_first(judgement: Judgement) -> list[Judged]:
    """The rules, the worst first."""
    return sorted(judgement.rules, key=lambda judged: VERDICTS.index(judged.verdict))


def rows_of(judged: Judged) -> Iterator[tuple[str, ...]]:
    """The rows of a rule in the table that a person sees: its bad slices, or if there is none the first."""
    rule = judged.rule
    if not len(judged.slices):
        yield rule.name, judged.verdict, NOTHING, NOTHING, rule.bound_in_words, NOTHING
    bad = judged.slices["verdict"].isin(BAD).sum()
    for record in records(judged, min(max(bad, 1), SHOWN)):
        p = record["p_adjusted"]
        yield (
            rule.name,
            record["verdict"],
            record["slice"],
            estimate(record, "change" if rule.is_change else "value", rule.corridor.relative),
            rule.bound_in_words,
            NOTHING if math.isnan(p) else "<0.0001" if p < 0.0001 else f"{p:.4f}",
        )


def records(judged: Judged, most: int) -> list[dict[str, Any]]:
    """The first slices of a rule as dictionaries."""
    return [{str(key): value for key, value in row.items()} for row in judged.slices.head(most).to_dict("records")]


def estimate(record: Mapping[str, Any], name: str, relative: bool) -> str:
    """A value with its interval, or the value alone if it has none.

    Examples
    --------
    >>> estimate({"change": 0.025, "change_low": 0.01, "change_high": 0.04}, "change", True)
    '+2.5% [+1%, +4%]'
    """

    def written(value: float) -> str:
        sign = "+" if name == "change" else ""
        return f"{100 * value:{sign}.3g}%" if relative else f"{value:{sign}.4g}"

    value, low, high = (record[name + end] for end in ("", "_low", "_high"))
    if math.isnan(value):
        return NOTHING
    return written(value) if math.isnan(low) else f"{written(value)} [{written(low)}, {written(high)}]"


def remarks_on_gate(rules: Sequence[Judged]) -> Iterator[str]:
    """What a reader should know of each rule, beside the slices that are shown."""
    for judged in rules:
        name, counts = judged.rule.name, Counter(judged.slices["verdict"])
        bad = sum(counts[verdict] for verdict in BAD)
        if bad > SHOWN:
            yield f"{name}: of {counted(bad, 'slice')} that did not pass the worst {SHOWN} are shown"
        if judged.unmatched:
            yield f"{name}: no slice matches {shortened(judged.unmatched)}"
        unjudged = [f"{counts[verdict]:,} {verdict}" for verdict in UNJUDGED if counts[verdict]]
        if unjudged:
            yield f"{name}: not judged: {', '.join(unjudged)} of {counted(len(judged.slices), 'slice')}"
        if judged.baseline:
            yield f"{name}: compared with {baseline_in_words(judged.baseline)}"
        if judged.adjusted_over > 1 and bad:
            yield f"{name}: p is adjusted over {judged.adjusted_over:,} slices"


def baseline_in_words(baseline: Baseline) -> str:
    """What a rule compared with, or why there was nothing."""
    if baseline.measured is None:
        return f"nothing: {baseline.because}"
    days = f", {baseline.first} to {baseline.last}" if baseline.first else ""
    return f"{baseline.because or counted(baseline.states, 'state')}{days}"


def reason_of(record: Mapping[str, Any], rule: Rule) -> str:
    """Why a slice has its verdict, in a sentence."""
    cause, what = record["cause"], "change" if rule.is_change else "value"
    sentence = CAUSES[cause]
    if cause in ("over", "watched", "adjusted", "in_doubt", "inside"):
        sentence = f"{rule.metric} {estimate(record, what, rule.corridor.relative)}, {rule.bound_in_words}: {sentence}"
    if cause == "adjusted":
        sentence += f" (p {record['p_adjusted']:.2g})"
    if cause == "too_few":
        sentence += f": {record['n']:,.0f} rows"
    return sentence


def failure_of(judgement: Judgement) -> str:
    """Return which rules a gate fails by, and where, in one line.

    With `--strict` a gate that merely does not pass fails, too.
    """
    worst = worst_rules_first(judgement)
    verdict = judgement.verdict
    guilty = [judged for judged in worst if judged.verdict == verdict]
    named = shortened([f"{judged.rule.name} ({where(judged)})" for judged in guilty], SHOWN)
    return f"the gate says {verdict}: {len(guilty)} of {counted(len(worst), 'rule')}: {named}"


def where(judged: Judged) -> str:
    """The first slices that have the verdict of their rule, in words."""
    slices = judged.slices.loc[judged.slices["verdict"] == judged.verdict, "slice"].tolist()
    return shortened(slices, 3) if slices else f"no slice matches {shortened(judged.rule.slices, 3)}"


def view_of_expectations(expected: Sequence[Expectation], source: str) -> View:
    """Return what a person sees of how often a gate raises false alarms."""
    slices = sum(one.slices for one in expected)
    known = [one for one in expected if one.chance is not None]
    title = (
        f"gate of {source}: {counted(len(expected), 'rule')} over {counted(slices, 'slice')}; "
        f"if nothing changes, at most {100 * per_run(known):.3g} false alarms in 100 runs"
    )
    table = {
        "rule": [one.rule.name for one in expected],
        "slices": [f"{one.slices:,}" for one in expected],
        "bound": [one.rule.bound_in_words for one in expected],
        "in 100 runs": [NOTHING if one.chance is None else f"{100 * one.chance:.3g}" for one in expected],
    }
    left_out = len(expected) - len(known)
    remark = f"{counted(left_out, 'rule')} not counted: judged on the point, or no pass in doubt"
    return View(title=title, table=table, remarks=[remark] if left_out else [])
