"""The code of the group in which a row is summed: packing it into one number, and unpacking it."""

from functools import reduce

from pyspark.sql import Column
from pyspark.sql import functions as F

from logloss_spark.kernels.grid import HALF, THIN_BIN, THIN_HALF
from logloss_spark.kernels.status import STATUSES
from logloss_spark.rows.bins import literal_array
from logloss_spark.rows.form import Form
from logloss_spark.states.schema import BUCKET_STRIDE

DECODED = {
    "scored": f"cell >= 0 AND cell < {8 * BUCKET_STRIDE}",
    "bucketed": f"cell >= {8 * BUCKET_STRIDE}",
    "status": f"element_at(array{STATUSES}, if(cell < 0, -cell, 1))",
    "bin": "shiftright(cell, 3)",
    "in_bucket": f"shiftright(cell, 3) - {BUCKET_STRIDE}",
    "upper": f"if(cell < {8 * BUCKET_STRIDE}, shiftright(cell, 3) >= {HALF}, "
    f"shiftright(cell, 3) % {BUCKET_STRIDE} >= {THIN_HALF})",
    "positive": "(shiftright(cell, 2) & 1) = 1",
    "clipped": "(shiftright(cell, 1) & 1) = 1",
    "zero": "(cell & 1) = 1",
}
"""SQL that unpacks the parts of the code."""


def grouping_code(form: Form) -> Column:
    """The code of a row's group. With clusters every scored row is in two groups, its cell and its bucket."""
    cell = cell_code(form)
    if not form.clustered:
        return cell
    thin = F.get(literal_array(THIN_BIN, "int"), F.col("bin"))
    place = (F.col("bucket") + 1) * BUCKET_STRIDE + thin
    positive = F.lit(0) if form.soft_labels else F.when(F.col("y") == 1, 4).otherwise(0)
    return F.explode(F.array_compact(F.array(cell, F.when(cell >= 0, place * 8 + positive))))


def cell_code(form: Form) -> Column:
    """The group of a row: a negative code for each invalid status, -1 for weight 0, else bin and three flags.

    The label and the flags are part of the group, so that sums over `y = 1` or over clipped rows are sums of groups.
    """
    flags = [F.col("y") == 1 if not form.soft_labels else F.lit(False), F.col("clipped"), F.col("zero")]
    packed = reduce(lambda code, flag: code * 2 + F.when(flag, 1).otherwise(0), flags, F.col("bin"))
    code = F.when(F.col("status") != 0, -1 - F.col("status"))
    return (code.when(F.col("weight") == 0, -1) if form.weighted else code).otherwise(packed)
