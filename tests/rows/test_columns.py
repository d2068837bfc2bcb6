"""Roles are found as Spark finds columns, in fields and maps, too, and columns without a role never matter."""

import numpy as np
import pytest
from pyspark.ml.functions import array_to_vector
from pyspark.sql import functions as F

import logloss_spark as ls
from logloss_spark.errors import SpecError
from logloss_spark.kernels.status import STATUSES
from logloss_spark.rows.columns import finder
from tests.quick import quick
from tests.rows.batches import collected, scored_table

CASE = "spark.sql.caseSensitive"


@pytest.fixture(scope="module")
def nested(spark):
    """Three rows whose roles are plain columns, and again inside structs, maps and arrays."""
    rows = [(0, "yes", 0.9, 2.0, "a", 7), (1, "no", 0.25, 1.0, "b", 8), (2, "yes", 0.5, 0.5, "a", 9)]
    df = spark.createDataFrame(rows, "row int, y string, p double, w double, day string, user int")
    pair = F.array(1 - F.col("p"), F.col("p"))
    return df.withColumns(
        {
            "event": F.struct("y", "day", F.struct("w", "user").alias("more")),
            "output": F.struct("p", pair.alias("pair"), array_to_vector(pair).alias("vector")),
            "scores": F.create_map(F.lit("yes"), "p", F.lit("no"), 1 - F.col("p"), F.lit("perhaps"), F.lit(None)),
            "by_number": F.create_map(F.lit(1), F.col("p").cast("float"), F.lit(0), (1 - F.col("p")).cast("float")),
            "pair": pair,
            "a.b": F.col("p"),
            "a": F.struct((1 - F.col("p")).alias("b")),
        }
    ).cache()


ROLES = {"label": "y", "weight": "w", "cluster": "user", "by": (("row",), ("day",))}
PATHS = {"label": "event.y", "weight": "event.more.w", "cluster": "event.more.user", "by": (("row",), ("event.day",))}


@pytest.mark.connect
@pytest.mark.parametrize("engine", quick(["pandas", "native"], "native"))
def test_a_role_may_be_a_field_of_a_struct_or_a_key_of_a_map(nested, engine):
    spec = {"classes": ("no", "yes"), "engine": engine}

    def scored(prediction, **roles):
        return scored_table(nested, "losses", prediction=prediction, **spec, **roles)

    numbers = ["output.p", "OUTPUT.P", "scores['yes']", 'scores["yes"]', "scores.yes", "pair[1]"]
    found = collected({"plain": scored("p", **ROLES)} | {name: scored(name, **PATHS) for name in numbers})
    lists = ["output.pair", "output.vector", "scores", ("scores['no']", "output.p")]
    of_lists = collected({"plain": scored("pair", **ROLES)} | {str(name): scored(name, **PATHS) for name in lists})
    for group in (found, of_lists):
        for name, terms in group.items():
            for term, values in terms.items():
                np.testing.assert_array_equal(values, group["plain"][term], err_msg=f"{name}: {term}")


def test_a_slice_by_a_field_is_called_by_its_path(nested):
    roles = {"label": "event.y", "prediction": "scores['yes']", "classes": ("no", "yes"), "engine": "native"}
    found = ls.evaluate(nested, by=[["event.day"]], **roles).metrics.select("slice", "`event.day`", "n").collect()
    assert sorted(map(tuple, found)) == [("all", None, 3), ("event.day=a", "a", 2), ("event.day=b", "b", 1)]


def test_a_map_is_read_by_the_classes_and_lacks_what_has_no_key(nested):
    rows = nested.where("row < 2").select("row", "y", "scores", "by_number")
    scores, by_number = {"label": "y", "prediction": "scores"}, {"label": "row", "prediction": "by_number"}
    cases = {
        "no and never": (scores | {"classes": ("no", "never")}, ["unknown_label", "null_prediction"]),
        "a null": (scores | {"classes": ("yes", "no", "perhaps")}, ["null_prediction", "null_prediction"]),
        "numbers": (by_number | {"classes": (0, 1)}, ["ok", "ok"]),
    }
    tables = {name: scored_table(rows, "losses", engine="native", **given) for name, (given, _) in cases.items()}
    found = collected({name: table.select("slice_0", "status") for name, table in tables.items()})
    for name, (_, wanted) in cases.items():
        assert [STATUSES[code] for code in found[name]["status"]] == wanted
    with pytest.raises(SpecError, match="is a map, whose keys have no order: name them in order with classes"):
        ls.evaluate(rows, label="y", prediction="scores")


