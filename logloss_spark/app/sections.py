"""Sections that the configs of several commands have: what is read, how rows are scored, how tables are written."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from logloss_spark.errors import SpecError
from logloss_spark.fit.spec import OnInvalid
from logloss_spark.io.source import Source
from logloss_spark.io.writing import Target
from logloss_spark.roles import Roles, grouping_sets
from logloss_spark.rows.engines import Engine, check_engine
from logloss_spark.rows.form import check_width
from logloss_spark.scoring import LossName, Scoring

Mode = Literal["errorifexists", "overwrite"]

TYPELESS = ("csv", "json", "xml")
"""Formats whose columns are texts, or have the type that Spark guesses when it reads them."""


@dataclass(frozen=True, kw_only=True)
class Input(Source):
    """Where the rows are: a path in one of Spark's formats, with options of its reader, or a table of the catalog.

    `schema` gives columns of a path their types where Spark would guess others, and `where` is a condition in SQL.
    """

    section: ClassVar[str] = "input"
    """What errors call this section."""

    def __post_init__(self) -> None:
        if bool(self.path) == bool(self.table):
            raise SpecError(
                f"[{self.section}] must have either path or table, got {'both' if self.path else 'neither'}"
            )


@dataclass(frozen=True, kw_only=True)
class Renaming:
    """A section [columns] that may rename columns of the input before any other key looks for them.

    `rename` maps names in the table, after `where`, to those that the job uses.
    """

    rename: dict[str, str] = field(default_factory=dict)

    @property
    def roles(self) -> dict[str, Any]:
        """The other keys of the section: which columns mean what."""
        return {role: columns for role, columns in vars(self).items() if role != "rename"}


@dataclass(frozen=True, kw_only=True)
class TableFormat:
    """The format in which tables are written, one of Spark's, with its writer's options."""

    format: str = "parquet"
    options: dict[str, str | bool | int | float] = field(default_factory=dict)

    def target(self, path: str, partition_by: Sequence[str] = ()) -> Target:
        """Return a path, with how a table is written there."""
        return Target(path=path, format=self.format, options=self.options, partition_by=partition_by)

    def targets(self, paths: dict[str, str]) -> dict[str, Target]:
        """Return the targets of several tables, by their names."""
        return {name: self.target(path) for name, path in paths.items()}


@dataclass(frozen=True, kw_only=True)
class Output(TableFormat):
    """How tables are written, and whether they replace what is there already."""

    mode: Mode = "errorifexists"


@dataclass(frozen=True, kw_only=True)
class OutputWithState(Output):
    """An [output] one of whose tables is a state: its columns must keep their types until it is read again."""

    state: str | None = None

    def __post_init__(self) -> None:
        if self.state and self.format.lower() in TYPELESS:
            raise SpecError(
                f"a state must be stored in a format that keeps its types, got {self.format}: leave `state` out of "
                '[output], or set format = "parquet"'
            )


@dataclass(frozen=True, kw_only=True)
class Tolerance:
    """What becomes of rows that cannot be scored.

    `tolerated_share` is the largest share of invalid rows with which the job still succeeds: by default 0 where
    `on_invalid` is "fail", otherwise 1.
    """

    on_invalid: OnInvalid = "count"
    tolerated_share: float | None = None

    def __post_init__(self) -> None:
        if not 0.0 <= self.tolerance <= 1.0:
            raise SpecError(f"tolerated_share must be a share of the rows, from 0 to 1, got {self.tolerance!r}")

    @property
    def tolerance(self) -> float:
        """`tolerated_share`, or what `on_invalid` says where it is not given."""
        return self.tolerated_share if self.tolerated_share is not None else 0.0 if self.on_invalid == "fail" else 1.0


@dataclass(frozen=True, kw_only=True)
class Slices:
    """The grouping sets by which a state is read."""

    by: list[list[str]] | list[str] | str = field(default_factory=list)

    def __post_init__(self) -> None:
        _ = self.sets  # they check themselves

    @property
    def sets(self) -> tuple[tuple[str, ...], ...]:
        """The grouping sets, without repetitions."""
        return grouping_sets(self.by)


@dataclass(frozen=True, kw_only=True)
class ScoringSection(Scoring, Tolerance):
    """How rows are scored, by which slices, and by what: arguments of `logloss_spark.evaluate` and `compare`."""

    by: list[list[str]] | list[str] | str = field(default_factory=list)
    loss: LossName = "cross_entropy"
    engine: Engine = "pandas"

    def __post_init__(self) -> None:
        Scoring.__post_init__(self)
        Tolerance.__post_init__(self)
        check_engine(self.engine, self)

    def roles(self, columns: Renaming, **others: Any) -> Roles:
        """Return the roles of the columns of a section [columns]; an empty name is none."""
        given = columns.roles | others
        roles = Roles(
            label=given["label"],
            prediction=given["prediction"],
            weight=given["weight"] or None,
            cluster=given["cluster"] or None,
            by=self.by,
        )
        check_width(roles, self)
        return roles
