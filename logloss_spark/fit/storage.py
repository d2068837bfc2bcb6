"""JSON that was stored, read back as dataclasses: what is not as it was written is told by its name."""

import dataclasses
import json
import math
from collections.abc import Mapping, Sequence
from types import NoneType, UnionType
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from logloss_spark.wording import visible

Stored = TypeVar("Stored")

IN_WORDS = {str: "a string", bool: "true or false", int: "a whole number", float: "a number", list: "a list"}
INFINITY = "Infinity"
"""How an infinite number is stored, as JSON has none."""


def parsed(text: str) -> Any:
    """Return what a JSON text says; raise ValueError where it is none, or gives a key twice."""
    try:
        return json.loads(text, object_pairs_hook=distinct_keys)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def distinct_keys(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    """Return the pairs of an object as a dictionary; raise ValueError where a key comes twice."""
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"keys must be distinct, got {visible(repr(twice))} twice")
    return found


def built(of: type[Stored], value: Any, name: str) -> Stored:
    """Return the dataclass that a JSON object describes.

    Raises
    ------
    ValueError
        A field is missing, unknown, or has a value of another type; the message names it as `name.field`.
    """
    given = typed(value, dict, name)
    hints = get_type_hints(of)
    fields = dataclasses.fields(of)  # type: ignore[arg-type]  # it is a dataclass
    for field in fields:
        if field.name not in given and field.default is dataclasses.MISSING:
            raise ValueError(f"{name}.{field.name} is missing")
    for key in given:
        if key not in hints:
            raise ValueError(f"{name} has an unknown key {visible(repr(key))}")
    return of(**{key: typed(entry, hints[key], f"{name}.{key}") for key, entry in given.items()})


def typed(value: Any, hint: Any, name: str) -> Any:
    """Return a value of JSON as the type that a hint names; raise ValueError where it has another."""
    if hint is Any:
        return value
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        (other,) = (option for option in arguments if option is not NoneType)
        return None if value is None else typed(value, other, name)
    if dataclasses.is_dataclass(hint):
        return built(hint, value, name)  # type: ignore[arg-type]  # a hint is the class, not an instance
    if hint is dict or origin is dict:
        if not isinstance(value, Mapping):
            raise ValueError(f"{name} must be an object, got {visible(repr(value))}")
        return {
            key: typed(entry, arguments[1], f"{name}.{key}") if arguments else entry for key, entry in value.items()
        }
    if origin is tuple:
        if not isinstance(value, list):
            raise ValueError(f"{name} must be a list, got {visible(repr(value))}")
        return tuple(typed(entry, arguments[0], f"{name}[{place}]") for place, entry in enumerate(value))
    if hint is float and value == INFINITY:
        return math.inf
    fits = isinstance(value, (int, float) if hint is float else hint)
    if not fits or (isinstance(value, bool) and hint is not bool):
        raise ValueError(f"{name} must be {IN_WORDS[hint]}, got {visible(repr(value))}")
    return real(value, name) if hint is float else value


def real(value: float, name: str) -> float:
    """Return a number as a double; raise ValueError where it is a whole number beyond all doubles."""
    try:
        return float(value)
    except OverflowError as error:
        raise ValueError(
            f"{name} must be a number that a double can hold, got one of {len(str(value))} digits"
        ) from error
