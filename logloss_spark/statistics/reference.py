"""The catalogue as text: a Markdown table for the site, and a section for a docstring."""

from collections.abc import Callable, Iterable
from inspect import cleandoc
from textwrap import fill
from typing import Any, TypeVar

from logloss_spark.statistics.catalogue import Metric

Function = TypeVar("Function", bound=Callable[..., Any])

WIDTH = 116

WITH_INTERVAL = {
    "none": [],
    "always": ["with an interval (_low, _high, _se)"],
    "clusters": ["with an interval (_low, _high, _se) if there are clusters"],
}
FORECASTS = {"any": [], "scalar": ["scalar forecasts only"], "classes": ["forecasts per class only"]}
LOSSES = {"any": [], "cross_entropy": ["cross-entropy only"]}


def type_in_words(metric: Metric) -> str:
    """The type of a metric.

    Examples
    --------
    >>> type_in_words(Metric("label_mean", "", entries="per class"))
    'number, or list per class'
    """
    if metric.entries == "one":
        return metric.type
    entries = f"list {metric.entries}"
    return entries if metric.forecasts == "classes" else f"{metric.type}, or {entries}"


def traits(metric: Metric) -> str:
    """The type of a metric, whether it has an interval, and which forecasts and losses alone have it.

    Examples
    --------
    >>> traits(Metric("cox_slope", "", forecasts="scalar"))
    'number; scalar forecasts only'
    """
    limits = [*WITH_INTERVAL[metric.interval], *FORECASTS[metric.forecasts], *LOSSES[metric.losses]]
    return "; ".join([type_in_words(metric), *limits])


def markdown(metrics: Iterable[Metric]) -> str:
    """A Markdown table with one row per metric."""
    rows = [f"| `{metric.name}` | {metric.doc} | {traits(metric)} |" for metric in metrics]
    return "\n".join(["| column | meaning | type |", "| --- | --- | --- |", *rows, ""])


def documented(metrics: Iterable[Metric]) -> str:
    """The entries of a docstring's section, one per metric."""
    indent = "    "
    return "\n".join(
        f"{metric.name} : {traits(metric)}\n{fill(metric.doc, WIDTH, initial_indent=indent, subsequent_indent=indent)}"
        for metric in metrics
    )


def explains(*metrics: Metric) -> Callable[[Function], Function]:
    """Return a decorator that ends a function's docstring with a section on these columns."""

    def explain(function: Function) -> Function:
        function.__doc__ = f"{cleandoc(function.__doc__ or '')}\n\nColumns\n-------\n{documented(metrics)}\n"
        return function

    return explain
