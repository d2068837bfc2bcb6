"""What people see of evaluations and comparisons: once computed, the worst first, and safe whatever the data holds."""

import json
import math
import re
from collections.abc import Iterator
from typing import Any

import pandas as pd
import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

import logloss_spark as ls
from logloss_spark.errors import SpecError
from logloss_spark.kernels.status import STATUSES
from logloss_spark.report import frames as ranked
from logloss_spark.states import small
from logloss_spark.statistics.catalogue import METRICS, by_column
from tests import hostile

OURS = {"div", "p", "b", "table", "thead", "tbody", "tr", "th", "td"}
"""The tags that HTML of ours has."""


@pytest.fixture(scope="module")
def table(spark: SparkSession) -> DataFrame:
    """Slices a to d with more and more forecasts that are wrong, 80 rows each, and e with two rows, the worst."""
    rows = [
        (g, row % 2, (0.9 if row % 2 else 0.1) if row >= 8 * wrong else (0.1 if row % 2 else 0.9), row % 7)
        for wrong, g in enumerate("abcd")
        for row in range(80)
    ]
    rows += [("e", 1, 0.01, 1), ("e", 0, 0.99, 2), (None, None, 0.5, 3)]
    return spark.createDataFrame(rows, "g string, y int, p double, day int").coalesce(1)


@pytest.fixture(scope="module")
def evaluation(table: DataFrame) -> Iterator[ls.Evaluation]:
    with ls.evaluate(table, "y", "p", by=[["g"]], engine="native") as found:
        yield found


def test_the_worst_slices_stand_first_and_those_of_few_rows_last(
    evaluation: ls.Evaluation, capsys: pytest.CaptureFixture[str]
) -> None:
    assert evaluation.to_pandas()["slice"].tolist() == ["all", "g=d", "g=c", "g=b", "g=a", "g=e", "g=null"]
    evaluation.show()
    title, header, names, *rows = capsys.readouterr().out.splitlines()
    assert title == "log loss of p against y: all rows, by g"
    assert [*header.split(), *names.split()] == [
        *("normalized", "calibration", "slice", "rows", "n", "log_loss", "[95%", "interval]"),
        *("_entropy", "_ratio", "brier", "ece"),
    ]
    assert [row.split()[0] for row in rows[:7]] == ["all", "g=d", "g=c", "g=b", "g=a", "g=e", "g=null"]
    assert [" *" in row for row in rows[:7]] == [False] * 5 + [True] * 2
    assert rows[7].startswith("* few: the interval misses more often than it claims")
    assert rows[8:] == ["largest log_loss first", "1 row of 323 not scored: null_label 1"]


def test_a_notebook_shows_intervals_as_bars(evaluation: ls.Evaluation) -> None:
    html = evaluation._repr_html_()
    assert html.count('aria-hidden="true"') == 6  # the slice without a row has none
    assert "<p>bars: log_loss [95% interval]; the line is all rows</p>" in html
    of_state = evaluation.state._repr_html_()
    assert re.findall(r"<td[^>]*>(\w+=\w+|all)", of_state) == ["all", "g=d", "g=c", "g=b", "g=a", "g=e"]
    assert "shown: 5 of 6 slices by g" in of_state
    assert "State that was not checked yet" in ls.State(evaluation.state.table)._repr_html_()


