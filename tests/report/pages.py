"""Pages of reports from made-up frames: as many slices as a test wants, with names as hostile as it wants. No Spark."""

import datetime
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from logloss_spark.gates.estimates import Measurement
from logloss_spark.gates.judging import Judgement, judge
from logloss_spark.gates.patterns import quoted_null
from logloss_spark.gates.rules import Gate, Rule
from logloss_spark.kernels.grid import BINS
from logloss_spark.kernels.status import STATUSES
from logloss_spark.report.page import Page
from logloss_spark.report.text import View
from logloss_spark.statistics.catalogue import METRICS, by_column
from logloss_spark.statistics.drift import HIGH, LOW

ROWS = 1_000
"""Rows of each slice."""


def metrics_of(slices: pd.DataFrame, seed: int = 7) -> pd.DataFrame:
    """Metrics of a binary forecast for the global row and these slices, in the columns that an evaluation has.

    `slices` has the slice columns, null where they are rolled up, `grouping_id` and `slice`.
    """
    rng = np.random.default_rng(seed)
    names = [name for name in slices if name not in ("grouping_id", "slice")]
    everything = dict.fromkeys(names) | {"grouping_id": 2 ** len(names) - 1, "slice": "all"}
    frame = pd.concat([pd.DataFrame([everything]), slices], ignore_index=True).astype({"grouping_id": np.int64})
    size = len(frame)
    n = np.full(size, ROWS)
    n[0] = ROWS * max(size - 1, 1)
    counts = {status: np.where(n > 0, 0, 0) for status in STATUSES} | {"ok": n}
    counts["null_label"] = np.r_[12, np.zeros(size - 1, dtype=np.int64)]
    loss = np.r_[0.5, 0.5 + rng.normal(0, 0.05, size - 1)]
    known: dict[str, Any] = {"log_loss": loss, "weight": n.astype(float), "few": np.arange(size) % 7 == 6}
    known |= {"normalized_entropy": loss / 0.6, "label_entropy": np.full(size, 0.6), "ece": np.full(size, 0.02)}
    known |= {"calibration_ratio": np.r_[1.03, 1.0 + rng.normal(0, 0.1, size - 1)], "auc": np.full(size, 0.75)}
    known |= {"log_loss_miscalibration": np.full(size, 0.01), "log_loss_discrimination": np.full(size, 0.11)}
    known |= {"brier": np.full(size, 0.16), "cox_slope": np.full(size, 0.95)}
    for name in ("log_loss", "normalized_entropy", "calibration_ratio"):
        reach = 1.96 * 0.6 / np.sqrt(n)
        known |= {f"{name}_low": known[name] - reach, f"{name}_high": known[name] + reach}
    columns = {
        column: np.zeros(size, dtype={"count": np.int64, "flag": bool}.get(metric.type, float))
        for column, metric in by_column(METRICS).items()
    }
    frame = frame[[*names, "slice", "grouping_id"]]
    measured = pd.DataFrame({"rows": n + counts["null_label"], "n": n} | columns | known | counts)
    return pd.concat([frame, measured], axis=1)


def by_country_and_device(countries: Sequence[str], devices: Sequence[str] = ("phone", "desktop")) -> pd.DataFrame:
    """Slices by country, and by country and device."""
    alone = [(country, None, 1, f"country={quoted_null(country)}") for country in countries]
    both = [
        (country, device, 0, f"country={quoted_null(country)}/device={device}")
        for country in countries
        for device in devices
    ]
    return pd.DataFrame([*alone, *both], columns=["country", "device", "grouping_id", "slice"])


def by_day(days: int) -> pd.DataFrame:
    """Metrics of some days."""
    dates = [datetime.date(2026, 1, 1) + datetime.timedelta(day) for day in range(days)]
    return metrics_of(pd.DataFrame([(day, 0, f"day={day}") for day in dates], columns=["day", "grouping_id", "slice"]))


def cells() -> pd.DataFrame:
    """The cells of all rows, forecasts nearly calibrated, as `tables.cells` returns them."""
    cell = np.arange(0, BINS, 7)
    w, p = np.full(len(cell), 100.0), (LOW[cell] + HIGH[cell]) / 2
    sums = {"w": w, "w2": w, "wy": w * p**1.1, "w2y": w * p**1.1, "wl": w, "w2v": w * p * (1 - p)}
    ends = {"wp": w * p, "wq": w * (1 - p)}
    return pd.DataFrame({"cell": cell, "low": LOW[cell], "high": HIGH[cell], "n": w.astype(int)} | sums | ends)


def judgement(metrics: pd.DataFrame, slices: Sequence[str], name: str = "bounded") -> Judgement:
    """What a gate says of metrics: one rule that passes, and one that does not."""
    rules = [
        Rule(name=name, metric="log_loss", at_most=0.4),
        Rule(name="calibrated", metric="calibration_ratio", between=[0.9, 1.1]),
    ]
    return judge(Gate(rule=rules), Measurement(metrics, tuple(slices)), {})


def page(metrics: pd.DataFrame, **others: Any) -> Page:
    """A page of metrics, and of what a test wants besides."""
    names = list(metrics)
    slices = tuple(names[: names.index("slice")])
    given: dict[str, Any] = {"title": "log loss of p against late", "coverage": "95% interval", "slices": slices}
    return Page(**given | {"metrics": metrics} | others)


def full_page(slices: pd.DataFrame, text: str = "plain") -> Page:
    """A page that has every section; `text` stands wherever a name from data or a config may."""
    metrics = metrics_of(slices)
    view = View(title=text, table={"slice": [text, "all"], text: ["0.5", "-"]}, remarks=[f"{text} moved"])
    differences = metrics.head(3).assign(
        challenger=text, verdict="better", difference=-0.01, difference_low=-0.02, difference_high=0.0, slice=text
    )
    halves = [cells().assign(side=side) for side in ("reference", "current")]
    names = tuple(slices)[:-2]
    return page(
        metrics,
        title=f"log loss of {text}",
        subject=text,
        judgement=judgement(metrics, names, text),
        days=by_day(20),
        day="day",
        cells=cells(),
        by_class=pd.DataFrame(
            {"class": [text, "b", "c"], "n": [1, 2, 3], "label_mean": [0.2, 0.3, 0.5]}
            | {name: [0.2, 0.3, 0.5] for name in ("prediction_mean", "calibration_ratio", "log_loss_share")}
        ),
        recalibration=view,
        worst=view,
        drift=view,
        drift_cells=pd.concat(halves, ignore_index=True),
        comparison=view,
        differences=differences,
        fit=view,
        history=pd.DataFrame(
            {"iteration": [0, 1], "loss": [0.6, 0.5], "gap": [0.1, 0.0], "gradient_norm": [0.2, 0.0]}
        ).assign(validation_loss=None),
        coefficients=pd.DataFrame(
            {"feature": [text], "coefficient": [1.0], "standard_error": [0.1], "z": [10.0], "p_value": [0.0]}
        ),
        config=(f'path = "{text}"',),
        command=f"logloss-spark evaluate --config {text}",
        facts={text: text},
        way_out=text,
    )
