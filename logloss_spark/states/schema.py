"""What the table of a state contains: sums per slice, and nothing else. States add: state(A) + state(B) = state(A ∪ B).

The table has one row per slice, `model`, `target`, `part` and `place`. Its columns are these keys, the slices first;
then sums over rows; and `fingerprint`, the conventions under which the sums were made, as JSON (`states.conventions`).
`model` names the challenger of a comparison. It is null in the state of an evaluation, and for what all challengers
share. `target` is null: a state has one target.

=============  ======================  =============================================================================
part           place                   sums
=============  ======================  =============================================================================
a status       null                    `n`: rows of that status
moments        null                    the moments that metrics and their errors need
clipped, zero  null                    `n`, `w`, `wl` of the rows that are counted as clipped, and as zero
cell           bin of the score grid   `n`, `w`, `w2`, `wy`, `w2y`, `wp`, `wl`, `w2v`
class          the class               `n`: rows in which the class happened, `wl` of them; for K classes its moments
rank           of what happened        `n`, `w`, for K classes, up to the fifth rank; the likeliest class has rank 0
class_cell     1024 class + bin        `n`, `w`, `wy` by the bin of the class's probability, for 3 to 32 classes
bucket         1024 bucket + thin bin  `n`, `w`, `wl`, `wb`, `wy`, `wp`, if there are clusters
bucket_class   K bucket + class        `wy`, `wp`, if there are clusters and K classes
pair           bucket                  in a comparison, which has statuses and classes beside it: see `PAIR`
source         the evaluation's id     `n`: how often this evaluation was added; more than once is an error
total          null                    `n`: rows of every status, and `w`, `w2`, `wl`, `wb` (`wy`, `wp`) of all slices
=============  ======================  =============================================================================

In the names of the sums w is the weight, w2 its square, l the loss, d = l - ln K, b the Brier score, y the label, p the
probability, u = p - y, h the entropy and v = p(1 - p). So w2ly is the sum of w^2 l y. In a cell above one half `wp` is
the sum of w(1 - p), which keeps the digits of probabilities near 1. For K classes cells are those of the top class.

Log loss, Brier score, mean label and mean prediction keep all digits of a double, because the sums that they are read
from have two columns: in `moments`, in `pair`, and for K classes in `class`. `wl` is the sum of the terms rounded to
multiples of 2^-20, and `wl_low` the sum of the rests. Multiples of 2^-20 add without rounding up to 2^33, in any order,
and the rests are so small that their rounding does not show. Terms much smaller than 2^-20, and sums beyond 2^33, are
as exact as plain sums.

In a comparison with `rows="all"` a row has the same status for every challenger: statuses and classes are stored once,
with a null `model`. With `rows="shared"` each pair of a row and a challenger has its own status, and `total` counts
pairs.

The parts `source` and `total` have null slices.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from logloss_spark.kernels.grid import HALF
from logloss_spark.rows.bins import literal_texts
from logloss_spark.states.conventions import Conventions

KEYS = ("model", "target", "part", "place")
"""The key columns after the slices."""


MOMENTS = ("w", "w_low", "w2", "wl", "wl_low", "w2l", "w2ll", "w2d", "w2dd", "wb", "wb_low", "w2b", "w2bb", "wh")
"""Moments that every kind of forecast has."""


BINARY_MOMENTS = ("wy", "wy_low", "w2y", "w2yy", "w2ly", "wp", "wp_low", "w2p", "w2uy", "ws", "w2s", "w2v", "w2e")
"""Those of a binary forecast: s = (y - p)(1 - 2p) with w2s its expected square, (1 - 2p)^2 v; e = v logit(p)^2."""


CELL = ("w", "w2", "wy", "w2y", "wp", "wl", "w2v")


CLASS = ("wy", "wy_low", "w2y", "wly", "w2ly", "wyy", "w2yy", "wp", "wp_low", "w2p", "wpp", "w2pp", "wpy", "w2py")


CLASS_CELL = ("w", "wy")


SCORE = ("w", "w2", "wy", "w2y")
"""Sums per distinct score, from which exact ranking and calibration are computed. They are in no state."""


PARTIAL = ("w", "wl")


BUCKET = ("w", "wl", "wb", "wy", "wp")


BUCKET_CLASS = ("wy", "wp")


BUCKET_STRIDE = 1024
"""In the part `bucket`, place = 1024 * bucket + thin bin."""


RANKS = 5
"""Top-k accuracy is computed up to this k."""


PAIR = (
    "w", "w_low", "w2", "wa", "wa_low", "wb", "wb_low", "wd", "w2d", "w2dd", "w_better", "w_worse", "w_tie", "wk", "wr",
)  # fmt: skip
"""Sums over the rows of a challenger: a is the baseline's loss, b the challenger's, d = b - a, k and r are
KL(baseline ‖ challenger) and its reverse; w_better is the weight of the rows where d < 0."""


SOURCE, TOTAL = "source", "total"


SOURCE_BITS = 63
"""An evaluation is identified by a random number of this many bits."""


WHOLE = (SOURCE, TOTAL)
"""Parts that a state has once, whatever its slices."""


def columns_of(conventions: Conventions) -> tuple[str, ...]:
    """The names of the sums in a state of these conventions, in order."""
    sums = PAIR if conventions.models else MOMENTS + (BINARY_MOMENTS if conventions.scalar else CLASS) + CELL
    return ("n", *dict.fromkeys(sums))


def low_of(name: str) -> str:
    """The column that holds the rests of a sum whose terms are rounded to multiples of 2^-20."""
    return f"{name}_low"


def totals_of(conventions: Conventions) -> tuple[str, ...]:
    """The sums that the part `total` of a state of these conventions has, besides `n`."""
    if conventions.models:
        return ("w", "w2", "wa")
    return ("w", "w2", "wl", "wb", *(("wy", "wp") if conventions.scalar else ()))


def sums_column(conventions: Conventions) -> Column:
    """The sum of each sum of a state, as fields of the column `sums`. As one SQL text it takes few calls to the JVM."""
    sums = ", ".join(f"sum({name}) AS {name}" for name in columns_of(conventions))
    return F.expr(f"struct({sums}) AS sums")


@dataclass(frozen=True)
class Part:
    """A part of a state whose sums cover all scored rows of a slice.

    Attributes
    ----------
    name : what errors call it
    part : the value of the column `part`
    sums : the columns that add up to each sum
    challenger : the index in `models` of the model whose rows count; None where all do
    """

    name: str
    part: str
    sums: Mapping[str, tuple[str, ...]]
    challenger: int | None = None

    @property
    def condition(self) -> str:
        """Selects its rows, in SQL; needs the column of `with_challenger` if it has a challenger."""
        of_model = "" if self.challenger is None else f" AND challenger = {self.challenger}"
        return f"part = '{self.part}'{of_model}"

    def terms(self, name: str) -> str:
        """What a row adds to a sum, in SQL."""
        terms = " + ".join(self.sums[name])
        return f"if(place >= {HALF}, w - wp, wp)" if (self.part, name) == MIRRORED else terms


MIRRORED = ("cell", "wp")
"""The part and the sum that is one of w(1 - p) above one half."""


OF_PAIRS = {"n": ("n",), "w": ("w", "w_low"), "w2": ("w2",), "wa": ("wa", "wa_low")}
"""Sums that all challengers have in common if they are compared on the same rows."""


def reference_of(conventions: Conventions) -> Part:
    """The part that the other parts of a slice are checked against."""
    if conventions.rows == "shared":
        return Part("pair", "pair", OF_PAIRS)
    if conventions.models:
        return of_challenger(conventions, 1)
    in_full: dict[str, tuple[str, ...]] = {
        name: (name, low_of(name)) for name in ("w", "wl", "wb", *(("wy", "wp") if conventions.scalar else ()))
    }
    plain = {name: (name,) for name in ("n", "w2", *(("w2y", "w2v") if conventions.scalar else ()))}
    return Part("moments", "moments", plain | in_full)


def of_challenger(conventions: Conventions, index: int) -> Part:
    """The pairs of the challenger with this index in `models`."""
    return Part(f"pair {conventions.models[index]}", "pair", OF_PAIRS, index)


def with_challenger(table: DataFrame, conventions: Conventions) -> DataFrame:
    """Add the column `challenger`, the index of a row's model in `models`; null if the row has no model."""
    models = literal_texts(conventions.models, "string") if conventions.models else F.lit(None).cast("array<string>")
    return table.withColumn("challenger", F.array_position(models, F.col("model")) - 1)