def test_a_large_state_says_what_it_holds_without_a_query(
    evaluation: ls.Evaluation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("logloss_spark.report.states.QUICK", 0)
    html = evaluation.state._repr_html_()
    assert "<b>State of an evaluation by g</b>" in html
    assert re.findall("<td>([^<]*)</td>", html) == [
        "probability of 0, 1",
        "cross_entropy",
        "g",
        "one",
        "of independent rows",
    ]


def test_slices_can_be_sorted_by_any_metric(evaluation: ls.Evaluation, capsys: pytest.CaptureFixture[str]) -> None:
    assert evaluation.to_pandas(2, sort_by="brier")["slice"].tolist() == ["all", "g=e", "g=d"]
    assert evaluation.to_pandas(2, sort_by="brier", ascending=True)["slice"].tolist() == ["all", "g=a", "g=b"]
    assert evaluation.to_pandas(sort_by="g", ascending=True)["slice"].tolist()[1:4] == ["g=a", "g=b", "g=c"]
    evaluation.show(2, sort_by="brier")
    assert "largest brier first; shown: 2 of 6 slices by g" in capsys.readouterr().out
    for wrong in ("breir", "Brier"):
        with pytest.raises(SpecError, match=r"sort_by must name a column of the metrics.*Did you mean 'brier'"):
            evaluation.show(sort_by=wrong)
    with pytest.raises(SpecError, match="limit must be a whole number of 1 or more, got 0"):
        evaluation.show(0)


def test_a_frame_begins_with_what_is_looked_at_first(evaluation: ls.Evaluation) -> None:
    columns = list(evaluation.to_pandas())
    first = ["g", "slice", "rows", "n", "log_loss", "log_loss_low", "log_loss_high", "log_loss_se"]
    assert columns[:8] == first
    assert columns[-len(STATUSES) - 1 :] == ["grouping_id", *STATUSES]
    assert columns == evaluation.metrics.columns
    assert set(columns) == {*first, "grouping_id", *STATUSES, *by_column(METRICS)}


@pytest.mark.slow
def test_a_look_at_a_large_state_costs_a_job_once(
    table: DataFrame, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(small, "SMALL_STATE", 0)
    collected: list[int] = []
    collect = type(table).toPandas

    def counting(df: DataFrame) -> pd.DataFrame:
        collected.append(1)
        return collect(df)

    monkeypatch.setattr(type(table), "toPandas", counting)
    compared = table.withColumn("q", F.lit(0.5))
    with (
        ls.evaluate(table, "y", "p", by=[["g"]], engine="native") as evaluation,
        ls.compare(
            compared, label="y", predictions={"a": "p", "b": "q"}, baseline="a", by=[["g"]], engine="native"
        ) as comparison,
    ):
        for found in (evaluation, comparison):
            found.show()
            found.show(3, sort_by="n")
            found._repr_html_()
            found.to_json()
            found.to_pandas().drop(columns="n", inplace=True)  # it is the caller's
            assert "n" in found.to_pandas()
        assert evaluation.log_loss == evaluation.to_pandas()["log_loss"].iloc[0]
        assert len(collected) == 2
        evaluation.close()
        evaluation.show()
        assert len(collected) == 3
    capsys.readouterr()


@pytest.mark.slow
def test_of_too_many_slices_those_that_are_shown_are_collected_alone(
    table: DataFrame, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(small, "SMALL_STATE", 0)
    # Slice columns may be called like what is counted on the way.
    renamed = table.withColumnRenamed("g", "size")
    compared = renamed.withColumn("q", F.lit(0.5))
    asked: dict[str, Any] = {"by": [["size"]], "engine": "native"}
    said = []
    for most in (ranked.KEPT_NUMBERS, 300):  # two rows of metrics
        monkeypatch.setattr(ranked, "KEPT_NUMBERS", most)
        with (
            ls.evaluate(renamed, "y", "p", **asked) as evaluation,
            ls.compare(compared, label="y", predictions={"a": "p", "b": "q"}, baseline="a", **asked) as comparison,
        ):
            evaluation.show(2)
            comparison.show(2)
            frames = [evaluation.to_pandas(), evaluation.to_pandas(2, sort_by="size", ascending=True)]
            assert (evaluation._collected is None) == (most == 300)
        said.append((capsys.readouterr().out, frames))
    (few, of_few), (many, of_many) = said
    assert few == many
    for one, other in zip(of_few, of_many, strict=True):
        pd.testing.assert_frame_equal(one, other)


def test_an_evaluation_has_its_log_loss_as_a_number(spark: SparkSession, evaluation: ls.Evaluation) -> None:
    assert type(evaluation.log_loss) is float
    assert evaluation.log_loss == evaluation.to_pandas()["log_loss"].iloc[0]
    nothing = spark.createDataFrame([(None, 0.5)], "y int, p double")
    assert math.isnan(ls.evaluate(nothing, "y", "p", engine="native").log_loss)
    with pytest.raises(SpecError, match="log_loss is the mean cross-entropy, and this evaluation has the loss 'hinge'"):
        _ = ls.evaluate(nothing, "y", "p", loss="hinge").log_loss


@pytest.mark.slow
def test_few_clusters_are_few_whatever_their_rows(table: DataFrame) -> None:
    many = table.withColumn("row", F.monotonically_increasing_id()).withColumn("q", F.lit(0.5))
    models = {"a": "p", "b": "q"}
    for cluster, few in (("day", True), ("row", False)):
        found = ls.evaluate(many, "y", "p", cluster=cluster, engine="native").metrics.first()
        compared = ls.compare(
            many, label="y", predictions=models, baseline="a", cluster=cluster, engine="native"
        ).metrics.first()
        assert found is not None
        assert compared is not None
        assert (found.few, compared.few) == (few, few)


# Text that comes from data.


@pytest.mark.connect
def test_hostile_slices_columns_and_models_reach_people_safely_and_tables_exactly(
    spark: SparkSession, capsys: pytest.CaptureFixture[str]
) -> None:
    column, label, prediction, other = ("\x1b[31m<b>`a.b`\u202e", "la`bel\n", "p.<img src=x onerror=alert(1)>", "q\0")
    rows = [(text, 1, 0.75, 0.5) for text in hostile.TEXTS.values()] + [(None, 1, 0.5, 0.5)]
    df = spark.createDataFrame(rows, "s string, y int, p double, q double").toDF(column, label, prediction, other)
    models = {"<script>old</script>\x1b[0m": prediction, "x" * 10_000: other}
    with (
        ls.evaluate(df, label, prediction, by=[[column]], engine="native") as evaluation,
        ls.compare(
            df, label=label, predictions=models, baseline=next(iter(models)), by=[[column]], engine="native"
        ) as comparison,
    ):
        for found in (evaluation, comparison):
            found.show(100)
            html = found._repr_html_()
            assert set(re.findall(r"</?(\w+)", html)) <= {
                *["div", "p", "b", "table", "thead", "tbody", "tr", "th", "td"]
            }
            assert not hostile.unsafe(html, 100_000)
            exact = {record[column] for record in json.loads(found.to_json()) if record["slice"] != "all"}
            assert exact == {*hostile.TEXTS.values(), None}
            texts = set(found.to_pandas()["slice"])
            assert {f"{column}=null", f'{column}="null"'} <= texts
            assert repr(found).isprintable()
        said = capsys.readouterr().out
    assert not hostile.unsafe(said, 2_000)
    table = [line for line in said.splitlines() if line.startswith(("all ", "\\x1b[31m"))]
    assert max(map(len, table)) <= 200


@pytest.mark.slow
def test_bytes_that_are_not_utf8_are_shown_and_json_is_written(
    spark: SparkSession, capsys: pytest.CaptureFixture[str]
) -> None:
    df = spark.createDataFrame([(bytearray(hostile.NOT_UTF8), 1, 0.75), (None, 0, 0.5)], "raw binary, y int, p double")
    df = df.withColumn("s", F.col("raw").cast("string"))
    with ls.evaluate(df, "y", "p", by=[["s"], ["raw"]], engine="native") as evaluation:
        evaluation.show()
        assert "s=caf\ufffd \ufffd" in capsys.readouterr().out
        assert {"s=caf\ufffd \ufffd", "s=null", "raw=caf\ufffd \ufffd"} <= set(evaluation.to_pandas()["slice"])
        assert len(json.loads(evaluation.to_json())) == 5
        exact = evaluation.metrics.where("s is not null").select(F.hex("s")).first()
        assert exact is not None
        assert bytes.fromhex(exact[0]) == hostile.NOT_UTF8


@pytest.mark.parametrize("type_", ["interval month", "interval", "array<int>", "map<int, int>"])
def test_a_slice_that_is_no_plain_value_is_refused_before_work(spark: SparkSession, type_: str) -> None:
    value = "make_interval(1)" if type_ == "interval" else f"CAST(NULL AS {type_})"
    df = spark.sql(f"SELECT 1 AS y, 0.5D AS p, {value} AS s")
    with pytest.raises(SpecError, match=r"slice column 's' must hold plain values, got .*: cast it to string"):
        ls.evaluate(df, "y", "p", by=[["s"]])


def test_a_table_without_a_row_says_so_and_marks_no_interval(
    table: DataFrame, capsys: pytest.CaptureFixture[str]
) -> None:
    with ls.evaluate(table.limit(0), "y", "p", engine="native") as evaluation:
        evaluation.show()
        assert evaluation.remarks() == ["no row was scored: the table has none"]
    said = capsys.readouterr().out
    assert said.splitlines()[-1] == "no row was scored: the table has none"
    assert "*" not in said
