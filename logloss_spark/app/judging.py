"""Whether a job goes on with the rows that it found: how many cannot be scored, and how many the config tolerates."""

import math
from collections.abc import Callable, Mapping
from typing import Any

from logloss_spark.app.sections import Tolerance
from logloss_spark.errors import DataError
from logloss_spark.rows.status import reasons_in
from logloss_spark.wording import counted, listed

Advice = Callable[[Mapping[Any, Any]], str]
"""Says, from the counts of rows by status, what lets more rows be scored."""


def check_tolerated(counts: Mapping[str, int], asked: Tolerance, advice: Advice) -> None:
    """Raise DataError if more rows are invalid than a config tolerates, or if all are, for a cause that is known.

    Rows whose label has not arrived yet are not invalid.
    """
    reasons, total = reasons_in({**counts, "unlabelled": 0}), sum(counts.values())
    invalid = sum(reasons.values())
    way_out = advice(counts) if invalid > asked.tolerance * total or not counts["ok"] else ""
    if not counts["ok"] and reasons and way_out:
        raise DataError(f"no row of {total:,} can be scored: {listed(reasons)}; {way_out}")
    if invalid > asked.tolerance * total:
        enough = math.ceil(invalid / total * 1e4) / 1e4
        raise DataError(
            f"the share of invalid rows must be at most {asked.tolerance:g}, got {invalid:,} of "
            f"{counted(total, 'row')}: {listed(reasons)}; "
            f"{way_out or f'correct them, or set tolerated_share = {enough:g}'}"
        )
