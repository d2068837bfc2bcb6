"""States add: whatever way rows were cut into states, their sum is the state of all of them."""

import json
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.sql import functions as F

import logloss_spark as ls
from logloss_spark.errors import DataError, SpecError
from logloss_spark.io.local import LocalTable
from logloss_spark.kernels.grid import VERSION
from logloss_spark.states.conventions import STATE_VERSION, UPGRADES, Conventions, conventions_of
from logloss_spark.states.stored import checked_here
from tests.quick import quick
from tests.rows.batches import ready
from tests.same import assert_same_metrics

COLUMNS = {"label": "label", "prediction": "p", "weight": "w", "auc": "cells", "calibration": "cells"}
"""States have no rows: what is compared with their metrics is read off cells, too."""

BY = [["a"], ["b"], ["a", "b"]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """900 rows with two slice columns, one of which holds nulls, some broken rows, and extreme forecasts."""
    rng = np.random.default_rng(40)
    n = 900
    p = np.clip(rng.beta(0.3, 0.5, n), 0, 1)
    p[:8] = [0.0, 1.0, 5e-324, 1 - 2.0**-53, 0.0, 1.0, 1e-17, 0.5]
    label = (rng.random(n) < p).astype(float)
    label[4:6] = [1.0, 0.0]
    label[8:14] = [np.nan, 2.0, 0.5, 1.0, 0.0, 1.0]
    p[14:18] = [-0.1, 1.1, np.nan, np.inf]
    w = rng.gamma(0.7, size=n)
    w[::20] = 0.0
    w[18:21] = [-1.0, np.nan, np.inf]
    columns = {
        "a": pa.array(rng.choice(["x", "y", None], n).tolist()),
        "b": pa.array(rng.integers(0, 2, n)),
        "label": pa.array(label),
        "p": pa.array(p),
        "w": pa.array(w),
    }
    folder, part = tmp_path_factory.mktemp("table"), rng.integers(0, 3, n)
    for place in range(3):
        (folder / f"part={place}").mkdir()
        pq.write_table(pa.table(columns).filter(part == place), folder / f"part={place}" / "table.parquet")
    return str(folder)


@pytest.fixture(scope="module")
def table(spark, folder):
    """All rows. They lie in files, whose states workers make in one short job."""
    return spark.read.parquet(folder)


@pytest.fixture(scope="module")
def whole(table):
    """The evaluation of all rows at once."""
    with ls.evaluate(table, **COLUMNS, by=BY) as evaluation:
        yield evaluation


@pytest.fixture(scope="module")
def metrics(whole):
    return whole.to_pandas()


@pytest.fixture(scope="module")
def by_a(table):
    """The metrics of all rows, evaluated at a coarser grain."""
    return ls.evaluate(table, **COLUMNS, by=[["a"]]).to_pandas()


@pytest.fixture(scope="module")
def parts(spark, folder):
    """The states of three parts of the rows."""
    evaluations = [ls.evaluate(f"{folder}/part={place}", **COLUMNS, by=BY) for place in range(3)]
    yield [evaluation.state for evaluation in evaluations]
    for evaluation in evaluations:
        evaluation.close()


def test_merging_states_in_any_order_and_nesting_equals_evaluating_the_union(metrics, parts):
    merged = ls.merge(parts[2], ls.merge(parts[1], parts[0]))
    assert_same_metrics(merged.persist().metrics(by=BY).toPandas(), metrics)


def test_rolling_up_equals_evaluating_at_the_coarser_grain(whole, by_a):
    assert_same_metrics(whole.state.metrics(by=[["a"]]).toPandas(), by_a)


@pytest.mark.slow
def test_rolling_up_by_another_column_equals_evaluating_at_that_grain(table, whole):
    alone = ls.evaluate(table, **COLUMNS, by=[["b"]]).to_pandas()
    assert_same_metrics(whole.state.metrics(by=[["b"]]).toPandas(), alone)


def test_the_order_of_slice_columns_changes_their_names_alone(whole, metrics):
    turned = whole.state.metrics(by=[["b", "a"]]).toPandas()
    turned["slice"] = turned["slice"].str.replace(r"(b=\w+)/(a=\w+)", r"\2/\1", regex=True)
    straight = metrics[(metrics.slice == "all") | metrics.slice.str.contains("/")]
    assert_same_metrics(turned.drop(columns="grouping_id"), straight.drop(columns="grouping_id"))


def test_a_grouping_set_asked_for_twice_is_counted_once(whole, metrics):
    twice = whole.state.metrics(by=[*BY, ["b", "a"], ["a"], []]).toPandas()
    assert_same_metrics(twice, metrics)


@pytest.mark.parametrize("partitions", quick([1, 7, 64], 7))
def test_the_number_of_partitions_changes_nothing(table, metrics, partitions):
    # The engine changes nothing either: the metrics compared with are those of the other one.
    spread = ls.evaluate(table.repartition(partitions), **COLUMNS, by=BY, engine="native")
    assert_same_metrics(spread.to_pandas(), metrics)


@pytest.mark.connect
def test_a_state_read_back_from_parquet_is_the_same_state(spark, parts, metrics, tmp_path):
    for place, state in enumerate(parts):
        state.save(str(tmp_path / f"run={place}"))
    tables = [ls.read_state(str(tmp_path / "run=0")).table, parts[0].table]
    stored, kept = ([(field.name, field.dataType) for field in table.schema] for table in tables)
    assert stored == kept
    # A folder of states is a state, too; what partitions its files is no part of it.
    assert_same_metrics(ls.read_state(str(tmp_path)).persist().metrics(by=BY).toPandas(), metrics)


@pytest.mark.slow
def test_a_state_from_storage_merges_with_one_of_this_session(spark, parts, metrics, tmp_path):
    (parts[0] + parts[2]).save(str(tmp_path / "run=0"))
    parts[1].save(str(tmp_path / "run=1"))
    two = ls.read_state(str(tmp_path / "run=0"))
    for one in (parts[1], ls.read_state(str(tmp_path / "run=1"))):
        assert_same_metrics((two + one).metrics(by=BY).toPandas(), metrics)
    assert_same_metrics(ls.merge(ls.State(spark.read.parquet(str(tmp_path)))).metrics(by=BY).toPandas(), metrics)


@pytest.mark.slow
def test_the_state_of_no_rows_adds_nothing(table, parts, metrics):
    empty, other = (ls.evaluate(table.limit(0), **COLUMNS, by=BY, engine="native").state for _ in range(2))
    assert_same_metrics(ls.merge(empty, *parts, other).metrics(by=BY).toPandas(), metrics)


def test_a_state_holds_a_row_per_slice_and_cell_and_not_per_row(whole):
    state = whole.state.table.toPandas()
    assert not state.duplicated(["a", "b", "model", "target", "part", "place"]).any()
    assert (state.fingerprint == state.fingerprint[0]).all()
    # Six slices of at most 150 rows each, which lie in fewer cells than there are rows.
    assert (state.part == "cell").sum() < 900


@pytest.mark.slow
@pytest.mark.parametrize(("classes", "soft"), [(3, True), (40, False)], ids=str)
def test_merging_states_of_classes_equals_evaluating_the_union(spark, tmp_path, classes, soft):
    rng = np.random.default_rng(41)
    n = 300
    p = rng.dirichlet(np.ones(classes), n)
    labels = rng.dirichlet(np.ones(classes), n).tolist() if soft else rng.integers(0, classes, n).tolist()
    pq.write_table(
        pa.table(
            {
                "label": labels,
                "p": p.tolist(),
                "w": rng.random(n),
                "part": rng.integers(0, 2, n),
                "a": rng.integers(0, 2, n),
            }
        ),
        tmp_path / "table.parquet",
    )
    df = spark.read.parquet(str(tmp_path))
    spec = {"classes": range(classes), "soft_labels": soft, "by": [["a"]], "engine": "native"}
    states = [ls.evaluate(df.where(F.col("part") == part), **COLUMNS, **spec).state for part in range(2)]
    found = ls.merge(*states).metrics(by=[["a"]]).toPandas()
    assert_same_metrics(found, ls.evaluate(df, **COLUMNS, **spec).to_pandas())


DIFFERENT = {
    "kind": {"kind": "logit"},
    "classes": {"classes": (-1, 1)},
    "soft_labels": {"soft_labels": True},
    "clip": {"clip": "none"},
    "eps": {"eps": 1e-12},
    "slices": {"by": (("a",),)},
}


@pytest.mark.parametrize("what", DIFFERENT)
def test_the_scale_of_a_state_records(spark, what):
    df = spark.createDataFrame([], "label double, p double, a int")
    both = [conventions_of(ready(df, prediction="p", **given)) for given in ({}, DIFFERENT[what])]
    assert getattr(both[0], what) != getattr(both[1], what)
    assert replace(both[0], **{what: getattr(both[1], what)}) == both[1]


def test_the_scale_of_a_state_does_not_record_how_it_was_computed_or_reported(spark):
    df = spark.createDataFrame([], "label double, p double, y double, q double")
    rows = ready(df, prediction="p")
    others = ready(df, label="y", prediction="q", engine="native", sum_tolerance=0.1)
    assert conventions_of(rows) == conventions_of(others)


OTHER_SCALES = {
    "kind": ("logit", "kind 'probability' and 'logit'"),
    "classes": ((-1, 1), "classes (0, 1) and (-1, 1)"),
    "soft_labels": (True, "soft_labels False and True"),
    "clip": ("none", "clip 'eps' and 'none'"),
    "eps": (1e-12, "eps 1e-15 and 1e-12"),
    "loss": ("focal", "loss 'cross_entropy' and 'focal'"),
    "slices": (("a",), "slices ('a', 'b') and ('a',)"),
    "weight_exponent": (1000, "weight_exponent 0 and 1000"),
}


@pytest.fixture(scope="module")
def small(spark):
    """The table of the state of two rows, as it would be stored."""
    df = spark.createDataFrame(
        [("x", 0, 1, 0.9, 1.0), ("y", 1, 0, 0.2, 3.0)], "a string, b bigint, label int, p double, w double"
    )
    state = ls.evaluate(df, **COLUMNS, by=BY, engine="native").state.table
    return spark.createDataFrame(state.collect(), state.schema)


def rows_in(state):
    """What metrics call `n`, of all rows of a state, which is checked."""
    return state.checked.table.where("part = 'moments'").agg(F.sum("n")).first()[0]


def edited(state, **fields):
    """The fingerprint of a state with other fields."""
    return json.dumps(json.loads(state.first().fingerprint) | fields)


@pytest.mark.parametrize("what", quick(OTHER_SCALES, "slices"))
def test_states_made_differently_refuse_to_merge_and_say_what_differs(small, what):
    value, says = OTHER_SCALES[what]
    other = replace(Conventions.from_fingerprint(small.first().fingerprint), **{what: value})
    with pytest.raises(SpecError) as refused:
        ls.merge(ls.State(small), ls.State(small.withColumn("fingerprint", F.lit(other.fingerprint()))))
    assert says in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.slow
def test_states_of_another_eps_refuse_to_merge(spark):
    df = spark.createDataFrame([(1, 0.9)], "label int, p double")
    states = [ls.evaluate(df, label="label", prediction="p", eps=eps).state for eps in (1e-15, 1e-9)]
    with pytest.raises(SpecError, match="differ in eps 1e-15 and 1e-09"):
        ls.merge(*states)


UNREADABLE = {
    "version": (2, "must be of version 3, got version 2: evaluate its rows again"),
    "eps": ("x", "'eps' of the fingerprint of a state was edited, got 'x'"),
    "classes": ([0, 0], "'classes' of the fingerprint of a state was edited"),
    "slices": (["a", 2], "'slices' of the fingerprint"),
    "kind": ("odds", "'kind' of the fingerprint"),
    "scalar": (1, "'scalar' of the fingerprint"),
    "grid": (99, "got grid 99"),
    "later": (3, "a state of version 3 has no field 'later': another release"),
}


@pytest.mark.parametrize("what", UNREADABLE)
def test_a_fingerprint_of_another_version_or_edited_is_refused_in_one_line(small, what):
    value, says = UNREADABLE[what]
    with pytest.raises(DataError, match=says) as refused:
        Conventions.from_fingerprint(edited(small, **{what: value}))
    assert "\n" not in str(refused.value)


def test_states_of_an_older_version_are_upgraded_and_add(small, monkeypatch):
    # A made-up release, whose states did not say in which units weights are.
    monkeypatch.setitem(UPGRADES, STATE_VERSION - 1, lambda fields: fields | {"weight_exponent": 0})
    fields = json.loads(small.first().fingerprint) | {"version": STATE_VERSION - 1}
    del fields["weight_exponent"]
    another = F.when(F.col("part") == "source", F.col("place") + 1).otherwise(F.col("place"))
    older = small.withColumns({"fingerprint": F.lit(json.dumps(fields)), "place": another})
    assert rows_in(ls.merge(ls.State(small), ls.State(older))) == 4
    assert rows_in(ls.State(small.unionByName(older))) == 4  # a folder of both is one state


@pytest.mark.parametrize("text", ["", "{", "[1]", "[" * 100_000, '{"version": 3}'], ids=range(5))
def test_a_text_that_is_no_fingerprint_is_refused_in_one_line(text):
    with pytest.raises(DataError) as refused:
        Conventions.from_fingerprint(text)
    assert "\n" not in str(refused.value)
    assert len(str(refused.value)) < 300


@pytest.mark.parametrize("text", quick([None, "{"], None), ids=str)
def test_a_table_without_a_fingerprint_is_refused_in_one_line(small, text):
    with pytest.raises(DataError) as refused:
        _ = ls.State(small.withColumn("fingerprint", F.lit(text).cast("string"))).conventions
    assert "\n" not in str(refused.value)


def on_the_driver(table):
    return LocalTable(table.toArrow(), table.schema, table.sparkSession)


CUTS = {
    "cells": ("part != 'cell'", "part 'cell' has another sum n than 'moments'"),
    "a status": ("part != 'ok'", "hold more rows with sums than rows of status ok"),
    "the total": ("part != 'total'", "its part 'total' is missing"),
    "what it is": ("part != 'source'", "its part 'source' is missing"),
    "a slice": ("a <=> 'x' OR a IS NULL", "n is 2 in all and 1 by slices"),
}


@pytest.mark.parametrize("what", quick(CUTS, "cells", "the total"))
def test_a_state_of_which_rows_are_missing_is_refused(small, what):
    condition, says = CUTS[what]
    with pytest.raises(DataError, match=says):
        ls.State(small.where(condition)).metrics()
    with pytest.raises(DataError, match=says):
        checked_here(on_the_driver(small.where(condition)))


EDITS = {
    ("moments", "wl"),
    ("moments", "wb"),
    ("cell", "wy"),
    ("cell", "wp"),
    ("class", "n"),
    ("total", "w"),
    ("ok", "n"),
}


@pytest.mark.parametrize(("part", "name"), quick(sorted(EDITS), ("cell", "wp"), ("class", "n")))
def test_a_sum_that_two_parts_hold_cannot_be_edited_in_one(small, part, name):
    larger = F.when(F.col("part") == part, F.col(name) + 1).otherwise(F.col(name))
    with pytest.raises(DataError, match="the rows of a state must fit together") as refused:
        ls.State(small.withColumn(name, larger)).metrics()
    with pytest.raises(DataError) as refused_here:
        checked_here(on_the_driver(small.withColumn(name, larger)))
    assert str(refused_here.value) == str(refused.value)


def test_the_same_state_given_twice_is_refused(small, parts):
    says = "each state must be given once, got one twice"
    with pytest.raises(SpecError, match=says):
        ls.merge(ls.State(small), ls.State(small))
    with pytest.raises(SpecError, match=says):
        ls.State(small.unionByName(small)).metrics()
    week = ls.merge(*parts[:2])
    with pytest.raises(SpecError, match=says):
        ls.merge(week, parts[1])


@pytest.mark.slow
def test_a_state_that_is_made_again_is_the_same_state(spark):
    df = spark.createDataFrame([(1, 0.9)], "label int, p double")
    evaluation = ls.evaluate(df, label="label", prediction="p", engine="native")
    table = evaluation.state.table
    before = spark.createDataFrame(table.collect(), table.schema)
    evaluation.close()
    with pytest.raises(SpecError, match="each state must be given once, got one twice"):
        ls.merge(ls.State(before), evaluation.state)


@pytest.mark.slow
def test_a_state_cut_by_its_slices_is_read_and_merges_with_whole_ones(small, parts, metrics):
    cut = ls.State(small).where("a = 'y'")
    assert cut.metrics().first().n == 1
    by_hand = ls.State(small.where("a = 'x'"))
    found = ls.merge(cut, parts[0], by_hand).metrics()
    assert found.first().n == parts[0].metrics().first().n + 2


def test_a_state_says_what_it_is_and_reads_nothing_for_that(small, whole):
    assert repr(whole.state) == "State of an evaluation by a, b; .metrics() computes its metrics"
    stored = ls.State(small)
    assert repr(stored) == "State that was not checked yet; .conventions says what it holds"
    assert stored.slices == ("a", "b")
    assert repr(stored) == repr(whole.state)


@pytest.mark.slow
def test_a_cut_is_made_of_slices_and_of_nothing_else(small):
    state = ls.State(small)
    with pytest.raises(SpecError, match=r"where must be a condition on the slice columns of the state \(a, b\)"):
        state.where("part != 'cell'")
    assert state.where("a = 'nobody'").metrics().first().n == 0
    assert state.where(F.col("b") == 1).where("a = 'y'").metrics().first().n == 1


def test_a_state_that_is_rolled_up_is_that_of_the_coarser_evaluation(whole, by_a):
    coarser = whole.state.rolled_up([["a"]])
    assert coarser.slices == ("a",)
    assert coarser.table.count() < whole.state.table.count()
    assert_same_metrics(coarser.metrics(by=[["a"]]).toPandas(), by_a)
    with pytest.raises(SpecError, match="slice column 'c' is not in the state"):
        whole.state.rolled_up([["c"]])


def test_a_slice_is_added_to_states_that_are_told_apart_by_it(parts):
    days = [state.with_slice("part of", F.lit(place)) for place, state in enumerate(parts)]
    found = ls.merge(*days).persist().metrics(by=[["part of"]]).toPandas().set_index("slice")["n"].to_dict()
    counts = [rows_in(state) for state in parts]
    assert found == {f"part of={place}": n for place, n in enumerate(counts)} | {"all": sum(counts)}


def test_a_state_is_saved_where_nothing_is_or_over_another(parts, tmp_path):
    path = str(tmp_path / "state")
    parts[0].save(path)
    with pytest.raises(SpecError, match="must not exist"):
        parts[1].save(path)
    parts[1].save(path, overwrite=True)
    stored = ls.read_state(path)
    assert rows_in(stored) == rows_in(parts[1])
    with pytest.raises(SpecError, match="must not lie inside what is read"):
        stored.save(path, overwrite=True)


def test_a_table_of_states_made_differently_is_refused(small):
    other = replace(Conventions.from_fingerprint(small.first().fingerprint), eps=0.1)
    with pytest.raises(SpecError, match="several: read the states apart"):
        ls.State(small.unionByName(small.withColumn("fingerprint", F.lit(other.fingerprint())))).metrics()


def test_a_table_that_is_no_state_is_refused(table):
    with pytest.raises(SpecError, match="this table is no saved state: a state must have a column 'fingerprint', got "):
        ls.State(table)
    with pytest.raises(SpecError, match=r"got a pyspark DataFrame: wrap it, as in State\(df\)"):
        ls.merge(table)


def test_an_empty_table_that_looks_like_a_state_is_refused(small):
    with pytest.raises(SpecError, match="it is empty"):
        ls.State(small.limit(0)).metrics()


def test_slice_columns_of_other_types_refuse_to_merge(small):
    with pytest.raises(SpecError, match="same types in all states"):
        ls.merge(ls.State(small), ls.State(small.withColumn("b", F.col("b").cast("string"))))


@pytest.mark.slow
def test_states_by_the_same_columns_in_another_order_merge(table, parts, metrics):
    turned = ls.evaluate(table.where("part > 0"), **COLUMNS, by=[["b", "a"]], engine="native").state
    assert turned.table.columns[:2] == ["b", "a"]
    merged = ls.merge(parts[0], turned)
    assert merged.table.columns[:2] == ["a", "b"]
    assert_same_metrics(merged.metrics(by=BY).toPandas(), metrics)


def test_slices_may_be_called_as_columns_of_the_state_and_inner_ones_are(spark):
    names = ["slice_1", "x", "w", "Part", "place", "cells", "key_0", "slice_w", "fingerprint"]
    rows = [(k % 2, (k + 0.5) / 8, *[f"{name}{k % 3}" for name in names]) for k in range(8)]
    df = spark.createDataFrame(rows, ["label", "p", *names])
    exact = {"auc": "exact", "calibration": "exact"}
    evaluation = ls.evaluate(df, label="label", prediction="p", by=[[name] for name in names], engine="native", **exact)
    plain = ls.evaluate(
        df.selectExpr("label", "p", "x AS c"), label="label", prediction="p", by=[["c"]], engine="native", **exact
    )
    wanted = plain.to_pandas().set_index("c")
    found = evaluation.to_pandas()
    stored = evaluation.state.metrics(by=[[name] for name in reversed(names)]).toPandas()
    shown = ["rows", "n", "log_loss", "ece"]
    for name in names:
        of_name = found[found["slice"].str.startswith(f"{name}=")].set_index(name)
        of_stored = stored[stored["slice"].str.startswith(f"{name}=")].set_index(name)
        for k in range(3):
            expected = wanted.loc[f"x{k}", shown].tolist()
            assert of_name.loc[f"{name}{k}", [*shown, "auc"]].tolist() == [*expected, wanted.loc[f"x{k}", "auc"]]
            assert of_stored.loc[f"{name}{k}", shown].tolist() == expected
    assert evaluation.reliability.columns[: len(names)] == evaluation.by_class.columns[: len(names)] == names


@pytest.mark.parametrize("name", ["class", "Bin", "log_loss", "label_low", "ok", "log_loss_share", "grouping_id"])
def test_slices_called_as_a_column_of_some_table_are_refused_before_a_row_is_read(spark, name):
    df = spark.range(1).selectExpr("raise_error('a row was read') AS label", "0.5D AS p", f"1 AS {name}")
    with pytest.raises(SpecError, match="rename it"):
        ls.evaluate(df.withColumn("label", F.col("label").cast("int")), label="label", prediction="p", by=[[name]])


def test_metrics_by_a_column_that_the_state_was_not_sliced_by_are_refused(small):
    with pytest.raises(SpecError, match="slice column 'c' is not in the state; it has: a, b"):
        ls.State(small).metrics(by=[["c"]])


def test_a_scale_reads_back_what_it_wrote():
    conventions = Conventions(
        loss="cross_entropy",
        kind="logit",
        classes=("é", "b'\"", 'c"'),
        scalar=False,
        soft_labels=True,
        clip="none",
        eps=2.220446049250313e-16,
        grid=VERSION,
        slices=("a.b", "`"),
    )
    assert Conventions.from_fingerprint(conventions.fingerprint()) == conventions
