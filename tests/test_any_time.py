"""Any-time intervals reach every table that has intervals, and what is shown says which they are."""

import numpy as np
import pandas as pd
import pytest

import logloss_spark as ls
from logloss_spark.statistics.any_time import any_time_quantile

ROWS = 40


@pytest.fixture(scope="module")
def table(spark, tmp_path_factory):
    number, folder = np.arange(ROWS), tmp_path_factory.mktemp("any time")
    rows = pd.DataFrame({"day": "2026-01-01", "y": number % 2, "p": 0.3 + number % 5 / 10, "user": number % 7})
    rows.assign(q=0.4 + number % 3 / 10).to_parquet(folder / "rows.parquet")
    return spark.read.parquet(str(folder))


def reach(row, name="log_loss"):
    """How many standard errors an interval reaches upwards."""
    return (row[f"{name}_high"] - row[name]) / row[f"{name}_se"]


def test_evaluations_states_windows_and_comparisons_have_them(table):
    asked = {"label": "y", "by": "day", "intervals": "any_time", "confidence": 0.9}
    wanted = pytest.approx(any_time_quantile(0.9, np.array([float(ROWS)]))[0], rel=1e-9)
    with ls.evaluate(table, prediction="p", **asked) as evaluation:
        assert [reach(row) for row in evaluation.to_pandas().to_dict("records")] == [wanted, wanted]
        assert "log_loss [90% any-time interval]" in evaluation._repr_html_()
        given = {"intervals": "any_time", "confidence": 0.9}
        assert reach(evaluation.state.metrics(**given).first()) == wanted
        assert reach(ls.windows(evaluation.state, over="day", sizes=[7], **given).first()) == wanted
    with ls.compare(table, predictions={"a": "p", "b": "q"}, baseline="a", **asked) as comparison:
        assert reach(comparison.metrics.first(), "difference") == wanted
        assert reach(comparison.state.comparison(**given).first(), "difference") == wanted
        assert "difference [90% any-time interval]" in comparison._repr_html_()


def test_with_clusters_they_are_an_error_before_a_row_is_read(table):
    asked = {"label": "y", "cluster": "user", "intervals": "any_time"}
    words = "intervals must be 'fixed' where rows depend on each other by clusters, got 'any_time'"
    with pytest.raises(ls.SpecError, match=words):
        ls.evaluate(table, prediction="p", **asked)
    with pytest.raises(ls.SpecError, match=words):
        ls.compare(table, predictions={"a": "p", "b": "q"}, baseline="a", **asked)
