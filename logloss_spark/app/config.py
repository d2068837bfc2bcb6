"""The config of a job: TOML, overrides and a run date in; frozen dataclasses out. Nothing here starts Spark."""

import dataclasses
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from types import UnionType
from typing import Any, ClassVar, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

import dacite

from logloss_spark.errors import SpecError, did_you_mean
from logloss_spark.evaluate.metrics import Reporting
from logloss_spark.evaluate.tables import METRICS, reporting_of
from logloss_spark.fit.training import Family, OnInvalid, Solver, Training, columns_or_one
from logloss_spark.spec import Clip, Engine, Kind, Label, Predictions, grouping_sets, one_name_or_many, one_of

Mode = Literal["errorifexists", "overwrite"]
Section = TypeVar("Section")

RUN_DATE = "{run_date}"
DATED = ("input", "output", "score")
"""The sections that hold paths and filters, in which `{run_date}` is filled in."""


@dataclass(frozen=True, kw_only=True)
class Input:
    """Where the predictions are: a path in a format of Spark's, with its reader options, or a catalog table."""

    section: ClassVar[str] = "input"

    path: str | None = None
    table: str | None = None
    format: str = "parquet"
    options: dict[str, str | bool | int | float] = field(default_factory=dict)
    where: str | None = None

    def __post_init__(self) -> None:
        if bool(self.path) == bool(self.table):
            raise SpecError(f"[{self.section}] has either path or table, and {'both' if self.path else 'neither'} came")


@dataclass(frozen=True, kw_only=True)
class Columns:
    """Which columns mean what; a list where each class has its own."""

    label: str | list[str]
    prediction: str | list[str]
    weight: str | None = None


@dataclass(frozen=True, kw_only=True)
class Evaluate:
    """How to score, by which slices, what to report, and what becomes of rows that cannot be scored.

    Most are the arguments of `logloss_spark.evaluate`. `metrics` names the metrics to keep, all by default.
    `tolerated_share` is the largest share of invalid rows with which the job still succeeds: by default 0 where
    `on_invalid` is "fail", otherwise 1.
    """

    by: list[list[str]] | list[str] | str = field(default_factory=list)
    kind: Kind = "probability"
    classes: list[Label] | None = None
    soft_labels: bool = False
    eps: float = 1e-15
    clip: Clip = "eps"
    confidence: float = 0.95
    sum_tolerance: float = 1e-5
    ece_bins: int = 10
    baseline: float | list[float] | None = None
    engine: Engine = "pandas"
    metrics: list[str] | None = None
    on_invalid: OnInvalid = "count"
    tolerated_share: float | None = None

    def __post_init__(self) -> None:
        for name in self.metrics or ():
            one_of("an entry of metrics", name, METRICS)
        if not 0.0 <= self.tolerance <= 1.0:
            raise SpecError(f"tolerated_share is a share of the rows, from 0 to 1, and {self.tolerance!r} came")

    @property
    def tolerance(self) -> float:
        """`tolerated_share`, or what `on_invalid` says where it is not given."""
        return self.tolerated_share if self.tolerated_share is not None else 0.0 if self.on_invalid == "fail" else 1.0


@dataclass(frozen=True, kw_only=True)
class Output:
    """Where the tables go: a folder each, or none (an empty path is none, too)."""

    metrics: str | None = None
    reliability: str | None = None
    state: str | None = None
    invalid: str | None = None
    format: str = "parquet"
    mode: Mode = "errorifexists"

    @property
    def paths(self) -> dict[str, str]:
        """The paths that are given, by the name of their table."""
        found = {name: getattr(self, name) for name in ("metrics", "reliability", "state", "invalid")}
        return {name: path for name, path in found.items() if path}


@dataclass(frozen=True, kw_only=True)
class Config:
    """A job that evaluates a table of predictions."""

    input: Input
    columns: Columns
    evaluate: Evaluate = Evaluate()
    output: Output = Output()

    def __post_init__(self) -> None:
        if self.evaluate.on_invalid == "quarantine" and not self.output.invalid:
            raise SpecError(
                'on_invalid = "quarantine" writes the invalid rows, and [output] has no path for them: invalid'
            )

    @property
    def predictions(self) -> Predictions:
        """The spec of the table."""
        columns, evaluate = self.columns, self.evaluate
        return Predictions(
            label=one_name_or_many(columns.label),
            prediction=one_name_or_many(columns.prediction),
            weight=columns.weight,
            by=grouping_sets(evaluate.by),
            kind=evaluate.kind,
            classes=None if evaluate.classes is None else tuple(evaluate.classes),
            soft_labels=evaluate.soft_labels,
            eps=evaluate.eps,
            clip=evaluate.clip,
            sum_tolerance=evaluate.sum_tolerance,
            engine=evaluate.engine,
        )

    @property
    def reporting(self) -> Reporting:
        """How metrics are read off the state."""
        evaluate = self.evaluate
        return reporting_of(confidence=evaluate.confidence, ece_bins=evaluate.ece_bins, baseline=evaluate.baseline)


