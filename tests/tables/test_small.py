"""Small states are computed on the driver, large ones in Spark: both ways give the same tables, and a look is free."""

import datetime as dt
import decimal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from py4j.clientserver import ClientServerConnection
from pyspark.sql import DataFrame, Row, SparkSession

import logloss_spark as ls
from logloss_spark.states import small
from tests.conftest import MODE
from tests.quick import quick, slow
from tests.same import assert_same_metrics

ROWS = 400


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    """Rows with two binary forecasts, one of three classes, and weights, users and slices."""
    rng = np.random.default_rng(13)
    z = rng.normal(size=ROWS)
    p = 1 / (1 + np.exp(-z))
    y = (rng.random(ROWS) < p).astype(float)
    made = pd.DataFrame(
        {
            "y": np.where(rng.random(ROWS) < 0.02, np.nan, y),
            "p": np.where(rng.random(ROWS) < 0.05, 1 - y, p),
            "q": 1 / (1 + np.exp(-z - rng.normal(size=ROWS) / 3)),
            "r": np.where(rng.random(ROWS) < 0.1, np.nan, p),
            "soft": np.clip(p + rng.normal(size=ROWS) / 20, 0, 1),
            "w": rng.exponential(size=ROWS),
            "user": rng.integers(0, 90, ROWS),
            "day": rng.choice([dt.date(2026, 1, 1), dt.date(2026, 1, 2), None], ROWS),
            "segment": rng.choice(["a", "b", "null", "é", None], ROWS),
        }
    )
    others = 1 - made["p"]
    several = np.stack([made["p"], others * 0.75, others * 0.25], axis=1).tolist()
    class_ = pd.Series(np.where(made["y"] == 1, 0, np.where(made["user"] % 3 == 0, 2, 1)), dtype="Int64")
    return made.assign(several=several, **{"class": class_.where(made["y"].notna())})


@pytest.fixture(scope="module")
def table(spark: SparkSession, frame: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> DataFrame:
    return spark.read.parquet(stored(frame, tmp_path_factory.mktemp("table")))


def stored(frame: pd.DataFrame, folder: Path) -> str:
    """Write rows as a file; NaN is null there."""
    frame.to_parquet(folder / "table.parquet")
    return str(folder)


@pytest.fixture
def both_ways(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], Any]], Iterator[Any]]:
    """What a function returns where states stay in Spark, and where they come to the driver."""

    def run(compute: Callable[[], Any]) -> Iterator[Any]:
        for most in (0, small.SMALL_STATE):
            with monkeypatch.context() as patched:
                patched.setattr(small, "SMALL_STATE", most)
                yield compute()

    return run


def assert_same_tables(in_spark: pd.DataFrame, here: pd.DataFrame, keys: list[str]) -> None:
    """The same columns of the same types, and the same rows in any order, up to the order in which sums are added."""
    one, other = (table.sort_values(keys, ignore_index=True) for table in (in_spark, here))
    pd.testing.assert_frame_equal(one, other, rtol=1e-12, atol=1e-12)


EVALUATIONS: dict[str, dict[str, Any]] = {
    "binary": {"label": "y", "prediction": "p", "weight": "w"},
    "clustered": {"label": "y", "prediction": "p", "weight": "w", "cluster": "user", "auc": "cells"},
    "shares": {"label": "soft", "prediction": "q", "soft_labels": True},
    "classes": {"label": "class", "prediction": "several", "weight": "w", "cluster": "user", "classes": (0, 1, 2)},
    "other loss": {"label": "y", "prediction": "p", "loss": "focal", "engine": "pandas"},
}


@pytest.mark.parametrize("name", quick(EVALUATIONS, "binary"))
def test_an_evaluation_is_the_same_on_the_driver_and_in_spark(table, both_ways, name):
    def tables() -> list[Any]:
        given = {"by": [["segment"], ["day", "segment"]], "engine": "native"} | EVALUATIONS[name]
        with ls.evaluate(table, **given) as evaluation:
            beside = [(table.dtypes, table.toPandas()) for table in (evaluation.reliability, evaluation.by_class)]
            held = evaluation.state.checked.local is not None
            return [held, evaluation.counts, evaluation.metrics.dtypes, evaluation.to_pandas(), beside]

    found = both_ways(tables)
    (was_held, counts, metrics, collected, in_spark), (is_held, same_counts, same_metrics, same_collected, here) = found
    assert (was_held, is_held) == (False, True)
    assert (counts, metrics) == (same_counts, same_metrics)
    assert counts["ok"] > ROWS / 2
    assert_same_metrics(same_collected, collected)
    assert same_collected["slice"].tolist() == collected["slice"].tolist()
    assert same_collected.dtypes.equals(collected.dtypes)
    for (types, one), (same_types, other) in zip(in_spark, here, strict=True):
        assert types == same_types
        assert_same_tables(one, other, ["grouping_id", "slice", "bin" if "bin" in one else "class"])
    for exact in ("log_loss", "brier", "label_mean", "prediction_mean"):
        if exact in collected and collected[exact].dtype == float:
            assert collected[exact].equals(same_collected[exact]), exact


