"""Events of OpenLineage, through its client's own transport to a file."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from logloss_spark.app.sinks.openlineage import OpenLineageSection, openlineage
from logloss_spark.app.sinks.run import Ending, StartedRun
from logloss_spark.errors import SpecError
from tests.app.sinks.runs import OUTCOME, RUN, ending

SECTION = OpenLineageSection(namespace="models", slices=["country=de"], metrics=["log_loss", "few"])


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file to which the client appends events, as its environment says."""
    file = tmp_path / "events.json"
    transport = {"type": "file", "log_file_path": str(file), "append": True}
    monkeypatch.setenv("OPENLINEAGE__TRANSPORT", json.dumps(transport))
    return file


def told(file: Path, end: Ending, run: StartedRun = RUN, section: OpenLineageSection = SECTION) -> list[dict[str, Any]]:
    """The events of a run."""
    dashboard = openlineage(section, run)
    dashboard.begin()
    dashboard.end(end)
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def test_a_run_starts_and_completes_as_one_run_of_one_job(file: Path) -> None:
    first, last = told(file, ending())
    assert (first["eventType"], last["eventType"]) == ("START", "COMPLETE")
    assert first["run"]["runId"] == last["run"]["runId"]
    assert first["eventTime"] == "2026-11-27T05:00:00+00:00"
    assert last["eventTime"] == "2026-11-27T05:01:30+00:00"
    for event in (first, last):
        assert (event["job"]["namespace"], event["job"]["name"]) == ("models", "clicks.evaluate")
        assert event["job"]["facets"]["jobType"]["jobType"] == "EVALUATE"
        assert event["run"]["facets"]["nominalTime"]["nominalStartTime"] == "2026-11-26T00:00:00Z"
        assert event["producer"].startswith("pkg:pypi/logloss-spark@")
    assert last["run"]["facets"]["logloss_spark"]["verdict"] == "fail"


def test_the_input_has_its_fingerprint_its_rows_and_its_metrics(file: Path) -> None:
    _, last = told(file, ending())
    (data,) = last["inputs"]
    assert (data["namespace"], data["name"]) == ("s3://bucket", "clicks")
    assert data["facets"]["version"]["datasetVersion"] == "0123456789abcdef"
    quality = data["inputFacets"]["dataQualityMetrics"]
    assert quality["rowCount"] == 1000
    assert quality["columnMetrics"]["clicked"]["nullCount"] == 10
    assert data["inputFacets"]["logloss_spark"]["metrics"] == [
        {"metric": "log_loss", "slice": "country=de", "value": 0.45, "low": 0.35, "high": 0.55},
        {"metric": "few", "slice": "country=de", "value": 0.0},
    ]
    assert [(output["namespace"], output["name"]) for output in last["outputs"]] == [("file", "/data/metrics")]


def test_rules_that_were_judged_are_assertions(file: Path) -> None:
    _, last = told(file, ending(exit_code=3, error="error: the gate says fail"))
    assert last["eventType"] == "COMPLETE", "the run did its work"
    assert last["run"]["facets"]["errorMessage"]["message"] == "error: the gate says fail"
    (assertion,) = last["inputs"][0]["inputFacets"]["dataQualityAssertions"]["assertions"]
    assert assertion == {
        "assertion": "log_loss",
        "success": False,
        "severity": "error",
        "name": "no worse",
        "description": "log_loss is over 0.3",
        "expected": '{"at_most": 0.3}',
        "actual": "0.45",
        "params": {"slice": "country=de", "verdict": "fail"},
    }


@pytest.mark.parametrize(("code", "state"), [(4, "FAIL"), (1, "FAIL"), (130, "ABORT"), (143, "ABORT")])
def test_a_run_that_found_nothing_fails_or_is_aborted(file: Path, code: int, state: str) -> None:
    _, last = told(file, ending(None, exit_code=code, error="error: broken"))
    assert last["eventType"] == state
    assert last["run"]["facets"]["errorMessage"]["message"] == "error: broken"
    assert (last["inputs"], last["outputs"]) == ([], [])


def test_a_table_of_the_catalog_is_in_the_namespace_of_the_job(file: Path) -> None:
    run = replace(RUN, config={"input": {"table": "main.ads.clicks"}})
    _, last = told(file, ending(replace(OUTCOME, inputs=("main.ads.clicks",))), run)
    assert [(data["namespace"], data["name"]) for data in last["inputs"]] == [("models", "main.ads.clicks")]


def test_a_run_knows_the_run_that_started_it(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run_id = "01a21b70-1979-7c5b-aecf-4b6c8808765c"
    monkeypatch.setenv("OPENLINEAGE_PARENT_ID", f"air/flow/daily.evaluate/{run_id}")
    for event in told(file, ending()):
        parent = event["run"]["facets"]["parent"]
        assert (parent["run"]["runId"], parent["job"]["namespace"]) == (run_id, "air/flow")
        assert parent["job"]["name"] == "daily.evaluate"


def test_a_parent_that_is_no_run_is_an_error(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENLINEAGE_PARENT_ID", "daily.evaluate")
    with pytest.raises(SpecError, match=r"OPENLINEAGE_PARENT_ID must be namespace/job/run, .* got 'daily\.evaluate'"):
        openlineage(SECTION, RUN)


def test_no_secret_is_told(file: Path) -> None:
    told_of = replace(OUTCOME, inputs=("s3a://id:key@bucket/hush",), written={"metrics": "/data/hush"})
    told(file, ending(told_of), replace(RUN, secrets=("hush",)))
    text = file.read_text(encoding="utf-8")
    assert "hush" not in text
    assert "id:key" not in text


def test_a_client_that_knows_no_place_for_events_is_an_error_before_the_run(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("OPENLINEAGE_URL", "OPENLINEAGE_CONFIG", "OPENLINEAGE__TRANSPORT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SpecError, match=r"\[openlineage\] needs a place for its events.*: set OPENLINEAGE_URL"):
        openlineage(SECTION, RUN)
