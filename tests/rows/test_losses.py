"""The loss of a row where it is not cross-entropy: by name in every form of forecast, or a function of the user's."""

import numpy as np
import pyarrow as pa
import pytest
import scipy.special
from pyspark.errors import PySparkException

from logloss_spark.errors import SpecError
from logloss_spark.io.spark_errors import translated
from logloss_spark.kernels.margin import CLASS_LOSSES, MARGIN_LOSSES
from logloss_spark.rows.losses import check_loss, given_loss, other_loss
from logloss_spark.rows.terms import with_loss
from logloss_spark.scoring import LOSSES
from tests.quick import quick
from tests.rows.batches import ready

INF, NAN = float("inf"), float("nan")
THREE = {"classes": (0, 1, 2)}

# Labels and predictions, of which these many can be scored (they stand first), and conventions.
FORMS = {
    "probability": ([1, 0, 1, 1, None, 7, 0, 1], [0.9, 0.2, 0.0, 1.0, 0.5, 0.5, None, NAN], 4, {}),
    "logit": ([1, 0, 0, 1, None], [2.2, -40.0, 1e6, -INF, 0.0], 4, {"kind": "logit"}),
    "share": ([0.3, 1.0, 0.5, 1.5], [0.9, 0.2, 1.0, 0.5], 3, {"soft_labels": True}),
    "classes": ([2, 0, None, 1], [[0.2, 0.3, 0.5], [0.0, 1.0, 0.0], [1.0, 0.0, 0.0], [0.5]], 2, THREE),
    "logits of classes": ([2, 0], [[1.0, 2.0, 3.0], [-800.0, 0.0, 0.0]], 2, {"kind": "logit"} | THREE),
    "distribution": (
        [[0.2, 0.3, 0.5], [1.0, 0.0, 0.0]],
        [[0.2, 0.3, 0.5], [0.4, 0.4, 0.2]],
        2,
        {"soft_labels": True} | THREE,
    ),
}


def rows_with(spark, form, loss):
    return ready(table_of(spark, form), loss=loss, **FORMS[form][3])


def table_of(spark, form):
    label, prediction, *_ = FORMS[form]
    return spark.createDataFrame(pa.table({"label": label, "prediction": prediction})).coalesce(1)


def by_hand(form, name):
    """The loss as its formula reads, from what each class costs and the share that it has of the label."""
    label, prediction, valid, conventions = FORMS[form]
    score, y = (np.array(column[:valid], dtype=float) for column in (prediction, label))
    logits = "kind" in conventions
    if score.ndim == 1:
        z = score if logits else scipy.special.logit(score)
        margins, shares = np.stack([-z, z], axis=1), np.stack([1 - y, y], axis=1)
        surprise = np.logaddexp(0, -margins)
    else:
        margins, shares = score, y if y.ndim == 2 else np.eye(3)[y.astype(int)]
        surprise = -scipy.special.log_softmax(score, axis=1) if logits else -np.log(score)
    costs = {
        "hinge": lambda: np.maximum(0, 1 - margins),
        "smooth_hinge": lambda: np.where(margins <= 0, 0.5 - margins, np.maximum(0, 1 - margins) ** 2 / 2),
        "squared": lambda: (1 - margins) ** 2,
        "exponential": lambda: np.exp(-margins),
        "savage": lambda: scipy.special.expit(-margins) ** 2,
        "tangent": lambda: (2 * np.arctan(margins) - 1) ** 2,
        "focal": lambda: (1 - np.exp(-surprise)) ** 2 * surprise,
        "label_smoothed": lambda: surprise,
    }[name]()
    shares = 0.9 * shares + 0.1 / shares.shape[1] if name == "label_smoothed" else shares
    return np.where(shares > 0, shares * np.where(shares > 0, costs, 0), 0).sum(axis=1)


@pytest.mark.filterwarnings("ignore:divide by zero", "ignore:overflow")
@pytest.mark.parametrize("form", quick(FORMS, "probability", "logits of classes", "distribution"))
def test_a_named_loss_of_a_row_is_its_formula(spark, form):
    rows = rows_with(spark, form, "focal")
    names = [*CLASS_LOSSES, *(MARGIN_LOSSES if rows.form.scalar else ())]
    columns = {name: other_loss(rows_with(spark, form, name)) for name in names}
    found = with_loss(rows).withColumns(columns).toPandas()
    assert (found.status == 0).tolist() == [place < FORMS[form][2] for place in range(len(found))]
    for name in names:
        # Probabilities go through their logits, which costs a few ulp; SciPy's e^-40 of softplus, its own rounding.
        np.testing.assert_allclose(
            found[name][found.status == 0].to_numpy(), by_hand(form, name), rtol=1e-13, atol=1e-30, err_msg=name
        )


