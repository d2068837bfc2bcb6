"""Spark's rawPrediction, [-z, z]: its last entry is the logit, and nobody takes it for two logits unawares."""

import numpy as np
import pandas as pd
import pytest
from pyspark.ml.classification import LogisticRegression
from pyspark.ml.functions import vector_to_array
from pyspark.ml.linalg import DenseVector, SparseVector, VectorUDT
from pyspark.sql import functions as F
from pyspark.sql.types import DoubleType, StructField, StructType
from scipy.special import expit
from sklearn.metrics import brier_score_loss, log_loss, roc_auc_score

import logloss_spark as ls
from logloss_spark import functions as L
from logloss_spark.errors import SpecError
from tests.quick import quick
from tests.rows.batches import collected, scored_table

LABELS = [1, 0, 1, 1, 0, 0, 1, 0]
LOGITS = [2.0, -1.5, 0.25, 40.0, 3.0, -0.5, -2.25, 0.0]
ENGINES = ["pandas", "native"]
ALIKE = {"array": "margin", "z": "logit"}
"""Columns of one score, and their kinds."""

NAN, INF = float("nan"), float("inf")


@pytest.fixture(scope="module")
def table(spark):
    """Eight events with their logit in every form that a margin may have."""
    vectors = [SparseVector(2, {}) if z == 0 else DenseVector([-z, z]) for z in LOGITS]
    schema = StructType(
        [StructField("y", DoubleType()), StructField("z", DoubleType()), StructField("vector", VectorUDT())]
    )
    rows = spark.createDataFrame(list(zip(map(float, LABELS), LOGITS, vectors, strict=True)), schema)
    return rows.withColumns(
        {
            "array": vector_to_array("vector"),
            "first": -F.col("z"),
            "last": F.col("z").cast("float"),
            "doubled": F.array(F.lit(0.0), 2 * F.col("z")),
            "three": F.array("z", "z", "z"),
        }
    ).cache()


FORMS = ["vector", "array", ["first", "last"], "z"]


@pytest.mark.parametrize("engine", quick(ENGINES, "native"))
def test_a_margin_in_any_form_has_the_terms_of_its_logit_in_both_engines(table, engine):
    def terms(form, kind):
        return scored_table(table, label="y", by=(("z",),), prediction=form, kind=kind, engine=engine)

    forms = {"number": "z", "vector": "vector", "array": "array", "columns": ("first", "last")}
    found = collected({"logit": terms("z", "logit")} | {name: terms(form, "margin") for name, form in forms.items()})
    for name in forms:
        for term, values in found[name].items():
            np.testing.assert_array_equal(values, found["logit"][term], err_msg=f"{name}: {term}")


@pytest.mark.connect
def test_a_margin_has_the_metrics_that_scikit_learn_finds_for_its_logit(table):
    with ls.evaluate(table, label="y", prediction="vector", kind="margin") as evaluation:
        found = evaluation.metrics.first()
    wanted = [log_loss(LABELS, expit(LOGITS)), brier_score_loss(LABELS, expit(LOGITS)), roc_auc_score(LABELS, LOGITS)]
    # Sums of eight terms, each with an ulp.
    assert [found.log_loss, found.brier, found.auc] == pytest.approx(wanted, rel=1e-14)


@pytest.mark.slow
def test_sparks_own_raw_prediction_has_the_loss_of_its_probability(spark):
    x = np.random.default_rng(5).normal(size=40)
    rows = [(float(v + s > 0), DenseVector([v])) for v, s in zip(x, np.roll(x, 1), strict=True)]
    df = spark.createDataFrame(
        rows, StructType([StructField("label", DoubleType()), StructField("features", VectorUDT())])
    )
    scored = LogisticRegression(regParam=0.05).fit(df).transform(df).cache()
    wanted = ls.log_loss(scored, "label", "probability", classes=(0, 1))
    assert ls.log_loss(scored, "label", "rawPrediction", kind="margin") == pytest.approx(wanted, rel=1e-14)
    with pytest.raises(SpecError, match="kind='margin'"):
        ls.log_loss(scored, "label", "rawPrediction", kind="logit")


@pytest.mark.connect
@pytest.mark.parametrize("prediction", FORMS[:3], ids=str)
def test_two_logits_that_look_like_a_margin_are_refused_before_a_number_is_shown(table, prediction):
    gaps = table.unionByName(table.limit(1).select("y"), allowMissingColumns=True)
    for call in (
        lambda: ls.log_loss(gaps, "y", prediction, kind="logit"),
        lambda: ls.evaluate(gaps, label="y", prediction=prediction, kind="logit", engine="native"),
    ):
        with pytest.raises(SpecError, match=r"looks like Spark's rawPrediction.* in the first 7 rows.*kind='margin'"):
            call()


