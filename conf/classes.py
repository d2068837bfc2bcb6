"""What jobs do, on a table of some rows, for Java to archive the classes that it loads meanwhile.

    SPARK_SUBMIT_OPTS=-XX:ArchiveClassesAtExit=classes.jsa spark-submit conf/classes.py

A job that starts with `-XX:SharedArchiveFile=classes.jsa` loads them from there: docs/how-to/job.md, "Start faster".
"""

from tempfile import TemporaryDirectory

import logloss_spark as ls

ROWS = "SELECT int(id % 3 > 0) AS y, (id % 7 + 1) / 9D AS p, 0.5D AS q, id % 2 AS day, double(id) AS x FROM range(60)"


def main(folder: str) -> None:
    """Evaluate by each engine, compare, fit, score, and store a state."""
    spark = ls.session()
    rows, store = f"{folder}/rows", ls.Store(f"{folder}/store")
    spark.sql(ROWS).coalesce(1).write.partitionBy("day").parquet(rows)
    for engine in ("arrow", "native", "pandas"):
        with ls.evaluate(rows, "y", "p", by="day", engine=engine) as evaluation:
            evaluation.metrics.write.parquet(f"{folder}/metrics-{engine}")
            evaluation.state.save(f"{folder}/state-{engine}")
    with ls.evaluate(rows, "y", "p", by="day") as evaluation:
        store.put(evaluation.state, unit="day")
    store.state().metrics(by="day").toPandas()
    with ls.compare(rows, label="y", predictions={"p": "p", "q": "q"}, baseline="p") as comparison:
        comparison.to_pandas()
    model = ls.fit_logistic(rows, label="y", features=["x", "p"])
    model.transform(spark.read.parquet(rows)).write.parquet(f"{folder}/scored")


if __name__ == "__main__":
    with TemporaryDirectory() as temporary:
        main(temporary)
