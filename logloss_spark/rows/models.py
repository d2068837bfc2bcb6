"""Rows that several models forecast; and pairs of a row and a challenger, with both losses and the divergences.

A table is wide, with a column (or a column per class) for each model, or long, with a row for each model and key.
Either becomes `Rows` whose table has `prediction_0`, `prediction_1`, …, the baseline's first.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial, reduce
from operator import and_
from typing import get_args

from pyspark.sql import Column, DataFrame, Row
from pyspark.sql import functions as F

from logloss_spark.checks import distinct, named, one_of
from logloss_spark.errors import DataError, SpecError
from logloss_spark.kernels.divergence import binary_kl, kl, kl_from_logits
from logloss_spark.kernels.sums import Array
from logloss_spark.roles import Columns, Roles, one_name_or_many
from logloss_spark.rows.arrow import row_losses
from logloss_spark.rows.columns import Find, finder, with_index_names
from logloss_spark.rows.engines import Engine
from logloss_spark.rows.form import Form, fields_of
from logloss_spark.rows.inputs import ComparedRows, Rows, check_logits, forecast, rows_of, score_of
from logloss_spark.rows.terms import MOST_PARTITIONS, role_columns, with_loss
from logloss_spark.scoring import Scoring
from logloss_spark.wording import listed
from logloss_spark.workers.columns import vectorised

FOUND_MODELS = 32
"""The most models that are taken from a long table without being named: each becomes a column and a comparison."""


@dataclass(frozen=True, kw_only=True)
class Models:
    """Which models are compared, and where their forecasts are.

    Parameters
    ----------
    baseline : str
        The model that all others are compared with.
    predictions : mapping from str to str or sequence of str
        For a wide table: the column of each model's forecast, or one column per class.
    prediction : str or sequence of str, optional
        For a long table: the column of forecasts, or one column per class.
    model : str, optional
        For a long table: the column that names the model.
    keys : str or sequence of str
        For a long table: the columns that identify what was forecast.
    models : sequence of str, optional
        For a long table: the models to compare, by default all in the table.
    rows : "all" or "shared"
        Whether to compare on the rows that all models score, or each challenger on the rows that it and the baseline
        score.

    Raises
    ------
    SpecError
        An argument has an invalid value, or two arguments contradict each other.
    """

    baseline: str
    predictions: Mapping[str, Columns] = field(default_factory=dict)
    prediction: Columns | None = None
    model: str | None = None
    keys: str | Sequence[str] = ()
    models: Sequence[str] | None = None
    rows: ComparedRows = "all"

    def __post_init__(self) -> None:
        columns = {model: one_name_or_many("a prediction", column) for model, column in self.predictions.items()}
        object.__setattr__(self, "predictions", columns)
        object.__setattr__(self, "keys", (self.keys,) if isinstance(self.keys, str) else named("keys", self.keys))
        if self.prediction is not None:
            object.__setattr__(self, "prediction", one_name_or_many("prediction", self.prediction))
        if self.models is not None:
            object.__setattr__(self, "models", named("models", self.models))
        one_of("rows", self.rows, get_args(ComparedRows))
        strangers = [model for model in (self.baseline, *self.predictions) if not isinstance(model, str)]
        if strangers:
            raise SpecError(f"the name of a model must be a string, got {strangers[0]!r}")
        of_long_table = {name: bool(getattr(self, name)) for name in ("prediction", "model", "keys")}
        if bool(self.predictions) == any(of_long_table.values()) or (self.predictions and self.models):
            raise SpecError(
                "models must be given by predictions, a column for each, or in a long table by prediction, model and "
                f"keys, got {'both' if self.predictions else 'neither'}"
            )
        if self.predictions:
            self.ordered(tuple(self.predictions))
            return
        missing = [name for name, given in of_long_table.items() if not given]
        if missing:
            raise SpecError(f"a long table needs prediction, model and keys, got no {missing[0]}")
        distinct("keys", self.keys)
        if self.models is not None:
            distinct("models", self.models)
            self.ordered(self.models)

    @property
    def of_baseline(self) -> Columns:
        """The column of the baseline's forecasts; in a long table, of all forecasts."""
        return self.predictions[self.baseline] if self.prediction is None else self.prediction

    def ordered(self, models: Sequence[str]) -> tuple[str, ...]:
        """The baseline, then the others sorted by name, so that comparisons of the same models can be merged.

        Raises SpecError if the baseline is none of the models, or the only one.
        """
        one_of("baseline", self.baseline, models)
        if len(models) < 2:
            raise SpecError(f"baseline must be compared with other models, got {self.baseline!r} alone")
        return (self.baseline, *sorted(model for model in models if model != self.baseline))


