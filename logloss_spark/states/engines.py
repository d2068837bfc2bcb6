"""Sums of a table by the engine that was asked for, or by the fastest that can serve."""

from collections.abc import Callable
from typing import TypeVar

from logloss_spark.errors import SpecError, UnreadableError
from logloss_spark.rows.engines import Ran
from logloss_spark.rows.inputs import Rows
from logloss_spark.states.files import Scan, scan_of
from logloss_spark.wording import counted

Found = TypeVar("Found")


def by_engine(
    rows: Rows, from_files: Callable[[Scan], Found], in_spark: Callable[[], Found], *, most_scores: int = 0
) -> tuple[Found, Ran]:
    """Compute something from the rows of a table by one of two ways.

    Parameters
    ----------
    rows : Rows
    from_files : callable
        Computes it where workers can read the table's files.
    in_spark : callable
        Computes it from the rows that Spark reads.
    most_scores : int
        As in `files.scan_of`.

    Returns
    -------
    found : what either returned
    ran : Ran, the engine and why it ran

    Raises
    ------
    SpecError
        The engine `arrow` was asked for by name, and cannot read the table.
    DataError
        A file of the table is not what the table says, or changed while it was read.
    """
    if rows.engine in ("native", "pandas"):
        return in_spark(), Ran(rows.engine, "it was asked for")
    scan = scan_of(rows, most_scores=most_scores)
    if not isinstance(scan, str):
        try:
            return from_files(scan), Ran("arrow", f"the table is {counted(len(scan.table.files), 'file')} of Parquet")
        except UnreadableError as error:
            scan = str(error)
    if rows.engine == "arrow":
        raise SpecError(f"engine='arrow' reads the files of a table in the workers, and {scan}: leave engine out")
    return in_spark(), Ran(rows.engine_in_spark, scan)
