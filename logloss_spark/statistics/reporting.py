"""How metrics are read off a state: confidence, bins, baseline."""

from dataclasses import dataclass

from logloss_spark.checks import between
from logloss_spark.errors import SpecError
from logloss_spark.kernels.grid import coarse_edges


@dataclass(frozen=True, kw_only=True)
class Reporting:
    """How metrics are read off a state; none of it changes the state.

    Parameters
    ----------
    confidence : float in (0, 1)
        The coverage that the intervals aim at.
    ece_bins : int that divides 200 or 15
        The number of equal-width bins of ece, mce and the reliability table: [a, b), the last one with its end.
    baseline : float or tuple of float, optional
        The shares of the classes that normalized_entropy compares with, in (0, 1); of two the positive one suffices.
    """

    confidence: float = 0.95
    ece_bins: int = 10
    baseline: float | tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        between("confidence", self.confidence, 0.0, 1.0)
        if isinstance(self.ece_bins, bool) or not isinstance(self.ece_bins, int):
            raise SpecError(f"ece_bins must be a whole number that divides 200 or 15, got {self.ece_bins!r}")
        try:
            coarse_edges(self.ece_bins)
        except ValueError as error:
            raise SpecError(f"ece_bins: {error}") from None

    def shares(self, classes: int) -> tuple[float, ...] | None:
        """The baseline as one share per class, or None where a slice's own shares serve.

        Raises SpecError where it has another length, or is no distribution.
        """
        if self.baseline is None:
            return None
        given = self.baseline if isinstance(self.baseline, tuple) else (1.0 - self.baseline, self.baseline)
        if len(given) != classes:
            raise SpecError(f"baseline gives a share to each of {classes} classes, and {len(given)} came")
        numbers = all(isinstance(share, (int, float)) for share in given)
        if not numbers or any(not 0.0 < share < 1.0 for share in given) or abs(sum(given) - 1.0) > 1e-9:
            raise SpecError(f"baseline holds shares between 0 and 1 that sum to 1, not {list(given)}")
        return given
