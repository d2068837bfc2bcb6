"""Read a config: TOML, overrides and a run date become frozen dataclasses. Nothing here starts Spark."""

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

PLACEHOLDER = "{run_date}"


class JobConfig:
    """The config of a command: a dataclass whose fields are sections, each a dataclass or a dictionary.

    `DATED` names the sections that hold paths and filters, in which `{run_date}` is filled in. A command may use the
    file of another one: `OTHER` is the config of that command, whose sections and keys may stand there and are passed
    over, and so are the sections that `PASSED_OVER` names. Overrides of what is passed over are errors if `REFUSES`.
    """

    DATED: ClassVar[tuple[str, ...]] = ("input", "output")
    OTHER: ClassVar["type[JobConfig] | None"] = None
    PASSED_OVER: ClassVar[tuple[str, ...]] = ()
    REFUSES: ClassVar[bool] = True


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
        The file is missing or is not TOML, a section or a key is unknown, or a value has a wrong type or is invalid.
    """
    if run_date is not None:
        check_date(run_date)
    changes = [overriding(override) for override in overrides]
    for change in changes if of.REFUSES else ():
        check_read(change, of)
    try:
        return structured(reduce(overlaid, changes, {} if path is None else parsed(path)), of, run_date)
    except RecursionError as error:
        raise SpecError(f"config {path}: its values are nested too deeply to be read") from error
    except SpecError as error:
        raise error if path is None else SpecError(f"config {path}: {error}") from error


def parsed(path: str) -> dict[str, Any]:
    """Return a TOML file as a dictionary. A byte order mark at its start, which some editors write, is skipped."""
    try:
        return tomllib.loads(Path(path).read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise SpecError(f"it cannot be read: {error.strerror}") from error
    except ValueError as error:  # no TOML, or no UTF-8
        raise SpecError(f"it is not TOML: {error}") from error


def overriding(override: str) -> dict[str, Any]:
    """Return an override `section.key=value` as the dictionary that TOML would make of it.

    Examples
    --------
    >>> overriding("evaluate.eps=1e-9"), overriding("evaluate.engine=native")
    ({'evaluate': {'eps': 1e-09}}, {'evaluate': {'engine': 'native'}})
    >>> overriding("input.where=month = 1")
    {'input': {'where': 'month = 1'}}
    """
    key, equals, value = override.partition("=")
    if not equals or "." not in key or "\n" in key:
        raise SpecError(f"an override must be section.key=value, got {override!r}")
    try:
        return tomllib.loads(f"{key} = {toml_value(value, override)}")
    except ValueError as error:
        raise SpecError(f"an override must be section.key=value, got {override!r}: {error}") from error
    except RecursionError as error:
        raise SpecError(
            f"an override must be section.key=value, and the value of {key} is nested too deeply"
        ) from error


def toml_value(text: str, override: str) -> str:
    """Return the value of an override as TOML: unchanged if it is TOML, otherwise as a string.

    Raises SpecError if a list, a table or a string has no end, or if something follows the value.
    """
    try:
        alone = tomllib.loads(f"value = {text}")
    except ValueError as error:
        if text.lstrip().startswith(("[", "{", '"', "'")):
            raise SpecError(f"the value of {override!r} is not TOML: {error}") from error
        return toml_string(text)
    if alone.keys() != {"value"}:
        raise SpecError(f"an override must set one key, got {override!r}: give each key a --set of its own")
    return text


def toml_string(text: str) -> str:
    """Return a text as a TOML string, whatever characters it has."""
    return '"' + "".join(f"\\U{ord(sign):08x}" if sign in '"\\' or ord(sign) < 32 else sign for sign in text) + '"'


def overlaid(given: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    """Return two dictionaries of dictionaries as one. Where both have a value, the value of `other` counts."""
    both = {
        key: overlaid(given[key], value) if isinstance(value, dict) and isinstance(given.get(key), dict) else value
        for key, value in other.items()
    }
    return {**given, **both}


def dated(value: Any, run_date: str | None) -> Any:
    """Return a value with the run date in the place of `{run_date}` in all its strings. Other braces are kept.

    Examples
    --------
    >>> dated({"path": "s3://p/dt={run_date}/{a,b}"}, "2026-01-31")
    {'path': 's3://p/dt=2026-01-31/{a,b}'}
    """
    if isinstance(value, dict):
        return {key: dated(entry, run_date) for key, entry in value.items()}
    if isinstance(value, list):
        return [dated(entry, run_date) for entry in value]
    if not isinstance(value, str) or PLACEHOLDER not in value:
        return value
    if run_date is None:
        raise SpecError(f"{value!r} needs a date: give --run-date, as in --run-date 2026-01-31")
    return value.replace(PLACEHOLDER, run_date)


def check_date(text: str) -> None:
    """Raise SpecError unless a text is a date as 2026-01-31; `date.fromisoformat` takes other forms, too."""
    try:
        plain = date.fromisoformat(text).isoformat()
    except ValueError:
        plain = None
    if text != plain:
        raise SpecError(f"--run-date must be a date as 2026-01-31, got {text!r}")


def structured(given: Mapping[str, Any], of: type[Config], run_date: str | None = None) -> Config:
    """Return a dictionary as a config; raise SpecError that names the section and the key of what is wrong in it."""
    check_known(given, of)
    sections = sections_of(of)
    own = {name: own_keys(section, sections[name]) for name, section in given.items() if name in sections}
    own |= {name: dated(own[name], run_date) for name in of.DATED if name in own}
    for name in sections:
        if name not in given and is_required(of, name):
            raise SpecError(f"the section [{name}] is missing")
    return of(**{name: filled(sections[name], f"[{name}]", section) for name, section in own.items()})


def check_known(given: Mapping[str, Any], of: type[JobConfig]) -> None:
    """Raise SpecError for a section or a key that neither this command knows nor the one that shares its file."""
    sections = {**(sections_of(of.OTHER) if of.OTHER else {}), **sections_of(of)}
    for name, section in given.items():
        if name in of.PASSED_OVER:
            continue
        if name not in sections:
            raise SpecError(f"unknown section [{name}]; {did_you_mean(name, sections)}")
        if not isinstance(section, dict):
            raise SpecError(f"{name} must be a section with keys of its own, got {section!r}")
    for name in (name for name in given if name not in of.PASSED_OVER):
        known = keys_of(of, name) | (keys_of(of.OTHER, name) if of.OTHER else {})
        for key in given[name]:
            if known and key not in known:
                raise SpecError(f"unknown key {key!r} in [{name}]; {did_you_mean(key, known)}")


def check_read(change: Mapping[str, Any], of: type[JobConfig]) -> None:
    """Raise SpecError where an override sets a key that this command passes over."""
    for name, section in change.items():
        others = keys_of(of.OTHER, name) if of.OTHER else {}
        own = keys_of(of, name)
        for key in section if isinstance(section, dict) else ():
            if name in of.PASSED_OVER or (key in others and key not in own):
                read = f"of [{name}] it reads: {', '.join(own)}" if own else f"it reads no [{name}]"
                raise SpecError(f"an override must set a key that this command reads, got {name}.{key}; {read}")


def requires_file(of: type[JobConfig]) -> bool:
    """Whether a config has sections that must be given."""
    return any(is_required(of, name) for name in sections_of(of))


def sections_of(of: type[JobConfig]) -> dict[str, Any]:
    """The sections of a config, with the type of each."""
    hints = get_type_hints(of)
    return {key.name: section_type(hints[key.name]) for key in dataclass_fields(of)}


def section_type(hint: Any) -> Any:
    """The type of a section, also of one that may be left out."""
    optional = get_origin(hint) in (UnionType, Union)
    return next(option for option in get_args(hint) if option is not type(None)) if optional else hint


def keys_of(of: type[JobConfig], name: str) -> dict[str, "dataclasses.Field[Any]"]:
    """The keys of a section of a config; none where it has no such section, or one whose keys are free."""
    of_type = sections_of(of).get(name)
    return (
        {}
        if of_type is None or get_origin(of_type) is dict
        else {key_of(key): key for key in dataclass_fields(of_type)}
    )


def is_required(of: type[JobConfig], name: str) -> bool:
    """Whether a section must be given: it has no default."""
    return has_no_default(next(key for key in dataclass_fields(of) if key.name == name))


def own_keys(section: dict[str, Any], of_type: Any) -> dict[str, Any]:
    """The keys of a section that its dataclass has; all of a section whose keys are free."""
    if get_origin(of_type) is dict:
        return section
    names = set(map(key_of, dataclass_fields(of_type)))
    return {key: value for key, value in section.items() if key in names}


def filled(of_type: Any, where: str, given: Mapping[str, Any]) -> Any:
    """Return a table of a config as its dataclass; one whose keys are free stays the dictionary that it is.

    `where` says in errors where the table stands.
    """
    if get_origin(of_type) is dict:
        for key, value in given.items():
            check_value(f"{where} {key}", value, get_args(of_type)[1])
        return given
    fields = {key_of(field): field for field in dataclass_fields(of_type)}
    hints = get_type_hints(of_type)
    for key in given:
        if key not in fields:
            raise SpecError(f"unknown key {key!r} in {where.rstrip(':')}; {did_you_mean(key, fields)}")
    values = {
        fields[key].name: with_tables(f"{where} {key}", value, hints[fields[key].name]) for key, value in given.items()
    }
    for key, field in fields.items():
        if field.name not in values and has_no_default(field):
            raise SpecError(f"{where} {key} is missing")
    return of_type(**values)


def with_tables(name: str, value: Any, hint: Any) -> Any:
    """Return the value of a key, with the tables in it as their dataclasses; raise SpecError if its type is wrong."""
    check_value(name, value, hint)
    of_table = dataclass_in(hint)
    if of_table and isinstance(value, dict):
        return filled(of_table, f"{name}:", value)
    if of_table and isinstance(value, list):
        return [filled(of_table, f"{name} {number}:", table) for number, table in enumerate(value, start=1)]
    return value


def dataclass_in(hint: Any) -> Any:
    """The dataclass that a key is a table or a list of tables of, or None.

    Examples
    --------
    >>> from logloss_spark.gates.rules import Against, Rule
    >>> dataclass_in(list[Rule]) is Rule, dataclass_in(Against | None) is Against, dataclass_in(list[str])
    (True, True, None)
    """
    if dataclasses.is_dataclass(hint):
        return hint
    return next((found for option in get_args(hint) if (found := dataclass_in(option))), None)


def key_of(field: "dataclasses.Field[Any]") -> str:
    """The key of a field; a field whose name would be a word of Python's, as `except`, ends with an underscore."""
    return field.name.rstrip("_")


