"""The notebooks of the documentation run, and their stored outputs are what they print."""

from pathlib import Path

import nbformat
import pytest

from tests.docs.notebooks import NOTEBOOKS, executed, says

MOST_BYTES = 300_000
"""Of a notebook with its pictures: more makes a repository slow to clone."""


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs_and_prints_what_it_says(path: Path, tmp_path: Path) -> None:
    stored = nbformat.read(path, as_version=4)
    expected = list(says(stored))
    assert list(says(executed(stored, tmp_path))) == expected


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_small_and_was_run_from_top_to_bottom(path: Path) -> None:
    stored = nbformat.read(path, as_version=4)
    code = [cell for cell in stored.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    assert path.stat().st_size < MOST_BYTES
