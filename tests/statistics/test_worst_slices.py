"""The search for bad slices against an exhaustive computation on the rows, and what it names in planted tables."""

from itertools import combinations, pairwise

import numpy as np
import pandas as pd
import pytest
import scipy.stats

from logloss_spark.errors import SpecError
from logloss_spark.statistics import excess, slice_sums
from logloss_spark.statistics.excess import Named, compared
from logloss_spark.statistics.multiplicity import family_wise_p_values
from logloss_spark.statistics.slice_sums import deepest, large_enough
from logloss_spark.statistics.worst_slices import Search, worst_slices
from tests.statistics.searched import ROWS, cells_of, members, named, planted, table


def slices_in(values, depth, min_rows):
    """Every combination of values that has enough rows, and a rest of enough rows, with the rows that it holds."""
    frame = pd.DataFrame(dict(enumerate(values)))
    for size in range(1, depth + 1):
        for columns in combinations(range(len(values)), size):
            for key, rows in frame.groupby(list(columns)).indices.items():
                inside = np.zeros(len(frame), dtype=bool)
                inside[rows] = True
                if min_rows <= inside.sum() <= len(frame) - min_rows:
                    yield dict(zip(columns, np.atleast_1d(key).tolist(), strict=True)), inside


def floored_welch(loss, inside):
    """Welch's test of a slice against the rest, one-sided; its own variance is at least that of the rest."""
    own, rest = loss[inside], loss[~inside]
    terms = np.array([max(own.var(ddof=1), rest.var(ddof=1)) / len(own), rest.var(ddof=1) / len(rest)])
    df = terms.sum() ** 2 / (terms**2 / [len(own) - 1, len(rest) - 1]).sum()
    excess = own.mean() - rest.mean()
    return excess, np.sqrt(terms.sum()), scipy.stats.t.sf(excess / np.sqrt(terms.sum()), df)


def test_every_slice_is_compared_with_the_rest_as_an_exhaustive_computation_on_the_rows_does():
    values, loss = planted(np.random.default_rng(1), ({0: 2, 1: 1}, 2.0))
    cells = cells_of(values, loss)
    slices, min_rows = large_enough(cells, 3, 50)
    found = compared(cells, slices, Named.none(len(cells.sums["n"])))
    keys = [dict(zip(*slices.key(cells, at), strict=True)) for at in range(len(slices))]
    expected = {tuple(key.items()): floored_welch(loss, inside) for key, inside in slices_in(values, 3, 50)}
    assert min_rows == 50
    assert sorted(expected) == sorted(tuple(key.items()) for key in keys)
    ours = np.stack([found.excess, found.error, found.p_value], axis=1)
    np.testing.assert_allclose(ours, [expected[tuple(key.items())] for key in keys], rtol=1e-9, atol=1e-13)
    result = worst_slices(cells, Search(max_depth=3, min_rows=50))
    assert result.looked_at == len(expected)
    p_values = np.array([p for _, _, p in expected.values()])
    assert result.worse == np.count_nonzero(family_wise_p_values(p_values) <= 0.05) > 1
    excess, error, p = expected[(0, 2), (1, 1)]
    assert result.keys == [((0, 1), (2, 1))]
    told = {name: column[0] for name, column in result.measured.items()}
    inside = members(values, {0: 2, 1: 1})
    of_rows = [loss[inside].mean(), loss[~inside].mean(), excess, excess, error, p, len(expected) * p]
    names = ("log_loss", "log_loss_of_rest", "excess", "own_excess", "excess_se", "p_value", "p_adjusted")
    np.testing.assert_allclose([told[name] for name in names], of_rows, rtol=1e-9)
    assert told["contribution"] == pytest.approx(loss.mean() - loss[~inside].mean())
    assert told["excess_high"] - told["excess_low"] == pytest.approx(2 * 1.959964 * error)


def robust_regression(loss, weight, columns, bucket=None):
    """The last coefficient of a weighted least squares, and its error as White's, or by buckets."""
    x = np.column_stack([np.ones(len(loss)), *columns]).astype(float)
    bread = np.linalg.inv(x.T @ (weight[:, np.newaxis] * x))
    coefficients = bread @ (x.T @ (weight * loss))
    scores = (weight * (loss - x @ coefficients))[:, np.newaxis] * x
    if bucket is None:
        meat, stretch = scores.T @ scores, 1.0
    else:
        sums = np.stack([scores[bucket == b].sum(axis=0) for b in range(64)])
        meat, stretch = sums.T @ sums, 64 / 63
    return coefficients[-1], np.sqrt(stretch * (bread @ meat @ bread)[-1, -1])