@dataclass(frozen=True, kw_only=True)
class TrainingColumns:
    """Which columns of a training table mean what."""

    features: str | list[str]
    label: str
    weight: str | None = None
    offset: str | None = None
    validation: str | None = None


@dataclass(frozen=True, kw_only=True)
class Fit:
    """What to fit, and how: the arguments of `logloss_spark.fit_logistic`."""

    classes: list[Label] | None = None
    class_weight: Literal["balanced"] | dict[str, float] | None = None
    family: Family = "auto"
    reg_param: float = 0.0
    elastic_net_param: float = 0.0
    fit_intercept: bool = True
    standardization: bool = True
    solver: Solver = "gd"
    max_iter: int = 100
    tol: float = 1e-12
    patience: int = 3
    checkpoint: str | None = None
    on_invalid: OnInvalid = "count"
    tolerated_share: float | None = None


@dataclass(frozen=True, kw_only=True)
class ModelOutput:
    """Where the model goes, the rows that could not be fitted on, and what to do where something is."""

    model: str
    invalid: str | None = None
    format: str = "parquet"
    mode: Mode = "errorifexists"

    @property
    def paths(self) -> dict[str, str]:
        """The paths that are given, by the name of what is written there."""
        return {"model": self.model} | ({"invalid": self.invalid} if self.invalid else {})


@dataclass(frozen=True, kw_only=True)
class Score(Input):
    """What to score with the model, as in [input]; where the scored table goes, and what its new columns are called."""

    section: ClassVar[str] = "score"

    output: str
    partition_by: list[str] = field(default_factory=list)
    probability: str = "probability"
    logit: str = "logit"
    prediction: str = "prediction"


@dataclass(frozen=True, kw_only=True)
class FitConfig:
    """A job that fits a model to a table, and one that scores another with it."""

    input: Input
    columns: TrainingColumns
    output: ModelOutput
    fit: Fit = Fit()
    score: Score | None = None

    def __post_init__(self) -> None:
        if self.fit.on_invalid == "quarantine" and not self.output.invalid:
            raise SpecError(
                'on_invalid = "quarantine" writes the invalid rows, and [output] has no path for them: invalid'
            )

    @property
    def training(self) -> Training:
        """The fit, as the library takes it."""
        columns, asked = vars(self.columns), vars(self.fit)
        weights = self.fit.class_weight
        return Training(
            **columns | {"features": columns_or_one(self.columns.features)},
            **{name: value for name, value in asked.items() if name not in ("checkpoint", "classes", "class_weight")},
            classes=None if self.fit.classes is None else tuple(self.fit.classes),
            class_weight={label_of(key): factor for key, factor in weights.items()}
            if isinstance(weights, dict)
            else weights,
        )


def label_of(key: str) -> Label:
    """A label as the key of a TOML table, which is always a string: a whole number if it reads as one.

    Examples
    --------
    >>> label_of("1"), label_of("late")
    (1, 'late')
    """
    return int(key) if key.lstrip("-").isdigit() else key


AnyConfig = TypeVar("AnyConfig", Config, FitConfig)


def read_config(
    path: str, *, of: type[AnyConfig], overrides: Sequence[str] = (), run_date: str | None = None
) -> AnyConfig:
    """Read a config, and check all of it that can be checked without data.

    Parameters
    ----------
    path : str
        A TOML file.
    of : Config or FitConfig
        What it configures.
    overrides : sequence of "section.key=value"
        Values as TOML writes them; a bare word is a string.
    run_date : str, as 2026-01-31
        What `{run_date}` stands for in `[input]`, `[output]` and `[score]`.

    Raises
    ------
    SpecError
        No such file, no TOML, an unknown key, a wrong type, or values that cannot be meant.
    """
    if run_date is not None:
        check_date(run_date)
    given = parsed(path)
    for override in overrides:
        given = merged(given, overriding(override))
    given |= {name: dated(given[name], run_date) for name in DATED if name in given}
    try:
        config = structured(given, of)
        # They check what they are made of.
        _ = (config.predictions, config.reporting) if isinstance(config, Config) else config.training
    except SpecError as error:
        raise SpecError(f"config {path}: {error}") from error
    return config


def parsed(path: str) -> dict[str, Any]:
    """A TOML file as a dictionary."""
    try:
        return tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise SpecError(f"config {path} cannot be read: {error.strerror}") from error
    except ValueError as error:  # no TOML, or no UTF-8
        raise SpecError(f"config {path} is not TOML: {error}") from error