def compared_rows(df: DataFrame, roles: Roles, scoring: Scoring, given: Models, *, engine: Engine) -> Rows:
    """Make a wide or a long table ready, with one column of predictions for each model.

    A long table is read right away: to find its models unless they are named, and to check that its keys are unique.
    """
    if given.model is None:
        models = given.ordered(tuple(given.predictions))
        of_models = {name: replace(roles, prediction=given.predictions[name]) for name in models}
        return replace(wide_rows(df, of_models, scoring, engine=engine), compared_on=given.rows)
    if given.models:
        check_models(df, given.model, given.models)
    models = given.ordered(given.models or models_in(df, given.model))
    return long_rows(df, roles, scoring, replace(given, models=models), engine=engine)


def wide_rows(df: DataFrame, roles: Mapping[str, Roles], scoring: Scoring, *, engine: Engine) -> Rows:
    """Make a wide table ready, from the roles that its columns have for each model, the baseline first.

    Raises
    ------
    SpecError
        As `rows_of` does; or models do not forecast the same classes in the same form.
    """
    baseline, *challengers = roles
    rows = {model: rows_of(df, of_model, scoring, engine=engine) for model, of_model in roles.items()}
    for model, of_model in rows.items():
        check_logits(of_model, f" of {model!r}")
    for model in challengers:
        check_same_form(baseline, rows[baseline].form, model, rows[model].form)

    def predictions(find: Find) -> dict[str, Column]:
        classes = rows[baseline].form.classes
        return {
            f"prediction_{place}": forecast(fields_of(find, of_model), of_model.prediction, scoring, classes)
            for place, of_model in enumerate(roles.values())
        }

    ready = rows_of(df, roles[baseline], scoring, engine=engine, beside=predictions)
    return replace(ready, models=tuple(roles), predictions=tuple(of_model.prediction for of_model in roles.values()))


def check_same_form(baseline: str, form: Form, challenger: str, other: Form) -> None:
    """Raise SpecError unless two models forecast the same classes in the same form."""
    if other.scalar != form.scalar:
        raise SpecError(
            "models that are compared must forecast in the same form, got "
            f"{given_per_row(form)} from {baseline!r} and {given_per_row(other)} from {challenger!r}"
        )
    if other.size != form.size:
        raise SpecError(
            f"models that are compared must forecast the same classes, got {form.size} from {baseline!r} and "
            f"{other.size} from {challenger!r}: arrays are taken to have 2 unless classes names more"
        )


def given_per_row(form: Form) -> str:
    """The form of a forecast, in words."""
    return "a number" if form.scalar else "one number per class"


def forecast_lengths(rows: Rows) -> dict[str, int]:
    """Read how many entries each model's forecast has, off some row that all forecast; {} if forecasts are numbers."""
    if rows.form.scalar:
        return {}
    sizes = [F.size(f"prediction_{place}") for place in range(len(rows.models))]
    found = rows.table.select(*[size.alias(str(place)) for place, size in enumerate(sizes)]).dropna().first()
    return {} if found is None else dict(zip(rows.models, found, strict=True))


