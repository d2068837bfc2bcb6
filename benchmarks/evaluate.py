"""The evaluation beside its peers: one process, the same cores, the same Parquet table, each contender warmed.

    python benchmarks/evaluate.py [--rows 20000000] [--repeat 5] [--folder build/bench/predictions]

The machine is shared, so times mean little and ratios are what to read: each contender's best of several rounds, in
which all take turns. Every repetition builds a new DataFrame: an action on an old one would reuse its shuffle.
`benchmarks/small.py` has the times of small tables, and `benchmarks/scale.py` those of large ones.
"""

import argparse
import gc
import os
import resource
import time
from collections.abc import Callable, Mapping, Sequence
from math import inf, log
from pathlib import Path
from typing import Any
from unittest.mock import patch

import duckdb
import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
from pyspark.ml.evaluation import MulticlassClassificationEvaluator
from pyspark.ml.functions import array_to_vector
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from sklearn.metrics import log_loss as sklearn_log_loss

import logloss_spark as ls
from logloss_spark.io.session import session
from logloss_spark.rows.engines import Engine
from logloss_spark.rows.form import Form

ROWS_OF_A_DAY = 1_000_000
CAP = -log(1e-15)
CORES = 2
BY = [["day"], ["segment"], ["day", "segment"]]
GROWTH = (2, 5, 10, 20, 50, 100)
"""Days, of a million rows each."""

EVENTS, CLASSIFIED = 5_000_000, 2_000_000
"""The rows of the table with clusters and three models, and of that with ten classes."""

CLUSTERS, CLASSES = 1_000_000, 10

Contenders = dict[str, Callable[[], float]]


def make_table(spark: SparkSession, folder: Path, days: int) -> None:
    """Write the table once: one partition a day, eight segments, weights, calibrated forecasts, and MLlib's vectors."""

    def uniform(seed: int) -> F.Column:
        return F.xxhash64("id", F.lit(seed)).cast("double") / 2.0**64 + 0.5

    for day in range(days):
        if (folder / f"day={day}" / "_SUCCESS").exists():
            continue
        rows = spark.range(day * ROWS_OF_A_DAY, (day + 1) * ROWS_OF_A_DAY, numPartitions=CORES)
        logit = (uniform(1) + uniform(2) + uniform(3) - 1.5) * 3 - 1
        table = rows.withColumn("p", 1 / (1 + F.exp(-logit))).select(
            (uniform(4) < F.col("p")).cast("int").alias("label"),
            "p",
            F.round(uniform(5) * 2 + 0.5, 3).alias("w"),
            F.concat(F.lit("segment-"), F.pmod(F.xxhash64("id"), F.lit(8)).cast("string")).alias("segment"),
            array_to_vector(F.array(1 - F.col("p"), F.col("p"))).alias("probability"),
        )
        table.coalesce(1).write.mode("overwrite").parquet(str(folder / f"day={day}"))


def paths(folder: Path, days: int) -> list[str]:
    """The partitions of the first days."""
    return [str(folder / f"day={day}") for day in range(days)]


def spark_table(spark: SparkSession, folder: Path, days: int) -> DataFrame:
    """A new DataFrame over the first days, which are linked into a folder of their own."""
    first = folder.parent / f"first-{days}-days"
    first.mkdir(exist_ok=True)
    for path in map(Path, paths(folder, days)):
        if not (first / path.name).exists():
            (first / path.name).symlink_to(path.resolve())
    return spark.read.parquet(str(first))


def files_of(folder: Path, days: int) -> list[str]:
    """The Parquet files of the first days."""
    return [str(file) for path in paths(folder, days) for file in sorted(Path(path).glob("*.parquet"))]


def duckdb_source(folder: Path, days: int) -> str:
    """What DuckDB reads the first days from."""
    return f"read_parquet({files_of(folder, days)}, hive_partitioning = true)"


