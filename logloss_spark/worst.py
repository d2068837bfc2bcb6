"""The worst slices of a state: those whose loss is larger than that of all other rows."""

from typing import Any

import pandas as pd
from pyspark.sql import DataFrame

from logloss_spark.checks import at_least_one
from logloss_spark.report.frames import plain
from logloss_spark.report.shown import Shown
from logloss_spark.report.text import View, as_text
from logloss_spark.report.worst import SHOWN, remarks_on_search, title_of_search, view_of_search
from logloss_spark.tables.worst_slices import Searched


class WorstSlices(Shown):
    """The slices whose loss is larger than that of all other rows. `State.worst_slices` makes it.

    Attributes
    ----------
    looked_at : int
        How many slices were compared with the rest of the rows. Those that hold the same rows count once.
    worse : int
        How many of them are worse. The table has those of them that say something of their own.
    table : DataFrame
        One row per slice, those that contribute most to the loss first.
    """

    def __init__(self, found: Searched) -> None:
        self._found = found

    @property
    def looked_at(self) -> int:
        """How many slices were compared with the rest of the rows."""
        return self._found.looked_at

    @property
    def worse(self) -> int:
        """How many of them are worse than the rest."""
        return self._found.worse

    @property
    def table(self) -> DataFrame:
        """The table that `to_pandas` returns, as a DataFrame of Spark."""
        return self._found.table.table

    def to_pandas(self, limit: int | None = None) -> pd.DataFrame:
        """Return one row per slice, those that contribute most to the loss first: all of them, or the first `limit`.

        `help(logloss_spark.State.worst_slices)` says what each column is.
        """
        if limit is not None:
            at_least_one("limit", limit)
        return self._found.frame.head(len(self) if limit is None else limit).copy()

    def show(self, limit: int = SHOWN) -> None:
        """Print the first slices, and what was searched."""
        print(as_text(self._view(limit)))

    def to_record(self) -> dict[str, Any]:
        """Return what was found for a JSON document: `looked_at`, `worse`, and `slices`, one record for each."""
        records = [plain(record) for record in self.to_pandas().to_dict("records")]
        return {"looked_at": self.looked_at, "worse": self.worse, "slices": records}

    def view(self) -> View:
        """Return what a person sees."""
        return self._view()

    def remarks(self) -> list[str]:
        """Return sentences on what was found: how many slices, which hold the same rows, what was not looked at."""
        return list(remarks_on_search(self._found))

    def __len__(self) -> int:
        return len(self._found.frame)

    def __str__(self) -> str:
        """What `show` prints."""
        return as_text(self._view())

    def _view(self, limit: int = SHOWN) -> View:
        at_least_one("limit", limit)
        return view_of_search(self._found, limit)

    @property
    def _title(self) -> str:
        return title_of_search(self._found)
