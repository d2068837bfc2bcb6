"""Of the cases of one claim, `make test` runs a few that carry it, and `make test-slow` runs the others."""

from collections.abc import Iterable
from typing import Any

import pytest


def quick(cases: Iterable[Any], *chosen: Any) -> list[Any]:
    """Parameters of a test or of a fixture, of which all but the chosen ones are slow."""
    every = list(cases)
    assert all(case in every for case in chosen), f"{chosen} are not all among {every}"
    return [case if case in chosen else slow(case) for case in every]


def slow(case: Any) -> Any:
    """One parameter, or a tuple of several, whose test is slow."""
    return pytest.param(*(case if isinstance(case, tuple) else (case,)), marks=pytest.mark.slow)
