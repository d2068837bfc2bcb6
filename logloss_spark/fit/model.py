"""A fitted logistic regression: what it was fitted on, its coefficients, and the truth about the fit."""

import dataclasses
import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from pyspark.errors import PySparkException
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from logloss_spark.errors import DataError, MissingInputError, SpecError
from logloss_spark.fit.batches import FeatureForm, features
from logloss_spark.fit.solvers import Step
from logloss_spark.fit.spec import Training
from logloss_spark.fit.storage import INFINITY, built, parsed, typed
from logloss_spark.fit.table import Fields, feature_columns, layout_of
from logloss_spark.io.session import active_session
from logloss_spark.kernels.logistic import multinomial_terms
from logloss_spark.kernels.matrix import times
from logloss_spark.kernels.sums import Array
from logloss_spark.report.text import View, as_html
from logloss_spark.rows.columns import by_place, finder, has_vectors
from logloss_spark.rows.inputs import quoted
from logloss_spark.rows.terms import ONE_PARTITION_AT_MOST
from logloss_spark.scoring import Label
from logloss_spark.wording import counted, visible
from logloss_spark.workers.columns import vectorised

FORMAT = "logloss_spark.LogisticModel"
VERSION = 2
SHOWN = 40
"""Coefficients that a summary prints."""

SAVED = re.compile(r"/part-00000-[^/]*\.txt$")
"""The file that a saved text is."""

SCORE = "logit of logloss_spark"
"""The column of logits while a table is scored; no table has a column of this name."""


@dataclass(frozen=True, kw_only=True)
class Report:
    """What a fit did.

    `status` is why it ended: `gradient` (near enough to the optimum), `objective` (no step changes it by more than
    rounding), `validation` (an earlier point was better on the rows held out), `max_iter`, `line_search`, `separated`;
    `converged` is true for the first three. Of the `read` rows of the table the fit is on `rows`, `held` are those
    of validation; the others are `invalid` or weigh nothing. The model is the point of `best_iteration`, the last of
    all `iterations` but for validation; loss, objective, gradient, gap and curvature are of that point. Losses and
    gradients are means over the weighted rows, in nats; curvature is that of the mean penalised objective over
    standardised features. `passes` are those of the last call, where a fit was resumed.
    """

    status: str
    converged: bool
    solver: str
    iterations: int
    best_iteration: int
    passes: int
    read: int
    rows: int
    held: int
    weight: float
    invalid: dict[str, int]
    objective: float
    log_loss: float
    label_entropy: float
    normalized_entropy: float
    validation_loss: float | None
    gradient_norm: float
    gap: float
    smallest_curvature: float | None
    largest_curvature: float | None
    condition: float | None
    collinear: tuple[str, ...]
    separation: str | None
    separating: tuple[str, ...]
    streamed: bool
    rebuilds: int
    history: tuple[Step, ...]


