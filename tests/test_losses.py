"""Losses side by side: what is said of each loss is true of its kernel, and log loss bounds those that it should."""

import warnings

import mpmath as mp
import numpy as np
import pytest
import scipy.special
from sklearn.metrics import brier_score_loss, hinge_loss
from sklearn.metrics import log_loss as sklearn_log_loss

import logloss_spark as ls
from logloss_spark.kernels.cross_entropy import binary_from_probability
from logloss_spark.kernels.divergence import binary_kl
from logloss_spark.losses import DIVERGENCES, NATURES
from logloss_spark.rows.losses import named_loss
from logloss_spark.scoring import LOSSES

SUMS = 1e-12
"""Relative: sums in another order."""

GRID = np.linspace(0.005, 0.995, 199)
KERNELS = {
    name: binary_from_probability if name == "cross_entropy" else named_loss(name, "probability") for name in LOSSES
}
WITH_CONSTANT = {name: nature for name, nature in NATURES.items() if not np.isnan(nature.constant)}


def of_positive(name, p):
    return KERNELS[name](np.ones(p.size), p)


def of_negative(name, p):
    return KERNELS[name](np.zeros(p.size), p)


def expected(name, q, p):
    """The mean loss of forecasting `p` where the positive class has the share `q`."""
    return q * of_positive(name, p) + (1 - q) * of_negative(name, p)


def convex(x, values):
    """Whether the chords of neighbours lie above; curvatures here are far above the rounding of second differences."""
    slopes = np.diff(values) / np.diff(x)
    return bool((np.diff(slopes) > -1e-9).all())


@pytest.mark.parametrize("name", LOSSES)
def test_a_loss_is_convex_where_it_is_said_to_be(name):
    z = np.linspace(-12, 12, 481)
    for loss in (of_positive, of_negative):
        assert convex(GRID, loss(name, GRID)) is NATURES[name].convex_in_p
        assert convex(z, loss(name, scipy.special.expit(z))) is NATURES[name].convex_in_logit


@pytest.mark.parametrize("name", LOSSES)
def test_a_loss_is_bounded_where_it_is_said_to_be(name):
    ends = np.array([0.0, 1.0])
    finite = np.isfinite([of_positive(name, ends), of_negative(name, ends)]).all()
    assert finite == NATURES[name].bounded


@pytest.mark.parametrize("name", LOSSES)
def test_a_proper_loss_and_no_other_is_least_where_the_forecast_is_the_truth(name):
    best = np.array([GRID[np.argmin(expected(name, q, GRID))] for q in GRID])
    assert np.array_equal(best, GRID) == NATURES[name].proper


@pytest.mark.parametrize("name", WITH_CONSTANT)
def test_the_constant_is_half_the_curvature_of_the_generalised_entropy_at_one_half(name):
    entropy = {
        "cross_entropy": lambda p: -p * mp.log(p) - (1 - p) * mp.log(1 - p),
        "savage": lambda p: p * (1 - p),
    }[name]
    np.testing.assert_allclose(expected(name, GRID, GRID), [float(entropy(p)) for p in GRID], rtol=1e-14)
    assert WITH_CONSTANT[name].constant == pytest.approx(float(-mp.diff(entropy, 0.5, 2) / 2), rel=1e-9)


def test_the_losses_with_a_constant_are_the_proper_ones_that_are_convex_in_p():
    assert set(DIVERGENCES) == set(WITH_CONSTANT)
    assert set(DIVERGENCES) == {name for name, nature in NATURES.items() if nature.proper and nature.convex_in_p}


@pytest.mark.parametrize("name", DIVERGENCES)
def test_a_divergence_is_what_a_wrong_forecast_costs_more_than_the_truth(name):
    q, p = (x.ravel() for x in np.meshgrid(GRID[::7], GRID[::5]))
    wanted = expected(name, q, p) - expected(name, q, q)  # of numbers up to 6
    np.testing.assert_allclose(DIVERGENCES[name](q, p), wanted, atol=1e-14)


@pytest.mark.parametrize("name", DIVERGENCES)
def test_kl_bounds_the_divergence_everywhere(name):
    ends = 10.0 ** -np.arange(3, 16, 2)
    shares = np.concatenate([[0.0, 1.0], ends, 1 - ends, GRID, np.random.default_rng(81).random(100)])
    q, p = (x.ravel() for x in np.meshgrid(shares, shares))
    bound = WITH_CONSTANT[name].constant * binary_kl(q, p)
    assert (DIVERGENCES[name](q, p) <= bound).all()
    assert (DIVERGENCES[name](q, p) > 0.49 * bound).any()  # half of the constant would do for these


def test_no_smaller_constant_would_do_for_every_proper_convex_loss():
    # The loss whose w(t) = -G''(t) falls as slowly as convexity lets it: w(1/2) = 1, w(t) = 1/(2 (1 - t)) above.
    constant = 0.5
    for gap in (1e-2, 1e-4, 1e-6):
        p, q = 1 - mp.mpf(gap), 1 - 2 * mp.mpf(gap)
        divergence = mp.quad(lambda t, p=p: (t - p) / (2 * (1 - t)), [p, q])
        kl = p * mp.log(p / q) + (1 - p) * mp.log((1 - p) / (1 - q))
        assert constant * (1 - 3 * gap) < divergence / kl < constant


def random_rows(n=600):
    """Labels and forecasts, a tenth of them certain and right, with weights of which some are 0."""
    rng = np.random.default_rng(82)
    z = rng.normal(size=n) * 1.5
    p = scipy.special.expit(z)
    label = (rng.random(n) < scipy.special.expit(0.6 * z)).astype(int)
    weight = rng.gamma(1.0, size=n)
    weight[::11] = 0.0
    return label, p, z, weight


