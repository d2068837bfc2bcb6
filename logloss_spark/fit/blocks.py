"""Blocks of training rows on an executor's local disk: written once, then mapped into memory in every pass."""

import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from logloss_spark.fit.batches import FeatureForm, block_of, block_sums, merged_sums
from logloss_spark.kernels.logistic import Block
from logloss_spark.kernels.matrix import Matrix, Sparse
from logloss_spark.kernels.sums import Array
from logloss_spark.workers.results import Result
from logloss_spark.workers.task import current_task, local_folder, local_folders, partition_id


@dataclass(frozen=True)
class BlockSet:
    """The blocks of a fit, one per partition: what a worker must know to write them.

    Attributes
    ----------
    name : the name of the fit
    generation : 0 for the first blocks, and one more each time that lost blocks are written again
    form : the form of the features
    classes : the number of classes
    """

    name: str
    generation: int
    form: FeatureForm
    classes: int

    @property
    def folder(self) -> str:
        """The name of the folder that holds the blocks on each local disk."""
        return f"logloss-{self.name}-{self.generation}"


def write_block(batches: Iterable[pa.RecordBatch], blocks: BlockSet) -> Result:
    """Write the block of a partition to the executor's local disk, and sum over its rows.

    The block is written under a temporary name and renamed when it is whole. The address of the result is the folder of
    the block, or None if the disk is absent, full or read-only.
    """
    part = partition_id()
    disk = local_folder(part)
    folder = None if disk is None else disk / blocks.folder / f"{part}-{current_task().taskAttemptId()}"
    scratch = None if folder is None else folder.with_suffix(".tmp")
    try:
        result = write_batches(batches, scratch, blocks)
        if scratch is not None and folder is not None and result.address is not None:
            kept = try_to_write(scratch, lambda: scratch.rename(folder))
            result = replace(result, address=str(folder) if kept else None)
    except BaseException:
        if scratch is not None:
            shutil.rmtree(scratch, ignore_errors=True)
        raise
    return result


def write_batches(batches: Iterable[pa.RecordBatch], folder: Path | None, blocks: BlockSet) -> Result:
    """Append the batches of a partition to files in a new folder, and sum over their rows about the mean of the first.

    If the disk takes no more, or if there is no folder, the sums are computed all the same, and the result has no
    address.
    """
    rows, mark, sums, centre = 0, 0.0, None, None
    if folder is not None and not try_to_write(folder, partial(folder.mkdir, parents=True)):
        folder = None
    for batch in batches:
        block, codes = block_of(batch, blocks.form, centre)
        if centre is None and len(block.y):
            centre = block.centre
        rows, mark = rows + len(block.y), mark + mark_of(block)
        # Batches before the first with a usable row have no centre, and add no rows.
        sums = merged_sums(sums, block_sums(block, codes, blocks.classes))
        if folder is not None and not try_to_write(folder, partial(append_block, folder, block)):
            folder = None
    if centre is not None:
        assert sums is not None
        sums["centre"] = np.asarray(centre)
        if folder is not None and not try_to_write(folder, partial(np.asarray(centre).tofile, folder / "centre")):
            folder = None
    return Result(rows, mark, sums, None if folder is None else str(folder))


def try_to_write(folder: Path, write: Callable[[], object]) -> bool:
    """Call a function that writes to a folder, and return whether it worked. If not, the folder is deleted."""
    try:
        write()
    except OSError:
        shutil.rmtree(folder, ignore_errors=True)
        return False
    return True


def mark_of(block: Block) -> float:
    """A checksum of the rows that does not depend on their order: the weighted sum of their hashes."""
    return float(block.key @ (block.weight if block.held is None else block.weight + 2.0 * block.held))


def append_block(folder: Path, block: Block) -> None:
    """Append a block to the files of its folder, one file per array."""
    for name, array in arrays_of(block).items():
        with (folder / name).open("ab") as file:
            file.write(np.ascontiguousarray(array).data)


def arrays_of(block: Block) -> dict[str, Array]:
    """The arrays that a block is stored as. Compressed rows are stored with their lengths, which can be appended."""
    x = block.x
    stored = (
        {"length": np.diff(x.indptr), "indices": x.indices, "values": x.values} if isinstance(x, Sparse) else {"x": x}
    )
    rest = {field.name: getattr(block, field.name) for field in fields(block) if field.name not in ("x", "centre")}
    return stored | {name: array for name, array in rest.items() if array is not None}


def open_block(folder: str, rows: int, form: FeatureForm) -> Block | None:
    """Map the block in a folder into memory; return None if it is gone or was cut short."""
    place = Path(folder)
    if not rows:
        empty = np.zeros(0)
        return Block(np.zeros((0, form.width)), empty, empty, empty, np.zeros(form.width))
    try:
        y = map_file(place / "y")
        if len(y) != rows:
            return None
        optional = {name: map_file(place / name) for name in ("offset", "held") if (place / name).exists()}
        return Block(
            x=open_features(place, rows, form),
            y=y,
            weight=map_file(place / "weight"),
            key=map_file(place / "key"),
            centre=np.zeros(()) if form.sparse else np.fromfile(place / "centre"),
            **optional,
        )
    except (OSError, ValueError):
        return None


def open_features(folder: Path, rows: int, form: FeatureForm) -> Matrix:
    """Map the features of a block into memory; raise ValueError if their files do not fit together."""
    if not form.sparse:
        return map_file(folder / "x").reshape(rows, form.width)
    lengths = np.fromfile(folder / "length", dtype=np.int64)
    indptr = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    values, indices = map_file(folder / "values"), map_file(folder / "indices", np.int32)
    if not len(lengths) == rows or not len(values) == len(indices) == indptr[-1]:
        raise ValueError("the files of a block do not fit together")
    return Sparse(indptr, indices, values, form.width)


def map_file(path: Path, dtype: type = np.float64) -> Any:
    """Map a file into memory as a read-only array. An empty file cannot be mapped, and gives an empty array."""
    return np.memmap(path, dtype=dtype, mode="r") if path.stat().st_size else np.zeros(0, dtype=dtype)


def delete_blocks(batches: Iterable[pa.RecordBatch], name: str) -> Result:
    """Delete all blocks of a fit, of any generation, from the local disks of the executor that reads these batches."""
    for _ in batches:
        for folder in local_folders():
            for found in folder.glob(f"logloss-{name}-*"):
                shutil.rmtree(found, ignore_errors=True)
    return Result(0, 0.0, None)
