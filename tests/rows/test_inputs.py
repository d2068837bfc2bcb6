"""Columns of any name and type find their role, or are refused in one line."""

from datetime import date
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest
from py4j.java_gateway import GatewayClient
from py4j.protocol import MEMORY_COMMAND_NAME
from pyspark.ml.linalg import DenseVector, SparseVector, VectorUDT
from pyspark.sql import functions as F
from pyspark.sql.types import ArrayType, DoubleType, IntegerType, StructField, StructType

import logloss_spark as ls
from logloss_spark.errors import SpecError
from logloss_spark.rows.terms import with_loss
from logloss_spark.states.state import union_of
from tests.quick import slow
from tests.rows.batches import ready

LOSSES = [-np.log(0.25), -np.log1p(-0.75), -np.log(0.5), 0.0]
"""Of the labels 1, 0, 1, 1 under the probabilities 0.25, 0.75, 0.5, 1; all of them short binary fractions."""

PROBABILITIES = [0.25, 0.75, 0.5, 1.0]

# What labels, predictions and weights may be: (type, values of the four rows, conventions).
LABELS = {
    "int": ("int", [1, 0, 1, 1], {}),
    "tinyint": ("tinyint", [1, 0, 1, 1], {}),
    "bigint": ("bigint", [1, 0, 1, 1], {}),
    "double": ("double", [1.0, 0.0, 1.0, 1.0], {}),
    "float": ("float", [1.0, 0.0, 1.0, 1.0], {}),
    "decimal": ("decimal(10,2)", [Decimal(1), Decimal(0), Decimal(1), Decimal(1)], {}),
    "boolean": ("boolean", [True, False, True, True], {}),
    "minus and plus one": ("int", [1, -1, 1, 1], {"classes": (-1, 1)}),
    "float of -1 and 1": ("float", [1.0, -1.0, 1.0, 1.0], {"classes": (-1.0, 1.0)}),
    "NumPy's classes": ("bigint", [1, -1, 1, 1], {"classes": tuple(np.array([-1, 1]))}),
    "boolean classes": ("boolean", [True, False, True, True], {"classes": (False, True)}),
    "string": ("string", ["yes", "no", "yes", "yes"], {"classes": ("no", "yes")}),
    "turned round": ("string", ["no", "yes", "no", "no"], {"classes": ("yes", "no")}),
    "halves": ("double", [1.5, 0.5, 1.5, 1.5], {"classes": (0.5, 1.5)}),
    "tenths as float": ("float", [0.2, 0.1, 0.2, 0.2], {"classes": (0.1, 0.2)}),
    "tenths as decimal": (
        "decimal(3,1)",
        [Decimal("0.2"), Decimal("0.1")] + [Decimal("0.2")] * 2,
        {"classes": (0.1, 0.2)},
    ),
    "share": ("double", [1.0, 0.0, 1.0, 1.0], {"soft_labels": True}),
    "share as int": ("int", [1, 0, 1, 1], {"soft_labels": True}),
}
NUMBERS = {
    "double": ("double", PROBABILITIES),
    "float": ("float", PROBABILITIES),
    "decimal": ("decimal(5,3)", [Decimal(str(p)) for p in PROBABILITIES]),
}
PAIRS = [[1 - p, p] for p in PROBABILITIES]
MANY = {
    "array<double>": ("array<double>", PAIRS),
    "array<float>": ("array<float>", PAIRS),
    "array<decimal>": ("array<decimal(5,3)>", [[Decimal(str(p)) for p in pair] for pair in PAIRS]),
    "dense vectors": ("vector", [DenseVector(pair) for pair in PAIRS]),
    "sparse vectors": ("vector", [SparseVector(2, {k: p for k, p in enumerate(pair) if p}) for pair in PAIRS]),
    "one column per class": ("columns", PAIRS),
}
FORTY = {
    "int": ("int", [0, 17, 39, 40]),
    "bigint": ("bigint", [0, 17, 39, 40]),
    "double": ("double", [0.0, 17.0, 39.0, 0.5]),
    "string": ("string", ["c0", "c17", "c39", "c40"]),
    "decimal": ("decimal(10,2)", [Decimal(0), Decimal(17), Decimal(39), Decimal(40)]),
}


