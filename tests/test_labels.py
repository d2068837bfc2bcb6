"""Labels that are not 0 to K - 1: said before a number is, wherever a number comes from."""

import pytest

import logloss_spark as ls
from logloss_spark.errors import SpecError
from tests.quick import quick

SIGNS = "-1 and 1: give classes=(-1, 1)"
REFUSED = {
    "whole numbers": ("int", [-1, 1, 1, None], "p", SIGNS),
    "doubles": ("double", [-1.0, 1.0, float("nan"), -1.0], "p", SIGNS),
    "decimals": ("decimal(3,1)", [-1, 1, 1, -1], "p", SIGNS),
    "nothing but -1": ("bigint", [-1, -1, -1, -1], "p", SIGNS),
    "two columns": ("int", [-1, 1, 1, -1], ["p", "q"], SIGNS),
    "1 and 2": ("int", [1, 2, 2, 1], "p", "1 to 2: give classes=(1, 2)"),
    "1 to 3": ("int", [1, 2, 3, 1], ["a", "b", "c"], "1 to 3: give classes=(1, 2, 3)"),
    "3 of 1 to 4": ("double", [4.0, 2.0, 2.0, 1.0], ["a", "a", "a", "a"], "1 to 4: give classes=(1, ..., 4)"),
}
SCORED = {
    "ones": ("int", [1, 1, 1, 1], "p", {}),
    "a zero": ("int", [-1, 1, 0, 1], "p", {"unknown_label": 1}),
    "others": ("int", [-1, 1, 7, 1], "p", {"unknown_label": 2}),
    "-1 of three classes": ("int", [-1, 1, 2, 1], ["a", "b", "c"], {"unknown_label": 1}),
    "booleans": ("boolean", [True, True, None, True], "p", {"null_label": 1}),
}


def table(spark, type_, labels):
    schema = f"label {type_}, p double, q double, a double, b double, c double"
    df = spark.createDataFrame(
        [(None if y is None else float(y), 0.6, 0.4, 0.25, 0.25, 0.5) for y in labels],
        schema.replace(type_, "double", 1),
    )
    return df.withColumn("label", df.label.cast(type_))


@pytest.mark.parametrize("form", quick(REFUSED, "whole numbers"))
def test_labels_that_fit_the_classes_by_chance_are_refused(spark, form):
    type_, labels, prediction, says = REFUSED[form]
    df = table(spark, type_, labels)
    for number in (
        lambda: ls.evaluate(df, label="label", prediction=prediction, engine="native").counts,
        lambda: ls.log_loss(df, "label", prediction),
    ):
        with pytest.raises(SpecError) as refused:
            number()
        assert says in str(refused.value)
        assert "\n" not in str(refused.value)


@pytest.mark.parametrize("form", quick(SCORED, "ones", "others"))
def test_labels_of_which_some_are_unknown_are_counted(spark, form):
    type_, labels, prediction, reasons = SCORED[form]
    counts = ls.evaluate(table(spark, type_, labels), label="label", prediction=prediction, engine="native").counts
    assert {status: count for status, count in counts.items() if count and status != "ok"} == reasons


def test_the_classes_that_are_named_are_the_users_word(spark):
    df = table(spark, "int", [-1, 1, 1, -1])
    given = ls.evaluate(df, label="label", prediction="p", classes=(-1, 1), engine="native").counts
    assert given["ok"] == 4
    assert ls.evaluate(df, label="label", prediction="p", classes=(0, 1), engine="native").counts["unknown_label"] == 2


def test_comparisons_and_explanations_refuse_such_labels_too(spark):
    df = table(spark, "int", [-1, 1, 1, -1])
    with pytest.raises(SpecError, match="give classes"):
        ls.compare_losses(df, label="label", prediction="p")
    with pytest.raises(SpecError, match="give classes"):
        ls.compare(df, label="label", predictions={"x": "p", "y": "q"}, baseline="x", engine="native").show()
