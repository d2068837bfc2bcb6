"""The terms of each row of a batch, of which a state holds the sums. They are the reference of every engine.

NumPy only; every function is total. For rows whose status is not `ok` the values are unspecified; nothing is raised and
no warning is issued.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from logloss_spark.kernels.cross_entropy import (
    class_losses_from_logits,
    class_losses_from_probabilities,
    powers_behind_top,
    share_of,
    shared,
    surprisal,
)
from logloss_spark.kernels.grid import bin_of_logit, bin_of_probability, bin_of_tail
from logloss_spark.kernels.sums import Array, compensated_sum

Score = Literal["probability", "logit"]
Terms = dict[str, npt.NDArray[Any]]


def score_of(prediction: Array, kind: Literal["probability", "logit", "margin"]) -> Array:
    """The score of a prediction: the logit of a margin, a distribution clipped to [0, 1], anything else as it is.

    Parameters
    ----------
    prediction : array of shape (n,) or (n, K); of a margin (n,), or (n, 2) as [-z, z]
    kind : what the prediction is

    Returns
    -------
    array of shape (n,), a probability or a logit of the positive class; or (n, K), one per class

    Examples
    --------
    >>> score_of(np.array([[-2.0, 2.0]]), "margin").tolist()
    [2.0]
    >>> score_of(np.array([[1.00001, -0.00001]]), "probability").tolist()
    [[1.0, 0.0]]
    """
    if kind == "margin":
        return prediction[:, 1] if prediction.ndim == 2 else prediction
    return np.clip(prediction, 0.0, 1.0) if kind == "probability" and prediction.ndim == 2 else prediction


def binary_terms(
    y: Array, score: Array, kind: Score, *, soft: bool = True, eps: float = 1e-15, cap: float = np.inf
) -> Terms:
    """The terms of forecasts that are one number, the probability or the logit of the positive class.

    Parameters
    ----------
    y : array of shape (n,), 0 or 1, or for soft labels the share of the positive class in [0, 1]
    score : array of shape (n,), a probability in [0, 1], or any float as a logit
    kind : what the score is
    soft : whether `y` may be a share; it takes longer
    eps : rows that give what happened a probability below it are `clipped`; a logit never is
    cap : most that the loss of one class can be, nats; infinite unless given

    Returns
    -------
    dict of arrays of shape (n,)
        loss : cross-entropy, nats
        brier : (p - y)^2
        entropy : entropy of the forecast, which is the loss that it expects, nats
        y, score : the arguments
        tail : min(p, 1 - p), with its digits where p is near 1
        upper : whether p is 1/2 or more
        bin : the bin of the score grid
        clipped, zero : whether what happened had a probability below eps; of 0
        variance, logit_variance : p (1 - p) and p (1 - p) logit(p)^2

    Examples
    --------
    >>> terms = binary_terms(np.array([1.0, 0.0]), np.array([0.75, 0.75]), "probability")
    >>> terms["brier"].tolist(), terms["tail"].tolist(), terms["loss"].round(4).tolist()
    ([0.0625, 0.5625], [0.25, 0.25], [0.2877, 1.3863])
    """
    y, score = np.asarray(y, dtype=np.float64), np.asarray(score, dtype=np.float64)
    with np.errstate(all="ignore"):
        if kind == "probability":
            p, q = score, 1.0 - score
            upper, tail = p >= 0.5, np.minimum(p, q)
            bins = bin_of_tail(p, tail, upper)
            loss_of_1, loss_of_0 = surprisal(np.log(p)), surprisal(np.log1p(-p))
            logits = loss_of_0 - loss_of_1
            error = p - y
        else:
            upper, bins = score >= 0.0, bin_of_logit(score)
            odds = np.exp(-np.abs(score))
            tail, rest = odds / (1.0 + odds), np.log1p(odds)
            p, q = np.where(upper, 1.0 - tail, tail), np.where(upper, tail, 1.0 - tail)
            loss_of_1, loss_of_0 = np.maximum(-score, 0.0) + rest, np.maximum(score, 0.0) + rest
            logits = score
            # p - y; where y is 1 it is the share of the other class, which has more digits than 1 - p.
            error = np.where(y == 1.0, q, p - y) if soft else y * q + (1.0 - y) * p
        loss = shared(y, np.minimum(loss_of_1, cap), 1.0 - y, np.minimum(loss_of_0, cap))
        error *= error
        variance = p * q
        logit_variance = logits * logits
        logit_variance *= variance
        undefined = np.isnan(logit_variance)
        if undefined.any():
            logit_variance[undefined] = 0.0
        return {
            "loss": loss,
            "brier": error,
            "entropy": shared(p, loss_of_1, q, loss_of_0),
            "y": y,
            "tail": tail,
            "upper": upper,
            "bin": bins,
            **rare(partial(least_likely, y, p, q), tail, loss, kind, eps),
            "score": score,
            "variance": variance,
            "logit_variance": logit_variance,
        }


def least_likely(y: Array, p: Array, q: Array) -> Array:
    """The probability of what happened; where labels are shares, of the less likely of two that did."""
    return np.where(y == 0.0, q, np.where(y == 1.0, p, np.minimum(p, q)))


def class_terms(
    label: npt.NDArray[Any], score: Array, kind: Score, *, eps: float = 1e-15, cap: float = np.inf
) -> Terms:
    """The terms of forecasts that are one number per class. The top class is the likeliest, the first among equals.

    Parameters
    ----------
    label : integer array of shape (n,), the class of each row in 0..K-1; or for soft labels (n, K), its shares
    score : array of shape (n, K), K at least 1, probabilities in [0, 1], or any float as logits
    kind : what the score is
    eps : rows that give what happened a probability below it are `clipped`; a logit never is
    cap : most that the loss of one class can be, nats; infinite unless given

    Returns
    -------
    dict of arrays of shape (n,), but for the last two
        loss : cross-entropy, nats
        brier : sum over the classes of (p - y)^2
        entropy : entropy of the forecast, which is the loss that it expects, nats
        y : whether the top class happened; for soft labels its share
        tail : min(p, 1 - p) of the top class
        upper : whether its p is 1/2 or more
        bin : the bin of the score grid that its p lies in
        clipped, zero : whether a class that happened had a probability below eps; of 0
        rank : how many classes have a higher score than the one that happened, or an equal one and a lower index; for
            hard labels only
        probabilities, labels : of shape (n, K)

    Examples
    --------
    >>> terms = class_terms(np.array([2]), np.array([[0.5, 0.25, 0.25]]), "probability")
    >>> terms["brier"].tolist(), terms["y"].tolist(), terms["rank"].tolist()
    ([0.875], [0.0], [2])
    """
    score = np.asarray(score, dtype=np.float64)
    classes, soft = np.arange(score.shape[1]), np.ndim(label) == 2
    labels = np.asarray(label, dtype=np.float64) if soft else (label[:, np.newaxis] == classes).astype(np.float64)
    with np.errstate(all="ignore"):
        if kind == "probability":
            probabilities, tail_of_top = score, 1.0 - score.max(axis=1)
            losses = class_losses_from_probabilities(score)
        else:
            probabilities, tail_of_top = softmax(score)
            losses = class_losses_from_logits(score)
        loss = compensated_sum(share_of(labels, np.minimum(losses, cap)))
        top = probabilities.argmax(axis=1)
        rows = np.arange(len(score))
        share = probabilities[rows, top]
        upper = share >= 0.5
        terms = {
            "loss": loss,
            "brier": compensated_sum((probabilities - labels) ** 2),
            "entropy": compensated_sum(share_of(probabilities, losses)),
            "y": labels[rows, top],
            "tail": np.where(upper, tail_of_top, share),
            "upper": upper,
            "bin": bin_of_probability(share),
            **rare(partial(least_of_classes, labels, probabilities), probabilities, loss, kind, eps),
            "probabilities": probabilities,
            "labels": labels,
        }
    return terms if soft else terms | {"rank": rank_of(label, score)}


def softmax(z: Array) -> tuple[Array, Array]:
    """Probabilities of logits, (n, K), and 1 minus the largest one, (n,), with all its digits.

    Examples
    --------
    >>> probabilities, tail_of_top = softmax(np.array([[50.0, 0.0]]))
    >>> probabilities.round(4).tolist(), tail_of_top.round(22).tolist()
    ([[1.0, 0.0]], [2e-22])
    """
    powers, top = powers_behind_top(z)
    # A certain class leaves the others nothing: inf - inf has no power.
    powers = np.where(np.isposinf(z.max(axis=1, keepdims=True)), 0.0, powers)
    with np.errstate(all="ignore"):
        rest = compensated_sum(powers)
        share = 1.0 / (1.0 + rest)
        probabilities = powers * share[:, np.newaxis]
        probabilities[np.arange(len(z)), top] = share
        return probabilities, rest * share


def least_of_classes(labels: Array, probabilities: Array) -> Array:
    """The probability of the class that happened; where labels are shares, of the least likely that did."""
    return np.asarray(np.where(labels > 0.0, probabilities, np.inf).min(axis=1))


def rare(
    happened: Callable[[], Array], bound: Array, loss: Array, kind: Score, eps: float
) -> Mapping[str, npt.NDArray[Any]]:
    """Whether what happened had a probability below eps, and whether it had 0; `bound` is never above it.

    Logits are never clipped, and only an infinite one has probability 0: e^-800 is positive, though not as a double.
    """
    never = np.zeros(len(loss), bool)
    if kind == "logit":
        return {"clipped": never, "zero": np.isposinf(loss)}
    if bound.min(initial=1.0) >= eps:
        return {"clipped": never, "zero": never}
    least = happened()
    return {"clipped": least < eps, "zero": least == 0.0}


def rank_of(k: npt.NDArray[np.integer], score: Array) -> npt.NDArray[np.int64]:
    """How many classes have a higher score than class `k`, or an equal score and a lower index.

    Examples
    --------
    >>> rank_of(np.array([0, 2]), np.array([[0.25, 0.5, 0.25], [0.25, 0.5, 0.25]])).tolist()
    [1, 2]
    """
    index = np.clip(k, 0, score.shape[1] - 1)[:, np.newaxis]
    own = np.take_along_axis(score, index, axis=1)
    ahead = (score > own) | ((score == own) & (np.arange(score.shape[1]) < index))
    return np.asarray(ahead.sum(axis=1), dtype=np.int64)
