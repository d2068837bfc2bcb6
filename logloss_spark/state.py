"""`State`: sums that add, and the tables that are computed from them without reading a row again."""

from collections.abc import Sequence
from functools import cached_property

from pyspark.sql import Column, DataFrame

from logloss_spark.calibrator import Calibrator
from logloss_spark.errors import SpecError
from logloss_spark.io.caching import uncache
from logloss_spark.io.local import LocalTable, as_dataframe
from logloss_spark.io.places import folders_of_files
from logloss_spark.io.session import active_session
from logloss_spark.io.source import Source, read_table
from logloss_spark.io.writing import Target, reserved, write_tables
from logloss_spark.report.states import view_of_state
from logloss_spark.report.text import as_html
from logloss_spark.roles import By, Columns, grouping_sets, one_or_more, slices_of
from logloss_spark.rows.columns import kind_of
from logloss_spark.states.conventions import Conventions
from logloss_spark.states.small import held
from logloss_spark.states.state import CheckedState, coarser, cut, merged, sliced
from logloss_spark.states.stored import check_has_fingerprint, examine
from logloss_spark.states.windows import Windows
from logloss_spark.statistics.catalogue import (
    BY_CLASS,
    COMPARISON,
    METRICS,
    RELIABILITY,
    ROWS_READ,
    ROWS_SCORED,
    SLICE,
    WINDOW,
    WORST_SLICES,
)
from logloss_spark.statistics.recalibration import Method
from logloss_spark.statistics.reference import explains
from logloss_spark.statistics.reporting import Coverage, Intervals, Reading
from logloss_spark.statistics.worst_slices import Search
from logloss_spark.tables.by_class import class_table
from logloss_spark.tables.comparison import comparison_table
from logloss_spark.tables.metrics import metrics_table
from logloss_spark.tables.recalibration import Recalibration, recalibration
from logloss_spark.tables.reliability import reliability_table
from logloss_spark.tables.windows import windows_table
from logloss_spark.tables.worst_slices import searched_slices
from logloss_spark.wording import visible
from logloss_spark.worst import WorstSlices


