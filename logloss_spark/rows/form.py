"""The form of a table of predictions, which its schema determines before a row is read.

A schema says how many classes a prediction forecasts, whether it is one number, and what type labels have. The checks
here look only at types and metadata. `Form` is plain data: it holds no `Column`, so it can be pickled.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pyspark.sql.types import (
    ArrayType,
    BooleanType,
    DataType,
    DoubleType,
    IntegralType,
    MapType,
    NumericType,
    StringType,
    UserDefinedType,
)

from logloss_spark.errors import SpecError
from logloss_spark.roles import Columns, Roles
from logloss_spark.rows.columns import Find, FoundColumn
from logloss_spark.scoring import Label, Scoring

Fields = Mapping[str, FoundColumn]
"""The columns that have roles, by the names that the user gave."""

NOT_PLAIN = ("array", "map", "struct", "variant", "yearmonthinterval", "interval", "time", "geometry", "geography")
"""Types that a slice or a cluster cannot have: they are nested, or Spark does not hand them to Python in Arrow."""


@dataclass(frozen=True, kw_only=True)
class Form:
    """The form of a table of predictions.

    Attributes
    ----------
    classes : tuple
        The classes in the prediction's order, as Python's own types.
    scalar : bool
        Whether the score of a row is one number, as that of a margin is.
    soft_labels : bool
        Whether labels are shares or distributions.
    weighted, clustered : bool
        Whether rows have weights, and clusters.
    label_type : DataType
        The type of labels. Classes keep the type of their column, because they are compared and never cast; shares are
        doubles.
    has_vectors : bool
        Whether the table holds ML vectors or other user-defined types, in whatever column.
    """

    classes: tuple[Label, ...]
    scalar: bool
    soft_labels: bool
    weighted: bool
    clustered: bool
    label_type: DataType
    has_vectors: bool

    @property
    def size(self) -> int:
        """The number of classes."""
        return len(self.classes)


def form_of(fields: Fields, roles: Roles, scoring: Scoring, *, has_vectors: bool) -> Form:
    """The form of a table whose roles have these columns.

    Raises
    ------
    SpecError
        A column has a type that its role cannot have, or `classes` does not fit the prediction.
    """
    check_plain(fields, roles)
    classes = classes_of(fields, roles, scoring)
    scalar = is_scalar(fields, roles, scoring)
    if scoring.soft_labels:
        check_soft_label(fields, roles, len(classes), scalar=scalar)
        check_scores(fields, "label", roles.label)
        label_type: DataType = DoubleType() if scalar else ArrayType(DoubleType())
    else:
        label_type = hard_label_type(fields, roles.label)
        check_classes(label_type, str(roles.label), classes)
    check_weight(fields, roles.weight)
    check_scores(fields, "prediction", roles.prediction)
    return Form(
        classes=classes,
        scalar=scalar,
        soft_labels=scoring.soft_labels,
        weighted=roles.weight is not None,
        clustered=roles.cluster is not None,
        label_type=label_type,
        has_vectors=has_vectors,
    )


def fields_of(find: Find, roles: Roles) -> Fields:
    """The columns of all roles, by their names."""
    return {
        name: find(role, name)
        for role, columns in (
            ("label", roles.label),
            ("prediction", roles.prediction),
            ("weight", roles.weight or ()),
            ("cluster", roles.cluster or ()),
            ("slice", roles.slices),
        )
        for name in ([columns] if isinstance(columns, str) else columns)
    }


def check_plain(fields: Fields, roles: Roles) -> None:
    """Raise SpecError unless Spark can group by the columns of slices and clusters, and hand them to Python."""
    for role, names in (("slice", roles.slices), ("cluster", (roles.cluster,) if roles.cluster else ())):
        for name in names:
            type_ = fields[name].type
            if isinstance(type_, UserDefinedType) or type_.typeName() in NOT_PLAIN:
                raise SpecError(
                    f"{role} column {name!r} must hold plain values, got {type_.simpleString()}: cast it to string"
                )


def check_weight(fields: Fields, weight: str | None) -> None:
    """Raise SpecError unless weights are numbers."""
    if weight is not None and not is_number(fields[weight].type):
        type_ = fields[weight].type.simpleString()
        raise SpecError(f"weight column {weight!r} must be numeric, got {type_}: cast it, or leave weight out")


def check_scores(fields: Fields, role: str, columns: Columns) -> None:
    """Raise SpecError unless forecasts, or soft labels, are numbers or hold numbers."""
    if isinstance(columns, str):
        type_ = fields[columns].type
        if not holds_scores(type_):
            raise SpecError(
                f"{role} column {columns!r} must hold numbers, arrays of numbers or ML vectors, "
                f"got {type_.simpleString()}"
                + (": the values of a map must be numbers" if isinstance(type_, MapType) else "")
            )
        return
    for name in columns:
        if not is_number(fields[name].type):
            raise SpecError(f"{role} column {name!r} must be numeric, got {fields[name].type.simpleString()}: cast it")


def holds_scores(type_: DataType) -> bool:
    """Whether a column of this type holds a number for each row, or one per class."""
    if isinstance(type_, ArrayType):
        return is_number(type_.elementType)
    if isinstance(type_, MapType):
        return is_number(type_.valueType)
    return is_number(type_) or (isinstance(type_, UserDefinedType) and type_.simpleString() == "vector")


def check_width(roles: Roles, scoring: Scoring) -> None:
    """Raise SpecError where a prediction in several columns cannot be a margin."""
    if scoring.kind == "margin" and not isinstance(roles.prediction, str) and len(roles.prediction) != 2:
        raise SpecError(
            "kind='margin' reads Spark's rawPrediction, [-z, z], from one column or two, or z from a column of "
            f"numbers, got {len(roles.prediction)} columns: K logits have kind='logit'"
        )


def is_number(type_: DataType) -> bool:
    """Whether a column of this type holds numbers."""
    return isinstance(type_, NumericType)


def is_one_number(fields: Fields, columns: Columns) -> bool:
    """Whether a role is one column of numbers."""
    return isinstance(columns, str) and is_number(fields[columns].type)


def is_scalar(fields: Fields, roles: Roles, scoring: Scoring) -> bool:
    """Whether the score of a row is one number."""
    return scoring.kind == "margin" or is_one_number(fields, roles.prediction)


def classes_of(fields: Fields, roles: Roles, scoring: Scoring) -> tuple[Label, ...]:
    """The classes in the prediction's order: those that were passed, or 0..K-1."""
    scalar = is_scalar(fields, roles, scoring)
    width = 2 if scalar else None if isinstance(roles.prediction, str) else len(roles.prediction)
    if scoring.classes is None:
        return tuple(range(width or declared_classes(fields, roles.prediction)))
    if width is not None and len(scoring.classes) != width:
        given = "margin" if scoring.kind == "margin" else "number"
        form = f"a {given}, which forecasts 2 classes" if scalar else f"{width} columns"
        raise SpecError(f"classes must name {width} labels, as the prediction is {form}, got {len(scoring.classes)}")
    return tuple(scoring.classes)


