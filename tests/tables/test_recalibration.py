"""Promised gains are met on rows that were held out, and isotonic curves of cells serve as those of rows do."""

from dataclasses import replace

import numpy as np
import pytest
from sklearn.isotonic import IsotonicRegression

from logloss_spark.errors import DataError, SpecError
from logloss_spark.statistics.recalibration import METHODS, coefficients_of, fitted, recalibrated
from logloss_spark.tables.recalibration import (
    Recalibration,
    check_recalibrable,
    curves_of_others,
    fitted_curve,
    gain_on,
)
from tests.scores import CONVENTIONS, TABLES, cells_of, fall_on, losses, published, score_sums, slices_of

FOLDS = 10


def halves(rng, p, y):
    """A random half of the rows, and the other half."""
    order = rng.permutation(len(p))
    return [(p[half], y[half]) for half in np.array_split(order, 2)]


def promised(method, curve, p, y, fold):
    """The gain of a curve, measured on each fold by the curve of all others."""
    slices = slices_of(p, y, fold)
    curves = curves_of_others(slices, CONVENTIONS, Recalibration(method=method, over="fold"))
    return gain_on(slices, curves, 0.95, "folds", coefficients_of(curve))


def shown(p, y):
    """The rows without events that the forecast had ruled out.

    In one table there is one in 887 rows. Its loss is 0.04 nats of the mean, and the half without it cannot know.
    """
    kept = losses(p, y) < 30
    return p[kept], y[kept]


@pytest.mark.parametrize(
    ("changed", "method", "line"),
    [
        ({"loss": "hinge"}, "isotonic", "a calibrator needs a state of the log loss, got one of the loss 'hinge'"),
        (
            {"scalar": False, "classes": ("a", "b", "c")},
            "temperature",
            "a calibrator needs a forecast of two classes, got 3, of which the cells hold only the likeliest: evaluate "
            "the entry of one class as a number, with whether it happened as the label",
        ),
        (
            {"scalar": False},
            "platt",
            "method must be 'temperature' for a forecast with an entry for each of two classes, got 'platt': for other "
            "methods evaluate the entry of the second class as a number",
        ),
    ],
)
def test_states_whose_cells_do_not_determine_a_curve_are_refused_in_one_line(changed, method, line):
    with pytest.raises(SpecError) as refused:
        check_recalibrable(replace(CONVENTIONS, **changed), method)
    assert str(refused.value) == line


@pytest.mark.parametrize(
    ("y", "changed", "line"),
    [
        ([0, 0], {"classes": ("no", "yes")}, "got only those of class 'no'"),
        ([1, 1], {"classes": ("no", "yes")}, "got only those of class 'yes'"),
        ([1, 1], {"scalar": False}, "got only those whose likeliest class happened"),
        ([0, 1], {}, "method 'platt' has no best fit to scores that separate the classes: take method='isotonic'"),
    ],
)
def test_rows_that_have_no_best_curve_are_refused_in_one_line(y, changed, line):
    cells = cells_of(np.array([0.6, 0.7]), np.array(y, dtype=float))
    with pytest.raises(DataError, match=line) as refused:
        fitted_curve(cells.place, cells.sums, replace(CONVENTIONS, **changed), "platt")
    assert "\n" not in str(refused.value)


@pytest.mark.slow  # 240 splits of seven tables, each with 44 curves
def test_promised_gains_are_met_on_the_held_out_half_in_95_of_100_splits(shared):
    met = {method: [] for method in METHODS}
    for name in TABLES:
        p, y = shown(*published(shared, name))
        rng = np.random.default_rng(159)
        for _ in range(34):
            known, held_out = halves(rng, p, y)
            fold = rng.integers(0, FOLDS, len(known[0]))
            for method in METHODS:
                curve = fitted(method, score_sums(*known), CONVENTIONS.eps)
                gain, found = promised(method, curve, *known, fold), fall_on(curve, *held_out).mean()
                met[method].append(gain.low <= found <= gain.high)
    for method, of_splits in met.items():
        assert np.mean(of_splits) >= 0.95, method


@pytest.mark.slow  # as above
def test_gains_on_a_held_out_third_are_met_on_another_third_in_95_of_100_splits(shared):
    met = {method: [] for method in METHODS}
    for name in TABLES:
        p, y = shown(*published(shared, name))
        rng = np.random.default_rng(160)
        for _ in range(60):
            known, held_out, new = ((p[third], y[third]) for third in np.array_split(rng.permutation(len(p)), 3))
            slices = slices_of(*held_out, np.zeros(len(held_out[0]), dtype=int))
            for method in METHODS:
                curve = fitted(method, score_sums(*known), CONVENTIONS.eps)
                gain = gain_on(slices, [curve], 0.95, "held-out rows")
                met[method].append(gain.low <= fall_on(curve, *new).mean() <= gain.high)
    for method, of_splits in met.items():
        assert np.mean(of_splits) >= 0.94, method  # 420 splits know a share of 95 % to 1.1 %


@pytest.mark.slow  # 20 splits of seven tables
def test_isotonic_curves_of_cells_lose_no_more_on_held_out_rows_than_scikit_learns_of_the_rows(shared):
    for name in TABLES:
        p, y = shown(*published(shared, name))
        rng, excess = np.random.default_rng(161), []
        for _ in range(20):
            (known, label), (new, new_label) = halves(rng, p, y)
            curve = fitted("isotonic", score_sums(known, label), CONVENTIONS.eps)
            theirs = IsotonicRegression(out_of_bounds="clip").fit(known, label)
            # Theirs forecasts 0 and 1 where a class was not seen: it gets the ends of ours.
            q = theirs.predict(new).clip(*curve.probabilities[[0, -1]])
            excess.append(losses(recalibrated(curve, new, 1 - new)[0], new_label).mean() / losses(q, new_label).mean())
        assert np.mean(excess) < 1.001, name
