"""How metrics are read off a state: confidence, bins, baseline, and what ranking and CORP come from."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from logloss_spark.checks import between, one_of
from logloss_spark.errors import SpecError
from logloss_spark.kernels.grid import coarse_edges

Exactness = Literal["auto", "cells", "exact"]
Intervals = Literal["fixed", "any_time"]


@dataclass(frozen=True, kw_only=True)
class Coverage:
    """What intervals aim at.

    Parameters
    ----------
    confidence : float in (0, 1)
        The coverage that the intervals aim at.
    intervals : "fixed" or "any_time"
        Whether an interval holds at the one look that was planned, or at all looks at rows that grow in number, such as
        a new look every day. Those of "any_time" are wider, and need independent rows.
    """

    confidence: float = 0.95
    intervals: Intervals = "fixed"

    def __post_init__(self) -> None:
        between("confidence", self.confidence, 0.0, 1.0)
        one_of("intervals", self.intervals, get_args(Intervals))

    def check(self, *, clustered: bool) -> None:
        """Raise SpecError where rows depend on each other by clusters, and intervals need independent rows.

        A cluster may return on any day, so new rows are no new draws, and 64 buckets are too few for a limit.
        """
        if clustered and self.intervals == "any_time":
            raise SpecError(
                "intervals must be 'fixed' where rows depend on each other by clusters, got 'any_time', which needs "
                "independent rows: leave out intervals, or evaluate without a cluster"
            )

    @property
    def words(self) -> str:
        """What an interval is called.

        Examples
        --------
        >>> Coverage().words, Coverage(confidence=0.99, intervals="any_time").words
        ('95% interval', '99% any-time interval')
        """
        return f"{100 * self.confidence:g}% {'any-time ' if self.intervals == 'any_time' else ''}interval"


@dataclass(frozen=True, kw_only=True)
class Reading(Coverage):
    """How metrics are read off a state; none of it changes the state.

    Parameters
    ----------
    ece_bins : int that divides 200 or 15
        The number of equal-width bins of ece, mce and the reliability table: [a, b), the last one with its end.
    baseline : float or sequence of float, optional, kept as a tuple
        The shares of the classes that normalized_entropy compares with, in (0, 1). Of two classes the share of the
        positive one suffices. The default is each slice's own shares.
    """

    ece_bins: int = 10
    baseline: float | Sequence[float] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if isinstance(self.ece_bins, bool) or not isinstance(self.ece_bins, int):
            raise SpecError(f"ece_bins must be a whole number that divides 200 or 15, got {self.ece_bins!r}")
        try:
            coarse_edges(self.ece_bins)
        except ValueError as error:
            raise SpecError(f"ece_bins: {error}") from None
        if isinstance(self.baseline, Iterable):
            object.__setattr__(self, "baseline", tuple(self.baseline))

    def shares(self, classes: int) -> tuple[float, ...] | None:
        """The baseline as one share per class, or None where a slice's own shares serve.

        Raises SpecError where it has another length, or is no distribution.
        """
        if self.baseline is None:
            return None
        given = tuple(self.baseline) if isinstance(self.baseline, Sequence) else (1.0 - self.baseline, self.baseline)
        if len(given) != classes:
            raise SpecError(f"baseline must have a share for each of {classes} classes, got {len(given)}")
        numbers = all(isinstance(share, (int, float)) for share in given)
        if not numbers or any(not 0.0 < share < 1.0 for share in given) or abs(sum(given) - 1.0) > 1e-9:
            raise SpecError(f"baseline must hold shares between 0 and 1 that sum to 1, got {list(given)}")
        return given


@dataclass(frozen=True, kw_only=True)
class Reporting(Reading):
    """How an evaluation is reported: from its state, and for some metrics from its rows.

    Parameters
    ----------
    auc : "auto", "cells" or "exact"
        What auc, average_precision and ks come from: cells of the score, the rows themselves, or the rows if they are
        few.
    calibration : "auto", "cells" or "exact"
        The same for the CORP decomposition.
    """

    auc: Exactness = "auto"
    calibration: Exactness = "auto"

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("auc", "calibration"):
            one_of(name, getattr(self, name), get_args(Exactness))
