"""Fits of made tables: layouts, edges, checkpoints, lost blocks, bad input."""

import json
import os
import shutil
import signal
import threading
import time
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pyspark
import pytest
from py4j.protocol import Py4JError
from pyspark.ml.classification import LogisticRegression
from pyspark.ml.linalg import Vectors
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from logloss_spark import DataError, InvalidRowsWarning, LogisticModel, SpecError, fit_logistic
from logloss_spark.errors import StreamedFitWarning
from logloss_spark.fit.batches import FeatureForm
from logloss_spark.fit.blocks import BlockSet
from logloss_spark.kernels.logistic import Block, Standardization, loss_and_gradient
from tests.fit.local import block_folders, fit_locally
from tests.quick import quick, slow

# On Ctrl-C a classic session asks Java to cancel its jobs while py4j waits for Java's last answer, which may raise. Old
# PySpark (SPARK-55404: 4.1, not 4.3) then loses the KeyboardInterrupt, and the action ends with a Py4JError.
NEWEST = tuple(map(int, pyspark.__version__.split(".")[:2])) >= (4, 3)
INTERRUPTED = KeyboardInterrupt if NEWEST else (KeyboardInterrupt, Py4JError)

ROWS = 600
FEATURES = ["a", "b", "c"]


def frame(seed=1, rows=ROWS, classes=2) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, 3)) * [1.0, 0.01, 100.0] + [0.0, 10.2, 5.0]
    z = (x - x.mean(0)) / x.std(0) @ rng.normal(size=(3, classes)) + rng.gumbel(size=(rows, classes))
    label = z.argmax(axis=1)
    weight = rng.integers(1, 4, rows).astype(float)
    return pd.DataFrame(x, columns=FEATURES).assign(label=label, w=weight, offset=rng.normal(size=rows) * 0.1)


@pytest.fixture(scope="module")
def table(spark: SparkSession):
    return spark.createDataFrame(frame()).repartition(3).cache()


@pytest.fixture(scope="module")
def plain(table):
    """The fit of the table by default."""
    return fit_logistic(table, features=FEATURES, label="label")


@pytest.fixture(scope="module")
def by_lbfgs(table):
    """Its fit by another solver, the first steps."""
    return fit_logistic(table, features=FEATURES, label="label", solver="lbfgs", max_iter=4)


@pytest.fixture(scope="module")
def shifted(table):
    """A model with an offset, one iteration of its fit."""
    return fit_logistic(table, features=FEATURES, label="label", offset="offset", max_iter=1)


def mean_loss(data: pd.DataFrame, coefficients, intercepts, weight=None) -> float:
    x, y = data[FEATURES].to_numpy(), data["label"].to_numpy(float)
    w = np.ones(len(y)) if weight is None else data[weight].to_numpy()
    block = Block(x, y, w, np.zeros(0), np.zeros(3))
    theta = np.column_stack([coefficients, intercepts])
    return float(loss_and_gradient(block, theta, Standardization(np.zeros(3), np.ones(3)))["loss"][0]) / w.sum()


