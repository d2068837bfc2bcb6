"""Engines: the ways to compute the losses of rows. All give the same numbers."""

from dataclasses import dataclass
from typing import Literal, get_args

from logloss_spark.checks import one_of
from logloss_spark.errors import SpecError
from logloss_spark.scoring import Scoring

Engine = Literal["auto", "arrow", "native", "pandas"]
InSpark = Literal["native", "pandas"]


@dataclass(frozen=True)
class Ran:
    """The engine that computed a result, and why it was this one and not a faster one.

    Attributes
    ----------
    name : "arrow", "native" or "pandas"
    because : str

    Examples
    --------
    >>> print(Ran("native", "the table is filtered"))
    native: the table is filtered
    """

    name: str
    because: str

    def __str__(self) -> str:
        return f"{self.name}: {self.because}"


def check_engine(engine: Engine, scoring: Scoring) -> None:
    """Raise SpecError unless the engine exists and computes this loss."""
    one_of("engine", engine, get_args(Engine))
    if engine == "native" and scoring.loss != "cross_entropy":
        raise SpecError(
            f"engine='native' computes only cross_entropy, got loss {scoring.loss_name!r}: leave engine out"
        )


def engine_in_spark(engine: Engine, scoring: Scoring) -> InSpark:
    """The engine that serves where rows are Spark's: the one that was asked for, or the faster one that can."""
    if engine in ("native", "pandas"):
        return engine
    return "native" if scoring.loss == "cross_entropy" else "pandas"
