"""What results share that show themselves: in one line, as a table of a notebook, and as JSON."""

import json
from abc import ABC, abstractmethod

import pandas as pd

from logloss_spark.report.frames import plain
from logloss_spark.report.text import SENTENCE, View, as_html
from logloss_spark.wording import visible


class Shown(ABC):
    """The base of what shows itself: in one line, as a table of a notebook, and as JSON."""

    @property
    @abstractmethod
    def _title(self) -> str:
        """What was computed, in words."""

    @abstractmethod
    def _view(self) -> View:
        """What a person sees."""

    @abstractmethod
    def to_pandas(self) -> pd.DataFrame:
        """Return the metrics as pandas."""

    def to_json(self) -> str:
        """Return the metrics as JSON: a list with an object per row. Infinite numbers are strings, as Spark writes."""
        return json.dumps([plain(record) for record in self.to_pandas().to_dict("records")], default=str)

    def __repr__(self) -> str:
        return f"{type(self).__name__}: {visible(self._title, SENTENCE)}; .show() prints its metrics"

    def _repr_html_(self) -> str:
        return as_html(self._view())
