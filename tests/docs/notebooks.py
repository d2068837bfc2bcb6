"""Run the notebooks of the documentation in a kernel of their own, in a folder of their own.

To write their outputs anew: `python -m tests.docs.notebooks docs/notebooks/*.ipynb`.
"""

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import nbformat
from nbclient import NotebookClient

from tests.conftest import SETTINGS

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "docs" / "notebooks").glob("*.ipynb"))

KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}

PICTURE = "image/png"
TEXTS = ("text/plain", "text/html")


def executed(notebook: Any, folder: Path) -> Any:
    """Run a notebook in a folder, and return it with its outputs; CellExecutionError where a cell raises."""
    ran = nbformat.from_dict(notebook)
    settings = " ".join(f"--conf {key}={value}" for key, value in SETTINGS.items())
    of_kernel = {
        "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]),
        "PYSPARK_SUBMIT_ARGS": f"{settings} pyspark-shell",  # those of tests: small tables, a quick start
    }
    client = NotebookClient(ran, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(folder)}})
    client.execute(env=os.environ | of_kernel)
    return tidy(ran)


def tidy(notebook: Any) -> Any:
    """A notebook without what differs from run to run: times, ids, and what Java says to stderr."""
    notebook.metadata = nbformat.from_dict({"kernelspec": KERNEL})
    code = 0
    for place, cell in enumerate(notebook.cells):
        cell.id, cell.metadata = f"cell-{place}", nbformat.from_dict({})
        if cell.cell_type == "code":
            code += 1
            cell.execution_count = code
            cell.outputs = [tidy_output(output, code) for output in cell.outputs if output.get("name") != "stderr"]
    return notebook


def tidy_output(output: Any, count: int) -> Any:
    """An output without the size of its picture; the words of a picture are of no use."""
    if "execution_count" in output:
        output.execution_count = count
    if "data" in output:
        output.metadata = nbformat.from_dict({})
        kept = (PICTURE,) if PICTURE in output.data else TEXTS
        output.data = nbformat.from_dict({kind: output.data[kind] for kind in kept if kind in output.data})
    return output


def says(notebook: Any) -> Iterator[tuple[str, str]]:
    """Every output of a notebook in words, each with the code that made it; of a picture only that it is there."""
    for cell in notebook.cells:
        for output in cell.get("outputs", ()):
            data = output.get("data", {})
            yield cell.source, output.get("text") or "\n".join(data.get(kind, "") for kind in TEXTS) or PICTURE


def main(paths: list[str]) -> None:
    """Write the outputs of notebooks anew."""
    for path in map(Path, paths):
        with TemporaryDirectory() as folder:
            nbformat.write(executed(nbformat.read(path, as_version=4), Path(folder)), path)


if __name__ == "__main__":
    main(sys.argv[1:])
