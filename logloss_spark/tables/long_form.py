"""The long form of a table of metrics, for dashboards: one row per slice and metric."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import ArrayType, DoubleType, StringType, StructField, StructType

from logloss_spark.io.local import LocalTable
from logloss_spark.io.names import quoted
from logloss_spark.kernels.status import STATUSES
from logloss_spark.kernels.sums import Array
from logloss_spark.rows.bins import literal_texts
from logloss_spark.scoring import Label
from logloss_spark.states.schema import RANKS
from logloss_spark.statistics.catalogue import INTERVAL, METRICS, Metric, columns_of_loss

COUNTS = ("rows", "n", *STATUSES)
"""Columns of a table of metrics that are metrics of the long form, too, though the catalogue does not list them."""

LONG = ("value", "low", "high", "se")
"""The columns of the long form that hold numbers: a metric, the ends of its interval, and its standard error."""


@dataclass(frozen=True)
class Measure:
    """A metric of a wide table.

    Attributes
    ----------
    column : str
    interval : tuple of str
        The columns of the ends of its interval and of the standard error; empty if it has none.
    entries : tuple of str
        What the entries of a cell are of if it is a list: classes, or k; empty if it is one number.
    """

    column: str
    interval: tuple[str, ...]
    entries: tuple[str, ...]

    @property
    def names(self) -> list[str]:
        """The names of the metric in the long form: `label_mean[cat]` is the entry of the class `cat`."""
        return [f"{self.column}[{entry}]" for entry in self.entries] or [self.column]


def long_form(
    table: DataFrame | LocalTable,
    slices: Sequence[str],
    classes: Sequence[Label],
    chosen: Collection[str] | None = None,
) -> DataFrame | LocalTable:
    """A table of metrics in long form, where the table is.

    Parameters
    ----------
    table : DataFrame or LocalTable
        What `State.metrics` or `windows` computed, with all metrics. Other columns, such as a date of the run, are
        kept.
    slices : sequence of str
        Its slice columns, in order.
    classes : sequence
        The classes of the forecasts, which name the entries of lists.
    chosen : names of metrics, optional
        The metrics to keep beside the counts of rows, by default all.

    Returns
    -------
    DataFrame or LocalTable, one row per row and metric that is not null: the columns that are no metrics; `grouping`,
    the slice columns that are not rolled up (`country/device`), or `all`; `metric`; and `value`, `low`, `high` and `se`
    as doubles. A flag is 1 or 0.
    """
    schema = table.schema
    measures = list(measures_of(schema, classes, chosen))
    kept = other_columns(schema)
    if isinstance(table, LocalTable):
        return long_here(table, slices, measures, kept)
    return long_in_spark(table, slices, measures, kept)


def measures_of(schema: StructType, classes: Sequence[Label], chosen: Collection[str] | None) -> Iterator[Measure]:
    """The metrics of a wide table, in the order of its columns."""
    known = metrics_by_column()
    for name in schema.names:
        if name in COUNTS:
            yield Measure(name, (), ())
        elif name in known and (chosen is None or name in chosen):
            metric, is_list = known[name], isinstance(schema[name].dataType, ArrayType)
            ends = () if metric.interval == "none" else tuple(name + end for end in INTERVAL)
            entries = map(str, classes if metric.entries == "per class" else range(1, RANKS + 1)) if is_list else ()
            yield Measure(name, ends, tuple(entries))


def metrics_by_column() -> dict[str, Metric]:
    """The metrics by their columns in the table of any loss, without the columns of intervals."""
    names = {metric.name: metric for metric in METRICS}
    of_losses = [columns_of_loss(METRICS, loss) for loss in ("cross_entropy", "another")]
    return {column: names[name] for columns in of_losses for name, column in columns.items() if name in names}


def other_columns(schema: StructType) -> list[str]:
    """The columns of a wide table that are no metrics."""
    ends = {column for loss in ("cross_entropy", "another") for column in columns_of_loss(METRICS, loss).values()}
    return [name for name in schema.names if name not in {*COUNTS, "grouping_id", *ends}]


def grouping_of(grouping_id: int, slices: Sequence[str]) -> str:
    """The slice columns that are not rolled up, as in `country/device`; `all` if there are none.

    Examples
    --------
    >>> [grouping_of(grouping_id, ["country", "device"]) for grouping_id in (3, 1, 0)]
    ['all', 'country', 'country/device']
    """
    kept = [name for at, name in enumerate(reversed(slices)) if not grouping_id >> at & 1]
    return "/".join(reversed(kept)) or "all"


def long_here(table: LocalTable, slices: Sequence[str], measures: Sequence[Measure], kept: Sequence[str]) -> LocalTable:
    """The long form of a table on the driver: the metrics of the first row, then those of the next."""
    rows = table.rows.num_rows
    blocks = [block_of(table.rows, measure) for measure in measures]
    numbers = {name: np.concatenate([block[name] for block in blocks]) for name in LONG}
    names = [name for measure in measures for name in measure.names]
    at = np.flatnonzero(~np.isnan(numbers["value"]))
    metric, row = np.divmod(at, max(rows, 1))
    order = np.argsort(row, kind="stable")
    grouping_ids, which = np.unique(table.rows["grouping_id"].to_numpy(), return_inverse=True)
    groupings = np.array([grouping_of(int(grouping_id), slices) for grouping_id in grouping_ids], dtype=object)
    columns = {name: table.rows[name].take(pa.array(row[order])) for name in kept}
    columns["grouping"] = pa.array(groupings[which[row[order]]], pa.string())
    columns["metric"] = pa.array(names, pa.string()).take(pa.array(metric[order]))
    columns |= {name: pa.array(values[at[order]], from_pandas=True) for name, values in numbers.items()}
    fields = [*(table.schema[name] for name in kept), *fields_of_long()]
    return LocalTable(pa.table(columns), StructType(fields), table.spark)


def block_of(rows: pa.Table, measure: Measure) -> dict[str, Array]:
    """The numbers of a metric by the names of `LONG`: the first entries of all rows, then the second; NaN for null."""
    columns = dict(zip(LONG, (measure.column, *measure.interval), strict=False))
    missing = np.full(rows.num_rows * len(measure.names), np.nan)
    return {name: numbers_in(rows[columns[name]], measure) if name in columns else missing for name in LONG}


def numbers_in(column: pa.ChunkedArray, measure: Measure) -> Array:
    """A column of numbers or of lists as doubles: the first entries of all rows, then the second; NaN for null."""
    if not measure.entries:
        numbers = column.cast(pa.int8()) if pa.types.is_boolean(column.type) else column
        return np.asarray(numbers.cast(pa.float64()).to_numpy())
    empty = [None] * len(measure.entries)
    entries = [found or empty for found in column.to_pylist()]
    return np.array(entries, dtype=np.float64).reshape(len(entries), len(measure.entries)).T.ravel()


def fields_of_long() -> list[StructField]:
    """The columns that the long form adds."""
    texts = [StructField(name, StringType()) for name in ("grouping", "metric")]
    return [*texts, *(StructField(name, DoubleType()) for name in LONG)]


def long_in_spark(
    table: DataFrame, slices: Sequence[str], measures: Sequence[Measure], kept: Sequence[str]
) -> DataFrame:
    """The long form of a table in Spark."""
    single = F.array(*[entry_of(measure) for measure in measures if not measure.entries])
    lists = [entries_of_list(measure) for measure in measures if measure.entries]
    keys = [*map(quoted, kept), grouping_column(slices).alias("grouping")]
    return table.select(*keys, F.inline(F.concat(single, *lists))).where("value IS NOT NULL")


def grouping_column(slices: Sequence[str]) -> Column:
    """The column `grouping`, from `grouping_id`."""
    bits = {name: 2**at for at, name in enumerate(reversed(slices))}
    words = [F.when(F.col("grouping_id").bitwiseAND(bit) == 0, F.lit(name)) for name, bit in reversed(bits.items())]
    everything = F.col("grouping_id") == 2 ** len(slices) - 1
    return F.when(everything, "all").otherwise(F.concat_ws("/", *words))


def entry_of(measure: Measure) -> Column:
    """A metric as a row of the long form."""
    columns = dict(zip(LONG, (measure.column, *measure.interval), strict=False))
    numbers = [(quoted(columns[name]) if name in columns else F.lit(None)).cast("double").alias(name) for name in LONG]
    return F.struct(F.lit(measure.column).alias("metric"), *numbers)


def entries_of_list(measure: Measure) -> Column:
    """A metric that is a list as rows of the long form; none where it is null."""
    columns = dict(zip(LONG, (measure.column, *measure.interval), strict=False))
    names = literal_texts(measure.names, "string")

    def entry(value: Column, index: Column) -> Column:
        others = [F.get(quoted(columns[name]), index) if name in columns else F.lit(None) for name in LONG[1:]]
        numbers = [number.cast("double").alias(name) for name, number in zip(LONG, (value, *others), strict=True)]
        return F.struct(F.get(names, index).alias("metric"), *numbers)

    return F.coalesce(F.transform(quoted(measure.column), entry), F.array())
