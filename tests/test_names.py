"""What a user meets when looking around: the names that complete, what help says, the version."""

import inspect
import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

import logloss_spark as ls
from logloss_spark import functions as L
from logloss_spark.functions import cross_entropy
from logloss_spark.statistics.catalogue import METRICS


@pytest.mark.parametrize("module", [ls, L], ids=["ls", "L"])
def test_a_module_completes_to_its_own_names_alone(module: object) -> None:
    assert set(dir(module)) - {"__version__"} == set(module.__all__)  # type: ignore[attr-defined]
    assert all(inspect.getdoc(getattr(module, name)) for name in dir(module))


def test_all_functions_of_rows_are_public() -> None:
    assert L.__all__ == ["cross_entropy", "entropy", "kl_divergence", "register", "row_status"]
    assert L.cross_entropy is cross_entropy


def test_the_version_is_that_of_the_package_and_of_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert ls.__version__ == version("logloss-spark")
    code = "import sys; from logloss_spark.app.cli import main; sys.exit(main(['--version']))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=Path(__file__).parents[1]
    )
    assert done.stdout == f"logloss-spark {ls.__version__}\n"


def test_help_explains_every_column_of_the_metrics() -> None:
    explained = re.findall(r"^(\w+) : ", inspect.getdoc(ls.State.metrics) or "", re.MULTILINE)
    assert explained[-len(METRICS) :] == [metric.name for metric in METRICS]


def test_help_of_evaluate_explains_what_is_shown() -> None:
    text = inspect.getdoc(ls.evaluate) or ""
    for name in ("rows", "n", "log_loss", "normalized_entropy", "calibration_ratio", "brier", "ece", "few"):
        assert f"`{name}`" in text, name
    assert "help(logloss_spark.State.metrics)" in text
    assert "help(logloss_spark.State.metrics)" in (inspect.getdoc(ls.Evaluation.metrics) or "")


def test_columns_are_named_in_evaluate_as_in_log_loss() -> None:
    positional = [
        [name for name, parameter in inspect.signature(function).parameters.items() if parameter.kind.name[0] == "P"]
        for function in (ls.evaluate, ls.log_loss)
    ]
    assert positional == [["table", "label", "prediction"]] * 2


@pytest.mark.parametrize("name", [name for name in ls.__all__ if name.endswith(("Error", "Warning"))])
def test_wrong_words_and_wrong_data_are_value_errors_and_warnings_are_called_so(name: str) -> None:
    found = getattr(ls, name)
    assert issubclass(found, UserWarning if name.endswith("Warning") else ls.LogLossError)
    assert issubclass(found, ValueError) == (name in ("DataError", "MissingInputError", "SpecError"))
