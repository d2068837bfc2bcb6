"""The bins of the score grid: Spark's expressions and NumPy's search put every double into the same one."""

import numpy as np
import pytest

from logloss_spark.kernels.grid import EDGES, LOGIT_EDGES, bin_of_logit, bin_of_probability
from tests.rows.batches import scored_rows


def with_neighbours(values):
    """Values, and the doubles next to each of them."""
    with np.errstate(over="ignore"):  # beyond the largest double comes infinity
        return np.concatenate([values, np.nextafter(values, -np.inf), np.nextafter(values, np.inf)])


def probabilities():
    rng = np.random.default_rng(1)
    ends = [0.0, 5e-324, 2.0**-1022, 0.5, 1 - 2.0**-53, 1.0]
    # 29, 57 and 58 hundredths are where floor(100 p) goes wrong.
    anywhere = [rng.random(2000), 10.0 ** rng.uniform(-323, 0, 2000), 1 - 10.0 ** rng.uniform(-16, 0, 2000)]
    around = np.concatenate([with_neighbours(EDGES), with_neighbours(1 - EDGES), ends, *anywhere])
    return np.unique(around[(around >= 0) & (around <= 1)])


def logits():
    rng = np.random.default_rng(2)
    ends = [0.0, -0.0, 5e-324, -5e-324, 1e6, -1e6, np.inf, -np.inf]
    anywhere = [rng.uniform(-25, 25, 3000), rng.uniform(-800, 800, 1000)]
    return np.concatenate([with_neighbours(LOGIT_EDGES), ends, *anywhere])


SCORES = {"probability": (probabilities(), bin_of_probability), "logit": (logits(), bin_of_logit)}


@pytest.fixture(scope="module", params=SCORES)
def bins(request, spark):
    """Scores, where NumPy puts them, and where the engines do."""
    scores, bin_of = SCORES[request.param]
    found = scored_rows(spark, {"label": np.ones(scores.size, int), "prediction": scores}, kind=request.param)
    return scores, bin_of(scores), {engine: columns["bin"] for engine, columns in found.items()}


def test_every_edge_its_neighbours_and_any_other_score_lie_in_the_bin_where_numpy_puts_them(bins):
    scores, wanted, found = bins
    wrong = scores[found["native"] != wanted]
    assert wrong.size == 0, wrong[:10]


def test_both_engines_fill_the_same_bins(bins):
    _, _, found = bins
    np.testing.assert_array_equal(found["pandas"], found["native"])


def test_of_several_classes_the_top_one_is_binned(spark):
    top = probabilities()
    top = top[top >= 0.334]
    rest = (1 - top) / 2
    p = np.stack([rest, top, rest], axis=1)
    rows = {"label": np.ones(top.size, int), "prediction": p}
    found = scored_rows(spark, rows, engine=["native"], classes=(0, 1, 2))["native"]
    assert (found["status"] == 0).all()
    np.testing.assert_array_equal(found["bin"], bin_of_probability(p.max(axis=1)))
