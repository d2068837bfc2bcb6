"""Plots: what is drawn is compared with an oracle, as data and not as pixels. No Spark."""

import io
import itertools
import re
import sys
from collections.abc import Callable
from xml.etree import ElementTree

import matplotlib.pyplot
import numpy as np
import pandas as pd
import pytest
import scipy.stats
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from sklearn.isotonic import IsotonicRegression
from sklearn.metrics import roc_auc_score, roc_curve

from logloss_spark.errors import SpecError
from logloss_spark.kernels.grid import BINS, THIN_BIN, THIN_BINS, bin_of_probability
from logloss_spark.report import plots
from logloss_spark.report.palette import DARK, LIGHT, Palette
from logloss_spark.report.plots.by_score import area_of
from logloss_spark.report.plots.by_slice import by_excess
from logloss_spark.report.plots.score_axis import axis_of, cells_in
from logloss_spark.statistics.calibration import pooled
from logloss_spark.statistics.consistency import consistency_band
from logloss_spark.statistics.drift import HIGH, LOW
from logloss_spark.statistics.ranking import roc_band
from logloss_spark.statistics.ranking import roc_curve as roc_curve_of
from logloss_spark.wording import visible, visible_slice
from tests import hostile
from tests.quick import quick

SENTINELS = Palette(**{name: f"#0{place}0{place}0{place}" for place, name in enumerate(vars(LIGHT))})
"""A palette whose colours nobody would choose."""


