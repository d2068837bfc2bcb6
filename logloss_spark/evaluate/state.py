"""The state of an evaluation: sums per slice, and nothing else. States add: merge(state(A), state(B)) = state(A + B).

A state is a table with one row per slice, `part` and `place`, and every number in it is a sum over rows:

=============  =====================  ==============================================================
part           place                  what is summed
=============  =====================  ==============================================================
a status       null                   `n`: rows of that status
moments        null                   the moments that metrics and their errors need
clipped, zero  null                   `n`, `w`, `wl` of those rows
cell           bin of the score grid  `n`, `w`, `w2`, `wy`, `w2y`, `wp`, `wl`, `w2v`
class          the class              `n`: rows in which it happened, `wl` of them; for K classes its moments
rank           of what happened       `n`, `w`, for K classes, up to the fifth rank; the likeliest class has rank 0
bucket         1024 bucket + thin bin  `n`, `w`, `wl`, `wb`, `wy`, `wp`, where there are clusters
bucket_class   K bucket + class       `wy`, `wp`, where there are clusters and K classes
pair           challenger and bucket  of a comparison alone, which has statuses and classes beside it: see `PAIR`
source         the evaluation's id    `n`: how often this evaluation was added; more than once is an error
total          null                   `n`: rows of every status, and `w`, `w2`, `wl`, `wb` (`wy`, `wp`) over all slices
=============  =====================  ==============================================================

In the names of the sums w is the weight, w2 its square, l the loss, d = l - ln K, b Brier, y the label, p the
probability, u = p - y, h the entropy and v = p(1 - p). So w2ly is the sum of w^2 l y. A cell above one half holds the
sum of w(1 - p) as `wp`, which keeps the digits of probabilities near 1; for K classes cells are those of the top class.

The sums that log loss, Brier, mean label and mean prediction are made of are kept in two columns where those means are
read off them, in `moments`, in `pair`, and for K classes in `class`: `wl` adds up the multiples of 2^-20 that are next
to the terms, and `wl_low` what they leave. Multiples of 2^-20 add without any rounding up to 2^33, in any order, and
what they leave is so small that its rounding does not show: the mean has all digits of a double. Terms that are much
smaller than 2^-20, or sums beyond 2^33, are as exact as plain sums are.

The parts `source` and `total` have null slices. A state that was cut by its slice columns, as in
`state.where("month = 2")`, has neither.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import reduce
from operator import add

import numpy as np
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from logloss_spark.errors import SpecError
from logloss_spark.io.session import equip_workers
from logloss_spark.kernels.grid import BINS, HALF, VERSION, coarse_bin
from logloss_spark.rows.bins import literal_array
from logloss_spark.rows.inputs import BUCKETS, Inputs, kind_of, quoted
from logloss_spark.spec import LOSSES, Label, Predictions, Score, cap_of, slices_of

STATE_VERSION = 2

MOMENTS = ("w", "w_low", "w2", "wl", "wl_low", "w2l", "w2ll", "w2d", "w2dd", "wb", "wb_low", "w2b", "w2bb", "wh")
"""Moments that every kind of forecast has."""

BINARY_MOMENTS = ("wy", "wy_low", "w2y", "w2yy", "w2ly", "wp", "wp_low", "w2p", "w2uy", "ws", "w2s", "w2v", "w2e")
"""Those of a binary forecast: s = (y - p)(1 - 2p) with w2s its expected square, (1 - 2p)^2 v; e = v logit(p)^2."""

CELL = ("w", "w2", "wy", "w2y", "wp", "wl", "w2v")
CLASS = ("wy", "wy_low", "w2y", "wly", "w2ly", "wyy", "w2yy", "wp", "wp_low", "w2p", "wpp", "w2pp", "wpy", "w2py")
PARTIAL = ("w", "wl")
BUCKET = ("w", "wl", "wb", "wy", "wp")
BUCKET_CLASS = ("wy", "wp")

BUCKET_STRIDE = 1024
"""The place of a bucket's bin is this times the bucket, plus the thin bin."""

