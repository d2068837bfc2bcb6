"""The catalogue: one entry per metric, with its name, type, and the forecasts and losses that have it.

To add a metric, compute it in `statistics.metrics.metrics_of` (or `statistics.paired`, `statistics.drift`) and add one
entry here. The order of columns, their types, what is shown first, the help and the reference follow from the entry;
`complete` raises if one of the two is missing.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from logloss_spark.kernels.sums import Array

Type = Literal["number", "count", "flag", "text", "bin"]
Entries = Literal["one", "per class", "per k", "per bin"]
Forecasts = Literal["any", "scalar", "classes"]
Losses = Literal["any", "cross_entropy"]
Interval = Literal["none", "always", "clusters"]

INTERVAL = ("_low", "_high", "_se")
"""Suffixes of the columns that an interval adds: its ends and the standard error."""


@dataclass(frozen=True)
class Metric:
    """A column of a table of results, or of an interval the four columns.

    Attributes
    ----------
    name, doc : str
        The column's name, and what it holds, in one line.
    type : the plain type of a value; "bin" is a bin of scores with its shares
    entries : how many values a cell holds
        Where scalar forecasts have the metric, too, they have one value of it.
    forecasts : the forecasts that have it: any, one number a row (scalar), or one per class (classes)
        The column is there for all of them, and null where they do not have the metric.
    losses : the losses that have it
        Tables of other losses do not have the column.
    interval : whether `<name>_se`, `<name>_low` and `<name>_high` follow, and whether they need clusters
    shown : whether a person is shown the metric first
    """

    name: str
    doc: str
    type: Type = "number"
    entries: Entries = "one"
    forecasts: Forecasts = "any"
    losses: Losses = "any"
    interval: Interval = "none"
    shown: bool = False

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of its columns."""
        ends = () if self.interval == "none" else INTERVAL
        return (self.name, *(self.name + end for end in ends))

    def is_had_by(self, *, scalar: bool) -> bool:
        """Whether forecasts of this form have the metric."""
        return self.forecasts in ("any", "scalar" if scalar else "classes")

    def is_list(self, *, scalar: bool) -> bool:
        """Whether the column is one of lists for forecasts of this form."""
        return self.entries != "one" and not (scalar and self.forecasts == "any")


SLICE = (
    Metric("slice", "The slice in words: `all`, `dt=2026-01-01`, `dt=2026-01-01/segment=a`.", "text"),
    Metric("grouping_id", "Which slice columns are rolled up, as bits; the last column's bit is the lowest.", "count"),
)
"""Columns that every table has beside the slice columns. A slice column is null where it is rolled up."""


WINDOW = (
    Metric("window", "The length of the window in calendar days.", "count"),
    Metric("days", "Number of its days on which the slice has rows.", "count"),
)
"""Columns of a table by windows, beside the last day of the window."""


ROWS_READ = Metric("rows", "Number of rows read. The counts by status (`ok`, `null_label`, …) sum to it.", "count")
ROWS_SCORED = Metric("n", "Number of rows that are scored and have a positive weight.", "count")
WEIGHT = Metric("weight", "Sum of the weights of these rows; null where that is beyond a double.")
N_EFF = Metric("n_eff", "Effective number of rows, (sum of weights)² / sum of squared weights.")
MINORITY = Metric("minority", "Number of rows of the rarest class.", "count")
FEW = Metric(
    "few",
    "Whether intervals miss more often than they claim, because `minority · min(n_eff / n, 1)`, or the number of "
    "cluster buckets that hold rows, is below 30.",
    "flag",
)
BUCKETS = Metric("buckets", "How many of the 64 buckets of clusters hold rows; 0 without clusters.", "count")
P_ADJUSTED = "adjusted for the number of slices of the grouping set (Benjamini and Hochberg)"


