"""LogLossEvaluator: forecasts in any form, as many classes as they have, and labels that they rule out."""

import math
from itertools import product

import numpy as np
import pandas as pd
import pytest
from pyspark.ml import Pipeline
from pyspark.ml.classification import LogisticRegression
from pyspark.ml.feature import VectorAssembler
from pyspark.ml.linalg import SparseVector, Vectors
from pyspark.ml.tuning import CrossValidator, ParamGridBuilder
from scipy.special import logsumexp
from sklearn.metrics import log_loss

from logloss_spark import DataError, InvalidRowsWarning, SpecError
from logloss_spark.ml import LogisticRegressionGD, LogisticRegressionGDModel, LogLossEvaluator
from tests.fit.local import fit_locally
from tests.quick import quick

CAP = -math.log(1e-15)

SIX = np.array([[0, 0, 0, 0, 0, 1.0], [0.5, 0.1, 0.1, 0.1, 0.1, 0.1], [0, 0.25, 0.75, 0, 0, 0], [1.0, 0, 0, 0, 0, 0]])
LABELS = [5.0, 0.0, 1.0, 3.0]


def vector(entries, *, sparse=True):
    entries = np.asarray(entries, dtype=float)
    stored = np.flatnonzero(entries)
    return Vectors.sparse(len(entries), stored, entries[stored]) if sparse else Vectors.dense(entries)


@pytest.mark.slow
def test_a_sparse_first_vector_has_as_many_classes_as_it_has_entries(spark) -> None:
    rows = [
        (label, vector(row, sparse=place % 2 == 0)) for place, (label, row) in enumerate(zip(LABELS, SIX, strict=True))
    ]
    assert len(rows[0][1].values) == 1
    clipped = np.maximum(SIX[np.arange(4), np.int64(LABELS)], 1e-15)
    found = LogLossEvaluator().evaluate(spark.createDataFrame(rows, ["label", "probability"]))
    assert found == pytest.approx(-np.log(clipped).mean(), rel=1e-12)


@pytest.mark.connect
def test_a_first_vector_that_vector_assembler_made_sparse_has_all_its_classes(spark) -> None:
    shares = np.array([[1.0, 0, 0, 0], [0.1, 0.2, 0.3, 0.4], [0.25, 0.25, 0.25, 0.25]])
    columns = ["p0", "p1", "p2", "p3"]
    table = spark.createDataFrame(pd.DataFrame(shares, columns=columns).assign(label=[0.0, 3.0, 2.0])).coalesce(1)
    assembled = VectorAssembler(inputCols=columns, outputCol="probability").transform(table)
    assert isinstance(assembled.head()["probability"], SparseVector)
    wanted = log_loss([0, 3, 2], shares, labels=range(4))
    assert LogLossEvaluator().evaluate(assembled) == pytest.approx(wanted, rel=1e-12)


def test_arrays_and_numbers_are_forecasts_and_nulls_before_them_are_left_out(spark) -> None:
    rows = [(0.0, None, 0.2, 3), (1.0, [0.3, 0.7], 0.7, 1), (0.0, [0.6, 0.4], 0.4, 2)]
    table = spark.createDataFrame(rows, "label double, shares array<double>, p double, w int").coalesce(1)
    with pytest.warns(InvalidRowsWarning, match="dropped 1 row of 3 from the log loss: null_prediction 1"):
        shares = LogLossEvaluator(probabilityCol="shares", weightCol="w").evaluate(table)
    assert shares == pytest.approx(log_loss([1, 0], [0.7, 0.4], sample_weight=[1, 2]), rel=1e-12)
    numbers = LogLossEvaluator(probabilityCol="p", weightCol="w").evaluate(table)
    assert numbers == pytest.approx(log_loss([0, 1, 0], [0.2, 0.7, 0.4], sample_weight=[3, 1, 2]), rel=1e-12)


@pytest.mark.parametrize("classes", quick([2, 3], 3))
def test_raw_predictions_have_the_loss_of_their_probabilities(spark, classes) -> None:
    rng = np.random.default_rng(61)
    x = rng.normal(size=(200, 2))
    y = (x @ rng.normal(size=(2, classes)) + rng.gumbel(size=(200, classes))).argmax(axis=1).astype(float)
    rows = [(float(label), Vectors.dense(row)) for label, row in zip(y, x, strict=True)]
    table = spark.createDataFrame(rows, ["label", "features"])
    for family in ["auto", "multinomial"] if classes == 2 else ["auto"]:
        model = fit_locally(x, y, reg_param=0.05, family=family)
        scored = LogisticRegressionGDModel(model).transform(table)
        for columns in ({}, {"rawPredictionCol": "rawPrediction"}):
            found = LogLossEvaluator(**columns).evaluate(scored)
            assert found == pytest.approx(model.report.log_loss, rel=1e-12), (family, columns)


FORMS = {
    "numbers": (lambda p: float(p[1]), "double", 2),
    "arrays": (lambda p: p.tolist(), "array<double>", 3),
    "vectors": (vector, None, 3),
}


