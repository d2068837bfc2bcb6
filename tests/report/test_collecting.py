"""What a report collects of a state: few rows, however many slices it has."""

import pytest
from pyspark.sql import SparkSession

import logloss_spark as ls
from logloss_spark.report import collecting, frames
from logloss_spark.report.plots.by_slice import by_excess


def test_of_too_many_slices_those_that_add_most_to_the_loss_are_collected(
    spark: SparkSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [(i % 9, i % 2, (i % 2 + 0.1 * (i % 9)) / 2) for i in range(180)]
    df = spark.createDataFrame(rows, "side int, label int, p double")
    with ls.evaluate(df, label="label", prediction="p", by="side") as evaluation:
        metrics = evaluation.metrics
        whole, sizes = collecting.costliest(metrics, 2)
        monkeypatch.setattr(frames, "KEPT_NUMBERS", 1)
        monkeypatch.setattr(collecting, "LISTED", 3)
        part, same = collecting.costliest(metrics, 2)
    assert sizes == same == {0: 9, 1: 1}
    assert len(part) == 4
    assert list(part) == list(whole)
    assert by_excess(part)["slice"].tolist() == by_excess(whole)["slice"].head(3).tolist()
