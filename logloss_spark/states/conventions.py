"""The conventions of a state: what states must share to be added. Every row of a state carries them, as JSON."""

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, get_args

from logloss_spark.errors import DataError
from logloss_spark.kernels.grid import VERSION
from logloss_spark.rows.inputs import BUCKETS, ComparedRows, Rows
from logloss_spark.scoring import LOSSES, Clip, Label, Score, cap_of

STATE_VERSION = 3
"""The version of the states that are written. It rises when a field of the conventions or a column is added."""


UPGRADES: Mapping[int, Callable[[dict[str, Any]], dict[str, Any]]] = {}
"""Maps an older version to a function from the fields of its fingerprints to those of the next version.

To add a field, give it here the value under which all older states were made: old and new states then add, and a folder
of both is one state. States of a version without an entry are refused.
"""


MOST_EXPONENT = 1100
"""Larger than any exponent of a double."""


@dataclass(frozen=True)
class Conventions:
    """What states must share to be added: what was scored, and how.

    Attributes
    ----------
    loss, kind, soft_labels, clip, eps : as in `Scoring`
    classes : the labels, in the prediction's order
    scalar : whether the prediction is one number, so that its Brier score is (p - y)^2 and not a sum over classes
    grid : the version of the grid of scores
    slices : the slice columns
    buckets : the number of buckets of clusters, 0 without clusters
    models : the models of a comparison, the baseline first; empty for an evaluation
    rows : "all" if a comparison counts the rows that all models score, "shared" if it counts those that a challenger
        and the baseline score
    weight_exponent : weights are in units of 2 to this power; it is not 0 if plain sums would leave the range of a
    double
    """

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
        """ln K, the loss of a forecast that gives every class the same probability."""
        return math.log(len(self.classes))

    @property
    def least_loss(self) -> float:
        """The least value of the loss: 0 for the losses of this package, -inf for a user's function."""
        return 0.0 if self.loss in LOSSES else -math.inf

    def with_slices_like(self, other: "Conventions") -> "Conventions":
        """These conventions, with the slices in the order of the others' if both have the same ones."""
        alike = sorted(self.slices) == sorted(other.slices)
        return replace(self, slices=other.slices) if alike and self.slices != other.slices else self

    def fingerprint(self) -> str:
        """The conventions as one line of JSON."""
        return json.dumps({"version": STATE_VERSION} | asdict(self))

    @staticmethod
    def from_fingerprint(text: str) -> "Conventions":
        """Read what `fingerprint` wrote; raise DataError if it was edited, or if its version cannot be read."""
        try:
            found = json.loads(text)
        except (ValueError, RecursionError):
            found = None
        if not isinstance(found, dict):
            raise DataError(f"the fingerprint of a state must be a JSON object, got {text[:40]!r}: {WRITE_AGAIN}")
        found = upgraded(found)
        for name in found:
            if name not in FIELDS:
                raise DataError(
                    f"the fingerprint of a state of version {STATE_VERSION} has no field {name!r}: "
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


def upgraded(found: dict[str, Any]) -> dict[str, Any]:
    """The fields of a fingerprint as the current version has them, without `version`; DataError if it is too old."""
    version = found.get("version")
    fields = {name: value for name, value in found.items() if name != "version"}
    for older in range(version if type(version) is int else STATE_VERSION + 1, STATE_VERSION):
        if older not in UPGRADES:
            break
        fields, version = UPGRADES[older](fields), older + 1
    if type(version) is not int or version != STATE_VERSION:
        readable = " or ".join(map(str, (*sorted(UPGRADES), STATE_VERSION)))
        raise DataError(f"a state must be of version {readable}, got version {version!r}: evaluate its rows again")
    return fields


def is_list_of(*types: type) -> Callable[[Any], bool]:
    """A check that a value is a list of distinct values of exactly these types."""
    return lambda values: (
        isinstance(values, list)
        and all(type(value) in types for value in values)
        and len(set(map(repr, values))) == len(values)
    )


def is_a(type_: type) -> Callable[[Any], bool]:
    """A check that a value has exactly this type: a boolean is no integer."""
    return lambda value: type(value) is type_


WRITE_AGAIN = "evaluate the rows again and write their state anew"


FIELDS: Mapping[str, Callable[[Any], bool]] = {
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
"""The fields of a fingerprint, each with the check of its value."""


def conventions_of(rows: Rows) -> Conventions:
    """The conventions under which a table is scored."""
    scoring, form = rows.scoring, rows.form
    return Conventions(
        loss=scoring.loss_name,
        kind=scoring.score,
        classes=form.classes,
        scalar=form.scalar,
        soft_labels=form.soft_labels,
        clip=scoring.clip,
        eps=scoring.eps,
        grid=VERSION,
        slices=rows.roles.slices,
        buckets=BUCKETS if form.clustered else 0,
        models=rows.models,
        rows=rows.compared_on,
        weight_exponent=rows.weight_exponent,
    )
