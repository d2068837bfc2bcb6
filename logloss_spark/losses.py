"""Losses side by side: each on the same rows, and the bound that log loss puts on the others."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial

import numpy as np
import pandas as pd
import pyarrow as pa
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from logloss_spark.errors import SpecError
from logloss_spark.io.files import Table, table_and_files
from logloss_spark.kernels.divergence import binary_kl
from logloss_spark.kernels.grid import HALF, coarse_bin
from logloss_spark.kernels.status import STATUSES
from logloss_spark.kernels.sums import Array
from logloss_spark.mean_loss import report_left_out
from logloss_spark.roles import Columns, Roles
from logloss_spark.rows.arrow import Kernel, loss_kernel, numbers
from logloss_spark.rows.inputs import Rows, rows_of
from logloss_spark.rows.labels import check_labels
from logloss_spark.rows.losses import named_loss
from logloss_spark.rows.terms import binary_terms, with_loss
from logloss_spark.rows.weights import exponent_of, in_range, rescaled
from logloss_spark.scoring import LOSSES, Clip, Kind, Label, Scoring
from logloss_spark.statistics.reporting import Reading
from logloss_spark.workers.columns import vectorised


@dataclass(frozen=True, kw_only=True)
class Nature:
    """Properties of a loss of the logit of p. `constant` is -G''(1/2)/2 if the loss is proper, smooth, convex in p."""

    proper: bool
    convex_in_p: bool
    convex_in_logit: bool
    bounded: bool
    constant: float = math.nan


NATURES: Mapping[str, Nature] = {
    "cross_entropy": Nature(proper=True, convex_in_p=True, convex_in_logit=True, bounded=False, constant=2.0),
    "hinge": Nature(proper=False, convex_in_p=False, convex_in_logit=True, bounded=False),
    "smooth_hinge": Nature(proper=False, convex_in_p=True, convex_in_logit=True, bounded=False),
    "squared": Nature(proper=False, convex_in_p=True, convex_in_logit=True, bounded=False),
    "exponential": Nature(proper=False, convex_in_p=True, convex_in_logit=True, bounded=False),
    "savage": Nature(proper=True, convex_in_p=True, convex_in_logit=False, bounded=True, constant=1.0),
    "tangent": Nature(proper=False, convex_in_p=False, convex_in_logit=False, bounded=True),
    "focal": Nature(proper=False, convex_in_p=True, convex_in_logit=False, bounded=False),
    "label_smoothed": Nature(proper=False, convex_in_p=True, convex_in_logit=True, bounded=False),
}
"""The properties of each loss. A test checks them against the kernels."""


def squared_error(q: Array, p: Array) -> Array:
    """The divergence of the Brier score: what forecasting `p` costs if `q` is true."""
    return np.square(q - p)


DIVERGENCES: Mapping[str, Callable[[Array, Array], Array]] = {"cross_entropy": binary_kl, "savage": squared_error}
"""The divergences of the losses with a constant: the expected loss of p under q, minus that of q."""


def compare_losses(
    table: Table,
    *,
    label: Columns,
    prediction: Columns,
    weight: str | None = None,
    kind: Kind = "probability",
    classes: Sequence[Label] | None = None,
    soft_labels: bool = False,
    eps: float = 1e-15,
    clip: Clip = "eps",
    ece_bins: int = 10,
) -> pd.DataFrame:
    """Compare log loss with the other losses of the literature, on the same binary predictions, in one pass.

    Log loss bounds other losses. Let a loss be smooth, proper and convex in p, and let G(p) be its expected value for
    the true forecast p. The expected loss of a forecast q exceeds G(p) by the divergence of the loss, which is at most
    C KL(p || q), with C = -G''(1/2)/2 and KL in nats. Proof: with w = -G'', the slope of the divergence in q is
    (q - p) w(q), and that of KL is (q - p)/(q(1 - q)). Convexity means -1/q <= w'/w <= 1/(1 - q), and this keeps
    q(1 - q) w(q) below w(1/2)/2. So a forecast that is well calibrated by log loss is well calibrated by all these
    losses. Here they are log loss itself (C = 2) and savage, which is the Brier score (C = 1). C holds for every loss
    with this curvature; for these two, half of it would do.

    Parameters
    ----------
    table, label, prediction, weight, kind, classes, soft_labels, eps, clip, ece_bins :
        As in `evaluate`, for a prediction that is one number; `eps` and `clip` cap cross-entropy alone.

    Returns
    -------
    pandas.DataFrame with one row per loss and the columns

    - `loss`: its name;
    - `mean`: its weighted mean over the rows that can be scored;
    - `perfect`, `coin_flip`: its value for a certain and right forecast, and for p = 1/2;
    - `proper`: whether its expected value is least if p is the truth; `convex_in_p`, `convex_in_logit`, `bounded`;
    - `constant`: C, if the bound holds for this loss;
    - `reliability`: the mean over equal-width bins of the divergence of p̄ from ȳ in this loss, and `bound`: C times the
      reliability of log loss. Here p̄ is clipped to [eps, 1 - eps], so that both are finite.

    Rows that cannot be scored are dropped, and a warning (`InvalidRowsWarning`) counts them.

    Raises
    ------
    SpecError
        As in `evaluate`; or the prediction has one entry per class.
    DataError
        No row of positive weight could be scored.

    Examples
    --------
    >>> import logloss_spark as ls
    >>> df = spark.createDataFrame([(1, 0.9), (0, 0.2), (0, 0.6)], "label int, p double")
    >>> losses = ls.compare_losses(df, label="label", prediction="p").round(4)
    >>> losses = losses[losses["loss"].isin(["cross_entropy", "hinge", "savage"])]
    >>> print(losses[["loss", "mean", "coin_flip", "proper", "reliability", "bound"]].to_string(index=False))
             loss   mean  coin_flip  proper  reliability  bound
    cross_entropy 0.4149     0.6931    True       0.4149 0.8299
            hinge 0.4685     1.0000   False          NaN    NaN
           savage 0.1367     0.2500    True       0.1367 0.4149

    References
    ----------
    Painsky, Wornell, On the universality of the logistic loss function, ISIT (2018), arXiv 1805.03804; with other
    alphabets in IEEE Trans. Inf. Theory 66 (2020), arXiv 1810.07014.
    """
    scoring = Scoring(kind=kind, classes=classes, soft_labels=soft_labels, eps=eps, clip=clip)
    bins = Reading(ece_bins=ece_bins).ece_bins
    df, _ = table_and_files(table)
    rows = rows_of(df, Roles(label=label, prediction=prediction, weight=weight), scoring)
    if not rows.form.scalar:
        raise SpecError(
            f"compare_losses needs a binary forecast given as one number, got {rows.form.size} entries: Spark's "
            "rawPrediction has kind='margin'; for K classes evaluate(..., loss=...) takes focal, label_smoothed and "
            "functions, too"
        )
    sums = sums_by_bin(rows).toPandas()
    total = sum(map(float, sums.loc[sums["bin"].notna(), "w"]))
    if rows.form.weighted and not in_range(total) and (exponent := exponent_of(rows)):
        sums = sums_by_bin(rescaled(rows, exponent)).toPandas()
    if not sums["n_first_class"].sum():
        check_labels(rows)
    counts = sums.groupby("status")["n"].sum()
    used = sums[sums["bin"].notna()]
    report_left_out(
        {status: int(counts.get(code, 0)) for code, status in enumerate(STATUSES)},
        rows,
        weight=float(used["w"].sum()),
        what="comparison of losses",
    )
    return side_by_side(used, scoring, bins)


def sums_by_bin(rows: Rows) -> DataFrame:
    """Counts of rows and the sums that `side_by_side` needs, by status and, for scored rows, by bin of the score.

    `wt` is the sum of w min(p, 1 - p), and `wl_0` … are the sums of each loss. Other names are those of a state.
    """
    table = binary_terms(with_loss(rows), rows)
    kernels = kernels_of(rows.scoring)
    losses = vectorised(partial(losses_of_rows, kernels), "array<double>")
    table = table.withColumn("losses", losses("label" if rows.form.soft_labels else "index", "prediction"))
    weight = F.col("weight") if rows.form.weighted else F.lit(1.0)
    bin_of_used = F.when((F.col("status") == 0) & (weight > 0), F.col("bin"))
    terms: dict[str, Column] = {"w": F.lit(1.0), "wy": F.col("y"), "wt": F.col("tail")}
    terms |= {f"wl_{place}": F.get("losses", F.lit(place)) for place in range(len(kernels))}
    return table.groupBy("status", bin_of_used.alias("bin")).agg(
        F.count(F.lit(1)).alias("n"),
        F.count_if(F.col("index") == 0 if not rows.form.soft_labels else F.lit(True)).alias("n_first_class"),
        *[F.sum(weight * term).alias(name) for name, term in terms.items()],
    )


def kernels_of(scoring: Scoring) -> list[Kernel]:
    """The kernel of each loss that has a name; only cross-entropy is capped."""
    return [
        loss_kernel(scoring, scalar=True) if name == "cross_entropy" else named_loss(name, scoring.score)
        for name in LOSSES
    ]


def losses_of_rows(kernels: Sequence[Kernel], label: pa.Array, score: pa.Array) -> pa.Array:
    """All losses of each row of an Arrow batch, as a list. For rows that are not `ok` the values are unspecified."""
    y, p = numbers(label, 2), numbers(score, 2)
    losses = np.stack([kernel(y, p) for kernel in kernels], axis=1)
    ends = np.arange(0, losses.size + 1, len(kernels), dtype=np.int32)
    return pa.ListArray.from_arrays(ends, pa.array(losses.ravel(), from_pandas=False))


def side_by_side(sums: pd.DataFrame, scoring: Scoring, bins: int) -> pd.DataFrame:
    """The table that `compare_losses` returns, from the sums of the bins that hold rows."""
    weight = sums["w"].sum()
    in_bins = sums.assign(
        bin=coarse_bin(sums["bin"].to_numpy(dtype=np.int64), bins),
        wp=np.where(sums["bin"] >= HALF, sums["w"] - sums["wt"], sums["wt"]),
    )
    in_bins = in_bins.groupby("bin")[["w", "wy", "wp"]].sum()
    share = (in_bins["w"] / weight).to_numpy()
    happened = np.clip((in_bins["wy"] / in_bins["w"]).to_numpy(), 0.0, 1.0)
    forecast = np.clip((in_bins["wp"] / in_bins["w"]).to_numpy(), scoring.eps, 1.0 - scoring.eps)
    reliability = {name: float(share @ divergence(happened, forecast)) for name, divergence in DIVERGENCES.items()}

    certain_and_coin = np.array([np.inf, 0.0] if scoring.score == "logit" else [1.0, 0.5])
    values = np.array([kernel(np.ones(2), certain_and_coin) for kernel in kernels_of(scoring)])
    said = {
        "loss": LOSSES,
        "mean": [sums[f"wl_{place}"].sum() / weight for place in range(len(LOSSES))],
        "perfect": values[:, 0],
        "coin_flip": values[:, 1],
    }
    table = pd.DataFrame(said).join(pd.DataFrame([asdict(NATURES[name]) for name in LOSSES]))
    table["reliability"] = table["loss"].map(reliability)
    table["bound"] = table["constant"] * reliability["cross_entropy"]
    return table
