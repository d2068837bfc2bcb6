"""How many tasks Spark runs at a time."""

import re

from pyspark.sql import SparkSession
from pyspark.sql import functions as F

SLOTS: dict[str, int] = {}
"""How many tasks run at a time in local sessions, by the id of their application: it never changes."""


def count_slots(spark: SparkSession) -> int:
    """Find how many tasks Spark runs at a time by default. A local master may say it; any other takes a small job."""
    master, application = (spark.conf.get(key, None) or "" for key in ("spark.master", "spark.app.id"))
    named = re.fullmatch(r"local\[(\d+)(,\d+)?\]", master)
    if named:
        return int(named[1])
    if application not in SLOTS:
        rows = 1 << 20
        (last,) = spark.range(rows).where(F.col("id") == rows - 1).select(F.spark_partition_id()).collect()
        if not master.startswith("local["):
            return int(last[0]) + 1
        SLOTS[application] = int(last[0]) + 1
    return SLOTS[application]
