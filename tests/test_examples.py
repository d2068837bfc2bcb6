"""The examples in docstrings run, and print what they say."""

import doctest
from importlib import import_module
from pathlib import Path
from pkgutil import walk_packages

import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

import logloss_spark
from tests.quick import quick

MODULES = [module.name for module in walk_packages(logloss_spark.__path__, "logloss_spark.")]
SLOW = {
    f"logloss_spark.{name}"
    for name in (
        *("app.progress", "comparison", "evaluation", "fit.fitting", "fit.model", "functions"),
        *("ml.logistic_regression", "planning", "shift", "state"),
    )
}
"""Modules whose examples run several queries."""


@pytest.mark.parametrize("name", quick(MODULES, *(name for name in MODULES if name not in SLOW)))
def test_examples_print_what_they_say(name: str, spark: SparkSession, tmp_path: Path) -> None:
    examples = [test for test in doctest.DocTestFinder().find(import_module(name)) if test.examples]
    for example in examples:
        example.globs |= {"spark": spark, "F": F, "folder": str(tmp_path)}
        problems: list[str] = []
        doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(example, out=problems.append)
        assert not problems, "".join(problems)
