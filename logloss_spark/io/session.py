"""The Spark session of the command line, of notebooks and of the demo, classic or over Connect."""

import logging
import os
import subprocess
import sys
import warnings
from functools import cache
from pathlib import Path

import pyspark
from py4j.java_gateway import java_import
from pyspark import SparkConf, SparkContext
from pyspark.logger import PySparkLogger
from pyspark.sql import SparkSession, is_remote

from logloss_spark.errors import SpecError

LOG = Path(__file__).with_name("log4j2.properties")
"""What the JVM logs: errors alone, on stderr, one line each."""

PACKAGES = ("numpy", "pandas", "pyarrow")
"""What a Python worker needs; our own package travels with the functions."""

PROGRESS = "spark.ui.showConsoleProgress"

FAILED_COLLECTING = "toPandas attempted Arrow optimization .* can not continue"
"""The warning in which PySpark repeats an error that it also raises."""

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

# PySpark asks Java for these classes by their simple names at each step of a plan. Py4J looks for a simple name in one
# package after another, each time in all jars, unless the class is imported by itself.
NAMED = ("org.apache.spark.api.python.PythonUtils", "org.apache.spark.sql.api.python.PythonSQLUtils")

LOCAL = {
    # A job on one machine has no viewer, and its port may be taken.
    "spark.ui.enabled": "false",
    # Spark's 200 are for a cluster: here they are a quarter of a second for each table read off a state.
    "spark.sql.shuffle.partitions": str(4 * (os.cpu_count() or 1)),
    # A table of more than 32 partitions is listed by a job that has a task for each: 200 tasks take a second.
    "spark.sql.sources.parallelPartitionDiscovery.parallelism": str(4 * (os.cpu_count() or 1)),
}


def session(app_name: str = "logloss_spark") -> SparkSession:
    """Return a quiet Spark session, whose workers run this Python where they run on this machine.

    It is the active session where there is one, else one over Spark Connect where SPARK_REMOTE is set, else a classic
    one, on this machine unless spark-defaults.conf names a master. It shows progress on a terminal alone, and the log
    of the JVM nowhere: an error still comes as an exception. What spark-submit, `--conf` or spark-defaults.conf set is
    kept: our settings fill the gaps.

    Parameters
    ----------
    app_name : str
        The application's name, unless it was submitted under another.

    Examples
    --------
    >>> import logloss_spark as ls
    >>> spark = ls.session()
    >>> df = spark.createDataFrame([(1, 0.9), (0, 0.2)], "label int, p double")
    >>> round(ls.log_loss(df, "label", "p"), 4)
    0.1643
    """
    spark = SparkSession.getActiveSession()
    if spark is None:
        spark = _connect(app_name) if "SPARK_REMOTE" in os.environ else _classic(app_name)
    quiet(spark)
    return spark


def equip_workers() -> None:
    """Make sure that the workers of a local session can run our functions.

    Without PYSPARK_PYTHON workers run the `python3` of the PATH. A classic session can be given this Python even after
    it has started; a Connect server cannot.

    Raises
    ------
    SpecError
        The workers of a local Connect server lack a package.
    """
    if "PYSPARK_PYTHON" in os.environ:
        return
    context = SparkContext._active_spark_context
    if is_remote():
        if "SPARK_LOCAL_REMOTE" in os.environ and not has_packages("python3"):
            raise SpecError(
                f"Python workers need {', '.join(PACKAGES)}, and python3, which this Spark Connect server starts, "
                f"lacks one: set the environment variable PYSPARK_PYTHON to {sys.executable}, or call "
                "logloss_spark.session(), before a session starts"
            )
    elif context is not None and context.pythonExec == "python3" and str(context.master).startswith("local"):
        context.pythonExec = sys.executable


