"""Metrics are functions of sums: what they do where sums cancel, vanish or overflow. No Spark."""

import numpy as np
import pytest

from logloss_spark.errors import SpecError
from logloss_spark.statistics.calibration import ClassCells
from logloss_spark.statistics.catalogue import METRICS, by_column
from logloss_spark.statistics.intervals import centred_square, standard_error
from logloss_spark.statistics.metrics import Sums, metrics_of
from logloss_spark.statistics.reporting import Reporting
from tests.statistics.test_calibration import cells_of

LN2 = np.log(2.0)


def binary_sums(y, p, w, loss):
    """The sums of one slice of a scalar forecast, added up in NumPy."""
    b, u, d = (p - y) ** 2, p - y, loss - LN2
    h = np.where(
        (p > 0) & (p < 1),
        -p * np.log(p, where=p > 0, out=np.zeros_like(p)) - (1 - p) * np.log1p(-np.minimum(p, 0.5)),
        0,
    )
    of_weight = {"w": 1, "wl": loss, "wb": b, "wh": h, "wy": y, "wp": p, "ws": (y - p) * (1 - 2 * p)}
    of_square = {"w2": 1, "w2l": loss, "w2ll": loss * loss, "w2d": d, "w2dd": d * d, "w2b": b, "w2bb": b * b, "w2p": p}
    of_square |= {"w2y": y, "w2yy": y * y, "w2ly": loss * y, "w2uy": u * y, "w2s": 0, "w2v": 0, "w2e": 0}
    factors = of_weight | {name: w * factor for name, factor in of_square.items()}
    moments = {name: np.array([np.sum(w * factor)]) for name, factor in factors.items()}
    moments |= {f"{name}_low": np.zeros(1) for name in ("w", "wl", "wb", "wy", "wp")}
    none = {"n": np.zeros(1), "w": np.zeros(1), "wl": np.zeros(1)}
    return Sums(
        moments=moments | {"n": np.array([np.count_nonzero(w)], float)},
        classes={"n": np.array([[np.sum(y < 1), np.sum(y > 0)]], float)},
        cells=cells_of(y, p, w),
        class_cells=ClassCells(np.zeros((1, 0, 0)), np.zeros((1, 0, 0))),
        ranks={"w": np.zeros((1, 5))},
        clipped=none,
        zero=none,
        buckets=dict.fromkeys(("w", "wl", "wb", "wy", "wp"), np.zeros((1, 0, 0))),
        bucket_classes={},
        thin=np.arange(0),
        scalar=True,
        soft_labels=False,
        clustered=False,
        shift=LN2,
        cap=np.inf,
    )


def measured(y, p, w, loss, **reporting):
    found = metrics_of(binary_sums(y, p, w, loss), Reporting(**reporting))
    return {name: values[0] for name, values in found.items()}


@pytest.mark.parametrize(
    "constant", [0.0, 5e-324, 1e-300, 1e-16, 0.1, LN2, np.nextafter(LN2, 1), 0.7, 3.3, 34.5, 800.0, 1e6]
)
def test_a_constant_loss_has_an_error_of_zero_whatever_it_is(constant):
    rng = np.random.default_rng(60)
    n = 5000
    found = measured(rng.integers(0, 2, n).astype(float), np.full(n, 0.5), rng.gamma(0.5, size=n), np.full(n, constant))
    assert found["log_loss"] == pytest.approx(constant, rel=1e-12)
    assert found["log_loss_se"] == 0


@pytest.mark.parametrize("spread", [1.0, 1e-2, 1e-3])
@pytest.mark.parametrize("level", [0.01, 0.693, 5.0])
def test_an_error_keeps_six_digits_while_losses_vary_by_a_thousandth(level, spread):
    rng = np.random.default_rng(61)
    n = 20_000
    loss = level * (1 + spread * rng.uniform(-1, 1, n))
    w = rng.gamma(0.5, size=n)
    found = measured(rng.integers(0, 2, n).astype(float), np.full(n, 0.5), w, loss)
    influence = w * (loss - np.average(loss, weights=w)) / w.sum()
    assert found["log_loss_se"] == pytest.approx(np.sqrt(n / (n - 1) * np.sum(influence**2)), rel=1e-6)


