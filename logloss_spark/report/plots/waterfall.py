"""The plot of a decomposition: from the loss of knowing nothing but the class shares to the loss of the forecasts."""

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from logloss_spark.report.palette import LIGHT, Palette
from logloss_spark.report.plots.canvas import SMALLER, axes_of, name_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def decomposition(
    frame: "pd.DataFrame | pd.Series[Any]", ax: "Axes | None" = None, *, palette: Palette = LIGHT
) -> "Axes":
    """Draw how the log loss comes about: uncertainty, less discrimination, plus miscalibration (CORP).

    Parameters
    ----------
    frame : DataFrame or Series
        Metrics, as `Evaluation.to_pandas` returns them, of which the first row is drawn; or one row.
    ax : Axes, optional
    palette : Palette
    """
    row = frame.iloc[0] if isinstance(frame, pd.DataFrame) else frame
    ax = axes_of(ax, palette)
    steps = [
        ("uncertainty", float(row["label_entropy"]), palette.soft),
        ("discrimination", -float(row["log_loss_discrimination"]), palette.good),
        ("miscalibration", float(row["log_loss_miscalibration"]), palette.bad),
    ]
    ends = np.cumsum([size for _, size, _ in steps])
    for place, ((_, size, colour), end) in enumerate(zip(steps, ends, strict=True)):
        ax.bar(place, size, bottom=end - size, color=colour, width=0.6)
    ax.bar(len(steps), float(row["log_loss"]), color=palette.first, width=0.6)
    names = [*(name for name, _, _ in steps), "log loss"]
    ax.set_xticks(range(len(names)), names, fontsize=SMALLER, parse_math=False)
    name_axes(ax, palette, y="nats")
    return ax