@pytest.mark.connect
def test_a_fit_reports_what_it_did(table) -> None:
    seen = []
    model = fit_logistic(table, features=FEATURES, label="label", progress=seen.append)
    report = model.report
    assert (report.status, report.converged, report.rows) == ("gradient", True, ROWS)
    assert report.log_loss == pytest.approx(mean_loss(frame(), model.coefficients, model.intercepts), rel=1e-12)
    assert report.normalized_entropy == report.log_loss / report.label_entropy
    assert 0 < report.smallest_curvature <= report.largest_curvature
    assert report.condition == report.largest_curvature / report.smallest_curvature
    assert [step.iteration for step in model.report.history] == list(range(report.iterations + 1))
    assert [step.iteration for step in seen] == list(range(report.iterations + 1))
    assert list(model.history.columns)[:3] == ["iteration", "objective", "loss"]
    for text in ("converged", "condition number", "(intercept)", "p_value"):
        assert text in model.summary()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("reg_param", "elastic_net_param", "standardization", "classes"),
    [(0.0, 0.0, True, 2), (0.1, 0.0, False, 2), (0.05, 1.0, True, 2), (0.05, 0.5, True, 3)],
)
def test_the_objective_is_never_above_mllibs(spark, reg_param, elastic_net_param, standardization, classes) -> None:
    data = frame(3, classes=classes)
    vectors = spark.createDataFrame(data).select("label", "w", F.array(*FEATURES).alias("x"))
    model = fit_logistic(
        vectors,
        features="x",
        label="label",
        weight="w",
        reg_param=reg_param,
        elastic_net_param=elastic_net_param,
        standardization=standardization,
        tol=1e-14,
    )
    from pyspark.ml.functions import array_to_vector

    theirs = LogisticRegression(
        featuresCol="v",
        labelCol="label",
        weightCol="w",
        regParam=reg_param,
        elasticNetParam=elastic_net_param,
        standardization=standardization,
        tol=1e-12,
        maxIter=200,
    ).fit(vectors.withColumn("v", array_to_vector("x")).withColumn("label", F.col("label").cast("double")))
    w = data["w"]
    mean = np.average(data[FEATURES], axis=0, weights=w)
    square = ((data[FEATURES] - mean) ** 2).mul(w, axis=0).sum() / (w.sum() - (w**2).sum() / w.sum())
    deviation = np.sqrt(square.to_numpy()) if standardization else np.ones(3)

    def objective(coefficients, intercepts) -> float:
        b = coefficients * deviation
        penalty = (1 - elastic_net_param) / 2 * (b * b).sum() + elastic_net_param * np.abs(b).sum()
        return mean_loss(data, coefficients, intercepts, "w") + reg_param * penalty

    ours = objective(model.coefficients, model.intercepts)
    assert ours == pytest.approx(model.report.objective, rel=1e-12)
    matrix, intercepts = theirs.coefficientMatrix.toArray(), theirs.interceptVector.toArray()
    assert ours <= objective(matrix, intercepts) * (1 + 1e-12)


@pytest.fixture(scope="module")
def of_one_part():
    """The fit of the rows in one part, as near its optimum as doubles get."""
    data = frame()
    return fit_locally(data[FEATURES], data["label"], parts=1, tol=1e-14)


LAYOUTS = {
    "seven": lambda data: data.repartition(7),
    "64, most of them without rows": lambda data: data.repartition(64, "w"),
    "an empty one beside one that holds them all": lambda data: data.where("a > 9").union(data),
}


@pytest.mark.parametrize("layout", quick(LAYOUTS, "seven"))
def test_partitions_change_nothing(spark, of_one_part, layout) -> None:
    one = of_one_part
    other = fit_logistic(LAYOUTS[layout](spark.createDataFrame(frame())), features=FEATURES, label="label", tol=1e-14)
    assert other.report.objective == pytest.approx(one.report.objective, rel=1e-12)
    # A gap of 1e-14 of the entropy is a distance of sqrt(2 gap / smallest curvature) in standardised coefficients.
    reach = np.sqrt(2e-14 / one.report.smallest_curvature)
    difference = (other.coefficients - one.coefficients) * frame()[FEATURES].std().to_numpy()
    assert np.abs(difference).max() <= 2 * reach


@pytest.mark.slow
def test_columns_arrays_and_vectors_are_the_same_features(spark) -> None:
    from pyspark.ml.functions import array_to_vector

    data = spark.createDataFrame(frame())
    array = data.select("label", F.array(*FEATURES).alias("x"))
    vector = array.select("label", array_to_vector("x").alias("x"))
    by_columns = fit_logistic(data, features=FEATURES, label="label")
    for other in (array, vector):
        model = fit_logistic(other, features="x", label="label")
        np.testing.assert_allclose(model.coefficients, by_columns.coefficients, rtol=1e-9)
        assert model.feature_names == ("x_0", "x_1", "x_2")


