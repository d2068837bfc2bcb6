"""How often a gate raises an alarm if nothing has changed."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import comb

from logloss_spark.gates.judging import Judgement
from logloss_spark.gates.rules import Gate, Rule


@dataclass(frozen=True)
class Expectation:
    """What is expected of a rule if nothing changes.

    Attributes
    ----------
    rule : Rule
    slices : how many slices it judges
    chance : the largest chance of an alarm in a run; None if nobody knows it
    """

    rule: Rule
    slices: int
    chance: float | None


def expectations(judgement: Judgement) -> tuple[Expectation, ...]:
    """What is expected of each rule of a gate, in the slices that it would judge."""
    return tuple(
        Expectation(judged.rule, len(judged.slices), chance_of_alarm(judged.rule, judgement.gate, len(judged.slices)))
        for judged in judgement.rules
    )


def chance_of_alarm(rule: Rule, gate: Gate, slices: int) -> float | None:
    """The largest chance that a rule raises an alarm in a run where no slice is truly over its bound.

    It is reached where every slice lies exactly at its bound, and slices are independent; deep within their bounds they
    raise next to none. None for a rule that judges values without intervals, or is no pass in doubt.

    Examples
    --------
    >>> rule = Rule(name="loss", metric="log_loss", slices=["country=*"], at_most=0.4)
    >>> [round(chance_of_alarm(rule, Gate(rule=[rule], false_alarms=q), 50), 4) for q in (0.05, 0.0)]
    [0.05, 0.2217]
    """
    if rule.judge == "point" or rule.in_doubt != "pass":
        return None
    ends = 2 if rule.bound[0] in ("between", "change_at_most") else 1
    of_slice = ends * (1.0 - gate.confidence) / 2.0
    over, runs = rule.persistence
    before = sum(comb(runs - 1, k) * of_slice**k * (1.0 - of_slice) ** (runs - 1 - k) for k in range(over - 1, runs))
    # Where no slice is over its bound any discovery is false, so their share is the chance that there is one.
    of_any = 1.0 - (1.0 - of_slice * before) ** slices
    return min(of_any, gate.false_alarms) if gate.false_alarms and slices > 1 else of_any


def per_run(expected: Sequence[Expectation]) -> float:
    """The largest number of alarms in a run, on average, of the rules whose chances are known."""
    return sum(one.chance or 0.0 for one in expected)
