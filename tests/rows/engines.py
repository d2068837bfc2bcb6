"""The engines that compute the terms of rows: what each of them can do, and how near the kernels it comes.

An engine that is added gets an entry here; the tests of this room that have an engine as their axis then run for it.
"""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Engine:
    """What an engine can do.

    Attributes
    ----------
    exact : tuple of str
        The terms that it computes to the last bit of the kernels.
    because : str
        Why these and no others.
    """

    exact: tuple[str, ...]
    because: str


@dataclass(frozen=True)
class Nearness:
    """How far a term of an engine may be from the kernel's: so many ulp, or so much, whichever is more."""

    ulps: float = 4.0
    absolute: float = 0.0
    because: str = "what the design promises of a row"


NEARNESS: Mapping[str, Nearness] = {
    **dict.fromkeys(("loss", "entropy", "tail", "variance", "probabilities"), Nearness()),
    "brier": Nearness(absolute=2.0**-51, because="a soft label is subtracted from p, whose last digit is worth 2^-53"),
    "logit_variance": Nearness(
        absolute=2.0**-53,
        because="Spark subtracts two surprisals, which cancel near one half; the kernel takes the logit",
    ),
}

ALWAYS = ("status", "bin", "upper", "clipped", "zero", "rank", "y", "labels", "score")
"""Terms that are decided or copied, not computed: every engine has them to the last bit."""

ENGINES: Mapping[str, Engine] = {
    "arrow": Engine((*ALWAYS, *NEARNESS), "its terms are those of the kernels, in Python workers"),
    "native": Engine(ALWAYS, "Java's exp, ln and log1p differ from NumPy's by an ulp"),
    "pandas": Engine(
        (*ALWAYS, "loss"), "the loss is the kernel's, in a Python worker; the other terms are Spark expressions"
    ),
}
