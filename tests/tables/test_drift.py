"""Drift between two states is the drift between their rows: scipy says so, over shares that are counted again here."""

import json
from dataclasses import dataclass, replace
from math import fsum

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import scipy.special
import scipy.stats
from pyspark.sql import functions as F
from scipy.spatial.distance import jensenshannon

import logloss_spark as ls
from logloss_spark.errors import SpecError
from logloss_spark.kernels.grid import BINS, EDGES, THIN_BIN, THIN_BINS
from logloss_spark.rows.inputs import BUCKETS
from logloss_spark.states.conventions import Conventions
from logloss_spark.statistics.drift import MOST_BINS, Population, measures, merged_bins
from logloss_spark.tables.drift import MEASURES, arrow_bins
from tests.quick import quick
from tests.rows.batches import arrow

COLUMNS = {"label": "label", "prediction": "p", "weight": "w"}
DIVERGENCES = ("kl", "reverse_kl", "psi", "jensen_shannon")

ROUNDING = 1e-13
"""Absolute: shares are exact to 1e-15, and a divergence of scipy's is a sum of 20 terms of either sign below 1."""


@dataclass(frozen=True, eq=False)
class Side:
    """Rows of one side: scores (of the top class, where there are several), label shares (n, K) and weights."""

    score: np.ndarray
    y: np.ndarray
    w: np.ndarray


def side(frame, classes=None):
    """The rows that count, from columns label, p and w; K classes have lists of probabilities."""
    frame = frame[frame.w > 0]
    p = np.array(frame.p.tolist(), dtype=float)
    return Side(
        score=p if p.ndim == 1 else p.max(axis=1),
        y=np.eye(classes or 2)[frame.label.to_numpy(dtype=int)],
        w=frame.w.to_numpy(dtype=float),
    )


def drift_of_rows(reference, current):
    """What `drift` says of a slice, as its definition reads, bin by bin."""
    cells = {one: np.searchsorted(EDGES, one.score, side="right") for one in (reference, current)}
    ends, held = [], 0.0
    for cell in np.unique(cells[reference]):
        held += fsum(reference.w[cells[reference] == cell])
        if held >= 0.05 * fsum(reference.w) * (1 - 1e-12):
            ends.append(cell)
            held = 0.0
    ends[-1] = len(EDGES)
    size = len(ends)
    shares, sizes = [], []
    for one in (reference, current):
        # A bin ends with its cell: the bin of a row is how many ends lie below its cell.
        place = np.searchsorted(ends, cells[one], side="left")
        weight = np.array([fsum(one.w[place == b]) for b in range(size)])
        n_eff = fsum(one.w) ** 2 / fsum(one.w**2)
        shares.append((n_eff * weight / fsum(one.w) + 0.5) / (n_eff + size / 2))
        sizes.append(row_sizes(one.w, place[:, np.newaxis] == np.arange(size)))
    r, c = shares
    contribution = (c - r) * np.log(c / r)
    n_effs = [fsum(one.w) ** 2 / fsum(one.w**2) for one in (reference, current)]
    expected, p_value = by_chance(contribution.sum(), sizes, np.average(shares, axis=0, weights=n_effs))
    labels = [np.array([fsum(one.w * y) for y in one.y.T]) / fsum(one.w) for one in (reference, current)]
    common = np.average(labels, axis=0, weights=n_effs)
    sizes = [row_sizes(one.w, one.y) for one in (reference, current)]
    moved = np.nansum((labels[1] - labels[0]) ** 2 / np.where(common > 0, common, np.nan))
    _, label_p_value = by_chance(moved, sizes, common)
    return {
        "reference_n": len(reference.w),
        "current_n": len(current.w),
        "reference_weight": fsum(reference.w),
        "current_weight": fsum(current.w),
        "bins": size,
        "kl": scipy.special.rel_entr(c, r).sum(),
        "reverse_kl": scipy.special.rel_entr(r, c).sum(),
        "psi": contribution.sum(),
        "psi_expected": expected,
        "p_value": p_value,
        "label_p_value": label_p_value,
        "jensen_shannon": jensenshannon(c, r) ** 2,
        "reference_label_mean": labels[0],
        "current_label_mean": labels[1],
        "label_kl": scipy.special.rel_entr(labels[1], labels[0]).sum(),
        "worst": sorted(contribution, reverse=True)[:3],
    }