@dataclass(frozen=True, kw_only=True, eq=False)
class LogisticModel:
    """A logistic regression.

    Attributes
    ----------
    feature_names : names of the d features
    features : the columns they come from, one name or several
    classes : the K labels
    coefficients : array of shape (C, d), of the features as they came; C is 1 for two classes, of the second's logit
    intercepts : array of shape (C,)
    standard_errors, intercept_errors : of the same shapes, or None: a penalised or a separated fit has none
    offset : the column that is added to the logit, if any
    report : what the fit did

    Examples
    --------
    >>> import logloss_spark as ls
    >>> rows = [(float(x), int(x > 4 and x != 7 or x == 2)) for x in range(10)]
    >>> df = spark.createDataFrame(rows, "x double, late int")
    >>> model = ls.fit_logistic(df, features=["x"], label="late")
    >>> model.report.status, [round(float(c), 3) for c in model.coefficients[0]]
    ('gradient', [0.444])
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
        check_model(self)

    @property
    def history(self) -> pd.DataFrame:
        """One row per iteration: objective, loss, gradient norm, gap, step, passes and seconds."""
        return pd.DataFrame([dataclasses.asdict(step) for step in self.report.history])

    @property
    def table(self) -> pd.DataFrame:
        """One row per coefficient: estimate, standard error, z and two-sided p-value (null where there is none)."""
        several = len(self.coefficients) > 1
        parts = []
        for place, label in enumerate(self.classes if several else self.classes[1:]):
            estimate = np.append(self.intercepts[place], self.coefficients[place])
            error = np.full(len(estimate), np.nan)
            if self.standard_errors is not None and self.intercept_errors is not None:
                error = np.append(self.intercept_errors[place], self.standard_errors[place])
            z = np.divide(estimate, error, out=np.full(len(estimate), np.nan), where=error > 0)
            p = [math.erfc(abs(value) / math.sqrt(2.0)) for value in z]
            rows: dict[str, Any] = {"class": label} if several else {}
            rows |= {"feature": ["(intercept)", *self.feature_names], "coefficient": estimate}
            parts.append(pd.DataFrame(rows | {"standard_error": error, "z": z, "p_value": p}))
        return pd.concat(parts, ignore_index=True)

    def transform(
        self, df: DataFrame, *, probability: str = "probability", logit: str = "logit", prediction: str = "prediction"
    ) -> DataFrame:
        """A table with the model's forecasts.

        Parameters
        ----------
        df : DataFrame with the columns that the model was fitted on
        probability, logit, prediction : str
            What to call the new columns: for two classes the probability and the logit of the second, as numbers, for
            more arrays in the order of `classes`; and the class that is most probable.

        Returns
        -------
        DataFrame, lazy. A row whose features are null, NaN or of another length gets nulls.

        Raises
        ------
        SpecError
            A column of the model's is missing, or one that is to be added is there already.
        """
        check_new_columns(df, {"probability": probability, "logit": logit, "prediction": prediction})

        def outputs(score: Column, chance: Column) -> dict[str, Column]:
            if len(self.classes) == 2:
                best = F.when(score > 0, F.lit(self.classes[1])).when(score.isNotNull(), F.lit(self.classes[0]))
            else:
                place = F.array_position(score, F.array_max(score)).cast("int") - 1
                best = F.when(score.isNotNull(), F.get(F.array(*map(F.lit, self.classes)), place))
            return {probability: chance, logit: score, prediction: best}

        return self.scored(df, features=self.features, outputs=outputs)

    def scored(
        self,
        df: DataFrame,
        *,
        features: str | tuple[str, ...],
        outputs: Callable[[Column, Column], Mapping[str, Column]],
    ) -> DataFrame:
        """Return a table with the columns more that a function makes of the logit and the probability.

        The features are in columns of these names.
        """
        training = Training(features=features, label="", offset=self.offset)
        table, fields = named_plainly(df, training)
        score = score_column(fields, training, self)
        # Columns of a scan that Spark hands to Python directly must not be ML vectors: see rows/scored.py.
        table = table.coalesce(ONE_PARTITION_AT_MOST) if has_vectors(df.schema) else table
        logit = quoted(SCORE)
        several = len(self.classes) > 2
        chance = vectorised(softmax_of, "array<double>")(logit) if several else probability_column(logit)
        added = outputs(logit, chance)
        columns = [column.alias(name) for name, column in added.items()]
        whole = table.select("*", score.alias(SCORE)).select("*", *columns).drop(SCORE)
        return whole if table.columns == df.columns else whole.toDF(*df.columns, *added)

    def summary(self) -> str:
        """The fit in words and its coefficients as a table."""
        report, table = self.report, self.table
        lines = [
            self._title,
            *remarks(report),
            f"log loss {report.log_loss:.6g} nats, label entropy {report.label_entropy:.6g}, "
            f"normalized entropy {report.normalized_entropy:.4f}",
        ]
        if report.condition is not None:
            lines.append(
                f"curvature from {report.smallest_curvature:.3g} to {report.largest_curvature:.3g}, "
                f"condition number {report.condition:.3g}"
            )
        shown = table.head(SHOWN)
        names = [name for name in ("class", "feature") if name in shown]
        shown = shown.assign(**{name: [visible(str(value)) for value in shown[name]] for name in names})
        lines += ["", shown.to_string(index=False, float_format=lambda value: f"{value:.6g}", na_rep="")]
        if len(table) > SHOWN:
            lines.append(f"... and {len(table) - SHOWN:,} more: .table has all")
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        table = self.table.head(SHOWN)
        shown = {
            str(name): [str(value) for value in column]
            if name in ("class", "feature")
            else ["" if math.isnan(value) else f"{value:.6g}" for value in column]
            for name, column in table.items()
        }
        more = [f"... and {len(self.table) - SHOWN:,} more: .table has all"] if len(self.table) > SHOWN else []
        return as_html(View(title=self._title, table=shown, remarks=[*remarks(self.report), *more]))

    @property
    def _title(self) -> str:
        """What the model is of, in words."""
        return (
            f"Logistic regression on {counted(self.report.rows, 'row')}, "
            f"{counted(len(self.feature_names), 'feature')}, {len(self.classes)} classes"
        )

    def __repr__(self) -> str:
        return (
            f"LogisticModel({counted(len(self.feature_names), 'feature')}, {len(self.classes)} classes, "
            f"log loss {self.report.log_loss:.6g}, {self.report.status})"
        )

    def to_json(self) -> str:
        """The model as JSON that a person can read."""
        several = len(self.coefficients) > 1
        per_class = []
        for place, label in enumerate(self.classes if several else self.classes[1:]):
            entry: dict[str, Any] = {"class": label, "intercept": float(self.intercepts[place])}
            entry["coefficients"] = dict(zip(self.feature_names, map(float, self.coefficients[place]), strict=True))
            if self.standard_errors is not None and self.intercept_errors is not None:
                entry["intercept_error"] = number(self.intercept_errors[place])
                entry["standard_errors"] = [number(error) for error in self.standard_errors[place]]
            per_class.append(entry)
        report = dataclasses.asdict(self.report)
        if self.report.condition is not None and math.isinf(self.report.condition):
            report["condition"] = INFINITY
        return json.dumps(
            {
                "format": FORMAT,
                "version": VERSION,
                "features": self.features,
                "offset": self.offset,
                "classes": self.classes,
                "logits": per_class,
                "report": report,
            },
            indent=1,
            default=number,
        )

    @staticmethod
    def from_json(text: str) -> "LogisticModel":
        """Read what `to_json` wrote; raise DataError where it is something else, or is not as it was written."""
        try:
            return LogisticModel._from_stored(parsed(text))
        except (DataError, KeyError, ValueError) as error:
            what = f"{error} is missing" if isinstance(error, KeyError) else error
            raise DataError(f"a model must be JSON that to_json wrote, got something else: {what}") from error

    @staticmethod
    def _from_stored(stored: Any) -> "LogisticModel":
        fields = typed(stored, dict, "it")
        if fields["format"] != FORMAT:
            raise ValueError(f"its format must be {FORMAT!r}, got {fields['format']!r}")
        if fields["version"] != VERSION:
            raise ValueError(f"its version must be {VERSION}, got {fields['version']!r}: fit the model again")
        logits = typed(fields["logits"], tuple[dict[str, Any], ...], "logits")
        if not logits:
            raise ValueError("logits must be one or more, got none")
        features, classes = fields["features"], tuple(typed(fields["classes"], list, "classes"))
        named = classes if len(logits) > 1 else classes[1:]
        if [logit["class"] for logit in logits] != list(named):
            raise ValueError(f"logits must be those of the classes {list(named)}, in this order")
        coefficients = [typed(logit["coefficients"], dict[str, float], "coefficients") for logit in logits]
        names = tuple(coefficients[0])
        if any(tuple(of_class) != names for of_class in coefficients):
            raise ValueError("coefficients must have the same names in every logit")
        errors = None
        if any("standard_errors" in logit or "intercept_error" in logit for logit in logits):
            optional = tuple[float | None, ...]
            errors = [
                typed([logit["intercept_error"], *typed(logit["standard_errors"], list, name)], optional, name)
                for name, logit in (("standard_errors", logit) for logit in logits)
            ]
            if any(len(of_class) != len(names) + 1 for of_class in errors):
                raise ValueError(f"standard_errors must be one for each of {counted(len(names), 'feature')}")
        spread = None if errors is None else np.array(errors, dtype=float)
        return LogisticModel(
            features=features if isinstance(features, str) else typed(features, tuple[str, ...], "features"),
            feature_names=names,
            classes=classes,
            coefficients=np.array([list(of_class.values()) for of_class in coefficients]),
            intercepts=np.array([typed(logit["intercept"], float, "intercept") for logit in logits]),
            standard_errors=None if spread is None else spread[:, 1:],
            intercept_errors=None if spread is None else spread[:, 0],
            offset=typed(fields["offset"], str | None, "offset"),
            report=built(Report, fields["report"], "report"),
        )

    def save(self, path: str, *, overwrite: bool = False) -> None:
        """Write the model as JSON to a folder, wherever Spark writes.

        Raises SpecError where something is there; with `overwrite`, where that is anything but a saved model.
        """
        save_text(self.to_json(), path, overwrite=overwrite)

    @staticmethod
    def load(path: str) -> "LogisticModel":
        """Read a model that `save` wrote; MissingInputError where nothing is, DataError where something else is."""
        text = load_text(path)
        try:
            return LogisticModel.from_json(text)
        except DataError as error:
            raise DataError(f"{path} holds no model: {error}") from error


def save_text(text: str, path: str, *, overwrite: bool = False) -> None:
    """Write a text through Spark, so that it lands where tables do; `overwrite` replaces such a text, nothing else."""
    if overwrite:
        check_replaceable(path)
    try:
        lines_of(text).write.mode("overwrite" if overwrite else "error").text(path)
    except Exception as error:
        if not isinstance(error, PySparkException) and not type(error).__module__.startswith("py4j."):
            raise
        if "PATH_ALREADY_EXISTS" in str(error):
            raise SpecError(
                f"a model is written where nothing is, and {path} exists: name another path, or pass overwrite=True"
            ) from error
        causes = re.findall(r"Exception: (.+)", str(error))
        reason = causes[-1] if causes else str(error)
        raise SpecError(f"a model must be written where Spark can write, got {path}: {reason}") from error


def check_replaceable(path: str) -> None:
    """Raise SpecError unless nothing but the one file of a saved text is at a path: the rest would be lost."""
    listing = active_session().read.format("binaryFile").option("recursiveFileLookup", True)
    try:
        found = [row["path"] for row in listing.load(path).select("path").limit(2).collect()]
    except PySparkException as error:
        if "PATH_NOT_FOUND" not in str(error):
            raise
        return
    strangers = [file for file in found if not SAVED.search(file)]
    if strangers or len(found) > 1:
        raise SpecError(
            f"overwrite replaces a saved model and nothing else, and {path} holds {(strangers or found)[-1]}: "
            "name another path"
        )


def lines_of(text: str) -> DataFrame:
    """A text as a table of its lines, which Spark writes as one file."""
    lines = [(line,) for line in text.splitlines()]
    return active_session().createDataFrame(lines, "value string").coalesce(1)


def load_text(path: str) -> str:
    """Read what `save_text` wrote."""
    try:
        lines = active_session().read.text(path, wholetext=True).collect()
    except PySparkException as error:
        if "PATH_NOT_FOUND" not in str(error):
            raise
        raise MissingInputError(
            f"a model is read from where it was saved, and nothing is at {path}: check the path"
        ) from error
    return "\n".join(row["value"] for row in lines)


def check_new_columns(df: DataFrame, names: Mapping[str, str]) -> None:
    """Raise SpecError unless columns that are to be added, by their role, have names that no other column has."""
    taken = {name.casefold() for name in df.columns}
    for role, name in names.items():
        if not isinstance(name, str) or not name:
            raise SpecError(f"{role} must be the name of a new column, got {name!r}")
        if name.casefold() in taken:
            raise SpecError(
                f"new columns must have new names, got {role}={name!r}, which is in the table to score already: give "
                f"it another name, as in {role}={name + '_of_model'!r}"
            )
    if len({name.casefold() for name in names.values()}) < len(names):
        raise SpecError(f"new columns must have names of their own, got {list(names.values())}")


def check_model(model: LogisticModel) -> None:
    """Raise DataError unless the parts of a model fit together, and its coefficients are numbers."""
    classes, names = model.classes, model.feature_names
    for label in classes:
        if not isinstance(label, (bool, int, float, str)) or label != label:
            raise DataError(f"classes must be numbers, booleans or strings, got {label!r}")
    for what, values in (("classes", classes), ("features", names)):
        if len(set(values)) < len(values):
            raise DataError(f"{what} must be distinct, got {list(values)}")
    if len(classes) < 2:
        raise DataError(f"a model must have two classes or more, got {list(classes)}")
    logits = (1, 2) if len(classes) == 2 else (len(classes),)
    if len(model.coefficients) not in logits or (model.offset is not None and len(model.coefficients) > 1):
        raise DataError(
            f"a model of {len(classes)} classes must have {' or '.join(map(str, logits))} rows of coefficients "
            f"(with an offset 1), got {len(model.coefficients)}"
        )
    if not isinstance(model.features, str) and model.features != names:
        raise DataError(f"coefficients must be those of the columns {list(model.features)}, got {list(names)}")
    if not names:
        raise DataError("a model must have a feature or more, got none")
    numbers = np.column_stack([model.coefficients, model.intercepts])
    if numbers.shape != (len(model.coefficients), len(names) + 1):
        raise DataError(f"each logit must have {len(names)} coefficients, got {model.coefficients.shape[-1]}")
    if not np.isfinite(numbers).all():
        row, place = np.argwhere(~np.isfinite(numbers))[0]
        raise DataError(
            f"coefficients must be finite, got {numbers[row, place]} for {(*names, 'the intercept')[place]!r}"
        )
    if model.report.status not in ENDS:
        raise DataError(f"a fit's status must be one of {', '.join(ENDS)}, got {model.report.status!r}")


ENDS = {
    "gradient": "converged",
    "objective": "converged: no step changes the objective by more than rounding",
    "validation": "stopped: the loss on the validation rows had been smaller before",
    "max_iter": "NOT converged: max_iter was reached",
    "line_search": "NOT converged: no step along the last direction made the objective smaller",
    "separated": "NOT converged: the classes are separated, the loss has no minimum",
}
"""What ended a fit, in words."""


def remarks(report: Report) -> list[str]:
    """How the fit ended, and what a reader must know of it."""
    lines = [
        f"{ENDS[report.status]} ({report.solver}, {counted(report.iterations, 'iteration')}, {report.passes} passes, "
        f"gradient {report.gradient_norm:.1e})"
    ]
    if report.validation_loss is not None:
        lines.append(
            f"the model is that of iteration {report.best_iteration}, with the least log loss on "
            f"{counted(report.held, 'validation row')}: {report.validation_loss:.6g} nats"
        )
    if report.status in ("validation", "max_iter", "line_search"):
        lines.append("no standard errors, which are those of an optimum")
    if report.separation is not None:
        rows = "every row" if report.separation == "complete" else "some rows"
        lines.append(
            f"these columns tell the class of {rows} for certain, and their coefficients grow without bound: "
            f"{shortened(report.separating)}"
        )
    if report.collinear:
        lines.append(
            f"collinear, so that not each of their coefficients is determined (the solution of least norm is given): "
            f"{shortened(report.collinear)}"
        )
    if report.invalid:
        reasons = ", ".join(f"{reason} {count:,}" for reason, count in report.invalid.items())
        lines.append(f"rows left out: {reasons}")
    if report.streamed:
        lines.append("each pass read the table again: no blocks could be kept")
    return lines


def shortened(names: Sequence[str], most: int = 12) -> str:
    """The first of many names."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(map(visible, names[:most])) + more


