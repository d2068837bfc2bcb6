"""A sample of the rows, on the driver: it gives gradient descent its start and its metric."""

from dataclasses import replace
from functools import partial

import numpy as np

from logloss_spark.fit.batches import kept_rows
from logloss_spark.fit.descent import DenseModel, Penalty, Point
from logloss_spark.fit.objective import Space, Totals, local_objective
from logloss_spark.fit.passes import TrainingRows
from logloss_spark.fit.solvers import Position, Problem, minimise
from logloss_spark.kernels.logistic import Block, Standardization, standardised
from logloss_spark.kernels.matrix import dense
from logloss_spark.kernels.sums import Array

SAMPLE_ROWS = (10_000, 50_000)
"""The smallest and the largest number of rows that a sample is meant to have."""

PER_PARAMETER = 1_000
"""Rows for each parameter: the Hessian of the sample is that of all rows to about 3 %."""

NUMBERS = 2**24
"""The most numbers that a sample holds: 128 MB on the driver."""

WORK = 4e9
"""The most multiplications for a sample's Hessian: a quarter of a second."""

RIDGE = 1e-6
"""The ridge in a sample's objective, as a share of its curvature: a separated sample has no minimum without it."""

SAMPLE_GAP = (1e-6, 0.01)
"""How near a sample's optimum is found: to the first number as a share of the labels' entropy, or to the second as a
share of the loss that choosing a sample is expected to cost."""

HALF_SEEN = 0.5
"""If the sample holds less than this share of a column's variance, its curvature is estimated from all rows instead."""


def draw_sample(rows: TrainingRows, space: Space) -> Block | None:
    """Pass over the rows, and return a sample of them with standardised features, or None if a class is missing in it.

    Rows are chosen by a hash of their content, so that the sample does not depend on the partitions. Half of the sample
    is divided evenly among the classes, the other half by their numbers of rows; weights make up for that. Equal rows
    have the same hash, so all of them are chosen or none. If that makes the sample worth less than half of its rows, a
    second pass chooses rows by their index in the partition, too.
    """
    counts = np.sum([sums["rows_of_class"] for sums in rows.parts], axis=0)
    size = space.free.size
    meant = float(np.clip(PER_PARAMETER * size, *SAMPLE_ROWS))
    meant = min(meant, max(WORK / size**2, 5 * size), NUMBERS / space.shape[1])
    share = np.minimum(1.0, meant * (0.5 / counts.sum() + 0.5 / (np.maximum(counts, 1.0) * len(counts))))
    expected = float(share @ counts)
    for by_index in (False, True):
        work = partial(chosen_rows, share=share, standard=space.standard, by_index=by_index)
        sums = rows.sums(work, appended)
        repeats = np.unique(sums["key"], return_counts=True)[1].astype(np.float64)
        worth = repeats.sum() ** 2 / (repeats @ repeats) if len(repeats) else 0.0
        if share.min() == 1.0 or worth >= 0.5 * expected:
            break
    if len(np.unique(sums["y"])) < len(counts):
        return None
    return Block(
        x=sums["x"],
        y=sums["y"],
        weight=sums["weight"],
        key=sums["key"],
        centre=np.zeros(()),
        offset=sums.get("offset"),
    )


def chosen_rows(block: Block, share: Array, standard: Standardization, by_index: bool) -> dict[str, Array]:
    """The rows of a block that belong to the sample, standardised."""
    key = block.key
    if by_index:  # multiples of the golden ratio are spread evenly
        key = (block.key + np.arange(len(key)) * 0.6180339887498949) % 1.0
    wanted = share[block.y.astype(np.intp)]
    taken = (key < wanted) & (block.weight > 0)
    part = replace(block, x=kept_rows(block.x, taken))
    sums = {
        "x": standardised(part, slice(None), standard)[:, :-1],
        "y": block.y[taken],
        "weight": block.weight[taken] / wanted[taken],
        "key": block.key[taken],
    }
    return sums | ({} if block.offset is None else {"offset": block.offset[taken]})


def appended(rows: dict[str, Array] | None, more: dict[str, Array]) -> dict[str, Array]:
    """The rows of two samples together."""
    return more if rows is None else {name: np.concatenate([rows[name], value]) for name, value in more.items()}


def optimum_of_sample(sample: Block, rows: int, space: Space, totals: Totals, x: Array) -> tuple[Array, DenseModel]:
    """The optimum of a sample of some number of rows, searched from x, and the model that it makes of the objective.

    Each parameter that is fitted to n of N rows is expected to raise the loss over all rows by (1/n - 1/N)/2.
    """
    curvature = mean_curvature(space, totals)
    with_ridge = replace(
        of_standardised(space), penalty=Penalty(space.penalty.l2 + RIDGE * curvature, space.penalty.l1)
    )
    evaluate = local_objective(sample, with_ridge)
    first = evaluate(x)
    cost = 0.5 * len(x) * (1 / len(sample.y) - 1 / rows)
    gap = max(SAMPLE_GAP[0] * totals.label_entropy, SAMPLE_GAP[1] * cost)
    problem = Problem(evaluate=evaluate, penalty=with_ridge.penalty, gap=gap, max_iter=30)
    minimum = minimise(problem, Position(first, model_at(first)))
    return minimum.point.x, metric(sample, space, minimum.point, curvature)


def model_of_sample(sample: Block, space: Space, totals: Totals, x: Array) -> DenseModel:
    """The model that a sample makes of the objective at the coordinates x."""
    point = local_objective(sample, of_standardised(space))(x)
    return metric(sample, space, point, mean_curvature(space, totals))


def of_standardised(space: Space) -> Space:
    """The same coordinates, for features that are standardised already."""
    width = space.shape[1] - 1
    return replace(space, standard=Standardization(np.zeros(width), np.ones(width)))


def metric(sample: Block, space: Space, point: Point, curvature: Array) -> DenseModel:
    """The Hessian of a sample.

    A column of which the sample holds little of the variance gets the curvature that its variance over all rows makes
    likely.
    """
    assert point.hessian is not None
    x = dense(sample.x)
    seen = (sample.weight @ (x * x)) / sample.weight.sum()
    # A small lack of variance is chance. Making up for it would drown the directions of least curvature.
    unseen = np.append(np.where(seen < HALF_SEEN, 1.0 - seen, 0.0), 0.0)
    unseen_of_each = np.tile(unseen, (space.shape[0], 1))[space.free]
    return DenseModel(point.hessian + np.diag(curvature * (unseen_of_each + RIDGE)))


def model_at(point: Point) -> DenseModel:
    """The model whose matrix is the Hessian at a point."""
    assert point.hessian is not None
    return DenseModel(point.hessian)


def mean_curvature(space: Space, totals: Totals) -> Array:
    """The curvature along each coordinate, for a forecast that knows only the shares of the classes."""
    shares = totals.shares[1:] if space.shape[0] == 1 else totals.shares
    floor = 1e-6
    return np.asarray(np.tile(np.maximum(shares * (1 - shares), floor)[:, None], (1, space.shape[1]))[space.free])


def second_moments(space: Space, totals: Totals) -> Array:
    """The mean square of each feature as the solver sees it: 1, unless features are not centred."""
    standard = space.standard
    squares = ((totals.mean - standard.mean) * standard.scale) ** 2 + (totals.deviation * standard.scale) ** 2
    return np.asarray(np.tile(np.append(squares, 1.0), (space.shape[0], 1))[space.free])
