"""Is the challenger better than the baseline? Comparisons against plain paired computations on the rows."""

import json
from math import fsum

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import scipy.special
import scipy.stats
from pyspark.sql import functions as F

import logloss_spark as ls
from logloss_spark.errors import DataError, SpecError
from logloss_spark.rows.models import Models
from tests.cases import FORMS, one_case
from tests.oracle import CAP, rows
from tests.quick import slow
from tests.rows.batches import arrow

SUMS = 1e-12
"""Relative, of sums under any order of adding; of a difference it is absolute, in units of the loss."""

OF_ERRORS = 1e-6
"""Relative: squares cancel in a variance."""

MODELS = {"a": "p_a", "b": "p_b"}


def paired(baseline, challenger, weight, bucket=None):
    """The difference of two mean losses as its definition reads, from the losses of the rows."""
    keep = weight > 0
    w, d = weight[keep], (challenger - baseline)[keep]
    difference = fsum(w * d) / fsum(w)
    e, n = w * (d - difference) / fsum(w), len(w)
    if bucket is not None:
        e = np.bincount(bucket[keep], weights=e)[np.unique(bucket[keep])]
        n = len(e)
    se = np.sqrt(n / (n - 1) * fsum(e**2))
    tail = scipy.stats.norm if bucket is None else scipy.stats.t(n - 1)
    return {
        "n": keep.sum(),
        "weight": fsum(w),
        "n_eff": fsum(w) ** 2 / fsum(w**2),
        "baseline_log_loss": fsum(w * baseline[keep]) / fsum(w),
        "challenger_log_loss": fsum(w * challenger[keep]) / fsum(w),
        "difference": difference,
        "difference_se": se,
        "difference_low": difference - tail.ppf(0.975) * se,
        "difference_high": difference + tail.ppf(0.975) * se,
        "detectable": (tail.ppf(0.975) + tail.ppf(0.8)) * se,
        "p_value": 2 * tail.sf(abs(difference) / se),
        "better_share": fsum(w[d < 0]) / fsum(w),
        "worse_share": fsum(w[d > 0]) / fsum(w),
        "tie_share": fsum(w[d == 0]) / fsum(w),
    }


def assert_row(found, wanted):
    for name, value in wanted.items():
        # A p-value moves by as much as its statistic, times that statistic.
        of_error = name.startswith("difference_") or name == "detectable"
        relative = 1e-4 if name == "p_value" else OF_ERRORS if of_error else SUMS
        assert found[name] == pytest.approx(value, rel=relative, abs=SUMS), name


def assert_same(found, wanted):
    """Two tables of comparisons that say the same."""
    keys = ["slice", "challenger"]
    found, wanted = (table.set_index(keys).sort_index() for table in (found, wanted))
    assert list(found.index) == list(wanted.index)
    assert set(found.columns) == set(wanted.columns)
    for name in wanted:
        ours, theirs = found[name], wanted[name]
        if theirs.dtype == object or theirs.dtype == bool or name == "n":
            assert ours.where(ours.notna(), None).tolist() == theirs.where(theirs.notna(), None).tolist(), name
        else:
            relative = OF_ERRORS if name.startswith(("difference_", "detectable", "p_")) else SUMS
            np.testing.assert_allclose(ours.astype(float), theirs.astype(float), rtol=relative, atol=SUMS, err_msg=name)


# The governors' elections of 2018 and 2022: three forecasts of each candidate on each of 78 days.

OF_GOVERNORS = {
    "label": "probwin_outcome",
    "prediction": "probwin",
    "model": "forecast_type",
    "keys": ["year", "state", "candidate", "forecast_date"],
    "baseline": "classic",
}


@pytest.fixture(scope="module")
def governors(shared, spark, tmp_path_factory):
    """The long table as a frame and as a DataFrame; candidates and days of a race hang together."""
    frame = pd.read_csv(shared / "pred" / "538_governors_elections.csv.gz", low_memory=False)
    frame = frame[frame.year > 2010].assign(race=lambda f: f.year.astype(str) + f.state)
    columns = [*OF_GOVERNORS["keys"], "forecast_type", "probwin", "probwin_outcome", "race"]
    folder = tmp_path_factory.mktemp("governors")
    pq.write_table(pa.Table.from_pandas(frame[columns], preserve_index=False), folder / "table.parquet")
    return frame, spark.read.parquet(str(folder))


