"""The report of a job: of an evaluation, of stored states, or of a day of a store with the days before it."""

import json
import re
import shlex
from argparse import Namespace
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from functools import reduce
from typing import Any

import pandas as pd

from logloss_spark.app.config import overlaid, overriding, parsed, toml_string
from logloss_spark.app.days import conventions_of, day_column, days_of
from logloss_spark.app.gating_days import StatesOf, Subject
from logloss_spark.app.labels import Labels
from logloss_spark.app.outcome import Outcome
from logloss_spark.app.reading_states import persisted
from logloss_spark.app.sections import ReadingWithSearch, searched
from logloss_spark.errors import LogLossError
from logloss_spark.gates.judging import Judgement
from logloss_spark.io.secrets import secrets_in, secrets_in_text, without_secrets
from logloss_spark.report.collecting import collected, page_of, versions
from logloss_spark.report.html import check_libraries, write_report
from logloss_spark.report.page import Page
from logloss_spark.report.recalibrations import view_of_gains
from logloss_spark.report.text import View
from logloss_spark.roles import grouping_sets
from logloss_spark.shift import drift
from logloss_spark.state import State
from logloss_spark.states.store import StoredUnit
from logloss_spark.statistics.recalibration import Method
from logloss_spark.statistics.reporting import Reading
from logloss_spark.tables.metrics import without_cells

DAYS = 90
"""Days of a store whose metrics a report draws: the judged one, and those before it."""

REFERENCE = 28
"""Days before the judged one, from which a report says whether it has drifted, and to which it fits calibrators."""

METHODS: tuple[Method, ...] = ("platt", "isotonic")
"""The calibrators whose gain a report shows: a line in log odds, and any rising curve."""

Sets = Sequence[Sequence[str]]
"""Grouping sets."""

BARE = re.compile(r"[\w-]+", re.ASCII)
"""A key that TOML takes without quotation marks."""


def page_of_state(state: State, by: Sets, reading: ReadingWithSearch, title: str) -> Page:
    """Return the page of a state."""
    sets = grouping_sets(by)
    with persisted(state) as held:
        worst = searched(held, reading)
        return page_of(
            held.checked,
            held.measured(sets, reading),
            sets,
            reading,
            title=title,
            facts=versions(),
            worst=None if worst is None else worst.view(),
        )


def page_of_subject(
    subject: Subject,
    states_of: StatesOf,
    by: Sets,
    reading: ReadingWithSearch,
    title: str,
    labels: Labels | None = None,
) -> Page:
    """Return the page of what is judged of a store: a day by its slices, and the metrics of the days before it.

    `labels` say at which age a day has all of its labels.
    """
    snapshot, day = subject.snapshot, day_column(subject.snapshot)
    others = [name for name in snapshot.columns if name != day]
    sets = [[name for name in names if name != day] for names in ([others] if others else []) + list(map(list, by))]
    page = page_of_state(states_of(subject.units), sets, reading, title)
    run = snapshot.runs[subject.units[-1].run_id]
    facts = {"run": run.run_id, "began": run.time, "evaluated by": f"logloss-spark {run.package}"}
    if day is None or subject.day is None:
        return replace(page, facts=facts | dict(page.facts))
    facts = {"day": subject.day.isoformat()} | facts
    drawn = [*units_before(subject, DAYS - 1), *subject.units]
    found: dict[str, Any] = {"days": metrics_of_days(drawn, day, states_of, reading), "day": day}
    found |= {"ages": ages_of(drawn, snapshot.columns.index(day)), "final_age": labels.revisit[-1] if labels else None}
    if reference := units_before(subject, REFERENCE):
        found |= compared_with(states_of(reference), states_of(subject.units), reading)
    return replace(page, facts=facts | dict(page.facts), **found)


def ages_of(units: Sequence[StoredUnit], day: int) -> dict[str, int]:
    """Return how old each day was when it was evaluated, if its labels come late; `day` is its index in the keys.

    A day of several units is as old as the youngest.
    """
    ages: dict[str, int] = {}
    for unit in units:
        text = unit.key[day]
        if unit.age is not None and text is not None:
            ages[text] = min(unit.age, ages.get(text, unit.age))
    return ages


def compared_with(reference: State, current: State, reading: Reading) -> dict[str, Any]:
    """Return whether a day has drifted from those before it, and what calibrators that they fit would gain on it."""
    # Without slices a state is a thousand rows, which come to the driver once.
    then, now = (state.rolled_up(()).persist() for state in (reference, current))
    found = drift(then, now, confidence=reading.confidence).in_report()
    if len(now.conventions.classes) > 2 or now.conventions.loss != "cross_entropy":
        return found
    try:
        made = [then.calibrator(method, held_out=now, confidence=reading.confidence) for method in METHODS]
    except LogLossError as error:
        return found | {"recalibration": View(title="", table={}, remarks=[f"No curve can be fitted: {error}."])}
    return found | {"recalibration": view_of_gains({one.method: (one.rows, one.gain) for one in made})}