@pytest.mark.slow
def test_vectors_that_are_partly_sparse_are_the_same_features(spark) -> None:
    rng = np.random.default_rng(4)
    x = rng.normal(size=(300, 12)) * (rng.uniform(size=(300, 12)) < 0.3)
    y = (x.sum(1) + rng.logistic(size=300) > 0).astype(float)
    mixed = [
        (float(label), Vectors.dense(row) if place % 2 else Vectors.sparse(12, np.flatnonzero(row), row[row != 0]))
        for place, (label, row) in enumerate(zip(y, x, strict=True))
    ]
    wide = [
        (label, Vectors.sparse(400, vector.toArray().nonzero()[0], vector.toArray()[vector.toArray() != 0]))
        for label, vector in mixed
    ]
    dense = fit_logistic(
        spark.createDataFrame([(a, b.toArray().tolist()) for a, b in mixed], "y double, x array<double>"),
        features="x",
        label="y",
    )
    one = fit_logistic(spark.createDataFrame(mixed, ["y", "x"]), features="x", label="y")
    other = fit_logistic(spark.createDataFrame(wide, ["y", "x"]), features="x", label="y")
    np.testing.assert_allclose(one.coefficients, dense.coefficients, rtol=1e-8)
    np.testing.assert_allclose(other.coefficients[:, :12], dense.coefficients, rtol=1e-5)
    assert not other.coefficients[:, 12:].any()  # constant columns


def test_features_of_very_different_scale_and_little_variance() -> None:
    data = frame()
    x, y = data[FEATURES].to_numpy(), data["label"].to_numpy()
    factors = np.array([1e-6, 0.01, 1e6])
    plain, scaled = fit_locally(x, y), fit_locally((x - [0, 10.2, 0]) * factors + [0, 10.2, 0], y)
    assert scaled.report.log_loss == pytest.approx(plain.report.log_loss, rel=1e-11)
    np.testing.assert_allclose(scaled.coefficients * factors, plain.coefficients, rtol=1e-5)


def test_a_constant_column_gets_zero_and_leaves_the_others_alone() -> None:
    data = frame()
    x, y = data[FEATURES].to_numpy(), data["label"].to_numpy()
    plain, model = fit_locally(x, y), fit_locally(np.column_stack([x, np.full(ROWS, 1e9)]), y)
    assert model.coefficients[0, 3] == 0.0
    np.testing.assert_allclose(model.coefficients[0, :3], plain.coefficients[0], rtol=1e-9)
    assert np.isnan(model.standard_errors[0, 3])


@pytest.mark.slow
def test_a_hundred_collinear_columns_share_the_solution_of_least_norm(spark) -> None:
    rng = np.random.default_rng(6)
    x = rng.normal(size=300)
    y = (x + rng.logistic(size=300) > 0).astype(int)
    rows = [(int(label), (value * np.arange(1, 101)).tolist()) for label, value in zip(y, x, strict=True)]
    table = spark.createDataFrame(rows, "y int, x array<double>")
    model = fit_logistic(table, features="x", label="y")
    alone = fit_logistic(table.select("y", F.col("x")[0].alias("x")), features=["x"], label="y")
    assert len(model.report.collinear) == 100
    assert model.standard_errors is None
    standardised = model.coefficients[0] * np.arange(1, 101) * x.std(ddof=1)
    np.testing.assert_allclose(standardised, standardised.mean(), rtol=1e-6)
    assert model.report.log_loss == pytest.approx(alone.report.log_loss, rel=1e-11)
    assert "collinear" in model.summary()


def test_class_weights_are_factors_of_the_weight(table) -> None:
    data, asked = frame(), {"solver": "lbfgs", "max_iter": 1}
    given = asked | {"classes": (0, 1), "class_weight": {1: 3.0}}
    one = fit_logistic(table, features=FEATURES, label="label", **given)
    other = fit_locally(data[FEATURES], data["label"], np.where(data["label"] == 1, 3.0, 1.0), **asked)
    np.testing.assert_allclose(one.coefficients, other.coefficients, rtol=1e-8)
    balanced = asked | {"class_weight": "balanced", "max_iter": 0}
    entropy = fit_logistic(table, features=FEATURES, label="label", **balanced).report.label_entropy
    assert entropy == pytest.approx(np.log(2), rel=1e-12)


@pytest.mark.slow
def test_an_initial_model_saves_the_way(table, plain) -> None:
    again = fit_logistic(table, features=FEATURES, label="label", initial=plain, tol=1e-9)
    assert again.report.iterations == 0
    np.testing.assert_allclose(again.coefficients, plain.coefficients, rtol=1e-12)


