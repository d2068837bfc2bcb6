"""The columns that a spec names, found in a table's schema and brought to one type each.

After this floor there are only these names: `slice_0` …, `label`, `prediction`, `weight` and `bucket`. It is the one
place that looks at types: a label keeps its own (it is compared, never cast), predictions and weights become doubles.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import (
    ArrayType,
    BooleanType,
    DataType,
    DecimalType,
    DoubleType,
    FloatType,
    IntegralType,
    NumericType,
    StringType,
    UserDefinedType,
)

from logloss_spark.errors import SpecError, did_you_mean
from logloss_spark.spec import Label, Predictions

CHAINED_CLASSES = 32
"""Up to here a class label is found by comparisons in a row, which Spark compiles; beyond, in an array."""


BUCKETS = 64
"""Clusters are put into so many buckets by a hash: unlike the sums of clusters, those of buckets are few, and add."""

PROBED = 100
"""Rows that are looked at for two logits which are Spark's rawPrediction."""

NOT_PLAIN = ("array", "map", "struct", "variant", "yearmonthinterval", "interval", "time", "geometry", "geography")
"""Types that a slice or a cluster cannot have: they are nested, or Spark does not hand them to Python in Arrow."""


@dataclass(frozen=True)
class Inputs:
    """A table of predictions under its few names, and what its schema says of them.

    `scalar` says that the score of a row is one number. That of a margin is, although `prediction` holds its two
    entries, [-z, z], until the status of its row is known. `index` is the class of a hard label, 0..K-1, null where it
    is none of them (None for soft labels); `label_nan` is true where a label is NaN.
    """

    table: DataFrame
    classes: tuple[Label, ...]
    scalar: bool
    soft: bool
    weighted: bool
    clustered: bool
    index: Column | None
    label_nan: Column
    has_vectors: bool

    @property
    def size(self) -> int:
        """The number of classes."""
        return len(self.classes)


def quoted(name: str) -> Column:
    """The column of this very name, whatever signs are in it."""
    return F.col("`" + name.replace("`", "``") + "`")


def slice_name(place: int) -> str:
    """What the slice column in this place is called while a state is being made."""
    return f"slice_{place}"


def inputs(
    df: DataFrame, spec: Predictions, *, keep_row: bool = False, beside: Mapping[str, Column] | None = None
) -> Inputs:
    """Find the spec's columns in a table; `keep_row` adds the whole row as the struct `row`, `beside` other columns.

    Raises
    ------
    SpecError
        A column that is not there, or of a type that its role cannot have.
    """
    types = types_of(df)
    for role, columns in (
        ("label", spec.label),
        ("prediction", spec.prediction),
        ("weight", spec.weight or ()),
        ("cluster", spec.cluster or ()),
        ("slice", spec.slices),
    ):
        for name in [columns] if isinstance(columns, str) else columns:
            present(df, role, name)
    for role, names in (("slice", spec.slices), ("cluster", (spec.cluster,) if spec.cluster else ())):
        for name in names:
            if isinstance(types[name], UserDefinedType) or types[name].typeName() in NOT_PLAIN:
                came = types[name].simpleString()
                raise SpecError(f"{role} column {name!r} must hold plain values, got {came}: cast it to string")

    is_one_number = isinstance(spec.prediction, str) and is_number(types[spec.prediction])
    scalar = is_one_number or spec.kind == "margin"
    prediction = forecast(types, spec.prediction, spec)
    classes = class_names(df, spec, scalar, types)
    if spec.soft_labels:
        if scalar != (isinstance(spec.label, str) and is_number(types[spec.label])):
            raise SpecError(
                "a soft label has the form of its prediction: both numbers, or both distributions; "
                f"label is {described(types, spec.label)} and prediction {described(types, spec.prediction)}"
            )
        if isinstance(spec.label, tuple) and len(spec.label) != len(classes):
            raise SpecError(f"label is {len(spec.label)} columns, one per class, and there are {len(classes)} classes")
        label, index = scores(types, "label", spec.label), None
        label_nan = F.isnan("label") if scalar else F.exists("label", F.isnan)
    else:
        if not isinstance(spec.label, str):
            raise SpecError(
                f"label is one column, given without a list, and {list(spec.label)} came; "
                "a distribution, a column per class, needs soft_labels=True"
            )
        label = quoted(spec.label)
        index = class_index(types[spec.label], spec.label, classes, F.col("label"))
        label_nan = F.isnan("label") if isinstance(types[spec.label], (FloatType, DoubleType)) else F.lit(False)
    weights = []
    if spec.weight is not None:
        if not is_number(types[spec.weight]):
            raise SpecError(f"weight column {spec.weight!r} must hold numbers, not {types[spec.weight].simpleString()}")
        weights = [quoted(spec.weight).cast("double").alias("weight")]
    return Inputs(
        table=df.select(
            *([F.struct(*map(quoted, df.columns)).alias("row")] if keep_row else []),
            *[quoted(name).alias(slice_name(place)) for place, name in enumerate(spec.slices)],
            label.alias("label"),
            prediction.alias("prediction"),
            *weights,
            *([bucket(types[spec.cluster], quoted(spec.cluster)).alias("bucket")] if spec.cluster else []),
            *[column.alias(name) for name, column in (beside or {}).items()],
        ),
        classes=classes,
        scalar=scalar,
        soft=spec.soft_labels,
        weighted=bool(weights),
        clustered=spec.cluster is not None,
        index=index,
        label_nan=label_nan,
        has_vectors=has_vectors(df),
    )


