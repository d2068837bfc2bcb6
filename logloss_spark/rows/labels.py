"""Labels that fit the classes of a forecast by chance alone: -1 and 1, or 1 to K, where classes were not named."""

from pyspark.sql import functions as F

from logloss_spark.errors import SpecError
from logloss_spark.rows.inputs import Inputs
from logloss_spark.spec import Predictions

LOOKED_AT = 3
"""Labels that are looked at: more different ones are neither of the two cases."""


def check_labels(rows: Inputs, spec: Predictions) -> None:
    """Raise SpecError where the labels are -1 and 1, or 1 to K, and are taken for the classes 0 to K - 1.

    Reads the labels. Call it where classes were not given, no row is of class 0, and some labels are unknown.
    """
    index = rows.index
    if index is None or spec.classes is not None:
        return
    stray = F.col("label").isNotNull() & ~rows.label_nan & (index.isNull() | (index == 0))
    found = [row.label for row in rows.table.where(stray).select("label").distinct().limit(LOOKED_AT).collect()]
    size = rows.size
    if len(found) != 1 or found[0] not in (-1, size):
        return
    labels, classes = ("-1 and 1", "(-1, 1)") if found[0] == -1 else (f"1 to {size}", one_to(size))
    if found[0] == -1 and size != 2:
        return
    raise SpecError(
        f"label column {spec.label!r} must hold the classes 0 to {size - 1} unless others are named, "
        f"and its labels are {labels}: give classes={classes}"
    )


def one_to(size: int) -> str:
    """The classes 1 to K, as one would write them."""
    return f"({', '.join(map(str, range(1, size + 1)))})" if size <= LOOKED_AT else f"(1, ..., {size})"
