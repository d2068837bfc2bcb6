"""Runs in MLflow, in a real store: a SQLite file with a folder of artefacts."""

import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from logloss_spark.app.outcome import Outcome
from logloss_spark.app.sinks.mlflow import MlflowSection, fitting, metrics_of, mlflow
from logloss_spark.app.sinks.numbers import SliceMetric
from logloss_spark.app.sinks.run import StartedRun
from tests import hostile
from tests.app.sinks.runs import OUTCOME, RULE, RUN, ending, measurement

pytestmark = [
    pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:DeprecationWarning"),  # MLflow's store, in 3.17
]


class Store:
    """A store, what tells it of runs, and its client."""

    def __init__(self, folder: Path) -> None:
        from mlflow.tracking import MlflowClient

        self.uri = f"sqlite:///{folder}/mlflow.db"
        self.client = MlflowClient(tracking_uri=self.uri)

    def tell(self, run: StartedRun = RUN, outcome: Outcome | None = OUTCOME, **others: Any) -> None:
        section = MlflowSection(experiment=self.experiment, tracking_uri=self.uri, **others)
        mlflow(section, run).end(ending(outcome))

    def runs(self) -> list[Any]:
        found = self.client.get_experiment_by_name(self.experiment)
        return list(self.client.search_runs([found.experiment_id])) if found else []

    def artefact(self, name: str) -> str:
        (run,) = self.runs()
        return Path(self.client.download_artifacts(run.info.run_id, name)).read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A store for all tests of this module: to make its tables takes two seconds."""
    return Store(tmp_path_factory.mktemp("mlflow"))


@pytest.fixture
def store(database: Store, request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    """The store, with an experiment for this test alone."""
    database.experiment = request.node.name
    database.client.create_experiment(database.experiment, artifact_location=str(tmp_path / "artefacts"))
    return database


def test_a_run_has_metrics_with_their_ends_settings_tags_and_a_data_set(store: Store) -> None:
    store.tell(slices=["all", "country=*"], tags={"team": "ads"})
    (run,) = store.runs()
    metrics, settings, tags = run.data.metrics, run.data.params, run.data.tags
    assert (metrics["log_loss"], metrics["log_loss_low"], metrics["log_loss_high"]) == (0.4, 0.3, 0.5)
    assert metrics["country:de/log_loss"] == 0.45
    assert metrics["country:fr/brier"] == 0.1
    assert (metrics["few"], metrics["rows"]) == (0, 1000)
    assert "country:fr/ece" not in metrics, "it is null"
    assert "label_mean" not in metrics, "it has one number per class"
    assert settings["evaluate.by"] == '[["country"]]'
    assert settings["input.path"] == "s3a://bucket/clicks"
    assert (run.info.run_name, run.info.status) == ("clicks 2026-11-26", "FINISHED")
    assert tags["logloss_spark.verdict"] == "fail"
    assert tags["logloss_spark.config"] == RUN.fingerprint
    assert tags["logloss_spark.written.metrics"] == "/data/metrics"
    assert tags["team"] == "ads"
    assert (run.info.start_time, run.info.end_time) == tuple(
        round(1000 * time.timestamp()) for time in (RUN.started, ending().ended)
    )
    (data,) = run.inputs.dataset_inputs
    assert (data.dataset.name, data.dataset.digest) == ("s3a://bucket/clicks", "0123456789abcdef")
    assert json.loads(data.dataset.source) == {"path": "s3a://bucket/clicks"}


def test_artefacts_are_the_table_the_verdict_the_outcome_the_config_and_the_report(
    store: Store, tmp_path: Path
) -> None:
    report = tmp_path / "clicks.html"
    report.write_text("<html>", encoding="utf-8")
    store.tell(outcome=replace(OUTCOME, written={"report": f"file:{report}"}))
    (run,) = store.runs()
    names = {file.path for file in store.client.list_artifacts(run.info.run_id)}
    assert names == {"metrics.csv", "gate.json", "outcome.json", "config.json", "report.html"}
    assert store.artefact("report.html") == "<html>"
    gate = json.loads(store.artefact("gate.json"))
    assert (gate["verdict"], gate["rules"][0]) == ("fail", RULE)
    assert json.loads(store.artefact("outcome.json"))["counts"] == {"read": 1000, "scored": 990}
    assert json.loads(store.artefact("config.json")) == RUN.config
    (tmp_path / "metrics.csv").write_text(store.artefact("metrics.csv"), encoding="utf-8")
    table = pd.read_csv(tmp_path / "metrics.csv")
    measured = OUTCOME.measured
    assert measured is not None
    assert table["log_loss"].tolist() == measured.table["log_loss"].tolist(), "to the last digit"
    assert table["label_mean"].map(json.loads).tolist() == [[0.25, 0.75]] * 3


def test_a_rerun_replaces_the_run_and_doubles_no_value(store: Store) -> None:
    store.tell()
    store.tell(outcome=replace(OUTCOME, measured=measurement([], log_loss=[0.7])))
    (run,) = store.runs()
    assert [metric.value for metric in store.client.get_metric_history(run.info.run_id, "log_loss")] == [0.7]


def test_other_run_dates_configs_and_commands_are_other_runs(store: Store) -> None:
    store.tell()
    store.tell(replace(RUN, run_date="2026-11-27"))
    store.tell(replace(RUN, config={"evaluate": {"eps": 1e-9}}))
    store.tell(replace(RUN, command="compare"))
    assert len(store.runs()) == 4


def test_a_run_that_found_nothing_leaves_the_run_of_an_earlier_try(store: Store) -> None:
    store.tell()
    before = [run.info.run_id for run in store.runs()]
    store.tell(outcome=None)
    store.tell(outcome=replace(OUTCOME, measured=None))  # nothing is due: the verdict is judged again
    assert [run.info.run_id for run in store.runs()] == before


def test_a_run_that_cannot_be_completed_leaves_the_older_one(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    store.tell()
    before = [run.info.run_id for run in store.runs()]
    monkeypatch.setattr("mlflow.tracking.MlflowClient.log_artifacts", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        store.tell()
    assert [run.info.run_id for run in store.runs()] == before


def test_more_than_a_thousand_metrics_take_several_requests(store: Store) -> None:
    many = measurement([f"c{number}" for number in range(300)])
    store.tell(outcome=replace(OUTCOME, measured=many), slices=["country=*"], metrics=["log_loss", "brier"])
    (run,) = store.runs()
    assert len(run.data.metrics) == 300 * 4


def test_hostile_slices_and_settings_are_taken_and_stay_distinct(store: Store) -> None:
    texts = list(hostile.TEXTS.values())
    config = {"columns": {name: text for name, text in hostile.TEXTS.items() if text}, "x\ty": {"a/../b": "1"}}
    found = replace(OUTCOME, measured=measurement(texts))
    store.tell(replace(RUN, config=config), found, slices=["country=*"], metrics=["brier"])
    (run,) = store.runs()
    assert len(run.data.metrics) == len(texts)
    assert run.data.params["columns.long"] == hostile.TEXTS["long"][:6000]
    assert len(run.data.params) == len(hostile.TEXTS)


def test_no_secret_is_told(store: Store) -> None:
    run = replace(RUN, secrets=("hush",))
    told = replace(OUTCOME, inputs=("jdbc:x?q=hush", "s3a://id:key@bucket/p"), written={"metrics": "/data/hush"})
    store.tell(run, told)
    (made,) = store.runs()
    shown = f"{made.to_dictionary()} {made.inputs.dataset_inputs} {store.artefact('outcome.json')}"
    assert "hush" not in shown
    assert "id:key" not in shown


def test_the_numbers_and_the_history_of_a_fit_are_metrics(store: Store) -> None:
    history = [{"iteration": number, "objective": 1 / (1 + number)} for number in range(3)]
    report = {"log_loss": 0.3, "validation_loss": None, "rows": 10, "solver": "newton", "history": history}
    fit = replace(OUTCOME, command="fit", measured=None, verdicts=(), details={"report": report})
    store.tell(replace(RUN, command="fit"), fit)
    (run,) = store.runs()
    assert run.data.metrics == {"log_loss": 0.3, "rows": 10, "history/objective": 1 / 3}
    steps = store.client.get_metric_history(run.info.run_id, "history/objective")
    assert [(step.step, step.value) for step in steps] == [(0, 1), (1, 0.5), (2, 1 / 3)]


def test_a_gate_has_a_metric_for_each_rule_and_slice() -> None:
    number = SliceMetric("a / b", 0.5, 0.4, slice=(("country", "d/e"),), labels=(("rule", "one"),))
    names = {name: value for name, value, _ in metrics_of(iter([number]))}
    of = f"rule:one/country:{fitting('d/e')}"
    assert names == {f"{of}/a per b": 0.5, f"{of}/a per b_low": 0.4}


def test_a_server_that_is_down_is_an_error_within_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    started = time.monotonic()
    told = mlflow(MlflowSection(experiment="x", tracking_uri="http://127.0.0.1:9"), RUN)
    with pytest.raises(Exception, match="Connection refused"):
        told.end(ending())
    assert time.monotonic() - started < 5


@pytest.mark.parametrize("text", hostile.TEXTS.values(), ids=list(hostile.TEXTS))
def test_names_are_such_as_mlflow_takes(text: str) -> None:
    from mlflow.utils.validation import _validate_metric_name

    number = SliceMetric(text, 0.5, slice=(("country", text), (text, "de")))
    ((name, _, _),) = metrics_of(iter([number]))
    _validate_metric_name(name)
    assert len(name) <= 250


def test_names_that_look_the_same_stay_distinct() -> None:
    texts = ["d/e", "d:e", "d_e", "d?e", "..", ".", "x" * 300, "x" * 301, "x" * 100]
    numbers = [SliceMetric("log_loss", 0.5, slice=(("country", text),)) for text in texts]
    assert len({name for name, _, _ in metrics_of(iter(numbers))}) == len(texts)
