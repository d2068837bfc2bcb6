"""The state of an evaluation: sums per slice, and nothing else. States add: merge(state(A), state(B)) = state(A + B).

A state is a table with one row per slice, `part` and `place`, and every number in it is a sum over rows:

=============  =====================  ==============================================================
part           place                  what is summed
=============  =====================  ==============================================================
a status       null                   `n`: rows of that status; in a comparison place is the challenger
moments        null                   the moments that metrics and their errors need
clipped, zero  null                   `n`, `w`, `wl` of those rows
cell           bin of the score grid  `n`, `w`, `w2`, `wy`, `w2y`, `wp`, `wl`, `w2v`
class          the class              `n`: rows in which it happened, `wl` of them; for K classes its moments;
                                      in a comparison place is K challenger + class
rank           of what happened       `n`, `w`, for K classes, up to the fifth rank; the likeliest class has rank 0
class_cell     1024 class + bin       `n`, `w`, `wy` by the bin of the class's probability, for 3 to 32 classes
bucket         1024 bucket + thin bin  `n`, `w`, `wl`, `wb`, `wy`, `wp`, where there are clusters
bucket_class   K bucket + class       `wy`, `wp`, where there are clusters and K classes
pair           64 challenger + bucket  of a comparison alone, which has statuses and classes beside it: see `PAIR`
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

With `rows="shared"` each pair of a row and a challenger has its own status in a comparison, and `total` counts pairs.
With `rows="all"` a row has the same status for every challenger: statuses and classes are kept once, for challenger 0.

The parts `source` and `total` have null slices. A state that was cut by its slice columns, as in
`state.where("month = 2")`, has neither.
"""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, get_args

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from logloss_spark.errors import DataError, SpecError, did_you_mean
from logloss_spark.kernels.grid import VERSION
from logloss_spark.roles import slices_of
from logloss_spark.rows.inputs import BUCKETS, Inputs, quoted, slice_name
from logloss_spark.scoring import LOSSES, Clip, Label, Score, cap_of
from logloss_spark.spec import ComparedRows, Predictions
from logloss_spark.states.slices import grouping_id, inner_names

STATE_VERSION = 2


MOMENTS = ("w", "w_low", "w2", "wl", "wl_low", "w2l", "w2ll", "w2d", "w2dd", "wb", "wb_low", "w2b", "w2bb", "wh")
"""Moments that every kind of forecast has."""


BINARY_MOMENTS = ("wy", "wy_low", "w2y", "w2yy", "w2ly", "wp", "wp_low", "w2p", "w2uy", "ws", "w2s", "w2v", "w2e")
"""Those of a binary forecast: s = (y - p)(1 - 2p) with w2s its expected square, (1 - 2p)^2 v; e = v logit(p)^2."""


CELL = ("w", "w2", "wy", "w2y", "wp", "wl", "w2v")


CLASS = ("wy", "wy_low", "w2y", "wly", "w2ly", "wyy", "w2yy", "wp", "wp_low", "w2p", "wpp", "w2pp", "wpy", "w2py")


CLASS_CELL = ("w", "wy")


SCORE = ("w", "w2", "wy", "w2y")
"""What is summed of the rows of one score, where metrics are read off these. No state holds it."""


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


MOST_EXPONENT = 1100
"""Beyond any exponent of a double."""


SOURCE, TOTAL = "source", "total"


SOURCE_BITS = 63
"""Evaluations are known by random numbers of so many bits."""


WHOLE = (SOURCE, TOTAL)
"""Parts of a state as a whole, which has them once, whatever its slices."""


