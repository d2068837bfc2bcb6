"""Mornings with a gate, whose store is a table of Delta or Iceberg."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest
from pyspark.sql import SparkSession

import logloss_spark as ls
from logloss_spark.app.cli import main
from tests.app.test_gate import write_day

pytestmark = pytest.mark.lakes


@pytest.mark.parametrize("format_", ["delta", "iceberg"])
def test_a_day_is_judged_by_the_days_before_it_and_withheld_if_it_fails(
    spark: SparkSession, tmp_path: Path, capsys: pytest.CaptureFixture[str], format_: str
) -> None:
    store = str(tmp_path / "store") if format_ == "delta" else f"lake.stores.s{uuid4().hex}"
    (tmp_path / "daily.toml").write_text(
        f'[input]\npath = "{tmp_path}/days"\n[columns]\nlabel = "y"\nprediction = "p"\ncluster = "user"\n'
        f'[evaluate]\nby = [["country"]]\n[store]\npath = "{store}"\nformat = "{format_}"\nunit = ["dt"]\n'
        '[gate]\nmin_rows = 100\npublish = "passed"\n[[gate.rule]]\nname = "no worse"\nmetric = "log_loss"\n'
        'against = { days = 3, min_days = 2, only_passed = false }\nrise_at_most = "20%"\n'
    )

    def run(command: str, *arguments: str) -> Any:
        capsys.readouterr()
        code = main([command, "--config", f"{tmp_path}/daily.toml", "--json", *arguments])
        said = capsys.readouterr()
        return SimpleNamespace(code=code, err=said.err, document=json.loads(said.out) if said.out else None)

    for day in (1, 2, 3):
        write_day(tmp_path, day)
    first = run("evaluate")
    assert first.code == 0, first.err
    assert first.document["verdicts"][0]["baseline"]["to"] == "2026-11-02"  # a day that the same run stores
    write_day(tmp_path, 4, worse=5.0)
    spoilt = run("evaluate")
    assert (spoilt.code, spoilt.document["written"]) == (3, {})
    kept = ls.Store(store, format=format_)
    assert kept.runs()["verdict"].tolist() == ["pass"]
    write_day(tmp_path, 4)
    assert run("evaluate").code == 0
    judged = run("gate", "--run-date", "2026-11-04")
    assert (judged.code, judged.document["verdicts"][0]["baseline"]["states"]) == (0, 3)
    assert kept.runs()["verdict"].tolist() == ["pass", "pass"]
    assert set(kept.verdicts()["judged"]) == {f"2026-11-0{day}" for day in (1, 2, 3, 4)}
    if format_ == "iceberg":
        spark.sql(f"DROP TABLE {store}")
