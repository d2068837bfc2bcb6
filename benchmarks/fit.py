"""The fitter beside MLlib and scikit-learn: one process, the same cores, the same Parquet of ML vectors.

    python benchmarks/fit.py [--sets dense ill sparse classes] [--repeat 3] [--folder build/bench/fit] [--no-growth]

Each contender goes from the files to coefficients, to a relative gap of 1e-8: the objective, computed by one kernel for
all, less the best that any of them found, as a share of the entropy of the labels. The gap is printed. `cold` is the
first run in this process, `warm` the best of the others. The machine is shared: ratios are what to read.
"""

import argparse
import gc
import json
import os
import resource
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pyspark.ml.classification import LogisticRegression
from pyspark.ml.linalg import VectorUDT
from pyspark.sql import DataFrame, SparkSession
from scipy import sparse
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression as SklearnLogisticRegression

import logloss_spark as ls
from logloss_spark.fit.passes import TrainingRows
from logloss_spark.fit.spec import Training
from logloss_spark.fit.table import training_table
from logloss_spark.io.session import session
from logloss_spark.kernels.logistic import Block, Standardization, loss_and_gradient

CORES = 2
GAP = 1e-8
ROWS_OF_A_FILE = 100_000
VECTOR = pa.struct(
    [("type", pa.int8()), ("size", pa.int32()), ("indices", pa.list_(pa.int32())), ("values", pa.list_(pa.float64()))]
)
SCHEMA = {
    "type": "struct",
    "fields": [
        {"name": "label", "type": "double", "nullable": False, "metadata": {}},
        {"name": "features", "type": VectorUDT().jsonValue(), "nullable": True, "metadata": {}},
    ],
}
FIELDS = pa.schema([("label", pa.float64()), ("features", VECTOR)]).with_metadata(
    {"org.apache.spark.sql.parquet.row.metadata": json.dumps(SCHEMA)}
)


@dataclass(frozen=True)
class TrainingSet:
    """A table to make: `condition` is that of the correlations of its features."""

    title: str
    rows: int
    width: int
    classes: int = 2
    stored: int | None = None
    condition: float = 1.0


SETS = {
    "dense": TrainingSet("2 M rows x 30 dense features", 2_000_000, 30),
    "ill": TrainingSet("2 M rows x 30, condition number 1e6", 2_000_000, 30, condition=1e6),
    "sparse": TrainingSet("1 M rows x 100,000 features, 30 of them stored", 1_000_000, 100_000, stored=30),
    "classes": TrainingSet("200,000 rows x 50 features, 10 classes", 200_000, 50, classes=10),
}


def features(made: TrainingSet, rng: np.random.Generator, rows: int) -> np.ndarray | sparse.csr_array:
    """Some rows of a set."""
    if made.stored is None:
        mixing = np.random.default_rng(7).normal(size=(made.width, made.width))
        left, _, right = np.linalg.svd(mixing)
        spread = np.geomspace(1.0, made.condition**-0.5, made.width)
        return rng.normal(size=(rows, made.width)) @ (left * spread @ right) * np.geomspace(0.1, 10, made.width) + 3
    places = (made.width * rng.uniform(size=(rows, made.stored)) ** 2).astype(np.int32)  # some columns are frequent
    places.sort(axis=1)
    values = rng.uniform(0.5, 1.5, size=places.shape)
    values[:, 1:][places[:, 1:] == places[:, :-1]] = 0.0  # a column comes once
    matrix = sparse.csr_array(
        (values.ravel(), places.ravel(), np.arange(0, places.size + 1, made.stored)), shape=(rows, made.width)
    )
    matrix.sum_duplicates()
    matrix.eliminate_zeros()
    return matrix


def make_table(made: TrainingSet, folder: Path) -> None:
    """Write a set, in files of a hundred thousand rows."""
    truth = np.random.default_rng(1).normal(size=(made.width, 1 if made.classes == 2 else made.classes))
    folder.mkdir(parents=True, exist_ok=True)
    for number, start in enumerate(range(0, made.rows, ROWS_OF_A_FILE)):
        path = folder / f"part-{number:05d}.parquet"
        if path.exists():
            continue
        rng = np.random.default_rng([2, number])
        rows = min(ROWS_OF_A_FILE, made.rows - start)
        x = features(made, rng, rows)
        if made.stored is None:
            scaled = (x - 3) / np.geomspace(0.1, 10, made.width)
            z = scaled @ truth / np.sqrt(made.width) * 2
        else:
            z = np.asarray(x @ truth) / np.sqrt(made.stored)
        noise = rng.gumbel(size=(rows, max(made.classes, 2)))
        label = (np.column_stack([np.zeros(rows), z - 1]) if made.classes == 2 else z) + noise
        table = pa.table({"label": label.argmax(axis=1).astype(float), "features": vectors(x)}, schema=FIELDS)
        pq.write_table(table, path.with_suffix(".tmp"))
        path.with_suffix(".tmp").rename(path)


