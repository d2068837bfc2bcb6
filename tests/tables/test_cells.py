"""The cells that plots draw: the same from a small and from a large state, and as from the rows in NumPy."""

from collections.abc import Iterator
from typing import cast

import matplotlib.pyplot
import numpy as np
import pandas as pd
import pytest
from pyspark.sql import DataFrame, SparkSession

import logloss_spark as ls
from logloss_spark.kernels.grid import BINS, bin_of_probability
from logloss_spark.report import frames
from logloss_spark.states import small
from logloss_spark.tables.cells import cells_table


def rows() -> pd.DataFrame:
    rng = np.random.default_rng(4)
    p = np.concatenate([rng.beta(1, 4, 400), rng.beta(4, 1, 100) * 1e-3, [0.0, 1.0, 1.0 - 1e-12]])
    n = len(p)
    day = [f"2026-01-{1 + row % 3:02d}" for row in range(n)]
    y = (rng.random(n) < p).astype(int)
    return pd.DataFrame({"y": y, "p": p, "q": 0.9 * p, "w": rng.uniform(0, 2, n), "day": day})


@pytest.fixture(scope="module")
def table(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> DataFrame:
    folder = tmp_path_factory.mktemp("table")
    rows().to_parquet(folder / "table.parquet")
    return spark.read.parquet(str(folder))


@pytest.fixture(scope="module")
def evaluation(table: DataFrame) -> Iterator[ls.Evaluation]:
    with ls.evaluate(table, "y", "p", weight="w", by="day") as found:
        yield found


def test_cells_are_the_sums_of_rows_by_bin_of_the_score(evaluation: ls.Evaluation) -> None:
    table = rows()
    y, p, w = (table[name].to_numpy(dtype=float) for name in "ypw")
    cells = cells_table(evaluation.state.checked)
    terms = {"n": 0 * w + 1, "w": w, "w2": w * w, "wy": w * y, "w2y": w * w * y, "wp": w * p, "wq": w * (1 - p)}
    for name, term in terms.items():
        expected = np.bincount(bin_of_probability(p), term, BINS)
        np.testing.assert_allclose(cells[name], expected[cells["cell"]], rtol=1e-12)
    assert cells["n"].sum() == len(table)
    inside = (cells["wp"] / cells["w"] >= cells["low"]) & (cells["wp"] / cells["w"] <= cells["high"])
    assert inside.all()
    of_day = evaluation.plot.cells("day = '2026-01-02'")
    expected = np.bincount(bin_of_probability(p), w * y * (table["day"] == "2026-01-02"), BINS)
    np.testing.assert_allclose(of_day["wy"], expected[of_day["cell"]], rtol=1e-12)


@pytest.mark.slow
def test_a_large_state_has_the_same_cells_and_draws_the_slices_that_cost_most(
    spark: SparkSession, evaluation: ls.Evaluation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(small, "SMALL_STATE", 0)
    monkeypatch.setattr(frames, "KEPT_NUMBERS", 100)  # a row of metrics
    with ls.evaluate(spark.createDataFrame(rows()), "y", "p", weight="w", by="day", engine="native") as large:
        assert large.state.checked.local is None
        pd.testing.assert_frame_equal(
            cells_table(large.state.checked), cells_table(evaluation.state.checked), rtol=1e-12
        )
        assert large._collected is None
        names = [label.get_text() for label in large.plot.slices().get_yticklabels()]
    assert names == [label.get_text() for label in evaluation.plot.slices().get_yticklabels()]
    matplotlib.pyplot.close("all")


@pytest.mark.connect
def test_results_draw_themselves_and_read_no_row_again(table: DataFrame, evaluation: ls.Evaluation) -> None:
    compared = ls.compare(table, label="y", predictions={"a": "p", "b": "q"}, baseline="a", by="day")
    moved = ls.drift(evaluation.state.where("day = '2026-01-01'"), evaluation.state)
    plot = evaluation.plot
    axes = [plot.reliability(), plot.slices(), plot.over("day", metric="brier"), plot.scores(), plot.ranking()]
    axes += [plot.decomposition(), compared.plot.differences(), moved.plot.scores()]
    for ax in axes:
        assert ax.has_data()
        matplotlib.pyplot.close(cast("matplotlib.figure.Figure", ax.figure))
    assert axes[6].get_yticklabels()[0].get_text() == "all"
    assert "difference [95% interval]" in compared.state._repr_html_()
    compared.close()
