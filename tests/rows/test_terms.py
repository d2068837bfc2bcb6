"""The terms of a row beside its loss, against NumPy: Brier, entropy, the top class, clipped and impossible rows."""

import numpy as np
import pytest
import scipy.special

from logloss_spark import functions as L
from tests.rows import batches
from tests.rows.batches import collected, scored_rows

EPS = 1e-15

NEAR = 1e-14
"""Relative, for terms that are a handful of roundings."""


def rows_of(kind, soft, classes):
    rng = np.random.default_rng(11)
    n = 200
    if classes is None:
        p = np.concatenate(
            [[0.0, 1.0, 5e-324, 1e-16, 1 - 2.0**-53, 0.5], rng.random(n), 10.0 ** rng.uniform(-20, 0, n)]
        )
        score = p if kind == "probability" else np.concatenate([[np.inf, -np.inf, 0.0], rng.uniform(-30, 30, 2 * n)])
        label = rng.random(score.size) if soft else rng.integers(0, 2, score.size)
        if soft:
            label[::5] = rng.integers(0, 2, label[::5].size)
        return {"label": label, "prediction": score}
    p = rng.dirichlet(np.full(classes, 0.3), n)
    p[::9] = np.eye(classes)[rng.integers(0, classes, p[::9].shape[0])]
    p[1::9, :2] = p[1::9, :2].mean(axis=1, keepdims=True)  # ties
    with np.errstate(divide="ignore"):
        score = p if kind == "probability" else np.log(p) + rng.normal(size=(n, 1))
    label = rng.dirichlet(np.full(classes, 0.5), n) if soft else rng.integers(0, classes, n)
    return {"label": label, "prediction": score}


def shares_and_probabilities(rows, kind, soft, classes):
    """Labels and forecasts, both as one share per class."""
    label, score = rows["label"], rows["prediction"]
    if classes is None:
        p = score if kind == "probability" else scipy.special.expit(score)
        other = 1 - p if kind == "probability" else scipy.special.expit(-score)
        return np.stack([1 - label, label], axis=1), np.stack([other, p], axis=1)
    p = score if kind == "probability" else scipy.special.softmax(score, axis=1)
    return (label if soft else np.eye(classes)[label]), p


FORMS = [(kind, soft, classes) for kind in ("probability", "logit") for soft in (False, True) for classes in (None, 4)]


@pytest.fixture(scope="module", params=FORMS, ids=str)
def terms(request, spark):
    """The terms of one form of prediction, with labels and forecasts as one share per class."""
    kind, soft, classes = request.param
    rows = rows_of(kind, soft, classes)
    named = {} if classes is None else {"classes": tuple(range(classes))}
    found = scored_rows(spark, rows, engine=["native"], kind=kind, soft_labels=soft, **named)["native"]
    assert (found["status"] == 0).all()
    return (kind, classes), found, *shares_and_probabilities(rows, *request.param)


def test_brier_is_the_squared_distance_and_of_a_scalar_forecast_half_of_it(terms):
    (_, classes), found, y, p = terms
    squares = ((p - y) ** 2).sum(axis=1) / (2 if classes is None else 1)
    # A logit's p is known to 1e-16 only, which is all there is of a tiny Brier score.
    np.testing.assert_allclose(found["brier"], squares, rtol=NEAR, atol=1e-16)


def test_entropy_is_that_of_the_forecast(terms):
    _, found, _, p = terms
    # SciPy's entr of 1 - p near 1 has the rounding of 1 - p, hence the absolute part.
    np.testing.assert_allclose(found["entropy"], scipy.special.entr(p).sum(axis=1), rtol=NEAR, atol=1e-15)


def test_the_tail_keeps_the_digits_of_a_forecast_near_one(terms):
    (_, classes), found, _, p = terms
    if classes is None:
        np.testing.assert_allclose(found["tail"], p.min(axis=1), rtol=NEAR)
        np.testing.assert_array_equal(found["upper"], p[:, 1] >= 0.5)
    else:
        top = p.max(axis=1)
        np.testing.assert_allclose(found["tail"], np.minimum(top, 1 - top), rtol=NEAR, atol=2e-16)


def test_the_label_of_a_row_is_whether_its_top_class_happened(terms):
    (_, classes), found, y, p = terms
    # Of equals the first, which is what argmax takes, too.
    wanted = y[:, 1] if classes is None else y[np.arange(len(y)), p.argmax(axis=1)]
    np.testing.assert_allclose(found["y"], wanted, rtol=0, atol=0)


def test_clipped_rows_gave_what_happened_less_than_eps_and_zero_rows_nothing(terms):
    (kind, _), found, y, p = terms
    happened = np.where(y > 0, p, 1.0).min(axis=1)
    if kind == "probability":
        np.testing.assert_array_equal(found["clipped"], happened < EPS)
        np.testing.assert_array_equal(found["zero"], happened == 0)
    else:
        # Logits are never clipped, and only an infinite one makes something impossible.
        assert not found["clipped"].any()
        np.testing.assert_array_equal(found["zero"], np.isinf(found["loss"]))


def test_labels_and_probabilities_of_each_class_are_the_rows_own(terms):
    (_, classes), found, y, p = terms
    if classes is not None:
        np.testing.assert_array_equal(found["labels"], y)
        # A softmax divides by a sum: an ulp per step.
        np.testing.assert_allclose(found["probabilities"], p, rtol=NEAR)


@pytest.mark.parametrize("kind", ["hard", "soft"])
def test_an_entry_beyond_the_unit_interval_within_the_tolerance_has_the_terms_of_its_end(spark, kind):
    given = np.array([[1.00002, 0.0, 0.0], [-3e-5, 0.5, 0.50002], [1.0, 5e-5, -5e-5]])
    labels = given[::-1] if kind == "soft" else [0, 1, 2]
    spec = {"classes": (0, 1, 2), "soft_labels": kind == "soft", "sum_tolerance": 1e-4}
    ends = np.clip(labels, 0, 1) if kind == "soft" else labels
    tables = {}
    for name, label, prediction in (("given", labels, given), ("ends", ends, np.clip(given, 0, 1))):
        rows = [(k, label[k].tolist() if kind == "soft" else k, prediction[k].tolist()) for k in range(3)]
        type_ = "array<double>" if kind == "soft" else "int"
        df = spark.createDataFrame(rows, f"row int, label {type_}, prediction array<double>")
        tables |= {
            f"{engine} {name}": batches.scored_table(df, engine=engine, **spec) for engine in ("pandas", "native")
        }
        loss = L.cross_entropy("label", "prediction", **spec)
        tables[f"function {name}"] = df.select(df.row.alias("slice_0"), loss.alias("loss"))
    functions = [collected({name: tables.pop(name)})[name]["loss"] for name in ("function given", "function ends")]
    found = collected(tables)
    for engine in ("pandas", "native"):
        for term, values in found[f"{engine} ends"].items():
            np.testing.assert_array_equal(found[f"{engine} given"][term], values)
        assert (found[f"{engine} given"]["status"] == 0).all()
    np.testing.assert_array_equal(*functions)
    np.testing.assert_array_equal(functions[0], found["pandas ends"]["loss"])
    assert kind == "soft" or functions[0][0] == 0.0
