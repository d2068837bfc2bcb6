"""The columns that a fit names, found in a table's schema and brought to what workers read.

After this floor there are only these names: `label` (the class 0..K-1, or below 0 why there is none), `features` or
`feature_0` ..., `weight`, `offset` and `held`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import partial

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import (
    ArrayType,
    BooleanType,
    DoubleType,
    FloatType,
    NullType,
    StringType,
    UserDefinedType,
)

from logloss_spark.errors import DataError, SpecError
from logloss_spark.fit.batches import FeatureForm, Layout, statuses
from logloss_spark.fit.spec import Training
from logloss_spark.rows.columns import Found, by_place, finder, place_name
from logloss_spark.rows.inputs import class_index, dense, is_number, plain_label
from logloss_spark.scoring import Label
from logloss_spark.workers.columns import vectorised

MOST_CLASSES = 1000
"""A label with more values than this is taken for a number that was meant to be something else."""

INNER = "training"
"""The struct of a fit's own columns, beside the row that they come from."""

ROW_STATUS = "row_status"
"""The column that says why a row cannot be fitted on."""

Fields = Mapping[str, Found]
"""The columns that have roles, by the names that they were given."""

LABEL_STATUS = {"null_label": -1, "nan_label": -2, "unknown_label": -3}
"""What stands in the place of a class that cannot be had."""


@dataclass(frozen=True)
class TrainingTable:
    """A training table under its own few names. `form` says how features come, `names` are those of the features."""

    table: DataFrame
    classes: tuple[Label, ...]
    form: FeatureForm
    names: tuple[str, ...]


def training_table(df: DataFrame, training: Training) -> TrainingTable:
    """Find a fit's columns in a table.

    Raises
    ------
    SpecError
        A column that is not there, or of a type that its role cannot have.
    DataError
        A table whose label has one class or none.
    """
    fields = fields_of(df, training)
    for role in ("weight", "offset"):
        name = getattr(training, role)
        if name is not None and not is_number(fields[name].type):
            raise SpecError(f"{role} column {name!r} must hold numbers, not {fields[name].type.simpleString()}")
    if training.validation is not None and not isinstance(fields[training.validation].type, BooleanType):
        came = fields[training.validation].type.simpleString()
        raise SpecError(
            f"validation column {training.validation!r} must be boolean, true for rows to hold out, not {came}"
        )

    placed = by_place(df)
    layout, names, sparse = feature_names(placed, fields, training)
    classes = classes_of(df, training)
    if training.offset is not None and len(classes) > 2:
        raise SpecError(f"an offset is added to the one logit of two classes, and there are {len(classes)}")
    table = placed.select(*training_columns(placed, fields, training, classes, layout))
    return TrainingTable(table, classes, FeatureForm(layout, len(names), sparse), names)


def fields_of(df: DataFrame, training: Training) -> Fields:
    """Return the columns of all roles by their names, as columns of the table `by_place`."""
    find = finder(df)
    roles = {role: getattr(training, role) for role in ("label", "weight", "offset", "validation")}
    features = {name: find("feature", name) for name in training.feature_columns}
    return features | {name: find(role, name) for role, name in roles.items() if name is not None}


def training_columns(
    placed: DataFrame, fields: Fields, training: Training, classes: tuple[Label, ...], layout: Layout
) -> list[Column]:
    """The columns of a fit under their few names."""
    weight = fields[training.weight].column.cast("double") if training.weight is not None else None
    code = class_code(fields[training.label], training.label, classes)
    if training.class_weight is not None:
        weight = weighted_by_class(placed, training, classes, code, weight)
    offset = [fields[training.offset].column.cast("double").alias("offset")] if training.offset is not None else []
    return [
        code.alias("label"),
        *feature_columns(fields, training, layout),
        *([weight.alias("weight")] if weight is not None else []),
        *offset,
        *([F.coalesce(fields[training.validation].column, F.lit(False)).alias("held")] if training.validation else []),
    ]