@pytest.mark.parametrize(("rows", "cluster"), quick([("all", None), ("shared", "user")], ("shared", "user")))
def test_a_comparison_is_the_same_on_the_driver_and_in_spark(table, both_ways, rows, cluster):
    def tables() -> list[Any]:
        models = {"a": "p", "b": "q", "c": "r"}
        with ls.compare(
            table,
            label="y",
            predictions=models,
            baseline="a",
            rows=rows,
            cluster=cluster,
            weight="w",
            by=[["segment"]],
            engine="native",
        ) as comparison:
            return [comparison.metrics.dtypes, comparison.to_pandas()]

    (types, collected), (same_types, same_collected) = both_ways(tables)
    assert types == same_types
    assert_same_tables(collected, same_collected, ["grouping_id", "slice", "challenger"])
    for exact in ("baseline_log_loss", "challenger_log_loss"):
        assert collected[exact].equals(same_collected[exact])


def as_dict(bin_: Any) -> dict[str, Any]:
    """A struct as `toPandas` returns it: a Row if Spark 4.0 collects it without Arrow, else a dict."""
    return bin_.asDict() if isinstance(bin_, Row) else bin_


@pytest.mark.parametrize(
    ("name", "partition"),
    quick([("binary", None), ("clustered", "day"), ("classes", None)], ("binary", None)),
)
def test_a_drift_is_the_same_on_the_driver_and_in_spark(spark, frame, tmp_path_factory, name, partition):
    given = {k: v for k, v in EVALUATIONS[name].items() if k != "auc"}
    sides = [frame[(frame["user"] < 50) & (frame["segment"] != "b")], frame[frame["user"] >= 40]]
    paths = [stored(side, tmp_path_factory.mktemp("side")) for side in sides]
    small_ones = [ls.evaluate(path, by=[["segment", "day"]], **given).state for path in paths]
    large_ones = [ls.State(state.table) for state in small_ones]
    assert [state.checked.local is not None for state in (*large_ones, *small_ones)] == [False, False, True, True]
    in_spark, here = (
        ls.drift(old, new, by=[["segment"]], partition=partition) for old, new in (large_ones, small_ones)
    )
    assert in_spark.metrics.dtypes == here.metrics.dtypes
    one, other = in_spark.to_pandas(), here.to_pandas()
    assert one.dtypes.equals(other.dtypes)
    keys = ["grouping_id", "slice"]
    assert_same_tables(one.drop(columns="worst"), other.drop(columns="worst"), keys)
    worst = [
        t.sort_values(keys)["worst"].map(lambda bins: None if bins is None else [*map(as_dict, bins)])
        for t in (one, other)
    ]
    for bins, same_bins in zip(*worst, strict=True):
        assert (bins is None) == (same_bins is None)
        for bin_, same_bin in zip(bins or [], same_bins or [], strict=True):
            assert bin_ == pytest.approx(same_bin, rel=1e-9, abs=1e-12, nan_ok=True)


MOMENT = dt.datetime(2026, 3, 29, 1, 30, tzinfo=dt.UTC)
VALUES: dict[str, tuple[str, list[Any]]] = {
    "double": ("double", [0.0, -0.0, float("nan"), 1e23, 5e-324, 0.001, 1e-5, None, float("-inf"), 123456789.0]),
    "float": ("float", [0.1, -0.0, 0.0, float("nan"), 3.4e38, None, 16777216.0]),
    "decimal": ("decimal(20,8)", [decimal.Decimal(text) for text in ("0", "0.00000001", "1.5", "-123456789012")]),
    "timestamp": ("timestamp", [MOMENT, MOMENT + dt.timedelta(microseconds=120), None]),
    "timestamp_ntz": ("timestamp_ntz", [dt.datetime(2026, 1, 1), dt.datetime(2026, 1, 1, 12, 0, 0, 500000), None]),
    "boolean": ("boolean", [True, False, None]),
    "byte": ("byte", [-1, 0, None]),
    "long": ("long", [-(2**63), 2**63 - 1, None]),
    "date": ("date", [dt.date(1, 1, 1), dt.date(1582, 10, 15), dt.date(9999, 12, 31), None]),
    "binary": ("binary", [b"a", b"\xff\xfe", b"null", None]),
    "string": ("string", ["", "null", None, "a/b=c", "ä\n"]),
}


