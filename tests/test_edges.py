"""Edges that are defined: slices that are empty, small, certain, broken, or oddly named; and how they are shown."""

import json
import math
from datetime import date, datetime
from decimal import Decimal

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

import logloss_spark as ls
from logloss_spark.errors import DataError, SpecError
from logloss_spark.kernels.status import STATUSES
from tests.quick import quick, slow
from tests.rows.contract import FORMS
from tests.same import assert_same_metrics

CAP = -np.log(1e-15)
COLUMNS = {"label": "label", "prediction": "p", "weight": "w"}

# (label, p, w) of the rows of each slice.
SLICES = {
    "one class": [(1, 0.9, 1.0), (1, 0.6, 2.0), (1, 0.7, 1.0)],
    "the other class": [(0, 0.1, 1.0), (0, 0.4, 2.0)],
    "one row": [(1, 0.25, 3.0)],
    "weightless": [(1, 0.25, 0.0), (0, 0.0, 0.0), (1, 0.0, 0.0)],
    "nothing valid": [(None, 0.5, 1.0), (7, 0.5, 1.0), (1, 1.5, 1.0), (1, 0.5, -1.0)],
    "one constant": [(1, 0.9, w) for w in (1.0, 0.3, 2.5, 0.1)],
    "another constant": [(k % 2, 0.1 if k % 2 == 0 else 0.9, 1.0 + k / 7) for k in range(50)],
    "a coin": [(k % 2, 0.5, 1.0 + k / 3) for k in range(50)],
    "certain and right": [(1, 1.0, 1.0), (0, 0.0, 1.0), (1, 1.0, 0.5)],
    "impossible": [(1, 0.0, 1.0), (0, 1.0, 1.0), (1, 1.0, 1.0)],
    "hardly possible": [(1, 5e-324, 1.0), (1, 9.9e-16, 1.0), (1, 1e-15, 1.0), (0, 1 - 2.0**-53, 1.0)],
    "forty": [(1, 0.3, 1.0)] * 30 + [(0, 0.3, 1.0)] * 31,
    "null": [(1, 0.4, 1.0)],
    None: [(0, 0.4, 1.0), (1, 0.2, 1.0)],
}


@pytest.fixture(scope="module")
def table(spark, tmp_path_factory):
    rows = [(case, *row) for case, rows in SLICES.items() for row in rows]
    names = ("case", "label", "p", "w")
    columns = {name: [row[place] for row in rows] for place, name in enumerate(names)}
    folder = tmp_path_factory.mktemp("edges")
    pq.write_table(pa.table(columns), folder / "table.parquet")
    return spark.read.parquet(str(folder))


@pytest.fixture(scope="module")
def metrics(table):
    """Metrics by slice; the row of all, and that of the null slice, are named by what they are."""
    with ls.evaluate(table, **COLUMNS, by=[["case"]]) as evaluation:
        found = evaluation.to_pandas()
    names = np.where(found.grouping_id == 1, "all rows", found.case.where(found.case.notna(), "no case"))
    return found.set_index(names)


NEEDS_WEIGHT = ["log_loss", "log_loss_se", "perplexity", "brier", "label_mean", "prediction_mean", "ece", "n_eff"]


@pytest.mark.connect
@pytest.mark.parametrize("name", ["weightless", "nothing valid"])
def test_a_slice_without_weight_has_counts_and_no_means(metrics, name):
    row = metrics.loc[name]
    assert row["rows"] == len(SLICES[name])
    assert row[["n", "clipped", "zero", "minority", "weight", "clipped_loss_share"]].tolist() == [0] * 6
    assert row[NEEDS_WEIGHT].isna().all()


def test_a_row_of_weight_zero_is_ok_and_adds_nothing(metrics):
    assert metrics.loc["weightless", "ok"] == 3
    assert metrics.loc["weightless", "zero"] == 0


def test_broken_rows_are_counted_by_reason(metrics):
    reasons = ["null_label", "unknown_label", "prediction_range", "negative_weight"]
    assert metrics.loc["nothing valid", reasons].tolist() == [1] * 4
    assert metrics.loc["nothing valid", list(STATUSES)].sum() == 4


