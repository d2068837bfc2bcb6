"""A textfile for Prometheus's node exporter: the numbers of the last run of a command, whether it failed, and when."""

import math
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from logloss_spark.app.outcome import Outcome
from logloss_spark.app.sinks.numbers import PRINTED, Chosen, Number, numbers_of
from logloss_spark.app.sinks.run import Dashboard, Ending, Run
from logloss_spark.errors import SpecError
from logloss_spark.gates.patterns import readable
from logloss_spark.report.documents import write_document
from logloss_spark.statistics.catalogue import COMPARISON, METRICS, by_column

PREFIX = "logloss_spark_"

MOST = 200
"""Series in a textfile: each of them costs Prometheus memory for as long as it changes."""

LABEL = re.compile(r"[a-zA-Z][a-zA-Z0-9_]*")
"""Names of labels; those with an underscore in front are Prometheus's own."""

OWN_LABELS = ("name", "command", "slice", "challenger", "rule", "verdict", "dashboard", "kind")
"""Labels that series have already."""

FILE_NAME = re.compile(r"[\w.-]+")

SUCCESS = f"{PREFIX}last_success_timestamp_seconds"
LAST_SUCCESS = re.compile(rf"^{SUCCESS}{{.*}} (\S+)$", re.MULTILINE)

HELP = {
    "last_run_timestamp_seconds": "When the last run ended.",
    "last_success_timestamp_seconds": "When the last run with exit code 0 ended.",
    "duration_seconds": "How long the last run took.",
    "exit_code": "The exit code of the last run: 0 is fine, 3 a gate that fails.",
    "dashboard_told": "Whether a dashboard could be told of the last run.",
    "gate_verdict": "1 for the verdict of each rule.",
    "counted": "What the last run counted, by kind, such as the rows that were read.",
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
class Sample:
    """A series, with its value: the name without the prefix, the labels, and what it means."""

    name: str
    labels: tuple[tuple[str, str], ...]
    value: float
    help: str


def prometheus(section: PrometheusSection, run: Run) -> Dashboard:
    """Return how a textfile is written."""
    name = section.name or re.sub(r"[^\w.-]", "_", run.name)
    path = os.path.join(section.folder, f"{name}.{run.command}.prom")

    def end(ending: Ending) -> None:
        text = textfile(section, name, run, ending, success_in(path))
        write_document("the textfile", path, text)

    return Dashboard("prometheus", end)


def success_in(path: str) -> float | None:
    """The time of the last success, as an older textfile has it; None where there is none."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            found = LAST_SUCCESS.search(file.read())
    except FileNotFoundError:
        return None
    return float(found[1]) if found else None


def textfile(section: PrometheusSection, name: str, run: Run, ending: Ending, success: float | None) -> str:
    """Return a textfile: the series on the run, and then those on metrics, as many as fit.

    After a run that found nothing there are none on metrics: numbers of an older run would pass for those of today.

    Parameters
    ----------
    section, name, run, ending
    success : float, optional
        The time of the last success before, in seconds since 1970.
    """
    common = (("name", name), ("command", run.command), *section.labels.items())
    series: dict[tuple[str, tuple[tuple[str, str], ...]], Sample] = {}
    left_out = 0
    for group in (*([sample] for sample in on_run(run, ending, success)), *on_metrics(section, ending.outcome)):
        # Two slices may have the same name in words, and a series that is there twice fails the scrape of all.
        if len(series) + len(group) < MOST and not any((sample.name, sample.labels) in series for sample in group):
            series |= {(sample.name, sample.labels): sample for sample in group}
        else:
            left_out += len(group)
    samples = [*series.values(), of_run("series_left_out", left_out)]
    return "".join(lines_of(samples, common))


def on_run(run: Run, ending: Ending, success: float | None) -> Iterator[Sample]:
    """The series on a run."""
    ended = ending.ended.timestamp()
    last = ended if ending.exit_code == 0 else success
    yield of_run("last_run_timestamp_seconds", ended)
    if last is not None:
        yield of_run("last_success_timestamp_seconds", last)
    yield of_run("duration_seconds", (ending.ended - run.started).total_seconds())
    yield of_run("exit_code", ending.exit_code)
    for dashboard, told in ending.told.items():
        yield of_run("dashboard_told", told, dashboard=dashboard)
    if ending.outcome is not None:
        for kind, count in ending.outcome.counts.items():
            yield of_run("counted", count, kind=kind)
        for rule in ending.outcome.verdicts:
            yield of_run("gate_verdict", 1, rule=rule["name"], verdict=rule["verdict"])


def of_run(name: str, value: float, **labels: str) -> Sample:
    """A series on a run."""
    return Sample(name, tuple(labels.items()), float(value), HELP[name])


def on_metrics(section: PrometheusSection, outcome: Outcome | None) -> Iterator[list[Sample]]:
    """The series on metrics: a metric of a slice with the ends of its interval is a group that stays together."""
    if outcome is None:
        return
    known = {name: metric.doc for name, metric in by_column((*METRICS, *COMPARISON)).items()}
    for number in numbers_of(outcome, section, PRINTED):
        labels = (("slice", readable(number.slice)), *number.labels)
        yield [
            Sample(re.sub(r"\W+", "_", number.metric, flags=re.ASCII) + end, labels, value, meaning)
            for end, value, meaning in ends_of(number, known.get(number.metric, number.metric))
            if not math.isnan(value)
        ]


def ends_of(number: Number, meaning: str) -> Iterable[tuple[str, float, str]]:
    """The suffix, the value and the meaning of a metric, and of the ends of its interval."""
    end = f"end of the interval of {number.metric}."
    return ("", number.value, meaning), ("_low", number.low, f"Lower {end}"), ("_high", number.high, f"Upper {end}")


def lines_of(samples: Iterable[Sample], common: tuple[tuple[str, str], ...]) -> Iterator[str]:
    """The lines of a textfile: the series of a name together, below what they mean."""
    by_name: dict[str, list[Sample]] = {}
    for sample in samples:
        by_name.setdefault(sample.name, []).append(sample)
    for name, of_name in by_name.items():
        yield f"# HELP {PREFIX}{name} {escaped(of_name[0].help)}\n# TYPE {PREFIX}{name} gauge\n"
        for sample in of_name:
            labels = ",".join(f"{label}={quoted(value)}" for label, value in (*common, *sample.labels))
            yield f"{PREFIX}{name}{{{labels}}} {written(sample.value)}\n"


def escaped(text: str) -> str:
    """Return a text as Prometheus's format has it on one line."""
    return text.replace("\\", "\\\\").replace("\n", "\\n")


def quoted(value: str) -> str:
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
