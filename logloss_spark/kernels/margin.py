"""Losses of one observation other than cross-entropy: functions of its margin, or of the losses of its classes.

NumPy only; every function is total.

The margin of a binary forecast is v = (2y - 1) z, with z the logit: how far it leans to what happened. Log loss is the
margin loss ln(1 + e^-v). The other losses of the literature are taken of the same v, so that all of them judge the same
probability; some were made for scores with another link, and are not proper for this one (see `compare_losses`).
"""

from collections.abc import Callable, Mapping

import numpy as np

from logloss_spark.kernels.cross_entropy import share_of
from logloss_spark.kernels.sums import Array, compensated_sum

FOCUS = 2.0
"""The exponent of the focal loss; the one with which Lin et al. report their results."""

SMOOTHING = 0.1
"""The share of a label that is spread evenly over all classes; the value of Szegedy et al."""


def hinge(v: Array) -> Array:
    """Hinge loss, max(0, 1 - v).

    Parameters
    ----------
    v : array, the margins, any float including ±inf

    Returns
    -------
    array of the shape of `v`, in [0, inf]

    Examples
    --------
    >>> hinge(np.array([-np.inf, -1.0, 0.0, 1.0, np.inf])).tolist()
    [inf, 2.0, 1.0, 0.0, 0.0]

    References
    ----------
    Cortes, Vapnik, Support-vector networks, Machine Learning 20 (1995).
    """
    return np.maximum(1.0 - v, 0.0)


def smooth_hinge(v: Array) -> Array:
    """Smooth hinge loss: 1/2 - v up to 0, (1 - v)^2 / 2 from there to 1, and 0 beyond.

    Parameters
    ----------
    v : array, the margins, any float including ±inf

    Returns
    -------
    array of the shape of `v`, in [0, inf]

    Examples
    --------
    >>> smooth_hinge(np.array([-np.inf, -1.0, 0.0, 0.5, 1.0, np.inf])).tolist()
    [inf, 1.5, 0.5, 0.125, 0.0, 0.0]

    References
    ----------
    Rennie, Srebro, Loss functions for preference levels, IJCAI workshop on advances in preference handling (2005).
    """
    missing = 1.0 - np.clip(v, 0.0, 1.0)
    return 0.5 * missing * missing + np.maximum(-v, 0.0)


def squared(v: Array) -> Array:
    """Squared loss of the margin, (1 - v)^2, which also punishes a forecast that is surer than v = 1.

    Parameters
    ----------
    v : array, the margins, any float including ±inf

    Returns
    -------
    array of the shape of `v`, in [0, inf]

    Examples
    --------
    >>> squared(np.array([-np.inf, 0.0, 1.0, 3.0, np.inf])).tolist()
    [inf, 1.0, 0.0, 4.0, inf]

    References
    ----------
    Suykens, Vandewalle, Least squares support vector machine classifiers, Neural Processing Letters 9 (1999).
    """
    with np.errstate(all="ignore"):
        return np.square(1.0 - v)


def exponential(v: Array) -> Array:
    """Exponential loss of AdaBoost, e^-v; of a probability the odds of what did not happen.

    Parameters
    ----------
    v : array, the margins, any float including ±inf

    Returns
    -------
    array of the shape of `v`, in [0, inf]; infinite below -709.8, where it exceeds every double

    Examples
    --------
    >>> exponential(np.array([-np.inf, 0.0, 1.0, np.inf])).round(4).tolist()
    [inf, 1.0, 0.3679, 0.0]

    References
    ----------
    Freund, Schapire, A decision-theoretic generalization of on-line learning, J. Comput. Syst. Sci. 55 (1997).
    """
    with np.errstate(all="ignore"):
        return np.exp(-v)


def savage(v: Array) -> Array:
    """Savage loss, 1 / (1 + e^v)^2: of a probability the Brier score (p - y)^2.

    The paper writes e^(2v), because its scores are half a logit: of a probability both are the same.

    Parameters
    ----------
    v : array, the margins, any float including ±inf

    Returns
    -------
    array of the shape of `v`, in [0, 1]

    Examples
    --------
    >>> savage(np.array([-np.inf, 0.0, 1.0, np.inf])).round(4).tolist()
    [1.0, 0.25, 0.0723, 0.0]

    References
    ----------
    Masnadi-Shirazi, Vasconcelos, On the design of loss functions for classification, NeurIPS 21 (2008).
    """
    with np.errstate(all="ignore"):
        small = np.exp(-np.abs(v))
        return np.square(np.where(v > 0.0, small, 1.0) / (1.0 + small))


