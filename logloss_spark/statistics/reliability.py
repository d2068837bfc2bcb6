"""The tables by bin of the score and by class, from the sums of each bin and each class. NumPy only."""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from logloss_spark.kernels.grid import coarse_edges
from logloss_spark.kernels.sums import Array
from logloss_spark.statistics.distributions import normal_quantile
from logloss_spark.statistics.intervals import ratio, true_weight
from logloss_spark.statistics.reporting import Reading


def reliability(
    bins: npt.NDArray[np.int64], sums: Mapping[str, Array], reading: Reading, weight_exponent: int = 0
) -> dict[str, Array]:
    """Every column of `catalogue.RELIABILITY` for m equal-width bins that hold rows.

    Parameters
    ----------
    bins : array of shape (m,), the index of each bin
    sums : arrays of shape (m,) by name: `n`, `w`, `w2`, `wy`, `wp`, `wl` and `w2v`, as in a state, `wp` also above 1/2
    reading : the number of bins, and the coverage of Wilson's interval of the mean label
    weight_exponent : weights are in units of 2 to the power of this
    """
    edges, z = coarse_edges(reading.ece_bins), normal_quantile(reading.confidence)
    weight = sums["w"]
    with np.errstate(all="ignore"):
        rows, label, prediction = weight * weight / sums["w2"], sums["wy"] / weight, sums["wp"] / weight
        middle = (label + z * z / 2 / rows) / (1 + z * z / rows)
        wilson = z * np.sqrt(label * (1 - label) / rows + z * z / 4 / rows / rows) / (1 + z * z / rows)
        consistent = z * np.sqrt(sums["w2v"]) / weight
        return {
            "bin": bins.astype(np.float64),
            "bin_low": edges[bins],
            "bin_high": edges[bins + 1],
            "n": sums["n"],
            "weight": true_weight(weight, weight_exponent),
            "n_eff": rows,
            "prediction_mean": prediction,
            "label_mean": label,
            "label_low": np.maximum(middle - wilson, 0.0),
            "label_high": np.minimum(middle + wilson, 1.0),
            "consistency_low": np.maximum(prediction - consistent, 0.0),
            "consistency_high": np.minimum(prediction + consistent, 1.0),
            "log_loss": sums["wl"] / weight,
        }


def by_class(sums: Mapping[str, Array], of_slice: Mapping[str, Array], weight_exponent: int = 0) -> dict[str, Array]:
    """The numbers of `catalogue.BY_CLASS` for m classes of slices.

    Parameters
    ----------
    sums : arrays of shape (m,) by name: the `n` rows in which the class happened, the sums `wy` and `wp` of its label
        and its probability, and the loss `wl` where it happened, NaN if that is not known
    of_slice : arrays of shape (m,): the weight `w` and the loss `wl` of the whole slice
    weight_exponent : weights are in units of 2 to the power of this
    """
    happened, forecast, loss, weight = sums["wy"], sums["wp"], sums["wl"], of_slice["w"]
    with np.errstate(all="ignore"):
        return {
            "n": sums["n"],
            "weight": true_weight(happened, weight_exponent),
            "label_mean": happened / weight,
            "prediction_mean": forecast / weight,
            "calibration_ratio": ratio(forecast, happened),
            "log_loss": ratio(loss, happened),
            "log_loss_share": ratio(loss, of_slice["wl"]),
        }