class State:
    """A table of sums, and the conventions under which they were made. States add: state(A) + state(B) = state(A ∪ B).

    `evaluate` and `compare` compute a state from rows, `read_state` reads one that was saved, and `State(df)` takes a
    DataFrame that you have read yourself. A stored state is checked once, at its first use; states that are merged
    are checked together, by two queries.

    Parameters
    ----------
    table : DataFrame
        The sums; `help(logloss_spark.states.schema)` describes them.

    Raises
    ------
    SpecError
        The table is no state. At the first use: it holds states of different conventions, or one state twice.
    DataError
        At the first use: the state was edited, or rows are missing.

    Examples
    --------
    >>> import logloss_spark as ls
    >>> df = spark.createDataFrame([("a", 1, 0.9), ("b", 0, 0.2)], "day string, label int, p double")
    >>> days = [ls.evaluate(df.where(df.day == day), label="label", prediction="p").state for day in "ab"]
    >>> both = days[0] + days[1]
    >>> both.metrics().first().n
    2
    """

    def __init__(self, table: DataFrame) -> None:
        check_has_fingerprint(table)
        self.__dict__["table"] = table

    @classmethod
    def from_checked(cls, checked: CheckedState) -> "State":
        """A state that needs no further check."""
        state = cls.__new__(cls)
        state.__dict__["checked"] = checked
        return state

    @cached_property
    def table(self) -> DataFrame:
        """The sums as a DataFrame. Those of a small evaluation are on the driver until somebody asks for them here."""
        return self.checked.table

    @cached_property
    def checked(self) -> CheckedState:
        """The checked state. If its rows were cut from another state by hand, it has a total of its own here."""
        return examine([self.table])[0]

    @property
    def conventions(self) -> Conventions:
        """The conventions: what was scored, and how. States must share them to be added."""
        return self.checked.conventions

    @property
    def slices(self) -> tuple[str, ...]:
        """The slice columns. Metrics can be computed for any grouping sets of them."""
        return self.conventions.slices

    def __add__(self, other: "State") -> "State":
        """The state of all rows of both states; raises as `merge` does."""
        return merge(self, other) if isinstance(other, State) else NotImplemented

    def where(self, condition: str | Column) -> "State":
        """The state of the slices that meet a condition.

        Parameters
        ----------
        condition : str or Column
            A condition on the slice columns; a string is SQL.

        Raises
        ------
        SpecError
            The condition is invalid, or names anything but slice columns.

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
        """A smaller state, which has only the slice columns that these grouping sets name."""
        return State.from_checked(coarser(self.checked, slices_of(grouping_sets(by))))

    def with_slice(self, name: str, value: Column) -> "State":
        """The state with one more slice column that has one value, such as the day of all its rows."""
        return State.from_checked(sliced(self.checked, name, value))

    def persist(self) -> "State":
        """Compute the sums once, and return the state that has them: on the driver if they are few, else cached."""
        checked = self.checked
        if checked.local:
            return self
        sums = held(checked.table, checked.conventions)
        return State.from_checked(CheckedState(sums, checked.conventions, checked.sources))

    def unpersist(self) -> None:
        """Free the sums if Spark has cached them; those on the driver are freed with the state itself."""
        if "checked" not in self.__dict__ or not self.checked.local:
            uncache(self.table)

    def save(self, path: str, *, overwrite: bool = False) -> None:
        """Check the state, and write it to a path as Parquet.

        On this machine's disks an old table stays whole until the new one is written.

        Raises
        ------
        SpecError
            Something is at the path and `overwrite` is false, or it is not a table that Spark wrote; or the path
            overlaps with what the state is read from.
        """
        table = self.checked.table
        target = {"state": Target(path=path)}
        mode = "overwrite" if overwrite else "errorifexists"
        with reserved(table.sparkSession, target, mode=mode, apart_from=folders_of_files(table)) as reservation:
            write_tables(reservation, {"state": table})

    @explains(*SLICE, ROWS_READ, ROWS_SCORED, *METRICS)
    def metrics(
        self,
        *,
        by: By = (),
        confidence: float = 0.95,
        intervals: Intervals = "fixed",
        ece_bins: int = 10,
        baseline: float | Sequence[float] | None = None,
    ) -> DataFrame:
        """The metrics of the global row and of grouping sets of the slices.

        Parameters
        ----------
        by : str, list of one str, or list of lists of str
            Grouping sets of the state's slice columns.
        confidence, intervals, ece_bins, baseline :
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
            This is the state of a comparison, or it has no such slice column.

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
        reading = Reading(confidence=confidence, intervals=intervals, ece_bins=ece_bins, baseline=baseline)
        return as_dataframe(self.measured(by, reading))

    def measured(self, by: By, reading: Reading) -> DataFrame | LocalTable:
        """Return the metrics where they are computed: on the driver if the sums are there, else lazily in Spark."""
        return metrics_table(self._of_evaluation, grouping_sets(by), reading)

    def windowed(self, windows: Windows, by: By, reading: Reading) -> DataFrame | LocalTable:
        """Return the metrics of windows of days where they are computed."""
        return windows_table(self._of_evaluation, windows, grouping_sets(by), reading)

    @explains(*SLICE, *RELIABILITY)
    def reliability(self, *, by: By = (), confidence: float = 0.95, ece_bins: int = 10) -> DataFrame:
        """The reliability table: what was forecast and what happened, per slice and bin of the score.

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
            This is the state of a comparison, or it has no such slice column.
        """
        reading = Reading(confidence=confidence, ece_bins=ece_bins)
        return as_dataframe(reliability_table(self._of_evaluation, grouping_sets(by), reading))

    @explains(*SLICE, *BY_CLASS)
    def by_class(self, *, by: By = ()) -> DataFrame:
        """The table by class: what each class was forecast, how often it happened, and its part of the loss.

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
            This is the state of a comparison, or it has no such slice column.
        """
        return as_dataframe(class_table(self._of_evaluation, grouping_sets(by)))

    @explains(*SLICE, *COMPARISON)
    def comparison(self, *, by: By = (), confidence: float = 0.95, intervals: Intervals = "fixed") -> DataFrame:
        """The comparison of each challenger with the baseline, for the global row and for grouping sets of the slices.

        Parameters
        ----------
        by : str, list of one str, or list of lists of str
            Grouping sets of the state's slice columns.
        confidence, intervals :
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
            This is the state of an evaluation, or it has no such slice column.
        """
        coverage = Coverage(confidence=confidence, intervals=intervals)
        if not self.conventions.models:
            raise SpecError("this is the state of an evaluation: read it with `metrics`")
        return as_dataframe(comparison_table(self.checked, grouping_sets(by), coverage))

    def calibrator(
        self,
        method: Method = "isotonic",
        *,
        held_out: "State | None" = None,
        over: str | None = None,
        confidence: float = 0.95,
    ) -> Calibrator:
        """A calibrator: a curve that turns forecasts into better ones, fitted to the cells of this state alone.

        Parameters
        ----------
        method : "isotonic", "platt", "beta" or "temperature"
            Any rising curve (pooled adjacent violators); a straight line in log odds; a line in ln p and ln(1 - p); or
            one factor of the logit. A forecast with an entry for each of two classes has the last one only.
        held_out : State, optional
            The state of other rows, on which the gain is measured.
        over : str, optional
            A slice column of this state, such as the day, over which the gain is measured instead: on each of its
            slices by the curve of all other slices.
        confidence : float in (0, 1)
            The confidence of the gain's interval.

        Returns
        -------
        Calibrator, whose `gain` is None without `held_out` and `over`. The interval of the gain takes rows as
        independent, or its clusters if the state that it is measured on has them.

        Raises
        ------
        SpecError
            This is the state of a comparison or of another loss, its cells do not determine the curve, the state has
            no slice column `over`, or `held_out` shares rows with it or was made otherwise.
        DataError
            There are no rows of one class, or a threshold of the score separates the classes, which only
            "isotonic" can be fitted to.

        Examples
        --------
        >>> import logloss_spark as ls
        >>> rows = [(day, int(i % 10 < 4), 0.6 if 0 < i % 10 < 6 else 0.5) for day in "ab" for i in range(100)]
        >>> df = spark.createDataFrame(rows, "day string, label int, p double")
        >>> state = ls.evaluate(df, label="label", prediction="p", by="day").state
        >>> calibrator = state.calibrator("platt", over="day")
        >>> calibrator.predict([0.6, 0.5]).round(2).tolist(), round(calibrator.gain.value, 3)
        ([0.6, 0.2], 0.096)
        """
        asked = Recalibration(method=method, over=over, confidence=confidence)
        others = None if held_out is None else held_out._of_evaluation
        curve, rows, gain = recalibration(self._of_evaluation, others, asked)
        return Calibrator(method, self.conventions.kind, rows, curve, gain)

    @explains(*SLICE, *WORST_SLICES)
    def worst_slices(
        self, search: Columns | None = None, *, max_depth: int = 2, min_rows: int = 100, confidence: float = 0.95
    ) -> WorstSlices:
        """Search for slices that are worse than all other rows, among all combinations of slice columns.

        A slice is tested for a larger mean loss than the rest, the rows outside of it. Where no slice is worse, the
        chance that any is listed is at most 1 - confidence, however many are looked at. Of slices that say the same one
        is listed. Clearest first, a slice is listed if it is worse beside those that are listed already: if the loss is
        regressed on membership in them and in this one, this one must keep an excess. So a parent that is bad because
        of one child is left out, and so is a child that is no worse than its parents say. No row is read again.

        Parameters
        ----------
        search : list of str, optional
            The columns that slices combine; by default all slice columns.
        max_depth : int
            The most columns that a slice combines.
        min_rows : int
            Slices of fewer rows are not looked at. Where weights differ, the effective number of rows counts. With
            clusters, their rows must fill 30 of the 64 buckets.
        confidence : float
            See above; also the coverage of the intervals of the excess, which take one slice by itself.

        Returns
        -------
        WorstSlices, which shows itself; `to_pandas` has one row per slice, those that contribute most to the loss
        first: the slice columns, null where a slice leaves them out, and the columns described below. Null values are
        values like others, and are written `null` in `slice`.

        Raises
        ------
        SpecError
            This is the state of a comparison, it has no such slice column, or an argument has an invalid value.

        Examples
        --------
        >>> import logloss_spark as ls
        >>> rows = [(c, d, i % 2, 0.9 if (i % 2) ^ (c + d == "frtv" and i % 3 == 0) else 0.1 + i % 5 / 100)
        ...         for c in ("de", "fr") for d in ("tv", "web") for i in range(200)]
        >>> df = spark.createDataFrame(rows, "country string, device string, label int, p double")
        >>> state = ls.evaluate(df, "label", "p", by=[["country", "device"]]).state
        >>> worst = state.worst_slices()
        >>> worst.to_pandas()[["slice", "n", "log_loss", "log_loss_of_rest", "contribution"]].round(2)
                          slice    n  log_loss  log_loss_of_rest  contribution
        0  country=fr/device=tv  200      0.82              0.12          0.18
        >>> worst.looked_at, worst.worse
        (8, 3)
        """
        asked = Search(max_depth=max_depth, min_rows=min_rows, confidence=confidence)
        columns = self.slices if search is None else one_or_more("search", search)
        return WorstSlices(searched_slices(self._of_evaluation, columns, asked))

    @property
    def _of_evaluation(self) -> CheckedState:
        """The checked state of an evaluation; SpecError if this is a comparison's."""
        if self.conventions.models:
            raise SpecError(
                f"this is the state of a comparison of {', '.join(self.conventions.models)}: read it with `comparison`"
            )
        return self.checked

    def _repr_html_(self) -> str:
        if "checked" not in self.__dict__:
            return f"<p>{self!r}</p>"
        return as_html(view_of_state(self.checked, self._title))

    def __repr__(self) -> str:
        if "checked" not in self.__dict__:
            return "State that was not checked yet; .conventions says what it holds"
        reading = ".comparison() computes its table" if self.conventions.models else ".metrics() computes its metrics"
        return f"{self._title}; {reading}"

    @property
    def _title(self) -> str:
        """What the state is of, in words."""
        by = f" by {', '.join(map(visible, self.slices))}" if self.slices else ""
        return f"State of {'a comparison' if self.conventions.models else 'an evaluation'}{by}"