def declared_classes(fields: Fields, prediction: Columns) -> int:
    """The number of classes that MLlib wrote into the metadata of a vector of probabilities; 2 where it wrote none."""
    found = fields[str(prediction)]
    if isinstance(found.type, MapType):
        raise SpecError(
            f"prediction column {prediction!r} is a map, whose keys have no order: name them in order with classes"
        )
    return int(found.metadata.get("ml_attr", {}).get("num_attrs", 2))


def check_soft_label(fields: Fields, roles: Roles, size: int, *, scalar: bool) -> None:
    """Raise SpecError unless a soft label has the form of its prediction."""
    if scalar != is_one_number(fields, roles.label):
        raise SpecError(
            "a soft label and its prediction must both be numbers or both be distributions, "
            f"got label {described(fields, roles.label)} and prediction {described(fields, roles.prediction)}"
        )
    if not isinstance(roles.label, str) and len(roles.label) != size:
        raise SpecError(f"label must have one column per class, got {len(roles.label)} columns for {size} classes")


def hard_label_type(fields: Fields, label: Columns) -> DataType:
    """The type of a label that names a class, which is one column."""
    if isinstance(label, str):
        return fields[label].type
    raise SpecError(
        f"label must be one column, given without a list, got {list(label)}: "
        "a distribution, with one column per class, needs soft_labels=True"
    )


def described(fields: Fields, columns: Columns) -> str:
    """The type of a role's column, or the count of its columns."""
    return fields[columns].type.simpleString() if isinstance(columns, str) else f"{len(columns)} columns"


def check_classes(type_: DataType, name: str, classes: Sequence[Label]) -> None:
    """Raise SpecError where no label of a column of this type and name could ever equal one of the classes."""
    for label in classes:
        if not comparable(type_, label):
            raise SpecError(
                f"label column {name!r} is {type_.simpleString()}, which can never equal the class {label!r}: "
                "give classes=(negative, positive), or K classes in the prediction's order, as the column holds them"
            )


def comparable(type_: DataType, label: Label) -> bool:
    """Whether a label of this type can equal a class."""
    if isinstance(type_, StringType):
        return isinstance(label, str)
    if isinstance(type_, BooleanType):
        return label in (0, 1)
    if isinstance(type_, IntegralType):
        return isinstance(label, int)
    return is_number(type_) and isinstance(label, (int, float))