@cache
def has_packages(python: str) -> bool:
    """Whether a Python has the packages that our functions need."""
    asked = f"from importlib.util import find_spec; print([*map(find_spec, {PACKAGES})].count(None))"
    try:
        told = subprocess.run([python, "-c", asked], capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return told.stdout.strip() == "0"


def quiet(spark: SparkSession) -> None:
    """Keep Spark's own log, with its stack traces, away from the users of a command line and of notebooks.

    An error that ends a job is also raised as an exception, and its message is one line. To see the log of the JVM set
    `spark.log.level`. Over Connect that log is the server's.
    """
    for name in ("DataFrameQueryContextLogger", "SQLQueryContextLogger"):  # each error again, its trace as JSON
        PySparkLogger.getLogger(name).setLevel(logging.CRITICAL)
    warnings.filterwarnings("ignore", FAILED_COLLECTING)
    if is_remote():
        return
    if not spark.sparkContext.getConf().contains("spark.log.level"):
        spark.sparkContext.setLogLevel("FATAL")  # at ERROR each failed task logs its trace
    accumulators = getattr(spark.sparkContext, "_accumulatorServer", None)
    if accumulators is not None:
        accumulators.handle_error = print_nothing


def print_nothing(*_: object) -> None:
    """Take the place of what prints a trace when Java ends before Python: the job's own error says so in one line."""


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
    for name in NAMED:
        java_import(SparkContext._jvm, name)
    given = SparkConf()
    settings = RUNTIME | STATIC
    if (given.get("spark.master") or "local").startswith("local"):
        _workers_run_this_python()
        settings |= LOCAL
    settings = {key: value for key, value in settings.items() if not given.contains(key)}
    # The bar is for a terminal. Without spark-submit PySpark is a shell to Spark, which then sets it to true.
    if given.get(PROGRESS) is None or (given.get(PROGRESS) == "true" and not submitted):
        # Under spark-submit our stderr is a pipe into the JVM, which is our parent and has the terminal.
        terminal = is_terminal(f"/proc/{os.getppid()}/fd/2") if submitted else sys.stderr.isatty()
        settings[PROGRESS] = str(terminal).lower()
    # The names that Spark gives to an application that has none.
    if given.get("spark.app.name") in (None, "pyspark-shell", Path(sys.argv[0]).name):
        settings["spark.app.name"] = app_name
    builder = SparkSession.builder
    for key, value in settings.items():
        builder = builder.config(key, value)
    return builder.getOrCreate()


def _before_java() -> None:
    """Set what a JVM that we start reads from the environment, below every configuration of the user's."""
    # Imported here: `python -m logloss_spark.io.java` imports the package first, and warns of a module that it finds.
    from logloss_spark.io.java import java_home

    os.environ["JAVA_HOME"] = java_home()
    # Spark's 1 GB is for a driver that only directs. Here the executor runs inside it.
    os.environ.setdefault("SPARK_DRIVER_MEMORY", "2g")
    # A user who configured the log has it so; Spark's own default warns of host names and native libraries.
    home = os.environ.get("SPARK_HOME") or os.path.dirname(pyspark.__file__)
    folder = os.environ.get("SPARK_CONF_DIR") or os.path.join(home, "conf")
    if not os.path.exists(os.path.join(folder, LOG.name)):
        options = os.environ.get("SPARK_SUBMIT_OPTS", "")
        if LOG.exists() and str(LOG) not in options:  # it is no file where the package was imported from a zip
            os.environ["SPARK_SUBMIT_OPTS"] = f'{options} "-Dlog4j2.configurationFile={LOG.as_uri()}"'.strip()


def is_terminal(path: str) -> bool:
    """Whether a file is a terminal that we may write to; False where there is no such file, as on macOS no /proc."""
    try:
        opened = os.open(path, os.O_WRONLY | os.O_NOCTTY)
    except OSError:
        return False
    try:
        return os.isatty(opened)
    finally:
        os.close(opened)


def _workers_run_this_python() -> None:
    """Start workers on this machine with this Python, not the PATH's; on a cluster our path need not exist."""
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    os.environ.setdefault("PYSPARK_DRIVER_PYTHON", sys.executable)


def active_session() -> SparkSession:
    """The session of the caller; SpecError where there is none."""
    active = SparkSession.getActiveSession()
    if active is None:
        raise SpecError("a Spark session is needed, and none is active: make one first, as in logloss_spark.session()")
    return active
