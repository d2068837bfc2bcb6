"""What an error says, and with what code it ends the command line."""

import pickle

import pytest

from logloss_spark.errors import MESSAGE, DataError, GateError, LogLossError, SpecError
from logloss_spark.wording import NAME, did_you_mean, visible
from tests import hostile


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


@pytest.mark.parametrize("text", hostile.TEXTS.values(), ids=list(hostile.TEXTS))
def test_text_from_data_is_made_visible_and_short(text: str) -> None:
    assert not hostile.unsafe(visible(text), NAME)
    assert "\n" not in visible(text)


def test_what_is_printable_and_short_is_left_as_it_is() -> None:
    for text in ("late", "東京都", "e\u0301", "it's", "C:\\new", "a" * NAME, "🔥" * (NAME // 2)):
        assert visible(text) == text


def test_a_cut_text_keeps_its_ends_and_fits_in_columns() -> None:
    assert visible("a" * 100 + "z" * 100, 9) == "aaaa…zzzz"
    assert visible("東" * 100, 9) == "東東…東東"  # wide signs take two columns each
    assert visible("\n" * 100, 9) == r"\n\n…\n\n"  # an escape is not cut in two


def test_what_is_invisible_is_written_as_python_writes_it() -> None:
    assert visible("US\u200b") == r"US\u200b"
    assert visible("\x1b[31mred") == r"\x1b[31mred"
    assert visible("a\udcffb") == r"a\udcffb"  # half of a pair: no terminal could print it


@pytest.mark.parametrize("text", hostile.TEXTS.values(), ids=list(hostile.TEXTS))
def test_a_message_is_one_safe_line_whatever_it_names(text: str) -> None:
    error = SpecError(f"label column '{text}' is not in the table; {did_you_mean(text, [text] * 20)}")
    assert not hostile.unsafe(str(error), MESSAGE)
    assert "\n" not in str(error)
    assert str(error).startswith("label column '")


def test_a_long_message_keeps_its_rule_and_its_advice() -> None:
    message = str(DataError(f"a rule, and {'x' * 5_000} came: do this"))
    assert len(message) == MESSAGE
    assert message.startswith("a rule, and x")
    assert message.endswith("x came: do this")


def test_a_notebook_shows_the_sentence_alone() -> None:
    # IPython calls this of an exception that has it, and prints the lines in the place of the stack.
    assert SpecError("by is a list")._render_traceback_() == ["SpecError: by is a list"]
    assert not hasattr(ZeroDivisionError(), "_render_traceback_")


def test_an_error_survives_pickling_with_its_message() -> None:
    error = pickle.loads(pickle.dumps(DataError("one\nline")))
    assert (type(error), str(error)) == (DataError, r"one\nline")
