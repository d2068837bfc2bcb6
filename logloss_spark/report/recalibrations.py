"""Show what recalibration would gain: a line for each method, on rows that it was not fitted to."""

from collections.abc import Iterator, Mapping

from logloss_spark.report.text import NOTHING, View
from logloss_spark.statistics.recalibration import Gain
from logloss_spark.statistics.reporting import Coverage

FALLS = "the log loss would fall"
MAY_FALL = "the log loss would fall here, and may rise on new rows"
MAY_RISE = "the log loss would rise: there is nothing to gain"
RISES = "the log loss would rise, on new rows too: do not recalibrate"


def view_of_gains(gains: Mapping[str, tuple[int, Gain | None]]) -> View:
    """Return what a person sees of calibrators: by their methods their gains, and the rows that they were fitted to."""
    rows = [(name, *gain_in_cells(gain), f"{fitted:,}") for name, (fitted, gain) in gains.items()]
    known = {name: gain for name, (_, gain) in gains.items() if gain is not None}
    interval = next((Coverage(confidence=gain.confidence).words for gain in known.values()), "interval")
    headers = ("method", "loss falls by", interval, "rows measured on", "rows fitted to")
    table = {header: [row[place] for row in rows] for place, header in enumerate(headers)}
    return View(title="what recalibration would gain", table=table, remarks=list(remarks_on_gains(known)))


def gain_in_cells(gain: Gain | None) -> tuple[str, str, str]:
    """The gain, its interval, and the rows that it was measured on, as texts."""
    if gain is None:
        return NOTHING, NOTHING, NOTHING
    interval = NOTHING if gain.low is None or gain.high is None else f"[{gain.low:.5f}, {gain.high:.5f}]"
    return f"{gain.value:.5f}", interval, f"{gain.rows:,}"


def remarks_on_gains(gains: Mapping[str, Gain]) -> Iterator[str]:
    """Return what gains mean: by which methods the loss would fall or rise, and what their intervals are of."""
    meanings = {name: meaning_of(gain) for name, gain in gains.items()}
    for meaning in dict.fromkeys(meanings.values()):
        yield f"{', '.join(name for name, said in meanings.items() if said == meaning)}: {meaning}"
    if any(gain.low is not None for gain in gains.values()):
        yield "an interval is of the fall on as many new rows; that of the expected fall is narrower by the root of 2"


def meaning_of(gain: Gain) -> str:
    """What a gain and its interval say."""
    if gain.value <= 0.0:
        return RISES if gain.high is not None and gain.high < 0.0 else MAY_RISE
    return MAY_FALL if gain.low is not None and gain.low <= 0.0 else FALLS
