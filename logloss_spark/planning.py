"""`rows_needed`: how many rows find a difference, from the state of an evaluation or of a comparison."""

import math
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from pyspark.sql import DataFrame

from logloss_spark.checks import between
from logloss_spark.errors import DataError, SpecError
from logloss_spark.io.local import LocalTable
from logloss_spark.state import State, check_is_state
from logloss_spark.statistics.power import POWER, detectable, rows_for
from logloss_spark.statistics.reporting import Coverage, Reading
from logloss_spark.tables.comparison import comparison_table
from logloss_spark.wording import alternatives, counted, guess_at


def rows_needed(
    state: State,
    *,
    difference: float,
    power: float = POWER,
    confidence: float = 0.95,
    samples: int | None = None,
    challenger: str | None = None,
) -> int:
    """How many scored rows find a difference of log losses.

    Of a comparison's state: the rows on which both models must be compared, row by row. Of an evaluation's state: the
    rows of each of two independent samples, such as two days or the two groups of an experiment; with `samples=1`, the
    rows of one sample that is compared with a fixed number, such as a bound. The state says how much losses vary, how
    uneven weights are, and how rows of a cluster hang together; the rows to come are taken to be alike. For one slice,
    ask `state.where("country = 'de'")`.

    Parameters
    ----------
    state : State
    difference : float
        The true difference of mean losses that is to be found, in nats; its sign does not matter.
    power : float in (0.5, 1)
        The share of samples in which it is found.
    confidence : float in (0, 1)
        The difference is found if the interval of this confidence excludes 0.
    samples : 1 or 2
        Of an evaluation's state, how many samples there will be; by default 2.
    challenger : str, optional
        Of a comparison's state, the model that is compared with the baseline. It is needed if there are several.

    Returns
    -------
    int, at least 2. Quantiles are normal, or Student's t for the buckets of clusters that the state has.

    Raises
    ------
    SpecError
        An argument has an invalid value.
    DataError
        The state has no standard error: fewer than two rows, or an infinite loss.

    Examples
    --------
    >>> import logloss_spark as ls
    >>> rows = [(1, 0.8, 0.9), (0, 0.4, 0.2), (1, 0.6, 0.7), (0, 0.1, 0.3)]
    >>> df = spark.createDataFrame(rows, "label int, p_a double, p_b double")
    >>> models = {"a": "p_a", "b": "p_b"}
    >>> paired = ls.compare(df, label="label", predictions=models, baseline="a").state
    >>> single = ls.evaluate(df, label="label", prediction="p_a").state
    >>> ls.rows_needed(paired, difference=0.02), ls.rows_needed(single, difference=0.02)
    (1046, 1662)
    """
    check_is_state(state)
    coverage = Coverage(confidence=confidence)
    between("power", power, 0.5, 1.0)
    if not isinstance(difference, (int, float)) or not 0.0 < abs(difference) < math.inf:
        raise SpecError(f"difference must be a number other than 0, in nats, got {difference!r}")
    row = (
        of_comparison(state, coverage, samples, challenger)
        if state.conventions.models
        else of_evaluation(state, coverage, samples, challenger)
    )
    if not math.isfinite(row.error):
        raise DataError(
            f"the state must have a standard error, got {counted(row.rows, 'scored row')} without one: take a state "
            "of two rows or more, none of them with an infinite loss"
        )
    error, n_eff, buckets = np.array([[row.error], [row.n_eff], [row.buckets]])
    smallest = detectable(error, coverage, n_eff, buckets if state.conventions.buckets else None, power)
    return rows_for(difference, float(smallest[0]), row.rows)


@dataclass(frozen=True)
class Sample:
    """Scored rows that are known: how many, effectively and in buckets of clusters, and the error of a difference."""

    rows: int
    n_eff: float
    buckets: float
    error: float


def of_comparison(state: State, coverage: Coverage, samples: int | None, challenger: str | None) -> Sample:
    """The rows of a comparison, and the error of the difference that they have."""
    challengers = state.conventions.models[1:]
    if samples is not None:
        raise SpecError(f"samples must be left out for a comparison, whose rows are paired, got {samples!r}")
    if challenger not in challengers and (challenger is not None or len(challengers) > 1):
        raise SpecError(
            f"challenger must be {alternatives(challengers)}, got {challenger!r}"
            f"{guess_at(str(challenger), challengers)}"
        )
    frame = collected(comparison_table(state.checked, (), coverage))
    asked = frame[frame["challenger"] == (challenger or challengers[0])]
    return sample(asked, "difference_se")


def of_evaluation(state: State, coverage: Coverage, samples: int | None, challenger: str | None) -> Sample:
    """The rows of an evaluation, and the error that the difference of one or two samples of so many rows would have."""
    if challenger is not None:
        raise SpecError(f"challenger must be left out for an evaluation, which has one model, got {challenger!r}")
    if samples not in (None, 1, 2):
        raise SpecError(f"samples must be 1 or 2, got {samples!r}")
    frame = collected(state.measured((), Reading(confidence=coverage.confidence)))
    found = sample(frame, "log_loss_se" if "log_loss_se" in frame else "loss_se")
    return replace(found, error=math.sqrt(samples or 2) * found.error)


def collected(table: DataFrame | LocalTable) -> pd.DataFrame:
    """A table of few rows as a frame."""
    return table.frame if isinstance(table, LocalTable) else table.toPandas()


def sample(frame: pd.DataFrame, error: str) -> Sample:
    """The sample that the only row of a frame of metrics describes, with its standard error in the column `error`."""
    n, n_eff, buckets, found = frame[["n", "n_eff", "buckets", error]].to_numpy(dtype=float, na_value=math.nan)[0]
    return Sample(int(n), n_eff, buckets, found)