@pytest.fixture(scope="module")
def noise(spark):
    """120 rows of 40 features, one of which matters: every other row is held out, and a fit to the rest overfits."""
    rng = np.random.default_rng(8)
    x = rng.normal(size=(120, 40))
    y = (x[:, 0] + rng.logistic(size=120) > 0).astype(int)
    rows = [(int(label), row.tolist(), bool(place % 2)) for place, (label, row) in enumerate(zip(y, x, strict=True))]
    return spark.createDataFrame(rows, "y int, x array<double>, held boolean").cache(), x[1::2], y[1::2]


@pytest.mark.parametrize(
    ("asked", "status"),
    [
        ({"patience": 2}, "validation"),
        slow(({"reg_param": 0.1, "patience": 99}, "validation")),
        slow(({"max_iter": 6}, "max_iter")),
    ],
)
def test_with_validation_rows_the_model_is_the_one_of_their_least_loss(noise, asked, status) -> None:
    table, x_held, y_held = noise
    model = fit_logistic(table, features="x", label="y", validation="held", solver="lbfgs", **{"patience": 99} | asked)
    report, history = model.report, model.history
    assert (report.status, report.rows, report.held, report.read, report.weight) == (status, 60, 60, 120, 60)
    z = x_held @ model.coefficients[0] + model.intercepts[0]
    assert np.logaddexp(0, np.where(y_held == 1, -z, z)).mean() == pytest.approx(report.validation_loss, rel=1e-9)
    best = history.iloc[history["validation_loss"].idxmin()]
    assert report.best_iteration == best["iteration"] < report.iterations == history["iteration"].max()
    assert (report.validation_loss, report.objective, report.gradient_norm, report.gap) == tuple(
        best[["validation_loss", "objective", "gradient_norm", "gap"]]
    )
    assert model.standard_errors is None
    assert f"the model is that of iteration {report.best_iteration}, with the least log loss on 60" in model.summary()


@pytest.mark.parametrize(("held", "word"), [("true", "all"), slow(("y = 7", "none"))])
def test_validation_rows_are_some_rows_and_not_all(table, held, word) -> None:
    marked = table.withColumn("held", F.expr(held.replace("y", "label")))
    with pytest.raises(DataError, match=f"column 'held' holds out {word} of 600 rows"):
        fit_logistic(marked, features=FEATURES, label="label", validation="held")


@pytest.mark.connect
def test_a_model_is_the_same_after_it_was_saved(table, shifted, tmp_path) -> None:
    model = shifted
    path = str(tmp_path / "model")
    model.save(path)
    with pytest.raises(SpecError, match=r"a model must be written to a new path, but .*/model exists"):
        model.save(path)
    model.save(path, overwrite=True)
    with pytest.raises(DataError, match=r"nothing is at .*/modle"):
        LogisticModel.load(str(tmp_path / "modle"))
    loaded = LogisticModel.load(path)
    assert loaded.to_json() == model.to_json()
    assert json.loads(model.to_json())["logits"][0]["coefficients"].keys() == set(FEATURES)
    one, other = (each.transform(table).orderBy("a").toPandas() for each in (model, loaded))
    pd.testing.assert_frame_equal(one, other)


def test_a_model_overwrites_a_model_and_nothing_else(shifted, tmp_path) -> None:
    model = shifted
    (tmp_path / "folder" / "chapters").mkdir(parents=True)
    thesis = tmp_path / "folder" / "chapters" / "thesis.txt"
    thesis.write_text("years of work")
    model.save(str(tmp_path / "models" / "a"), overwrite=True)
    for stranger in (tmp_path / "folder", thesis, tmp_path):
        with pytest.raises(SpecError, match=r"overwrite replaces a saved model and nothing else, and .*txt: name"):
            model.save(str(stranger), overwrite=True)
    assert thesis.read_text() == "years of work"
    with pytest.raises(SpecError, match=r"a model must be written where Spark can write, got /proc/nope: "):
        model.save("/proc/nope")


