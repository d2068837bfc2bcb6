"""The sums of which a mean loss is made, from batches of rows, in a worker."""

import math

import numpy as np
import pyarrow as pa

from logloss_spark.kernels.status import STATUSES
from logloss_spark.kernels.sums import dot, split_at_head
from logloss_spark.rows.arrow import loss_kernel
from logloss_spark.rows.batches import Preparation, Ready, made_ready
from logloss_spark.states.schema import low_of


class LossSums:
    """The sums of the batches that were added so far: those of `mean_loss.summed_loss`, by the same names."""

    batch = 1 << 15  # its ten arrays of 256 KB stay in the cache of a core

    def __init__(self, preparation: Preparation) -> None:
        self.preparation = preparation
        self._start()

    def _start(self) -> None:
        self._counts = dict.fromkeys((*STATUSES, "first_class", "capped", "w_capped"), 0.0)
        self._addends: dict[str, list[float]] = {"w": [], "wl": []}

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
        largest = loss.max(initial=0.0)
        if largest == math.inf:
            self._addends["wl"].append(math.inf)
            loss = np.zeros(len(loss))
        # Heads add exactly and rests hardly count, so plain sums and dot products lose no digit.
        head, rest = split_at_head(loss)
        if weight is None:
            self._addends["w"].append(len(loss))
            self._addends["wl"] += [head.sum(), rest.sum()]
        else:
            w_head, w_rest = split_at_head(weight)
            self._addends["w"] += [w_head.sum(), w_rest.sum()]
            self._addends["wl"] += [dot(w_head, head), dot(w_head, rest), dot(w_rest, loss)]
        if largest >= scoring.cap:
            capped = loss >= scoring.cap
            self._counts["capped"] += np.count_nonzero(capped)
            self._counts["w_capped"] += float(np.count_nonzero(capped) if weight is None else weight[capped].sum())

    def _count(self, ready: Ready) -> None:
        """Count the rows of each status and of the first class."""
        status = ready.statuses[0]
        counts = np.bincount(status) if status.any() else [len(status)]
        for name, count in zip(STATUSES, counts, strict=False):
            self._counts[name] += int(count)
        if not self.preparation.form.soft_labels:
            self._counts["first_class"] += np.count_nonzero(ready.label == 0)

    def take(self) -> list[pa.Table]:
        """The sums as a table of one row; they begin anew."""
        sums = dict(self._counts)
        for name, addends in self._addends.items():
            high = math.fsum(addends)
            sums |= {f"{name}_high": high, low_of(name): math.fsum([*addends, -high]) if high < math.inf else 0.0}
        table = pa.table({name: [float(value)] for name, value in sums.items()})
        self._start()
        return [table]
