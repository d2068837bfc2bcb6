"""A run, as dashboards are told of it: what is known when it begins, and what came of it."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from logloss_spark.app.config import JobConfig
from logloss_spark.app.outcome import Outcome
from logloss_spark.io.secrets import SECRET, redacted_in
from logloss_spark.io.units import fingerprint
from logloss_spark.report.frames import plain

DASHBOARDS = ("mlflow", "openlineage", "prometheus")
"""The sections of a config that name dashboards, in the order in which these are told."""


@dataclass(frozen=True, kw_only=True)
class StartedRun:
    """What is known of a run when it begins.

    Attributes
    ----------
    command : the command
    name : the name of the config's file, without its ending
    config : the config as a dictionary, without secrets, dashboards and keys that are not set
    run_date : that of the command line, or None
    started : when the run began
    secrets : texts that no dashboard may see
    """

    command: str
    name: str
    config: Mapping[str, Any]
    run_date: str | None
    started: datetime
    secrets: Sequence[str] = ()

    @property
    def fingerprint(self) -> str:
        """The fingerprint of the config."""
        return fingerprint(json.dumps(self.config, sort_keys=True, default=str))


@dataclass(frozen=True, kw_only=True)
class Ending:
    """What came of a run.

    Attributes
    ----------
    ended : when the run ended
    exit_code : as the command line has it
    error : what ended the run, in one line, or None
    outcome : what the command found; None if it did not get that far
    told : whether each dashboard before could be told
    """

    ended: datetime
    exit_code: int
    error: str | None = None
    outcome: Outcome | None = None
    told: Mapping[str, bool] = field(default_factory=dict)


@dataclass(frozen=True)
class Dashboard:
    """How a dashboard is told of a run.

    Attributes
    ----------
    name : that of its section
    end : tells it what came of the run
    begin : tells it that the run begins
    """

    name: str
    end: Callable[[Ending], None]
    begin: Callable[[], None] = lambda: None


def run_of(
    command: str, path: str | None, config: JobConfig, run_date: str | None, secrets: Sequence[str]
) -> StartedRun:
    """Return what is known of a run of a command with the config of a file."""
    sections = {name: section for name, section in asdict(config).items() if name not in DASHBOARDS}  # type: ignore[call-overload]
    return StartedRun(
        command=command,
        name=Path(path).stem if path else "logloss-spark",
        config=redacted_in(without_secrets(sections), secrets),
        run_date=run_date,
        started=datetime.now(UTC),
        secrets=secrets,
    )


def without_secrets(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return a config without keys that are not set or empty, and without options whose names say they are secret.

    Examples
    --------
    >>> without_secrets({"input": {"path": "p", "table": None, "options": {"password": "hush", "header": True}}})
    {'input': {'path': 'p', 'options': {'header': True}}}
    """

    def kept(name: str, value: Any) -> Any:
        if isinstance(value, list):
            return [kept(name, entry) for entry in value]
        if not isinstance(value, Mapping):
            return value
        return {
            key: kept(key, entry)
            for key, entry in value.items()
            if entry not in (None, [], {}) and not (name == "options" and SECRET.search(key))
        }

    shown: dict[str, Any] = kept("", config)
    return shown


def settings_of(config: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The keys of a config as `section.key`, with their values: a text as it is, others as JSON.

    Examples
    --------
    >>> list(settings_of({"input": {"path": "p"}, "evaluate": {"by": [["day"]], "eps": 1e-15}}))
    [('input.path', 'p'), ('evaluate.by', '[["day"]]'), ('evaluate.eps', '1e-15')]
    """
    for section, keys in config.items():
        for key, value in keys.items():
            yield f"{section}.{key}", value if isinstance(value, str) else json.dumps(value, default=str)


def days_told_of(outcome: Outcome) -> dict[str, str]:
    """Return the day of a store that the `metrics` of an outcome are of, and the day that its `gate` judged.

    A run of several days measures the last one, and its gate has the worst verdict.
    """
    days = {"metrics": outcome.details.get("last_day"), "gate": outcome.details.get("gate", {}).get("judged")}
    return {what: day for what, day in days.items() if day}


def verdict_document(outcome: Outcome, secrets: Sequence[str]) -> dict[str, Any] | None:
    """What came of the gate of a run, as its JSON document has it; None if there is no gate."""
    facts = outcome.details.get("gate")
    if facts is None:
        return None
    shown: dict[str, Any] = redacted_in(plain({**facts, "rules": list(outcome.verdicts)}), secrets)
    return shown