def overriding(override: str) -> dict[str, Any]:
    """A `section.key=value` as the dictionary that TOML would make of it.

    Examples
    --------
    >>> overriding("evaluate.eps=1e-9"), overriding("evaluate.engine=native")
    ({'evaluate': {'eps': 1e-09}}, {'evaluate': {'engine': 'native'}})
    >>> overriding("input.where=month = 1")
    {'input': {'where': 'month = 1'}}
    """
    key, equals, value = override.partition("=")
    if not equals or "." not in key:
        raise SpecError(f"an override is section.key=value, and {override!r} came")
    try:
        return tomllib.loads(f"{key} = {value}")
    except tomllib.TOMLDecodeError as error:
        if value.lstrip().startswith(("[", "{", '"', "'")):
            raise SpecError(f"the value of {override!r} is not TOML: {error}") from error
    try:
        return tomllib.loads(f"{key} = {toml_string(value)}")
    except tomllib.TOMLDecodeError as error:
        raise SpecError(f"an override is section.key=value, and {override!r} came: {error}") from error


def toml_string(text: str) -> str:
    """A text as a TOML string, whatever signs are in it."""
    return '"' + "".join(f"\\U{ord(sign):08x}" if sign in '"\\' or ord(sign) < 32 else sign for sign in text) + '"'


def merged(given: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    """Two dictionaries of dictionaries as one; where both have a value, the other's."""
    both = {
        key: merged(given[key], value) if isinstance(value, dict) and isinstance(given.get(key), dict) else value
        for key, value in other.items()
    }
    return {**given, **both}


def dated(value: Any, run_date: str | None) -> Any:
    """A value in which `{run_date}` is the run date, in every string of it; other braces are left alone.

    Examples
    --------
    >>> dated({"path": "s3://p/dt={run_date}/{a,b}"}, "2026-01-31")
    {'path': 's3://p/dt=2026-01-31/{a,b}'}
    """
    if isinstance(value, dict):
        return {key: dated(entry, run_date) for key, entry in value.items()}
    if isinstance(value, list):
        return [dated(entry, run_date) for entry in value]
    if not isinstance(value, str) or RUN_DATE not in value:
        return value
    if run_date is None:
        raise SpecError(f"{value!r} needs a date: give --run-date, as in --run-date 2026-01-31")
    return value.replace(RUN_DATE, run_date)


def check_date(text: str) -> None:
    """Raise SpecError unless a text is a date as it goes into paths; `date.fromisoformat` takes others, too."""
    try:
        if date.fromisoformat(text).isoformat() == text:
            return
    except ValueError:
        pass
    raise SpecError(f"--run-date is a date as 2026-01-31, and {text!r} came")


def structured(given: Mapping[str, Any], of: type[AnyConfig]) -> AnyConfig:
    """A dictionary as a config; SpecError names the section and the key of what is wrong in it."""
    sections = {name: section_type(hint) for name, hint in get_type_hints(of).items()}
    optional = {key.name for key in dataclasses.fields(of) if not _required(key)}
    for name, section in given.items():
        if name not in sections:
            raise SpecError(f"unknown section [{name}]; {did_you_mean(name, sections)}")
        if not isinstance(section, dict):
            raise SpecError(f"{name} is a section with keys of its own, and {section!r} came")
    for name, of_type in sections.items():
        if name not in given and name not in optional and any(_required(key) for key in dataclasses.fields(of_type)):
            raise SpecError(f"the section [{name}] is missing")
    return of(**{name: filled(sections[name], name, section) for name, section in given.items()})


def section_type(hint: Any) -> Any:
    """The dataclass of a section that may be left out."""
    return next((option for option in get_args(hint) if option is not type(None)), hint)


def filled(of_type: type[Section], name: str, given: Mapping[str, Any]) -> Section:
    """A section as its dataclass."""
    keys = {key.name: key for key in dataclasses.fields(of_type)}  # type: ignore[arg-type]
    for key in given:
        if key not in keys:
            raise SpecError(f"unknown key {key!r} in [{name}]; {did_you_mean(key, keys)}")
    try:
        return dacite.from_dict(of_type, given)
    except dacite.MissingValueError as error:
        raise SpecError(f"[{name}] {error.field_path} is missing") from error
    except dacite.WrongTypeError as error:
        key = (error.field_path or "").partition(".")[0]
        if get_origin(error.field_type) is Literal:
            one_of(f"[{name}] {key}", error.value, get_args(error.field_type))
        raise SpecError(
            f"[{name}] {key} is {in_words(get_type_hints(of_type)[key])}, and {error.value!r} came"
        ) from error


def in_words(of_type: Any) -> str:
    """A type as the reader of a config would say it.

    Examples
    --------
    >>> in_words(float | list[float] | None)
    'a number or a list (each a number)'
    """
    origin, arguments = get_origin(of_type), get_args(of_type)
    if origin in (UnionType, Union):
        return " or ".join(in_words(option) for option in arguments if option is not type(None))
    if origin is list:
        return f"a list (each {in_words(arguments[0])})"
    if origin is dict:
        return f"a table (each value {in_words(arguments[1])})"
    return {str: "a string", bool: "true or false", int: "a whole number", float: "a number"}.get(of_type, str(of_type))


def _required(key: "dataclasses.Field[Any]") -> bool:
    return key.default is dataclasses.MISSING and key.default_factory is dataclasses.MISSING
