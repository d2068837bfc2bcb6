"""Which columns of a table mean what."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from logloss_spark.checks import column_name, distinct, named
from logloss_spark.errors import SpecError

Columns = str | Sequence[str]
"""The name of one column, or the names of several, one per class."""

By = str | Sequence[str] | Sequence[Sequence[str]]
"""One column, or grouping sets."""

MOST_SLICES = 62
"""Spark groups by up to 64 columns in grouping sets, and a state has two of its own, `part` and `place`."""


@dataclass(frozen=True, kw_only=True)
class Roles:
    """Which columns of a table of predictions have which meaning.

    Parameters
    ----------
    label : str or sequence of str
        What happened: a class. With soft labels a share or a distribution, which may have one column per class.
    prediction : str or sequence of str
        The forecast: a column of numbers, arrays or ML vectors, or one column per class.
    weight : str, optional
        Non-negative weights.
    cluster : str, optional
        Rows with the same value, such as those of one user, count as dependent.
    by : str, sequence of str, or sequence of sequences of str
        The grouping sets to evaluate beside the global row.
    labelled : str, optional
        A boolean column: whether the label of a row has arrived.
    search : sequence of str
        The columns among whose combinations bad slices are searched for. The state is sliced by them, too.

    Sequences are kept as tuples, and grouping sets without repetitions.

    Raises
    ------
    SpecError
        A role is not given by the name of a column, or `by` does not hold grouping sets.
    """

    label: Columns
    prediction: Columns
    weight: str | None = None
    cluster: str | None = None
    by: By = ()
    labelled: str | None = None
    search: Sequence[str] = ()

    def __post_init__(self) -> None:
        for role in ("label", "prediction"):
            object.__setattr__(self, role, one_name_or_many(role, getattr(self, role)))
        object.__setattr__(self, "by", grouping_sets(self.by))
        for role in ("weight", "cluster"):
            if getattr(self, role) is not None:
                column_name(role, getattr(self, role))
        if not isinstance(self.prediction, str) and len(self.prediction) < 2:
            raise SpecError(
                "prediction must be the name of a column, or a list of two or more with one per class, "
                f"got {list(self.prediction)}"
            )
        for columns in self.sets:
            distinct("the columns of a grouping set", columns)
        object.__setattr__(self, "search", one_or_more("search", self.search))
        check_number("by and search", self.slices)

    @property
    def sets(self) -> tuple[tuple[str, ...], ...]:
        """The grouping sets."""
        return grouping_sets(self.by)

    @property
    def slices(self) -> tuple[str, ...]:
        """The columns of all grouping sets, and those of the search."""
        return slices_of([*self.sets, self.search])


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
    check_number("by", slices_of(tuple(sets.values())))
    return tuple(sets.values())


def check_number(what: str, slices: Sequence[str]) -> None:
    """Raise SpecError for more slice columns than Spark can group by."""
    if len(slices) > MOST_SLICES:
        raise SpecError(
            f"{what} may name up to {MOST_SLICES} columns, as many as Spark can group by, got {len(slices)}: "
            "evaluate in parts"
        )


def slices_of(by: Sequence[Sequence[str]]) -> tuple[str, ...]:
    """The columns of all grouping sets, in the order in which they are first named."""
    return tuple(dict.fromkeys(name for columns in by for name in columns))


def one_or_more(what: str, columns: Columns) -> tuple[str, ...]:
    """Names of columns as a tuple; one name is a list of one. Raise SpecError for anything else, or a name twice."""
    names = (columns,) if isinstance(columns, str) else named(what, columns)
    distinct(what, names)
    return names


def one_name_or_many(role: str, columns: Columns) -> str | tuple[str, ...]:
    """Return a name as it is and a list of names as a tuple; raise SpecError for anything else."""
    if isinstance(columns, str):
        return columns
    if isinstance(columns, Sequence) and all(isinstance(name, str) for name in columns):
        return tuple(columns)
    raise SpecError(f"{role} must be the name of a column, or a list of names, got {columns!r}")
