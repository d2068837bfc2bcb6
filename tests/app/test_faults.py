"""Files that workers cannot read, or that change while they are read: one line each, through the command line."""

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark import cloudpickle
from pyspark.sql import SparkSession

from logloss_spark.app.cli import main
from logloss_spark.io.files import FileTable
from logloss_spark.states import files
from logloss_spark.workers import opening, parquet, shipping
from logloss_spark.workers.parquet import Piece
from tests.quick import quick

ROWS = 500
ENGINES = pytest.mark.parametrize("engine", quick(["arrow", "auto"], "auto"))

Run = Callable[..., SimpleNamespace]


@pytest.fixture
def second(tmp_path: Path) -> Path:
    """The second of two files of predictions."""
    for day in (1, 2):
        write(tmp_path / "predictions" / f"day={day}" / "part.parquet", [(row + 0.5) / ROWS for row in range(ROWS)])
    return tmp_path / "predictions" / "day=2" / "part.parquet"


@pytest.fixture
def run(tmp_path: Path, second: Path, spark: SparkSession, capsys: pytest.CaptureFixture[str]) -> Run:
    """Evaluate the predictions by an engine."""
    (tmp_path / "evaluate.toml").write_text(
        f'[input]\npath = "{tmp_path}/predictions"\n[columns]\nlabel = "y"\nprediction = "p"\n'
        f'[output]\nmetrics = "{tmp_path}/out/metrics"\n'
    )

    def evaluate(engine: str, *arguments: str) -> SimpleNamespace:
        capsys.readouterr()
        given = ["--config", f"{tmp_path}/evaluate.toml", "--set", f"evaluate.engine={engine}", *arguments]
        code = main(["evaluate", *given])
        said = capsys.readouterr()
        return SimpleNamespace(code=code, out=said.out, err=said.err)

    return evaluate


def write(file: Path, forecasts: Any) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table({"y": [row % 2 for row in range(ROWS)], "p": forecasts}), file, compression="none")


def truncate(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-100])


def meanwhile(monkeypatch: pytest.MonkeyPatch, happens: Callable[[], None]) -> None:
    """Let something happen after the files were listed, and before workers read them."""
    split = files.tasks_of

    def tasks_of(table: FileTable, slots: int) -> list[list[Piece]]:
        happens()
        return split(table, slots)

    monkeypatch.setattr(files, "tasks_of", tasks_of)


def check_refused(ran: SimpleNamespace, code: int, line: str, folder: Path) -> None:
    """The job said one line, and wrote nothing."""
    assert (ran.code, ran.out) == (code, "")
    assert line in ran.err
    assert ran.err.startswith("logloss-spark: error: ")
    assert ran.err.count("\n") == 1
    assert not (folder / "out").exists()


@ENGINES
def test_a_truncated_file_is_named(run: Run, second: Path, engine: str, tmp_path: Path) -> None:
    truncate(second)
    check_refused(run(engine), 4, f"{second} cannot be read: it is truncated, corrupt", tmp_path)


@ENGINES
def test_a_file_of_another_type_is_named(run: Run, second: Path, engine: str, tmp_path: Path) -> None:
    write(second, ["high"] * ROWS)
    line = f"column 'p' is double in the table but BYTE_ARRAY string in {second}: rewrite that file"
    check_refused(run(engine), 4, line, tmp_path)


@ENGINES
def test_a_file_that_changes_while_it_is_read_is_named(
    run: Run, second: Path, engine: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    meanwhile(monkeypatch, lambda: write(second, [0.5] * ROWS))
    check_refused(run(engine), 4, f"must not change while it is read, and {second} has changed", tmp_path)


@ENGINES
def test_a_file_that_vanishes_while_it_is_read_is_named(
    run: Run, second: Path, engine: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As Spark's own reader has it, the input is not there yet: exit code 5, and a scheduler tries again."""
    meanwhile(monkeypatch, second.unlink)
    check_refused(run(engine), 5, f"must not change while it is read, and {second} is gone", tmp_path)


@ENGINES
def test_a_table_that_is_gone_before_the_start_is_named(run: Run, engine: str, tmp_path: Path) -> None:
    (tmp_path / "predictions").rename(tmp_path / "elsewhere")
    check_refused(run(engine), 5, f"{tmp_path}/predictions does not: check the path", tmp_path)


@ENGINES
def test_a_file_that_nobody_may_read_is_named(
    run: Run, second: Path, engine: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Root may read every file: so a file system refuses, which the workers get with the function that opens files."""

    class Locked:
        """Local disk, on which some files cannot be opened."""

        def get_file_info(self, path: str) -> Any:
            status = os.stat(path)
            return SimpleNamespace(type=None, size=status.st_size, mtime_ns=status.st_mtime_ns)

        def open_input_file(self, path: str) -> Any:
            if "day=2" in path:
                raise PermissionError(13, "Permission denied")
            return pa.OSFile(path)

    monkeypatch.setattr(opening, "located", lambda address, *_: (Locked(), address))
    monkeypatch.setattr(shipping, "pickled", cloudpickle.dumps)  # none is kept from before
    line = f"must be readable by Spark's workers, and {second} is not: Permission denied"
    check_refused(run(engine), 4, line, tmp_path)


@pytest.fixture(
    params=[
        (NotImplementedError("Support for codec 'lzo' not built"), "Support for codec 'lzo' not built"),
        pytest.param((OSError("Could not decrypt module"), "it is encrypted"), marks=pytest.mark.slow),
    ],
    ids=["a codec", "an encrypted file"],
)
def unread(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Files that Arrow cannot read, as those that are stored in a way that only Spark knows; how that is said."""
    error, said = request.param

    def read_metadata(source: Any) -> Any:
        raise error

    monkeypatch.setattr(parquet, "read_metadata", read_metadata)
    monkeypatch.setattr(shipping, "pickled", cloudpickle.dumps)  # none is kept from before
    return said


def test_files_that_arrow_cannot_read_are_read_by_spark_which_the_job_says(run: Run, unread: str, second: Path) -> None:
    first = second.parents[1] / "day=1" / "part.parquet"
    because = f"Arrow cannot read {first}: {unread}"
    ran = run("auto", "--json")
    assert (ran.code, ran.err) == (0, "")
    found = json.loads(ran.out)
    assert f"engine native: {because}" in found["remarks"]
    assert found["details"]["engine"] == {"name": "native", "because": because}
    assert found["counts"] == {"read": 2 * ROWS, "scored": 2 * ROWS}


def test_files_that_arrow_cannot_read_are_refused_by_the_engine_arrow(run: Run, unread: str, tmp_path: Path) -> None:
    check_refused(run("arrow"), 2, f"{unread}: leave engine out", tmp_path)


def test_a_type_that_only_spark_reads_is_read_by_spark(run: Run, second: Path) -> None:
    write(second, pa.array([row % 2 for row in range(ROWS)], pa.uint8()))
    ran = run("auto")
    assert (ran.code, ran.err) == (0, "")
    (line,) = [line for line in ran.out.splitlines() if line.startswith("engine ")]
    assert line.startswith("engine native: Spark alone reads INT32 uint8 as double")
    assert str(second) in line


def test_a_job_says_that_workers_read_the_files(run: Run) -> None:
    ran = run("auto")
    assert (ran.code, ran.err) == (0, "")
    assert "engine arrow: the table is 2 files of Parquet" in ran.out.splitlines()
