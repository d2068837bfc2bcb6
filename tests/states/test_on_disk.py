"""Small states on this disk: they are read and checked on the driver, and are the states that Spark reads."""

import numpy as np
import pandas as pd
import pytest

import logloss_spark as ls
from logloss_spark.errors import DataError
from logloss_spark.states import on_disk, small
from logloss_spark.states.on_disk import state_on_disk
from logloss_spark.states.stored import examine


def predictions(rows=300):
    rng = np.random.default_rng(5)
    p, q = rng.dirichlet([1.0, 2.0, 3.0], rows), rng.random(rows)
    day = pd.to_datetime("2026-01-01") + pd.to_timedelta(rng.integers(0, 3, rows), "D")
    return pd.DataFrame(
        {
            "y": (rng.random(rows) < q).astype("int32"),
            "k": rng.integers(0, 3, rows).astype("int32"),
            "p": q,
            "r": 0.1 + 0.8 * q,
            "of_class": p.tolist(),
            "user": rng.integers(0, 50, rows),
            "day": day.date,
            "time": day,
            "score": rng.choice([0.0, -0.0, 0.5, np.nan], rows),
            "country": rng.choice(["de", None, "null", "a/b=c"], rows).tolist(),
        }
    )


EVALUATED = {
    "binary": lambda df: ls.evaluate(df, "y", "p", by=[["day", "country"]]),
    "classes and clusters": lambda df: ls.evaluate(df, "k", "of_class", classes=[0, 1, 2], cluster="user", by="score"),
    "a comparison": lambda df: ls.compare(
        df, label="y", predictions={"one": "p", "two": "r"}, baseline="one", by="time"
    ),
}


@pytest.fixture(scope="module", params=EVALUATED)
def path(spark, tmp_path_factory, request):
    """Where a state is saved."""
    place = str(tmp_path_factory.mktemp("states") / "state")
    with EVALUATED[request.param](spark.createDataFrame(predictions())) as evaluation:
        evaluation.state.save(place)
    return place


def rows_of(checked):
    return sorted(map(str, checked.table.collect()))


def test_a_small_state_on_this_disk_is_the_one_that_spark_reads(spark, path):
    here, read = state_on_disk(spark, path), examine([spark.read.parquet(path)])[0]
    assert here is not None
    assert here.local is not None
    assert here.conventions == read.conventions
    assert here.sources == read.sources
    assert here.slice_types == read.slice_types
    assert rows_of(here) == rows_of(read)


def test_parts_that_nobody_needs_are_neither_read_nor_checked(spark, path):
    whole, less = state_on_disk(spark, path), state_on_disk(spark, path, ("cell", "bucket"))
    parts = [set(state.local.rows["part"].to_pylist()) for state in (whole, less)]
    assert parts[1] == parts[0] - {"cell", "bucket"}


@pytest.fixture(scope="module")
def binary(spark, tmp_path_factory):
    place = tmp_path_factory.mktemp("states") / "state"
    with ls.evaluate(spark.createDataFrame(predictions(20)), "y", "p", by="day") as evaluation:
        evaluation.state.save(str(place))
    return place


def test_a_state_that_is_large_is_left_to_spark(spark, binary, monkeypatch):
    monkeypatch.setattr(on_disk, "SMALL_STATE", 5)
    assert state_on_disk(spark, str(binary)) is None
    monkeypatch.undo()
    monkeypatch.setattr(small, "SMALL_STATE", 5)
    assert state_on_disk(spark, str(binary)) is None


def test_what_may_be_more_than_the_files_of_a_folder_is_left_to_spark(spark, binary, tmp_path):
    file = next(binary.glob("*.parquet"))
    (tmp_path / "links").mkdir()
    (tmp_path / "links" / "part.parquet").symlink_to(file)
    for name in ("_delta_log", "day=1"):
        (tmp_path / name / name).mkdir(parents=True)
        (tmp_path / name / "part.parquet").write_bytes(file.read_bytes())
    spark.range(3).write.parquet(str(tmp_path / "no state"))
    (tmp_path / "torn").mkdir()
    (tmp_path / "torn" / "part.parquet").write_bytes(file.read_bytes()[:-9])
    for place in ("links", "_delta_log", "day=1", "torn", "no state", "nothing"):
        assert state_on_disk(spark, str(tmp_path / place)) is None, place
    assert state_on_disk(spark, str(file)) is None


def test_a_file_that_is_missing_is_noticed(spark, binary, tmp_path):
    spark.read.parquet(str(binary)).repartition(2, "part").write.parquet(str(tmp_path / "state"))
    next((tmp_path / "state").glob("*.parquet")).unlink()
    with pytest.raises(DataError, match="the rows of a state must fit together"):
        state_on_disk(spark, str(tmp_path / "state"))


def test_states_on_the_driver_add_there(spark, binary, tmp_path):
    with ls.evaluate(spark.createDataFrame(predictions(30)), "y", "p", by="day") as evaluation:
        other = evaluation.state.persist()
        read = ls.State.from_checked(state_on_disk(spark, str(binary)))
        both, added = ls.merge(read, other), ls.merge(ls.read_state(str(binary)), other)
        assert both.checked.local is not None
        keys = both.checked.local.rows.select(["day", "part", "place"]).to_pandas()
        assert not keys.duplicated().any()
        here, there = (state.metrics(by="day").orderBy("slice").toPandas() for state in (both, added))
        pd.testing.assert_frame_equal(here, there, rtol=1e-12)
