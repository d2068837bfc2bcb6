"""Judge the rules of a gate on tables of metrics. A pure function: no Spark, no clock, no file."""

from collections.abc import Collection, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from logloss_spark.errors import SpecError
from logloss_spark.gates.patterns import Name, names_of, pattern_of
from logloss_spark.gates.rules import VERDICTS, Against, Gate, Rule, Verdict, capped
from logloss_spark.kernels.sums import Array
from logloss_spark.statistics.bounds import distance_beyond, p_value_beyond, quantiles
from logloss_spark.statistics.influences import error_of_difference, paired_error_of_difference
from logloss_spark.statistics.multiplicity import adjusted_p_values
from logloss_spark.wording import did_you_mean

Index = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

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

ABSENT = -1
"""The row of a slice that a table does not have."""


@dataclass(frozen=True, eq=False)
class Measurement:
    """The metrics of a state, and what its clusters add to their errors.

    Attributes
    ----------
    table : DataFrame
        One row per slice (and challenger), as `State.metrics` or `State.comparison` gives it.
    slices : the slice columns of the table, in the order of its `grouping_id`
    filled : array of shape (n, 64), which buckets of clusters hold rows of a slice; None without clusters
    influences : arrays of shape (n, m) by metric, from `influences_of`; none without clusters
    """

    table: pd.DataFrame
    slices: tuple[str, ...]
    filled: Mask | None = None
    influences: Mapping[str, Array] = field(default_factory=dict)

    @cached_property
    def names(self) -> list[Name]:
        """The slice of each row."""
        return names_of(self.table, self.slices)

    def numbers(self, column: str, rows: Index) -> Array:
        """A column of some rows as doubles; NaN for null, and for `ABSENT`."""
        if column not in self.table:
            raise SpecError(f"metric {column!r} is not in the table; {did_you_mean(column, self.table.columns)}")
        cells = self.table[column]
        if cells.map(lambda cell: isinstance(cell, (list, np.ndarray))).any():
            raise SpecError(f"metric must have one number for each slice, and {column!r} has one for each class")
        return np.append(cells.to_numpy(dtype=np.float64, na_value=np.nan), np.nan)[rows]

    def rows_of(self, model: str | None) -> Index:
        """The rows of a challenger; all rows of an evaluation."""
        if "challenger" not in self.table:
            if model is not None:
                raise SpecError(f"model {model!r} needs a comparison, and an evaluation has one model: leave model out")
            return np.arange(len(self.table))
        challengers = self.table["challenger"].unique().tolist()
        if model is None and len(challengers) > 1:
            raise SpecError(f"a rule on a comparison must name its model; {did_you_mean('', challengers)}")
        if model is not None and model not in challengers:
            raise SpecError(f"model {model!r} is not compared; {did_you_mean(model, challengers)}")
        return np.flatnonzero(self.table["challenger"] == (challengers[0] if model is None else model))


@dataclass(frozen=True, kw_only=True)
class Baseline:
    """What a rule compares with.

    Attributes
    ----------
    measured : Measurement, or None where there is none
    states : int
        How many states it is the sum of.
    first, last : str, optional
        The first and the last of their days.
    because : str
        Why there is none, or where it comes from.
    """

    measured: Measurement | None
    states: int = 0
    first: str | None = None
    last: str | None = None
    because: str = ""


@dataclass(frozen=True, eq=False)
class Estimates:
    """Values of n slices with their standard errors, NaN where there is none, and degrees of freedom; all (n,)."""

    value: Array
    error: Array
    df: Array

    def interval(self, confidence: float) -> tuple[Array, Array]:
        """The ends of their intervals."""
        with np.errstate(all="ignore"):
            reach = quantiles(confidence, self.df) * self.error
            return self.value - reach, self.value + reach


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
        judged = values if baseline is None else compared(rule, gate, now, rows, baseline, found)
    except SpecError as error:
        raise SpecError(f"rule {rule.name!r}: {error}") from None
    found["error"] = judged.error
    cause = why_not_judged(rule, gate, found)
    evidence = weigh(rule, gate, judged, cause == "")
    cause = np.where(cause == "", evidence.cause, cause)
    cause = np.where((cause == "over") & ~persists(rule, names, earlier), "watched", cause)
    found["p_value"], found["p_adjusted"], found["cause"] = evidence.p_value, evidence.p_adjusted, cause
    found["verdict"] = [verdict_of(rule, *pair) for pair in zip(cause.tolist(), names, strict=True)]
    order = worst_first(rule, found)
    slices = found.iloc[order].reset_index(drop=True)
    return Judged(rule, slices, tuple(names[place] for place in order), unmatched, baseline)


