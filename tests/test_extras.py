import sys

import pytest

from logloss_spark.errors import SpecError
from logloss_spark.extras import from_extra


def test_a_module_that_is_there_is_imported():
    assert from_extra("json.decoder", "report", "plots") is sys.modules["json.decoder"]


def test_a_missing_package_is_one_line_that_names_its_extra():
    with pytest.raises(SpecError, match=r"plots need the package nobody_has: pip install 'logloss-spark\[report\]'"):
        from_extra("nobody_has.inner", "report", "plots")


def test_a_package_that_misses_one_of_its_own_is_not_called_missing(tmp_path, monkeypatch):
    (tmp_path / "broken_package.py").write_text("import nobody_has\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="nobody_has"):
        from_extra("broken_package", "report", "plots")
