"""Rows that keep the contract of a table of predictions and rows that break it, each with the status it must get."""

from dataclasses import dataclass, field
from typing import Any

from pyspark.sql import DataFrame, SparkSession

NAN, INF = float("nan"), float("inf")
ROW = tuple[Any, Any, Any, str]


@dataclass(frozen=True)
class Form:
    """One form of predictions: the types of its columns, its conventions, and its rows."""

    label: str
    prediction: str
    rows: tuple[ROW, ...]
    spec: dict[str, Any] = field(default_factory=dict)

    def table(self, spark: SparkSession) -> DataFrame:
        schema = f"row int, label {self.label}, prediction {self.prediction}, weight double, expected string"
        return spark.createDataFrame([(place, *row) for place, row in enumerate(self.rows)], schema)


WEIGHTS: tuple[tuple[Any, str], ...] = (
    (1.0, "ok"),
    (0.0, "ok"),
    (-0.0, "ok"),
    (5e-324, "ok"),
    (None, "null_weight"),
    (NAN, "nan_weight"),
    (INF, "nan_weight"),
    (-INF, "nan_weight"),
    (-1e-300, "negative_weight"),
)

PROBABILITIES: tuple[tuple[Any, str], ...] = (
    (0.0, "ok"),
    (-0.0, "ok"),
    (5e-324, "ok"),
    (1.0, "ok"),
    (None, "null_prediction"),
    (NAN, "nan_prediction"),
    (1.0000000000000002, "prediction_range"),
    (-5e-324, "prediction_range"),
    (INF, "prediction_range"),
)

DISTRIBUTIONS: tuple[tuple[Any, str], ...] = (
    ([0.2, 0.3, 0.5], "ok"),
    ([0.0, 0.0, 1.0], "ok"),
    ([0.2, 0.3, 0.500009], "ok"),
    ([0.0, 0.0, 1.00001], "ok"),  # one tolerance for the sum and the entries
    ([1.0, -1e-5, 0.0], "ok"),
    (None, "null_prediction"),
    ([0.2, None, 0.8], "null_prediction"),
    ([0.2, NAN, 0.8], "nan_prediction"),
    ([0.2, 0.8], "prediction_length"),
    ([0.2, 0.3, 0.4, 0.1], "prediction_length"),
    ([], "prediction_length"),
    ([0.2, -0.1, 0.9], "prediction_range"),
    ([0.0, 0.0, 1.1], "prediction_range"),
    ([-1.1e-5, 0.0, 1.0], "prediction_range"),
    ([0.0, 0.0, 1.000011], "prediction_range"),
    ([0.0, 0.0, INF], "prediction_range"),
    ([0.2, 0.3, 0.50002], "prediction_sum"),
    ([0.0, 0.0, 0.0], "prediction_sum"),
)

LOGITS: tuple[tuple[Any, str], ...] = (
    ([0.2, -3.0, 1e6], "ok"),
    ([0.0, INF, 0.0], "ok"),
    ([-INF, -INF, 0.0], "ok"),
    ([-INF, INF, 0.0], "ok"),
    (None, "null_prediction"),
    ([0.2, None, 0.8], "null_prediction"),
    ([0.2, NAN, 0.8], "nan_prediction"),
    ([0.2, 0.8], "prediction_length"),
    ([-INF, -INF, -INF], "prediction_range"),
    ([INF, INF, 0.0], "prediction_range"),
)

SOFT_LABELS: tuple[tuple[Any, str], ...] = (
    ([0.2, 0.3, 0.5], "ok"),
    ([0.0, 1.0, 0.0], "ok"),
    ([-1e-5, 1.00001, 0.0], "ok"),
    (None, "null_label"),
    ([None, 0.5, 0.5], "null_label"),
    ([NAN, 0.5, 0.5], "nan_label"),
    ([0.5, 0.5], "label_length"),
    ([0.5, 0.5, 0.5, -0.5], "label_length"),
    ([1.2, -0.1, -0.1], "label_range"),
    ([0.5, 0.5, 0.5], "label_sum"),
)

HUNDREDTHS = [place / 100 for place in range(100)]
IN_FOUR_DIGITS: tuple[tuple[Any, str], ...] = (
    *(([p, round(0.9999 - p, 4), 0.0], "ok") for p in HUNDREDTHS),  # as doubles, 1 - .9999 > 1e-4
    *(([0.0, p, round(1.0001 - p, 4)], "ok") for p in HUNDREDTHS),
    ([0.0, 1.0001, 0.0], "ok"),
    ([1.0, -0.0001, 0.0001], "ok"),
    ([0.25, 0.25, 0.4998], "prediction_sum"),
    ([0.0, 1.00011, -0.0001], "prediction_range"),
)