def matching(rule: Rule, now: Measurement) -> tuple[Index, tuple[str, ...]]:
    """The rows of a table that a rule names, and those of its patterns that name none."""
    wanted, unwanted = ([pattern_of(text, now.slices) for text in texts] for texts in (rule.slices, rule.except_))
    rows = now.rows_of(rule.model)
    matches = {pattern.text: {row for row in rows if pattern.names(now.names[row])} for pattern in wanted}
    left_out = {row for row in rows if any(pattern.names(now.names[row]) for pattern in unwanted)}
    kept = sorted(set().union(*matches.values()) - left_out)
    return np.array(kept, dtype=np.int64), tuple(text for text, named in matches.items() if not named)


def estimates(rule: Rule, measured: Measurement, rows: Index) -> Estimates:
    """The values of a rule's metric in some rows of a table."""
    with np.errstate(all="ignore"):
        parts = [measured.numbers(column, rows) for column in rule.columns]
        value = parts[0] if len(parts) == 1 else np.where(parts[1] == 0.0, np.nan, parts[0] / parts[1])
    error, df = np.full(len(rows), np.nan), np.full(len(rows), np.inf)
    if rule.has_interval:
        error = measured.numbers(f"{rule.metric}_se", rows)
        buckets = measured.numbers("buckets", rows)
        df = np.where(buckets > 0.0, buckets - 1.0, np.inf)
    return Estimates(value, np.where(np.isinf(value), 0.0, error), df)


def frame_of(rule: Rule, gate: Gate, now: Measurement, rows: Index, values: Estimates) -> pd.DataFrame:
    """What is known of the slices of a rule before they are judged."""
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


def counted_rows(rule: Rule, measured: Measurement, rows: Index) -> Array:
    """How many rows the metric of a rule rests on, for `min_rows`: of a quotient the divisor, else the rows scored.

    A count is exact, whatever the number of rows.
    """
    if rule.is_count:
        return np.full(len(rows), np.inf)
    return measured.numbers(rule.columns[-1] if len(rule.columns) == 2 else "n", rows)


def compared(
    rule: Rule, gate: Gate, now: Measurement, rows: Index, baseline: Baseline, found: pd.DataFrame
) -> Estimates:
    """The changes of a rule's metric against a baseline, which are also entered into `found`."""
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


Rows = tuple[Measurement, Index]
"""Some rows of a table of metrics."""


def change_of(rule: Rule, now: Rows, then: Rows) -> Estimates:
    """The changes of a rule's metric: differences, or differences as shares of the baseline's absolute value.

    The error of a share (x - y)/|y| is, to first order, that of x - (x/y) y in units of |y|.
    """
    values, before = (estimates(rule, *side) for side in (now, then))
    relative = rule.corridor.relative
    with np.errstate(all="ignore"):
        size = np.where(before.value == 0.0, np.nan, np.abs(before.value)) if relative else np.ones_like(before.value)
        ratio = values.value / before.value if relative else np.ones_like(size)
        change = (values.value - before.value) / size
    error, df = error_of_change(rule, now, then, ratio)
    return Estimates(change, np.where(np.isinf(change), 0.0, error / size), df)


def error_of_change(rule: Rule, now: Rows, then: Rows, ratio: Array) -> tuple[Array, Array]:
    """The error of a metric now - ratio * the metric then, and its degrees of freedom."""
    values, before = (estimates(rule, *side) for side in (now, then))
    infinite = np.full(len(ratio), np.inf)
    clustered = np.isfinite(values.df) | np.isfinite(before.df)
    if not (rule.has_interval and clustered.any()):
        return error_of_difference(values.error, before.error, ratio), infinite
    metric = "log_loss" if rule.metric == "loss" else rule.metric
    (mine, rows), (theirs, earlier) = now, then
    if mine.filled is None or theirs.filled is None or metric not in mine.influences:
        if rule.judge == "point":
            return np.full(len(ratio), np.nan), infinite
        raise SpecError(f'the change of {rule.metric!r} has no error by clusters: write judge = "point"')
    filled = np.count_nonzero(mine.filled[rows] | theirs.filled[earlier], axis=1).astype(np.float64)
    error = paired_error_of_difference(mine.influences[metric][rows], theirs.influences[metric][earlier], filled, ratio)
    return np.where(earlier == ABSENT, np.nan, error), filled - 1.0


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
    return np.array([1 + sum(name in over for over in before) >= least for name in names], dtype=np.bool_)


def verdict_of(rule: Rule, cause: str, name: Name) -> Verdict:
    """The verdict on a slice."""
    if cause in ("null", "no_error"):
        on_missing = rule.on_missing or ("skip" if name else "fail")
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
    """The worst of some verdicts. Those that say why nothing was judged are the last."""
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