@pytest.fixture(scope="module")
def wide(governors):
    """The same as a frame with a column per model, and the bucket of each race."""
    frame, df = governors
    race = df.select("race", F.pmod(F.xxhash64("race"), F.lit(64)).alias("bucket")).distinct().toPandas()
    facts = [*OF_GOVERNORS["keys"], "probwin_outcome", "race"]
    pivoted = frame.pivot(index=facts, columns="forecast_type", values="probwin").reset_index()
    return pivoted.merge(race, on="race")


@pytest.fixture(scope="module")
def compared(governors):
    """The comparison by year and by state, races as clusters."""
    by = [["year"], ["state"]]
    with ls.compare(governors[1], **OF_GOVERNORS, by=by, cluster="race", engine="native") as comparison:
        yield comparison.to_pandas()


def losses(label, p):
    with np.errstate(divide="ignore"):
        return np.minimum(np.where(label == 1, -np.log(p), -np.log1p(-p)), CAP)


def slices_of(frame):
    yield "all", frame
    for name in ("year", "state"):
        for value, part in frame.groupby(name):
            yield f"{name}={value}", part


@pytest.mark.slow
def test_the_governors_forecasts_compare_as_in_a_plain_paired_computation_by_race(compared, wide):
    found = compared.set_index(["slice", "challenger"])
    assert len(found) == 2 * (1 + 2 + wide.state.nunique())
    for slice_, part in slices_of(wide):
        label, ones = part.probwin_outcome.to_numpy(), np.ones(len(part))
        baseline = losses(label, part["classic"].to_numpy())
        for challenger in ("lite", "deluxe"):
            wanted = paired(baseline, losses(label, part[challenger].to_numpy()), ones, part.bucket.to_numpy())
            assert_row(found.loc[(slice_, challenger)], wanted)


@pytest.mark.slow
def test_the_divergences_of_the_governors_forecasts_are_those_of_scipy(compared, wide):
    found = compared.set_index(["slice", "challenger"])
    assert np.isinf(found.kl["all"]).all()  # who had no chance at all with one had some with another
    finite = 0
    for slice_, part in slices_of(wide):
        a = part["classic"].to_numpy()
        for challenger in ("lite", "deluxe"):
            b = part[challenger].to_numpy()
            for name, (q, p) in {"kl": (a, b), "kl_reverse": (b, a)}.items():
                wanted = np.mean(scipy.special.rel_entr(q, p) + scipy.special.rel_entr(1 - q, 1 - p))
                # SciPy's terms cancel where forecasts nearly agree; the mean is of those that do not.
                assert found.loc[(slice_, challenger), name] == pytest.approx(wanted, rel=1e-9, abs=1e-15)
                finite += np.isfinite(wanted)
    assert finite > 20


def assert_adjusted(table):
    for _, family in table.groupby(["grouping_id", "challenger"]):
        wanted = scipy.stats.false_discovery_control(family.p_value, method="bh")
        np.testing.assert_allclose(family.p_adjusted, wanted, rtol=1e-12)
        below = family.p_adjusted <= 0.05
        words = np.where(family.difference < 0, "better", "worse")
        assert family.verdict.tolist() == np.where(below, words, "no evidence").tolist()


@pytest.mark.slow
def test_p_values_of_the_governors_forecasts_are_adjusted(compared):
    assert_adjusted(compared)


@pytest.mark.slow
def test_the_governors_forecasts_compare_alike_in_a_wide_and_in_a_long_table(spark, compared, wide):
    df = spark.createDataFrame(wide.drop(columns="bucket"))
    models = {"lite": "lite", "classic": "classic", "deluxe": "deluxe"}
    found = ls.compare(
        df, label="probwin_outcome", predictions=models, baseline="classic", by=[["year"], ["state"]], cluster="race"
    )
    assert_same(found.to_pandas(), compared)


# Random tables of every form.


def pair_of(form, seed):
    """Rows that two models forecast, weighted and clustered: a slice of plain ones, and one of extremes."""
    rng = np.random.default_rng(seed)
    parts = []
    for slice_, case in {"x": "certain", "y": "weighted"}.items():
        first, second = (one_case(case, form, rng) for _ in range(2))
        facts = {"label": first["label"], "w": first["weight"], "s": np.full(len(first["weight"]), slice_)}
        parts.append(facts | {"p_a": first["prediction"], "p_b": second["prediction"]})
    table = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    return table | {"user": rng.integers(0, 30, len(table["w"]))}


