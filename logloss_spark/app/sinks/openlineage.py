"""Events of OpenLineage: a run begins, completes or fails; what it read, what it wrote, and how good it was."""

import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pyspark

from logloss_spark.app.outcome import Outcome
from logloss_spark.app.sinks.numbers import PRINTED, Chosen, SliceMetric, numbers_of
from logloss_spark.app.sinks.run import Dashboard, Ending, StartedRun, days_told_of
from logloss_spark.errors import SpecError
from logloss_spark.extras import from_extra
from logloss_spark.gates.patterns import readable
from logloss_spark.io.places import without_scheme
from logloss_spark.io.secrets import redacted
from logloss_spark.report.frames import json_value
from logloss_spark.version import __version__

PRODUCER = f"pkg:pypi/logloss-spark@{__version__}"
"""Who made an event, as a package URL."""

PARENT = "OPENLINEAGE_PARENT_ID"
"""The variable of the environment in which Airflow and others say which run starts this one: namespace/job/run."""

INTERRUPTED = (130, 143)
"""The exit codes of runs that a signal ended."""

JUDGED = ("pass", "watch", "warn", "fail")
"""Verdicts of rules that were judged; the others say why a rule was not."""

ADDRESS = re.compile(r"(?P<scheme>[a-z][a-z0-9+.-]*)://(?P<host>[^/]*)/*(?P<path>.*)", re.DOTALL)

SCHEMES = {"s3a": "s3", "s3n": "s3"}
"""Schemes by which OpenLineage calls a store otherwise."""

CLOSING = 10.0
"""Seconds that a transport gets to send what it has not sent yet."""

WITH_ROOT = ("hdfs", "viewfs")
"""Stores whose paths begin with a slash; those of objects do not."""


@dataclass(frozen=True, kw_only=True)
class OpenLineageSection(Chosen):
    """Events of OpenLineage. Where they go is the business of its client: `OPENLINEAGE_URL`, or an `openlineage.yml`.

    Parameters
    ----------
    namespace : str
        The namespace of the job, and of tables of the catalog.
    job : str
        The name of the job, by default that of the config's file with the command.
    metrics : list of str
        The names of the metrics, by default those that are printed; each brings the ends of its interval along.
    """

    namespace: str
    job: str | None = None


@dataclass(frozen=True)
class Lineage:
    """The job of a run in OpenLineage, and how events of it are made.

    Attributes
    ----------
    events, facets : the modules of OpenLineage's client that define them
    section : what the config says
    run : the run
    id : that of the run, a UUID
    parent : the facet of the run that started this one, or None
    """

    events: Any
    facets: Any
    section: OpenLineageSection
    run: StartedRun
    id: str
    parent: Any


def openlineage(section: OpenLineageSection, run: StartedRun) -> Dashboard:
    """Return how OpenLineage is told of a run; raise SpecError where its client is missing or knows no transport."""
    client_module, events, facets, uuids = (
        from_extra(f"openlineage.client{module}", "openlineage", "events of OpenLineage")
        for module in ("", ".event_v2", ".facet_v2", ".uuid")
    )
    client = client_module.OpenLineageClient()
    if client.transport.kind == "console" and not client.config.transport:
        raise SpecError(
            "[openlineage] needs a place for its events, and OpenLineage's client knows none: set OPENLINEAGE_URL, or "
            "write an openlineage.yml"
        )
    events.set_producer(PRODUCER)
    lineage = Lineage(events, facets, section, run, str(uuids.generate_new_uuid(run.started)), parent_of(facets))

    def end(ending: Ending) -> None:
        client.emit(last_event(lineage, ending))
        client.close(CLOSING)

    return Dashboard("openlineage", end, lambda: client.emit(event(lineage, "START", run.started)))


def parent_of(facets: Any) -> Any:
    """The facet of the run that started this one, such as a task of Airflow; None where the environment names none."""
    named = os.environ.get(PARENT)
    if not named:
        return None
    namespace, _, rest = named.rpartition("/")[0].rpartition("/")
    parent = facets.parent_run
    try:
        return parent.ParentRunFacet(parent.Run(named.rpartition("/")[2]), parent.Job(namespace, rest))
    except ValueError as error:
        raise SpecError(f"{PARENT} must be namespace/job/run, where run is a UUID, got {named!r}") from error


def event(lineage: Lineage, state: str, time: datetime, of_run: Mapping[str, Any] | None = None, **data: Any) -> Any:
    """An event of a run, with what is known of the run from its beginning."""
    events, facets, run = lineage.events, lineage.facets, lineage.run
    engine = facets.processing_engine_run.ProcessingEngineRunFacet(pyspark.__version__, "Spark", __version__)
    about = {"processing_engine": engine}
    if lineage.parent is not None:
        about["parent"] = lineage.parent
    if run.run_date is not None:
        about["nominalTime"] = facets.nominal_time_run.NominalTimeRunFacet(f"{run.run_date}T00:00:00Z")
    kind = facets.job_type_job.JobTypeJobFacet("BATCH", "LOGLOSS_SPARK", run.command.upper())
    name = lineage.section.job or f"{run.name}.{run.command}"
    return events.RunEvent(
        eventType=events.RunState[state],
        eventTime=time.isoformat(),
        run=events.Run(lineage.id, about | dict(of_run or {})),
        job=events.Job(lineage.section.namespace, name, {"jobType": kind}),
        **data,
    )


