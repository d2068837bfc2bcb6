"""Fits of arrays without Spark: the same blocks, sums and solvers, in this process; and what fits leave on disk."""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from logloss_spark.fit.batches import FeatureForm, block_of, block_sums, merged_sums
from logloss_spark.fit.fitting import Fitting
from logloss_spark.fit.model import LogisticModel
from logloss_spark.fit.objective import space_of, totals_of_rows
from logloss_spark.fit.spec import Training
from logloss_spark.fit.table import TrainingTable
from logloss_spark.rows.engines import Ran
from tests.conftest import SETTINGS


def block_folders() -> list[Path]:
    """Folders of blocks that this session has on local disk."""
    return list(Path(SETTINGS["spark.local.dir"]).glob("**/logloss-*-*"))


class LocalRows:
    """What `TrainingRows` is to a fit, over blocks in memory: a part for each of a few slices of the rows."""

    streamed, rebuilds, ran = False, 0, Ran("native", "they are in memory")

    def __init__(self, batches: Sequence[pa.RecordBatch], form: FeatureForm, classes: int) -> None:
        made = [block_of(batch, form, None) for batch in batches]
        self.blocks = [block for block, _ in made]
        self.parts = [block_sums(block, codes, classes) | {"centre": np.asarray(block.centre)} for block, codes in made]
        self.form, self.rows, self.passes = form, sum(len(block.y) for block in self.blocks), 0

    def sums(self, work, combine=merged_sums):
        self.passes += 1
        total = None
        for block in self.blocks:
            total = combine(total, work(block))
        return total


def local_table(names: tuple[str, ...], classes: int, *, sparse: bool = False, **given: Any) -> TrainingTable:
    """What is known of a training table of arrays; there is no table to read."""
    training = Training(features=names, label="label", **given)
    source: Any = None
    return TrainingTable(training, source, (), tuple(range(classes)), FeatureForm(len(names), sparse), names, "")


def fit_locally(
    x, y, weight=None, *, sparse: bool = False, parts: int = 3, initial: Any = None, **given: Any
) -> LogisticModel:
    """`fit_logistic` of a frame, or of an array whose features are called x0, x1, ..."""
    rows, width = x.shape
    names = tuple(x.columns) if isinstance(x, pd.DataFrame) else tuple(f"x{place}" for place in range(width))
    x = np.asarray(x, dtype=float)
    columns = {"label": np.asarray(y, dtype=float), "weight": np.ones(rows) if weight is None else weight}
    columns["features"] = pa.FixedSizeListArray.from_arrays(np.ravel(x), width).cast(pa.list_(pa.float64()))
    whole = pa.record_batch(columns)
    cuts = np.linspace(0, rows, parts + 1).astype(int)
    batches = [whole.slice(low, high - low) for low, high in pairwise(cuts)]
    table = local_table(names, int(np.max(y)) + 1, sparse=sparse, **given)
    local: Any = LocalRows(batches, table.form, len(table.classes))
    totals = totals_of_rows(local, width)
    space = space_of(table.training, totals, len(table.classes))
    return Fitting(table, local, totals, space, None, None).run(initial, {})