METRICS = (
    Metric(
        "log_loss",
        "Mean loss; of cross-entropy in nats. The column of another loss is called `loss`.",
        interval="always",
        shown=True,
    ),
    WEIGHT,
    N_EFF,
    MINORITY,
    FEW,
    BUCKETS,
    Metric("log_loss_bits", "Log loss in bits.", losses="cross_entropy"),
    Metric("perplexity", "e to the power of the log loss.", losses="cross_entropy"),
    Metric("label_entropy", "Log loss of forecasting the slice's own class shares for every row."),
    Metric(
        "normalized_entropy",
        "Log loss divided by the log loss of forecasting the baseline for every row. The baseline is the slice's own "
        "class shares unless shares are given. Below 1 the forecasts are better than the shares alone.",
        losses="cross_entropy",
        interval="always",
        shown=True,
    ),
    Metric("information_gain", "1 - normalized_entropy.", losses="cross_entropy", interval="always"),
    Metric("label_mean", "Mean label: the share of the positive class, or of each class.", entries="per class"),
    Metric("prediction_mean", "Mean prediction, of the positive class or of each class.", entries="per class"),
    Metric(
        "calibration_ratio",
        "prediction_mean / label_mean; above 1 the forecasts are too high. Null where the class never happens.",
        entries="per class",
        interval="always",
        shown=True,
    ),
    Metric(
        "prediction_entropy",
        "Mean entropy of the forecasts: the log loss that they themselves expect.",
        losses="cross_entropy",
    ),
    Metric(
        "overconfidence",
        "log_loss - prediction_entropy; above 0 the forecasts are surer than they should be.",
        losses="cross_entropy",
    ),
    Metric(
        "kl_marginal",
        "Kullback-Leibler divergence KL(label_mean ‖ prediction_mean), in nats.",
        losses="cross_entropy",
    ),
    Metric(
        "brier",
        "Mean Brier score, (p - y)² for a forecast of one number and its sum over the classes otherwise.",
        interval="always",
        shown=True,
    ),
    Metric(
        "ece",
        "Expected calibration error: the weighted mean distance of mean prediction and mean label over bins of equal "
        "width. With a forecast per class these are of the likeliest class.",
        interval="clusters",
        shown=True,
    ),
    Metric("mce", "Largest distance of mean prediction and mean label of these bins."),
    Metric(
        "ece_debiased",
        "Root of the weighted mean square of this distance over these bins, less what chance adds.",
    ),
    Metric("ece_adaptive", "ece over bins of equal weight in place of equal width."),
    Metric(
        "log_loss_resolution",
        "How far label means differ between the bins of ece. "
        "log_loss = label_entropy - resolution + reliability + rest.",
        forecasts="scalar",
        losses="cross_entropy",
    ),
    Metric(
        "log_loss_reliability",
        "How far mean predictions are from label means in these bins, as a divergence.",
        forecasts="scalar",
        losses="cross_entropy",
    ),
    Metric(
        "log_loss_rest",
        "What the binned decomposition leaves, because forecasts differ within a bin; of either sign.",
        forecasts="scalar",
        losses="cross_entropy",
    ),
    Metric(
        "log_loss_miscalibration",
        "How much the log loss falls if forecasts are recalibrated by isotonic regression (CORP). "
        "log_loss = label_entropy - discrimination + miscalibration + corp_rest.",
        forecasts="scalar",
        losses="cross_entropy",
    ),
    Metric(
        "log_loss_discrimination",
        "label_entropy less the log loss of the recalibrated forecasts.",
        forecasts="scalar",
        losses="cross_entropy",
    ),
    Metric(
        "log_loss_corp_rest",
        "What CORP leaves if it works on cells of the score instead of rows.",
        forecasts="scalar",
        losses="cross_entropy",
    ),
    Metric(
        "brier_resolution",
        "As log_loss_resolution, for the Brier score; the variance of the label takes the place of label_entropy.",
        forecasts="scalar",
    ),
    Metric("brier_reliability", "As log_loss_reliability, for the Brier score.", forecasts="scalar"),
    Metric("brier_rest", "As log_loss_rest, for the Brier score.", forecasts="scalar"),
    Metric("brier_miscalibration", "As log_loss_miscalibration, for the Brier score.", forecasts="scalar"),
    Metric("brier_discrimination", "As log_loss_discrimination, for the Brier score.", forecasts="scalar"),
    Metric("brier_corp_rest", "As log_loss_corp_rest, for the Brier score.", forecasts="scalar"),
    Metric(
        "spiegelhalter_z",
        "Spiegelhalter's statistic: how many standard errors the Brier score is from what the forecasts expect.",
        forecasts="scalar",
    ),
    Metric("spiegelhalter_p_value", "Its two-sided p-value.", forecasts="scalar"),
    Metric(
        "expected_loss_z",
        "How many standard errors the log loss is from what the forecasts expect.",
        forecasts="scalar",
        losses="cross_entropy",
    ),
    Metric("expected_loss_p_value", "Its two-sided p-value.", forecasts="scalar", losses="cross_entropy"),
    Metric(
        "cox_intercept",
        "Intercept of the logistic regression of the label on the forecast's logit; 0 if forecasts are calibrated.",
        forecasts="scalar",
    ),
    Metric("cox_slope", "Slope of that regression; 1 if forecasts are calibrated.", forecasts="scalar"),
    Metric(
        "auc",
        "Area under the ROC curve. With a forecast for each of up to 32 classes it is the mean of class_auc, without "
        "an interval.",
        interval="always",
    ),
    Metric(
        "auc_bound",
        "Largest distance of auc from that of the rows. It is above 0 where rows of one cell of the score count as "
        "ties; `evaluate` ranks up to 10,000 rows themselves.",
    ),
    Metric("class_auc", "AUC of each class against the rest.", entries="per class", forecasts="classes"),
    Metric("class_auc_bound", "As auc_bound, for each class.", entries="per class", forecasts="classes"),
    Metric(
        "average_precision",
        "Precision at each threshold, weighted by the recall that the threshold adds.",
        forecasts="scalar",
    ),
    Metric("average_precision_bound", "As auc_bound, for average_precision.", forecasts="scalar"),
    Metric(
        "ks",
        "Kolmogorov-Smirnov distance between the scores of positive and of negative rows.",
        forecasts="scalar",
    ),
    Metric("ks_bound", "As auc_bound, for ks.", forecasts="scalar"),
    Metric("accuracy", "Share of the rows whose likeliest class happened."),
    Metric(
        "top_k_accuracy",
        "Share of the rows whose class is among the k likeliest, for k = 1 to 5.",
        entries="per k",
        forecasts="classes",
    ),
    Metric("clipped", "Number of rows that gave what happened a probability below eps.", "count"),
    Metric("clipped_weight", "Their weight."),
    Metric("clipped_loss_share", "Their share of the loss."),
    Metric("zero", "Number of rows that gave what happened a probability of 0.", "count"),
    Metric("zero_weight", "Their weight."),
    Metric("zero_loss_share", "Their share of the loss."),
)
"""The metrics of an evaluation, in the order of the columns that `metrics_of` returns."""


