"""Arguments that several commands have besides their config."""

from argparse import ArgumentParser, ArgumentTypeError, Namespace

from logloss_spark.app.sections import Mode
from logloss_spark.errors import SpecError
from logloss_spark.roles import grouping_sets
from logloss_spark.states.windows import Windows


def add_common(parser: ArgumentParser, *, example: str, required: bool) -> None:
    """Add the arguments that every command has."""
    may = "" if required else "; may be left out"
    parser.add_argument("--config", required=required, metavar="FILE", help=f"a TOML file, as {example}{may}")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        dest="overrides",
        metavar="SECTION.KEY=VALUE",
        help="override a value of the config; may come several times",
    )
    parser.add_argument(
        "--run-date",
        metavar="YYYY-MM-DD",
        help="a column of every table that is written, and what {run_date} in paths and filters stands for",
    )
    parser.add_argument("--json", action="store_true", help="print what was found as one JSON document, on one line")
    parser.add_argument("--traceback", action="store_true", help="show the stack behind an error")


def add_states(parser: ArgumentParser, *, instead: str = "") -> None:
    """Add the states to read, and how many of them may be missing. They may be left out for what stands instead."""
    advice = f"; by default {instead}" if instead else ""
    parser.add_argument(
        "states", nargs="*" if instead else "+", metavar="STATE", help=f"where a state is stored{advice}"
    )
    parser.add_argument(
        "--allow-missing", type=count, default=0, metavar="N", help="leave out up to N states that are missing"
    )


def add_by(parser: ArgumentParser) -> None:
    """Add the grouping sets to read off states."""
    parser.add_argument(
        "--by",
        action="append",
        default=[],
        metavar="COLUMN[,COLUMN...]",
        help="a grouping set beside the global row, in place of the config's; may come several times",
    )


def add_windows(parser: ArgumentParser) -> None:
    """Add the windows of days to read off states."""
    parser.add_argument(
        "--windows",
        type=sizes,
        metavar="DAYS[,DAYS...]",
        help="the metrics of the last days up to each day, as in --windows 1,7,28; needs --over",
    )
    parser.add_argument("--over", metavar="COLUMN", help="the slice column of the day that windows go over")


def add_overwrite(parser: ArgumentParser) -> None:
    """Add the switch that lets a command replace what is at the paths that it writes to."""
    parser.add_argument("--overwrite", action="store_true", help="replace what is at the paths that are written")


def sets_of(given: Namespace, configured: tuple[tuple[str, ...], ...]) -> tuple[tuple[str, ...], ...]:
    """The grouping sets of `--by`, or where it is not given those of the config."""
    return grouping_sets([columns.split(",") for columns in given.by]) if given.by else configured


def windows_of(given: Namespace) -> Windows | None:
    """The windows of `--windows` and `--over`; SpecError where only one of them is given."""
    if (given.windows is None) != (given.over is None):
        present, absent = ("--over", "--windows") if given.windows is None else ("--windows", "--over")
        raise SpecError(
            f"windows need their sizes and the column of the day, got {present} without {absent}: give both"
        )
    return None if given.windows is None else Windows(given.over, given.windows)


def mode_of(given: Namespace) -> Mode:
    """What becomes of a table that is there already, by `--overwrite`."""
    return "overwrite" if given.overwrite else "errorifexists"


def count(text: str) -> int:
    """Return a text as a whole number, 0 or more; raise ArgumentTypeError for any other text."""
    if not (text.isascii() and text.isdigit()):
        raise ArgumentTypeError(f"it must be a whole number, 0 or more, got {text!r}")
    return int(text)


def sizes(text: str) -> tuple[int, ...]:
    """Return a text as sizes of windows, in days: 1,7,28 or 1d,7d,28d; raise ArgumentTypeError for any other text."""
    return tuple(count(part.strip().removesuffix("d")) for part in text.split(","))
