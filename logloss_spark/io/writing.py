"""Write results so that a job that fails, or is killed, leaves the old tables whole.

On this machine's disks each table is prepared beside its place; at the end all of them move to their places, one rename
each. On other file systems Spark cannot rename: it writes a table in its place, and if that fails, the error says what
became of the old one.
"""

import atexit
import os
import re
import shutil
import tempfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import combinations
from urllib.parse import unquote
from uuid import uuid4

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import ArrayType, MapType, StructType, UserDefinedType

from logloss_spark.errors import LogLossError, SpecError
from logloss_spark.io.places import literal, located, missing, on_this_machine, overlap, without_scheme
from logloss_spark.io.signals import Interrupted, held_back
from logloss_spark.io.spark_errors import from_spark, translated
from logloss_spark.io.swap import locked, recover, settle, sibling, swap

MODES = {"errorifexists": "error", "overwrite": "overwrite"}
"""Spark's words for what to do where something is; its Connect client knows the first one by its short form only."""

FILES = ("parquet", "orc", "json", "csv", "avro", "text")
"""Formats whose tables are folders of files and nothing else. Others, as delta, have a log that replaces tables."""

OURS = re.compile(
    r"_SUCCESS|_metadata|_common_metadata|_started_\w+|_committed_\w+|\..*\.crc"
    r"|part-\d{5,}-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\S*"
)
"""The names of files that Spark writes into the folder of a table."""


@dataclass(frozen=True, kw_only=True)
class Target:
    """A path that a table is written to, and the arguments of Spark's writer."""

    path: str
    format: str = "parquet"
    options: Mapping[str, str | bool | int | float] = field(default_factory=dict)
    partition_by: Sequence[str] = ()

    @property
    def is_files(self) -> bool:
        """Whether what is written is a folder of files and nothing else."""
        return self.format.lower() in FILES

    def write(self, table: DataFrame, path: str, mode: str) -> None:
        """Write a table to a path, this target's or one beside it. In CSV arrays, maps and structs are JSON."""
        options = dict(self.options)
        if self.format.lower() == "csv":
            table, options = flat(table), {"header": True} | options
        table.write.format(self.format).options(**options).mode(mode).partitionBy(*self.partition_by).save(path)


@dataclass(frozen=True)
class Reservation:
    """Targets that a job may write to, by name. They were checked, and are locked where they are on this machine.

    `places` are their addresses; `prepared` are the folders in which tables are written before they are swapped in.
    `written` are the names of those that were written.
    """

    spark: SparkSession
    mode: str
    targets: Mapping[str, Target]
    places: Mapping[str, str]
    prepared: Mapping[str, str]
    written: list[str] = field(default_factory=list)


@contextmanager
def reserved(
    spark: SparkSession,
    targets: Mapping[str, Target],
    *,
    mode: str,
    apart_from: Collection[str] = (),
    kept: Mapping[str, str] | None = None,
    rows: DataFrame | None = None,
) -> Iterator[Reservation]:
    """Check that a job can write and will destroy nothing, before any row is read; keep other jobs from its targets.

    Parameters
    ----------
    targets : mapping from the name of an output to where it goes
    mode : "errorifexists" or "overwrite"
    apart_from : collection of str
        The addresses of what is read, from `folders`.
    kept : mapping from a name to a path, optional
        Paths that the job also writes to, and never replaces, such as a checkpoint.
    rows : DataFrame, optional
        A table whose rows are written again: the format must be able to hold its columns.

    Raises
    ------
    SpecError
        A path exists and may not be overwritten, holds files that Spark did not write, cannot be written to, or shares
        a folder with another path or with what is read; or Spark cannot write the format.
    BusyError
        Another job is writing there.
    """
    places = {name: located(spark, target.path) for name, target in targets.items()}
    check_apart(places | {name: located(spark, path) for name, path in (kept or {}).items()}, apart_from)
    for target in {(target.format, *target.options.items()): target for target in targets.values()}.values():
        check_format(spark, target, rows)
    here = {name: place for name, place in places.items() if place.startswith("/")} if on_this_machine(spark) else {}
    prepared = {
        name: sibling(place, f"{uuid4().hex[:8]}.new") for name, place in here.items() if targets[name].is_files
    }
    with ExitStack() as locks:
        for name, place in here.items():
            try:
                locks.enter_context(locked(name, place))
                recover(place)
            except OSError as error:
                raise SpecError(
                    f"an output is prepared beside its place, and {name} cannot be: {targets[name].path}: "
                    f"{error.strerror}; name a path in a folder that can be made and written to"
                ) from error
        for name, target in targets.items():
            check_target(spark, name, target, places[name], mode)
        reservation = Reservation(spark, mode, targets, places, prepared)
        try:
            yield reservation
        except BaseException as error:
            if isinstance(error, Interrupted) and reservation.written and set(reservation.written) == set(targets):
                error.stands = standing(reservation, list(targets), reservation.written, begun=None)
            # Tasks that Spark has cancelled may write for a moment longer: look again when this process ends.
            for folder in prepared.values():
                atexit.register(shutil.rmtree, folder, ignore_errors=True)
            raise
        finally:
            with held_back():
                for folder in prepared.values():
                    shutil.rmtree(folder, ignore_errors=True)