def long_rows(df: DataFrame, roles: Roles, scoring: Scoring, given: Models, *, engine: Engine) -> Rows:
    """Make a long table ready whose models are known: the rows of a key become one row.

    Checks the keys right away, in a pass of its own.

    Raises
    ------
    SpecError
        As `rows_of` does.
    DataError
        A key has several rows of one model, or its rows differ in label, weight, cluster or slice; or there is no key
        on which models can be compared.
    """
    models = given.models or ()

    def keyed(find: Find) -> dict[str, Column]:
        key = F.struct(*[find("key", name).column.alias(name) for name in given.keys])
        return {"model": find("model", str(given.model)).column.cast("string"), "key": key}

    rows = rows_of(df, roles, scoring, engine=engine, beside=keyed)
    facts = F.struct(*[name for name in rows.table.columns if name not in ("model", "key", "prediction")])
    of_model = {name: F.col("model") == name for name in models}
    for name in models:
        check_logits(replace(rows, table=rows.table.where(of_model[name])), f" of {name!r}")
    by_key = (
        rows.table.where(F.col("model").isin(*models))
        .groupBy("key")
        .agg(
            F.greatest(*map(F.count_if, of_model.values())).alias("copies"),
            F.min(facts).alias("facts"),
            F.min(facts).eqNullSafe(F.max(facts)).alias("agreed"),
            *[
                F.first(F.when(of_this, F.col("prediction")), ignorenulls=True).alias(f"prediction_{place}")
                for place, of_this in enumerate(of_model.values())
            ],
        )
    )
    check_keys(by_key, models, given.rows)
    predictions = [f"prediction_{place}" for place in range(len(models))]
    # The shuffle by key lies between the scan of the vectors and Python.
    table = by_key.select("facts.*", *predictions)
    form = replace(rows.form, has_vectors=False)
    return replace(rows, table=table, form=form, models=tuple(models), predictions=(), compared_on=given.rows)


def check_models(df: DataFrame, model: str, models: Sequence[str]) -> None:
    """Raise SpecError if a long table has no row of some model. Reads the table."""
    named = model_column(df, model)
    found = {row.model for row in named.where(F.col("model").isin(*models)).distinct().collect()}
    absent = [model for model in models if model not in found]
    if absent:
        raise SpecError(
            f"models must be values of column {model!r}, got {absent[0]!r}, which it does not hold: leave it out"
        )


def models_in(df: DataFrame, model: str) -> tuple[str, ...]:
    """Read the models of a long table, sorted by name; raise SpecError if there are more than `FOUND_MODELS`."""
    found = model_column(df, model).distinct().limit(FOUND_MODELS + 1).collect()
    if len(found) > FOUND_MODELS:
        raise SpecError(
            f"column {model!r} must hold {FOUND_MODELS} models at most, got more: name those to compare in models"
        )
    if any(row.model is None for row in found):
        raise DataError(
            f"every row of a long table must name its model, got null in column {model!r}: leave such rows out"
        )
    return tuple(sorted(row.model for row in found))


def model_column(df: DataFrame, model: str) -> DataFrame:
    """The column of a long table that names the model, as text and called `model`."""
    return with_index_names(df).select(finder(df)("model", model).column.cast("string").alias("model"))


def check_keys(by_key: DataFrame, models: Sequence[str], on: ComparedRows) -> None:
    """Raise DataError if a key has several rows of a model, or rows that differ, or if models share no keys.

    All models must share some keys, or with rows="shared" some challenger and the baseline.
    """
    forecast = [F.col(f"prediction_{place}").isNotNull() for place in range(len(models))]
    shared = {model: forecast[0] & by_model for model, by_model in zip(models[1:], forecast[1:], strict=True)}
    bad = {"repeated": F.col("copies") > 1, "differing": (F.col("copies") == 1) & ~F.col("agreed")}
    found = by_key.agg(
        F.count(F.lit(1)).alias("keys"),
        *[F.count_if(condition).alias(name) for name, condition in bad.items()],
        *[F.min(F.when(condition, F.col("key"))).alias(f"{name}_key") for name, condition in bad.items()],
        F.count_if(reduce(and_, forecast)).alias("of_all"),
        *[F.count_if(both).alias(f"shared_{place}") for place, both in enumerate(shared.values())],
    ).first()
    assert found is not None
    if found.repeated:
        raise DataError(
            f"a key must have one row of each model, got several for {found.repeated:,} of {found['keys']:,} keys, "
            f"such as {in_words(found.repeated_key)}: add columns to keys, or leave rows out"
        )
    if found.differing:
        raise DataError(
            "the rows of a key must have the same label, weight, cluster and slices, got different ones for "
            f"{found.differing:,} of {found['keys']:,} keys, such as {in_words(found.differing_key)}"
        )
    counts = {model: found[f"shared_{place}"] for place, model in enumerate(shared)}
    if found["keys"] and not any(counts.values()):
        raise DataError(
            f"a challenger must share keys with the baseline, on which they are compared, and in none of "
            f"{found['keys']:,} keys does a challenger share a forecast with {models[0]!r}: choose keys whose values "
            "the models share"
        )
    if on == "all" and found["keys"] and not found.of_all:
        raise DataError(
            f"models are compared on the keys that all of them forecast, and none of {found['keys']:,} keys has a "
            f"forecast of all {len(models)}; keys shared with {models[0]!r}: {listed(counts)}. Give rows='shared' to "
            "compare each with the baseline on the keys that they share, or name in models those that share keys"
        )