@pytest.mark.parametrize(("name", "share"), [("one class", 1.0), ("the other class", 0.0)])
def test_one_class_has_no_entropy_to_normalise_by(metrics, name, share):
    row = metrics.loc[name]
    assert row["label_mean"] == share
    assert row["label_entropy"] == 0
    assert row[["normalized_entropy", "normalized_entropy_se", "information_gain"]].isna().all()
    assert row["minority"] == 0
    assert row["few"]
    assert row["log_loss"] > 0


def test_calibration_is_null_where_nothing_happened(metrics):
    assert math.isnan(metrics.loc["the other class", "calibration_ratio"])
    assert metrics.loc["one class", "calibration_ratio"] == pytest.approx(0.7, rel=1e-15)


def test_one_row_has_a_loss_and_no_error(metrics):
    row = metrics.loc["one row"]
    assert row["log_loss"] == pytest.approx(np.log(4), rel=1e-15)
    assert row["n_eff"] == 1
    assert row[["log_loss_se", "log_loss_low", "brier_se", "calibration_ratio_se"]].isna().all()


@pytest.mark.parametrize("name", ["one constant", "a coin", "certain and right"])
def test_a_constant_loss_has_an_error_of_zero(metrics, name):
    assert metrics.loc[name, "log_loss_se"] == 0
    assert metrics.loc[name, "brier_se"] == 0
    assert metrics.loc[name, "log_loss_low"] == metrics.loc[name, "log_loss"]


def test_a_loss_that_is_constant_but_for_its_last_bit_has_hardly_an_error(metrics):
    # -ln 0.9 and -log1p(-0.1) are an ulp apart.
    assert metrics.loc["another constant", "log_loss_se"] < 1e-15


def test_certain_and_right_forecasts_cost_nothing(metrics):
    row = metrics.loc["certain and right"]
    assert row[["log_loss", "brier", "prediction_entropy", "ece", "clipped", "zero"]].tolist() == [0] * 6
    assert row["perplexity"] == 1
    assert not np.signbit(row["log_loss"])


def test_what_was_ruled_out_and_happens_costs_the_cap(metrics):
    row = metrics.loc["impossible"]
    assert row["log_loss"] == pytest.approx(2 * CAP / 3, rel=1e-15)
    assert row[["zero", "clipped", "zero_loss_share", "clipped_loss_share"]].tolist() == [2, 2, 1, 1]
    assert row["brier"] == pytest.approx(2 / 3, rel=1e-15)


def test_below_eps_a_forecast_is_clipped_and_at_eps_it_is_not(metrics):
    row = metrics.loc["hardly possible"]
    assert row["zero"] == 0
    assert row["clipped"] == 3  # 5e-324, 9.9e-16 and the 1.1e-16 that 1 - 2**-53 leaves
    assert row["log_loss"] == pytest.approx(CAP, rel=1e-15)
    assert row["log_loss_se"] == 0


def test_few_says_that_the_rarer_class_has_less_than_thirty_rows(metrics):
    assert metrics.loc["forty", "minority"] == 30
    assert not metrics.loc["forty", "few"]
    assert metrics.loc["a coin", "few"]


@pytest.mark.connect
def test_the_null_slice_is_not_the_total(metrics):
    nothing, everything = metrics.loc["no case"], metrics.loc["all rows"]
    assert nothing["rows"] == 2
    assert nothing["grouping_id"] == 0
    assert everything["grouping_id"] == 1
    assert everything["rows"] == sum(map(len, SLICES.values()))
    assert everything["slice"] == "all"
    assert pd.isna(nothing["case"])
    assert pd.isna(everything["case"])


def test_the_null_slice_is_not_the_slice_called_null(metrics):
    assert metrics.loc["null", "rows"] == 1
    assert metrics.loc["null", "case"] == "null"


def test_rows_of_all_slices_add_up_to_those_of_all(metrics):
    counts = ["rows", "n", "weight", "clipped", "zero", *STATUSES]
    parts = metrics[metrics.grouping_id == 0]
    assert parts[counts].sum().tolist() == pytest.approx(metrics.loc["all rows", counts].tolist(), rel=1e-15)


