"""Show what came of a gate: as text, as a JSON document, as JUnit's XML, and as annotations and Markdown for GitHub.

Names of slices come from data and may hold anything. What goes to a terminal or a log is made visible on one line
first; each format then escapes what it would take as its own.
"""

import json
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from xml.etree import ElementTree

from logloss_spark.gates.alarms import Expectation, per_run
from logloss_spark.gates.judging import CAUSES, Baseline, Judged, Judgement
from logloss_spark.gates.rules import VERDICTS, Rule
from logloss_spark.report.text import NOTHING, View
from logloss_spark.wording import counted, shortened, visible

SCHEMA = 1
"""The version of the JSON document. It rises when a key is renamed or gets another meaning."""

RUN = ("run_id", "run_time", "run_date", "judged", "config", "version")
"""What the document says of the run: `judged` is the day, of a store, and `config` the fingerprint of the gate."""

SHOWN = 5
"""Slices of a rule that a person is shown."""

LISTED = 1_000
"""Slices of a rule in the JSON document and in JUnit's XML, the worst first; 5,000 of 20 rules would be 40 MB."""

ANNOTATIONS = 10
"""GitHub shows at most this many of a step."""

LENGTH = 200
"""The longest name of a slice in XML and Markdown, in columns of a terminal."""

BAD = ("fail", "warn", "watch")
"""Verdicts that a person looks at."""

UNJUDGED = ("missing", "too_few", "no_baseline")
"""Verdicts that say why a slice was not judged."""

MARKDOWN = str.maketrans({sign: f"&#{ord(sign)};" for sign in "&<>|`*_[]\\~#$@"})
"""Signs that Markdown or HTML would take as their own, as character references."""


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


def document_of(judgement: Judgement, run: Mapping[str, Any], listed: int = LISTED) -> dict[str, Any]:
    """Return what came of a gate as the JSON document of a gate: `docs/how-to/gate.md` describes it.

    Parameters
    ----------
    judgement : Judgement
    run : mapping
        What is known of the run: the values of `RUN`. All of its keys are in the document, null if they are not known.
    listed : int
        The slices of each rule that the document has; it counts the others.
    """
    slices = Counter(verdict for judged in judgement.rules for verdict in judged.slices["verdict"])
    return {
        "schema": SCHEMA,
        "verdict": judgement.verdict,
        **{key: run.get(key) for key in RUN},
        "counts": {
            "rules": judgement.counts,
            "slices": {verdict: slices[verdict] for verdict in VERDICTS if slices[verdict]},
        },
        "rules": [rule_document(judged, judgement, listed) for judged in worst_rules_first(judgement)],
    }


def rule_document(judged: Judged, judgement: Judgement, most: int) -> dict[str, Any]:
    """What came of a rule, as part of the JSON document."""
    rule, gate = judged.rule, judgement.gate
    key, bound = rule.bound
    listed = records(judged, most)
    return {
        "name": rule.name,
        "verdict": judged.verdict,
        "reason": None if len(judged.slices) else "no slice matches",
        "metric": rule.metric,
        "model": rule.model,
        "slices_asked": rule.slices,
        "except": rule.except_,
        "unmatched": list(judged.unmatched),
        "bound": {key: bound},
        "allowed": [finite(rule.corridor.low), finite(rule.corridor.high)],
        "relative": rule.corridor.relative,
        "confidence": gate.confidence,
        "false_alarms": gate.false_alarms,
        "adjusted_over": judged.adjusted_over,
        "judge": rule.judge,
        "in_doubt": rule.in_doubt,
        "level": rule.level,
        "min_rows": gate.min_rows if rule.min_rows is None else rule.min_rows,
        "persist": rule.persist,
        "baseline": baseline_document(judged.baseline),
        "over": [dict(name) for name in sorted(judged.over)],
        "slices": [
            slice_document(record, dict(name), rule)
            for record, name in zip(listed, judged.names[: len(listed)], strict=True)
        ],
        "slices_not_listed": len(judged.slices) - len(listed),
    }


