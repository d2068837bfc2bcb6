"""Run the examples of a page of the documentation, as a reader would, and compare what they print.

A page is Markdown. Its blocks run in order and share their names:

- `python` runs; what it prints, and the value of a last expression, must stand in an `output` block right after it;
- `console` holds commands of `logloss-spark`, each after a `$`, with what it prints below it;
- `toml` whose first line is a comment with a file's name is written to that file.

Paths of the examples begin with `data/`, which stands for a temporary folder. As in doctest, `...` matches anything.
To write the outputs of a page anew: `python -m tests.docs.pages docs/how-to/compare.md ...`.
"""

import ast
import doctest
import io
import os
import re
import shlex
import sys
from collections.abc import Iterator
from contextlib import chdir, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from docs.demo.flights import main as write_flights
from logloss_spark.app.cli import main
from tests.conftest import SETTINGS

ROOT = Path(__file__).parents[2]
TABLE = ROOT / "docs" / "how-to" / "table.md"
"""The page that makes the table which the other pages use."""

TUTORIAL = ROOT / "docs" / "tutorial.md"
"""The page whose table is the flights of the demo."""

BLOCK = re.compile(r"^```(python|console|toml)\n(.*?)^```\n(?:\n```output\n(.*?)^```\n)?", re.MULTILINE | re.DOTALL)
FILE_NAME = re.compile(r"# ([\w.-]+\.toml)\n")
CHECK = doctest.OutputChecker()


@dataclass(frozen=True)
class Block:
    """One example: what runs, and what the page says that it prints."""

    language: str
    code: str
    printed: str
    span: tuple[int, int]


def blocks_of(text: str) -> Iterator[Block]:
    """The examples of a page, in order. The commands of a `console` block are one example each."""
    for found in BLOCK.finditer(text):
        language, code, printed = found[1], found[2], found[3] or ""
        if language != "console":
            yield Block(language, code, printed, found.span())
            continue
        start = found.start(2)
        for command in re.finditer(r"^\$ ((?:.*\\\n)*.*\n)((?:(?!\$ ).*\n)*)", code, re.MULTILINE):
            yield Block(language, command[1], command[2], (start + command.start(), start + command.end()))


def run(block: Block, names: dict[str, Any], folder: Path) -> str:
    """Run one example in `folder` and return what it prints, with `data/` in the place of the folder."""
    code = re.sub(r"\bdata/", f"{folder}/data/", block.code)
    out = io.StringIO()
    with chdir(folder), redirect_stdout(out), redirect_stderr(out):
        if block.language == "console":
            program, *arguments = shlex.split(code.replace("\\\n", " "))
            assert program == "logloss-spark", f"a console block runs logloss-spark alone, got {program}"
            main(arguments)
        elif block.language == "python":
            run_python(code, names)
        elif name := FILE_NAME.match(code):
            (folder / name[1]).write_text(code, encoding="utf-8")
    printed = re.sub(r"[ \t]+$", "", out.getvalue(), flags=re.MULTILINE).replace(f"{folder}/data/", "data/")
    return printed.rstrip("\n") + "\n" * bool(printed)


def run_python(code: str, names: dict[str, Any]) -> None:
    """Run statements; the value of a last expression is printed, as a notebook does."""
    tree = ast.parse(code)
    last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, "<page>", "exec"), names)
    if isinstance(last, ast.Expr):
        value = eval(compile(ast.Expression(last.value), "<page>", "eval"), names)
        if value is not None:
            print(repr(value))


def agree(printed: str, expected: str) -> bool:
    """Whether an example printed what its page says."""
    return CHECK.check_output(expected, printed, doctest.ELLIPSIS)


def prepare(page: Path, folder: Path) -> None:
    """Write the table that a page asks its reader to make with a command of the shell."""
    if page.resolve() == TUTORIAL:
        with redirect_stdout(io.StringIO()):
            write_flights(f"{folder}/data/flights")


def rewritten(text: str, names: dict[str, Any], folder: Path) -> str:
    """The text of a page with what its examples print now; an output that still matches stays as it is."""
    pieces, end = [], 0
    for block in blocks_of(text):
        printed = run(block, names, folder)
        pieces.append(text[end : block.span[0]])
        end = block.span[1]
        shown = block.printed if agree(printed, block.printed) else printed
        if block.language == "console":
            pieces.append(f"$ {block.code}{shown}")
        else:
            pieces.append(f"```{block.language}\n{block.code}```\n")
            pieces.append(f"\n```output\n{shown}```\n" if shown else "")
    return "".join([*pieces, text[end:]])


def run_page(page: Path, names: dict[str, Any], folder: Path) -> None:
    """Run a whole page; AssertionError where an example prints something else than the page says."""
    prepare(page, folder)
    for block in blocks_of(page.read_text(encoding="utf-8")):
        printed = run(block, names, folder)
        assert agree(printed, block.printed), f"{page.name} prints\n{printed}\nin the place of\n{block.printed}"


if __name__ == "__main__":
    settings = " ".join(f"--conf {key}={value}" for key, value in SETTINGS.items())
    os.environ["PYSPARK_SUBMIT_ARGS"] = f"{settings} pyspark-shell"
    with TemporaryDirectory() as temporary:
        shared: dict[str, Any] = {}
        run_page(TABLE, shared, Path(temporary))
        for path in map(Path, sys.argv[1:]):
            prepare(path, Path(temporary))
            path.write_text(rewritten(path.read_text(encoding="utf-8"), dict(shared), Path(temporary)), "utf-8")
