from unittest.mock import MagicMock, patch

import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from logloss_spark.workers.slots import SLOTS, count_slots
from tests.quick import quick


def answering(spark: SparkSession, master: str) -> MagicMock:
    """The session as if it had another master, and count its jobs."""
    found = MagicMock()
    found.conf.get.side_effect = lambda key, _: {"spark.master": master, "spark.app.id": f"app {master}"}[key]
    found.range.side_effect = spark.range
    return found


@pytest.mark.parametrize(
    ("master", "jobs"),
    quick(
        [("local[1]", 0), ("local[1,4]", 0), ("local[*]", 1), ("spark://host:7077", 2)],
        *(("local[1,4]", 0), ("spark://host:7077", 2)),
    ),
)
def test_the_number_of_slots_is_asked_only_where_it_is_not_known(spark: SparkSession, master: str, jobs: int) -> None:
    session = answering(spark, master)
    slots = spark.range(1 << 20).select(F.spark_partition_id()).distinct().count() if jobs else 1
    with patch.dict(SLOTS, clear=True):
        assert [count_slots(session), count_slots(session)] == [slots, slots]
    assert session.range.call_count == jobs