def number(value: Any) -> float | None:
    """A number for JSON, which has no NaN."""
    return None if value is None or math.isnan(value) else float(value)


def probability_column(logit: Column) -> Column:
    """The probability of a logit: e^z / (1 + e^z), without overflow."""
    odds = F.exp(-F.abs(logit))
    return F.when(logit >= 0, 1 / (1 + odds)).otherwise(odds / (1 + odds))


def named_plainly(df: DataFrame, training: Training) -> tuple[DataFrame, Fields]:
    """Return a table and the columns of a model in it.

    The table stays as it is where its own names tell them, so that `df["x"]` is a column of the result, too. Where a
    name is there twice, or is a path, columns have the names of `by_place`.
    """
    find = finder(df, endless=True)
    names = {"feature": training.feature_columns, "offset": (training.offset,) if training.offset else ()}
    fields = {name: find(role, name) for role, of_role in names.items() for name in of_role}
    known = [name.casefold() for name in df.columns]
    if any(known.count(name.casefold()) != 1 for name in fields):
        return by_place(df), fields
    return df, {name: dataclasses.replace(found, column=quoted(name)) for name, found in fields.items()}


def score_column(fields: Fields, training: Training, model: LogisticModel) -> Column:
    """The logit of each row, or for several classes an array of them."""
    layout = layout_of(fields, training)
    form = FeatureForm(layout, len(model.feature_names), len(model.feature_names) > 1000)
    names = [f"feature_{place}" for place in range(form.width)] if layout == "columns" else ["features"]
    columns = feature_columns(fields, training, layout)
    coefficients, intercepts = model.coefficients, model.intercepts
    if len(model.classes) == 2 and len(coefficients) == 2:
        # A multinomial model of two classes has two logits; that of the second class alone is their difference.
        coefficients, intercepts = np.diff(coefficients, axis=0), np.diff(intercepts)
    type_ = "double" if len(coefficients) == 1 else "array<double>"
    scored = partial(scores, names=tuple(names), form=form, coefficients=coefficients, intercepts=intercepts)
    score = vectorised(scored, type_)(*columns)
    return score if model.offset is None else score + fields[model.offset].column.cast("double")


