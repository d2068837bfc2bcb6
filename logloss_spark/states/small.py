"""A small state on the driver: collected once as Arrow, and rolled up to grouping sets in NumPy."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import (
    BinaryType,
    BooleanType,
    DataType,
    DateType,
    DecimalType,
    DoubleType,
    FloatType,
    StringType,
    StructField,
    StructType,
    TimestampNTZType,
    TimestampType,
)

from logloss_spark.io.caching import cache, cache_or_collect, uncache
from logloss_spark.io.local import INTEGERS, LocalTable
from logloss_spark.kernels.status import STATUSES
from logloss_spark.kernels.sums import Array
from logloss_spark.roles import slices_of
from logloss_spark.rows.inputs import slice_name
from logloss_spark.states.conventions import Conventions
from logloss_spark.states.entries import PLACELESS, Entries, Index, grouped_entries
from logloss_spark.states.schema import KEYS, WHOLE, columns_of
from logloss_spark.states.slices import slice_columns, value_text

SMALL_STATE = 250_000
"""A state of at most this many rows comes to the driver: some 60 MB, and up to 80,000 slices. Python there takes up to
700 MB while it computes."""

GROUPED = (
    *INTEGERS,
    StringType,
    BooleanType,
    DateType,
    DecimalType,
    FloatType,
    DoubleType,
    BinaryType,
    TimestampType,
    TimestampNTZType,
)
"""Types of slice columns whose values NumPy groups as Spark does."""

WRITTEN = (*INTEGERS, StringType, BooleanType, DateType)
"""Types of slice columns whose values are written here as Spark writes them. Java writes a double its own way, a
timestamp needs Spark's time zone, and a decimal its mode."""

FIRST_DAY, LAST_DAY = -719_162, 2_932_896
"""Days since 1970 of 0001-01-01 and 9999-12-31, between which everybody writes a date alike."""


@dataclass(frozen=True, eq=False)
class RolledUp:
    """A small state, rolled up to grouping sets.

    Attributes
    ----------
    keys : pyarrow.Table
        One row per slice, the global row first: `slice_0`, ..., null where they are rolled up, `grouping_id`, `slice`.
    challenger : array of shape (n,)
        The index in `models` of the challenger that a row of `keys` is of; 0 in an evaluation.
    parts : Entries by the name of their part
    """

    keys: pa.Table
    challenger: Index
    parts: Mapping[str, Entries]

    def pieces(self, size: int) -> Iterator[Mapping[str, Entries]]:
        """The parts of `size` slices at a time."""
        for start in range(0, max(self.keys.num_rows, 1), size):
            wanted = np.arange(start, min(start + size, self.keys.num_rows))
            yield {name: entries.of(wanted) for name, entries in self.parts.items()}


def held(table: DataFrame | LocalTable, conventions: Conventions) -> DataFrame | LocalTable:
    """Compute a state once: a small one comes to the driver, and Spark keeps nothing of it; a large one is cached."""
    if isinstance(table, LocalTable):
        return table
    cached = cache(table)
    local = collected(table if cached is None else cached, conventions)
    if local is None:
        return cache_or_collect(table) if cached is None else cached
    if cached is not None:
        uncache(cached)
    return local


def release(sums: DataFrame | LocalTable) -> None:
    """Free the sums of a state that Spark has cached."""
    if not isinstance(sums, LocalTable):
        uncache(sums)


def collected(state: DataFrame, conventions: Conventions, most: int | None = None) -> LocalTable | None:
    """Collect a state of at most `most` rows, by default `SMALL_STATE`; None for a larger one.

    None, too, for one that NumPy cannot group as Spark does. It takes one job, and the driver never holds more rows.
    """
    most = SMALL_STATE if most is None else most
    schema = state.schema
    types = [schema[column].dataType for column in slice_columns(conventions).values()]
    if not all(map(is_grouped, types)):
        return None
    local = LocalTable(state.limit(most + 1).toArrow(), schema, state.sparkSession)
    return local if stays_here(local, conventions, most) else None


def stays_here(state: LocalTable, conventions: Conventions, most: int | None = None) -> bool:
    """Whether a state on the driver is small, and NumPy groups its slices as Spark does."""
    most = SMALL_STATE if most is None else most
    types = [state.schema[column].dataType for column in slice_columns(conventions).values()]
    grouped = all(map(is_grouped, types)) and all(map(is_readable, state.rows.columns))
    return state.rows.num_rows <= most and grouped


def is_grouped(type_: DataType) -> bool:
    """Whether NumPy groups values of a type as Spark does. Some collations make different strings equal."""
    return isinstance(type_, GROUPED) and not (isinstance(type_, StringType) and type_ != StringType())


def is_readable(column: pa.ChunkedArray) -> bool:
    """Whether Python can hold the strings of a column: False if one is not UTF-8."""
    if not (pa.types.is_string(column.type) or pa.types.is_large_string(column.type)):
        return True
    try:
        column.validate(full=True)
    except pa.ArrowInvalid:
        return False
    return True


