"""The reliability table of a state: one row per slice and equal-width bin of the score."""

import numpy as np
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from logloss_spark.kernels.grid import BINS, HALF, coarse_bin, coarse_edges
from logloss_spark.roles import slices_of
from logloss_spark.rows.bins import literal_array
from logloss_spark.states.conventions import Conventions
from logloss_spark.states.slices import (
    OF_SLICE,
    check_names,
    check_slices,
    inner_names,
    rolled_up,
    slice_text,
    with_names,
)
from logloss_spark.states.state import CheckedState
from logloss_spark.statistics.catalogue import RELIABILITY, columns_of_loss
from logloss_spark.statistics.distributions import normal_quantile
from logloss_spark.statistics.reporting import Reporting
from logloss_spark.tables.pivot import unscaled_weight


def equal_width_cells(state: DataFrame, bins: int) -> DataFrame:
    """The cells of a state with their equal-width bin as `place`, and `wp` the sum of w p also above one half."""
    coarse = literal_array(coarse_bin(np.arange(BINS), bins), "int")
    return state.where("part = 'cell'").withColumns(
        {
            "wp": F.when(F.col("place") >= HALF, F.col("w") - F.col("wp")).otherwise(F.col("wp")),
            "place": F.get(coarse, F.col("place")),
        }
    )


def reliability_table(state: CheckedState, by: tuple[tuple[str, ...], ...], reporting: Reporting) -> DataFrame:
    """What `State.reliability` returns."""
    conventions = state.conventions
    check_slices(conventions, by)
    check_names(slices_of(by), reliability_columns(conventions))
    cells = rolled_up(equal_width_cells(state.table, reporting.ece_bins), conventions, by)
    edges = literal_array(coarse_edges(reporting.ece_bins), "double")
    slices = slices_of(by)
    rows, label, prediction = F.expr("w * w / w2"), F.expr("wy / w"), F.expr("wp / w")
    z = normal_quantile(reporting.confidence)
    middle = (label + z * z / 2 / rows) / (1 + z * z / rows)
    wilson = z * F.sqrt(label * (1 - label) / rows + z * z / 4 / rows / rows) / (1 + z * z / rows)
    consistent = z * F.sqrt("w2v") / F.col("w")
    table = cells.where("w > 0").select(
        *inner_names(by).values(),
        "grouping_id",
        slice_text(slices).alias("slice"),
        F.col("place").alias("bin"),
        F.get(edges, F.col("place")).alias("bin_low"),
        F.get(edges, F.col("place") + 1).alias("bin_high"),
        "n",
        unscaled_weight(F.col("w"), conventions).alias("weight"),
        rows.alias("n_eff"),
        prediction.alias("prediction_mean"),
        label.alias("label_mean"),
        F.greatest(middle - wilson, F.lit(0.0)).alias("label_low"),
        F.least(middle + wilson, F.lit(1.0)).alias("label_high"),
        F.greatest(prediction - consistent, F.lit(0.0)).alias("consistency_low"),
        F.least(prediction + consistent, F.lit(1.0)).alias("consistency_high"),
        F.expr("wl / w").alias(columns_of_loss(RELIABILITY, conventions.loss)["log_loss"]),
    )
    return with_names(table, slices, reliability_columns(conventions))


def reliability_columns(conventions: Conventions) -> list[str]:
    """The columns of a reliability table except for the slices."""
    return [*OF_SLICE, *columns_of_loss(RELIABILITY, conventions.loss).values()]