def bucket(type_: DataType, cluster: Column) -> Column:
    """The bucket of each cluster, 0..63, null where there is none: by xxHash64, whose seed Spark fixes.

    A number falls into one bucket whatever the type of its column: tables of different days need not agree on it.
    """
    plain = cluster.cast("bigint") if isinstance(type_, IntegralType) else cluster
    return F.when(cluster.isNotNull(), F.pmod(F.xxhash64(plain), F.lit(BUCKETS)).cast("int"))


def has_vectors(df: DataFrame) -> bool:
    """Whether a table has columns of a user-defined type, such as ML vectors."""
    return any(isinstance(field.dataType, UserDefinedType) for field in df.schema.fields)


def types_of(df: DataFrame) -> dict[str, DataType]:
    """The type of each column; raises SpecError for anything but a table of Spark's."""
    if not isinstance(df, DataFrame):
        raise SpecError(
            f"the table is a Spark DataFrame, and a {kind_of(df)} came; spark.createDataFrame makes one of pandas"
        )
    return {field.name: field.dataType for field in df.schema.fields}


def kind_of(value: object) -> str:
    """What a value is, with where that comes from: `pandas DataFrame`, `builtins list`."""
    return f"{type(value).__module__.split('.')[0]} {type(value).__name__}"


def present(df: DataFrame, role: str, name: str) -> None:
    """Raise SpecError unless exactly one column has this name."""
    count = df.columns.count(name)
    if count == 0:
        raise SpecError(f"{role} column {name!r} is not in the table; {did_you_mean(name, df.columns)}")
    if count > 1:
        raise SpecError(f"{role} column {name!r} is in the table {count} times; rename all but one of them")


def is_number(type_: DataType) -> bool:
    """Whether a column of this type holds numbers."""
    return isinstance(type_, NumericType)


def described(types: dict[str, DataType], columns: str | tuple[str, ...]) -> str:
    """The type of a role's column, or the count of its columns."""
    return types[columns].simpleString() if isinstance(columns, str) else f"{len(columns)} columns"


def scores(types: dict[str, DataType], role: str, columns: str | tuple[str, ...]) -> Column:
    """A forecast or a soft label as a double, or as an array<double> with one entry per class."""
    if isinstance(columns, tuple):
        for name in columns:
            if not is_number(types[name]):
                raise SpecError(f"{role} column {name!r} must hold numbers, not {types[name].simpleString()}")
        return F.array(*[quoted(name).cast("double") for name in columns])
    type_ = types[columns]
    if is_number(type_):
        return quoted(columns).cast("double")
    if isinstance(type_, ArrayType) and is_number(type_.elementType):
        return quoted(columns).cast("array<double>")
    if isinstance(type_, UserDefinedType) and type_.simpleString() == "vector":
        return dense(F.unwrap_udt(quoted(columns)))
    raise SpecError(
        f"{role} column {columns!r} must be a number, an array of numbers or an ML vector, not {type_.simpleString()}"
    )


def forecast(types: dict[str, DataType], columns: str | tuple[str, ...], spec: Predictions) -> Column:
    """A forecast as a double or an array<double>; a margin as the two entries [-z, z], whatever form it has."""
    found = scores(types, "prediction", columns)
    is_one_number = isinstance(columns, str) and is_number(types[columns])
    return F.array(-found, found) if spec.kind == "margin" and is_one_number else found


def score_of(prediction: Column, spec: Predictions) -> Column:
    """What is scored: of a margin its last entry, the logit; any other prediction as it is."""
    return F.get(prediction, F.lit(1)) if spec.kind == "margin" else prediction


