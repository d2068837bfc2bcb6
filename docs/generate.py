"""The parts of the reference that are read off the code: Sphinx writes them before it reads the pages."""

import dataclasses
import inspect
import os
import re
from argparse import _SubParsersAction
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, get_args, get_origin, get_type_hints

import logloss_spark
from logloss_spark.app.cli import parser
from logloss_spark.app.commands import COMMANDS
from logloss_spark.app.config import dataclass_in, key_of, section_type, type_in_words
from logloss_spark.app.sinks.telling import WithDashboards
from logloss_spark.errors import LogLossError
from logloss_spark.fit.status import Status
from logloss_spark.kernels.status import MEANING
from logloss_spark.statistics.catalogue import (
    BY_CLASS,
    COMPARISON,
    DRIFT,
    METRICS,
    RELIABILITY,
    ROWS_READ,
    ROWS_SCORED,
    SLICE,
    WINDOW,
    WORST_SLICES,
    Metric,
)
from logloss_spark.statistics.reference import markdown

ROOMS: Mapping[str, Collection[str]] = {
    "Evaluate and compare": ("mean_loss", "evaluation", "comparison", "planning", "losses"),
    "States, stores, drift and calibrators": ("state", "store", "shift", "worst", "calibrator"),
    "Fit": ("fit",),
    "Session and tables": ("io",),
    "Errors and warnings": ("errors",),
}
"""The sections of the Python API, and the rooms whose public names stand in each."""

TABLES: Mapping[str, Iterable[Metric]] = {
    "Columns of every table": SLICE,
    "Columns of a table by windows": WINDOW,
    "Metrics of an evaluation": (ROWS_READ, ROWS_SCORED, *METRICS),
    "Reliability": RELIABILITY,
    "By class": BY_CLASS,
    "Comparison": COMPARISON,
    "Drift": DRIFT,
    "Worst slices": WORST_SLICES,
}
"""The tables whose columns are in the catalogue of metrics."""

PARAMETERS = "Parameters\n----------\n"
"""The heading in a docstring below which parameters are described."""

WIDTH = "100"
"""Columns of the help that argparse prints."""


def write_pages(folder: Path) -> None:
    """Write every generated part into `folder`; a file whose text is unchanged keeps its time."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, page in PAGES.items():
        file, text = folder / f"{name}.md", page()
        if not file.exists() or file.read_text(encoding="utf-8") != text:
            file.write_text(text, encoding="utf-8")


def statuses() -> str:
    """Each status of a row with its sentence."""
    return table(("status", "meaning"), ((code(name), meaning) for name, meaning in MEANING.items()))


def ends() -> str:
    """Each status of a fit with its sentence."""
    return table(("status", "meaning"), ((code(status), status.sentence) for status in Status))


def metrics() -> str:
    """The columns of each table, from the catalogue."""
    return "\n".join(f"## {title}\n\n{markdown(columns)}" for title, columns in TABLES.items())


def exit_codes() -> str:
    """Each exit code with the error that leads to it."""
    rows = [("0", "", "The command did what it was asked."), ("1", "", "The program crashed.")]
    rows += sorted((str(error.exit_code), code(error.__name__), first_line(error)) for error in errors(LogLossError))
    rows += [("130", "", "Ctrl-C ended the job."), ("143", "", "SIGTERM ended the job.")]
    return table(("exit code", "error", "meaning"), rows)


def config() -> str:
    """The sections and keys of each command's config."""
    commands: dict[Any, list[str]] = {}
    for name, command in COMMANDS.items():
        commands.setdefault(command.config, []).append(name)
    return "\n".join(
        f"## {' and '.join(map(code, names))}\n\n{of.__doc__ and prose(of)}\n\n" + "\n".join(sections(of, own(of)))
        for of, names in commands.items()
    ) + dashboards(name for of, names in commands.items() if issubclass(of, WithDashboards) for name in names)


def own(of: Any) -> Iterator["dataclasses.Field[Any]"]:
    """The sections of a config but those of dashboards, which stand in a part of their own."""
    return (field for field in dataclasses.fields(of) if field not in dataclasses.fields(WithDashboards))


def dashboards(names: Iterable[str]) -> str:
    """The sections that name dashboards."""
    head = f"## Dashboards\n\nConfigs of {', '.join(map(code, names))} may also have these sections.\n\n"
    return head + "\n".join(sections(WithDashboards, dataclasses.fields(WithDashboards)))


