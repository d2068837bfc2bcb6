"""A sample of the rows, on the driver: where gradient descent starts, and the metric it descends in."""

from dataclasses import replace
from functools import partial

import numpy as np

from logloss_spark.fit.batches import rows_of
from logloss_spark.fit.objective import Space, Totals, local_objective
from logloss_spark.fit.passes import TrainingRows
from logloss_spark.fit.solvers import DenseModel, Penalty, Point, minimised
from logloss_spark.kernels.logistic import Block, Standardization, standardised
from logloss_spark.kernels.matrix import dense
from logloss_spark.kernels.sums import Array

ROWS = (10_000, 50_000)
"""At least and at most so many rows are a sample."""

PER_PARAMETER = 1_000
"""Rows for each parameter: the Hessian of the sample is that of all rows to about 3 %."""

NUMBERS = 2**24
"""Numbers of a sample: 128 MB on the driver."""

WORK = 4e9
"""Multiplications of a sample's Hessian: a quarter of a second."""

RIDGE = 1e-6
"""What the sample's objective is bent by, as a share of its curvature, so that it has a minimum if it is separated."""

HALF_SEEN = 0.5
"""A column of which the sample has less than this share of the variance is one that it hardly saw."""


def drawn(rows: TrainingRows, space: Space, found: Totals) -> Block | None:
    """A sample of the rows, with standardised features; None where a class is missing in it.

    Chosen by a hash of each row's content, so that it does not depend on the partitions, and by class: half of it is
    shared out evenly, the other half by the classes' rows. A row counts for all that it stands for. Rows that are the
    same have the same hash, and come together or not at all; where that makes the sample worth less than half of its
    rows it is drawn by the place in the partition.
    """
    counts = np.sum([sums["rows_of_class"] for sums in rows.parts], axis=0)
    size = space.free.size
    meant = float(np.clip(PER_PARAMETER * size, *ROWS))
    meant = min(meant, max(WORK / size**2, 5 * size), NUMBERS / space.shape[1])
    share = np.minimum(1.0, meant * (0.5 / counts.sum() + 0.5 / (np.maximum(counts, 1.0) * len(counts))))
    expected = float(share @ counts)
    for by_place in (False, True):
        work = partial(chosen, share=share, standard=space.standard, by_place=by_place)
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


def chosen(block: Block, share: Array, standard: Standardization, by_place: bool) -> dict[str, Array]:
    """The rows of a block that a sample takes, standardised."""
    key = block.key
    if by_place:  # multiples of the golden ratio are spread evenly
        key = (block.key + np.arange(len(key)) * 0.6180339887498949) % 1.0
    wanted = share[block.y.astype(np.intp)]
    taken = (key < wanted) & (block.weight > 0)
    part = replace(block, x=rows_of(block.x, taken))
    found = {
        "x": standardised(part, slice(None), standard)[:, :-1],
        "y": block.y[taken],
        "weight": block.weight[taken] / wanted[taken],
        "key": block.key[taken],
    }
    return found | ({} if block.offset is None else {"offset": block.offset[taken]})


def appended(rows: dict[str, Array] | None, more: dict[str, Array]) -> dict[str, Array]:
    """Rows of two samples together."""
    return more if rows is None else {name: np.concatenate([rows[name], value]) for name, value in more.items()}


def start(sample: Block, space: Space, found: Totals, begin: Array) -> tuple[Array, DenseModel]:
    """The optimum of a sample, and its Hessian there as the model of the objective.

    A column that the sample hardly saw is given the curvature that its variance over all rows lets expect.
    """
    curvature = mean_curvature(space, found)
    bent = replace(of_standardised(space), penalty=Penalty(space.penalty.l2 + RIDGE * curvature, space.penalty.l1))
    evaluate = local_objective(sample, bent)
    first = evaluate(begin)
    minimum = minimised(evaluate, first, model_at(first), bent.penalty, gap=1e-6 * found.label_entropy, max_iter=30)
    return minimum.point.x, metric(sample, space, minimum.point, curvature)


def model_of_sample(sample: Block, space: Space, found: Totals, x: Array) -> tuple[Array, DenseModel]:
    """A point that is given, and the model that a sample makes of the objective there."""
    point = local_objective(sample, of_standardised(space))(x)
    return x, metric(sample, space, point, mean_curvature(space, found))


def of_standardised(space: Space) -> Space:
    """The same coordinates for features that have been standardised."""
    width = space.shape[1] - 1
    return replace(space, standard=Standardization(np.zeros(width), np.ones(width)))


def metric(sample: Block, space: Space, point: Point, curvature: Array) -> DenseModel:
    """The Hessian of a sample, with what it did not see."""
    assert point.hessian is not None
    x = dense(sample.x)
    seen = (sample.weight @ (x * x)) / sample.weight.sum()
    # A little less than the whole variance is chance: to add that would drown the directions of least curvature.
    unseen = np.append(np.where(seen < HALF_SEEN, 1.0 - seen, 0.0), 0.0)
    unseen_of_each = np.tile(unseen, (space.shape[0], 1))[space.free]
    return DenseModel(point.hessian + np.diag(curvature * (unseen_of_each + RIDGE)))


def model_at(point: Point) -> DenseModel:
    """The model that a point's own Hessian makes."""
    assert point.hessian is not None
    return DenseModel(point.hessian)


def mean_curvature(space: Space, found: Totals) -> Array:
    """The curvature of a standardised feature under a forecast that knows the shares alone, for each coordinate."""
    shares = found.shares[1:] if space.shape[0] == 1 else found.shares
    floor = 1e-6
    return np.asarray(np.tile(np.maximum(shares * (1 - shares), floor)[:, None], (1, space.shape[1]))[space.free])


def second_moments(space: Space, found: Totals) -> Array:
    """The mean square of each feature in the solver's coordinates: 1, unless it is not centred."""
    standard = space.standard
    squares = ((found.mean - standard.mean) * standard.scale) ** 2 + (found.deviation * standard.scale) ** 2
    return np.asarray(np.tile(np.append(squares, 1.0), (space.shape[0], 1))[space.free])
