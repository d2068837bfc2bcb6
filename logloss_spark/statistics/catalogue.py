"""The metrics: their order, their types, and the losses that have them."""

from collections.abc import Iterable

INTERVALS = ("log_loss", "brier", "normalized_entropy", "information_gain", "calibration_ratio", "ece", "auc")
"""The metrics that come with `_se`, `_low` and `_high`; ece with clusters alone."""


PER_CLASS = ("label_mean", "prediction_mean", "calibration_ratio")
"""Where there are K classes these are arrays, one entry per class; so are the error and interval of the last."""


LEADING = ("weight", "n_eff", "minority", "few", "buckets")


CENTRAL = tuple(
    name
    for metric in (
        "log_loss",
        "log_loss_bits",
        "perplexity",
        "label_entropy",
        "normalized_entropy",
        "information_gain",
        "label_mean",
        "prediction_mean",
        "calibration_ratio",
        "prediction_entropy",
        "overconfidence",
        "kl_marginal",
        "brier",
        "ece",
        "mce",
        "ece_debiased",
        "ece_adaptive",
        "log_loss_resolution",
        "log_loss_reliability",
        "log_loss_rest",
        "log_loss_miscalibration",
        "log_loss_discrimination",
        "log_loss_corp_rest",
        "brier_resolution",
        "brier_reliability",
        "brier_rest",
        "brier_miscalibration",
        "brier_discrimination",
        "brier_corp_rest",
        "spiegelhalter_z",
        "spiegelhalter_p_value",
        "expected_loss_z",
        "expected_loss_p_value",
        "cox_intercept",
        "cox_slope",
        "auc",
        "auc_bound",
        "class_auc",
        "class_auc_bound",
        "average_precision",
        "average_precision_bound",
        "ks",
        "ks_bound",
        "accuracy",
        "top_k_accuracy",
    )
    for name in ([metric, f"{metric}_se", f"{metric}_low", f"{metric}_high"] if metric in INTERVALS else [metric])
)


TRAILING = ("clipped", "clipped_weight", "clipped_loss_share", "zero", "zero_weight", "zero_loss_share")


OF_CROSS_ENTROPY = (
    "log_loss_bits",
    "perplexity",
    "normalized_entropy",
    "information_gain",
    "prediction_entropy",
    "overconfidence",
    "kl_marginal",
    "log_loss_resolution",
    "log_loss_reliability",
    "log_loss_rest",
    "log_loss_miscalibration",
    "log_loss_discrimination",
    "log_loss_corp_rest",
    "expected_loss_z",
    "expected_loss_p_value",
)
"""Metrics that mean something of cross-entropy alone; of another loss they are left out, and log_loss is `loss`."""


LISTS = ("top_k_accuracy", "class_auc", "class_auc_bound")
"""Metrics that are arrays where there are K classes, and null for a forecast that is one number."""


COUNTS = ("minority", "buckets", "clipped", "zero")
"""Metrics that count rows, or buckets of clusters."""


def columns_of_loss(metrics: Iterable[str], loss: str) -> dict[str, str]:
    """The metrics that a loss has, each with its column: another loss than cross-entropy is no log loss.

    Examples
    --------
    >>> columns_of_loss(("log_loss", "log_loss_bits", "brier"), "hinge")
    {'log_loss': 'loss', 'brier': 'brier'}
    """
    if loss == "cross_entropy":
        return {name: name for name in metrics}
    kept = [name for name in metrics if not name.startswith(OF_CROSS_ENTROPY)]
    return {name: name.removeprefix("log_") if name.startswith("log_loss") else name for name in kept}