def invalid_rows(df: DataFrame, training: Training, table: TrainingTable) -> DataFrame:
    """Return the rows that cannot be fitted on as they came, with the reason in `row_status`; lazy, a read of its own.

    A `row_status` that rows bring along, from an earlier run, gives way to the new one.
    """
    columns = {name: F.col(f"`{INNER}`.`{name}`") for name in table.table.columns}
    judged = partial(statuses, names=tuple(columns), form=table.form)
    kept = [place for place, name in enumerate(df.columns) if name.casefold() != ROW_STATUS]
    placed = by_place(df)
    whole = placed.select(
        *[place_name(place) for place in kept],
        F.struct(*training_columns(placed, fields_of(df, training), training, table.classes, table.form.layout)).alias(
            INNER
        ),
    )
    marked = whole.withColumn(ROW_STATUS, vectorised(judged, "string")(*columns.values()))
    found = marked.where(F.col(ROW_STATUS) != "ok").select(*[place_name(place) for place in kept], ROW_STATUS)
    return found.toDF(*[df.columns[place] for place in kept], ROW_STATUS)


def layout_of(fields: Fields, training: Training) -> Layout:
    """How the features come."""
    if isinstance(training.features, str):
        type_ = fields[training.features].type
        if isinstance(type_, UserDefinedType) and type_.simpleString() == "vector":
            return "vector"
        if isinstance(type_, ArrayType) and is_number(type_.elementType):
            return "array"
    for name in training.feature_columns:
        type_ = fields[name].type
        if not is_number(type_) and not isinstance(type_, BooleanType):
            raise SpecError(
                f"feature column {name!r} must hold numbers or booleans (a column alone also vectors or arrays), "
                f"not {type_.simpleString()}"
            )
    return "columns"


def feature_columns(fields: Fields, training: Training, layout: Layout) -> list[Column]:
    """The features as workers read them: numbers, an array of them, or what a vector is made of."""
    columns = [fields[name].column for name in training.feature_columns]
    if layout == "columns":
        return [column.cast("double").alias(f"feature_{place}") for place, column in enumerate(columns)]
    (column,), (name,) = columns, training.feature_columns
    if layout == "vector":
        return [vector_parts(column).alias("features")]
    of_vectors = isinstance(fields[name].type, UserDefinedType)
    return [(dense(F.unwrap_udt(column)) if of_vectors else column.cast("array<double>")).alias("features")]


def vector_parts(column: Column) -> Column:
    """What an ML vector is made of; without a type where it is null.

    A dense vector has null for its indices, and Spark 4.3 writes a null array to Arrow in six microseconds: ten times
    what it takes to write thirty numbers.
    """
    vector = F.unwrap_udt(column)
    nothing = F.array().cast("array<int>")
    return F.struct(
        vector["type"].alias("type"),
        vector["size"].alias("size"),
        F.coalesce(vector["indices"], nothing).alias("indices"),
        F.coalesce(vector["values"], F.array().cast("array<double>")).alias("values"),
    )


def feature_names(placed: DataFrame, fields: Fields, training: Training) -> tuple[Layout, tuple[str, ...], bool]:
    """How features are read, their names, and whether to keep rows compressed: the first rows tell.

    Vectors that are dense are read as arrays, and a sparse one among them is filled up.
    """
    layout = layout_of(fields, training)
    if layout == "columns":
        return layout, training.feature_columns, False
    (column,) = training.feature_columns
    (features,) = feature_columns(fields, training, layout)
    is_vector = layout == "vector"
    stored = F.size(features["values"] if is_vector else features)
    width = F.when(features["type"] == 0, features["size"]).otherwise(stored) if is_vector else stored
    first = (
        placed.where(fields[column].column.isNotNull()).select(width.alias("width"), stored.alias("stored")).head(100)
    )
    if not first:
        raise DataError(f"feature column {column!r} holds nothing but nulls, or the table is empty: nothing to fit on")
    size = first[0]["width"]
    if not size:
        raise DataError(f"feature column {column!r} must hold features, and its first row has none")
    filled = all(row["stored"] == row["width"] for row in first)
    sparse = 8 * sum(row["stored"] for row in first) < size * len(first)
    return "array" if filled else layout, declared_names(fields[column], column, size), sparse


