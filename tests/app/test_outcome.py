"""What a job found, as text and as JSON: one document per command, and no secret in it."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import SparkSession

import logloss_spark as ls
from logloss_spark.app.cli import main
from logloss_spark.app.commands import COMMANDS
from logloss_spark.app.outcome import Outcome
from logloss_spark.report.text import View
from tests import hostile

KEYS = ["command", "title", "inputs", "counts", "invalid", "slices", "details", "verdicts", "remarks", "written"]
"""The keys of every document."""

FOUND = Outcome(
    command="evaluate",
    inputs=("s3a://id:hush@bucket/p",),
    counts={"read": 3, "scored": 2},
    invalid={"null_label": 1},
    slices=({"slice": "all", "log_loss": math.inf, "ece": math.nan, "worst": [{"low": -math.inf}]},),
    written={"metrics": "out"},
    view=View(title="log loss", table={"slice": ["all"], "loss": ["inf"]}, remarks=["1 row not scored"]),
    notes=("read 3 rows",),
)


def strict(text: str) -> Any:
    """Parse JSON as its standard has it: without NaN and Infinity."""

    def refuse(name: str) -> None:
        raise ValueError(f"{name} is no JSON")

    return json.loads(text, parse_constant=refuse)


def test_an_outcome_is_one_line_of_json_with_infinite_numbers_as_strings() -> None:
    text = FOUND.to_json()
    document = strict(text)
    assert "\n" not in text
    assert list(document) == KEYS
    assert document["slices"] == [
        {"slice": "all", "log_loss": "Infinity", "ece": None, "worst": [{"low": "-Infinity"}]}
    ]
    assert document["remarks"] == ["1 row not scored", "read 3 rows"]
    assert (document["title"], document["verdicts"]) == ("log loss", [])


def test_json_holds_no_secret_and_stays_json() -> None:
    secret = 'a "secret"\\'
    document = strict(Outcome(command="merge", inputs=(f"p?x={secret}", *FOUND.inputs)).to_json([secret]))
    assert document["inputs"] == ["p?x=***", "s3a://***@bucket/p"]


def test_an_outcome_is_text_with_what_was_written_last() -> None:
    assert FOUND.to_text().splitlines() == [
        "log loss",
        "slice loss",
        "all    inf",
        "1 row not scored",
        "read 3 rows",
        "wrote metrics to out",
    ]


@pytest.mark.parametrize("text", hostile.TEXTS.values(), ids=list(hostile.TEXTS))
def test_hostile_text_is_escaped_in_json(text: str) -> None:
    written = Outcome(command="merge", inputs=(text,), slices=({"slice": text},)).to_json()
    assert written.isascii()
    assert written.isprintable()
    assert strict(written)["inputs"] == [text]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, spark: SparkSession) -> Path:
    """Predictions, the states of two days of them, and the config of each command."""
    folder = tmp_path_factory.mktemp("outcomes")
    columns = ["int(if(id = 0, NULL, id % 3 > 0)) AS y", "double(id % 5 + 1) / 6 AS p", "0.5D AS q"]
    columns += ["int(id % 2) AS day", "double(id) AS x"]
    spark.range(40).coalesce(1).selectExpr(*columns).write.parquet(f"{folder}/rows")
    for day in (0, 1):
        part = spark.read.parquet(f"{folder}/rows").where(f"day = {day}")
        with ls.evaluate(part, "y", "p", engine="native") as evaluation:
            evaluation.state.save(f"{folder}/state{day}")
    given = f'[input]\npath = "{folder}/rows"\n[columns]\nlabel = "y"\n'
    (folder / "evaluate.toml").write_text(
        f'{given}prediction = "p"\n[evaluate]\nby = [["day"]]\nclip = "none"\nengine = "native"\n'
        f'[output]\nmetrics = "{folder}/metrics"\n'
    )
    (folder / "compare.toml").write_text(
        f'{given}[models]\na = "p"\nb = "q"\n[compare]\nbaseline = "a"\nengine = "native"\n'
    )
    with ls.evaluate(spark.read.parquet(f"{folder}/rows"), "y", "p", by="day", engine="native") as evaluation:
        ls.Store(f"{folder}/store").put(evaluation.state, unit="day")
    (folder / "runs.toml").write_text(f'{given}prediction = "p"\n[store]\npath = "{folder}/store"\nunit = ["day"]\n')
    (folder / "gate.toml").write_text(
        '[gate]\nmin_rows = 0\n[[gate.rule]]\nname = "low"\nmetric = "log_loss"\nat_most = 9\n'
    )
    (folder / "fit.toml").write_text(
        f'{given}features = ["x"]\n[output]\nmodel = "{folder}/model"\n'
        f'[score]\npath = "{folder}/rows"\noutput = "{folder}/scored"\n'
    )
    return folder


def configured(name: str) -> Callable[[Path], list[str]]:
    return lambda folder: ["--config", f"{folder}/{name}.toml"]


ARGUMENTS: dict[str, Callable[[Path], list[str]]] = {
    "evaluate": configured("evaluate"),
    "compare": configured("compare"),
    "metrics": lambda folder: [f"{folder}/state0", f"{folder}/state1", f"{folder}/state2", "--allow-missing", "1"],
    "merge": lambda folder: [f"{folder}/state0", f"{folder}/state1", "--to", f"{folder}/both"],
    "drift": lambda folder: [f"{folder}/state0", f"{folder}/state1", "--to", f"{folder}/drift"],
    "gate": lambda folder: ["--config", f"{folder}/gate.toml", f"{folder}/state0", f"{folder}/state1"],
    "report": lambda folder: ["--config", f"{folder}/runs.toml", "--to", f"{folder}/report.html"],
    "runs": configured("runs"),
    "fit": configured("fit"),
    "score": configured("fit"),
}
"""How to run each command; `score` needs what `fit` has written."""


@pytest.mark.slow
def test_every_command_says_what_it_found_as_json(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert set(ARGUMENTS) == set(COMMANDS)
    found = {}
    for name, arguments in ARGUMENTS.items():
        capsys.readouterr()
        code = main([name, *arguments(folder), "--json"])
        said = capsys.readouterr()
        assert (code, said.err, said.out.count("\n")) == (0, "", 1)
        found[name] = strict(said.out)
        assert list(found[name]) == KEYS
        assert found[name]["command"] == name
    evaluated, compared, fitted = found["evaluate"], found["compare"], found["fit"]
    assert (evaluated["counts"], evaluated["invalid"]) == ({"read": 40, "scored": 39}, {"null_label": 1})
    assert [record["slice"] for record in evaluated["slices"]] == ["all", "day=1", "day=0"]
    assert evaluated["slices"][0]["log_loss"] == pytest.approx(0.88, abs=0.2)
    assert evaluated["written"] == {"metrics": f"{folder}/metrics"}
    assert evaluated["details"] == {
        "engine": {"name": "native", "because": "it was asked for"},
        "sources": {"auc": "rows", "calibration": "rows"},
    }
    assert compared["details"] == {"engine": evaluated["details"]["engine"]}
    assert compared["counts"] == {"read": 40, "compared": 39}
    assert compared["slices"][0]["challenger"] == "b"
    assert found["merge"]["counts"] == {"states": 2, "missing": 0}
    assert found["metrics"]["counts"] == {"states": 2, "missing": 1, "read": 40, "scored": 39}
    assert found["metrics"]["invalid"] == {"null_label": 1}
    assert found["metrics"]["slices"][0]["rows"] == 40
    assert found["metrics"]["written"] == {}
    assert found["drift"]["slices"][0]["worst"][0].keys() >= {"low", "high", "reference_share", "current_share"}
    assert found["gate"]["details"]["gate"]["verdict"] == found["gate"]["verdicts"][0]["verdict"] == "pass"
    assert found["gate"]["title"].endswith("pass (1 rule: 1 pass; 99% intervals)")
    assert fitted["counts"] == {"read": 40, "fitted": 39, "held_out": 0}
    assert [record["feature"] for record in fitted["details"]["coefficients"]] == ["(intercept)", "x"]
    assert found["score"]["written"] == {"scored": f"{folder}/scored"}
    assert found["report"]["written"] == {"report": f"{folder}/report.html"}
    assert Path(f"{folder}/report.html").read_text().startswith("<!doctype html>")
