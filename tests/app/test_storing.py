"""Commands with a store: `evaluate` takes what is due, `metrics` and `runs` read what is stored."""

import datetime as dt
import json
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import numpy as np
import pandas as pd
import pytest
from pyspark.sql import SparkSession

import logloss_spark as ls
from logloss_spark.app import evaluating
from logloss_spark.app.cli import main
from logloss_spark.app.evaluating_due import RunOnStore, what_is_stored_is_told
from logloss_spark.io.signals import Interrupted
from logloss_spark.states.store import Snapshot
from tests.same import assert_same_metrics

DAYS = [dt.date(2026, 11, day) for day in range(1, 7)]
BY = [["country"], ["country", "device"]]


def write_days(spark: SparkSession, path: Path, days: list[dt.date], seed: int = 0) -> None:
    """Write the rows of days, each in a partition of its own, in the place of those that are there."""
    random, n = np.random.default_rng([seed, *(day.day for day in days)]), 30 * len(days)
    frame = pd.DataFrame(
        {
            "dt": np.repeat(days, 30),
            "country": random.choice(["us", "fr", "de"], n),
            "device": random.choice(["phone", "desk"], n),
            "y": random.integers(0, 2, n),
            "p": random.uniform(0, 1, n),
            "user": random.integers(0, 9, n),
        }
    )
    table = spark.createDataFrame(frame, "dt date, country string, device string, y int, p double, user int")
    writer = table.coalesce(1).write.mode("overwrite").option("partitionOverwriteMode", "dynamic")
    writer.partitionBy("dt").parquet(str(path))


@pytest.fixture
def run(tmp_path: Path, spark: SparkSession, capsys: pytest.CaptureFixture[str]) -> Callable[..., SimpleNamespace]:
    """How to run a command with a config whose store and input are in `tmp_path`; `said` is its JSON."""
    config = tmp_path / "daily.toml"
    config.write_text(
        f'[input]\npath = "{tmp_path}/predictions"\noptions = {{ "fs.secret.key" = "hush hush" }}\n'
        '[columns]\nlabel = "y"\nprediction = "p"\ncluster = "user"\n'
        f"[evaluate]\nby = {json.dumps(BY)}\n"
        f'[store]\npath = "{tmp_path}/states"\nunit = ["dt"]\n'
    )

    def run(command: str, *arguments: object) -> SimpleNamespace:
        capsys.readouterr()
        code = main([command, "--config", str(config), "--json", *map(str, arguments)])
        said = capsys.readouterr()
        return SimpleNamespace(code=code, err=said.err, said=json.loads(said.out) if said.out else None)

    return run


def due_in(ran: SimpleNamespace) -> dict[str, str]:
    return {due["unit"]["dt"]: due["reason"] for due in ran.said["details"]["due"]}


def live(tmp_path: Path) -> Snapshot:
    return ls.Store(str(tmp_path / "states")).live()


@pytest.mark.slow
def test_a_week_is_evaluated_day_by_day_corrected_and_read_in_any_window(
    run: Callable[..., SimpleNamespace], spark: SparkSession, tmp_path: Path
) -> None:
    path = tmp_path / "predictions"
    write_days(spark, path, DAYS[:4])
    ran = run("evaluate", "--dry-run")
    assert due_in(ran) == {str(day): "new" for day in DAYS[:4]}
    assert ran.said["remarks"][0] == "4 of 4 units are due"
    assert not (tmp_path / "states").exists()
    ran = run("evaluate", "--run-date", "2026-11-05")
    assert (ran.code, ran.err, ran.said["counts"]["read"]) == (0, "", 120)
    assert ran.said["remarks"][-1] == "the store holds 4 units as version 1"
    assert due_in(run("evaluate")) == {}
    write_days(spark, path, DAYS[1:2], seed=7)  # corrected
    write_days(spark, path, DAYS[4:])  # new
    shutil.rmtree(path / f"dt={DAYS[3]}")  # gone
    ran = run("evaluate")
    reasons = {str(DAYS[1]): "changed", str(DAYS[3]): "vanished", str(DAYS[4]): "new", str(DAYS[5]): "new"}
    assert (ran.code, due_in(ran), ran.said["counts"]["read"]) == (0, reasons, 90)
    with ls.evaluate(str(path), label="y", prediction="p", cluster="user", by=[["dt", *BY[1]]]) as evaluation:
        whole = evaluation.state
        by = [["dt"], ["country"], ["dt", "country"]]
        store = ls.Store(str(tmp_path / "states"))
        assert_same_metrics(store.state().metrics(by=by).toPandas(), whole.metrics(by=by).toPandas())
        stored = store.metrics().toPandas().set_index("slice")
        of_slices = whole.metrics(by=by).toPandas().set_index("slice")
    assert len(stored) == len(set(stored.index))
    for day in DAYS[:3] + DAYS[4:]:
        assert stored.loc[f"dt={day}", "log_loss"] == pytest.approx(of_slices.loc[f"dt={day}", "log_loss"], rel=1e-12)
    assert set(map(str, stored["run_date"])) == {"2026-11-05", "None"}
    ran = run("metrics", "--where", f"country = 'us' AND dt >= '{DAYS[2]}'", "--by", "dt")
    assert (ran.code, ran.said["counts"]["states"]) == (0, 5)
    losses = {row["slice"]: row["log_loss"] for row in ran.said["slices"]}
    for day in (DAYS[2], DAYS[4], DAYS[5]):
        assert losses[f"dt={day}"] == pytest.approx(of_slices.loc[f"dt={day}/country=us", "log_loss"], rel=1e-12)
    ran = run("metrics", "--windows", "1,7", "--over", "dt", "--to", tmp_path / "windows")
    windows = spark.read.parquet(str(tmp_path / "windows")).toPandas()
    last = windows.query("window == 7 and slice == 'all'").sort_values("dt").iloc[-1]
    assert (ran.code, str(last["dt"]), last["days"], last["rows"]) == (0, str(DAYS[5]), 5, 150)
    runs = run("runs").said["details"]["runs"]
    assert [(each["units"], each["rows"]) for each in runs] == [(3, 90), (4, 120)]
    assert "hush" not in "".join(file.read_text() for file in (tmp_path / "states" / "_log").iterdir())