WITHOUT_CELLS = (
    "log_loss", "weight", "n_eff", "minority", "few", "buckets", "log_loss_bits", "perplexity", "label_entropy",
    "normalized_entropy", "information_gain", "label_mean", "prediction_mean", "calibration_ratio",
    "prediction_entropy", "overconfidence", "kl_marginal", "brier", "spiegelhalter_z", "spiegelhalter_p_value",
    "expected_loss_z", "expected_loss_p_value", "clipped", "clipped_weight", "clipped_loss_share", "zero",
    "zero_weight", "zero_loss_share",
)  # fmt: skip
"""The metrics of an evaluation that do not come from cells of the score, which are nearly all rows of a state."""


OF_DIFFERENCE = (
    Metric("baseline_log_loss", "Mean loss of the baseline, in nats."),
    Metric("challenger_log_loss", "Mean loss of the challenger, in nats."),
    Metric(
        "difference",
        "challenger_log_loss - baseline_log_loss, paired row by row; negative where the challenger is better. Null "
        'where both losses of a row are infinite (`clip="none"`).',
        interval="always",
    ),
    Metric(
        "detectable",
        "Smallest true difference, of either sign, that so many rows find in 80 % of samples, because its interval "
        "excludes 0: (z₁₋α/₂ + z₀.₈) · difference_se, with Student's t if there are clusters. It is not adjusted for "
        "the number of slices.",
    ),
    Metric(
        "p_value",
        "Probability of a difference at least as large if there were none; with any-time intervals, at any look. Where "
        "the standard error is 0 it is 1 for a difference of 0, and otherwise null.",
    ),
)
OF_TWO_FORECASTS = (
    WEIGHT,
    Metric("better_share", "Share of the weight on which the challenger's loss is lower."),
    Metric("worse_share", "Share of the weight on which the challenger's loss is higher."),
    Metric("tie_share", "Share of the weight on which both losses are the same."),
    Metric("kl", "Mean KL(baseline ‖ challenger) of the two forecasts of a row, in nats."),
    Metric("kl_reverse", "Mean KL(challenger ‖ baseline) of these, in nats."),
)
PAIRED = (*OF_DIFFERENCE, *OF_TWO_FORECASTS)
"""The metrics of a challenger that `statistics.paired` computes from the sums of one slice."""


