"""The command `compare` on real files."""

import re
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from pyspark.sql import SparkSession

import logloss_spark as ls
from logloss_spark.app.cli import main
from logloss_spark.app.commands.compare import CompareConfig
from logloss_spark.app.config import read_config
from logloss_spark.errors import SpecError

ROOT = Path(__file__).parents[2]
ROWS = 400


@pytest.fixture
def job(tmp_path: Path, spark: SparkSession, capsys: pytest.CaptureFixture[str]) -> Callable[..., SimpleNamespace]:
    """Rows of two sides that two models forecast, one of them better, a label missing; and how to compare them."""
    rng = np.random.default_rng(5)
    p = rng.random(ROWS)
    wide = pd.DataFrame({"row": np.arange(ROWS), "y": rng.random(ROWS) < p, "side": np.where(p < 0.5, "low", "high")})
    wide = wide.assign(y=wide.y.astype("Int64").mask(wide.row == 0), blunt=np.full(ROWS, 0.5), sharp=p)
    long = wide.melt(["row", "y", "side"], ["blunt", "sharp"], "model", "p")
    for name, frame in {"wide": wide, "long": long}.items():
        (tmp_path / name).mkdir()
        frame.to_parquet(tmp_path / name / "part.parquet")

    def config(models: str) -> Path:
        file = tmp_path / "compare.toml"
        file.write_text(
            f'[input]\npath = "{tmp_path}/wide"\n{models}\n[columns]\nlabel = "y"\n'
            f'[compare]\nbaseline = "blunt"\nby = [["side"]]\n'
            f'[output]\nmetrics = "{tmp_path}/out/metrics"\nstate = "{tmp_path}/out/state"\n'
        )
        return file

    def run(*overrides: str, models: str = '[models]\nblunt = "blunt"\nsharp = "sharp"') -> SimpleNamespace:
        sets = [word for override in overrides for word in ("--set", override.format(folder=tmp_path))]
        capsys.readouterr()
        code = main(["compare", "--config", str(config(models)), *sets])
        said = capsys.readouterr()
        return SimpleNamespace(code=code, out=said.out, err=said.err, out_folder=tmp_path / "out", folder=tmp_path)

    return run


def test_a_comparison_says_where_the_challenger_is_better_and_is_written(
    job: Callable[..., SimpleNamespace], spark: SparkSession
) -> None:
    ran = job("compare.engine=native", "output.report={folder}/report.html")
    assert (ran.code, ran.err) == (0, "")
    lines = ran.out.splitlines()
    assert lines[0].startswith("sharp compared with blunt on ")
    assert f" in {ran.folder}/wide" in lines[0]
    assert {line.split()[0]: line.split()[-1] for line in lines[3:6]} == dict.fromkeys(
        ["all", "side=high", "side=low"], "better"
    )
    assert lines[6] == "largest difference first"
    assert lines[7].startswith("sharp is better than blunt: difference -0.")
    assert lines[8].startswith("sharp by side: better on 2 of 2 (side=")
    assert lines[9:] == [
        "1 row of 400 not scored by all models: null_label 1",
        f"read 400 rows of {ran.folder}/wide, compared 399",
        "engine native: it was asked for",
        f"wrote metrics to {ran.out_folder}/metrics",
        f"wrote state to {ran.out_folder}/state",
        f"wrote report to {ran.folder}/report.html",
    ]
    document = (ran.folder / "report.html").read_text()
    assert re.findall(r"<h2 [^>]*>(.*?)</h2>", document) == ["Rows", "Comparison", "How this was made"]
    assert "<strong>Better</strong> The log loss of sharp is below that of blunt." in document
    assert "399 of 400 rows were compared; 0.25% were not:" in document
    assert "$ logloss-spark compare --config " in document
    written = spark.read.parquet(str(ran.out_folder / "metrics"))
    assert {row["slice"]: row.verdict for row in written.collect()} == dict.fromkeys(
        ["all", "side=high", "side=low"], "better"
    )
    again = ls.read_state(str(ran.out_folder / "state")).comparison().first()
    assert again is not None
    # 1e-12 relative: sums are added in another order.
    assert again.difference == pytest.approx(written.where("slice = 'all'").first().difference, rel=1e-12)


@pytest.mark.slow
@pytest.mark.connect
def test_a_long_table_is_compared_by_its_keys(job: Callable[..., SimpleNamespace]) -> None:
    asked = ["columns.prediction=p", "columns.model=model", 'columns.keys=["row"]', "input.path={folder}/long"]
    ran = job(*asked, models="")
    assert (ran.code, ran.err) == (0, "")
    assert "sharp by side: better on 2 of 2 (side=" in ran.out
    repeated = job(*asked, 'columns.keys=["side"]', "output.mode=overwrite", models="")
    assert repeated.code == 4
    assert "a key must have one row of each model, got several for 2 of 2 keys, such as side = high" in repeated.err