def test_ansi_mode_changes_nothing(spark, table, metrics):
    setting = "spark.sql.ansi.enabled"
    before = spark.conf.get(setting)
    spark.conf.set(setting, "false" if before == "true" else "true")
    try:
        found = ls.evaluate(table, **COLUMNS, by=[["case"]], engine="native").to_pandas()
    finally:
        spark.conf.set(setting, before)
    for frame in (found, wanted := metrics.copy()):
        frame["slice"] += frame.case.isna().map({True: ", none", False: ""})
    assert_same_metrics(found, wanted)


@pytest.fixture(scope="module")
def unclipped(table):
    with ls.evaluate(table, **COLUMNS, by=[["case"]], clip="none", engine="native") as evaluation:
        yield evaluation


def test_unclipped_losses_are_infinite_where_they_must_be(unclipped):
    found = unclipped.to_pandas().set_index("slice")
    row = found.loc["case=impossible"]
    assert row["log_loss"] == row["perplexity"] == row["log_loss_bits"] == np.inf
    assert row[["log_loss_se", "log_loss_low", "log_loss_high", "zero_loss_share"]].isna().all()
    assert row["brier"] == pytest.approx(2 / 3, rel=1e-15)
    assert np.isfinite(row["brier_se"])
    hardly = found.loc["case=hardly possible"]
    wanted = -(np.log(5e-324) + np.log(9.9e-16) + np.log(1e-15) + np.log(2.0**-53)) / 4
    assert hardly["log_loss"] == pytest.approx(wanted, rel=1e-15)
    # A weight of zero keeps its impossible rows out.
    assert math.isnan(found.loc["case=weightless", "log_loss"])
    assert found.loc["all", "log_loss"] == np.inf


EMPTY = {
    "binary": ("label int, p double, w double", {}),
    "forty classes": ("label string, p array<double>, w double", {"classes": tuple(f"c{k}" for k in range(40))}),
}


@pytest.mark.parametrize("form", quick(EMPTY, "binary"))
def test_an_empty_table_has_one_row_of_metrics_without_numbers_and_can_be_shown(spark, capsys, form):
    schema, spec = EMPTY[form]
    evaluation = ls.evaluate(
        spark.createDataFrame([], f"{schema}, day date"), **COLUMNS, by=[["day"]], engine="native", **spec
    )
    found = evaluation.to_pandas()
    assert found.slice.tolist() == ["all"]
    assert found[["rows", "n", "ok", "clipped"]].iloc[0].tolist() == [0] * 4
    assert np.isnan(found.log_loss.iloc[0])
    assert evaluation.reliability.count() == 0
    evaluation.show()
    assert "all" in capsys.readouterr().out
    assert json.loads(evaluation.to_json())[0]["log_loss"] is None
    assert "<table" in evaluation._repr_html_()


@pytest.mark.parametrize(
    "form", [pytest.param("binary", marks=pytest.mark.connect), slow("three probabilities, soft labels")]
)
def test_every_status_is_counted_in_the_slice_it_occurs_in(spark, form):
    rows, df = FORMS[form].rows, FORMS[form].table(spark)
    asked = {"label": "label", "prediction": "prediction", "weight": "weight", **FORMS[form].spec}
    evaluation = ls.evaluate(df, by=[["expected"]], **asked)
    found = evaluation.to_pandas().set_index("slice")
    expected = pd.Series([row[-1] for row in rows]).value_counts()
    for status in STATUSES:
        count = expected.get(status, 0)
        assert found.loc["all", status] == count
        if count:
            own = found.loc[f"expected={status}"]
            assert own["rows"] == count
            assert own[list(STATUSES)].to_dict() == dict.fromkeys(STATUSES, 0) | {status: count}
    invalid = evaluation.invalid
    assert invalid.columns == [*df.columns, "row_status"]
    whole = {row.row: row.row_status for row in invalid.select("row", "row_status").collect()}
    assert whole == {place: row[-1] for place, row in enumerate(rows) if row[-1] != "ok"}


def test_the_two_forms_above_produce_every_status_of_a_table_without_clusters_that_has_its_labels():
    found = {row[-1] for form in ("binary", "three probabilities, soft labels") for row in FORMS[form].rows}
    assert found == set(STATUSES) - {"null_cluster", "unlabelled"}  # labels of their own have tests/app/test_labels.py


