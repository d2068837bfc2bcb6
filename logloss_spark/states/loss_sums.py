"""The sums of which a mean loss is made, from batches of rows, in a worker."""

import numpy as np
import pyarrow as pa

from logloss_spark.kernels.status import STATUSES
from logloss_spark.rows.arrow import loss_kernel
from logloss_spark.rows.batches import Preparation, Ready, made_ready
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
        self._count(ready)
        kept = ready.where(ready.summed(ready.statuses[0]))
        scoring, weight = preparation.scoring, kept.weight
        loss = loss_kernel(scoring, scalar=preparation.form.scalar)(kept.label, kept.scores[0])
        with np.errstate(invalid="ignore"):  # inf - inf
            for name, addend in precise(None if weight is None else split(weight), "wl", loss):
                total = float(addend.sum())
                self._sums[name] += 0.0 if name == "wl_low" and np.isnan(total) else total
        if weight is None:
            self._sums["w_high"] += len(loss)
        else:
            for name, addend in one_precise("w", weight):
                self._sums[name] += float(addend.sum())
        if loss.max(initial=0.0) >= scoring.cap:
            capped = loss >= scoring.cap
            self._sums["capped"] += np.count_nonzero(capped)
            self._sums["w_capped"] += float(np.count_nonzero(capped) if weight is None else weight[capped].sum())

    def _count(self, ready: Ready) -> None:
        """Count the rows of each status and of the first class."""
        status = ready.statuses[0]
        counts = np.bincount(status) if status.any() else [len(status)]
        for name, count in zip(STATUSES, counts, strict=False):
            self._sums[name] += int(count)
        if not self.preparation.form.soft_labels:
            self._sums["first_class"] += np.count_nonzero(ready.label == 0)

    def take(self) -> list[pa.Table]:
        """The sums as a table of one row; they begin anew."""
        table = pa.table({name: [float(value)] for name, value in self._sums.items()})
        self._start()
        return [table]
