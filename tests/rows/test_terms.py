"""The terms of rows at the edge of their contract: `test_engines` compares all of them with the kernels."""

import numpy as np
import pytest

from logloss_spark import functions as L
from tests.quick import quick
from tests.rows import batches
from tests.rows.batches import collected


@pytest.mark.parametrize("kind", quick(["hard", "soft"], "hard"))
def test_an_entry_beyond_the_unit_interval_within_the_tolerance_has_the_terms_of_its_end(spark, kind):
    given = np.array([[1.00002, 0.0, 0.0], [-3e-5, 0.5, 0.50002], [1.0, 5e-5, -5e-5]])
    labels = given[::-1] if kind == "soft" else [0, 1, 2]
    spec = {"classes": (0, 1, 2), "soft_labels": kind == "soft", "sum_tolerance": 1e-4}
    ends = np.clip(labels, 0, 1) if kind == "soft" else labels
    rows = list(zip([*labels, *ends], [*given, *np.clip(given, 0, 1)], strict=True))  # first as given, then the ends
    rows = [(k, label.tolist() if kind == "soft" else label, p.tolist()) for k, (label, p) in enumerate(rows)]
    type_ = "array<double>" if kind == "soft" else "int"
    df = spark.createDataFrame(rows, f"row int, label {type_}, prediction array<double>")
    found = collected({engine: batches.scored_table(df, engine=engine, **spec) for engine in ("pandas", "native")})
    for terms in found.values():
        for term, values in terms.items():
            if term != "slice_0":
                np.testing.assert_array_equal(values[:3], values[3:], err_msg=term)
        assert (terms["status"] == 0).all()
    loss = df.select("row", L.cross_entropy("label", "prediction", **spec).alias("loss")).toPandas().set_index("row")
    np.testing.assert_array_equal(loss.loss.sort_index(), found["pandas"]["loss"])
    assert kind == "soft" or loss.loss[0] == 0.0
