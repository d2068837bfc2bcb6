"""The columns that a fit names, found in a table's schema and brought to what workers read.

Below this room there are only these names: `label` (the class 0..K-1, or a negative number that says why there is
none), `features` or `feature_0`, `feature_1`, ..., `weight`, `offset` and `held`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import partial
from typing import Any, Literal

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
from logloss_spark.fit.batches import CODE, FeatureForm, training_statuses
from logloss_spark.fit.files import FileRows
from logloss_spark.fit.spec import Training
from logloss_spark.io.files import FileTable, files_of
from logloss_spark.rows.columns import FoundColumn, finder, index_name, with_index_names
from logloss_spark.rows.form import Fields, check_classes, is_number
from logloss_spark.rows.inputs import entries_of_vector
from logloss_spark.rows.labels import class_index
from logloss_spark.rows.status import ROW_STATUS
from logloss_spark.scoring import Label, plain_label
from logloss_spark.workers.columns import vectorised

MOST_CLASSES = 1000
"""A label column with more values than this probably holds numbers that are no classes."""

FIRST_ROWS = 100
"""Rows that are read to find how long vectors are, and whether they are sparse."""

INNER = "training"
"""The struct of a fit's own columns, beside the row that they come from."""

Layout = Literal["columns", "array", "vector"]


@dataclass(frozen=True)
class TrainingTable:
    """A training table, analysed: where a fit finds its columns, classes and features.

    Attributes
    ----------
    training : what the fit was asked for
    source : the table as it came
    columns : the fit's columns under their few names, as columns of `with_index_names(source)`
    classes : the K labels
    form : the form of the features
    names : the names of the features
    files : the rows as workers read them from files, or the reason why Spark reads the table
    """

    training: Training
    source: DataFrame
    columns: tuple[Column, ...]
    classes: tuple[Label, ...]
    form: FeatureForm
    names: tuple[str, ...]
    files: FileRows | str

    @property
    def table(self) -> DataFrame:
        """The table of the fit's own columns, lazy."""
        return with_index_names(self.source).select(*self.columns)


def training_table(df: DataFrame, training: Training, files: FileTable | str | None = None) -> TrainingTable:
    """Analyse a table: find the columns of a fit, the length of its vectors and, unless they are given, its classes.

    `files` are the table's files, or the reason why workers cannot read them; by default they are looked for.

    Raises
    ------
    SpecError
        A column is not in the table, or has a type that its role does not allow. Or workers are to read its files, and
        it is more than its files.
    DataError
        The label column holds fewer than two classes, or no row has features.
    """
    fields = training_fields(df, training)
    check_role_types(fields, training)
    placed = with_index_names(df)
    form, names, layout = find_features(placed, fields, training)
    classes = find_classes(placed, fields, training)
    if training.offset is not None and len(classes) > 2:
        raise SpecError(f"offset needs a model of two classes, whose one logit it is added to, got {len(classes)}")
    code = class_code(fields[training.label], training.label, classes)
    factors = find_factors(placed, fields, training, classes, code)
    columns = [
        code.alias("label"),
        *feature_columns(fields, training, layout),
        *other_columns(fields, training, code, factors),
    ]
    table = TrainingTable(training, df, tuple(columns), classes, form, names, "")
    rows = file_rows(files_to_read(df, training, files), fields, table, factors)
    if isinstance(rows, str) and training.engine == "arrow":
        raise SpecError(f"engine='arrow' reads the files of a table in the workers, and {rows}: leave engine out")
    return replace(table, files=rows)


def files_to_read(df: DataFrame, training: Training, files: FileTable | str | None) -> FileTable | str:
    """Return the files of a table, or the reason why Spark reads it."""
    if training.engine == "native":
        return "it was asked for"
    return files_of(df) if files is None else files


