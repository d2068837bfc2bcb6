"""Checks of arguments: each raises SpecError, in one line, where a value breaks its rule."""

from collections.abc import Hashable, Sequence
from typing import Any

from logloss_spark.errors import SpecError
from logloss_spark.wording import alternatives, guess_at


def named(what: str, names: Any) -> tuple[str, ...]:
    """Return names as a tuple; raise SpecError for anything but names, such as Spark's `Column`."""
    if isinstance(names, Sequence) and all(isinstance(name, str) for name in names):
        return tuple(names)
    raise SpecError(f"{what} must be a list of names, got {names!r}")


def column_name(role: str, name: Any) -> str:
    """Return the name of a column; raise SpecError for anything else, such as Spark's `Column`."""
    if isinstance(name, str):
        return name
    raise SpecError(f"{role} must be the name of a column, got {name!r}")


def one_of(name: str, value: Any, allowed: Sequence[str]) -> None:
    """Raise SpecError unless `value` is one of the words allowed."""
    if value not in allowed:
        raise SpecError(f"{name} must be {alternatives(allowed)}, got {value!r}{guess_at(str(value), allowed)}")


def between(name: str, value: float, low: float, high: float) -> None:
    """Raise SpecError unless `value` lies strictly between `low` and `high`."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not low < value < high:
        raise SpecError(f"{name} must lie between {low:g} and {high:g}, got {value!r}")


def at_least_one(name: str, value: Any) -> None:
    """Raise SpecError unless `value` is a whole number of 1 or more."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise SpecError(f"{name} must be a whole number of 1 or more, got {value!r}")


def distinct(name: str, values: Sequence[Any]) -> None:
    """Raise SpecError where two values are equal."""
    seen: set[Any] = set()
    for value in values:
        if not isinstance(value, Hashable):
            raise SpecError(f"{name} must hold plain values, got {value!r}")
        if value in seen:
            raise SpecError(f"{name} must be distinct, got {value!r} twice")
        seen.add(value)
