"""What a function can ask of the Spark task that runs it."""

import ctypes
import os
from contextlib import suppress
from pathlib import Path

from pyspark import TaskContext


def current_task() -> TaskContext:
    """The task that runs this code."""
    context = TaskContext.get()
    assert context is not None
    return context


def partition_id() -> int:
    """The number of the partition that this task works on."""
    return current_task().partitionId()


def local_folders() -> list[Path]:
    """The executor's own folders on local disk. Spark deletes them when the executor ends."""
    return [Path(folder) for folder in os.environ.get("SPARK_LOCAL_DIRS", "").split(",") if folder]


def local_folder(partition: int) -> Path | None:
    """The local folder for a partition, or None if the executor has none."""
    folders = local_folders()
    return folders[partition % len(folders)] if folders else None


def keep_memory() -> None:
    """Let the C library keep the memory of arrays that are gone, for the next ones.

    glibc hands large arrays back to the system, and to get their pages anew takes a fifth of the time of adding up a
    batch. Another C library does as it likes.
    """
    trim_threshold, mmap_threshold = -1, -3  # of malloc.h
    with suppress(OSError, AttributeError):
        library = ctypes.CDLL(None)
        library.mallopt(mmap_threshold, 1 << 25)
        library.mallopt(trim_threshold, 1 << 28)
