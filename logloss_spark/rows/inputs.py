"""The columns that a spec names, found in a table's schema and brought to one type each.

After this floor there are only these names: `slice_0` …, `label`, `prediction`, `weight` and `bucket`. It is the one
place that looks at types: a label keeps its own (it is compared, never cast), predictions and weights become doubles.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import numpy as np
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
    MapType,
    NumericType,
    StringType,
    UserDefinedType,
)

from logloss_spark.errors import SpecError
from logloss_spark.rows.bins import literal_array, literal_texts
from logloss_spark.rows.clusters import cluster_hash
from logloss_spark.rows.columns import Find, Found, by_place, check_batch, finder, has_vectors
from logloss_spark.rows.columns import kind_of as kind_of
from logloss_spark.scoring import Label
from logloss_spark.spec import Predictions

Fields = Mapping[str, Found]
"""The columns that have roles, by the names that they were given."""

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


def inputs(df: DataFrame, spec: Predictions, *, beside: Callable[[Find], Mapping[str, Column]] | None = None) -> Inputs:
    """Find the spec's columns in a table; `beside` makes further columns of what it finds there.

    Raises
    ------
    SpecError
        A column that is not there, or of a type that its role cannot have.
    """
    found = finder(df)
    fields = fields_of(found, spec)
    for role, names in (("slice", spec.slices), ("cluster", (spec.cluster,) if spec.cluster else ())):
        for name in names:
            type_ = fields[name].type
            if isinstance(type_, UserDefinedType) or type_.typeName() in NOT_PLAIN:
                came = type_.simpleString()
                raise SpecError(f"{role} column {name!r} must hold plain values, got {came}: cast it to string")

    scalar = is_one_number(fields, spec.prediction) or spec.kind == "margin"
    classes = class_names(fields, spec, scalar)
    if spec.soft_labels:
        if scalar != is_one_number(fields, spec.label):
            raise SpecError(
                "a soft label has the form of its prediction: both numbers, or both distributions; "
                f"label is {described(fields, spec.label)} and prediction {described(fields, spec.prediction)}"
            )
        if isinstance(spec.label, tuple) and len(spec.label) != len(classes):
            raise SpecError(f"label is {len(spec.label)} columns, one per class, and there are {len(classes)} classes")
        label, index = scores(fields, "label", spec.label, classes), None
        label_nan = F.isnan("label") if scalar else F.exists("label", F.isnan)
    else:
        if not isinstance(spec.label, str):
            raise SpecError(
                f"label is one column, given without a list, and {list(spec.label)} came; "
                "a distribution, a column per class, needs soft_labels=True"
            )
        type_, label = fields[spec.label].type, fields[spec.label].column
        index = class_index(type_, spec.label, classes, F.col("label"))
        label_nan = F.isnan("label") if isinstance(type_, (FloatType, DoubleType)) else F.lit(False)
    others = {}
    if spec.weight is not None:
        type_ = fields[spec.weight].type
        if not is_number(type_):
            raise SpecError(f"weight column {spec.weight!r} must hold numbers, not {type_.simpleString()}")
        others["weight"] = fields[spec.weight].column.cast("double")
    if spec.cluster is not None:
        others["bucket"] = bucket(fields[spec.cluster].type, fields[spec.cluster].column)
    return Inputs(
        table=by_place(df).select(
            *[fields[name].column.alias(slice_name(place)) for place, name in enumerate(spec.slices)],
            label.alias("label"),
            forecast(fields, spec, classes).alias("prediction"),
            *[column.alias(name) for name, column in (others | dict(beside(found) if beside else {})).items()],
        ),
        classes=classes,
        scalar=scalar,
        soft=spec.soft_labels,
        weighted=spec.weight is not None,
        clustered=spec.cluster is not None,
        index=index,
        label_nan=label_nan,
        has_vectors=has_vectors(df.schema),
    )


def fields_of(found: Find, spec: Predictions) -> Fields:
    """The columns of all roles of a spec, by their names."""
    return {
        name: found(role, name)
        for role, columns in (
            ("label", spec.label),
            ("prediction", spec.prediction),
            ("weight", spec.weight or ()),
            ("cluster", spec.cluster or ()),
            ("slice", spec.slices),
        )
        for name in ([columns] if isinstance(columns, str) else columns)
    }


def bucket(type_: DataType, cluster: Column) -> Column:
    """The bucket of each cluster, 0..63, null where there is none: by xxHash64, whose seed Spark fixes.

    A number has one bucket in every numeric type and in its plain text, so that tables of different days need not agree
    on the type of a column: whole numbers within bigint are hashed as bigint, other numbers as double. Text that is no
    number, and whole numbers beyond bigint, are hashed as text, and a date as its text.
    """
    return F.when(cluster.isNotNull(), F.pmod(cluster_hash(type_, cluster), F.lit(BUCKETS)).cast("int"))


def types_of(df: DataFrame) -> dict[str, DataType]:
    """The type of each column; raises SpecError for anything but a batch DataFrame."""
    check_batch(df)
    return {field.name: field.dataType for field in df.schema.fields}


def is_number(type_: DataType) -> bool:
    """Whether a column of this type holds numbers."""
    return isinstance(type_, NumericType)


def is_one_number(fields: Fields, columns: str | tuple[str, ...]) -> bool:
    """Whether a role is one column of numbers."""
    return isinstance(columns, str) and is_number(fields[columns].type)


def described(fields: Fields, columns: str | tuple[str, ...]) -> str:
    """The type of a role's column, or the count of its columns."""
    return fields[columns].type.simpleString() if isinstance(columns, str) else f"{len(columns)} columns"