def test_scoring_gives_the_probability_of_the_logit_and_null_for_rows_it_cannot_use(spark) -> None:
    data = frame(3, classes=3)
    asked = {"features": FEATURES, "label": "label", "classes": (0, 1, 2)}
    model = fit_logistic(spark.createDataFrame(data), **asked, solver="lbfgs", max_iter=1)
    data.loc[0, "a"] = np.nan
    scored = model.transform(spark.createDataFrame(data)).toPandas()
    assert scored.loc[0, ["probability", "logit", "prediction"]].isna().all()
    rest = scored[1:]
    z = rest[FEATURES].to_numpy() @ model.coefficients.T + model.intercepts
    p = np.exp(z - z.max(axis=1, keepdims=True))
    np.testing.assert_allclose(np.stack(rest["probability"]), p / p.sum(axis=1, keepdims=True), rtol=1e-12)
    assert (rest["prediction"] == z.argmax(axis=1)).all()


class KilledError(Exception):
    """What ends a fit in the middle."""


def killed_at(iteration: int):
    """A listener that ends its fit."""

    def progress(step) -> None:
        if step.iteration == iteration:
            raise KilledError

    return progress


@pytest.mark.slow
def test_a_fit_that_was_killed_goes_on_where_it_was(table, tmp_path) -> None:
    path = str(tmp_path / "checkpoint")
    asked = {"features": FEATURES, "label": "label", "solver": "lbfgs"}
    whole = fit_logistic(table, **asked)
    with pytest.raises(KilledError):
        fit_logistic(table, **asked, checkpoint=path, progress=killed_at(3))
    seen = []
    resumed = fit_logistic(table, **asked, checkpoint=path, progress=seen.append)
    assert seen[0].iteration == 3
    assert resumed.report.objective == pytest.approx(whole.report.objective, rel=1e-12)
    assert resumed.history["iteration"].tolist() == list(range(resumed.report.iterations + 1))
    first, whole = resumed.history["objective"][:4], whole.history["objective"][:4]
    assert first.tolist() == pytest.approx(whole.tolist(), rel=1e-12)
    with pytest.raises(SpecError, match="another fit"):
        fit_logistic(table, **asked | {"reg_param": 0.1}, checkpoint=path)
    short = fit_logistic(table, **asked, checkpoint=path, max_iter=1)  # fewer than have been done
    assert short.report.iterations == resumed.report.iterations


@pytest.mark.slow
def test_a_fit_that_was_killed_knows_its_best_point_on_the_validation_rows(noise, tmp_path) -> None:
    asked = {"features": "x", "label": "y", "validation": "held", "solver": "lbfgs", "max_iter": 6, "patience": 99}
    whole = fit_logistic(noise[0], **asked)
    assert whole.report.best_iteration < 4
    with pytest.raises(KilledError):
        fit_logistic(noise[0], **asked, checkpoint=str(tmp_path), progress=killed_at(4))
    resumed = fit_logistic(noise[0], **asked, checkpoint=str(tmp_path))
    assert resumed.report.best_iteration == whole.report.best_iteration
    np.testing.assert_allclose(resumed.coefficients, whole.coefficients, rtol=1e-9)


def test_blocks_are_gone_after_failure(table) -> None:
    before = set(block_folders())

    def interrupted(step) -> None:
        assert set(block_folders()) - before
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit_logistic(table, features=FEATURES, label="label", solver="lbfgs", progress=interrupted)
    assert set(block_folders()) == before


@pytest.mark.connect
def test_ctrl_c_while_blocks_are_written_takes_them_away(spark, tmp_path) -> None:
    before, begun, over = set(block_folders()), tmp_path / "begun", tmp_path / "over"

    def endless(batches):
        import time

        for batch in batches:
            if batch["x"][0].as_py() > 0:
                begun.touch()
                while not over.exists():
                    time.sleep(0.05)
            yield batch

    def interrupt() -> None:
        written: set[Path] = set()
        while not (begun.exists() and written) and time.monotonic() < deadline:
            written = {file for folder in set(block_folders()) - before for file in folder.glob("*/centre")}
            os.sched_yield()
        os.kill(os.getpid(), signal.SIGINT)

    deadline = time.monotonic() + 60
    rows = spark.range(0, 200, 1, 2).selectExpr("cast(id % 2 as int) AS y", "double(id >= 100) AS x")
    other = threading.Thread(target=interrupt)
    other.start()
    with pytest.raises(INTERRUPTED):
        fit_logistic(rows.mapInArrow(endless, rows.schema), features=["x"], label="y", classes=[0, 1])
    other.join()
    assert set(block_folders()) == before
    over.touch()


