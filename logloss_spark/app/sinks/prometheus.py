"""A textfile for Prometheus's node exporter: the numbers of the last run of a command, whether it failed, and when."""

import math
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime

from logloss_spark.app.outcome import Outcome
from logloss_spark.app.sinks.numbers import OF_A_FIT, PRINTED, Chosen, SliceMetric, has_numbers, numbers_of, unmatched
from logloss_spark.app.sinks.run import Dashboard, Ending, StartedRun, days_told_of
from logloss_spark.errors import SpecError
from logloss_spark.gates.patterns import readable
from logloss_spark.report.documents import write_document
from logloss_spark.statistics.catalogue import COMPARISON, METRICS, by_column

PREFIX = "logloss_spark_"

MOST = 200
"""Series in a textfile: each of them costs Prometheus memory."""

LABEL = re.compile(r"[a-zA-Z][a-zA-Z0-9_]*")
"""Names of labels; those with an underscore in front are Prometheus's own."""

OWN_LABELS = ("name", "command", "slice", "challenger", "rule", "verdict", "dashboard", "kind")
"""Labels that series have already."""

FILE_NAME = re.compile(r"[\w.-]+")

LAST_SUCCESS = re.compile(rf"^{PREFIX}last_success_timestamp_seconds{{.*}} (\d+(?:\.\d+)?)$", re.MULTILINE)

ON_METRICS = "# metrics\n"
"""The line before the series on metrics."""

HELP = {
    "last_run_timestamp_seconds": "When the last run ended.",
    "last_success_timestamp_seconds": "When the last run with exit code 0 ended.",
    "duration_seconds": "How long the last run took.",
    "exit_code": "The exit code of the last run: 0 is fine, 3 a gate that fails.",
    "dashboard_told": "Whether a dashboard could be told of the last run.",
    "gate_verdict": "1 for the verdict of each rule.",
    "metrics_day_timestamp_seconds": "The day of the store that the metrics are of, at 0:00 UTC.",
    "gate_day_timestamp_seconds": "The day of the store that the verdict of the gate is on, at 0:00 UTC.",
    "counted": "What the last run counted, by kind, such as the rows that were read.",
    "patterns_without_slice": "Patterns of slices that name no slice of the last run.",
    "series_left_out": f"Series that the file lacks because it has at most {MOST}.",
}
"""What each series on the run means. Series on metrics are described by the catalogue."""


@dataclass(frozen=True, kw_only=True)
class PrometheusSection(Chosen):
    """A textfile for the textfile collector of Prometheus's node exporter.

    Parameters
    ----------
    folder : str
        The folder that the collector reads. The file in it is called `<name>.<command>.prom`.
    name : str
        What the series and the file are called by, by default the name of the config's file.
    metrics : list of str
        The names of the metrics, by default those that are printed; each brings the ends of its interval along.
    labels : table from name to value
        Labels that all series get.
    """

    folder: str
    name: str | None = None
    labels: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.name is not None and not FILE_NAME.fullmatch(self.name):
            raise SpecError(f"[prometheus] name must be letters, digits, '_', '-' and '.', got {self.name!r}")
        for label in self.labels:
            if not LABEL.fullmatch(label) or label in OWN_LABELS:
                raise SpecError(
                    f"[prometheus] labels must be called by a letter and then letters, digits and '_', and not as "
                    f"those that series have ({', '.join(OWN_LABELS)}), got {label!r}"
                )


@dataclass(frozen=True)
class Gauge:
    """A series, with its value: the name without the prefix, the labels, and what it means."""

    name: str
    labels: tuple[tuple[str, str], ...]
    value: float
    help: str

    @property
    def key(self) -> tuple[str, tuple[tuple[str, str], ...]]:
        """What tells it from other series."""
        return self.name, self.labels


@dataclass(frozen=True)
class Before:
    """What an older textfile says: the time of the last success, and its lines on metrics."""

    success: float | None = None
    metrics: str = ""


def prometheus(section: PrometheusSection, run: StartedRun) -> Dashboard:
    """Return how a textfile is written."""
    name = section.name or re.sub(r"[^\w.-]", "_", run.name)
    path = os.path.join(section.folder, f"{name}.{run.command}.prom")

    def end(ending: Ending) -> None:
        write_document("the textfile", path, textfile(section, name, run, ending, before(path)))

    return Dashboard("prometheus", end)


def before(path: str) -> Before:
    """Read an older textfile, if there is one."""
    try:
        with open(path, encoding="utf-8", errors="replace", newline="\n") as file:
            text = file.read()
    except FileNotFoundError:
        return Before()
    success = LAST_SUCCESS.search(text)
    return Before(float(success[1]) if success else None, text.partition(ON_METRICS)[2])