def losses(df, **asked):
    columns = with_loss(ready(df, by="row", **asked))
    return columns.select(F.col("slice_0").alias("row"), "status", "loss")


def table(spark, label, prediction):
    """Four rows of a label and a prediction, each given as a type and its values."""
    (label_type, labels), (type_, values) = label, prediction
    if type_ == "vector":
        schema = StructType([StructField("row", IntegerType()), StructField("prediction", VectorUDT())])
        assert label_type == "int"
        df = spark.createDataFrame(list(enumerate(values)), schema)
        return df.withColumn("label", F.get(F.lit(labels), F.col("row")))
    if type_ == "columns":
        rows = [(place, y, *pair) for place, (y, pair) in enumerate(zip(labels, values, strict=True))]
        return spark.createDataFrame(rows, f"row int, label {label_type}, p_0 double, p_1 float")
    rows = list(zip(range(len(labels)), labels, values, strict=True))
    return spark.createDataFrame(rows, f"row int, label {label_type}, prediction {type_}")


EVERY = {"label": LABELS, "forty classes": FORTY, "native": NUMBERS | MANY, "pandas": NUMBERS | MANY}
FEW = {
    "label": ("int", "decimal", "boolean", "float of -1 and 1", "turned round", "tenths as decimal", "share as int"),
    "forty classes": ("string", "decimal"),
    "native": ("float", "array<decimal>", "sparse vectors", "one column per class"),
    "pandas": ("decimal", "dense vectors"),
}
"""What a role may hold, and the cases of it that are quick: predictions by the engine that reads them."""


@pytest.fixture(scope="module", params=["few", slow("every")])
def by_type(request, spark):
    """Status and loss of every row, by what a role may hold and the case of it, in one job."""
    made = {}
    for role, names in {"few": FEW, "every": EVERY}[request.param].items():
        for name in names:
            asked = {"engine": "native"}
            if role == "label":
                type_, values, spec = LABELS[name]
                df, asked = table(spark, (type_, values), NUMBERS["double"]), asked | spec
            elif role == "forty classes":
                df = table(spark, FORTY[name], ("array<double>", [[0.025] * 40] * 4))
                asked["classes"] = tuple(f"c{k}" if name == "string" else k for k in range(40))
            else:
                df, asked["engine"] = table(spark, LABELS["int"][:2], (NUMBERS | MANY)[name]), role
                if name == "one column per class":
                    asked["prediction"] = ("p_0", "p_1")
            found = losses(df, **asked)
            made[role, name] = found.select(F.lit(role).alias("role"), F.lit(name).alias("name"), *found.columns)
    found = union_of(list(made.values())).toPandas().sort_values("row")
    by_role = {role: {} for role in EVERY}
    for (role, name), rows in found.groupby(["role", "name"]):
        by_role[role][name] = rows.status.tolist(), rows.loss.tolist()
    assert sum(map(len, by_role.values())) == len(made)
    return by_role


@pytest.mark.parametrize("role", ["label", "native", "pandas"])
def test_labels_are_of_any_plain_type_and_predictions_numbers_arrays_vectors_or_columns(by_type, role):
    for name, found in by_type[role].items():
        assert found == ([0] * 4, pytest.approx(LOSSES, rel=1e-15, abs=0)), name  # ln is within an ulp


def test_many_classes_are_told_apart_in_the_type_of_the_label(by_type):
    for name, (status, loss) in by_type["forty classes"].items():
        assert status[:3] == [0, 0, 0], name
        assert status[3] != 0, name
        assert loss[:3] == pytest.approx([np.log(40)] * 3, rel=1e-15), name