@pytest.mark.connect
def test_slices_of_every_type_are_grouped_and_written_as_spark_does(spark):
    longest = max(len(values) for _, values in VALUES.values())
    rows = [
        (*(values[place % len(values)] for _, values in VALUES.values()), place % 2, 0.25)
        for place in range(3 * longest)
    ]
    columns = ", ".join(f"`{name}` {sql}" for name, (sql, _) in VALUES.items())
    table = spark.createDataFrame(rows, f"{columns}, y int, p double")
    given: dict[str, Any] = {"engine": "native", "auc": "cells", "calibration": "cells"}

    by = [[name] for name in VALUES]
    state = ls.evaluate(table, "y", "p", by=by, **given).state
    assert state.checked.local
    here, in_spark = (one.metrics(by=by).toPandas() for one in (state, ls.State(state.table)))
    assert_same_tables(in_spark, here, ["grouping_id", "slice"])


@pytest.mark.parametrize("column", [slow("'a' COLLATE UTF8_LCASE"), "CAST(X'ff' AS STRING)"], ids=["case", "bytes"])
def test_slices_that_numpy_groups_or_writes_otherwise_stay_in_spark(spark, column):
    table = spark.sql(f"SELECT {column} AS s, 1 AS y, 0.5D AS p")
    with ls.evaluate(table, "y", "p", by="s", engine="native", auc="cells", calibration="cells") as evaluation:
        assert evaluation.state.checked.local is None
        assert evaluation.metrics.count() == 2


@pytest.mark.connect
def test_another_look_runs_no_job_and_makes_no_plan(table, monkeypatch, capsys):
    with (
        ls.evaluate(table, "y", "p", by=[["segment"]], engine="native") as evaluation,
        ls.compare(table, label="y", predictions={"a": "p", "b": "q"}, baseline="a", by="segment") as comparison,
    ):
        for found in (evaluation, comparison):
            found.show()

            def refuse(*_: Any, **__: Any) -> None:
                raise AssertionError("a look asked Spark")

            with monkeypatch.context() as patched:
                patched.setattr(type(table), "__init__", refuse)
                for name in ("toPandas", "toArrow", "collect", "persist"):
                    patched.setattr(type(table), name, refuse)
                found.show(3, sort_by="n")
                found._repr_html_()
                found.to_json()
                found.to_pandas().drop(columns="n", inplace=True)  # it is the caller's
                assert "n" in found.to_pandas()
                found.remarks()
        assert evaluation.log_loss == evaluation.to_pandas()["log_loss"].iloc[0]
    capsys.readouterr()


@pytest.fixture
def counts_of_spark(spark: SparkSession, monkeypatch: pytest.MonkeyPatch) -> Callable[[], tuple[int, int]]:
    """How many jobs Spark has run, and how often Python has asked Java, until now."""
    if MODE == "connect":
        pytest.skip("a client of Spark Connect has no Java to count the calls to")
    sent, calls = ClientServerConnection.send_command, []

    def counting(connection: ClientServerConnection, command: str) -> Any:
        if not command.startswith("m"):  # where Python has freed an object, Java may, too
            calls.append(command)
        return sent(connection, command)

    monkeypatch.setattr(ClientServerConnection, "send_command", counting)
    tracker = spark.sparkContext.statusTracker()

    def counts() -> tuple[int, int]:
        asked = len(calls)
        jobs = len(tracker.getJobIdsForGroup(None))
        del calls[asked:]  # what the tracker has asked
        return jobs, asked

    return counts


def test_a_small_evaluation_runs_one_job_for_its_state_and_one_for_its_scores(table, counts_of_spark):
    table = table.select("y", "p", "w", "segment").cache()
    table.count()
    jobs, calls = counts_of_spark()
    with ls.evaluate(table, "y", "p", weight="w", by="segment", engine="native") as evaluation:
        _ = evaluation.counts
        of_state, calls_of_state = counts_of_spark()
        evaluation.to_pandas()
        of_scores, calls_of_all = counts_of_spark()
        evaluation.to_json()
        again = counts_of_spark()
    assert (of_state - jobs, of_scores - of_state) == (1, 1)
    assert again == (of_scores, calls_of_all)
    assert calls_of_state - calls < 1200  # each takes a tenth of a millisecond; nearly all build the plan of the state
    assert calls_of_all - calls_of_state < 100
    table.unpersist()


def test_a_small_table_of_files_takes_one_job_in_all(spark, table, counts_of_spark, tmp_path):
    path = str(tmp_path / "table")
    table.select("y", "p", "w", "segment").repartition(3).write.parquet(path)
    given: dict[str, Any] = {"label": "y", "prediction": "p", "weight": "w", "by": "segment"}
    with ls.evaluate(spark.read.parquet(path), **given, engine="native") as in_spark:
        wanted = in_spark.to_pandas()
    files = spark.read.parquet(path)
    with ls.evaluate(files, **given) as evaluation:
        jobs, calls = counts_of_spark()
        found = evaluation.to_pandas()
        jobs_of_all, calls_of_all = counts_of_spark()
        assert evaluation.engine.name == "arrow"
        assert evaluation.sources == {"auc": "rows", "calibration": "rows"}
    assert jobs_of_all - jobs == 1
    assert calls_of_all - calls < 300
    assert_same_metrics(found, wanted)
