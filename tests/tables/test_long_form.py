"""The long form has every number of the wide table once, on the driver and in Spark."""

import numpy as np
import pandas as pd
import pytest

import logloss_spark as ls
from logloss_spark.io.local import as_dataframe
from logloss_spark.statistics.catalogue import METRICS
from logloss_spark.statistics.reporting import Reading
from logloss_spark.tables.long_form import long_form

BY = (("country",), ("country", "device"))


@pytest.fixture(scope="module")
def states(spark, tmp_path_factory):
    """The states of a binary forecast, and of one of three classes whose names are hostile."""
    rng = np.random.default_rng(15)
    n = 60
    p = rng.uniform(0.05, 0.9, n)
    names = np.array(["cat", "d`o'g", "[x], \\"])
    frame = pd.DataFrame(
        {
            "country": rng.choice(["de", "null", None], n),
            "device": rng.choice(["a", "b"], n),
            "y": (rng.random(n) < p).astype(int),
            "class": names[rng.integers(0, 3, n)],
            "p": p,
        }
    )
    folder = tmp_path_factory.mktemp("table")
    several = np.stack([p, 0.95 - p, np.full(n, 0.05)], axis=1).tolist()
    frame.assign(several=several).to_parquet(folder / "table.parquet")
    binary = ls.evaluate(str(folder), "y", "p", by=[["country", "device"]])
    classes = ls.evaluate(str(folder), "class", "several", by=[["country", "device"]], classes=names.tolist())
    return {"binary": binary.state, "classes": classes.state}


def both(state, chosen=None):
    """The wide table, and its long form on the driver and in Spark."""
    wide = state.measured(BY, Reading())
    given = ("country", "device"), state.conventions.classes, chosen
    here, in_spark = (long_form(table, *given) for table in (wide, as_dataframe(wide)))
    return wide.frame, as_dataframe(here), in_spark


@pytest.mark.parametrize("name", ["binary", pytest.param("classes", marks=pytest.mark.connect)])
def test_both_ways_give_the_same_long_form(states, name):
    _, here, in_spark = both(states[name])
    assert [(f.name, f.dataType) for f in here.schema] == [(f.name, f.dataType) for f in in_spark.schema]
    assert here.columns == ["country", "device", "slice", "grouping", "metric", "value", "low", "high", "se"]
    keys = ["slice", "grouping", "metric"]
    one, other = (found.toPandas().sort_values(keys, ignore_index=True) for found in (here, in_spark))
    pd.testing.assert_frame_equal(one, other)
    assert not one.duplicated(keys).any()


def test_a_metric_has_its_interval_beside_it(states):
    wide, here, _ = both(states["binary"])
    long = here.toPandas().set_index(["slice", "metric"])
    for row in wide.to_dict("records"):
        for metric in METRICS:
            value = row[metric.name]
            if value is None or value != value:
                assert (row["slice"], metric.name) not in long.index
                continue
            found = long.loc[row["slice"], metric.name]
            assert found["value"] == float(value)
            if metric.interval == "always":
                ends = [row[metric.name + end] for end in ("_low", "_high", "_se")]
                assert np.array_equal(found[["low", "high", "se"]].astype(float), np.array(ends, float), equal_nan=True)
            else:
                assert found[["low", "high", "se"]].isna().all()
        assert long.loc[row["slice"], "ok"]["value"] == row["ok"]
    assert set(long["grouping"]) == {"all", "country", "country/device"}
    assert long.loc["all", "few"]["value"] in (0.0, 1.0)


def test_entries_of_lists_are_named_by_their_class_and_by_k(states):
    wide, here, _ = both(states["classes"])
    overall = here.where("slice = 'all'").toPandas().set_index("metric")
    row = wide.iloc[0]
    for at, name in enumerate(states["classes"].conventions.classes):
        found = overall.loc[f"calibration_ratio[{name}]"]
        wanted = [row["calibration_ratio" + end][at] for end in ("", "_low", "_high", "_se")]
        assert found[["value", "low", "high", "se"]].tolist() == wanted
    assert overall.loc["top_k_accuracy[5]", "value"] == 1


def test_only_chosen_metrics_and_the_counts_are_kept(states):
    for table in both(states["binary"], ["log_loss"])[1:]:
        found = table.where("slice = 'all' AND value > 0").toPandas().set_index("metric")
        assert set(found.index) == {"rows", "n", "ok", "log_loss"}
        assert found.loc["log_loss", ["low", "high", "se"]].notna().all()