@pytest.mark.connect
def test_blocks_are_written_once_and_gone_in_the_end(table) -> None:
    for pickled in (BlockSet, FeatureForm):  # as in the first fit of a process
        if "__slotnames__" in vars(pickled):
            del pickled.__slotnames__
    before = set(block_folders())
    found = []

    def count(step) -> None:
        (folder,) = set(block_folders()) - before
        found.append(len(list(folder.iterdir())))

    fit_logistic(table, features=FEATURES, label="label", progress=count)
    assert set(found) == {2}
    assert set(block_folders()) == before


@pytest.mark.parametrize("losses", quick([1, 10], 1))
def test_blocks_that_are_lost_change_nothing(table, by_lbfgs, losses) -> None:
    before = set(block_folders())
    count = 0

    def lose(step) -> None:
        nonlocal count
        if count < losses:
            count += 1
            for folder in set(block_folders()) - before:
                shutil.rmtree(folder, ignore_errors=True)

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        asked = {"features": FEATURES, "label": "label", "solver": "lbfgs", "max_iter": 4}
        model = fit_logistic(table, **asked, progress=lose)
    assert model.report.objective == pytest.approx(by_lbfgs.report.objective, rel=1e-13)
    assert model.report.rows == ROWS
    assert model.report.rebuilds == min(losses, 2)
    assert any(issubclass(warning.category, StreamedFitWarning) for warning in caught) == (losses > 2)


@pytest.mark.slow
def test_a_truncated_block_is_a_lost_one(table) -> None:
    before = set(block_folders())

    def cut(step) -> None:
        for folder in set(block_folders()) - before:
            for file in folder.rglob("y"):
                file.write_bytes(file.read_bytes()[:-8])

    asked = {"features": FEATURES, "label": "label", "solver": "lbfgs", "max_iter": 4}
    with pytest.warns(StreamedFitWarning, match="lost again and again"):
        model = fit_logistic(table, **asked, progress=cut)
    assert model.report.rows == ROWS
    assert model.report.streamed


def test_a_source_that_changes_stops_the_fit(spark, tmp_path) -> None:
    path = tmp_path / "rows"
    path.mkdir()
    frame().to_parquet(path / "part.parquet")
    before = set(block_folders())

    def change(step) -> None:
        (path / "part.parquet").unlink()
        frame(2).to_parquet(path / "another.parquet")
        for folder in set(block_folders()) - before:
            shutil.rmtree(folder, ignore_errors=True)
        spark.catalog.refreshByPath(str(path))

    asked = {"features": FEATURES, "label": "label", "classes": (0, 1), "solver": "lbfgs"}
    with pytest.raises(DataError, match="source changed during the fit"):
        fit_logistic(spark.read.parquet(str(path)), **asked, engine="native", progress=change)


@pytest.mark.connect
def test_where_caching_is_refused_the_fit_streams(table, plain, monkeypatch) -> None:
    from pyspark.errors import AnalysisException

    def refused(self, *_):
        raise AnalysisException("no caching here", {})

    monkeypatch.setattr(type(table), "persist", refused)
    with pytest.warns(StreamedFitWarning, match="refuses to cache"):
        model = fit_logistic(table, features=FEATURES, label="label")
    assert model.report.streamed
    np.testing.assert_allclose(model.coefficients, plain.coefficients, rtol=1e-8)


def test_rows_that_cannot_be_fitted_on_are_counted_by_reason(spark) -> None:
    rows = [(1, [0.1, 0.2], 1.0, 0.0), (0, [0.3, 0.1], 1.0, 0.0), (1, [0.5, 0.9], 1.0, 0.0), (0, [0.7, 0.8], 1.0, 0.0)]
    bad = {
        "null_label": (None, [1.0, 1.0], 1.0, 0.0),
        "null_features": (1, None, 1.0, 0.0),
        "nan_features": (1, [float("nan"), 1.0], 1.0, 0.0),
        "infinite_features": (1, [float("inf"), 1.0], 1.0, 0.0),
        "null_weight": (1, [1.0, 1.0], None, 0.0),
        "nan_weight": (1, [1.0, 1.0], float("nan"), 0.0),
        "null_offset": (1, [1.0, 1.0], 1.0, None),
        "nan_offset": (1, [1.0, 1.0], 1.0, float("inf")),
    }
    schema = "y int, x array<double>, w double, o double"
    table = spark.createDataFrame([*rows, *bad.values(), (1, [1.0, None], 1.0, 0.0)], schema)
    roles = {"features": "x", "label": "y", "weight": "w", "offset": "o", "classes": (0, 1)}
    asked = roles | {"solver": "lbfgs", "max_iter": 0}
    with pytest.warns(InvalidRowsWarning, match="9 rows of 13 left out"):
        model = fit_logistic(table, **asked)
    assert model.report.invalid == dict.fromkeys(bad, 1) | {"null_features": 2}
    with pytest.raises(DataError, match="at most 0 \\(on_invalid = 'fail'\\), got 9 of 13 rows: "):
        fit_logistic(table, **asked, on_invalid="fail")
    with pytest.raises(DataError, match=r"at most 0\.5 \(tolerated_share = 0\.5\), got 9 of 13 rows: null_features"):
        fit_logistic(table, **asked, tolerated_share=0.5)


