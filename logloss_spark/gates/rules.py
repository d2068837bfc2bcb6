"""What a gate asks: the TOML sections `[gate]` and `[[gate.rule]]` as frozen dataclasses, which check themselves."""

import math
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal, get_args

from logloss_spark.checks import at_least_one, between, distinct, one_of
from logloss_spark.errors import SpecError
from logloss_spark.kernels.status import STATUSES
from logloss_spark.statistics.catalogue import METRICS, PAIRED, ROWS_READ, ROWS_SCORED, Metric, by_column
from logloss_spark.wording import alternatives, guess_at

Verdict = Literal["fail", "warn", "watch", "pass", "missing", "too_few", "no_baseline"]
"""What comes of a slice, a rule or a gate, the worst first. The last three say why nothing was judged."""

VERDICTS: tuple[Verdict, ...] = get_args(Verdict)

Judge = Literal["interval", "point"]
Level = Literal["fail", "warn"]
Doubt = Literal["pass", "warn", "fail"]
Publish = Literal["always", "passed"]
OnMissing = Literal["skip", "warn", "fail"]

ALL = "all"
"""The pattern that names the global row, as tables do."""

COUNTS = frozenset(("n", "rows", *STATUSES, *(metric.name for metric in METRICS if metric.type == "count")))
"""The columns of metrics that are counts of rows, of which a rule may judge a quotient."""

COLUMNS: Mapping[str, Metric] = by_column((*METRICS, *PAIRED, ROWS_READ, ROWS_SCORED)) | {
    name: Metric(name, "", "count") for name in STATUSES
}
"""The columns that a rule may judge, in the table of an evaluation or of a comparison."""

PERCENT = re.compile(r"\s*(\d+(?:\.\d+)?)\s*%\s*")


@dataclass(frozen=True)
class Corridor:
    """The values that a rule allows: from `low` to `high`, both included; of a value, or of its change.

    Attributes
    ----------
    low, high : float, of which one may be infinite
    relative : whether they are shares of the baseline's value
    """

    low: float
    high: float
    relative: bool = False


@dataclass(frozen=True, kw_only=True)
class Against:
    """What a rule compares with: the days before, or a stored state.

    Parameters
    ----------
    days : int
        How many days before the judged one the baseline reaches back. It is the sum of their states in the store.
    state : str
        The path of a stored state.
    same_weekday : bool
        Whether only days of the same weekday count.
    only_passed : bool
        Whether only runs count that were judged and did not fail.
    min_days : int
        With fewer days the slices of the rule are `no_baseline`.
    """

    days: int | None = None
    state: str | None = None
    same_weekday: bool = False
    only_passed: bool = True
    min_days: int = 1

    def __post_init__(self) -> None:
        if (self.days is None) == (not self.state):
            raise SpecError(f"against must have either days or state, got {'neither' if self.days is None else 'both'}")
        for name, unset in (("same_weekday", False), ("only_passed", True), ("min_days", 1)):
            if self.state and getattr(self, name) != unset:
                raise SpecError(f"{name} goes with days, and not with state")
        for name in ("days", "min_days"):
            if getattr(self, name) is not None:
                at_least_one(f"{name} of against", getattr(self, name))
        if self.days is not None and self.min_days > self.days:
            raise SpecError(f"min_days of against must be at most days = {self.days}, got {self.min_days}")


