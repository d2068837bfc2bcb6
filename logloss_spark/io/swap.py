"""Move folders on this machine's disk to their places, and lock a place so that one job at a time writes there."""

import ctypes
import errno
import fcntl
import os
import re
import shutil
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import datetime
from functools import partial
from pathlib import Path

from logloss_spark.errors import BusyError

AT_FDCWD = -100
RENAME_NOREPLACE, RENAME_EXCHANGE = 1, 2
UNKNOWN_HERE = (errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP)
"""What a kernel or a file system answers that cannot rename in this way."""


def sibling(place: str, ending: str) -> str:
    """Return a hidden path beside a place, on the same file system; Spark passes over hidden ones."""
    folder, name = os.path.split(place)
    return os.path.join(folder, f".{name}.{ending}")


def put(new: str, place: str, *, replace: bool) -> Callable[[], None]:
    """Move a folder to a place. With `replace` what is there goes to where the new one was; without, it is an error.

    On Linux the two are exchanged in one step. Where the file system cannot do so, the old one is moved away first:
    whoever looks between these two steps finds nothing there, and a later job moves it back (`recover`).

    Returns
    -------
    callable that undoes it
    """
    if not replace or not os.path.lexists(place):
        rename(new, place, RENAME_NOREPLACE)
        return partial(os.rename, place, new)
    try:
        rename(new, place, RENAME_EXCHANGE)
        return partial(rename, new, place, RENAME_EXCHANGE)
    except OSError as error:
        if error.errno not in UNKNOWN_HERE:
            raise
    old = new.removesuffix(".new") + ".old"
    os.rename(place, old)
    try:
        os.rename(new, place)
    except OSError:
        os.rename(old, place)
        raise

    def undo() -> None:
        os.rename(place, new)
        os.rename(old, place)

    return undo


def rename(source: str, target: str, flags: int) -> None:
    """Rename as Linux's renameat2 does. Where the system has no such call, use plain rename if it means the same."""
    renameat2 = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    code = errno.ENOSYS
    if renameat2 is not None:
        if renameat2(AT_FDCWD, os.fsencode(source), AT_FDCWD, os.fsencode(target), ctypes.c_uint(flags)) == 0:
            return
        code = ctypes.get_errno()
    if code in UNKNOWN_HERE and flags == RENAME_NOREPLACE and not os.path.lexists(target):
        os.rename(source, target)  # the lock keeps other jobs of ours from this place
        return
    raise OSError(code, os.strerror(code), target)


def swap(pairs: Mapping[str, str], *, replace: bool) -> None:
    """Move each new folder to its place; where one cannot be moved, those before it are moved back."""
    undone: list[Callable[[], None]] = []
    try:
        for new, place in pairs.items():
            undone.append(put(new, place, replace=replace))
    except OSError:
        for undo in reversed(undone):
            undo()
        raise
    for folder in {os.path.dirname(place) for place in pairs.values()}:
        flush(folder)


def settle(folder: str) -> None:
    """Flush all files of a folder to the disk, so that a power cut after the swap loses none of them."""
    for root, _, files in os.walk(folder):
        for path in (*(os.path.join(root, file) for file in files), root):
            flush(path)


def flush(path: str) -> None:
    """Flush a file, or the names in a folder, to the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def recover(place: str) -> None:
    """Remove what a killed job left beside a place. Call it with the place locked.

    If the job was killed between the two steps of a swap, the old folder is moved back.
    """
    folder, name = os.path.split(place)
    for entry in Path(folder).iterdir():
        if re.fullmatch(rf"\.{re.escape(name)}\.[0-9a-f]{{8}}\.(new|old)", entry.name):
            if entry.suffix == ".old" and not os.path.lexists(place):
                os.rename(entry, place)
            else:
                shutil.rmtree(entry, ignore_errors=True)


@contextmanager
def locked(name: str, place: str) -> Iterator[None]:
    """Hold the lock of a place within this block: a hidden file beside it. The death of its holder frees it.

    Missing folders above the place are made, and removed at the end if nothing came into them.

    Raises
    ------
    BusyError
        Another process holds it.
    OSError
        The folder of the place cannot be made or written to.
    """
    made = [folder for folder in Path(place).parents if not folder.exists()]
    try:
        handle = acquire(name, place)
        try:
            yield
        finally:
            os.unlink(sibling(place, "lock"))  # before it is free: who opened it meanwhile sees that it is gone
            os.close(handle)
    finally:
        for folder in made:
            with suppress(OSError):  # something is in it, or another job took it away
                folder.rmdir()


def acquire(name: str, place: str) -> int:
    """Lock a place, and return the open file that holds the lock."""
    path = sibling(place, "lock")
    while True:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        try:
            handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        except FileNotFoundError:  # another job has just taken the folder away that it had made
            continue
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(handle, 1000).decode(errors="replace") or "another process"
            os.close(handle)
            raise BusyError(
                f"an output is written by one job at a time, and {holder} is writing {name}: {place}; "
                "run again when it is done, or name another path"
            ) from None
        except OSError:  # a file system without locks
            return handle
        with suppress(FileNotFoundError):
            if os.path.samestat(os.stat(path), os.fstat(handle)):
                os.truncate(handle, 0)
                holder = f"process {os.getpid()} of {socket.gethostname()}, since {datetime.now():%F %T},"
                os.write(handle, holder.encode())
                return handle
        os.close(handle)  # its holder has just taken it away
