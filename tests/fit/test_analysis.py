"""A training table is analysed once for each fit, whoever asks for it."""

import pytest
from pyspark.ml.functions import array_to_vector
from pyspark.sql import functions as F

from logloss_spark import fit_logistic
from logloss_spark.fit import table as analysis
from logloss_spark.fit.passes import TrainingRows
from logloss_spark.ml import LogisticRegressionGD
from tests.fit.local import local_table

ROWS = [(0.0, 1), (1.0, 0), (2.0, 1), (3.0, 0), (4.0, 1), (5.0, 1)]


@pytest.fixture
def calls(monkeypatch) -> list[str]:
    """The names of the functions that look at the schema of a table or read its classes, as they are called."""
    called = []

    def counted(name):
        original = getattr(analysis, name)

        def function(*arguments):
            called.append(name)
            return original(*arguments)

        return function

    for name in ("finder", "find_features", "read_classes"):
        monkeypatch.setattr(analysis, name, counted(name))
    return called


def test_a_fit_and_an_estimator_analyse_their_table_once(spark, calls) -> None:
    table = spark.createDataFrame(ROWS, "hour double, label int").coalesce(1)
    fit_logistic(table, features=["hour"], label="label", solver="lbfgs", max_iter=0)
    assert calls == ["finder", "find_features", "read_classes"]
    calls.clear()
    LogisticRegressionGD(solver="lbfgs", maxIter=0).fit(table.withColumn("features", array_to_vector(F.array("hour"))))
    assert calls == ["finder", "find_features", "read_classes"]


def test_rows_are_read_when_they_are_entered() -> None:
    rows = TrainingRows(local_table(names=("x0", "x1"), classes=2))  # a table without a source: to read it would fail
    assert (rows.rows, rows.passes, rows.parts) == (0, 0, [])
