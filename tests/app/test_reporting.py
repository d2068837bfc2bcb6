"""Reports of jobs: with an evaluation, on a day of a store, and from stored states alone."""

import re
import shutil
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from pyspark.sql import SparkSession

import logloss_spark as ls
from logloss_spark.app import cli
from logloss_spark.app.cli import main
from logloss_spark.app.reporting import toml_lines
from logloss_spark.errors import SpecError

DAYS = [f"2026-11-{day:02}" for day in range(1, 5)]

GATE = '[gate]\nmin_rows = 10\n[[gate.rule]]\nname = "bounded"\nmetric = "log_loss"\nat_most = 0.01\n'

STORE = '[store]\npath = "{folder}/states"\nunit = ["day"]\n'


def write_days(folder: Path, days: list[str]) -> None:
    """Write the rows of days, each in a partition of its own."""
    for day in days:
        rng = np.random.default_rng(int(day[-2:]))
        p = rng.uniform(0.05, 0.95, 60)
        frame = pd.DataFrame({"y": (rng.random(60) < p).astype(int), "p": p, "country": ["de", "fr"] * 30})
        (folder / f"day={day}").mkdir(parents=True)
        frame.to_parquet(folder / f"day={day}" / "part.parquet")


@pytest.fixture
def run(tmp_path: Path, spark: SparkSession, capsys: pytest.CaptureFixture[str]) -> Callable[..., Any]:
    """How to run a command with a config; `titles` are those of the sections of the report, if there is one."""
    write_days(tmp_path / "rows", DAYS)

    def run(command: str, *arguments: object, more: str = "", report: str = "report.html") -> SimpleNamespace:
        (tmp_path / "job.toml").write_text(
            f'[input]\npath = "{tmp_path}/rows"\noptions = {{ "fs.secret.key" = "hush hush" }}\n'
            '[columns]\nlabel = "y"\nprediction = "p"\n[evaluate]\nby = [["country"]]\n'
            f'[output]\nreport = "{tmp_path}/{report}"\n{more.format(folder=tmp_path)}'
        )
        capsys.readouterr()
        code = main([command, "--config", str(tmp_path / "job.toml"), *map(str, arguments)])
        said = capsys.readouterr()
        file = tmp_path / report
        document = file.read_text() if file.exists() else ""
        titles = re.findall(r"<h2 [^>]*>(.*?)</h2>", document)
        return SimpleNamespace(code=code, out=said.out, err=said.err, document=document, titles=titles)

    return run


def numbers_of(document: str) -> list[str]:
    return re.findall(r'<span class="value">(.*?)</span>', document)


def test_an_evaluation_writes_its_report_and_its_state_alone_gives_the_same_numbers(
    run: Callable[..., Any], tmp_path: Path
) -> None:
    ran = run("evaluate", "--run-date", "2026-11-05", more='state = "{folder}/state"\n')
    assert (ran.code, ran.err) == (0, "")
    assert f"wrote report to {tmp_path}/report.html" in ran.out.splitlines()
    assert "hush" not in ran.document
    assert "--run-date 2026-11-05" in ran.document
    sections = ["Rows", "Reliability", "Slices", "Where the loss comes from", "How this was made"]
    assert ran.titles == sections
    shutil.rmtree(tmp_path / "rows")
    again = run("report", "--to", tmp_path / "again.html", more='state = "{folder}/state"\n', report="again.html")
    assert (again.code, again.err) == (0, "")
    assert again.titles == sections
    assert numbers_of(again.document) == numbers_of(ran.document)


@pytest.mark.slow
@pytest.mark.connect
def test_a_store_reports_the_last_day_its_gate_and_the_days_before(run: Callable[..., Any], tmp_path: Path) -> None:
    ran = run("evaluate", more=STORE + GATE)
    assert ran.code == 3
    assert ran.titles[:3] == ["Rows", "Gate", "Over time"]
    assert "<strong>Fail</strong>" in ran.document
    assert f'<p class="subject">{tmp_path}/states, 2026-11-04</p>' in ran.document
    assert "All 60 rows were scored." in ran.document
    assert "4 days, 2026-11-01 to 2026-11-04." in ran.document
    assert "No evidence that scores moved" in ran.document
    gain = r'<th scope="row">platt</th><td>-?0\.\d{5}</td><td>\[.*?\]</td><td>60</td><td>180</td>'
    assert re.search(gain, ran.document)
    shutil.rmtree(tmp_path / "rows")
    again = run("report", more=STORE + GATE)
    assert (again.code, again.err) == (0, "")
    assert again.titles == ran.titles
    assert numbers_of(again.document) == numbers_of(ran.document)
    twice = run("report", more=STORE + GATE)
    assert twice.document == again.document
    earlier = run("report", "--run-date", "2026-11-02", more=STORE)
    assert "2 days, 2026-11-01 to 2026-11-02." in earlier.document
    assert numbers_of(earlier.document) != numbers_of(ran.document)


@pytest.mark.slow
def test_a_run_that_stores_rows_without_a_day_alone_has_its_page_and_no_verdict(
    run: Callable[..., Any], tmp_path: Path
) -> None:
    store = f'{STORE}[prometheus]\nfolder = "{{folder}}"\n'
    assert run("evaluate", more=store).code == 0
    shutil.copytree(tmp_path / "rows" / f"day={DAYS[0]}", tmp_path / "rows" / "day=__HIVE_DEFAULT_PARTITION__")
    ran = run("evaluate", more=store + GATE)
    assert (ran.code, ran.err, "Gate" in ran.titles) == (0, "", False)
    assert "All 60 rows were scored." in ran.document


