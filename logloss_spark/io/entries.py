"""A log of numbered entries in a folder. An entry is there whole or not at all, and a number is given once.

On a disk an entry is a file of its own, which is written elsewhere and then linked to its number: a link cannot replace
a file, so of several writers one wins, and the others are told. Where this process cannot make links, as in object
stores, Spark writes an entry as a folder that carries its writer's name. If two writers take the same number, the
earlier one wins, and the later one finds out when it looks again: this is detected, but not prevented.
"""

import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from logloss_spark.errors import DataError
from logloss_spark.io.places import is_on_this_disk, literal, missing
from logloss_spark.io.swap import flush

DIGITS = 20
"""The digits of an entry's number in its name, so that names sort as numbers do."""

ENTRY = re.compile(rf"(?P<number>\d{{{DIGITS}}})(?:\.json|\.(?P<writer>\w+)/part-[^/]*)$")
"""The path of an entry within its log: a file that was linked, or a file in the folder of its writer."""


@dataclass(frozen=True)
class Entry:
    """An entry of a log: its number, from 1, its writer, and what it says."""

    number: int
    writer: str
    document: Mapping[str, Any]


def read_entries(spark: SparkSession, folder: str) -> list[Entry]:
    """Return the entries of a log by their numbers; none where there is no log.

    Raises
    ------
    DataError
        An entry is no JSON, or one is missing between others.
    """
    found: dict[int, tuple[tuple[bool, int, str], str]] = {}
    for path, changed, text in texts_here(folder) if is_on_this_disk(folder) else texts_in_spark(spark, folder):
        name = ENTRY.search(path)
        if name:
            writer = name["writer"] or ""
            rank = (
                bool(writer),
                changed,
                writer,
            )  # a link is exclusive: it was there before any folder's writer looked
            number = int(name["number"])
            found[number] = min(found.get(number, (rank, text)), (rank, text))
    for place, number in enumerate(sorted(found), start=1):
        if number != place:
            raise DataError(f"the log {folder} must have all of its entries, and number {place} is missing: restore it")
    return [entry_of(folder, number, text) for number, (_, text) in sorted(found.items())]


def entry_of(folder: str, number: int, text: str) -> Entry:
    """Return the entry that a text says; raise DataError where it was edited."""
    try:
        document = json.loads(text)
        return Entry(number, document["writer"], document)
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"entry {number} of the log {folder} must be the JSON that was written: restore it") from error


def texts_here(folder: str) -> Iterator[tuple[str, int, str]]:
    """Return the path, the time of change and the text of each file of a log on this machine's disk."""
    for root, _, names in os.walk(folder):
        for name in names:
            path = os.path.join(root, name)
            if ENTRY.search(path):
                with open(path, encoding="utf-8") as file:
                    yield path, os.stat(path).st_mtime_ns, file.read()


def texts_in_spark(spark: SparkSession, folder: str) -> Iterator[tuple[str, int, str]]:
    """Return the path, the time of change and the text of each file of a log that only Spark reads."""
    if missing(spark, folder) is not None:
        return
    files: DataFrame = spark.read.option("wholetext", True).option("recursiveFileLookup", True).text(literal(folder))
    changed = F.unix_millis("_metadata.file_modification_time").alias("changed")
    for row in files.select(F.col("_metadata.file_path").alias("path"), changed, "value").collect():
        yield row["path"], row["changed"], row["value"]


def publish(spark: SparkSession, folder: str, number: int, writer: str, document: Mapping[str, Any]) -> bool:
    """Publish an entry under a number; False if another writer has it.

    Parameters
    ----------
    folder : str
        The log.
    number : int
        That of the last entry, plus one.
    writer : str, letters, digits and `_` alone
        A name that no other process has.
    document : mapping, which JSON can hold
    """
    text = json.dumps({"writer": writer} | dict(document), allow_nan=False)
    if is_on_this_disk(folder):
        return link(folder, number, writer, text)
    target = f"{folder}/{number:0{DIGITS}}.{writer}"
    one = spark.range(1).select(F.lit(text).alias("value"))
    one.coalesce(1).write.mode("error").text(target)
    return read_entries(spark, folder)[number - 1].writer == writer


def link(folder: str, number: int, writer: str, text: str) -> bool:
    """Write an entry to a file beside, flush it, and link it to its number; False if the number is taken."""
    os.makedirs(folder, exist_ok=True)
    path, ready = os.path.join(folder, f"{number:0{DIGITS}}.json"), os.path.join(folder, f".{writer}.{number}.new")
    try:
        with open(ready, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(ready, path)
        except FileExistsError:
            return False
        flush(folder)
        return True
    finally:
        with suppress(FileNotFoundError):
            os.unlink(ready)
