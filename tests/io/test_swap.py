"""Folders that change places, and locks: on real disks, without Spark."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from logloss_spark.errors import BusyError
from logloss_spark.io import swap as swapping
from logloss_spark.io.swap import locked, recover, sibling, swap


def folder(path: Path, holds: str) -> str:
    path.mkdir()
    (path / "content").write_text(holds)
    return str(path)


def content(path: str | Path) -> str:
    return Path(path, "content").read_text()


@pytest.fixture(params=["exchanged", "moved away"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both ways in which folders change places: in one step, and on a file system that has no such step."""
    if request.param == "moved away":
        renamed = swapping.rename

        def rename(source: str, target: str, flags: int) -> None:
            if flags == swapping.RENAME_EXCHANGE:
                raise OSError(errno.EINVAL, "Invalid argument")
            renamed(source, target, flags)

        monkeypatch.setattr(swapping, "rename", rename)
    return str(request.param)


def test_new_folders_are_in_the_place_of_the_old_ones(way: str, tmp_path: Path) -> None:
    places = [folder(tmp_path / "a", "old a"), str(tmp_path / "not there yet")]
    new = [folder(tmp_path / f".{index}.00000000.new", f"new {index}") for index in range(2)]
    swap(dict(zip(new, places, strict=True)), replace=True)
    assert [content(place) for place in places] == ["new 0", "new 1"]


def test_where_one_folder_cannot_move_all_stay(way: str, tmp_path: Path) -> None:
    places = [folder(tmp_path / "a", "old a"), str(tmp_path / "b"), str(tmp_path / "no" / "such" / "folder")]
    new = [folder(tmp_path / f".{index}.00000000.new", f"new {index}") for index in range(3)]
    with pytest.raises(FileNotFoundError):
        swap(dict(zip(new, places, strict=True)), replace=True)
    assert content(places[0]) == "old a"
    assert not os.path.exists(places[1])
    assert [content(each) for each in new] == ["new 0", "new 1", "new 2"]


def test_what_came_meanwhile_is_not_replaced_unless_asked_for(tmp_path: Path) -> None:
    new, place = folder(tmp_path / ".a.00000000.new", "ours"), folder(tmp_path / "a", "of another")
    with pytest.raises(FileExistsError):
        swap({new: place}, replace=False)
    assert content(place) == "of another"


def test_what_a_killed_job_left_is_taken_away_and_an_old_folder_put_back(tmp_path: Path) -> None:
    place = str(tmp_path / "table[1]")
    folder(tmp_path / ".table[1].0123abcd.new", "half a table")
    folder(tmp_path / ".table[1].0123abcd.old", "old")
    kept = [tmp_path / name for name in (".table1.0123abcd.new", ".table[1].new", ".table[1].0123abcd.new.txt")]
    for path in kept:
        path.touch()
    recover(place)
    assert content(place) == "old"
    folder(tmp_path / ".table[1].0123abcd.old", "older")
    recover(place)
    assert content(place) == "old"
    assert sorted(tmp_path.iterdir()) == sorted([Path(place), *kept])


def test_a_place_is_locked_for_others_and_nothing_remains_of_the_lock(tmp_path: Path) -> None:
    place = str(tmp_path / "a" / "b" / "table")
    with locked("state", place):
        with (
            pytest.raises(BusyError, match=rf"process {os.getpid()} of .*, since 20.* is writing state: {place}"),
            locked("state", place),
        ):
            pass
        with locked("metrics", str(tmp_path / "a" / "other")):
            pass
    assert list(tmp_path.iterdir()) == []


def test_a_lock_of_the_dead_holds_nobody(tmp_path: Path) -> None:
    place = str(tmp_path / "table")
    program = (
        "import sys, time; from logloss_spark.io.swap import locked\n"
        f"with locked('state', {place!r}):\n print('locked', flush=True)\n time.sleep(600)"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"locked\n"
        with pytest.raises(BusyError, match=f"process {holder.pid} of"), locked("state", place):
            pass
        holder.kill()
    assert os.path.exists(sibling(place, "lock"))
    with locked("state", place):
        pass
    assert list(tmp_path.iterdir()) == []


def test_of_many_processes_one_at_a_time_holds_a_lock(tmp_path: Path) -> None:
    place, log = str(tmp_path / "a" / "table"), tmp_path / "log"
    program = (
        "import os, time; from logloss_spark.io.swap import locked; from logloss_spark.errors import BusyError\n"
        f"log = os.open({str(log)!r}, os.O_WRONLY | os.O_APPEND | os.O_CREAT); end = time.monotonic() + 1\n"
        "while time.monotonic() < end:\n"
        " try:\n"
        f"  with locked('state', {place!r}):\n   os.write(log, b'('); os.write(log, b')')\n"
        " except BusyError:\n  pass"
    )
    several = [subprocess.Popen([sys.executable, "-c", program]) for _ in range(3)]
    assert [each.wait() for each in several] == [0, 0, 0]
    held = log.read_text()
    assert held == "()" * (len(held) // 2)
    assert len(held) > 20
