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
    tables = {}
    for name, label, prediction in (("given", labels, given), ("ends", ends, np.clip(given, 0, 1))):
        rows = [(k, label[k].tolist() if kind == "soft" else k, prediction[k].tolist()) for k in range(3)]
        type_ = "array<double>" if kind == "soft" else "int"
        df = spark.createDataFrame(rows, f"row int, label {type_}, prediction array<double>")
        tables |= {
            f"{engine} {name}": batches.scored_table(df, engine=engine, **spec) for engine in ("pandas", "native")
        }
        loss = L.cross_entropy("label", "prediction", **spec)
        tables[f"function {name}"] = df.select(df.row.alias("slice_0"), loss.alias("loss"))
    functions = [collected({name: tables.pop(name)})[name]["loss"] for name in ("function given", "function ends")]
    found = collected(tables)
    for engine in ("pandas", "native"):
        for term, values in found[f"{engine} ends"].items():
            np.testing.assert_array_equal(found[f"{engine} given"][term], values)
        assert (found[f"{engine} given"]["status"] == 0).all()
    np.testing.assert_array_equal(*functions)
    np.testing.assert_array_equal(functions[0], found["pandas ends"]["loss"])
    assert kind == "soft" or functions[0][0] == 0.0