def rows(n: int = 4000, centre: float = -0.5, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Labels and overconfident forecasts."""
    rng = np.random.default_rng(seed)
    z = rng.normal(centre, 1.3, n)
    return (rng.random(n) < 1 / (1 + np.exp(-0.7 * z))).astype(float), 1 / (1 + np.exp(-z))


def cells_of(y: np.ndarray, p: np.ndarray, w: np.ndarray | None = None) -> pd.DataFrame:
    """The cells of rows, as `cells_table` returns them."""
    w, bins = np.ones(len(y)) if w is None else w, bin_of_probability(p)
    sums = {"n": w > 0, "w": w, "w2": w * w, "wy": w * y, "w2y": w * w * y, "wp": w * p, "wq": w * (1 - p)}
    frame = pd.DataFrame({name: np.bincount(bins, values, BINS) for name, values in sums.items()})
    frame = frame.assign(cell=np.arange(BINS), low=LOW, high=HIGH)
    return frame[frame["w"] > 0].reset_index(drop=True)


def metrics_of(names: list[str], weights: list[float], losses: list[float], errors: list[float]) -> pd.DataFrame:
    """Metrics of all rows, whose loss is the mean, and of slices by `day`."""
    weight, loss, error = map(np.array, (weights, losses, errors))
    weight, loss = np.append(weight.sum(), weight), np.append(np.average(loss, weights=weight), loss)
    error = np.append(0.001, error)
    return pd.DataFrame(
        {
            "day": [None, *names],
            "slice": ["all", *(f"day={name}" for name in names)],
            "n": weight.astype(int),
            "log_loss": loss,
            "log_loss_low": loss - 1.96 * error,
            "log_loss_high": loss + 1.96 * error,
            "log_loss_se": error,
            "weight": weight,
            "few": weight < 50,
            "buckets": 0,
            "brier": loss / 3,
            "grouping_id": np.append(1, np.zeros(len(names), dtype=int)),
            "label_entropy": 0.69,
            "log_loss_discrimination": 0.2,
            "log_loss_miscalibration": loss - 0.49,
            "log_loss_corp_rest": 0.0,
        }
    )


DAYS = metrics_of(
    ["2026-01-01", "2026-01-02", "2026-01-05", "2026-01-06"],
    [1000.0, 100.0, 40.0, 800.0],
    [0.52, 0.70, 0.95, 0.45],
    [0.01, 0.04, 0.2, 0.01],
)

COMPARISON = pd.DataFrame(
    {
        "slice": ["all", "day=1", "day=2"],
        "challenger": "new",
        "difference": [-0.02, 0.01, -0.05],
        "difference_low": [-0.03, -0.01, -0.08],
        "difference_high": [-0.01, 0.03, -0.02],
        "few": [False, True, False],
        "verdict": ["better", "no evidence", "better"],
    }
)

HISTORY = pd.DataFrame(
    {
        "iteration": [0, 1, 2],
        "loss": [0.5, 0.42, 0.41],
        "gap": [0.1, 0.01, 0.0],
        "gradient_norm": [0.2, 0.01, 1e-9],
        "validation_loss": [0.52, 0.44, 0.45],
    }
)

TABLE = pd.DataFrame(
    {
        "feature": ["(intercept)", "x1", "x2"],
        "coefficient": [0.1, -2.0, 1.0],
        "standard_error": [0.5, 0.2, 0.5],
        "z": [0.2, -10.0, 2.0],
        "p_value": [0.8, 0.0, 0.05],
    }
)


def both_sides() -> pd.DataFrame:
    sides = {"reference": cells_of(*rows()), "current": cells_of(*rows(centre=0.5, seed=2))}
    return pd.concat([cells.assign(side=side) for side, cells in sides.items()])


ALL: dict[str, Callable[..., Axes]] = {
    "reliability": lambda **o: plots.reliability(cells_of(*rows()), **o),
    "reliability of small scores": lambda **o: plots.reliability(cells_of(*rows(centre=-5.0)), **o),
    "scores": lambda **o: plots.scores(cells_of(*rows()), **o),
    "ranking": lambda **o: plots.ranking(cells_of(*rows()), **o),
    "drift": lambda **o: plots.drift(both_sides(), **o),
    "slices": lambda **o: plots.slices(DAYS, **o),
    "over": lambda **o: plots.over(DAYS, "day", bound=0.8, **o),
    "decomposition": lambda **o: plots.decomposition(DAYS, **o),
    "differences": lambda **o: plots.differences(COMPARISON, **o),
    "history": lambda **o: plots.history(HISTORY, **o),
    "coefficients": lambda **o: plots.coefficients(TABLE, **o),
}
"""Every plot, drawn from a frame."""


@pytest.fixture(autouse=True)
def without_pyplot(monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures belong to their test alone, whatever else has loaded pyplot."""
    monkeypatch.delitem(sys.modules, "matplotlib.pyplot", raising=False)
    monkeypatch.delitem(sys.modules, "ipykernel", raising=False)


def labelled(ax: Axes, name: str) -> np.ndarray:
    """The points of the line with this label, (2, n)."""
    (line,) = (line for line in ax.lines if line.get_label() == name)
    return np.array(line.get_data(), dtype=float)


def polygon(ax: Axes, name: str) -> np.ndarray:
    """The corners of the area with this label, (n, 2)."""
    (area,) = (area for area in (*ax.collections, *ax.patches) if area.get_label() == name)
    return area.get_paths()[0].vertices if hasattr(area, "get_paths") else area.get_xy()


def intervals(ax: Axes) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """The ends of all horizontal intervals, (n, 2), the dots on them, (n,), and their colours."""
    lines = next(artist for artist in ax.collections if type(artist).__name__ == "LineCollection")
    dots = next(artist for artist in ax.collections if type(artist).__name__ == "PathCollection")
    ends = np.array([segment[:, 0] for segment in lines.get_segments()])
    return ends, dots.get_offsets()[:, 0].data, [to_hex(colour) for colour in lines.get_colors()]


def names(ax: Axes) -> list[str]:
    return [label.get_text() for label in ax.get_yticklabels()]


def logit(p: np.ndarray) -> np.ndarray:
    return np.log(p) - np.log1p(-p)


# Plots by score.


@pytest.mark.parametrize("centre", [-0.5, -5.0, 5.0])
def test_the_line_of_the_diagram_is_the_isotonic_fit_to_the_cells(centre: float) -> None:
    y, p = rows(centre=centre)
    w = np.random.default_rng(2).uniform(0.5, 2.0, len(y))
    cells = cells_of(y, p, w)
    x, line = labelled(plots.reliability(cells), "CORP")
    mean = (cells["wp"] / cells["w"]).to_numpy()
    fit = IsotonicRegression().fit(mean, cells["wy"] / cells["w"], sample_weight=cells["w"]).predict(mean)
    at = logit(mean) if abs(centre) > 1 else mean
    inside = np.isin(at.round(9), x.round(9))
    assert inside.sum() == len(x) > 0.9 * len(at)
    expected = fit[inside] if abs(centre) == 0.5 else logit(np.clip(fit[inside], 1e-9, 1 - 1e-9))
    shown = (line > line.min()) & (line < line.max()) if abs(centre) > 1 else slice(None)
    np.testing.assert_allclose(line[shown], expected[shown], rtol=0, atol=1e-9)


def test_the_consistency_band_is_that_of_isotonic_fits_to_simulated_rows() -> None:
    # Brute force with rows, scikit-learn and another generator: quantiles of 400 fits are known to some 0.02 here.
    cells = cells_of(*rows(600))
    low, high = consistency_band(cells_in(cells), 0.9)
    rng, n, mean = np.random.default_rng(5), cells["n"].to_numpy(dtype=int), (cells["wp"] / cells["w"]).to_numpy()
    score = np.repeat(mean, n)
    fits = [
        IsotonicRegression().fit(score, (rng.random(len(score)) < score).astype(float)).predict(mean)
        for _ in range(400)
    ]
    np.testing.assert_allclose([low, high], np.quantile(fits, [0.05, 0.95], axis=0), atol=0.05)
    assert np.abs(low - np.quantile(fits, 0.05, axis=0)).mean() < 0.01


def test_calibrated_forecasts_keep_to_the_band_and_others_are_red() -> None:
    kept = []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        p = rng.beta(2, 3, 1500)
        cells = cells_in(cells_of((rng.random(1500) < p).astype(float), p))
        from_sklearn = IsotonicRegression().fit_transform(
            cells.predictions[0] / cells.weight[0], cells.label_mean[0], sample_weight=cells.weight[0]
        )
        low, high = consistency_band(cells, 0.95, replicates=200)
        kept.append(np.average((from_sklearn >= low) & (from_sklearn <= high), weights=cells.weight[0]))
    assert 0.92 < np.mean(kept) < 0.98  # points of a table move together: the error of this mean is 0.01
    ax = plots.reliability(cells_of(*rows(40_000)))
    _, beyond = labelled(ax, "CORP beyond the band")
    assert np.isfinite(beyond).mean() > 0.5


@pytest.mark.parametrize("own_score", quick([True, False], True))
def test_the_band_allows_for_clusters(own_score: bool) -> None:
    inside: dict[str, list[float]] = {"clusters": [], "rows": []}
    for seed in range(30):
        rng = np.random.default_rng(seed)
        users, per_user, sd = 200, 40, 0.7
        score = rng.normal(size=(users, 1 if own_score else per_user)) * np.ones((1, per_user))
        happens = scipy.stats.norm.cdf(
            score + rng.normal(0.0, sd, (users, 1))
        )  # a user is above its score, or below it
        p = scipy.stats.norm.cdf(score / np.hypot(1.0, sd)).ravel()
        y = (rng.random((users, per_user)) < happens).ravel().astype(float)
        cells = cells_in(cells_of(y, p))
        bucket = np.repeat(rng.integers(0, 64, users), per_user)
        thin = THIN_BIN[bin_of_probability(p)]
        residuals = np.zeros((64, THIN_BINS))
        np.add.at(residuals, (bucket, thin), y - p)
        line = pooled(cells.weight, cells.labels)[0]
        for name, known in (("clusters", residuals), ("rows", None)):
            low, high = consistency_band(cells, 0.95, known, replicates=150)
            inside[name].append(np.average((line >= low) & (line <= high), weights=cells.weight[0]))
    assert 0.91 < np.mean(inside["clusters"]) < 0.98  # the error of this mean is 0.015
    assert np.mean(inside["rows"]) < np.mean(inside["clusters"]) - 0.02


def test_an_axis_of_probabilities_goes_as_far_as_scores_do() -> None:
    y, p = rows()
    ax = plots.reliability(cells_of(y, 0.05 + 0.41 * p))
    assert ax.get_xlim() == (0.05, 0.5)
    assert ax.get_ylim()[0] <= labelled(ax, "CORP")[1].min()
    ticks = plots.scores(cells_of(y, 0.1 + 0.19 * p)).get_xticks()
    np.testing.assert_allclose(ticks, [0.1, 0.15, 0.2, 0.25, 0.3])


def test_a_band_allows_for_clusters_as_the_error_of_the_area_does() -> None:
    cells = cells_of(*rows(600))
    area = area_of(cells_in(cells), 0.95)
    alone, clustered = (
        polygon(plots.ranking(cells, metrics=metrics), "band")
        for metrics in (None, pd.Series(area | {"auc_se": 2 * area["auc_se"], "buckets": 50}))
    )
    middle = len(cells) // 2  # of the left side of the band, which begins with 0
    _, t = labelled(plots.ranking(cells), "ROC")
    np.testing.assert_allclose(2 * (alone[1:][middle, 1] - t[middle]), clustered[1:][middle, 1] - t[middle])


def test_a_diagram_of_small_scores_has_axes_of_logits_and_its_histogram_below() -> None:
    ax = plots.reliability(cells_of(*rows(centre=-5.0)))
    (below,) = ax.child_axes
    assert below.get_xlim() == ax.get_xlim()
    assert [label.get_text() for label in below.get_xticklabels()] == ["0.0001", "0.001", "0.01", "0.1"]
    assert plots.reliability(cells_of(*rows())).get_xlim() == (0.0, 1.0)


@pytest.mark.parametrize("centre", [-0.5, -5.0])
def test_histograms_count_the_rows_of_each_class(centre: float) -> None:
    y, p = rows(centre=centre)
    ax = plots.scores(cells_of(y, p))
    lines = [patch for patch in ax.patches if not patch.get_fill()]
    assert len(lines) == 2
    for line, of_class in zip(lines, (y == 0, y == 1), strict=True):
        density, edges, _ = line.get_data()
        score = np.clip(logit(p[of_class]) if centre < -1 else p[of_class], edges[0], edges[-1])
        np.testing.assert_allclose(density, np.histogram(score, edges, density=True)[0], rtol=1e-9)


def test_the_bands_of_a_histogram_are_those_of_binomial_shares() -> None:
    y, p = rows()
    bands = [patch for patch in plots.scores(cells_of(y, p), confidence=0.9).patches if patch.get_fill()]
    high, edges, low = bands[1].get_data()
    share = np.histogram(p[y == 1], edges)[0] / y.sum()
    reach = scipy.stats.norm.ppf(0.95) * np.sqrt(share * (1 - share) / y.sum())
    np.testing.assert_allclose(high * np.diff(edges), share + reach, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(low * np.diff(edges), np.maximum(share - reach, 0.0), rtol=1e-9, atol=1e-12)


def test_the_curve_is_that_of_scikit_learn_and_the_rows_own_lies_within_its_ties() -> None:
    y, p = rows(600)
    cells = cells_of(y, p)
    ax = plots.ranking(cells)
    false, true = labelled(ax, "ROC")
    of_cell = np.searchsorted(cells["cell"], bin_of_probability(p))
    expected = roc_curve(y, of_cell, drop_intermediate=False)
    np.testing.assert_allclose([false, true], expected[:2], atol=1e-12)
    corners = polygon(ax, "ties")
    half = len(false) * 2 - 1
    upper, lower = corners[:half], corners[half : 2 * half][::-1]
    of_rows, true_of_rows, _ = roc_curve(y, p, drop_intermediate=False)
    highest = [upper[upper[:, 0] <= at + 1e-12, 1].max() for at in of_rows]
    lowest = [lower[lower[:, 0] >= at - 1e-12, 1].min() for at in of_rows]
    assert (true_of_rows <= np.array(highest) + 1e-12).all()
    assert (true_of_rows >= np.array(lowest) - 1e-12).all()
    text = "\n".join(text.get_text() for text in ax.texts)
    area, bound = float(re.findall(r"AUC ([\d.]+)", text)[0]), float(re.findall(r"± ([\d.]+)", text)[0])
    assert abs(area - roc_auc_score(y, p)) <= bound + 1e-4


def test_the_band_of_a_curve_holds_that_of_the_population() -> None:
    # Scores of the classes are uniform to the powers of 1 and 2: the curve of the population is 1 - (1 - f)^2.
    inside = 0
    for seed in range(200):
        rng = np.random.default_rng(seed)
        y = np.repeat([0.0, 1.0], [150, 100])
        p = np.where(y == 1, np.sqrt(rng.random(250)), rng.random(250))
        cells = cells_in(cells_of(y, p))
        (false,), (true,) = roc_curve_of(cells)
        (of_false,), (of_true,) = roc_band(cells, 0.95)
        above = true + of_true >= 1 - (1 - np.maximum(false - of_false, 0)) ** 2
        below = true - of_true <= 1 - (1 - np.minimum(false + of_false, 1)) ** 2
        inside += above.all() and below.all()
    assert inside / 200 > 0.93  # 0.95 or more, and the error of a share of 200 tables is 0.015


def test_one_class_has_no_curve_and_no_rows_have_no_plot() -> None:
    y, p = rows(50)
    assert [text.get_text() for text in plots.ranking(cells_of(0 * y, p)).texts] == ["one class only: nothing to rank"]
    assert len([patch for patch in plots.scores(cells_of(0 * y, p)).patches if not patch.get_fill()]) == 1
    nothing = cells_of(y[:0], p[:0])
    for plot in (plots.reliability, plots.scores, plots.ranking):
        assert [text.get_text() for text in plot(nothing).texts] == ["no row was scored"]
    assert [text.get_text() for text in plots.drift(nothing.assign(side=[])).texts] == ["no row was scored"]


def test_forecasts_of_exactly_0_and_1_are_drawn() -> None:
    y, p = rows(2000, centre=-5.0)
    p[:100], p[100:110] = 0.0, 1.0
    cells = cells_of(y, p)
    assert axis_of(cells).least > -21.0
    for plot in (plots.reliability, plots.scores, plots.ranking):
        plot(cells).figure.draw_without_rendering()
    alike = plots.scores(cells_of(y, np.full(2000, 3e-6)))
    assert [label.get_text() for label in alike.get_xticklabels()] == ["1e-6", "1e-5"]
    certain = cells_of(np.array([0.0, 1.0, 1.0]), np.array([0.0, 1.0, 0.0]))
    assert not axis_of(certain).logit
    np.testing.assert_allclose(labelled(plots.reliability(certain), "CORP"), [[0.0, 1.0], [0.5, 1.0]])


# Plots by slice.


def test_slices_stand_by_what_they_add_to_the_loss() -> None:
    ranked = by_excess(DAYS)
    overall, of_days = DAYS.iloc[0], DAYS.iloc[1:]
    expected = of_days["weight"] * (of_days["log_loss"] - overall["log_loss"]) / overall["weight"]
    pd.testing.assert_series_equal(
        ranked["excess"], expected.sort_values(ascending=False), check_names=False, check_exact=False
    )
    assert abs(ranked["excess"].sum()) < 1e-12  # the days are all rows
    p = 2 * scipy.stats.norm.sf(abs(of_days["log_loss"] - overall["log_loss"]) / of_days["log_loss_se"])
    adjusted = pd.Series(scipy.stats.false_discovery_control(p), of_days.index)
    np.testing.assert_allclose(ranked["p_adjusted"], adjusted[ranked.index], rtol=1e-9)
    with_clusters = by_excess(DAYS.assign(buckets=20))["p_adjusted"]
    p = 2 * scipy.stats.t.sf(abs(of_days["log_loss"] - overall["log_loss"]) / of_days["log_loss_se"], 19)
    adjusted = pd.Series(scipy.stats.false_discovery_control(p), of_days.index)
    np.testing.assert_allclose(with_clusters, adjusted[with_clusters.index], rtol=1e-6)


def test_a_forest_has_a_dot_and_an_interval_for_each_slice() -> None:
    ax = plots.slices(DAYS)
    ranked = by_excess(DAYS)
    assert names(ax) == ranked["slice"].tolist()
    ends, dots, colours = intervals(ax)
    np.testing.assert_allclose(dots, ranked["log_loss"])
    left, right = ax.get_xlim()
    np.testing.assert_allclose(ends, np.clip(ranked[["log_loss_low", "log_loss_high"]], left, right))
    wide = ranked["slice"].tolist().index("day=2026-01-05")
    assert ends[wide].tolist() == [ranked["log_loss_low"].iloc[wide], right]  # it leaves the plot, with an arrow
    assert colours == [
        LIGHT.bad
        if row.p_adjusted <= 0.05 and row.excess > 0
        else LIGHT.good
        if row.p_adjusted <= 0.05
        else LIGHT.first
        for row in ranked.itertuples()
    ]
    beside = [text.get_text() for text in ax.texts]
    assert [float(text.replace("−", "-")) for text in beside[:-1]] == ranked["excess"].round(4).tolist()


def test_slices_whose_loss_is_infinite_or_has_no_error_are_drawn() -> None:
    columns = ["log_loss", "log_loss_low", "log_loss_high"]
    frame = DAYS.copy()
    frame.loc[[0, 2], columns], frame.loc[[0, 2, 3], "log_loss_se"] = np.inf, np.nan
    frame.loc[3, columns[1:]] = np.nan
    assert by_excess(frame)["slice"].tolist()[0] == "day=2026-01-02"
    for ax in (plots.slices(frame), plots.over(frame, "day"), plots.decomposition(frame)):
        ax.figure.draw_without_rendering()
    assert [text.get_text() for text in plots.slices(DAYS.head(1)).texts] == ["no slice was scored"]


def test_of_many_slices_twenty_are_drawn_and_the_rest_counted() -> None:
    many = metrics_of([str(day) for day in range(50)], [10.0] * 50, list(np.linspace(0.4, 0.6, 50)), [0.01] * 50)
    ax = plots.slices(many)
    assert len(names(ax)) == 20
    assert "20 of 50 slices" in ax.get_xlabel()


def test_days_stand_as_far_apart_as_they_are_and_null_is_left_out() -> None:
    frame = pd.concat([DAYS.iloc[::-1], DAYS.iloc[1:2].assign(day=None, slice="day=null")])
    for made in (frame, frame.assign(day=pd.to_datetime(frame["day"]).dt.date)):
        ax = plots.over(made, "day", metric="log_loss", bound=0.8)
        x, y = ax.lines[-1].get_data()
        assert list(x) == [0.0, 1.0, 4.0, 5.0]
        np.testing.assert_allclose(y, DAYS["log_loss"].iloc[1:])
        assert ax.lines[0].get_ydata()[0] == DAYS["log_loss"].iloc[0]
        assert ax.lines[1].get_ydata()[0] == 0.8
        band = ax.collections[0].get_paths()[0].vertices
        assert {*DAYS["log_loss_low"].iloc[1:].round(9)} <= {*band[:, 1].round(9)}


def test_windows_of_one_size_are_drawn_over_their_last_day() -> None:
    slices = pd.concat([DAYS.iloc[1:].assign(slice="all"), DAYS.iloc[1:].assign(slice="country=de", log_loss=9.0)])
    frame = slices.assign(window=7, days=7, country=None)
    frame = frame[["day", "window", "days", "country", *(name for name in slices if name != "day")]]
    ax = plots.over(frame, "day", bound=0.6)
    np.testing.assert_allclose(ax.lines[-1].get_ydata(), DAYS["log_loss"].iloc[1:])
    assert [line.get_label() for line in ax.lines[:-1]] == ["bound"]
    with pytest.raises(
        SpecError, match=r"windows must be of one size, got 1, 7: draw frame\[frame\['window'\] == ...\]"
    ):
        plots.over(pd.concat([frame, frame.assign(window=1)]), "day")


def test_the_total_of_a_count_or_a_sum_is_no_line_among_its_parts() -> None:
    for metric in ("n", "weight"):
        ax = plots.over(DAYS, "day", metric=metric)
        assert len(ax.lines) == 1
        assert ax.get_title(loc="left") == ""
        assert ax.get_ylim()[1] < 1100


def boxes(ax: Axes) -> list[tuple[float, float, float]]:
    """Left, right and rotation of the labels of the x axis, as they are drawn."""
    ax.figure.savefig(io.BytesIO(), format="png")
    ends = [(label.get_window_extent(), label.get_rotation()) for label in ax.get_xticklabels()]
    return [(box.x0, box.x1, rotation) for box, rotation in ends]


@pytest.mark.parametrize("width", [4.0, 20.0])
def test_names_along_an_axis_are_whole_and_do_not_overlap(width: float) -> None:
    cities = ["Amsterdam", "Barcelona", "Copenhagen", "Dubrovnik", "Edinburgh", "Frankfurt", "Gothenburg", "Helsinki",
              "Innsbruck", "Lausanne"]  # fmt: skip
    frame = metrics_of(cities, [100.0] * 10, [0.5] * 10, [0.01] * 10)
    ax = plots.over(frame, "day", Figure((width, 3.0), layout="constrained").subplots())
    assert [label.get_text() for label in ax.get_xticklabels()] == cities
    places = boxes(ax)
    dates = boxes(plots.over(DAYS, "day", Figure((width, 3.0), layout="constrained").subplots()))
    assert {rotation for *_, rotation in dates} == {45.0 if width < 10 else 0.0}  # two days are neighbours
    slanted = {rotation for *_, rotation in places}
    assert slanted == ({45.0} if width < 10 else {0.0})
    assert slanted == {45.0} or all(end < start for (_, end, _), (start, *_) in itertools.pairwise(places))


@pytest.mark.parametrize("draw", [plots.differences, plots.slices], ids=["differences", "slices"])
def test_the_label_below_long_names_is_whole(draw: Callable[..., Axes]) -> None:
    if draw is plots.differences:
        frame = pd.concat([COMPARISON] * 9).assign(slice="country=Liechtenstein/device=phone")
    else:
        names = [f"a city with a long name {place:02}" for place in range(30)]
        frame = metrics_of(names, [100.0] * 30, [0.5] * 30, [0.01] * 30)
    ax = draw(frame)
    ax.figure.savefig(io.BytesIO(), format="png")
    box = ax.xaxis.label.get_window_extent()
    assert 0 < box.x0 < box.x1 < ax.figure.bbox.x1


def test_every_column_of_a_long_slice_is_named() -> None:
    names_of = ["date=2026-10-05", f"hotel={'x' * 50}", "hotel="]
    slices = [f"{name}/channel=agency" for name in names_of]
    frame = metrics_of(names_of, [10.0] * 3, [0.5] * 3, [0.1] * 3).assign(slice=["all", *slices])
    shown = [name.split("/") for ax in (plots.slices(frame), plots.differences(COMPARISON.assign(slice=slices)))
             for name in names(ax)]  # fmt: skip
    assert {channel for _, channel in shown} == {"channel=agency"}
    assert ['hotel=""', "channel=agency"] in shown


def test_values_without_an_order_are_not_joined() -> None:
    frame = DAYS.assign(day=[None, "DE", "US", "$x$", "_y"])
    ax = plots.over(frame, "day")
    assert ax.lines[-1].get_linestyle() == "None"
    assert [label.get_text() for label in ax.get_xticklabels()] == ["$x$", "DE", "US", "_y"]
    assert plots.over(DAYS, "day", metric="brier").lines[-1].get_ydata()[0] == DAYS["brier"].iloc[1]


@pytest.mark.parametrize(
    ("change", "asked", "said"),
    [
        ({}, {"column": "dya"}, "column must be a slice column of the metrics, got 'dya'.*Did you mean 'day'"),
        ({}, {"column": "day", "metric": "brir"}, "metric must be a column of numbers, got 'brir'.*'brier'"),
        ({"grouping_id": 1}, {"column": "day"}, "the metrics must have slices by 'day' alone, got none"),
    ],
)
def test_what_cannot_be_drawn_over_is_one_line(change: dict[str, int], asked: dict[str, str], said: str) -> None:
    with pytest.raises(SpecError, match=said):
        plots.over(DAYS.assign(**change), **asked)


def test_a_waterfall_leads_from_the_uncertainty_to_the_log_loss() -> None:
    row = DAYS.iloc[0]
    ax = plots.decomposition(DAYS)
    bars = [(bar.get_x(), bar.get_x() + bar.get_width()) for bar in ax.patches]
    np.testing.assert_allclose(bars, [[0.69, 0.49], [0.49, row["log_loss"]]])
    np.testing.assert_allclose(intervals(ax)[0], [[row["log_loss_low"], row["log_loss_high"]]])
    assert names(plots.decomposition(row)) == ["uncertainty", "discrimination", "miscalibration", "log loss"]
    assert "rest (cells)" in names(plots.decomposition(row.to_frame().T.assign(log_loss_corp_rest=0.01)))
    near = row.to_frame().T.assign(log_loss_miscalibration=1e-5, log_loss_corp_rest=-2e-5)
    ax = plots.decomposition(near)  # shown with four decimals
    assert names(ax) == ["uncertainty", "discrimination", "miscalibration", "log loss"]
    with pytest.raises(SpecError, match="a decomposition needs a binary forecast and the loss cross_entropy"):
        plots.decomposition(DAYS.assign(log_loss_discrimination=np.nan))
    assert [text.get_text() for text in plots.decomposition(DAYS.assign(n=0)).texts] == ["no row was scored"]


def test_differences_have_the_colours_of_their_verdicts() -> None:
    ends, dots, colours = intervals(plots.differences(COMPARISON))
    np.testing.assert_allclose(dots, COMPARISON["difference"])
    np.testing.assert_allclose(ends, COMPARISON[["difference_low", "difference_high"]])
    assert colours == [LIGHT.good, LIGHT.first, LIGHT.good]
    several = pd.concat([COMPARISON, COMPARISON.assign(challenger="$other$")])
    assert names(plots.differences(several))[3] == "$other$: all"


# Plots of a fit.


def test_a_history_draws_what_the_fit_measured() -> None:
    ax = plots.history(HISTORY)
    np.testing.assert_allclose(ax.lines[0].get_ydata(), [0.1, 0.01, 1e-17])
    (below,) = ax.child_axes
    np.testing.assert_allclose(below.lines[1].get_ydata(), HISTORY["validation_loss"])
    assert below.collections[0].get_offsets().data.tolist() == [[1.0, 0.44]]
    assert not plots.history(HISTORY.assign(validation_loss=None)).child_axes


def test_coefficients_stand_by_how_many_errors_they_are_from_0() -> None:
    ax = plots.coefficients(TABLE, confidence=0.9)
    assert names(ax) == ["x1", "x2", "(intercept)"]
    ends, dots, _ = intervals(ax)
    reach = scipy.stats.norm.ppf(0.95) * np.array([0.2, 0.5, 0.5])
    np.testing.assert_allclose(dots, [-2.0, 1.0, 0.1])
    np.testing.assert_allclose(ends, np.stack([dots - reach, dots + reach], axis=1))
    penalised = TABLE.assign(standard_error=np.nan, z=np.nan, **{"class": "a"})
    assert names(plots.coefficients(penalised)) == ["a: x1", "a: x2", "a: (intercept)"]


# What holds for all plots.


@pytest.mark.parametrize("name", ALL)
def test_every_colour_is_the_palettes(name: str) -> None:
    text = svg_of(ALL[name](palette=SENTINELS))
    assert set(re.findall("#[0-9a-f]{6}", text)) <= set(vars(SENTINELS).values())
    assert text == svg_of(ALL[name](palette=SENTINELS))  # the same frame, the same bytes


@pytest.mark.parametrize("name", ALL)
def test_axes_that_are_given_are_drawn_on(name: str) -> None:
    left, right = Figure(figsize=(8, 4), layout="constrained").subplots(1, 2)
    assert ALL[name](ax=left) is left
    assert left.has_data()
    assert not right.has_data()


def svg_of(ax: Axes) -> str:
    """The figure as SVG, with texts as texts."""
    file = io.StringIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "of this test"}):
        ax.figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None})
    return file.getvalue()


