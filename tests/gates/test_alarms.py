"""How often gates fail when nothing has changed, and how often they see what has. No Spark."""

import numpy as np
import pytest
import scipy.stats

from benchmarks import false_alarms as simulation
from logloss_spark.gates.alarms import chance_of_alarm
from logloss_spark.gates.estimates import Measurement
from logloss_spark.gates.rules import Against, Gate, Rule

BEFORE = Against(days=7)


def chance(slices: int, q: float = 0.05, **keys: object) -> float | None:
    rule = Rule(**{"name": "r", "metric": "log_loss", "at_most": 1.0} | keys)  # type: ignore[arg-type]
    return chance_of_alarm(rule, Gate(rule=[rule], false_alarms=q), slices)


def test_a_slice_alone_raises_an_alarm_as_often_as_its_interval_misses_on_one_side() -> None:
    assert chance(1) == pytest.approx(0.005)
    assert chance(1, at_most=None, between=[0.0, 1.0]) == pytest.approx(0.01)
    assert chance(1, at_most=None, against=BEFORE, change_at_most="1%") == pytest.approx(0.01)


def test_many_slices_raise_no_more_alarms_than_are_allowed() -> None:
    assert chance(50) == 0.05
    assert chance(3) == pytest.approx(1 - 0.995**3)
    assert chance(50, q=0.0) == pytest.approx(1 - 0.995**50)


def test_what_must_persist_raises_fewer() -> None:
    once_more = scipy.stats.binom.sf(0, 2, 0.005)  # in one of the two runs before
    assert chance(1, persist="2 of 3") == pytest.approx(0.005 * once_more)
    assert chance(1, persist="1 of 3") == pytest.approx(0.005)


def test_nobody_knows_how_often_a_point_is_over() -> None:
    assert chance(1, judge="point") is None
    assert chance(1, in_doubt="fail") is None


def normal(rng: np.random.Generator) -> tuple[Measurement, None]:
    """Slices whose values lie at 1 but for normal errors that are known."""
    n = simulation.SLICES
    return simulation.measurement(1.0 + 0.01 * rng.normal(size=n), np.full(n, 0.01)), None


@pytest.mark.slow
@pytest.mark.parametrize("key", ["at_most", "at_least"])
def test_a_gate_where_nothing_changed_fails_as_often_as_it_says(key: str) -> None:
    adjusted, plain = simulation.false_alarms(normal, **{key: 1.0})
    # Of 2,000 runs; three standard errors.
    assert adjusted <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / simulation.RUNS)
    expected = 1 - 0.995**simulation.SLICES
    assert plain == pytest.approx(expected, abs=3 * np.sqrt(expected * (1 - expected) / simulation.RUNS))


@pytest.mark.slow
@pytest.mark.parametrize(
    "draw", [simulation.rows_twice, simulation.users_twice], ids=["independent rows", "the same users"]
)
def test_a_change_that_is_none_is_found_as_often_as_is_allowed(draw: object) -> None:
    adjusted, _ = simulation.false_alarms(draw, rise_at_most=0.0)  # type: ignore[arg-type]
    assert adjusted <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / simulation.RUNS)


@pytest.mark.slow
@pytest.mark.parametrize(("slices", "shifted"), [(1, 1), (50, 1), (50, 25)])
def test_three_standard_errors_are_found_as_often_as_theory_says(slices: int, shifted: int) -> None:
    found, theory = simulation.power(slices, shifted, 0.05)
    # Losses are skewed to the right, so that a high mean comes with a large error: intervals find a little less.
    assert theory - 0.12 < found < theory + 0.03
