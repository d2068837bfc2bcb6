"""Labels that arrive late: rows without one are `unlabelled`, and a unit is looked at again as it grows older."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest
from pyspark.sql import SparkSession

import logloss_spark as ls
from logloss_spark.app.cli import main
from logloss_spark.app.config import read_config
from logloss_spark.app.evaluating import EvaluateConfig
from logloss_spark.app.labels import Labels, ages

PREDICTIONS = pd.DataFrame(
    {
        "dt": ["2026-11-01"] * 4 + ["2026-11-02"] * 4,
        "id": [1, 2, 3, 4, 5, 6, 7, 8],
        "made": ["2026-11-01 06:00:00"] * 4 + ["2026-11-02 06:00:00"] * 4,
        "p": [0.9, 0.8, 0.3, 0.2, 0.7, 0.6, 0.5, 0.1],
    }
)
LABELS = [  # id, label, when it arrived
    (1, 1, "2026-11-01 09:00:00"),
    (2, 0, "2026-11-02 09:00:00"),
    (3, None, "2026-11-02 10:00:00"),
    (4, 0, "2026-11-09 09:00:00"),
    (5, 1, "2026-11-02 09:00:00"),
    (99, 1, "2026-11-02 09:00:00"),  # of no prediction
]


@pytest.fixture
def run(tmp_path: Path, spark: SparkSession, capsys: pytest.CaptureFixture[str]) -> Callable[..., SimpleNamespace]:
    """How to evaluate with labels of their own; `labels` replaces them by those that have arrived until a day."""
    for day, rows in PREDICTIONS.groupby("dt"):
        (tmp_path / "predictions" / f"dt={day}").mkdir(parents=True)
        rows.drop(columns="dt").to_parquet(tmp_path / "predictions" / f"dt={day}" / "part.parquet")
    (tmp_path / "labels").mkdir()
    config = tmp_path / "daily.toml"
    config.write_text(
        f'[input]\npath = "{tmp_path}/predictions"\nschema = {{ dt = "date" }}\n'
        '[columns]\nlabel = "y"\nprediction = "p"\n'
        f'[labels]\npath = "{tmp_path}/labels"\non = ["id"]\n'
        f'[store]\npath = "{tmp_path}/states"\nunit = ["dt"]\n'
    )

    def run(day: str, *arguments: object, labels: list[tuple[int, int | None, str]] | None = None) -> SimpleNamespace:
        arrived = [label for label in LABELS if label[2] < f"{day} 24"] if labels is None else labels
        table = pd.DataFrame(arrived, columns=["id", "y", "arrived"]).astype({"y": "Int32"})
        table.to_parquet(tmp_path / "labels" / "part.parquet")
        capsys.readouterr()
        code = main(["evaluate", "--config", str(config), "--json", "--run-date", day, *map(str, arguments)])
        said = capsys.readouterr()
        return SimpleNamespace(code=code, err=said.err, said=json.loads(said.out) if said.out else None)

    return run


def due_in(ran: SimpleNamespace) -> dict[str, str]:
    return {due["unit"]["dt"]: due["reason"] for due in ran.said["details"]["due"]}


def test_days_are_looked_at_again_as_their_labels_arrive(run: Callable[..., SimpleNamespace], tmp_path: Path) -> None:
    def stored() -> dict[str, tuple[int | float, ...]]:
        table = ls.Store(str(tmp_path / "states")).metrics().toPandas().set_index("slice").sort_index()
        columns = ["age", "maturity", "rows", "unlabelled", "null_label", "n"]
        return {name.removeprefix("dt=2026-11-"): tuple(row) for name, row in table[columns].iterrows()}

    ran = run("2026-11-02")
    assert (ran.code, ran.err, due_in(ran)) == (0, "", {"2026-11-01": "new", "2026-11-02": "new"})
    assert stored() == {"01": (1, 0.75, 4, 1, 1, 2), "02": (0, 0.25, 4, 3, 0, 1)}
    assert due_in(run("2026-11-02")) == {}
    assert due_in(run("2026-11-03", "--dry-run")) == {"2026-11-02": "labels"}  # the first day has reached no new age
    assert due_in(run("2026-11-09")) == {"2026-11-01": "labels", "2026-11-02": "labels"}
    assert stored() == {"01": (7, 1.0, 4, 0, 1, 3), "02": (7, 0.25, 4, 3, 0, 1)}
    assert due_in(run("2026-12-24")) == {}  # both are closed
    window = ("--set", "labels.arrived=arrived", "--set", "labels.predicted=made")
    assert set(due_in(run("2026-12-24", *window)).values()) == {"another config"}
    assert stored()["01"] == (7, 0.75, 4, 1, 1, 2)  # a label came on the ninth, after the window


@pytest.mark.slow
def test_a_report_marks_days_whose_labels_may_still_come(run: Callable[..., SimpleNamespace], tmp_path: Path) -> None:
    ran = run("2026-11-02", "--set", f"output.report={tmp_path}/report.html")
    assert (ran.code, ran.err) == (0, "")
    document = (tmp_path / "report.html").read_text()
    assert "Labels may still come for 2 days, the hollow ones: " in document
    cells = re.findall(r'<th scope="row">2026-11-0\d</th><td.*?</tr>', document)
    assert [re.sub("<.*?>", " ", row).split() for row in cells] == [
        ["2026-11-02", "0", "of", "7", "25.0%", "1"], ["2026-11-01", "1", "of", "7", "75.0%", "2"],
    ]  # fmt: skip
    config = ["--config", str(tmp_path / "daily.toml"), "--to", f"{tmp_path}/again.html"]
    assert main(["report", *config]) == 0
    assert "Labels may still come for 2 days" in (tmp_path / "again.html").read_text()


def test_two_labels_for_a_key_are_an_error_that_names_it(run: Callable[..., SimpleNamespace]) -> None:
    ran = run("2026-11-02", labels=[*LABELS, (2, 1, "2026-11-03")])
    assert ran.code == 4
    assert ran.err == (
        "logloss-spark: error: a key must have one label, got 2 for id=2: correct the labels, or set a condition in "
        "[labels] where\n"
    )


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ("labels.on=[]", "[labels] on must name a column that both tables have, got none"),
        ("labels.on=['nr']", "and the predictions have no 'nr'; it has: id, made"),
        ("labels.revisit=[0,3,1]", "revisit must be ages in days that rise from 0, got [0, 3, 1]"),
        ("labels.window=3", "window must not end before the last age in revisit, got 3 and 7"),
        ("labels.arrived=arrived", "arrived and predicted belong together"),
        ("columns.label=late", "and the labels have no 'late'"),
    ],
)
def test_what_is_wrong_in_the_section_is_said(run: Callable[..., SimpleNamespace], change: str, error: str) -> None:
    ran = run("2026-11-02", "--set", change)
    assert ran.code == 2
    assert error.casefold() in ran.err.casefold()
    assert ran.err.count("\n") == 1


def test_a_store_keeps_what_a_gate_compares_with(tmp_path: Path) -> None:
    config = tmp_path / "evaluate.toml"
    rest = (
        '[input]\npath = "p"\n[columns]\nlabel = "y"\nprediction = "p"\n[store]\npath = "s"\nunit = ["dt"]\n'
        '[gate]\n[[gate.rule]]\nname = "no worse"\nmetric = "log_loss"\nagainst = { days = 28 }\nrise_at_most = 0.1\n'
    )
    config.write_text(f'{rest}[labels]\npath = "l"\non = ["id"]\n')
    read_config(str(config), of=EvaluateConfig, overrides=["store.keep_days=28"])
    said = (
        r"\[store\] keep_days must be at least the 28 days that rule 'no worse' compares with, .*, got 27\.5: "
        "set keep_days = 28"
    )
    with pytest.raises(ls.SpecError, match=said):
        read_config(str(config), of=EvaluateConfig, overrides=["store.keep_days=27.5"])
    config.write_text(rest)  # without labels that come late nothing is compared that was replaced
    read_config(str(config), of=EvaluateConfig, overrides=["store.keep_days=1"])


def test_an_age_is_the_last_step_that_a_unit_has_reached() -> None:
    age_of = ages(Labels(path="labels", on=["id"]), ["dt"], "2026-11-10")
    days = {"2026-11-11": 0, "2026-11-10": 0, "2026-11-09": 1, "2026-11-08": 1, "2026-11-07": 3, "2026-11-02": 7}
    assert {day: age_of((day, "us")) for day in days} == days
    with pytest.raises(ls.SpecError, match="units whose first column is a day as 2026-01-31, got dt=monday"):
        age_of(("monday",))