def test_mllib_says_in_the_metadata_of_a_vector_how_many_classes_there_are(spark):
    df = spark.createDataFrame([(0, [0.2, 0.3, 0.5])], "label int, p array<double>")
    named = df.withMetadata("p", {"ml_attr": {"num_attrs": 3}})
    assert ready(named, prediction="p").form.classes == (0, 1, 2)
    assert ready(df, prediction="p").form.classes == (0, 1)


def test_a_sparse_vector_without_entries_is_no_pair_of_zeros(spark):
    schema = StructType([StructField("row", IntegerType()), StructField("prediction", VectorUDT())])
    df = spark.createDataFrame([(0, SparseVector(0, {})), (1, SparseVector(2, {}))], schema).withColumn(
        "label", F.lit(1)
    )
    found = {row.row: row.status for row in losses(df, engine="native", kind="logit").collect()}
    assert found[0] != 0
    assert found[1] == 0


NAMES = {
    "dots": "the.label.of it",
    "backticks": "`p` and ``q``",
    "quotes": "w'e\"ight'",
    "slice": "s.l`i\"c'e, (of) it;\n",
}


@pytest.mark.connect
def test_columns_may_have_any_name(spark):
    rows = [(1, 0.25, 2.0, "a"), (0, 0.75, 1.0, "a"), (1, 0.5, 1.0, "b"), (None, 0.5, 1.0, "b")]
    df = spark.createDataFrame(rows, "a int, b double, c double, d string").toDF(*NAMES.values())
    found = ls.evaluate(
        df, label=NAMES["dots"], prediction=NAMES["backticks"], weight=NAMES["quotes"], by=[[NAMES["slice"]]]
    )
    metrics = found.to_pandas().set_index("slice")
    assert metrics.loc["all", "rows"] == 4
    assert metrics.loc[f"{NAMES['slice']}=b", "null_label"] == 1
    assert metrics.loc[f"{NAMES['slice']}=b", "log_loss"] == pytest.approx(np.log(2), rel=1e-15)
    assert set(metrics[NAMES["slice"]].dropna()) == {"a", "b"}
    invalid = found.invalid
    assert invalid.columns == [*NAMES.values(), "row_status"]
    assert [row.row_status for row in invalid.collect()] == ["null_label"]


@pytest.fixture(scope="module")
def wide(spark):
    """No row, and a column of every kind."""
    schema = (
        "label int, p double, w8 double, weight_text string, day date, flag boolean, word string, ps array<double>,"
        " words array<string>, share double, inner struct<a: int>, table_of map<string, int>, classes string,"
        " log_loss double"
    )
    return spark.createDataFrame([], schema)


