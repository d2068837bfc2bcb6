"""A model as people see it, whatever its features and classes are called. No Spark."""

import re

import numpy as np
import pytest

from logloss_spark.fit.model import LogisticModel
from logloss_spark.fit.report import Report
from logloss_spark.fit.status import Status
from logloss_spark.rows.engines import Ran
from tests import hostile

REPORT = Report(
    status=Status.SEPARATED,
    converged=False,
    solver="gd",
    iterations=3,
    best_iteration=3,
    passes=5,
    read=100,
    rows=99,
    held=0,
    weight=99.0,
    invalid={"null_label": 1},
    objective=0.5,
    log_loss=0.5,
    label_entropy=0.69,
    normalized_entropy=0.72,
    validation_loss=None,
    gradient_norm=1e-9,
    gap=1e-12,
    smallest_curvature=None,
    largest_curvature=None,
    condition=None,
    collinear=tuple(hostile.TEXTS.values()),
    separation="complete",
    separating=tuple(hostile.TEXTS.values()),
    streamed=False,
    rebuilds=0,
    engine=Ran("native", "it was asked for"),
    history=(),
)


@pytest.fixture
def model() -> LogisticModel:
    """A model whose features and classes are called by hostile texts."""
    names = tuple(hostile.TEXTS.values())
    return LogisticModel(
        features=names,
        feature_names=names,
        classes=(hostile.TEXTS["html"], hostile.TEXTS["escape"], hostile.TEXTS["long"]),
        coefficients=np.arange(3.0 * len(names)).reshape(3, -1),
        intercepts=np.zeros(3),
        standard_errors=None,
        intercept_errors=None,
        offset=None,
        report=REPORT,
    )


def test_the_html_of_a_model_holds_no_markup_but_ours(model: LogisticModel) -> None:
    html = model._repr_html_()
    assert set(re.findall(r"</?(\w+)", html)) == {"div", "p", "b", "table", "thead", "tbody", "tr", "th", "td"}
    assert not hostile.unsafe(html, 100_000)


def test_the_summary_of_a_model_is_safe_to_print(model: LogisticModel) -> None:
    assert not hostile.unsafe(model.summary(), 1_000)
    assert not hostile.unsafe(repr(model), 200)


def test_the_repr_of_a_model_says_how_its_fit_ended_in_words(model: LogisticModel) -> None:
    assert repr(model).endswith("NOT converged: the classes are separated, so the loss has no minimum)")


def test_the_json_of_a_model_keeps_names_exactly(model: LogisticModel) -> None:
    again = LogisticModel.from_json(model.to_json())
    assert (again.feature_names, again.classes) == (model.feature_names, model.classes)
    np.testing.assert_array_equal(again.coefficients, model.coefficients)