def global_contenders(spark: SparkSession, folder: Path, days: int) -> Contenders:
    """One weighted log loss over everything."""
    files = files_of(folder, days)

    def engine(name: Engine) -> Callable[[], float]:
        return lambda: ls.log_loss(spark_table(spark, folder, days), "label", "p", weight="w", engine=name)

    def mllib() -> float:
        evaluator = MulticlassClassificationEvaluator(metricName="logLoss", probabilityCol="probability", weightCol="w")
        label = F.col("label").cast("double")
        table = spark_table(spark, folder, days)
        return evaluator.evaluate(table.select(label.alias("label"), label.alias("prediction"), "probability", "w"))

    def sklearn() -> float:
        frame = ds.dataset(files).to_table(columns=["label", "p", "w"]).to_pandas()
        return float(sklearn_log_loss(frame["label"], frame["p"], sample_weight=frame["w"]))

    def duck() -> float:
        loss = f"least(-CASE WHEN label = 1 THEN ln(p) ELSE ln(1 - p) END, {CAP})"
        total = duckdb.sql(f"SELECT sum(w * {loss}) / sum(w) FROM {duckdb_source(folder, days)}").fetchall()
        return float(total[0][0])

    def polars() -> float:
        loss = pl.min_horizontal(
            -pl.when(pl.col("label") == 1).then(pl.col("p").log()).otherwise((-pl.col("p")).log1p()), CAP
        )
        table = pl.scan_parquet(files).select(((pl.col("w") * loss).sum() / pl.col("w").sum()).alias("loss"))
        return float(table.collect(engine="streaming").item())

    return {
        "arrow engine": engine("arrow"),
        "native engine": engine("native"),
        "pandas engine": engine("pandas"),
        "MLlib": mllib,
        "scikit-learn": sklearn,
        "DuckDB": duck,
        "Polars": polars,
    }


TERMS = """
    sum(w) w, sum(w * w) w2, sum(w * tail) wt, sum(w * w * tail) w2t, sum(w * l) wl, sum(w * w * l) w2l,
    sum(w * w * l * l) w2ll, sum(w * w * (l - {chance}) * (l - {chance})) w2dd, sum(w * b) wb, sum(w * w * b) w2b,
    sum(w * w * b * b) w2bb, sum(w * h) wh, sum(w * w * v) w2v, sum(w * w * v * (1 - 4 * v)) w2s,
    sum(w * w * v * (a1 - a0) * (a1 - a0)) w2e, count(*) n
"""
"""The sums that a state is made of, for the peers."""


