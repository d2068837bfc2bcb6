"""A cluster has the bucket in a worker that Spark gives it, whatever the type of its column."""

from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from logloss_spark.errors import UnreadableError
from logloss_spark.rows.buckets import buckets_of
from logloss_spark.rows.inputs import bucket

WHOLE = [0, 1, -1, 7, 42, 100, -100, None]
TEXTS = [
    "",
    "a",
    "user-123",
    "x" * 31,
    "y" * 32,
    "z" * 100,
    "ü€😀",
    "7",
    "-7",
    "007",
    "7.0",
    "7.00",
    "-0",
    "1.5",
    "1.50",
]
TEXTS += [
    "1e5",
    "1.5E3",
    "1.5E-7",
    "9223372036854775807",
    "9223372036854775808",
    "-9223372036854775808",
    "12345678901234567",
]
TEXTS += ["1" * 40, "+5", " 5", "5 ", ".5", "5.", "NaN", "null", "0x10", "१२"]

COLUMNS: dict[str, pa.Array] = {
    **{f"int{bits}": pa.array(WHOLE, getattr(pa, f"int{bits}")()) for bits in (8, 16, 32, 64)},
    "extremes": pa.array([2**63 - 1, -(2**63), 0, None], pa.int64()),
    "double": pa.array(
        [0.0, -0.0, 1.0, 7.0, 0.5, -1.5, 1e300, 2.0**63, -(2.0**63), 5e-324, np.nan, np.inf, -np.inf, None]
    ),
    "float": pa.array([0.0, -0.0, 1.0, 7.0, 16777216.0, -3.0, None], pa.float32()),
    "text": pa.array([*TEXTS, None]),
    "boolean": pa.array([True, False, None]),
    "date": pa.array([date(1970, 1, 1), date(2026, 11, 26), date(1, 1, 1), date(9999, 12, 31), None]),
    "timestamp": pa.array(
        [datetime(1970, 1, 1, tzinfo=UTC), datetime(2026, 1, 1, 1, 2, 3, 4, tzinfo=UTC), None],
        pa.timestamp("us", "UTC"),
    ),
    "decimal": pa.array(
        [Decimal("7.00"), Decimal("-7.00"), Decimal("7.50"), Decimal("0.00"), Decimal("123456.78"), None],
        pa.decimal128(12, 2),
    ),
    "large decimal": pa.array([Decimal(10) ** 30, Decimal(7), Decimal(2**63), None], pa.decimal128(38, 0)),
    "bytes": pa.array([b"", b"\xff\x00", b"abc", None]),
}


@pytest.fixture(scope="module")
def of_spark(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[int | None]]:
    """The buckets that Spark gives to the clusters of every column, in one job."""
    folder: Path = tmp_path_factory.mktemp("clusters")
    longest = max(map(len, COLUMNS.values()))
    padded = {
        name: pa.concat_arrays([values, pa.nulls(longest - len(values), values.type)])
        for name, values in COLUMNS.items()
    }
    pq.write_table(pa.table({"row": range(longest)} | padded), folder / "clusters.parquet")
    df = spark.read.parquet(str(folder))
    found = df.select("row", *[bucket(df.schema[name].dataType, F.col(f"`{name}`")).alias(name) for name in COLUMNS])
    rows: list[Any] = sorted(found.collect(), key=lambda row: row["row"])
    return {name: [row[name] for row in rows][: len(values)] for name, values in COLUMNS.items()}


@pytest.mark.parametrize("name", COLUMNS)
@pytest.mark.parametrize("encoded", [False, True], ids=["plain", "dictionary"])
def test_a_cluster_has_sparks_bucket_in_a_worker(
    of_spark: dict[str, list[int | None]], name: str, encoded: bool
) -> None:
    values = COLUMNS[name].dictionary_encode() if encoded else COLUMNS[name]
    known = ~np.array([value is None for value in of_spark[name]])
    wanted = [value for value in of_spark[name] if value is not None]
    assert buckets_of(values)[known].tolist() == wanted
    assert buckets_of(values[1:])[known[1:]].tolist() == wanted[1:]


def test_floats_with_a_fraction_are_left_to_spark() -> None:
    with pytest.raises(UnreadableError, match="floats with a fraction"):
        buckets_of(pa.array([0.1], pa.float32()))
