"""How often a gate fails when nothing has changed, and how often it sees a change: 2,000 runs of 50 slices."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pandas as pd
import scipy.stats

from benchmarks.coverage import expected_loss, forecasts, losses
from logloss_spark.gates.estimates import Baseline, Measurement
from logloss_spark.gates.judging import judge
from logloss_spark.gates.rules import Against, Gate, Rule
from logloss_spark.statistics.intervals import standard_error

Array = np.ndarray[Any, np.dtype[Any]]

RUNS, SLICES, ROWS, RATE = 2000, 50, 1000, 0.12
BUCKETS, USERS = 64, 500
Shares = tuple[float, float]
BEFORE = Against(days=28)
NAMES = [f"country=c{place}" for place in range(SLICES)]


def measurement(value: Array, error: Array, influences: Array | None = None) -> Measurement:
    """The log losses of slices as a table of metrics."""
    names = NAMES[: len(value)]
    table = pd.DataFrame(
        {
            "country": [name.removeprefix("country=") for name in names],
            "slice": names,
            "rows": ROWS,
            "n": ROWS,
            "n_eff": float(ROWS),
            "buckets": 0 if influences is None else BUCKETS,
            "log_loss": value,
            "log_loss_se": error,
            "grouping_id": 0,
        }
    )
    if influences is None:
        return Measurement(table, ("country",))
    return Measurement(table, ("country",), influences != 0.0, {"log_loss": influences})


def of_rows(rng: np.random.Generator, rows: int = ROWS, slices: int = SLICES) -> tuple[Array, Array]:
    """Log losses of independent rows with their standard errors, one for each slice."""
    p, y = forecasts(rng, (slices, rows), RATE)
    loss = losses(y, p)
    squares = np.sum((loss - loss.mean(axis=1, keepdims=True)) ** 2, axis=1) / rows**2
    return loss.mean(axis=1), standard_error(squares, np.full(slices, float(rows)))


def of_users(rng: np.random.Generator, own: Array, bucket: Array) -> tuple[Array, Array, Array]:
    """Mean losses of users who have their own level in every period, with errors and influences by bucket."""
    loss = np.exp(0.5 * (own + 0.5 * rng.normal(size=own.shape)))
    away = (loss - loss.mean(axis=1, keepdims=True)) / USERS
    flat = (np.arange(SLICES)[:, np.newaxis] * BUCKETS + bucket).ravel()
    sums = np.bincount(flat, away.ravel(), SLICES * BUCKETS).reshape(SLICES, BUCKETS)
    return loss.mean(axis=1), standard_error(np.sum(sums**2, axis=1), np.full(SLICES, float(BUCKETS))), sums


def found(bound: dict[str, Any], now: Measurement, then: Measurement | None = None, q: float = 0.05) -> set[str]:
    """The slices that fail a rule."""
    rule = Rule(name="r", metric="log_loss", slices=["country=*"], against=BEFORE if then else None, **bound)
    gate = Gate(rule=[rule], false_alarms=q)
    (judged,) = judge(gate, now, {BEFORE: Baseline(measured=then, states=28)}).rules
    return set(judged.slices.loc[judged.slices["verdict"] == "fail", "slice"])


def false_alarms(
    draw: Callable[[np.random.Generator], tuple[Measurement, Measurement | None]], **bound: float
) -> Shares:
    """The shares of runs that fail, with adjustment to 5 % and without, where no slice is truly over its bound."""
    rng = np.random.default_rng(140)
    fails = []
    for _ in range(RUNS):
        now, then = draw(rng)
        fails.append([bool(found(bound, now, then, q=q)) for q in (0.05, 0.0)])
    adjusted, plain = np.mean(fails, axis=0)
    return float(adjusted), float(plain)


def rows_alone(rng: np.random.Generator) -> tuple[Measurement, None]:
    """Slices of independent rows."""
    return measurement(*of_rows(rng)), None


def rows_twice(rng: np.random.Generator) -> tuple[Measurement, Measurement]:
    """The same, and the days before, which hold three times the rows."""
    return measurement(*of_rows(rng)), measurement(*of_rows(rng, rows=3 * ROWS))


def users_twice(rng: np.random.Generator) -> tuple[Measurement, Measurement]:
    """Two periods of the same users."""
    own, bucket = rng.normal(size=(SLICES, USERS)), rng.integers(0, BUCKETS, (SLICES, USERS))
    return measurement(*of_users(rng, own, bucket)), measurement(*of_users(rng, own, bucket))


def power(slices: int, shifted: int, q: float, runs: int = RUNS, seed: int = 143) -> tuple[float, float]:
    """How often a slice that is 3 standard errors over its bound is found, and how often theory says.

    `shifted` of the slices are over, and the others lie at the bound. Theory is the same rule for normal values, whose
    p-values SciPy adjusts.
    """
    rng, truth = np.random.default_rng(seed), expected_loss(RATE)
    shift = np.where(np.arange(slices) < shifted, 3.0, 0.0)
    # The error of a slice is taken from many rows: three times an estimate of it would move with the value.
    size = float(np.mean(of_rows(np.random.default_rng(1), slices=1000)[1]))
    shares, theory = [], []
    for _ in range(runs):
        value, error = of_rows(rng, slices=slices)
        over = found({"at_most": truth}, measurement(value + shift * size, error), q=q)
        shares.append(len(over & set(NAMES[:shifted])) / shifted)
        p = scipy.stats.norm.sf(rng.normal(size=slices) + shift)
        adjusted = scipy.stats.false_discovery_control(p) if q else np.zeros(slices)
        theory.append(np.mean(((p < 0.005) & (adjusted <= q))[:shifted]))
    return float(np.mean(shares)), float(np.mean(theory))


def lines() -> Iterator[str]:
    """The tables, as Markdown."""
    truth = expected_loss(RATE)
    yield "| nothing changed, 50 slices, intervals of 99 % | false_alarms = 0.05 | false_alarms = 0 |"
    yield "|---|---|---|"
    for words, draw, bound in (
        ("`at_most`, every slice exactly at the bound", rows_alone, {"at_most": truth}),
        ("`at_least`, every slice exactly at the bound", rows_alone, {"at_least": truth}),
        ("`at_most`, every slice one standard error within", rows_alone, {"at_most": truth + 0.0105}),
        ("`rise_at_most = 0`", rows_twice, {"rise_at_most": 0.0}),
        ("`rise_at_most = 0`, by clusters that are in both periods", users_twice, {"rise_at_most": 0.0}),
    ):
        adjusted, plain = false_alarms(draw, **bound)
        yield f"| {words} | {adjusted:.1%} of runs fail | {plain:.1%} |"
    yield "| what the gate says, at most | 5.0% | 22.2% |"
    yield ""
    yield "| slices that are 3 standard errors over | found | theory |"
    yield "|---|---|---|"
    for slices, shifted, q in ((1, 1, 0.05), (50, 1, 0.0), (50, 1, 0.05), (50, 25, 0.05)):
        share, theory = power(slices, shifted, q)
        yield f"| {shifted} of {slices}, false_alarms = {q:g} | {share:.1%} | {theory:.1%} |"


if __name__ == "__main__":
    for line in lines():
        print(line, flush=True)
