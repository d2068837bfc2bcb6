"""`Calibrator`: recalibrates forecasts. It is made from the cells of a state, and no row is read for it."""

import dataclasses
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, get_args

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyspark.sql import Column, DataFrame
from pyspark.sql.types import DataType, NumericType

from logloss_spark.checks import one_of
from logloss_spark.errors import DataError, SpecError
from logloss_spark.io.names import quoted
from logloss_spark.io.parsing import STORED_INFINITY, dataclass_of, parsed_json, typed_value
from logloss_spark.io.texts import load_text, save_text
from logloss_spark.kernels.sums import Array
from logloss_spark.report.recalibrations import view_of_gains
from logloss_spark.rows.arrow import numbers
from logloss_spark.rows.columns import finder, has_vectors, with_index_names
from logloss_spark.rows.new_columns import check_new_columns
from logloss_spark.rows.terms import MOST_PARTITIONS
from logloss_spark.scoring import Score
from logloss_spark.statistics.recalibration import (
    METHODS,
    Curve,
    Gain,
    Isotonic,
    LogOdds,
    Method,
    recalibrated,
)
from logloss_spark.workers.columns import vectorised

FORMAT = "logloss_spark.Calibrator"
VERSION = 1


@dataclass(frozen=True, eq=False, repr=False)
class Calibrator:
    """A recalibration of forecasts, which `State.calibrator` makes.

    Attributes
    ----------
    method : "isotonic", "platt", "beta" or "temperature"
    kind : "probability" or "logit"
        What it takes and returns.
    rows : int
        The number of rows that it was fitted to.
    curve : Isotonic or LogOdds
        Points between which the curve is linear, or the coefficients of a ln p - b ln(1 - p) + c, the new logit.
    gain : Gain or None
        What the log loss falls by on rows that it was not fitted to, with its interval. None where no such rows were
        given: the rows of the fit itself would promise too much.
    """

    method: Method
    kind: Score
    rows: int
    curve: Curve
    gain: Gain | None

    def predict(self, scores: npt.ArrayLike) -> Array:
        """Recalibrate an array of forecasts.

        Parameters
        ----------
        scores : array of any shape
            Probabilities of the positive class, or its logits, as `kind` says.

        Returns
        -------
        array of the same shape, of the same kind; never a probability of 0 or 1. NaN where a forecast is NaN, or is a
        probability outside [0, 1].
        """
        return calibrated(np.asarray(scores, dtype=np.float64), kind=self.kind, curve=self.curve)

    def transform(self, df: DataFrame, *, prediction: str | Column, output: str = "calibrated") -> DataFrame:
        """Add the recalibrated forecasts to a table.

        Parameters
        ----------
        df : DataFrame
        prediction : str or Column
            The forecasts, as numbers: probabilities or logits of the positive class, as `kind` says. The entry of an
            array is `"p[1]"`, that of an ML vector `vector_to_array("probability")[1]`.
        output : str
            The name of the new column, of doubles of the same kind.

        Returns
        -------
        DataFrame, lazy. Rows whose forecast is null, NaN or a probability outside [0, 1] get null.

        Raises
        ------
        SpecError
            The prediction is not in the table or is no number, or the new column is there already.
        """
        check_new_columns(df, {"output": output})
        function = partial(calibrated_batch, kind=self.kind, curve=self.curve)
        # A scan must not hand ML vectors to Python directly: see `rows.terms`.
        table = df.coalesce(MOST_PARTITIONS) if has_vectors(df.schema) else df
        if isinstance(prediction, Column):
            check_is_number(df.select(prediction).schema[0].dataType)
            return table.select("*", vectorised(function, "double")(prediction).alias(output))
        found = finder(df, endless=True)("prediction", prediction)
        check_is_number(found.type)
        calibrate = vectorised(function, "double")
        if found.name is not None and [name.casefold() for name in df.columns].count(found.name.casefold()) == 1:
            return table.select("*", calibrate(quoted(found.name)).alias(output))
        renamed = with_index_names(table)
        return renamed.select("*", calibrate(found.column).alias(output)).toDF(*df.columns, output)

    def in_report(self) -> dict[str, Any]:
        """Return what the report of an evaluation shows of this calibrator: a field of its page."""
        return {"recalibration": view_of_gains({self.method: (self.rows, self.gain)})}

    def to_json(self) -> str:
        """The calibrator as JSON that a person can read."""
        curve = {name: value.tolist() if isinstance(value, np.ndarray) else value for name, value in fields(self.curve)}
        gain = None if self.gain is None else dict(fields(self.gain))
        if gain is not None and math.isinf(gain["value"]):
            gain["value"] = STORED_INFINITY
        stored = {"format": FORMAT, "version": VERSION, **dict(fields(self)), "curve": curve, "gain": gain}
        return json.dumps(stored, indent=1)

    @staticmethod
    def from_json(text: str) -> "Calibrator":
        """Read the JSON that `to_json` wrote; raise DataError if it is anything else, or was changed."""
        try:
            return calibrator_of_json(text)
        except (KeyError, ValueError) as error:
            what = f"{error} is missing" if isinstance(error, KeyError) else error
            raise DataError(f"a calibrator must be JSON that to_json wrote, got something else: {what}") from error

    def save(self, path: str, *, overwrite: bool = False) -> None:
        """Write the calibrator as JSON to a folder, anywhere that Spark can write.

        Raises SpecError if something is there already; with `overwrite`, if that is anything but such a JSON.
        """
        save_text(self.to_json(), path, overwrite=overwrite, what="calibrator")

    @staticmethod
    def load(path: str) -> "Calibrator":
        """Read a calibrator that `save` wrote.

        Raises MissingInputError if nothing is there, and DataError if something else is.
        """
        text = load_text(path, what="calibrator")
        try:
            return Calibrator.from_json(text)
        except DataError as error:
            raise DataError(f"{path} holds no calibrator: {error}") from error

    def __repr__(self) -> str:
        return f"Calibrator({self.method}, fitted to {self.rows:,} rows, {in_words(self.gain)})"