def tangent(v: Array) -> Array:
    """Tangent loss, (2 arctan(v) - 1)^2, which also punishes a forecast that is surer than v = tan(1/2).

    Its own link is v = tan(p - 1/2), under which it is 4 times the Brier score; of a logit it is another loss.

    Parameters
    ----------
    v : array, the margins, any float including ±inf

    Returns
    -------
    array of the shape of `v`, in [0, (pi + 1)^2]

    Examples
    --------
    >>> tangent(np.array([-np.inf, 0.0, np.tan(0.5), np.inf])).round(4).tolist()
    [17.1528, 1.0, 0.0, 4.5864]

    References
    ----------
    Masnadi-Shirazi, Mahadevan, Vasconcelos, On the design of robust classifiers for computer vision, CVPR (2010).
    """
    return np.square(2.0 * np.arctan(v) - 1.0)


def focal(q: Array, losses: Array) -> Array:
    """Focal loss, -(1 - p)^2 ln p of the class that happened: rows that are forecast well hardly count.

    Of the class's cross-entropy l it is (1 - e^-l)^2 l, and of a soft label the sum over its shares, 0 inf = 0.

    Parameters
    ----------
    q : array of shape (n, K), the share of each class in the label
    losses : array of shape (n, K), -ln p of each class, nats

    Returns
    -------
    array of shape (n,), in [0, inf]

    Examples
    --------
    >>> q = np.array([[0.0, 1.0], [1.0, 0.0], [0.5, 0.5]])
    >>> focal(q, -np.log([[0.1, 0.9], [0.1, 0.9], [0.5, 0.5]])).round(4).tolist()
    [0.0011, 1.8651, 0.1733]

    References
    ----------
    Lin, Goyal, Girshick, He, Dollár, Focal loss for dense object detection, ICCV (2017).
    """
    with np.errstate(all="ignore"):
        return compensated_sum(share_of(q, (-np.expm1(-losses)) ** FOCUS * losses))


def label_smoothed(q: Array, losses: Array) -> Array:
    """Label-smoothed cross-entropy: that of the label 0.9 q + 0.1 / K.

    A forecast that rules out anything costs infinity, even if it is right.

    Parameters
    ----------
    q : array of shape (n, K), the share of each class in the label
    losses : array of shape (n, K), -ln p of each class, nats

    Returns
    -------
    array of shape (n,), nats, in [0, inf]

    Examples
    --------
    >>> q = np.array([[0.0, 1.0], [0.0, 1.0]])
    >>> label_smoothed(q, -np.log([[0.05, 0.95], [0.5, 0.5]])).round(4).tolist()
    [0.1985, 0.6931]

    References
    ----------
    Szegedy, Vanhoucke, Ioffe, Shlens, Wojna, Rethinking the inception architecture for computer vision, CVPR (2016).
    """
    with np.errstate(all="ignore"):
        smoothed = (1.0 - SMOOTHING) * q + SMOOTHING / losses.shape[1]
        return compensated_sum(share_of(smoothed, losses))


MARGIN_LOSSES: Mapping[str, Callable[[Array], Array]] = {
    "hinge": hinge,
    "smooth_hinge": smooth_hinge,
    "squared": squared,
    "exponential": exponential,
    "savage": savage,
    "tangent": tangent,
}
"""Functions of the margin, which a binary forecast alone has."""

CLASS_LOSSES: Mapping[str, Callable[[Array, Array], Array]] = {"focal": focal, "label_smoothed": label_smoothed}
"""Functions of the label and of the losses of the classes, for two classes or K."""


def margin_loss(loss: Callable[[Array], Array], y: Array, z: Array) -> Array:
    """A margin loss of binary labels `y` under the logits `z`: y loss(z) + (1 - y) loss(-z), where 0 inf = 0.

    Parameters
    ----------
    loss : a function of the margin
    y : array of shape (n,), 0 or 1, or for soft labels the share of the positive class in [0, 1]
    z : array of shape (n,), any float including ±inf

    Returns
    -------
    array of shape (n,)

    Examples
    --------
    >>> margin_loss(hinge, np.array([1.0, 0.0, 0.5]), np.array([np.inf, np.inf, 0.5])).tolist()
    [0.0, inf, 1.0]
    """
    with np.errstate(all="ignore"):
        return share_of(y, loss(z)) + share_of(1.0 - y, loss(-z))


def logit(p: Array) -> Array:
    """ln(p / (1 - p)), with its digits at both ends; ±inf at 1 and 0.

    Parameters
    ----------
    p : array, in [0, 1]

    Returns
    -------
    array of the shape of `p`

    Examples
    --------
    >>> logit(np.array([0.0, 1e-300, 0.5, 1.0])).round(4).tolist()
    [-inf, -690.7755, 0.0, inf]
    """
    with np.errstate(all="ignore"):
        return np.log(p) - np.log1p(-p)
