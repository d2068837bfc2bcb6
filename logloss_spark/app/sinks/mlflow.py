"""A run in MLflow for each config and run date, with the metrics, the table of them, the report and the verdict."""

import json
import logging
import os
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd

from logloss_spark.app.outcome import Outcome
from logloss_spark.app.sinks.numbers import Chosen, SliceMetric, has_numbers, numbers_of
from logloss_spark.app.sinks.run import Dashboard, Ending, StartedRun, days_told_of, settings_of, verdict_document
from logloss_spark.extras import from_extra
from logloss_spark.io.places import without_scheme
from logloss_spark.io.secrets import redacted
from logloss_spark.io.units import fingerprint
from logloss_spark.report.frames import json_value
from logloss_spark.version import __version__

ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",  # a job talks to the server that its config names, and to no other
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",  # stdout belongs to the outcome
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",  # MLflow's own 7 wait four minutes for a server that is down
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",  # seconds
}
"""Settings of MLflow's client where the environment has none."""

METRICS_A_REQUEST, SETTINGS_A_REQUEST = 1_000, 100
"""The most that MLflow takes in one request."""

LONGEST_NAME, LONGEST_SETTING, LONGEST_TAG, LONGEST_DATASET = 250, 6_000, 5_000, 500
"""The longest names of metrics, values of settings and of tags, and names of data sets that MLflow takes."""

LONGEST_PART = 100
"""The longest column or value that is part of the name of a metric."""

IDENTITY = "logloss_spark.identity"
"""The tag by which a rerun finds the run that it replaces."""


@dataclass(frozen=True, kw_only=True)
class MlflowSection(Chosen):
    """A run in MLflow. A rerun with the same config and run date replaces it.

    Parameters
    ----------
    experiment : str
        The name of the experiment; it is made if it is not there.
    tracking_uri : str
        Where the server or the store is, by default where `MLFLOW_TRACKING_URI` says.
    run_name : str
        The name of the run, by default that of the config's file with the run date.
    tags : table from name to value
        Further tags of the run.
    metrics : list of str
        The names of the metrics, by default all that are kept; each brings the ends of its interval along.
    """

    experiment: str
    tracking_uri: str | None = None
    run_name: str | None = None
    tags: dict[str, str] = field(default_factory=dict)


def mlflow(section: MlflowSection, run: StartedRun) -> Dashboard:
    """Return how MLflow is told of a run; raise SpecError where its client is not installed."""
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    tracking = from_extra("mlflow.tracking", "mlflow", "runs in MLflow")
    logging.getLogger("mlflow").setLevel(logging.ERROR)  # stderr is ours, too

    def end(ending: Ending) -> None:
        # A run that found nothing, or nothing that is due, leaves that of an earlier try as it is.
        if ending.outcome is not None and has_numbers(ending.outcome):
            replace_run(tracking.MlflowClient(tracking_uri=section.tracking_uri), section, run, ending, ending.outcome)

    return Dashboard("mlflow", end)


def replace_run(client: Any, section: MlflowSection, run: StartedRun, ending: Ending, outcome: Outcome) -> None:
    """Write a run, and then delete those of the same config and run date.

    MLflow appends the values of a metric to those that a run has, and never changes a setting, so a rerun needs a run
    of its own. Until it is complete the older one stays.
    """
    experiment = experiment_id(client, section.experiment)
    identity = f"{run.command}/{run.fingerprint}/{run.run_date or ''}"
    older = client.search_runs([experiment], f"tags.`{IDENTITY}` = '{identity}'")
    made = client.create_run(
        experiment,
        start_time=milliseconds(run.started.timestamp()),
        tags=section.tags | tags_of(run, outcome) | {IDENTITY: identity},
        run_name=section.run_name or " ".join(filter(None, (run.name, run.run_date))),
    ).info.run_id
    try:
        log(client, made, section, run, ending, outcome)
        client.set_terminated(made, end_time=milliseconds(ending.ended.timestamp()))
    except BaseException:
        with suppress(Exception):  # the server may be gone
            client.delete_run(made)
        raise
    for one in older:
        client.delete_run(one.info.run_id)


def experiment_id(client: Any, name: str) -> str:
    """The id of an experiment, which is made if it is not there."""
    found = client.get_experiment_by_name(name)
    made: str = found.experiment_id if found else client.create_experiment(name)
    return made


def log(client: Any, run_id: str, section: MlflowSection, run: StartedRun, ending: Ending, outcome: Outcome) -> None:
    """Write all that a run in MLflow holds: settings, metrics, the data set and the artefacts."""
    entities = from_extra("mlflow.entities", "mlflow", "runs in MLflow")
    settings = [
        entities.Param(fitting(key), value[:LONGEST_SETTING]) for key, value in settings_of(run.config) if value
    ]
    for start in range(0, len(settings), SETTINGS_A_REQUEST):
        client.log_batch(run_id, params=settings[start : start + SETTINGS_A_REQUEST])
    now = milliseconds(ending.ended.timestamp())
    metrics = [
        entities.Metric(name, value, now, step)
        for name, value, step in [*metrics_of(numbers_of(outcome, section)), *history_of(outcome)]
    ]
    for start in range(0, len(metrics), METRICS_A_REQUEST):
        client.log_batch(run_id, metrics=metrics[start : start + METRICS_A_REQUEST])
    client.log_inputs(run_id, [data_set(name, outcome, run) for name in outcome.inputs])
    with TemporaryDirectory() as folder:
        write_artefacts(Path(folder), run, outcome)
        client.log_artifacts(run_id, folder)


