"""How texts are made fit for one line: names from data, counts, and what was probably meant."""

import re
import unicodedata
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from itertools import accumulate

LISTED = 12
"""Names shown of those that there are; a table may have hundreds of columns."""


NAME = 60
"""A name or a value from data is shown in at most this many columns of a terminal."""


PATH = 250
"""A path is shown in at most this many."""


SHORTENED = 3
"""From this many signs on, the start of a word may stand for the word."""


BETWEEN_COLUMNS = re.compile("/(?=[^/=]+=)")
"""Where a slice in words goes on with the next column."""


COLUMN = 10
"""A column of a slice with its value is shortened to this only where others are no shorter."""


COMPARED = 200
"""Names are compared by this many of their first signs."""


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
    return f"it has: {shortened(names)}{guess_at(name, names)}"


def guess_at(name: str, known: Iterable[str]) -> str:
    """Say which of the words in `known` was probably meant by `name`; nothing where none is like it.

    Examples
    --------
    >>> guess_at("prob", ["probability", "logit"])
    ". Did you mean 'probability'?"
    """
    # The search takes time that grows with the square of the length.
    by_folded = {known_name.casefold()[:COMPARED]: known_name for known_name in reversed(list(known))}
    folded = name.casefold()[:COMPARED]
    longer = [word for word in by_folded if len(folded) >= SHORTENED and word.startswith(folded)]
    close = get_close_matches(folded, by_folded, n=1) or longer
    return f". Did you mean '{visible(by_folded[close[0]])}'?" if close else ""


def alternatives(names: Sequence[str]) -> str:
    """The words that an option can be, as a rule says them.

    Examples
    --------
    >>> alternatives(["count", "quarantine", "fail"])
    "'count', 'quarantine' or 'fail'"
    """
    if len(names) > LISTED:
        return f"one of {shortened(names)}"
    quoted = [f"'{visible(name)}'" for name in names]
    return " or ".join([", ".join(quoted[:-1]), quoted[-1]] if len(quoted) > 1 else quoted)


def visible(text: str, width: int = NAME) -> str:
    r"""Return a text from data as it can be printed on one line of a terminal.

    Signs that Python calls not printable (line breaks, escapes, marks that reverse the direction of writing, spaces
    without width) are shown as Python writes them in a string. A long text loses its middle. For display alone: two
    texts may look the same.

    Parameters
    ----------
    text : str
    width : int
        The columns of a terminal that it may take. A wide sign, such as an emoji, takes two.

    Returns
    -------
    str of at most `width` columns

    Examples
    --------
    >>> print(visible("two\nlines"))
    two\nlines
    >>> visible("a" * 50 + "z" * 50, 9)
    'aaaa…zzzz'
    """
    if len(text) <= width and text.isascii() and text.isprintable():
        return text
    if len(text) > 2 * width:  # signs without a width of their own could go on for ever
        text = f"{text[:width]}…{text[-width:]}"
    signs = [sign if sign.isprintable() else repr(sign)[1:-1] for sign in text]
    whole = "".join(signs)
    if columns_taken(whole) <= width:
        return whole
    tail = (width - 1) // 2
    return "".join([*fitting(signs, width - 1 - tail), "…", *reversed(fitting(signs[::-1], tail))])


def visible_slice(text: str, width: int = NAME) -> str:
    """Return a slice in words as it can be printed, so that all of its columns are seen.

    Each column has its share of the width, and a value that is longer loses its middle. A value that is empty, or
    begins or ends with a blank, is in quotation marks.

    Examples
    --------
    >>> print(visible_slice("hotel=a very long name/channel=phone", 28))
    hotel=a…g name/channel=phone
    >>> print(visible_slice("hotel="), visible_slice("hotel= "))
    hotel="" hotel=" "
    """
    parts = [visible(quoted_if_blank(part), width) for part in BETWEEN_COLUMNS.split(text)]
    widths = list(map(columns_taken, parts))
    room, shares = width - (len(parts) - 1), list(widths)
    for place, at in enumerate(sorted(range(len(parts)), key=widths.__getitem__)):  # short ones leave room to long ones
        longer = len(parts) - 1 - place
        shares[at] = min(widths[at], max(room // (longer + 1), room - longer * COLUMN))
        room -= shares[at]
    if min(shares) < SHORTENED:
        return visible(text, width)
    return "/".join(visible(part, share) for part, share in zip(parts, shares, strict=True))


def quoted_if_blank(part: str) -> str:
    """A column of a slice, with its value in quotation marks if they show where it begins or ends."""
    name, equals, value = part.partition("=")
    return f'{name}="{value}"' if equals and (not value or value != value.strip()) else part


def columns_taken(text: str) -> int:
    """How many columns of a terminal a text takes."""
    return sum(2 if unicodedata.east_asian_width(sign) in "WF" else not unicodedata.combining(sign) for sign in text)


def fitting(signs: list[str], width: int) -> list[str]:
    """The first signs that fit into a width."""
    taken = accumulate(columns_taken(sign) for sign in signs)
    return [sign for sign, end in zip(signs, taken, strict=True) if end <= width]


def counted(count: int, noun: str) -> str:
    """A count with its noun: `1 row`, `2,309 rows`."""
    return f"{count:,} {noun}" + ("" if count == 1 else "s")


def shortened(names: Sequence[object], most: int = LISTED, width: int = NAME) -> str:
    """The first of many names, and how many more there are. A name that is wider loses its middle.

    Examples
    --------
    >>> shortened(["a", "b", "c", "d"], 2)
    'a, b and 2 more'
    """
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return ", ".join(visible(str(name), width) for name in names[:most]) + more


def listed(reasons: dict[str, int]) -> str:
    """Reasons with their counts, the most frequent first."""
    return ", ".join(f"{reason} {count:,}" for reason, count in sorted(reasons.items(), key=lambda item: -item[1]))
