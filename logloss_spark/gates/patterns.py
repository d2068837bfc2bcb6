"""Which slices a pattern names: `all`, `country=*`, `country=de/device=*`."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from logloss_spark.errors import SpecError
from logloss_spark.wording import did_you_mean

Name = tuple[tuple[str, str], ...]
"""A slice: its columns in alphabetical order, each with its value in words. The global row has no column."""

ANY = "*"

ANY_VALUE = re.compile(".*", re.DOTALL)
"""What `*` alone becomes."""

NULL = "null"
"""How tables write a null value; the string null has quotation marks."""


@dataclass(frozen=True)
class Pattern:
    """A pattern of slices.

    Attributes
    ----------
    text : str
    columns : the slice columns that it lists, in alphabetical order
    values : for each of them what its value in words must match in full
    """

    text: str
    columns: tuple[str, ...]
    values: tuple[re.Pattern[str], ...]

    @property
    def is_whole(self) -> bool:
        """Whether it names all slices of its columns."""
        return all(value == ANY_VALUE for value in self.values)

    def names(self, name: Name) -> bool:
        """Whether it names a slice."""
        return tuple(column for column, _ in name) == self.columns and all(
            value.fullmatch(word) for value, (_, word) in zip(self.values, name, strict=True)
        )


def pattern_of(text: str, slices: Sequence[str]) -> Pattern:
    """Return a pattern in its parts; raise SpecError unless it is made of these slice columns.

    A value may have any signs. It ends where a slash, the name of a slice column and `=` follow.

    Examples
    --------
    >>> pattern = pattern_of("country=de/device=*", ["country", "device"])
    >>> pattern.columns, [value.pattern for value in pattern.values]
    (('country', 'device'), ['de', '.*'])
    """
    if text == "all":
        return Pattern(text, (), ())
    alternatives = "|".join(map(re.escape, sorted(slices, key=len, reverse=True)))
    starts = list(re.finditer(f"(?:^|/)({alternatives})=", text)) if slices else []
    if not starts or starts[0].start() > 0:
        column = text.partition("=")[0]
        known = did_you_mean(column, slices)
        raise SpecError(f"a slice is named by its columns, and {text!r} begins with no slice column; {known}")
    ends = [start.start() for start in starts[1:]] + [len(text)]
    given = {start[1]: text[start.end() : end] for start, end in zip(starts, ends, strict=True)}
    if len(given) < len(starts):
        raise SpecError(f"a slice has each column once, and {text!r} has one twice")
    columns = tuple(sorted(given))
    return Pattern(text, columns, tuple(value_pattern(given[column]) for column in columns))


def value_pattern(text: str) -> re.Pattern[str]:
    """A value with `*` for any text as a regular expression; all other signs mean themselves."""
    return re.compile(".*".join(map(re.escape, text.split(ANY))), re.DOTALL)


def grouping_sets_of(patterns: Sequence[Pattern], slices: Sequence[str]) -> tuple[tuple[str, ...], ...]:
    """The grouping sets that patterns name, each in the order of the slice columns."""
    sets = dict.fromkeys(tuple(name for name in slices if name in pattern.columns) for pattern in patterns)
    return tuple(names for names in sets if names)


def names_of(table: pd.DataFrame, slices: Sequence[str]) -> list[Name]:
    """The slice of each row of a table of metrics that has these slice columns."""
    names: list[Name] = [()] * len(table)
    for grouping_id, rows in table.reset_index(drop=True).groupby("grouping_id", sort=False).groups.items():
        columns = kept_in(int(str(grouping_id)), slices)
        of_set = table.iloc[rows]
        keys = zip(*(of_set[column].tolist() for column in columns), strict=True) if columns else [()] * len(of_set)
        for row, text, values in zip(rows, of_set["slice"].tolist(), keys, strict=True):
            names[row] = tuple(sorted(zip(columns, words_in(text, columns, values), strict=True)))
    return names


def kept_in(grouping_id: int, slices: Sequence[str]) -> tuple[str, ...]:
    """The columns of a grouping set: those whose bit is 0. The last column has the lowest bit."""
    return tuple(name for place, name in enumerate(reversed(slices)) if not grouping_id >> place & 1)[::-1]


def words_in(text: str, columns: Sequence[str], values: Sequence[Any]) -> list[str]:
    """The values of a slice in words, cut out of its readable name.

    A value that is a string may itself hold what separates two columns, so its length tells where it ends.

    Examples
    --------
    >>> words_in("a=x/b=y/b=7", ["a", "b"], ["x/b=y", 7])
    ['x/b=y', '7']
    """
    words, place = [], 0
    for column, value, after in zip(columns, values, [*columns, None][1:], strict=True):
        start = place + len(column) + 1
        known = len(quoted_null(value)) if isinstance(value, str) else 0
        end = len(text) if after is None else text.index(f"/{after}=", start + known)
        words.append(text[start:end])
        place = end + 1
    return words


def quoted_null(word: str) -> str:
    """A string as the name of a slice has it."""
    return f'"{word}"' if word == NULL else word


def readable(name: Name) -> str:
    """A slice in words.

    Examples
    --------
    >>> readable((("country", "de"), ("device", "tv"))), readable(())
    ('country=de/device=tv', 'all')
    """
    return "/".join(f"{column}={word}" for column, word in name) or "all"
