"""The log loss of a table as one number, and warnings about the rows that were dropped from it."""

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from logloss_spark.errors import DataError, ImpossibleEventsWarning, InvalidRowsWarning
from logloss_spark.io.files import Table, table_and_files
from logloss_spark.kernels.status import STATUSES
from logloss_spark.kernels.sums import ratio_of_sums
from logloss_spark.roles import Columns, Roles
from logloss_spark.rows.advice import advice
from logloss_spark.rows.engines import Engine
from logloss_spark.rows.inputs import Rows, check_logits, rows_of
from logloss_spark.rows.labels import check_labels
from logloss_spark.rows.status import reasons_in
from logloss_spark.rows.terms import with_loss
from logloss_spark.rows.weights import exponent_of, in_range, rescaled
from logloss_spark.scoring import Clip, Kind, Label, Scoring
from logloss_spark.states.catalyst import as_columns, precise_sums
from logloss_spark.states.engines import by_engine
from logloss_spark.states.files import loss_from_files
from logloss_spark.wording import counted, listed

CAPPED_SHARE = 0.01
"""If events with a capped loss make up this share of the loss, a warning is given: the result depends on eps."""


def log_loss(
    table: Table,
    label: Columns,
    prediction: Columns,
    *,
    weight: str | None = None,
    kind: Kind = "probability",
    classes: Sequence[Label] | None = None,
    soft_labels: bool = False,
    eps: float = 1e-15,
    clip: Clip = "eps",
    sum_tolerance: float = 1e-5,
    engine: Engine = "auto",
) -> float:
    """The log loss of a table, as one number.

    Parameters
    ----------
    table, label, prediction, weight, kind, classes, soft_labels, eps, clip, sum_tolerance, engine :
        As in `evaluate`.

    Returns
    -------
    float, nats, in [0, inf]. Rows that cannot be scored are dropped, and a warning (`InvalidRowsWarning`) counts them.
    If rows that gave the class that happened a probability of eps or less make up 1 % of the loss or more, a warning
    (`ImpossibleEventsWarning`) says so.

    Raises
    ------
    SpecError
        As in `evaluate`.
    DataError
        No row of positive weight could be scored.

    Examples
    --------
    >>> import logloss_spark as ls
    >>> df = spark.createDataFrame([(1, 0.9), (0, 0.2)], "label int, p double")
    >>> round(ls.log_loss(df, "label", "p"), 4)
    0.1643
    """
    scoring = Scoring(
        kind=kind, classes=classes, soft_labels=soft_labels, eps=eps, clip=clip, sum_tolerance=sum_tolerance
    )
    source, files = table_and_files(table)
    roles = Roles(label=label, prediction=prediction, weight=weight)
    rows = replace(rows_of(source, roles, scoring, engine=engine), files=files)
    check_logits(rows)
    found = loss_sums(rows)
    if rows.form.weighted and not in_range(weight_in(found)) and (exponent := exponent_of(rows)):
        rows = rescaled(rows, exponent)
        found = loss_sums(rows)
    if found["unknown_label"] and not found["first_class"]:
        check_labels(rows)
    report_left_out(found, rows, weight=weight_in(found), what="log loss")
    mean = mean_of_sums(found)
    report_impossible(found, mean, scoring)
    return mean


def loss_sums(rows: Rows) -> Mapping[str, Any]:
    """The sums of `summed_loss` by the engine that was asked for, or by the fastest that can serve."""
    found, _ = by_engine(rows, partial(loss_from_files, rows), lambda: summed_loss(with_loss(rows), rows))
    return found


def report_impossible(found: Mapping[str, Any], mean: float, scoring: Scoring) -> None:
    """Warn if events with a capped loss make up a good share of a finite mean loss."""
    if not found["capped"] or not mean < math.inf:
        return
    share = scoring.cap * found["w_capped"] / (mean * (found["w_high"] + found["w_low"]))
    if share >= CAPPED_SHARE:
        warnings.warn(
            f"{counted(found['capped'], 'row')} of {found['ok']:,} gave what happened a probability of at most eps, "
            f"{scoring.eps:g}, and make up {share:.1%} of the log loss at {scoring.cap:.1f} nats each: the log loss "
            "depends on eps. evaluate(...) counts such rows by slice, as clipped and zero",
            ImpossibleEventsWarning,
            stacklevel=3,
        )


def weight_in(sums: Mapping[str, Any]) -> float | None:
    """The sum of weights among the results of `summed_loss`; None if no row was scored."""
    return None if sums["w_high"] is None else sums["w_high"] + sums["w_low"]


def report_left_out(counts: Mapping[str, int], rows: Rows, *, weight: float | None, what: str) -> None:
    """Raise DataError if no row of positive weight was scored; else warn of the rows that were not scored.

    Functions call this whose result has no field to report them in. The warning points at their caller.
    """
    reasons = reasons_in(counts)
    total = counts["ok"] + sum(reasons.values())
    way_out = advice(counts, rows)
    said = listed(reasons) + (f"; {way_out}" if way_out else "")
    if not weight:
        raise DataError(
            f"{what} needs a row of positive weight that can be scored, got none among {total:,}"
            + (f": {said}" if reasons else "")
        )
    if reasons:
        warnings.warn(
            f"dropped {counted(sum(reasons.values()), 'row')} of {total:,} from the {what}: {said}",
            InvalidRowsWarning,
            stacklevel=3,
        )


def summed_loss(scored: DataFrame, rows: Rows) -> dict[str, Any]:
    """Count the rows of a table with losses by status, and sum w and w*l, each in two columns, in one small pass.

    `capped` and `w_capped` are the count and the weight of the rows whose loss is the cap. `first_class` counts the
    rows of the first class.
    """
    ok = "status = 0 AND weight > 0" if rows.form.weighted else "status = 0"
    capped = F.expr(ok) & (F.col("loss") >= rows.scoring.cap)
    row = scored.agg(
        *[F.count_if(F.col("status") == code).alias(status) for code, status in enumerate(STATUSES)],
        F.count_if(F.lit(False) if rows.form.soft_labels else F.col("index") == 0).alias("first_class"),
        *as_columns(precise_sums(rows.form, {"w": None, "wl": "loss"}, where=ok)),
        F.count_if(capped).alias("capped"),
        F.sum(F.when(capped, F.col("weight") if rows.form.weighted else F.lit(1.0))).alias("w_capped"),
    ).first()
    assert row is not None
    return row.asDict()


def mean_of_sums(found: Mapping[str, Any]) -> float:
    """The mean loss, from the results of `summed_loss`."""
    return float(ratio_of_sums(*(np.array(found[name]) for name in ("wl_high", "wl_low", "w_high", "w_low"))))
