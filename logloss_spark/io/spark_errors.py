"""Translate Spark's errors into ours, one line each: the rule, what Spark got, what to do, with its exit code.

Spark reports one condition in several ways: as a PySparkException, or as a Py4JJavaError whose text begins with the
Java class, followed by the stack of Java or, over Connect, of the server. All of them name the condition in brackets,
as in `[PATH_NOT_FOUND]`; so this module reads the text.
"""

import re
from urllib.parse import unquote

from pyspark.errors import PySparkException

from logloss_spark.errors import DataError, LogLossError, MissingInputError, SpecError, UnreadableError
from logloss_spark.io.lakes import advice_on_jars

_FILE = r"reading file (?P<file>.+?)\.(?=\s)"

KNOWN: tuple[tuple[str, type[LogLossError], str], ...] = (
    (
        r"ModuleNotFoundError: No module named '(?P<module>[\w.]+)'",
        SpecError,
        "a Python worker must have numpy, pandas, pyarrow and what a loss of your own imports, and lacks {module}: "
        "install it where the workers run, or set PYSPARK_PYTHON to a Python that has it",
    ),
    (
        r"\[FAILED_READ_FILE\.PARQUET_COLUMN_DATA_TYPE_MISMATCH\].*?" + _FILE + r".*?column \[(?P<column>.*?)\]\. "
        r"Expected Spark type (?P<expected>[^.]+), actual Parquet type (?P<actual>\w+)",
        DataError,
        "all files of a table must hold a column as the same type, and column '{column}' is {expected} in the table "
        "but {actual} in {file}: rewrite that file, or leave its partition out with `where`",
    ),
    (
        r"\[FAILED_READ_FILE\.FILE_NOT_EXIST\].*?" + _FILE,
        MissingInputError,
        "a table must not change while it is read, and {file} is gone: run again when its writer is done",
    ),
    (
        r"\[FAILED_READ_FILE[.\w]*\].*?" + _FILE,
        DataError,
        "every file of a table must be whole and of one format, and {file} cannot be read: "
        "it is truncated, corrupt or of another format; restore it or take it away",
    ),
    (
        r"^\[Errno \d+\] (?:Connection|Broken pipe)"
        r"|Answer from Java side is empty|trying to connect to the Java server|Error while sending or receiving"
        r"|SparkContext (?:was|has been) shut ?down|stopped SparkContext"
        r'|value of "org\.apache\.spark\.Spark(?:Context|Env)[^"]*" is null|RejectedExecutionException',
        LogLossError,
        "Java runs as long as a job does, and it has ended: it was terminated, or ran out of memory "
        "(spark.driver.memory)",
    ),
    (
        r"No space left on device|Disk quota exceeded",
        LogLossError,
        "a disk must have room for what is written, and one is full, that of the path or of spark.local.dir: "
        "make room, or name another path",
    ),
    (
        r"\[CANNOT_MERGE_SCHEMAS\].*?Initial schema:\s*(?P<first>.+?)\s*Schema that.*?schema:\s*(?P<second>.+?)\. SQL",
        DataError,
        "all files of a table must hold a column as the same type, and some hold {first}, others {second}: "
        "rewrite those that differ",
    ),
    (
        r"\[UNABLE_TO_INFER_SCHEMA\].*?for (?P<format>\w+)",
        MissingInputError,
        "a table has a file that tells its columns, and there is no {format} file with any content: "
        "check the path and the format",
    ),
    (
        r"\[PATH_NOT_FOUND\][^:]*: (?P<file>.+?)\.?(?: SQLSTATE|\n|$)",
        MissingInputError,
        "a path that is read must exist, and {file} does not: check the path, and the run date if it has one",
    ),
    (
        r"\[TABLE_OR_VIEW_NOT_FOUND\].*?view (?P<table>\S+) cannot be found",
        MissingInputError,
        "a table that is read must be in the catalog, and {table} is not: check its name, or read a path instead",
    ),
    (
        r"\[DATA_SOURCE_NOT_FOUND\].*?source: (?P<format>\S+?)\.(?=\s)",
        SpecError,
        "a format must be one that this Spark knows, and '{format}' is not: "
        "check its spelling, or start Spark with the package that brings it",
    ),
    (
        r"(?:No FileSystem for scheme|ClassNotFoundException: Class) (?P<system>\S*:?\S+)",
        SpecError,
        "a path must be on a file system that this Spark knows, and it lacks {system}: "
        "check the path, or start Spark with the package that brings it",
    ),
)
"""A pattern of Spark's text, the class of our error, and our message. The first pattern that matches counts."""

