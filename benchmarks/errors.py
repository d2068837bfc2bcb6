"""The largest error of a row's loss against mpmath, for both engines, over the whole domain.

    python benchmarks/errors.py

An error is counted in units in the last place of the exact answer rounded to a double; for divergences, whose terms
cancel, it is relative.
"""

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from mpmath import mp, mpf
from pyspark.sql import SparkSession

from logloss_spark.io.session import session
from logloss_spark.kernels.divergence import kl
from logloss_spark.roles import Roles
from logloss_spark.rows.engines import Engine
from logloss_spark.rows.inputs import rows_of
from logloss_spark.rows.terms import with_loss
from logloss_spark.scoring import Kind, Scoring

Array = npt.NDArray[np.float64]
mp.dps = 400  # 1 - 5e-324 takes 324 of them
RANDOM = np.random.default_rng(20260101)


def losses(spark: SparkSession, label: Array, score: Array, *, kind: Kind, soft: bool, engine: Engine) -> Array:
    """What an engine makes of a table, in its order."""
    columns = {"label": label, "score": score}
    table = pa.table({name: pa.array(list(x) if x.ndim > 1 else x) for name, x in columns.items()})
    classes = tuple(range(score.shape[1])) if score.ndim > 1 else None
    roles = Roles(label="label", prediction="score")
    scoring = Scoring(kind=kind, soft_labels=soft, classes=classes, clip="none")
    scored = with_loss(rows_of(spark.createDataFrame(table), roles, scoring, engine=engine))
    return scored.select("loss").toArrow().column(0).to_numpy()


def exact_losses(label: Array, score: Array, kind: Kind, *, soft: bool) -> list[mpf]:
    """The same from mpmath."""
    of_classes = [exact_class_losses(np.atleast_1d(row), kind) for row in score]
    shares = (
        np.stack([1 - label, label], axis=1) if score.ndim == 1 else label if soft else np.eye(score.shape[1])[label]
    )
    return [
        mp.fsum(mpf(float(q)) * loss for q, loss in zip(of_row, row, strict=True) if q)
        for of_row, row in zip(shares, of_classes, strict=True)
    ]


def exact_class_losses(row: Array, kind: Kind) -> list[mpf]:
    """The loss that each class would bring."""
    scores = [mpf(float(x)) for x in row]
    if kind == "probability":
        shares = [1 - scores[0], scores[0]] if len(scores) == 1 else scores
        return [-mp.log(p) if p else mp.inf for p in shares]
    logits = [mpf(0), scores[0]] if len(scores) == 1 else scores
    top = max(logits)
    # log1p of the other classes: 1 + e^-1000 needs more digits than we carry.
    rest = mp.log1p(mp.fsum(mp.exp(z - top) for place, z in enumerate(logits) if place != logits.index(top)))
    return [(top - z) + rest for z in logits]


def largest_ulp(found: Array, exact: list[mpf]) -> float:
    """The largest error in units in the last place; infinities must agree."""
    rounded = np.array([float(x) for x in exact])
    if not np.array_equal(np.isinf(found), np.isinf(rounded)):
        raise SystemExit("an infinite loss is finite, or the other way round")
    rows = np.flatnonzero(np.isfinite(rounded))
    return max(float(abs(mpf(float(found[i])) - exact[i]) / mpf(float(np.spacing(rounded[i])))) for i in rows)


def domains() -> dict[str, tuple[Array, Array, Kind, bool]]:
    """What is measured: label, score, kind and whether labels are soft."""
    ends = np.array([0.0, 5e-324, 1e-300, 1e-15, 0.5, np.nextafter(0.5, 0), 1 - 2.0**-53, 1.0])
    p = np.concatenate(
        [ends, RANDOM.random(2000), 10 ** RANDOM.uniform(-300, 0, 2000), 1 - 10 ** RANDOM.uniform(-16, 0, 2000)]
    )
    z = np.concatenate([[0.0, 1e6, -1e6, 40.0, -745.0], RANDOM.normal(0, 10, 3000), RANDOM.normal(0, 300, 3000)])
    hard = RANDOM.integers(0, 2, p.size)
    found: dict[str, tuple[Array, Array, Kind, bool]] = {
        "binary, from p in [5e-324, 1-2^-53] and 0, 1": (hard, p, "probability", False),
        "binary, from logits to 1e6": (hard[: z.size], z, "logit", False),
        "binary, soft labels from p": (RANDOM.random(p.size), p, "probability", True),
        "binary, soft labels from logits": (RANDOM.random(z.size), z, "logit", True),
    }
    for size, rows in ((3, 1000), (10, 500), (1000, 20)):
        logits = RANDOM.normal(0, 5, (rows, size)) + RANDOM.uniform(-1e3, 1e3, (rows, 1))
        true = RANDOM.integers(0, size, rows)
        ahead = logits.copy()
        ahead[np.arange(rows), true] = logits.max(axis=1) + RANDOM.choice([40.0, 300.0], rows)
        shares = RANDOM.dirichlet(np.ones(size), rows)
        found |= {
            f"{size} classes, from logits": (true, logits, "logit", False),
            f"{size} classes, from logits, true class 40 or 300 ahead": (true, ahead, "logit", False),
            f"{size} classes, soft labels from p": (shares, RANDOM.dirichlet(np.ones(size), rows), "probability", True),
            f"{size} classes, soft labels from logits": (shares, logits, "logit", True),
        }
    return found


def largest_divergence_error(apart: float) -> float:
    """The largest relative error of KL between distributions of 10 classes that are this far apart."""
    q = RANDOM.dirichlet(np.ones(10) * 5, 200)
    p = q * (1 + apart * RANDOM.uniform(-1, 1, q.shape))
    worst = 0.0
    for found, left, right in zip(kl(q, p), q, p, strict=True):
        a, b = ([mpf(float(x)) for x in row] for row in (left, right))
        a, b = [x / mp.fsum(a) for x in a], [x / mp.fsum(b) for x in b]
        exact = mp.fsum(x * mp.log(x / y) for x, y in zip(a, b, strict=True))
        worst = max(worst, float(abs(mpf(float(found)) / exact - 1)))
    return worst


def main() -> None:
    """Print the table."""
    spark = session("errors of the engines")
    print(f"{'largest error, ulp':58}{'pandas':>8}{'native':>8}")
    for name, (label, score, kind, soft) in domains().items():
        exact = exact_losses(label, score, kind, soft=soft)
        of_engine = [
            largest_ulp(losses(spark, label, score, kind=kind, soft=soft, engine=engine), exact)
            for engine in ("pandas", "native")
        ]
        print(f"{name:58}" + "".join(f"{error:8.2f}" for error in of_engine), flush=True)
    print(f"\n{'largest relative error of KL, 10 classes':58}")
    for apart in (1e-1, 1e-3, 1e-6, 1e-9):
        print(f"{f'apart by {apart:g}':58}{largest_divergence_error(apart):8.1e}", flush=True)


if __name__ == "__main__":
    main()
