"""Jobs that are killed, that run out of disk, or that meet another one: what was there before is whole."""

import os
import random
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from logloss_spark.errors import BusyError, LogLossError
from logloss_spark.io.writing import Target, reserved, write_tables

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
OUTPUTS = ("metrics", "reliability", "state", "invalid")
ROWS = {1: 300, 2: 400}
"""Rows of each day: what an output was made of is seen by how many there are."""

SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
MOMENTS = 20

PATIENCE = 300.0
"""Seconds after which a job that was told to end has not."""


@dataclass
class Job:
    """A job that overwrites its outputs with those of another day, as a process; `day` is what they hold now."""

    folder: Path
    day: int = 1
    seconds: float = 0.0
    env: dict[str, str] = field(default_factory=dict)

    def start(self, day: int) -> subprocess.Popen[str]:
        program = "from logloss_spark.app.cli import process; process()"
        arguments = ["evaluate", "--config", str(self.folder / "evaluate.toml"), "--set", f"input.where=day = {day}"]
        return subprocess.Popen(
            [sys.executable, "-c", program, *arguments],
            env=self.env,
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,  # a signal to its group reaches Java, and not us
        )

    def run(self, day: int) -> None:
        began = time.monotonic()
        with self.start(day) as process:
            err = last_words(process)
        self.seconds = time.monotonic() - began
        assert process.returncode == 0, err
        self.day = day

    def found(self) -> dict[str, int]:
        """The day that each output holds, read whole."""
        days = {}
        for name in OUTPUTS:
            table = pq.read_table(self.folder / "out" / name).to_pandas()
            assert len(table)
            assert (self.folder / "out" / name / "_SUCCESS").exists()
            if name == "invalid":
                days[name] = table["day"].unique().item()
                continue
            if name == "metrics":
                rows = table.loc[table["slice"] == "all", "rows"].item()
            elif name == "reliability":
                rows = table.loc[table["slice"] == "all", "n"].sum() + 1
            else:
                rows = table.loc[table["part"].isin(["ok", "null_label"]), "n"].sum()
            days[name] = {rows: day for day, rows in ROWS.items()}[rows]
        return days

    @property
    def names(self) -> set[str]:
        return {path.name for path in (self.folder / "out").iterdir()}

    def is_writing(self, left: set[str]) -> bool:
        """Whether something is being prepared that a killed job has not `left`."""
        return any(name.endswith(".new") for name in self.names - left)


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> Job:
    """A job that has run to its end once, which gives its duration and the first tables to lose."""
    folder = tmp_path_factory.mktemp("killed")
    for day, rows in ROWS.items():
        labels = [None, *(row % 2 for row in range(rows - 1))]
        columns = {"y": labels, "p": [(row + 0.5) / rows for row in range(rows)], "day": [day] * rows}
        (folder / "predictions").mkdir(exist_ok=True)
        pq.write_table(pa.table(columns), folder / "predictions" / f"{day}.parquet")
    outputs = "\n".join(f'{name} = "{folder}/out/{name}"' for name in OUTPUTS)
    (folder / "evaluate.toml").write_text(
        f'[input]\npath = "{folder}/predictions"\n[columns]\nlabel = "y"\nprediction = "p"\n'
        f'[evaluate]\nengine = "native"\non_invalid = "quarantine"\n[output]\n{outputs}\nmode = "overwrite"\n'
    )
    made = Job(folder, env={**os.environ, "PYTHONPATH": str(ROOT)})
    made.env.pop("PYSPARK_SUBMIT_ARGS", None)
    made.run(1)
    return made


def last_words(process: subprocess.Popen[str]) -> str:
    """What a process and its Java say until both have ended, which must not take for ever."""
    try:
        return process.communicate(timeout=PATIENCE)[1]
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        raise


def said(err: str) -> list[str]:
    """The lines that are ours; Java's own first words are another matter."""
    assert "Traceback" not in err
    assert "py4j" not in err
    assert "\tat " not in err
    return [line for line in err.splitlines() if line.startswith("logloss-spark")]


