"""States: sums that add, and the tables that are read off them without reading a row again."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from pyspark.sql import Column, DataFrame

from logloss_spark.checks import between
from logloss_spark.errors import SpecError
from logloss_spark.io.caching import cache_or_collect
from logloss_spark.io.places import folders_of_files
from logloss_spark.io.session import active_session
from logloss_spark.io.source import Source, read_table
from logloss_spark.io.writing import Target, reserved, write_tables
from logloss_spark.roles import By, grouping_sets, slices_of
from logloss_spark.rows.inputs import kind_of
from logloss_spark.states.conventions import Conventions
from logloss_spark.states.state import CheckedState, coarser, cut, merged, sliced
from logloss_spark.states.stored import check_has_fingerprint, examine
from logloss_spark.statistics.catalogue import BY_CLASS, COMPARISON, METRICS, RELIABILITY, ROWS, SLICE, N
from logloss_spark.statistics.reference import explains
from logloss_spark.statistics.reporting import Reporting
from logloss_spark.tables.by_class import class_table
from logloss_spark.tables.comparison import comparison_table
from logloss_spark.tables.metrics import metrics_table
from logloss_spark.tables.reliability import reliability_table


@dataclass(frozen=True, eq=False, repr=False)
class State:
    """A table of sums, from which metrics are read. States add: the state of all rows is the sum of those of its parts.

    `evaluate` and `compare` make one from rows, `read_state` reads one that was saved, and `State(df)` takes a
    DataFrame that you read yourself. The table is looked through once, when something is first needed of it, and
    states that are merged are looked through together, in two jobs.

    Parameters
    ----------
    table : DataFrame
        The sums: see `help(logloss_spark.states.schema)`.

    Raises
    ------
    SpecError
        A table that is no state. When it is first used: one that holds states of different conventions, or one twice.
    DataError
        When it is first used: a state that was edited, or of which rows are missing.

    Examples
    --------
    >>> import logloss_spark as ls
    >>> df = spark.createDataFrame([("a", 1, 0.9), ("b", 0, 0.2)], "day string, label int, p double")
    >>> days = [ls.evaluate(df.where(df.day == day), label="label", prediction="p").state for day in "ab"]
    >>> both = days[0] + days[1]
    >>> both.metrics().first().n
    2
    """

    table: DataFrame

    def __post_init__(self) -> None:
        check_has_fingerprint(self.table)

    @classmethod
    def from_checked(cls, checked: CheckedState) -> "State":
        """A state of which everything is known, so that nobody looks through it."""
        state = cls(checked.table)
        state.__dict__["checked"] = checked
        return state

    @cached_property
    def checked(self) -> CheckedState:
        """The state once it was looked through; rows that were cut from a state by hand have a total here."""
        return examine([self.table])[0]

    @property
    def conventions(self) -> Conventions:
        """What states must share to be added: what was scored, and how."""
        return self.checked.conventions

    @property
    def slices(self) -> tuple[str, ...]:
        """The slice columns, whose grouping sets metrics can be read by."""
        return self.conventions.slices

    def __add__(self, other: "State") -> "State":
        """The state of the rows of both: `merge` says what is checked."""
        return merge(self, other) if isinstance(other, State) else NotImplemented

    def where(self, condition: str | Column) -> "State":
        """The state of the slices for which a condition holds, as SQL or a Column over the slice columns.

        Raises SpecError where it is no condition on them.

        Examples
        --------
        >>> import logloss_spark as ls
        >>> df = spark.createDataFrame([("a", 1, 0.9), ("b", 0, 0.2)], "day string, label int, p double")
        >>> state = ls.evaluate(df, label="label", prediction="p", by=[["day"]]).state
        >>> state.where("day = 'b'").metrics().first().n
        1
        """
        return State.from_checked(cut(self.checked, condition))

    def rolled_up(self, by: By) -> "State":
        """The state with the slice columns of these grouping sets alone: smaller, and with the same global row."""
        return State.from_checked(coarser(self.checked, slices_of(grouping_sets(by))))

    def with_slice(self, name: str, value: Column) -> "State":
        """The state with one more slice column, which has the same value everywhere, such as the day of its rows."""
        return State.from_checked(sliced(self.checked, name, value))

    def persist(self) -> "State":
        """The state with its sums cached, so that all that is read off it computes them once; see `unpersist`."""
        checked = self.checked
        return State.from_checked(CheckedState(cache_or_collect(checked.table), checked.conventions, checked.sources))

    def unpersist(self) -> None:
        """Let the cached sums go."""
        self.table.unpersist()

    def save(self, path: str, *, overwrite: bool = False) -> None:
        """Write the state to a path, as Parquet; it is looked through before.

        On this machine's disks what was there stays whole until all is written.

        Raises
        ------
        SpecError
            Something is at the path, and `overwrite` is not set, or it is nothing that Spark wrote; a path within what
            the state is read from.
        """
        table = self.checked.table
        target = {"state": Target(path=path)}
        mode = "overwrite" if overwrite else "errorifexists"
        with reserved(table.sparkSession, target, mode=mode, apart_from=folders_of_files(table)) as reservation:
            write_tables(reservation, {"state": table})

    @explains(*SLICE, ROWS, N, *METRICS)
    def metrics(
        self,
        *,
        by: By = (),
        confidence: float = 0.95,
        ece_bins: int = 10,
        baseline: float | Sequence[float] | None = None,
    ) -> DataFrame:
        """Metrics of everything in the state, and of the grouping sets asked for.

        Parameters
        ----------
        by : str, list of one str, or list of lists of str
            Grouping sets of the state's slice columns.
        confidence, ece_bins, baseline :
            As in `evaluate`.

        Returns
        -------
        DataFrame, lazy, one row for everything and one per slice: the slice columns, null where they are rolled up, the
        columns described below, and the number of rows with each status (`ok`, `null_label`, ...), which sum to `rows`.
        A metric is null where it is not defined. y is the label (1, 0 or its share) and p the forecast; means are
        weighted.

        Raises
        ------
        SpecError
            The state of a comparison, or a slice column that the state does not have.

        Examples
        --------
        >>> import logloss_spark as ls
        >>> df = spark.createDataFrame([("a", 1, 0.9), ("b", 0, 0.2)], "day string, label int, p double")
        >>> state = ls.evaluate(df, label="label", prediction="p", by=[["day"]]).state
        >>> state.metrics().select("slice", "n", F.round("log_loss", 4).alias("log_loss")).show()
        +-----+---+--------+
        |slice|  n|log_loss|
        +-----+---+--------+
        |  all|  2|  0.1643|
        +-----+---+--------+
        <BLANKLINE>
        """
        reporting = Reporting(confidence=confidence, ece_bins=ece_bins, baseline=baseline)
        return metrics_table(self._of_evaluation, grouping_sets(by), reporting)

    @explains(*SLICE, *RELIABILITY)
    def reliability(self, *, by: By = (), confidence: float = 0.95, ece_bins: int = 10) -> DataFrame:
        """The reliability table: per slice and bin of the score what was forecast and what happened.

        Parameters
        ----------
        by, confidence, ece_bins :
            As in `metrics`. For K classes the score is the top class's probability, and the label whether it happened.

        Returns
        -------
        DataFrame, lazy, one row per slice and bin: the slice columns, null where they are rolled up, and the columns
        described below

        Raises
        ------
        SpecError
            The state of a comparison, or a slice column that the state does not have.
        """
        reporting = Reporting(confidence=confidence, ece_bins=ece_bins)
        return reliability_table(self._of_evaluation, grouping_sets(by), reporting)

    @explains(*SLICE, *BY_CLASS)
    def by_class(self, *, by: By = ()) -> DataFrame:
        """The table by the class that happened: what each was forecast, how often it happened, its part of the loss.

        Parameters
        ----------
        by :
            As in `metrics`.

        Returns
        -------
        DataFrame, lazy, one row per slice and class: the slice columns, null where they are rolled up, and the columns
        described below

        Raises
        ------
        SpecError
            The state of a comparison, or a slice column that the state does not have.
        """
        return class_table(self._of_evaluation, grouping_sets(by))

    @explains(*SLICE, *COMPARISON)
    def comparison(self, *, by: By = (), confidence: float = 0.95) -> DataFrame:
        """The comparison of everything in the state, and of the grouping sets asked for.

        Parameters
        ----------
        by : str, list of one str, or list of lists of str
            Grouping sets of the state's slice columns.
        confidence : float
            As in `compare`.

        Returns
        -------
        DataFrame, lazy, one row per slice and challenger: the slice columns, null where they are rolled up, the columns
        described below, and the number of rows with each status. A row is scored where all models score it; otherwise
        it has the status of the first model that does not, the baseline before the others. With rows="shared" only the
        baseline and the challenger of the row count. `rows` is the same for all challengers: a key of a long table that
        lacks a model's row is a row with `null_prediction`. With soft labels `minority` is the number of all rows.

        Where one of the two losses of a row is infinite (`clip="none"`) the difference is infinite, and has no error.

        Raises
        ------
        SpecError
            The state of an evaluation, or a slice column that the state does not have.
        """
        between("confidence", confidence, 0.0, 1.0)
        if not self.conventions.models:
            raise SpecError("this is the state of an evaluation: read it with `metrics`")
        return comparison_table(self.checked, grouping_sets(by), confidence)

    @property
    def _of_evaluation(self) -> CheckedState:
        """The state, if an evaluation made it; SpecError where a comparison did."""
        if self.conventions.models:
            raise SpecError(
                f"this is the state of a comparison of {', '.join(self.conventions.models)}: read it with `comparison`"
            )
        return self.checked

    def __repr__(self) -> str:
        return f"State({', '.join(self.table.columns)})"


def merge(*states: State) -> State:
    """Add states: the state of all their rows together.

    Parameters
    ----------
    states : State
        One or more, of this session or read from storage. Their slice columns may come in any order; the result has
        the first one's.

    Returns
    -------
    State, lazy; those of the given ones that were not looked through yet are looked through at once, in two jobs.

    Raises
    ------
    SpecError
        States that were made under different conventions, or with other slices; it says what differs. A state that
        is given twice, whole or as part of another.
    DataError
        A state that was edited, or of which rows are missing.

    Examples
    --------
    >>> import logloss_spark as ls
    >>> df = spark.createDataFrame([("a", 1, 0.9), ("b", 0, 0.2)], "day string, label int, p double")
    >>> days = [ls.evaluate(df.where(df.day == day), label="label", prediction="p").state for day in "ab"]
    >>> ls.merge(*days).metrics().select("n").first().n
    2
    """
    if not states:
        raise SpecError("merge needs one state or more, got none: give them one by one, as in merge(*states)")
    return State.from_checked(merged(check_states(*states)))


def check_states(*states: State) -> list[CheckedState]:
    """What the states hold, once all that were not looked through yet have been, together."""
    for state in states:
        check_is_state(state)
    unread = list({id(state): state for state in states if "checked" not in state.__dict__}.values())
    if unread:
        for state, found in zip(unread, examine([state.table for state in unread]), strict=True):
            state.__dict__["checked"] = found
    return [state.checked for state in states]


def check_is_state(state: object) -> None:
    """Raise SpecError unless this is a State."""
    if not isinstance(state, State):
        advice = "give the .state of an evaluation or a comparison, and states one by one, as in merge(*states)"
        what = "wrap it, as in State(df)" if isinstance(state, DataFrame) else advice
        raise SpecError(f"states are needed here, got a {kind_of(state)}: {what}")


def read_state(path: str) -> State:
    """Read a state that `State.save` wrote, or Spark did as Parquet; a folder of several is their sum.

    Parameters
    ----------
    path : str
        As Spark reads it: it may be a pattern.

    Returns
    -------
    State, of which nothing but the schema has been read

    Raises
    ------
    DataError
        A path where nothing is, or that cannot be read.
    SpecError
        A table that is no state.
    """
    return State(read_table(active_session(), Source(path=path)))
