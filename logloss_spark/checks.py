"""Checks of arguments: each raises SpecError, in one line, unless a value is as its rule says."""

from collections.abc import Hashable, Sequence
from typing import Any

from logloss_spark.errors import SpecError
from logloss_spark.wording import did_you_mean


def named(what: str, columns: Any) -> tuple[str, ...]:
    """The names of columns as a tuple; raises SpecError for anything but names, such as Spark's `Column`."""
    if isinstance(columns, Sequence) and all(isinstance(name, str) for name in columns):
        return tuple(columns)
    raise SpecError(f"{what} is given by the names of columns, and {columns!r} came")


def one_of(name: str, value: Any, allowed: Sequence[str]) -> None:
    """Raise SpecError unless `value` is one of the words allowed."""
    if value not in allowed:
        raise SpecError(f"{name} cannot be {value!r}; {did_you_mean(str(value), allowed)}")


def between(name: str, value: float, low: float, high: float) -> None:
    """Raise SpecError unless `value` lies strictly between `low` and `high`."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not low < value < high:
        raise SpecError(f"{name} must lie between {low:g} and {high:g}, and {value!r} came")


def at_least_one(name: str, value: Any) -> None:
    """Raise SpecError unless `value` is a whole number of 1 or more."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise SpecError(f"{name} must be a whole number of 1 or more, got {value!r}")


def distinct(name: str, values: Sequence[Any]) -> None:
    """Raise SpecError where a value comes twice."""
    seen: set[Any] = set()
    for value in values:
        if not isinstance(value, Hashable):
            raise SpecError(f"{name} must hold plain values, got {value!r}")
        if value in seen:
            raise SpecError(f"{name} must not repeat itself, and {value!r} comes twice in {list(values)}")
        seen.add(value)
