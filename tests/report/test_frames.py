"""The order of slices, on frames. No Spark."""

import pandas as pd

from logloss_spark.report.frames import Order, ranked

WORST_FIRST = Order((("few", True), ("x", False)))

# Slice columns are month and carrier; the lowest bit says that carrier was rolled up.
FRAME = pd.DataFrame(
    [
        (0, "month=1/carrier=a", False, 1.0),
        (2, "carrier=a", False, 2.0),
        (1, "month=1", False, 3.0),
        (3, "all", False, 4.0),
        (0, "month=2/carrier=a", True, 9.0),
        (0, "month=3/carrier=a", True, None),
        (1, "month=2", False, 5.0),
        (1, "month=0", False, 3.0),
    ],
    columns=["grouping_id", "slice", "few", "x"],
)


def test_the_global_row_stands_first_then_sets_of_few_columns_in_the_order_of_their_columns() -> None:
    found = ranked(FRAME, WORST_FIRST)
    assert found.frame["grouping_id"].tolist() == [3, 1, 1, 1, 2, 0, 0, 0]
    assert found.sizes == {(3,): 1, (1,): 3, (2,): 1, (0,): 3}


def test_within_a_set_the_worst_stand_first_few_ones_last_and_nulls_behind_them() -> None:
    slices = ranked(FRAME, WORST_FIRST).frame["slice"].tolist()
    assert slices[1:4] == ["month=2", "month=0", "month=1"]  # of equals the first by name
    assert slices[5:] == ["month=1/carrier=a", "month=2/carrier=a", "month=3/carrier=a"]


def test_a_limit_is_one_of_each_set_and_says_how_many_there_were() -> None:
    found = ranked(FRAME, WORST_FIRST, 1)
    assert found.frame["slice"].tolist() == ["all", "month=2", "carrier=a", "month=1/carrier=a"]
    assert found.sizes[(0,)] == 3
    assert len(FRAME) == 8
