"""Labels of any type that can be one are found; a type that cannot is told in one line, and so is a class's weight."""

from decimal import Decimal

import numpy as np
import pytest
from pyspark.sql import functions as F

from logloss_spark import DataError, SpecError, fit_logistic
from logloss_spark.fit.spec import Training
from logloss_spark.fit.table import class_named, factors_of_classes, training_table
from logloss_spark.ml import LogisticRegressionGD
from logloss_spark.scoring import plain_label
from tests.quick import slow

LABELS = [0, 1, 1, 0, 1, 0]
X = [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]


@pytest.fixture(scope="module")
def table(spark):
    rows = list(zip(LABELS, X, strict=True))
    return spark.createDataFrame(rows, "y int, x double").coalesce(1).cache()


# What a label column is cast from y, and the classes that it holds.
KINDS = {
    "CAST(y AS DECIMAL(38,10))": (0, 1),
    "CAST(y + 0.5 AS DECIMAL(3,1))": (0.5, 1.5),
    "CAST(y + 0.1D AS FLOAT)": (float(np.float32(0.1)), float(np.float32(1.1))),
    "y = 1": (0, 1),
    "IF(y = 1, 'yes', 'no')": ("no", "yes"),
    "CAST(y AS VARCHAR(3))": ("0", "1"),
}


def test_classes_are_found_in_a_label_of_any_type(table) -> None:
    columns = {f"label {place}": F.expr(kind) for place, kind in enumerate(KINDS)}
    typed = table.select("x", *[column.alias(name) for name, column in columns.items()])
    found = {
        kind: training_table(typed, Training(features="x", label=name)).classes
        for name, kind in zip(columns, KINDS, strict=True)
    }
    assert found == KINDS
    assert [type(label) for label in found["CAST(y AS DECIMAL(38,10))"]] == [int, int]


@pytest.mark.parametrize("label", [slow("CAST(y AS DECIMAL(1,0))"), "CAST(y * 0.5 AS DECIMAL(9,3))"])
def test_a_decimal_label_is_fitted_as_its_numbers(table, label) -> None:
    asked = {"features": ["x"], "label": "y", "solver": "lbfgs", "max_iter": 1}
    plain = fit_logistic(table, **asked)
    model = fit_logistic(table.withColumn("y", F.expr(label)), **asked)
    np.testing.assert_array_equal(model.coefficients, plain.coefficients)
    assert model.report.rows == 6


@pytest.mark.parametrize(
    ("label", "error", "says"),
    [
        ("CAST(CAST(y AS STRING) AS BINARY)", SpecError, "must hold numbers, booleans or strings, got binary"),
        ("date_add(DATE '2026-11-26', y)", SpecError, "must hold numbers, booleans or strings, got date"),
        ("array(y)", SpecError, "must hold numbers, booleans or strings, got array<int>"),
        ("CAST(y + 0.12345678901234567890 AS DECIMAL(25,20))", DataError, "got .*12345678901234567890 in label column"),
        ("NULL", DataError, "holds no label"),
    ],
)
def test_what_cannot_be_a_label_is_told_in_one_line(table, label, error, says) -> None:
    typed = table.withColumn("y", F.expr(label))
    with pytest.raises(error, match=says) as raised:
        fit_logistic(typed, features=["x"], label="y")
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("label", "says"),
    [
        ("y * 1000000", "labels of an Estimator must be 0..K-1, with rows of each, got 1000000 and no 1 in column 'y'"),
        ("y + 1", "got 2 and no 0"),
        ("CAST(y AS STRING)", "labels of an Estimator must be 0..K-1, got '0' in column 'y'"),
    ],
)
def test_labels_of_an_estimator_without_rows_of_each_are_refused(table, label, says) -> None:
    with pytest.raises(DataError, match=says):
        LogisticRegressionGD(labelCol="y").fit(
            table.withColumn("y", F.expr(label)).withColumn("features", F.array("x"))
        )


def test_an_estimator_whose_label_is_absent_says_so_in_one_line(table) -> None:
    with pytest.raises(SpecError, match="label column 'z' is not in the table") as raised:
        LogisticRegressionGD(labelCol="z").fit(table.withColumn("features", F.array("x")))
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("key", "classes", "place"),
    [
        ("1", (0, 1), 1),
        ("-1", (-1, 1), 0),
        ("1", ("0", "1"), 1),
        ("0.5", (0, 0.5), 1),
        ("²", ("²", "x"), 0),
        (1.0, (0, 1), 1),
        (True, (0, 1), 1),
        (Decimal("1"), (0, 1), 1),
        (np.int64(1), (0, 1), 1),
    ],
)
def test_a_key_of_class_weight_is_a_class_or_spells_it(key, classes, place) -> None:
    assert class_named(key, classes) == place


@pytest.mark.parametrize("key", ["²", "--1", "１", "-", "", "01", "1e0", "9" * 5000, 2])
def test_a_key_of_class_weight_that_is_no_class_is_told_in_one_line(key) -> None:
    with pytest.raises(SpecError, match="which is none of the classes") as raised:
        class_named(key, (0, 1))
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("class_weight", "classes"),
    [({0: 2.0, "0": 3.0}, (0, 1)), ({"1": 2.0, True: 3.0}, (0, 1)), ({1: 2, "1": 2}, (1, 2))],
)
def test_two_keys_of_class_weight_for_one_class_are_told_in_one_line(class_weight, classes) -> None:
    first, second = class_weight
    with pytest.raises(SpecError, match=f"one key for each class, got {first!r} and {second!r} for class") as raised:
        factors_of_classes(class_weight, classes)
    assert "\n" not in str(raised.value)


def test_a_class_that_class_weight_does_not_name_has_the_factor_1() -> None:
    assert factors_of_classes({"b": 2}, ("a", "b", "c")) == {0: 1.0, 1: 2.0, 2: 1.0}


def test_a_decimal_is_the_whole_number_or_the_double_that_it_is() -> None:
    assert [plain_label(Decimal(text)) for text in ("1.00", "-3", "0.25")] == [1, -3, 0.25]
    assert type(plain_label(Decimal("1.0"))) is int