def scores(fields: Fields, role: str, columns: str | tuple[str, ...], classes: Sequence[Label]) -> Column:
    """A forecast or a soft label as a double, or as an array<double> with one entry per class."""
    if isinstance(columns, tuple):
        for name in columns:
            if not is_number(fields[name].type):
                raise SpecError(f"{role} column {name!r} must hold numbers, not {fields[name].type.simpleString()}")
        return F.array(*[fields[name].column.cast("double") for name in columns])
    type_, column = fields[columns].type, fields[columns].column
    if is_number(type_):
        return column.cast("double")
    if isinstance(type_, ArrayType) and is_number(type_.elementType):
        return column.cast("array<double>")
    if isinstance(type_, MapType) and is_number(type_.valueType):
        keys = literal_texts(map(str, classes), type_.keyType.simpleString())
        entries = F.transform(keys, lambda key: F.try_element_at(column, key).cast("double"))
        return F.when(column.isNotNull(), entries)
    if isinstance(type_, UserDefinedType) and type_.simpleString() == "vector":
        return dense(F.unwrap_udt(column))
    raise SpecError(
        f"{role} column {columns!r} must be a number, an array of numbers or an ML vector, not {type_.simpleString()}"
        + (": a map leads from classes to numbers" if isinstance(type_, MapType) else "")
    )


def forecast(fields: Fields, spec: Predictions, classes: Sequence[Label]) -> Column:
    """A forecast as a double or an array<double>; a margin as the two entries [-z, z], whatever form it has."""
    found = scores(fields, "prediction", spec.prediction, classes)
    return F.array(-found, found) if spec.kind == "margin" and is_one_number(fields, spec.prediction) else found


def score_of(rows: Inputs, spec: Predictions, prediction: Column) -> Column:
    """What is scored: of a margin its last entry, the logit; of a distribution its entries, held within [0, 1]."""
    if spec.kind == "margin":
        return F.get(prediction, F.lit(1))
    return in_unit_interval(prediction) if spec.kind == "probability" and not rows.scalar else prediction


def in_unit_interval(distribution: Column) -> Column:
    """A distribution whose entries are 0 or 1 where they are beyond, as far as its tolerance lets them be."""
    beyond = (F.array_min(distribution) < 0) | (F.array_max(distribution) > 1)
    held = F.transform(distribution, lambda share: F.least(F.greatest(share, F.lit(0.0)), F.lit(1.0)))
    return F.when(beyond, held).otherwise(distribution)


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