BAD = {
    "a column that is not there": ({"weight": "w"}, "weight column 'w' is not in the table"),
    "a name spelled nearly right": ({"label": "lable"}, "Did you mean 'label'?"),
    "one of several columns missing": ({"prediction": ["p", "q"]}, "prediction column 'q' is not in the table"),
    "a slice that is not there": ({"by": [["dayy"]]}, "slice column 'dayy' is not in the table"),
    "text as prediction": ({"prediction": "word"}, "must hold numbers, arrays of numbers or ML vectors, got string"),
    "a date as prediction": ({"prediction": "day"}, "ML vectors, got date"),
    "a boolean as prediction": ({"prediction": "flag"}, "ML vectors, got boolean"),
    "words as prediction": ({"prediction": "words"}, "ML vectors, got array<string>"),
    "text among the columns": ({"prediction": ["p", "word"]}, "'word' must be numeric, got string"),
    "an array among the columns": ({"prediction": ["p", "ps"]}, "'ps' must be numeric, got array<double>"),
    "one column for all classes": ({"prediction": ["p"]}, "two or more"),
    "no column": ({"prediction": []}, "two or more"),
    "text as weight": ({"weight": "weight_text"}, "must be numeric, got string"),
    "a boolean as weight": ({"weight": "flag"}, "must be numeric, got boolean"),
    "an array as weight": ({"weight": "ps"}, "must be numeric, got array<double>"),
    "text as label, without classes": ({"label": "word"}, "can never equal the class 0"),
    "a date as label": ({"label": "day"}, "is date, which can never equal"),
    "text classes of numbers": ({"classes": ("no", "yes")}, "can never equal the class 'no'"),
    "a fraction as class of integers": ({"classes": (0, 0.5)}, "can never equal the class 0.5"),
    "NaN as class of integers": ({"classes": (0, float("nan"))}, "can never equal the class nan"),
    "null as a class": ({"classes": (0, None)}, "can never equal the class None"),
    "labels in columns": ({"label": ["label", "share"]}, "soft_labels=True"),
    "one class": ({"classes": (1,)}, "must name two labels or more, got [1]"),
    "a class twice": ({"classes": (1, 0, 1)}, "got 1 twice"),
    "a class twice, as two types": ({"classes": (1, True)}, "must be distinct, got True twice"),
    "three classes of a number": ({"classes": (0, 1, 2)}, "a number, which forecasts 2 classes"),
    "three classes of two columns": ({"prediction": ["p", "share"], "classes": (0, 1, 2)}, "2 columns"),
    "a share for a distribution": (
        {"label": "share", "prediction": "ps", "soft_labels": True},
        "a soft label and its prediction must both be numbers or both be distributions",
    ),
    "a distribution for a share": (
        {"label": "ps", "soft_labels": True},
        "a soft label and its prediction must both be numbers or both be distributions",
    ),
    "three columns of shares for two classes": (
        {"label": ["share", "p", "share"], "prediction": ["p", "share"], "soft_labels": True},
        "label must have one column per class, got 3 columns for 2 classes",
    ),
    "an array as slice": ({"by": [["ps"]]}, "must hold plain values, got array<double>"),
    "a struct as slice": ({"by": [["inner"]]}, "must hold plain values"),
    "a map as slice": ({"by": [["table_of"]]}, "must hold plain values"),
    "a slice called like a metric": ({"by": [["log_loss"]]}, "withColumnRenamed"),
    "a slice twice in a set": ({"by": [["day", "day"]]}, "got 'day' twice"),
    "by as a list of words": (
        {"by": ["day", "flag"]},
        "write [['day'], ['flag']] for each alone, [['day', 'flag']] for their combinations",
    ),
    "one label in a list": ({"label": ["label"]}, "label must be one column, given without a list"),
    "by as numbers": ({"by": [[1]]}, "by must be a list of names, got [1]"),
    "another kind": ({"kind": "probabilty"}, "Did you mean 'probability'?"),
    "another clip": ({"clip": "epsilon"}, "clip must be 'eps' or 'none', got 'epsilon'"),
    "another engine": ({"engine": "panda"}, "Did you mean 'pandas'?"),
    "eps of 0": ({"eps": 0.0}, "eps must lie between 0 and 0.5"),
    "eps of text": ({"eps": "1e-15"}, "got '1e-15'"),
    "eps of NaN": ({"eps": float("nan")}, "got nan"),
    "a negative tolerance": ({"sum_tolerance": -0.1}, "sum_tolerance must lie in [0, 1)"),
    "a tolerance of text": ({"sum_tolerance": "small"}, "sum_tolerance must lie in [0, 1)"),
    "a confidence of 95": ({"confidence": 95}, "confidence must lie between 0 and 1"),
    "bins that divide neither 200 nor 15": ({"ece_bins": 7}, "200, got 7"),
    "a fraction of bins": ({"ece_bins": 10.0}, "whole number"),
    "no bins": ({"ece_bins": 0}, "must be one of 1, 2, 3"),
    "a baseline of 1": ({"baseline": 1.0}, "shares between 0 and 1"),
    "a baseline of text": ({"baseline": "half"}, "got 4"),
    "a baseline of three": ({"baseline": [0.2, 0.3, 0.5]}, "each of 2 classes, got 3"),
    "a baseline that sums to 2": ({"baseline": [0.9, 1.1]}, "shares between 0 and 1"),
    "a baseline with text in it": ({"baseline": [0.5, "half"]}, "shares between 0 and 1"),
    "a number as name": ({"prediction": 3}, "prediction must be the name of a column, or a list of names, got 3"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_cannot_be_meant_is_refused_in_one_line(wide, case):
    given, says = BAD[case]
    with pytest.raises(SpecError) as refused:
        ls.evaluate(wide, **{"label": "label", "prediction": "p"} | given)
    assert says in str(refused.value)
    assert "\n" not in str(refused.value)
    assert refused.value.exit_code == 2


def test_spark_columns_in_place_of_names_are_refused_in_one_line(wide):
    for given in ({"prediction": wide.p}, {"weight": wide.w8}, {"by": [[wide.day]]}):
        with pytest.raises(SpecError, match=r"a list of names|name of a column"):
            ls.evaluate(wide, **{"label": "label", "prediction": "p"} | given)


def test_a_name_that_two_columns_have_is_refused(wide):
    with pytest.raises(SpecError, match="'p' must be in the table once, got 2"):
        ls.evaluate(wide.select("label", "p", "share").toDF("label", "p", "p"), label="label", prediction="p")


def test_nothing_is_read_until_a_result_is_used(spark):
    # A division by zero in a row would raise.
    df = spark.range(3).select(
        F.lit(1).alias("label"), (F.lit(1.0) / F.col("id")).alias("p"), F.lit(date(2026, 1, 1)).alias("day")
    )
    assert repr(ls.evaluate(df, label="label", prediction="p", by=[["day"]])).startswith("Evaluation: log loss of p")


def test_an_array_type_is_told_from_its_element(spark):
    df = spark.createDataFrame(
        [], StructType([StructField("label", IntegerType()), StructField("p", ArrayType(DoubleType()))])
    )
    assert not ready(df, prediction="p").form.scalar


@pytest.mark.connect
def test_a_table_that_is_not_sparks_is_refused_in_one_line(spark):
    frame = pd.DataFrame({"y": [0, 1], "p": [0.1, 0.9]})
    for call in (
        lambda: ls.evaluate(frame, label="y", prediction="p"),
        lambda: ls.log_loss(frame, "y", "p"),
        lambda: ls.fit_logistic(frame, features=["p"], label="y"),
    ):
        with pytest.raises(
            SpecError, match="must be a Spark DataFrame, or the path of Parquet files, got a pandas DataFrame"
        ):
            call()
    assert ls.log_loss(spark.createDataFrame(frame), "y", "p") > 0


MANY_CLASSES = {
    "int": lambda count: range(count, 0, -1),
    "double": lambda count: [place + 0.5 for place in range(count)],
    "decimal(10,2)": lambda count: [place + 0.5 for place in range(count)],
    "string": lambda count: [f"c{place}" for place in range(count)],
}


def test_no_call_to_the_jvm_is_made_for_each_class(spark, monkeypatch):
    calls = []
    send = GatewayClient.send_command

    def counting(client, command, *arguments, **options):
        if not command.startswith(MEMORY_COMMAND_NAME):  # the garbage of Python, whenever it is collected
            calls.append(command)
        return send(client, command, *arguments, **options)

    tables = {type_: spark.createDataFrame([], f"label {type_}, p array<double>") for type_ in MANY_CLASSES}
    monkeypatch.setattr(GatewayClient, "send_command", counting)
    made = {}
    for count in (100, 10_000):
        for type_, df in tables.items():
            calls.clear()
            _ = ls.evaluate(df, "label", "p", classes=MANY_CLASSES[type_](count), engine="native")
            made[count, type_] = len(calls)
    assert all(made[10_000, type_] <= made[100, type_] for type_ in tables)
