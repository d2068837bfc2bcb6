"""Weights whose sums leave the range of a double: the means are right, and so are the errors."""

import math

import numpy as np
import pyarrow.parquet as pq
import pytest
from pyspark.sql import functions as F

import logloss_spark as ls
from logloss_spark.errors import SpecError
from tests.quick import quick

ROWS = [(0, 0.9), (1, 0.4), (1, 0.8), (0, 0.1), (1, 0.6), (None, 0.5)]
SCHEMA = "label int, p double, w double, q double, cluster int"
ROLES = {"label": "label", "prediction": "p", "weight": "w"}
SCALE_FREE = [
    "log_loss",
    "log_loss_se",
    "brier",
    "brier_se",
    "n_eff",
    "ece",
    "auc",
    "label_mean",
    "calibration_ratio_se",
]
SCALES = [1e308, 1e162, 2.0**-600, 1e-320]


def table(spark, scale):
    weights = [1.0, 0.75, 0.5, 1.0, 0.25, 1.0]
    return spark.createDataFrame(
        [(y, p, scale * w, 1 - p, k % 3) for k, ((y, p), w) in enumerate(zip(ROWS, weights, strict=True))], SCHEMA
    )


@pytest.fixture(scope="module")
def plain(spark):
    """The evaluation in units in which nothing is far."""
    with ls.evaluate(table(spark, 1.0), **ROLES, engine="native") as evaluation:
        yield evaluation


@pytest.fixture(scope="module")
def wanted(plain):
    return plain.to_pandas().iloc[0]


@pytest.mark.parametrize("scale", quick(SCALES, 1e308), ids=str)
def test_metrics_do_not_depend_on_the_unit_of_weights(spark, wanted, scale):
    engine = "pandas" if scale == 1e308 else "native"
    both = table(spark, scale).withColumn("of", F.lit("plain")).unionByName(odd(spark, scale))
    metrics = ls.evaluate(both, **ROLES, engine=engine, by="of").to_pandas().set_index("of")
    found = metrics.loc["plain"]
    # 1e-320 has eleven bits, and a quarter of it nine.
    exactness = 1e-15 if scale > 1e-300 else 1e-3
    np.testing.assert_allclose(found[SCALE_FREE].astype(float), wanted[SCALE_FREE].astype(float), rtol=exactness)
    assert (found.rows, found.n, found.null_label) == (6, 5, 1)
    total = 3.5 * scale
    assert math.isnan(found.weight) if math.isinf(total) else found.weight == pytest.approx(total, rel=exactness)
    # A negative and an infinite weight stay what they are, and one that is hardly any counts.
    assert metrics.loc["odd", ["negative_weight", "nan_weight", "ok", "n"]].tolist() == [1, 1, 4, 3]


def odd(spark, scale):
    """Rows of which a negative and an infinite weight are invalid in any unit."""
    weights = [scale, scale, -5e-324, math.inf, 5e-324, 0.0]
    rows = [(1, 0.9, weight, 0.9, place, "odd") for place, weight in enumerate(weights)]
    return spark.createDataFrame(rows, f"{SCHEMA}, of string")


def test_a_mean_loss_does_not_depend_on_the_unit_of_weights(spark, wanted):
    with pytest.warns(ls.InvalidRowsWarning):
        assert ls.log_loss(table(spark, 1e308), "label", "p", weight="w") == wanted.log_loss
    with pytest.warns(ls.InvalidRowsWarning):
        losses = ls.compare_losses(table(spark, 1e308), label="label", prediction="p", weight="w")
    assert losses["mean"].iloc[0] == pytest.approx(wanted.log_loss, rel=1e-15)


def test_comparisons_do_not_depend_on_the_unit_of_weights(spark, tmp_path):
    roles = {"label": "label", "predictions": {"a": "p", "b": "q"}, "baseline": "a", "weight": "w"}
    for scale in (1.0, 1e308):
        pq.write_table(table(spark, scale).toArrow(), tmp_path / f"{scale}.parquet")
    small, large = (ls.compare(str(tmp_path / f"{s}.parquet"), **roles).metrics.first() for s in (1.0, 1e308))
    for name in ("baseline_log_loss", "challenger_log_loss", "difference_se", "n_eff", "p_value"):
        assert large[name] == pytest.approx(small[name], rel=1e-15)
    assert large.weight is None


@pytest.mark.slow
def test_states_in_near_units_add_and_in_far_ones_refuse(spark, plain, wanted):
    near = [ls.evaluate(table(spark, scale), **ROLES, engine="native").state for scale in (1e200, 2e220)]
    row = ls.merge(*near).metrics().first()
    assert row.log_loss == pytest.approx(wanted.log_loss, rel=1e-15)
    assert row.weight == pytest.approx(3.5 * (1e200 + 2e220), rel=1e-15)
    with pytest.raises(SpecError, match="these differ in weight_exponent"):
        ls.merge(near[0], plain.state)
