"""Bars beside numbers in HTML: where they stand is read off their style. No Spark."""

import math
import re

import numpy as np
import pandas as pd
import pytest

from logloss_spark.report.bars import Bars, bars_of, ends_of
from logloss_spark.report.text import View, as_html, as_text
from tests import hostile


def parts(html: str) -> list[dict[str, str]]:
    """The style of the box of a bar, and of the parts in it."""
    return [dict(re.findall(r"([\w-]+): ([^;]+)", style)) for style in re.findall('style="([^"]*)"', html)]


def percent(text: str) -> float:
    return float(re.findall(r"-?[\d.]+(?=%)", text)[0])


def test_a_bar_is_to_scale() -> None:
    frame = pd.DataFrame({"loss": [0.5, 0.7], "loss_low": [0.4, 0.6], "loss_high": [0.6, 0.9]})
    first, second = bars_of(frame, "loss", 0.5, "all rows").html()
    left, right = 0.4 - 0.02, 0.9 + 0.02  # the ends, and a twenty-fifth on either side
    for html, (low, value, high) in ((first, (0.4, 0.5, 0.6)), (second, (0.6, 0.7, 0.9))):
        _, line, interval, dot = parts(html)
        at = 100 * (np.array([low, value, high, 0.5]) - left) / (right - left)
        found = [interval["left"], dot["left"], interval["width"], line["left"]]
        np.testing.assert_allclose(list(map(percent, found)), [at[0], at[1], at[2] - at[0], at[3]], atol=0.06)


def test_what_is_not_known_is_not_drawn() -> None:
    nan = math.nan
    none, alone, infinite = Bars([nan, 1.0, math.inf], [nan, nan, nan], [nan, nan, nan], nan, "unknown").html()
    assert none == ""
    assert [part["height"] for part in parts(alone)] == ["0.8em", "50%"]  # a box and a dot: no interval, no line
    assert "nan" not in alone + infinite
    assert ends_of(*(np.array([nan]),) * 3, nan) == (0.0, 1.0)


@pytest.mark.parametrize("text", hostile.TEXTS.values(), ids=list(hostile.TEXTS))
def test_bars_bring_no_markup_but_boxes_and_no_text_of_their_own(text: str) -> None:
    view = View(title="t", table={"slice": ["a", "b"], text: ["1.0", "2.0"]})
    bars = {text: Bars([1.0, 2.0], [0.5, 1.5], [1.5, 2.5], 1.0, text)}
    drawn = View(title="t", table=view.table, bars=bars)
    html = as_html(drawn)
    assert set(re.findall(r"</?(\w+)", html)) == {"div", "p", "b", "table", "thead", "tbody", "tr", "th", "td"}
    assert not hostile.unsafe(html, 10_000)
    assert html.count('aria-hidden="true"') == 2
    assert as_text(drawn) == as_text(view)
