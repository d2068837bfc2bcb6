"""Delta Lake and Iceberg: which jars run on which Spark, and what a session without them is told.

Both are extensions of Spark that are built for each of its minor versions, and their newest builds are older than the
newest Spark.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from pyspark import __version__
from pyspark.sql import SparkSession

BOTH = "4.1.4"
"""The newest Spark that Delta and Iceberg run on, both."""


@dataclass(frozen=True, kw_only=True)
class Lake:
    """A table format that Spark reads and writes by a jar.

    Attributes
    ----------
    name : what its makers call it
    jars : the coordinates of its jars in Maven, by Spark's minor version
    settings : what a session must be started with; a running one does not take them
    """

    name: str
    jars: Mapping[str, tuple[str, ...]]
    settings: Mapping[str, str]


LAKES = {
    "delta": Lake(
        name="Delta",
        jars={
            minor: (f"io.delta:delta-spark_{minor}_2.13:4.4.0", "io.delta:delta-storage:4.4.0")
            for minor in ("4.0", "4.1", "4.2")
        },
        settings={
            "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension",
            "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
        },
    ),
    "iceberg": Lake(
        name="Iceberg",
        jars={
            "4.0": ("org.apache.iceberg:iceberg-spark-runtime-4.0_2.13:1.11.0",),
            "4.1": ("org.apache.iceberg:iceberg-spark-runtime-4.1_2.13:1.12.0",),
        },
        settings={
            "spark.sql.extensions": "org.apache.iceberg.spark.extensions.IcebergSparkSessionExtensions",
            "spark.sql.catalog.NAME": "org.apache.iceberg.spark.SparkCatalog",
        },
    ),
}
"""The formats by Spark's names for them."""

LACKING = (
    r"\[DATA_SOURCE_NOT_FOUND\][^:]*: (?P<format>delta|iceberg)\b",
    r"\[DELTA_CONFIGURE_SPARK_SESSION_WITH_EXTENSION_AND_CATALOG\](?P<format>)",
    r"(?:Cannot find catalog plugin class|NoSuchMethodError|NoClassDefFoundError|AbstractMethodError"
    r"|IncompatibleClassChangeError).*?(?P<format>delta|iceberg)",
)
"""What Spark says where a jar is absent, or not set up, or built for another Spark. The first that matches counts."""


def coordinates(version: str = __version__) -> tuple[str, ...]:
    """Return the coordinates of all jars that run on a version of Spark, by default this Python's."""
    return tuple(jar for lake in LAKES.values() for jar in lake.jars.get(minor(version), ()))


def advice_on_jars(error: str) -> str | None:
    """Return what to do where Spark failed for want of a jar of Delta or Iceberg; None where it failed otherwise."""
    for pattern in LACKING:
        found = re.search(pattern, error, re.DOTALL)
        if found:
            active = SparkSession.getActiveSession()
            return how_to_run(found["format"] or "delta", active.version if active else __version__)
    return None


def how_to_run(format_: str, version: str) -> str:
    """Return the sentence that says with which jars and settings a version of Spark runs a format.

    Examples
    --------
    >>> how_to_run("delta", "4.3.0")[:72]
    'a table of Delta needs a Spark that Delta is built for: it runs on 4.1.4'
    """
    lake, built = LAKES[format_], LAKES[format_].jars
    here = minor(version)
    needed = "" if here in built else f" a Spark that {lake.name} is built for: it runs on {BOTH} and not on {version};"
    settings = " and ".join(f"{key}={value}" for key, value in lake.settings.items())
    return (
        f"a table of {lake.name} needs{needed or ' its jars, and this session lacks them:'} start Spark "
        f"{version if here in built else BOTH} with --packages {','.join(built.get(here, built[minor(BOTH)]))} "
        f"and the settings {settings}"
    )


def minor(version: str) -> str:
    """Return the minor version that a version of Spark belongs to: 4.1 for 4.1.4."""
    return ".".join(version.split(".")[:2])