def sections(of: Any, fields: Iterable["dataclasses.Field[Any]"]) -> Iterator[str]:
    """These sections of one config."""
    hints = get_type_hints(of)
    for field in fields:
        section = section_type(hints[field.name])
        optional = "" if is_required(field) else " (optional)"
        yield f"### `[{field.name}]`{optional}\n"
        if get_origin(section) is dict:
            yield f"Keys of your own; each value is {type_in_words(get_args(section)[1])}.\n"
            continue
        yield from keys(section, field.name)


def keys(section: Any, name: str) -> Iterator[str]:
    """The keys of a section, and then those of the tables in it."""
    yield prose(section) + "\n"
    types = get_type_hints(section)
    meanings = descriptions(section)
    fields = dataclasses.fields(section)
    yield table(
        ("key", "value", "default", "meaning"),
        (
            (
                code(key_of(key)),
                type_in_words(types[key.name]),
                "required" if is_required(key) else code(default(key)),
                meanings[key.name],
            )
            for key in fields
        ),
    )
    for key in fields:
        if inner := dataclass_in(types[key.name]):
            path = f"{name}.{key_of(key)}"
            listed = get_origin(types[key.name]) is list
            yield f"#### `[[{path}]]`\n" if listed else f"#### `{key_of(key)}` in `[[{name}]]`\n"
            yield from keys(inner, path)


def commands() -> str:
    """What `--help` prints, of the program and of each command."""
    os.environ["COLUMNS"] = WIDTH
    top = parser()
    (subparsers,) = (action for action in top._actions if isinstance(action, _SubParsersAction))
    helps = {"logloss-spark": top.format_help()}
    helps |= {f"logloss-spark {name}": command.format_help() for name, command in subparsers.choices.items()}
    return "\n".join(f"## `{name}`\n\n```text\n{text.rstrip()}\n```\n" for name, text in helps.items())


def api() -> str:
    """Directives for all public names, by the rooms that they come from."""
    names: dict[str, list[str]] = {title: [] for title in ROOMS}
    for name in logloss_spark.__all__:
        thing = getattr(logloss_spark, name)
        if not isinstance(thing, ModuleType):
            room = thing.__module__.split(".")[1]
            names[next(title for title, rooms in ROOMS.items() if room in rooms)].append(name)
    return "\n".join(
        f"## {title}\n\n```{{eval-rst}}\n{''.join(map(directive, sorted(group, key=str.swapcase)))}```\n"
        for title, group in names.items()
    )


def directive(name: str) -> str:
    """Sphinx's directive for a public name: a function, an exception, or a class with all its members."""
    thing = getattr(logloss_spark, name)
    if not isinstance(thing, type):
        return f".. autofunction:: logloss_spark.{name}\n"
    if issubclass(thing, Exception):
        return f".. autoexception:: logloss_spark.{name}\n"
    return f".. autoclass:: logloss_spark.{name}\n   :members:\n   :inherited-members:\n"


PAGES: Mapping[str, Callable[[], str]] = {
    "api": api,
    "metrics": metrics,
    "statuses": statuses,
    "ends": ends,
    "exit-codes": exit_codes,
    "config": config,
    "commands": commands,
}


def errors(of: type[LogLossError]) -> Iterator[type[LogLossError]]:
    """All errors below an error."""
    for error in of.__subclasses__():
        yield error
        yield from errors(error)


def first_line(of: Any) -> str:
    """The first line of a docstring."""
    return (of.__doc__ or "").strip().splitlines()[0]


def descriptions(of: type) -> dict[str, str]:
    """What each parameter means, from the sections `Parameters` of a class and of the classes that it is made of."""
    meanings: dict[str, str] = {}
    for part in reversed(of.__mro__):
        _, _, parameters = inspect.cleandoc(part.__doc__ or "").partition(PARAMETERS)
        for entry in re.finditer(r"^(\w+) : .*\n((?:    .*\n?)+)", parameters, re.MULTILINE):
            meanings[entry[1]] = " ".join(entry[2].split())
    return meanings


def prose(of: Any) -> str:
    """A docstring as one paragraph for each of its own, without its parameters."""
    paragraphs = inspect.cleandoc(of.__doc__ or "").partition(PARAMETERS)[0].strip().split("\n\n")
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)


def is_required(field: "dataclasses.Field[Any]") -> bool:
    """Whether a field has no default."""
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


def default(field: "dataclasses.Field[Any]") -> str:
    """A field's default as TOML would write it."""
    value = field.default if field.default_factory is dataclasses.MISSING else field.default_factory()
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else f'"{value}"' if isinstance(value, str) else str(value)


def code(text: str) -> str:
    """A text as Markdown's code; nothing stays nothing."""
    return f"`{text}`" if text else ""


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A table in Markdown."""
    lines = [list(head)]
    lines += [["---"] * len(lines[0]), *(list(row) for row in rows)]
    return "".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |\n" for line in lines)
