"""Read stored JSON back as dataclasses; an error names the entry that is not as it was written."""

import dataclasses
import json
import math
from collections.abc import Mapping, Sequence
from enum import Enum
from types import NoneType, UnionType
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from logloss_spark.wording import visible

Stored = TypeVar("Stored")

IN_WORDS = {str: "a string", bool: "true or false", int: "a whole number", float: "a number", list: "a list"}
STORED_INFINITY = "Infinity"
"""How an infinite number is stored, because JSON has none."""


def parsed_json(text: str) -> Any:
    """The value that a JSON text describes; raise ValueError if it is no JSON, or has a key twice."""
    try:
        return json.loads(text, object_pairs_hook=distinct_keys)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def distinct_keys(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    """The pairs of an object as a dictionary; raise ValueError if a key occurs twice."""
    entries = dict(pairs)
    if len(entries) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"keys must be distinct, got {visible(repr(twice))} twice")
    return entries


def dataclass_of(of: type[Stored], value: Any, name: str) -> Stored:
    """The dataclass that a JSON object describes.

    Raises
    ------
    ValueError
        A field is missing, unknown, or has a value of another type; the message names it as `name.field`.
    """
    given = typed_value(value, dict, name)
    hints = get_type_hints(of)
    fields = dataclasses.fields(of)  # type: ignore[arg-type]  # it is a dataclass
    for field in fields:
        if field.name not in given and field.default is dataclasses.MISSING:
            raise ValueError(f"{name}.{field.name} is missing")
    for key in given:
        if key not in hints:
            raise ValueError(f"{name} has an unknown key {visible(repr(key))}")
    return of(**{key: typed_value(entry, hints[key], f"{name}.{key}") for key, entry in given.items()})


def typed_value(value: Any, hint: Any, name: str) -> Any:
    """A value of JSON as the type that a hint names; raise ValueError if it has another type."""
    origin, arguments = get_origin(hint), get_args(hint)
    if hint is Any:
        return value
    if origin in (Union, UnionType):
        (other,) = (option for option in arguments if option is not NoneType)
        return None if value is None else typed_value(value, other, name)
    if dataclasses.is_dataclass(hint):
        return dataclass_of(hint, value, name)  # type: ignore[arg-type]  # a hint is the class, not an instance
    if dict in (hint, origin):
        return typed_entries(value, arguments, name)
    if origin is tuple:
        check(isinstance(value, list), "a list", value, name)
        return tuple(typed_value(entry, arguments[0], f"{name}[{index}]") for index, entry in enumerate(value))
    if issubclass(hint, Enum):
        return typed_word(value, hint, name)
    return typed_plainly(value, hint, name)


def typed_entries(value: Any, arguments: Sequence[Any], name: str) -> dict[str, Any]:
    """An object of JSON as a dictionary, whose entries have a type if the hint names one."""
    check(isinstance(value, Mapping), "an object", value, name)
    return {
        key: typed_value(entry, arguments[1], f"{name}.{key}") if arguments else entry for key, entry in value.items()
    }


def typed_word(value: Any, words: type[Enum], name: str) -> Enum:
    """A string of JSON as a member of an enumeration."""
    known = [word.value for word in words]
    check(value in known, f"one of {', '.join(known)}", value, name)
    return words(value)


def typed_plainly(value: Any, hint: type, name: str) -> Any:
    """A string, a number, a list, or true or false."""
    if hint is float and value == STORED_INFINITY:
        return math.inf
    fits = isinstance(value, (int, float) if hint is float else hint)
    check(fits and (hint is bool or not isinstance(value, bool)), IN_WORDS[hint], value, name)
    return real(value, name) if hint is float else value


def check(fits: bool, what: str, value: Any, name: str) -> None:
    """Raise ValueError unless a value fits."""
    if not fits:
        raise ValueError(f"{name} must be {what}, got {visible(repr(value))}")


def real(value: float, name: str) -> float:
    """A number as a double; raise ValueError if it is a whole number beyond all doubles."""
    try:
        return float(value)
    except OverflowError as error:
        raise ValueError(
            f"{name} must be a number that a double can hold, got one of {len(str(value))} digits"
        ) from error
