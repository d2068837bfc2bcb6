"""Judge the rules of a gate on tables of metrics. A pure function: no Spark, no clock, no file."""

from collections.abc import Collection, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from logloss_spark.errors import SpecError
from logloss_spark.gates.estimates import (
    ABSENT,
    Baseline,
    Estimates,
    Index,
    Mask,
    Measurement,
    change_of,
    counted_rows,
    estimates,
)
from logloss_spark.gates.patterns import Name, pattern_of
from logloss_spark.gates.rules import VERDICTS, Against, Gate, Rule, Verdict, capped
from logloss_spark.kernels.sums import Array
from logloss_spark.statistics.bounds import distance_beyond, p_value_beyond
from logloss_spark.statistics.multiplicity import adjusted_p_values

CAUSES = {
    "over": "over the bound",
    "watched": "over the bound, but not yet in enough runs",
    "adjusted": "over the bound, but not after adjustment for the number of slices",
    "in_doubt": "the bound lies within the interval",
    "inside": "within the bound",
    "null": "the metric is null",
    "no_error": "the metric has no standard error here",
    "too_few": "fewer scored rows than min_rows",
    "no_baseline": "there is nothing to compare with",
}
"""Why a slice has its verdict."""


@dataclass(frozen=True, eq=False)
class Judged:
    """What came of a rule.

    Attributes
    ----------
    rule : Rule
    slices : DataFrame
        One row per slice, the worst first: `slice`, `rows`, `n`, `n_eff`; `value`, `baseline` and `change`, each with
        its `_low` and `_high`; `p_value`, `p_adjusted`, `cause` (a key of `CAUSES`) and `verdict`.
    names : the slice of each row
    unmatched : the patterns that name no slice of the table
    baseline : Baseline, or None where the rule compares with nothing
    """

    rule: Rule
    slices: pd.DataFrame
    names: tuple[Name, ...]
    unmatched: tuple[str, ...]
    baseline: Baseline | None

    @property
    def verdict(self) -> Verdict:
        """The worst of its slices. Those that were not judged count where none was."""
        found = set(self.slices["verdict"])
        if not found:
            return self.rule.level
        if self.unmatched and self.rule.on_missing in ("warn", "fail"):
            found.add(capped(self.rule.on_missing, self.rule.level))
        return worst(found)

    @property
    def over(self) -> frozenset[Name]:
        """The slices that are over a bound, in enough runs or not."""
        return frozenset(
            name for name, cause in zip(self.names, self.slices["cause"], strict=True) if cause in ("over", "watched")
        )

    @property
    def adjusted_over(self) -> int:
        """The number of slices over which p-values are adjusted."""
        return int(self.slices["p_value"].notna().sum())


@dataclass(frozen=True, eq=False)
class Judgement:
    """What came of a gate: its rules in the order of the config."""

    gate: Gate
    rules: tuple[Judged, ...]

    @property
    def verdict(self) -> Verdict:
        """The worst of its rules."""
        return worst({judged.verdict for judged in self.rules})

    @property
    def counts(self) -> dict[Verdict, int]:
        """How many rules have each verdict, the worst first."""
        found = [judged.verdict for judged in self.rules]
        return {verdict: found.count(verdict) for verdict in VERDICTS if verdict in found}


Earlier = Mapping[str, Collection[Name]]
"""The slices that were over a bound in an earlier run, by the name of the rule."""


def judge(
    gate: Gate, now: Measurement, baselines: Mapping[Against, Baseline] | None = None, earlier: Sequence[Earlier] = ()
) -> Judgement:
    """Judge every rule of a gate.

    Parameters
    ----------
    gate : Gate
    now : Measurement
        With a row for every slice that a rule names.
    baselines : mapping from what rules compare with to its metrics
    earlier : sequence
        The runs before this one, the latest first.

    Raises
    ------
    SpecError
        A rule names a metric, a slice column or a model that the table does not have.
    """
    found = baselines or {}
    return Judgement(
        gate,
        tuple(
            judge_rule(rule, gate, now, None if rule.against is None else found[rule.against], earlier)
            for rule in gate.rule
        ),
    )