def in_words(key: Row) -> str:
    """A key as text, with the names of its columns."""
    return ", ".join(f"{name} = {value}" for name, value in key.asDict().items())


def scored_pairs(rows: Rows) -> DataFrame:
    """The pairs of each row with each challenger: the row's columns besides its forecasts, and those of the pair.

    `challenger` is the index of the model, from 1. `status` is the first that is not ok, in the order of models: among
    all models, or with rows="shared" between the baseline and the challenger. `kl` is KL(baseline ‖ challenger). It and
    `kl_reverse` are computed in Python, whichever engine computes `baseline_loss` and `loss`.
    """
    # As in `with_loss`, but once, and for both engines: a step between two Python functions would hand rows over twice.
    table = rows.table.coalesce(MOST_PARTITIONS) if rows.form.has_vectors else rows.table
    form = replace(rows.form, has_vectors=False)
    table = table.withColumn("given_label", F.col("label"))
    for place in range(len(rows.models)):
        of_place = {"prediction": F.col(f"prediction_{place}"), "label": F.col("given_label")}
        of_model = replace(rows, table=table.withColumns(of_place), form=form)
        table = with_loss(of_model).withColumnsRenamed({"status": f"status_{place}", "loss": f"loss_{place}"})
    challengers = range(1, len(rows.models))
    divergences = {}
    for place in challengers:
        baseline, challenger = "prediction_0", f"prediction_{place}"
        divergences[f"kl_{place}"] = divergence(rows, baseline, challenger)
        divergences[f"kl_reverse_{place}"] = divergence(rows, challenger, baseline)
    pairs = [
        F.struct(
            F.lit(place).alias("challenger"),
            first_reason([0, place] if rows.compared_on == "shared" else range(len(rows.models))).alias("status"),
            F.col("loss_0").alias("baseline_loss"),
            *[F.col(f"{name}_{place}").alias(name) for name in ("loss", "kl", "kl_reverse")],
        )
        for place in challengers
    ]
    kept = [*rows.slices, *role_columns(form), *([] if form.soft_labels else ["index"])]
    return table.withColumns(divergences).select(*kept, F.inline(F.array(*pairs)))


def first_reason(models: Iterable[int]) -> Column:
    """The first status of these models that is not ok, in their order; ok if all are."""
    return F.coalesce(*[F.nullif(F.col(f"status_{place}"), F.lit(0)) for place in models], F.lit(0))


def divergence(rows: Rows, reference: str, other: str) -> Column:
    """KL(reference ‖ other) of two columns of forecasts, in nats."""
    scores = [score_of(rows, F.col(name)) for name in (reference, other)]
    return vectorised(partial(row_losses, divergence_kernel(rows), rows.form.size), "double")(*scores)


def divergence_kernel(rows: Rows) -> Callable[[Array, Array], Array]:
    """The divergence of two forecasts of a row."""
    if rows.scoring.score == "logit":
        return kl_from_logits
    return binary_kl if rows.form.scalar else kl