def merge(*states: State) -> State:
    """Add states: the state of all their rows.

    Parameters
    ----------
    states : State
        One or more. Their slice columns may be in any order; the result has the order of the first state.

    Returns
    -------
    State, lazy; states that were not checked yet are checked at once, all of them by two queries.

    Raises
    ------
    SpecError
        The states differ in conventions or slices, and the message says in which; or a state is given twice, whole or
        as part of another.
    DataError
        A state was edited, or rows are missing.

    Examples
    --------
    >>> import logloss_spark as ls
    >>> df = spark.createDataFrame([("a", 1, 0.9), ("b", 0, 0.2)], "day string, label int, p double")
    >>> days = [ls.evaluate(df.where(df.day == day), label="label", prediction="p").state for day in "ab"]
    >>> ls.merge(*days).metrics().select("n").first().n
    2
    """
    if not states:
        raise SpecError("merge takes one state or more, got none: give them one by one, as in merge(*states)")
    return State.from_checked(merged(check_states(*states)))


@explains(*WINDOW, *SLICE, ROWS_READ, ROWS_SCORED, *METRICS)
def windows(
    state: State,
    *,
    over: str,
    sizes: Sequence[int],
    by: By = (),
    confidence: float = 0.95,
    intervals: Intervals = "fixed",
    ece_bins: int = 10,
    baseline: float | Sequence[float] | None = None,
) -> DataFrame:
    """The metrics of windows of days: of each day of a state, the days before it, and everything in between.

    Parameters
    ----------
    state : State
        The state of an evaluation that was sliced by day, or the sum of such states.
    over : str
        The slice column of the day: dates, or texts as 2026-01-31. Rows without a day are in no window.
    sizes : sequence of int
        The lengths of windows in calendar days: 7 is a day and the six before it.
    by : str, list of one str, or list of lists of str
        Grouping sets of the other slice columns.
    confidence, intervals, ece_bins, baseline :
        As in `evaluate`.

    Returns
    -------
    DataFrame, one row for each size, each day of the state as the last one, and everything or one slice. The first
    column is the last day of the window; then follow the slice columns, null where they are rolled up, the columns
    described below, and the number of rows with each status. A window in which a slice has no rows is left out.

    The metrics are those of the sum of the states of the days. A state of up to a million rows by day and slice comes
    to the driver, where all windows are computed at once; those of a larger one are lazy, one query for all windows.

    Raises
    ------
    SpecError
        This is the state of a comparison, it has no such slice column, or `over` holds no days.
    DataError
        A text in `over` is not a date.

    Examples
    --------
    >>> import logloss_spark as ls
    >>> rows = [("2026-01-01", 1, 0.9), ("2026-01-02", 0, 0.2), ("2026-01-04", 1, 0.6)]
    >>> df = spark.createDataFrame(rows, "day string, label int, p double")
    >>> state = ls.evaluate(df, label="label", prediction="p", by="day").state
    >>> ls.windows(state, over="day", sizes=[1, 3]).select("day", "window", "days", "n", "label_mean").show()
    +----------+------+----+---+----------+
    |       day|window|days|  n|label_mean|
    +----------+------+----+---+----------+
    |2026-01-01|     1|   1|  1|       1.0|
    |2026-01-02|     1|   1|  1|       0.0|
    |2026-01-04|     1|   1|  1|       1.0|
    |2026-01-01|     3|   1|  1|       1.0|
    |2026-01-02|     3|   2|  2|       0.5|
    |2026-01-04|     3|   2|  2|       0.5|
    +----------+------+----+---+----------+
    <BLANKLINE>
    """
    reading = Reading(confidence=confidence, intervals=intervals, ece_bins=ece_bins, baseline=baseline)
    return as_dataframe(state.windowed(Windows(over, tuple(sizes)), by, reading))


def check_states(*states: State) -> list[CheckedState]:
    """Check the states that were not checked yet, all of them together, and return all."""
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
        raise SpecError(f"states must be of type State, got a {kind_of(state)}: {what}")


def read_state(path: str) -> State:
    """Read a state that was saved as Parquet.

    A path that matches several states gives their sum. `read_state("states/2026-*")` scans the files of a year at once,
    which is faster than `merge` of 365 states; rows are then checked as those of one state.

    Parameters
    ----------
    path : str
        A path or a pattern, as Spark reads it.

    Returns
    -------
    State, of which only the schema has been read

    Raises
    ------
    DataError
        Nothing is at the path, or it cannot be read.
    SpecError
        The table is no state.
    """
    return State(read_table(active_session(), Source(path=path)))