def judge_rule(
    rule: Rule, gate: Gate, now: Measurement, baseline: Baseline | None = None, earlier: Sequence[Earlier] = ()
) -> Judged:
    """Judge one rule in the slices that it names."""
    try:
        rows, unmatched = matching(rule, now)
        names = [now.names[row] for row in rows]
        values = estimates(rule, now, rows)
        found = frame_of(rule, gate, now, rows, values)
        judged = values if baseline is None else enter_changes(rule, gate, now, rows, baseline, found)
    except SpecError as error:
        raise SpecError(f"rule {rule.name!r}: {error}") from None
    found["error"] = judged.error
    cause = why_not_judged(rule, gate, found)
    evidence = weigh(rule, gate, judged, cause == "")
    cause = np.where(cause == "", evidence.cause, cause)
    cause = np.where((cause == "over") & ~persists(rule, names, earlier), "watched", cause)
    found["p_value"], found["p_adjusted"], found["cause"] = evidence.p_value, evidence.p_adjusted, cause
    found["verdict"] = verdicts_of(rule, cause.tolist(), names)
    order = worst_first(rule, found)
    slices = found.iloc[order].reset_index(drop=True)
    return Judged(rule, slices, tuple(names[place] for place in order), unmatched, baseline)


def matching(rule: Rule, now: Measurement) -> tuple[Index, tuple[str, ...]]:
    """The rows of a table that a rule names, and the patterns of the rule that name no row."""
    wanted, unwanted = ([pattern_of(text, now.slices) for text in texts] for texts in (rule.slices, rule.except_))
    rows = now.rows_of(rule.model)
    named = [now.named_by([pattern])[rows] for pattern in wanted]
    kept = np.any(named, axis=0) & ~now.named_by(unwanted)[rows]
    return rows[kept], tuple(pattern.text for pattern, of_rule in zip(wanted, named, strict=True) if not of_rule.any())


def frame_of(rule: Rule, gate: Gate, now: Measurement, rows: Index, values: Estimates) -> pd.DataFrame:
    """The counts and the values of the slices of a rule; the columns of baseline and change are still NaN."""
    low, high = values.interval(gate.confidence)
    counts = {name: now.numbers(name, rows).astype(np.int64) for name in ("rows", "n")}
    columns = {
        "slice": now.table["slice"].to_numpy(dtype=object)[rows],
        **counts,
        "n_eff": now.numbers("n_eff", rows),
        "value": values.value,
        "value_low": low,
        "value_high": high,
        "counted": counted_rows(rule, now, rows),
    }
    nothing = ("baseline", "baseline_low", "baseline_high", "baseline_counted", "change", "change_low", "change_high")
    return pd.DataFrame(columns | dict.fromkeys(nothing, np.nan), index=range(len(rows)))


def enter_changes(
    rule: Rule, gate: Gate, now: Measurement, rows: Index, baseline: Baseline, found: pd.DataFrame
) -> Estimates:
    """Enter the values of the baseline and the changes against it into `found`, and return the changes."""
    then = baseline.measured
    if then is None:
        nothing = np.full(len(rows), np.nan)
        return Estimates(nothing, nothing, np.full(len(rows), np.inf))
    row_of = {then.names[row]: row for row in then.rows_of(rule.model)}
    before = np.array([row_of.get(now.names[row], ABSENT) for row in rows], dtype=np.int64)
    values = estimates(rule, then, before)
    changes = change_of(rule, (now, rows), (then, before))
    found["baseline"], found["change"] = values.value, changes.value
    found["baseline_low"], found["baseline_high"] = values.interval(gate.confidence)
    found["change_low"], found["change_high"] = changes.interval(gate.confidence)
    found["baseline_counted"] = counted_rows(rule, then, before)
    return changes


def why_not_judged(rule: Rule, gate: Gate, found: pd.DataFrame) -> npt.NDArray[np.object_]:
    """The causes why slices cannot be judged; an empty text for those that can."""
    least = gate.min_rows if rule.min_rows is None else rule.min_rows
    null = found["value"].isna()
    reasons: list[tuple[Any, str]] = [
        (null & ~(found["counted"] > 0), "null"),
        (found["counted"] < least, "too_few"),
        (null, "null"),
    ]
    if rule.is_change:
        reasons += [(found["change"].isna(), "no_baseline"), (found["baseline_counted"] < least, "too_few")]
    if rule.judge == "interval":
        reasons.append((found["error"].isna(), "no_error"))
    masks, causes = zip(*((mask.to_numpy(), cause) for mask, cause in reasons), strict=True)
    return np.asarray(np.select(masks, causes, ""), dtype=object)