@pytest.mark.slow
def test_a_report_says_why_nothing_was_published_and_one_that_is_repeated_is_written_again(
    run: Callable[..., Any], tmp_path: Path
) -> None:
    gate = GATE.replace("[gate]", '[gate]\npublish = "passed"')
    ran = run("evaluate", more=STORE + gate)
    assert (ran.code, "Fail" in ran.document, (tmp_path / "states").exists()) == (3, True, False)
    assert "4 days, " in ran.document
    passes = GATE.replace("0.01", "9")
    assert run("evaluate", more=STORE + passes).code == 0
    (tmp_path / "report.html").unlink()
    repeated = run("evaluate", more=STORE + passes)
    assert (repeated.code, "<strong>Pass</strong>" in repeated.document) == (0, True)


def test_what_a_report_lacks_is_said_before_spark_starts(
    run: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cli, "running", None)
    assert "a report is written to a file, got none" in run("report", "--set", "output.report=").err
    assert "--dry-run and --full are about the units of a store" in run("evaluate", "--full").err
    assert "metrics are read off states, got none" in run("metrics").err
    monkeypatch.setitem(sys.modules, "jinja2", None)
    for command in ("evaluate", "report"):
        ran = run(command, more='state = "{folder}/state"\n')
        said = "logloss-spark: error: reports need the package jinja2: pip install jinja2 matplotlib\n"
        assert (ran.code, ran.err) == (2, said)


def test_a_report_that_cannot_be_made_is_one_line(run: Callable[..., Any], tmp_path: Path) -> None:
    nothing = run("report", "--set", "output.report=")
    assert (nothing.code, nothing.err) == (
        2,
        "logloss-spark: error: a report is written to a file, got none: give --to FILE, or set `report` in [output]\n",
    )
    no_state = run("report")
    assert (no_state.code, no_state.err) == (
        2,
        "logloss-spark: error: a report is on stored states, got none: name some, or a [store] in the config\n",
    )
    (tmp_path / "folder").mkdir()
    folder = run("evaluate", "--set", f"output.report={tmp_path}/folder")
    assert folder.code == 2
    assert folder.err.startswith(f"logloss-spark: error: the report cannot be written to {tmp_path}/folder: ")


@pytest.mark.slow
def test_an_evaluation_gives_the_same_bytes_twice(spark: SparkSession, tmp_path: Path) -> None:
    rows = [("2026-11-01", 1, 0.9), ("2026-11-02", 0, 0.2), ("2026-11-02", None, 0.5)]
    df = spark.createDataFrame(rows, "day string, label int, p double")
    for name in ("first", "second"):
        with ls.evaluate(df, label="label", prediction="p", by="day", eps=1e-9) as evaluation:
            state = evaluation.state
            moved = ls.drift(state.where("day = '2026-11-01'"), state.where("day = '2026-11-02'"))
            evaluation.to_html(f"{tmp_path}/{name}.html", moved)
    said = "a report also shows a Drift, a Comparison, a Calibrator or a LogisticModel, got a builtins str"
    with pytest.raises(SpecError, match=said):
        evaluation.to_html(f"{tmp_path}/{name}.html", "moved")  # type: ignore[arg-type]
    document = (tmp_path / "first.html").read_text()
    assert (tmp_path / "second.html").read_text() == document
    assert "eps=1e-09," in document
    assert "2 days, 2026-11-01 to 2026-11-02." in document
    assert '<td class="words">no evidence</td>' in document


def test_a_config_is_shown_as_the_toml_that_it_is() -> None:
    config = {"input": {"path": 'a "b"\n', "options": {"user": "me", "a key": "x"}, "n": 3, "share": 0.5, "on": True}}
    config |= {"gate": {"min_rows": 9, "rule": [{"name": "é", "slices": ["all", "a=*"]}, {"name": "b"}]}}
    assert tomllib.loads("\n".join(toml_lines(config))) == config


def test_forecasts_of_several_classes_have_pages(spark: SparkSession, tmp_path: Path) -> None:
    rows = [(i % 3, [0.5, 0.3, 0.2], f"<b>{i % 2}") for i in range(120)]
    df = spark.createDataFrame(rows, "label int, p array<double>, side string")
    path = tmp_path / "page.html"
    with ls.evaluate(df, label="label", prediction="p", by="side", classes=(0, 1, 2)) as evaluation:
        evaluation.to_html(str(path))
    document = path.read_text()
    titles = re.findall(r"<h2 [^>]*>(.*?)</h2>", document)
    assert titles == ["Rows", "Reliability", "Slices", "Classes", "How this was made"]
    assert re.findall(r'<span class="name">(.*?)</span>', document)[1:] == [
        "normalized entropy [95% interval]",
        "brier [95% interval]",
    ]


@pytest.mark.slow
def test_other_losses_have_pages(spark: SparkSession, tmp_path: Path) -> None:
    rows = [(0.1 + 0.2 * (i % 4), i % 2, f"<b>{i % 2}") for i in range(120)]
    df = spark.createDataFrame(rows, "q double, happened int, side string")
    path = tmp_path / "page.html"
    with ls.evaluate(df, label="happened", prediction="q", by="side", loss="hinge") as evaluation:
        evaluation.to_html(str(path))
    document = path.read_text()
    titles = re.findall(r"<h2 [^>]*>(.*?)</h2>", document)
    assert titles == ["Rows", "Reliability", "Slices", "How this was made"]
    assert "loss=&#39;hinge&#39;," in document
    assert "mean loss of a row" in document
