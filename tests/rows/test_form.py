"""What a schema makes of roles and scoring: plain data, found without a row and without Spark."""

import pickle

import pytest
from pyspark.sql import Column
from pyspark.sql.types import (
    ArrayType,
    BooleanType,
    DataType,
    DateType,
    DecimalType,
    DoubleType,
    IntegerType,
    MapType,
    StringType,
)

from logloss_spark.errors import SpecError
from logloss_spark.roles import Roles
from logloss_spark.rows.columns import FoundColumn
from logloss_spark.rows.form import Form, check_width, form_of
from logloss_spark.scoring import Scoring

NUMBERS = ArrayType(DoubleType())
TYPES = {
    "label": IntegerType(),
    "share": DoubleType(),
    "shares": NUMBERS,
    "p": DoubleType(),
    "q": DecimalType(3, 2),
    "array": NUMBERS,
    "three": NUMBERS,
    "map": MapType(StringType(), DoubleType()),
    "w": IntegerType(),
    "user": StringType(),
    "day": DateType(),
    "text": StringType(),
    "texts": ArrayType(StringType()),
}
METADATA = {"three": {"ml_attr": {"num_attrs": 3}}}


def form(label="label", prediction="p", *, weight=None, cluster=None, by=(), **scoring) -> Form:
    # A form is made of types and metadata alone, so no column is needed.
    fields = {name: FoundColumn(type_, None, METADATA.get(name, {})) for name, type_ in TYPES.items()}
    roles = Roles(label=label, prediction=prediction, weight=weight, cluster=cluster, by=by)
    return form_of(fields, roles, Scoring(**scoring), has_vectors=False)


def held(value):
    """A value and all that it holds."""
    yield value
    for inner in vars(value).values() if isinstance(value, Form | DataType) else ():
        yield from held(inner)


@pytest.mark.parametrize(
    "made",
    [
        lambda: form(weight="w", cluster="user", by="day"),
        lambda: form("share", soft_labels=True),
        lambda: form("shares", "array", soft_labels=True),
        lambda: form(prediction="map", classes=(0, 1, 2)),
    ],
)
def test_a_form_is_plain_data_that_can_be_pickled(made):
    found = made()
    assert pickle.loads(pickle.dumps(found)) == found
    assert not any(isinstance(value, Column) for value in held(found))


@pytest.mark.parametrize(
    ("prediction", "scoring", "scalar", "classes"),
    [
        ("p", {}, True, (0, 1)),
        ("q", {"kind": "logit"}, True, (0, 1)),
        ("p", {"classes": (-1, 1)}, True, (-1, 1)),
        ("array", {}, False, (0, 1)),
        ("array", {"kind": "margin"}, True, (0, 1)),
        ("three", {}, False, (0, 1, 2)),
        ("array", {"classes": range(4)}, False, (0, 1, 2, 3)),
        (["p", "q"], {}, False, (0, 1)),
        (["p", "q"], {"kind": "margin"}, True, (0, 1)),
    ],
)
def test_the_prediction_says_how_many_classes_there_are_and_whether_its_score_is_one_number(
    prediction, scoring, scalar, classes
):
    found = form(prediction=prediction, **scoring)
    assert (found.scalar, found.classes, found.size) == (scalar, classes, len(classes))


def test_a_class_keeps_its_type_and_a_share_is_a_double():
    assert form().label_type == IntegerType()
    assert form("share", soft_labels=True).label_type == DoubleType()
    assert form("shares", "array", soft_labels=True).label_type == NUMBERS
    assert form(["p", "q"], "array", soft_labels=True).label_type == NUMBERS


def test_a_form_says_which_roles_there_are():
    both = form(weight="w", cluster="user")
    assert (form().weighted, form().clustered) == (False, False)
    assert (both.weighted, both.clustered) == (True, True)


def test_a_margin_in_three_columns_is_refused():
    with pytest.raises(SpecError, match="got 3 columns"):
        check_width(Roles(label="y", prediction=("a", "b", "c")), Scoring(kind="margin"))


@pytest.mark.parametrize(
    ("roles", "line"),
    [
        ({"prediction": "text"}, "prediction column 'text' must hold numbers, arrays of .*, got string"),
        ({"prediction": ["p", "text"]}, "prediction column 'text' must be numeric, got string: cast it"),
        ({"weight": "user"}, "weight column 'user' must be numeric, got string: cast it, or leave weight out"),
        ({"by": "array"}, "slice column 'array' must hold plain values, got array<double>: cast it to string"),
        ({"cluster": "map"}, "cluster column 'map' must hold plain values"),
        ({"label": ["p", "q"]}, r"label must be one column, .*, got \['p', 'q'\]"),
        ({"label": "texts", "prediction": "array", "soft_labels": True}, r"label column 'texts' .* got array<string>"),
        ({"label": "shares", "soft_labels": True}, "a soft label and its prediction must both be numbers or both be"),
        ({"classes": (0, 1, 2)}, "classes must name 2 labels, as the prediction is a number, .*, got 3"),
        ({"prediction": "map"}, "prediction column 'map' is a map, whose keys have no order"),
    ],
)
def test_a_column_that_cannot_have_its_role_is_refused_in_one_line(roles, line):
    with pytest.raises(SpecError, match=line) as refused:
        form(**roles)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("type_", "classes"),
    [(StringType(), ("no", "yes")), (BooleanType(), (0, 1)), (IntegerType(), (0, 1)), (DecimalType(3, 2), (0.5, 1))],
)
def test_classes_are_of_the_labels_type(type_, classes, monkeypatch):
    monkeypatch.setitem(TYPES, "label", type_)
    assert form(classes=classes).classes == classes
    other = (0.7, 1) if isinstance(type_, IntegerType | BooleanType) else ("a", 1)
    with pytest.raises(SpecError, match="which can never equal the class"):
        form(classes=other)
