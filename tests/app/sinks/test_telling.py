"""Dashboards are told of a run at its end, however it ends; one that cannot be told loses nothing."""

import json
import math
import sys
from argparse import Namespace
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.sql import SparkSession

from logloss_spark.app.cli import main
from logloss_spark.app.config import read_config
from logloss_spark.app.evaluating import EvaluateConfig
from logloss_spark.app.sinks import telling
from logloss_spark.app.sinks.run import Dashboard, Ending, StartedRun, run_of
from logloss_spark.app.sinks.telling import WithDashboards
from logloss_spark.errors import DataError, GateError, SpecError
from logloss_spark.io.signals import Interrupted
from tests.app.sinks.exposition import parsed
from tests.app.sinks.runs import OUTCOME

EVALUATE = """
[input]
path = "p"
options = { password = "hush", header = true }
[columns]
label = "y"
prediction = "p"
"""

GIVEN = Namespace(command="evaluate", config="conf/clicks.toml", run_date="2026-11-26", dry_run=False)


@dataclass(frozen=True, kw_only=True)
class Config(WithDashboards):
    """A config of dashboards alone."""


@pytest.fixture
def heard(monkeypatch: pytest.MonkeyPatch) -> list[Ending]:
    """What a dashboard hears that follows one that is down."""
    heard: list[Ending] = []

    def fail(*_: Any) -> None:
        raise OSError("no route to\nhost of hush")

    def dashboards(_: WithDashboards, __: StartedRun) -> Sequence[Dashboard]:
        return [Dashboard("mlflow", fail), Dashboard("prometheus", heard.append)]

    monkeypatch.setattr(telling, "dashboards_of", dashboards)
    return heard


def test_a_dashboard_that_cannot_be_told_is_one_line_and_no_failure(
    heard: list[Ending], capsys: pytest.CaptureFixture[str]
) -> None:
    with telling.telling(Config(), GIVEN, ["hush"]) as found:
        found(OUTCOME)
    (ending,) = heard
    assert (ending.exit_code, ending.error, ending.outcome) == (0, None, OUTCOME)
    assert ending.told == {"mlflow": False}
    assert capsys.readouterr().err == (
        "logloss-spark: what was written stands, but mlflow could not be told: no route to host of ***\n"
    )


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (DataError("broken by hush"), 4, "error: broken by ***"),
        (Interrupted(15), 143, "terminated: nothing was written; the old tables are whole"),
        (ZeroDivisionError("division"), 1, "error: ZeroDivisionError: division; --traceback shows where"),
    ],
)
def test_a_run_that_fails_is_told_and_fails_as_before(
    heard: list[Ending], error: BaseException, code: int, said: str
) -> None:
    with pytest.raises(type(error)), telling.telling(Config(), GIVEN, ["hush"]):
        raise error
    (ending,) = heard
    assert (ending.exit_code, ending.error, ending.outcome) == (code, said, None)


def test_a_gate_that_fails_is_told_with_what_was_found(heard: list[Ending]) -> None:
    def run() -> None:
        with telling.telling(Config(), GIVEN, []) as found:
            found(OUTCOME)
            raise GateError("the gate says fail", 3)

    with pytest.raises(GateError):
        run()
    (ending,) = heard
    assert (ending.exit_code, ending.outcome) == (3, OUTCOME)


def test_a_dry_run_tells_nobody(heard: list[Ending]) -> None:
    with telling.telling(Config(), Namespace(**vars(GIVEN) | {"dry_run": True}), []) as found:
        found(OUTCOME)
    assert not heard


def test_a_signal_while_dashboards_are_told_says_that_all_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(_: Ending) -> None:
        raise Interrupted(15)

    monkeypatch.setattr(telling, "dashboards_of", lambda *_: [Dashboard("mlflow", stop)])
    with pytest.raises(Interrupted) as stopped, telling.telling(Config(), GIVEN, []) as found:
        found(OUTCOME)
    assert str(stopped.value) == "terminated: everything was written"


def test_a_library_that_is_missing_is_an_error_before_the_run(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "mlflow.tracking", None)
    config = tmp_path / "clicks.toml"
    config.write_text(EVALUATE + '[mlflow]\nexperiment = "clicks"\n')
    capsys.readouterr()
    assert main(["evaluate", "--config", str(config)]) == 2
    assert capsys.readouterr().err == (
        "logloss-spark: error: runs in MLflow need the package mlflow: pip install mlflow-skinny\n"
    )


@pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:DeprecationWarning")  # MLflow's store, in 3.17
def test_a_command_tells_all_dashboards_what_it_found(
    tmp_path: Path, spark: SparkSession, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    events = tmp_path / "events.json"
    transport = {"type": "file", "log_file_path": str(events), "append": True}
    monkeypatch.setenv("OPENLINEAGE__TRANSPORT", json.dumps(transport))
    table = pa.table({"y": [0, 1] * 50, "p": [0.25, 0.5] * 50, "country": ["de"] * 60 + ["fr"] * 40})
    pq.write_table(table, tmp_path / "rows.parquet")
    config = tmp_path / "clicks.toml"
    config.write_text(
        f'[input]\npath = "{tmp_path}/rows.parquet"\n[columns]\nlabel = "y"\nprediction = "p"\n'
        '[evaluate]\nby = "country"\nmetrics = ["log_loss"]\n[gate]\nmin_rows = 0\n'
        '[[gate.rule]]\nname = "low"\nmetric = "log_loss"\nat_most = 0.1\n'
        f'[mlflow]\nexperiment = "clicks"\ntracking_uri = "sqlite:///{tmp_path}/runs.db"\n'
        f'[openlineage]\nnamespace = "models"\n[prometheus]\nfolder = "{tmp_path}"\nslices = ["country=*"]\n'
    )
    monkeypatch.chdir(tmp_path)  # the artefacts of a new experiment of a local store are there
    capsys.readouterr()
    assert main(["evaluate", "--config", str(config), "--json"]) == 3
    said = capsys.readouterr()
    assert (said.out.count("\n"), said.err.count("\n")) == (1, 1), "nobody else prints"
    loss = -math.log(0.75 * 0.5) / 2
    families = parsed((tmp_path / "clicks.evaluate.prom").read_text())
    slices = {dict(key)["slice"]: number for key, number in families["logloss_spark_log_loss"].values.items()}
    assert slices == {"country=de": pytest.approx(loss), "country=fr": pytest.approx(loss)}
    assert list(families["logloss_spark_exit_code"].values.values()) == [3]
    assert list(families["logloss_spark_dashboard_told"].values.values()) == [1, 1]
    started, completed = map(json.loads, events.read_text().splitlines())
    assert (started["eventType"], completed["eventType"]) == ("START", "COMPLETE")
    assert completed["inputs"][0]["inputFacets"]["dataQualityAssertions"]["assertions"][0]["success"] is False
    client = import_module("mlflow.tracking").MlflowClient(tracking_uri=f"sqlite:///{tmp_path}/runs.db")
    (run,) = client.search_runs(["1"])
    assert run.data.metrics["log_loss"] == pytest.approx(loss)
    assert "brier" not in run.data.metrics, "it was not to be kept"
    assert run.inputs.dataset_inputs[0].dataset.digest == completed["inputs"][0]["facets"]["version"]["datasetVersion"]


def test_with_a_store_dashboards_are_told_of_the_last_day_that_was_stored(
    tmp_path: Path, spark: SparkSession, capsys: pytest.CaptureFixture[str]
) -> None:
    for day, p in (("2026-11-25", 0.5), ("2026-11-26", 0.25)):
        (tmp_path / "rows" / f"day={day}").mkdir(parents=True)
        table = pa.table({"y": [0] * 8, "p": [p] * 8, "country": ["de", "fr"] * 4})
        pq.write_table(table, tmp_path / "rows" / f"day={day}" / "part.parquet")
    config = tmp_path / "clicks.toml"
    config.write_text(
        f'[input]\npath = "{tmp_path}/rows"\n[columns]\nlabel = "y"\nprediction = "p"\n'
        f'[evaluate]\nby = "country"\n[store]\npath = "{tmp_path}/states"\nunit = ["day"]\n'
        f'[prometheus]\nfolder = "{tmp_path}"\nslices = ["all", "country=*", "day=*", "country=it"]\n'
    )
    capsys.readouterr()
    assert main(["evaluate", "--config", str(config)]) == 0
    said = capsys.readouterr().err
    assert said == "logloss-spark: [prometheus] slices: no slice that was measured matches 'country=it'\n"
    families = parsed((tmp_path / "clicks.evaluate.prom").read_text())
    rows = {dict(key)["slice"]: number for key, number in families["logloss_spark_rows"].values.items()}
    assert rows == {"all": 8, "country=de": 4, "country=fr": 4, "day=2026-11-26": 8}
    loss = families["logloss_spark_log_loss"].values
    assert list(loss.values()) == [pytest.approx(-math.log(0.75))] * 4
    assert list(families["logloss_spark_patterns_without_slice"].values.values()) == [1]
    midnight = datetime(2026, 11, 26, tzinfo=UTC).timestamp()
    assert list(families["logloss_spark_metrics_day_timestamp_seconds"].values.values()) == [midnight]


def test_the_textfile_of_a_run_that_fails_at_once_has_its_exit_code(tmp_path: Path, spark: SparkSession) -> None:
    config = tmp_path / "clicks.toml"
    config.write_text(EVALUATE.replace('"p"', f'"{tmp_path}/nothing"', 1) + f'[prometheus]\nfolder = "{tmp_path}"\n')
    assert main(["evaluate", "--config", str(config)]) == 5
    families = parsed((tmp_path / "clicks.evaluate.prom").read_text())
    assert list(families["logloss_spark_exit_code"].values.values()) == [5]


def test_a_run_knows_its_config_without_secrets_and_dashboards(tmp_path: Path) -> None:
    file = tmp_path / "clicks.toml"
    file.write_text(EVALUATE + '[mlflow]\nexperiment = "clicks {run_date}"\n[evaluate]\nby = "country"\n')
    config = read_config(str(file), of=EvaluateConfig, run_date="2026-11-26")
    assert config.mlflow is not None
    assert config.mlflow.experiment == "clicks 2026-11-26"
    run = run_of("evaluate", str(file), config, None, ["hush"])
    assert run.name == "clicks"
    assert run.config["input"] == {"path": "p", "format": "parquet", "options": {"header": True}}
    assert run.config["evaluate"]["by"] == "country"
    assert "mlflow" not in run.config
    other = replace(config, mlflow=None)
    assert run_of("evaluate", str(file), other, None, []).fingerprint == run.fingerprint, "it is the same evaluation"


@pytest.mark.parametrize(
    ("section", "said"),
    [
        ('slices = ["country=*"]', "'country=\\*' begins with no slice column"),
        ('metrics = ["logloss"]', r"\[mlflow\] metrics must be .*Did you mean 'log_loss'"),
    ],
)
def test_slices_and_metrics_must_be_those_of_the_evaluation(tmp_path: Path, section: str, said: str) -> None:
    file = tmp_path / "clicks.toml"
    file.write_text(f'{EVALUATE}[mlflow]\nexperiment = "clicks"\n{section}\n')
    with pytest.raises(SpecError, match=said):
        read_config(str(file), of=EvaluateConfig)
