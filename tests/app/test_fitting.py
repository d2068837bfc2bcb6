"""The commands `fit` and `score` on real files."""

import re
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from pyspark.sql import SparkSession

from logloss_spark import LogisticModel, SpecError
from logloss_spark.app.cli import main
from logloss_spark.app.commands.fit import FitConfig
from logloss_spark.app.commands.score import ScoreConfig
from logloss_spark.app.config import read_config
from tests.quick import slow

ROOT = Path(__file__).parents[2]
BEGUN = ("fit.solver=lbfgs", "fit.max_iter=0")
"""A fit that is over as soon as it has read its rows."""


@pytest.fixture
def job(tmp_path: Path, spark: SparkSession, capsys: pytest.CaptureFixture[str]) -> Callable[..., SimpleNamespace]:
    """Training rows of two months, two of them without a label, and how to run a command on them."""
    rng = np.random.default_rng(3)
    x = rng.normal(size=(400, 2))
    label = (x[:, 0] + rng.logistic(size=400) > 0).astype(float)
    label[:2] = np.nan
    frame = pd.DataFrame(x, columns=["a", "b"]).assign(y=pd.array(label).astype("Int64"), month=1 + np.arange(400) % 2)
    (tmp_path / "rows").mkdir()
    frame.to_parquet(tmp_path / "rows" / "part.parquet")
    config = tmp_path / "fit.toml"
    config.write_text(
        f'[input]\npath = "{tmp_path}/rows"\n[columns]\nfeatures = ["a", "b"]\nlabel = "y"\n'
        f'[output]\nmodel = "{tmp_path}/model"\n'
        f'[score]\npath = "{tmp_path}/rows"\noutput = "{tmp_path}/scored"\npartition_by = ["month"]\n'
    )

    def run(command: str, *overrides: str) -> SimpleNamespace:
        sets = [word for override in overrides for word in ("--set", override)]
        capsys.readouterr()
        code = main([command, "--config", str(config), *sets])
        said = capsys.readouterr()
        return SimpleNamespace(code=code, out=said.out, err=said.err, folder=tmp_path)

    return run


def test_a_model_is_fitted_written_and_scores_a_table(job, spark, tmp_path) -> None:
    fitted = job("fit", f"output.report={tmp_path}/report.html")
    assert fitted.code == 0, fitted.err
    told = [int(line.split()[1]) for line in fitted.err.splitlines() if line.startswith("iteration")]
    assert told == list(range(len(told)))
    assert "rows left out: null_label 2" in fitted.out
    assert "read 400 rows of" in fitted.out
    assert "fitted on 398" in fitted.out
    assert "workers read the rows from files (engine arrow: the table is 1 file of Parquet)" in fitted.out
    model = LogisticModel.load(str(fitted.folder / "model"))
    assert model.report.rows == 398
    document = (tmp_path / "report.html").read_text()
    assert f"wrote report to {tmp_path}/report.html" in fitted.out.splitlines()
    assert re.findall(r"<h2 [^>]*>(.*?)</h2>", document) == ["Rows", "Fit", "How this was made"]
    assert "<strong>Converged</strong> " in document
    assert "398 of 400 rows were valid; 0.50% were not:" in document

    scored = job("score")
    assert scored.code == 0, scored.err
    table = spark.read.parquet(str(scored.folder / "scored"))
    assert {folder.name for folder in (scored.folder / "scored").glob("month=*")} == {"month=1", "month=2"}
    rows = table.toPandas()
    z = rows[["a", "b"]].to_numpy() @ model.coefficients[0] + model.intercepts[0]
    np.testing.assert_allclose(rows["logit"], z, rtol=1e-12)
    np.testing.assert_allclose(rows["probability"], 1 / (1 + np.exp(-z)), rtol=1e-12)


@pytest.mark.slow
def test_a_filter_on_partitions_leaves_files_and_one_on_rows_does_not(job, spark, tmp_path) -> None:
    spark.read.parquet(str(tmp_path / "rows")).write.partitionBy("month").parquet(str(tmp_path / "parts"))
    path = f"input.path={tmp_path}/parts"
    said = {
        "month = 1": "read 200 rows of {0}, fitted on 199\nworkers read the rows from files (engine arrow",
        "month = 1 AND a < 9": "Spark read the rows (engine native: its condition asks for more than",
    }
    for where, line in said.items():
        fitted = job("fit", path, f"input.where={where}", "output.mode=overwrite")
        assert fitted.code == 0, fitted.err
        assert line.format(tmp_path / "parts") in fitted.out
    renamed = ('columns.rename={ month = "season" }', 'columns.features=["a", "season"]', "input.where=month < 3")
    assert "and its columns are renamed" in job("fit", path, "output.mode=overwrite", *renamed).out


def test_invalid_rows_are_quarantined_with_their_reason(job, spark, tmp_path) -> None:
    done = job("fit", *BEGUN, f"output.invalid={tmp_path}/unfit", "fit.on_invalid=quarantine")
    assert done.code == 0, done.err
    rows = spark.read.parquet(str(tmp_path / "unfit")).toPandas()
    assert list(rows.columns) == ["a", "b", "y", "month", "row_status"]
    assert rows["row_status"].tolist() == ["null_label", "null_label"]


