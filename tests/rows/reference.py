"""What the NumPy kernels make of a table of predictions: the oracle of every engine."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from logloss_spark.kernels.status import Numbers, statuses
from logloss_spark.kernels.terms import binary_terms, class_terms, score_of
from logloss_spark.scoring import Scoring, allowed

Column = Sequence[Any] | npt.NDArray[Any]


def terms_of(
    label: Column, prediction: Column, weight: Column | None = None, **asked: Any
) -> dict[str, npt.NDArray[Any]]:
    """The status and the terms of rows that come as arrays, or as lists of what Spark would hold (None is null).

    `asked` has the arguments of a `Scoring`.
    """
    scoring = Scoring(**asked)
    classes = scoring.classes or (0, 1)
    scores = numbers_of(prediction, len(classes))
    labels = numbers_of(label, len(classes)) if scoring.soft_labels else classes_of(label, classes)
    status = statuses(
        labels,
        scores,
        kind=scoring.kind,
        soft_labels=scoring.soft_labels,
        slack=allowed(scoring.sum_tolerance, len(classes)),
        weight=None if weight is None else numbers_of(weight, 1),
    )
    score = score_of(scores.values, scoring.kind)
    terms = binary_terms if score.ndim == 1 else class_terms
    shares = np.clip(labels.values, 0.0, 1.0) if scoring.soft_labels else labels.values
    return {"status": status} | terms(shares, score, scoring.score, eps=scoring.eps, cap=scoring.cap)


def numbers_of(column: Column, size: int) -> Numbers:
    """A column of numbers, or of lists which should have so many entries."""
    if isinstance(column, np.ndarray):
        return Numbers(column)
    lists = [value if isinstance(value, list) else [value] for value in column]
    null = np.array([None in entries for entries in lists])
    nan = np.array([any(entry != entry for entry in entries) for entries in lists])
    if not any(isinstance(value, list) for value in column):
        values = np.array([np.nan if value is None else value for value in column], dtype=np.float64)
        return Numbers(values, null, nan, np.zeros(len(lists), bool))
    misfit = np.array([len(entries) != size for entries in lists])
    fitting = ~(null | misfit)
    matrix = np.full((len(lists), size), np.nan)
    matrix[fitting] = np.array([entries for entries, fits in zip(lists, fitting, strict=True) if fits]).reshape(
        -1, size
    )
    return Numbers(matrix, null, nan, misfit)


def classes_of(column: Column, classes: Sequence[Any]) -> Numbers:
    """A column of hard labels as the index of the class, -1 where it is none."""
    index = {name: place for place, name in enumerate(classes)}
    values = np.array([index.get(value, -1) for value in column], dtype=np.int64)
    null, nan = (np.array(mask, dtype=bool) for mask in ([v is None for v in column], [v != v for v in column]))
    return Numbers(values, null, nan, np.zeros(len(values), bool))
