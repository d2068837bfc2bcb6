"""The call that evaluates or compares again, as lines of Python."""

from collections.abc import Iterator, Mapping
from dataclasses import fields
from typing import Any

from logloss_spark.roles import Roles
from logloss_spark.rows.models import Models
from logloss_spark.scoring import Scoring
from logloss_spark.statistics.reporting import Coverage, Reporting


def call_of(roles: Roles, scoring: Scoring, reporting: Reporting) -> Iterator[str]:
    r"""Return the lines of the call of `evaluate` that evaluates this way.

    Examples
    --------
    >>> print(*call_of(Roles(label="y", prediction="p", by="day"), Scoring(eps=1e-9), Reporting()), sep="\n")
    logloss_spark.evaluate(
        table,
        label='y',
        prediction='p',
        by=[['day']],
        eps=1e-09,
    )
    """
    given = {"label": roles.label, "prediction": roles.prediction, **optional(roles)}
    given |= {"search": list(roles.search)} if roles.search else {}
    return call_lines("evaluate", given | changed(scoring, Scoring) | changed(reporting, Reporting))


def call_of_comparison(roles: Roles, scoring: Scoring, models: Models, coverage: Coverage) -> Iterator[str]:
    """Return the lines of the call of `compare` that compares this way."""
    given = {"label": roles.label, **changed(models, Models), **optional(roles)}
    return call_lines("compare", given | changed(scoring, Scoring) | changed(coverage, Coverage))


def optional(roles: Roles) -> dict[str, Any]:
    """Return the roles that an evaluation need not have, and a comparison neither."""
    given: dict[str, Any] = {
        name: value for name, value in (("weight", roles.weight), ("cluster", roles.cluster)) if value
    }
    return given | ({"by": [list(names) for names in roles.sets]} if roles.sets else {})


def call_lines(function: str, given: Mapping[str, Any]) -> Iterator[str]:
    """Return the lines of the call of a function with a table and these arguments."""
    yield f"logloss_spark.{function}("
    yield "    table,"
    for name, value in given.items():
        plain = list(value) if isinstance(value, tuple) else value
        yield f"    {name}={value.__name__ if callable(value) else repr(plain)},"
    yield ")"


def changed(given: Any, of: Any) -> dict[str, Any]:
    """Return the fields of a dataclass whose values are neither the defaults nor empty."""
    values = {field: getattr(given, field.name) for field in fields(of)}
    return {field.name: value for field, value in values.items() if value != field.default and value not in ({}, ())}
