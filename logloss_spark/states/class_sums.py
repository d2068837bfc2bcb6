"""The sums of a worker by slice and class, for forecasts of one number per class."""

from collections.abc import Iterator

import numpy as np

from logloss_spark.kernels.grid import bin_of_probability
from logloss_spark.kernels.sums import Array
from logloss_spark.states.addends import Terms, one_precise, precise, split, times
from logloss_spark.states.groups import Groups, Ids, widened
from logloss_spark.states.parts import PartRows, in_columns, summed
from logloss_spark.states.schema import BUCKET_CLASS, BUCKET_STRIDE, CLASS, RANKS, low_of

UNROLLED_CLASSES = 32
"""Up to this many classes, each is ranked against the rest. Spark sums their moments in the pass that sums the cells,
and ranks them in a second one; of more classes the second pass sums the moments."""


class ClassSums:
    """Sums by slice and class; with hard labels by slice and rank, too; and with clusters by bucket and class.

    Parameters
    ----------
    size : int
        The number of classes.
    soft : bool
        Whether labels are distributions.
    buckets : int
        The number of buckets of clusters.
    """

    def __init__(self, size: int, *, soft: bool, buckets: int) -> None:
        self.size, self.soft, self.buckets = size, soft, buckets
        self._sums: dict[str, Array] = {}
        self._slices = 0
        self._happened = Groups(size)
        self._ranks = Groups(RANKS)
        self._cells = Groups(size * BUCKET_STRIDE)
        self._of_buckets = Groups(buckets * size)

    def __len__(self) -> int:
        """About how many groups there are."""
        return self._slices * self.size + len(self._cells) + len(self._of_buckets)

    def add(self, slices: Ids, terms: Terms, weight: Array | None, bucket: Ids | None, *, known: int) -> None:
        """Add scored rows; `known` slices have been seen."""
        self._slices = max(self._slices, known)
        y, p = terms["labels"], terms["probabilities"]
        column = None if weight is None else weight[:, np.newaxis]
        if self.soft:
            self._add_by_slice(slices, shares_of_labels(terms, column), known)
        else:
            happened = y.argmax(axis=1)
            self._happened.add(
                slices * self.size + happened, of_happened(terms, happened, weight).items(), slices=known
            )
            here = terms["rank"] < RANKS
            w = np.ones(len(slices)) if weight is None else weight
            self._ranks.add((slices * RANKS + terms["rank"])[here], [("w", w[here])], slices=known)
        self._add_by_slice(slices, of_forecasts(p, column), known)
        wy = times(column, y)
        if self.size <= UNROLLED_CLASSES:
            place = np.arange(self.size) * BUCKET_STRIDE + bin_of_probability(p)
            w = np.ones(p.shape) if column is None else np.broadcast_to(column, p.shape)
            add_flat(self._cells, slices, place, {"w": w, "wy": wy}, known)
        if bucket is not None:
            place = bucket[:, np.newaxis] * self.size + np.arange(self.size)
            happens = (y > 0.0).astype(np.float64)
            add_flat(self._of_buckets, slices, place, {"n": happens, "wy": wy, "wp": times(column, p)}, known)

    def _add_by_slice(self, slices: Ids, addends: dict[str, Array], known: int) -> None:
        """Add matrices with a row per row and a column per class."""
        order, starts, present = runs_of(slices)
        for name, values in addends.items():
            total = self._room(name, known)
            with np.errstate(invalid="ignore"):  # inf - inf
                total[present] += np.add.reduceat(values if order is None else values[order], starts, axis=0)

    def _room(self, name: str, slices: int) -> Array:
        """The sums of a name, with room for so many slices."""
        if name not in self._sums:
            self._sums[name] = np.zeros((slices, self.size))
        elif len(self._sums[name]) < slices:
            room = max(slices, 2 * len(self._sums[name]))
            self._sums[name] = widened(self._sums[name].ravel(), room * self.size).reshape(room, self.size)
        return self._sums[name]

    def rows(self) -> Iterator[PartRows]:
        """The rows of all parts by class."""
        if not self._sums:
            return
        count = len(self._sums["n_p"])
        slices, place = np.divmod(np.arange(count * self.size), self.size)
        sums = {name: values.ravel() for name, values in self._sums.items()}
        used = np.repeat(sums.pop("n_p").reshape(count, self.size).any(axis=1), self.size)
        if not self.soft:
            sums |= spread_out(self._happened, count * self.size)
        found = {name: sums[f"{name}_high"] if f"{name}_high" in sums else sums[name] for name in ("n", *CLASS)}
        for name in ("wy", "wp"):
            low = sums[low_of(name)]
            found[low_of(name)] = np.where(np.isnan(low), 0.0, low)
        yield PartRows("class", slices[used], place[used], {name: values[used] for name, values in found.items()})
        for part, groups, names in (
            ("rank", self._ranks, ("w",)),
            ("class_cell", self._cells, ("w", "wy")),
            ("bucket_class", self._of_buckets, BUCKET_CLASS),
        ):
            if len(groups):
                keys = groups.keys
                counts = groups.sums["n"] if part == "bucket_class" else groups.counts.astype(np.float64)
                columns = {"n": counts} | {name: groups.sums[name] for name in names}
                yield summed(part, keys // groups.stride, keys % groups.stride, columns)


def add_flat(groups: Groups, slices: Ids, place: Ids, addends: dict[str, Array], known: int) -> None:
    """Add an entry per row and class, at its place in the row's slice; all arrays are of shape (n, K)."""
    keys = (slices * groups.stride)[:, np.newaxis] + place
    groups.add(keys.ravel(), ((name, addend.ravel()) for name, addend in addends.items()), slices=known)


def spread_out(groups: Groups, count: int) -> dict[str, Array]:
    """The sums of the classes that happened, with zeros for the others, under the names of the part `class`."""
    sums = in_columns(groups)
    of_class = {
        "n": "n",
        "wy_high": "w_high",
        low_of("wy"): low_of("w"),
        "w2y": "w2",
        "wly": "wl",
        "w2ly": "w2l",
        "wyy": "w_high",
        "w2yy": "w2",
        "wpy": "wp",
        "w2py": "w2p",
    }
    found = {}
    for name, source in of_class.items():
        found[name] = np.zeros(count)
        found[name][groups.keys] = sums[source] + sums[low_of("w")] if name == "wyy" else sums[source]
    return found


def of_happened(terms: Terms, happened: Ids, weight: Array | None) -> dict[str, Array]:
    """What rows with hard labels add to the sums of the class that happened."""
    p = terms["probabilities"][np.arange(len(happened)), happened]
    wl, wp = times(weight, terms["loss"]), times(weight, p)
    sums = {"wl": wl, "w2l": times(weight, wl), "wp": wp, "w2p": times(weight, wp)}
    return sums if weight is None else sums | dict(one_precise("w", weight)) | {"w2": weight * weight}


def shares_of_labels(terms: Terms, weight: Array | None) -> dict[str, Array]:
    """What rows with soft labels add to the sums of each class that have the label in them; weights are a column."""
    y, p, loss = terms["labels"], terms["probabilities"], terms["loss"][:, np.newaxis]
    wy = times(weight, y)
    wl = np.where(y == 0.0, 0.0, times(weight, loss))
    return dict(precise(None if weight is None else split(weight), "wy", y)) | {
        "n": (y > 0.0).astype(np.float64),
        "w2y": times(weight, wy),
        "wly": wl * y,
        "w2ly": times(weight, wl) * y,
        "wyy": wy * y,
        "w2yy": wy * wy,
        "wpy": wy * p,
        "w2py": wy * times(weight, p),
    }


def of_forecasts(p: Array, weight: Array | None) -> dict[str, Array]:
    """What rows add to the sums of each class that have its probability in them; weights are a column."""
    wp = times(weight, p)
    return dict(precise(None if weight is None else split(weight), "wp", p)) | {
        "n_p": np.ones(p.shape),
        "w2p": times(weight, wp),
        "wpp": wp * p,
        "w2pp": wp * wp,
    }


def runs_of(slices: Ids) -> tuple[Ids | None, Ids, Ids]:
    """An order in which the rows of a slice are together, where each slice begins in it, and which slice that is.

    The order is None where rows are in it already.
    """
    if len(slices) and (slices[0] == slices).all():
        return None, np.zeros(1, dtype=np.int64), slices[:1]
    narrow = slices.astype(np.uint16) if len(slices) and slices.max() < 1 << 16 else slices
    order = np.argsort(narrow, kind="stable")
    ordered = slices[order]
    starts = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]])) if len(ordered) else order
    return order, starts, ordered[starts]
