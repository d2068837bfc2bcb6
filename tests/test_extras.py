import sys
import tomllib
from pathlib import Path

import pytest

from logloss_spark.errors import SpecError
from logloss_spark.extras import PACKAGES, from_extra


def test_a_module_that_is_there_is_imported():
    assert from_extra("json.decoder", "report", "plots") is sys.modules["json.decoder"]


def test_a_missing_package_is_one_line_that_names_what_to_install():
    with pytest.raises(SpecError, match=r"plots need the package nobody_has: pip install jinja2 matplotlib$"):
        from_extra("nobody_has.inner", "report", "plots")


def test_the_packages_of_an_extra_are_those_of_the_project():
    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    assert {extra: list(packages) for extra, packages in PACKAGES.items()} == {name: extras[name] for name in PACKAGES}


def test_a_package_that_misses_one_of_its_own_is_not_called_missing(tmp_path, monkeypatch):
    (tmp_path / "broken_package.py").write_text("import nobody_has\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="nobody_has"):
        from_extra("broken_package", "report", "plots")
