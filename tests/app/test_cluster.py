"""Jobs on a real cluster: a standalone master and two workers, whose Python has this package from `--py-files` alone.

Their numbers are those of local mode, with each engine, and when a worker or its Python is killed while it reads.
"""

import json
import os
import re
import signal
import socket
import subprocess
import time
import venv
import zipfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pyspark
import pytest
from pyspark.sql import SparkSession

from logloss_spark.app.cli import main
from tests.same import assert_same_metrics

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
SPARK_HOME = Path(pyspark.__path__[0])
ROWS = 4_000_000
"""A task takes half a second and more, in which it can be killed."""

FILES = 4
PATIENCE = 300.0
"""Seconds after which something that was started has not come up, or what was told to end has not."""

MARK = "LOGLOSS_SPARK_TESTED_CLUSTER"
"""A variable in the environment of all processes of a cluster, whoever started them."""


@dataclass
class Cluster:
    """A standalone master and two workers with one core each; every process carries the mark of its worker."""

    folder: Path
    python: Path
    env: dict[str, str]
    master: str = ""
    daemons: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def start(self) -> None:
        """Start the master and the workers, and wait until they know each other."""
        port = free_port()
        self.master = f"spark://127.0.0.1:{port}"
        self.start_daemon("master", "master.Master", "--port", str(port))
        self.wait_for("master", r"New state: ALIVE", 1)
        for number in (1, 2):
            self.start_worker(number)
        self.wait_for("master", r"Registering worker", 2)

    def start_worker(self, number: int) -> None:
        """Start a worker."""
        options = ["--cores", "1", "--memory", "1g", "--work-dir", str(self.folder / "work"), self.master]
        self.start_daemon(f"worker-{number}", "worker.Worker", *options)

    def start_daemon(self, name: str, program: str, *arguments: str) -> None:
        """Start a daemon in a process group of its own, which its executors join."""
        script, options = SPARK_HOME / "sbin" / "spark-daemon.sh", ["--host", "127.0.0.1", "--webui-port", "0"]
        with open(self.folder / f"{name}.log", "ab") as log:
            self.daemons[name] = subprocess.Popen(
                [script, "start", f"org.apache.spark.deploy.{program}", "1", *options, *arguments],
                env=self.env | {"SPARK_NO_DAEMONIZE": "1", MARK: f"{self.folder}/{name}"},
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def wait_for(self, name: str, line: str, times: int) -> None:
        """Wait until a daemon has said something so many times."""
        log = self.folder / f"{name}.log"
        wait_until(lambda: len(re.findall(line, log.read_text())) >= times)

    def stop(self) -> None:
        """End all processes, and make sure that none is left."""
        for name in self.daemons:
            self.kill(name)
        wait_until(lambda: not marked(str(self.folder)))

    def kill(self, name: str) -> None:
        """Kill a daemon and what it started."""
        with suppress(ProcessLookupError):  # it was killed before
            os.killpg(self.daemons[name].pid, signal.SIGKILL)
        self.daemons[name].wait()

    def submitted(self, command: str, *arguments: str) -> subprocess.Popen[str]:
        """Submit a job with the package as a zip, and no other way to it."""
        env = self.env | {"PYSPARK_DRIVER_PYTHON": str(self.python), "PYSPARK_PYTHON": str(self.python)}
        env |= {"SPARK_CONF_DIR": str(ROOT / "conf")}
        options = ["--master", self.master, "--py-files", str(self.folder / "logloss_spark.zip")]
        options += ["--executor-memory", "1g", "--conf", "spark.ui.enabled=false"]
        with open(self.folder / "job.log", "wb") as log:
            return subprocess.Popen(
                [SPARK_HOME / "bin" / "spark-submit", *options, ROOT / "jobs" / f"{command}.py", *arguments],
                env=env,
                cwd=self.folder,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )

    def run(self, command: str, *arguments: str) -> dict[str, Any]:
        """Run a job to its end; return what it found."""
        with self.submitted(command, *arguments, "--json") as process:
            return self.found_by(process)

    def found_by(self, process: subprocess.Popen[str]) -> dict[str, Any]:
        """Wait for the end of a job, and return what it says that it found."""
        out, _ = process.communicate(timeout=PATIENCE)
        assert process.returncode == 0, (self.folder / "job.log").read_text()
        found: dict[str, Any] = json.loads(out.splitlines()[-1])
        return found


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])


def wait_until(holds: Callable[[], Any]) -> Any:
    """Ask until the answer is yes, and return it."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        answer = holds()
        if answer:
            return answer
        time.sleep(0.001)
    raise AssertionError("it took too long")


def marked(mark: str) -> list[Path]:
    """The running processes whose environment has a mark, as folders of /proc."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if f"{MARK}={mark}".encode() in (process / "environ").read_bytes():
                found.append(process)
        except OSError:
            continue  # it has ended, or is none of ours
    return found