@pytest.mark.parametrize("moment", range(MOMENTS))
def test_a_job_that_is_killed_leaves_each_table_whole(job: Job, moment: int) -> None:
    """Every second moment is in the job's whole time, the others are in its writing, which is short."""
    chance = random.Random(moment)
    number, day, left = SIGNALS[moment % len(SIGNALS)], 3 - job.day, job.names
    with job.start(day) as process:
        if moment % 2:
            deadline = time.monotonic() + 20 * job.seconds
            while process.poll() is None and not job.is_writing(left) and time.monotonic() < deadline:
                time.sleep(0.001)
            wait = chance.uniform(0, 0.15) * job.seconds
        else:
            wait = chance.uniform(0.3, 1) * job.seconds  # before that Python imports, and Java starts
        with_java = chance.random() < 0.5  # as Ctrl-C does, and who ends a whole group
        try:
            process.wait(wait)
        except subprocess.TimeoutExpired:
            (os.killpg if with_java else os.kill)(process.pid, number)
        err = last_words(process)
    found = set(job.found().values())
    lines = said(err)
    if process.returncode == -signal.SIGKILL:
        if len(found) == 1:  # else it came between two renames
            job.day = found.pop()
        return
    assert len(found) == 1
    job.day = found.pop()
    assert job.names <= {*OUTPUTS, *left}  # a job that ends before it reserves its outputs finds nothing to take away
    if process.returncode == 0:
        assert job.names == set(OUTPUTS)
        assert job.day == day
        assert lines == []
    elif process.returncode == -number:
        assert number == signal.SIGTERM or lines == []  # Python had not come to our first line
        assert job.day != day
    else:
        assert process.returncode == 128 + number, err
        word = "interrupted" if number == signal.SIGINT else "terminated"
        stands = "everything was written" if job.day == day else "nothing was written; the old tables are whole"
        assert lines == [f"logloss-spark: {word}: {stands}"]


def test_the_job_after_a_killed_one_takes_its_leftovers_away(job: Job) -> None:
    left = job.names
    with job.start(3 - job.day) as process:
        while process.poll() is None and not job.is_writing(left):
            time.sleep(0.001)
        process.kill()
        last_words(process)
    assert job.names > set(OUTPUTS)
    job.run(3 - job.day)
    assert job.names == set(OUTPUTS)
    assert set(job.found().values()) == {job.day}


def test_of_two_jobs_at_once_one_writes_and_the_other_says_so(job: Job) -> None:
    both = [job.start(day) for day in ROWS]
    ends = [(last_words(process), process.returncode) for process in both]
    codes = sorted(code for _, code in ends)
    assert codes in ([0, 0], [0, 6])
    for err, code in ends:
        lines = said(err)
        assert len(lines) == (code == 6)
        assert all(re.search(r"process \d+ of .*, since .*, is writing \w+: ", line) for line in lines)
    found = set(job.found().values())
    assert len(found) == 1
    job.day = found.pop()
    assert job.names == set(OUTPUTS)


def test_ten_times_two_writers_at_once_write_one_table_each(spark: SparkSession, tmp_path: Path) -> None:
    """As the processes above, without their start: a lock is of an open file, whoever opened it."""
    targets = {name: Target(path=str(tmp_path / name)) for name in ("state", "metrics")}
    wrote: list[int] = []
    refused: list[int] = []

    def write(size: int, ready: threading.Barrier) -> None:
        ready.wait()
        try:
            with reserved(spark, targets, mode="overwrite") as reservation:
                write_tables(reservation, {name: spark.range(size) for name in targets})
            wrote.append(size)
        except BusyError:
            refused.append(size)

    for _ in range(10):
        before, ready = len(wrote), threading.Barrier(2)
        writers = [threading.Thread(target=write, args=(size, ready)) for size in (3, 5)]
        for writer in writers:
            writer.start()
        for writer in writers:
            writer.join()
        counts = {pq.read_table(target.path).num_rows for target in targets.values()}
        assert counts == {wrote[-1]}
        assert 1 <= len(wrote) - before <= 2
        assert sorted(path.name for path in tmp_path.iterdir()) == ["metrics", "state"]
    assert len(wrote) + len(refused) == 20
    assert refused


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 8 MB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", disk], capture_output=True, text=True)
    if mounted.returncode:
        pytest.skip(f"only root may mount a small disk: {mounted.stderr.strip()}")
    yield disk
    subprocess.run(["umount", "--lazy", disk], check=True)  # Spark closes the file that it could not fill when it likes


def test_a_full_disk_is_named_and_the_old_tables_are_whole(spark: SparkSession, small_disk: Path) -> None:
    targets = {name: Target(path=str(small_disk / name)) for name in ("state", "metrics")}
    with reserved(spark, targets, mode="overwrite") as reservation:
        write_tables(reservation, {name: spark.range(7) for name in targets})
    before = sorted(small_disk.rglob("*"))
    large = spark.range(2_000_000).select(F.rand(1).alias("a"))  # 16 MB that nothing compresses
    with (
        pytest.raises(LogLossError) as raised,
        reserved(spark, targets, mode="overwrite") as reservation,
    ):
        write_tables(reservation, {"state": spark.range(8), "metrics": large})
    assert str(raised.value).startswith(f"metrics cannot be written to {small_disk}/metrics: a disk must have room")
    assert str(raised.value).endswith("; nothing was written; the old tables are whole")
    assert sorted(small_disk.rglob("*")) == before
    assert {pq.read_table(target.path).num_rows for target in targets.values()} == {7}