@pytest.mark.parametrize(
    ("command", "override", "code", "says"),
    [
        ("fit", "columns.label=yy", 2, "label column 'yy' is not in the table; it has: a, b, y, month. Did you"),
        ("fit", "fit.solver=sgd", 2, "[fit] solver must be 'gd', 'lbfgs' or 'newton', got 'sgd'"),
        ("fit", "fit.reg_parm=1.0", 2, "unknown key 'reg_parm' in [fit]"),
        ("fit", "input.path=/no/such/rows", 5, "and /no/such/rows does not"),
        ("fit", "input.where=month = 3", 5, "rows has none for which month = 3: run again when they are there"),
        slow(("fit", "fit.on_invalid=fail", 4, "at most 0 (on_invalid = 'fail'), got 2 of 400 rows: ")),
        ("fit", "fit.on_invalid=quarantine", 2, "set `invalid` in [output]"),
        slow(("fit", "fit.classes=[0, 1, 2]", 4, "no row of positive weight has y = 2")),
        ("fit", 'fit.class_weight={"²"=1}', 2, "class_weight must name classes, got '²', which is none of"),
        ("score", "score.partition_by=[\"day\"]", 2, "partition_by must name columns of the table, got 'day'"),
        ("score", "output.model=/no/such/model", 5, "/no/such/model"),
    ],
)  # fmt: skip
def test_an_error_is_one_line_and_nothing_is_written(job, command, override, code, says) -> None:
    done = job(command, override)
    lines = [line for line in done.err.splitlines() if not line.startswith("iteration")]
    assert done.code == code, done.err
    assert len(lines) == 1
    assert says in lines[0]
    assert not (done.folder / "model").exists()
    assert not (done.folder / "scored").exists()


@pytest.mark.slow
def test_fit_and_score_rename_columns_alike_and_a_score_of_rows_that_are_late_ends_with_5(job, spark) -> None:
    renamed = ('columns.rename={ a = "weight" }', 'columns.features=["weight", "b"]')
    assert job("fit", *renamed).code == 0
    late = job("score", *renamed, "score.where=month = 3")
    assert late.code == 5
    assert "[score] must find rows, and" in late.err
    assert not (late.folder / "scored").exists()
    scored = job("score", *renamed)
    assert scored.code == 0, scored.err
    assert spark.read.parquet(str(scored.folder / "scored")).columns[:2] == ["weight", "b"]


def test_an_output_that_exists_is_refused_before_the_first_pass(job) -> None:
    assert job("fit", *BEGUN).code == 0
    again = job("fit", *BEGUN)
    assert again.code == 2
    assert "iteration" not in again.err
    assert job("fit", *BEGUN, "output.mode=overwrite").code == 0


@pytest.mark.parametrize(
    ("command", "override", "says"),
    [
        ("score", "score.output={folder}/model", "must not lie inside what is read, nor around it, and scored does"),
        slow(("score", "score.output={folder}", "must not lie inside what is read, nor around it, and scored does")),
        slow(
            (
                "fit",
                "fit.checkpoint={folder}/model/checkpoint",
                "must not lie inside each other, and model and checkpoint",
            )
        ),
        slow(
            ("fit", "fit.checkpoint={folder}/rows/x", "must not lie inside what is read, nor around it, and checkpoint")
        ),
    ],
)
def test_a_model_is_not_overwritten_by_what_is_made_of_it(job, command, override, says) -> None:
    done = job("fit", *BEGUN)
    before = sorted(done.folder.rglob("*"))
    refused = job(command, override.format(folder=done.folder), "output.mode=overwrite")
    assert refused.code == 2
    assert says in refused.err
    assert sorted(done.folder.rglob("*")) == before
    assert LogisticModel.load(str(done.folder / "model")).report.rows == 398


def test_a_fit_that_cannot_write_its_model_leaves_no_rows_either(job, monkeypatch, tmp_path) -> None:
    def lost(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("logloss_spark.io.writing.settle", lost)
    done = job("fit", *BEGUN, "fit.on_invalid=quarantine", f"output.invalid={tmp_path}/unfit")
    assert done.code == 1
    assert done.err.splitlines()[-1].endswith("; nothing was written; the old tables are whole")
    assert {path.name for path in done.folder.iterdir()} == {"rows", "fit.toml"}


def test_the_example_config_can_be_read_and_is_the_defaults() -> None:
    read = read_config(str(ROOT / "conf" / "fit.toml"), of=FitConfig)
    assert read.training.solver == "gd"
    scoring = read_config(str(ROOT / "conf" / "fit.toml"), of=ScoreConfig)
    assert (scoring.model, scoring.score.probability) == (read.output.model, "fitted")
    with pytest.raises(SpecError, match=r"unknown section \[evaluate\]"):
        read_config(str(ROOT / "conf" / "evaluate.toml"), of=FitConfig)