def textfile(section: PrometheusSection, name: str, run: StartedRun, ending: Ending, older: Before) -> str:
    """Return a textfile: the series on the run, and then those on metrics, as many as fit.

    A run that failed has none on metrics: numbers of an older day would pass for those of today. A run for which
    nothing was due keeps those of the run before, which still are what is stored.
    """
    common = (("name", name), ("command", run.command), *section.labels.items())
    of_run = list(on_run(section, run, ending, older.success))
    left_out = max(len(of_run) - (MOST - 1), 0)
    of_run = of_run[: MOST - 1]
    room = MOST - 1 - len(of_run)
    of_metrics: dict[tuple[str, tuple[tuple[str, str], ...]], Gauge] = {}
    for group in on_metrics(section, ending.outcome):
        # Two slices may have the same name in words, and a series that is there twice fails the scrape of all.
        if len(of_metrics) + len(group) <= room and not any(sample.key in of_metrics for sample in group):
            of_metrics |= {sample.key: sample for sample in group}
        else:
            left_out += len(group)
    if ending.outcome is None or has_numbers(ending.outcome):
        metrics = "".join(lines_of(of_metrics.values(), common))
    else:
        metrics, cut_off = first_samples(older.metrics, room)
        left_out += cut_off
    return "".join(lines_of([*of_run, on("series_left_out", left_out)], common)) + ON_METRICS + metrics


def first_samples(lines: str, most: int) -> tuple[str, int]:
    """The lines of a textfile up to a number of samples, and how many samples are left out."""
    kept, samples = [], 0
    for line in re.findall(r"[^\n]*\n", lines):
        samples += not line.startswith("#")
        kept += [line] if samples <= most else []
    return "".join(kept), max(samples - most, 0)


def on_run(section: PrometheusSection, run: StartedRun, ending: Ending, success: float | None) -> Iterator[Gauge]:
    """The series on a run."""
    ended = ending.ended.timestamp()
    last = ended if ending.exit_code == 0 else success
    yield on("last_run_timestamp_seconds", ended)
    if last is not None:
        yield on("last_success_timestamp_seconds", last)
    yield on("duration_seconds", (ending.ended - run.started).total_seconds())
    yield on("exit_code", ending.exit_code)
    for dashboard, told in ending.told.items():
        yield on("dashboard_told", told, dashboard=dashboard)
    if ending.outcome is not None:
        if ending.outcome.measured is not None:
            yield on("patterns_without_slice", len(unmatched(ending.outcome, section)))
        for kind, count in ending.outcome.counts.items():
            yield on("counted", count, kind=kind)
        yield from on_day(ending.outcome, "gate")
        for rule in ending.outcome.verdicts:
            yield on("gate_verdict", 1, rule=rule["name"], verdict=rule["verdict"])


def on_day(outcome: Outcome, what: str) -> Iterator[Gauge]:
    """The series on the day of a store that "metrics" are of, or the "gate"; none without days."""
    if day := days_told_of(outcome).get(what):
        yield on(f"{what}_day_timestamp_seconds", datetime.fromisoformat(day).replace(tzinfo=UTC).timestamp())


def on(name: str, value: float, **labels: str) -> Gauge:
    """A series on a run."""
    return Gauge(name, tuple(labels.items()), float(value), HELP[name])


def on_metrics(section: PrometheusSection, outcome: Outcome | None) -> Iterator[list[Gauge]]:
    """The series on metrics: a metric of a slice with the ends of its interval is a group that stays together."""
    if outcome is None:
        return
    yield list(on_day(outcome, "metrics"))
    known = OF_A_FIT | {name: metric.doc for name, metric in by_column((*METRICS, *COMPARISON)).items()}
    for number in numbers_of(outcome, section, PRINTED):
        labels = (("slice", readable(number.slice)), *number.labels)
        yield [
            Gauge(re.sub(r"\W+", "_", number.metric, flags=re.ASCII) + end, labels, value, meaning)
            for end, value, meaning in ends_of(number, known.get(number.metric, number.metric))
            if not math.isnan(value)
        ]


def ends_of(number: SliceMetric, meaning: str) -> Iterable[tuple[str, float, str]]:
    """The suffix, the value and the meaning of a metric, and of the ends of its interval."""
    end = f"end of the interval of {number.metric}."
    return ("", number.value, meaning), ("_low", number.low, f"Lower {end}"), ("_high", number.high, f"Upper {end}")


def lines_of(samples: Iterable[Gauge], common: tuple[tuple[str, str], ...]) -> Iterator[str]:
    """The lines of a textfile: the series of a name together, below what they mean."""
    by_name: dict[str, list[Gauge]] = {}
    for sample in samples:
        by_name.setdefault(sample.name, []).append(sample)
    for name, of_name in by_name.items():
        yield f"# HELP {PREFIX}{name} {escaped(of_name[0].help)}\n# TYPE {PREFIX}{name} gauge\n"
        for sample in of_name:
            labels = ",".join(f"{label}={in_quotes(value)}" for label, value in (*common, *sample.labels))
            yield f"{PREFIX}{name}{{{labels}}} {written(sample.value)}\n"


def escaped(text: str) -> str:
    """Return a text as Prometheus's format has it on one line."""
    return text.replace("\\", "\\\\").replace("\n", "\\n")


def in_quotes(value: str) -> str:
    """Return the value of a label between quotation marks."""
    return '"' + escaped(value).replace('"', '\\"') + '"'


def written(value: float) -> str:
    """Return a number as Prometheus's format has it.

    Examples
    --------
    >>> written(0.1), written(3.0), written(math.inf)
    ('0.1', '3', '+Inf')
    """
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    return str(int(value)) if value == int(value) else repr(value)
