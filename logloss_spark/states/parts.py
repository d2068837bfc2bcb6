"""Rows of a state's parts from the sums of groups, in NumPy: what `states.catalyst` does in SQL."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from logloss_spark.kernels.grid import HALF, THIN_HALF
from logloss_spark.kernels.status import STATUSES
from logloss_spark.rows.inputs import slice_name
from logloss_spark.states.addends import Terms
from logloss_spark.states.conventions import Conventions
from logloss_spark.states.groups import Groups, Ids
from logloss_spark.states.schema import (
    BUCKET,
    BUCKET_STRIDE,
    CELL,
    KEYS,
    MOMENTS,
    PARTIAL,
    TOTAL,
    columns_of,
    low_of,
    totals_of,
)

CELL_STRIDE = 8 * BUCKET_STRIDE
"""The places of cells in a slice: the bin, and three flags."""

Columns = dict[str, npt.NDArray[Any]]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class PartRows:
    """Rows of one part.

    Attributes
    ----------
    part : str
    slice : integer array of shape (n,), the number of each row's slice; -1 for a part that a state has once
    place : integer array of shape (n,), or None
    sums : dict of arrays of shape (n,), `n` among them; those that are not here are null
    """

    part: str
    slice: Ids
    place: Ids | None
    sums: Columns
    model: str | None = None


def cell_codes(terms: Terms, *, hard: bool) -> Ids:
    """The place of each row in its slice: the bin of its score, and whether y is 1, it is clipped, and it is zero.

    The label and the flags are part of the place, so that sums over `y = 1` or over clipped rows are sums of groups.
    With soft labels none counts as 1.
    """
    code = np.asarray(terms["bin"] * 8, dtype=np.int64)
    if hard:
        code += (terms["y"] == 1.0) * np.int64(4)
    for flag, value in (("clipped", 2), ("zero", 1)):
        if terms[flag].any():
            code += terms[flag] * np.int64(value)
    return code


def status_rows(groups: Groups) -> Iterator[PartRows]:
    """The rows of statuses, from groups whose place is the code of a status; they are rows that are not scored."""
    place, slices = groups.keys % groups.stride, groups.keys // groups.stride
    for code in np.unique(place):
        here = place == code
        yield PartRows(STATUSES[code], slices[here], None, {"n": groups.counts[here]})


def total_of(statuses: Groups) -> PartRows:
    """The rows that were not scored, as a part of the total."""
    return PartRows(TOTAL, np.array([-1]), None, {"n": statuses.counts.sum(keepdims=True)})


def cell_rows(groups: Groups, conventions: Conventions) -> Iterator[PartRows]:
    """The rows of all parts that come from cells: `ok`, moments, cells, clipped, zero, classes of two, total."""
    if not len(groups):
        return
    slices, code = groups.keys // groups.stride, groups.keys % groups.stride
    bins = code >> 3
    clipped, zero = (code >> 1) & 1 == 1, code & 1 == 1
    sums = in_columns(groups)
    full = sums | plain_sums(sums)
    positive, upper = (code >> 2) & 1 == 1, bins >= HALF
    moments = moments_of_groups(sums, full, positive, upper, conventions)
    yield summed(STATUSES[0], slices, None, {"n": full["n"]})
    yield summed("moments", slices, None, moments)
    of_label = {} if conventions.soft_labels else {"wy": positive * full["w"], "w2y": positive * full["w2"]}
    cells = {name: full[name] for name in ("n", *CELL) if name in full} | {"wp": full["wt"]} | of_label
    yield summed("cell", slices, bins, cells)
    for part, rare in (("clipped", clipped), ("zero", zero)):
        if rare.any():
            yield summed(part, slices[rare], None, {name: full[name][rare] for name in ("n", *PARTIAL)})
    if conventions.scalar:
        for k in (0, 1):
            yield class_of_two(k, slices, full, positive, soft=conventions.soft_labels)
    totals = full | of_label | ({"wp": np.where(upper, full["w"] - full["wt"], full["wt"])})
    yield PartRows(
        TOTAL,
        np.array([-1]),
        None,
        {name: totals[name].sum(keepdims=True) for name in ("n", *totals_of(conventions))},
    )


def class_of_two(k: int, slices: Ids, full: Columns, positive: Mask, *, soft: bool) -> PartRows:
    """The rows in which a class of two happened, and their loss; with soft labels only how many have a share of it."""
    if soft:
        return summed("class", slices, np.full(len(slices), k), {"n": full[f"n_{k}"]})
    here = positive if k else ~positive
    return summed(
        "class", slices, np.full(len(slices), k), {"n": here * full["n"], "wl": np.where(here, full["wl"], 0.0)}
    )


def in_columns(groups: Groups) -> Columns:
    """The sums of groups by name; those of w are counts where rows have no weights, and a low part is never NaN."""
    sums = {
        name: np.where(np.isnan(total), 0.0, total) if name.endswith("_low") else total
        for name, total in groups.sums.items()
    }
    counts = groups.counts.astype(np.float64)
    unweighted = {} if "w_high" in sums else {"w_high": counts, "w_low": np.zeros(len(counts)), "w2": counts}
    return {"n": counts} | unweighted | sums


def plain_sums(sums: Columns) -> Columns:
    """The sums kept in two columns, added up, for the parts that need no more digits."""
    names = [name.removesuffix("_high") for name in sums if name.endswith("_high")]
    return {name: sums[f"{name}_high"] + sums[low_of(name)] for name in names}


def moments_of_groups(sums: Columns, full: Columns, positive: Mask, upper: Mask, conventions: Conventions) -> Columns:
    """What each group adds to the moments of its slice."""
    found = {name: sums[f"{name}_high"] if f"{name}_high" in sums else sums[name] for name in MOMENTS if name != "w2d"}
    found |= {"n": sums["n"], "w2d": sums["w2l"] - conventions.shift * sums["w2"]}
    if not conventions.scalar:
        return found
    w, wt, w2, w2t = full["w"], full["wt"], sums["w2"], sums["w2t"]
    found |= {
        "w2p": np.where(upper, w2 - w2t, w2t),
        "wp": np.where(upper, sums["w_high"] - sums["wt_high"], sums["wt_high"]),
        "wp_low": np.where(upper, sums["w_low"] - sums["wt_low"], sums["wt_low"]),
        **{name: sums[name] for name in ("w2s", "w2v", "w2e")},
    }
    if conventions.soft_labels:
        names = ("wy_low", "w2y", "w2yy", "w2ly", "w2uy", "ws")
        return found | {"wy": sums["wy_high"]} | {name: sums[name] for name in names}
    return found | {
        "wy": positive * sums["w_high"],
        "wy_low": positive * sums["w_low"],
        "w2y": positive * w2,
        "w2yy": positive * w2,
        "w2ly": np.where(positive, sums["w2l"], 0.0),
        "w2uy": positive * np.where(upper, -w2t, w2t - w2),
        "ws": 2.0 * full["wb"] - np.where(positive == upper, wt, w - wt),
    }


def bucket_rows(groups: Groups, conventions: Conventions) -> Iterator[PartRows]:
    """The rows of buckets, from groups whose place is 1024 * bucket + thin bin."""
    if not len(groups):
        return
    place = groups.keys % groups.stride
    sums = in_columns(groups)
    upper = place % BUCKET_STRIDE >= THIN_HALF
    full = sums | plain_sums(sums)
    columns = {name: full[name] for name in ("n", *BUCKET) if name in full}
    columns["wp"] = np.where(upper, full["w"] - full["wt"], full["wt"])
    yield summed("bucket", groups.keys // groups.stride, place, columns)


def summed(part: str, slices: Ids, place: Ids | None, columns: Columns) -> PartRows:
    """The rows of a part: columns added up by slice and place."""
    stride = 1 if place is None else int(place.max(initial=0)) + 1
    keys, row = np.unique(slices * stride + (0 if place is None else place), return_inverse=True)
    sums = {name: np.bincount(row, weights=column, minlength=len(keys)) for name, column in columns.items()}
    return PartRows(part, keys // stride, None if place is None else keys % stride, sums)


def as_table(rows: Sequence[PartRows], slices: Sequence[pa.Array], conventions: Conventions) -> pa.Table:
    """Rows of parts as an Arrow table with the columns of a state, whose slices are called `slice_0`, ....

    `slices` has the value of each slice, per slice column; a part that a state has once has null slices.
    """
    tables = [one_part(found, slices, conventions) for found in rows]
    return pa.concat_tables(tables) if tables else one_part(NO_ROWS, slices, conventions)


def one_part(rows: PartRows, slices: Sequence[pa.Array], conventions: Conventions) -> pa.Table:
    """The rows of one part as an Arrow table."""
    count = len(rows.slice)
    of_slice = pa.array(np.maximum(rows.slice, 0), mask=rows.slice < 0)
    keys = {
        "model": pa.array([rows.model] * count, pa.string()),
        "target": pa.nulls(count, pa.string()),
        "part": pa.array([rows.part] * count, pa.string()),
        "place": pa.nulls(count, pa.int64()) if rows.place is None else pa.array(rows.place, pa.int64()),
    }
    sums = {
        name: pa.array(np.asarray(rows.sums[name], dtype=np.int64 if name == "n" else np.float64))
        if name in rows.sums
        else pa.nulls(count, pa.float64())
        for name in columns_of(conventions)
    }
    named = {slice_name(index): values.take(of_slice) for index, values in enumerate(slices)}
    assert tuple(keys) == KEYS
    return pa.table(named | keys | sums)


NO_ROWS = PartRows("total", np.empty(0, dtype=np.int64), None, {})
