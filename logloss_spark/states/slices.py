"""Slices: their columns in a state, rolling up to grouping sets, their names, and what Python computes for each."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import reduce
from operator import add

import pyarrow as pa
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import StructField, StructType

from logloss_spark.errors import SpecError
from logloss_spark.io.names import quoted
from logloss_spark.kernels.status import STATUSES
from logloss_spark.roles import slices_of
from logloss_spark.rows.inputs import slice_name
from logloss_spark.states.conventions import Conventions
from logloss_spark.states.schema import (
    KEYS,
    WHOLE,
    columns_of,
    sums_column,
)
from logloss_spark.wording import did_you_mean


def inner_names(by: Sequence[Sequence[str]]) -> dict[str, str]:
    """The inner name of each slice column of grouping sets. A user's name may be any; tables get it at the end."""
    return {name: slice_name(place) for place, name in enumerate(slices_of(by))}


def grouping_id(inner: Sequence[str]) -> Column:
    """The column `grouping_id`: a bit for each slice column that is rolled up. The last column has the lowest bit."""
    bits = [F.grouping(name).cast("bigint") * 2**place for place, name in enumerate(reversed(inner))]
    return reduce(add, bits, F.lit(0).cast("bigint")).alias("grouping_id")


def with_names(table: DataFrame, slices: Sequence[str], columns: Sequence[str]) -> DataFrame:
    """Select the slice columns `slice_0`, ... under the slices' own names, and these other columns."""
    keys = [slice_name(place) for place in range(len(slices))]
    named = [F.col(key).alias(name) for key, name in zip(keys, slices, strict=True)]
    return table.select(*named, *[name for name in columns if name not in keys])


def slice_text(slices: Sequence[str]) -> Column:
    """A slice in words, from the columns `slice_0`, ...: `all`, `dt=2026-01-01`, `dt=2026-01-01/segment=a`.

    A null value is written `null`, and the string null `"null"`.
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
    """A value of a slice column in words. Bytes that are not UTF-8 become replacement characters."""
    text = F.make_valid_utf8(value.cast("string"))
    told_apart = F.when(text == "null", F.concat(F.lit('"'), text, F.lit('"'))).otherwise(text)
    return F.coalesce(told_apart, F.lit("null"))


def set_name(grouping_id: int, slices: Sequence[str]) -> str:
    """The columns of a grouping set in words, from its `grouping_id`."""
    kept = [name for place, name in enumerate(reversed(slices)) if not grouping_id >> place & 1]
    return " and ".join(reversed(kept))


def slice_columns(conventions: Conventions) -> dict[str, str]:
    """The column of each slice in a state: the slice's name, prefixed with `slice_` if the state has such a column.

    Examples
    --------
    >>> from logloss_spark.states.conventions import conventions_of
    >>> from logloss_spark.states.slices import slice_columns
    >>> from logloss_spark.rows.inputs import rows_of
    >>> from logloss_spark.roles import Roles
    >>> from logloss_spark.scoring import Scoring
    >>> roles = Roles(label="y", prediction="p", by=[["day", "w"]])
    >>> df = spark.createDataFrame([], "y int, p double, day string, w int")
    >>> slice_columns(conventions_of(rows_of(df, roles, Scoring())))
    {'day': 'day', 'w': 'slice_w'}
    """
    sums = {name.casefold() for name in (*KEYS, "fingerprint", *columns_of(conventions))}
    taken = sums.union(map(str.casefold, conventions.slices))
    found = {}
    for name in conventions.slices:
        column = name
        while column.casefold() in (sums if column == name else taken):
            column = f"slice_{column}"
        found[name] = column
    return found


def slice_types(schema: StructType, conventions: Conventions) -> dict[str, str]:
    """The type of each slice column of a state, in SQL."""
    return {name: schema[column].dataType.simpleString() for name, column in slice_columns(conventions).items()}


def rolled_up(state: DataFrame, conventions: Conventions, by: Sequence[Sequence[str]]) -> DataFrame:
    """The sums of a state by the global row and these grouping sets.

    The slice columns are called `slice_0`, ..., in the order in which the sets name them, and null where they are
    rolled up; then come `model`, `target`, `part`, `place`, `grouping_id` and the sums. `grouping_id` is that of
    Spark's SQL.
    """
    inner, columns = inner_names(by), slice_columns(conventions)
    named = [quoted(columns[name]).alias(key) for name, key in inner.items()]
    rolled = by_sets(state.select(*named, *KEYS, *columns_of(conventions)), conventions, by)
    return rolled.where(~F.col("part").isin(*WHOLE) | (F.col("grouping_id") == 2 ** len(inner) - 1))


def by_sets(
    rows: DataFrame, conventions: Conventions, by: Sequence[Sequence[str]], within: Sequence[str] = ()
) -> DataFrame:
    """The sums of rows whose slice columns are called `slice_0`, ..., by the global row and these grouping sets.

    The columns `within` are keys of every set.
    """
    inner = inner_names(by)
    sets = dict.fromkeys([(), *map(tuple, by)])
    keys = [*within, *KEYS]
    keyed = rows.select(
        *inner.values(),
        F.struct(*keys).alias("keys"),  # one column, because Spark's grouping sets have at most 64
        *columns_of(conventions),
    )
    return (
        keyed.groupingSets(
            [[F.col(column) for column in [*map(inner.__getitem__, names), "keys"]] for names in sets],
            *inner.values(),
            "keys",
        )
        .agg(
            grouping_id(list(inner.values())),
            sums_column(conventions),
        )
        .select(*inner.values(), "keys.*", "grouping_id", "sums.*")
    )


def check_slices(conventions: Conventions, by: Sequence[Sequence[str]]) -> None:
    """Raise SpecError unless the state was sliced by all these columns."""
    for name in slices_of(by):
        if name not in conventions.slices:
            raise SpecError(f"slice column {name!r} is not in the state; {did_you_mean(name, conventions.slices)}")


OF_SLICE = ("grouping_id", "slice")


def check_names(slices: Sequence[str], results: Iterable[str]) -> None:
    """Raise SpecError if a slice column has the name of another column of a table of results."""
    taken = {name.casefold() for name in (*OF_SLICE, "rows", "n", *STATUSES, *results)}
    for name in slices:
        if name.casefold() in taken:
            raise SpecError(
                f"a slice column must not have the name of a result, and {name!r} has: "
                f"rename it, as in df.withColumnRenamed({name!r}, {name + '_slice'!r})"
            )


def map_slices(
    wide: DataFrame,
    compute: Callable[[pa.RecordBatch], Sequence[pa.Array]],
    *,
    kept: Sequence[str],
    fields: Sequence[StructField],
    piece: int,
) -> DataFrame:
    """Columns that Python computes for each slice, beside the kept columns of the table.

    Parameters
    ----------
    wide : DataFrame
        One row per slice. Its slice columns are called `slice_0`, ...: Arrow finds columns by unquoted names.
    compute : function from a batch to one array for each of `fields`
        It runs in the workers.
    kept : names of columns
    fields : the columns that are computed
    piece : int
        The number of slices that are computed together, which bounds the memory.
    """
    names = [*kept, *(field.name for field in fields)]

    def on_arrow(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for whole in batches:
            for start in range(0, whole.num_rows, piece):
                batch = whole.slice(start, piece)
                arrays = [*(batch.column(name) for name in kept), *compute(batch)]
                yield pa.RecordBatch.from_arrays(arrays, names=names)

    return wide.mapInArrow(on_arrow, StructType([*(wide.schema[name] for name in kept), *fields]))
