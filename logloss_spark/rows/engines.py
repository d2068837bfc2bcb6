"""Engines: the ways to compute the losses of rows. All give the same numbers."""

from typing import Literal, get_args

from logloss_spark.checks import one_of
from logloss_spark.errors import SpecError
from logloss_spark.scoring import Scoring

Engine = Literal["pandas", "native"]


def check_engine(engine: Engine, scoring: Scoring) -> None:
    """Raise SpecError unless the engine exists and computes this loss."""
    one_of("engine", engine, get_args(Engine))
    if engine == "native" and scoring.loss != "cross_entropy":
        raise SpecError(
            f"engine='native' computes only cross_entropy, got loss {scoring.loss_name!r}: leave engine out"
        )
