"""Every engine means the same: statuses and terms of all rows are those of the NumPy kernels, over the whole domain."""

import numpy as np
import pytest

from tests.rows.batches import scored_rows, ulps
from tests.rows.engines import ENGINES, NEARNESS
from tests.rows.reference import terms_of

INF, NAN = np.inf, np.nan
SUM_TOLERANCE = 1e-5


def probabilities(rng, n=150):
    """Both ends of the unit interval down to their last double, and its middle."""
    edges = [0.0, 5e-324, 1e-323, 2.0**-1022, 1e-15, np.nextafter(1e-15, 1), 0.5, 1 - 2.0**-53, 1 - 2.0**-52, 1.0]
    return np.concatenate([edges, 10.0 ** rng.uniform(-323, 0, n), rng.random(n), 1 - 10.0 ** rng.uniform(-16, 0, n)])


def logits(rng, n=150):
    """Logits of both signs from 5e-324 to 1e6, and the infinite ones."""
    edges = [0.0, -0.0, 5e-324, -5e-324, 36.7, -36.7, 709.0, 745.2, -745.2, 1e6, -1e6, INF, -INF]
    size = 10.0 ** rng.uniform(-20, 6, n)
    return np.concatenate([edges, size, -size, rng.uniform(-750, 750, n), rng.normal(size=n)])


def shares(rng, n):
    return np.where(rng.random(n) < 0.2, rng.integers(0, 2, n), np.where(rng.random(n) < 0.5, rng.random(n), 1e-300))


def distributions(rng, n, classes):
    """Distributions, even ones and ones in which a class dominates and others vanish."""
    concentration = 10.0 ** rng.uniform(-2, 1, (n, 1))
    raw = rng.gamma(np.broadcast_to(concentration, (n, classes))) + 0.0
    raw[np.arange(n), rng.integers(0, classes, n)] += 1e-3
    return raw / raw.sum(axis=1, keepdims=True)


def many_logits(rng, n, classes):
    """Logits near each other, far apart, with a class that dominates, impossible ones, and a certain one."""
    z = rng.normal(size=(n, classes)) * 10.0 ** rng.uniform(-2, 6, (n, 1))
    dominated = np.arange(n) % 4 == 1
    z[dominated] = rng.normal(size=(dominated.sum(), classes)) + 1e3
    z[dominated, rng.integers(0, classes, dominated.sum())] += rng.choice([40.0, 300.0, 700.0, 760.0], dominated.sum())
    z[np.arange(n) % 4 == 2, 0] = -INF
    z[::29, 1] = INF
    return z


