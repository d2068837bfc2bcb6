"""How a row is scored, and which columns mean what: what is accepted, and what is refused in one line. No Spark."""

import pickle
from decimal import Decimal
from functools import partial

import numpy as np
import pytest

from logloss_spark.errors import SpecError
from logloss_spark.roles import Roles
from logloss_spark.rows.engines import check_engine
from logloss_spark.scoring import Scoring


def test_classes_are_kept_as_a_tuple_of_pythons_own_types():
    assert Scoring(classes=[False, True]).classes == (0, 1)
    assert [type(label) for label in Scoring(classes=(np.int64(1), Decimal("0.50"), 2.0, "a")).classes] == [
        int,
        float,
        int,
        str,
    ]
    assert Scoring(classes=range(3)) == Scoring(classes=(0, 1, 2))


def test_sequences_of_columns_are_kept_as_tuples_and_grouping_sets_once():
    roles = Roles(label="y", prediction=["a", "b"], by=[["day"], ["day", "user"], ["user", "day"]])
    assert roles.prediction == ("a", "b")
    assert roles.sets == (("day",), ("day", "user"))
    assert roles.slices == ("day", "user")
    assert Roles(label="y", prediction="p", by="day") == Roles(label="y", prediction="p", by=[["day"]])


def test_roles_and_scoring_are_plain_data_that_can_be_pickled():
    for value in (Roles(label="y", prediction="p", by="day"), Scoring(kind="logit", classes=(-1, 1))):
        assert pickle.loads(pickle.dumps(value)) == value


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (
            {"kind": "prob"},
            r"kind must be 'probability', 'logit' or 'margin', got 'prob'\. Did you mean 'probability'\?",
        ),
        ({"clip": None}, "clip must be 'eps' or 'none', got None"),
        ({"classes": (1,)}, r"classes must name two labels or more, got \[1\]"),
        ({"loss": "hing"}, "loss must be .*, got 'hing'. Did you mean 'hinge'"),
        ({"loss": None}, "loss must be .*, got None"),
        ({"loss": lambda y, p: p}, "a name of its own.*got '<lambda>': define it with `def`"),
        ({"loss": partial(max, key=abs)}, "a name of its own, .* got none"),
    ],
)
def test_an_argument_with_an_invalid_value_is_refused_in_one_line(words, line):
    with pytest.raises(SpecError, match=line) as refused:
        Scoring(**words)
    assert "\n" not in str(refused.value)


def test_a_class_repeated_among_thousands_is_found_at_once():
    with pytest.raises(SpecError, match="got 7 twice"):
        Scoring(classes=(*range(100_000), 7))


def test_a_users_function_cannot_take_the_name_of_a_loss_that_there_is():
    def hinge(y, p):
        return p

    with pytest.raises(SpecError, match="got 'hinge': define it with `def`, under another name"):
        Scoring(loss=hinge)


def test_a_loss_that_an_engine_does_not_compute_is_refused_in_one_line():
    with pytest.raises(SpecError, match="engine='native' computes only cross_entropy, got loss 'hinge'"):
        check_engine("native", Scoring(loss="hinge"))
