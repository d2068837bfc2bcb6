"""Blocks on an executor's local disk: written once, then mapped into memory in every pass."""

import io
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, fields, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from pyspark import TaskContext

from logloss_spark.fit.batches import Form, added, block_of, summary_of
from logloss_spark.kernels.logistic import Block
from logloss_spark.kernels.matrix import Matrix, Sparse
from logloss_spark.kernels.sums import Array

DESCRIPTOR = "part int, folder string, rows bigint, mark double, sums binary"
"""One row per partition: where its block is (null: it could not be written), and what was summed over its rows."""


@dataclass(frozen=True)
class Fit:
    """What workers need to know of a fit: its name, the try at writing its blocks, the form of its rows."""

    name: str
    generation: int
    form: Form
    classes: int

    @property
    def folder(self) -> str:
        """The name of the folder that its blocks are in."""
        return f"logloss-{self.name}-{self.generation}"


@dataclass(frozen=True)
class Part:
    """What is known of a partition: its rows (None: its block is gone), their mark, what was summed over them."""

    rows: int | None
    mark: float
    sums: dict[str, Array] | None
    folder: str | None = None


def written(batches: Iterable[pa.RecordBatch], fit: Fit) -> Iterator[pa.RecordBatch]:
    """Write the block of a partition; one descriptor. Where there is no disk for it the descriptor has no folder."""
    part = part_id()
    place = local_folder(part)
    folder = None if place is None else place / fit.folder / f"{part}-{task_context().taskAttemptId()}"
    scratch = None if folder is None else folder.with_suffix(".tmp")
    try:
        made = write_batches(batches, scratch, fit)
        if scratch is not None and folder is not None and made.folder is not None:
            kept = attempted(scratch, lambda: scratch.rename(folder))
            made = replace(made, folder=str(folder) if kept else None)
    except BaseException:
        if scratch is not None:
            shutil.rmtree(scratch, ignore_errors=True)
        raise
    yield descriptor(part, made)


def write_batches(batches: Iterable[pa.RecordBatch], folder: Path | None, fit: Fit) -> Part:
    """Append the batches of a partition to files in a new folder; return what was summed, about the centre of its rows.

    Without a folder, or from where its disk takes no more, the sums go on alone, and the part has no folder.
    """
    rows, mark, sums, centre = 0, 0.0, None, None
    if folder is not None and not attempted(folder, partial(folder.mkdir, parents=True)):
        folder = None
    for batch in batches:
        block, codes = block_of(batch, fit.form, centre)
        if centre is None and len(block.y):
            centre = block.centre
        rows, mark = rows + len(block.y), mark + mark_of(block)
        # A batch that comes before the centre is known has no rows.
        sums = added(sums, summary_of(block, codes, fit.classes))
        if folder is not None and not attempted(folder, partial(append, folder, block)):
            folder = None
    if centre is not None:
        assert sums is not None
        sums["centre"] = np.asarray(centre)
        if folder is not None and not attempted(folder, partial(np.asarray(centre).tofile, folder / "centre")):
            folder = None
    return Part(rows, mark, sums, None if folder is None else str(folder))


def attempted(folder: Path, write: Callable[[], object]) -> bool:
    """Write to a folder, and return whether that worked; a folder whose disk is full or read-only is taken away."""
    try:
        write()
    except OSError:
        shutil.rmtree(folder, ignore_errors=True)
        return False
    return True


def mark_of(block: Block) -> float:
    """A number that is another for other rows: the sum of their hashes, weighted."""
    return float(block.key @ (block.weight if block.held is None else block.weight + 2.0 * block.held))


def append(folder: Path, block: Block) -> None:
    """Append a block to the files of its folder, an array each."""
    for name, array in arrays_of(block).items():
        with (folder / name).open("ab") as file:
            file.write(np.ascontiguousarray(array).data)


def arrays_of(block: Block) -> dict[str, Array]:
    """The arrays that a block is stored as; a compressed row is stored by its length."""
    x = block.x
    stored = (
        {"length": np.diff(x.indptr), "indices": x.indices, "values": x.values} if isinstance(x, Sparse) else {"x": x}
    )
    rest = {field.name: getattr(block, field.name) for field in fields(block) if field.name not in ("x", "centre")}
    return stored | {name: array for name, array in rest.items() if array is not None}


def opened(folder: str, rows: int, form: Form) -> Block | None:
    """The block in a folder, mapped into memory; None where it is not, or not whole."""
    place = Path(folder)
    if not rows:
        empty = np.zeros(0)
        return Block(np.zeros((0, form.width)), empty, empty, empty, np.zeros(form.width))
    try:
        y = mapped(place / "y")
        if len(y) != rows:
            return None
        optional = {name: mapped(place / name) for name in ("offset", "held") if (place / name).exists()}
        return Block(
            x=matrix(place, rows, form),
            y=y,
            weight=mapped(place / "weight"),
            key=mapped(place / "key"),
            centre=np.zeros(()) if form.sparse else np.fromfile(place / "centre"),
            **optional,
        )
    except (OSError, ValueError):  # gone, or cut short
        return None


def matrix(place: Path, rows: int, form: Form) -> Matrix:
    """The features of a block."""
    if not form.sparse:
        return mapped(place / "x").reshape(rows, form.width)
    lengths = np.fromfile(place / "length", dtype=np.int64)
    indptr = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    values, indices = mapped(place / "values"), mapped(place / "indices", np.int32)
    if not len(lengths) == rows or not len(values) == len(indices) == indptr[-1]:
        raise ValueError("a block whose files do not fit together")
    return Sparse(indptr, indices, values, form.width)


def mapped(path: Path, dtype: type = np.float64) -> Any:
    """A file as a read-only array; an empty file cannot be mapped."""
    return np.memmap(path, dtype=dtype, mode="r") if path.stat().st_size else np.zeros(0, dtype=dtype)


def removed(batches: Iterable[pa.RecordBatch], name: str) -> Iterator[pa.RecordBatch]:
    """Take away all blocks of a fit, of any generation, from the local disks that these batches are read on."""
    for _ in batches:
        for folder in local_folders():
            for found in folder.glob(f"logloss-{name}-*"):
                shutil.rmtree(found, ignore_errors=True)
    yield from ()


def task_context() -> TaskContext:
    """The task that this runs in."""
    context = TaskContext.get()
    assert context is not None
    return context


def part_id() -> int:
    """The number of the partition that this runs on."""
    return task_context().partitionId()


def local_folders() -> list[Path]:
    """The executor's own folders on local disk, which go with it."""
    return [Path(folder) for folder in os.environ.get("SPARK_LOCAL_DIRS", "").split(",") if folder]


def local_folder(part: int) -> Path | None:
    """The folder for a partition; None where the executor has none."""
    folders = local_folders()
    return folders[part % len(folders)] if folders else None


def descriptor(place: int, part: Part) -> pa.RecordBatch:
    """One row of a table of descriptors."""
    return pa.RecordBatch.from_arrays(
        [
            pa.array([place], pa.int32()),
            pa.array([part.folder], pa.string()),
            pa.array([part.rows], pa.int64()),
            pa.array([part.mark], pa.float64()),
            pa.array([None if part.sums is None else packed(part.sums)], pa.binary()),
        ],
        names=["part", "folder", "rows", "mark", "sums"],
    )


def packed(sums: Mapping[str, Array]) -> bytes:
    """Named arrays as bytes."""
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **sums)
    return buffer.getvalue()


def unpacked(data: bytes) -> dict[str, Array]:
    """What `packed` packed."""
    with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
        return {name: arrays[name] for name in arrays.files}
