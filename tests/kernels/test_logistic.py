"""Loss, gradient and Hessian of logistic regression against mpmath, central differences and each other."""

import mpmath
import numpy as np
import pytest

from logloss_spark.kernels.logistic import (
    AS_THEY_CAME,
    Block,
    Standardization,
    binary_derivatives,
    gram,
    lead,
    loss_and_gradient,
    loss_gradient_and_hessian,
    moments,
    multinomial_derivatives,
    raw_parameters,
    standardised,
    standardised_gradient,
)
from logloss_spark.kernels.matrix import Sparse, dense, some_rows, times, transposed_times

RNG = np.random.default_rng(20261121)
MARGINS = np.array([0.0, 1e-300, 1e-8, 0.5, 1.0, 20.0, 36.0, 700.0, 745.0, 1e5])


def compressed(x) -> Sparse:
    rows, columns = np.nonzero(x)
    counts = np.bincount(rows, minlength=len(x))
    return Sparse(np.concatenate([[0], np.cumsum(counts)]), columns.astype(np.int32), x[rows, columns], x.shape[1])


def block(*, classes=2, rows=60, width=4, sparse=False, offset=False, held=False) -> Block:
    x = RNG.normal(size=(rows, width)) * (RNG.uniform(size=(rows, width)) < 0.5)
    centre = np.zeros(()) if sparse else x.mean(axis=0)
    return Block(
        x=compressed(x) if sparse else x - centre,
        y=RNG.integers(0, classes, rows).astype(float),
        weight=RNG.uniform(0.1, 3, rows),
        key=RNG.uniform(size=rows),
        centre=centre,
        offset=RNG.normal(size=rows) if offset else None,
        held=RNG.uniform(size=rows) if held else None,
    )


STANDARD = Standardization(np.array([0.1, -0.2, 0.0, 0.3]), np.array([1.0, 2.0, 0.5, 0.0]))


@pytest.mark.parametrize("y", [0.0, 1.0])
@pytest.mark.parametrize("sign", [-1, 1])
def test_loss_and_derivatives_of_a_margin_agree_with_mpmath(y, sign):
    z = sign * MARGINS
    loss, residual, curvature = binary_derivatives(z, np.full(len(z), y))
    with mpmath.workdps(60):
        for place, value in enumerate(z):
            m = mpmath.mpf(float(value)) * (1 if y == 0 else -1)
            p = 1 / (1 + mpmath.exp(-m))  # of what did not happen
            # A handful of roundings: exp, division, product.
            assert loss[place] == pytest.approx(float(mpmath.log1p(mpmath.exp(m))), rel=1e-15, abs=1e-320)
            assert residual[place] == pytest.approx(float(p if y == 0 else -p), rel=1e-15, abs=1e-320)
            assert curvature[place] == pytest.approx(float(p / (1 + mpmath.exp(m))), rel=1e-15, abs=1e-320)


def test_several_classes_agree_with_mpmath_where_one_leads_by_a_hundred_thousand():
    z = np.array([[1e5, 0.0, -1e5], [0.1, 0.2, 0.3], [-1e5, -1e5, -1e5]])
    y = np.array([2.0, 1.0, 0.0])
    loss, residual, p = multinomial_derivatives(z, y)
    with mpmath.workdps(60):
        for row in range(3):
            powers = [mpmath.exp(mpmath.mpf(float(value))) for value in z[row]]
            exact = [power / sum(powers) for power in powers]
            assert loss[row] == pytest.approx(float(-mpmath.log(exact[int(y[row])])), rel=1e-15)
            np.testing.assert_allclose(p[row], [float(value) for value in exact], rtol=1e-15, atol=1e-320)
    np.testing.assert_array_equal(residual, p - np.eye(3)[y.astype(int)])


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("classes", [2, 3])
def test_gradient_and_hessian_agree_with_central_differences(classes, sparse):
    rows = block(classes=classes, sparse=sparse, offset=classes == 2)
    theta = RNG.normal(size=(1 if classes == 2 else classes, 5))
    sums = loss_gradient_and_hessian(rows, theta, STANDARD)
    step = 1e-5
    for place in range(theta.size):
        nudge = np.zeros(theta.size)
        nudge[place] = step
        up = loss_and_gradient(rows, theta + nudge.reshape(theta.shape), STANDARD)
        down = loss_and_gradient(rows, theta - nudge.reshape(theta.shape), STANDARD)
        # The difference is off by step^2 / 6 times the third derivative, and by 1e-16 times the sum / step.
        assert sums["gradient"].ravel()[place] == pytest.approx((up["loss"] - down["loss"])[0] / (2 * step), abs=1e-6)
        change = (up["gradient"] - down["gradient"]).ravel() / (2 * step)
        np.testing.assert_allclose(sums["hessian"][place], change, atol=1e-6)


