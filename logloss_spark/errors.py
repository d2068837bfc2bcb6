"""One tree of errors. Each knows its exit code; its message is one line: the rule, what came, what to do."""

from collections.abc import Iterable
from difflib import get_close_matches

LISTED = 12
"""Names shown of those that there are; a table may have hundreds of columns."""


class LogLossError(Exception):
    """The base of all errors that this package raises."""

    exit_code = 1


class SpecError(LogLossError):
    """The caller's words do not fit together: an argument, an option, a config."""

    exit_code = 2


class GateError(LogLossError):
    """A metric is outside the limits that were set for it."""

    exit_code = 3


class DataError(LogLossError):
    """The input breaks its contract."""

    exit_code = 4


class InvalidRows(UserWarning):
    """Rows were left out, and a bare number or a model has no better place to say so."""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Say what there is instead of `name`, and which of it was probably meant.

    Parameters
    ----------
    name : str
        The word that is not in `known`.
    known : iterable of str
        The words that are, in the order in which to list them. Beyond `LISTED` they are counted.

    Returns
    -------
    str, the end of an error's line

    Examples
    --------
    >>> did_you_mean("w8", ["label", "p", "w"])
    "it has: label, p, w. Did you mean 'w'?"
    >>> did_you_mean("x", [])
    'it has none'
    """
    names = list(known)
    if not names:
        return "it has none"
    more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
    by_folded = {known_name.casefold(): known_name for known_name in reversed(names)}
    close = get_close_matches(name.casefold(), by_folded, n=1)
    guess = f". Did you mean '{by_folded[close[0]]}'?" if close else ""
    return f"it has: {', '.join(names[:LISTED])}{more}{guess}"


def counted(count: int, noun: str) -> str:
    """A count with its noun: `1 row`, `2,309 rows`."""
    return f"{count:,} {noun}" + ("" if count == 1 else "s")


def listed(reasons: dict[str, int]) -> str:
    """Reasons with their counts, the most frequent first."""
    return ", ".join(f"{reason} {count:,}" for reason, count in sorted(reasons.items(), key=lambda item: -item[1]))
