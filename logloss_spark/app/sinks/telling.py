"""The sections of a config that name dashboards, and how a command tells them of its run."""

from argparse import Namespace
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial

from logloss_spark.app.config import JobConfig
from logloss_spark.app.ending import last_words
from logloss_spark.app.outcome import Outcome
from logloss_spark.app.printing import tell
from logloss_spark.app.sinks.mlflow import MlflowSection, mlflow
from logloss_spark.app.sinks.numbers import Chosen, unmatched
from logloss_spark.app.sinks.openlineage import OpenLineageSection, openlineage
from logloss_spark.app.sinks.prometheus import PrometheusSection, prometheus
from logloss_spark.app.sinks.run import DASHBOARDS, Dashboard, Ending, StartedRun, run_of
from logloss_spark.errors import MESSAGE
from logloss_spark.io.secrets import redacted
from logloss_spark.io.signals import Interrupted
from logloss_spark.wording import visible


@dataclass(frozen=True, kw_only=True)
class WithDashboards(JobConfig):
    """The base of configs that may name dashboards, which are told of a run once it has ended."""

    mlflow: MlflowSection | None = None
    openlineage: OpenLineageSection | None = None
    prometheus: PrometheusSection | None = None

    @property
    def dashboards(self) -> dict[str, Chosen]:
        """The sections that name dashboards."""
        return {name: section for name in DASHBOARDS if (section := getattr(self, name)) is not None}

    def check_dashboards(self, slices: Sequence[str], columns: Collection[str]) -> None:
        """Raise SpecError unless dashboards are given slices and metrics that the command makes."""
        for name, section in self.dashboards.items():
            section.check(name, slices, columns)


def dashboards_of(config: WithDashboards, run: StartedRun) -> list[Dashboard]:
    """The dashboards of a config, that of the textfile last: it says whether the others could be told."""
    found = []
    if config.mlflow:
        found.append(mlflow(config.mlflow, run))
    if config.openlineage:
        found.append(openlineage(config.openlineage, run))
    if config.prometheus:
        found.append(prometheus(config.prometheus, run))
    return found


@contextmanager
def telling(config: JobConfig, given: Namespace, secrets: Sequence[str]) -> Iterator[Callable[[Outcome], None]]:
    """Tell dashboards of a run: that it begins before this block, and after it what came of it, also of an error.

    Yields a function that takes the outcome of the command. A dashboard that cannot be told is a line on stderr. It
    changes no exit code: what the command was to write is written, and to run it again would not reach the dashboard.

    Raises
    ------
    SpecError
        A dashboard lacks its library, or does not know where to write. Then the command has not begun.
    """
    found: list[Outcome] = []
    if not isinstance(config, WithDashboards) or getattr(given, "dry_run", False):
        yield found.append
        return
    run = run_of(given.command, given.config, config, given.run_date, secrets)
    dashboards = dashboards_of(config, run)
    for dashboard in dashboards:
        could_tell(f"{dashboard.name} could not be told that the run begins", dashboard.begin, secrets)
    code, error = 0, None
    try:
        yield found.append
    except (Exception, KeyboardInterrupt) as raised:
        error, code = last_words(raised, secrets)
        raise
    finally:
        outcome = found[0] if found else None
        if outcome is not None:
            tell_unmatched(config, outcome)
        end_all(dashboards, Ending(ended=datetime.now(UTC), exit_code=code, error=error, outcome=outcome), secrets)


def tell_unmatched(config: WithDashboards, outcome: Outcome) -> None:
    """Print a line for each dashboard whose patterns of slices name no slice."""
    for name, section in config.dashboards.items():
        if missing := unmatched(outcome, section):
            patterns = ", ".join(visible(repr(text), MESSAGE) for text in missing)
            tell(f"logloss-spark: [{name}] slices: no slice that was measured matches {patterns}")


def end_all(dashboards: Sequence[Dashboard], ending: Ending, secrets: Sequence[str]) -> None:
    """Tell dashboards what came of a run, one after the other."""
    try:
        for dashboard in dashboards:
            failure = f"what was written stands, but {dashboard.name} could not be told"
            told = could_tell(failure, partial(dashboard.end, ending), secrets)
            ending = replace(ending, told={**ending.told, dashboard.name: told})
    except Interrupted as stop:
        if ending.outcome is not None:
            stop.stands = "everything was written"
        raise


def could_tell(failure: str, step: Callable[[], None], secrets: Sequence[str]) -> bool:
    """Tell a dashboard something, and return whether it could be told; else print what failed and why."""
    try:
        step()
    except Exception as error:
        reason = visible(" ".join(redacted(f"{error}", secrets).split()), MESSAGE)
        tell(f"logloss-spark: {failure}: {reason or type(error).__name__}")
        return False
    return True
