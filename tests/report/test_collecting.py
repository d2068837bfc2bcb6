"""What a report collects of a state: few rows, however many slices it has."""

import pandas as pd
import pytest
from pyspark.sql import SparkSession

from logloss_spark.report import collecting, frames
from logloss_spark.report.plots.by_slice import by_excess
from tests.report.pages import metrics_of


def test_of_too_many_slices_those_that_add_most_to_the_loss_are_collected(
    spark: SparkSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    slices = pd.DataFrame({"side": range(9), "grouping_id": 0, "slice": [f"side={side}" for side in range(9)]})
    metrics = spark.createDataFrame(metrics_of(slices))
    whole, sizes = collecting.costliest(metrics, 2)
    monkeypatch.setattr(frames, "KEPT_NUMBERS", 1)
    monkeypatch.setattr(collecting, "LISTED", 3)
    part, same = collecting.costliest(metrics, 2)
    assert sizes == same == {0: 9, 1: 1}
    assert len(part) == 4
    assert list(part) == list(whole)
    assert by_excess(part)["slice"].tolist() == by_excess(whole)["slice"].head(3).tolist()