RANKS = 5
"""Top-k accuracy is known up to this k."""

PAIR = (
    "w", "w_low", "w2", "wa", "wa_low", "wb", "wb_low", "wd", "w2d", "w2dd", "w_better", "w_worse", "w_tie", "wk", "wr",
)  # fmt: skip
"""What is summed of a challenger's rows: a is the baseline's loss, b the challenger's, d = b - a, k and r are
KL(baseline ‖ challenger) and its reverse; w_better is the weight of the rows where d < 0."""

SOURCE, TOTAL = "source", "total"
WHOLE = (SOURCE, TOTAL)
"""Parts of a state as a whole, which has them once, whatever its slices."""


@dataclass(frozen=True)
class Scale:
    """What states must share to be added: what was scored, and how.

    `classes` are in the prediction's order; `scalar` says that the prediction is one number, so that Brier is
    (p - y)^2 and not a sum over classes. `buckets` is 0 where there are no clusters. `models` are those that a
    comparison compares, the baseline first.
    """

    version: int
    loss: str
    kind: Score
    classes: tuple[Label, ...]
    scalar: bool
    soft_labels: bool
    clip: str
    eps: float
    grid: int
    slices: tuple[str, ...]
    buckets: int = 0
    models: tuple[str, ...] = ()

    @property
    def cap(self) -> float:
        """The largest loss that one class can bring, in nats."""
        return cap_of(self.kind, self.clip, self.eps)

    @property
    def shift(self) -> float:
        """ln K: the loss of a forecast that knows nothing."""
        return math.log(len(self.classes))

    @property
    def least_loss(self) -> float:
        """0 for every loss that has a name here; of a user's function nothing is known."""
        return 0.0 if self.loss in LOSSES else -math.inf

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
        lists = {name: tuple(value) for name, value in fields.items() if isinstance(value, list)}
        return Scale(**fields | lists)


def scale_of(rows: Inputs, spec: Predictions) -> Scale:
    """The scale on which a table is scored under a spec."""
    return Scale(
        version=STATE_VERSION,
        loss=spec.loss_name,
        kind=spec.score,
        classes=rows.classes,
        scalar=rows.scalar,
        soft_labels=rows.soft,
        clip=spec.clip,
        eps=spec.eps,
        grid=VERSION,
        slices=spec.slices,
        buckets=BUCKETS if rows.clustered else 0,
    )


def columns_of(scale: Scale) -> tuple[str, ...]:
    """The sums that a state of this scale has, in order."""
    sums = PAIR if scale.models else MOMENTS + (BINARY_MOMENTS if scale.scalar else CLASS) + CELL
    return ("n", *dict.fromkeys(sums))


def low_of(name: str) -> str:
    """The column of what the multiples of 2^-20 in another column leave."""
    return f"{name}_low"


def totals_of(scale: Scale) -> tuple[str, ...]:
    """The sums that the part `total` of a state of this scale has, besides `n`."""
    if scale.models:
        return ("w", "w2", "wa")
    return ("w", "w2", "wl", "wb", *(("wy", "wp") if scale.scalar else ()))


def added(parts: DataFrame, scale: Scale) -> DataFrame:
    """Rows of one or more states, summed into one state."""
    return (
        parts.groupBy(*map(quoted, scale.slices), "part", "place")
        .agg(*totals(scale))
        .withColumn("fingerprint", F.lit(scale.fingerprint()))
    )


