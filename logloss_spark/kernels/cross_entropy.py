"""Cross-entropy of one observation, and entropy of one forecast, in nats. NumPy only; every function is total.

For invalid rows (NaN, out of range, a class that does not exist) the value is unspecified; nothing is raised and no
warning is issued.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from logloss_spark.kernels.sums import Array, compensated_sum, two_sum

ClassIndex = npt.NDArray[np.integer]


def _floats(x: Array) -> Array:
    return np.asarray(x, dtype=np.float64)


def surprisal(log: Array) -> Array:
    """Minus a logarithm of a probability, in its memory. A certain forecast costs 0, not -0."""
    log = np.asarray(log)  # of one number NumPy makes a scalar, which has no memory to write to
    return np.subtract(0.0, log, out=log)


def _capped(log: Array, cap: float) -> Array:
    """The surprisal of a logarithm, at most `cap`, in its memory."""
    found = surprisal(log)
    return np.minimum(found, cap, out=found)


def share_of(share: Array, loss: Array) -> Array:
    """The contribution of a class to a loss: share * loss, and 0 if the share is 0, even if the loss is infinite."""
    return np.where(share == 0.0, 0.0, share * loss)


def shared(share_of_1: Array, loss_of_1: Array, share_of_0: Array, loss_of_0: Array) -> Array:
    """The loss of two classes by their shares, where 0 times infinity is 0."""
    with np.errstate(all="ignore"):
        total = np.asarray(share_of_1 * loss_of_1)
        total += share_of_0 * loss_of_0
        undefined = np.isnan(total)
        if undefined.any():
            total[undefined] = (share_of(share_of_1, loss_of_1) + share_of(share_of_0, loss_of_0))[undefined]
        return total


def _class_column(k: ClassIndex, values: Array) -> Array:
    """Value of class `k` in each row; an index without a class takes the nearest one."""
    index = np.clip(np.asarray(k), 0, values.shape[1] - 1).astype(np.intp)
    return np.take_along_axis(values, index[:, np.newaxis], axis=1)[:, 0]


def powers_behind_top(z: Array) -> tuple[Array, npt.NDArray[np.intp]]:
    """e^(z_k - max z) of each class, and 0 for the first largest one; and which class that is.

    Parameters
    ----------
    z : array of shape (n, K), K at least 1, any float; one +inf is a certain class, -inf an impossible one

    Returns
    -------
    powers : array of shape (n, K), in [0, 1]; 0 for the top, whose own 1 would swallow all smaller ones in a sum
    top : integer array of shape (n,), the index of the largest logit, of equals the first

    Examples
    --------
    >>> powers, top = powers_behind_top(np.array([[0.0, 1.0, 1.0]]))
    >>> powers.round(4).tolist(), top.tolist()
    ([[0.3679, 0.0, 1.0]], [1])
    """
    top = np.argmax(z, axis=1)
    with np.errstate(all="ignore"):
        difference, rounding = two_sum(z, -np.take_along_axis(z, top[:, np.newaxis], axis=1))
        # At a difference of -700 its rounding alone would move e^difference by 256 ulp.
        powers = np.exp(difference)
        powers += powers * rounding
    np.put_along_axis(powers, top[:, np.newaxis], 0.0, axis=1)
    return powers, top


def _behind_the_top(z: Array) -> tuple[Array, Array]:
    """How far each logit is behind the largest one, (n, K), and ln sum_k e^(z_k - max z), (n,)."""
    powers, index = powers_behind_top(z)
    top = np.take_along_axis(z, index[:, np.newaxis], axis=1)
    # inf - inf: an infinite logit is not behind itself.
    behind = np.where(z == top, 0.0, top - z)
    return behind, np.log1p(compensated_sum(powers))


def binary_from_probability(y: npt.NDArray[Any], p: Array, *, cap: float = np.inf, soft: bool = True) -> Array:
    """Cross-entropy of binary labels `y` under the probabilities `p` of the positive class.

    y * min(-ln p, cap) + (1 - y) * min(-log1p(-p), cap), where 0 times infinity is 0.

    Parameters
    ----------
    y : array of shape (n,), 0 or 1, or for soft labels the share of the positive class in [0, 1]
    p : array of shape (n,), in [0, 1]
    cap : most that the loss of one class can be, nats; infinite unless given
    soft : whether `y` may be a share; it takes twice as long

    Returns
    -------
    array of shape (n,), nats, in [0, cap]

    Examples
    --------
    >>> binary_from_probability(np.array([1.0, 0.0, 1.0, 0.5]), np.array([1.0, 1.0, 0.25, 0.5])).round(4).tolist()
    [0.0, inf, 1.3863, 0.6931]
    """
    p = _floats(p)
    with np.errstate(all="ignore"):
        if not soft:
            return _capped(log_of_happened(y, p), cap)
        y = _floats(y)
        return shared(y, _capped(np.log(p), cap), 1.0 - y, _capped(np.log1p(-p), cap))


def log_of_happened(y: npt.NDArray[Any], p: Array) -> Array:
    """ln p where `y` is 1, and ln(1 - p) where it is 0, by one logarithm of all rows.

    What 1 - p loses to rounding is known exactly and small: ln(q + r) = ln q + r/q for q = 1 - p rounded, r its rest.

    Parameters
    ----------
    y : array of shape (n,), 0 or 1
    p : array of shape (n,), in [0, 1]

    Examples
    --------
    >>> log_of_happened(np.array([1, 0, 0]), np.array([1.0, 1e-20, 0.75])).round(21).tolist()
    [0.0, -1e-20, -1.3862943611198906]

    References
    ----------
    Dekker, A floating-point technique for extending the available precision, Numerische Mathematik 18 (1971), for r.
    """
    absent = np.asarray(1.0 - y)
    happened = np.asarray(absent - p)  # 1 - p, or -p, which has no rest
    absent -= happened
    absent -= p
    with np.errstate(all="ignore"):
        rest = np.divide(absent, np.abs(happened, out=happened), out=absent)
        log = np.log(happened, out=happened)
    undefined = np.isnan(rest)
    if undefined.any():  # 0/0 of what happened with probability 0
        rest[undefined] = 0.0
    log += rest
    return log


def binary_from_logit(y: Array, z: Array) -> Array:
    """Cross-entropy of binary labels `y` under the logits `z` of the positive class.

    y * softplus(-z) + (1 - y) * softplus(z), where 0 times infinity is 0. With softplus(m) = ln(1 + e^m) as
    max(m, 0) + log1p(e^-|m|) a certain and right logit keeps its digits (4.2e-18 at 40, not 0) and a certain and
    wrong one stays finite. Both softplus share their second term, so that `exp` is taken once.

    Parameters
    ----------
    y : array of shape (n,), 0 or 1, or for soft labels the share of the positive class in [0, 1]
    z : array of shape (n,), any float including ±inf

    Returns
    -------
    array of shape (n,), nats, in [0, inf]

    Examples
    --------
    >>> binary_from_logit(np.array([1.0, 1.0, 0.0, 0.0]), np.array([40.0, -1e6, np.inf, -np.inf])).round(20).tolist()
    [4.25e-18, 1000000.0, inf, 0.0]

    References
    ----------
    Mächler, Accurately computing log(1 - exp(-|a|)), vignette of the R package Rmpfr (2012).
    """
    y, z = _floats(y), _floats(z)
    with np.errstate(all="ignore"):
        rest = np.log1p(np.exp(-np.abs(z)))
        return shared(y, np.maximum(-z, 0.0) + rest, 1.0 - y, np.maximum(z, 0.0) + rest)


def categorical_from_probabilities(k: ClassIndex, p: Array, *, cap: float = np.inf) -> Array:
    """Cross-entropy of class labels `k` under one probability per class: -ln p_k, at most `cap`.

    Parameters
    ----------
    k : integer array of shape (n,), the class of each row in 0..K-1
    p : array of shape (n, K), in [0, 1]
    cap : most that a loss can be, nats; infinite unless given

    Returns
    -------
    array of shape (n,), nats, in [0, cap]

    Examples
    --------
    >>> p = np.array([[0.2, 0.3, 0.5], [0.0, 1.0, 0.0]])
    >>> categorical_from_probabilities(np.array([2, 0]), p, cap=34.5).round(4).tolist()
    [0.6931, 34.5]
    """
    p = _floats(p)
    if p.size == 0:
        return np.full(p.shape[0], np.nan)
    with np.errstate(all="ignore"):
        return _capped(np.log(_class_column(k, p)), cap)


def categorical_from_logits(k: ClassIndex, z: Array) -> Array:
    """Cross-entropy of class labels `k` under one logit per class.

    (M - z_k) + log1p(sum of e^(z_i - M) over all i but the argmax), M = max z. The usual logsumexp(z) - z_k loses
    every digit when the true class dominates.

    Parameters
    ----------
    k : integer array of shape (n,), the class of each row in 0..K-1
    z : array of shape (n, K), any float; one +inf is a certain class, -inf an impossible one

    Returns
    -------
    array of shape (n,), nats, in [0, inf]

    Examples
    --------
    >>> z = np.array([[40.0, 0.0, 0.0], [0.0, np.inf, 0.0]])
    >>> categorical_from_logits(np.array([0, 0]), z).round(20).tolist()
    [8.5e-18, inf]

    References
    ----------
    Blanchard, Higham, Higham, Accurately computing the log-sum-exp and softmax functions, IMA J. Numer. Anal. 41
    (2021), for the log1p form.
    """
    z = _floats(z)
    if z.size == 0:
        return np.full(z.shape[0], np.nan)
    with np.errstate(all="ignore"):
        behind, log_sum = _behind_the_top(z)
        return _class_column(k, behind) + log_sum


def distribution_from_probabilities(q: Array, p: Array, *, cap: float = np.inf) -> Array:
    """Cross-entropy of soft labels `q` under one probability per class: sum of q_k * min(-ln p_k, cap).

    0 times anything is 0. The entropy of `q` is in it: it is not 0 at p = q.

    Parameters
    ----------
    q : array of shape (n, K), in [0, 1], the share of each class in the label
    p : array of shape (n, K), in [0, 1]
    cap : most that the loss of one class can be, nats; infinite unless given

    Returns
    -------
    array of shape (n,), nats, in [0, cap] if the rows of `q` sum to 1

    Examples
    --------
    >>> q = np.array([[0.5, 0.5, 0.0], [0.5, 0.5, 0.0]])
    >>> p = np.array([[0.25, 0.75, 0.0], [0.0, 1.0, 0.0]])
    >>> distribution_from_probabilities(q, p).round(4).tolist()
    [0.837, inf]
    """
    q, p = _floats(q), _floats(p)
    with np.errstate(all="ignore"):
        return compensated_sum(share_of(q, _capped(np.log(p), cap)))


def distribution_from_logits(q: Array, z: Array) -> Array:
    """Cross-entropy of soft labels `q` under one logit per class: sum of q_k * (loss of class k).

    0 times anything is 0. The loss of a class is that of `categorical_from_logits`.

    Parameters
    ----------
    q : array of shape (n, K), in [0, 1], the share of each class in the label
    z : array of shape (n, K), any float; one +inf is a certain class, -inf an impossible one

    Returns
    -------
    array of shape (n,), nats, in [0, inf]

    Examples
    --------
    >>> q = np.array([[1.0, 0.0, 0.0], [0.5, 0.5, 0.0]])
    >>> z = np.array([[40.0, 0.0, 0.0], [3.0, 3.0, -np.inf]])
    >>> distribution_from_logits(q, z).round(20).tolist()
    [8.5e-18, 0.6931471805599453]
    """
    q, z = _floats(q), _floats(z)
    if z.size == 0:
        return np.full(z.shape[0], np.nan)
    with np.errstate(all="ignore"):
        return compensated_sum(share_of(q, class_losses_from_logits(z)))


def class_losses_from_probabilities(p: Array) -> Array:
    """-ln p of each class, whichever happened, under probabilities.

    Parameters
    ----------
    p : array of shape (n,), in [0, 1], of the positive one of two classes, or (n, K), one per class

    Returns
    -------
    array of shape (n, 2), the negative class first, or (n, K); nats, in [0, inf]

    Examples
    --------
    >>> class_losses_from_probabilities(np.array([0.25, 0.0])).round(4).tolist()
    [[0.2877, 1.3863], [0.0, inf]]
    """
    p = _floats(p)
    with np.errstate(all="ignore"):
        return 0.0 - (np.log(p) if p.ndim == 2 else np.stack([np.log1p(-p), np.log(p)], axis=1))


def class_losses_from_logits(z: Array) -> Array:
    """-ln p of each class, whichever happened, under logits.

    Parameters
    ----------
    z : array of shape (n,), any float, of the positive one of two classes; or (n, K), K at least 1, one per class,
        where one +inf is a certain class, -inf an impossible one

    Returns
    -------
    array of shape (n, 2), the negative class first, or (n, K); nats, in [0, inf]

    Examples
    --------
    >>> class_losses_from_logits(np.array([[0.0, 0.0], [np.inf, 0.0]])).round(4).tolist()
    [[0.6931, 0.6931], [0.0, inf]]
    """
    z = _floats(z)
    if z.ndim == 1:
        return np.stack([binary_from_logit(label, z) for label in (np.zeros(z.size), np.ones(z.size))], axis=1)
    with np.errstate(all="ignore"):
        behind, log_sum = _behind_the_top(z)
        return behind + log_sum[:, np.newaxis]


def binary_entropy(p: Array) -> Array:
    """Entropy of binary forecasts: the loss that a forecast of `p` expects of itself.

    -p ln p - (1 - p) log1p(-p), and 0 at both ends.

    Parameters
    ----------
    p : array of shape (n,), in [0, 1]

    Returns
    -------
    array of shape (n,), nats, in [0, ln 2]

    Examples
    --------
    >>> binary_entropy(np.array([0.0, 0.5, 1.0])).round(4).tolist()
    [0.0, 0.6931, 0.0]
    """
    return binary_from_probability(p, p)


def entropy(p: Array) -> Array:
    """Entropy of forecasts over K classes: -sum of p_k ln p_k, where 0 ln 0 is 0.

    Parameters
    ----------
    p : array of shape (n, K), in [0, 1]

    Returns
    -------
    array of shape (n,), nats, in [0, ln K] if the rows sum to 1

    Examples
    --------
    >>> entropy(np.array([[0.5, 0.5, 0.0], [1.0, 0.0, 0.0]])).round(4).tolist()
    [0.6931, 0.0]
    """
    return distribution_from_probabilities(p, p)