def last_event(lineage: Lineage, ending: Ending) -> Any:
    """The event of the end of a run: with its error, or with what it read, what it wrote, and how good it was."""
    facets, outcome = lineage.facets, ending.outcome
    of_run = {}
    if ending.error is not None:
        of_run["errorMessage"] = facets.error_message_run.ErrorMessageRunFacet(ending.error, "PYTHON")
    if outcome is None:
        return event(lineage, "ABORT" if ending.exit_code in INTERRUPTED else "FAIL", ending.ended, of_run)
    about = {"config": lineage.run.fingerprint, "verdict": outcome.details.get("gate", {}).get("verdict")}
    about |= {f"day_of_{what}": day for what, day in days_told_of(outcome).items()}
    of_run["logloss_spark"] = facets.RunFacet().with_additional_properties(**about)
    # A gate that fails ends a run that did its work: its verdict is in the assertions.
    return event(
        lineage,
        "COMPLETE",
        ending.ended,
        of_run,
        inputs=[input_of(lineage, name, outcome) for name in outcome.inputs],
        outputs=[lineage.events.OutputDataset(*data_set(path, lineage)) for path in outcome.written.values()],
    )


def input_of(lineage: Lineage, name: str, outcome: Outcome) -> Any:
    """An input of a run, with its fingerprint, its rows, the metrics and what the gate asserts."""
    facets, run = lineage.facets, lineage.run
    version = facets.dataset_version_dataset.DatasetVersionDatasetFacet
    quality = facets.data_quality_metrics_input_dataset
    columns = run.config.get("columns", {})
    nulls = {
        columns[role]: quality.ColumnMetrics(nullCount=outcome.invalid[f"null_{role}"])
        for role in ("label", "prediction", "weight", "cluster")
        if isinstance(columns.get(role), str) and f"null_{role}" in outcome.invalid
    }
    numbers = [record_of(number) for number in numbers_of(outcome, lineage.section, PRINTED)]
    found = {"logloss_spark": facets.InputDatasetFacet().with_additional_properties(metrics=numbers)}
    if "read" in outcome.counts:
        found["dataQualityMetrics"] = quality.DataQualityMetricsInputDatasetFacet(nulls, outcome.counts["read"])
    if outcome.verdicts:
        assertions = list(assertions_of(facets.data_quality_assertions_dataset.Assertion, outcome.verdicts))
        found["dataQualityAssertions"] = facets.data_quality_assertions_dataset.DataQualityAssertionsDatasetFacet(
            assertions
        )
    return lineage.events.InputDataset(
        *data_set(name, lineage), found, facets={"version": version(outcome.source)} if outcome.source else {}
    )


def record_of(number: SliceMetric) -> dict[str, Any]:
    """A number as a record of our own facet."""
    values = {name: json_value(getattr(number, name)) for name in ("value", "low", "high")}
    return {"metric": number.metric, "slice": readable(number.slice), **dict(number.labels), **values}


def assertions_of(assertion: Any, verdicts: Sequence[Mapping[str, Any]]) -> Iterator[Any]:
    """The rules of a gate that were judged as assertions on the data set."""
    for rule in verdicts:
        if rule["verdict"] in JUDGED:
            worst = rule["slices"][0] if rule["slices"] else {}
            yield assertion(
                assertion=rule["metric"],
                success=rule["verdict"] not in ("warn", "fail"),
                severity="error" if rule["level"] == "fail" else "warn",
                name=rule["name"],
                description=worst.get("reason") or rule["reason"],
                expected=json.dumps(rule["bound"]),
                actual=json.dumps(worst.get("value")),
                params={"slice": worst.get("slice"), "verdict": rule["verdict"]},
            )


def data_set(name: str, lineage: Lineage) -> tuple[str, str]:
    """The namespace and the name of a path or a table, as OpenLineage calls them."""
    if name == lineage.run.config.get("input", {}).get("table"):
        return lineage.section.namespace, name
    return address_of(redacted(name, lineage.run.secrets))


def address_of(path: str) -> tuple[str, str]:
    """The namespace and the name of a path.

    Examples
    --------
    >>> address_of("s3a://bucket/a/b"), address_of("/a/b"), address_of("hdfs://namenode:8020/a/b")
    (('s3://bucket', 'a/b'), ('file', '/a/b'), ('hdfs://namenode:8020', '/a/b'))
    """
    found = ADDRESS.fullmatch(path)
    if found is None or found["scheme"] == "file":
        return "file", os.path.abspath(without_scheme(path))
    scheme = SCHEMES.get(found["scheme"], found["scheme"])
    return f"{scheme}://{found['host']}", f"{'/' if scheme in WITH_ROOT else ''}{found['path']}"
