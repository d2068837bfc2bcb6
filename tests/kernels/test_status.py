"""The status of a row in NumPy: the contract of a table of predictions, without Spark."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from logloss_spark.kernels.status import STATUSES, Numbers, statuses
from tests.rows.contract import FORMS
from tests.rows.reference import terms_of

pytestmark = pytest.mark.filterwarnings("error")
settings.register_profile("kernels", derandomize=True, deadline=None, database=None)
settings.load_profile("kernels")

any_float = st.floats(allow_nan=True, allow_infinity=True)


@pytest.mark.parametrize("form", FORMS)
def test_a_row_gets_the_first_reason_why_it_cannot_be_scored(form):
    label, prediction, weight, expected = zip(*FORMS[form].rows, strict=True)
    found = [STATUSES[code] for code in terms_of(label, prediction, weight, **FORMS[form].spec)["status"]]
    rows = FORMS[form].rows
    assert not [(row, name) for row, name, wanted in zip(rows, found, expected, strict=True) if name != wanted]


def test_a_row_without_a_cluster_cannot_be_scored_and_any_other_reason_comes_first():
    label, score = Numbers(np.array([1, 1, 7])), Numbers(np.full(3, 0.5))
    found = statuses(label, score, kind="probability", null_cluster=np.array([False, True, True]))
    assert [STATUSES[code] for code in found] == ["ok", "null_cluster", "unknown_label"]


def test_every_margin_but_null_and_nan_is_scored():
    margins = np.array([[-2.0, 2.0], [math.inf, -math.inf], [0.0, math.nan]])
    label = Numbers(np.array([1, 0, 1]))
    for score in (margins, margins[:, 1]):
        found = statuses(label, Numbers(score), kind="margin")
        assert [STATUSES[code] for code in found] == ["ok", "ok", "nan_prediction"]


@given(
    hnp.arrays(np.float64, (3, 4), elements=any_float),
    hnp.arrays(np.float64, (3, 4), elements=any_float),
    st.sampled_from(["probability", "logit", "margin"]),
)
def test_no_row_makes_it_raise_or_warn(label, score, kind):
    for entries in (slice(None), 0):
        for soft in (False, True):
            labels = label[:, entries] if soft else label[:, 0]
            weight = Numbers(score[:, 1])
            found = statuses(Numbers(labels), Numbers(score[:, entries]), kind=kind, soft_labels=soft, weight=weight)
            assert found.shape == (3,)


@pytest.mark.parametrize("shape", [(0,), (0, 3)])
def test_no_rows_have_no_statuses(shape):
    nothing = Numbers(np.zeros(shape))
    assert statuses(nothing, nothing, kind="probability", soft_labels=True).shape == (0,)
