"""An axis of scores: of probabilities, or of their logits where most of them are small."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd

from logloss_spark.kernels.grid import EDGES
from logloss_spark.kernels.sums import Array
from logloss_spark.report.palette import Palette
from logloss_spark.report.plots.canvas import SMALLER
from logloss_spark.statistics.calibration import Cells

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SMALL_SCORE = 0.1
"""If most forecasts are below this, or above its mirror image, the axis is one of logits."""

MARGIN = 0.001
"""An axis goes as far as scores do, but for the outermost that hold this share of the weight on either side; one of
logits leaves out exactly 0 and 1, too. What lies beyond is drawn at its end."""

FARTHEST = 21.0
"""Beyond this logit, either side of 0, lie no bins but those of a probability below 1e-9 or above its mirror image."""

NEARLY_ALL = 0.7
"""An axis of probabilities that would be longer than this goes from 0 to 1."""

STEPS = (0.25, 0.1, 0.05, 0.02, 0.01)
"""Distances of ticks on an axis of probabilities; the first of which there are three is taken."""

LEAST_RANGE = 3.0
"""The shortest axis of logits. It holds a tick: powers of ten are 2.3 apart."""

MOST_TICKS = 6
"""The most ticks of an axis of logits."""

NICE = (1e-9, 1e-8, 1e-7, 1e-6, 1e-5, 1e-4, 0.001, 0.01, 0.1, 0.5, 0.9, 0.99, 0.999, 0.9999)
FINER = (0.0002, 0.0005, 0.002, 0.005, 0.02, 0.05, 0.2, 0.3, 0.7, 0.8, 0.95, 0.98, 0.995)
"""Probabilities that ticks on an axis of logits stand at, and those between them where the axis is short."""


@dataclass(frozen=True)
class ScoreAxis:
    """Where scores are on an axis that goes from `least` to `most`: at their logits, or at themselves."""

    logit: bool
    least: float
    most: float

    def of(self, part: Any, rest: Any) -> Array:
        """Where the score part / (part + rest) is; within the range."""
        part, rest = np.asarray(part, dtype=np.float64), np.asarray(rest, dtype=np.float64)
        with np.errstate(all="ignore"):
            at = np.log(part) - np.log(rest) if self.logit else part / (part + rest)
            return np.asarray(np.clip(at, self.least, self.most))

    def of_probability(self, p: Any) -> Array:
        """Where a probability is."""
        return self.of(p, 1.0 - np.asarray(p, dtype=np.float64))

    def unbounded(self) -> "ScoreAxis":
        """The same axis as far as scores go."""
        least, most = (-FARTHEST, FARTHEST) if self.logit else (0.0, 1.0)
        return replace(self, least=least, most=most)

    def rounded(self) -> "ScoreAxis":
        """The same axis of probabilities, from 0 to 1 if it is nearly that long, and at most 1."""
        wide = self.most - self.least > NEARLY_ALL
        return replace(self, least=0.0, most=1.0) if wide else replace(self, most=min(self.most, 1.0))

    def edges(self, most: int) -> Array:
        """Edges of at most so many bars of nearly equal width, all of them edges of the grid of scores."""
        grid = np.unique(self.of_probability(np.concatenate([[0.0], EDGES[1:]])))
        wanted = np.linspace(self.least, self.most, most + 1)
        return np.unique(grid[np.abs(grid[:, np.newaxis] - wanted).argmin(axis=0)])

    def dress(self, ax: "Axes", palette: Palette, which: Literal["x", "y"]) -> None:
        """Give the axes this axis: its range, and ticks that read as probabilities."""
        axis = ax.xaxis if which == "x" else ax.yaxis
        (ax.set_xlim if which == "x" else ax.set_ylim)(self.least, self.most)
        shown = self.ticks()
        names = [tick_name(p) for p in shown]
        axis.set_ticks(list(self.of_probability(shown)), names, fontsize=SMALLER, color=palette.soft, parse_math=False)

    def ticks(self) -> list[float]:
        """The probabilities that ticks stand at."""
        if not self.logit:
            step = next(step for step in STEPS if (self.most - self.least) / step > 2.5 or step == STEPS[-1])
            places = np.arange(np.ceil(self.least / step - 1e-9), self.most / step + 1e-9)
            return [round(abs(float(place * step)), 9) for place in places]  # the least may be -0.0
        inside = [p for p in NICE if self.least <= np.log(p / (1 - p)) <= self.most]
        if len(inside) < 4:
            inside = [p for p in sorted(NICE + FINER) if self.least <= np.log(p / (1 - p)) <= self.most]
        return inside[:: max(1, -(-len(inside) // MOST_TICKS))]


def tick_name(p: float) -> str:
    """A probability as a tick says it.

    Examples
    --------
    >>> [tick_name(p) for p in (0.0, 0.25, 0.001, 1e-06)]
    ['0', '0.25', '0.001', '1e-6']
    """
    return f"{p:g}".replace("e-0", "e-")


def axis_of(frame: pd.DataFrame) -> ScoreAxis:
    """The axis on which the scores of cells, in ascending order, are best seen."""
    weights, parts, rests = (frame[name].to_numpy(dtype=np.float64) for name in ("w", "wp", "wq"))
    total = weights.sum()
    small, large = (weights[sums < SMALL_SCORE * weights].sum() for sums in (parts, rests))
    logit = bool(max(small, large) > total / 2)
    up_to, drawn = np.cumsum(weights), ((parts > 0.0) & (rests > 0.0)) | (not logit)
    inner = np.flatnonzero(drawn & (up_to >= MARGIN * total) & (up_to - weights <= (1.0 - MARGIN) * total))
    if not inner.size:
        return ScoreAxis(False, 0.0, 1.0)
    whole = ScoreAxis(logit, *((-FARTHEST, FARTHEST) if logit else (0.0, 1.0)))
    first, last = whole.of(parts[inner[[0, -1]]], rests[inner[[0, -1]]])
    if not logit:
        least, most = np.floor(20.0 * first) / 20.0, (np.floor(20.0 * last) + 1.0) / 20.0  # edges of the grid
        return ScoreAxis(False, float(least), float(most)).rounded()
    space = max(0.03 * (last - first), (LEAST_RANGE - (last - first)) / 2.0)
    return ScoreAxis(True, float(first - space), float(last + space))


def cells_in(frame: pd.DataFrame) -> Cells:
    """The cells of a frame as the sums of one slice."""
    sums = (frame[name].to_numpy(dtype=np.float64)[np.newaxis] for name in ("w", "w2", "wy", "w2y", "wp", "wq"))
    return Cells(frame["cell"].to_numpy(dtype=np.int64), *sums)