def divergence_of(form, q, p):
    """KL of the rows of two forecasts, by SciPy on their distributions."""
    if form.kind == "logit":
        q, p = (x if x.ndim == 2 else np.stack([np.zeros_like(x), x], axis=1) for x in (q, p))
        log_q, log_p = (scipy.special.log_softmax(x, axis=1) for x in (q, p))
        return (np.exp(log_q) * (log_q - log_p)).sum(axis=1)
    q, p = (x if x.ndim == 2 else np.stack([1 - x, x], axis=1) for x in (q, p))
    return scipy.special.rel_entr(q, p).sum(axis=1)


@pytest.mark.parametrize(
    ("name", "cluster"),
    [("probability", "user"), slow(("logit, soft", None)), slow(("4 probabilities", None)), ("4 logits", "user")],
)
def test_random_forecasts_of_every_form_compare_as_in_numpy(spark, tmp_path, name, cluster):
    form = FORMS[name]
    table = pair_of(form, 50)
    pq.write_table(pa.table({key: arrow(values) for key, values in table.items()}), tmp_path / "table.parquet")
    df = spark.read.parquet(str(tmp_path))
    asked = {"label": "label", "predictions": MODELS, "baseline": "a", "weight": "w", "by": [["s"]]} | form.spec
    found = ls.compare(df, **asked, cluster=cluster).to_pandas().set_index("slice")
    a, b = (rows(table["label"], table[p], table["w"], kind=form.kind, soft=form.soft).loss for p in MODELS.values())
    buckets = buckets_of(df, table["user"]) if cluster else None
    for slice_, keep in {"all": table["w"] >= 0, "s=x": table["s"] == "x", "s=y": table["s"] == "y"}.items():
        of_slice = None if buckets is None else buckets[keep]
        assert_row(found.loc[slice_], paired(a[keep], b[keep], table["w"][keep], of_slice))
    for slice_ in ("x", "y"):
        keep = (table["s"] == slice_) & (table["w"] > 0)
        w, p_a, p_b = (table[column][keep] for column in ("w", "p_a", "p_b"))
        for column, (q, p) in {"kl": (p_a, p_b), "kl_reverse": (p_b, p_a)}.items():
            wanted = fsum(w * divergence_of(form, q, p)) / fsum(w)
            # SciPy's terms cancel where forecasts nearly agree; the mean is of those that do not.
            assert found.loc[f"s={slice_}", column] == pytest.approx(wanted, rel=1e-9)