COMPARISON = (
    Metric("baseline", "Name of the model that the others are compared with.", "text"),
    Metric("challenger", "Name of the other model.", "text"),
    ROWS_READ,
    ROWS_SCORED,
    FEW,
    *OF_DIFFERENCE,
    Metric("p_adjusted", f"p_value {P_ADJUSTED}, for one challenger. The global row is a set of its own."),
    Metric("verdict", "`better` or `worse` where p_adjusted is at most 1 - confidence, else `no evidence`.", "text"),
    N_EFF,
    MINORITY,
    BUCKETS,
    *OF_TWO_FORECASTS,
)
"""The columns of a comparison, in order: one row per slice and challenger."""


RELIABILITY = (
    Metric("bin", "Index of the bin of the score, 0 to ece_bins - 1. Only bins that hold rows are listed.", "count"),
    Metric("bin_low", "Lower edge of the bin, which belongs to it."),
    Metric("bin_high", "Upper edge of the bin, which belongs to the next one; to this one if it is the last."),
    Metric("n", "Number of rows in the bin.", "count"),
    Metric("weight", "Sum of their weights; null where that is beyond a double."),
    N_EFF,
    Metric("prediction_mean", "Mean prediction. With a forecast per class it is of the likeliest class."),
    Metric("label_mean", "Mean label. With a forecast per class it is how often the likeliest class happened."),
    Metric("label_low", "Lower end of Wilson's interval of label_mean for n_eff rows."),
    Metric("label_high", "Upper end of this interval."),
    Metric("consistency_low", "Lower end of where label_mean would lie if the forecasts were calibrated."),
    Metric("consistency_high", "Upper end of that range."),
    Metric("log_loss", "Mean loss of the bin's rows. The column of another loss than cross-entropy is called `loss`."),
)
"""The columns of a reliability table, in order: one row per slice and bin."""


BY_CLASS = (
    Metric("class", "The class that happened.", "text"),
    Metric("n", "Number of rows in which it happened.", "count"),
    Metric("weight", "Sum of their weights; null where that is beyond a double."),
    Metric("label_mean", "Share of the class in the weight of the slice."),
    Metric("prediction_mean", "Mean prediction of the class over all rows of the slice."),
    Metric("calibration_ratio", "prediction_mean / label_mean; above 1 the forecasts of the class are too high."),
    Metric("log_loss", "Mean loss where the class happened; null for the shares of a binary soft label."),
    Metric("log_loss_share", "Share of these rows in the slice's loss. Of another loss: `loss` and `loss_share`."),
)
"""The columns of a table by class, in order: one row per slice and class."""


OF_SCORES = (
    Metric(
        "bins",
        "Number of bins of the score that are compared. If all scores of the reference lie in one, a move cannot be "
        "seen.",
        "count",
    ),
    Metric(
        "kl",
        "KL(current ‖ reference) of the shares of weight W_b / W in the G bins, smoothed to "
        "(n_eff W_b / W + 1/2) / (n_eff + G/2), in nats.",
    ),
    Metric("reverse_kl", "KL(reference ‖ current), in nats."),
    Metric("psi", "Population stability index, kl + reverse_kl."),
    Metric(
        "psi_expected",
        "Mean of psi if nothing but chance is at work; (G - 1)(1/n + 1/m) where all rows of both sides have one "
        "weight. Weights that depend on the score, and clusters, change it.",
    ),
    Metric("jensen_shannon", "Jensen-Shannon divergence of the shares, in nats; at most ln 2."),
    Metric("jensen_shannon_distance", "Square root of jensen_shannon, which is a distance."),
    Metric(
        "p_value",
        "Probability that chance alone makes psi as large; with clusters, psi over coarser bins. Null with one bin.",
    ),
)
OF_LABELS = (
    Metric("reference_label_mean", "Mean label of the reference, or the share of each class.", entries="per class"),
    Metric("current_label_mean", "Mean label of the current state, or the share of each class.", entries="per class"),
    Metric("label_kl", "KL(current ‖ reference) of the class shares; infinite if the reference lacks a class."),
    Metric(
        "label_p_value",
        "Probability that chance alone moves the class shares as far: Pearson's chi-square, or the z of the difference "
        "of soft labels. Null for soft labels of more than two classes without clusters.",
    ),
)
DRIFT = (
    Metric("reference_n", "Number of rows scored in the reference.", "count"),
    Metric("current_n", "Number of rows scored in the current state.", "count"),
    Metric("reference_weight", "Sum of their weights in the reference."),
    Metric("current_weight", "Sum of their weights in the current state."),
    *OF_SCORES,
    Metric("p_adjusted", f"p_value {P_ADJUSTED}. The global row is a set of its own."),
    Metric(
        "scores_verdict", "`moved`, `hardly moved` if psi is below 0.1 but not by chance, or `no evidence`.", "text"
    ),
    *OF_LABELS,
    Metric("label_p_adjusted", f"label_p_value {P_ADJUSTED}."),
    Metric("labels_verdict", "`moved` or `no evidence`.", "text"),
    Metric(
        "worst",
        "The three bins that add most to psi, each with low, high, reference_share, current_share and contribution. A "
        "bin holds [low, high), the last one also its end; scores of exactly 0 or 1 are bins whose ends are the same.",
        "bin",
        entries="per bin",
    ),
)
"""The columns of a drift, in order: one row per slice that either state has."""