@pytest.mark.parametrize("clustered", [False, True])
def test_beside_named_slices_a_slice_is_compared_by_a_regression_with_robust_errors(clustered):
    rng = np.random.default_rng(2)
    first, second, slice_ = {0: 2, 1: 1}, {2: 3}, {0: 2}
    values, loss = planted(rng, (first, -2.0), (second, 1.0), (slice_, -1.5))
    weight, user = rng.gamma(2.0, size=ROWS), rng.integers(0, 640, ROWS)
    if clustered:  # the spread of users is larger than that of rows, which is the floor
        loss = loss * np.exp(rng.normal(size=640))[user]
    cells = cells_of(values, loss, weight, user % 64 if clustered else None)
    in_cells = [members(cells.values, one) for one in (first, second)]
    beside = Named.none(cells.values.shape[1]).and_(in_cells[0]).and_(in_cells[1])
    slices, _ = large_enough(cells, 1, 100)
    at = next(at for at in range(len(slices)) if slices.key(cells, at) == ((0,), (2,)))
    found = compared(cells, slices.of(np.array([at])), beside)
    columns = [members(values, one) for one in (first, second, slice_)]
    excess, error = robust_regression(loss, weight, columns, user % 64 if clustered else None)
    assert found.excess[0] == pytest.approx(excess, rel=1e-9)
    assert found.error[0] == pytest.approx(error, rel=1e-9 if clustered else 2e-3)  # n/(n - 1)


def test_the_contributions_of_listed_slices_add_up():
    values, loss = planted(np.random.default_rng(3), ({0: 2, 1: 1}, 2.5), ({2: 3}, 1.5), ({0: 0, 2: 3}, 1.0))
    found = worst_slices(cells_of(values, loss), Search())
    columns = [members(values, dict(zip(*key, strict=True))) for key in found.keys]
    intercept = np.linalg.lstsq(np.column_stack([np.ones(ROWS), *columns]), loss, rcond=None)[0][0]
    assert len(columns) > 1
    assert found.measured["contribution"].sum() == pytest.approx(loss.mean() - intercept)
    assert all(first >= second for first, second in pairwise(found.measured["contribution"]))


@pytest.mark.parametrize(
    ("bad", "expected"),
    [
        ([({0: 2, 1: 1}, 2.5)], [{0: 2, 1: 1}]),  # its parents are bad because of it alone
        ([({1: 1}, 1.5)], [{1: 1}]),  # its children are no worse than it is
        ([({1: 1}, 1.5), ({0: 1, 1: 1}, 1.5)], [{1: 1}, {0: 1, 1: 1}]),  # but this one is
    ],
)
def test_slices_that_say_the_same_are_named_once(bad, expected):
    values, loss = planted(np.random.default_rng(4), *bad)
    cells = cells_of(values, loss)
    assert worst_slices(cells, Search()).worse > len(expected)
    found = named(cells)
    assert sorted(map(str, found)) == sorted(map(str, expected))


def test_a_child_that_is_as_bad_as_its_parents_together_say_is_not_named():
    values, loss = planted(np.random.default_rng(4))
    parents = [{0: 1}, {1: 1}]
    bad = loss + sum(0.2 * members(values, parent) for parent in parents)
    assert bad[members(values, {0: 1, 1: 1})].mean() > max(bad[members(values, one)].mean() for one in parents) + 0.1
    assert named(cells_of(values, bad)) == [{1: 1}, {0: 1}]


def test_a_slice_shows_that_is_hidden_by_a_worse_one_among_its_rest():
    values, loss = planted(np.random.default_rng(5), ({0: 0}, 2.5), ({0: 1}, 1.0))
    inside = members(values, {0: 1})
    assert loss[inside].mean() < loss[~inside].mean()
    assert named(cells_of(values, loss), max_depth=1) == [{0: 0}, {0: 1}]


def test_slices_that_hold_the_same_rows_are_looked_at_once_and_told_together():
    values, loss = planted(np.random.default_rng(6), ({0: 2, 1: 1}, 2.5))
    alone = worst_slices(cells_of(values, loss), Search())
    found = worst_slices(cells_of(np.vstack([values, 7 - values[:1]]), loss), Search())
    assert found.keys == alone.keys
    assert found.same_rows == [[((1, 3), (1, 5))]]
    assert (found.looked_at, found.worse) == (alone.looked_at, alone.worse)


