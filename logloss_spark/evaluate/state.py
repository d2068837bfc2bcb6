"""The state of an evaluation: sums per slice, and nothing else. States add: merge(state(A), state(B)) = state(A + B).

A state is a table with one row per slice, `part` and `place`, and every number in it is a sum over rows:

=============  =====================  ==============================================================
part           place                  what is summed
=============  =====================  ==============================================================
a status       null                   `n`: rows of that status
moments        null                   the moments that metrics and their errors need
clipped, zero  null                   `n`, `w`, `wl` of those rows
cell           bin of the score grid  `n`, `w`, `w2`, `wy`, `wp`, `wl`, `w2v`
class          the class              `n`: rows in which it happened; for K classes its moments, too
scale          null                   nothing: one row per state, so that an empty one has a fingerprint, too
=============  =====================  ==============================================================

In the names of the sums w is the weight, w2 its square, l the loss, d = l - ln K, b Brier, y the label, p the
probability, u = p - y, h the entropy and v = p(1 - p). So w2ly is the sum of w^2 l y. A cell above one half holds the
sum of w(1 - p) as `wp`, which keeps the digits of probabilities near 1; for K classes cells are those of the top class.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import reduce
from itertools import zip_longest
from operator import add, mul

import numpy as np
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from logloss_spark.errors import SpecError
from logloss_spark.kernels.grid import BINS, HALF, VERSION, coarse_bin
from logloss_spark.rows.bins import literal_array
from logloss_spark.rows.inputs import Inputs, quoted, slice_name
from logloss_spark.rows.scored import scored
from logloss_spark.rows.status import status_name
from logloss_spark.spec import Kind, Label, Predictions, slices_of

STATE_VERSION = 1

MOMENTS = tuple("w w2 wl w2l w2ll w2d w2dd wb w2b w2bb wh".split())
"""Moments that every kind of forecast has."""

BINARY_MOMENTS = tuple("wy w2y w2yy w2ly wp w2p w2uy ws w2s w2v w2e".split())
"""Those of a binary forecast: s = (y - p)(1 - 2p) with w2s its expected square, (1 - 2p)^2 v; e = v logit(p)^2."""

CELL = tuple("w w2 wy wp wl w2v".split())
CLASS = tuple("wy w2y wly w2ly wyy w2yy wp w2p wpp w2pp wpy w2py".split())
PARTIAL = tuple("w wl".split())
SCALE_ROW = "scale"
UNROLLED_CLASSES = 32
"""Up to here the moments of classes are sums in the same pass; beyond, the rows are read a second time."""


@dataclass(frozen=True)
class Scale:
    """What states must share to be added: what was scored, and how.

    `classes` are in the prediction's order; `scalar` says that the prediction is one number, so that Brier is
    (p - y)^2 and not a sum over classes.
    """

    version: int
    loss: str
    kind: Kind
    classes: tuple[Label, ...]
    scalar: bool
    soft_labels: bool
    clip: str
    eps: float
    grid: int
    slices: tuple[str, ...]

    @property
    def shift(self) -> float:
        """ln K: the loss of a forecast that knows nothing."""
        return math.log(len(self.classes))

    def fingerprint(self) -> str:
        """The scale as one line of JSON; every row of a state carries it."""
        return json.dumps(asdict(self))

    @staticmethod
    def from_fingerprint(text: str) -> "Scale":
        """Read what `fingerprint` wrote. A state of another version raises SpecError."""
        fields = json.loads(text)
        if fields.get("version") != STATE_VERSION:
            raise SpecError(
                f"states of version {STATE_VERSION} can be read, and this one is of version {fields.get('version')}: "
                "evaluate its rows again"
            )
        return Scale(**fields | {"classes": tuple(fields["classes"]), "slices": tuple(fields["slices"])})


def scale_of(rows: Inputs, spec: Predictions) -> Scale:
    """The scale on which a table is scored under a spec."""
    return Scale(
        version=STATE_VERSION,
        loss="cross_entropy",
        kind=spec.kind,
        classes=rows.classes,
        scalar=rows.scalar,
        soft_labels=rows.soft,
        clip=spec.clip,
        eps=spec.eps,
        grid=VERSION,
        slices=spec.slices,
    )


def state_of(rows: Inputs, spec: Predictions) -> DataFrame:
    """The state of a table: its rows are read once (beyond 32 classes twice) and summed at the finest grain."""
    scale = scale_of(rows, spec)
    keys = [slice_name(place) for place in range(len(scale.slices))]
    table = scored(rows, spec)
    by_cell = table.withColumn("cell", cell_code(rows)).groupBy(*keys, "cell").agg(*raw_sums(rows, scale))
    parts = by_cell.select(*keys, "cell", F.explode(state_rows(rows, scale)).alias("row")).select(*keys, "row.*")
    if not rows.scalar and rows.size > UNROLLED_CLASSES:
        parts = parts.unionByName(class_rows(table, keys, rows), allowMissingColumns=True)
    anchor = parts.sparkSession.range(1).select(F.lit(SCALE_ROW).alias("part"), F.lit(0).cast("bigint").alias("n"))
    parts = parts.unionByName(anchor, allowMissingColumns=True)
    return added(parts.withColumnsRenamed(dict(zip(keys, scale.slices, strict=True))), scale)


def columns_of(scale: Scale) -> tuple[str, ...]:
    """The sums that a state of this scale has, in order."""
    sums = MOMENTS + (BINARY_MOMENTS if scale.scalar else CLASS) + CELL
    return ("n", *dict.fromkeys(sums))


def added(parts: DataFrame, scale: Scale) -> DataFrame:
    """Rows of one or more states, summed into one state."""
    sums = [F.sum(name).alias(name) for name in columns_of(scale)]
    return (
        parts.groupBy(*map(quoted, scale.slices), "part", "place")
        .agg(*sums)
        .select(*map(quoted, scale.slices), "part", "place", *columns_of(scale), F.lit(scale.fingerprint()).alias("fingerprint"))
    )


def merge(state: DataFrame, *states: DataFrame) -> DataFrame:
    """Add states: the state of all their rows together.

    Parameters
    ----------
    state, states : DataFrame
        States, of this session or read from storage.

    Returns
    -------
    DataFrame, a state; lazy, but the fingerprints of the given states are read at once.

    Raises
    ------
    SpecError
        States that were made under different conventions, or with other slices; it says what differs.

    Examples
    --------
    >>> import logloss_spark as ls
    >>> df = spark.createDataFrame([("a", 1, 0.9), ("b", 0, 0.2)], "day string, label int, p double")
    >>> days = [ls.evaluate(df.where(df.day == day), label="label", prediction="p").state for day in "ab"]
    >>> ls.metrics(ls.merge(*days)).select("n").first().n
    2
    """
    tables = (state, *states)
    scales = [read_scale(table) for table in tables]
    for other in scales[1:]:
        first, second = asdict(scales[0]), asdict(other)
        differing = [f"{name} {first[name]!r} and {second[name]!r}" for name in first if first[name] != second[name]]
        if differing:
            raise SpecError(f"states can be merged only where they were made alike, and these differ in {', '.join(differing)}")
    types = [[(field.name, field.dataType) for field in table.select(*map(quoted, scales[0].slices)).schema] for table in tables]
    if any(other != types[0] for other in types):
        raise SpecError(f"slice columns must have the same types in all states, and came as {types}")
    return added(reduce(DataFrame.unionByName, tables), scales[0])


def read_scale(state: DataFrame) -> Scale:
    """The scale of a state, from the fingerprint that its rows carry.

    Raises SpecError where the table is no state, or holds states that were made under different conventions.
    """
    if "fingerprint" not in state.columns:
        raise SpecError(f"a state has a column 'fingerprint', and this table has only {', '.join(state.columns)}")
    prints = [row.fingerprint for row in state.select("fingerprint").distinct().limit(2).collect()]
    if len(prints) != 1:
        raise SpecError(
            "a state has one fingerprint, and this table has "
            + ("none: it is empty" if not prints else "several: read the states apart, `merge` tells what differs")
        )
    return Scale.from_fingerprint(prints[0])


def cell_code(rows: Inputs) -> Column:
    """What rows are first grouped by: a reason (negative), weightless (-1), or bin and three flags in one number.

    Grouping by the label and the flags, too, makes sums over `y = 1` or over clipped rows plain sums of groups.
    """
    flags = [F.col("y") == 1 if not rows.soft else F.lit(False), F.col("clipped"), F.col("zero")]
    packed = reduce(lambda code, flag: code * 2 + F.when(flag, 1).otherwise(0), flags, F.col("bin"))
    code = F.when(F.col("status") != 0, -1 - F.col("status"))
    return (code.when(F.col("weight") == 0, -1) if rows.weighted else code).otherwise(packed)


def raw_sums(rows: Inputs, scale: Scale) -> list[Column]:
    """The sums over the rows of a group. Those of an invalid group are never read, so no row needs a condition."""
    loss, brier, tail, y = F.col("loss"), F.col("brier"), F.col("tail"), F.col("y")
    variance = F.col("variance") if rows.scalar else tail * (1 - tail)
    shifted = loss - scale.shift
    sums = {
        "w": weighted_sum(rows, 1),
        "w2": weighted_sum(rows, 2),
        "wl": weighted_sum(rows, 1, loss),
        "w2l": weighted_sum(rows, 2, loss),
        "w2ll": weighted_sum(rows, 2, loss, loss),
        "w2dd": weighted_sum(rows, 2, shifted, shifted),
        "wb": weighted_sum(rows, 1, brier),
        "w2b": weighted_sum(rows, 2, brier),
        "w2bb": weighted_sum(rows, 2, brier, brier),
        "wh": weighted_sum(rows, 1, F.col("entropy")),
        "wt": weighted_sum(rows, 1, tail),
        "w2v": weighted_sum(rows, 2, variance),
    }
    if rows.scalar:
        sums |= {
            "w2t": weighted_sum(rows, 2, tail),
            "w2s": weighted_sum(rows, 2, variance * (1 - 4 * variance)),
            "w2e": weighted_sum(rows, 2, F.col("logit_variance")),
        }
    if rows.soft:
        sums["wy"] = weighted_sum(rows, 1, y)
    if rows.soft and rows.scalar:
        p = F.when(F.col("upper"), 1 - tail).otherwise(tail)
        sums |= {
            "w2y": weighted_sum(rows, 2, y),
            "w2yy": weighted_sum(rows, 2, y, y),
            "w2ly": weighted_sum(rows, 2, loss, y),
            "w2uy": weighted_sum(rows, 2, p - y, y),
            "ws": weighted_sum(rows, 1, (y - p) * (1 - 2 * p)),
        }
    if rows.soft and rows.scalar:
        sums |= {"n_0": F.count_if(y < 1), "n_1": F.count_if(y > 0)}
    for k in unrolled_classes(rows):
        of_class = class_sums(rows, F.get("labels", F.lit(k)), F.get("probabilities", F.lit(k)))
        sums |= {f"{name}_{k}": total for name, total in of_class.items()}
    return [F.count(F.lit(1)).alias("n"), *[total.alias(name) for name, total in sums.items()]]


def class_sums(rows: Inputs, y: Column, p: Column) -> dict[str, Column]:
    """The moments of one class, from its label and its probability."""
    factors = {"y": [y], "ly": [F.col("loss"), y], "yy": [y, y], "p": [p], "pp": [p, p], "py": [p, y]}
    return {"n": F.count_if(y > 0)} | {
        name + term: weighted_sum(rows, power, *factors[term])
        for term in factors
        for power, name in ((1, "w"), (2, "w2"))
    }


def weighted_sum(rows: Inputs, power: int, *factors: Column) -> Column:
    """The sum of w^power times the factors; without a weight column w is 1.

    Each factor is weighted before the next one comes: (w x) w x' stays infinite where w^2 underflows and x is.
    """
    weights = [F.col("weight")] * power if rows.weighted else []
    terms = [term for pair in zip_longest(weights, factors) for term in pair if term is not None]
    return F.sum(reduce(mul, terms)) if terms else F.count(F.lit(1)).cast("double")


def unrolled_classes(rows: Inputs) -> range:
    """The classes whose moments are summed in the same pass as everything else."""
    return range(rows.size if not rows.scalar and rows.size <= UNROLLED_CLASSES else 0)


def state_rows(rows: Inputs, scale: Scale) -> Column:
    """The rows of the state that one group of rows adds to, as an array of structs."""
    cell = F.col("cell")
    flag = {name: F.shiftright(cell, place).bitwiseAND(1) == 1 for place, name in enumerate(("zero", "clipped", "y"))}
    bin_ = F.shiftright(cell, 3)
    whole = {name: F.col(name) for name in MOMENTS if name != "w2d"} | {"w2d": F.col("w2l") - scale.shift * F.col("w2")}
    part = {name: F.col(name) for name in PARTIAL}
    labels = {"wy": F.col("wy") if rows.soft else F.when(flag["y"], F.col("w")).otherwise(0.0)}
    in_cell = {name: F.col(name) for name in ("w", "w2", "wl", "w2v")} | labels | {"wp": F.col("wt")}
    binary = binary_moments(rows, flag["y"], bin_ >= HALF) if rows.scalar else {}
    of_classes = [
        (F.lit("class"), F.lit(k), cell >= 0, {name: F.col(f"{name}_{k}") for name in ("n", *CLASS)})
        for k in unrolled_classes(rows)
    ]
    if rows.scalar:
        counts = [F.col("n_0"), F.col("n_1")] if rows.soft else [F.when(~flag["y"], F.col("n")), F.when(flag["y"], F.col("n"))]
        of_classes = [(F.lit("class"), F.lit(k), cell >= 0, {"n": F.coalesce(n, F.lit(0))}) for k, n in enumerate(counts)]
    wanted = [
        (status_name(F.when(cell < -1, -1 - cell).otherwise(0)), None, F.lit(True), {}),
        (F.lit("moments"), None, cell >= 0, whole | binary),
        (F.lit("cell"), bin_, cell >= 0, in_cell),
        (F.lit("clipped"), None, (cell >= 0) & flag["clipped"], part),
        (F.lit("zero"), None, (cell >= 0) & flag["zero"], part),
        *of_classes,
    ]
    made = [F.when(condition, state_row(scale, name, place, sums)) for name, place, condition, sums in wanted]
    return F.array_compact(F.array(*made))


def state_row(scale: Scale, part: Column, place: Column | None, sums: dict[str, Column]) -> Column:
    """One row of a state as a struct; sums that the part does not have are null."""
    given = {"n": F.col("n")} | sums
    return F.struct(
        part.alias("part"),
        (F.lit(None) if place is None else place).cast("int").alias("place"),
        *[given.get(name, F.lit(None).cast("double")).alias(name) for name in columns_of(scale)],
    )


def binary_moments(rows: Inputs, positive: Column, upper: Column) -> dict[str, Column]:
    """The moments of a binary forecast, from the sums of a group in which all labels and sides are the same."""
    w, w2, wt, w2t = F.col("w"), F.col("w2"), F.col("wt"), F.col("w2t")
    moments = {
        "wp": F.when(upper, w - wt).otherwise(wt),
        "w2p": F.when(upper, w2 - w2t).otherwise(w2t),
        **{name: F.col(name) for name in ("w2s", "w2v", "w2e")},
    }
    if rows.soft:
        return moments | {name: F.col(name) for name in ("wy", "w2y", "w2yy", "w2ly", "w2uy", "ws")}
    wrong_way = F.when(positive == upper, wt).otherwise(w - wt)
    if_positive = {"wy": w, "w2y": w2, "w2yy": w2, "w2ly": F.col("w2l"), "w2uy": F.when(upper, -w2t).otherwise(w2t - w2)}
    return (
        moments
        | {name: F.when(positive, total).otherwise(0.0) for name, total in if_positive.items()}
        | {"ws": 2 * F.col("wb") - wrong_way}
    )


def class_rows(table: DataFrame, keys: Sequence[str], rows: Inputs) -> DataFrame:
    """The rows of the part `class` for many classes: a second read, in which every row becomes one row per class."""
    weight = ["weight"] if rows.weighted else []
    valid = table.where((F.col("status") == 0) & (F.col("weight") > 0 if rows.weighted else F.lit(True)))
    exploded = valid.select(
        *keys, *weight, "loss", F.posexplode(F.arrays_zip("labels", "probabilities")).alias("place", "of_class")
    )
    sums = class_sums(rows, F.col("of_class.labels"), F.col("of_class.probabilities"))
    summed = exploded.groupBy(*keys, "place").agg(*[total.alias(name) for name, total in sums.items()])
    return summed.withColumn("part", F.lit("class"))


def rolled_up(state: DataFrame, scale: Scale, by: Sequence[Sequence[str]], bins: int) -> DataFrame:
    """A state added up to the global row and these grouping sets, its cells merged to equal-width bins.

    Columns are the state's, where a slice column is null if it was rolled up, and `grouping_id`: as in Spark's SQL
    the bits say which slice columns were, the last column's being the lowest. `wp` of a cell is the sum of w p.
    """
    coarse = literal_array(coarse_bin(np.arange(BINS), bins), "int")
    in_cell = F.col("part") == "cell"
    normal = state.withColumns(
        {
            "wp": F.when(in_cell & (F.col("place") >= HALF), F.col("w") - F.col("wp")).otherwise(F.col("wp")),
            "place": F.when(in_cell, F.get(coarse, F.col("place"))).otherwise(F.col("place")),
        }
    )
    slices = slices_of(by)
    sets = dict.fromkeys([(), *map(tuple, by)])
    rolled = [F.grouping(quoted(name)).cast("bigint") * 2**place for place, name in enumerate(reversed(slices))]
    summed = normal.groupingSets(
        [[quoted(name) for name in columns] + [F.col("part"), F.col("place")] for columns in sets],
        *map(quoted, slices),
        "part",
        "place",
    ).agg(
        reduce(add, rolled, F.lit(0).cast("bigint")).alias("grouping_id"),
        *[F.sum(name).alias(name) for name in columns_of(scale)],
    )
    return summed.where((F.col("part") != SCALE_ROW) | (F.col("grouping_id") == 2 ** len(slices) - 1))