def test_a_job_compares_each_challenger_on_the_rows_that_it_shares_with_the_baseline(
    job: Callable[..., SimpleNamespace], spark: SparkSession, tmp_path: Path
) -> None:
    wide = pd.read_parquet(tmp_path / "wide")
    never = pd.Series(np.nan, index=wide.index)
    (tmp_path / "partly").mkdir()
    wide.assign(late=wide.sharp.where(wide.row >= 300), never=never).to_parquet(tmp_path / "partly" / "part.parquet")
    asked = ["input.path={folder}/partly", 'compare.rows="shared"', "compare.by=[]"]
    ran = job(*asked, models='[models]\nblunt = "blunt"\nsharp = "sharp"\nlate = "late"\nnever = "never"')
    assert (ran.code, ran.err) == (0, "")
    lines = ran.out.splitlines()
    assert ", each on the rows that both score" in lines[0]
    assert "no row of positive weight is scored by blunt and never alike" in lines
    assert lines[-7:-4] == [
        "300 rows of 400 not scored by both blunt and late: null_prediction 299, null_label 1",
        "400 rows of 400 not scored by both blunt and never: null_prediction 399, null_label 1",
        "1 row of 400 not scored by both blunt and sharp: null_label 1",
    ]
    assert lines[-4] == f"read 400 rows of {ran.folder}/partly, compared 499 pairs of a row and a challenger"
    written = {row.challenger: row.n for row in spark.read.parquet(str(ran.out_folder / "metrics")).collect()}
    assert written == {"late": 100, "never": 0, "sharp": 399}
    none = job(*asked, "output.mode=overwrite", models='[models]\nblunt = "blunt"\nnever = "never"')
    assert (none.code, none.err.count("\n")) == (4, 1)
    assert "none of 400 pairs of a row and a challenger can be scored: null_prediction 399, null_label 1" in none.err


@pytest.mark.parametrize(
    ("override", "code", "line"),
    [
        (
            "models.dull=shrp",
            2,
            "prediction column 'shrp' is not in the table; it has: row, y, side, blunt, sharp. Did",
        ),
        ("models.dull=3", 2, "[models] dull must be a string or a list (each a string), got 3"),
        ("compare.baseline=blnt", 2, "baseline must be 'blunt' or 'sharp', got 'blnt'. Did you mean 'blunt'?"),
        ("compare.rows=share", 2, "[compare] rows must be 'all' or 'shared', got 'share'. Did you mean 'shared'?"),
        ("compare.base=blunt", 2, "unknown key 'base' in [compare]"),
        ("compare.on_invalid=quarantine", 2, "[compare] on_invalid must be 'count' or 'fail', got 'quarantine'"),
        ("columns.model=side", 2, "models must be given by predictions, a column for each, or in a long table by"),
        ("compare.on_invalid=fail", 4, "the share of invalid rows must be at most 0, got 1 of 400 rows: null_label 1"),
        ("output.state={folder}/wide/state", 2, "must not lie inside what is read"),
    ],
)
def test_what_cannot_be_compared_is_one_line_and_writes_nothing(
    job: Callable[..., SimpleNamespace], override: str, code: int, line: str
) -> None:
    ran = job(override)
    assert ran.code == code
    assert line in ran.err
    assert ran.err.count("\n") == 1
    assert ran.out == ""
    assert not ran.out_folder.exists()


def test_arrays_of_different_lengths_cannot_be_compared(job: Callable[..., SimpleNamespace], tmp_path: Path) -> None:
    (tmp_path / "arrays").mkdir()
    rows = {"y": [0, 1], "two": [[0.5, 0.5]] * 2, "three": [[0.2, 0.3, 0.5]] * 2}
    pd.DataFrame(rows).to_parquet(tmp_path / "arrays" / "part.parquet")
    models = '[models]\nblunt = "two"\nsharp = "three"'
    ran = job("input.path={folder}/arrays", "compare.by=[]", models=models)
    assert (ran.code, ran.out) == (4, "")
    assert "there are 2 classes (0, 1) but forecasts have these entries: sharp 3, blunt 2" in ran.err
    assert ran.err.count("\n") == 1
    assert not ran.out_folder.exists()


def test_the_example_in_conf_is_a_config() -> None:
    read = read_config(str(ROOT / "conf" / "compare.toml"), of=CompareConfig)
    assert read.contest.predictions == {"forecast": "probability", "fitted": "fitted"}
    assert read.roles.by == (("carrier",),)
    assert read.roles.cluster == "date"
    assert set(read.output.paths) == {"metrics", "state"}


def test_a_config_without_models_is_refused() -> None:
    with pytest.raises(SpecError, match="got both"):
        read_config(str(ROOT / "conf" / "compare.toml"), of=CompareConfig, overrides=["columns.model=m"])
