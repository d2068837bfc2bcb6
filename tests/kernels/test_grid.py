"""The grid of scores: its literals are the right ones, and every double lands in the bin that holds it."""

import hashlib
from fractions import Fraction

import mpmath as mp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from logloss_spark.kernels.grid import (
    _FIRST_STEP,
    _LOGIT_STEPS_OF_ONE,
    _MOST_LOGIT,
    _SHIFT,
    _STEPS,
    BINS,
    EDGES,
    HALF,
    LOGIT_EDGES,
    VERSION,
    bin_of_logit,
    bin_of_probability,
    coarse_bin,
    coarse_edges,
)

pytestmark = pytest.mark.filterwarnings("error")
settings.register_profile("kernels", derandomize=True, deadline=None, database=None)
settings.load_profile("kernels")

DIVISORS = [count for count in range(1, 201) if 200 % count == 0 or 15 % count == 0]
EQUAL_WIDTH = {k / width: Fraction(k, width) for width in (15, 200) for k in range(1, width + 1)}
with mp.workdps(100):
    DECADES = [float(mp.mpf(10) ** (mp.mpf(j) / 40)) for j in range(-360, -39)]


@pytest.mark.parametrize("edges", [EDGES, LOGIT_EDGES], ids=["probability", "logit"])
def test_edges_are_strictly_increasing(edges):
    assert (edges[1:] > edges[:-1]).all()


def test_edges_are_the_two_hundredths_the_fifteenths_and_forty_a_decade_and_their_mirror_image():
    inner = set(EQUAL_WIDTH) | set(DECADES) | {1.0 - e for e in DECADES}
    assert EDGES.tolist() == [5e-324, *sorted(inner)]


def test_decades_and_two_hundredths_are_edges_as_they_are_written():
    for written in ("1e-9", "1e-8", "1e-7", "1e-6", "1e-5", "1e-4", "1e-3", "0.01", "0.1", "0.29", "0.59", "0.995"):
        assert float(written) in EDGES


def test_each_edge_below_one_half_has_its_logit_correctly_rounded():
    lower = EDGES[1 : HALF - 1].tolist()
    with mp.workdps(100):
        assert LOGIT_EDGES[1 : HALF - 1].tolist() == [float(mp.log(mp.mpf(e) / (1 - mp.mpf(e)))) for e in lower]


def test_logit_edges_are_symmetric():
    inner = LOGIT_EDGES[1:-1]
    np.testing.assert_array_equal(inner, -inner[::-1])


def test_edges_are_symmetric_to_the_last_bit_of_one():
    inner = EDGES[1:-1]
    # An edge above one half is the double next to 1 - e or next to (n - k)/n; those differ by 2^-53 at most.
    np.testing.assert_allclose(inner[::-1], 1.0 - inner, rtol=0, atol=2.0**-53)


def test_the_bin_of_one_half_begins_there():
    assert (EDGES[HALF - 1], LOGIT_EDGES[HALF - 1]) == (0.5, 0.0)
    assert bin_of_probability(np.array([0.5]))[0] == bin_of_logit(np.array([0.0]))[0] == HALF


@pytest.mark.parametrize(
    ("edges", "bin_of"), [(EDGES, bin_of_probability), (LOGIT_EDGES, bin_of_logit)], ids=["probability", "logit"]
)
def test_every_edge_and_its_two_neighbours_land_in_the_right_bin(edges, bin_of):
    index = np.arange(edges.size)
    # The neighbours of the outermost edges are infinite or subnormal, of which NumPy warns.
    with np.errstate(over="ignore", under="ignore"):
        below, above = np.nextafter(edges, -np.inf), np.nextafter(edges, np.inf)
    np.testing.assert_array_equal(bin_of(below), index)
    np.testing.assert_array_equal(bin_of(edges), index + 1)
    np.testing.assert_array_equal(bin_of(above), index + 1)


@pytest.mark.parametrize(
    ("p", "z", "expected"),
    [
        (0.0, -np.inf, 0),
        (-0.0, -np.inf, 0),
        (5e-324, -np.finfo(float).max, 1),
        (1e-12, -27.6, 1),
        (0.5, -0.0, HALF),
        (1.0 - 2.0**-53, 36.7, BINS - 2),
        (1.0 - 2.0**-53, np.finfo(float).max, BINS - 2),
        (1.0, np.inf, BINS - 1),
    ],
)
def test_table_of_bins(p, z, expected):
    assert bin_of_probability(np.array([p])).tolist() == bin_of_logit(np.array([z])).tolist() == [expected]


@given(st.floats(-20, 20))
def test_a_logit_and_its_probability_share_a_bin_unless_an_edge_is_between_their_roundings(z):
    p = 1.0 / (1.0 + np.exp(-z))
    # The probability is within two ulp of that of the logit, and that of an edge within one.
    nearby = np.array([p - 4 * np.spacing(p), p, p + 4 * np.spacing(p)])
    low, _, high = bin_of_probability(nearby)
    assert low <= bin_of_logit(np.array([z]))[0] <= high