def test_every_loss_with_a_name_is_one_of_the_kernels():
    assert set(LOSSES) == {"cross_entropy", *MARGIN_LOSSES, *CLASS_LOSSES}


def seen_as(y, p):
    """What a user's function is given, packed into a number: nothing but valid rows, of the right types and shapes."""
    assert y.shape[0] == p.shape[0]
    assert y.flags.writeable
    assert p.flags.writeable
    assert p.dtype == np.float64
    assert np.isfinite(p).all()
    assert np.isfinite(y).all()
    if np.issubdtype(y.dtype, np.integer):
        assert set(y) <= {0, 1, 2}
        return y + (p if p.ndim == 1 else p[np.arange(len(y)), y])
    return (y * p).reshape(len(y), -1).sum(axis=1)


@pytest.mark.parametrize(
    "form", quick(["probability", "classes", "share", "distribution"], "probability", "distribution")
)
def test_a_users_function_sees_the_rows_that_can_be_scored_and_no_others(spark, form):
    label, prediction, valid, _ = FORMS[form]
    rows = rows_with(spark, form, seen_as)
    check_loss(rows)
    found = with_loss(rows).toPandas()["loss"]
    given = (
        np.array(label[:valid], dtype=int if form in ("probability", "classes") else float),
        np.array(prediction[:valid]),
    )
    np.testing.assert_array_equal(found[:valid], seen_as(*(array.copy() for array in given)))
    assert found[valid:].isna().all()


def test_a_batch_without_a_valid_row_is_not_shown_to_a_function(spark):
    def least(y, p):
        return np.full(len(y), (y + p).min())  # raises where there is nothing

    df = spark.createDataFrame([(None, 0.5), (7, 0.5)], "label int, prediction double").coalesce(1)
    assert with_loss(ready(df, loss=least)).toPandas()["loss"].isna().all()


def failing(y, p):
    return p[len(y)]


def one_number(y, p):
    return np.mean(y - p)


def a_matrix(y, p):
    return np.stack([y, p], axis=1)


def means_of_classes(y, p):
    return p.mean(axis=0)


def always_three(y, p):
    return np.ones(3)


def not_a_number(y, p):
    return np.full(len(y), NAN)


def words(y, p):
    return ["much"] * len(y)


@pytest.mark.parametrize(
    ("form", "loss", "line"),
    [
        ("probability", failing, r"loss 'failing' must take arrays .* failed: IndexError: .*out of bounds"),
        (
            "probability",
            one_number,
            r"'one_number' must return one number per row, an array of shape \(3,\), got shape \(\)",
        ),
        ("probability", a_matrix, r"'a_matrix' must return one number per row, .* got shape \(3, 2\)"),
        ("probability", always_three, r"an array of shape \(1,\), got shape \(3,\)"),
        ("classes", means_of_classes, r"array of shape \(4,\), got shape \(3,\)"),
        ("distribution", not_a_number, r"got NaN for label \[1\. 0\. 0\.\] and prediction \[0\.333"),
        ("probability", words, r"failed: ValueError: could not convert string"),
        (
            "classes",
            "hinge",
            r"loss 'hinge' needs a binary forecast .* got 3 entries: .* cross_entropy, focal, label_smoothed",
        ),
    ],
)
def test_a_loss_that_does_not_fit_is_refused_before_a_row_is_read(spark, form, loss, line):
    rows = rows_with(spark, form, loss)
    with pytest.raises(SpecError, match=line) as refused:
        check_loss(rows)
    assert "\n" not in str(refused.value)


def test_a_row_of_many_classes_is_told_in_one_line():
    with pytest.raises(SpecError, match=r"got NaN for label 0 and prediction \[0\.001 0\.001 \.\.\. ") as refused:
        given_loss(not_a_number, "not_a_number", np.arange(2), np.full((2, 1000), 1e-3))
    assert "\n" not in str(refused.value)


def test_a_function_that_fails_on_a_row_says_so_in_one_line_of_sparks_error(spark):
    def only_certain(y, p):
        return np.where(p == 0.9, NAN, p)

    rows = rows_with(spark, "probability", only_certain)
    check_loss(rows)
    with pytest.raises(PySparkException, match=r"got NaN for label 1 and prediction 0\.9") as failed:
        with_loss(rows).collect()
    assert str(translated(failed.value)).endswith(
        "loss 'only_certain' must return a number for every row that can be scored, got NaN for "
        "label 1 and prediction 0.9"
    )
