"""A job that searches for bad slices: what it prints, its JSON, its report, and what a store keeps of it."""

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from pyspark.sql import SparkSession

from logloss_spark.app.cli import main

SEARCH = 'evaluate.search=["country", "device"]'


@pytest.fixture
def job(tmp_path: Path, spark: SparkSession, capsys: pytest.CaptureFixture[str]) -> SimpleNamespace:
    """Predictions of two days that are wrong for tv sets in one country, and how to evaluate them."""
    number = np.arange(2_000)
    rows = pd.DataFrame({"day": number % 2, "country": np.array(["de", "fr", "it"])[number % 3]})
    rows = rows.assign(device=np.array(["tv", "web"])[number % 7 % 2], y=(number % 5 == 0).astype(int))
    score, wrong = 0.1 + number % 11 / 40, (rows["country"] == "it") & (rows["device"] == "tv")
    for day, of_day in rows.assign(p=np.where(wrong, 0.9 - score, score)).groupby("day"):
        (tmp_path / "rows" / f"day={day}").mkdir(parents=True)
        of_day.drop(columns="day").to_parquet(tmp_path / "rows" / f"day={day}" / "part.parquet")
    config = tmp_path / "evaluate.toml"
    config.write_text(
        f'[input]\npath = "{tmp_path}/rows"\n[columns]\nlabel = "y"\nprediction = "p"\n[evaluate]\nby = "country"\n'
    )

    def run(*overrides: str, arguments: tuple[str, ...] = (), command: str = "evaluate") -> SimpleNamespace:
        sets = [word for override in overrides for word in ("--set", override)]
        capsys.readouterr()
        code = main([command, "--config", str(config), *sets, *arguments])
        said = capsys.readouterr()
        return SimpleNamespace(code=code, out=said.out, err=said.err)

    return SimpleNamespace(run=run, folder=tmp_path)


def test_a_search_is_printed_after_the_metrics_and_is_in_the_json_document(job: SimpleNamespace) -> None:
    told = job.run(SEARCH, f"output.worst_slices={job.folder}/worst", "output.mode=overwrite")
    lines = told.out.splitlines()
    assert told.code == 0
    assert [line.split()[0] for line in lines[3:7]] == ["all", "country=it", "country=de", "country=fr"]
    at = lines.index("slices that are worse than the rest, by country, device, up to 2 together")
    assert lines[at + 3].startswith("country=it/device=tv ")
    assert lines[at + 4].startswith("looked at 11 slices of 100 rows or more: ")
    document = json.loads(job.run(SEARCH, arguments=("--json",)).out)
    found = document["details"]["worst_slices"]
    assert [record["slice"] for record in found["slices"]] == ["country=it/device=tv"]
    assert found["looked_at"] == 11
    assert lines[at + 4] in document["remarks"]
    assert [record["slice"] for record in document["slices"]] == ["all", "country=it", "country=de", "country=fr"]
    written = pd.read_parquet(job.folder / "worst")
    assert f"wrote worst_slices to {job.folder}/worst" in lines
    assert written.to_dict("records") == [pytest.approx(record) for record in found["slices"]]
    nowhere = job.run(f"output.worst_slices={job.folder}/worst")
    assert (nowhere.code, "worst_slices in [output] needs columns to search, got none: " in nowhere.err) == (2, True)
    deeper = job.run(SEARCH, "evaluate.search_depth=1", "evaluate.search_min_rows=800")
    assert "looked at 2 slices of 800 rows or more" in deeper.out


def test_a_report_and_each_run_of_a_store_have_a_search(job: SimpleNamespace, spark: SparkSession) -> None:
    pytest.importorskip("matplotlib")
    pytest.importorskip("jinja2")
    report = job.folder / "report.html"
    store = [f"store.path={job.folder}/store", 'store.unit=["day"]', f"output.report={report}"]
    told = job.run(SEARCH, *store)
    assert told.code == 0
    assert "country=it/device=tv" in told.out
    assert "Slices that are worse than the rest" in report.read_text(encoding="utf-8").replace("<wbr>", "")
    assert "country=it/device=tv" in report.read_text(encoding="utf-8").replace("<wbr>", "")
    again = job.run(SEARCH, *store)
    assert "nothing is due" in again.out
    report.unlink()
    metrics = job.run(SEARCH, *store[:2], command="metrics")
    assert (metrics.code, metrics.err, "country=it/device=tv" in metrics.out) == (0, "", True)
    assert job.run(SEARCH, *store, command="report").code == 0
    assert "country=it/device=tv" in report.read_text(encoding="utf-8").replace("<wbr>", "")


def test_a_search_that_cannot_be_is_one_line(job: SimpleNamespace) -> None:
    for wrong, error in (
        ('evaluate.search=["contry"]', "slice column 'contry' is not in the table"),
        ("evaluate.search_depth=0", "search_depth must be a whole number of 1 or more, got 0"),
        ('evaluate.search=["day", "day"]', "search must be distinct, got 'day' twice"),
    ):
        told = job.run(wrong)
        assert (told.code, told.err.count("\n")) == (2, 1)
        assert error in told.err