def test_values_of_few_rows_may_be_put_together_as_no_slice_of_theirs_is_looked_at():
    values, loss = planted(np.random.default_rng(7), ({0: 2, 1: 1}, 2.5))
    together = values.copy()
    together[0, values[0] == 7] = slice_sums.OTHER
    rows = int((values[0] == 7).sum()) + 1
    one, other = (worst_slices(cells_of(v, loss), Search(min_rows=rows)) for v in (values, together))
    assert (one.keys, one.looked_at) == (other.keys, other.looked_at)
    for name, found in one.measured.items():
        np.testing.assert_allclose(found, other.measured[name], rtol=1e-9, err_msg=name)


def test_no_more_is_looked_at_than_there_is_time_for(monkeypatch):
    values, loss = planted(np.random.default_rng(8), ({0: 2, 1: 1}, 2.5))
    cells = cells_of(values, loss)
    sizes = sorted((int(inside.sum()) for _, inside in slices_in(values, 2, 100)), reverse=True)
    monkeypatch.setattr(slice_sums, "MOST_SLICES", 30)
    found = worst_slices(cells, Search())
    assert (found.looked_at, found.min_rows) == (30, sizes[30] + 1)
    monkeypatch.setattr(slice_sums, "MOST_SETS", 5)
    assert worst_slices(cells, Search()).max_depth == 1
    assert deepest(2, 3) == 2


def test_many_slices_are_compared_in_pieces_and_by_values_that_occur(monkeypatch):
    rng = np.random.default_rng(9)
    values, loss = planted(rng, ({0: 2, 1: 1}, 2.5))
    cells = cells_of(values, loss, bucket=rng.integers(0, 64, ROWS))
    whole = worst_slices(cells, Search())
    monkeypatch.setattr(excess, "TOGETHER", 500)
    monkeypatch.setattr(slice_sums, "DENSE", 4)
    pieces = worst_slices(cells, Search())
    assert whole.keys == pieces.keys
    for name, found in whole.measured.items():
        np.testing.assert_array_equal(found, pieces.measured[name], err_msg=name)


def test_nothing_is_named_where_nothing_can_be_compared():
    values, loss = planted(np.random.default_rng(10), ({1: 1}, 2.0))
    infinite = np.where(np.arange(ROWS) == 5, np.inf, loss)
    nothing = [
        cells_of(values, infinite),
        cells_of(values, np.ones(ROWS)),
        cells_of(values[:, :0], loss[:0]),
        cells_of(np.zeros_like(values), loss),
        cells_of(values, loss, bucket=values[1] + 3),  # a bucket or two in each slice
    ]
    for cells in nothing:
        assert worst_slices(cells, Search()).keys == []


def test_a_search_says_what_it_cannot_take():
    for wrong in ({"max_depth": 0}, {"min_rows": 0.5}, {"confidence": 1.0}):
        with pytest.raises(SpecError, match=next(iter(wrong))):
            Search(**wrong)


def left_skewed(rng):
    """Losses of forecasts that are mostly wrong: large, and rarely near 0."""
    values, z, _ = table(rng)
    z = 3 + z / 2.4
    return values, np.logaddexp(0.0, np.where(rng.random(ROWS) < 1 / (1 + np.exp(-z)), z, -z))


def of_users(rng):
    """Losses of 200 users, some of whom are hard to forecast."""
    values, loss = planted(rng)
    user = rng.integers(0, 200, ROWS)
    return values, loss * np.exp(rng.normal(size=200))[user], None, rng.integers(0, 64, 200)[user]


WITHOUT = {
    "a tenth positive": planted,
    "mostly wrong": left_skewed,
    "weights": lambda rng: (*planted(rng), rng.gamma(2.0, size=ROWS)),
    "users": of_users,
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", WITHOUT)
def test_nothing_is_named_in_95_percent_of_tables_without_a_bad_slice(kind):
    tables = (WITHOUT[kind](np.random.default_rng([11, seed])) for seed in range(200))
    named_in = sum(bool(named(cells_of(*one), min_rows=30)) for one in tables)
    assert named_in <= 10


@pytest.mark.slow
@pytest.mark.parametrize("bad", [{0: 2, 1: 1}, {1: 1}], ids=["of two columns", "of one column"])
def test_a_planted_slice_and_no_other_is_named_in_95_percent_of_tables(bad):
    tables = (planted(np.random.default_rng([12, seed]), (bad, 1.8)) for seed in range(200))
    assert sum(named(cells_of(*one)) == [bad] for one in tables) >= 190
