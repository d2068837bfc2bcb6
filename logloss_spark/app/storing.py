"""What a run does with a store: which units are due, and how they are named, told and stored."""

import json
from argparse import ArgumentParser
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from pyspark.sql import DataFrame

from logloss_spark.errors import DataError, MissingInputError, SpecError
from logloss_spark.io.doubts import DoubtError
from logloss_spark.io.files import FileTable, listed_again
from logloss_spark.io.secrets import SECRET
from logloss_spark.io.source import Source
from logloss_spark.io.units import Key, Unit, files_of_units, fingerprint, in_words, only_units, units_of
from logloss_spark.kernels.grid import VERSION
from logloss_spark.roles import Roles
from logloss_spark.scoring import Scoring
from logloss_spark.states.conventions import STATE_VERSION
from logloss_spark.states.store import Snapshot
from logloss_spark.store import Due, Plan, Store, StoreFormat
from logloss_spark.wording import PATH, counted, visible

SHOWN_UNITS = 100
"""Units that are printed one by one; `--json` has all of them."""


@dataclass(frozen=True, kw_only=True)
class StoreSection:
    """Where states are kept, and by which units.

    Parameters
    ----------
    path : str
        The folder of the store. With Delta it may also be a table's name, such as `db.states`; with Iceberg it must be.
    format : "parquet", "delta" or "iceberg"
        How it is kept. Delta and Iceberg need their jars.
    unit : list of str
        The columns of the input whose values make a unit, such as its day. Units are evaluated again if files change.
    keep_days : float
        How long what was replaced can still be read as an older version; it is deleted after a run. With [labels] at
        least the `days` that a rule of the gate compares with.
    """

    path: str
    format: StoreFormat = "parquet"
    unit: list[str] = field(default_factory=list)
    keep_days: float = 30.0

    def __post_init__(self) -> None:
        if not self.unit:
            raise SpecError('[store] unit must name a column of the input or more, got none: set unit = ["dt"]')
        if not self.keep_days >= 0:
            raise SpecError(f"[store] keep_days must be 0 or more, got {self.keep_days!r}")

    def open(self) -> Store:
        """Return the store, with the active session."""
        return Store(self.path, format=self.format)


def add_store(parser: ArgumentParser) -> None:
    """Add the arguments of a command that evaluates what is due."""
    parser.add_argument("--dry-run", action="store_true", help="with [store]: print which units are due, and stop")
    parser.add_argument("--full", action="store_true", help="with [store]: evaluate all units")


def config_fingerprint(sources: Sequence[Source], roles: Roles, scoring: Scoring, unit: Sequence[str]) -> str:
    """The fingerprint of what decides the state of a unit beside its rows. Options that are secret do not count."""
    decides = {
        "sources": [asdict(source) | {"options": plain_options(source)} for source in sources],
        "roles": asdict(roles),
        "scoring": {name: value for name, value in vars(scoring).items() if name in Scoring.__dataclass_fields__},
        "unit": list(unit),
        "versions": [STATE_VERSION, VERSION],
    }
    return fingerprint(json.dumps(decides, sort_keys=True, default=str))


def plain_options(source: Source) -> dict[str, str | bool | int | float]:
    """The options of a source that are no secrets."""
    return {name: value for name, value in source.options.items() if not SECRET.search(name)}


def check_same_columns(stored: Snapshot, columns: Sequence[str]) -> None:
    """Raise SpecError where a store has other unit columns."""
    if stored.columns and stored.columns != tuple(columns):
        raise SpecError(
            f"a store has its unit columns from its first run, got {', '.join(columns)} for a store by "
            f"{', '.join(stored.columns)}: name another path"
        )


def no_age(_: Key) -> None:
    """The age of a unit whose labels do not come late: none."""


def rows_of_plan(
    plan: Plan, table: DataFrame, files: FileTable | str | None, units: Sequence[Unit]
) -> tuple[DataFrame, FileTable | str | None]:
    """Return the rows of the units that are due, and their files."""
    if len(plan.keys) == len(units):
        return table, files
    kept = files_of_units(files, plan.columns, plan.keys) if isinstance(files, FileTable) else files
    return only_units(table, plan.columns, plan.keys), kept


def check_unchanged(plan: Plan, now: Sequence[Unit]) -> None:
    """Raise DataError where a unit that was evaluated has other files now: nobody knows which rows were read."""
    found = {unit.key: unit.fingerprint for unit in now}
    for due in plan.due:
        if due.unit is not None and found.get(due.key) != due.unit.fingerprint:
            raise DataError(
                f"the files of a unit must stay while it is evaluated, and those of "
                f"{named(plan, due)} changed: run again"
            )


def check_files_unchanged(plan: Plan, table: DataFrame, files: FileTable) -> None:
    """Raise DataError where one of the files of the units that were evaluated has changed or is gone."""
    try:
        now = listed_again(table.sparkSession, files)
    except DoubtError as doubt:
        raise DataError(f"the files of a unit must stay while it is evaluated: {doubt}: run again") from None
    check_unchanged(plan, units_of(table, now, plan.columns))


def named(plan: Plan, due: Due) -> str:
    """A unit that is due, in words."""
    return visible(in_words(due.key, plan.columns), PATH)


def notes_on_plan(plan: Plan, units: int) -> tuple[str, ...]:
    """Sentences on what is due, and why."""
    if not plan.due:
        return (f"nothing is due: all {counted(units, 'unit')} are stored as they are",)
    told = [f"due: {named(plan, due)} ({due.reason})" for due in plan.due[:SHOWN_UNITS]]
    more = len(plan.due) - len(told)
    verb = "is" if len(plan.keys) == 1 else "are"
    return (
        f"{len(plan.keys)} of {counted(units, 'unit')} {verb} due",
        *told,
        *([f"and {more:,} more"] if more else []),
    )


def records_of_plan(plan: Plan) -> list[dict[str, Any]]:
    """What is due, as records."""
    return [{"unit": dict(zip(plan.columns, due.key, strict=True)), "reason": due.reason} for due in plan.due]


def empty_store(section: StoreSection) -> MissingInputError:
    """Return the error of a command that reads a store which nothing has been stored in."""
    return MissingInputError(
        f"the store {visible(section.path, PATH)} must hold states to be read, and it is empty: "
        "evaluate with [store] first"
    )


def note_on_snapshot(snapshot: Snapshot) -> str:
    """A sentence on what a store holds."""
    return f"the store holds {counted(len(snapshot.units), 'unit')} as version {snapshot.version}"