@dataclass(frozen=True, eq=False)
class Evidence:
    """How clearly the values of n slices are over a bound: p-values, those after adjustment, and a cause; all (n,)."""

    p_value: Array
    p_adjusted: Array
    cause: npt.NDArray[np.object_]


def weigh(rule: Rule, gate: Gate, judged: Estimates, known: Mask) -> Evidence:
    """Weigh the evidence that values are over a rule's bound, in the slices that can be judged."""
    allowed, undefined = rule.corridor, np.full(len(known), np.nan)
    if rule.judge == "point":
        over = distance_beyond(judged.value, allowed.low, allowed.high) > 0.0
        return Evidence(undefined, undefined, np.where(over, "over", "inside").astype(object))
    p_value = undefined.copy()
    p_value[known] = p_value_beyond(
        judged.value[known], judged.error[known], judged.df[known], allowed.low, allowed.high
    )
    adjusted = adjusted_p_values(p_value, np.zeros(len(known), np.int64)) if gate.false_alarms else p_value
    low, high = judged.interval(gate.confidence)
    over = (low > allowed.high) | (high < allowed.low)
    inside = (low >= allowed.low) & (high <= allowed.high)
    found = adjusted <= gate.false_alarms if gate.false_alarms else np.ones_like(over)
    cause = np.select([over & found, over, inside], ["over", "adjusted", "inside"], "in_doubt")
    return Evidence(p_value, adjusted, cause.astype(object))


def persists(rule: Rule, names: Sequence[Name], earlier: Sequence[Earlier]) -> Mask:
    """Whether slices that are over a bound now have been so in enough of the last runs, this one among them."""
    least, runs = rule.persistence
    before = [over.get(rule.name, ()) for over in earlier[: runs - 1]]
    if not before:
        return np.full(len(names), least <= 1)
    return np.array([1 + sum(name in over for over in before) >= least for name in names], dtype=np.bool_)


def verdicts_of(rule: Rule, causes: Sequence[str], names: Sequence[Name]) -> list[Verdict]:
    """The verdict on each slice. It follows from its cause, and from whether it is the whole table."""
    pairs = [(cause, not name) for cause, name in zip(causes, names, strict=True)]
    verdicts = {pair: verdict_of(rule, *pair) for pair in set(pairs)}
    return [verdicts[pair] for pair in pairs]


def verdict_of(rule: Rule, cause: str, of_all: bool) -> Verdict:
    """The verdict on a slice, which may be the whole table."""
    if cause in ("null", "no_error"):
        on_missing = rule.on_missing or ("fail" if of_all else "skip")
        return "missing" if on_missing == "skip" else capped(on_missing, rule.level)
    if cause == "no_baseline":
        return "no_baseline" if rule.on_no_baseline == "pass" else capped(rule.on_no_baseline, rule.level)
    verdicts: dict[str, Verdict] = {
        "over": rule.level,
        "watched": "watch",
        "adjusted": capped(rule.in_doubt, rule.level),
        "in_doubt": capped(rule.in_doubt, rule.level),
        "inside": "pass",
        "too_few": "too_few",
    }
    return verdicts[cause]


def worst(verdicts: AbstractSet[Verdict]) -> Verdict:
    """The worst of some verdicts. Verdicts that say why nothing was judged count as the least bad."""
    return min(verdicts, key=VERDICTS.index)


def worst_first(rule: Rule, found: pd.DataFrame) -> Index:
    """The order of slices in reports: by verdict, then the farthest over the bound in standard errors, then by name."""
    allowed = rule.corridor
    judged, error = found["change" if rule.is_change else "value"].to_numpy(), found["error"].to_numpy()
    with np.errstate(all="ignore"):
        away = distance_beyond(judged, allowed.low, allowed.high) / (error if rule.judge == "interval" else 1.0)
    verdict = found["verdict"].map(VERDICTS.index).to_numpy()
    text = found["slice"].to_numpy(dtype=str)
    return np.lexsort((text, np.where(np.isnan(away), np.inf, -away), verdict))
