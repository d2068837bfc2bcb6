"""A fitted logistic regression: its coefficients, what they were fitted on, and what the fit did."""

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from pyspark.sql import DataFrame

from logloss_spark.errors import DataError
from logloss_spark.fit.report import Report, first_of_fit, fit_summary, fit_title, fit_view
from logloss_spark.fit.scoring import Predictor, forecasts, with_forecasts
from logloss_spark.fit.storage import fields_of_json, json_of
from logloss_spark.io.texts import load_text, save_text
from logloss_spark.kernels.sums import Array
from logloss_spark.report.accessors import ModelPlots
from logloss_spark.report.collecting import versions
from logloss_spark.report.page import Page
from logloss_spark.report.reported import Reported
from logloss_spark.report.text import as_html
from logloss_spark.rows.new_columns import check_new_columns
from logloss_spark.scoring import Label
from logloss_spark.wording import counted


@dataclass(frozen=True, kw_only=True, eq=False)
class LogisticModel(Reported):
    """A fitted logistic regression.

    Attributes
    ----------
    features : the columns that hold the features, one name or several
    feature_names : the names of the d features
    classes : the K labels
    coefficients : array of shape (C, d), for the features as they came. C is 1 for two classes, with the logit of the
        second
    intercepts : array of shape (C,)
    standard_errors, intercept_errors : arrays of the same shapes; None if the fit is penalised or separated, or did not
        end at an optimum
    offset : the column that is added to the logit, if any
    report : what the fit did

    Examples
    --------
    >>> import logloss_spark as ls
    >>> rows = [(float(x), int(x > 4 and x != 7 or x == 2)) for x in range(10)]
    >>> df = spark.createDataFrame(rows, "x double, late int")
    >>> model = ls.fit_logistic(df, features=["x"], label="late")
    >>> model
    LogisticModel(1 feature, 2 classes, log loss 0.543337, converged)
    >>> round(float(model.coefficients[0, 0]), 3)
    0.444
    >>> model.transform(df).columns
    ['x', 'late', 'probability', 'logit', 'prediction']
    """

    features: str | tuple[str, ...]
    feature_names: tuple[str, ...]
    classes: tuple[Label, ...]
    coefficients: Array
    intercepts: Array
    standard_errors: Array | None
    intercept_errors: Array | None
    offset: str | None
    report: Report

    def __post_init__(self) -> None:
        check_model_classes(self.classes)
        check_coefficients(self)

    @property
    def history(self) -> pd.DataFrame:
        """One row per iteration: objective, loss, gradient norm, gap, step, passes and seconds."""
        return pd.DataFrame([dataclasses.asdict(step) for step in self.report.history])

    @property
    def table(self) -> pd.DataFrame:
        """One row per coefficient: estimate, standard error, z and two-sided p-value, null if they are not defined."""
        several = len(self.coefficients) > 1
        parts = []
        for row, label in enumerate(self.classes if several else self.classes[1:]):
            estimate = np.append(self.intercepts[row], self.coefficients[row])
            error = np.full(len(estimate), np.nan)
            if self.standard_errors is not None and self.intercept_errors is not None:
                error = np.append(self.intercept_errors[row], self.standard_errors[row])
            z = np.divide(estimate, error, out=np.full(len(estimate), np.nan), where=error > 0)
            p = [math.erfc(abs(value) / math.sqrt(2.0)) for value in z]
            columns: dict[str, Any] = {"class": label} if several else {}
            columns |= {"feature": ["(intercept)", *self.feature_names], "coefficient": estimate}
            parts.append(pd.DataFrame(columns | {"standard_error": error, "z": z, "p_value": p}))
        return pd.concat(parts, ignore_index=True)

    @property
    def plot(self) -> ModelPlots:
        """The plots of this model, such as `plot.coefficients()`. They need the extra `report`."""
        return ModelPlots(steps=lambda: self.history, table=lambda: self.table)

    @property
    def predictor(self) -> Predictor:
        """The part of the model that scores a row."""
        return Predictor(self.features, self.coefficients, self.intercepts, self.classes, self.offset)

    def transform(
        self, df: DataFrame, *, probability: str = "probability", logit: str = "logit", prediction: str = "prediction"
    ) -> DataFrame:
        """Add the model's forecasts to a table.

        Parameters
        ----------
        df : DataFrame with the columns that the model was fitted on
        probability, logit, prediction : str
            The names of the new columns. For two classes, the first two hold the probability and the logit of the
            second class as numbers; for more classes, arrays in the order of `classes`. The third holds the most
            probable class.

        Returns
        -------
        DataFrame, lazy. Rows whose features are null, NaN or of another length get nulls.

        Raises
        ------
        SpecError
            A column that the model needs is not in the table, or a new column is there already.
        """
        names = {"probability": probability, "logit": logit, "prediction": prediction}
        check_new_columns(df, names)
        return with_forecasts(df, self.predictor, forecasts(self.classes, **names))

    def summary(self) -> str:
        """The fit in words, and its coefficients as a table."""
        return fit_summary(self._title, self.report, self.table)

    def in_report(self) -> dict[str, Any]:
        """Return what a report shows of this model: fields of its page."""
        view = fit_view(self._title, self.report, self.table)
        return {"fit": view, "history": self.history, "coefficients": self.table}

    def report_page(self) -> Page:
        """Return what a report on this model shows."""
        facts = {"engine": str(self.report.engine)} | versions()
        shown = self.in_report()
        return Page(title=self._title, facts=facts, **shown | first_of_fit(self.report, shown["fit"]))

    def _repr_html_(self) -> str:
        return as_html(fit_view(self._title, self.report, self.table))

    @property
    def _title(self) -> str:
        return fit_title(self.report, len(self.feature_names), len(self.classes))

    def __repr__(self) -> str:
        return (
            f"LogisticModel({counted(len(self.feature_names), 'feature')}, {len(self.classes)} classes, "
            f"log loss {self.report.log_loss:.6g}, {self.report.status.sentence})"
        )

    def to_json(self) -> str:
        """The model as JSON that a person can read."""
        return json_of(vars(self))

    @staticmethod
    def from_json(text: str) -> "LogisticModel":
        """Read the JSON that `to_json` wrote; raise DataError if it is anything else, or was changed."""
        try:
            return LogisticModel(**fields_of_json(text))
        except (KeyError, ValueError) as error:
            what = f"{error} is missing" if isinstance(error, KeyError) else error
            raise DataError(f"a model must be JSON that to_json wrote, got something else: {what}") from error

    def save(self, path: str, *, overwrite: bool = False) -> None:
        """Write the model as JSON to a folder, anywhere that Spark can write.

        Raises SpecError if something is there already; with `overwrite`, if that is anything but a saved model.
        """
        save_text(self.to_json(), path, overwrite=overwrite)

    @staticmethod
    def load(path: str) -> "LogisticModel":
        """Read a model that `save` wrote.

        Raises MissingInputError if nothing is there, and DataError if something else is.
        """
        text = load_text(path)
        try:
            return LogisticModel.from_json(text)
        except DataError as error:
            raise DataError(f"{path} holds no model: {error}") from error


