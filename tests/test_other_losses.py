"""Evaluations of another loss than cross-entropy: the same roll-up, under a name that tells no lie."""

import numpy as np
import pandas as pd
import pytest
import scipy.special

import logloss_spark as ls
from logloss_spark.statistics.catalogue import METRICS, by_column
from tests.quick import slow

SUMS = 1e-12
"""Relative: sums in another order."""


def gain(y, p):
    """A loss that is negative: what a bet at even odds wins."""
    return (1 - 2 * y) * (2 * p - 1)


N = 400
RNG = np.random.default_rng(91)
Z = RNG.normal(size=N) * 2
P = scipy.special.expit(Z)
Y = (RNG.random(N) < P).astype(int)
W = RNG.gamma(1.0, size=N)
DAY = np.arange(N) % 3
ROLES = {"label": "y", "prediction": "p", "weight": "w"}


@pytest.fixture(scope="module")
def table(spark, tmp_path_factory):
    folder = tmp_path_factory.mktemp("other losses")
    pd.DataFrame({"y": Y, "p": P, "z": Z, "w": W, "day": DAY}).to_parquet(folder / "rows.parquet")
    return spark.read.parquet(str(folder))


@pytest.fixture(scope="module")
def evaluations(table):
    """Evaluations of a loss with a name and of a function, whose states are made once."""
    losses = {"hinge": "hinge", "gain": gain}
    return {name: ls.evaluate(table, **ROLES, by=[["day"]], loss=loss) for name, loss in losses.items()}


def mean_with_error(losses, weight):
    mean = np.average(losses, weights=weight)
    influence = weight * (losses - mean) / weight.sum()
    return mean, np.sqrt(losses.size / (losses.size - 1) * (influence**2).sum())


@pytest.mark.connect
@pytest.mark.parametrize(
    ("loss", "of_rows"),
    [slow(("hinge", np.maximum(0, 1 - (2 * Y - 1) * Z))), ("gain", gain(Y, P))],
    ids=["hinge", "gain"],
)
def test_another_loss_has_the_means_and_errors_of_its_rows_by_slice(evaluations, loss, of_rows):
    found = evaluations[loss].to_pandas().set_index("slice")
    for slice_, days in {"all": [0, 1, 2], "day=0": [0], "day=1": [1], "day=2": [2]}.items():
        row, here = found.loc[slice_], np.isin(DAY, days)
        mean, error = mean_with_error(of_rows[here], W[here])
        assert row["loss"] == pytest.approx(mean, rel=SUMS)
        assert row["loss_se"] == pytest.approx(error, rel=1e-6)
        assert row["loss_low"] == pytest.approx(mean - 1.959963984540054 * error, rel=1e-6)
        assert row["brier"] == pytest.approx(np.average((P - Y)[here] ** 2, weights=W[here]), rel=SUMS)


def test_what_means_something_of_cross_entropy_alone_is_left_out(evaluations):
    columns = set(evaluations["hinge"].metrics.columns)
    assert columns.isdisjoint(
        {
            *by_column(metric for metric in METRICS if metric.losses == "cross_entropy"),
            "log_loss",
            "log_loss_se",
            "information_gain_low",
        }
    )
    kept = {"loss", "loss_se", "loss_low", "loss_high", "brier", "brier_se", "ece", "label_mean", "calibration_ratio"}
    assert kept <= columns
    assert "loss" in evaluations["hinge"].reliability.columns
    assert "log_loss" not in evaluations["hinge"].reliability.columns


def test_states_of_different_losses_refuse_to_be_added(evaluations):
    with pytest.raises(ls.SpecError, match="these differ in loss 'hinge' and 'gain'"):
        ls.merge(*[evaluation.state for evaluation in evaluations.values()])


@pytest.mark.slow
def test_metrics_of_added_states_are_those_of_all_rows(evaluations):
    state = evaluations["gain"].state
    found = ls.merge(state.where("day = 0"), state.where("day > 0")).metrics().first()
    assert found.n == N
    assert found.loss == pytest.approx(np.average(gain(Y, P), weights=W), rel=SUMS)
    assert found.loss_low < found.loss < 0


def test_a_notebook_shows_another_loss_under_its_name(evaluations, capsys):
    evaluations["hinge"].show()
    printed = capsys.readouterr().out
    assert "loss [95% interval]" in printed
    assert "log_loss" not in printed


def test_impossible_events_are_counted_and_an_infinite_loss_is_explained(spark):
    rows = [(1, float("-inf")), (0, float("inf")), (1, float("inf")), (1, -800.0), (0, 1.0)]
    df = spark.createDataFrame(rows, "y int, z double")
    with ls.evaluate(df, label="y", prediction="z", kind="logit", loss="hinge") as evaluation:
        row = evaluation.to_pandas().iloc[0]
        assert evaluation.remarks() == ["loss is inf: one row whose loss has no bound costs everything"]
    assert row["loss"] == np.inf
    assert row["zero"] == 2  # e^-800 is 0 to a double, but no certainty


def test_classes_have_a_focal_loss_and_calibration(spark):
    p = RNG.dirichlet(np.ones(3), 60)
    k = RNG.integers(0, 3, 60)
    df = spark.createDataFrame(list(zip(k.tolist(), p.tolist(), strict=True)), "k int, p array<double>")
    with ls.evaluate(df, label="k", prediction="p", classes=(0, 1, 2), loss="focal") as evaluation:
        row = evaluation.to_pandas().iloc[0]
    happened = p[np.arange(60), k]
    assert row["loss"] == pytest.approx(np.mean(-((1 - happened) ** 2) * np.log(happened)), rel=SUMS)
    np.testing.assert_allclose(row["prediction_mean"], p.mean(axis=0), rtol=SUMS)


def test_a_slice_must_not_have_the_name_of_the_loss(table):
    renamed = table.withColumnRenamed("day", "loss")
    with pytest.raises(ls.SpecError, match="'loss' has: rename it"):
        ls.evaluate(renamed, **ROLES, by=[["loss"]], loss="hinge")
    ls.evaluate(renamed, **ROLES, by=[["loss"]])
