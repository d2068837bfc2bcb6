"""The parts of a state from batches of rows, in NumPy, in a worker."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from logloss_spark.kernels.grid import THIN_BIN
from logloss_spark.kernels.status import STATUSES
from logloss_spark.kernels.sums import Array
from logloss_spark.kernels.terms import binary_terms, class_terms
from logloss_spark.rows.batches import Preparation, Ready, made_ready
from logloss_spark.rows.inputs import slice_name
from logloss_spark.rows.losses import kernel_of
from logloss_spark.states.addends import Terms, addends_of_group, one_precise, times
from logloss_spark.states.class_sums import ClassSums
from logloss_spark.states.conventions import Conventions
from logloss_spark.states.groups import Groups, Ids
from logloss_spark.states.parts import (
    CELL_STRIDE,
    PartRows,
    as_table,
    bucket_rows,
    cell_codes,
    cell_rows,
    status_rows,
    total_of,
)
from logloss_spark.states.schema import BUCKET_STRIDE, SCORE
from logloss_spark.states.slice_ids import SliceIds

MOST_GROUPS = 1 << 18
"""The most groups that a worker holds before it hands their sums over: some 60 MB."""


@dataclass(frozen=True, kw_only=True)
class Summation:
    """What a worker sums, and by what: plain data.

    Attributes
    ----------
    preparation : Preparation
    conventions : Conventions
    slice_types : tuple of Arrow types
    most_scores : int
        The rows of a table whose scores are kept beside their sums; of a larger one none are.
    """

    preparation: Preparation
    conventions: Conventions
    slice_types: tuple[pa.DataType, ...]
    most_scores: int = 0


BATCH = 1 << 14
"""The numbers of a batch in a column: the cache of a core holds more of the thirty arrays that a batch needs than of
twice as long ones. Of forecasts by class a batch has twice as many numbers, because each batch takes some time, too."""


class PartSums:
    """The sums of the batches that were added so far."""

    def __init__(self, summation: Summation) -> None:
        self.summation = summation
        self.batch = BATCH if summation.preparation.form.scalar else 2 * BATCH
        self._start()

    def _start(self) -> None:
        form, conventions = self.summation.preparation.form, self.summation.conventions
        self._slices = SliceIds(self.summation.slice_types)
        self._statuses = Groups(len(STATUSES))
        self._cells = Groups(CELL_STRIDE)
        self._scores: list[tuple[Ids, Array, Array, Array]] = []
        self._scored = 0
        self._buckets = Groups(max(conventions.buckets, 1) * BUCKET_STRIDE)
        self._classes = (
            None if form.scalar else ClassSums(form.size, soft=form.soft_labels, buckets=max(conventions.buckets, 1))
        )

    def __len__(self) -> int:
        """About how many groups there are."""
        return len(self._cells) + len(self._buckets) + len(self._statuses) + len(self._classes or ())

    def add(self, batch: pa.RecordBatch) -> None:
        """Add the rows of a batch."""
        ready = made_ready(batch, self.summation.preparation)
        slices = self._slices.of(ready.slices, batch.num_rows)
        scored = ready.summed(ready.statuses[0])
        if not scored.all():
            left_out = ~scored
            keys = slices[left_out] * len(STATUSES) + ready.statuses[0][left_out]
            self._statuses.add(keys, [], slices=len(self._slices))
            slices = slices[scored]
        self._add_scored(ready.where(scored), slices)

    def _add_scored(self, ready: Ready, slices: Ids) -> None:
        if not len(slices):
            return
        form, conventions = self.summation.preparation.form, self.summation.conventions
        terms = terms_of(ready, self.summation.preparation)
        known = len(self._slices)
        sums = addends_of_group(terms, ready.weight, shift=conventions.shift, scalar=form.scalar, soft=form.soft_labels)
        places = cell_codes(terms, hard=not form.soft_labels)
        with np.errstate(invalid="ignore", over="ignore"):  # of infinite losses
            self._cells.add(slices * CELL_STRIDE + places, sums, slices=known)
        if ready.bucket is not None:
            place = ready.bucket * BUCKET_STRIDE + THIN_BIN.take(terms["bin"])
            keys = slices * self._buckets.stride + place
            self._buckets.add(keys, bucket_addends(terms, ready.weight).items(), slices=known)
        self._scored += len(slices)
        if self._scored <= self.summation.most_scores:
            weight = np.ones(len(slices)) if ready.weight is None else ready.weight
            self._scores.append((slices, weight, terms["y"], terms["score"]))
        if self._classes is not None:
            self._classes.add(slices, terms, ready.weight, ready.bucket, known=known)

    def take(self) -> list[pa.Table]:
        """The rows of the state's parts, and of few rows their scores; the sums begin anew."""
        slices = self._slices.columns()
        tables = [as_table(list(self._rows()), slices, self.summation.conventions)]
        if self._scored <= self.summation.most_scores:
            tables.append(self._of_scores(slices))
        self._start()
        return tables

    def _of_scores(self, slices: Sequence[pa.Array]) -> pa.Table:
        """What each row adds to the sums of its score, which is called `place`."""
        none = np.empty(0)
        parts = [(none.astype(np.int64), none, none, none), *self._scores]
        of_slice, w, y, score = (np.concatenate(column) for column in zip(*parts, strict=True))
        sums = {"w": w, "w2": w * w, "wy": w * y, "w2y": w * w * y}
        row = pa.array(of_slice)
        named = {slice_name(index): values.take(row) for index, values in enumerate(slices)}
        return pa.table(named | {name: sums[name] for name in SCORE} | {"place": score})

    def _rows(self) -> Iterator[PartRows]:
        conventions = self.summation.conventions
        yield from status_rows(self._statuses)
        yield total_of(self._statuses)
        yield from cell_rows(self._cells, conventions)
        yield from bucket_rows(self._buckets, conventions)
        if self._classes is not None:
            yield from self._classes.rows()


def bucket_addends(terms: Terms, weight: Array | None) -> dict[str, Array]:
    """What rows add to the sums of their bucket."""
    names = {"wl": "loss", "wb": "brier", "wy": "y", "wt": "tail"}
    sums = {name: times(weight, terms[term]) for name, term in names.items()}
    return sums if weight is None else sums | dict(one_precise("w", weight))


def terms_of(ready: Ready, preparation: Preparation) -> Terms:
    """All terms of rows that are scored; a loss that is not cross-entropy takes the place of `loss`."""
    scoring, (score, *_) = preparation.scoring, ready.scores
    capped = {"eps": scoring.eps, "cap": scoring.cap}
    if score.ndim == 1:
        found = binary_terms(ready.label, score, scoring.score, soft=scoring.soft_labels, **capped)
    else:
        found = class_terms(ready.label, score, scoring.score, **capped)
    if scoring.loss == "cross_entropy":
        return found
    return found | {"loss": kernel_of(scoring)(ready.label, score)}