def file_rows(
    files: FileTable | str, fields: Fields, table: TrainingTable, factors: Mapping[int, float] | None
) -> FileRows | str:
    """Return the rows of a table as workers read them from its files, or the reason why Spark reads it."""
    training = table.training
    inside = next((name for name, field in fields.items() if field.name is None), None)
    if isinstance(files, str) or inside is not None:
        return files if isinstance(files, str) else f"{inside!r} is inside a column"
    names = {name: str(field.name) for name, field in fields.items()}
    return FileRows(
        table=files,
        label=names[training.label],
        features=tuple(names[name] for name in training.feature_columns),
        weight=names.get(training.weight or ""),
        offset=names.get(training.offset or ""),
        held=names.get(training.validation or ""),
        classes=table.classes,
        factors=None if factors is None else tuple(factors.get(index, 1.0) for index in range(len(table.classes))),
        form=table.form,
    )


def training_fields(df: DataFrame, training: Training) -> Fields:
    """The columns of all roles by their names, as columns of `with_index_names(df)`."""
    find = finder(df)
    roles = {role: getattr(training, role) for role in ("label", "weight", "offset", "validation")}
    features = {name: find("feature", name) for name in training.feature_columns}
    return features | {name: find(role, name) for role, name in roles.items() if name is not None}


def check_role_types(fields: Fields, training: Training) -> None:
    """Raise SpecError if a weight, an offset or the mark of validation rows has a type that its role does not allow."""
    for role in ("weight", "offset"):
        name = getattr(training, role)
        if name is not None and not is_number(fields[name].type):
            came = fields[name].type.simpleString()
            raise SpecError(f"{role} column {name!r} must hold numbers, got {came}: cast it, or leave {role} out")
    if training.validation is not None and not isinstance(fields[training.validation].type, BooleanType):
        came = fields[training.validation].type.simpleString()
        raise SpecError(
            f"validation column {training.validation!r} must be boolean, true for rows to hold out, got {came}"
        )


def other_columns(
    fields: Fields, training: Training, code: Column, factors: Mapping[int, float] | None
) -> list[Column]:
    """The columns of a fit besides its label and features: weight, offset and held, where there are any."""
    columns = []
    weight = own_weight(fields, training)
    if factors is not None:
        weight = weight * class_factor(code, factors)
    if training.weight is not None or factors is not None:
        columns.append(weight.alias("weight"))
    if training.offset is not None:
        columns.append(fields[training.offset].column.cast("double").alias("offset"))
    if training.validation is not None:
        columns.append(F.coalesce(fields[training.validation].column, F.lit(False)).alias("held"))
    return columns


def own_weight(fields: Fields, training: Training) -> Column:
    """The weight of a row before classes are weighted."""
    return F.lit(1.0) if training.weight is None else fields[training.weight].column.cast("double")


def invalid_training_rows(table: TrainingTable) -> DataFrame:
    """The rows of a table that cannot be fitted on, as they came, with the reason in `row_status`.

    The result is lazy, and reads the table when it is read. If the table has a `row_status`, from an earlier run, the
    new one replaces it.
    """
    df = table.source
    columns = {name: F.col(f"`{INNER}`.`{name}`") for name in table.table.columns}
    status = vectorised(partial(training_statuses, names=tuple(columns), form=table.form), "string", nulls=True)
    kept = [place for place, name in enumerate(df.columns) if name.casefold() != ROW_STATUS]
    whole = with_index_names(df).select(*[index_name(place) for place in kept], F.struct(*table.columns).alias(INNER))
    judged = whole.withColumn(ROW_STATUS, status(*columns.values()))
    invalid = judged.where(F.col(ROW_STATUS) != "ok").select(*[index_name(place) for place in kept], ROW_STATUS)
    return invalid.toDF(*[df.columns[place] for place in kept], ROW_STATUS)


def layout_of(fields: Fields, training: Training) -> Layout:
    """How the features are stored: in columns of numbers, in arrays, or in ML vectors."""
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
                f"got {type_.simpleString()}"
            )
    return "columns"


