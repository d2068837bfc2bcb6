"""A model's JSON is checked when it is read: what was edited, cut or mixed up is told in one line."""

import json
import re

import numpy as np
import pytest

from logloss_spark import DataError, LogisticModel
from logloss_spark.ml import LogisticRegressionGDModel
from tests.fit.local import fit_locally

RNG = np.random.default_rng(51)
X = RNG.normal(size=(200, 2))
LABELS = (X @ RNG.normal(size=(2, 3)) + RNG.gumbel(size=(200, 3))).argmax(axis=1)
BINARY = fit_locally(X, LABELS > 0).to_json()
SEVERAL = fit_locally(X, LABELS).to_json()


def edited(text, *path, value):
    """A model's JSON with another value in one place; DELETED takes the place away."""
    stored = json.loads(text)
    *parents, last = path
    entry = stored
    for key in parents:
        entry = entry[key]
    if value is DELETED:
        del entry[last]
    else:
        entry[last] = value
    return json.dumps(stored)


DELETED = object()
NAN = float("nan")
LOGIT = ("logits", 0)

EDITED = [
    (BINARY, (*LOGIT, "coefficients", "x1"), NAN, "coefficients must be finite, got nan for 'x1'"),
    (BINARY, (*LOGIT, "coefficients", "x0"), float("inf"), "coefficients must be finite, got inf for 'x0'"),
    (BINARY, (*LOGIT, "coefficients", "x0"), 10**400, "got one of 401 digits"),
    (BINARY, (*LOGIT, "coefficients", "x0"), "1.5", "coefficients.x0 must be a number, got '1.5'"),
    (BINARY, (*LOGIT, "coefficients", "x0"), True, "coefficients.x0 must be a number, got True"),
    (BINARY, (*LOGIT, "coefficients", "x0"), None, "coefficients.x0 must be a number, got None"),
    (BINARY, (*LOGIT, "intercept"), NAN, "coefficients must be finite, got nan for 'the intercept'"),
    (BINARY, (*LOGIT, "intercept"), [1.0], "intercept must be a number, got [1.0]"),
    (BINARY, (*LOGIT, "coefficients"), {}, "standard_errors must be one for each of 0 features"),
    (BINARY, (*LOGIT, "coefficients", "x2"), 1.0, "standard_errors must be one for each of 3 features"),
    (BINARY, (*LOGIT, "coefficients", "x1"), DELETED, "standard_errors must be one for each of 1 feature"),
    (BINARY, (*LOGIT, "standard_errors"), [0.1], "standard_errors must be one for each of 2 features"),
    (BINARY, (*LOGIT, "standard_errors", 0), "x", "standard_errors[1] must be a number, got 'x'"),
    (BINARY, (*LOGIT, "intercept_error"), DELETED, "'intercept_error' is missing"),
    (BINARY, ("logits",), [], "logits must be one or more, got none"),
    (BINARY, ("logits",), [1, 2], "logits[0] must be an object, got 1"),
    (BINARY, (*LOGIT, "class"), 0, "logits must be those of the classes [1], in this order"),
    (BINARY, ("classes",), [0], "logits must be those of the classes []"),
    (BINARY, ("classes",), [1, 1], "classes must be distinct, got [1, 1]"),
    (BINARY, ("classes",), [[0], 1], "classes must be numbers, booleans or strings, got [0]"),
    (BINARY, ("classes",), "01", "classes must be a list, got '01'"),
    (BINARY, ("classes",), [0, 1, 2], "logits must be those of the classes [1, 2]"),
    (SEVERAL, ("classes",), [0, 2, 1], "logits must be those of the classes [0, 2, 1], in this order"),
    (SEVERAL, ("logits", 2), DELETED, "logits must be those of the classes [0, 1, 2]"),
    (SEVERAL, ("logits", 1, "coefficients", "x1"), DELETED, "coefficients must have the same names in every logit"),
    (SEVERAL, ("offset",), "o", "a model of 3 classes must have 3 rows of coefficients (with an offset 1), got 3"),
    (BINARY, ("offset",), 3, "offset must be a string, got 3"),
    (BINARY, ("features",), ["x0", 1], "features[1] must be a string, got 1"),
    (BINARY, ("features",), ["x1", "x0"], "coefficients must be those of the columns ['x1', 'x0'], got ['x0', 'x1']"),
    (BINARY, ("features",), DELETED, "'features' is missing"),
    (BINARY, ("report",), 1, "report must be an object, got 1"),
    (BINARY, ("report", "rows"), "many", "report.rows must be a whole number, got 'many'"),
    (BINARY, ("report", "rows"), DELETED, "report.rows is missing"),
    (BINARY, ("report", "colour"), 1, "report has an unknown key 'colour'"),
    (BINARY, ("report", "status"), "great", "report.status must be one of gradient, objective"),
    (BINARY, ("report", "history", 0, "loss"), "low", "report.history[0].loss must be a number, got 'low'"),
    (BINARY, ("version",), 3, "its version must be 2, got 3"),
    (BINARY, ("format",), "other", "its format must be 'logloss_spark.LogisticModel', got 'other'"),
]


