"""Challengers that are each compared with the baseline on the rows that these two share: `compare(rows="shared")`.

The oracle is the comparison of the baseline and that challenger alone, on the rows that both score.
"""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.sql import functions as F

import logloss_spark as ls
from logloss_spark.errors import DataError, SpecError
from tests.cases import FORMS, one_case
from tests.rows.batches import arrow
from tests.test_comparison import assert_same

MODELS = {"a": "p_a", "b": "p_b", "c": "p_c"}
BY = [["s"], ["s", "t"]]
ASKED = {"label": "label", "baseline": "a", "weight": "w", "engine": "native"}


def patchy(spark, folder, form, seed):
    """Rows that three models forecast, each most of them, and c those of one slice alone; some lack other things."""
    rng = np.random.default_rng(seed)
    cases = [one_case("weighted", form, rng) for _ in MODELS]
    n = len(cases[0]["weight"])
    table = {"id": np.arange(n), "label": cases[0]["label"], "w": cases[0]["weight"], "user": rng.integers(0, 30, n)}
    table |= {"s": rng.choice(["x", "y"], n), "t": rng.integers(0, 2, n), "part": rng.integers(0, 2, n)}
    table |= {p: case["prediction"] for p, case in zip(MODELS.values(), cases, strict=True)}
    lacking = rng.random((4, n)) < 0.25
    lacking[2] |= table["s"] == "y"
    lacking[0] &= ~(lacking[1] & lacking[2])  # a row that no model forecasts is none of a long table
    table |= {f"lacks_{name}": lacks for name, lacks in zip([*MODELS, "w"], lacking, strict=True)}
    pq.write_table(pa.table({name: arrow(values) for name, values in table.items()}), folder / "table.parquet")
    df = spark.read.parquet(str(folder))
    lacks = {column: F.col(f"lacks_{name}") for name, column in {**MODELS, "w": "w"}.items()}
    return df.withColumns({column: F.when(~absent, F.col(column)) for column, absent in lacks.items()})


@pytest.fixture(scope="module")
def wide(spark, tmp_path_factory):
    return patchy(spark, tmp_path_factory.mktemp("shared"), FORMS["probability"], 70)


@pytest.fixture(scope="module")
def found(wide):
    with ls.compare(wide, **ASKED, predictions=MODELS, rows="shared", by=BY, cluster="user") as comparison:
        yield comparison


def assert_as_alone(found, df, challengers=("b", "c"), **asked):
    """Each challenger has the numbers that it has when the other one is not there."""
    for challenger in challengers:
        models = {name: MODELS[name] for name in ("a", challenger)}
        alone = ls.compare(df, predictions=models, by=BY, **asked).to_pandas()
        of_challenger = found[found.challenger == challenger]
        assert_same(of_challenger, alone)
        # Sums in two parts have no rounding that shows: these are the same to the last bit.
        for name in ("n", "baseline_log_loss", "challenger_log_loss"):
            np.testing.assert_array_equal(
                *(table.set_index("slice")[name].sort_index() for table in (of_challenger, alone))
            )


def test_each_challenger_has_the_numbers_of_a_comparison_of_its_own_by_slices_and_clusters(wide, found):
    table = found.to_pandas()
    assert_as_alone(table, wide, ["c"], **ASKED, cluster="user")
    overall = table[table["slice"] == "all"].set_index("challenger")
    assert overall.n["b"] > overall.n["c"] > 0
    assert overall.baseline_log_loss["b"] != overall.baseline_log_loss["c"]
    assert overall["rows"]["b"] == overall["rows"]["c"] == wide.count()
    assert overall.null_prediction["c"] > overall.null_prediction["b"] > 0
    assert overall.null_weight["b"] == overall.null_weight["c"] > 0  # the baseline's status comes first
    of_y = table[table["slice"] == "s=y"].set_index("challenger")
    assert (of_y.n["c"], of_y.ok["c"], of_y.verdict["c"], of_y.few["c"]) == (0, 0, "no evidence", True)
    assert of_y.n["b"] > 0


@pytest.mark.slow
@pytest.mark.parametrize("name", ["logit, soft", "4 logits"])
def test_challengers_of_every_form_are_compared_as_if_alone(spark, tmp_path, name):
    form = FORMS[name]
    df = patchy(spark, tmp_path, form, 71)
    asked = ASKED | form.spec
    assert_as_alone(ls.compare(df, **asked, predictions=MODELS, rows="shared", by=BY).to_pandas(), df, **asked)


def test_a_long_table_shares_the_rows_that_a_wide_one_does(wide, found):
    facts = ["id", "label", "w", "user", "s", "t"]
    models = [F.struct(F.lit(name).alias("model"), F.col(p).alias("p")) for name, p in MODELS.items()]
    long = wide.select(*facts, F.inline(F.array(*models))).where("p IS NOT NULL")
    asked = {"prediction": "p", "model": "model", "keys": "id", "rows": "shared", "by": BY, "cluster": "user"}
    assert_same(ls.compare(long, **ASKED, **asked).to_pandas(), found.to_pandas())


