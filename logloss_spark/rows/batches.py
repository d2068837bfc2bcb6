"""Batches of a table of predictions made ready in a worker: roles as NumPy arrays, and the status of each row.

This is what `rows.inputs`, `rows.labels` and `rows.status` do with Spark columns. `kernels.status` decides.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from logloss_spark.errors import UnreadableError
from logloss_spark.kernels.status import Codes, Mask, Numbers, statuses
from logloss_spark.kernels.sums import Array
from logloss_spark.kernels.terms import score_of
from logloss_spark.roles import Columns, Roles
from logloss_spark.rows.arrow import dense_lists
from logloss_spark.rows.arrow_labels import class_indices
from logloss_spark.rows.arrow_status import entries, nulls
from logloss_spark.rows.buckets import buckets_of
from logloss_spark.rows.casts import as_doubles
from logloss_spark.rows.form import Form
from logloss_spark.rows.weights import SMALLEST
from logloss_spark.scoring import Scoring, allowed


@dataclass(frozen=True, kw_only=True)
class Preparation:
    """What a worker must know to make a batch ready: plain data.

    Attributes
    ----------
    roles : Roles
    scoring : Scoring
    form : Form
    predictions : tuple of Columns
        The prediction of each model: one in an evaluation.
    weight_exponent : int
        Weights count in units of 2 to the power of this.
    """

    roles: Roles
    scoring: Scoring
    form: Form
    predictions: tuple[Columns, ...]
    weight_exponent: int = 0

    @property
    def columns(self) -> list[str]:
        """The names of all columns that are read, each once."""
        roles = self.roles
        found = [*named(roles.label), *(name for columns in self.predictions for name in named(columns))]
        found += [name for name in (roles.weight, roles.cluster) if name is not None]
        return list(dict.fromkeys([*found, *roles.slices]))


@dataclass(frozen=True, kw_only=True)
class Ready:
    """A batch made ready.

    Attributes
    ----------
    statuses : tuple of integer arrays of shape (n,)
        The status of each row for each model.
    label : array of shape (n,), the class of each row, or its share; or (n, K), its shares
    scores : tuple of arrays of shape (n,) or (n, K)
        The score of each row by each model.
    weight : array of shape (n,), or None without weights
    bucket : integer array of shape (n,), or None without clusters
    slices : tuple of Arrow arrays
    """

    statuses: tuple[Codes, ...]
    label: npt.NDArray[Any]
    scores: tuple[Array, ...]
    weight: Array | None
    bucket: npt.NDArray[np.int64] | None
    slices: tuple[pa.Array, ...]

    def summed(self, status: Codes) -> Mask:
        """Which rows of these statuses are summed: those that are ok and weigh something."""
        ok = status == 0
        return ok if self.weight is None else ok & (self.weight > 0.0)

    def where(self, kept: Mask) -> "Ready":
        """Some of the rows."""
        if kept.all():
            return self
        rows = np.flatnonzero(kept)  # to take by index is several times faster than by mask
        return replace(
            self,
            statuses=tuple(status.take(rows) for status in self.statuses),
            label=self.label.take(rows, axis=0),
            scores=tuple(score.take(rows, axis=0) for score in self.scores),
            weight=None if self.weight is None else self.weight.take(rows),
            bucket=None if self.bucket is None else self.bucket.take(rows),
            slices=tuple(values.take(pa.array(rows)) for values in self.slices),
        )


def made_ready(batch: pa.RecordBatch, preparation: Preparation) -> Ready:
    """The roles of a batch as arrays, and the status of each row."""
    roles, form, scoring = preparation.roles, preparation.form, preparation.scoring
    size = form.size
    label = label_of(batch, preparation)
    weight = None if roles.weight is None else entries(as_doubles(batch[roles.weight]), 1)
    cluster = None if roles.cluster is None else batch[roles.cluster]
    null_cluster = None if cluster is None else nulls(cluster)
    found = []
    scores = []
    for columns in preparation.predictions:
        prediction = numbers_of(batch, columns, 2 if scoring.kind == "margin" else size)
        found.append(
            statuses(
                label,
                prediction,
                kind=scoring.kind,
                soft_labels=scoring.soft_labels,
                slack=allowed(scoring.sum_tolerance, size),
                weight=weight,
                null_cluster=null_cluster,
            )
        )
        scores.append(score_of(prediction.values, scoring.kind))
    shares = scoring.soft_labels and not form.scalar
    return Ready(
        statuses=tuple(found),
        label=np.clip(label.values, 0.0, 1.0) if shares else label.values,
        scores=tuple(scores),
        weight=None if weight is None else scaled(weight.values, preparation.weight_exponent),
        bucket=None if cluster is None else buckets_of(cluster),
        slices=tuple(batch[name] for name in roles.slices),
    )


def label_of(batch: pa.RecordBatch, preparation: Preparation) -> Numbers:
    """Soft labels as numbers; hard ones as the index of their class, -1 where they are none of the classes."""
    roles, form = preparation.roles, preparation.form
    if form.soft_labels:
        return numbers_of(batch, roles.label, form.size)
    label = batch[str(roles.label)]
    nan = np.isnan(floats(label)) if pa.types.is_floating(label.type) else None
    return Numbers(class_indices(label, form.classes), nulls(label), nan)


def numbers_of(batch: pa.RecordBatch, columns: Columns, size: int) -> Numbers:
    """A forecast or a soft label: one number a row, or one per class."""
    if isinstance(columns, str):
        return entries(scores_as_doubles(batch[columns]), size)
    each = [entries(as_doubles(batch[name]), 1) for name in columns]
    null = [column.null for column in each if column.null is not None]
    return Numbers(np.stack([column.values for column in each], axis=1), np.logical_or.reduce(null) if null else None)


def scores_as_doubles(values: pa.Array) -> pa.Array:
    """Numbers, lists of numbers or ML vectors as doubles, or lists of doubles."""
    if pa.types.is_map(values.type):
        raise UnreadableError("a prediction is a map, which workers do not read")
    return dense_lists(values) if pa.types.is_struct(values.type) else as_doubles(values)


def floats(values: pa.Array) -> Array:
    """Floats as NumPy in their own precision; NaN for null."""
    return np.asarray(values.fill_null(np.nan).to_numpy(zero_copy_only=False))


def scaled(weight: Array, exponent: int) -> Array:
    """Weights in units of this power of two. Exact, except for weights that would become 0."""
    if not exponent:
        return weight
    found = np.ldexp(weight, -exponent)
    return np.where((found == 0.0) & (weight != 0.0), np.sign(weight) * SMALLEST, found)


def named(columns: Columns) -> Sequence[str]:
    """The names of a role's columns."""
    return [columns] if isinstance(columns, str) else columns
