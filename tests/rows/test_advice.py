"""What a user can do about rows that cannot be scored is said in the same words by all that leave rows out."""

import numpy as np
import pytest

import logloss_spark as ls
from logloss_spark.app.judging import check_tolerated
from logloss_spark.app.sections import Tolerance
from logloss_spark.errors import DataError, InvalidRowsWarning
from tests.quick import quick

THREE = {"classes": (0, 1, 2)}


def table(spark, labels, predictions, types="label int, p array<double>"):
    return spark.createDataFrame(
        [(int(y), np.asarray(p).tolist()) for y, p in zip(labels, predictions, strict=True)], types
    )


def test_forecasts_of_half_precision_are_told_the_tolerance_that_suffices(spark):
    rng = np.random.default_rng(4)
    p = rng.dirichlet([1, 1, 1], 30).astype(np.float16)
    df = table(spark, rng.integers(0, 3, 30), p.astype(float))
    off = np.abs(p.astype(float).sum(axis=1) - 1)
    refused = int((off > 1e-5).sum())
    assert refused > 15  # or nothing would be looked at
    with pytest.warns(
        InvalidRowsWarning, match=rf"prediction_sum {refused}; sum_tolerance=(\S+) lets {refused} of"
    ) as told:
        ls.log_loss(df, "label", "p", **THREE)
    enough = float(str(told.pop(InvalidRowsWarning).message).split("sum_tolerance=")[1].split()[0])
    assert off.max() <= enough < off.max() * 1.1
    assert ls.log_loss(df, "label", "p", sum_tolerance=enough, **THREE) > 0  # a warning would be an error


ROUNDED = [[0.33, 0.33, 0.33], [0.34, 0.34, 0.33], [0.5, 0.25, 0.24]]
NO_ROW = {
    "rounded": (ROUNDED, THREE, "sum_tolerance=0.01 lets 3 of 3 be scored, whose sums look rounded"),
    "an entry above one": ([[1.002, 0.0, 0.0]] * 3, THREE, "sum_tolerance=0.002 lets 3 of 3"),
    "logits": ([[3.0, -1.0, 0.5]] * 3, THREE, "logits have kind='logit'"),
    "Spark's rawPrediction": ([[-3.0, 3.0]] * 3, {}, "Spark's rawPrediction has kind='margin'"),
    "counts": ([[3.0, 1.0, 5.0]] * 3, THREE, "those of all classes sum to 1"),
    "longer than the classes": (
        [[0.2, 0.3, 0.5]] * 3,
        {},
        "2 classes (0, 1) but 3 entries in column 'p': name the classes in the prediction's order with classes",
    ),
    "other labels": (
        [[0.2, 0.3, 0.5]] * 3,
        {"classes": (7, 8, 9)},
        "name the labels that the column holds with classes, which are 7, 8, 9 now",
    ),
    "a margin of three": (
        [[0.2, 0.3, 0.5]] * 3,
        {"kind": "margin"},
        "kind='margin' reads two entries, [-z, z], and there are 3",
    ),
}


def test_percentages_are_told_from_logits(spark):
    df = spark.createDataFrame([(0, 12.0), (1, 55.5), (1, 100.0)], "label int, p double")
    with pytest.raises(DataError, match=r"these look like percentages: divide them by 100"):
        ls.log_loss(df, "label", "p")


@pytest.mark.parametrize("case", quick(NO_ROW, "longer than the classes"))
def test_where_no_row_can_be_scored_a_notebook_and_a_job_say_the_same_way_out(spark, case):
    predictions, spec, says = NO_ROW[case]
    df = table(spark, [0, 1, 1], predictions)
    with pytest.raises(DataError) as in_notebook:
        ls.log_loss(df, "label", "p", **spec)
    evaluation = ls.evaluate(df, label="label", prediction="p", engine="native", **spec)
    counts = evaluation.counts
    with pytest.raises(DataError) as in_job:
        check_tolerated(counts, Tolerance(), evaluation.advice)
    for said in (str(in_notebook.value), str(in_job.value), *evaluation.remarks()):
        assert says in said
        assert "\n" not in said