@pytest.mark.parametrize("command", ["runs", "metrics", "gate", "report"])
def test_a_store_that_is_empty_is_an_input_that_is_not_there_yet(
    run: Callable[..., SimpleNamespace], tmp_path: Path, command: str
) -> None:
    rule = ["--set", "gate.rule=[{name='low', metric='log_loss', at_most=0.5}]"] if command == "gate" else []
    to = ["--to", tmp_path / "report.html"] if command == "report" else []
    ran = run(command, *rule, *to)
    assert (ran.code, ran.said, ran.err.count("\n"), "empty" in ran.err) == (5, None, 1, True)


@pytest.mark.slow
def test_what_a_store_has_under_another_config_is_evaluated_again(
    run: Callable[..., SimpleNamespace], spark: SparkSession, tmp_path: Path
) -> None:
    write_days(spark, tmp_path / "predictions", DAYS[:2])
    assert run("evaluate").code == 0
    assert due_in(run("evaluate", "--dry-run", "--set", "input.options={'fs.secret.key'='other'}")) == {}
    assert due_in(run("evaluate", "--dry-run", "--set", "evaluate.confidence=0.9")) == {}
    assert set(due_in(run("evaluate", "--dry-run", "--full")).values()) == {"asked for"}
    for change in ("evaluate.eps=1e-9", 'evaluate.by=[["device"]]', "columns.cluster=''", "input.where=p < 2"):
        assert set(due_in(run("evaluate", "--dry-run", "--set", change)).values()) == {"another config"}, change
    ran = run("evaluate", "--set", "store.unit=['country']")
    assert (ran.code, "a store has its unit columns from its first run" in ran.err) == (2, True)


def test_files_that_change_meanwhile_end_the_run_and_nothing_is_published(
    run: Callable[..., SimpleNamespace], spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "predictions"
    write_days(spark, path, DAYS[:1])
    # Just before the tables are written all rows have been read.
    monkeypatch.setattr(evaluating, "write_tables", lambda *_: write_days(spark, path, DAYS[:1], seed=1))
    ran = run("evaluate", "--set", "evaluate.engine=native")
    assert ran.code == 4
    assert ran.err == (
        "logloss-spark: error: the files of a unit must stay while it is evaluated, and those of dt=2026-11-01 "
        "changed: run again\n"
    )
    assert live(tmp_path).version == 0


@pytest.mark.parametrize(
    ("runs", "said"),
    [
        ({"7": None}, "terminated: states and metrics are stored in kept, what follows is not done: run again"),
        ({}, "terminated: nothing was written; the old tables are whole"),
    ],
)
def test_a_signal_says_whether_the_run_is_stored_already(runs: dict[str, None], said: str) -> None:
    store = SimpleNamespace(live=lambda: SimpleNamespace(runs=runs))
    run = SimpleNamespace(plan=SimpleNamespace(run_id="7"), store=store, section=SimpleNamespace(path="kept"))
    with pytest.raises(Interrupted) as stop, what_is_stored_is_told(cast(RunOnStore, run)):
        raise Interrupted(signal.SIGTERM)
    assert str(stop.value) == said
