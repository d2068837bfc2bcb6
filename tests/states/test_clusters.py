"""Errors by cluster: from the buckets of a state, as the rows themselves give them."""

from functools import cache

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import scipy.stats
import sklearn.metrics
from pyspark.sql import functions as F

import logloss_spark as ls
from logloss_spark.errors import SpecError
from tests import oracle
from tests.cases import Form, one_case
from tests.quick import quick
from tests.rows.batches import arrow, ready

FORMS = {
    "probability": Form("probability", False, None, "native"),
    "logit, soft": Form("logit", True, None, "pandas"),
    "4 probabilities": Form("probability", False, 4, "native"),
    "40 probabilities": Form("probability", False, 40, "native"),
}


@pytest.fixture(scope="module")
def tables(spark):
    """A function of a form: a table of users who span days, and the same rows in pandas with their buckets."""

    @cache
    def table_of(name):
        form, rng = FORMS[name], np.random.default_rng(100)
        case = one_case("weighted", form, rng)
        n = len(case["weight"])
        columns = {key: arrow(values) for key, values in case.items()}
        columns |= {"user": rng.integers(0, 40, n), "day": rng.integers(0, 3, n), "row": np.arange(n)}
        df = spark.createDataFrame(pa.table(columns))
        rows = ready(df, cluster="user", by="row", **form.spec)
        buckets = rows.table.select("slice_0", "bucket").toPandas().sort_values("slice_0").bucket.to_numpy()
        return form, df, case, buckets, columns["day"]

    return table_of


@pytest.fixture(scope="module")
def evaluations(tables):
    """A function that returns the evaluation of a form, and makes it once."""

    @cache
    def evaluation_of(name):
        form, df, *_ = tables(name)
        return evaluated(df, form)

    return evaluation_of


def by_bucket(influence, buckets):
    """The error of an estimate from the influences of its rows, (n,) or (n, K)."""
    sums = pd.DataFrame(influence).groupby(buckets).sum().to_numpy()
    count = len(sums)
    found = np.sqrt(count / (count - 1) * (sums**2).sum(axis=0))
    return found if influence.ndim > 1 else found[0]


def expected(form, case, buckets, here):
    """Errors of the slice `here` by the definition of each influence."""
    rows = oracle.rows(case["label"], case["prediction"], case["weight"], kind=form.kind, soft=form.soft)
    keep = here & (case["weight"] > 0)
    r, bucket = rows.where(keep), buckets[keep]
    w, total = r.weight, r.weight.sum()
    loss = w @ r.loss / total
    brier = ((r.p - r.y) ** 2).sum(axis=1) / (2 if r.scalar else 1)
    labels, predictions = w @ r.y / total, w @ r.p / total
    logs = np.log(labels, where=labels > 0, out=np.zeros_like(labels))
    chance = -(labels * logs).sum()
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = predictions / labels
        of_ratio = by_bucket(w[:, None] * (r.p - ratio * r.y) / (total * labels), bucket)
    normalized = w * ((r.loss - loss) / chance + loss / chance**2 * ((r.y - labels) @ logs)) / total
    return {
        "log_loss_se": by_bucket(w * (r.loss - loss) / total, bucket),
        "brier_se": by_bucket(w * (brier - w @ brier / total) / total, bucket),
        "normalized_entropy_se": by_bucket(normalized, bucket),
        "calibration_ratio_se": of_ratio[1] if r.scalar else np.where(labels > 0, of_ratio, np.nan),
        "buckets": len(np.unique(bucket)),
        "log_loss": loss,
    }


def evaluated(df, form, **more):
    return ls.evaluate(
        df, label="label", prediction="prediction", weight="weight", cluster="user", by=[["day"]], **form.spec, **more
    )


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("probability", marks=pytest.mark.connect),
        *quick([name for name in FORMS if name != "probability"], "4 probabilities"),
    ],
)
def test_errors_are_those_of_the_influences_of_each_bucket(tables, evaluations, name):
    form, _, case, buckets, day = tables(name)
    found = evaluations(name).to_pandas().set_index("slice")
    for slice_ in found.index:
        here = np.ones(len(day), bool) if slice_ == "all" else day == int(slice_.removeprefix("day="))
        wanted = expected(form, case, buckets, here)
        for metric, value in wanted.items():
            # Squares do not cancel here: sums of a bucket are centred before they are squared.
            np.testing.assert_allclose(
                np.array(found.loc[slice_, metric], dtype=float), value, rtol=1e-9, err_msg=f"{metric} of {slice_}"
            )
        reach = scipy.stats.t.ppf(0.975, wanted["buckets"] - 1) * wanted["log_loss_se"]
        assert found.loc[slice_, "log_loss_high"] == pytest.approx(wanted["log_loss"] + reach, rel=1e-9)