@dataclass(frozen=True, kw_only=True)
class Rule:
    """A bound on a metric, in some slices.

    Parameters
    ----------
    name : str
        What reports call the rule. Names of rules are distinct.
    metric : str
        A column of the metrics, or `a / b` of two counts.
    model : str
        The challenger that is judged, of a comparison.
    slices : list of str
        The slices that are judged, as tables name them: `all`, `country=de`, `country=de/device=tv`. `*` stands for any
        text within a value. A pattern names the slices of exactly the columns that it lists.
    except_ : list of str
        Slices that are not judged, written as `slices`.
    at_most : float
        The largest value that is allowed. A rule has exactly one bound: this, or one of the next five.
    at_least : float
        The smallest value that is allowed.
    between : list of two float
        The smallest and the largest value that are allowed.
    rise_at_most : float, or str such as "2%"
        How far the value may be above that of `against`; a percentage is of the baseline's value.
    fall_at_most : float, or str such as "2%"
        How far it may be below.
    change_at_most : float, or str such as "2%"
        How far it may be above or below.
    against : table
        What the value is compared with.
    judge : "interval" or "point"
        Whether a value is over a bound if its whole interval is, or if the value itself is.
    in_doubt : "pass", "warn" or "fail"
        The verdict where the bound lies within the interval.
    min_rows : int
        Overrides that of the gate.
    level : "fail" or "warn"
        The worst that the rule can say.
    persist : str, as "2 of 3"
        How many of the last runs, this one among them, must be over a bound. Until then the verdict is `watch`.
    on_missing : "fail", "warn" or "skip"
        What is said where no slice matches, or the metric is null. By default "fail" for `all` and "skip" otherwise. A
        rule that matches no slice at all fails.
    on_no_baseline : "pass", "warn" or "fail"
        What is said where there is nothing to compare with.
    """

    name: str
    metric: str
    model: str | None = None
    slices: list[str] = field(default_factory=lambda: [ALL])
    except_: list[str] = field(default_factory=list)
    at_most: float | None = None
    at_least: float | None = None
    between: list[float] | None = None
    rise_at_most: float | str | None = None
    fall_at_most: float | str | None = None
    change_at_most: float | str | None = None
    against: Against | None = None
    judge: Judge = "interval"
    in_doubt: Doubt = "pass"
    min_rows: int | None = None
    level: Level = "fail"
    persist: str | None = None
    on_missing: OnMissing | None = None
    on_no_baseline: Doubt = "pass"

    def __post_init__(self) -> None:
        if not self.name.strip():
            raise SpecError("a rule of a gate must have a name, got an empty one")
        try:
            self._check()
        except SpecError as error:
            raise SpecError(f"rule {self.name!r}: {error}") from None

    def _check(self) -> None:
        for name, allowed in CHOICES.items():
            one_of(name, getattr(self, name), allowed)
        if self.on_missing is not None:
            one_of("on_missing", self.on_missing, get_args(OnMissing))
        if not self.slices:
            raise SpecError('slices must name a pattern or more, got none: write slices = ["all"] for the whole table')
        distinct("slices", self.slices)
        check_min_rows(self.min_rows or 0)
        _ = self.corridor, self.persistence  # they check themselves
        self._check_metric()

    def _check_metric(self) -> None:
        for column in self.columns:
            if column not in known_to_rules():
                raise SpecError(f"metric must be a column of the metrics, got {column!r}{guess_at(column, COLUMNS)}")
            if len(self.columns) == 2 and column not in COUNTS:
                raise SpecError(f"the metric `a / b` must be of two counts, got {column!r}: of others judge each alone")
            of_column = catalogued(column)
            if of_column.type in ("text", "flag", "bin") or of_column.forecasts == "classes":
                raise SpecError(f"metric must have one number for each slice, got {column!r}, which has none")
        if self.judge == "interval" and not self.has_interval:
            raise SpecError(f'{self.metric!r} has no interval to judge: write judge = "point", which judges its value')

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns of the metrics that the rule reads: one, or two whose quotient is judged."""
        return tuple(column.strip() for column in self.metric.split("/")) if "/" in self.metric else (self.metric,)

    @property
    def has_interval(self) -> bool:
        """Whether its metric has an interval, of some evaluation at least."""
        column = catalogued(self.columns[0])
        return len(self.columns) == 1 and column.interval != "none" and self.metric in (column.name, "loss")

    @property
    def is_count(self) -> bool:
        """Whether its metric is a count, which no number of rows is too few for."""
        return len(self.columns) == 1 and self.metric in COUNTS

    @cached_property
    def bound(self) -> tuple[str, float | list[float] | str]:
        """The key of its bound, and the value of this key."""
        given = {name: getattr(self, name) for name in BOUNDS if getattr(self, name) is not None}
        if len(given) != 1:
            came = " and ".join(given) or "none"
            raise SpecError(f"it must have exactly one bound, got {came}: {alternatives(tuple(BOUNDS))}")
        return next(iter(given.items()))

    @property
    def is_change(self) -> bool:
        """Whether a change is judged, and not a value."""
        return self.bound[0] in CHANGES

    @cached_property
    def corridor(self) -> Corridor:
        """The values that it allows.

        Examples
        --------
        >>> Rule(name="loss", metric="log_loss", against=Against(days=7), change_at_most="2%").corridor
        Corridor(low=-0.02, high=0.02, relative=True)
        """
        key, value = self.bound
        if self.is_change and self.against is None:
            raise SpecError(f"{key} needs something to compare with: add against = {{ days = 28 }}")
        if not self.is_change and self.against is not None:
            raise SpecError(f"against goes with {alternatives(CHANGES)}, got {key}")
        if key == "between":
            return corridor_between(value)
        limit, relative = limit_of(key, value)
        reach = CHANGES.index(key) if self.is_change else None
        low = -math.inf if key in ("at_most", "rise_at_most") else limit if reach is None else -limit
        return Corridor(low, math.inf if key in ("at_least", "fall_at_most") else limit, relative)

    @property
    def persistence(self) -> tuple[int, int]:
        """How many runs must be over, and of how many."""
        if self.persist is None:
            return 1, 1
        found = re.fullmatch(r"\s*(\d{1,3})\s+of\s+(\d{1,3})\s*", self.persist)
        over, runs = map(int, found.groups()) if found else (0, 0)
        if not 1 <= over <= runs:
            raise SpecError(f'persist must say how many of the last runs, as "2 of 3", got {self.persist!r}')
        return over, runs

    @property
    def bound_in_words(self) -> str:
        """Its bound as a person reads it.

        Examples
        --------
        >>> Rule(name="ratio", metric="calibration_ratio", between=[0.9, 1.1]).bound_in_words
        'between 0.9 and 1.1'
        """
        key, value = self.bound
        if isinstance(value, list):
            return f"between {value[0]:g} and {value[1]:g}"
        return f"{key.replace('_', ' ')} {value if isinstance(value, str) else format(value, 'g')}"


@dataclass(frozen=True, kw_only=True)
class Gate:
    """Which rules judge the metrics, and how sure a verdict must be.

    Parameters
    ----------
    rule : list of tables
        The rules, each in a section `[[gate.rule]]` of its own.
    confidence : float in (0, 1)
        The coverage of the intervals that rules are judged on.
    false_alarms : float in [0, 1)
        The share of a rule's slices over a bound that may be so by chance, by the method of Benjamini and Hochberg; 0
        is no adjustment.
    min_rows : int
        Slices of fewer scored rows are `too_few`, and are not judged.
    publish : "always" or "passed"
        Whether a run publishes its tables and states in any case, or nothing if the gate fails.
    result : str
        A file to which the verdicts are written as JSON: of this machine, or of a store that Arrow knows, as `s3://`.
    """

    rule: list[Rule] = field(default_factory=list)
    confidence: float = 0.99
    false_alarms: float = 0.05
    min_rows: int = 1000
    publish: Publish = "always"
    result: str | None = None

    def __post_init__(self) -> None:
        between("[gate] confidence", self.confidence, 0.0, 1.0)
        if self.false_alarms != 0.0:
            between("[gate] false_alarms", self.false_alarms, 0.0, 1.0)
        check_min_rows(self.min_rows)
        one_of("[gate] publish", self.publish, get_args(Publish))
        if not self.rule:
            raise SpecError("a gate must have a rule or more, got none: add a section [[gate.rule]]")
        distinct("the names of a gate's rules", [rule.name for rule in self.rule])


CHANGES = ("rise_at_most", "fall_at_most", "change_at_most")
"""The bounds of a change."""

BOUNDS = ("at_most", "at_least", "between", *CHANGES)

CHOICES: Mapping[str, Sequence[str]] = {
    "judge": get_args(Judge),
    "in_doubt": get_args(Doubt),
    "level": get_args(Level),
    "on_no_baseline": get_args(Doubt),
}


def known_to_rules() -> set[str]:
    """The names of columns that a rule may have as its metric; of another loss than cross-entropy it is `loss`."""
    return {*COLUMNS, "loss"}


def catalogued(column: str) -> Metric:
    """The metric that a column is of."""
    return COLUMNS["log_loss" if column == "loss" else column]


def capped(verdict: Doubt, level: Level) -> Verdict:
    """A verdict, no worse than the level of its rule."""
    return "warn" if (verdict, level) == ("fail", "warn") else verdict


def check_min_rows(rows: int) -> None:
    """Raise SpecError unless a least number of rows is a whole number, 0 or more."""
    if isinstance(rows, bool) or not isinstance(rows, int) or rows < 0:
        raise SpecError(f"min_rows must be a whole number, 0 or more, got {rows!r}")


def corridor_between(ends: object) -> Corridor:
    """The corridor of `between`; SpecError unless its ends are two numbers in order."""
    if not (isinstance(ends, list) and len(ends) == 2 and all(map(is_finite, ends)) and ends[0] <= ends[1]):
        raise SpecError(f"between must have two numbers, the smaller first, got {ends!r}")
    return Corridor(float(ends[0]), float(ends[1]))


def limit_of(key: str, value: Any) -> tuple[float, bool]:
    """A bound as a number, and whether it is a share of the baseline's value."""
    if key not in CHANGES:
        if not is_finite(value):
            raise SpecError(f"{key} must be a finite number, got {value!r}")
        return float(value), False
    if isinstance(value, str) and (percent := PERCENT.fullmatch(value)):
        return float(percent[1]) / 100.0, True
    if not is_finite(value) or value < 0.0:
        raise SpecError(f'{key} must be a number of 0 or more, or a percentage as "2%", got {value!r}')
    return float(value), False


def is_finite(value: object) -> bool:
    """Whether a value is a finite number."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) <= sys.float_info.max
