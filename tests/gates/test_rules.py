"""What a gate may ask, and what is said of a rule that cannot be meant. No Spark."""

import math
from typing import Any

import pytest

from logloss_spark.errors import SpecError
from logloss_spark.gates.rules import Against, Corridor, Gate, Rule


def rule(**keys: Any) -> Rule:
    return Rule(**{"name": "r", "metric": "log_loss"} | keys)


@pytest.mark.parametrize(
    ("bound", "corridor"),
    [
        ({"at_most": 0.4}, Corridor(-math.inf, 0.4)),
        ({"at_least": 1}, Corridor(1.0, math.inf)),
        ({"between": [0.9, 1.1]}, Corridor(0.9, 1.1)),
        ({"rise_at_most": 0.01}, Corridor(-math.inf, 0.01)),
        ({"fall_at_most": 0.01}, Corridor(-0.01, math.inf)),
        ({"change_at_most": 0.01}, Corridor(-0.01, 0.01)),
        ({"rise_at_most": "2%"}, Corridor(-math.inf, 0.02, relative=True)),
        ({"change_at_most": " 0.5 % "}, Corridor(-0.005, 0.005, relative=True)),
    ],
)
def test_every_bound_is_a_range_of_allowed_values(bound: dict[str, Any], corridor: Corridor) -> None:
    against = Against(days=7) if "at_most" in next(iter(bound)) and "_at_most" in next(iter(bound)) else None
    assert rule(against=against, **bound).corridor == corridor


@pytest.mark.parametrize(
    ("keys", "line"),
    [
        ({}, "rule 'r': it must have exactly one bound, got none: 'at_most', 'at_least', 'between'"),
        ({"at_most": 1, "at_least": 0}, "exactly one bound, got at_most and at_least"),
        ({"at_most": math.inf}, "at_most must be a finite number, got inf"),
        ({"at_most": "2%"}, "at_most must be a finite number, got '2%'"),
        ({"at_most": True}, "at_most must be a finite number, got True"),
        ({"between": [1.1, 0.9]}, r"between must have two numbers, the smaller first, got \[1.1, 0.9\]"),
        ({"between": [1.1]}, "between must have two numbers"),
        ({"rise_at_most": 0.1}, r"rise_at_most needs something to compare with: add against = \{ days = 28 \}"),
        ({"at_most": 1, "against": Against(days=7)}, "against goes with 'rise_at_most', .*, got at_most"),
        ({"rise_at_most": "two", "against": Against(days=7)}, 'a number of 0 or more, or a percentage as "2%", got'),
        ({"fall_at_most": -0.1, "against": Against(days=7)}, "fall_at_most must be a number of 0 or more"),
        ({"metric": "logloss", "at_most": 1}, "metric must be a column of the metrics, got 'logloss'. Did you mean"),
        ({"metric": "ks", "at_most": 1}, """'ks' has no interval to judge: write judge = "point", which judges its"""),
        ({"metric": "log_loss_se", "at_most": 1}, "'log_loss_se' has no interval to judge"),
        ({"metric": "null_label / rows", "at_most": 1}, "'null_label / rows' has no interval to judge"),
        ({"metric": "log_loss / rows", "at_most": 1, "judge": "point"}, "must be of two counts, got 'log_loss'"),
        ({"metric": "few", "at_most": 1, "judge": "point"}, "one number for each slice, got 'few', which has none"),
        ({"metric": "class_auc", "at_most": 1, "judge": "point"}, "one number for each slice, got 'class_auc'"),
        ({"at_most": 1, "judge": "points"}, "judge must be 'interval' or 'point', got 'points'. Did you mean 'point'"),
        ({"at_most": 1, "in_doubt": "skip"}, "in_doubt must be 'pass', 'warn' or 'fail', got 'skip'"),
        ({"at_most": 1, "on_missing": "pass"}, "on_missing must be 'skip', 'warn' or 'fail', got 'pass'"),
        ({"at_most": 1, "level": "watch"}, "level must be 'fail' or 'warn', got 'watch'"),
        (
            {"at_most": 1, "persist": "4 of 3"},
            """persist must say how many of the last runs, as "2 of 3", got '4 of 3'""",
        ),
        ({"at_most": 1, "persist": "0 of 3"}, "persist must say"),
        ({"at_most": 1, "min_rows": -1}, "min_rows must be a whole number, 0 or more, got -1"),
        ({"at_most": 1, "slices": []}, """slices must name a pattern or more, got none: write slices = \\["all"\\]"""),
        ({"at_most": 1, "slices": ["all", "all"]}, "slices must be distinct, got 'all' twice"),
        ({"name": " ", "at_most": 1}, "a rule of a gate must have a name"),
    ],
)
def test_what_cannot_be_meant_is_one_line(keys: dict[str, Any], line: str) -> None:
    with pytest.raises(SpecError, match=line) as raised:
        rule(**keys)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("keys", "line"),
    [
        ({}, "against must have either days or state, got neither"),
        ({"days": 7, "state": "s"}, "against must have either days or state, got both"),
        ({"days": 0}, "days of against must be a whole number of 1 or more, got 0"),
        ({"days": 7, "min_days": 8}, "min_days of against must be at most days = 7, got 8"),
        ({"state": "s", "same_weekday": True}, "same_weekday goes with days, and not with state"),
        ({"state": "s", "min_days": 3}, "min_days goes with days, and not with state"),
    ],
)
def test_a_baseline_that_cannot_be_meant_is_one_line(keys: dict[str, Any], line: str) -> None:
    with pytest.raises(SpecError, match=line):
        Against(**keys)


@pytest.mark.parametrize(
    ("keys", "line"),
    [
        ({"rule": []}, r"a gate must have a rule or more, got none: add a section \[\[gate.rule\]\]"),
        ({"rule": [rule(at_most=1), rule(at_least=1)]}, "the names of a gate's rules must be distinct, got 'r' twice"),
        ({"confidence": 1.0}, r"\[gate\] confidence must lie between 0 and 1, got 1.0"),
        ({"false_alarms": 1.0}, r"\[gate\] false_alarms must lie between 0 and 1, got 1.0"),
        ({"min_rows": 0.5}, "min_rows must be a whole number, 0 or more, got 0.5"),
    ],
)
def test_a_gate_that_cannot_be_meant_is_one_line(keys: dict[str, Any], line: str) -> None:
    with pytest.raises(SpecError, match=line):
        Gate(**{"rule": [rule(at_most=1)]} | keys)


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"at_most": 1.0}, "at most 1"),
        ({"between": [0.9, 1.1]}, "between 0.9 and 1.1"),
        ({"rise_at_most": "2%", "against": Against(days=7)}, "rise at most 2%"),
    ],
)
def test_a_bound_is_said_in_words(keys: dict[str, Any], words: str) -> None:
    assert rule(**keys).bound_in_words == words


def test_a_count_is_judged_without_an_interval_and_a_comparison_by_its_own_metrics() -> None:
    assert rule(metric="n", at_least=1000, judge="point").is_count
    assert rule(metric="null_label / rows", at_most=0.2, judge="point").columns == ("null_label", "rows")
    assert rule(metric="difference", model="new", at_most=0.002).has_interval
    assert rule(metric="loss", at_most=1.0).has_interval
