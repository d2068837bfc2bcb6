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


@contextmanager
def opened(file: File) -> Iterator[pa.NativeFile]:
    """Open a file for a while.

    Raises
    ------
    DataError
        The file is gone or is not the one that was listed, before or after it was read, or must not be read.
    UnreadableError
        This worker has no way to a remote file, where Spark may have one.
    """
    system, path = located(file.path)
    check_unchanged(file, system, path)
    try:
        source = system.open_input_file(path)
    except OSError as error:
        raise unopened(file.path, error) from error
    with source:
        yield source
    check_unchanged(file, system, path)


def located(address: str) -> tuple[fs.FileSystem, str]:
    """Return the file system of a file, and the file's path in it."""
    scheme, separator, rest = address.partition("://")
    if not separator:
        return fs.LocalFileSystem(), address
    authority, _, path = rest.partition("/")
    try:
        match scheme:
            case "s3" | "s3a" | "s3n":
                return fs.S3FileSystem(**s3_endpoint()), f"{authority}/{path}"
            case "gs":
                return fs.GcsFileSystem(), f"{authority}/{path}"
            case "abfs" | "abfss":
                container, _, host = authority.partition("@")
                return fs.AzureFileSystem(host.partition(".")[0]), f"{container}/{path}"
            case "hdfs" | "viewfs":
                return fs.HadoopFileSystem.from_uri(f"{scheme}://{authority}"), f"/{path}"
    except (AttributeError, ImportError, OSError, ValueError) as error:
        raise UnreadableError(f"workers cannot open files of {scheme}://, such as {address}: {error}") from error
    raise UnreadableError(f"workers cannot open files of {scheme}://, such as {address}")


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
