"""The command `compare`: read the predictions of several models, compare them on the same rows, write the tables."""

from argparse import Namespace
from dataclasses import asdict, dataclass, field, replace
from typing import ClassVar, Literal

from pyspark.sql import DataFrame, SparkSession

from logloss_spark.app.choosing import records_of
from logloss_spark.app.command import Command
from logloss_spark.app.gating import WITHHELD, add_gate, check_gate, is_withheld, judged, published
from logloss_spark.app.judging import check_tolerated
from logloss_spark.app.outcome import Outcome
from logloss_spark.app.reading import addresses_of, check_any, files_of_input, read_input
from logloss_spark.app.reporting import check_report, described, with_report
from logloss_spark.app.run_date import with_run_date
from logloss_spark.app.sections import Input, OutputWithState, Renaming, ScoringSection
from logloss_spark.app.sinks.numbers import SLICES_FOR_DASHBOARDS
from logloss_spark.app.sinks.telling import WithDashboards
from logloss_spark.checks import one_of
from logloss_spark.comparison import Comparison
from logloss_spark.errors import DataError
from logloss_spark.gates.estimates import Measurement
from logloss_spark.gates.rules import Gate
from logloss_spark.io.local import as_dataframe
from logloss_spark.io.units import fingerprint_of
from logloss_spark.io.writing import reserved, write_tables
from logloss_spark.kernels.status import STATUSES
from logloss_spark.report.comparisons import title_of_comparison, view_of_comparison
from logloss_spark.roles import Columns, Roles
from logloss_spark.rows.inputs import ComparedRows
from logloss_spark.rows.models import Models, compared_rows
from logloss_spark.rows.status import reasons_in
from logloss_spark.state import State
from logloss_spark.statistics.catalogue import COMPARISON, by_column
from logloss_spark.statistics.reporting import Coverage, Reading
from logloss_spark.wording import counted, listed, shortened


@dataclass(frozen=True, kw_only=True)
class EventColumns(Renaming):
    """Which columns mean what, besides those of [models].

    Parameters
    ----------
    label : str, or list of str
        The class of a row; with `soft_labels` its share, or one column per class.
    weight : str
        The weight of a row; 1 by default.
    cluster : str
        The column that says which rows depend on each other. Intervals then take clusters as independent, not rows.
    prediction : str, or list of str
        In a long table, the column of the forecast, or one column per class.
    model : str
        In a long table, the column that names the model.
    keys : list of str
        In a long table, the columns that tell which rows forecast the same.
    """

    label: str | list[str]
    weight: str | None = None
    cluster: str | None = None
    prediction: str | list[str] | None = None
    model: str | None = None
    keys: list[str] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class Compare(ScoringSection, Coverage):
    """What to compare with what, and how: the arguments of `logloss_spark.compare`.

    A row is invalid if one of the models cannot be scored. With rows = "shared" a row counts once for each challenger,
    and is invalid if the challenger or the baseline cannot be scored. A verdict needs an adjusted p-value of at most
    1 - confidence.

    Parameters
    ----------
    baseline : str
        The model with which all others are compared.
    models : list of str
        The models of a long table to compare, by default all.
    rows : "all" or "shared"
        Whether to compare on the rows that all models score, or each challenger on the rows that it and the baseline
        score.
    """

    baseline: str
    loss: Literal["cross_entropy"] = "cross_entropy"
    models: list[str] | None = None
    rows: ComparedRows = "all"

    def __post_init__(self) -> None:
        ScoringSection.__post_init__(self)
        Coverage.__post_init__(self)
        one_of("[compare] on_invalid", self.on_invalid, ("count", "fail"))


@dataclass(frozen=True, kw_only=True)
class ComparisonOutput(OutputWithState):
    """Where each table is written; a table without a path, or with an empty one, is not written.

    Parameters
    ----------
    metrics : str
        The path of the comparison, one row per slice and challenger.
    report : str
        The file of the report, one page of HTML, which replaces an older one. It is written whatever a gate says.
    """

    metrics: str | None = None
    report: str | None = None

    @property
    def paths(self) -> dict[str, str]:
        """The paths that are given, by the name of their table."""
        return {name: path for name, path in (("metrics", self.metrics), ("state", self.state)) if path}