def write_tables(reservation: Reservation, tables: Mapping[str, DataFrame]) -> None:
    """Write tables to their reserved targets: all of them, or, as far as this machine's disks go, none.

    Parameters
    ----------
    reservation : Reservation
    tables : mapping from the name of an output to its table
        They are written in this order: tables that read rows again should come first, as they may still fail. A table
        that has no target is not written.

    Raises
    ------
    LogLossError
        A table cannot be written. The class fits the cause, and the message says what remains.
    """
    spark, prepared = reservation.spark, reservation.prepared
    names = [name for name in tables if name in reservation.targets]
    written, name = reservation.written, ""
    try:
        # What is swapped is prepared first, so that all else is only touched when that has gone well.
        for name in sorted(names, key=lambda name: name not in prepared):
            target = reservation.targets[name]
            path, mode = (prepared[name], "error") if name in prepared else (target.path, MODES[reservation.mode])
            with held_back(meanwhile=spark.interruptAll):
                target.write(tables[name], path, mode)
            if name in prepared:
                settle(prepared[name])
            else:
                written.append(name)
        ready = [name for name in names if name in prepared]
        with held_back():
            swap({prepared[name]: reservation.places[name] for name in ready}, replace=reservation.mode == "overwrite")
            written += ready
    except Interrupted as stop:
        stop.stands = standing(reservation, names, written, begun=name)
        raise
    except Exception as error:
        if not from_spark(error) and not isinstance(error, OSError):
            raise
        known = translated(error) if from_spark(error) else LogLossError(str(error))
        begun = None if "[PATH_ALREADY_EXISTS]" in str(error) else name
        stands = standing(reservation, names, written, begun=begun)
        path = reservation.targets[name].path
        raise type(known)(f"{name} cannot be written to {path}: {known}; {stands}") from error


def standing(reservation: Reservation, names: Sequence[str], written: Sequence[str], *, begun: str | None) -> str:
    """Return what is there of a job's tables when the writing has ended early."""
    if len(written) == len(names):
        return "everything was written"
    paths = {name: target.path for name, target in reservation.targets.items()}
    parts = [f"already written: {', '.join(paths[name] for name in written)}"] if written else []
    if begun and begun not in reservation.prepared and begun not in written:
        old = ", and the old table is lost" if reservation.mode == "overwrite" else ""
        parts.append(f"what is at {paths[begun]} is not whole{old}")
    return "; ".join(parts) or "nothing was written; the old tables are whole"


def check_apart(places: Mapping[str, str], read: Collection[str]) -> None:
    """Raise SpecError where addresses that are written to lie inside each other, or inside or around what is read."""
    for (name, place), (other, its_place) in combinations(places.items(), 2):
        if overlap(place, its_place):
            raise SpecError(f"outputs must not lie inside each other, and {name} and {other} do: {place}, {its_place}")
    for name, place in places.items():
        shared = [folder for folder in read if overlap(place, folder)]
        if shared:
            raise SpecError(
                "an output must not lie inside what is read, nor around it, "
                f"and {name} does: {place} and {min(shared)}; name a path apart from it"
            )


