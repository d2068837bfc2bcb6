"""The status of rows in Arrow arrays, as Spark hands them to the column functions; without Spark."""

import pyarrow as pa
import pytest

from logloss_spark.kernels.status import STATUSES
from logloss_spark.rows.arrow_status import statuses
from logloss_spark.scoring import Scoring
from tests.rows.contract import FORMS

TYPES = {
    "int": pa.int32(),
    "float": pa.float32(),
    "double": pa.float64(),
    "string": pa.string(),
    "boolean": pa.bool_(),
    "array<double>": pa.list_(pa.float64()),
}


@pytest.mark.parametrize("form", FORMS)
def test_a_row_gets_the_first_reason_why_it_cannot_be_scored(form):
    rows = FORMS[form].rows
    label, prediction, weight, expected = zip(*rows, strict=True)
    found = statuses(
        pa.array(label, TYPES[FORMS[form].label]),
        pa.array(prediction, TYPES[FORMS[form].prediction]),
        pa.array(weight, pa.float64()),
        Scoring(**FORMS[form].spec),
    )
    names = [STATUSES[code] for code in found]
    assert not [(row, name) for row, name, wanted in zip(rows, names, expected, strict=True) if name != wanted]