def test_forecasting_the_share_of_each_class_gains_nothing_and_loses_nothing():
    y = np.repeat([0.0, 1.0], [300, 100])
    p = np.full(400, 0.25)
    loss = np.where(y == 1, -np.log(p), -np.log1p(-p))
    found = measured(y, p, np.ones(400), loss)
    assert found["normalized_entropy"] == pytest.approx(1, rel=1e-12)
    for name in ("information_gain", "kl_marginal", "overconfidence", "ece"):
        # A difference of sums has no digits of its own.
        assert found[name] == pytest.approx(0, abs=1e-12), name
    # Whatever the shares turn out to be, their own entropy is what this forecast costs.
    assert found["normalized_entropy_se"] == pytest.approx(0, abs=1e-7)


def test_a_given_baseline_of_the_shares_is_the_same_as_none():
    rng = np.random.default_rng(62)
    y = rng.permutation(np.repeat([0.0, 1.0], [300, 100]))
    p = rng.random(400)
    loss = np.where(y == 1, -np.log(p), -np.log1p(-p))
    found = [measured(y, p, np.ones(400), loss, baseline=baseline) for baseline in (None, 0.25, (0.75, 0.25))]
    for other in found[1:]:
        assert other["normalized_entropy"] == pytest.approx(found[0]["normalized_entropy"], rel=1e-12)


def test_bits_and_perplexity_say_the_same_as_nats():
    found = measured(np.array([1.0, 0.0]), np.array([0.5, 0.5]), np.ones(2), np.array([LN2, LN2]))
    assert found["log_loss_bits"] == pytest.approx(1, rel=1e-15)
    assert found["perplexity"] == pytest.approx(2, rel=1e-15)


def test_a_loss_too_large_for_perplexity_makes_it_infinite_without_a_warning():
    found = measured(np.array([1.0, 0.0]), np.array([0.5, 0.5]), np.ones(2), np.array([1e6, 1e6]))
    assert found["perplexity"] == np.inf
    assert found["log_loss"] == 1e6


def test_no_rows_have_no_metrics_and_no_warning():
    nothing = np.zeros(0)
    found = measured(nothing, nothing, nothing, nothing)
    assert found["minority"] == found["clipped"] == found["weight"] == 0
    sums = {"weight", "minority", "few", "buckets", *(name for name in found if name.startswith(("clipped", "zero")))}
    assert all(np.isnan(found[name]) for name in found.keys() - sums)


def test_metrics_come_in_the_order_in_which_they_are_declared():
    found = metrics_of(binary_sums(*np.ones((4, 3))), Reporting())
    assert list(found) == list(by_column(METRICS))


def test_the_lower_end_of_the_log_loss_is_not_below_zero():
    loss = np.array([0.0, 0.0, 0.0, 5.0])
    assert measured(np.array([0.0, 1.0, 1.0, 0.0]), np.full(4, 0.5), np.ones(4), loss)["log_loss_low"] == 0


def test_a_centred_square_is_never_negative():
    rng = np.random.default_rng(63)
    x = 1e8 + rng.random((1000, 50)) * 1e-6
    squares = centred_square((x * x).sum(axis=1), x.sum(axis=1), np.full(1000, 50.0), x.mean(axis=1))
    assert (squares >= 0).all()


def test_a_standard_error_needs_two_rows():
    found = standard_error(np.array([1.0, 1.0, 1.0]), np.array([0.0, 1.0, 2.0]))
    assert np.isnan(found[:2]).all()
    assert found[2] == pytest.approx(np.sqrt(2))


@pytest.mark.parametrize("baseline", [0.0, 1.0, -0.1, (0.5, 0.6), (0.2, 0.3, 0.5), (float("nan"), 0.5)])
def test_a_baseline_is_a_distribution_over_the_classes(baseline):
    with pytest.raises(SpecError, match="baseline"):
        Reporting(baseline=baseline).shares(2)