def check_model_classes(classes: tuple[Label, ...]) -> None:
    """Raise DataError unless there are two classes or more, all of them different and plain."""
    for label in classes:
        if not isinstance(label, (bool, int, float, str)) or label != label:
            raise DataError(f"classes must be numbers, booleans or strings, got {label!r}")
    if len(set(classes)) < len(classes):
        raise DataError(f"classes must be distinct, got {list(classes)}")
    if len(classes) < 2:
        raise DataError(f"a model must have two classes or more, got {list(classes)}")


def check_coefficients(model: LogisticModel) -> None:
    """Raise DataError unless the coefficients of a model are numbers, one for each logit and feature."""
    classes, names = model.classes, model.feature_names
    if not names:
        raise DataError("a model must have a feature or more, got none")
    if len(set(names)) < len(names):
        raise DataError(f"features must be distinct, got {list(names)}")
    logits = (1, 2) if len(classes) == 2 else (len(classes),)
    if len(model.coefficients) not in logits or (model.offset is not None and len(model.coefficients) > 1):
        raise DataError(
            f"a model of {len(classes)} classes must have {' or '.join(map(str, logits))} rows of coefficients "
            f"(with an offset 1), got {len(model.coefficients)}"
        )
    if not isinstance(model.features, str) and model.features != names:
        raise DataError(f"coefficients must be those of the columns {list(model.features)}, got {list(names)}")
    numbers = np.column_stack([model.coefficients, model.intercepts])
    if numbers.shape != (len(model.coefficients), len(names) + 1):
        raise DataError(f"each logit must have {len(names)} coefficients, got {model.coefficients.shape[-1]}")
    if not np.isfinite(numbers).all():
        row, column = np.argwhere(~np.isfinite(numbers))[0]
        raise DataError(
            f"coefficients must be finite, got {numbers[row, column]} for {(*names, 'the intercept')[column]!r}"
        )