def milliseconds(seconds: float) -> int:
    """A time as MLflow has it."""
    return round(1000 * seconds)


def tags_of(run: StartedRun, outcome: Outcome) -> dict[str, str]:
    """The tags by which a person finds a run: its command, run date, config, version, verdict, and what it wrote."""
    known = {
        "command": run.command,
        "run_date": run.run_date,
        "config": run.fingerprint,
        "version": __version__,
        "verdict": outcome.details.get("gate", {}).get("verdict"),
        **{f"day_of_{what}": day for what, day in days_told_of(outcome).items()},
    } | {f"written.{fitting(name)}": redacted(path, run.secrets) for name, path in outcome.written.items()}
    return {f"logloss_spark.{name}": value[:LONGEST_TAG] for name, value in known.items() if value}


def metrics_of(numbers: Iterator[SliceMetric]) -> Iterator[tuple[str, float, int]]:
    """The names and the values of numbers and of the ends of their intervals, each at step 0."""
    for number in numbers:
        of = [f"{fitting(column)}:{fitting(value)}" for column, value in (*number.labels, *number.slice)]
        metric = number.metric.replace(" / ", " per ")
        for end, value in (("", number.value), ("_low", number.low), ("_high", number.high)):
            if not np.isnan(value):
                yield cut("/".join([*of, fitting(metric + end)]), LONGEST_NAME), value, 0


def history_of(outcome: Outcome) -> Iterator[tuple[str, float, int]]:
    """The objective of a fit at each of its iterations."""
    for step in outcome.details.get("report", {}).get("history", ()):
        yield "history/objective", step["objective"], step["iteration"]


def fitting(text: str) -> str:
    """Return a text as part of a name that MLflow takes: of letters, digits and `_-. `.

    A text that would not fit gets a mark that tells it from others that look the same then.

    Examples
    --------
    >>> fitting("log_loss_low"), fitting("d/e?")
    ('log_loss_low', 'd_e_ d8d0c114')
    """
    shown = re.sub(r"[^\w\-. ]", "_", text)
    if not shown.strip("."):  # MLflow would read dots as folders
        shown = "_"
    return cut(shown, LONGEST_PART) if shown == text else f"{shown[:LONGEST_PART]} {mark_of(text)}"


def cut(name: str, most: int) -> str:
    """Return a name of at most this length, with a mark in the place of what is cut off."""
    mark = f" {mark_of(name)}"
    return name if len(name) <= most else name[: most - len(mark)] + mark


def mark_of(text: str) -> str:
    """A few letters and digits that tell a text from others."""
    return fingerprint(text)[:8]


def data_set(name: str, outcome: Outcome, run: StartedRun) -> Any:
    """The entry of an input: where it is, and the fingerprint of its files.

    MLflow's own entry of a Spark table counts its rows once more, and tells plans apart rather than rows.
    """
    entities = from_extra("mlflow.entities", "mlflow", "runs in MLflow")
    of_spark = from_extra("mlflow.data.spark_dataset_source", "mlflow", "runs in MLflow")
    meta = from_extra("mlflow.data.meta_dataset", "mlflow", "runs in MLflow")
    shown = redacted(name, run.secrets)
    is_table = name == run.config.get("input", {}).get("table")
    source = of_spark.SparkDatasetSource(**{"table_name" if is_table else "path": shown})
    entry = meta.MetaDataset(source, name=shown[-LONGEST_DATASET:], digest=outcome.source)
    context = "training" if run.command == "fit" else "evaluation"
    return entities.DatasetInput(entry._to_mlflow_entity(), [entities.InputTag("mlflow.data.context", context)])


def write_artefacts(folder: Path, run: StartedRun, outcome: Outcome) -> None:
    """Write the files that a run in MLflow keeps into a folder."""
    documents: Mapping[str, Any] = {
        "config.json": run.config,
        "outcome.json": json.loads(outcome.to_json(run.secrets)),
        "gate.json": verdict_document(outcome, run.secrets),
    }
    for name, document in documents.items():
        if document is not None:
            (folder / name).write_text(json.dumps(document, indent=1, default=str), encoding="utf-8")
    if outcome.measured is not None:
        with open(folder / "metrics.csv", "w", encoding="utf-8", errors="backslashreplace", newline="") as file:
            with_lists_as_json(outcome.measured.table).to_csv(file, index=False)
    report = without_scheme(outcome.written.get("report", ""))
    if os.path.isfile(report):
        shutil.copyfile(report, folder / "report.html")


def with_lists_as_json(table: pd.DataFrame) -> pd.DataFrame:
    """A table whose cells that are lists are JSON."""

    def cell(value: Any) -> Any:
        return json.dumps(json_value(value)) if isinstance(value, (list, np.ndarray)) else value

    objects: Sequence[Any] = [name for name in table.columns if table[name].dtype == object]
    return table.assign(**{name: table[name].map(cell) for name in objects})