def binary(rng, kind, soft):
    score = probabilities(rng) if kind == "probability" else logits(rng)
    score = np.concatenate([score, score])
    label = shares(rng, score.size) if soft else np.repeat([0, 1], score.size // 2)
    return {"label": label, "prediction": score}


def classes_of(rng, kind, soft, classes, n):
    score = distributions(rng, n, classes) if kind == "probability" else many_logits(rng, n, classes)
    if kind == "probability":
        score[::9] = np.eye(classes)[rng.integers(0, classes, score[::9].shape[0])]
    score[3::8, :2] = score[3::8, :2].mean(axis=1, keepdims=True)  # ties
    label = distributions(rng, n, classes) if soft else rng.integers(0, classes, n)
    if soft:
        label[::7] = np.eye(classes)[rng.integers(0, classes, label[::7].shape[0])]
    return {"label": label, "prediction": score}


FORMS = {
    "probability": ("probability", False, None),
    "probability, soft": ("probability", True, None),
    "logit": ("logit", False, None),
    "logit, soft": ("logit", True, None),
    "margin": ("margin", False, None),
    "3 probabilities": ("probability", False, 3),
    "10 probabilities, soft": ("probability", True, 10),
    "1,000 probabilities, soft": ("probability", True, 1000),
    "2 logits": ("logit", False, 2),
    "10 logits": ("logit", False, 10),
    "1,000 logits": ("logit", False, 1000),
    "10 logits, soft": ("logit", True, 10),
    "1,000 logits, soft": ("logit", True, 1000),
}


OVER_CONNECT = ("3 probabilities",)
QUICK = ("probability", "logit, soft", "3 probabilities", "10 logits, soft")


def rows_of(form):
    """A table of a form: rows that can be scored, over the whole domain, and among them rows that cannot."""
    kind, soft, classes = FORMS[form]
    rng = np.random.default_rng(len(form))
    n = 40 if classes == 1000 else 240
    rows = binary(rng, kind, soft) if classes is None else classes_of(rng, kind, soft, classes, n)
    if kind == "margin":
        rows["prediction"] = np.stack([-rows["prediction"], rows["prediction"]], axis=1)
    columns = {name: values.tolist() for name, values in rows.items()} | {"weight": [1.0] * len(rows["label"])}
    for name, values in hostile(rng, kind, soft, classes).items():
        for place, value in zip(rng.choice(len(columns[name]), len(values), replace=False), values, strict=True):
            columns[name][place] = value
    return columns


def hostile(rng, kind, soft, classes):
    """Values that make a row invalid, or all but do."""
    numbers = [None, NAN, INF, -INF, 1.5, -1e-300]
    size = 2 if kind == "margin" else classes
    scores = numbers if size is None else hostile_lists(rng, size)
    labels = (
        (numbers if classes is None else hostile_lists(rng, classes)) if soft else [None, -1, classes or 2, 2**31 - 1]
    )
    return {"label": labels, "prediction": scores, "weight": [*numbers, -0.0, 5e-324]}


def hostile_lists(rng, size):
    """Lists that hold nulls and NaN, are too long or short, out of range, or off 1 by the tolerance and a bit."""
    even = [1.0 / size] * size
    slack = SUM_TOLERANCE + size * 2.0**-52
    off = [[1.0 + sign * slack * (1 + bit) - sum(even[1:]), *even[1:]] for sign in (1, -1) for bit in (1e-3, -1e-3)]
    return [
        *off,
        None,
        [None, *even[1:]],
        [NAN, *even[1:]],
        [None, NAN, *even],
        even[1:],
        [*even, 0.0],
        [-INF] * size,
        [INF, INF, *even[2:]],
        [1.0 + 2 * slack, -2 * slack, *[0.0] * (size - 2)],
        [1.0 + slack / 2, -slack / 2, *[0.0] * (size - 2)],
    ]


def marks(form):
    return [pytest.mark.connect] * (form in OVER_CONNECT) + [pytest.mark.slow] * (form not in QUICK)


@pytest.fixture(scope="module", params=[pytest.param(name, marks=marks(name)) for name in FORMS])
def terms(request, spark):
    """The terms of one form of prediction: those of the kernels, and those of every engine."""
    kind, soft, classes = FORMS[request.param]
    columns = rows_of(request.param)
    clip = "eps" if request.param in ("probability", "3 probabilities") else "none"
    named = {} if classes is None else {"classes": tuple(range(classes))}
    spec = {"kind": kind, "soft_labels": soft, "clip": clip, "sum_tolerance": SUM_TOLERANCE, **named}
    return terms_of(**columns, **spec), scored_rows(spark, columns, weight="weight", engine=ENGINES, **spec)


@pytest.mark.parametrize("engine", ENGINES)
def test_every_row_has_the_status_that_the_kernels_give_it(terms, engine):
    wanted, found = terms
    np.testing.assert_array_equal(found[engine]["status"], wanted["status"])
    assert (wanted["status"] == 0).sum() > 10
    assert len(set(wanted["status"].tolist())) > 5


@pytest.mark.parametrize("engine", ENGINES)
def test_an_engine_has_all_the_terms_of_the_kernels(terms, engine):
    wanted, found = terms
    assert found[engine].keys() - {"slice_0"} == wanted.keys()


@pytest.mark.parametrize("engine", ENGINES)
def test_what_an_engine_has_exactly_it_has_to_the_last_bit(terms, engine):
    wanted, found = terms
    ok = wanted["status"] == 0
    for name in wanted.keys() & {*ENGINES[engine].exact}:
        np.testing.assert_array_equal(found[engine][name][ok], wanted[name][ok], err_msg=name)


@pytest.mark.parametrize("engine", ENGINES)
def test_every_other_term_is_as_near_as_is_promised(terms, engine):
    wanted, found = terms
    ok = wanted["status"] == 0
    for name in wanted.keys() - {*ENGINES[engine].exact}:
        near = NEARNESS[name]
        with np.errstate(invalid="ignore"):  # of two infinities
            off = np.abs(found[engine][name][ok] - wanted[name][ok])
        away = ulps(found[engine][name][ok], wanted[name][ok])
        assert not ((away > near.ulps) & ~(off <= near.absolute)).any(), (name, away.max(), off[away > near.ulps].max())


@pytest.mark.parametrize("engine", ENGINES)
def test_a_certain_and_right_forecast_costs_zero_and_not_minus_zero(terms, engine):
    wanted, found = terms
    assert not np.signbit(found[engine]["loss"][wanted["status"] == 0]).any()
