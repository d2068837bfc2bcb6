"""Plots: functions that draw frames that were collected already, and return the Axes.

Each takes the axes to draw on; without them it makes a figure. They need the extra `report`, matplotlib.
"""

from logloss_spark.report.plots.by_score import drift, ranking, reliability, scores
from logloss_spark.report.plots.by_slice import differences, over, slices
from logloss_spark.report.plots.of_fit import coefficients, history
from logloss_spark.report.plots.waterfall import decomposition

__all__ = [
    "coefficients",
    "decomposition",
    "differences",
    "drift",
    "history",
    "over",
    "ranking",
    "reliability",
    "scores",
    "slices",
]
