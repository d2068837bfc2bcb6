"""What stands behind `.plot` of results: it collects the frames of a plot, which `report.plots` draws."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pandas as pd
from pyspark.sql import Column

from logloss_spark.kernels.sums import Array
from logloss_spark.report import plots

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True, kw_only=True)
class EvaluationPlots:
    """The plots of an evaluation. Each takes the axes to draw on, and returns them; without them it makes a figure.

    They read no row again: they draw the metrics by slice, and the sums of the state by bin of the score.

    Attributes
    ----------
    metrics, cells : functions that return these frames, for the functions of `logloss_spark.report.plots`; `cells`
        takes a condition on the slice columns
    residuals : a function that returns the residuals of clusters, given such a condition
    """

    metrics: Callable[[], pd.DataFrame]
    cells: Callable[..., pd.DataFrame]
    residuals: Callable[..., Array | None]

    def reliability(self, ax: "Axes | None" = None, *, where: str | Column | None = None) -> "Axes":
        """Draw what happened against what was forecast: see `logloss_spark.report.plots.reliability`.

        `where` is a condition on the slice columns, as in `State.where`, whose rows alone are drawn.
        """
        return plots.reliability(self.cells(where), ax, residuals=self.residuals(where))

    def slices(self, ax: "Axes | None" = None) -> "Axes":
        """Draw the slices that add most to the loss: see `logloss_spark.report.plots.slices`."""
        return plots.slices(self.metrics(), ax)

    def over(
        self, column: str, ax: "Axes | None" = None, *, metric: str | None = None, bound: float | None = None
    ) -> "Axes":
        """Draw a metric over the values of a slice column: see `logloss_spark.report.plots.over`."""
        return plots.over(self.metrics(), column, ax, metric=metric, bound=bound)

    def scores(self, ax: "Axes | None" = None, *, where: str | Column | None = None) -> "Axes":
        """Draw the histogram of the scores of either class: see `logloss_spark.report.plots.scores`.

        `where` is as in `reliability`.
        """
        return plots.scores(self.cells(where), ax)

    def decomposition(self, ax: "Axes | None" = None) -> "Axes":
        """Draw how the log loss comes about: see `logloss_spark.report.plots.decomposition`."""
        return plots.decomposition(self.metrics(), ax)

    def ranking(self, ax: "Axes | None" = None) -> "Axes":
        """Draw the ROC curve: see `logloss_spark.report.plots.ranking`."""
        return plots.ranking(self.cells(), ax, metrics=self.metrics().iloc[0])


@dataclass(frozen=True, kw_only=True)
class ComparisonPlots:
    """The plot of a comparison."""

    metrics: Callable[[], pd.DataFrame]

    def differences(self, ax: "Axes | None" = None) -> "Axes":
        """Draw the differences from the baseline by slice: see `logloss_spark.report.plots.differences`."""
        return plots.differences(self.metrics(), ax)


@dataclass(frozen=True, kw_only=True)
class DriftPlots:
    """The plot of a drift.

    Attributes
    ----------
    cells : a function that returns the sums of both states by bin of the score
    """

    cells: Callable[[], pd.DataFrame]

    def scores(self, ax: "Axes | None" = None) -> "Axes":
        """Draw the distributions of the scores of both states: see `logloss_spark.report.plots.drift`."""
        return plots.drift(self.cells(), ax)


@dataclass(frozen=True, kw_only=True)
class ModelPlots:
    """The plots of a fitted model."""

    steps: Callable[[], pd.DataFrame]
    table: Callable[[], pd.DataFrame]

    def history(self, ax: "Axes | None" = None) -> "Axes":
        """Draw the loss by iteration: see `logloss_spark.report.plots.history`."""
        return plots.history(self.steps(), ax)

    def coefficients(self, ax: "Axes | None" = None, *, confidence: float = 0.95) -> "Axes":
        """Draw the coefficients with intervals: see `logloss_spark.report.plots.coefficients`."""
        return plots.coefficients(self.table(), ax, confidence=confidence)
