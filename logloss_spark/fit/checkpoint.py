"""A fit that can be killed: each iteration is kept as a small table of JSON, and the same call goes on from there."""

import hashlib
import json
from dataclasses import asdict, dataclass
from functools import cached_property

import numpy as np
from pyspark.errors import PySparkException

from logloss_spark.errors import SpecError
from logloss_spark.fit.objective import Totals
from logloss_spark.fit.solvers import Step
from logloss_spark.fit.spec import Training
from logloss_spark.fit.table import TrainingTable
from logloss_spark.io.session import active_session
from logloss_spark.kernels.sums import Array

LIMITS = ("max_iter", "tol", "patience", "solver", "on_invalid", "tolerated_share")
"""What may change between two calls: it is no part of the objective."""


@dataclass(frozen=True)
class Checkpoint:
    """The iterations of a fit in a folder, one table each: nothing is overwritten, so nothing is ever half there."""

    path: str
    training: Training
    table: TrainingTable
    rows: int
    found: Totals

    @cached_property
    def fingerprint(self) -> str:
        """What must be the same for a fit to go on: the objective and the rows."""
        asked = {name: value for name, value in asdict(self.training).items() if name not in LIMITS}
        weights = [f"{weight:.9e}" for weight in self.found.weight_of_class]  # sums depend on their order
        text = json.dumps(
            [asked, self.table.classes, self.table.names, self.rows, weights], default=str, sort_keys=True
        )
        return hashlib.sha256(text.encode()).hexdigest()

    def resumed(self) -> list[tuple[Step, Array]]:
        """The iterations so far and their parameters, in order.

        Raises SpecError where the folder holds another fit.
        """
        spark = active_session()
        try:
            lines = [row["value"] for row in spark.read.text(f"{self.path.rstrip('/')}/iteration-*").collect()]
        except PySparkException as error:
            if "PATH_NOT_FOUND" in str(error):
                return []
            raise
        kept = [json.loads(line) for line in lines]
        if any(entry["fingerprint"] != self.fingerprint for entry in kept):
            raise SpecError(
                f"checkpoint {self.path} is of another fit: of other rows, columns or penalties; give each fit a "
                "folder of its own"
            )
        known = [(Step(**entry["step"]), np.array(entry["theta"], dtype=np.float64)) for entry in kept]
        return sorted(known, key=lambda entry: entry[0].iteration)

    def keep(self, step: Step, theta: Array) -> None:
        """Write an iteration, unless it is there."""
        line = json.dumps({"fingerprint": self.fingerprint, "step": asdict(step), "theta": theta.tolist()})
        table = active_session().createDataFrame([(line,)], "value string").coalesce(1)
        table.write.mode("ignore").text(f"{self.path.rstrip('/')}/iteration-{step.iteration:05d}")
