"""Spark's xxhash64 and the kernel's are one function: buckets of clusters must not depend on the engine."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.sql import functions as F

from logloss_spark.kernels.hashing import xxhash64_of_bytes, xxhash64_of_doubles, xxhash64_of_longs

RNG_SEED = 81


def values():
    rng = np.random.default_rng(RNG_SEED)
    n = 400
    ends = np.iinfo(np.int64)
    longs = np.concatenate([[0, 1, -1, ends.min, ends.max], rng.integers(ends.min, ends.max, n - 5)])
    doubles = np.concatenate(
        [[0.0, -0.0, np.nan, np.inf, -np.inf, 5e-324], rng.normal(size=n - 6) * 10.0 ** rng.uniform(-300, 300, n - 6)]
    )
    signs = np.array(list("aé日𝄞 0\x00"))
    texts = ["", "a", "user-101", *("".join(rng.choice(signs, length)) for length in rng.integers(0, 200, n - 3))]
    return longs, doubles, texts


@pytest.mark.connect
def test_spark_and_the_kernel_hash_alike(spark, tmp_path):
    longs, doubles, texts = values()
    table = pa.table({"row": range(len(texts)), "longs": longs, "doubles": doubles, "texts": texts})
    pq.write_table(table, tmp_path / "values.parquet")
    df = spark.read.parquet(str(tmp_path)).select(
        "row", *[F.xxhash64(name).alias(name) for name in table.column_names[1:]]
    )
    found = df.toArrow().sort_by("row")
    column = table["texts"].combine_chunks()
    offsets, data = (np.frombuffer(column.buffers()[k], dtype) for k, dtype in ((1, np.int32), (2, np.uint8)))
    np.testing.assert_array_equal(found["longs"].to_numpy(), xxhash64_of_longs(longs))
    np.testing.assert_array_equal(found["doubles"].to_numpy(), xxhash64_of_doubles(doubles))
    np.testing.assert_array_equal(found["texts"].to_numpy(), xxhash64_of_bytes(data, offsets[: len(texts) + 1]))