def class_names(fields: Fields, spec: Predictions, scalar: bool) -> tuple[Label, ...]:
    """The classes in the prediction's order: as given, or 0..K-1, with booleans and whole numbers as integers."""
    width = 2 if scalar else len(spec.prediction) if isinstance(spec.prediction, tuple) else None
    if spec.classes is None:
        return tuple(range(width or declared_classes(spec.prediction, fields)))
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


def declared_classes(prediction: str | tuple[str, ...], fields: Fields) -> int:
    """How many classes MLlib wrote into the metadata of a vector of probabilities; 2 where it wrote none."""
    found = fields[str(prediction)]
    if isinstance(found.type, MapType):
        raise SpecError(f"prediction column {prediction!r} is a map: give its keys in order as classes")
    return int(found.metadata.get("ml_attr", {}).get("num_attrs", 2))


def class_index(type_: DataType, name: str, classes: Sequence[Label], label: Column) -> Column:
    """The class of a label column of this type and name, 0..K-1, or null where it is none of them.

    A label is compared in its own type: a cast would make 0.7 a valid 0, and raise on others.
    """
    for known in classes:
        check_class(type_, name, known)
    if isinstance(type_, IntegralType) and tuple(classes) == tuple(range(len(classes))):
        return F.when(label.between(0, len(classes) - 1), label.cast("int"))
    if len(classes) > CHAINED_CLASSES:
        found = F.array_position(*class_array(type_, classes, label))
        return F.when(found > 0, found - 1).cast("int")
    literals = [class_literal(type_, known) for known in classes]
    index = F.when(label == literals[0], 0)
    for place, literal in enumerate(literals[1:], start=1):
        index = index.when(label == literal, place)
    return index


def check_class(type_: DataType, name: str, label: Label) -> None:
    """Raise SpecError where no label of a column of this type and name could ever equal a class."""
    number = isinstance(label, (int, float))
    if isinstance(type_, StringType):
        equal = isinstance(label, str)
    elif isinstance(type_, BooleanType):
        equal = label in (0, 1)
    elif isinstance(type_, IntegralType):
        equal = isinstance(label, int)
    else:
        equal = is_number(type_) and number
    if not equal:
        raise SpecError(
            f"label column {name!r} is {type_.simpleString()}, which can never equal the class {label!r}: "
            "give classes=(negative, positive), or the K classes in the prediction's order, as the column holds them"
        )


def class_literal(type_: DataType, label: Label) -> Column:
    """A class as a literal of the label column's type."""
    if isinstance(type_, StringType):
        return F.lit(label)
    if isinstance(type_, BooleanType):
        return F.lit(bool(label))
    if isinstance(type_, IntegralType):
        return F.lit(label).cast("bigint")
    if isinstance(type_, (FloatType, DoubleType)):
        return F.lit(float(label)).cast(type_)
    return F.lit(Decimal(str(label)))


def class_array(type_: DataType, classes: Sequence[Label], label: Column) -> tuple[Column, Column]:
    """All classes as one literal array, and the label in the type of its entries."""
    if isinstance(type_, IntegralType):
        return literal_texts(map(str, classes), "bigint"), label.cast("bigint")
    if isinstance(type_, (FloatType, DoubleType)):
        of_type = np.float32 if isinstance(type_, FloatType) else np.float64
        return literal_array(np.array(classes, of_type), type_.simpleString()), label
    if isinstance(type_, DecimalType):  # an array holds decimals of one type, which need not be the column's
        exact = [Decimal(str(known)) for known in classes]
        scale = max(type_.scale, *(-int(known.as_tuple().exponent) for known in exact))
        common = f"decimal(38,{scale})"
        return literal_texts(map(str, exact), common), label.try_cast(common)
    return literal_texts(map(str, classes), "string"), label