def scores(
    *columns: pa.Array, names: tuple[str, ...], form: FeatureForm, coefficients: Array, intercepts: Array
) -> pa.Array:
    """The logits of an Arrow batch; null where the features cannot be used."""
    x, codes = features(pa.RecordBatch.from_arrays(list(columns), names=list(names)), form)
    with np.errstate(all="ignore"):
        if len(coefficients) == 1:
            return pa.array(times(x, coefficients[0]) + intercepts[0], mask=codes != 0)
        z = times(x, coefficients.T) + intercepts
    lists = pa.ListArray.from_arrays(
        np.arange(0, z.size + 1, z.shape[1], dtype=np.int32), pa.array(z.ravel()), mask=pa.array(codes != 0)
    )
    return lists


def softmax_of(logits: pa.Array) -> pa.Array:
    """Probabilities of arrays of logits."""
    filled = logits.drop_null()
    if not len(filled):
        return logits
    z = filled.flatten().to_numpy(zero_copy_only=False).reshape(len(filled), -1)
    p = multinomial_terms(z, np.zeros(len(z)))[2]
    whole = np.zeros((len(logits), z.shape[1]))
    null = logits.is_null().to_numpy(zero_copy_only=False)
    whole[~null] = p
    return pa.ListArray.from_arrays(
        np.arange(0, whole.size + 1, whole.shape[1], dtype=np.int32), pa.array(whole.ravel()), mask=pa.array(null)
    )