def full_contenders(spark: SparkSession, folder: Path, days: int) -> Contenders:
    """The full metric set by two columns; DuckDB and Polars compute the same sums by slice, bin and label."""

    def engine(name: Engine) -> Callable[[], float]:
        def run() -> float:
            table = spark_table(spark, folder, days)
            with ls.evaluate(table, label="label", prediction="p", weight="w", by=BY, engine=name) as evaluation:
                return float(evaluation.to_pandas()["log_loss"].iloc[0])

        return run

    def state_alone() -> float:
        table = spark_table(spark, folder, days)
        with ls.evaluate(table, label="label", prediction="p", weight="w", by=BY, engine="native") as evaluation:
            total = (
                evaluation.state.table.where("part = 'moments'").selectExpr("sum(wl + wl_low) / sum(w + w_low)").first()
            )
        assert total is not None
        return float(total[0])

    def with_plain_sums() -> float:
        with patch("logloss_spark.states.catalyst.precise_sums", plain_sums):
            return engine("native")()

    def duck() -> float:
        # A bin by arithmetic is nearly the grid's: peers are spared the correction against its edges.
        grouped = f"""
            WITH logs AS (
                SELECT day, segment, label, w, p, -ln(p) a1, -ln(1 - p) a0, least(p, 1 - p) tail
                FROM {duckdb_source(folder, days)}
                WHERE label IN (0, 1) AND p BETWEEN 0 AND 1 AND w > 0
            ), terms AS (
                SELECT *, least(CASE WHEN label = 1 THEN a1 ELSE a0 END, {CAP}) l, (p - label) * (p - label) b,
                    p * a1 + (1 - p) * a0 h, tail * (1 - tail) v,
                    CASE WHEN tail < 0.1 THEN -floor(40 * greatest(a0, a1) / {log(10)}) ELSE floor(200 * p) END AS bin
                FROM logs
            )
            SELECT day, segment, bin, p >= 0.5 AS upper, label, {TERMS.format(chance=log(2))}
            FROM terms GROUP BY day, segment, bin, upper, label
        """
        total = duckdb.sql(f"SELECT sum(wl) / sum(w) FROM ({grouped})").fetchall()
        return float(total[0][0])

    def polars() -> float:
        p, w, label = pl.col("p"), pl.col("w"), pl.col("label")
        logs = pl.scan_parquet(files_of(folder, days), hive_partitioning=True).with_columns(
            a1=-p.log(), a0=-(-p).log1p(), tail=pl.min_horizontal(p, 1 - p)
        )
        tail, a1, a0 = pl.col("tail"), pl.col("a1"), pl.col("a0")
        decades = pl.max_horizontal(a0, a1) / log(10)
        terms = logs.with_columns(
            loss=pl.min_horizontal(pl.when(label == 1).then(a1).otherwise(a0), CAP),
            b=(p - label) ** 2,
            h=p * a1 + (1 - p) * a0,
            v=tail * (1 - tail),
            bin=pl.when(tail < 0.1).then(-(40 * decades).floor()).otherwise((200 * p).floor()),
            upper=p >= 0.5,
        )
        loss, b, h, v, w2 = pl.col("loss"), pl.col("b"), pl.col("h"), pl.col("v"), w * w
        sums = {
            "sw": w, "w2": w2, "wt": w * tail, "w2t": w2 * tail, "wl": w * loss, "w2l": w2 * loss,
            "w2ll": w2 * loss**2, "w2dd": w2 * (loss - log(2)) ** 2, "wb": w * b, "w2b": w2 * b, "w2bb": w2 * b * b,
            "wh": w * h, "w2v": w2 * v, "w2s": w2 * v * (1 - 4 * v), "w2e": w2 * v * (a1 - a0) ** 2,
        }  # fmt: skip
        cells = terms.group_by("day", "segment", "bin", "upper", "label").agg(
            pl.len().alias("n"), **{name: term.sum() for name, term in sums.items()}
        )
        found = cells.select(pl.col("wl").sum() / pl.col("sw").sum()).collect(engine="streaming")
        return float(found.item())

    return {
        "arrow engine": engine("arrow"),
        "native engine": engine("native"),
        "its state alone": state_alone,
        "with plain sums": with_plain_sums,
        "pandas engine": engine("pandas"),
        "DuckDB": duck,
        "Polars": polars,
    }


def plain_sums(form: Form, terms: Mapping[str, str | None], *, where: str | None = None) -> dict[str, str]:
    """What `precise_sums` would be if means might lose their last digits: what those cost is the difference."""
    assert where is None
    weighted = {name: "weight" if term is None else f"weight * {term}" for name, term in terms.items()}
    sums = {f"{name}_high": f"sum({product})" for name, product in weighted.items()}
    return sums | {f"{name}_low": "0D" for name in terms}


