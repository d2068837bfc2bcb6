"""The sums of a comparison, from batches of rows, in a worker: what `states.pairs` computes in Spark."""

from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa

from logloss_spark.kernels.divergence import binary_kl_both_ways, kl, kl_from_logits
from logloss_spark.kernels.status import STATUSES, Codes
from logloss_spark.kernels.sums import Array
from logloss_spark.rows.arrow import loss_kernel
from logloss_spark.rows.batches import Preparation, Ready, made_ready
from logloss_spark.states.addends import one_precise, precise, split, times
from logloss_spark.states.groups import Groups, Ids
from logloss_spark.states.parts import PartRows, as_table, in_columns, plain_sums, status_rows, summed, total_of
from logloss_spark.states.schema import PAIR, TOTAL, totals_of
from logloss_spark.states.slice_ids import SliceIds
from logloss_spark.states.summing import BATCH, Summation


class PairSums:
    """The sums of the batches that were added so far, per challenger."""

    batch = BATCH

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
        of_baseline = addends_of_baseline(ready.weight, losses[0])
        everyone = first_reason(ready.statuses)
        for place in range(1, len(ready.scores)):
            status = first_reason((ready.statuses[0], ready.statuses[place])) if self._shared else everyone
            sums = addends_of_challenger(ready, place, losses, self.summation.preparation)
            self._add_pairs(place, ready, status, slices, of_baseline | sums if self._counts(place) else sums)

    @property
    def _shared(self) -> bool:
        """Whether each challenger has rows of its own."""
        return self.summation.conventions.rows == "shared"

    def _counts(self, place: int) -> bool:
        """Whether rows are counted with this challenger. What all have in common is summed with the first alone."""
        return self._shared or place == 1

    def _add_pairs(self, place: int, ready: Ready, status: Codes, slices: Ids, sums: dict[str, Array]) -> None:
        """Add the pairs of each row with one challenger."""
        form, known = self.summation.preparation.form, len(self._slices)
        pairs, classes = self._pairs[place - 1], self._classes[place - 1]
        of_pair = slices if ready.bucket is None else slices * pairs.stride + ready.bucket
        of_class = slices * form.size + (0 if form.soft_labels else ready.label)
        scored = ready.summed(status)
        if not scored.all():
            if self._counts(place):
                left_out = ~scored
                keys = slices[left_out] * len(STATUSES) + status[left_out]
                self._statuses[place - 1].add(keys, [], slices=known)
            of_pair, of_class = of_pair[scored], of_class[scored]
            sums = {name: addend[scored] for name, addend in sums.items()}
        pairs.add(of_pair, sums.items(), slices=known)
        if self._counts(place):
            classes.add(of_class, [], slices=known)

    def take(self) -> list[pa.Table]:
        """The rows of the state's parts; the sums begin anew."""
        table = as_table(list(self._rows()), self._slices.columns(), self.summation.conventions)
        self._start()
        return [table]

    def _rows(self) -> Iterator[PartRows]:
        conventions = self.summation.conventions
        common: dict[str, Array] = {}
        for place, model in enumerate(conventions.models[1:], start=1):
            pairs, statuses, classes = (each[place - 1] for each in (self._pairs, self._statuses, self._classes))
            counted = self._counts(place)
            # What all challengers have in common has no model.
            owner = model if self._shared else None
            if counted:
                for found in status_rows(statuses):
                    yield of_model(found, owner)
                yield of_model(total_of(statuses), None)
            if not len(pairs):
                continue
            slices = pairs.keys // pairs.stride
            sums = in_columns(pairs) | common
            full = sums | plain_sums(sums)
            if counted:
                yield of_model(summed(STATUSES[0], slices, None, {"n": full["n"]}), owner)
                keys = classes.keys
                counts = {"n": classes.counts.astype(np.float64)}
                yield of_model(summed("class", keys // classes.stride, keys % classes.stride, counts), owner)
                totals = {name: full[name].sum(keepdims=True) for name in ("n", *totals_of(conventions))}
                yield PartRows(TOTAL, np.array([-1]), None, totals)
            if not self._shared:  # the same rows in the same order: pairs of all challengers have the same groups
                common = {name: sums[name] for name in OF_BASELINE}
            columns = {name: sums[f"{name}_high"] if f"{name}_high" in sums else sums[name] for name in ("n", *PAIR)}
            yield of_model(summed("pair", slices, pairs.keys % pairs.stride, columns), model)


OF_BASELINE = ("w_high", "w_low", "w2", "wa_high", "wa_low")
"""The sums of `addends_of_baseline`, and of w where it has none."""


def of_model(rows: PartRows, model: str | None) -> PartRows:
    """Rows of a part that belong to a model."""
    return PartRows(rows.part, rows.slice, rows.place, rows.sums, model)


def first_reason(statuses: tuple[Codes, ...]) -> Codes:
    """The first status of these models that is not ok, in their order; ok if all are."""
    found, *others = statuses
    for status in others:
        found = np.where(found == 0, status, found)
    return found


def losses_of(ready: Ready, preparation: Preparation) -> list[Array]:
    """The losses of all models; of rows that cannot be scored they are unspecified."""
    kernel = loss_kernel(preparation.scoring, scalar=preparation.form.scalar)
    return [kernel(ready.label, score) for score in ready.scores]


def addends_of_baseline(weight: Array | None, loss: Array) -> dict[str, Array]:
    """What rows add to the sums that their pairs with all challengers have in common."""
    with np.errstate(invalid="ignore"):  # of infinite losses, and of rows that cannot be scored
        sums = dict(precise(None if weight is None else split(weight), "wa", loss))
        return sums if weight is None else sums | dict(one_precise("w", weight)) | {"w2": weight * weight}


def addends_of_challenger(
    ready: Ready, place: int, losses: Sequence[Array], preparation: Preparation
) -> dict[str, Array]:
    """What the pairs of each row with a challenger add to their other sums."""
    weight, baseline, loss = ready.weight, losses[0], losses[place]
    forth, back = divergences_of(ready.scores[0], ready.scores[place], preparation)
    with np.errstate(invalid="ignore"):  # as above
        wd = times(weight, loss - baseline)
        sums = dict(precise(None if weight is None else split(weight), "wb", loss))
        sums |= {"wd": wd, "w2d": times(weight, wd), "w2dd": wd * wd}
        comparisons = {"w_better": loss < baseline, "w_worse": loss > baseline, "w_tie": loss == baseline}
        sums |= {name: times(weight, found.astype(np.float64)) for name, found in comparisons.items()}
        return sums | {"wk": times(weight, forth), "wr": times(weight, back)}


def divergences_of(baseline: Array, challenger: Array, preparation: Preparation) -> tuple[Array, Array]:
    """The divergence of each row's two forecasts, of the challenger's from the baseline's and the other way round."""
    if preparation.scoring.score == "probability" and preparation.form.scalar:
        return binary_kl_both_ways(baseline, challenger)
    kernel = kl_from_logits if preparation.scoring.score == "logit" else kl
    return kernel(baseline, challenger), kernel(challenger, baseline)
