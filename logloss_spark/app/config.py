"""Reading a config: TOML, overrides and a run date in; frozen dataclasses out. Nothing here starts Spark."""

import dataclasses
import tomllib
from collections.abc import Mapping, Sequence
from datetime import date
from functools import reduce
from pathlib import Path
from types import UnionType
from typing import Any, ClassVar, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from logloss_spark.checks import one_of
from logloss_spark.errors import SpecError
from logloss_spark.wording import did_you_mean

RUN_DATE = "{run_date}"


class JobConfig:
    """What the config of each job is: a dataclass whose fields are sections, dataclasses or dictionaries.

    `DATED` names the sections that hold paths and filters, in which `{run_date}` is filled in.
    """

    DATED: ClassVar[tuple[str, ...]] = ("input", "output", "score")


Config = TypeVar("Config", bound=JobConfig)


def read_config(
    path: str | None, *, of: type[Config], overrides: Sequence[str] = (), run_date: str | None = None
) -> Config:
    """Read a config, and check all of it that can be checked without data.

    Parameters
    ----------
    path : str
        A TOML file; None is an empty one.
    of : type
        The dataclass of the config, which checks itself.
    overrides : sequence of "section.key=value"
        Values as TOML writes them; a bare word is a string.
    run_date : str, as 2026-01-31
        What `{run_date}` stands for.

    Raises
    ------
    SpecError
        No such file, no TOML, an unknown key, a wrong type, or values that cannot be meant.
    """
    if run_date is not None:
        check_date(run_date)
    changes = [overriding(override) for override in overrides]
    try:
        given = reduce(merged, changes, {} if path is None else parsed(path))
        given |= {name: dated(given[name], run_date) for name in of.DATED if name in given}
        return structured(given, of)
    except RecursionError as error:
        raise SpecError(f"config {path}: its values are nested too deeply to be read") from error
    except SpecError as error:
        raise error if path is None else SpecError(f"config {path}: {error}") from error


def parsed(path: str) -> dict[str, Any]:
    """A TOML file as a dictionary; a byte order mark at its start, which some editors write, is skipped."""
    try:
        return tomllib.loads(Path(path).read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise SpecError(f"it cannot be read: {error.strerror}") from error
    except ValueError as error:  # no TOML, or no UTF-8
        raise SpecError(f"it is not TOML: {error}") from error


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
    if not equals or "." not in key or "\n" in key:
        raise SpecError(f"an override is section.key=value, and {override!r} came")
    try:
        return tomllib.loads(f"{key} = {toml_value(value, override)}")
    except ValueError as error:
        raise SpecError(f"an override is section.key=value, and {override!r} came: {error}") from error
    except RecursionError as error:
        raise SpecError(f"an override is section.key=value, and the value of {key} is nested too deeply") from error


def toml_value(text: str, override: str) -> str:
    """The value of an override as TOML: as it is where it is TOML, else as a string.

    Raises SpecError where it is a list, a table or a string that does not end, or where more follows the value.
    """
    try:
        alone = tomllib.loads(f"value = {text}")
    except ValueError as error:
        if text.lstrip().startswith(("[", "{", '"', "'")):
            raise SpecError(f"the value of {override!r} is not TOML: {error}") from error
        return toml_string(text)
    if alone.keys() != {"value"}:
        raise SpecError(f"an override sets one key, and {override!r} sets more: give each a --set of its own")
    return text


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
        plain = date.fromisoformat(text).isoformat()
    except ValueError:
        plain = None
    if text != plain:
        raise SpecError(f"--run-date is a date as 2026-01-31, and {text!r} came")


def structured(given: Mapping[str, Any], of: type[Config]) -> Config:
    """A dictionary as a config; SpecError names the section and the key of what is wrong in it."""
    hints, keys = get_type_hints(of), dataclasses.fields(of)  # type: ignore[arg-type]  # each JobConfig is one
    sections = {key.name: section_type(hints[key.name]) for key in keys}
    optional = {key.name for key in keys if not _required(key)}
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
    """What a section is, also one that may be left out."""
    optional = get_origin(hint) in (UnionType, Union)
    return next(option for option in get_args(hint) if option is not type(None)) if optional else hint


def filled(of_type: Any, name: str, given: Mapping[str, Any]) -> Any:
    """A section as its dataclass; one whose keys are free stays the dictionary that it is."""
    free = get_origin(of_type) is dict
    hints = dict.fromkeys(given, get_args(of_type)[1]) if free else get_type_hints(of_type)
    keys = {} if free else {key.name: key for key in dataclasses.fields(of_type)}
    for key in given:
        if not free and key not in keys:
            raise SpecError(f"unknown key {key!r} in [{name}]; {did_you_mean(key, keys)}")
    for key, value in given.items():
        hint: Any = hints[key]
        if fits(value, hint):
            continue
        if get_origin(hint) is Literal:
            one_of(f"[{name}] {key}", value, get_args(hint))
        raise SpecError(f"[{name}] {key} is {in_words(hint)}, and {value!r} came")
    for key, field in keys.items():
        if key not in given and _required(field):
            raise SpecError(f"[{name}] {key} is missing")
    return given if free else of_type(**given)


def fits(value: Any, of_type: Any) -> bool:
    """Whether a value as TOML reads it is of a type; a whole number is a number, true and false are neither.

    Examples
    --------
    >>> fits([1, 2.5], list[float] | None), fits(True, float), fits({"a": 1}, dict[str, str])
    (True, False, False)
    """
    origin, arguments = get_origin(of_type), get_args(of_type)
    if origin in (UnionType, Union):
        return any(fits(value, option) for option in arguments)
    if origin is Literal:
        return any(type(value) is type(option) and value == option for option in arguments)
    if origin in (list, Sequence):
        return isinstance(value, list) and all(fits(entry, arguments[0]) for entry in value)
    if origin is dict:
        return isinstance(value, dict) and all(fits(entry, arguments[1]) for entry in value.values())
    if isinstance(value, bool):
        return of_type is bool
    return isinstance(value, (int, float) if of_type is float else of_type)


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
    if origin is Literal:
        return " or ".join(map(repr, arguments))
    if origin in (list, Sequence):
        return f"a list (each {in_words(arguments[0])})"
    if origin is dict:
        return f"a table (each value {in_words(arguments[1])})"
    return {str: "a string", bool: "true or false", int: "a whole number", float: "a number"}.get(of_type, str(of_type))


def _required(key: "dataclasses.Field[Any]") -> bool:
    return key.default is dataclasses.MISSING and key.default_factory is dataclasses.MISSING