@pytest.mark.slow
def test_twenty_thousand_slices_are_each_what_their_rows_are(spark, tmp_path):
    rng = np.random.default_rng(50)
    n, slices = 60_000, 20_000
    frame = pd.DataFrame({"user": rng.permutation(n) % slices, "label": rng.integers(0, 2, n), "p": rng.random(n)})
    frame.to_parquet(tmp_path / "table.parquet")
    df = spark.read.parquet(str(tmp_path))
    found = ls.evaluate(df, label="label", prediction="p", by=[["user"]], engine="native").to_pandas()
    assert len(found) == slices + 1
    loss = -np.log(frame.p.where(frame.label == 1, 1 - frame.p))
    wanted = loss.groupby(frame.user).agg(["mean", "sem", "size"])
    users = found[found.grouping_id == 0].set_index("user").sort_index()
    np.testing.assert_array_equal(users["n"], wanted["size"])
    # 1 - p rounds, which the tested -log1p(-p) does not.
    np.testing.assert_allclose(users["log_loss"], wanted["mean"], rtol=1e-10)
    # The error of three losses that are nearly equal loses digits with them.
    np.testing.assert_allclose(users["log_loss_se"], wanted["sem"], rtol=1e-6, atol=1e-8)


DAY, MOMENT = date(2026, 1, 31), datetime(2026, 1, 31, 12, 30)
TYPES = {
    "word": ("string", ["a", "é/=, ", None, ""]),
    "day": ("date", [DAY, date(1, 1, 1), None, DAY]),
    "number": ("int", [3, -7, None, 3]),
    "big": ("bigint", [2**53 + 1, 2**53, None, 0]),
    "flag": ("boolean", [True, False, None, True]),
    "nothing": ("void", [None, None, None, None]),
    "moment": ("timestamp", [MOMENT, datetime(1999, 12, 31), None, MOMENT]),
    "money": ("decimal(6,2)", [Decimal("1.50"), Decimal("-0.25"), None, Decimal("1.50")]),
    "real": ("double", [0.1, float("nan"), None, float("nan")]),
    "signed": ("double", [0.0, -0.0, None, 1.0]),
}


@pytest.fixture(scope="module")
def by_type(spark):
    """Four rows, sliced by columns of every plain type."""
    schema = "label int, p double, " + ", ".join(f"{name} {type_}" for name, (type_, _) in TYPES.items())
    columns = [values for _, values in TYPES.values()]
    rows = [(place % 2, 0.5, *(values[place] for values in columns)) for place in range(4)]
    df = spark.createDataFrame(rows, schema)
    return ls.evaluate(df, label="label", prediction="p", by=[[name] for name in TYPES])


@pytest.fixture(scope="module")
def table_by_type(by_type):
    """The metrics of every slice, as a table of Spark."""
    return by_type.metrics


@pytest.fixture(scope="module")
def sliced(table_by_type):
    """The same as rows."""
    return table_by_type.collect()


@pytest.mark.parametrize("name", TYPES)
def test_slices_may_be_of_any_plain_type(table_by_type, sliced, name):
    assert table_by_type.schema[name].dataType.simpleString() == TYPES[name][0]
    mine = [row for row in sliced if row.slice.startswith(f"{name}=")]
    found = {str(row[name]): row.rows for row in mine}
    values = [value + 0.0 if isinstance(value, float) else value for value in TYPES[name][1]]  # -0.0 is 0.0
    assert found == pd.Series([str(value) for value in values]).value_counts().to_dict()


def test_a_slice_says_its_value(sliced):
    texts = {row.slice for row in sliced}
    assert {
        "all",
        "word=a",
        "word=null",
        "word=",
        "day=2026-01-31",
        "number=-7",
        "flag=true",
        "nothing=null",
        "money=1.50",
    } <= texts


def test_slices_of_any_type_can_be_written_as_json(by_type):
    records = json.loads(by_type.to_json(), parse_constant=pytest.fail)
    by_slice = {record["slice"]: record for record in records}
    assert by_slice["all"]["day"] is None
    assert by_slice["all"]["moment"] is None
    assert by_slice["day=2026-01-31"]["day"] == "2026-01-31"
    assert by_slice["money=1.50"]["rows"] == 2


