"""The sums of a comparison, from batches of rows, in a worker: what `states.pairs` computes in Spark."""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from logloss_spark.kernels.divergence import binary_kl, kl, kl_from_logits
from logloss_spark.kernels.status import STATUSES
from logloss_spark.kernels.sums import Array
from logloss_spark.rows.arrow import Kernel, loss_kernel
from logloss_spark.rows.batches import Preparation, Ready, made_ready
from logloss_spark.states.addends import one_precise, precise, split, times
from logloss_spark.states.groups import Groups, Ids
from logloss_spark.states.parts import PartRows, as_table, in_columns, plain_sums, status_rows, summed, total_of
from logloss_spark.states.schema import PAIR, TOTAL, totals_of
from logloss_spark.states.slice_ids import SliceIds
from logloss_spark.states.summing import Summation


class PairSums:
    """The sums of the batches that were added so far, per challenger."""

    def __init__(self, summation: Summation) -> None:
        self.summation = summation
        self._start()

    def _start(self) -> None:
        preparation, conventions = self.summation.preparation, self.summation.conventions
        challengers = range(1, len(conventions.models))
        self._slices = SliceIds(self.summation.slice_types)
        self._statuses = [Groups(len(STATUSES)) for _ in challengers]
        self._classes = [Groups(preparation.form.size) for _ in challengers]
        self._pairs = [Groups(max(conventions.buckets, 1)) for _ in challengers]

    def __len__(self) -> int:
        """About how many groups there are."""
        return sum(len(groups) for groups in (*self._statuses, *self._classes, *self._pairs))

    def add(self, batch: pa.RecordBatch) -> None:
        """Add the rows of a batch."""
        ready = made_ready(batch, self.summation.preparation)
        slices = self._slices.of(ready.slices, batch.num_rows)
        losses = losses_of(ready, self.summation.preparation)
        everyone = first_reason(ready.statuses)
        shared = self.summation.conventions.rows == "shared"
        for place in range(1, len(ready.scores)):
            status = first_reason((ready.statuses[0], ready.statuses[place])) if shared else everyone
            self._add_pairs(place, status, ready, slices, losses)

    def _add_pairs(
        self, place: int, status: npt.NDArray[np.int64], ready: Ready, slices: Ids, losses: list[Array]
    ) -> None:
        """Add the pairs of each row with one challenger."""
        form, known = self.summation.preparation.form, len(self._slices)
        scored = status == 0
        if ready.weight is not None:
            scored &= ready.weight > 0.0
        if not scored.all():
            left_out = ~scored
            keys = slices[left_out] * len(STATUSES) + status[left_out]
            self._statuses[place - 1].add(keys, [], slices=known)
        if not scored.any():
            return
        kept, slices = ready.where(scored), slices[scored]
        sums = addends_of_pairs(kept.weight, losses[0][scored], losses[place][scored])
        kernel = divergence_kernel(self.summation.preparation)
        baseline, challenger = kept.scores[0], kept.scores[place]
        sums |= {
            "wk": times(kept.weight, kernel(baseline, challenger)),
            "wr": times(kept.weight, kernel(challenger, baseline)),
        }
        pairs = self._pairs[place - 1]
        pairs.add(slices * pairs.stride + (0 if kept.bucket is None else kept.bucket), sums.items(), slices=known)
        happened = np.zeros(len(slices), dtype=np.int64) if form.soft_labels else kept.label
        self._classes[place - 1].add(slices * form.size + happened, [], slices=known)

    def take(self) -> list[pa.Table]:
        """The rows of the state's parts; the sums begin anew."""
        table = as_table(list(self._rows()), self._slices.columns(), self.summation.conventions)
        self._start()
        return [table]

    def _rows(self) -> Iterator[PartRows]:
        conventions = self.summation.conventions
        shared = conventions.rows == "shared"
        for place, model in enumerate(conventions.models[1:]):
            pairs = self._pairs[place]
            # What all challengers have in common is counted once, with the first of them, and has no model.
            counted = shared or not place
            owner = model if shared else None
            if counted:
                for found in status_rows(self._statuses[place]):
                    yield of_model(found, owner)
                yield of_model(total_of(self._statuses[place]), None)
            if not len(pairs):
                continue
            slices = pairs.keys // pairs.stride
            sums = in_columns(pairs)
            full = sums | plain_sums(sums)
            if counted:
                yield of_model(summed(STATUSES[0], slices, None, {"n": full["n"]}), owner)
                classes = self._classes[place]
                keys = classes.keys
                counts = {"n": classes.counts.astype(np.float64)}
                yield of_model(summed("class", keys // classes.stride, keys % classes.stride, counts), owner)
                totals = {name: full[name].sum(keepdims=True) for name in ("n", *totals_of(conventions))}
                yield PartRows(TOTAL, np.array([-1]), None, totals)
            columns = {name: sums[f"{name}_high"] if f"{name}_high" in sums else sums[name] for name in ("n", *PAIR)}
            yield of_model(summed("pair", slices, pairs.keys % pairs.stride, columns), model)


def of_model(rows: PartRows, model: str | None) -> PartRows:
    """Rows of a part that belong to a model."""
    return PartRows(rows.part, rows.slice, rows.place, rows.sums, model)


def first_reason(statuses: tuple[npt.NDArray[np.int64], ...]) -> npt.NDArray[np.int64]:
    """The first status of these models that is not ok, in their order; ok if all are."""
    found, *others = statuses
    for status in others:
        found = np.where(found == 0, status, found)
    return found


def losses_of(ready: Ready, preparation: Preparation) -> list[Array]:
    """The losses of all models; of rows that cannot be scored they are unspecified."""
    kernel = loss_kernel(preparation.scoring, scalar=preparation.form.scalar)
    return [kernel(ready.label, score) for score in ready.scores]


def addends_of_pairs(weight: Array | None, baseline: Array, loss: Array) -> dict[str, Array]:
    """What pairs of a row and a challenger add to their sums, but for the divergences."""
    with np.errstate(invalid="ignore"):  # of two infinite losses
        wd = times(weight, loss - baseline)
        halves = None if weight is None else split(weight)
        sums = dict(precise(halves, "wa", baseline)) | dict(precise(halves, "wb", loss))
        sums |= {} if weight is None else dict(one_precise("w", weight)) | {"w2": weight * weight}
        sums |= {"wd": wd, "w2d": times(weight, wd), "w2dd": wd * wd}
    comparisons = {"w_better": loss < baseline, "w_worse": loss > baseline, "w_tie": loss == baseline}
    return sums | {name: times(weight, found.astype(np.float64)) for name, found in comparisons.items()}


def divergence_kernel(preparation: Preparation) -> Kernel:
    """The divergence of two forecasts of a row."""
    if preparation.scoring.score == "logit":
        return kl_from_logits
    return binary_kl if preparation.form.scalar else kl
