"""The catalogue has what is computed, and nothing else; and it can be read."""

from collections import Counter, defaultdict

import numpy as np
import pytest

from logloss_spark.statistics.calibration import Cells, ClassCells
from logloss_spark.statistics.catalogue import (
    BY_CLASS,
    COMPARISON,
    DRIFT,
    METRICS,
    RELIABILITY,
    SLICE,
    Metric,
    by_column,
    columns_of_loss,
    complete,
    shown_first,
)
from logloss_spark.statistics.metrics import Sums, metrics_of
from logloss_spark.statistics.reference import documented, explains, markdown
from logloss_spark.statistics.reporting import Reporting

TABLES = {
    "slice": SLICE,
    "metrics": METRICS,
    "reliability": RELIABILITY,
    "by_class": BY_CLASS,
    "comparison": COMPARISON,
    "drift": DRIFT,
}
BRIER, COX = Metric("brier", "", interval="always"), Metric("cox_slope", "", forecasts="scalar")


def zeros(*shape):
    """Sums that are 0 whatever their names."""
    return defaultdict(lambda: np.zeros(shape))


def sums(scalar, soft_labels, clustered, classes, class_cells):
    """The sums of two slices without rows."""
    n, buckets, bins = 2, 64 if clustered else 0, 3
    return Sums(
        moments=zeros(n),
        classes=zeros(n, classes),
        cells=Cells.of_state(np.arange(bins), zeros(n, bins)),
        ranks=zeros(n, 5),
        class_cells=ClassCells(*np.zeros((2, n, classes if class_cells else 0, bins))),
        clipped=zeros(n),
        zero=zeros(n),
        buckets=zeros(n, buckets, bins),
        bucket_classes=zeros(n, buckets, classes),
        thin=np.arange(bins),
        scalar=scalar,
        soft_labels=soft_labels,
        clustered=clustered,
        shift=0.7,
        cap=34.5,
    )


@pytest.mark.parametrize("clustered", [False, True])
@pytest.mark.parametrize("soft_labels", [False, True])
@pytest.mark.parametrize(
    ("scalar", "classes", "class_cells"), [(True, 2, False), (False, 2, True), (False, 3, True), (False, 100, False)]
)
def test_what_is_computed_is_what_is_listed_for_these_forecasts(scalar, classes, class_cells, soft_labels, clustered):
    found = metrics_of(sums(scalar, soft_labels, clustered, classes, class_cells), Reporting())
    assert list(found) == list(by_column(METRICS))


def test_a_metric_that_is_computed_and_not_listed_raises():
    values = dict.fromkeys(["brier", "brier_low", "brier_high", "brier_se", "cox_slop"], np.zeros(1))
    with pytest.raises(AssertionError, match=r"not in the catalogue: \['cox_slop'\]; .* not computed: \['cox_slope'\]"):
        complete(values, [BRIER, COX], scalar=True, n=1)


def test_a_metric_that_is_listed_and_not_computed_raises():
    values = dict.fromkeys(["brier", "brier_low", "brier_high"], np.zeros(1))
    with pytest.raises(AssertionError, match=r"not in the catalogue: \[\]; .* not computed: \['brier_se'\]"):
        complete(values, [BRIER], scalar=True, n=1)


def test_a_metric_that_these_forecasts_do_not_have_is_not_computed_for_them():
    values = dict.fromkeys([*BRIER.columns, "cox_slope"], np.zeros(1))
    with pytest.raises(AssertionError, match=r"not in the catalogue: \['cox_slope'\]"):
        complete(values, [BRIER, COX], scalar=False, n=1)
    del values["cox_slope"]
    assert np.isnan(complete(values, [BRIER, COX], scalar=False, n=1)["cox_slope"]).all()


@pytest.mark.parametrize("table", TABLES)
def test_no_two_columns_of_a_table_have_one_name(table):
    names = Counter(column for metric in TABLES[table] for column in metric.columns)
    assert names.most_common(1)[0][1] == 1


@pytest.mark.parametrize(
    "metric", dict.fromkeys(metric for table in TABLES.values() for metric in table), ids=lambda m: m.name
)
def test_every_line_of_documentation_ends_as_a_sentence_and_fits_a_table(metric):
    assert metric.doc.endswith(".")
    assert "|" not in metric.doc
    assert "\n" not in metric.doc


def test_another_loss_is_no_log_loss_and_lacks_what_cross_entropy_alone_has():
    found = columns_of_loss(METRICS, "hinge")
    assert found["log_loss_se"] == "loss_se"
    assert not [column for column in found.values() if column.startswith("log_loss")]
    assert "information_gain_low" not in found
    assert list(columns_of_loss(METRICS, "cross_entropy")) == list(by_column(METRICS))


def test_a_person_is_shown_the_main_metrics_that_a_loss_has():
    assert shown_first(METRICS, "cross_entropy") == [
        "log_loss",
        "normalized_entropy",
        "calibration_ratio",
        "brier",
        "ece",
    ]
    assert shown_first(METRICS, "hinge") == ["loss", "calibration_ratio", "brier", "ece"]


def test_the_reference_has_a_row_for_each_metric():
    rows = markdown(METRICS).splitlines()
    assert [row.split("`")[1] for row in rows[2:]] == [metric.name for metric in METRICS]
    assert {row.count("|") for row in rows} == {4}


def test_help_ends_with_the_reference():
    @explains(BRIER, COX)
    def table() -> None:
        """A table."""

    assert table.__doc__ == f"A table.\n\nColumns\n-------\n{documented([BRIER, COX])}\n"