@pytest.mark.parametrize("classes", [2, 3, 12])
def test_the_hessian_is_the_same_whether_or_not_classes_share_the_products_of_columns(classes, monkeypatch):
    rows, theta = block(classes=classes, rows=700), RNG.normal(size=(1 if classes == 2 else classes, 5))
    found = []
    for shared in (False, True):
        monkeypatch.setattr("logloss_spark.kernels.logistic.share_products", lambda *_, shared=shared: shared)
        monkeypatch.setattr("logloss_spark.kernels.logistic.PRODUCTS", 1)  # 64 rows at a time
        found.append(loss_gradient_and_hessian(rows, theta, STANDARD)["hessian"])
    np.testing.assert_allclose(found[0], found[1], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("classes", [2, 4])
def test_sparse_rows_give_what_dense_rows_give(classes):
    rows = block(classes=classes, sparse=True)
    same = Block(dense(rows.x), rows.y, rows.weight, rows.key, np.zeros(4))
    theta = RNG.normal(size=(1 if classes == 2 else classes, 5))
    one, other = (loss_gradient_and_hessian(each, theta, STANDARD) for each in (rows, same))
    for name in one:
        np.testing.assert_allclose(one[name], other[name], rtol=1e-12, atol=1e-12)


def test_sparse_products_are_the_same_without_scipy(monkeypatch):
    rows = block(sparse=True)
    v, r = RNG.normal(size=(4, 3)), RNG.normal(size=(60, 3))
    with_scipy = (
        times(rows.x, v),
        transposed_times(rows.x, r),
        times(rows.x, v[:, 0]),
        transposed_times(rows.x, r[:, 0]),
    )
    monkeypatch.setattr("logloss_spark.kernels.matrix.scipy_matrix", lambda x: None)
    without = times(rows.x, v), transposed_times(rows.x, r), times(rows.x, v[:, 0]), transposed_times(rows.x, r[:, 0])
    for one, other in zip(with_scipy, without, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("classes", [2, 3])
def test_parameters_of_the_features_as_they_came_have_the_same_loss_and_gradient(classes):
    rows, theta = block(classes=classes, sparse=True), RNG.normal(size=(1 if classes == 2 else classes, 5))
    one = loss_and_gradient(rows, theta, STANDARD)
    other = loss_and_gradient(rows, raw_parameters(theta, STANDARD), AS_THEY_CAME)
    np.testing.assert_allclose(one["loss"], other["loss"], rtol=1e-13)
    gradient = standardised_gradient(other["gradient"], STANDARD)
    np.testing.assert_allclose(one["gradient"], gradient, rtol=1e-12, atol=1e-12)


def test_the_centre_of_a_block_is_no_part_of_its_sums():
    rows = block()
    moved = Block(rows.x + 5.0, rows.y, rows.weight, rows.key, rows.centre - 5.0)
    theta = RNG.normal(size=(1, 5))
    one, other = (loss_gradient_and_hessian(each, theta, STANDARD) for each in (rows, moved))
    for name in one:
        np.testing.assert_allclose(one[name], other[name], rtol=1e-10, atol=1e-10)


def test_sums_are_finite_at_margins_of_a_hundred_thousand():
    rows = block()
    sums = loss_gradient_and_hessian(rows, np.full((1, 5), 1e5), STANDARD)
    assert all(np.isfinite(value).all() for value in sums.values())


@pytest.mark.parametrize("theta", [np.zeros((1, 5)), np.zeros((3, 5))], ids=["binary", "multinomial"])
@pytest.mark.parametrize("sparse", [False, True])
def test_an_empty_block_adds_nothing(theta, sparse):
    nothing = np.zeros(0)
    x = compressed(np.zeros((0, 4))) if sparse else np.zeros((0, 4))
    empty = Block(x, nothing, nothing, nothing, np.zeros(()) if sparse else np.zeros(4))
    for value in loss_gradient_and_hessian(empty, theta, STANDARD).values():
        assert not value.any()
    assert not gram(empty, STANDARD)["gram"].any()


@pytest.mark.parametrize("sparse", [False, True])
def test_blocks_may_be_read_only(sparse):
    rows = block(sparse=sparse, offset=True, held=True)
    arrays = [rows.y, rows.weight, rows.offset, rows.held]
    arrays += [rows.x.values, rows.x.indices, rows.x.indptr] if sparse else [rows.x]
    before = [array.copy() for array in arrays]
    for array in arrays:
        array.setflags(write=False)
    loss_gradient_and_hessian(rows, np.ones((1, 5)), STANDARD)
    for array, same in zip(arrays, before, strict=True):
        np.testing.assert_array_equal(array, same)


def test_the_gram_matrix_is_that_of_the_standardised_rows():
    for sparse in (False, True):
        rows = block(sparse=sparse)
        design = standardised(rows, slice(None), STANDARD)
        np.testing.assert_allclose(
            gram(rows, STANDARD)["gram"], design.T @ (design * rows.weight[:, None]), rtol=1e-12, atol=1e-12
        )


def test_a_lead_is_the_margin_of_what_happened():
    x = np.array([[1.0], [2.0], [-3.0]])
    rows = Block(x, np.array([1.0, 0.0, 0.0]), np.ones(3), np.zeros(3), np.zeros(1))
    plain = Standardization(np.zeros(1), np.ones(1))
    found = lead(rows, np.array([[1.0, 0.0]]), plain)
    assert (found["low"][0], found["high"][0], found["reach"].tolist()) == (-2.0, 3.0, [3.0])


def test_moments_are_weighted_sums():
    x, w = RNG.normal(size=(50, 3)), RNG.uniform(size=50)
    for matrix in (x, compressed(x)):
        found = moments(matrix, w)
        np.testing.assert_allclose(found["wx"], w @ x, rtol=1e-13)
        np.testing.assert_allclose(found["wxx"], w @ (x * x), rtol=1e-13)
        assert (found["w"][0], found["w2"][0]) == pytest.approx((w.sum(), (w * w).sum()))


def test_some_rows_of_a_sparse_matrix_are_those_rows():
    x = RNG.normal(size=(10, 4)) * (RNG.uniform(size=(10, 4)) < 0.4)
    np.testing.assert_array_equal(dense(some_rows(compressed(x), slice(3, 8))), x[3:8])