def rows_of_document(document: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The document of a gate as rows of a table: one for each slice, with what is known of its run and its rule."""
    run = {key: document[key] for key in RUN}
    for rule in document["rules"]:
        of_rule = {
            "rule": rule["name"],
            "metric": rule["metric"],
            "bound": json.dumps(rule["bound"]),
            "rule_verdict": rule["verdict"],
            "gate_verdict": document["verdict"],
        }
        if not rule["slices"]:
            yield {**run, **of_rule, "verdict": rule["verdict"], "reason": rule["reason"]}
        for one in rule["slices"]:
            flat = {key: value for key, value in one.items() if key not in ("keys", "baseline", "change")}
            for name in ("baseline", "change"):
                for end, value in (one[name] or {}).items():
                    flat[name if end == "value" else f"{name}_{end}"] = value
            yield {**run, **of_rule, **flat}


ROW = (
    *RUN, "gate_verdict", "rule", "rule_verdict", "metric", "bound", "slice", "verdict", "reason", "rows", "n", "n_eff",
    "value", "low", "high", "baseline", "baseline_low", "baseline_high", "change", "change_low", "change_high",
    "p_value", "p_adjusted",
)  # fmt: skip
"""The columns of a table of verdicts."""


def baseline_document(baseline: Baseline | None) -> dict[str, Any] | None:
    """What a rule compared with, as part of the JSON document; None if it did not compare."""
    if baseline is None:
        return None
    return {
        "from": baseline.first,
        "to": baseline.last,
        "states": baseline.states,
        "because": baseline.because or None,
    }


def slice_document(record: Mapping[str, Any], keys: Mapping[str, str], rule: Rule) -> dict[str, Any]:
    """What came of a slice, as part of the JSON document."""

    def interval(name: str) -> dict[str, float | None]:
        return {end or "value": finite(record[name + (f"_{end}" if end else "")]) for end in ("", "low", "high")}

    return {
        "slice": record["slice"],
        "keys": keys,
        "verdict": record["verdict"],
        "reason": reason_of(record, rule),
        "rows": record["rows"],
        "n": record["n"],
        "n_eff": finite(record["n_eff"]),
        "value": finite(record["value"]),
        "low": finite(record["value_low"]),
        "high": finite(record["value_high"]),
        "baseline": interval("baseline") if rule.is_change else None,
        "change": interval("change") if rule.is_change else None,
        "p_value": finite(record["p_value"]),
        "p_adjusted": finite(record["p_adjusted"]),
    }


def finite(value: float) -> float | None:
    """A number as JSON has it: null for NaN and infinity."""
    return float(value) if math.isfinite(value) else None


def to_json(document: Mapping[str, Any]) -> str:
    """Return a document as JSON, in ASCII on one line."""
    return json.dumps(document, allow_nan=False)


def to_junit(judgement: Judgement) -> str:
    """Return what came of a gate as JUnit's XML: a suite for each rule, a case for each slice, the worst first."""
    root = ElementTree.Element("testsuites", name="logloss-spark gate")
    for judged in worst_rules_first(judgement):
        rule = judged.rule
        cases = list(cases_of(judged))
        numbers = Counter(tag for _, tag, _ in cases)
        suite = ElementTree.SubElement(
            root,
            "testsuite",
            name=legal(rule.name),
            tests=str(len(cases)),
            failures=str(numbers["failure"]),
            skipped=str(numbers["skipped"]),
            errors="0",
        )
        for name, tag, message in cases:
            case = ElementTree.SubElement(suite, "testcase", classname=legal(rule.name), name=legal(name))
            if tag == "system-out":
                ElementTree.SubElement(case, tag).text = legal(message)
            else:
                ElementTree.SubElement(case, tag, message=legal(message))
    return ElementTree.tostring(root, encoding="unicode", xml_declaration=False)


def cases_of(judged: Judged) -> Iterator[tuple[str, str, str]]:
    """The name of each case of a rule, the element that says what came of it, and its message."""
    elements = {"fail": "failure", "warn": "system-out", "watch": "system-out", "pass": "system-out"}
    if not len(judged.slices):
        message = f"no slice matches {shortened(judged.rule.slices)}"
        yield shortened(judged.rule.slices), elements[judged.verdict], message
    for record in records(judged, LISTED):
        yield (
            record["slice"],
            elements.get(record["verdict"], "skipped"),
            f"{record['verdict']}: {reason_of(record, judged.rule)}",
        )


def legal(text: str) -> str:
    """Return a text that XML 1.0 may hold, on one line: signs that are not printable become Python's escapes."""
    return visible(text, LENGTH)


def annotations(judgement: Judgement) -> Iterator[str]:
    """Return workflow commands of GitHub Actions, one a line, for the worst slices; at most as many as it shows."""
    found = [
        (VERDICTS.index(record["verdict"]), judged.rule.name, record["slice"], reason_of(record, judged.rule))
        for judged in worst_rules_first(judgement)
        for record in records(judged, ANNOTATIONS)
        if record["verdict"] in ("fail", "warn")
    ]
    found += [
        (VERDICTS.index(judged.verdict), judged.rule.name, shortened(judged.rule.slices), "no slice matches")
        for judged in judgement.rules
        if not len(judged.slices)
    ]
    for verdict, rule, slice_, reason in sorted(found, key=lambda annotation: annotation[0])[:ANNOTATIONS]:
        level = "error" if VERDICTS[verdict] == "fail" else "warning"
        title = of_property(f"gate {VERDICTS[verdict]}: {rule}, {slice_}")
        yield f"::{level} title={title}::{of_message(f'{slice_}: {reason}')}"


def of_message(text: str) -> str:
    """Return a text as the message of a workflow command."""
    shown = visible(text, LENGTH)
    return shown.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def of_property(text: str) -> str:
    """Return a text as a property of a workflow command."""
    return of_message(text).replace(":", "%3A").replace(",", "%2C")


def to_markdown(judgement: Judgement, source: str) -> str:
    """Return what a person sees of a gate as Markdown, for the summary of a step."""
    view = view_of_gate(judgement, source)
    lines = [list(view.table), ["---"] * len(view.table), *map(list, zip(*view.table.values(), strict=True))]
    table = "\n".join(f"| {' | '.join(map(escaped, line))} |" for line in lines)
    remarks = "".join(f"\n- {escaped(line)}" for line in view.remarks)
    return f"### {escaped(view.title)}\n\n{table}\n{remarks}\n"


def escaped(text: str) -> str:
    """Return a text that Markdown shows as it is."""
    return visible(text, LENGTH).translate(MARKDOWN)


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
    """The slices that have the verdict of their rule."""
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