def check_value(name: str, value: Any, hint: Any) -> None:
    """Raise SpecError unless the value of a key is of its type."""
    if fits(value, hint):
        return
    if get_origin(hint) is Literal:
        one_of(name, value, get_args(hint))
    raise SpecError(f"{name} must be {type_in_words(hint)}, got {value!r}")


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
    if dataclasses.is_dataclass(of_type):
        return isinstance(value, dict)
    if isinstance(value, bool):
        return of_type is bool
    return isinstance(value, (int, float) if of_type is float else of_type)


def type_in_words(of_type: Any) -> str:
    """Return a type in the words of the reader of a config.

    Examples
    --------
    >>> type_in_words(float | list[float] | None)
    'a number or a list (each a number)'
    """
    origin, arguments = get_origin(of_type), get_args(of_type)
    if origin in (UnionType, Union):
        return " or ".join(type_in_words(option) for option in arguments if option is not type(None))
    if origin is Literal:
        return " or ".join(map(repr, arguments))
    if origin in (list, Sequence):
        return f"a list (each {type_in_words(arguments[0])})"
    if origin is dict:
        return f"a table (each value {type_in_words(arguments[1])})"
    if dataclasses.is_dataclass(of_type):
        return "a table"
    return {str: "a string", bool: "true or false", int: "a whole number", float: "a number"}.get(of_type, str(of_type))


def dataclass_fields(of: Any) -> "tuple[dataclasses.Field[Any], ...]":
    """The fields of a dataclass."""
    return dataclasses.fields(of)


def has_no_default(field: "dataclasses.Field[Any]") -> bool:
    """Whether a field of a dataclass must be given."""
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