def row_sizes(w, belongs):
    """The mean weight of the rows of each category, in units of all weight; that of all where it has none."""
    squares, weight = (w**2) @ belongs, w @ belongs
    return np.where(weight > 0, squares / np.where(weight > 0, weight, 1), (w @ w) / w.sum()) / w.sum()


def by_chance(divergence, sizes, shares):
    """Mean of a divergence without drift, and its p-value, from the eigenvalues of the covariance of the difference."""
    kept = shares > 0
    p, sizes = shares[kept], np.sum(sizes, axis=0)[kept]
    covariance = np.diag(sizes * p) - np.outer(sizes * p, p) - np.outer(p, sizes * p) + sizes @ p * np.outer(p, p)
    weights = np.linalg.eigvals(covariance / p[:, np.newaxis]).real
    df = weights.sum() ** 2 / (weights**2).sum() if len(p) > 1 else np.nan
    return weights.sum(), scipy.stats.chi2.sf(divergence / weights.sum() * df, df)


def assert_drift(row, reference, current):
    """A row of `drift` says what the rows of its two sides say, and names bins that hold what it says they do."""
    wanted = drift_of_rows(reference, current)
    for name in ("reference_n", "current_n", "bins"):
        assert row[name] == wanted[name], name
    for name in ("reference_weight", "current_weight", "psi_expected"):
        assert row[name] == pytest.approx(wanted[name], rel=1e-12, abs=ROUNDING), name
    for name in ("p_value", "label_p_value"):
        # The rounding of an eigenvalue grows with the statistic: e^-x has that of x.
        assert row[name] == pytest.approx(wanted[name], rel=1e-9, abs=1e-300, nan_ok=True), name
    for name in (*DIVERGENCES, "label_kl"):
        assert row[name] == pytest.approx(wanted[name], rel=1e-12, abs=ROUNDING), name
    assert row["jensen_shannon_distance"] == pytest.approx(np.sqrt(row["jensen_shannon"]), rel=1e-15)
    for name in ("reference_label_mean", "current_label_mean"):
        means = wanted[name] if np.ndim(row[name]) else wanted[name][1]
        np.testing.assert_allclose(row[name], means, rtol=1e-12)
    assert [bin_["contribution"] for bin_ in row["worst"]] == pytest.approx(wanted["worst"], rel=1e-9, abs=ROUNDING)
    for bin_ in row["worst"]:
        for name, one in (("reference_share", reference), ("current_share", current)):
            assert bin_[name] == pytest.approx(share_between(one, bin_["low"], bin_["high"], row["bins"]), rel=1e-12)


def share_between(one, low, high, bins):
    """The smoothed share of the scores in [low, high), of those that are 0 or 1 where it has no width."""
    inside = one.score == low if low == high else (one.score >= low) & (one.score < high)
    if high == 1.0 and low < high:
        # Only a bin that exactly 1 was not worth one of its own ends with it: none here holds a twentieth of ones.
        inside |= one.score == 1.0
    n_eff = fsum(one.w) ** 2 / fsum(one.w**2)
    return (n_eff * fsum(one.w[inside]) / fsum(one.w) + 0.5) / (n_eff + bins / 2)


def slices_of(frame, by):
    """The rows of each slice by its name: the global one, and those of one column, where null is a value."""
    groups = {"all": frame}
    for value, part in frame.groupby(by, dropna=False):
        groups[f"{by}={'null' if pd.isna(value) else value}"] = part
    return groups


