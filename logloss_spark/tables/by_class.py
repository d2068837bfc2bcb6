"""The table by class of a state: one row per slice and class that happened."""

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from logloss_spark.roles import slices_of
from logloss_spark.states.conventions import Conventions
from logloss_spark.states.schema import low_of
from logloss_spark.states.slices import OF_SLICE, check_names, check_slices, inner_names, rolled_up, with_names
from logloss_spark.states.state import CheckedState
from logloss_spark.statistics.catalogue import BY_CLASS, columns_of_loss
from logloss_spark.tables.pivot import class_columns, one_row_per_slice, unscaled_weight


def class_table(state: CheckedState, by: tuple[tuple[str, ...], ...]) -> DataFrame:
    """What `State.by_class` returns."""
    conventions = state.conventions
    check_slices(conventions, by)
    check_names(slices_of(by), class_table_columns(conventions))
    slices = slices_of(by)
    wide = one_row_per_slice(
        rolled_up(state.table.where("part IN ('moments', 'class')"), conventions, by), conventions, slices
    )
    own = {name: F.col("class")[name] for name in class_columns(conventions)}
    weight = F.expr("w + w_low")
    if conventions.scalar:  # the sums of the negative class are what the positive one leaves
        positive, of_positive = (
            F.col("class.place") == 1,
            {name: F.expr(f"{name} + {name}_low") for name in ("wy", "wp")},
        )
        own |= {name: F.when(positive, total).otherwise(weight - total) for name, total in of_positive.items()}
    else:
        own |= {name: own[name] + own[low_of(name)] for name in ("wy", "wp")}
    loss = own["wl" if conventions.scalar else "wly"]
    names = F.array(*[F.lit(str(name)) for name in conventions.classes])
    named = columns_of_loss(BY_CLASS, conventions.loss)
    table = wide.withColumn("class", F.explode("classes")).select(
        *inner_names(by).values(),
        "grouping_id",
        "slice",
        F.get(names, F.col("class.place")).alias("class"),
        own["n"].alias("n"),
        unscaled_weight(own["wy"], conventions).alias("weight"),
        (own["wy"] / weight).alias("label_mean"),
        (own["wp"] / weight).alias("prediction_mean"),
        F.try_divide(own["wp"], own["wy"]).alias("calibration_ratio"),
        F.try_divide(loss, own["wy"]).alias(named["log_loss"]),
        F.try_divide(loss, F.expr("wl + wl_low")).alias(named["log_loss_share"]),
    )
    return with_names(table, slices, class_table_columns(conventions))


def class_table_columns(conventions: Conventions) -> list[str]:
    """The columns of a table by class except for the slices."""
    return [*OF_SLICE, *columns_of_loss(BY_CLASS, conventions.loss).values()]
