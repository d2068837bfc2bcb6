"""Runs as dashboards are told of them, made by hand: no Spark."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd

from logloss_spark.app.outcome import Outcome
from logloss_spark.app.sinks.run import Ending, StartedRun
from logloss_spark.gates.estimates import Measurement
from logloss_spark.gates.patterns import NULL, quoted_null

STARTED = datetime(2026, 11, 27, 5, 0, tzinfo=UTC)

RUN = StartedRun(
    command="evaluate",
    name="clicks",
    config={
        "input": {"path": "s3a://bucket/clicks"},
        "columns": {"label": "clicked", "prediction": "new"},
        "evaluate": {"by": [["country"]], "eps": 1e-15},
    },
    run_date="2026-11-26",
    started=STARTED,
)


def measurement(countries: Sequence[str | None], **columns: Sequence[Any]) -> Measurement:
    """Metrics of all rows and of some countries; a null country is written as in the tables."""
    size = len(countries) + 1
    table: dict[str, Sequence[Any]] = {
        "country": [None, *countries],
        "slice": ["all", *(f"country={NULL if country is None else quoted_null(country)}" for country in countries)],
        "grouping_id": [1] + [0] * (size - 1),
        "rows": [1000, *range(500, 501 - size, -1)],
        "n": [990] * size,
        "log_loss": np.linspace(0.4, 0.5, size),
        "few": [False] * size,
        "brier": [0.1] * size,
        "ece": [0.01] * (size - 1) + [np.nan],
        "log_loss_low": np.linspace(0.3, 0.4, size),
        "log_loss_high": np.linspace(0.5, 0.6, size),
        "log_loss_se": [0.05] * size,
        "label_mean": [np.array([0.25, 0.75])] * size,
    }
    return Measurement(pd.DataFrame(table | columns), ("country",))


RULE: Mapping[str, Any] = {
    "name": "no worse",
    "verdict": "fail",
    "reason": None,
    "metric": "log_loss",
    "bound": {"at_most": 0.3},
    "level": "fail",
    "slices": [
        {"slice": "country=de", "keys": {"country": "de"}, "verdict": "fail", "reason": "log_loss is over 0.3",
         "value": 0.45, "low": 0.4, "high": None},
    ],
}  # fmt: skip

OUTCOME = Outcome(
    command="evaluate",
    inputs=("s3a://bucket/clicks",),
    counts={"read": 1000, "scored": 990},
    invalid={"null_label": 10},
    details={"gate": {"verdict": "fail", "counts": {"rules": {"fail": 1}}}},
    verdicts=(RULE, {**RULE, "name": "too early", "verdict": "too_few", "slices": []}),
    written={"metrics": "/data/metrics"},
    measured=measurement(["de", "fr"]),
    source="0123456789abcdef",
)


def ending(outcome: Outcome | None = OUTCOME, **others: Any) -> Ending:
    """What came of a run of 90 seconds."""
    made = Ending(ended=STARTED + timedelta(seconds=90), exit_code=0, outcome=outcome)
    return replace(made, **others)
