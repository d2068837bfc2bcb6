"""The state of an evaluation: sums per slice, and nothing else. States add: merge(state(A), state(B)) = state(A + B).

A state is a table with one row per slice, `model`, `target`, `part` and `place`, and every number in it is a sum over
rows. `model` is the challenger of a comparison, null for an evaluation and for what all challengers share. `target` is
null: a state is of one target.

part           place                   what is summed
=============  ======================  ==============================================================
a status       null                    `n`: rows of that status; in a comparison place is the challenger
moments        null                    the moments that metrics and their errors need
clipped, zero  null                    `n`, `w`, `wl` of those rows
cell           bin of the score grid   `n`, `w`, `w2`, `wy`, `w2y`, `wp`, `wl`, `w2v`
class          the class               `n`: rows in which it happened, `wl` of them; for K classes its moments;
                                       in a comparison place is K challenger + class
rank           of what happened        `n`, `w`, for K classes, up to the fifth rank; the likeliest class has rank 0
class_cell     1024 class + bin        `n`, `w`, `wy` by the bin of the class's probability, for 3 to 32 classes
bucket         1024 bucket + thin bin  `n`, `w`, `wl`, `wb`, `wy`, `wp`, where there are clusters
bucket_class   K bucket + class        `wy`, `wp`, where there are clusters and K classes
pair           64 challenger + bucket  of a comparison alone, which has statuses and classes beside it: see `PAIR`
source         the evaluation's id     `n`: how often this evaluation was added; more than once is an error
total          null                    `n`: rows of every status, and `w`, `w2`, `wl`, `wb` (`wy`, `wp`) over all slices
=============  ======================  ==============================================================
=======
=============  =====================  ==============================================================
part           place                  what is summed
=============  =====================  ==============================================================
a status       null                   `n`: rows of that status
moments        null                   the moments that metrics and their errors need
clipped, zero  null                   `n`, `w`, `wl` of those rows
cell           bin of the score grid  `n`, `w`, `w2`, `wy`, `w2y`, `wp`, `wl`, `w2v`
class          the class              `n`: rows in which it happened, `wl` of them; for K classes its moments
rank           of what happened       `n`, `w`, for K classes, up to the fifth rank; the likeliest class has rank 0
class_cell     1024 class + bin       `n`, `w`, `wy` by the bin of the class's probability, for 3 to 32 classes
bucket         1024 bucket + thin bin  `n`, `w`, `wl`, `wb`, `wy`, `wp`, where there are clusters
bucket_class   K bucket + class       `wy`, `wp`, where there are clusters and K classes
pair           bucket                 of a comparison alone, which has statuses and classes beside it: see `PAIR`
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
With `rows="all"` a row has the same status for every challenger: statuses and classes are kept once, without a model.

The parts `source` and `total` have null slices. A state that was cut by its slice columns, as in
`state.where("month = 2")`, has neither.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from logloss_spark.rows.bins import literal_texts
from logloss_spark.states.conventions import Conventions

KEYS = ("model", "target", "part", "place")
"""The key columns of a state after its slices."""


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


SOURCE, TOTAL = "source", "total"


SOURCE_BITS = 63
"""Evaluations are known by random numbers of so many bits."""


WHOLE = (SOURCE, TOTAL)
"""Parts of a state as a whole, which has them once, whatever its slices."""


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


def totals(conventions: Conventions) -> list[Column]:
    """Each sum of a state, summed further; as SQL, which takes a third of the calls to the JVM."""
    return [F.expr(f"sum({name}) AS {name}") for name in columns_of(conventions)]


@dataclass(frozen=True)
class Part:
    """Rows of a state, and the sums that they have of all scored rows of a slice, as SQL by the name of the sum."""

    name: str
    condition: str
    sums: Mapping[str, str]


OF_PAIRS = {"n": "n", "w": "w + w_low", "w2": "w2", "wa": "wa + wa_low"}
"""The sums of pairs that are the same for each challenger that is compared on the same rows."""


def reference_of(conventions: Conventions) -> Part:
    """The part that the others are compared with."""
    if conventions.rows == "shared":
        return Part("pair", "part = 'pair'", OF_PAIRS)
    if conventions.models:
        return of_challenger(conventions, 1)
    in_full = {
        name: f"{name} + {name}_low" for name in ("w", "wl", "wb", *(("wy", "wp") if conventions.scalar else ()))
    }
    plain = {name: name for name in ("n", "w2", *(("w2y", "w2v") if conventions.scalar else ()))}
    return Part("moments", "part = 'moments'", plain | in_full)


def of_challenger(conventions: Conventions, place: int) -> Part:
    """The pairs of a challenger with the baseline; `with_challenger` adds the column that tells which."""
    return Part(f"pair {conventions.models[place]}", f"part = 'pair' AND challenger = {place}", OF_PAIRS)


def with_challenger(table: DataFrame, conventions: Conventions) -> DataFrame:
    """The rows of a state with the place of their model in the models of a comparison, null without one."""
    models = literal_texts(conventions.models, "string") if conventions.models else F.lit(None).cast("array<string>")
    return table.withColumn("challenger", F.array_position(models, F.col("model")) - 1)
