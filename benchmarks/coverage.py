"""How often intervals cover what they estimate: 2,000 replicates of designs like the tables that people have."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from logloss_spark.statistics.any_time import any_time_quantile
from logloss_spark.statistics.intervals import centred_square, quantile_of, standard_error

Array = np.ndarray[Any, np.dtype[Any]]

REPLICATES = 2000
BUCKETS = 64


def interval_of_rows(loss: Array, w: Array) -> tuple[Array, Array]:
    """Estimate and half-width of each replicate, (m, n) -> (m,), from the moments of its rows."""
    total, mean = w.sum(axis=1), (w * loss).sum(axis=1) / w.sum(axis=1)
    squares = centred_square((w * w * loss * loss).sum(axis=1), (w * w * loss).sum(axis=1), (w * w).sum(axis=1), mean)
    rows = np.full(len(w), w.shape[1], dtype=float)
    return mean, quantile_of(0.95, None) * standard_error(squares / total**2, rows)


def interval_of_clusters(loss: Array, w: Array, cluster: Array, rng: np.random.Generator) -> tuple[Array, Array]:
    """Estimate and half-width from the sums of buckets, which clusters fall into at random in every replicate."""
    total, mean = w.sum(axis=1), (w * loss).sum(axis=1) / w.sum(axis=1)
    influence = w * (loss - mean[:, None]) / total[:, None]
    bucket = np.take_along_axis(rng.integers(0, BUCKETS, (len(w), cluster.max() + 1)), cluster, axis=1)
    flat = (np.arange(len(w))[:, None] * BUCKETS + bucket).ravel()
    shape = (len(w), BUCKETS)
    sums = np.bincount(flat, influence.ravel(), len(w) * BUCKETS).reshape(shape)
    filled = np.count_nonzero(np.bincount(flat, minlength=len(w) * BUCKETS).reshape(shape), axis=1).astype(float)
    return mean, quantile_of(0.95, filled) * standard_error((sums**2).sum(axis=1), filled)


def coverage(interval: tuple[Array, Array], truth: float) -> float:
    """The share of replicates whose interval holds the truth."""
    mean, reach = interval
    return float(np.mean(np.abs(mean - truth) <= reach))


def forecasts(rng: np.random.Generator, shape: Any, rate: float) -> tuple[Array, Array]:
    """Calibrated probabilities around a rate, and what happened."""
    p = 1 / (1 + np.exp(-(np.log(rate / (1 - rate)) + 0.8 * rng.normal(size=shape))))
    return p, (rng.random(shape) < p).astype(float)


def losses(y: Array, p: Array) -> Array:
    """The log loss of each row."""
    return np.where(y == 1, -np.log(p), -np.log1p(-p))


def expected_loss(rate: float) -> float:
    """What the loss of `forecasts` is in the mean, to four digits: a hundredth of any interval here."""
    p, _ = forecasts(np.random.default_rng(1), 2_000_000, rate)
    return float(np.mean(-p * np.log(p) - (1 - p) * np.log1p(-p)))


def of_rows(n: int, rate: float, weights: str, seed: int = 70) -> float:
    """The coverage for independent rows with weights that are all 1, gamma or Pareto."""
    rng = np.random.default_rng(seed)
    p, y = forecasts(rng, (REPLICATES, n), rate)
    drawn = {"none": np.ones, "gamma": lambda shape: rng.gamma(2.0, size=shape), "pareto": heavy(rng)}
    return coverage(interval_of_rows(losses(y, p), drawn[weights](p.shape)), expected_loss(rate))


def heavy(rng: np.random.Generator) -> Any:
    """Weights of which a few hold most."""
    return lambda shape: rng.pareto(1.2, size=shape) + 1e-3


def hanging_together(rng: np.random.Generator, clusters: int, size: int, share: float = 0.3) -> Array:
    """Losses of which rows of a cluster share a part: their logarithms have this intraclass correlation."""
    shared = rng.normal(size=(REPLICATES, clusters, 1)) * np.sqrt(share)
    own = rng.normal(size=(REPLICATES, clusters, size)) * np.sqrt(1 - share)
    return np.exp(0.5 * (shared + own)).reshape(REPLICATES, -1)


def of_clusters(clusters: int, size: int, weighted: bool, differences: bool, seed: int = 72) -> tuple[float, float]:
    """The coverage where rows hang together: of intervals by cluster, and of those that take rows as independent."""
    rng = np.random.default_rng(seed)
    loss, truth = hanging_together(rng, clusters, size), float(np.exp(0.125))
    if differences:
        loss, truth = loss - hanging_together(rng, clusters, size), 0.0
    w = rng.gamma(4.0, size=loss.shape) if weighted else np.ones_like(loss)
    cluster = np.broadcast_to(np.repeat(np.arange(clusters), size)[None, :], loss.shape)
    return coverage(interval_of_clusters(loss, w, cluster, rng), truth), coverage(interval_of_rows(loss, w), truth)


def of_daily_looks(
    days: int, rows: int, weights: str, rate: float = 0.3, replicates: int = REPLICATES, seed: int = 74
) -> tuple[float, float]:
    """The share of replicates in which no day's interval misses, of fixed intervals and of any-time ones.

    Each day adds rows to the moments, as a state does, and the interval of all rows so far is looked at.
    """
    rng = np.random.default_rng(seed)
    draw = {"none": np.ones, "gamma": lambda shape: rng.gamma(2.0, size=shape)}[weights]
    truth = expected_loss(rate)
    moments = np.zeros((5, replicates))
    held = np.ones((2, replicates), dtype=bool)
    for day in range(1, days + 1):
        p, y = forecasts(rng, (replicates, rows), rate)
        loss, w = losses(y, p), draw(p.shape)
        terms = (w, w * loss, w * w, w * w * loss, w * w * loss * loss)
        moments += np.stack([term.sum(axis=1) for term in terms])
        total, weighted, square, product, squares = moments
        mean, n_eff = weighted / total, total**2 / square
        error = standard_error(
            centred_square(squares, product, square, mean) / total**2, np.full(replicates, day * rows)
        )
        for kind, quantile in enumerate((quantile_of(0.95, None), any_time_quantile(0.95, n_eff))):
            held[kind] &= np.abs(mean - truth) <= quantile * error
    fixed, any_time = held.mean(axis=1)
    return float(fixed), float(any_time)


def lines() -> Iterator[str]:
    """The table, as Markdown."""
    yield "| independent rows | weights | coverage of 95 % |"
    yield "|---|---|---|"
    for n, rate, weights in (
        (400, 0.5, "none"),
        (1000, 0.12, "none"),
        (5000, 0.025, "none"),
        (400, 0.5, "gamma"),
        (1000, 0.12, "gamma"),
        (5000, 0.025, "gamma"),
        (1000, 0.022, "none"),
        (400, 0.02, "none"),
        (400, 0.5, "pareto"),
    ):
        yield f"| {n:,}, {rate:.1%} positive | {weights} | {of_rows(n, rate, weights):.1%} |"
    yield ""
    yield "| clusters, correlation 0.3 | of | by cluster | as if independent |"
    yield "|---|---|---|---|"
    for clusters, size in ((10, 40), (100, 10), (1000, 3)):
        for weighted in (False, True):
            for differences in (False, True):
                by_cluster, naive = of_clusters(clusters, size, weighted, differences)
                of = ("weighted " if weighted else "") + ("differences" if differences else "losses")
                yield f"| {clusters:,} of {size} rows | {of} | {by_cluster:.1%} | {naive:.1%} |"
    yield ""
    yield "| looks, one a day at all rows so far | weights | fixed never miss | any-time never miss |"
    yield "|---|---|---|---|"
    for days, rows in ((60, 100), (365, 100), (365, 1000)):
        for weights in ("none", "gamma"):
            fixed, any_time = of_daily_looks(days, rows, weights)
            yield f"| {days} of {rows:,} rows each | {weights} | {fixed:.1%} | {any_time:.1%} |"


if __name__ == "__main__":
    print("\n".join(lines()))