def buckets_of(df, users):
    """The bucket of each user: Spark's hash, which NumPy does not have."""
    bucket = F.pmod(F.xxhash64(F.col("user").cast("bigint")), F.lit(64)).alias("bucket")
    known = dict(df.select("user", bucket).distinct().toPandas().itertuples(index=False))
    return np.array([known[user] for user in users])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Rows with two slice columns and clusters that span them, in two files."""
    table = pair_of(FORMS["probability"], 51)
    n = len(table["w"])
    rng = np.random.default_rng(52)
    table |= {"t": rng.integers(0, 2, n), "id": np.arange(n)}
    folder, rows = tmp_path_factory.mktemp("parts"), pa.table({key: arrow(values) for key, values in table.items()})
    for place, part in enumerate((rows.slice(0, n // 3), rows.slice(n // 3))):
        pq.write_table(part, folder / f"{place}.parquet")
    return folder


@pytest.fixture(scope="module")
def parts(spark, folder):
    return spark.read.parquet(str(folder))


ASKED = {"label": "label", "predictions": MODELS, "baseline": "a", "weight": "w", "cluster": "user"}
BY = [["s"], ["s", "t"]]


@pytest.fixture(scope="module")
def whole(parts):
    with ls.compare(parts, **ASKED, by=BY) as comparison:
        yield comparison


@pytest.mark.connect
def test_states_of_comparisons_merge_and_come_back_from_disk(folder, whole, tmp_path):
    first = ls.compare(folder / "0.parquet", **ASKED, by=BY, engine="native").state
    second = ls.compare(folder / "1.parquet", **ASKED, by=BY).state
    second.save(str(tmp_path / "second"))
    merged = ls.merge(first, ls.read_state(str(tmp_path / "second")))
    assert_same(merged.comparison(by=BY).toPandas(), whole.to_pandas())


def test_p_values_are_adjusted_over_the_slices_of_a_grouping_set_and_challenger(whole):
    assert_adjusted(whole.to_pandas())


def test_a_wide_and_a_long_table_compare_alike(parts, whole):
    models = [F.struct(F.lit(name).alias("model"), F.col(p).alias("p")) for name, p in MODELS.items()]
    long = parts.select("id", "label", "w", "user", "s", "t", F.inline(F.array(*models)))
    of_long = {"prediction": "p", "model": "model", "keys": "id"}
    asked = {name: value for name, value in ASKED.items() if name != "predictions"} | of_long
    assert_same(ls.compare(long, **asked, by=BY).to_pandas(), whole.to_pandas())


def test_challengers_are_ordered_by_name_so_that_states_merge_however_they_were_given():
    given = Models(baseline="b", predictions={"d": "p_d", "b": "p_b", "a": "p_a", "c": "p_c"})
    assert given.ordered(tuple(given.predictions)) == ("b", "a", "c", "d")


def test_rolling_up_a_comparison_equals_comparing_at_the_coarser_grain(parts, whole):
    alone = ls.compare(parts.repartition(5), **ASKED, by=[["t"]]).to_pandas()
    assert_same(whole.state.comparison(by=[["t"]]).toPandas(), alone)


def test_a_comparison_has_a_state_per_slice_and_bucket_and_not_per_row(whole):
    state = whole.state.table.toPandas()
    assert not state.duplicated(["s", "t", "model", "target", "part", "place"]).any()
    assert (state.part == "pair").sum() <= 4 * 30  # users


def test_a_state_is_read_as_what_it_is(parts, whole):
    with pytest.raises(SpecError, match="the state of a comparison of a, b: read it with `comparison`"):
        whole.state.metrics()
    with pytest.raises(SpecError, match="the states of evaluations, got that of a comparison of a, b"):
        ls.drift(whole.state, whole.state)
    with pytest.raises(SpecError, match="the state of an evaluation: read it with `metrics`"):
        ls.evaluate(parts, label="label", prediction="p_a").state.comparison()
    other = ls.compare(parts, **ASKED | {"baseline": "b"}, by=BY).state
    with pytest.raises(SpecError, match=r"these differ in models \('a', 'b'\) and \('b', 'a'\)"):
        ls.merge(whole.state, other)
    with pytest.raises(SpecError, match="slice column 'q' is not in the state"):
        whole.state.comparison(by=[["q"]])


# Edges, each a slice of one table.


def events(slice_, rows):
    """Rows of (label, p_a, p_b) in a slice; every row is a cluster of its own."""
    return [(*row, slice_, 1.0, f"{slice_} {place}") for place, row in enumerate(rows)]


EDGES = [
    *events("same", [(k % 2, 0.1 + 0.008 * k, 0.1 + 0.008 * k) for k in range(100)]),
    *events("no spread", [(1, 0.5, 0.75)] * 100),
    *events("alone", [(1, 0.5, 0.75)]),
    *events("one infinite", [(1, 0.5, 0.0), (1, 0.5, 0.4)]),
    *events("both infinite", [(1, 0.0, 0.0), (1, 0.5, 0.4)]),
    *events("no baseline", [(1, None, 0.5)]),
    *events("29 positives", [(int(k < 29), 0.4, 0.5) for k in range(100)]),
    *events("30 positives", [(int(k < 30), 0.4, 0.5) for k in range(100)]),
    *events("reasons", [(1, None, 1.5), (1, 0.5, 1.5), (None, None, 0.5)]),
    (1, 0.5, 0.5, "reasons", None, "u"),
    (1, 0.5, 0.5, "reasons", 1.0, None),
    (1, 0.5, 0.5, "alone", 0.0, "u"),
]


@pytest.fixture(scope="module", params=[None, "user"], ids=["rows", "clusters"])
def edges(request, spark):
    df = spark.createDataFrame(EDGES, "label int, p_a double, p_b double, s string, w double, user string")
    asked = {"label": "label", "predictions": MODELS, "baseline": "a", "weight": "w", "by": [["s"]], "clip": "none"}
    found = ls.compare(df, **asked, cluster=request.param).to_pandas().set_index("s")
    return found.assign(clustered=request.param is not None)


def test_a_row_counts_only_where_all_models_score_it_and_the_first_that_does_not_says_why(edges):
    found = edges.loc["reasons"]
    counts = {"rows": 5, "null_prediction": 1, "prediction_range": 1, "null_label": 1, "null_weight": 1}
    counts |= {"null_cluster": 1, "ok": 0} if found.clustered else {"ok": 1}
    assert found[list(counts)].to_dict() == counts


def test_a_slice_without_the_baseline_counts_its_rows_and_says_nothing(edges):
    found = edges.loc["no baseline"]
    assert (found["rows"], found.null_prediction, found.n, found.weight) == (1, 1, 0, 0.0)
    undefined = ["baseline_log_loss", "difference", "difference_se", "p_value", "p_adjusted", "better_share", "kl"]
    assert found[undefined].isna().all()
    assert (found.verdict, found.few) == ("no evidence", True)


def test_slices_without_a_p_value_do_not_count_in_the_adjustment(edges):
    by_slice = edges[edges.grouping_id == 0]
    known = by_slice.dropna(subset="p_value")
    assert len(known) < len(by_slice)
    np.testing.assert_allclose(known.p_adjusted, scipy.stats.false_discovery_control(known.p_value), rtol=1e-12)
    assert by_slice[by_slice.p_value.isna()].p_adjusted.isna().all()


def test_models_that_say_the_same_do_not_differ_with_certainty(edges):
    found = edges.loc["same"]
    assert found[["difference", "difference_se", "kl", "kl_reverse"]].tolist() == [0.0, 0.0, 0.0, 0.0]
    assert (found.p_value, found.tie_share, found.verdict) == (1.0, 1.0, "no evidence")


def test_of_independent_rows_of_one_weight_the_statistic_is_that_of_a_paired_t_test(edges):
    found = edges.loc["30 positives"]
    if not found.clustered:
        label = np.arange(100) < 30
        wanted = scipy.stats.ttest_rel(losses(label, np.full(100, 0.5)), losses(label, np.full(100, 0.4)))
        assert found.difference / found.difference_se == pytest.approx(wanted.statistic, rel=OF_ERRORS)


def test_a_difference_without_any_spread_has_no_p_value(edges):
    found = edges.loc["no spread"]
    assert found.difference == pytest.approx(-np.log(1.5), rel=1e-14)
    assert found.difference_se == 0
    assert np.isnan(found.p_value)
    assert found.verdict == "no evidence"


def test_a_row_alone_has_a_difference_and_no_error(edges):
    found = edges.loc["alone"]
    assert (found["rows"], found.n, found.better_share) == (2, 1, 1.0)
    assert found[["difference_se", "p_value"]].isna().all()


def test_infinite_losses_have_no_error_and_of_both_no_difference(edges):
    one, both = edges.loc["one infinite"], edges.loc["both infinite"]
    assert one[["challenger_log_loss", "difference", "worse_share"]].tolist() == [np.inf, np.inf, 1.0]
    assert both[["baseline_log_loss", "challenger_log_loss"]].tolist() == [np.inf, np.inf]
    assert np.isnan(both.difference)
    assert both[["worse_share", "tie_share"]].tolist() == [0.5, 0.5]
    for found in (one, both):
        assert found[["difference_se", "p_value"]].isna().all()
        assert found.verdict == "no evidence"


def test_intervals_are_flagged_below_30_of_the_rarer_class(edges):
    assert edges.loc["29 positives", ["minority", "few"]].tolist() == [29, True]
    assert edges.loc["30 positives", ["minority", "few"]].tolist() == [30, False]
    assert edges.loc["no spread", ["minority", "few"]].tolist() == [0, True]


def test_slices_of_any_name_and_null_slices_are_kept_apart(spark):
    df = spark.createDataFrame(
        [(1, 0.5, 0.6, None), (1, 0.5, 0.4, "a")], "label int, p_a double, p_b double, `a.b` string"
    )
    found = ls.compare(df, label="label", predictions=MODELS, baseline="a", by=[["a.b"]]).to_pandas()
    assert found.slice.tolist() == ["all", "a.b=a", "a.b=null"]
    with pytest.raises(SpecError, match="must not have the name of a result, and 'Verdict' has"):
        ls.compare(
            df.withColumnRenamed("a.b", "Verdict"), label="label", predictions=MODELS, baseline="a", by=[["Verdict"]]
        )


def test_a_comparison_shows_what_it_says(spark, capsys):
    rng = np.random.default_rng(53)
    p = rng.random(2000)
    table = {"label": (rng.random(2000) < p).astype(int), "p_a": p, "p_b": np.clip(p, 0.3, 0.7)}
    df = spark.createDataFrame(pd.DataFrame(table).assign(s=np.arange(2000) % 40))
    with ls.compare(df, label="label", predictions=MODELS, baseline="a", by=[["s"]]) as comparison:
        comparison.show(limit=3)
        said = capsys.readouterr().out.splitlines()
        html = comparison._repr_html_()
        records = json.loads(comparison.to_json())
    assert said[0] == "b compared with a on label: all rows, by s"
    shown = [line.split()[0] for line in said if line.startswith(("all ", "s="))]
    of_slices = sorted(records[1:], key=lambda record: (record["few"], -record["difference"]))
    assert shown == ["all", *(record["slice"] for record in of_slices[:3])]
    assert said[-3] == "largest difference first; shown: 3 of 40 slices by s"
    assert said[-2].startswith("b is worse than a: difference 0.")
    assert said[-1].startswith("b by s: worse on ")
    assert said[-2] in html
    assert len(records) == 41
    assert records[0]["verdict"] == "worse"


# What cannot be meant.

WIDE = {"label": "label", "predictions": MODELS, "baseline": "a"}
LONG = {"label": "label", "prediction": "p_a", "model": "model", "keys": ["id"], "baseline": "a"}
REFUSED = {
    "absent column": (WIDE | {"predictions": {"a": "p_a", "b": "p_c"}}, "'p_c' is not in the table; .* Did you mean"),
    "absent baseline": (WIDE | {"baseline": "A"}, "baseline must be 'a' or 'b', got 'A'. Did you mean 'a'?"),
    "one model": (WIDE | {"predictions": {"a": "p_a"}}, "compared with other models, got 'a' alone"),
    "other classes": (
        WIDE | {"predictions": {"a": "p_a", "b": ["p_a", "p_b", "w"]}},
        "got a number from 'a' and one number per class from 'b'",
    ),
    "other lengths": (
        WIDE | {"predictions": {"a": ["p_a", "p_b"], "b": ["p_a", "p_b", "w"]}},
        "got 2 from 'a' and 3 from 'b'",
    ),
    "a model without a name": (
        {"label": "label", "predictions": {1: "p_a", "b": "p_b"}, "baseline": "a"},
        "the name of a model must be a string, got 1",
    ),
    "a baseline without a name": (WIDE | {"baseline": 1}, "the name of a model must be a string, got 1"),
    "neither wide nor long": ({"label": "label", "baseline": "a"}, "got neither"),
    "wide and long": (WIDE | {"model": "model"}, "got both"),
    "no keys": (LONG | {"keys": []}, "a long table needs prediction, model and keys, got no keys"),
    "absent key": (LONG | {"keys": ["idd"]}, "key column 'idd' is not in the table; .* Did you mean 'id'?"),
    "absent model column": (LONG | {"model": "modle"}, "model column 'modle' is not in the table; .* 'model'?"),
    "baseline not in the table": (
        LONG | {"baseline": "c"},
        "baseline must be 'a' or 'b', got 'c'",
    ),
    "confidence": (WIDE | {"confidence": 95}, "confidence must lie between 0 and 1"),
}


@pytest.fixture(scope="module")
def small(spark):
    data = [(1, 0.5, 0.6, 1.0, "a", 1), (1, 0.5, 0.6, 1.0, "b", 1), (0, 0.5, 0.6, 1.0, "a", 2)]
    return spark.createDataFrame(data, "label int, p_a double, p_b double, w double, model string, id int")


@pytest.mark.parametrize("what", REFUSED)
def test_what_cannot_be_meant_is_one_line(small, what):
    asked, line = REFUSED[what]
    with pytest.raises(SpecError, match=line) as refused:
        ls.compare(small, **asked)
    assert refused.value.exit_code == 2
    assert "\n" not in str(refused.value)


def test_a_key_that_lacks_a_model_is_a_row_without_its_prediction(small, capsys):
    with ls.compare(small, **LONG) as comparison:
        found = comparison.to_pandas().iloc[0]
        assert (found["rows"], found["n"], found["null_prediction"]) == (2, 1, 1)
        comparison.show()
        remarks = comparison.remarks()
    # Of one row there is a difference, and no interval to show.
    assert remarks == [
        "no evidence that b is better or worse than a: difference 0.00000",
        "1 row of 2 not scored by all models: null_prediction 1",
    ]
    assert capsys.readouterr().out.splitlines()[-2:] == remarks


@pytest.mark.parametrize(
    ("added", "line"),
    [
        (
            (1, 0.5, 0.6, 1.0, "b", 1),
            "a key must have one row of each model, got several for 1 of 2 keys, such as id = 1",
        ),
        ((1, 0.5, 0.6, 1.0, "b", 2), "got different ones for 1 of 2 keys, such as id = 2"),
        slow(
            ((1, 0.5, 0.6, 1.0, None, 2), "every row of a long table must name its model, got null in column 'model'")
        ),
    ],
    ids=["repeated", "another label", "no model"],
)
def test_keys_that_do_not_tell_rows_apart_are_the_datas_fault(small, added, line):
    df = small.unionByName(small.sparkSession.createDataFrame([added], small.schema))
    with pytest.raises(DataError, match=line) as refused:
        ls.compare(df, **LONG)
    assert refused.value.exit_code == 4
    # Rows of models that are not asked for are left out.
    assert "null" not in line or ls.compare(df, **LONG, models=["a", "b"]).to_pandas()["rows"].tolist() == [2]


def test_models_of_a_key_whose_weights_differ_are_refused(small):
    df = small.withColumn("w", F.when(F.col("model") == "a", 1.0).otherwise(2.0))
    with pytest.raises(DataError, match="got different ones for 1 of 2 keys, such as id = 1"):
        ls.compare(df, **LONG, weight="w")


def test_what_is_no_mapping_of_models_or_no_state_is_told_in_one_line(spark):
    df = spark.createDataFrame([(1, 0.9, 0.8)], "y int, a double, b double")
    with pytest.raises(SpecError, match="predictions must map models to columns"):
        ls.compare(df, label="y", predictions=["a", "b"], baseline="a")
    comparison = ls.compare(df, label="y", predictions={"a": "a", "b": "b"}, baseline="a")
    assert "b compared with a" in repr(comparison)
    with pytest.raises(SpecError, match=r"got a logloss_spark Comparison: give the \.state"):
        ls.merge(comparison)
    with pytest.raises(SpecError, match=r"got a builtins list.*merge\(\*states\)"):
        ls.merge([df])


def test_a_model_that_no_row_of_a_long_table_has_is_told(spark):
    df = spark.createDataFrame([(1, "a", 1, 0.9), (1, "b", 1, 0.8)], "id int, model string, y int, p double")
    asked = {"label": "y", "prediction": "p", "model": "model", "keys": "id", "baseline": "a", "engine": "native"}
    with pytest.raises(SpecError, match="got 'zz', which it does not hold"):
        ls.compare(df, models=["a", "zz"], **asked)
    assert ls.compare(df, models=["a", "b"], **asked).to_pandas().n.tolist() == [1]


def test_a_long_table_without_a_key_of_all_models_is_refused_and_says_which_models_share_keys(spark):
    rows = [(1, "old", 1, 0.9), (1, "new", 1, 0.8), (2, "old", 0, 0.3), (2, "other", 0, 0.2), (3, "far", 0, 0.2)]
    df = spark.createDataFrame(rows, "id int, model string, y int, p double")
    asked = {"label": "y", "prediction": "p", "model": "model", "keys": "id", "baseline": "old", "engine": "native"}
    with pytest.raises(
        DataError, match=r"none of 3 keys has a forecast of all 4.*with 'old': new 1, other 1, far 0.* rows='shared' "
    ) as no:
        ls.compare(df, **asked)
    assert "\n" not in str(no.value)
    shared = ls.compare(df, rows="shared", **asked).to_pandas().set_index("challenger")
    assert shared.n.to_dict() == {"far": 0, "new": 1, "other": 1}
    assert shared.null_prediction.to_dict() == {"far": 3, "new": 2, "other": 2}
