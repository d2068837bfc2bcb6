"""What an error says, and with what code it ends the command line."""

import pytest

from logloss_spark.errors import DataError, GateError, LogLossError, SpecError, did_you_mean


@pytest.mark.parametrize(
    ("error", "exit_code"),
    [(LogLossError, 1), (SpecError, 2), (GateError, 3), (DataError, 4)],
    ids=lambda value: str(value),
)
def test_an_error_knows_its_exit_code_and_is_caught_as_one_family(error: type[LogLossError], exit_code: int) -> None:
    with pytest.raises(LogLossError) as caught:
        raise error("one line")
    assert caught.value.exit_code == exit_code


@pytest.mark.parametrize(
    ("name", "meant"), [("w8", "w"), ("Label", "label"), ("lable", "label"), ("p_", "p")], ids=lambda value: value
)
def test_the_nearest_name_is_suggested(name: str, meant: str) -> None:
    assert did_you_mean(name, ["label", "p", "w"]) == f"it has: label, p, w. Did you mean '{meant}'?"


def test_nothing_is_suggested_where_nothing_is_near() -> None:
    assert did_you_mean("segment", ["label", "p", "w"]) == "it has: label, p, w"


def test_a_name_keeps_its_own_spelling() -> None:
    assert did_you_mean("LABEL", ["Label"]) == "it has: Label. Did you mean 'Label'?"


def test_hundreds_of_names_are_cut_but_the_near_one_is_found_among_all() -> None:
    hint = did_you_mean("feature_399x", [f"feature_{k}" for k in range(400)])
    assert hint.endswith("feature_11 and 388 more. Did you mean 'feature_399'?")


def test_no_names_at_all_are_said_so() -> None:
    assert did_you_mean("p", []) == "it has none"
