"""The days of a store: which one a gate judges, and which ones it is compared with."""

from collections.abc import Collection, Mapping, Sequence
from datetime import date, timedelta

from logloss_spark.errors import MissingInputError
from logloss_spark.gates.estimates import Baseline
from logloss_spark.gates.judging import Earlier
from logloss_spark.gates.rules import Against
from logloss_spark.states.store import Snapshot, StoredUnit, Verdict
from logloss_spark.wording import counted

Days = Mapping[date, Sequence[StoredUnit]]
"""The live units of each day."""


def day_column(snapshot: Snapshot) -> str | None:
    """The first unit column that has a date among its values; None without one."""
    for index, name in enumerate(snapshot.columns):
        if any(day_in(key[index]) is not None for key in snapshot.units):
            return name
    return None


def days_of(snapshot: Snapshot) -> Days:
    """The live units by their days, in order; none where no unit column holds dates."""
    column = day_column(snapshot)
    if column is None:
        return {}
    found: dict[date, list[StoredUnit]] = {}
    for key, unit in snapshot.units.items():
        day = day_in(key[snapshot.columns.index(column)])
        if day is not None:
            found.setdefault(day, []).append(unit)
    return dict(sorted(found.items()))


def day_in(text: str | None) -> date | None:
    """A value of a unit column as a date, None for any other.

    Examples
    --------
    >>> day_in("2026-11-18"), day_in("20261118"), day_in("de")
    (datetime.date(2026, 11, 18), datetime.date(2026, 11, 18), None)
    """
    try:
        return date.fromisoformat(text or "")
    except ValueError:
        return None


def judged_day(snapshot: Snapshot, run_date: str | None) -> date:
    """Return the day that is judged: that of the run date, else the last one.

    A run date that is no stored day may be that of a run: then it is the last day that this run stored.

    Raises MissingInputError if the store has no such day.
    """
    days = days_of(snapshot)
    if run_date is None:
        return max(days)
    asked = date.fromisoformat(run_date)
    if asked in days:
        return asked
    run_id = next((run.run_id for run in reversed(list(snapshot.runs.values())) if run.run_date == run_date), None)
    if run_id is None:
        raise MissingInputError(
            f"the run date must be a day that is stored, and {asked} is not; the last is {max(days)}"
        )
    return max(days_of_run(snapshot, run_id) or days)


def days_of_run(snapshot: Snapshot, run_id: str) -> Days:
    """The days of which a run has stored a unit that is live, in order."""
    return {day: units for day, units in days_of(snapshot).items() if any(unit.run_id == run_id for unit in units)}


def baseline_of(snapshot: Snapshot, day: date, against: Against) -> tuple[list[StoredUnit], Baseline]:
    """The units that a day is compared with, none if they are too few, and what they are in words.

    They are of days before it, and never of the day itself or of later ones: a day that is evaluated late is not judged
    by its own future. They were made under the same conventions, and their labels had the same age: a day whose labels
    are still coming in is better or worse than older ones for that alone.
    """
    days = days_of(snapshot)
    assert against.days is not None
    conventions = {conventions_of(snapshot, unit) for unit in days[day]}
    age = max((unit.age for unit in days[day] if unit.age is not None), default=None)
    window = [before for before in days if day - timedelta(against.days) <= before < day]
    if against.same_weekday:
        window = [before for before in window if before.weekday() == day.weekday()]
    kept: list[StoredUnit] = []
    found: list[date] = []
    for before in window:
        of_age = [snapshot.by_age[unit.key, age] for unit in days[before] if (unit.key, age) in snapshot.by_age]
        alike = [unit for unit in of_age if conventions_of(snapshot, unit) in conventions]
        if alike and (not against.only_passed or has_passed(snapshot, alike, before)):
            kept += alike
            found.append(before)
    if len(found) < against.min_days:
        which = "those that were judged and did not fail" if against.only_passed else "those evaluated as this one"
        because = (
            f"{len(found)} of {counted(len(window), 'stored day')} in the {against.days} before {day} count ({which}), "
            f"and min_days is {against.min_days}"
        )
        return [], Baseline(measured=None, because=because)
    first, last = min(found).isoformat(), max(found).isoformat()
    return kept, Baseline(measured=None, states=len(kept), first=first, last=last)


def conventions_of(snapshot: Snapshot, unit: StoredUnit) -> str:
    """The conventions under which a unit was evaluated."""
    return snapshot.runs[unit.run_id].conventions


def has_passed(snapshot: Snapshot, units: Sequence[StoredUnit], day: date) -> bool:
    """Whether a day was judged, as the last run on its units has left it, and did not fail."""
    verdict = snapshot.verdicts.get((snapshot.last_of(units), day.isoformat()))
    return verdict is not None and verdict.verdict != "fail"


def earlier_runs(verdicts: Collection[Verdict], day: date) -> tuple[Earlier, ...]:
    """The slices that were over a bound on the days before, by the last verdict on each day, the latest day first."""
    last = {verdict.document["judged"]: verdict.document for verdict in verdicts if verdict.document.get("judged")}
    return tuple(
        {rule["name"]: [tuple(sorted(name.items())) for name in rule["over"]] for rule in last[judged]["rules"]}
        for judged in sorted(last, reverse=True)
        if judged < day.isoformat()
    )
