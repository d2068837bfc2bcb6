"""Show what recalibration would gain: a line for each method, on rows that it was not fitted to."""

from collections.abc import Mapping

from logloss_spark.report.text import NOTHING, View
from logloss_spark.statistics.recalibration import Gain


def view_of_gains(gains: Mapping[str, tuple[int, Gain | None]]) -> View:
    """Return what a person sees of calibrators: by their methods the rows that they were fitted to, and their gains."""
    rows = [(name, f"{fitted:,}", *gain_in_cells(gain)) for name, (fitted, gain) in gains.items()]
    headers = ("method", "rows fitted to", "rows measured on", "loss falls by", "interval")
    table = {header: [row[place] for row in rows] for place, header in enumerate(headers)}
    return View(title="what recalibration would gain", table=table)


def gain_in_cells(gain: Gain | None) -> tuple[str, str, str]:
    """The rows that a gain was measured on, the gain, and its interval, as texts."""
    if gain is None:
        return NOTHING, NOTHING, NOTHING
    interval = NOTHING if gain.low is None or gain.high is None else f"[{gain.low:.5f}, {gain.high:.5f}]"
    return f"{gain.rows:,}", f"{gain.value:.5f}", interval
