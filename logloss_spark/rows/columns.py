"""Finding the columns that a user names: a name of the table, as Spark resolves it, or a path into a column.

Columns are referred to by their index, under names made for that purpose. So a table may hold two columns of the same
name, as long as neither has a role.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import ArrayType, DataType, MapType, StructField, StructType, UserDefinedType

from logloss_spark.errors import SpecError
from logloss_spark.wording import did_you_mean

STEP = re.compile(r"""\.(?P<field>[^.\[\]]+)|\[(?:'(?P<single>[^']*)'|"(?P<double>[^"]*)"|(?P<index>\d+))\]""")
"""A step of a path: `.field`, `['key']`, `["key"]` or `[0]`."""


@dataclass(frozen=True)
class FoundColumn:
    """A column that has a role, or a field, entry or item of one: its type, its metadata, and how to refer to it.

    `name` is that of a column of the table, and None inside of one.
    """

    type: DataType
    column: Column
    metadata: Mapping[str, Any]
    name: str | None = None


Find = Callable[[str, str], FoundColumn]
"""A function from a role and a name to the column."""


def with_index_names(df: DataFrame) -> DataFrame:
    """The table with its columns renamed to `c0`, `c1`, …, the names by which `finder` refers to them."""
    return df.toDF(*[index_name(index) for index in range(len(df.columns))])


def index_name(index: int) -> str:
    """The name of the column with this index."""
    return f"c{index}"


def kind_of(value: object) -> str:
    """The type of a value after its package: `pandas DataFrame`, `builtins list`."""
    return f"{type(value).__module__.split('.')[0]} {type(value).__name__}"


def check_batch(df: DataFrame) -> None:
    """Raise SpecError for anything but a batch DataFrame of Spark."""
    if not isinstance(df, DataFrame):
        raise SpecError(
            "the table must be a Spark DataFrame, or the path of Parquet files, "
            f"got a {kind_of(df)}: spark.createDataFrame makes one from pandas"
        )
    if df.isStreaming:
        raise SpecError(
            "the table must be a batch DataFrame, got a streaming one: evaluate its batches in foreachBatch and merge "
            "their states, or read what the stream writes"
        )


def finder(df: DataFrame, *, endless: bool = False) -> Find:
    """Return a function that finds columns of `with_index_names(df)` by their role and their name or path.

    A streaming table is refused unless it may be `endless`, which suits work that is done row by row.

    The name of a column wins over a path, and an exact match over one in another case. Case is ignored unless
    `spark.sql.caseSensitive` is on.

    Raises
    ------
    SpecError
        From this function, if `df` is no batch DataFrame. From the returned one, if a name matches no column, or two.
    """
    if not (endless and isinstance(df, DataFrame)):
        check_batch(df)
    schema = df.schema
    fold = str if df.sparkSession.conf.get("spark.sql.caseSensitive") == "true" else str.casefold

    def find(role: str, name: str) -> FoundColumn:
        column = top_level(schema, fold, role, name)
        if column is not None:
            return column
        for end in sorted({step.start() for step in re.finditer(r"[.\[]", name)}, reverse=True):
            start = top_level(schema, fold, role, name[:end])
            if start is not None:
                return followed(start, fold, role, name, end)
        raise SpecError(f"{role} column {name!r} is not in the table; {did_you_mean(name, schema.names)}")

    return find


def top_level(schema: StructType, fold: Callable[[str], str], role: str, name: str) -> FoundColumn | None:
    """The column of this name, or None; raises SpecError if there are several."""
    found = [index for index, known in enumerate(schema.names) if known == name]
    found = found or [index for index, known in enumerate(schema.names) if fold(known) == fold(name)]
    if not found:
        return None
    if len(found) > 1:
        names = ", ".join(repr(schema.names[index]) for index in found)
        raise SpecError(
            f"{role} column {name!r} must be in the table once, got {len(found)} ({names}): rename all but one of them"
        )
    field = schema.fields[found[0]]
    return FoundColumn(field.dataType, F.col(index_name(found[0])), field.metadata, field.name)


def followed(found: FoundColumn, fold: Callable[[str], str], role: str, path: str, start: int) -> FoundColumn:
    """Follow the rest of a path, from `start` on, into a column."""
    while start < len(path):
        step = STEP.match(path, start)
        name = None if step is None else next((text for text in step.groups() if text is not None), None)
        if step is None or name is None:
            raise SpecError(
                f"{role} column {path!r} must be a path: write fields as a.b, keys as a['b'] and indices as a[0]"
            )
        inner = entered(found, fold, name, is_index=step["index"] is not None)
        if inner is None:
            names = (
                did_you_mean(name, found.type.names) if isinstance(found.type, StructType) else "it is no struct or map"
            )
            what = f"{path[:start]!r}, {found.type.simpleString()}"
            raise SpecError(f"{role} column {path!r} is not in the table: {what}, has no {name!r}; {names}")
        found, start = inner, step.end()
    return found


def entered(found: FoundColumn, fold: Callable[[str], str], name: str, *, is_index: bool) -> FoundColumn | None:
    """The field, key or index of this name in a column; None where its type has none."""
    type_, column = found.type, found.column
    if isinstance(type_, StructType) and not is_index:
        fields = [field for field in type_.fields if field.name == name]
        fields = fields or [field for field in type_.fields if fold(field.name) == fold(name)]
        return of_field(fields[0], column) if len(fields) == 1 else None
    if isinstance(type_, MapType):
        return FoundColumn(type_.valueType, F.try_element_at(column, F.lit(name).try_cast(type_.keyType)), {})
    if isinstance(type_, ArrayType) and is_index:
        return FoundColumn(type_.elementType, F.get(column, F.lit(int(name))), {})
    return None


def of_field(field: StructField, column: Column) -> FoundColumn:
    """A field of a struct."""
    return FoundColumn(field.dataType, column.getField(field.name), field.metadata)


def has_vectors(type_: DataType) -> bool:
    """Whether a type is, or holds, a user-defined one, such as that of ML vectors."""
    if isinstance(type_, StructType):
        return any(has_vectors(field.dataType) for field in type_.fields)
    if isinstance(type_, ArrayType):
        return has_vectors(type_.elementType)
    if isinstance(type_, MapType):
        return has_vectors(type_.keyType) or has_vectors(type_.valueType)
    return isinstance(type_, UserDefinedType)
