"""Which columns of a table mean what."""

from collections.abc import Sequence
from typing import Any

from logloss_spark.checks import named
from logloss_spark.errors import SpecError

Columns = str | Sequence[str]
By = str | Sequence[str] | Sequence[Sequence[str]]


MOST_SLICES = 62
"""Spark groups by up to 64 columns in grouping sets, and a state has two of its own, `part` and `place`."""


def grouping_sets(by: By) -> tuple[tuple[str, ...], ...]:
    """The grouping sets of `by`: a column, a list of one, or a list of lists of column names; without repetitions.

    Examples
    --------
    >>> grouping_sets("dt"), grouping_sets(["dt"])
    ((('dt',),), (('dt',),))
    >>> grouping_sets([["dt"], ["dt", "segment"]])
    (('dt',), ('dt', 'segment'))
    """
    given: list[Any] = [by] if isinstance(by, str) else list(by)
    if len(given) == 1 and isinstance(given[0], str):
        given = [given]
    if any(isinstance(columns, str) for columns in given):
        apart = [[columns] if isinstance(columns, str) else list(columns) for columns in given]
        together = [list(dict.fromkeys(name for columns in apart for name in columns))]
        raise SpecError(
            f"by must be one column or a list of lists of columns, got {by!r}: "
            f"write {apart} for each alone, {together} for their combinations"
        )
    sets: dict[frozenset[str], tuple[str, ...]] = {}
    for columns in given:
        names = named("by", columns)
        if names:
            sets.setdefault(frozenset(names), names)
    count = len(slices_of(tuple(sets.values())))
    if count > MOST_SLICES:
        raise SpecError(
            f"by may name up to {MOST_SLICES} columns, as many as Spark can group by, got {count}: evaluate in parts"
        )
    return tuple(sets.values())


def slices_of(by: Sequence[Sequence[str]]) -> tuple[str, ...]:
    """The columns of all grouping sets, in the order in which they are first named."""
    return tuple(dict.fromkeys(name for columns in by for name in columns))


def one_name_or_many(columns: Columns) -> str | tuple[str, ...]:
    """A column name as it is, a list of them as a tuple."""
    return columns if isinstance(columns, str) else named("a role", columns)
