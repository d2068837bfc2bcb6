"""The class of a label, found in the label's own type; and labels that match the classes 0 to K - 1 by accident."""

from collections.abc import Sequence
from decimal import Decimal

import numpy as np
from pyspark.sql import Column
from pyspark.sql import functions as F
from pyspark.sql.types import (
    ArrayType,
    BooleanType,
    DataType,
    DecimalType,
    DoubleType,
    FloatType,
    IntegralType,
    StringType,
)

from logloss_spark.errors import SpecError
from logloss_spark.rows.bins import literal_array, literal_texts
from logloss_spark.rows.form import Form
from logloss_spark.rows.inputs import Rows
from logloss_spark.scoring import Label

CHAINED_CLASSES = 32
"""Up to this many classes, Spark compares a label with each; beyond, it looks the label up in an array."""

LOOKED_AT = 3
"""Distinct labels to collect. More than one rules out both cases of `check_labels`."""


def label_index(form: Form) -> Column:
    """The class of each hard label, 0..K-1, null where it is none of the classes."""
    return class_index(form.label_type, form.classes, F.col("label"))


def label_is_nan(form: Form) -> Column:
    """Whether each label is NaN, or an entry of it is."""
    if isinstance(form.label_type, ArrayType):
        return F.exists("label", F.isnan)
    return F.isnan("label") if isinstance(form.label_type, (FloatType, DoubleType)) else F.lit(False)


def class_index(type_: DataType, classes: Sequence[Label], label: Column) -> Column:
    """The class of labels of this type, 0..K-1, null where a label is none of the classes.

    Labels are compared in their own type. A cast would turn 0.7 into a valid 0, and raise on some texts.
    """
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


def class_literal(type_: DataType, label: Label) -> Column:
    """A class as a literal that labels of this type can be compared with."""
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
    """All classes as one literal array, and the labels cast to the type of its entries."""
    if isinstance(type_, IntegralType):
        return literal_texts(map(str, classes), "bigint"), label.cast("bigint")
    if isinstance(type_, (FloatType, DoubleType)):
        of_type = np.float32 if isinstance(type_, FloatType) else np.float64
        return literal_array(np.array(classes, of_type), type_.simpleString()), label
    if isinstance(type_, DecimalType):  # all entries of an array have one type, which may be wider than the column's
        exact = [Decimal(str(known)) for known in classes]
        scale = max(type_.scale, *(-int(known.as_tuple().exponent) for known in exact))
        common = f"decimal(38,{scale})"
        return literal_texts(map(str, exact), common), label.try_cast(common)
    return literal_texts(map(str, classes), "string"), label


def check_labels(rows: Rows) -> None:
    """Raise SpecError if the labels are -1 and 1, or 1 to K, while the classes are 0 to K - 1 by default.

    Reads the labels. Call it only if no row is of class 0 and some labels are unknown.
    """
    if rows.form.soft_labels or rows.scoring.classes is not None:
        return
    index, size = label_index(rows.form), rows.form.size
    stray = F.col("label").isNotNull() & ~label_is_nan(rows.form) & (index.isNull() | (index == 0))
    found = [row.label for row in rows.table.where(stray).select("label").distinct().limit(LOOKED_AT).collect()]
    if len(found) != 1 or found[0] not in (-1, size):
        return
    labels, classes = ("-1 and 1", "(-1, 1)") if found[0] == -1 else (f"1 to {size}", one_to(size))
    if found[0] == -1 and size != 2:
        return
    raise SpecError(
        f"label column {rows.roles.label!r} must hold the classes 0 to {size - 1} unless classes names others, "
        f"got labels {labels}: give classes={classes}"
    )


def one_to(size: int) -> str:
    """The classes 1 to K, as a user would write them."""
    return f"({', '.join(map(str, range(1, size + 1)))})" if size <= LOOKED_AT else f"(1, ..., {size})"
