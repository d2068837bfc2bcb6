"""What came of a gate as a JSON document, and as rows of a table."""

import json
import math
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from logloss_spark.gates.estimates import Baseline
from logloss_spark.gates.judging import Judged, Judgement
from logloss_spark.gates.rules import VERDICTS, Rule
from logloss_spark.report.gates import reason_of, records, worst_rules_first

SCHEMA = 1
"""The version of the JSON document. It rises when a key is renamed or gets another meaning."""

RUN = ("run_id", "run_time", "run_date", "judged", "config", "version")
"""What the document says of the run: `judged` is the day, of a store, and `config` the fingerprint of the gate."""

LISTED = 1_000
"""Slices of a rule in the JSON document and in JUnit's XML, the worst first; 5,000 of 20 rules would be 40 MB."""


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