@pytest.mark.parametrize(("text", "path", "value", "says"), EDITED)
def test_a_model_that_was_edited_is_refused_in_one_line(text, path, value, says) -> None:
    with pytest.raises(DataError, match=re.escape(says)) as raised:
        LogisticModel.from_json(edited(text, *path, value=value))
    assert "\n" not in str(raised.value)
    assert raised.value.exit_code == 4


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (BINARY[:-20], "a model must be JSON that to_json wrote, got something else"),
        (BINARY.replace('"x1"', '"x0"', 2), "keys must be distinct, got 'x0' twice"),
        ("[" * 100_000, "it is nested too deeply"),
        ("[]", "it must be an object, got []"),
        ("", "a model must be JSON that to_json wrote"),
    ],
)
def test_what_is_no_json_of_ours_is_refused_in_one_line(text, says) -> None:
    with pytest.raises(DataError, match=re.escape(says)) as raised:
        LogisticModel.from_json(text)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("text", [BINARY, SEVERAL])
def test_a_model_that_was_not_edited_is_read_as_it_was(text) -> None:
    assert LogisticModel.from_json(text).to_json() == text


def test_a_model_without_standard_errors_and_of_infinite_condition_is_read_as_it_was() -> None:
    collinear = fit_locally(X[:, [0, 0]], LABELS > 0)
    assert np.isinf(collinear.report.condition)
    assert LogisticModel.from_json(collinear.to_json()).to_json() == collinear.to_json()


def test_a_stored_stage_whose_json_was_edited_is_refused_in_one_line(spark, tmp_path) -> None:
    model = LogisticModel.from_json(SEVERAL)
    LogisticRegressionGDModel(model).save(str(tmp_path / "stage"))

    def rewrite(name, text) -> None:
        (file,) = (tmp_path / "stage" / name).glob("part-*")
        file.write_text(text)
        file.with_name(f".{file.name}.crc").unlink(missing_ok=True)

    def told() -> str:
        with pytest.raises(DataError) as raised:
            LogisticRegressionGDModel.load(str(tmp_path / "stage"))
        assert "\n" not in str(raised.value)
        return str(raised.value)

    rewrite("model", edited(SEVERAL, *LOGIT, "coefficients", "x1", value=NAN))
    assert "stage/model holds no model: a model must be JSON that to_json wrote" in told()
    rewrite("model", SEVERAL.replace('"class": 0', '"class": 7').replace("[\n  0,", "[\n  7,"))
    assert "classes of an Estimator's model must be 0..2, got [7, 1, 2]" in told()
    rewrite("model", SEVERAL)
    rewrite("metadata", '{"class": "x.LogisticRegressionGDModel", "uid": "a", "paramMap": {"colour": 1}}')
    assert "stage/metadata must describe a LogisticRegressionGDModel, got something else" in told()
    rewrite("metadata", "not JSON")
    assert "stage/metadata must describe a LogisticRegressionGDModel, got something else" in told()