def test_a_column_whose_name_has_a_dot_wins_over_a_path(nested):
    found = [ls.log_loss(nested, "y", name, classes=("no", "yes"), engine="native") for name in ("a.b", "p", "a['b']")]
    assert found[0] == found[1] != found[2]


WRONG = {
    "output.prob": r"'output', struct<.*>, has no 'prob'; it has: p, pair, vector",
    "otput.p": r"'otput.p' is not in the table; it has: row",
    "p.x": r"'p', double, has no 'x'; it is no struct or map",
    "output.p.": "must be a path: write fields as a.b",
    "pair['x']": r"'pair', array<double>, has no 'x'",
}


@pytest.mark.parametrize("path", WRONG)
def test_a_path_that_leads_nowhere_is_refused_in_one_line(nested, path):
    with pytest.raises(SpecError, match=WRONG[path]) as refused:
        ls.evaluate(nested, label="y", prediction=path)
    assert "\n" not in str(refused.value)


@pytest.fixture(scope="module")
def crowded(spark):
    """A table with columns of one name: `id` twice, as after a join, `Id`, and `LABEL` beside `label`."""
    rows = [(1, 0.9, 9, 5, 6, 7, "x"), (0, 0.2, 9, 5, 6, 7, "x"), (3, 0.5, 9, 5, 6, 7, "x"), (1, None, 9, 5, 6, 7, "x")]
    names = ["label", "p", "LABEL", "id", "id", "Id", "row_status"]
    return spark.createDataFrame(rows, "a int, b double, c int, d int, e int, f int, g string").toDF(*names)


@pytest.mark.connect
def test_columns_without_a_role_never_matter_and_come_back_with_invalid_rows(crowded):
    evaluation = ls.evaluate(crowded, label="label", prediction="P", by=[["label"]], engine="native")
    assert evaluation.metrics.where("slice = 'all'").first().n == 2
    invalid = evaluation.invalid
    assert invalid.columns == crowded.columns  # the old row_status has given way
    assert sorted(map(tuple, invalid.collect()), key=str) == [
        (1, None, 9, 5, 6, 7, "null_prediction"),
        (3, 0.5, 9, 5, 6, 7, "unknown_label"),
    ]


def test_comparisons_and_bare_numbers_take_crowded_tables(crowded):
    with pytest.warns(ls.errors.InvalidRowsWarning):
        assert ls.log_loss(crowded, "label", "p") == pytest.approx(-(np.log(0.9) + np.log(0.8)) / 2, rel=1e-15)
    wide = ls.compare(crowded, label="label", predictions={"a": "p", "b": "P"}, baseline="a", engine="native")
    assert wide.metrics.first().difference == 0


def test_names_that_differ_in_case_are_the_same_unless_spark_tells_them_apart(spark, crowded):
    with pytest.raises(SpecError, match="'id' must be in the table once, got 2"):
        ls.evaluate(crowded, label="label", prediction="id")
    with pytest.raises(SpecError, match=r"'ID' must be in the table once, got 3 \('id', 'id', 'Id'\)"):
        ls.evaluate(crowded, label="label", prediction="ID")
    spark.conf.set(CASE, "true")
    try:
        with pytest.raises(SpecError, match=r"'P' is not in the table; .* Did you mean 'p'"):
            finder(crowded)("prediction", "P")
    finally:
        spark.conf.set(CASE, "false")


def test_a_streaming_table_is_refused_in_one_line(spark):
    stream = spark.readStream.format("rate").load().selectExpr("1 AS label", "0.5D AS p", "'a' AS model")
    calls = (
        lambda: ls.evaluate(stream, label="label", prediction="p"),
        lambda: ls.log_loss(stream, "label", "p"),
        lambda: ls.compare(stream, label="label", predictions={"a": "p", "b": "p"}, baseline="a"),
        lambda: ls.compare(stream, label="label", prediction="p", model="model", keys="p", baseline="a"),
        lambda: ls.compare_losses(stream, label="label", prediction="p"),
        lambda: ls.fit_logistic(stream, features=["p"], label="label"),
    )
    for call in calls:
        with pytest.raises(SpecError, match="must be a batch DataFrame, got a streaming one"):
            call()