def facts_of(state: LocalTable) -> dict[str, float | None]:
    """What `held.first_look` finds in a state, of a small one."""
    part, n = state.rows["part"].to_numpy(), as_doubles(state.rows["n"])
    facts: dict[str, float | None] = {status: float(n[part == status].sum()) for status in STATUSES}
    facts["first_class"] = float(n[(part == "class") & (places_of(state.rows["place"]) == 0)].sum())
    scored = ((part == "moments") | (part == "pair")) & (n > 0)
    w, w2 = as_doubles(state.rows["w"]) + as_doubles(state.rows["w_low"]), as_doubles(state.rows["w2"])
    sums = {"w": w[scored].sum(), "w2": w2[scored].sum(), "least_w2": w2[scored].min()} if scored.any() else {}
    return facts | {name: float(sums[name]) if sums else None for name in ("w", "w2", "least_w2")}


def rolled_up_here(
    state: LocalTable,
    conventions: Conventions,
    by: Sequence[Sequence[str]],
    parts: Mapping[str, Sequence[str]],
) -> RolledUp:
    """These sums of these parts of a small state, by the global row and these grouping sets: see `slices.rolled_up`."""
    columns, names = slice_columns(conventions), slices_of(by)
    slices = [Slice.of(name, state, columns[name]) for name in names]
    row, challenger = of_challengers(state.rows["model"], conventions.models)
    whole = np.asarray(pc.is_in(state.rows["part"], pa.array(WHOLE, state.rows["part"].type)))[row]
    found = []
    for kept in dict.fromkeys([(), *map(tuple, by)]):
        counted = np.flatnonzero(~whole) if kept else np.arange(len(row))
        found.append(of_set(slices, kept, row[counted], challenger[counted]))
    starts = np.cumsum([0, *(len(one.challenger) for one in found)])
    row = np.concatenate([one.row for one in found])
    slice_ = np.concatenate([one.slice_ + start for one, start in zip(found, starts, strict=False)])
    entries = {
        name: entries_of_part(state.rows, row, slice_, name, sums, int(starts[-1])) for name, sums in parts.items()
    }
    keys = pa.concat_tables([one.keys for one in found])
    return RolledUp(keys, np.concatenate([one.challenger for one in found]), entries)


def of_challengers(model: pa.ChunkedArray, models: Sequence[str]) -> tuple[Index, Index]:
    """The rows of a state, each once for every challenger that it counts for, and the index of this challenger.

    A row without a model counts for every challenger. In an evaluation each row counts once.
    """
    rows = np.arange(len(model))
    if not models:
        return rows, np.zeros(len(rows), dtype=np.int64)
    own = np.asarray(pc.index_in(model, pa.array(models, model.type)).fill_null(0).to_numpy(), dtype=np.int64)
    shared, challengers = np.flatnonzero(own == 0), np.arange(1, len(models))
    row = np.concatenate([np.flatnonzero(own), np.repeat(shared, len(challengers))])
    return row, np.concatenate([own[own > 0], np.tile(challengers, len(shared))])


@dataclass(frozen=True, eq=False)
class Slice:
    """A slice column: its distinct values, each in words, and the index of each row's value."""

    name: str
    values: pa.Array
    words: npt.NDArray[np.object_]
    code: Index

    @staticmethod
    def of(name: str, state: LocalTable, column: str) -> "Slice":
        """The slice column in a column of a state."""
        encoded = normalised(state.rows[column].combine_chunks()).dictionary_encode("encode")
        type_ = state.schema[column].dataType
        return Slice(
            name,
            encoded.dictionary,
            words_of(encoded.dictionary, type_, state.spark),
            encoded.indices.to_numpy().astype(np.int64),
        )


def normalised(values: pa.Array) -> pa.Array:
    """Values that are equal exactly if they are equal in Spark, where -0.0 is 0.0, and NaN is NaN."""
    return pc.add(values, pa.scalar(0.0, values.type)) if pa.types.is_floating(values.type) else values


def words_of(values: pa.Array, type_: DataType, spark: SparkSession) -> npt.NDArray[np.object_]:
    """Values in words, as `slices.value_text` has them. Spark writes those that are not written alike everywhere."""
    if not is_written(values, type_):
        named = spark.createDataFrame(pa.table({"value": values}), StructType([StructField("value", type_)]))
        words = named.select(value_text(F.col("value")).alias("word")).toArrow()["word"]
        return np.array(words.to_pylist(), dtype=object)
    texts = pc.cast(values, pa.string()).to_pylist()
    told_apart = ["null" if text is None else '"null"' if text == "null" else text for text in texts]
    return np.array(told_apart, dtype=object)


