"""The house has one direction: who may know whom, and who may touch what."""

import ast
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "logloss_spark"
FILES = {file.relative_to(PACKAGE): file for file in sorted(PACKAGE.rglob("*.py"))}

# The floors, the ground first; a room knows the floors below it, and nobody else on its own.
FLOORS = (
    {"wording", "version"},
    {"errors"},
    {"checks", "extras", "kernels"},
    {"roles", "scoring"},
    {"statistics", "io"},
    {"workers", "gates"},
    {"rows"},
    {"states"},
    {"tables"},
    {"report"},
    {"calibrator", "worst"},
    {"state"},
    {"store"},
    {"fit", "held", "mean_loss"},
    {"evaluation", "comparison", "shift", "losses", "planning", "functions"},
    {"__init__", "ml", "app"},
    {"__main__"},
)
NUMPY_ALONE = ("kernels", "statistics")
BEHIND_CONNECT = (Path("io/session.py"), Path("app/progress.py"))
STANDARD = {
    "collections",
    "dataclasses",
    "functools",
    "inspect",
    "itertools",
    "math",
    "statistics",
    "textwrap",
    "typing",
}
MAY_IMPORT = {
    room: {room}.union(*FLOORS[:floor]) - ({"checks", "extras"} if room == "kernels" else set())
    for floor, rooms in enumerate(FLOORS)
    for room in rooms
}


def room(path):
    """The room that a file of the package is in; files at its top are rooms themselves."""
    return path.parts[0].removesuffix(".py")


@cache
def nodes(file):
    """The syntax tree of a file, node by node."""
    return list(ast.walk(ast.parse(file.read_text())))


def imported(file):
    """Every module that a file imports, wherever in it."""
    for node in nodes(file):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: a relative import"
            yield node.module
            if node.module == "logloss_spark":
                yield from (f"logloss_spark.{name.name}" for name in node.names)


@pytest.mark.parametrize("path", FILES, ids=str)
def test_imports_go_one_way(path):
    rooms = {name.split(".")[1] for name in imported(FILES[path]) if name.startswith("logloss_spark.")}
    known = {known for known in rooms if (PACKAGE / known).is_dir() or (PACKAGE / f"{known}.py").is_file()}
    assert known <= MAY_IMPORT[room(path)]


@pytest.mark.parametrize("path", [path for path in FILES if room(path) in NUMPY_ALONE], ids=str)
def test_kernels_and_statistics_know_numpy_and_each_other(path):
    # Sparse products are SciPy's where a worker has it: three times as fast as NumPy's.
    optional = {"scipy"} if path.name == "matrix.py" else set()
    assert {name.split(".")[0] for name in imported(FILES[path])} <= {"numpy", "logloss_spark"} | optional | STANDARD


@pytest.mark.parametrize("path", [path for path in FILES if path not in BEHIND_CONNECT], ids=str)
def test_nothing_but_the_session_and_progress_reach_behind_spark_connect(path):
    # Serverless and Connect have none of these.
    behind = {"sparkContext", "_jvm", "_jdf", "_jsparkSession", "_sc", "rdd"}
    used = {node.attr for node in nodes(FILES[path]) if isinstance(node, ast.Attribute)}
    assert not used & behind
    assert "SparkContext" not in {node.id for node in nodes(FILES[path]) if isinstance(node, ast.Name)}


@pytest.mark.parametrize(
    "path",
    [path for path in FILES if room(path) not in ("app", "io", "report")],
    ids=str,
)
def test_code_that_reaches_workers_imports_at_the_top_of_its_file(path):
    # Inside a function `import logloss_spark...` would run on the worker, which has no such package.
    inner = [
        node
        for function in nodes(FILES[path])
        if isinstance(function, (ast.FunctionDef, ast.Lambda))
        for node in ast.walk(function)
        if isinstance(node, (ast.Import, ast.ImportFrom)) and "logloss_spark" in ast.unparse(node)
    ]
    assert not inner


def test_importing_the_package_starts_no_jvm_and_leaves_the_root_logger_alone():
    code = (
        "import logging\n"
        "before = logging.root.handlers[:], logging.root.level\n"
        "import logloss_spark, subprocess, sys\n"
        "assert before == (logging.root.handlers, logging.root.level)\n"
        "from pyspark import SparkContext\n"
        "from pyspark.sql import SparkSession\n"
        "assert SparkContext._gateway is None and SparkContext._jvm is None\n"
        "assert SparkSession.getActiveSession() is None\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], cwd=PACKAGE.parent, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("path", FILES, ids=str)
def test_every_module_can_be_imported_by_its_name(path):
    # A public name that hides a module would be what `import ... as` gives instead.
    parts = [part for part in path.with_suffix("").parts if part != "__init__"]
    name = ".".join(["logloss_spark", *parts])
    found = {}
    exec(f"import {name} as module", found)
    assert found["module"] is sys.modules[name]
