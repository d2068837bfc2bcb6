"""The command `drift`: read two stored states, and say how far one has moved from the other."""

from argparse import ArgumentParser, Namespace
from dataclasses import dataclass, field
from typing import ClassVar

from pyspark.sql import SparkSession

from logloss_spark.app.arguments import add_by, add_overwrite, mode_of, sets_of
from logloss_spark.app.command import Command
from logloss_spark.app.config import JobConfig
from logloss_spark.app.evaluating import EvaluateConfig
from logloss_spark.app.outcome import Outcome
from logloss_spark.app.reading_states import addresses_of_states, read_state
from logloss_spark.app.reporting import check_report, described, with_report
from logloss_spark.app.run_date import with_run_date
from logloss_spark.app.sections import SlicesSection, TableFormat
from logloss_spark.checks import between
from logloss_spark.io.writing import reserved, write_tables
from logloss_spark.report.drifts import view_of_drift
from logloss_spark.report.evaluations import SHOWN_SLICES
from logloss_spark.report.frames import plain
from logloss_spark.shift import drift
from logloss_spark.state import check_states
from logloss_spark.wording import PATH, visible


@dataclass(frozen=True, kw_only=True)
class DriftSection(SlicesSection):
    """By which slices states are compared, and how sure a verdict must be: arguments of `logloss_spark.drift`.

    Parameters
    ----------
    confidence : float in (0, 1)
        A verdict needs an adjusted p-value of at most 1 - confidence.
    """

    confidence: float = 0.95

    def __post_init__(self) -> None:
        super().__post_init__()
        between("confidence", self.confidence, 0.0, 1.0)


@dataclass(frozen=True, kw_only=True)
class DriftConfig(JobConfig):
    """The config of `drift`. It may be that of the evaluation that stored the states: other keys are passed over."""

    DATED: ClassVar[tuple[str, ...]] = ()
    OTHER: ClassVar[type[JobConfig] | None] = EvaluateConfig

    evaluate: DriftSection = DriftSection()
    output: TableFormat = field(default_factory=TableFormat)


def add_arguments(parser: ArgumentParser) -> None:
    """Add the paths that the command reads and writes, and the slices."""
    parser.add_argument("reference", metavar="REFERENCE", help="where the state is stored that is compared with")
    parser.add_argument("current", metavar="CURRENT", help="where the state is stored that may have moved")
    parser.add_argument("--partition", metavar="COLUMN", help="compare each value of this slice with the reference")
    parser.add_argument("--to", metavar="PATH", help="write the table there; by default it is only printed")
    parser.add_argument("--report", metavar="FILE", help="write a report there, one page of HTML")
    add_by(parser)
    add_overwrite(parser)


def check(_: DriftConfig, given: Namespace) -> None:
    """Raise SpecError without a library that a report needs."""
    check_report(given.report)


def run(spark: SparkSession, config: DriftConfig, given: Namespace) -> Outcome:
    """Say how far the scores and the labels of a stored state have moved from those of another.

    Raises
    ------
    MissingInputError
        A state is not there.
    SpecError, DataError
        The states cannot be compared, or are none. Then nothing has been written.
    """
    paths = (given.reference, given.current)
    reference, current = (read_state(spark, path, config.output.format) for path in paths)
    check_states(reference, current)
    outputs = {"drift": given.to} if given.to else {}
    addresses = addresses_of_states(spark, zip(paths, (reference, current), strict=True))
    by, confidence = sets_of(given, config.evaluate.sets), config.evaluate.confidence
    with reserved(spark, config.output.targets(outputs), mode=mode_of(given), apart_from=addresses) as reservation:
        moved = drift(reference, current, by=by, partition=given.partition, confidence=confidence)
        frame = moved.to_pandas()
        view = view_of_drift(frame, SHOWN_SLICES, moved.slices, moved.classes)
        first = tuple(map(plain, frame.head(SHOWN_SLICES).to_dict("records")))
        write_tables(reservation, with_run_date({"drift": moved.metrics}, outputs, given.run_date))
    outcome = Outcome(
        command="drift",
        inputs=(given.reference, given.current),
        slices=first,
        written=outputs,
        view=view,
        notes=(f"compared {given.current} with {given.reference}",),
    )
    subject = f"{visible(given.current, PATH)} compared with {visible(given.reference, PATH)}"
    return with_report(outcome, given.report, lambda: described(moved.report_page(), given, None, subject))


COMMAND = Command(
    help="say how far a stored state has moved from another",
    example="conf/evaluate.toml",
    config=DriftConfig,
    run=run,
    check=check,
    add_arguments=add_arguments,
)
