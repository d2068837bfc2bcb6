"""The sums of which a mean loss is made, from batches of rows, in a worker."""

import numpy as np
import pyarrow as pa

from logloss_spark.kernels.status import STATUSES
from logloss_spark.rows.arrow import loss_kernel
from logloss_spark.rows.batches import Preparation, made_ready
from logloss_spark.states.addends import one_precise, precise, split


class LossSums:
    """The sums of the batches that were added so far: those of `mean_loss.summed_loss`, by the same names."""

    def __init__(self, preparation: Preparation) -> None:
        self.preparation = preparation
        self._start()

    def _start(self) -> None:
        names = (*STATUSES, "first_class", "capped", "w_high", "w_low", "wl_high", "wl_low", "w_capped")
        self._sums = dict.fromkeys(names, 0.0)

    def __len__(self) -> int:
        """One group: all rows."""
        return 1

    def add(self, batch: pa.RecordBatch) -> None:
        """Add the rows of a batch."""
        preparation = self.preparation
        ready = made_ready(batch, preparation)
        counts = np.bincount(ready.statuses[0], minlength=len(STATUSES))
        sums = dict(zip(STATUSES, counts.tolist(), strict=True))
        if not preparation.form.soft_labels:
            sums["first_class"] = int(np.count_nonzero(ready.label == 0))
        scored = ready.statuses[0] == 0
        if ready.weight is not None:
            scored &= ready.weight > 0.0
        kept = ready.where(scored)
        scoring, weight = preparation.scoring, kept.weight
        loss = loss_kernel(scoring, scalar=preparation.form.scalar)(kept.label, kept.scores[0])
        with np.errstate(invalid="ignore"):  # inf - inf
            found = dict(precise(None if weight is None else split(weight), "wl", loss))
        found |= {} if weight is None else dict(one_precise("w", weight))
        sums |= {name: float(addend.sum()) for name, addend in found.items()}
        sums["wl_low"] = 0.0 if np.isnan(sums["wl_low"]) else sums["wl_low"]
        if weight is None:
            sums["w_high"] = float(len(loss))
        capped = loss >= scoring.cap
        if capped.any():
            sums["capped"] = int(np.count_nonzero(capped))
            sums["w_capped"] = float(np.count_nonzero(capped) if weight is None else weight[capped].sum())
        for name, value in sums.items():
            self._sums[name] += value

    def take(self) -> list[pa.Table]:
        """The sums as a table of one row; they begin anew."""
        table = pa.table({name: [float(value)] for name, value in self._sums.items()})
        self._start()
        return [table]