def declared_names(found: Found, column: str, width: int) -> tuple[str, ...]:
    """The names that ML wrote into a vector's metadata, else `features_0`, `features_1`, ..."""
    attributes = found.metadata.get("ml_attr", {}).get("attrs", {})
    named = {entry["idx"]: entry["name"] for group in attributes.values() for entry in group if "name" in entry}
    names = tuple(named.get(place, f"{column}_{place}") for place in range(width))
    return names if len(set(names)) == width else tuple(f"{column}_{place}" for place in range(width))


def classes_of(df: DataFrame, training: Training) -> tuple[Label, ...]:
    """The classes as given, or those that the label column holds, in order.

    Raises SpecError where the column is absent or of a type that no class has, DataError where there is one class only,
    or there are too many to be classes.
    """
    label = finder(df)("label", training.label)
    type_ = label.type
    if not is_number(type_) and not isinstance(type_, (BooleanType, StringType, NullType)):
        raise SpecError(
            f"label column {training.label!r} must hold numbers, booleans or strings, got {type_.simpleString()}: "
            "cast it to string"
        )
    if training.classes is not None:
        classes = tuple(map(plain_label, training.classes))
    else:
        labels = by_place(df).select(label.column.alias("label")).where("label IS NOT NULL")
        found = labels.distinct().limit(MOST_CLASSES + 1).collect()
        held = [row["label"] for row in found if row["label"] == row["label"]]  # NaN is not itself
        values = {plain_label(value) for value in held}
        if len(values) > MOST_CLASSES:
            raise DataError(f"label column {training.label!r} has more than {MOST_CLASSES} values: give it classes")
        for value in held:
            if isinstance(value, Decimal) and Decimal(str(plain_label(value))) != value:
                raise DataError(
                    f"a class that is a number must be one that a double can hold, got {value} in label column "
                    f"{training.label!r}: cast the column to string"
                )
        classes = tuple(sorted(values, key=lambda value: (isinstance(value, str), value)))
    if len(classes) < 2:
        only = f"only {classes[0]!r}" if classes else "no label"
        raise DataError(f"a fit needs rows of two classes or more, and label column {training.label!r} holds {only}")
    if training.family == "binomial" and len(classes) > 2:
        raise DataError(f"the binomial family has two classes, and label column {training.label!r} has {len(classes)}")
    return classes


def class_code(found: Found, name: str, classes: tuple[Label, ...]) -> Column:
    """The class of a label, 0..K-1, or what stands for the reason why it has none."""
    label = found.column
    code = F.when(label.isNull(), LABEL_STATUS["null_label"])
    if isinstance(found.type, (FloatType, DoubleType)):
        code = code.when(F.isnan(label), LABEL_STATUS["nan_label"])
    index = class_index(found.type, name, classes, label)
    return code.otherwise(F.coalesce(index, F.lit(LABEL_STATUS["unknown_label"]))).cast("double")


def weighted_by_class(
    placed: DataFrame, training: Training, classes: tuple[Label, ...], code: Column, weight: Column | None
) -> Column:
    """The weight of a row times its class's factor."""
    own = F.lit(1.0) if weight is None else weight
    if training.class_weight == "balanced":
        rows = placed.select(code.alias("code"), own.alias("weight")).where(
            "code >= 0 AND weight > 0 AND NOT isnan(weight)"
        )
        total = {int(row["code"]): row["w"] for row in rows.groupBy("code").agg(F.sum("weight").alias("w")).collect()}
        factors = {place: sum(total.values()) / (len(total) * w) for place, w in total.items()}
    else:
        assert isinstance(training.class_weight, Mapping)
        factors = dict.fromkeys(range(len(classes)), 1.0)
        factors |= {class_named(key, classes): float(factor) for key, factor in training.class_weight.items()}
    factor = F.lit(1.0)
    for place, value in factors.items():
        factor = F.when(code == place, F.lit(value)).otherwise(factor)
    return own * factor


def class_named(key: Label, classes: tuple[Label, ...]) -> int:
    """Return the place of the class that a key of `class_weight` is, or spells: the keys of a config are strings."""
    for named in (plain_label(key), key):
        if named in classes:
            return classes.index(named)
    spelled = [str(label) for label in classes]
    if key in spelled:
        return spelled.index(str(key))
    raise SpecError(f"class_weight has {key!r}, which is none of the classes {list(classes)}")