OF_WORKERS = {kind.__name__: kind for kind in (DataError, MissingInputError, SpecError)}
"""Our errors that a worker raises. Spark reports them as the last line of a Python stack."""

BY_STATE = {"42": SpecError, "22": DataError, "KD": DataError}
"""The class of any other error, by the first digits of its SQLSTATE: a failed analysis, a value, a data source."""


def from_spark(error: BaseException) -> bool:
    """Whether an exception comes from Spark. Only PySpark connects to anything here, with sockets of its own, too."""
    return isinstance(error, PySparkException | ConnectionError) or type(error).__module__.startswith("py4j.")


def translated(error: BaseException) -> LogLossError:
    """Return an error of Spark's as one of ours, of one line.

    Parameters
    ----------
    error : exception
        One for which `from_spark` holds.

    Returns
    -------
    LogLossError: DataError, SpecError, or its base where all that is known is that Spark failed
    """
    text = str(error)
    ours = re.search(r"^logloss_spark\.errors\.(\w+): (.+)$", text, re.MULTILINE)
    if ours and ours[1] in OF_WORKERS:
        return OF_WORKERS[ours[1]](ours[2])
    if ours and ours[1] == UnreadableError.__name__:  # of a state that Spark adds up: it is too late for another engine
        return SpecError(f"workers read the files of this table, and {ours[2]}: take the engine native")
    needed = advice_on_jars(text)
    if needed:
        return SpecError(needed)
    for pattern, kind, line in KNOWN:
        found = re.search(pattern, text, re.DOTALL)
        if found:
            words = {name: path_of(word) for name, word in found.groupdict().items() if word is not None}
            return kind(line.format_map(words))
    state = re.search(r"SQLSTATE: (\w\w)", text)
    kind = BY_STATE.get(state[1], LogLossError) if state else LogLossError
    return kind(said(error))


def said(error: BaseException) -> str:
    """Return what Spark says went wrong: its first sentence, without Java's names, stacks and plans.

    Examples
    --------
    >>> said(ValueError("[PARSE_SYNTAX_ERROR] Syntax error at or near 'x'. SQLSTATE: 42601 (line 1, pos 3)"))
    "Syntax error at or near 'x'"
    """
    text = str(error).strip()
    python = re.findall(r"^\w[\w.]*(?:Error|Exception): .+$", text.partition("Driver stacktrace")[0], re.MULTILINE)
    if "Traceback (most recent call last)" in text and python:
        return str(python[-1]).strip()
    caused = re.findall(r"^Caused by: (.+)$", text, re.MULTILINE)
    if "[INTERNAL_ERROR]" in text and caused:  # Spark calls it a bug of its own, whatever the cause
        text = caused[-1]
    text = re.split(r"\n\s*at |\n\nJVM stacktrace|\n== SQL|;?\n['+]|\s*\(?SQLSTATE:", text)[0]
    text = re.sub(r"^An error occurred while calling \S+\.\s*: ", "", text)
    text = re.sub(r"^Job aborted.*?\(TID.*?\) \(.*?\): ", "", re.sub(r"^\(?[\w.$]+(?:Exception|Error)\)?:? ", "", text))
    text = re.sub(r"^(?:\(?[\w.$]+(?:Exception|Error)\)?:? |\[[A-Z0-9_.]+\] )*", "", text)
    return " ".join(text.split()).rstrip(". ") or type(error).__name__


def path_of(uri: str) -> str:
    """Return a file's address as a person writes it: `file:///a%20b` is `/a b`."""
    return re.sub(r"^file:/+", "/", unquote(uri))