@given(st.floats(0.0, 1.0))
def test_a_bin_holds_its_probability(p):
    b = int(bin_of_probability(np.array([p]))[0])
    assert b == 0 or EDGES[b - 1] <= p
    assert b == BINS - 1 or p < EDGES[b]


@pytest.mark.parametrize("count", DIVISORS)
def test_coarse_bins_agree_with_exact_rational_arithmetic(count):
    # An edge of the equal-width kind stands for its fraction, which is not a double; any other for itself.
    lower = [Fraction(0)] + [EQUAL_WIDTH.get(e, Fraction(e)) for e in EDGES.tolist()]
    expected = [min(int(edge * count), count - 1) for edge in lower]
    assert coarse_bin(np.arange(BINS), count).tolist() == expected


@pytest.mark.parametrize("count", DIVISORS)
def test_a_probability_on_a_coarse_edge_is_in_the_bin_that_begins_there(count):
    p = np.array([i / count for i in range(count)])
    assert coarse_bin(bin_of_probability(p), count).tolist() == list(range(count))


@pytest.mark.parametrize("count", DIVISORS)
def test_coarse_edges_are_edges_of_the_grid(count):
    edges = coarse_edges(count).tolist()
    assert edges == [i / count for i in range(count + 1)]
    assert set(edges[1:]) <= set(EDGES.tolist())


@pytest.mark.parametrize("count", [0, -10, 6, 7, 30, 201, 400])
def test_a_count_that_would_cut_a_bin_in_two_is_refused(count):
    with pytest.raises(ValueError, match=f"must be one of 1, 2, 3, 4, 5, 8, 10, 15, 20, .*, got {count}"):
        coarse_edges(count)
    with pytest.raises(ValueError, match="must be one of 1, 2, 3"):
        coarse_bin(np.array([0]), count)


def test_invalid_rows_get_some_bin():
    anything = np.array([np.nan, -1.0, 2.0, np.inf, -np.inf])
    for bins in (bin_of_probability(anything), bin_of_logit(anything)):
        assert ((bins >= 0) & (bins < BINS)).all()
    assert coarse_bin(np.array([-5, BINS + 5]), 10).tolist() == [0, 9]


def test_no_rows_give_no_bins():
    for bins in (bin_of_probability(np.empty(0)), bin_of_logit(np.empty(0)), coarse_bin(np.empty(0, dtype=int), 10)):
        assert bins.shape == (0,)


def test_read_only_input_is_enough():
    p = np.array([0.25, 0.75])
    p.setflags(write=False)
    assert bin_of_probability(p).shape == bin_of_logit(p).shape == (2,)


def test_single_precision_is_binned_in_double():
    p = np.array([0.29], dtype=np.float32)
    np.testing.assert_array_equal(bin_of_probability(p), bin_of_probability(p.astype(np.float64)))


def test_the_edges_cannot_be_changed_by_accident():
    for edges in (EDGES, LOGIT_EDGES):
        with pytest.raises(ValueError, match="read-only"):
            edges[0] = 0.0


def test_version_2_means_these_edges():
    # States are stored with this version: an edge that moves by one bit needs another.
    digest = hashlib.sha256(EDGES.astype("<f8").tobytes() + LOGIT_EDGES.astype("<f8").tobytes()).hexdigest()
    assert (VERSION, digest[:16]) == (2, "13ceaeaa78629db4")


def test_the_ends_of_every_step_of_the_guess_and_scores_of_every_size_get_the_bin_that_a_search_finds():
    rng = np.random.default_rng(1)
    starts = ((np.arange(_STEPS + 1) + _FIRST_STEP) << _SHIFT).view(np.float64)
    scores = [starts, 1.0 - starts, rng.random(50_000), 10.0 ** rng.uniform(-323, 0, 50_000)]
    p = np.concatenate([*scores, 1.0 - scores[-1]])
    p = np.concatenate([p, np.nextafter(p, 0.0), np.minimum(np.nextafter(p, 2.0), 1.0)])
    np.testing.assert_array_equal(bin_of_probability(p), np.searchsorted(EDGES, p, side="right"))
    steps = np.arange(2 * _MOST_LOGIT * _LOGIT_STEPS_OF_ONE + 1) / _LOGIT_STEPS_OF_ONE - _MOST_LOGIT
    z = np.concatenate([steps, rng.normal(size=50_000), rng.uniform(-40, 40, 50_000)])
    z = np.concatenate([z, np.nextafter(z, -np.inf), np.nextafter(z, np.inf)])
    np.testing.assert_array_equal(bin_of_logit(z), np.searchsorted(LOGIT_EDGES, z, side="right"))
