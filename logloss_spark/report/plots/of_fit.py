"""Plots of a fitted model: what its fit did, and its coefficients."""

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from logloss_spark.report.palette import LIGHT, Palette
from logloss_spark.report.plots.canvas import axes_of, explain, height_of_rows, name_axes, name_rows
from logloss_spark.statistics.distributions import normal_quantile

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST_COEFFICIENTS = 20
"""Coefficients that are drawn."""


def history(frame: pd.DataFrame, ax: "Axes | None" = None, *, palette: Palette = LIGHT) -> "Axes":
    """Draw the loss of each iteration of a fit, and that of its validation rows if there are any.

    Parameters
    ----------
    frame : DataFrame
        `LogisticModel.history`.
    ax : Axes, optional
    palette : Palette
    """
    ax = axes_of(ax, palette)
    lines = [("loss", palette.first), ("validation_loss", palette.second)]
    entries = []
    for name, colour in lines:
        values = frame[name].astype(float)
        if values.notna().any():
            (line,) = ax.plot(frame["iteration"], values, color=colour, lw=1.2, marker="o", ms=3)
            entries.append((line, name))
    explain(ax, palette, entries)
    name_axes(ax, palette, x="iteration", y="log loss")
    return ax


def coefficients(
    frame: pd.DataFrame, ax: "Axes | None" = None, *, confidence: float = 0.95, palette: Palette = LIGHT
) -> "Axes":
    """Draw the coefficients of a model with intervals, those first that are the most errors from 0.

    Parameters
    ----------
    frame : DataFrame
        `LogisticModel.table`.
    ax : Axes, optional
    confidence : float
        The coverage of the intervals.
    palette : Palette
    """
    importance = frame["z"].where(frame["z"].notna(), frame["coefficient"]).abs()
    order = importance.sort_values(ascending=False, kind="stable").index[:MOST_COEFFICIENTS]
    shown = frame.loc[order]
    ax = axes_of(ax, palette, height_of_rows(len(shown)))
    features = shown["feature"].astype(str)
    names = features if "class" not in shown else shown["class"].astype(str) + ": " + features
    places = name_rows(ax, names.tolist(), palette)
    reach = normal_quantile(confidence) * shown["standard_error"].to_numpy(dtype=np.float64)
    value = shown["coefficient"].to_numpy(dtype=np.float64)
    ax.axvline(0.0, color=palette.soft, lw=0.8)
    ax.hlines(places, value - reach, value + reach, color=palette.first, lw=1.2)
    ax.plot(value, places, "o", color=palette.first, ms=3.5)
    name_axes(ax, palette, x="coefficient")
    return ax
