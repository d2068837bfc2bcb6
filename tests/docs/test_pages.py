"""The examples of the documentation run, and print what their pages say."""

from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import SparkSession

from tests.docs.pages import ROOT, TABLE, blocks_of, run_page

PAGES = sorted({ROOT / "README.md", *(ROOT / "docs").rglob("*.md")} - {TABLE})
QUICK = [ROOT / "README.md"]
"""What a newcomer tries first. Each other page takes seconds, and its functions have quick tests."""

WITH_EXAMPLES = [page for page in PAGES if any(blocks_of(page.read_text(encoding="utf-8")))]


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("pages")


@pytest.fixture(scope="session")
def table(spark: SparkSession, folder: Path) -> dict[str, Any]:
    """The names of the page that makes the table."""
    names: dict[str, Any] = {}
    run_page(TABLE, names, folder)
    return names


@pytest.mark.filterwarnings("ignore:unclosed running multiprocessing pool:ResourceWarning")  # Spark's own
@pytest.mark.parametrize(
    "page",
    [
        pytest.param(page, id=str(page.relative_to(ROOT)), marks=() if page in QUICK else pytest.mark.slow)
        for page in WITH_EXAMPLES
    ],
)
def test_a_page_prints_what_it_says(page: Path, table: dict[str, Any], folder: Path) -> None:
    run_page(page, dict(table), folder)