def totals(scale: Scale) -> list[Column]:
    """Each sum of a state, summed further; as SQL, which takes a third of the calls to the JVM."""
    return [F.expr(f"sum({name}) AS {name}") for name in columns_of(scale)]


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
    scales = [scale_in(table) for table in tables]
    for other in scales[1:]:
        first, second = asdict(scales[0]), asdict(other)
        differing = [f"{name} {first[name]!r} and {second[name]!r}" for name in first if first[name] != second[name]]
        if differing:
            raise SpecError(f"only states that were made alike can be merged; these differ in {', '.join(differing)}")
    slices = [quoted(name) for name in scales[0].slices]
    types = [[field.dataType.simpleString() for field in table.select(*slices).schema] for table in tables]
    if any(other != types[0] for other in types):
        came = " and ".join(map(str, types))
        raise SpecError(f"slice columns must have the same types in all states, and came as {came}")
    sums = [F.col(name) for name in ("part", "place", *columns_of(scales[0]))]
    return added(reduce(DataFrame.unionByName, [table.select(*slices, *sums) for table in tables]), scales[0])


def with_slice(state: DataFrame, name: str, value: Column) -> DataFrame:
    """A state whose rows all have the same value of a slice, with that slice beside its own."""
    scale = scale_in(state)
    wider = replace(scale, slices=(*scale.slices, name))
    return state.withColumns(
        {name: F.when(~F.col("part").isin(*WHOLE), value), "fingerprint": F.lit(wider.fingerprint())}
    )


def read_scale(state: DataFrame) -> Scale:
    """The scale of an evaluation's state; raises SpecError as `scale_in` does, and where it is a comparison's."""
    scale = scale_in(state)
    if scale.models:
        raise SpecError(f"this is the state of a comparison of {', '.join(scale.models)}: read it with `comparison`")
    return scale


def scale_in(state: DataFrame) -> Scale:
    """The scale of a state, from the fingerprint that its rows carry.

    Raises SpecError where the table is no state, or holds states that were made under different conventions.
    """
    if not isinstance(state, DataFrame):
        raise SpecError(
            f"a state is a Spark DataFrame, and a {kind_of(state)} came: give the .state of an evaluation or a "
            "comparison, and states one by one, as in merge(*states)"
        )
    equip_workers()  # what is read off a state takes Python
    if "fingerprint" not in state.columns:
        raise SpecError(f"a state has a column 'fingerprint', and this table has only {', '.join(state.columns)}")
    prints = [row.fingerprint for row in state.select("fingerprint").distinct().limit(2).collect()]
    if len(prints) != 1:
        raise SpecError(
            "a state has one fingerprint, and this table has "
            + ("none: it is empty" if not prints else "several: read the states apart, `merge` tells what differs")
        )
    return Scale.from_fingerprint(prints[0])


def equal_width_cells(state: DataFrame, bins: int) -> DataFrame:
    """The cells of a state by equal-width bins, `wp` the sum of w p in all of them."""
    coarse = literal_array(coarse_bin(np.arange(BINS), bins), "int")
    return state.where("part = 'cell'").withColumns(
        {
            "wp": F.when(F.col("place") >= HALF, F.col("w") - F.col("wp")).otherwise(F.col("wp")),
            "place": F.get(coarse, F.col("place")),
        }
    )


def rolled_up(state: DataFrame, scale: Scale, by: Sequence[Sequence[str]]) -> DataFrame:
    """A state added up to the global row and these grouping sets.

    Columns are the state's, where a slice column is null if it was rolled up, and `grouping_id`: as in Spark's SQL
    the bits say which slice columns were, the last column's being the lowest.
    """
    slices = slices_of(by)
    sets = dict.fromkeys([(), *map(tuple, by)])
    summed = state.groupingSets(
        [[quoted(name) for name in columns] + [F.col("part"), F.col("place")] for columns in sets],
        *map(quoted, slices),
        "part",
        "place",
    ).agg(
        grouping_id(slices),
        *totals(scale),
    )
    return summed.where(~F.col("part").isin(*WHOLE) | (F.col("grouping_id") == 2 ** len(slices) - 1))


def grouping_id(slices: Sequence[str]) -> Column:
    """Which slice columns a group of grouping sets was rolled up over, as bits, the last column's being the lowest."""
    bits = [F.grouping(quoted(name)).cast("bigint") * 2**place for place, name in enumerate(reversed(slices))]
    return reduce(add, bits, F.lit(0).cast("bigint")).alias("grouping_id")
