"""Which days a gate judges and compares with, from what a store's log says. No Spark."""

from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import pytest

from logloss_spark.app.days import baseline_of, days_of, days_of_run, earlier_runs, judged_day
from logloss_spark.errors import MissingInputError
from logloss_spark.gates.rules import Against
from logloss_spark.states.store import Run, Snapshot, StoredUnit, Verdict

FIRST = date(2026, 11, 2)  # a Monday


def day(place: int) -> date:
    return FIRST + timedelta(place)


def run(run_id: str, conventions: str) -> Run:
    return Run(
        run_id=run_id,
        time="",
        run_date=None,
        seconds=0.0,
        config="",
        source="",
        package="",
        conventions=conventions,
        schema={},
        metrics_schema={},
        rows=1,
        units=1,
    )


def snapshot(verdicts: dict[int, str], days: int = 20, **of_unit: Any) -> Snapshot:
    """A store of days, each stored by a run of its own, with these verdicts on runs."""
    units = [
        StoredUnit(
            id=str(place),
            key=(day(place).isoformat(), "de"),
            run_id=f"r{place}",
            rows=1,
            sums=1,
            source=place,
            fingerprint="",
            **of_unit,
        )
        for place in range(days)
    ]
    runs = {unit.run_id: run(unit.run_id, "same") for unit in units}
    judged = [
        Verdict(run_id=f"r{place}", verdict=word, document={"judged": day(place).isoformat()})
        for place, word in verdicts.items()
    ]
    return Snapshot(
        version=days,
        columns=("dt", "country"),
        units={unit.key: unit for unit in units},
        runs=runs,
        verdicts={verdict.subject: verdict for verdict in judged},
        by_age=by_age(units),
    )


def by_age(units: list[StoredUnit]) -> dict[tuple[Any, int | None], StoredUnit]:
    return {(unit.key, unit.age): unit for unit in units}


ALL_PASSED = dict.fromkeys(range(20), "pass")


def places(found: list[StoredUnit]) -> list[int]:
    return [int(unit.id) for unit in found]


def test_a_day_is_compared_with_the_days_before_and_never_with_itself_or_later_ones() -> None:
    units, facts = baseline_of(snapshot(ALL_PASSED), day(10), Against(days=7))
    assert places(units) == list(range(3, 10))
    assert (facts.states, facts.first, facts.last) == (7, "2026-11-05", "2026-11-11")


def test_runs_that_failed_or_were_not_judged_are_no_baseline() -> None:
    verdicts = ALL_PASSED | {5: "fail", 6: "warn", 7: "watch"}
    del verdicts[8]
    assert places(baseline_of(snapshot(verdicts), day(10), Against(days=7))[0]) == [3, 4, 6, 7, 9]
    everything = Against(days=7, only_passed=False)
    assert places(baseline_of(snapshot(verdicts), day(10), everything)[0]) == list(range(3, 10))


def test_a_verdict_is_on_a_day_as_the_last_run_on_it_has_left_it() -> None:
    stored = snapshot(ALL_PASSED)
    key = (day(8).isoformat(), "fr")
    late = replace(stored.units[(day(8).isoformat(), "de")], id="late", key=key, run_id="r9")
    grown = replace(stored, units={**stored.units, key: late}, by_age=by_age([*stored.units.values(), late]))
    assert places(baseline_of(grown, day(10), Against(days=3))[0]) == [7, 9]  # r9 was judged on its own day alone
    again = grown.judged([Verdict(run_id="r9", verdict="pass", document={"judged": day(8).isoformat()})])
    assert len(baseline_of(again, day(10), Against(days=3))[0]) == 4


def test_a_run_is_judged_on_each_day_that_it_stored() -> None:
    stored = snapshot({})
    twice = replace(stored.units[(day(3).isoformat(), "de")], run_id="r7")
    several = replace(stored, units={**stored.units, twice.key: twice})
    assert list(days_of_run(several, "r7")) == [day(3), day(7)]
    assert days_of_run(several, "a run that stored nothing") == {}


def test_a_baseline_may_be_of_the_same_weekday() -> None:
    assert places(baseline_of(snapshot(ALL_PASSED), day(16), Against(days=14, same_weekday=True))[0]) == [2, 9]


def test_too_few_days_are_no_baseline_and_it_is_said_why() -> None:
    units, facts = baseline_of(snapshot({3: "pass"}), day(5), Against(days=28, min_days=2))
    assert units == []
    assert facts.because == (
        "1 of 5 stored days in the 28 before 2026-11-07 count (those that were judged and did not fail), "
        "and min_days is 2"
    )
    assert baseline_of(snapshot(ALL_PASSED), day(0), Against(days=28))[0] == []


def test_days_that_were_evaluated_otherwise_or_have_labels_of_another_age_are_no_baseline() -> None:
    stored = snapshot(ALL_PASSED)
    young = replace(stored.units[(day(8).isoformat(), "de")], age=1)
    kept = [unit for unit in stored.units.values() if unit.key != young.key]
    mixed = replace(stored, runs={**stored.runs, "r9": run("r9", "another")}, by_age=by_age([*kept, young]))
    assert places(baseline_of(mixed, day(10), Against(days=3))[0]) == [7]


def test_a_young_day_is_compared_with_what_older_days_were_when_they_were_young() -> None:
    stored = snapshot(ALL_PASSED, days=8)
    old = [replace(unit, id=f"{unit.id}0", age=3) for unit in stored.units.values()]
    young = [replace(unit, age=0) for unit in stored.units.values()]
    live = [*old[:7], young[7]]
    grown = replace(stored, units={unit.key: unit for unit in live}, by_age=by_age([*young, *old[:7]]))
    assert places(baseline_of(grown, day(7), Against(days=3))[0]) == [4, 5, 6]
    assert places(baseline_of(grown, day(6), Against(days=3))[0]) == [30, 40, 50]


def test_the_day_of_the_run_date_is_judged_else_the_last_one() -> None:
    stored = snapshot({})
    assert judged_day(stored, None) == day(19)
    assert judged_day(stored, day(4).isoformat()) == day(4)
    with pytest.raises(MissingInputError, match="2027-01-01 is not; the last is 2026-11-21"):
        judged_day(stored, "2027-01-01")
    late = replace(stored, runs={**stored.runs, "r6": replace(stored.runs["r6"], run_date="2027-01-01")})
    assert judged_day(late, "2027-01-01") == day(6)


def test_units_without_dates_are_no_days() -> None:
    stored = snapshot({})
    assert days_of(Snapshot(columns=("country",), units={("de",): next(iter(stored.units.values()))})) == {}


def test_earlier_runs_are_those_on_earlier_days_the_latest_first() -> None:
    def verdict(place: int, *over: str) -> Verdict:
        rules = [{"name": "r", "over": [{"country": name} for name in over]}]
        return Verdict(run_id=f"r{place}", verdict="pass", document={"judged": day(place).isoformat(), "rules": rules})

    given = [verdict(2, "z"), verdict(2, "a"), verdict(5, "b"), verdict(4), verdict(3, "c", "d")]
    found = earlier_runs(given, day(5))
    assert found == ({"r": []}, {"r": [(("country", "c"),), (("country", "d"),)]}, {"r": [(("country", "a"),)]})