@pytest.mark.slow
def test_states_of_days_merge_into_the_errors_of_all_rows(tables, evaluations):
    form, df, *_ = tables("probability")
    whole = evaluations("probability").to_pandas().set_index("slice").loc["all"]
    days = [evaluated(df.where(f"day = {day}"), form).state for day in range(3)]
    merged = ls.merge(*days).metrics().toPandas().iloc[0]
    again = ls.merge(*days[::-1]).metrics().toPandas().iloc[0]
    for name in ("log_loss_se", "brier_high", "calibration_ratio_se", "auc_se", "ece_se", "buckets", "ece_low"):
        assert merged[name] == pytest.approx(whole[name], rel=1e-9), name
        # The same replicates of the bootstrap, whatever the order of the parts.
        assert again[name] == pytest.approx(whole[name], rel=1e-9), name


@pytest.mark.slow
def test_a_partitioning_changes_no_replicate_of_the_bootstrap(tables):
    form, df, *_ = tables("probability")
    found = [evaluated(df.repartition(parts), form).to_pandas().iloc[0] for parts in (1, 7)]
    for name in ("auc_se", "ece_se"):
        assert found[0][name] > 0
        assert found[0][name] == pytest.approx(found[1][name], rel=1e-9)


@pytest.mark.slow
def test_auc_and_ece_have_the_errors_that_users_drawn_anew_give(spark):
    rng = np.random.default_rng(101)
    users = 1000
    p = np.round(1 / (1 + np.exp(-rng.normal(size=users))), 2)
    frame = pd.DataFrame({"user": np.arange(users), "label": (rng.random(users) < p).astype(int), "p": p})
    df = spark.createDataFrame(pd.concat([frame] * 5))  # each user five times: the rows tell no more than the users
    found = ls.evaluate(df, label="label", prediction="p", cluster="user", engine="native").to_pandas().iloc[0]
    drawn = [frame.iloc[rng.integers(0, users, users)] for _ in range(300)]
    wanted = {
        "auc": np.std([sklearn.metrics.roc_auc_score(sample.label, sample.p) for sample in drawn], ddof=1),
        "ece": np.std([plain_ece(sample.label, sample.p) for sample in drawn], ddof=1),
    }
    for name, error in wanted.items():
        # 64 buckets leave 9 % open, the replicates of both sides 4 % each: two and a half of all together.
        assert found[f"{name}_se"] == pytest.approx(error, rel=0.26), name
        assert max(found[f"{name}_low"], 0) < found[name] < found[f"{name}_high"]


def plain_ece(label, p):
    bins = pd.Series(label.to_numpy() - p.to_numpy()).groupby(np.searchsorted(np.arange(1, 10) / 10, p, side="right"))
    return bins.sum().abs().sum() / len(p)


def test_bins_that_cut_the_bins_of_the_buckets_leave_the_error_of_the_ece_open(tables):
    form, df, *_ = tables("probability")
    found = evaluated(df, form, ece_bins=25).to_pandas()
    assert found["ece"].notna().all()
    assert found["ece_se"].isna().all()


def test_states_with_and_without_clusters_do_not_merge(tables, evaluations):
    form, df, *_ = tables("probability")
    without = ls.evaluate(df, label="label", prediction="prediction", weight="weight", by=[["day"]], **form.spec).state
    with pytest.raises(SpecError, match="differ in buckets 64 and 0"):
        ls.merge(evaluations("probability").state, without)


@pytest.fixture(scope="module")
def few(spark, tmp_path_factory):
    """The evaluation of two rows of one user, and of a row of whom there is no user beside a row of one."""
    folder = tmp_path_factory.mktemp("few")
    columns = {"of": ["one", "one", "none", "none"], "label": [1, 0, 1, 0], "p": [0.5, 0.4, 0.5, 0.4]}
    pq.write_table(pa.table(columns | {"user": ["a", "a", "a", None]}), folder / "table.parquet")
    return ls.evaluate(str(folder), label="label", prediction="p", cluster="user", by="of")


def test_one_cluster_alone_has_no_error(few):
    found = few.to_pandas().set_index("of").loc["one"]
    assert found["buckets"] == 1
    assert found[["log_loss_se", "auc_se", "ece_se", "log_loss_high"]].isna().all()
    assert found["log_loss"] > 0


def test_rows_without_a_cluster_are_counted_and_left_out(few):
    found = few.to_pandas().set_index("of").loc["none"]
    assert (found["rows"], found["n"], found["null_cluster"]) == (2, 1, 1)
    assert few.invalid.select("row_status").first().row_status == "null_cluster"


@pytest.mark.parametrize(("cluster", "message"), [("usr", "Did you mean 'user'"), ("tags", "must hold plain values")])
def test_a_cluster_is_a_column_of_plain_values(spark, cluster, message):
    df = spark.range(1).select(
        F.lit(1).alias("label"), F.lit(0.5).alias("p"), F.lit("a").alias("user"), F.array(F.lit(1)).alias("tags")
    )
    with pytest.raises(SpecError, match=message):
        ls.evaluate(df, label="label", prediction="p", cluster=cluster)