def is_written(values: pa.Array, type_: DataType) -> bool:
    """Whether values are written here as Spark writes them."""
    if not isinstance(type_, DateType):
        return isinstance(type_, WRITTEN)
    least_and_most = pc.min_max(values.cast(pa.int32())).as_py()
    least, most = least_and_most["min"], least_and_most["max"]
    return least is None or bool(least >= FIRST_DAY and most <= LAST_DAY)


def numbered(rows: pa.Table, columns: Collection[str]) -> Index:
    """A number for each row: rows that agree in these columns have the same one, and all from 0 on are taken."""
    code = np.zeros(rows.num_rows, dtype=np.int64)
    for column in columns:
        encoded = normalised(rows[column].combine_chunks()).dictionary_encode("encode")
        among = code * len(encoded.dictionary) + encoded.indices.to_numpy()
        code = np.unique(among, return_inverse=True)[1].astype(np.int64)
    return code


def added_here(states: Sequence[LocalTable], columns: Sequence[str], conventions: Conventions) -> LocalTable | None:
    """The sum of states on the driver that have these columns, under common conventions; None if it is too large."""
    first = states[0]
    schema = StructType([first.schema[name] for name in columns])
    types = pa.schema([(name, first.rows.schema.field(name).type) for name in columns])
    rows = pa.concat_tables([state.rows.select(columns).cast(types) for state in states])
    if rows.num_rows > SMALL_STATE:
        return None
    code, sums = numbered(rows, [*slice_columns(conventions).values(), *KEYS]), list(columns_of(conventions))
    _, kept = np.unique(code, return_index=True)
    if len(kept) < rows.num_rows:
        of_code = rows.select(sums).append_column("code", pa.array(code)).group_by("code", use_threads=False)
        added = of_code.aggregate([(name, "sum") for name in sums]).sort_by("code")
        rows = rows.take(pa.array(kept))
        for name in sums:
            rows = rows.set_column(
                columns.index(name), types.field(name), added[f"{name}_sum"].cast(types.field(name).type)
            )
    fingerprint = pa.array([conventions.fingerprint()], pa.string()).take(pa.array(np.zeros(rows.num_rows, np.int64)))
    at = columns.index("fingerprint")
    return LocalTable(rows.set_column(at, types.field(at), fingerprint.cast(types.field(at).type)), schema, first.spark)


@dataclass(frozen=True, eq=False)
class OfSet:
    """The slices of one grouping set, the keys and the challenger of each, and to which `slice_` each `row` belongs."""

    keys: pa.Table
    challenger: Index
    row: Index
    slice_: Index


def of_set(slices: Sequence[Slice], kept: Sequence[str], row: Index, challenger: Index) -> OfSet:
    """The slices of the grouping set that keeps the columns `kept`, from these rows, each of a challenger."""
    code = challenger
    for one in slices:
        if one.name in kept:
            code = np.unique(code * len(one.values) + one.code[row], return_inverse=True)[1]
    _, first, slice_ = np.unique(code, return_index=True, return_inverse=True)
    codes = [one.code[row[first]] if one.name in kept else None for one in slices]
    keys = {
        slice_name(place): pa.nulls(len(first), one.values.type) if at is None else one.values.take(pa.array(at))
        for place, (one, at) in enumerate(zip(slices, codes, strict=True))
    }
    rolled = sum(2**place for place, at in enumerate(reversed(codes)) if at is None)
    pairs = [(one, at) for one, at in zip(slices, codes, strict=True) if at is not None]
    words = [[f"{one.name}={word}" for word in one.words[at]] for one, at in pairs]
    texts = ["/".join(of_slice) for of_slice in zip(*words, strict=True)] if words else ["all"] * len(first)
    keys |= {"grouping_id": pa.array(np.full(len(first), rolled)), "slice": pa.array(texts, pa.string())}
    return OfSet(pa.table(keys), challenger[first], row, slice_.astype(np.int64))


def entries_of_part(rows: pa.Table, row: Index, slice_: Index, part: str, sums: Sequence[str], slices: int) -> Entries:
    """The sums of one part by slice and place. `row` and `slice_` say which row of the state is of which slice."""
    is_of_part = np.asarray(pc.equal(rows["part"], part))
    counted = is_of_part[row]
    within = (np.cumsum(is_of_part) - 1)[row[counted]]
    of_part = rows.filter(pa.array(is_of_part))
    place = places_of(of_part["place"])
    columns = {name: as_doubles(of_part[name])[within] for name in sums}
    return grouped_entries(slices, slice_[counted], place[within], columns)


def places_of(column: pa.ChunkedArray) -> Index:
    """The column `place` of a state."""
    return np.asarray(column.fill_null(PLACELESS).to_numpy(), dtype=np.int64)


def as_doubles(column: pa.Array | pa.ChunkedArray) -> Array:
    """A column as doubles; 0 for null."""
    return np.asarray(column.cast(pa.float64()).fill_null(0.0).to_numpy(zero_copy_only=False))
