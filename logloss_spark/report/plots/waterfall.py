"""The plot of a decomposition: from the loss of knowing nothing but the class shares to the loss of the forecasts."""

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from logloss_spark.errors import SpecError
from logloss_spark.report.palette import LIGHT, Palette
from logloss_spark.report.plots.canvas import (
    axes_of,
    draw_intervals,
    name_axes,
    name_rows,
    say_nothing,
    signed,
    write_beside,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SMALL_REST = 0.01
"""The rest is drawn if it is larger than this share of the smaller of the other two steps, and not shown as 0."""


def decomposition(
    frame: "pd.DataFrame | pd.Series[Any]", ax: "Axes | None" = None, *, palette: Palette = LIGHT
) -> "Axes":
    """Draw how the log loss comes about: uncertainty, less discrimination, plus miscalibration (CORP).

    Uncertainty is the loss of forecasting the class shares for every row. Discrimination is what perfectly recalibrated
    forecasts would gain on it, and miscalibration what recalibration would gain on the forecasts as they are. The rest,
    which cells of the score leave, is drawn where it is not negligible. The log loss has its interval. The axis does
    not begin at 0, so both ends are dots and not bars.

    Parameters
    ----------
    frame : DataFrame or Series
        Metrics, as `Evaluation.to_pandas` returns them, of which the first row is drawn; or one row.
    ax : Axes, optional
        Where to draw. By default a new figure is made.
    palette : Palette
        The colours.

    Raises
    ------
    SpecError
        The forecasts are not binary, or the loss is not cross-entropy.
    """
    row = frame.iloc[0] if isinstance(frame, pd.DataFrame) else frame
    ax = axes_of(ax, palette, 1.9)
    if not row["n"]:
        return say_nothing(ax, palette)
    if not np.isfinite(row.get("log_loss_discrimination", np.nan)):
        raise SpecError(
            "a decomposition needs a binary forecast and the loss cross_entropy, and a loss that is finite: "
            "this row has no log_loss_discrimination"
        )
    steps = [
        ("discrimination", -row["log_loss_discrimination"], palette.good),
        ("miscalibration", row["log_loss_miscalibration"], palette.bad),
    ]
    rest = row["log_loss_corp_rest"]
    shown = signed([*(size for _, size, _ in steps), rest])[-1]
    if abs(rest) > SMALL_REST * min(abs(size) for _, size, _ in steps) and shown.strip("+−0."):
        steps.append(("rest (cells)", rest, palette.soft))
    places = name_rows(ax, ["uncertainty", *(name for name, _, _ in steps), "log loss"], palette)
    ends = np.cumsum([row["label_entropy"], *(size for _, size, _ in steps)])
    for place, start, end, (_, size, colour) in zip(places[1:-1], ends[:-1], ends[1:], steps, strict=True):
        ax.barh(place, size, left=start, height=0.55, color=colour)
        ax.plot([end, end], [place - 1.0, place], color=palette.soft, lw=0.6)
    ax.plot([ends[0], ends[0]], places[:2], color=palette.soft, lw=0.6)
    ax.scatter([row["label_entropy"]], places[:1], s=14, color=palette.soft, zorder=3)
    ax.use_sticky_edges = False
    ax.margins(x=0.06)
    low, high = row["log_loss_low"], row["log_loss_high"]
    ax.update_datalim([(low, places[-1]), (high, places[-1])])
    ax.autoscale_view(scaley=False)
    draw_intervals(ax, row.to_frame().T, "log_loss", places[-1:], [palette.first], palette)
    sizes = signed([size for _, size, _ in steps])
    write_beside(ax, places, [f"{row['label_entropy']:.4f}", *sizes, f"{row['log_loss']:.4f}"], palette)
    ax.locator_params(axis="x", nbins=5)
    name_axes(ax, palette, x="nats")
    return ax