def feature_columns(fields: Fields, training: Training, layout: Layout) -> list[Column]:
    """The features as workers read them: numbers, an array of numbers, or the parts of a vector."""
    columns = [fields[name].column for name in training.feature_columns]
    if layout == "columns":
        return [column.cast("double").alias(f"feature_{place}") for place, column in enumerate(columns)]
    (column,), (name,) = columns, training.feature_columns
    if layout == "vector":
        return [vector_parts(column).alias("features")]
    of_vectors = isinstance(fields[name].type, UserDefinedType)
    return [(entries_of_vector(F.unwrap_udt(column)) if of_vectors else column.cast("array<double>")).alias("features")]


def vector_parts(column: Column) -> Column:
    """The parts of an ML vector as a struct, whose type is null if the vector is.

    The indices of a dense vector are null, and Spark 4.3 takes six microseconds to write a null array to Arrow, ten
    times what it takes to write thirty numbers. So they become an empty array.
    """
    vector = F.unwrap_udt(column)
    nothing = F.array().cast("array<int>")
    return F.struct(
        vector["type"].alias("type"),
        vector["size"].alias("size"),
        F.coalesce(vector["indices"], nothing).alias("indices"),
        F.coalesce(vector["values"], F.array().cast("array<double>")).alias("values"),
    )


def find_features(placed: DataFrame, fields: Fields, training: Training) -> tuple[FeatureForm, tuple[str, ...], Layout]:
    """Find the form of the features, their names and their layout; of arrays and vectors, the first rows are read.

    If all these vectors are dense they are read as arrays, and a sparse one that comes later is filled with zeros.
    """
    layout = layout_of(fields, training)
    if layout == "columns":
        return FeatureForm(len(training.feature_columns), sparse=False), training.feature_columns, layout
    (column,) = training.feature_columns
    (features,) = feature_columns(fields, training, layout)
    is_vector = layout == "vector"
    stored = F.size(features["values"] if is_vector else features)
    width = F.when(features["type"] == 0, features["size"]).otherwise(stored) if is_vector else stored
    rows = placed.where(fields[column].column.isNotNull())
    first = rows.select(width.alias("width"), stored.alias("stored")).head(FIRST_ROWS)
    if not first:
        raise DataError(f"feature column {column!r} must hold features, got nothing but nulls, or no rows")
    size = first[0]["width"]
    if not size:
        raise DataError(f"feature column {column!r} must hold features, got none in its first row")
    filled = all(row["stored"] == row["width"] for row in first)
    sparse = 8 * sum(row["stored"] for row in first) < size * len(first)
    names = declared_names(fields[column], column, size)
    return FeatureForm(size, sparse), names, "array" if filled else layout


def declared_names(field: FoundColumn, column: str, width: int) -> tuple[str, ...]:
    """The names of features from a vector's ML metadata, or else `features_0`, `features_1`, ..."""
    attributes = field.metadata.get("ml_attr", {}).get("attrs", {})
    named = {entry["idx"]: entry["name"] for group in attributes.values() for entry in group if "name" in entry}
    names = tuple(named.get(place, f"{column}_{place}") for place in range(width))
    return names if len(set(names)) == width else tuple(f"{column}_{place}" for place in range(width))


def find_classes(placed: DataFrame, fields: Fields, training: Training) -> tuple[Label, ...]:
    """Return the classes that were given, or else read those that the label column holds, and sort them.

    Raises
    ------
    SpecError
        The label column has a type that no class has.
    DataError
        It holds fewer than two classes, or too many, or the family is binomial and it holds more than two.
    """
    name = training.label
    type_ = fields[name].type
    if not is_number(type_) and not isinstance(type_, (BooleanType, StringType, NullType)):
        raise SpecError(
            f"label column {name!r} must hold numbers, booleans or strings, got {type_.simpleString()}: "
            "cast it to string"
        )
    if training.classes is not None:
        classes = tuple(map(plain_label, training.classes))
    else:
        classes = read_classes(placed, fields[name].column, name)
    if len(classes) < 2:
        only = f"only {classes[0]!r}" if classes else "no label"
        raise DataError(f"a fit needs rows of two classes or more, but label column {name!r} holds {only}")
    if training.family == "binomial" and len(classes) > 2:
        raise DataError(
            f"the binomial family needs two classes, got {len(classes)} in label column {name!r}: "
            "take family='multinomial', or leave it out"
        )
    return classes