@pytest.fixture(scope="module")
def frame():
    """1,500 weighted rows of three days that differ, of segments: one null, one on one day only, one without weight."""
    rng = np.random.default_rng(70)
    n = 1500
    dt = np.repeat(["mon", "tue", "wed"], n // 3)
    later = (dt == "wed").astype(float)
    p = rng.beta(0.8 + later, 3.0 - later)
    p[::9] = 0.0
    p[5:40] = 1.0
    w = rng.gamma(0.6, size=n)
    w[::25] = 0.0
    a = rng.choice(["x", "y", None], n)
    a[n // 3 : n // 3 + 100] = "z"
    a[-10:], w[-10:] = "v", 0.0
    return pd.DataFrame({"dt": dt, "a": a, "label": (rng.random(n) < p).astype(int), "p": p, "w": w})


@pytest.fixture(scope="module")
def table(spark, frame, tmp_path_factory):
    folder = tmp_path_factory.mktemp("drift")
    pq.write_table(pa.Table.from_pandas(frame, preserve_index=False), folder / "table.parquet")
    return spark.read.parquet(str(folder))


@pytest.fixture(scope="module")
def state(table):
    """The state of all days by day and segment."""
    with ls.evaluate(table, **COLUMNS, by=[["dt", "a"]]) as evaluation:
        yield evaluation.state


@pytest.fixture(scope="module")
def of_days(state):
    """The drift of each day from the first."""
    return by_slice(ls.drift(state.where("dt = 'mon'").persist(), state, by=[["a"]], partition="dt"))


def by_slice(moved):
    return {row["slice"]: row.asDict(recursive=True) for row in moved.metrics.collect()}


@pytest.mark.connect
def test_drift_of_each_partition_is_what_scipy_says_of_its_rows(of_days, frame):
    found = dict(of_days)
    reference = slices_of(frame[frame.dt == "mon"], "a")
    compared = 0
    for day, rows in frame.groupby("dt"):
        for name, part in slices_of(rows, "a").items():
            row = found.pop(f"dt={day}" if name == "all" else f"dt={day}/{name}")
            assert (row["dt"], row["grouping_id"]) == (day, 1 if name == "all" else 0)
            if name in reference:
                assert_drift(row, side(reference[name]), side(part))
                compared += 1
    assert compared == 12
    assert not found


def test_drift_of_whole_states_is_what_scipy_says_of_their_rows(state, frame):
    # Sliced by day, too: that is rolled up on both sides.
    found = by_slice(ls.drift(state.where("dt = 'mon'"), state.where("dt <> 'mon'"), by=[["a"]]))
    reference, current = slices_of(frame[frame.dt == "mon"], "a"), slices_of(frame[frame.dt != "mon"], "a")
    assert set(found) == {"all", "a=x", "a=y", "a=z", "a=v", "a=null"}
    for name in reference:
        assert_drift(found[name], side(reference[name]), side(current[name]))
    assert (found["a=v"]["reference_n"], found["a=v"]["current_n"], found["a=v"]["psi"]) == (0, 0, None)
    assert (found["a=null"]["a"], found["a=null"]["grouping_id"], found["all"]["grouping_id"]) == (None, 0, 1)


def test_a_slice_that_one_side_lacks_has_no_rows_there_and_no_drift(state, of_days):
    of_later = by_slice(ls.drift(state.where("dt = 'tue'").persist(), state, by=[["a"]], partition="dt"))
    for row, without, with_ in (
        (of_days["dt=tue/a=z"], "reference", "current"),
        # Each partition is compared in every slice of the reference, also where it has no such rows.
        (of_later["dt=wed/a=z"], "current", "reference"),
    ):
        assert (row[f"{without}_n"], row[f"{without}_weight"]) == (0, 0.0)
        assert row[f"{with_}_n"] == 96
        assert 0 < row[f"{with_}_label_mean"] < 1
        undefined = set(MEASURES) - {f"{with_}_label_mean"} | {"worst"}
        assert all(row[name] is None for name in undefined)


def test_a_state_has_not_moved_from_itself(state):
    moved = ls.drift(state, state, by=[["dt"], ["a"], ["dt", "a"]])
    for row in moved.metrics.where("current_n > 0").collect():
        # Both sides are summed, maybe in another order: divergences of distributions 1e-16 apart are 1e-32.
        for name in (*DIVERGENCES, "label_kl"):
            assert 0 <= row[name] < 1e-28, (row["slice"], name)
        assert all(0 <= bin_.contribution < 1e-28 for bin_ in row["worst"])
        assert len(row["worst"]) == 3 <= row["bins"]


@pytest.mark.slow
def test_drift_from_merged_states_is_drift_from_the_state_of_all_rows(state, table):
    later = [table.where(F.col("dt") == day) for day in ("tue", "wed")]
    days = [ls.evaluate(day, **COLUMNS, by=[["dt", "a"]], engine="native").state for day in later]
    apart, together = (
        by_slice(ls.drift(state.where("dt = 'mon'"), current, by=[["a"]]))
        for current in (ls.merge(*days), state.where("dt <> 'mon'"))
    )
    assert set(apart) == set(together)
    for name, row in apart.items():
        assert row["current_n"] == together[name]["current_n"]
        ours, theirs = (
            np.array([one[measure] for measure in DIVERGENCES], dtype=float) for one in (row, together[name])
        )
        np.testing.assert_allclose(ours, theirs, rtol=1e-12, atol=ROUNDING)
    assert together["all"]["psi"] > 0.1


def test_the_state_of_no_rows_has_no_drift(state):
    nothing = state.where("false").persist()
    (row,) = ls.drift(nothing, nothing).metrics.collect()
    assert (row["slice"], row["reference_n"], row["current_n"], row["psi"], row["worst"]) == ("all", 0, 0, None, None)
    (row,) = ls.drift(state, nothing).metrics.collect()
    assert (row["current_n"], row["psi"], row["bins"]) == (0, None, None)
    assert row["reference_n"] == 1430
    assert ls.drift(state, nothing, partition="dt").metrics.count() == 0


def test_scores_of_several_classes_are_those_of_the_top_class(spark, tmp_path):
    rng = np.random.default_rng(71)
    n = 600
    z = rng.normal(size=(n, 3)) * 2
    z[: n // 2, 0] += 1.5
    p = scipy.special.softmax(z, axis=1)
    frame = pd.DataFrame({"half": np.repeat([0, 1], n // 2), "label": rng.integers(0, 3, n), "w": rng.random(n)})
    columns = {name: pa.array(frame[name]) for name in frame} | {"p": arrow(z)}
    pq.write_table(pa.table(columns), tmp_path / "table.parquet")
    state = ls.evaluate(str(tmp_path), **COLUMNS, by=[["half"]], classes=range(3), kind="logit").state
    (row,) = ls.drift(state.where("half = 0"), state.where("half = 1")).metrics.collect()
    halves = [side(part, classes=3) for _, part in frame.assign(p=p.tolist()).groupby("half")]
    assert_drift(row.asDict(recursive=True), *halves)


@pytest.mark.slow
def test_forecasts_for_governors_moved_before_the_election_as_scipy_says(spark, shared):
    races = pd.read_csv(shared / "pred" / "538_governors_elections.csv.gz")
    races = races.rename(columns={"probwin": "p", "probwin_outcome": "label", "forecast_date": "dt"}).assign(w=1.0)
    races = races[races.forecast_type.notna()]
    first, last = races.dt.min(), races.dt.max()
    races = races[races.dt.isin([first, last])]
    df = spark.createDataFrame(races[["dt", "forecast_type", "p", "label"]])
    state = ls.evaluate(df, label="label", prediction="p", by=[["dt", "forecast_type"]]).state
    by = [["forecast_type"]]
    found = by_slice(ls.drift(state.where(F.col("dt") == first), state.where(F.col("dt") == last), by=by))
    ends = [slices_of(races[races.dt == day], "forecast_type") for day in (first, last)]
    assert set(found) == set(ends[0])
    for name, row in found.items():
        assert_drift(row, side(ends[0][name]), side(ends[1][name]))


@pytest.mark.slow
def test_models_of_influenza_differ_in_their_scores_as_scipy_says(spark, shared):
    flu = pd.read_parquet(shared / "pred" / "flusight_2024_25_early_pmf.parquet")
    columns = [name for name in flu.columns if name.startswith("p_")]
    classes = [name.removeprefix("p_") for name in columns]
    some = flu.groupby("model").size().nlargest(3).index.tolist()
    flu = flu[flu.model.isin(some)].dropna(subset=[*columns, "outcome"])
    df = spark.createDataFrame(flu[["model", "outcome", *columns]])
    state = ls.evaluate(df, label="outcome", prediction=columns, classes=classes, by=[["model"]]).state
    found = by_slice(ls.drift(state.where(F.col("model") == some[0]), state, partition="model"))
    flu["label"] = flu.outcome.map(classes.index)
    flu["p"], flu["w"] = flu[columns].to_numpy().tolist(), 1.0
    valid = flu[(flu[columns].sum(axis=1) - 1).abs() <= 1e-5]
    sides = {f"model={name}": side(part, classes=len(classes)) for name, part in valid.groupby("model")}
    assert set(found) == set(sides)
    for name, row in found.items():
        assert_drift(row, sides[f"model={some[0]}"], sides[name])
    assert found[f"model={some[0]}"]["psi"] == pytest.approx(0, abs=ROUNDING)


@pytest.mark.slow
def test_how_rows_were_scored_is_no_matter(state):
    conventions = Conventions.from_fingerprint(state.table.first().fingerprint)
    other = replace(conventions, loss="focal", clip="none", eps=1e-9, soft_labels=True, slices=("a", "dt"))
    scored_otherwise = ls.State(state.table.withColumn("fingerprint", F.lit(other.fingerprint())))
    (row,) = ls.drift(state, scored_otherwise).metrics.collect()
    assert row.psi == pytest.approx(0, abs=ROUNDING)


OTHER_SCALES = {
    "kind": ("logit", "kind 'probability' and 'logit'"),
    "classes": ((-1, 1), "classes (0, 1) and (-1, 1)"),
}


@pytest.fixture(scope="module")
def small(spark):
    """The state of two rows, as it would be stored."""
    df = spark.createDataFrame([(1, "x", 1, 0.9), (2, "y", 0, 0.2)], "dt int, a string, label int, p double")
    state = ls.evaluate(df, label="label", prediction="p", by=[["dt", "a"]], engine="native").state.table
    return ls.State(spark.createDataFrame(state.collect(), state.schema))


@pytest.mark.parametrize("what", quick(OTHER_SCALES, "kind"))
def test_states_whose_scores_mean_something_else_refuse_to_compare_and_say_what_differs(small, what):
    value, says = OTHER_SCALES[what]
    other = replace(small.conventions, **{what: value})
    with pytest.raises(SpecError) as refused:
        ls.drift(small, ls.State(small.table.withColumn("fingerprint", F.lit(other.fingerprint()))))
    assert says in str(refused.value)
    assert "\n" not in str(refused.value)


def test_words_that_do_not_fit_the_states_are_refused(small):
    with pytest.raises(SpecError, match="slice column 'b' is not in the state; it has: dt, a"):
        ls.drift(small, small, by=[["b"]])
    with pytest.raises(SpecError, match="slice column 'day' is not in the state"):
        ls.drift(small, small, partition="day")
    with pytest.raises(SpecError, match="partition must be the name of a column, got"):
        ls.drift(small, small, partition=["dt"])
    with pytest.raises(SpecError, match="by must not name the partition, got 'dt'"):
        ls.drift(small, small, by=[["dt"]], partition="dt")
    with pytest.raises(SpecError, match="'a' must have the same type in both states, got string and int"):
        ls.drift(small, ls.State(small.table.withColumn("a", F.lit(1))), by=[["a"]])
    with pytest.raises(SpecError, match="states must be of type State, got a pandas DataFrame"):
        ls.drift(small.table.toPandas(), small)
    renamed = replace(small.conventions, slices=("dt", "PSI"))
    table = small.table.withColumnRenamed("a", "PSI").withColumn("fingerprint", F.lit(renamed.fingerprint()))
    named = ls.State(table)
    with pytest.raises(SpecError, match="must not have the name of a result, and 'PSI' has"):
        ls.drift(named, named, by=[["PSI"]])
    assert "PSI" not in ls.drift(named, named, by=[["dt"]]).metrics.columns


def test_slice_columns_may_have_any_name_and_be_named_like_inner_ones(spark):
    names = ["a.b", "`", "side", "reference_cells", "slice_0"]
    df = spark.createDataFrame([(1, 0.9, *"vwxyz"), (0, 0.2, *"vwxyz")], ["label", "p", *names])
    state = ls.evaluate(df, label="label", prediction="p", by=[names], engine="native").state
    moved = ls.drift(state, state, by=[[name] for name in names[1:]], partition="a.b")
    assert moved.metrics.columns[:6] == [*names, "grouping_id"]
    assert {row["slice"] for row in moved.metrics.collect()} == {
        "a.b=v",
        *(f"a.b=v/{name}={value}" for name, value in zip(names[1:], "wxyz", strict=True)),
    }


def population(p, w=None, y=None):
    """A side of one slice, from its rows."""
    p = np.asarray(p, dtype=float)
    w = np.ones(len(p)) if w is None else np.asarray(w, dtype=float)
    y = np.zeros(len(p)) if y is None else np.asarray(y, dtype=float)
    cells = np.searchsorted(EDGES, p, side="right")
    return Population(
        n=np.array([float(len(p))]),
        w=np.array([w.sum()]),
        w2=np.array([(w**2).sum()]),
        cells=np.bincount(cells, w, BINS)[np.newaxis],
        squares_of_cells=np.bincount(cells, w**2, BINS)[np.newaxis],
        labels=np.array([[w @ (1 - y), w @ y]]),
        squares_of_labels=np.array([[w**2 @ (1 - y), w**2 @ y]]),
        squared_labels=np.array([(w * y) @ (w * y)]),
        bucket_cells=np.zeros((1, 0, 1)),
        bucket_labels=np.zeros((1, 0, 2)),
    )


def clustered(p, y, w, bucket):
    """A side of one slice whose rows hang together, from its rows."""
    cells = np.searchsorted(EDGES, p, side="right")
    bucket_cells, bucket_labels = np.zeros((1, BUCKETS, THIN_BINS)), np.zeros((1, BUCKETS, 2))
    np.add.at(bucket_cells[0], (bucket, THIN_BIN[cells]), w)
    np.add.at(bucket_labels[0], (bucket, y), w)
    return replace(population(p, w, y), bucket_cells=bucket_cells, bucket_labels=bucket_labels)


def compared(reference, current):
    """Measures, and the worst bins, of a slice of two sides."""
    found, worst = measures(reference, current)
    bins = arrow_bins(worst, found["bins"])
    return {name: values[0] for name, values in found.items()} | {"worst": bins.to_pylist()[0]}


def test_populations_that_share_no_score_are_finitely_apart():
    found = compared(population(np.linspace(0.0, 0.4, 1000)), population(np.linspace(0.6, 1.0, 1000)))
    assert all(np.isfinite(found[name]) and found[name] > 0 for name in DIVERGENCES)
    # Of two populations that share nothing, but for the half rows and the bin that they both are in.
    assert found["jensen_shannon"] < np.log(2)
    assert found["worst"][0]["high"] == 1.0


def test_scores_that_are_all_equal_are_one_bin_in_which_nothing_moves():
    found = compared(population(np.full(50, 0.3)), population(np.linspace(0, 1, 50)))
    assert (found["bins"], found["psi"], found["psi_expected"]) == (1, 0.0, 0.0)
    whole = {"low": 0.0, "high": 1.0, "reference_share": 1.0, "current_share": 1.0, "contribution": 0.0}
    assert found["worst"] == [whole]


def test_one_row_on_each_side_is_defined():
    found = compared(population([0.3]), population([0.9]))
    assert (found["bins"], found["kl"]) == (1, 0.0)


def test_exactly_nothing_and_exactly_everything_are_bins_that_end_where_they_begin():
    between = np.linspace(0.001, 0.999, 800)
    reference = population(np.concatenate([np.zeros(100), between, np.full(100, np.nextafter(1, 0)), np.ones(100)]))
    current = population(np.concatenate([np.zeros(500), between, np.ones(700)]))
    ends = {(bin_["low"], bin_["high"]) for bin_ in compared(reference, current)["worst"]}
    assert {(0.0, 0.0), (1.0, 1.0)} < ends


def test_a_class_that_the_reference_never_saw_is_infinitely_new():
    reference, current = population([0.2, 0.8], y=[0, 0]), population([0.2, 0.8], y=[0, 1])
    assert compared(reference, current)["label_kl"] == np.inf
    assert compared(current, reference)["label_kl"] == pytest.approx(np.log(2), rel=1e-15)


def test_a_twentieth_is_a_bin_whatever_order_its_weights_were_added_in():
    rng = np.random.default_rng(72)
    cells = np.zeros((300, BINS))
    for slice_ in range(300):
        # Twenty cells of the same weights, each summed in an order of its own: they differ in the last bits.
        weights = rng.gamma(0.5, size=40)
        for cell in range(0, 2 * MOST_BINS, 2):
            cells[slice_, cell] = np.cumsum(rng.permutation(weights))[-1]
    starts = merged_bins(cells)
    assert ((starts < BINS).sum(axis=1) == MOST_BINS).all()
    assert (starts == [0, *range(1, 2 * MOST_BINS - 2, 2)]).all()


def test_every_bin_holds_a_twentieth_of_the_reference_and_cells_left_over_join_the_last():
    rng = np.random.default_rng(73)
    cells = rng.gamma(0.02, size=(200, BINS))
    starts = merged_bins(cells)
    for row, first in zip(cells, starts, strict=True):
        first = first[first < BINS]
        held = np.array([part.sum() for part in np.split(row, first[1:])])
        assert (held >= row.sum() / MOST_BINS * (1 - 1e-12)).all()
        # None could end sooner, but for the last one, which takes what is left.
        for part, weight in zip(np.split(row, first[1:])[:-1], held, strict=False):
            assert weight - part[-1] < row.sum() / MOST_BINS
    assert (merged_bins(np.zeros((1, BINS))) == [0] + [BINS] * (MOST_BINS - 1)).all()


@pytest.mark.slow
@pytest.mark.parametrize("weighted", [False, True], ids=["unweighted", "weighted"])
def test_psi_of_random_halves_is_what_is_expected_without_drift(weighted):
    rng = np.random.default_rng(74)
    ratios = []
    for _ in range(300):
        sides = [
            population(rng.beta(1, 3, size), rng.uniform(0.5, 1.5, size) if weighted else None) for size in (2000, 3000)
        ]
        found = compared(*sides)
        ratios.append(found["psi"] / found["psi_expected"])
    # PSI / its expectation is near chi-squared over its 18 or 19 degrees: a deviation of 0.33, of the mean of 300 of
    # 0.019. Eight of these leave room for the half rows and what is not quite normal (some percent).
    assert np.mean(ratios) == pytest.approx(1.0, abs=0.15)
    assert np.std(ratios) == pytest.approx(np.sqrt(2 / 19), rel=0.3)


REPEATED = 1500
"""Of so many p-values without drift 5 % are below 0.05, with a deviation of 0.56 %."""


def false_alarms(draw):
    """The shares of p-values below 0.05 among many draws of two sides of one population: of scores and of labels."""
    rng = np.random.default_rng(75)
    found = [compared(*draw(rng)) for _ in range(REPEATED)]
    return [np.mean([one[name] < 0.05 for one in found]) for name in ("p_value", "label_p_value")]


def independent_sides(weight):
    def draw(rng):
        for size in (400, 900):
            p = rng.beta(1, 3, size)
            yield population(p, weight(rng, p), rng.random(size) < p)

    return draw


def sides_of_users(users, rows, *, same):
    def draw(rng):
        bucket, habit = rng.integers(0, BUCKETS, 2 * users), rng.normal(size=2 * users)
        for first in (0, 0 if same else users):
            user = np.repeat(np.arange(first, first + users), rows)
            p = scipy.special.expit(1.5 * habit[user] + rng.normal(size=len(user)) - 1)
            yield clustered(p, (rng.random(len(p)) < p).astype(int), rng.gamma(2, size=len(p)), bucket[user])

    return draw


WITHOUT_DRIFT = {
    "no weights": independent_sides(lambda rng, p: np.ones(len(p))),
    "weights": independent_sides(lambda rng, p: rng.gamma(1, size=len(p))),
    "weights that go with the score": independent_sides(lambda rng, p: p * rng.gamma(1, size=len(p))),
    "other users": sides_of_users(100, 10, same=False),
    "the same users": sides_of_users(100, 10, same=True),
    "seven clusters": sides_of_users(7, 100, same=False),
}


@pytest.mark.slow
@pytest.mark.parametrize("what", WITHOUT_DRIFT)
def test_chance_alone_raises_a_false_alarm_in_one_of_twenty(what):
    # Four deviations above 5 % at the most. Half rows and few rows per bin make psi cautious: 2 % is still a test.
    for share in false_alarms(WITHOUT_DRIFT[what]):
        assert 0.01 < share < 0.05 + 4 * np.sqrt(0.05 * 0.95 / REPEATED)


def test_of_clusters_that_are_in_both_sides_only_what_changed_counts():
    rng = np.random.default_rng(76)
    bucket = rng.integers(0, BUCKETS, 3000)
    p = rng.beta(1, 3, 3000)
    before = clustered(p, (rng.random(3000) < p).astype(int), np.ones(3000), bucket)
    same = compared(before, before)
    assert (same["psi"], same["p_value"], same["label_p_value"]) == (0.0, 1.0, 1.0)
    # All users raise their scores by a little: no chance, which independent rows of two days could not tell.
    y = (rng.random(3000) < p).astype(int)
    moved = compared(before, clustered(p**0.97, y, np.ones(3000), bucket))
    apart = compared(population(p), population(p**0.97))
    assert moved["p_value"] < 0.02 < 0.5 < apart["p_value"]


def test_a_side_of_one_row_and_a_side_without_spread_raise_no_alarm():
    many = population(np.linspace(0, 1, 500), y=np.arange(500) % 2)
    for row in ([0.5], [1.0]):
        found = compared(many, population(row, y=[1]))
        assert 0.05 < found["label_p_value"] <= 1
        assert 0.05 < found["p_value"] <= 1
    shares = [replace(population([0.3, 0.6], y=[y, y]), soft_labels=True) for y in (0.2, 0.2, 0.4)]
    assert compared(shares[0], shares[1])["label_p_value"] == 1.0
    assert np.isnan(compared(shares[0], shares[2])["label_p_value"])


def test_labels_that_are_shares_are_tested_by_the_z_of_their_difference():
    rng = np.random.default_rng(77)
    y = [rng.random(60), rng.random(80) * 0.9]
    found = compared(*(replace(population(one, y=one), soft_labels=True) for one in y))
    wanted = scipy.stats.ttest_ind(*y, equal_var=False)
    z = 2 * scipy.stats.norm.sf(abs(wanted.statistic))
    assert found["label_p_value"] == pytest.approx(z, rel=1e-12)


@pytest.fixture(scope="module")
def days(spark, tmp_path_factory):
    """The states of two days with the same scores, on the second of which more happened; segment c moved altogether."""
    rng = np.random.default_rng(78)
    n = 3000
    p = np.tile(rng.beta(2, 8, n), 2)
    segment = np.tile(rng.choice(["a", "<b>", "c"], n), 2)
    p[n:][segment[n:] == "c"] = p[n:][segment[n:] == "c"] ** 0.5
    day = np.repeat(["mon", "tue"], n)
    label = (rng.random(2 * n) < np.where(day == "mon", 0.17, 0.28)).astype(int)
    frame = pd.DataFrame({"day": day, "segment": segment, "label": label, "p": p})
    folder = tmp_path_factory.mktemp("days")
    frame.to_parquet(folder / "table.parquet")
    state = ls.evaluate(str(folder), label="label", prediction="p", by=[["day", "segment"]]).state
    return state.where("day = 'mon'").persist(), state.where("day = 'tue'").persist(), frame


def test_scores_and_labels_are_judged_apart_with_p_values_of_their_own(days):
    before, after, frame = days
    moved = ls.drift(before, after, by=[["segment"]])
    found = moved.to_pandas().set_index("slice")
    assert found.loc["segment=a", ["scores_verdict", "labels_verdict"]].tolist() == ["no evidence", "moved"]
    assert found.loc["segment=c", ["scores_verdict", "labels_verdict"]].tolist() == ["moved", "moved"]
    for of in ("", "label_"):
        by_segment = found.iloc[1:]
        wanted = scipy.stats.false_discovery_control(by_segment[f"{of}p_value"])
        np.testing.assert_allclose(by_segment[f"{of}p_adjusted"], wanted, rtol=1e-12)
        assert found.loc["all", f"{of}p_adjusted"] == found.loc["all", f"{of}p_value"]
    table = pd.crosstab(frame.day, frame.label)
    chi_square = scipy.stats.chi2_contingency(table, correction=False)
    assert found.loc["all", "label_p_value"] == pytest.approx(chi_square.pvalue, rel=1e-9)


def test_a_drift_shows_itself_and_is_computed_once(days, capsys, monkeypatch):
    before, after, _ = days
    moved = ls.drift(before, after, by=[["segment"]])
    moved.show()
    said = capsys.readouterr().out.splitlines()
    monkeypatch.setattr(moved, "metrics", None)  # whoever looks again must not compute again
    moved.show(limit=2)
    again = capsys.readouterr().out.splitlines()
    assert said[0] == again[0] == "drift of one state from another by segment"
    assert [line.split()[0] for line in again[3:5]] == ["all", "segment=<b>"]
    assert again[5] == "the first 2 of 4 slices"
    remarks = moved.remarks()
    assert said[7:11] == again[6:10] == remarks
    assert said[11:] == ["not shown in 100 columns: label_p_adjusted"]
    assert remarks[0].startswith("scores ")
    assert remarks[1].startswith("labels moved: mean label 0.1")
    assert remarks[2] == "by segment: scores moved on 1 of 3 (segment=c), no evidence on 2 of 3"
    assert remarks[3].startswith("by segment: labels moved on 3 of 3 (")
    html = moved._repr_html_()
    assert "segment=&lt;b&gt;" in html
    assert "segment=<b>" not in html
    assert [record["slice"] for record in json.loads(moved.to_json())] == moved.to_pandas()["slice"].tolist()
    assert len(moved.to_pandas(1)) == 1
