"""Which columns of a table mean what."""

from collections.abc import Sequence

from logloss_spark.checks import named
from logloss_spark.errors import SpecError

Columns = str | Sequence[str]


MOST_SLICES = 62
"""Spark groups by up to 64 columns in grouping sets, and a state has two of its own, `part` and `place`."""


def grouping_sets(by: Sequence[Sequence[str]]) -> tuple[tuple[str, ...], ...]:
    """The grouping sets of `by`: a list of lists of column names, without repetitions.

    Examples
    --------
    >>> grouping_sets([["dt"], ["dt", "segment"]])
    (('dt',), ('dt', 'segment'))
    """
    if isinstance(by, str) or any(isinstance(columns, str) for columns in by):
        names = [by] if isinstance(by, str) else list(by)
        others = f" for each alone, {[names]} for their combinations" if len(names) > 1 else ""
        raise SpecError(
            f"by is a list of lists of columns, and {by!r} came: write {[[name] for name in names]}{others}"
        )
    sets: dict[frozenset[str], tuple[str, ...]] = {}
    for columns in by:
        together = named("by", columns)
        if together:
            sets.setdefault(frozenset(together), together)
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