def units_before(subject: Subject, days: int) -> list[StoredUnit]:
    """Return the units of so many days before the judged one that were evaluated as it was."""
    assert subject.day is not None
    snapshot, first = subject.snapshot, subject.day - timedelta(days)
    alike = {conventions_of(snapshot, unit) for unit in subject.units}
    before = [units for day, units in days_of(snapshot).items() if first <= day < subject.day]
    return [unit for units in before for unit in units if conventions_of(snapshot, unit) in alike]


def metrics_of_days(units: Sequence[StoredUnit], day: str, states_of: StatesOf, reading: Reading) -> pd.DataFrame:
    """Return the metrics of each day of some units, and of all of them together."""
    state = State.from_checked(without_cells(states_of(units).checked))
    return collected(state.measured([[day]], reading))


def check_report(path: str | None) -> None:
    """Raise SpecError if a report is asked for and a library that it needs is missing."""
    if path:
        check_libraries()


def described(page: Page, given: Namespace, judgement: Judgement | None, subject: str) -> Page:
    """Return a page that says what was evaluated, what its gate says, and by which command and config."""
    changes = [overriding(override) for override in given.overrides]
    config = reduce(overlaid, changes, parsed(given.config) if given.config else {})
    hidden = [*secrets_in(config), *(secret for override in given.overrides for secret in secrets_in_text(override))]
    dated = {"run date": given.run_date} if given.run_date else {}
    return replace(
        page,
        subject=subject,
        judgement=judgement,
        command=command_of(given),
        config=tuple(toml_lines(without_secrets(config, hidden))),
        facts=dated | dict(page.facts),
        secrets=hidden,
    )


def command_of(given: Namespace) -> str:
    """Return the command line that was given, but for options that change nothing of what a report says."""
    named = [getattr(given, name) for name in ("reference", "current") if hasattr(given, name)]
    words = ["logloss-spark", given.command, *named, *getattr(given, "states", ())]
    words += ["--config", given.config] if given.config else []
    words += [word for columns in getattr(given, "by", None) or () for word in ("--by", columns)]
    words += ["--partition", given.partition] if getattr(given, "partition", None) else []
    words += [word for override in given.overrides for word in ("--set", override)]
    words += ["--run-date", given.run_date] if given.run_date else []
    return shlex.join(words)


def toml_lines(config: Mapping[str, Any], above: str = "") -> Iterator[str]:
    r"""Return a config as lines of TOML.

    Examples
    --------
    >>> config = {"gate": {"min_rows": 9, "rule": [{"name": "a", "at_most": 0.5}]}}
    >>> print(*toml_lines(config), sep="\n")
    [gate]
    min_rows = 9
    <BLANKLINE>
    [[gate.rule]]
    name = "a"
    at_most = 0.5
    """
    tables = {
        name: value for name, value in config.items() if is_tables(value) or (isinstance(value, dict) and not above)
    }
    yield from (f"{toml_key(name)} = {toml_of(value)}" for name, value in config.items() if name not in tables)
    for place, (name, value) in enumerate(tables.items()):
        path = f"{above}.{toml_key(name)}" if above else toml_key(name)
        for entry in value if isinstance(value, list) else [value]:
            yield from [""] if place or above else []
            yield f"[[{path}]]" if isinstance(value, list) else f"[{path}]"
            yield from toml_lines(entry, path)


def is_tables(value: Any) -> bool:
    """Whether a value is a list of tables, such as the rules of a gate."""
    return isinstance(value, list) and bool(value) and all(isinstance(entry, dict) for entry in value)


def toml_of(value: Any) -> str:
    """Return a value as TOML writes it on one line."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{toml_key(name)} = {toml_of(entry)}" for name, entry in value.items()) + " }"
    if isinstance(value, list):
        return f"[{', '.join(map(toml_of, value))}]"
    if isinstance(value, bool):
        return json.dumps(value)
    return toml_string(value) if isinstance(value, str) else str(value)


def toml_key(name: str) -> str:
    """Return a key as TOML writes it."""
    return name if BARE.fullmatch(name) else toml_string(name)


def with_report(outcome: Outcome, path: str | None, page: Callable[[], Page]) -> Outcome:
    """Write a report if there is a path for it, and return an outcome that says so."""
    if not path:
        return outcome
    write_report(path, page())
    return replace(outcome, written={**outcome.written, "report": path})