def test_infinite_numbers_are_named_in_json(unclipped):
    record = json.loads(unclipped.to_json(), parse_constant=pytest.fail)[0]
    assert record["log_loss"] == "Infinity"
    assert record["log_loss_se"] is None


@pytest.mark.connect
def test_log_loss_is_one_number(table):
    found = ls.log_loss(table.where("case = 'one class'"), "label", "p", weight="w")
    assert type(found) is float
    assert found == pytest.approx(-(np.log(0.9) + 2 * np.log(0.6) + np.log(0.7)) / 4, rel=1e-15)


def test_log_loss_warns_of_rows_that_it_leaves_out(table):
    with pytest.warns(ls.InvalidRowsWarning, match="dropped 4 rows of 5 from the log loss: .*null_label 1"):
        found = ls.log_loss(table.where("case in ('nothing valid', 'one row')"), "label", "p", weight="w")
    assert found == pytest.approx(np.log(4), rel=1e-15)


def test_log_loss_of_nothing_is_an_error_that_says_why(table):
    with pytest.raises(DataError, match=r"got none among 7: .*unknown_label 1"):
        ls.log_loss(table.where("case in ('nothing valid', 'weightless')"), "label", "p", weight="w")


def test_log_loss_without_a_clip_can_be_infinite(table):
    assert ls.log_loss(table.where("case = 'impossible'"), "label", "p", clip="none") == np.inf


@pytest.mark.parametrize("engine", quick(["native", "pandas"], "native"))
def test_log_loss_warns_where_impossible_events_make_up_much_of_it(spark, engine):
    # A row of weight 3 was ruled out and happened: 3 * 34.54 of 3 * 34.54 + 1000 ln 2.
    data = [(1, 0.0, 3.0)] + [(1, 0.5, 1.0)] * 1000
    df = spark.createDataFrame(data, "label int, p double, w double")
    share = f"{3 * 34.538776394910684 / (3 * 34.538776394910684 + 1000 * np.log(2)):.1%}"
    line = f"1 row of 1,001 gave what happened a probability of at most eps, 1e-15, and make up {share} of the log loss"
    with pytest.warns(ls.ImpossibleEventsWarning, match=line) as warned:
        assert ls.log_loss(df, "label", "p", weight="w", engine=engine) > 0.79
    (ours,) = (told for told in warned if told.category is ls.ImpossibleEventsWarning)  # sockets of old Spark warn, too
    assert "\n" not in str(ours.message)
    assert ours.filename == __file__
    # Without weights, and a hundred times as many rows: 0.05 %, which is nothing to speak of. Warnings are errors here.
    few = df.unionByName(spark.range(99_000).selectExpr("1 AS label", "0.5D AS p", "1D AS w"))
    assert ls.log_loss(few, "label", "p", engine=engine) == pytest.approx(np.log(2), rel=1e-3)


def test_impossible_events_of_several_classes_are_told_and_infinite_losses_speak_for_themselves(spark):
    df = spark.createDataFrame([("a", [0.0, 0.5, 0.5]), ("b", [0.2, 0.5, 0.3])], "label string, p array<double>")
    with pytest.warns(ls.ImpossibleEventsWarning, match=r"make up 98\.0% of the log loss"):
        ls.log_loss(df, "label", "p", classes=["a", "b", "c"], engine="native")
    assert ls.log_loss(df, "label", "p", classes=["a", "b", "c"], engine="native", clip="none") == np.inf


@pytest.mark.slow
def test_there_may_be_as_many_slice_columns_as_spark_can_group_by(spark: SparkSession) -> None:
    names = [f"s{place}" for place in range(63)]
    df = spark.range(2).select(
        F.col("id").alias("y"), F.lit(0.5).alias("p"), *[F.col("id").alias(name) for name in names]
    )
    evaluation = ls.evaluate(df, label="y", prediction="p", by=[names[:62], ["s61"]], engine="native")
    found = {(row["grouping_id"], row["n"]) for row in evaluation.metrics.select("grouping_id", "n").collect()}
    assert found == {(2**62 - 1, 2), (0, 1), (2**62 - 2, 1)}
    with pytest.raises(SpecError, match="by may name up to 62 columns, as many as Spark can group by, got 63"):
        ls.evaluate(df, label="y", prediction="p", by=[names[:63]])