@pytest.mark.parametrize(
    ("rows", "asked", "error", "says"),
    [
        ([(1, 1.0, 1.0)], {}, DataError, "two classes or more, but label column 'y' holds only 1"),
        ([(None, 1.0, 1.0)], {}, DataError, "holds no label"),
        ([(1, 1.0, 1.0), (2, 1.0, 1.0)], {"classes": (0, 1)}, DataError, "labels must be among the classes"),
        ([(1, 1.0, 1.0), (1, 2.0, 1.0)], {"classes": (0, 1)}, DataError, "has y = 0"),
        ([(1, 1.0, -1.0), (0, 2.0, 1.0)], {"weight": "w"}, DataError, "weights must not be negative, but column 'w'"),
        ([(1, 1.0, 0.0), (0, 2.0, 0.0)], {"weight": "w"}, DataError, "rows of positive weight, got none among 2 rows"),
        ([(1, 1.0, 1.0)], {"features": ["z"]}, SpecError, "feature column 'z' is not in the table"),
        ([(1, 1.0, 1.0)], {"label": "yy"}, SpecError, "label column 'yy' is not in the table"),
        ([(1, 1.0, 1.0)], {"reg_param": -1.0}, SpecError, "reg_param must be a number of 0 or more"),
        ([(1, 1.0, 1.0)], {"solver": "sgd"}, SpecError, "solver must be .* got 'sgd'"),
        ([(1, 1.0, 1.0)], {"elastic_net_param": 2.0}, SpecError, "elastic_net_param must be a number from 0 to 1"),
        (
            [(1, 1.0, 1.0)],
            {"on_invalid": "quarantine"},
            SpecError,
            "on_invalid must be 'count' or 'fail', got 'quarantine'",
        ),
        ([(1, 1e200, 1.0), (0, 2.0, 1.0)], {}, DataError, "'x' has numbers too large to square"),
        slow(([(1, 1.0, 1e300), (0, 2.0, 1.0)], {"weight": "w"}, DataError, "those of column 'w' do not")),
        ([(1, 1.0, 1.0)], {"offset": "w", "family": "multinomial"}, SpecError, "offset needs a model of two classes"),
    ],
)
def test_bad_input_is_told_in_one_line(spark, rows, asked, error, says) -> None:
    table = spark.createDataFrame(rows, "y int, x double, w double")
    with pytest.raises(error, match=says) as raised:
        fit_logistic(table, **{"features": ["x"], "label": "y"} | asked)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"max_iter": "10"}, "max_iter must be a whole number of 0 or more, got '10'"),
        ({"max_iter": 2.5}, "max_iter must be a whole number"),
        ({"reg_param": None}, "reg_param must be a number of 0 or more, got None"),
        ({"tolerated_share": "a"}, "tolerated_share must be a number from 0 to 1, got 'a'"),
        ({"classes": 5}, "classes must be a list of labels, got 5"),
        ({"class_weight": 3}, "class_weight must be 'balanced' or map classes to factors, got 3"),
        ({"class_weight": {1: -1.0}}, "class_weight of 1 must be a number of 0 or more"),
        ({"label": None}, "label must be the name of a column, got None"),
        ({"weight": 1}, "weight must be the name of a column, got 1"),
        ({"features": 5}, "features must be a list of names, got 5"),
        ({"fit_intercept": "no"}, "fit_intercept must be True or False, got 'no'"),
        ({"initial": "m"}, "initial must be a LogisticModel, got 'm'"),
        ({"checkpoint": 3}, "checkpoint must be the path of a folder, got 3"),
        ({"progress": 3}, "progress must be a function of a Step, got 3"),
    ],
)
def test_an_argument_of_a_wrong_type_is_told_in_one_line(table, asked, says) -> None:
    with pytest.raises(SpecError, match=says):
        fit_logistic(table, **{"features": FEATURES, "label": "label"} | asked)