@dataclass(frozen=True)
class Conventions:
    """What states must share to be added: what was scored, and how.

    `classes` are in the prediction's order; `scalar` says that the prediction is one number, so that Brier is
    (p - y)^2 and not a sum over classes. `buckets` is 0 where there are no clusters. `models` are those that a
    comparison compares, the baseline first, and `rows` says on which rows: those that all of them score, or those that
    a challenger and the baseline do. Weights count in units of 2 to the power of `weight_exponent`, which is not 0
    where their sums would leave the range of a double.
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
    rows: ComparedRows = "all"
    weight_exponent: int = 0

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
        """The conventions as one line of JSON; every row of a state carries it."""
        return json.dumps(asdict(self))

    @staticmethod
    def from_fingerprint(text: str) -> "Conventions":
        """Read what `fingerprint` wrote; raises DataError where it was edited, or written by another version."""
        try:
            found = json.loads(text)
        except (ValueError, RecursionError):
            found = None
        if not isinstance(found, dict):
            raise DataError(f"the fingerprint of a state must be a JSON object, got {text[:40]!r}: {WRITE_AGAIN}")
        version = found.get("version")
        if type(version) is not int or version != STATE_VERSION:
            raise DataError(
                f"states of version {STATE_VERSION} can be read, and this one is of version {version!r}: "
                "evaluate its rows again"
            )
        for name in found:
            if name not in FIELDS:
                raise DataError(
                    f"the fingerprint of a state of version {version} has no field {name!r}: "
                    f"another release of logloss_spark wrote it, or it was edited; {WRITE_AGAIN}"
                )
        for name, fits in FIELDS.items():
            if name not in found or not fits(found[name]):
                came = f"got {found[name]!r}" if name in found else "and it is missing"
                raise DataError(f"field {name!r} of the fingerprint of a state was edited, {came}: {WRITE_AGAIN}")
        if found["grid"] != VERSION:
            raise DataError(
                f"the bins of a state must be of grid {VERSION}, got grid {found['grid']}: "
                "read it with the release of logloss_spark that wrote it, or evaluate its rows again"
            )
        fields: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in found.items()
        }
        return Conventions(**fields)


def is_list_of(*types: type) -> Callable[[Any], bool]:
    """A check that a value is a list of values of these very types, all different."""
    return lambda values: (
        isinstance(values, list)
        and all(type(value) in types for value in values)
        and len(set(map(repr, values))) == len(values)
    )


def is_a(type_: type) -> Callable[[Any], bool]:
    """A check that a value is of this very type: a boolean is no integer."""
    return lambda value: type(value) is type_


WRITE_AGAIN = "evaluate the rows again and write their state anew"


FIELDS: Mapping[str, Callable[[Any], bool]] = {
    "version": is_a(int),
    "loss": is_a(str),
    "kind": lambda kind: kind in get_args(Score),
    "classes": lambda classes: is_list_of(bool, int, float, str)(classes) and len(classes) >= 2,
    "scalar": is_a(bool),
    "soft_labels": is_a(bool),
    "clip": lambda clip: clip in get_args(Clip),
    "eps": lambda eps: type(eps) is float and 0.0 < eps < 0.5,
    "grid": is_a(int),
    "slices": is_list_of(str),
    "buckets": lambda buckets: type(buckets) is int and buckets in (0, BUCKETS),
    "models": is_list_of(str),
    "rows": lambda rows: rows in get_args(ComparedRows),
    "weight_exponent": lambda exponent: type(exponent) is int and abs(exponent) <= MOST_EXPONENT,
}
"""The fields of a fingerprint, and what each may hold."""


def conventions_of(rows: Inputs, spec: Predictions) -> Conventions:
    """The conventions under which a table is scored."""
    return Conventions(
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


def columns_of(conventions: Conventions) -> tuple[str, ...]:
    """The sums that a state of these conventions has, in order."""
    sums = PAIR if conventions.models else MOMENTS + (BINARY_MOMENTS if conventions.scalar else CLASS) + CELL
    return ("n", *dict.fromkeys(sums))


def low_of(name: str) -> str:
    """The column of what the multiples of 2^-20 in another column leave."""
    return f"{name}_low"


def totals_of(conventions: Conventions) -> tuple[str, ...]:
    """The sums that the part `total` of a state of these conventions has, besides `n`."""
    if conventions.models:
        return ("w", "w2", "wa")
    return ("w", "w2", "wl", "wb", *(("wy", "wp") if conventions.scalar else ()))


def added(parts: DataFrame, conventions: Conventions) -> DataFrame:
    """Rows of one or more states, whose slice columns have their places for names, summed into one state."""
    inner = [slice_name(place) for place in range(len(conventions.slices))]
    summed = parts.groupBy(*inner, "part", "place").agg(*totals(conventions))
    named = [F.col(key).alias(name) for key, name in zip(inner, slice_columns(conventions).values(), strict=True)]
    return summed.select(
        *named, "part", "place", *columns_of(conventions), F.lit(conventions.fingerprint()).alias("fingerprint")
    )


def known_as(spark: SparkSession, source: int) -> DataFrame:
    """The two rows that every state has, even one of no rows: which evaluation it is, and a total of nothing."""
    return spark.range(1).selectExpr(
        f"inline(array(named_struct('part', '{SOURCE}', 'place', {source}L, 'n', 1L), "
        f"named_struct('part', '{TOTAL}', 'place', CAST(NULL AS BIGINT), 'n', 0L)))"
    )


def totals(conventions: Conventions) -> list[Column]:
    """Each sum of a state, summed further; as SQL, which takes a third of the calls to the JVM."""
    return [F.expr(f"sum({name}) AS {name}") for name in columns_of(conventions)]


def slice_columns(conventions: Conventions) -> dict[str, str]:
    """The column of each slice in a state: its own name, with `slice_` before it where the state has such a column.

    Examples
    --------
    >>> from logloss_spark.states.state import conventions_of
    >>> from logloss_spark.states.state import slice_columns
    >>> from logloss_spark.rows.inputs import inputs
    >>> from logloss_spark.spec import Predictions
    >>> spec = Predictions(label="y", prediction="p", by=(("day", "w"),))
    >>> df = spark.createDataFrame([], "y int, p double, day string, w int")
    >>> slice_columns(conventions_of(inputs(df, spec), spec))
    {'day': 'day', 'w': 'slice_w'}
    """
    sums = {name.casefold() for name in ("part", "place", "fingerprint", *columns_of(conventions))}
    taken = sums.union(map(str.casefold, conventions.slices))
    found = {}
    for name in conventions.slices:
        column = name
        while column.casefold() in (sums if column == name else taken):
            column = f"slice_{column}"
        found[name] = column
    return found


def rolled_up(state: DataFrame, conventions: Conventions, by: Sequence[Sequence[str]]) -> DataFrame:
    """A state added up to the global row and these grouping sets.

    The slice columns are called `slice_0`, ..., in the order in which the sets name them, and null where one was rolled
    up; then come `part`, `place`, `grouping_id` and the sums. The bits of `grouping_id` say which slice columns were
    rolled up, as in Spark's SQL, the last column's being the lowest.
    """
    inner, columns = inner_names(by), slice_columns(conventions)
    sets = dict.fromkeys([(), *map(tuple, by)])
    keyed = state.select(
        *[quoted(columns[name]).alias(key) for name, key in inner.items()], "part", "place", *columns_of(conventions)
    )
    summed = keyed.groupingSets(
        [[F.col(column) for column in [*map(inner.__getitem__, names), "part", "place"]] for names in sets],
        *inner.values(),
        "part",
        "place",
    ).agg(
        grouping_id(list(inner.values())),
        *totals(conventions),
    )
    return summed.where(~F.col("part").isin(*WHOLE) | (F.col("grouping_id") == 2 ** len(inner) - 1))


def check_slices(conventions: Conventions, by: Sequence[Sequence[str]]) -> None:
    """Raise SpecError unless the state was sliced by all these columns."""
    for name in slices_of(by):
        if name not in conventions.slices:
            raise SpecError(f"slice column {name!r} is not in the state; {did_you_mean(name, conventions.slices)}")