WORST_SLICES = (
    ROWS_SCORED,
    Metric(
        "log_loss",
        "Mean loss of the slice. The column of another loss is called `loss`, and the next one `loss_of_rest`.",
    ),
    Metric("log_loss_of_rest", "Mean loss of the rest, which are all rows outside of the slice."),
    Metric("excess", "log_loss - log_loss_of_rest.", interval="always"),
    Metric("p_value", "Probability of as large an excess if the slice were no worse than the rest; one-sided."),
    Metric(
        "own_excess",
        "Excess beside the other slices that are listed: the coefficient of the slice if the loss is regressed on "
        "membership in all of them.",
    ),
    Metric(
        "contribution",
        "share · own_excess: what the slice adds to the log loss of all rows. Of the slices that are listed "
        "contributions add up.",
    ),
    Metric(
        "p_adjusted",
        "One-sided p-value of own_excess times the number of slices that were looked at (Bonferroni): where no slice "
        "is worse than the rest, the chance that any is listed is at most 1 - confidence.",
    ),
    Metric("share", "Share of the slice in the weight of all rows."),
    N_EFF,
    Metric("same_rows", "Further slices that hold exactly the same rows; empty if there are none.", "text"),
)
"""The columns of the worst slices, in order."""


def by_column(metrics: Iterable[Metric]) -> dict[str, Metric]:
    """Every column of some metrics, in order, with its metric.

    Examples
    --------
    >>> list(by_column([Metric("brier", "", interval="always"), Metric("mce", "")]))
    ['brier', 'brier_low', 'brier_high', 'brier_se', 'mce']
    """
    return {column: metric for metric in metrics for column in metric.columns}


def columns_of_loss(metrics: Iterable[Metric], loss: str) -> dict[str, str]:
    """The columns of the metrics that a loss has, each with its name in the table.

    Only cross-entropy is a log loss: in the table of another loss `log_loss` is called `loss`.

    Examples
    --------
    >>> metrics = [Metric("log_loss", ""), Metric("log_loss_bits", "", losses="cross_entropy"), Metric("brier", "")]
    >>> columns_of_loss(metrics, "hinge")
    {'log_loss': 'loss', 'brier': 'brier'}
    """
    if loss == "cross_entropy":
        return {column: column for column in by_column(metrics)}
    kept = by_column(metric for metric in metrics if metric.losses == "any")
    return {
        column: "loss" + column.removeprefix("log_loss") if column.startswith("log_loss") else column for column in kept
    }


def shown_first(metrics: Iterable[Metric], loss: str) -> list[str]:
    """The columns that a person is shown first, of the metrics that a loss has."""
    metrics = tuple(metrics)
    named = columns_of_loss(metrics, loss)
    return [named[metric.name] for metric in metrics if metric.shown and metric.name in named]


def complete(computed: Mapping[str, Array], metrics: Iterable[Metric], *, scalar: bool, n: int) -> dict[str, Array]:
    """The columns of some metrics for n slices in their order, NaN for metrics that these forecasts do not have.

    Raises AssertionError where a column is computed and not listed for these forecasts, or listed and not computed.
    """
    columns = by_column(metrics)
    listed = {column for column, metric in columns.items() if metric.is_had_by(scalar=scalar)}
    if listed != computed.keys():
        raise AssertionError(
            f"metrics that are computed and not in the catalogue: {sorted(computed.keys() - listed)}; "
            f"in the catalogue and not computed: {sorted(listed - computed.keys())}"
        )
    undefined = np.full(n, np.nan)
    return {column: computed.get(column, undefined) for column in columns}
