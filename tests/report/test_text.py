"""Tables as people see them: what fits, what is cut, what is escaped. No Spark."""

import html
import math
import re

import pandas as pd
import pytest

from logloss_spark.report.text import View, as_html, as_text, broken, cells, estimates, p_values
from tests import hostile

NUMBERS = ["0.5268 [0.5250, 0.5286]", "1.0106"]


def view_of(name: str) -> View:
    """A table whose every text is the same."""
    table = {"slice": [f"all {name}", name], f"a_{name}": NUMBERS, "verdict": ["better", name]}
    return View(title=f"log loss of {name}", table=table, remarks=[f"{name} is better"])


@pytest.mark.parametrize("text", hostile.TEXTS.values(), ids=list(hostile.TEXTS))
@pytest.mark.parametrize("width", [80, 100, 120])
def test_a_terminal_gets_no_control_signs_and_no_line_that_is_too_long(text: str, width: int) -> None:
    title, *table, remark = as_text(view_of(text), width).split("\n")
    assert not hostile.unsafe("\n".join([title, remark]), 500)
    assert not hostile.unsafe("\n".join(table), 200)  # a column besides the first keeps its width
    assert len(table) in (3, 4)  # the header takes a line or two


@pytest.mark.parametrize("text", hostile.TEXTS.values(), ids=list(hostile.TEXTS))
def test_html_holds_no_markup_but_ours(text: str) -> None:
    html = as_html(view_of(text))
    assert set(re.findall(r"</?(\w+)", html)) == {"div", "p", "b", "table", "thead", "tbody", "tr", "th", "td"}
    assert not hostile.unsafe(html, 10_000)
    assert "mathjax_ignore" in html  # "$5 and $10" is no formula


def test_a_long_name_loses_its_middle_so_that_the_table_fits() -> None:
    name = "country=de/segment=" + "x" * 60 + "/end"
    table = {"slice": ["all", name], "n": ["1,000", "10"], "log_loss [95% interval]": [NUMBERS[0]] * 2}
    lines = as_text(View(title="t", table=table), 60).split("\n")
    assert max(map(len, lines)) == 60
    assert re.search(r"^country=de/\S+…\S+/end +10 0\.5268", lines[-1])


def test_columns_that_do_not_fit_are_named_below() -> None:
    table = {"slice": ["all"], **{f"metric_{k}": ["0.12345678"] for k in range(12)}}
    lines = as_text(View(title="t", table=table), 80).split("\n")
    assert max(map(len, lines[:-1])) <= 80
    assert lines[-1].startswith("not shown in 80 columns: metric_")
    assert lines[-1].endswith("metric_10, metric_11")


def test_wide_signs_keep_columns_in_line() -> None:
    lines = as_text(View(title="t", table={"slice": ["all", "市=東京"], "n": ["20", "1"]})).split("\n")
    assert lines[1:] == ["slice    n", "all     20", "市=東京  1"]


def test_numbers_have_the_digits_that_a_reader_takes_in() -> None:
    assert cells(pd.Series([336_776, 7])) == ["336,776", "7"]
    assert cells(pd.Series([0.52681, math.nan, math.inf, 0.0])) == ["0.5268", "-", "inf", "0.0000"]
    assert cells(pd.Series([0.0012345, 0.00098])) == ["0.00123", "0.00098"]
    assert cells(pd.Series([1e-15])) == ["1.00e-15"]
    assert cells(pd.Series([0.5, 0.6, 12345678.9])) == ["0.5000", "0.6000", "1.235e+07"]
    assert p_values(pd.Series([1e-9, 0.05])) == ["<0.0001", "0.0500"]


def test_an_interval_stands_beside_its_estimate_in_line_with_the_others() -> None:
    frame = pd.DataFrame({"d": [-0.5, 0.25, 0.125], "d_low": [-0.75, 0.0, math.nan], "d_high": [-0.25, 0.5, math.nan]})
    assert estimates(frame, "d") == ["-0.5000 [-0.7500, -0.2500]", " 0.2500 [ 0.0000,  0.5000]", " 0.1250" + " " * 19]


def test_a_header_is_no_wider_than_it_must_be() -> None:
    assert broken("calibration_ratio", 6) == ("calibration", "_ratio")
    assert broken("log_loss [95% interval]", 23) == ("", "log_loss [95% interval]")


def test_slices_that_differ_are_shown_so() -> None:
    slices = ["hotel=", "hotel= ", "hotel=null", f"hotel={'x' * 100}/channel=agency"]
    view = View(title="", table={"slice": slices, "n": ["1"] * 4})
    for shown in (as_text(view, 40), html.unescape(as_html(view))):
        for text in ('hotel=""', 'hotel=" "', "hotel=null", "/channel=agency"):
            assert text in shown
