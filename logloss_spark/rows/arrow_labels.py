"""The classes of labels in Arrow batches, compared in the labels' own type as `rows.labels` does."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from logloss_spark.scoring import Label

Indices = npt.NDArray[np.integer]

NONE = -1
"""The index of a label that is none of the classes. Whole numbers that are none may keep their own, outside 0..K-1."""


def class_indices(labels: pa.Array, classes: Sequence[Label]) -> Indices:
    """The index of each label among the classes, or a number outside 0..K-1 if it is null, NaN or none of them.

    Parameters
    ----------
    labels : Arrow array of numbers, booleans or strings, or a dictionary of them
    classes : sequence of what such labels can equal; if two of them are the same label, the first counts
    """
    type_ = labels.type
    if pa.types.is_dictionary(type_):
        of_value = np.append(class_indices(labels.dictionary, classes), NONE)
        return of_value.take(labels.indices.fill_null(len(labels.dictionary)).to_numpy(zero_copy_only=False))
    if pa.types.is_decimal(type_):
        return indices_of_values(labels, [exact_in(Decimal(str(known)), type_) for known in classes])
    if pa.types.is_string(type_) or pa.types.is_large_string(type_):
        return indices_of_values(labels, classes)
    if pa.types.is_integer(type_) and tuple(classes) == tuple(range(len(classes))):
        present = labels.fill_null(NONE) if labels.null_count else labels
        wide = np.int32 if type_ == pa.int32() else np.int64
        return np.asarray(present.to_numpy(zero_copy_only=False), dtype=wide)
    if not labels.null_count:
        return indices_of_numbers(labels.to_numpy(zero_copy_only=False), classes)
    present = labels.fill_null(False if pa.types.is_boolean(type_) else 0)
    index = indices_of_numbers(present.to_numpy(zero_copy_only=False), classes)
    return np.where(labels.is_null().to_numpy(zero_copy_only=False), NONE, index)


def indices_of_values(labels: pa.Array, known: Sequence[Any]) -> Indices:
    """The index of each string or decimal among the values that are not None, or `NONE`."""
    places: dict[Any, int] = {}
    for place, value in enumerate(known):
        if value is not None:
            places.setdefault(value, place)
    found = pc.index_in(labels, value_set=pa.array(list(places), labels.type))
    of_value = np.array([*places.values(), NONE], dtype=np.int64)
    return of_value.take(found.fill_null(len(places)).to_numpy(zero_copy_only=False))


def exact_in(value: Decimal, type_: pa.DataType) -> Decimal | None:
    """A number as a decimal of this type; None if the type cannot hold it, so that no label can equal it."""
    try:
        pa.scalar(value, type_)
    except pa.ArrowInvalid:
        return None
    return value


def indices_of_numbers(labels: npt.NDArray[Any], classes: Sequence[Label]) -> Indices:
    """The index of each number or boolean among the classes, which are cast to the type of the labels, or `NONE`."""
    of_type = np.int64 if labels.dtype.kind == "i" else labels.dtype.type  # a class may be no number of few bits
    known = np.array([of_type(label) for label in classes])
    order = np.argsort(known, kind="stable")
    ranked = known[order]
    place = np.minimum(np.searchsorted(ranked, labels), len(ranked) - 1)
    return np.where(ranked[place] == labels, order[place], NONE)
