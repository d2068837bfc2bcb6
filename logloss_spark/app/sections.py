"""Sections that the configs of several commands have: what is read, how rows are scored, how tables are written."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from logloss_spark.checks import at_least_one
from logloss_spark.errors import SpecError
from logloss_spark.fit.spec import OnInvalid
from logloss_spark.io.source import Source
from logloss_spark.io.writing import Target
from logloss_spark.roles import Roles, grouping_sets
from logloss_spark.rows.engines import Engine, check_engine
from logloss_spark.rows.form import check_width
from logloss_spark.scoring import LossName, Scoring
from logloss_spark.state import State
from logloss_spark.statistics.reporting import Reading
from logloss_spark.statistics.worst_slices import Search
from logloss_spark.worst import WorstSlices

Mode = Literal["errorifexists", "overwrite"]

TYPELESS = ("csv", "json", "xml")
"""Formats whose columns are texts, or have the type that Spark guesses when it reads them."""


@dataclass(frozen=True, kw_only=True)
class Input(Source):
    """Where the rows are: a path in one of Spark's formats, with options of its reader, or a table of the catalog."""

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

    Parameters
    ----------
    rename : table from name to name
        Maps names of columns in the input to the names that the job uses. `where` is applied before.
    """

    rename: dict[str, str] = field(default_factory=dict)

    @property
    def roles(self) -> dict[str, Any]:
        """The other keys of the section: which columns mean what."""
        return {role: columns for role, columns in vars(self).items() if role != "rename"}


@dataclass(frozen=True, kw_only=True)
class TableFormat:
    """The format in which tables are written.

    Parameters
    ----------
    format : str
        A format that Spark writes.
    options : table from name to value
        Options of Spark's writer, such as `{ compression = "zstd" }`.
    """

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
    """How tables are written, and whether they replace what is there already.

    Parameters
    ----------
    mode : "errorifexists" or "overwrite"
        Whether it is an error if an output exists already, or whether a new table replaces it.
    """

    mode: Mode = "errorifexists"


@dataclass(frozen=True, kw_only=True)
class OutputWithState(Output):
    """An [output] one of whose tables is a state: its columns must keep their types until it is read again.

    Parameters
    ----------
    state : str
        The path of the state, whose sums can be added to other states and from which metrics can be read.
    """

    state: str | None = None

    def __post_init__(self) -> None:
        if self.state and self.format.lower() in TYPELESS:
            raise SpecError(
                f"a state must be stored in a format that keeps its types, got {self.format}: leave `state` out of "
                '[output], or set format = "parquet"'
            )


@dataclass(frozen=True, kw_only=True)
class Tolerance:
    """What becomes of invalid rows.

    Parameters
    ----------
    on_invalid : "count", "quarantine" or "fail"
        Whether invalid rows are counted by reason, also written to [output] `invalid`, or end the job.
    tolerated_share : float from 0 to 1
        The largest share of invalid rows with which the job succeeds. The default is 0 for "fail" and 1 otherwise.
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
class SlicesSection:
    """The grouping sets of a result.

    Parameters
    ----------
    by : str, or list of lists of str
        The slices besides the whole table: one column, or a list of grouping sets, each a list of columns.
    """

    by: list[list[str]] | list[str] | str = field(default_factory=list)

    def __post_init__(self) -> None:
        _ = self.sets  # they check themselves

    @property
    def sets(self) -> tuple[tuple[str, ...], ...]:
        """The grouping sets, without repetitions."""
        return grouping_sets(self.by)


@dataclass(frozen=True, kw_only=True)
class ReadingWithSearch(Reading):
    """How metrics are read off a state, and among which combinations of slice columns bad slices are searched for.

    Parameters
    ----------
    search : list of str
        Columns among whose combinations slices are searched for that are worse than all other rows. An evaluation
        slices its state by them, too.
    search_depth : int
        The most columns that such a slice combines.
    search_min_rows : int
        Slices of fewer rows are not looked at.
    """

    search: list[str] = field(default_factory=list)
    search_depth: int = Search.max_depth
    search_min_rows: int = Search.min_rows

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("search_depth", "search_min_rows"):
            at_least_one(name, getattr(self, name))


def searched(state: State, asked: ReadingWithSearch) -> WorstSlices | None:
    """Return the slices of a state that are worse than all other rows, if they are searched for.

    It is no method, because sections travel to the workers, and would take all that it needs with them.
    """
    if not asked.search:
        return None
    return state.worst_slices(
        asked.search, max_depth=asked.search_depth, min_rows=asked.search_min_rows, confidence=asked.confidence
    )


@dataclass(frozen=True, kw_only=True)
class ScoringSection(Scoring, Tolerance, SlicesSection):
    """How rows are scored, by which slices, and by what: arguments of `logloss_spark.evaluate` and `compare`.

    Parameters
    ----------
    engine : str
        How the rows are read and summed; all engines give the same numbers.
    """

    loss: LossName = "cross_entropy"
    engine: Engine = "auto"

    def __post_init__(self) -> None:
        Scoring.__post_init__(self)
        Tolerance.__post_init__(self)
        SlicesSection.__post_init__(self)
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