def test_models_that_are_compared_are_looked_at_one_by_one(table):
    models = {"real": "doubled", "raw": "array"}
    with pytest.raises(SpecError, match="the prediction of 'raw' looks like Spark's rawPrediction"):
        ls.compare(table, label="y", predictions=models, baseline="real", kind="logit")
    long = table.select("y", F.lit("real").alias("model"), F.col("doubled").alias("s"), F.col("z").alias("id")).union(
        table.select("y", F.lit("raw"), "array", "z")
    )
    with pytest.raises(SpecError, match="the prediction of 'raw' looks like Spark's rawPrediction"):
        ls.compare(long, label="y", prediction="s", model="model", keys="id", baseline="real", kind="logit")


def test_two_logits_that_are_no_margin_are_scored(table):
    zeros = table.withColumn("doubled", F.array(F.lit(0.0), F.lit(0.0)))
    for df, logits in ((table, np.array(LOGITS) * 2), (zeros, np.zeros(8))):
        found = ls.log_loss(df, "y", "doubled", kind="logit")
        assert found == pytest.approx(log_loss(LABELS, expit(logits)), rel=1e-14)


@pytest.mark.parametrize("engine", quick(ENGINES, "native"))
def test_a_margin_of_another_length_is_a_wrong_length(spark, engine):
    values = [
        [-1.0, 1.0],
        [1.0],
        [-1.0, 0.0, 1.0],
        [],
        None,
        [None, 1.0],
        [1.0, None],
        [float("nan"), 1.0],
        [-np.inf, np.inf],
    ]
    df = spark.createDataFrame([(1, z) for z in values], "label int, prediction array<double>")
    found = ls.evaluate(df, label="label", prediction="prediction", kind="margin", engine=engine)
    counts = {row.part: row.n for row in found.state.table.where("place IS NULL AND n > 0").collect()}
    wanted = {"ok": 2, "prediction_length": 3, "null_prediction": 3, "nan_prediction": 1}
    assert {name: counts[name] for name in wanted} == wanted
    statuses = [row.s for row in df.select(L.row_status("label", "prediction", kind="margin").alias("s")).collect()]
    assert pd.Series(statuses).value_counts().to_dict() == wanted


def test_column_functions_take_a_margin_in_every_form(table):
    losses = [L.cross_entropy("y", form, kind="margin").alias(f"loss of {form}") for form in FORMS]
    found = table.select("y", "z", *losses).toPandas()
    wanted = np.logaddexp(0, np.where(found.y == 1, -found.z, found.z))
    for form in FORMS:
        # NumPy's logaddexp takes another way to the same number.
        np.testing.assert_allclose(found[f"loss of {form}"], wanted, rtol=1e-14)


def test_sql_functions_take_a_margin(spark, table):
    L.register(spark, kind="margin")
    found = table.selectExpr("sum(cross_entropy(y, vector)) AS loss", "max(row_status(y, three)) AS status").first()
    assert found.loss / 8 == pytest.approx(log_loss(LABELS, expit(LOGITS)), rel=1e-14)
    assert found.status == "prediction_length"


@pytest.mark.parametrize("engine", quick(ENGINES, "native"))
def test_comparisons_and_other_losses_of_margins_are_those_of_their_logits(table, engine):
    df = table.withColumn("other", F.transform("array", lambda z: z / 2)).withColumn("w", F.col("z") / 2)
    found = [
        ls.compare(df, label="y", predictions=models, baseline="a", kind=kind, engine=engine).metrics.toPandas()
        for models, kind in (({"a": "vector", "b": "other"}, "margin"), ({"a": "z", "b": "w"}, "logit"))
    ]
    pd.testing.assert_frame_equal(*found)
    if engine == "pandas":
        explained = [
            ls.compare_losses(df, label="y", prediction=column, kind=kind)
            for column, kind in (("array", "margin"), ("z", "logit"))
        ]
        pd.testing.assert_frame_equal(*explained)


@pytest.mark.slow
def test_states_of_margins_and_of_binary_logits_add(table):
    states = [
        ls.evaluate(table, label="y", prediction=column, kind=kind, engine="native").state
        for column, kind in ALIKE.items()
    ]
    assert ls.merge(*states).metrics().first().n == 16


def test_a_margin_may_have_a_share_as_its_label(table):
    share = table.withColumn("share", (F.col("y") + 1) / 3)
    found = [
        ls.log_loss(share, "share", column, kind=kind, soft_labels=True)
        for column, kind in (("array", "margin"), ("z", "logit"))
    ]
    assert found[0] == found[1]
