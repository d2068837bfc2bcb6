"""The loss of a row if it is not cross-entropy: a named one or a user's function, in Python workers.

Functions get only the rows that can be scored, so that a user's function need not handle any others.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyspark.sql import Column
from pyspark.sql import functions as F

from logloss_spark.errors import SpecError
from logloss_spark.kernels.cross_entropy import class_losses_from_logits, class_losses_from_probabilities
from logloss_spark.kernels.margin import CLASS_LOSSES, MARGIN_LOSSES, logit, margin_loss
from logloss_spark.kernels.sums import Array
from logloss_spark.rows.arrow import Kernel, numbers
from logloss_spark.rows.inputs import Rows
from logloss_spark.scoring import Score, Scoring
from logloss_spark.workers.columns import vectorised


def other_loss(rows: Rows) -> Column:
    """The loss of each row of a table with the columns `status`, `label` or `index`, and `prediction`."""
    losses = vectorised(partial(losses_of_valid, kernel_of(rows.scoring), rows.form.size), "double")
    return losses(F.col("label") if rows.form.soft_labels else F.col("index"), F.col("prediction"), F.col("status"))


def losses_of_valid(kernel: Kernel, size: int, label: pa.Array, score: pa.Array, status: pa.Array) -> pa.Array:
    """Losses of the rows of an Arrow batch whose status is `ok`; NaN for the others, which are never read."""
    valid = numbers(status, size) == 0
    losses = np.full(len(valid), np.nan)
    if valid.any():
        losses[valid] = kernel(numbers(label, size)[valid], numbers(score, size)[valid])
    return pa.array(losses, from_pandas=False)


def kernel_of(scoring: Scoring) -> Kernel:
    """The kernel of any loss but cross-entropy: labels (n,) or (n, K) and scores (n,) or (n, K) to losses (n,)."""
    if callable(scoring.loss):
        return partial(given_loss, scoring.loss, scoring.loss_name)
    return named_loss(scoring.loss, scoring.score)


def named_loss(name: str, kind: Score) -> Kernel:
    """The kernel of a named loss. It takes hard labels as indices of classes, or shares."""
    if name in MARGIN_LOSSES:
        return partial(loss_of_margin, MARGIN_LOSSES[name], kind)
    return partial(loss_of_classes, CLASS_LOSSES[name], kind)


def loss_of_margin(loss: Callable[[Array], Array], kind: Score, y: Array, score: Array) -> Array:
    """Apply a function of the margin to binary forecasts."""
    return margin_loss(loss, y, score if kind == "logit" else logit(score))


def loss_of_classes(loss: Callable[[Array, Array], Array], kind: Score, y: Array, score: Array) -> Array:
    """Apply a function of the cross-entropies of all classes to any forecast."""
    losses = class_losses_from_logits(score) if kind == "logit" else class_losses_from_probabilities(score)
    if y.ndim == 2:
        return loss(y, losses)
    shares = [1 - y, y] if score.ndim == 1 else [y == k for k in range(score.shape[1])]
    return loss(np.stack(shares, axis=1).astype(np.float64), losses)


def given_loss(loss: Callable[..., Any], name: str, y: npt.NDArray[Any], score: Array) -> Array:
    """Call a user's function, and check that it returns one number per row.

    Raises SpecError if it fails, or returns anything else.
    """
    try:
        losses = np.asarray(loss(y, score), dtype=np.float64)
    except Exception as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise SpecError(f"loss {name!r} must take arrays of labels and predictions, and failed: {reason}") from error
    if losses.shape != (len(y),):
        raise SpecError(
            f"loss {name!r} must return one number per row, an array of shape {(len(y),)}, got shape {losses.shape}"
        )
    wrong = np.flatnonzero(np.isnan(losses))
    if wrong.size:
        with np.printoptions(threshold=6, edgeitems=2):  # keeps many classes on one line
            row = f"label {y[wrong[0]]} and prediction {score[wrong[0]]}"
        raise SpecError(f"loss {name!r} must return a number for every row that can be scored, got NaN for {row}")
    return losses


def check_loss(rows: Rows) -> None:
    """Raise SpecError, before a row is read, if the loss does not fit the forecast.

    A user's function is tried on uniform forecasts: for one row more than there are classes, and for a single row. So a
    result that has another length than the rows is noticed.
    """
    scoring, form = rows.scoring, rows.form
    if scoring.loss in MARGIN_LOSSES and not form.scalar:
        raise SpecError(
            f"loss {scoring.loss!r} needs a binary forecast given as one number, got {form.size} entries: "
            f"for classes there are cross_entropy, {', '.join(CLASS_LOSSES)}, or a function"
        )
    for count in (form.size + 1, 1) if callable(scoring.loss) else ():
        index = np.arange(count) % form.size
        shape = index.shape if form.scalar else (*index.shape, form.size)
        label = index if not form.soft_labels else index.astype(np.float64) if form.scalar else np.eye(form.size)[index]
        score = np.full(shape, 0.0 if scoring.score == "logit" else 1.0 / form.size)
        kernel_of(scoring)(label, score)