FORMS: dict[str, Form] = {
    "binary": Form(
        "int",
        "double",
        (
            *((1, p, 1.0, status) for p, status in PROBABILITIES),
            *((0, 0.5, w, status) for w, status in WEIGHTS),
            (None, 0.5, 1.0, "null_label"),
            (2, 0.5, 1.0, "unknown_label"),
            (-1, 0.5, 1.0, "unknown_label"),
            (None, None, None, "null_label"),  # the first reason counts
            (7, NAN, -1.0, "unknown_label"),
            (1, NAN, -1.0, "nan_prediction"),
            (1, 1.5, None, "prediction_range"),
        ),
    ),
    "binary, label a double": Form(
        "double",
        "float",
        (
            (0.0, 0.5, 1.0, "ok"),
            (-0.0, 0.5, 1.0, "ok"),
            (1.0, 0.5, 1.0, "ok"),
            (0.7, 0.5, 1.0, "unknown_label"),  # cast to int it would be a valid 0
            (INF, 0.5, 1.0, "unknown_label"),
            (NAN, 0.5, 1.0, "nan_label"),
            (NAN, None, None, "nan_label"),
            (None, 0.5, 1.0, "null_label"),
            (1.0, 1.5, 1.0, "prediction_range"),
        ),
    ),
    "binary, label a string": Form(
        "string",
        "double",
        (
            ("no", 0.5, 1.0, "ok"),
            ("yes", 0.5, 1.0, "ok"),
            ("Yes", 0.5, 1.0, "unknown_label"),
            ("1", 0.5, 1.0, "unknown_label"),  # compared with a number it would raise under ANSI
            ("", 0.5, 1.0, "unknown_label"),
            (None, 0.5, 1.0, "null_label"),
        ),
        {"classes": ("no", "yes")},
    ),
    "binary, label a boolean": Form(
        "boolean",
        "double",
        ((True, 0.5, 1.0, "ok"), (False, 0.5, 1.0, "ok"), (None, 0.5, 1.0, "null_label")),
    ),
    "binary, soft label": Form(
        "double",
        "double",
        (
            (0.3, 0.5, 1.0, "ok"),
            (0.0, 0.5, 1.0, "ok"),
            (None, 0.5, 1.0, "null_label"),
            (NAN, 0.5, 1.0, "nan_label"),
            (1.1, 0.5, 1.0, "label_range"),
            (-1e-9, 0.5, 1.0, "label_range"),
            (INF, 2.0, 1.0, "label_range"),
        ),
        {"soft_labels": True},
    ),
    "a logit": Form(
        "int",
        "double",
        (
            (1, 3.0, 1.0, "ok"),
            (1, INF, 1.0, "ok"),
            (0, -INF, 1.0, "ok"),
            (0, 1e6, 1.0, "ok"),
            (0, NAN, 1.0, "nan_prediction"),
            (0, None, 1.0, "null_prediction"),
        ),
        {"kind": "logit"},
    ),
    "three probabilities": Form(
        "int",
        "array<double>",
        (
            *((2, p, 1.0, status) for p, status in DISTRIBUTIONS),
            (3, [0.2, 0.3, 0.5], 1.0, "unknown_label"),
            (None, [0.2, 0.3, 0.5], 1.0, "null_label"),
            (1, [0.2, 0.3, 0.5], -1.0, "negative_weight"),
        ),
        {"classes": (0, 1, 2)},
    ),
    "three probabilities in four digits": Form(
        "int",
        "array<double>",
        tuple((1, p, 1.0, status) for p, status in IN_FOUR_DIGITS),
        {"classes": (0, 1, 2), "sum_tolerance": 1e-4},
    ),
    "three logits": Form(
        "string",
        "array<double>",
        (*(("b", z, 1.0, status) for z, status in LOGITS), ("z", [0.0, 0.0, 0.0], 1.0, "unknown_label")),
        {"kind": "logit", "classes": ("a", "b", "c")},
    ),
    "three probabilities, soft labels": Form(
        "array<double>",
        "array<double>",
        (
            *((q, [0.2, 0.3, 0.5], 1.0, status) for q, status in SOFT_LABELS),
            *(([0.0, 0.5, 0.5], p, 1.0, status) for p, status in DISTRIBUTIONS),
            *(([0.0, 0.5, 0.5], [0.2, 0.3, 0.5], w, status) for w, status in WEIGHTS),
            ([0.5, 0.6, 0.5], [NAN, 0.5], NAN, "label_sum"),
        ),
        {"soft_labels": True, "classes": (0, 1, 2)},
    ),
}