@dataclass(frozen=True, kw_only=True)
class CompareConfig(WithDashboards):
    """The config of `compare`. For a wide table, `models` names the column (or columns) of each model."""

    DATED: ClassVar[tuple[str, ...]] = ("input", "output", "gate", "mlflow")

    input: Input
    columns: EventColumns
    compare: Compare
    models: dict[str, Columns] = field(default_factory=dict)
    output: ComparisonOutput = ComparisonOutput()
    gate: Gate | None = None

    def __post_init__(self) -> None:
        columns = list(by_column(COMPARISON))
        if self.gate:
            check_gate(self.gate, self.roles.slices, columns, has_store=False)
        self.check_dashboards(self.roles.slices, ("rows", "n", *STATUSES, *columns))

    @property
    def contest(self) -> Models:
        """Where the forecasts of the models are."""
        columns, asked = self.columns, self.compare
        return Models(
            baseline=asked.baseline,
            predictions=self.models,
            prediction=columns.prediction,
            model=columns.model,
            keys=columns.keys,
            models=asked.models,
            rows=asked.rows,
        )

    @property
    def roles(self) -> Roles:
        """Which columns mean what, for the baseline."""
        return self.compare.roles(self.columns, prediction=self.contest.of_baseline)


def check(config: CompareConfig, _: Namespace) -> None:
    """Raise SpecError without a library that a report needs."""
    check_report(config.output.report)


def run(spark: SparkSession, config: CompareConfig, given: Namespace) -> Outcome:
    """Compare models on the same rows, and write what the config asks for.

    Raises
    ------
    SpecError, DataError
        As the config or the input breaks its contract. Then nothing has been written.
    """
    output, outputs = config.output, config.output.paths
    source = read_input(spark, config.input, config.columns)
    addresses, targets = addresses_of(spark, source, config.input), output.targets(outputs)
    asked = config.compare
    files = files_of_input(spark, source, config.input, config.columns, engine=asked.engine)
    rows = replace(compared_rows(source, config.roles, asked, config.contest, engine=asked.engine), files=files)
    with (
        Comparison(rows, asked) as comparison,
        reserved(spark, targets, mode=output.mode, apart_from=addresses) as reservation,
    ):
        counts, ran = comparison.counts, comparison.engine
        check_any(sum(counts.values()), config.input)
        if not counts["ok"] and counts["prediction_length"]:
            raise DataError(wrong_lengths(comparison))
        check_tolerated(counts, asked, comparison.advice)
        with comparison.measured() as metrics:
            conventions = comparison.state.conventions
            first = comparison.first_slices()
            title = title_of_comparison(rows, config.input.name)
            view = view_of_comparison(first, comparison.slices_to_name(), title, conventions, asked)
            tables: dict[str, DataFrame | State] = {"state": comparison.state, "metrics": as_dataframe(metrics)}
            judgement = judged(spark, config.gate, comparison.state, Reading()) if config.gate else None
            measured = None
            if config.dashboards:
                table = comparison.to_pandas(SLICES_FOR_DASHBOARDS, sort_by="rows")
                measured = Measurement(table, rows.roles.slices)
            if not is_withheld(judgement):
                write_tables(reservation, with_run_date(tables, outputs, given.run_date))
        read, compared = sum(counts.values()), f"{counts['ok']:,}"
        if conventions.rows == "shared":
            read //= len(conventions.models) - 1
            compared = f"{counted(counts['ok'], 'pair')} of a row and a challenger"
        outcome = Outcome(
            command="compare",
            inputs=(config.input.name,),
            counts={"read": read, "compared": counts["ok"]},
            invalid=reasons_in(counts),
            slices=records_of(first),
            details={"engine": asdict(ran)},
            measured=measured,
            source=fingerprint_of(files),
            written={} if is_withheld(judgement) else outputs,
            view=view,
            notes=(
                f"read {counted(read, 'row')} of {config.input.name}, compared {compared}",
                f"engine {ran}",
                *([WITHHELD] if is_withheld(judgement) else []),
            ),
        )
        outcome = with_report(
            outcome, output.report, lambda: described(comparison.report_page(), given, judgement, config.input.name)
        )
    return published(outcome, judgement, config.input.name, given) if judgement else outcome


def wrong_lengths(comparison: Comparison) -> str:
    """The error for models whose forecasts have, on every row, more or fewer entries than there are classes."""
    classes = comparison.state.conventions.classes
    return (
        f"models that are compared give one entry per class, and there are {len(classes)} classes "
        f"({shortened(classes)}) but forecasts have these entries: {listed(comparison.lengths())}, and no row can be "
        "compared: leave out models that forecast others, or name in [compare] the `classes` that all of them forecast"
    )


COMMAND = Command(
    help="compare models on the same rows, whole and by slices",
    example="conf/compare.toml",
    config=CompareConfig,
    run=run,
    check=check,
    add_arguments=add_gate,
)