def check_logits(rows: Inputs, spec: Predictions, of_model: str = "") -> None:
    """Raise SpecError if two logits look like Spark's rawPrediction, whose loss would be that of sigmoid(2z).

    Reads the first `PROBED` rows that can tell, and nothing unless the prediction is two logits.
    """
    if spec.kind != "logit" or rows.scalar or rows.size != 2:
        return
    entries = [F.get("prediction", F.lit(place)) for place in range(2)]
    other, logit = entries
    tells = ((other != 0) | (logit != 0)) & ~F.isnan(other) & ~F.isnan(logit)
    pairs = rows.table.where(tells).select(other.alias("other"), logit.alias("logit")).head(PROBED)
    if pairs and all(pair.other == -pair.logit for pair in pairs):
        raise SpecError(
            f"the prediction{of_model} looks like Spark's rawPrediction, [-z, z]: its two entries are each other's "
            f"negatives in the first {len(pairs)} rows; pass kind='margin', or if they are two logits give their "
            "difference, the second less the first, as one column"
        )


def dense(vector: Column) -> Column:
    """The entries of an ML vector that was unwrapped: type 0 is sparse, 1 is dense."""

    def entry(place: Column) -> Column:
        stored = F.array_position(vector["indices"], place).cast("int") - 1
        return F.coalesce(F.get(vector["values"], stored), F.lit(0.0))

    entries = F.transform(F.sequence(F.lit(0), vector["size"] - 1), entry)
    # A vector without entries is dense, too: a sequence from 0 to -1 would count down.
    return F.when((vector["type"] == 1) | (vector["size"] == 0), vector["values"]).otherwise(entries)


def class_names(df: DataFrame, spec: Predictions, scalar: bool, types: dict[str, DataType]) -> tuple[Label, ...]:
    """The classes in the prediction's order: as given, or 0..K-1, with booleans and whole numbers as integers."""
    width = 2 if scalar else len(spec.prediction) if isinstance(spec.prediction, tuple) else None
    if spec.classes is None:
        return tuple(range(width or declared_classes(df, spec)))
    if width is not None and len(spec.classes) != width:
        given = "margin" if spec.kind == "margin" else "number"
        form = f"a {given}, which forecasts 2 classes" if scalar else f"{width} columns"
        raise SpecError(f"classes names {len(spec.classes)} classes, and the prediction is {form}")
    return tuple(map(plain_label, spec.classes))


def plain_label(label: Any) -> Label:
    """A class as Python's own type, a boolean or a whole number as an integer."""
    value: Label = label.item() if hasattr(label, "item") else label
    if isinstance(value, Decimal):
        return int(value) if value % 1 == 0 else float(value)
    return int(value) if isinstance(value, (bool, float)) and float(value).is_integer() else value


def declared_classes(df: DataFrame, spec: Predictions) -> int:
    """How many classes MLlib wrote into the metadata of a vector of probabilities; 2 where it wrote none."""
    attributes = df.schema[str(spec.prediction)].metadata.get("ml_attr", {})
    return int(attributes.get("num_attrs", 2))


def class_index(type_: DataType, name: str, classes: Sequence[Label], label: Column) -> Column:
    """The class of a label column of this type and name, 0..K-1, or null where it is none of them.

    A label is compared in its own type: a cast would make 0.7 a valid 0, and raise on others.
    """
    literals = [class_literal(type_, name, label) for label in classes]
    # An array holds decimals of one precision only, which need not be the column's.
    if len(literals) > CHAINED_CLASSES and not isinstance(type_, DecimalType):
        found = F.array_position(F.array(*literals), label)
        return F.when(found > 0, found - 1).cast("int")
    index = F.when(label == literals[0], 0)
    for place, literal in enumerate(literals[1:], start=1):
        index = index.when(label == literal, place)
    return index


def class_literal(type_: DataType, name: str, label: Label) -> Column:
    """A class as a literal of the label column's type; raises SpecError where no label could ever equal it."""
    number = isinstance(label, (int, float))
    if isinstance(type_, StringType) and not number:
        return F.lit(label)
    if isinstance(type_, BooleanType) and label in (0, 1):
        return F.lit(bool(label))
    if isinstance(type_, IntegralType) and isinstance(label, int):
        return F.lit(label).cast("bigint")
    if isinstance(type_, (FloatType, DoubleType)) and number:
        return F.lit(float(label)).cast(type_)
    if is_number(type_) and not isinstance(type_, IntegralType) and number:
        return F.lit(Decimal(str(label)))
    raise SpecError(
        f"label column {name!r} is {type_.simpleString()}, which can never equal the class {label!r}: "
        "give classes=(negative, positive), or the K classes in the prediction's order, as the column holds them"
    )
