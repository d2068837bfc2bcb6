"""A path, or a list of paths, is a table; the engine that read it says so."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.sql import SparkSession

import logloss_spark as ls
from logloss_spark.errors import SpecError

ROLES = {"label": "label", "prediction": "p"}


@pytest.fixture
def days(tmp_path: Path) -> list[Path]:
    """A table of two days."""
    for day, p in ((1, 0.9), (2, 0.6)):
        (tmp_path / f"day={day}").mkdir()
        rows = pa.table({"label": [1, 0, None], "p": [p, 1 - p, 0.5], "other": [p, 0.5, 0.5]})
        pq.write_table(rows, tmp_path / f"day={day}" / "rows.parquet")
    return [tmp_path / f"day={day}" for day in (1, 2)]


@pytest.mark.connect
@pytest.mark.filterwarnings("ignore::logloss_spark.errors.InvalidRowsWarning")
def test_a_path_or_several_are_a_table_for_every_function(spark: SparkSession, days: list[Path]) -> None:
    whole = spark.read.parquet(str(days[0].parent))
    wanted = ls.log_loss(whole, **ROLES, engine="native")
    for paths in (str(days[0].parent), [str(day) for day in days]):
        assert ls.log_loss(paths, **ROLES) == wanted
    assert ls.evaluate(days[0].parent, **ROLES, by="day").to_pandas()["n"].tolist() == [4, 2, 2]
    models = {"a": "p", "b": "other"}
    assert ls.compare(days, label="label", predictions=models, baseline="a").to_pandas()["n"].tolist() == [4]
    assert len(ls.compare_losses(str(days[0]), **ROLES)) > 5


def test_the_engine_says_why_it_ran(spark: SparkSession, days: list[Path]) -> None:
    whole = spark.read.parquet(str(days[0].parent))
    with ls.evaluate(whole, **ROLES) as evaluation:
        assert str(evaluation.engine) == "arrow: the table is 2 files of Parquet"
    with ls.evaluate(whole.where("p > 0.5"), **ROLES) as evaluation:
        assert evaluation.engine.name == "native"
        assert "something was done to it" in evaluation.engine.because
    with pytest.raises(
        SpecError, match=r"^engine='arrow' reads the files of a table in the workers, and Spark .*: leave"
    ):
        _ = ls.evaluate(whole.where("p > 0.5"), **ROLES, engine="arrow").state


def test_a_loss_of_ones_own_runs_where_the_files_are_read(spark: SparkSession, days: list[Path]) -> None:
    def twice(y, p):  # type: ignore[no-untyped-def]
        return 2.0 * abs(y - p)

    with ls.evaluate(days[0], **ROLES, loss=twice) as evaluation:
        assert evaluation.engine.name == "arrow"
        assert evaluation.to_pandas()["loss"].iloc[0] == pytest.approx(0.2, rel=1e-15)