@pytest.mark.filterwarnings("ignore:Glyph .* missing from font:UserWarning")  # an emoji, which the font lacks
@pytest.mark.parametrize("start", [0, 17])
def test_names_from_data_are_drawn_as_text(start: int) -> None:
    texts = ["$\\frac{$", "$x$", "_hidden", *hostile.TEXTS.values()][start : start + 17]
    n = len(texts)
    frame = metrics_of(texts, [10.0] * n, [0.5] * n, [0.1] * n)
    compared = pd.concat([COMPARISON.iloc[:1]] * n).assign(slice=texts)
    table = pd.concat([TABLE.iloc[:1]] * n, ignore_index=True).assign(feature=texts, **{"class": texts})
    for ax, shown in (
        (plots.slices(frame), [visible_slice(f"day={name}", 28) for name in texts]),
        (plots.over(frame, "day"), [visible(name, 28) for name in texts]),
        (plots.differences(compared), [visible(name, 28) for name in texts]),
        (plots.coefficients(table), [visible(f"{name}: {name}", 28) for name in texts]),
    ):
        tree = ElementTree.fromstring(svg_of(ax))
        drawn = {"".join(node.itertext()) for node in tree.iter("{http://www.w3.org/2000/svg}text")}
        # SVG joins blanks, and an empty text is not drawn.
        assert {" ".join(text.split()) for text in shown} - {""} <= {" ".join(text.split()) for text in drawn}