def vectors(x: np.ndarray | sparse.csr_array) -> pa.Array:
    """Rows as ML vectors are stored: type 0 is sparse, 1 dense."""
    rows, width = x.shape
    if isinstance(x, np.ndarray):
        values = pa.ListArray.from_arrays(np.arange(0, x.size + 1, width, dtype=np.int32), pa.array(x.ravel()))
        nothing = pa.nulls(rows, pa.int32()), pa.nulls(rows, pa.list_(pa.int32()))
        kind = pa.array(np.ones(rows, dtype=np.int8))
        return pa.StructArray.from_arrays([kind, *nothing, values], fields=list(VECTOR))
    offsets = x.indptr.astype(np.int32)
    indices = pa.ListArray.from_arrays(offsets, pa.array(x.indices.astype(np.int32)))
    values = pa.ListArray.from_arrays(offsets, pa.array(x.data))
    kind, size = pa.array(np.zeros(rows, dtype=np.int8)), pa.array(np.full(rows, width, dtype=np.int32))
    return pa.StructArray.from_arrays([kind, size, indices, values], fields=list(VECTOR))


def in_memory(made: TrainingSet, folder: Path) -> tuple[np.ndarray | sparse.csr_array, np.ndarray]:
    """Features and labels, read by pyarrow."""
    table = pq.read_table(folder).combine_chunks()
    stored = table["features"].combine_chunks()
    values = stored.field("values")
    entries = values.flatten().to_numpy()
    label = table["label"].to_numpy()
    if made.stored is None:
        return entries.reshape(-1, made.width), label
    indices = stored.field("indices").flatten().to_numpy()
    return sparse.csr_array((entries, indices, values.offsets.to_numpy()), shape=(len(label), made.width)), label


def contenders(spark: SparkSession, made: TrainingSet, folder: Path) -> dict[str, Callable[[], tuple]]:
    """Each goes from the files to coefficients (C, d) and intercepts (C,)."""

    def table() -> DataFrame:
        return spark.read.parquet(str(folder))

    def ours(solver: str) -> tuple:
        classes = tuple(range(made.classes))
        model = ls.fit_logistic(
            table(), features="features", label="label", classes=classes, solver=solver, tol=GAP / 10
        )
        return model.coefficients, model.intercepts

    def mllib() -> tuple:
        model = LogisticRegression(tol=1e-9 if made.stored is None else 1e-8, maxIter=500).fit(table())
        return model.coefficientMatrix.toArray(), model.interceptVector.toArray()

    def sklearn(solver: str) -> tuple:
        x, y = in_memory(made, folder)
        if isinstance(x, np.ndarray):
            mean, scale = x.mean(axis=0), x.std(axis=0)
            x = (x - mean) / scale
        else:
            mean, scale = np.zeros(made.width), np.ones(made.width)
        model = SklearnLogisticRegression(C=np.inf, solver=solver, tol=1e-6, max_iter=1000).fit(x, y)
        coefficients = model.coef_ / scale
        return coefficients, model.intercept_ - coefficients @ mean

    found = {"ours, gd": partial(ours, "gd"), "ours, lbfgs": partial(ours, "lbfgs")}
    if made.stored is None:
        found["ours, newton"] = partial(ours, "newton")
    found["MLlib"] = mllib
    if made.stored is None:
        found["scikit-learn newton-cholesky"] = partial(sklearn, "newton-cholesky")
    return found | {"scikit-learn lbfgs": partial(sklearn, "lbfgs")}


def objectives(made: TrainingSet, folder: Path, found: dict[str, tuple]) -> tuple[dict[str, float], float]:
    """The mean loss of each contender's coefficients by one kernel, and the entropy of the labels."""
    x, y = in_memory(made, folder)
    losses = {}
    for name, (coefficients, intercepts) in found.items():
        if isinstance(x, np.ndarray):
            block = Block(x, y, np.ones(len(y)), np.zeros(0), np.zeros(made.width))
            theta = np.column_stack([coefficients, intercepts])
            plain = Standardization(np.zeros(made.width), np.ones(made.width))
            losses[name] = float(loss_and_gradient(block, theta, plain)["loss"][0]) / len(y)
        else:
            z = x @ coefficients[0] + intercepts[0]
            losses[name] = float(np.logaddexp(0, np.where(y == 1, -z, z)).mean())
    shares = np.bincount(y.astype(int)) / len(y)
    return losses, float(-(shares * np.log(shares)).sum())


