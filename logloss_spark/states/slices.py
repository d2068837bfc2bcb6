"""Slices: grouping sets, their columns while a state is being read, and their names."""

from collections.abc import Sequence
from functools import reduce
from operator import add

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from logloss_spark.roles import slices_of
from logloss_spark.rows.inputs import slice_name


def inner_names(by: Sequence[Sequence[str]]) -> dict[str, str]:
    """What the slice columns of grouping sets are called until a table is done: a user's name may be any."""
    return {name: slice_name(place) for place, name in enumerate(slices_of(by))}


def grouping_id(inner: Sequence[str]) -> Column:
    """Which slice columns a group of grouping sets was rolled up over, as bits, the last column's being the lowest."""
    bits = [F.grouping(name).cast("bigint") * 2**place for place, name in enumerate(reversed(inner))]
    return reduce(add, bits, F.lit(0).cast("bigint")).alias("grouping_id")


def with_names(table: DataFrame, slices: Sequence[str], columns: Sequence[str]) -> DataFrame:
    """A table whose slice columns are `slice_0`, ... with these of its columns, and the slices' own names."""
    keys = [slice_name(place) for place in range(len(slices))]
    named = [F.col(key).alias(name) for key, name in zip(keys, slices, strict=True)]
    return table.select(*named, *[name for name in columns if name not in keys])


def slice_text(slices: Sequence[str]) -> Column:
    """A slice of the columns `slice_0`, ... in words: `all`, `dt=2026-01-01`, `dt=2026-01-01/segment=a`.

    A null value is `null`, and the word null is `"null"`. Words are for a reader; the slice columns are exact.
    """
    words = [
        F.when(
            F.col("grouping_id").bitwiseAND(2 ** (len(slices) - 1 - at)) == 0,
            F.concat(F.lit(f"{name}="), value_text(F.col(slice_name(at)))),
        )
        for at, name in enumerate(slices)
    ]
    everything = F.col("grouping_id") == 2 ** len(slices) - 1
    return F.when(everything, "all").otherwise(F.concat_ws("/", *words)) if words else F.lit("all")


def value_text(value: Column) -> Column:
    """A value of a slice column in words; bytes that are not UTF-8 become the sign for what cannot be read."""
    text = F.make_valid_utf8(value.cast("string"))
    told_apart = F.when(text == "null", F.concat(F.lit('"'), text, F.lit('"'))).otherwise(text)
    return F.coalesce(told_apart, F.lit("null"))


def set_name(grouping_id: int, slices: Sequence[str]) -> str:
    """The columns of a grouping set; its number has a bit for each column rolled up, the last column's the lowest."""
    kept = [name for place, name in enumerate(reversed(slices)) if not grouping_id >> place & 1]
    return " and ".join(reversed(kept))