@pytest.mark.parametrize(("raw", "form"), quick(product([False, True], FORMS), (False, "numbers"), (True, "vectors")))
def test_a_label_beyond_the_forecast_costs_the_cap(spark, form, raw) -> None:
    written, type_, width = FORMS[form]
    shares = np.random.default_rng(62).dirichlet(np.ones(width), size=6)
    labels = [0.0, 1.0, float(width), 1.0, 1e9, 0.5]  # the last is a label of no class
    logits = np.log(shares)
    if raw:
        column = [np.array([a, b - a]) if width == 2 else np.array([a, b, c]) for a, b, c in padded(logits)]
    else:
        column = list(shares)
    rows = [(label, written(entries)) for label, entries in zip(labels, column, strict=True)]
    table = spark.createDataFrame(rows, f"label double, score {type_}" if type_ else ["label", "score"])
    known = [-(logits[place] - logsumexp(logits[place]))[int(labels[place])] for place in (0, 1, 3)]
    evaluator = LogLossEvaluator(rawPredictionCol="score") if raw else LogLossEvaluator(probabilityCol="score")
    with pytest.warns(InvalidRowsWarning, match="dropped 1 row of 6 from the log loss: unknown_label 1"):
        assert evaluator.evaluate(table) == pytest.approx((sum(known) + 2 * CAP) / 5, rel=1e-12)


def padded(logits):
    return np.column_stack([logits, np.zeros((len(logits), 3 - logits.shape[1]))])


def test_a_label_that_all_rows_have_beyond_the_forecast_costs_the_cap_and_weights_count(spark) -> None:
    rows = [(2, [0.5, 0.5], 3.0), (3, [0.5, 0.5], 1.0), (2, None, 1.0), (2, [0.9, 0.9], 1.0), (0, [0.25, 0.75], 0.0)]
    table = spark.createDataFrame(rows, "label int, probability array<double>, w double").coalesce(1)
    with pytest.warns(InvalidRowsWarning, match="null_prediction 1, prediction_sum 1"):
        assert LogLossEvaluator(weightCol="w").evaluate(table) == pytest.approx(CAP, rel=1e-15)


@pytest.mark.slow
def test_a_class_that_never_happens_changes_nothing(spark) -> None:
    table = spark.createDataFrame([(0.0, [0.5, 0.25, 0.25]), (1.0, [0.2, 0.7, 0.1])], "label double, p array<double>")
    wanted = -(math.log(0.5) + math.log(0.7)) / 2
    assert LogLossEvaluator(probabilityCol="p").evaluate(table) == pytest.approx(wanted, rel=1e-14)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:unclosed running multiprocessing pool:ResourceWarning")  # Spark's own
@pytest.mark.parametrize("learner", [LogisticRegressionGD, LogisticRegression])
def test_a_search_over_folds_that_lack_the_last_class_counts_its_events(spark, learner) -> None:
    rng = np.random.default_rng(63)
    rows = [(float(rng.normal()), float(place % 2), place % 3) for place in range(90)]
    rows += [(float(rng.normal()), 2.0, 0) for _ in range(10)]  # all events of the last class are in one fold
    table = spark.createDataFrame(rows, "x double, label double, fold int")
    lr = learner(regParam=0.1)
    pipeline = Pipeline(stages=[VectorAssembler(inputCols=["x"], outputCol="features"), lr])
    search = CrossValidator(
        estimator=pipeline,
        estimatorParamMaps=ParamGridBuilder().addGrid(lr.regParam, [0.1]).build(),
        evaluator=LogLossEvaluator(),
        numFolds=3,
        foldCol="fold",
    )
    # 10 of the 40 rows of a fold cost the cap each: 8.6 of its loss.
    assert search.fit(table).avgMetrics[0] > CAP / 4 / 3


@pytest.mark.parametrize(
    ("schema", "row", "error", "says"),
    [
        (
            "label double, probability array<double>",
            (1.0, None),
            DataError,
            "must hold forecasts, got nothing but nulls",
        ),
        (
            "label double, probability array<double>",
            (1.0, [1.0]),
            DataError,
            "two classes or more, got 1 in 'probability'",
        ),
        (
            "label double, probability array<double>",
            (1.0, []),
            DataError,
            "two classes or more, got 0 in 'probability'",
        ),
        (
            "label double, probability string",
            (1.0, "x"),
            SpecError,
            "prediction column 'probability' must hold numbers",
        ),
        ("label string, probability double", ("a", 0.5), SpecError, "label column 'label' is string"),
        ("labels double, probability double", (1.0, 0.5), SpecError, "label column 'label' is not in the table"),
    ],
)
def test_a_table_without_forecasts_is_told_in_one_line(spark, schema, row, error, says) -> None:
    with pytest.raises(error, match=says) as raised:
        LogLossEvaluator().evaluate(spark.createDataFrame([row], schema))
    assert "\n" not in str(raised.value)
