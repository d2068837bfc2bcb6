"""Open the files of a table in Python workers, wherever they are, and notice when they change.

Credentials come from the environment of the worker alone, as the libraries of each store read it.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import pyarrow as pa
from pyarrow import fs

from logloss_spark.errors import DataError, MissingInputError, UnreadableError
from logloss_spark.io.files import File

MILLISECOND, SECOND = 1_000_000, 1_000_000_000


Systems = dict[str, fs.FileSystem]
"""File systems that are connected already, by the scheme and the host of an address."""


@contextmanager
def opened(file: File, systems: Systems) -> Iterator[pa.NativeFile]:
    """Open a file for a while.

    Raises
    ------
    DataError
        The file is gone or is not the one that was listed, before or after it was read, or must not be read.
    UnreadableError
        This worker has no way to a remote file, where Spark may have one.
    """
    system, path = located(file.path, systems)
    check_unchanged(file, system, path)
    try:
        source = system.open_input_file(path)
    except OSError as error:
        raise unopened(file.path, error) from error
    with source:
        try:
            yield source
        except DataError:  # a file that was cut off while it was read is corrupt because it has changed
            check_unchanged(file, system, path)
            raise
    check_unchanged(file, system, path)


def located(address: str, systems: Systems) -> tuple[fs.FileSystem, str]:
    """Return the file system of a file, connected if it is not among `systems` yet, and the file's path in it."""
    scheme, separator, rest = address.partition("://")
    if not separator:
        return fs.LocalFileSystem(), address
    host, _, path = rest.partition("/")
    store = f"{scheme}://{host}"
    if store not in systems:
        try:
            systems[store] = connected(scheme, host)
        except (AttributeError, ImportError, OSError, ValueError) as error:
            raise UnreadableError(f"workers cannot open files of {store}: {error}") from error
    return systems[store], f"/{path}" if scheme in ("hdfs", "viewfs") else f"{host.partition('@')[0]}/{path}"


def connected(scheme: str, host: str) -> fs.FileSystem:
    """Return the file system of a scheme; ValueError if workers know none."""
    match scheme:
        case "s3" | "s3a" | "s3n":
            return fs.S3FileSystem(**s3_endpoint())
        case "gs":
            return fs.GcsFileSystem()
        case "abfs" | "abfss":
            return fs.AzureFileSystem(host.partition("@")[2].partition(".")[0])
        case "hdfs" | "viewfs":
            return fs.HadoopFileSystem.from_uri(f"{scheme}://{host}")
    raise ValueError("Arrow knows no such store")


def s3_endpoint() -> dict[str, str]:
    """Return where the S3 service is, as the environment of AWS's own tools says it; nothing for AWS itself."""
    address = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    if not address:
        return {}
    scheme, separator, host = address.rpartition("://")
    return {"endpoint_override": host.rstrip("/")} | ({"scheme": scheme} if separator else {})


def check_unchanged(file: File, system: fs.FileSystem, path: str) -> None:
    """Raise DataError unless a file is as it was when it was listed."""
    try:
        info = system.get_file_info(path)
    except OSError as error:
        raise unopened(file.path, error) from error
    if info.type == fs.FileType.NotFound:
        raise MissingInputError(
            f"a table must not change while it is read, and {file.path} is gone: run again when its writer is done"
        )
    if info.size != file.size or not same_instant(info.mtime_ns, file.modified):
        raise DataError(
            f"a table must not change while it is read, and {file.path} has changed: run again when its writer is done"
        )


def same_instant(one: int | None, other: int) -> bool:
    """Whether two times in nanoseconds can be one, if each may be cut to milliseconds or to seconds."""
    if one is None:
        return True
    unit = SECOND if one % SECOND == 0 or other % SECOND == 0 else MILLISECOND
    return one // unit == other // unit


def unopened(address: str, error: OSError) -> DataError | UnreadableError:
    """Return the error for a file that cannot be opened. Spark may know another way to a remote file."""
    if "://" in address:
        return UnreadableError(f"workers cannot open {address}: {error}")
    return DataError(
        f"every file of a table must be readable by Spark's workers, and {address} is not: {error.strerror}"
    )