@pytest.mark.slow
@pytest.mark.connect
def test_states_of_shared_rows_merge_and_come_back_from_disk(wide, found, tmp_path):
    for place in range(2):
        part = wide.where(F.col("part") == place)
        state = ls.compare(part, **ASKED, predictions=MODELS, rows="shared", by=BY, cluster="user").state
        state.save(str(tmp_path / str(place)))
    stored = [ls.read_state(str(tmp_path / str(place))) for place in range(2)]
    assert_same(ls.merge(*stored).comparison(by=BY).toPandas(), found.to_pandas())


def test_a_state_of_shared_rows_that_was_cut_by_a_slice_is_read_and_merges(found):
    of_slice, rest = found.state.where("s = 'x'"), found.state.where("s = 'y'")
    whole = found.to_pandas()
    overall = of_slice.comparison().toPandas().set_index("challenger")
    assert overall.n.to_dict() == whole[whole["slice"] == "s=x"].set_index("challenger").n.to_dict()
    assert_same(ls.merge(of_slice, rest).comparison(by=BY).toPandas(), whole)


def test_states_of_shared_rows_and_of_rows_of_all_models_do_not_merge(wide, found):
    of_all = ls.compare(wide, **ASKED, predictions=MODELS, by=BY, cluster="user").state
    with pytest.raises(SpecError, match=r"these differ in rows 'shared' and 'all'$") as refused:
        ls.merge(found.state, of_all)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "missing", ["part = 'pair' AND model = 'c'", "part = 'class' AND model = 'c' AND place = 0", "part = 'ok'"]
)
def test_a_state_of_shared_rows_of_which_a_challengers_sums_are_missing_is_refused(found, missing):
    table = found.state.table
    assert table.where(missing).limit(1).count() == 1
    with pytest.raises(DataError, match="the rows of a state must fit together"):
        ls.State(table.where(f"NOT ({missing})")).comparison()


def test_a_challenger_that_shares_no_row_is_named_and_the_others_are_compared(spark, capsys):
    rows = [(1, 0.6, 0.9, None), (0, 0.6, None, None), (0, 0.3, 0.4, None), (0, None, 0.4, 0.9)]
    df = spark.createDataFrame(rows, "y int, a double, b double, c double")
    models = {name: name for name in "abc"}
    asked = {"label": "y", "predictions": models, "baseline": "a", "engine": "native"}
    with ls.compare(df, **asked, rows="shared") as comparison:
        assert comparison.to_pandas().n.tolist() == [2, 0]
        comparison.show()
    said = capsys.readouterr().out.splitlines()
    assert said[0] == "b and c compared with a on y, each on the rows that both score: all rows"
    assert said[-4].startswith("no evidence that b is better or worse than a: difference ")
    assert said[-3:] == [
        "no row of positive weight is scored by a and c alike",
        "2 rows of 4 not scored by both a and b: null_prediction 2",
        "4 rows of 4 not scored by both a and c: null_prediction 4",
    ]
    alone = ls.compare(df, **asked | {"predictions": {"a": "a", "c": "c"}}, rows="shared")
    with pytest.raises(
        DataError, match=r"none of 4 pairs of a row and a challenger can be scored: null_prediction 4; "
    ) as no:
        alone.to_pandas()
    assert "\n" not in str(no.value)


@pytest.mark.slow
def test_of_no_rows_and_of_no_row_of_all_models_there_is_a_comparison(spark):
    df = spark.createDataFrame([(1, 0.6, 0.9, None), (0, 0.3, None, 0.4)], "y int, a double, b double, c double")
    asked = {"label": "y", "predictions": {name: name for name in "abc"}, "baseline": "a", "engine": "native"}
    assert ls.compare(df, **asked).to_pandas().n.tolist() == [0, 0]
    assert ls.compare(df.limit(0), **asked, rows="shared").to_pandas()["rows"].tolist() == [0, 0]


def test_rows_is_one_of_two_words():
    with pytest.raises(SpecError, match="rows must be 'all' or 'shared', got 'share'"):
        ls.compare(None, **ASKED, predictions=MODELS, rows="share")


def test_keys_that_no_challenger_shares_with_the_baseline_are_refused_in_either_mode(spark):
    df = spark.createDataFrame(
        [(1, "a", 1, 0.9), (2, "b", 0, 0.2), (2, "c", 0, 0.3)], "id int, model string, y int, p double"
    )
    for rows in ("all", "shared"):
        with pytest.raises(DataError, match=r"in none of 2 keys does a challenger share a forecast with 'a': ") as no:
            ls.compare(df, label="y", prediction="p", model="model", keys="id", baseline="a", rows=rows)
        assert "\n" not in str(no.value)