def make_events(folder: Path) -> str:
    """Write once a table with three models and with clusters of a million values, as numbers and as text."""
    for part in range(EVENTS // ROWS_OF_A_DAY):
        rng = np.random.default_rng(part)
        logit = 1.5 * rng.standard_normal(ROWS_OF_A_DAY) - 1
        forecasts = [1 / (1 + np.exp(-logit - error * rng.standard_normal(ROWS_OF_A_DAY))) for error in (0, 0.2, 0.4)]
        user = rng.integers(CLUSTERS, size=ROWS_OF_A_DAY)
        columns = {
            "label": (rng.random(ROWS_OF_A_DAY) < forecasts[0]).astype(np.int32),
            **dict(zip("pqr", forecasts, strict=True)),
            "w": 0.5 + 2 * rng.random(ROWS_OF_A_DAY),
            "segment": pa.array([f"segment-{segment}" for segment in range(8)]).take(pa.array(user % 8)),
            "user": user,
            "name": pa.array([f"user-{number:07}" for number in range(CLUSTERS)]).take(pa.array(user)),
        }
        write_part(folder, part, columns)
    return str(folder)


def make_classified(folder: Path) -> str:
    """Write once a table of forecasts of ten classes."""
    for part in range(CLASSIFIED // ROWS_OF_A_DAY):
        rng = np.random.default_rng(part)
        forecasts = np.exp(rng.standard_normal((ROWS_OF_A_DAY, CLASSES)))
        forecasts /= forecasts.sum(axis=1, keepdims=True)
        label = (forecasts.cumsum(axis=1) < rng.random((ROWS_OF_A_DAY, 1))).sum(axis=1).clip(0, CLASSES - 1)
        columns = {
            "label": label.astype(np.int32),
            "p": pa.ListArray.from_arrays(np.arange(0, forecasts.size + 1, CLASSES, dtype=np.int32), forecasts.ravel()),
            "segment": pa.array([f"segment-{segment}" for segment in range(8)]).take(pa.array(label % 8)),
        }
        write_part(folder, part, columns)
    return str(folder)


def write_part(folder: Path, part: int, columns: Mapping[str, object]) -> None:
    """Write a file of a table, if it is not there."""
    file = folder / f"{part:02}.parquet"
    if not file.exists():
        folder.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.table(columns), file.with_suffix(".tmp"), row_group_size=250_000)
        file.with_suffix(".tmp").rename(file)


def evaluating(spark: SparkSession, path: str, **asked: Any) -> Callable[[], float]:
    """Evaluate a table by segment."""

    def run() -> float:
        table = spark.read.parquet(path)
        with ls.evaluate(table, label="label", prediction="p", by="segment", **asked) as evaluation:
            return float(evaluation.to_pandas()["log_loss"].iloc[0])

    return run


def class_contenders(spark: SparkSession, path: str) -> Contenders:
    """The full metric set of forecasts of several classes."""
    classes = range(CLASSES)
    return {f"{name} engine": evaluating(spark, path, engine=name, classes=classes) for name in ("arrow", "native")}


def clustered_contenders(spark: SparkSession, path: str) -> Contenders:
    """The same metrics with and without clusters."""
    clusters = {"unclustered": None, "by an integer": "user", "by a string": "name"}
    return {
        name: evaluating(spark, path, weight="w", engine="arrow", cluster=cluster) for name, cluster in clusters.items()
    }


def compared_contenders(spark: SparkSession, path: str) -> Contenders:
    """Three models compared in one pass, beside the evaluation of one."""

    def compared() -> float:
        models = {name: name for name in "pqr"}
        table = spark.read.parquet(path)
        with ls.compare(
            table, label="label", predictions=models, baseline="p", weight="w", by="segment", engine="arrow"
        ) as comparison:
            return float(comparison.to_pandas()["baseline_log_loss"].iloc[0])

    return {"evaluate one": evaluating(spark, path, weight="w", engine="arrow"), "compare three": compared}


def best_times(contenders: Contenders, repeat: int) -> dict[str, float]:
    """The best time of each contender over rounds in which all take turns, after a round to warm up."""
    answers = {name: run() for name, run in contenders.items()}
    reference = next(iter(answers.values()))
    for name, answer in answers.items():
        if not abs(answer - reference) <= 1e-9 * reference:
            raise SystemExit(f"{name} says {answer!r}, and {next(iter(answers))} {reference!r}")
    best = dict.fromkeys(contenders, inf)
    for _ in range(repeat):
        for name, run in contenders.items():
            gc.collect()
            start = time.perf_counter()
            run()
            best[name] = min(best[name], time.perf_counter() - start)
    return best


def print_ratios(title: str, best: dict[str, float], to: Sequence[str]) -> None:
    """Print times and how they compare."""
    print(f"\n{title}\n{'':16}{'seconds':>9}" + "".join(f"{'/ ' + name:>19}" for name in to))
    for name, seconds in best.items():
        print(f"{name:16}{seconds:9.2f}" + "".join(f"{seconds / best[peer]:19.2f}" for peer in to), flush=True)


def print_growth(spark: SparkSession, folder: Path, repeat: int) -> None:
    """Print how time and the driver's memory grow with the rows, for the full metric set."""
    print(f"\nGrowth, full metric set\n{'rows':>12}{'arrow s':>10}{'native s':>10}{'heap MB':>9}{'python MB':>11}")
    for days in GROWTH:
        contenders = full_contenders(spark, folder, days)
        best = best_times({name: contenders[name] for name in ("arrow engine", "native engine")}, max(1, repeat // 2))
        spark._jvm.System.gc()
        memory = spark._jvm.java.lang.management.ManagementFactory.getMemoryMXBean().getHeapMemoryUsage().getUsed()
        python = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        print(
            f"{days * ROWS_OF_A_DAY:12,}{best['arrow engine']:10.2f}{best['native engine']:10.2f}"
            f"{memory / 2**20:9.0f}{python / 2**10:11.0f}",
            flush=True,
        )


def main() -> None:
    """Make the table, run the contenders, print ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=20_000_000, help="rows that the contenders read, a million a day")
    parser.add_argument("--repeat", type=int, default=5, help="rounds, of which each contender's best counts")
    parser.add_argument("--folder", type=Path, default=Path("build/bench/predictions"))
    parser.add_argument("--no-growth", action="store_true", help="leave out the sizes from 2 to 100 million rows")
    args = parser.parse_args()
    days = max(1, args.rows // ROWS_OF_A_DAY)

    # Sockets of the file system make a Python task 25 ms cheaper. Sessions of ours do without: workers that end leave
    # the trace of a broken pipe on stderr.
    conf = "--conf spark.python.unix.domain.socket.enabled=true"
    os.environ["PYSPARK_SUBMIT_ARGS"] = f"--master local[{CORES}] --driver-memory 6g {conf} pyspark-shell"
    spark = session("benchmark of evaluate")
    duckdb.sql(f"SET threads = {CORES}")
    make_table(spark, args.folder, days if args.no_growth else max(days, *GROWTH))
    print(
        f"{days * ROWS_OF_A_DAY:,} rows, {days} partitions, {CORES} cores, Spark {spark.version}, best of {args.repeat}"
    )
    for title, contenders, peers in (
        ("Global weighted log loss", global_contenders, ("MLlib", "DuckDB")),
        ("Full metric set by day, segment and both", full_contenders, ("DuckDB", "native engine")),
    ):
        print_ratios(title, best_times(contenders(spark, args.folder, days), args.repeat), peers)
    events, classified = make_events(args.folder.parent / "events"), make_classified(args.folder.parent / "classified")
    for title, others, peer in (
        (f"{CLASSES} classes, {CLASSIFIED:,} rows", class_contenders(spark, classified), "native engine"),
        (f"Clusters of {CLUSTERS:,} values, {EVENTS:,} rows", clustered_contenders(spark, events), "unclustered"),
        (f"Three models, {EVENTS:,} rows", compared_contenders(spark, events), "evaluate one"),
    ):
        print_ratios(title, best_times(others, args.repeat), [peer])
    # Python holds what scikit-learn and Polars left behind; what the driver needs for more rows is the growth below.
    if not args.no_growth:
        print_growth(spark, args.folder, args.repeat)


if __name__ == "__main__":
    main()