def readers(mark: str, table: Path, program: str) -> list[tuple[int, str]]:
    """The processes of a program that read the rows of a table: their numbers, and the names of their workers."""
    found = []
    for process in marked(mark):
        try:
            if program not in (process / "cmdline").read_text():
                continue
            if any(str(table) in os.readlink(file) and is_at_rows(file) for file in (process / "fd").iterdir()):
                (name,) = re.findall(rf"{MARK}={re.escape(mark)}/([\w-]+)", (process / "environ").read_text())
                found.append((int(process.name), name))
        except OSError:
            continue
    return found


def is_at_rows(file: Path) -> bool:
    """Whether a process stands in the first half of an open file: the footer, which tells the schema, is at its end."""
    position = re.search(r"pos:\s*(\d+)", (file.parents[1] / "fdinfo" / file.name).read_text())
    return position is not None and int(position[1]) < file.stat().st_size // 2


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A cluster that is started and stopped, with a Python that has all but this package."""
    folder = tmp_path_factory.mktemp("cluster")
    before = sorted(path.name for path in SPARK_HOME.iterdir())
    python = python_without_package(folder / "venv")
    with zipfile.ZipFile(folder / "logloss_spark.zip", "w") as package:
        for module in sorted((ROOT / "logloss_spark").rglob("*.py")):
            package.write(module, module.relative_to(ROOT))
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("SPARK", "PY", "COV"))}
    env = kept | {"SPARK_HOME": str(SPARK_HOME), "SPARK_LOCAL_IP": "127.0.0.1", "SPARK_CONF_DIR": f"{folder}/conf"}
    (folder / "conf").mkdir()  # nothing in it: daemons and executors say what they do
    env |= {"SPARK_LOG_DIR": f"{folder}/logs", "SPARK_PID_DIR": f"{folder}/pids", "SPARK_LOCAL_DIRS": f"{folder}/local"}
    running = Cluster(folder, python, env)
    with ExitStack() as stack:
        stack.callback(running.stop)
        running.start()
        yield running
    assert sorted(path.name for path in SPARK_HOME.iterdir()) == before


def python_without_package(folder: Path) -> Path:
    """Make a virtualenv with all packages of this one but ours, as links; return its Python."""
    venv.create(folder, symlinks=True)
    packages = Path(np.__path__[0]).parent
    (there,) = folder.glob("lib/python*/site-packages")
    for path in packages.iterdir():
        if "logloss_spark" not in path.name and not (there / path.name).exists():
            (there / path.name).symlink_to(path)
    return folder / "bin" / "python"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table of predictions by two models, which is a training table, too, and the config of each command."""
    folder = tmp_path_factory.mktemp("jobs")
    rng = np.random.default_rng(13)
    p, x = rng.random(ROWS), rng.normal(size=ROWS)
    label = (rng.random(ROWS) < p).astype(float)
    label[::1001] = np.nan
    columns = {
        "y": pa.array(label, pa.int32(), from_pandas=True, safe=False),
        "p": p,
        "q": np.clip(p + 0.1 * rng.normal(size=ROWS), 0.01, 0.99),
        "w": 0.5 + rng.random(ROWS),
        "segment": pa.array(np.array(["a", "b", "c"])[rng.integers(3, size=ROWS)]),
        "x": x,
        "z": p + rng.normal(size=ROWS),
    }
    table = pa.table(columns)
    for part in range(FILES):
        file = folder / "predictions" / f"day=2026-01-0{part + 1}" / "part.parquet"
        file.parent.mkdir(parents=True)
        pq.write_table(table.slice(part * ROWS // FILES, ROWS // FILES), file, row_group_size=100_000)
    given = f'[input]\npath = "{folder}/predictions"\n[columns]\nlabel = "y"\nweight = "w"\n'
    by = 'by = [["day"], ["day", "segment"]]\n'
    (folder / "evaluate.toml").write_text(f'{given}prediction = "p"\n[evaluate]\n{by}')
    (folder / "compare.toml").write_text(f'{given}[models]\na = "p"\nb = "q"\n[compare]\nbaseline = "a"\n{by}')
    (folder / "fit.toml").write_text(
        f'{given}features = ["x", "z"]\n[score]\npath = "{folder}/predictions/day=2026-01-01"\n'
    )
    return folder


@pytest.fixture(scope="module")
def local(folder: Path, spark: SparkSession) -> Callable[[str], pd.DataFrame]:
    """The metrics of a command in local mode, by the engine `arrow`; each is computed once."""
    kept: dict[str, pd.DataFrame] = {}

    def metrics(command: str) -> pd.DataFrame:
        if command not in kept:
            assert main([command, *arguments(folder, command, "arrow", "local")]) == 0
            kept[command] = written(folder, command, "local")
        return kept[command]

    return metrics


def arguments(folder: Path, command: str, engine: str, to: str) -> list[str]:
    """The arguments of a job that computes metrics with an engine."""
    sets = [f"{command}.engine={engine}", f"output.metrics={folder}/{to}-{command}", "output.mode=overwrite"]
    return ["--config", f"{folder}/{command}.toml", *(word for text in sets for word in ("--set", text))]


def written(folder: Path, command: str, to: str) -> pd.DataFrame:
    """The metrics that a job wrote."""
    return pq.read_table(folder / f"{to}-{command}").to_pandas()


def assert_same(command: str, found: pd.DataFrame, wanted: pd.DataFrame) -> None:
    """The numbers of two runs of a command."""
    if command == "evaluate":
        assert_same_metrics(found, wanted)
        return
    found, wanted = (table.sort_values("slice").reset_index(drop=True) for table in (found, wanted))
    # 1e-12 relative: sums are added in another order; errors are roots of differences, which cancel.
    pd.testing.assert_frame_equal(found[["slice", "n", "verdict"]], wanted[["slice", "n", "verdict"]])
    numbers = wanted.select_dtypes("number").columns
    pd.testing.assert_frame_equal(found[numbers], wanted[numbers], rtol=1e-6, atol=1e-12)


def test_the_python_of_the_cluster_lacks_this_package_and_has_all_else(cluster: Cluster) -> None:
    program = "import numpy, pandas, pyarrow, pyspark, importlib.util as u; print(u.find_spec('logloss_spark'))"
    ran = subprocess.run([cluster.python, "-c", program], env=cluster.env, cwd="/", capture_output=True, text=True)
    assert (ran.stdout, ran.stderr) == ("None\n", "")


@pytest.mark.parametrize("engine", ["arrow", "native"])
@pytest.mark.parametrize("command", ["evaluate", "compare"])
def test_a_cluster_gives_the_numbers_of_local_mode(
    cluster: Cluster, folder: Path, local: Callable[[str], pd.DataFrame], command: str, engine: str
) -> None:
    found = cluster.run(command, *arguments(folder, command, engine, "cluster"))
    assert found["details"]["engine"]["name"] == engine
    assert found["counts"]["read"] == ROWS
    assert_same(command, written(folder, command, "cluster"), local(command))


def test_a_cluster_fits_and_scores_as_local_mode_does(cluster: Cluster, folder: Path, spark: SparkSession) -> None:
    found = {}
    for place in ("local", "cluster"):
        model = ["--config", f"{folder}/fit.toml", "--set", f"output.model={folder}/{place}-model"]
        scored = [*model, "--set", f"score.output={folder}/{place}-scored"]
        for command, given in {"fit": model, "score": scored}.items():
            if place == "local":
                assert main([command, *given]) == 0
            else:
                found[command] = cluster.run(command, *given)
    assert found["fit"]["counts"]["read"] == ROWS
    ours, theirs = (
        pq.read_table(folder / f"{place}-scored", columns=["x", "probability"]).to_pandas().sort_values("x")
        for place in ("cluster", "local")
    )
    # The gradient of both is within 1e-9 of the optimum's; the sums of a pass are added in another order.
    np.testing.assert_allclose(ours["probability"], theirs["probability"], rtol=1e-7)


@pytest.mark.parametrize(("engine", "killed"), [("arrow", "worker"), ("native", "worker"), ("arrow", "python")])
def test_the_numbers_stay_when_a_process_is_killed_while_it_reads(
    cluster: Cluster, folder: Path, local: Callable[[str], pd.DataFrame], engine: str, killed: str
) -> None:
    program = "pyspark.daemon" if engine == "arrow" else "CoarseGrainedExecutorBackend"
    table, mark = folder / "predictions", str(cluster.folder)
    with cluster.submitted("evaluate", *arguments(folder, "evaluate", engine, "killed"), "--json") as process:
        (number, worker), *_ = wait_until(lambda: readers(mark, table, program))
        if killed == "worker":
            cluster.kill(worker)
        else:
            os.kill(number, signal.SIGKILL)
        found = cluster.found_by(process)
    if killed == "worker":
        cluster.start_worker(int(worker[-1]))
    assert found["counts"]["read"] == ROWS
    assert_same("evaluate", written(folder, "evaluate", "killed"), local("evaluate"))
    last = max((cluster.folder / "work").iterdir())
    logs = "".join(log.read_text() for log in last.glob("*/stderr"))
    assert re.search(r"Running task \d+\.1 in stage", logs)  # a second attempt