def test_numbers_of_numpy_are_numbers() -> None:
    data = frame()
    x, y = data[FEATURES].to_numpy(), data["label"].to_numpy()
    model = fit_locally(x, y, max_iter=np.int64(0), reg_param=np.float32(0.5), solver="lbfgs")
    assert model.report.iterations == 0


def test_a_share_of_no_penalty_is_warned_of(table) -> None:
    said = "elastic_net_param is the share of L1 in the penalty, and reg_param = 0"
    with pytest.warns(UserWarning, match=said), pytest.raises(SpecError, match="'z' is not in the table"):
        fit_logistic(table, features=["z"], label="label", elastic_net_param=0.5)


def test_standard_errors_are_those_of_an_optimum() -> None:
    data = frame()
    model = fit_locally(data[FEATURES].to_numpy(), data["label"].to_numpy(), solver="lbfgs", max_iter=2)
    assert model.report.status == "max_iter"
    assert model.standard_errors is None
    assert model.table["p_value"].isna().all()
    assert "no standard errors" in model.summary()


@pytest.mark.parametrize(
    "text", ["PAR1", '{"format": "other"}', '{"format": "logloss_spark.LogisticModel", "version": 2}']
)
def test_what_is_no_model_is_refused(spark, tmp_path, text) -> None:
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign" / "part.txt").write_text(text)
    with pytest.raises(DataError, match="foreign holds no model: a model must be JSON that to_json wrote") as raised:
        LogisticModel.load(str(tmp_path / "foreign"))
    assert "\n" not in str(raised.value)


def test_vectors_of_several_lengths_are_refused(spark) -> None:
    table = spark.createDataFrame([(1, [1.0, 2.0]), (0, [1.0])], "y int, x array<double>")
    with pytest.raises(
        DataError, match="vectors of features must have one length, but column 'x' has several: 1 row of 2"
    ):
        fit_logistic(table, features="x", label="y")


@pytest.mark.slow
def test_a_sample_does_not_depend_on_the_partitions(spark, monkeypatch) -> None:
    monkeypatch.setattr("logloss_spark.fit.sample.SAMPLE_ROWS", (50, 60))
    monkeypatch.setattr("logloss_spark.fit.sample.PER_PARAMETER", 10)
    data = spark.createDataFrame(frame())
    models = [
        fit_logistic(layout, features=FEATURES, label="label") for layout in (data.coalesce(1), data.repartition(5))
    ]
    first, second = (model.report.history[0].objective for model in models)
    assert first == pytest.approx(second, rel=1e-9)
    assert models[0].report.iterations > 1


def test_nearly_collinear_features_take_few_iterations(monkeypatch) -> None:
    monkeypatch.setattr("logloss_spark.fit.sample.SAMPLE_ROWS", (2_000, 2_000))
    rng = np.random.default_rng(9)
    turned, _ = np.linalg.qr(rng.normal(size=(8, 8)))
    x = rng.normal(size=(8_000, 8)) * np.geomspace(1.0, 1e-3, 8) @ turned
    y = (x @ rng.normal(size=8) + rng.logistic(size=8_000) > 0).astype(int)
    model = fit_locally(x, y)
    assert model.report.condition > 1e5
    # The sample's Hessian is off by sqrt(8 / 2,000) in each direction, however small its curvature: two digits a step.
    assert 1 <= model.report.iterations <= 8


def test_a_label_among_the_features_separates_and_the_fit_says_so() -> None:
    data = frame()
    model = fit_locally(data[["a", "label"]].to_numpy(float), data["label"].to_numpy())
    assert (model.report.status, model.report.separation) == ("separated", "complete")
    assert model.standard_errors is None
