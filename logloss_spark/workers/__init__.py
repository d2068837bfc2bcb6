"""Functions that run in Spark's Python workers, over the units of a small table or over the partitions of a large one.

Importing this room makes functions that are sent to workers carry the package along, so that workers need no
installation of it (10 kB a function).
"""

import sys

from pyspark.cloudpickle import register_pickle_by_value

register_pickle_by_value(sys.modules["logloss_spark"])  # type: ignore[no-untyped-call]  # it has no types