def test_a_figure_is_pyplots_only_where_pyplot_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    before = matplotlib.pyplot.get_fignums()
    assert plots.slices(DAYS).figure.canvas.manager is None
    assert "matplotlib.pyplot" not in sys.modules
    assert matplotlib.pyplot.get_fignums() == before
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", matplotlib.pyplot)
    shown = plots.slices(DAYS)
    assert matplotlib.pyplot.get_fignums() == [*before, shown.figure.number]
    matplotlib.pyplot.close(shown.figure)


def test_without_matplotlib_one_line_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(SpecError, match="plots need the package matplotlib: pip install jinja2 matplotlib"):
        plots.slices(DAYS)


@pytest.mark.parametrize("palette", [LIGHT, DARK], ids=["light", "dark"])
def test_colours_can_be_told_from_the_page(palette: Palette) -> None:
    # WCAG 2.2: 4.5 for text, 3 for what is drawn.
    def luminance(colour: str) -> float:
        parts = np.array([int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)])
        return float(
            np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4) @ [0.2126, 0.7152, 0.0722]
        )

    for name, least in {"ink": 4.5, "soft": 4.5, "first": 3, "second": 3, "good": 3, "bad": 3}.items():
        lighter, darker = sorted([luminance(getattr(palette, name)), luminance(palette.page)], reverse=True)
        assert (lighter + 0.05) / (darker + 0.05) >= least, name
