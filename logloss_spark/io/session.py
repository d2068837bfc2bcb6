"""The Spark session of the command line and the demo, classic or over Connect."""

import logging
import os
import sys
from pathlib import Path

from pyspark import SparkConf, SparkContext
from pyspark.logger import PySparkLogger
from pyspark.sql import SparkSession, is_remote

from logloss_spark.io.java import java_home

PROGRESS = "spark.ui.showConsoleProgress"

# Spark 4.3 hands columns to Pandas UDFs as they were stored; a plan that reads an ML vector from Parquet then dies with
# UNSUPPORTED_DATATYPE as soon as a Pandas UDF runs above it, even on another column.
RUNTIME = {
    "spark.sql.execution.arrow.pythonUDF.columnarInput.enabled": "false",
    # A state is cached, and small. Otherwise it keeps the 200 partitions of a shuffle, and each table that is read off
    # it starts 200 tasks.
    "spark.sql.optimizer.canChangeCachedPlanOutputPartitioning": "true",
}

# Where each expression was written is noted by six calls to the JVM, half of what it costs to build a plan. Must be
# known before the context starts.
STATIC = {"spark.python.sql.dataFrameDebugging.enabled": "false"}

LOCAL = {
    # A job on one machine has no viewer, and its port may be taken.
    "spark.ui.enabled": "false",
    # Spark's 200 are for a cluster: here they are a quarter of a second for each table read off a state.
    "spark.sql.shuffle.partitions": str(4 * (os.cpu_count() or 1)),
}


def session(app_name: str) -> SparkSession:
    """Return the active session, or one over Spark Connect where SPARK_REMOTE is set, or a classic one.

    What spark-submit, `--conf` or spark-defaults.conf set is kept: our settings fill the gaps.

    Parameters
    ----------
    app_name : str
        The application's name, unless it was submitted under another.
    """
    active = SparkSession.getActiveSession()
    if active is not None:
        return active
    return _connect(app_name) if "SPARK_REMOTE" in os.environ else _classic(app_name)


def quiet(spark: SparkSession) -> None:
    """Keep Spark's own log, with its stack traces, from the users of a command line.

    An error that ends a job comes as an exception too, and whoever catches it says it in one line.
    Who wants the log of the JVM sets `spark.log.level`. Over Connect that log is the server's.
    """
    for name in ("DataFrameQueryContextLogger", "SQLQueryContextLogger"):  # each error again, its trace as JSON
        PySparkLogger.getLogger(name).setLevel(logging.CRITICAL)
    if not is_remote() and not spark.sparkContext.getConf().contains("spark.log.level"):
        spark.sparkContext.setLogLevel("FATAL")  # at ERROR each failed task logs its trace


def _connect(app_name: str) -> SparkSession:
    if os.environ["SPARK_REMOTE"].startswith("local"):  # PySpark starts a server of its own, a JVM of this process
        _before_java()
        _workers_run_this_python()
    builder = SparkSession.builder.appName(app_name)
    for key, value in RUNTIME.items():  # a client cannot change the others, and PySpark warns of the attempt
        builder = builder.config(key, value)
    return builder.getOrCreate()


def _classic(app_name: str) -> SparkSession:
    submitted = "PYSPARK_GATEWAY_PORT" in os.environ  # spark-submit runs us, in a JVM of its own
    if not submitted:
        _before_java()
    # With the JVM up, SparkConf reads what the user set; a builder that starts it would override spark-defaults.conf.
    SparkContext._ensure_initialized()
    given = SparkConf()
    settings = RUNTIME | STATIC
    if (given.get("spark.master") or "local").startswith("local"):
        _workers_run_this_python()
        settings |= LOCAL
    settings = {key: value for key, value in settings.items() if not given.contains(key)}
    # The bar is for a terminal. Without spark-submit PySpark is a shell to Spark, which then sets it to true.
    if given.get(PROGRESS) is None or (given.get(PROGRESS) == "true" and not submitted):
        settings[PROGRESS] = str(sys.stderr.isatty()).lower()
    # The names that Spark gives to an application that has none.
    if given.get("spark.app.name") in (None, "pyspark-shell", Path(sys.argv[0]).name):
        settings["spark.app.name"] = app_name
    builder = SparkSession.builder
    for key, value in settings.items():
        builder = builder.config(key, value)
    return builder.getOrCreate()


def _before_java() -> None:
    """Set what a JVM that we start reads from the environment, below every configuration of the user's."""
    os.environ["JAVA_HOME"] = java_home()
    # Spark's 1 GB is for a driver that only directs. Here the executor runs inside it.
    os.environ.setdefault("SPARK_DRIVER_MEMORY", "2g")


def _workers_run_this_python() -> None:
    """Start workers on this machine with this Python, not the PATH's; on a cluster our path need not exist."""
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    os.environ.setdefault("PYSPARK_DRIVER_PYTHON", sys.executable)