def read_classes(placed: DataFrame, label: Column, name: str) -> tuple[Label, ...]:
    """Read the values of a label column, and sort them."""
    labels = placed.select(label.alias("label")).where("label IS NOT NULL")
    values = labels.distinct().limit(MOST_CLASSES + 1).collect()
    held = [row["label"] for row in values if row["label"] == row["label"]]  # NaN is not itself
    classes = {plain_label(value) for value in held}
    if len(classes) > MOST_CLASSES:
        raise DataError(
            f"label column {name!r} must hold {MOST_CLASSES:,} classes at most, got more: name them with classes"
        )
    for value in held:
        if isinstance(value, Decimal) and Decimal(str(plain_label(value))) != value:
            raise DataError(
                f"a class that is a number must be one that a double can hold, got {value} in label column "
                f"{name!r}: cast the column to string"
            )
    return tuple(sorted(classes, key=lambda value: (isinstance(value, str), value)))


def class_code(field: FoundColumn, name: str, classes: tuple[Label, ...]) -> Column:
    """The class of a label, 0..K-1, or the code, times -1, of the status that says why it has none."""
    label = field.column
    code = F.when(label.isNull(), -CODE["null_label"])
    if isinstance(field.type, (FloatType, DoubleType)):
        code = code.when(F.isnan(label), -CODE["nan_label"])
    check_classes(field.type, name, classes)
    index = class_index(field.type, classes, label)
    return code.otherwise(F.coalesce(index, F.lit(-CODE["unknown_label"]))).cast("double")


def find_factors(
    placed: DataFrame, fields: Fields, training: Training, classes: tuple[Label, ...], code: Column
) -> dict[int, float] | None:
    """The factors of `class_weight` by the index of the class, or None without it; "balanced" reads the table."""
    if training.class_weight is None:
        return None
    if training.class_weight == "balanced":
        return read_balanced_factors(placed, code, own_weight(fields, training))
    return factors_of_classes(training.class_weight, classes)


def class_factor(code: Column, factors: Mapping[int, float]) -> Column:
    """The factor by which the weight of a row is multiplied: that of its class, or 1."""
    factor = F.lit(1.0)
    for index, value in factors.items():
        factor = F.when(code == index, F.lit(value)).otherwise(factor)
    return factor


def read_balanced_factors(placed: DataFrame, code: Column, weight: Column) -> dict[int, float]:
    """Read how much each class weighs, and return the factors that make all classes weigh the same."""
    rows = placed.select(code.alias("code"), weight.alias("weight")).where(
        "code >= 0 AND weight > 0 AND NOT isnan(weight)"
    )
    total = {int(row["code"]): row["w"] for row in rows.groupBy("code").agg(F.sum("weight").alias("w")).collect()}
    return {index: sum(total.values()) / (len(total) * w) for index, w in total.items()}


def factors_of_classes(class_weight: Mapping[Any, float], classes: tuple[Label, ...]) -> dict[int, float]:
    """The factors of `class_weight` by the index of the class; 1 for a class that it does not name."""
    keys: dict[int, Any] = {}
    for key in class_weight:
        index = class_named(key, classes)
        if index in keys:
            raise SpecError(
                f"class_weight must have one key for each class, got {keys[index]!r} and {key!r} for class "
                f"{classes[index]!r}: leave one out"
            )
        keys[index] = key
    return dict.fromkeys(range(len(classes)), 1.0) | {index: float(class_weight[key]) for index, key in keys.items()}


def class_named(key: Any, classes: tuple[Label, ...]) -> int:
    """The index of the class that a key of `class_weight` equals, or spells: the keys of a config are strings."""
    for named in (plain_label(key), key):
        if named in classes:
            return classes.index(named)
    spelled = [str(label) for label in classes]
    if key in spelled:
        return spelled.index(str(key))
    raise SpecError(f"class_weight must name classes, got {key!r}, which is none of the classes {list(classes)}")
