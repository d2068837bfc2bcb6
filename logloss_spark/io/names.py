"""Names of columns and tables in Spark's SQL, whatever characters are in them."""

from pyspark.sql import Column
from pyspark.sql import functions as F


def in_backquotes(name: str) -> str:
    """A name as SQL reads it.

    Examples
    --------
    >>> in_backquotes("a b`c")
    '`a b``c`'
    """
    return f"`{name.replace('`', '``')}`"


def quoted(name: str) -> Column:
    """The column of this name."""
    return F.col(in_backquotes(name))
