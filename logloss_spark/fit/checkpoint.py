"""A fit that can be killed: each iteration is kept as a small table of JSON, and the same call resumes from there."""

import hashlib
import json
from dataclasses import asdict, dataclass
from functools import cached_property

import numpy as np
from pyspark.errors import PySparkException

from logloss_spark.errors import SpecError
from logloss_spark.fit.objective import Totals
from logloss_spark.fit.solvers import Step
from logloss_spark.fit.table import TrainingTable
from logloss_spark.io.session import active_session
from logloss_spark.kernels.sums import Array

LIMITS = ("max_iter", "tol", "patience", "solver", "on_invalid", "tolerated_share", "engine")
"""Arguments that may change between two calls, because the objective does not depend on them."""


@dataclass(frozen=True)
class Checkpoint:
    """The iterations of a fit in a folder, one table each. Nothing is overwritten, so no iteration is half written.

    Attributes
    ----------
    path : the folder
    table : the training table
    rows : its number of rows of positive weight
    totals : their sums
    """

    path: str
    table: TrainingTable
    rows: int
    totals: Totals

    @cached_property
    def fingerprint(self) -> str:
        """A hash of everything that must be the same for a fit to resume: the objective and the rows."""
        asked = {name: value for name, value in asdict(self.table.training).items() if name not in LIMITS}
        weights = [f"{weight:.9e}" for weight in self.totals.weight_of_class]  # sums depend on the rows' order
        text = json.dumps(
            [asked, self.table.classes, self.table.names, self.rows, weights], default=str, sort_keys=True
        )
        return hashlib.sha256(text.encode()).hexdigest()

    def read(self) -> list[tuple[Step, Array]]:
        """Read the iterations so far with their parameters, in order; raise SpecError if they are of another fit."""
        try:
            table = active_session().read.text(f"{self.path.rstrip('/')}/iteration-*")
            lines = [row["value"] for row in table.collect()]
        except PySparkException as error:
            if "PATH_NOT_FOUND" in str(error):
                return []
            raise
        kept = [json.loads(line) for line in lines]
        if any(entry["fingerprint"] != self.fingerprint for entry in kept):
            raise SpecError(
                f"checkpoint must be the folder of this fit, got {self.path} of another fit, with other rows, "
                "columns or penalties: give each fit its own folder"
            )
        iterations = [(Step(**entry["step"]), np.array(entry["theta"], dtype=np.float64)) for entry in kept]
        return sorted(iterations, key=lambda iteration: iteration[0].iteration)

    def write(self, step: Step, theta: Array) -> None:
        """Write an iteration, unless it is there already."""
        line = json.dumps({"fingerprint": self.fingerprint, "step": asdict(step), "theta": theta.tolist()})
        table = active_session().createDataFrame([(line,)], "value string").coalesce(1)
        table.write.mode("ignore").text(f"{self.path.rstrip('/')}/iteration-{step.iteration:05d}")
