"""Intervals as small bars beside the numbers of a table, in HTML and CSS alone."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from logloss_spark.kernels.sums import Array

WIDE = 4.0
"""An interval of so many times the median length, or more, does not decide how far an axis goes."""

BOX = "display: inline-block; position: relative; width: 8em; height: 0.8em; margin-left: 0.8em; overflow: hidden"
PART = "position: absolute; background: currentColor"
"""The colour is that of the text, so that bars fit a light and a dark page."""


@dataclass(frozen=True)
class Bars:
    """Estimates with intervals that are drawn beside the cells of a column, all on one scale.

    Parameters
    ----------
    value, low, high : sequences of float, one for each row; NaN where there is none
    line : float
        A value with which all of them are compared.
    meaning : str
        What the line is, in words.
    """

    value: Sequence[float]
    low: Sequence[float]
    high: Sequence[float]
    line: float
    meaning: str

    def html(self) -> list[str]:
        """Return the bars as HTML; nothing for a row without an estimate."""
        value, low, high = (np.asarray(ends, dtype=np.float64) for ends in (self.value, self.low, self.high))
        least, most = ends_of(value, low, high, self.line)
        places = np.clip(np.stack([low, high, value, np.full(len(value), self.line)], axis=1), least, most)
        shares = 100.0 * (places - least) / (most - least)
        return [bar(*of_row) if np.isfinite(of_row[2]) else "" for of_row in shares.tolist()]


def bars_of(frame: pd.DataFrame, name: str, line: float, meaning: str) -> Bars:
    """Return the bars of an estimate of a frame that has its interval, too."""
    value, low, high = (frame[f"{name}{end}"].tolist() for end in ("", "_low", "_high"))
    return Bars(value, low, high, line, meaning)


def bar(low: float, high: float, value: float, line: float) -> str:
    """Return one bar as HTML; all numbers are percent of its width, and a part whose place is NaN is not there.

    Examples
    --------
    >>> bar(20.0, 60.0, 40.0, 50.0).count("<div")
    4
    """
    parts = (
        (line, f"left: {line:.1f}%; width: 1px; top: 0; height: 100%; opacity: 0.4"),
        (high - low, f"left: {low:.1f}%; width: {high - low:.1f}%; top: 45%; height: 2px; opacity: 0.6"),
        (value, f"left: calc({value:.1f}% - 2px); top: 25%; width: 5px; height: 50%; border-radius: 2px"),
    )
    drawn = "".join(f'<div style="{PART}; {style}"></div>' for place, style in parts if np.isfinite(place))
    return f'<div aria-hidden="true" style="{BOX}">{drawn}</div>'


def ends_of(value: Array, low: Array, high: Array, include: float) -> tuple[float, float]:
    """Return how far an axis of intervals goes: over all estimates and intervals, but for very wide ones, with space.

    Examples
    --------
    >>> value, reach = np.array([1.0, 2.0, 1.5]), np.array([0.5, 0.5, 40.0])
    >>> ends_of(value, value - reach, value + reach, 2.5)
    (0.42, 2.58)
    """
    with np.errstate(all="ignore"):  # both ends may be infinite
        length = high - low
    usual = length <= WIDE * np.nanmedian(length) if np.isfinite(length).any() else np.isfinite(length)
    ends = np.concatenate([value, low[usual], high[usual], [include]])
    ends = ends[np.isfinite(ends)]
    if not ends.size:
        return 0.0, 1.0
    space = 0.04 * float(ends.max() - ends.min()) or 0.1
    return float(ends.min() - space), float(ends.max() + space)