def check_target(spark: SparkSession, name: str, target: Target, place: str, mode: str) -> None:
    """Raise SpecError where something is at a target that may not be replaced."""
    if mode == "errorifexists":
        if missing(spark, target.path) is None:
            raise SpecError(
                f"an output must not exist where mode is errorifexists, and {name} does: {target.path}; "
                'take it away, name another path, or set mode = "overwrite"'
            )
        return
    stranger = next((file for file in files_at(spark, place) if not is_ours(file)), None)
    if target.is_files and stranger is not None:
        what = f"holds {stranger}" if stranger else "is a file"
        raise SpecError(
            f"overwrite replaces tables that Spark wrote and empty folders, and {name} is neither: {target.path} "
            f"{what}; take it away, or name another path"
        )
    if target.is_files and os.path.ismount(place):
        raise SpecError(
            f"overwrite puts a new folder in the place of an old one, and that of {name} is a mount point: "
            f"{target.path}; name a folder in it"
        )


def files_at(spark: SparkSession, place: str) -> Iterator[str]:
    """Return the files at a place, as paths within it; where the place is itself a file, an empty one."""
    if not (place.startswith("/") and on_this_machine(spark)):
        listing = spark.read.format("binaryFile").option("recursiveFileLookup", True)
        try:
            found = listing.load(literal(place)).inputFiles()
        except Exception as error:
            if "[PATH_NOT_FOUND]" in str(error):
                return
            raise
        yield from (without_scheme(unquote(file)).removeprefix(place).lstrip("/") for file in found)
        return
    if os.path.isfile(place):
        yield ""
    for root, folders, files in os.walk(place):
        links = [folder for folder in folders if os.path.islink(os.path.join(root, folder))]
        yield from (os.path.relpath(os.path.join(root, name), place) for name in (*files, *links))


def is_ours(file: str) -> bool:
    """Whether a path within a table is one that Spark's writer makes, or leaves there when it is killed."""
    *folders, name = file.split("/")
    return "_temporary" in folders or (all("=" in folder for folder in folders) and bool(OURS.fullmatch(name)))


def check_format(spark: SparkSession, target: Target, rows: DataFrame | None) -> None:
    """Raise SpecError where Spark cannot write a format, does not take the options, or cannot write `rows` in it.

    On this machine Spark writes a table without rows to a temporary folder. Elsewhere it only says whether it knows
    the format.
    """
    if target.format == "text" or (target.format == "parquet" and not target.options and rows is None):
        return
    nothing = f"/.{uuid4().hex}"
    try:
        if on_this_machine(spark):
            table = spark.range(0).withColumn("text", F.lit("")) if rows is None else rows.limit(0)
            with tempfile.TemporaryDirectory() as folder:
                target.write(table, folder + nothing, "error")
        else:
            _ = spark.read.format(target.format).load(nothing).schema
    except Exception as error:
        if not from_spark(error):
            raise
        if "[PATH_NOT_FOUND]" not in str(error):
            given = "".join(f" {name}" for name in target.options)
            with_options = f" with the options{given}" if given else ""
            raise SpecError(
                f"[output] format must be one that Spark writes{with_options}, and {target.format} is not: "
                f"{translated(error)}"
            ) from error


def flat(table: DataFrame) -> DataFrame:
    """Return a table for a format whose columns are texts: arrays, maps and structs become JSON."""
    columns = []
    places = [f"column_{place}" for place in range(len(table.columns))]  # a name may hold dots and backticks
    for place, column in zip(places, table.schema, strict=True):
        value = F.col(place)
        if isinstance(column.dataType, UserDefinedType):
            value = F.to_json(F.unwrap_udt(value))
        elif isinstance(column.dataType, ArrayType | MapType | StructType):
            value = F.to_json(value)
        columns.append(value.alias(column.name))
    return table.toDF(*places).select(*columns)