def by_hand(label, p, weight, bins=10):
    """Means of all losses, and reliabilities over equal-width bins, from the rows."""
    means = {
        name: np.average(kernel(label, p)[weight > 0], weights=weight[weight > 0]) for name, kernel in KERNELS.items()
    }
    place = np.minimum((p * bins).astype(int), bins - 1)
    total, y, forecast = (np.bincount(place, weights=weight * x, minlength=bins) for x in (1.0, label, p))
    used = total > 0
    share, y, forecast = total[used] / weight.sum(), y[used] / total[used], forecast[used] / total[used]
    kl = scipy.special.rel_entr(y, forecast) + scipy.special.rel_entr(1 - y, 1 - forecast)
    return means, {"cross_entropy": share @ kl, "savage": share @ (y - forecast) ** 2}


@pytest.fixture(scope="module")
def table(spark):
    label, p, z, weight = random_rows()
    rows = zip(label.tolist(), p.tolist(), z.tolist(), weight.tolist(), strict=True)
    return spark.createDataFrame(list(rows), "label int, p double, z double, w double").cache()


@pytest.mark.connect
def test_means_and_reliabilities_are_those_of_the_rows(table):
    label, p, _, weight = random_rows()
    found = ls.compare_losses(table, label="label", prediction="p", weight="w").set_index("loss")
    means, reliabilities = by_hand(label, p, weight)
    assert found["mean"].to_dict() == pytest.approx(means, rel=SUMS)
    assert found["reliability"].dropna().to_dict() == pytest.approx(reliabilities, rel=1e-11)  # differences of sums
    bound = {"cross_entropy": 2 * reliabilities["cross_entropy"], "savage": reliabilities["cross_entropy"]}
    assert found["bound"].dropna().to_dict() == pytest.approx(bound, rel=1e-11)
    assert (found["reliability"] <= found["bound"])[list(bound)].all()
    signs = 2 * label - 1
    assert found.loc["hinge", "mean"] == pytest.approx(
        hinge_loss(signs, scipy.special.logit(p), sample_weight=weight), rel=SUMS
    )
    assert found.loc["savage", "mean"] == pytest.approx(brier_score_loss(label, p, sample_weight=weight), rel=SUMS)
    assert found.loc["cross_entropy", "mean"] == pytest.approx(
        sklearn_log_loss(label, p, sample_weight=weight), rel=SUMS
    )


def test_logits_are_explained_as_their_probabilities(table):
    from_p = ls.compare_losses(table, label="label", prediction="p", ece_bins=20).set_index("loss")
    from_z = ls.compare_losses(table, label="label", prediction="z", kind="logit", ece_bins=20).set_index("loss")
    for name in from_p.columns:
        np.testing.assert_allclose(from_z[name].astype(float), from_p[name].astype(float), rtol=1e-10, err_msg=name)


def test_rows_that_cannot_be_scored_are_left_out_with_a_warning(spark):
    rows = [(1.0, 1.0), (0.25, 0.0), (0.5, 0.5), (None, 0.5), (2.0, 0.5), (1.0, None)]
    df = spark.createDataFrame(rows, "share double, p double")
    with pytest.warns(
        ls.InvalidRowsWarning, match=r"dropped 3 rows of 6 from the comparison of losses: .*label_range 1"
    ) as told:
        found = ls.compare_losses(df, label="share", prediction="p", soft_labels=True).set_index("loss")
    assert told.pop(ls.InvalidRowsWarning).filename == __file__
    cap = -np.log(1e-15)
    assert found.loc["cross_entropy", "mean"] == pytest.approx((0.25 * cap + np.log(2)) / 3, rel=1e-13)
    assert found.loc["savage", "mean"] == pytest.approx((0.25 + 0.25) / 3, rel=1e-15)
    assert found.loc["exponential", "mean"] == np.inf
    assert found.loc["tangent", "mean"] == pytest.approx(
        ((np.pi - 1) ** 2 + 0.25 * (np.pi + 1) ** 2 + 0.75 * (np.pi - 1) ** 2 + 1) / 3, rel=1e-13
    )
    assert np.isfinite(found[["reliability", "bound"]].dropna()).all(axis=None)
    assert (found["reliability"] <= found["bound"])[list(WITH_CONSTANT)].all()


def test_a_perfect_forecast_and_a_coin_flip_have_known_losses(spark):
    df = spark.createDataFrame([(1, 0.5), (0, 0.5)], "label int, p double")
    with warnings.catch_warnings():
        warnings.simplefilter("error", ls.InvalidRowsWarning)
        found = ls.compare_losses(df, label="label", prediction="p").set_index("loss")
    assert found["mean"].to_dict() == pytest.approx(found["coin_flip"].to_dict(), rel=1e-15)
    ln2, inf = np.log(2), np.inf
    assert found["coin_flip"].tolist() == pytest.approx([ln2, 1, 0.5, 1, 1, 0.25, 1, ln2 / 4, ln2], rel=1e-15)
    assert found["perfect"].tolist() == pytest.approx([0, 0, 0, inf, 0, 0, (np.pi - 1) ** 2, 0, inf], rel=1e-15)


def test_what_cannot_be_explained_is_refused_in_one_line(spark):
    df = spark.createDataFrame([(None, 0.5, [0.5, 0.5])], "label int, p double, both array<double>")
    with pytest.raises(ls.SpecError, match="compare_losses needs a binary forecast given as one number, got 2"):
        ls.compare_losses(df, label="label", prediction="both")
    with pytest.raises(ls.SpecError, match="ece_bins"):
        ls.compare_losses(df, label="label", prediction="p", ece_bins=7)
    with pytest.raises(ls.DataError, match="got none among 1: null_label 1"):
        ls.compare_losses(df, label="label", prediction="p")