def print_times(spark: SparkSession, made: TrainingSet, folder: Path, repeat: int) -> None:
    """Time each contender, in turns."""
    runs = contenders(spark, made, folder)
    times: dict[str, list[float]] = {name: [] for name in runs}
    found = {}
    for _ in range(repeat + 1):
        for name, run in runs.items():
            began = time.perf_counter()
            found[name] = run()
            times[name].append(time.perf_counter() - began)
            spark.catalog.clearCache()
            gc.collect()
    losses, entropy = objectives(made, folder, found)
    best = min(losses.values())
    warm = {name: min(taken[1:]) for name, taken in times.items()}
    print(f"\n{made.title}")
    print(f"{'':30}{'cold s':>8}{'warm s':>8}{'/ MLlib':>9}{'gap':>10}")
    for name, taken in times.items():
        gap = (losses[name] - best) / entropy
        late = "" if gap <= GAP else "  above the gap asked for"
        print(
            f"{name:30}{taken[0]:8.2f}{warm[name]:8.2f}{warm[name] / warm['MLlib']:9.2f}{gap:10.1e}{late}", flush=True
        )


def print_pass(spark: SparkSession, made: TrainingSet, folder: Path) -> None:
    """A pass over the blocks beside the same in NumPy, and beside a pass over no rows."""
    training = Training(features="features", label="label", classes=(0, 1))
    theta = np.zeros((1, made.width + 1))
    plain = Standardization(np.zeros(made.width), np.ones(made.width))
    work = partial(loss_and_gradient, theta=theta, standard=plain)
    table = spark.read.parquet(str(folder))
    with TrainingRows(training_table(table, training)) as rows:
        whole = best_of(lambda: rows.sums(work))
        nothing = best_of(lambda: rows.sums(no_work))
    x, y = in_memory(made, folder)
    block = Block(x, y, np.ones(len(y)), np.zeros(0), np.zeros(made.width))
    numpy = best_of(lambda: work(block)) / CORES
    print(
        f"\nA pass over {made.rows:,} rows: {whole:.3f} s; over blocks without work {nothing:.3f} s; "
        f"NumPy {numpy:.3f} s"
    )
    print(f"a pass / (NumPy + blocks without work): {whole / (numpy + nothing):.2f}", flush=True)


def no_work(block: Block) -> dict[str, np.ndarray]:
    """What a pass costs that does nothing."""
    return {"loss": np.zeros(1)}


def best_of(run: Callable[[], object], repeat: int = 7) -> float:
    """The shortest time of several."""

    def taken() -> Iterator[float]:
        for _ in range(repeat):
            began = time.perf_counter()
            run()
            yield time.perf_counter() - began

    return min(taken())


def print_growth(spark: SparkSession, folder: Path) -> None:
    """The time of a pass and the memory of Python on the driver, from 1 to 20 million rows."""
    made = TrainingSet("growth", 20_000_000, 30)
    make_table(made, folder)
    files = sorted(str(file) for file in folder.glob("*.parquet"))
    work = partial(loss_and_gradient, theta=np.zeros((1, 31)), standard=Standardization(np.zeros(30), np.ones(30)))
    print(f"\nGrowth, 30 features\n{'rows':>12}{'a pass s':>10}{'driver MB':>11}")
    for millions in (1, 2, 5, 10, 20):
        table = spark.read.parquet(*files[: millions * 10])
        with TrainingRows(training_table(table, Training(features="features", label="label", classes=(0, 1)))) as rows:
            taken = best_of(lambda rows=rows: rows.sums(work), 5)
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
        print(f"{millions * 1_000_000:12,}{taken:10.3f}{memory:11.0f}", flush=True)


def main() -> None:
    """Make the tables, run the contenders, print ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", nargs="+", choices=SETS, default=list(SETS))
    parser.add_argument("--repeat", type=int, default=3, help="warm rounds, of which each contender's best counts")
    parser.add_argument("--folder", type=Path, default=Path("build/bench/fit"))
    parser.add_argument("--no-growth", action="store_true", help="leave out the sizes from 1 to 20 million rows")
    args = parser.parse_args()
    warnings.simplefilter("ignore", ConvergenceWarning)  # the gap says it
    conf = "--conf spark.python.unix.domain.socket.enabled=true"
    os.environ["PYSPARK_SUBMIT_ARGS"] = f"--master local[{CORES}] --driver-memory 6g {conf} pyspark-shell"
    spark = session("benchmark of fit")
    if not args.no_growth:  # first, while Python on the driver is small
        print_growth(spark, args.folder / "growth")
    for name in args.sets:
        make_table(SETS[name], args.folder / name)
        print_times(spark, SETS[name], args.folder / name, args.repeat)
        if name == "dense":
            print_pass(spark, SETS[name], args.folder / name)


if __name__ == "__main__":
    main()
