"""Documents of commands: whole or not there, and one line where they cannot be written. No Spark."""

import os
from pathlib import Path

import pytest

from logloss_spark.errors import SpecError
from logloss_spark.report.documents import append_to, write_document


def test_a_document_replaces_an_older_one_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    place = tmp_path / "new" / "gate.json"
    for path in (str(place), f"file:{place}", f"file://{place}"):
        write_document("the result", path, path)
        assert place.read_text() == path
    assert [path.name for path in place.parent.iterdir()] == ["gate.json"]


def test_a_document_is_utf8_whatever_it_holds(tmp_path: Path) -> None:
    write_document("the result", str(tmp_path / "a"), "ü \ud800")
    append_to(str(tmp_path / "a"), "\udfff")
    assert (tmp_path / "a").read_bytes() == "ü \\ud800\\udfff".encode()


def test_where_it_cannot_be_written_is_one_line_and_the_old_one_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(SpecError, match=r"the result cannot be written to .*folder: Is a directory; name another file"):
        write_document("the result", str(tmp_path / "folder"), "x")
    with pytest.raises(SpecError, match=r"the result cannot be written to odd://host/x: .*; name another file"):
        write_document("the result", "odd://host/x", "x")
    (tmp_path / "old").write_text("old")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(SpecError, match="No space left on device"):
        write_document("the result", str(tmp_path / "old"), "new")
    assert (tmp_path / "old").read_text() == "old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["folder", "old"]