def in_words(gain: Gain | None) -> str:
    """What is gained, in words."""
    if gain is None:
        return "gain unknown: it takes rows of no fit, held_out=a state or over=a slice column"
    ends = "" if gain.low is None else f" ({gain.low:.5f} to {gain.high:.5f})"
    return f"gain {gain.value:.5f}{ends} on {gain.measured}"


def fields(of: Any) -> list[tuple[str, Any]]:
    """The fields of a dataclass with their values."""
    return [(field.name, getattr(of, field.name)) for field in dataclasses.fields(of)]


def check_is_number(type_: DataType) -> None:
    """Raise SpecError unless a prediction is a number."""
    if not isinstance(type_, NumericType):
        raise SpecError(
            f"prediction column must be numeric, got {type_.simpleString()}: take the entry of the positive class, as "
            'in "p[1]", or of an ML vector vector_to_array("probability")[1]'
        )


def calibrated_batch(scores: pa.Array, *, kind: Score, curve: Curve) -> pa.Array:
    """The recalibrated forecasts of an Arrow batch; null where there is none."""
    found = calibrated(numbers(scores, 1).astype(np.float64), kind=kind, curve=curve)
    return pa.array(found, mask=np.isnan(found) | scores.is_null().to_numpy(zero_copy_only=False))


def calibrated(scores: Array, *, kind: Score, curve: Curve) -> Array:
    """The recalibrated forecasts of an array; NaN for what is no forecast."""
    with np.errstate(all="ignore"):
        if kind == "logit":
            q, other = recalibrated(curve, np.exp(-np.logaddexp(0.0, -scores)), np.exp(-np.logaddexp(0.0, scores)))
            return np.asarray(np.log(q) - np.log(other))
        inside = np.where((scores >= 0.0) & (scores <= 1.0), scores, np.nan)
        return np.asarray(recalibrated(curve, inside, 1.0 - inside)[0])


def calibrator_of_json(text: str) -> Calibrator:
    """The calibrator that a JSON text describes.

    Raises KeyError if a key is missing, and ValueError if a value is not as it was written.
    """
    stored = typed_value(parsed_json(text), dict, "it")
    for key, value in {"format": FORMAT, "version": VERSION}.items():
        if stored[key] != value:
            raise ValueError(f"its {key} must be {value!r}, got {stored[key]!r}")
    one_of("method", stored["method"], METHODS)
    one_of("kind", stored["kind"], get_args(Score))
    return Calibrator(
        method=stored["method"],
        kind=stored["kind"],
        rows=typed_value(stored["rows"], int, "rows"),
        curve=curve_of_json(stored["method"], typed_value(stored["curve"], dict, "curve")),
        gain=None if stored["gain"] is None else dataclass_of(Gain, stored["gain"], "gain"),
    )


def curve_of_json(method: Method, stored: Mapping[str, Any]) -> Curve:
    """The curve of a method as it was stored; raises as `calibrator_of_json` does."""
    if method != "isotonic":
        line = dataclass_of(LogOdds, stored, "curve")
        if not np.isfinite([line.a, line.b, line.c]).all() or min(line.a, line.b) < 0.0 or not 0.0 < line.eps < 0.5:
            raise ValueError(f"curve must have finite coefficients and slopes of at least 0, got {line}")
        return line
    scores, probabilities = (
        np.array(typed_value(stored[name], tuple[float, ...], f"curve.{name}")) for name in ("scores", "probabilities")
    )
    rising = np.all(np.diff(scores) >= 0.0) and np.all(np.diff(probabilities) >= 0.0)
    if not scores.size or scores.shape != probabilities.shape or not rising:
        raise ValueError("curve must have as many probabilities as scores, neither of them falling")
    if not 0.0 < probabilities[0] <= probabilities[-1] < 1.0:
        raise ValueError("curve must have probabilities between 0 and 1")
    return Isotonic(scores, probabilities)
