"""The command line on real files: exit codes, one line for each error, and nothing written by a job that fails."""

import io
import json
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pyspark
import pytest
from pyspark.sql import SparkSession

import logloss_spark as ls
from logloss_spark.app.cli import main
from logloss_spark.app.commands import COMMANDS
from logloss_spark.app.reading import renamed
from tests.quick import quick

ROOT = Path(__file__).parents[2]
OUTPUTS = ("metrics", "reliability", "state", "invalid")
ROWS = 1000
BY_DAY = 'evaluate.by=[["day"]]'


def write(file: Path, **columns: Sequence[object]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    if columns:
        pq.write_table(pa.table(columns), file)


def truncate(file: Path) -> None:
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


@pytest.fixture
def job(tmp_path: Path, spark: SparkSession, capsys: pytest.CaptureFixture[str]) -> SimpleNamespace:
    """Predictions of two days, one label missing on the second; a config that writes metrics; and how to run it."""
    predictions = tmp_path / "predictions"
    for day in (1, 2):
        labels = [row % 2 for row in range(ROWS)]
        labels[0] = None if day == 2 else 0
        write(predictions / f"day={day}" / "part.parquet", y=labels, p=[(row + 0.5) / ROWS for row in range(ROWS)])
    config = tmp_path / "evaluate.toml"
    config.write_text(
        f'[input]\npath = "{predictions}"\n[columns]\nlabel = "y"\nprediction = "p"\n'
        f'[evaluate]\n[output]\nmetrics = "{tmp_path / "out" / "metrics"}"\n'
    )

    def run(
        *overrides: str, outputs: Sequence[str] = (), command: str = "evaluate", arguments: Sequence[str] = ()
    ) -> SimpleNamespace:
        paths = [f"output.{name}={tmp_path / 'out' / name}" for name in outputs]
        sets = [word for override in (*paths, *overrides) for word in ("--set", override)]
        capsys.readouterr()
        return run_states(command, "--config", config, *sets, *arguments)

    def run_states(*arguments: object) -> SimpleNamespace:
        code = main([str(argument) for argument in arguments])
        said = capsys.readouterr()
        return SimpleNamespace(code=code, out=said.out, err=said.err)

    return SimpleNamespace(
        run=run, run_states=run_states, predictions=predictions, out=tmp_path / "out", folder=tmp_path
    )


@pytest.mark.connect
def test_a_job_prints_a_table_and_writes_what_is_named(job: SimpleNamespace, spark: SparkSession) -> None:
    ran = job.run(BY_DAY, "evaluate.engine=native", outputs=["reliability", "state"])
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.splitlines()[-7:] == [
        "1 row of 2,000 not scored: null_label 1",
        f"read 2,000 rows of {job.predictions}, scored 1,999",
        "engine native: it was asked for",
        "took auc and calibration from the rows themselves",
        *[f"wrote {name} to {job.out / name}" for name in OUTPUTS[:3]],
    ]
    assert {path.name for path in job.out.iterdir()} == {"metrics", "reliability", "state"}
    metrics = {row["slice"]: row["n"] for row in spark.read.parquet(str(job.out / "metrics")).collect()}
    assert metrics == {"all": 1999, "day=1": 1000, "day=2": 999}
    stored = ls.read_state(str(job.out / "state")).metrics(by=[["day"]]).orderBy("slice").collect()
    p = (np.arange(ROWS) + 0.5) / ROWS
    loss = -np.log(np.where(np.arange(ROWS) % 2, p, 1 - p))
    wanted = [np.concatenate([loss, loss[1:]]).mean(), loss.mean(), loss[1:].mean()]
    # 1e-12 relative: sums are added in another order.
    assert [row["log_loss"] for row in stored] == pytest.approx(wanted, rel=1e-12)


@pytest.mark.slow
def test_labels_that_are_no_classes_end_a_job_before_it_writes(job: SimpleNamespace) -> None:
    write(job.folder / "signs" / "part.parquet", y=[-1, 1, 1, -1], p=[0.1, 0.9, 0.6, 0.4])
    path = f"input.path={job.folder / 'signs'}"
    ran = job.run(path)
    assert (ran.code, ran.out, ran.err.count("\n")) == (2, "", 1)
    assert "got labels -1 and 1: give classes=(-1, 1)" in ran.err
    assert not job.out.exists()
    assert job.run(path, "evaluate.classes=[-1, 1]").code == 0


def test_quarantined_rows_are_whole_and_say_why(job: SimpleNamespace, spark: SparkSession) -> None:
    assert job.run("evaluate.on_invalid=quarantine", outputs=["invalid"]).code == 0
    row = spark.read.parquet(str(job.out / "invalid")).collect()
    assert [entry.asDict() for entry in row] == [{"y": None, "p": 0.5 / ROWS, "day": 2, "row_status": "null_label"}]


@pytest.mark.slow
def test_a_job_without_invalid_rows_writes_an_empty_quarantine(job: SimpleNamespace, spark: SparkSession) -> None:
    assert job.run("input.where=y is not null", outputs=["invalid"]).code == 0
    assert spark.read.parquet(str(job.out / "invalid")).count() == 0


def test_only_the_metrics_that_are_named_are_kept(job: SimpleNamespace, spark: SparkSession) -> None:
    ran = job.run('evaluate.metrics=["mce"]')
    header = ran.out.splitlines()[1].split()
    assert header == ["slice", "rows", "n", "mce"]
    columns = spark.read.parquet(str(job.out / "metrics")).columns
    assert "mce" in columns
    assert "log_loss" not in columns


def test_a_job_takes_clusters_another_loss_and_what_is_exact(job: SimpleNamespace, spark: SparkSession) -> None:
    asked = ["columns.cluster=day", "evaluate.engine=pandas", "evaluate.loss=savage", "evaluate.auc=exact"]
    kept = 'evaluate.metrics=["loss", "loss_se", "auc", "auc_bound"]'
    ran = job.run(*asked, kept, outputs=["by_class"], arguments=["--json"])
    assert (ran.code, ran.err) == (0, "")
    (told,) = json.loads(ran.out)["slices"]
    assert {"loss", "loss_se", "auc", "auc_bound"} < told.keys()
    assert "brier" not in told
    found = spark.read.parquet(str(job.out / "metrics")).collect()[0]
    # Forecasts rise from 0 to 1 over labels that take turns: they know nothing.
    assert found.auc == pytest.approx(0.5, abs=0.01)
    assert (told["auc"], told["loss"]) == (found.auc, found.loss)
    assert found.auc_bound == 0
    assert found.loss == pytest.approx(1 / 3, abs=1e-3)
    assert found.loss_se > 0
    classes = spark.read.parquet(str(job.out / "by_class")).orderBy("class").collect()
    assert [(row["class"], row["n"]) for row in classes] == [("0", 999), ("1", 1000)]


@pytest.mark.slow
def test_slices_that_are_called_as_metrics_are_are_renamed_first(job: SimpleNamespace, spark: SparkSession) -> None:
    write(job.folder / "many" / "part.parquet", y=[0, 1], p=[0.25, 0.5], n=["a", "b"], bin=[1, 2], swap=[3, 4])
    rename = 'columns.rename={ n = "n_days", bin = "swap", swap = "bins" }'
    ran = job.run(f"input.path={job.folder / 'many'}", rename, 'evaluate.by=[["n_days", "swap", "bins"]]')
    assert (ran.code, ran.err) == (0, "")
    slices = {row["slice"] for row in spark.read.parquet(str(job.out / "metrics")).collect()}
    assert slices == {"all", "n_days=a/swap=1/bins=3", "n_days=b/swap=2/bins=4"}


@pytest.mark.slow
def test_every_table_has_the_run_date_and_a_weeks_states_are_read_by_it(
    job: SimpleNamespace, spark: SparkSession
) -> None:
    paths = [f"output.{name}={job.out}/{name}/run_date={{run_date}}" for name in ("metrics", "invalid", "state")]
    for day, date in enumerate(("2026-11-20", "2026-11-21"), start=1):
        ran = job.run(f"input.where=day = {day}", *paths, arguments=["--run-date", date])
        assert (ran.code, ran.err) == (0, "")
    for name in ("metrics", "invalid"):
        file = next((job.out / name / "run_date=2026-11-21").glob("*.parquet"))
        assert pq.read_schema(file).field("run_date").type == pa.date32()
    # The whole folder, in which Spark finds the date in the path, too, and its parts merged, are one state.
    states = [job.out / "state" / f"run_date=2026-11-{day}" for day in (20, 21)]
    by_date = job.run_states("metrics", *states, "--by", "run_date", "--to", job.out / "week")
    assert (by_date.code, by_date.err) == (0, "")
    expected = {"all": 1999, "run_date=2026-11-20": 1000, "run_date=2026-11-21": 999}
    assert {row["slice"]: row["n"] for row in spark.read.parquet(str(job.out / "week")).collect()} == expected
    whole = ls.read_state(str(job.out / "state")).metrics(by=[["run_date"]])
    assert {row["slice"]: row["n"] for row in whole.collect()} == expected


@pytest.mark.parametrize(
    ("names", "line"),
    [
        ({"nn": "n_days"}, "got 'nn'; it has: id, n. Did you mean 'n'?"),
        ({"n": "id"}, "got 'id' for two"),
        ({"n": "ID"}, "got 'ID' for two"),
        ({"n": "x", "id": "X"}, "got 'x' for two"),
    ],
)
def test_a_name_that_is_absent_or_would_stand_twice_is_refused(
    spark: SparkSession, names: dict[str, str], line: str
) -> None:
    with pytest.raises(ls.SpecError, match=re.escape(line)):
        renamed(spark.range(1).selectExpr("id", "id as n"), names)


@pytest.mark.slow
def test_a_table_of_many_slices_is_printed_in_part(job: SimpleNamespace, spark: SparkSession) -> None:
    write(job.folder / "many" / "part.parquet", y=[0, 1] * 250, p=[0.25, 0.5] * 250, user=list(range(500)))
    ran = job.run(f"input.path={job.folder / 'many'}", 'evaluate.by=[["user"]]')
    assert sum(line.startswith("user=") for line in ran.out.splitlines()) == 20
    assert "largest log_loss first; shown: 20 of 500 slices by user" in ran.out
    assert spark.read.parquet(str(job.out / "metrics")).count() == 501


def test_a_table_without_a_row_that_can_be_scored_is_no_error(job: SimpleNamespace) -> None:
    ran = job.run("input.where=y is null")
    assert (ran.code, ran.err) == (0, "")


@pytest.mark.slow
def test_overwriting_replaces_the_tables_of_an_earlier_run(job: SimpleNamespace, spark: SparkSession) -> None:
    assert job.run().code == 0
    assert job.run("output.mode=overwrite", "input.where=day = 1").code == 0
    assert spark.read.parquet(str(job.out / "metrics")).where("slice = 'all'").first().rows == ROWS


@dataclass(frozen=True)
class Bad:
    """One bad input: the overrides that ask for it, the exit code, a part of the line, and what is made before."""

    overrides: str
    code: int
    line: str
    made: dict[str, dict[str, Sequence[object]]] = field(default_factory=dict)
    truncated: str = "no file"


BAD = {
    "missing column": Bad(
        "columns.label=Y_", 2, "label column 'Y_' is not in the table; it has: y, p, day. Did you mean 'y'?"
    ),
    "wrong type": Bad(
        "input.path={folder}/words",
        2,
        "prediction column 'p' must hold numbers, arrays of numbers or ML vectors, got string",
        made={"words": {"y": [0, 1], "p": ["low", "high"]}},
    ),
    "unknown key": Bad("columns.wieght=w", 2, "unknown key 'wieght' in [columns]; it has: rename, label, prediction"),
    "bad filter": Bad("input.where=p >", 2, "where must be a condition in SQL over the columns, got 'p >'"),
    "absent column in the filter": Bad("input.where=dya = 1", 2, "`dya` cannot be resolved. Did you mean"),
    "filter that is a number": Bad("input.where=p + 1", 2, "is not a boolean"),
    "no rows": Bad(
        "input.where=day = 3",
        5,
        "[input] must find rows, and {folder}/predictions has none for which day = 3: run again when they are there",
    ),
    "a folder without a file": Bad(
        "input.path={folder}/empty", 5, "a table has a file that tells its columns, and there is no", made={"empty": {}}
    ),
    "absent path": Bad("input.path=no/such", 5, "error: a path that is read must exist, and "),
    "pattern without a match": Bad("input.path=no/{{a,b}}/*", 5, "no/{a,b}/* does not"),
    "unknown file system": Bad("input.path=foo://a/b", 2, 'it lacks "foo"'),
    "unknown format": Bad("input.format=parqet", 2, "one that this Spark knows, and 'parqet' is not"),
    "wrong option": Bad("input.options.mergeSchema=maybe", 2, "with the options mergeSchema='maybe'"),
    "text in one partition": Bad(
        "evaluate.engine=native",
        4,
        "column 'p' is double in the table but BINARY in {folder}/predictions/day=3/part.parquet",
        made={"predictions/day=3": {"y": [0, 1], "p": ["low", "high"]}},
    ),
    "whole numbers in one partition": Bad(
        "evaluate.engine=pandas",
        4,
        "column 'p' is double in the table but INT64 in {folder}/predictions/day=3/part.parquet",
        made={"predictions/day=3": {"y": [0, 1], "p": [0, 1]}},
    ),
    "schemas that do not merge": Bad(
        "input.options.mergeSchema=true; evaluate.engine=native",
        4,
        'some hold "STRUCT<y: BIGINT, p: DOUBLE>", others "STRUCT<y: BIGINT, p: STRING>"',
        made={"predictions/day=3": {"y": [0, 1], "p": ["low", "high"]}},
    ),
    "truncated file": Bad(
        "evaluate.engine=native",
        4,
        "{folder}/predictions/day=2/part.parquet cannot be read: it is truncated, corrupt or of another format",
        truncated="predictions/day=2/part.parquet",
    ),
    "truncated file, read for Python": Bad(
        "evaluate.engine=pandas",
        4,
        "{folder}/predictions/day=2/part.parquet cannot be read",
        truncated="predictions/day=2/part.parquet",
    ),
    "truncated file that tells the columns": Bad(
        "evaluate.engine=native",
        4,
        "{folder}/predictions/day=1/part.parquet cannot be read",
        truncated="predictions/day=1/part.parquet",
    ),
    "vectors of another length": Bad(
        "input.path={folder}/vectors",
        4,
        "there are 2 classes (0, 1) but 3 entries in column 'p'",
        made={"vectors": {"y": [0, 1], "p": [[0.1, 0.2, 0.7]] * 2}},
    ),
    "intolerable rows": Bad(
        "evaluate.on_invalid=fail",
        4,
        "the share of invalid rows must be at most 0, got 1 of 2,000 rows: null_label 1; "
        "correct them, or set tolerated_share = 0.0005",
    ),
    "output that is there": Bad(
        "input.path={folder}/predictions/day=1",
        2,
        "an output must not exist where mode is errorifexists, and state does: {folder}/out/state",
        made={"out/state": {"y": [0]}},
    ),
    "output in the input": Bad(
        "output.metrics={folder}/predictions/metrics", 2, "must not lie inside what is read, nor around it, and metrics"
    ),
    "output in a folder of a pattern": Bad(
        "input.path={folder}/out/*/day=*; output.mode=overwrite",
        2,
        "must not lie inside what is read, nor around it, and metrics does",
        made={"out/metrics/day=1": {"y": [0], "p": [0.5]}},
    ),
    "outputs in each other": Bad(
        "output.metrics={folder}/out/state/metrics", 2, "must not lie inside each other, and metrics and state do"
    ),
}
"""Of every kind that the command line refuses, at least one."""

OVER_CONNECT = {"absent path", "bad filter", "text in one partition", "truncated file, read for Python"}
SLOW = {
    "no rows",
    "whole numbers in one partition",
    "truncated file",
    "truncated file, read for Python",
    "vectors of another length",
    "unknown format",
    "output in a folder of a pattern",
}
"""Those whose like is told by another: a file that cannot be read, rows that cannot be scored, a path in a path."""


def marks(name: str) -> list[pytest.MarkDecorator]:
    return [pytest.mark.connect] * (name in OVER_CONNECT) + [pytest.mark.slow] * (name in SLOW)


@pytest.mark.parametrize("bad", [pytest.param(bad, id=name, marks=marks(name)) for name, bad in BAD.items()])
def test_bad_input_is_one_line_and_writes_nothing(job: SimpleNamespace, bad: Bad) -> None:
    for folder, columns in bad.made.items():
        write(job.folder / folder / "part.parquet", **columns)
    if (job.folder / bad.truncated).exists():
        truncate(job.folder / bad.truncated)
    before = sorted(job.folder.rglob("*"))
    ran = job.run(*[override.format(folder=job.folder) for override in bad.overrides.split("; ")], outputs=OUTPUTS)
    assert bad.line.replace("{folder}", str(job.folder)) in ran.err
    assert ran.code == bad.code
    assert ran.err.startswith("logloss-spark: error: ")
    assert ran.err.count("\n") == 1
    assert "Traceback" not in ran.err
    assert ran.out == ""
    assert sorted(job.folder.rglob("*")) == before


def test_a_table_that_is_not_in_the_catalog_is_named(job: SimpleNamespace) -> None:
    ran = job.run("input.path=", "input.table=no.such")
    assert ran.code == 5
    assert "a table that is read must be in the catalog, and `no`.`such` is not" in ran.err


@pytest.mark.slow
def test_a_table_of_the_catalog_is_read_and_where_it_lies_is_safe(job: SimpleNamespace, spark: SparkSession) -> None:
    place = job.predictions / "day=1"
    spark.sql(f"create table predictions using parquet location '{place}'")
    try:
        read = job.run("input.path=", "input.table=predictions")
        refused = job.run("input.path=", "input.table=predictions", "output.mode=overwrite", f"output.state={place}")
    finally:
        spark.sql("drop table predictions")
    assert "read 1,000 rows of predictions, scored 1,000" in read.out
    assert refused.code == 2
    assert "must not lie inside what is read" in refused.err


def test_where_no_folder_can_be_made_is_told_before_any_work(job: SimpleNamespace) -> None:
    (job.folder / "file").write_text("a file is no folder")
    ran = job.run(f"output.metrics={job.folder / 'file' / 'metrics'}", outputs=OUTPUTS)
    assert ran.code == 2
    assert f"metrics cannot be: {job.folder / 'file' / 'metrics'}: File exists; name a path in a folder" in ran.err
    assert ran.err.count("\n") == 1
    assert not job.out.exists()


@pytest.mark.parametrize(
    "arguments", [[], ["evalute"], ["evaluate"], ["evaluate", "--config"], ["evaluate", "--colour"]]
)
def test_wrong_arguments_are_one_line(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    said = capsys.readouterr()
    assert said.err.startswith("logloss-spark: error: ")
    assert said.err.count("\n") == 1


def test_a_command_that_is_misspelt_is_guessed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evalute"]) == 2
    assert capsys.readouterr().err.endswith("got 'evalute'. Did you mean 'evaluate'?\n")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["runs", "--config", "x.toml", "--las", "5"], "unrecognized arguments: --las 5; see logloss-spark --help"),
        (["gate", "--config", "no_gate.toml", "state"], "the section [gate] is missing"),
    ],
)
def test_what_is_shortened_or_missing_is_refused_before_spark_starts(
    arguments: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("no_gate.toml").write_text('[output]\nstate = "out"\n')
    assert main(arguments) == 2
    assert capsys.readouterr().err.endswith(f"{said}\n")


def test_a_crash_is_one_line_too_and_its_stack_comes_when_asked_for(
    job: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def crash(*_: object) -> None:
        raise ZeroDivisionError("division\nby zero")

    monkeypatch.setitem(COMMANDS, "evaluate", replace(COMMANDS["evaluate"], run=crash))
    ran = job.run()
    assert (ran.code, ran.err) == (
        1,
        "logloss-spark: error: ZeroDivisionError: division by zero; --traceback shows where\n",
    )
    assert "Traceback (most recent call last)" in job.run(arguments=["--traceback"]).err


def test_ctrl_c_ends_as_a_shell_expects(job: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setitem(COMMANDS, "evaluate", replace(COMMANDS["evaluate"], run=interrupt))
    ran = job.run()
    assert (ran.code, ran.err) == (
        130,
        "logloss-spark: interrupted: nothing was written; the old tables are whole\n",
    )


def test_help_starts_no_java() -> None:
    program = "import sys; from logloss_spark.app.cli import main\nmain(['--help'])"
    env = {"PATH": "", "PYTHONPATH": str(ROOT)}  # a Java would not be found
    ran = subprocess.run([sys.executable, "-c", program], env=env, capture_output=True, text=True)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert "evaluate a table of predictions" in ran.stdout


@pytest.mark.slow
def test_spark_submit_ends_with_our_exit_code_and_without_a_stack_trace(job: SimpleNamespace) -> None:
    """The one slow test: a Spark of its own, on a truncated file."""
    truncate(job.predictions / "day=2" / "part.parquet")
    env = {key: value for key, value in os.environ.items() if not key.startswith(("SPARK_", "PYSPARK_"))}
    env |= {"PYTHONPATH": str(ROOT), "SPARK_HOME": pyspark.__path__[0], "SPARK_CONF_DIR": str(ROOT / "conf")}
    env |= {"PYSPARK_DRIVER_PYTHON": sys.executable, "PYSPARK_PYTHON": sys.executable}
    submit = [os.path.join(env["SPARK_HOME"], "bin", "spark-submit"), str(ROOT / "jobs" / "evaluate.py")]
    ran = subprocess.run(
        [*submit, "--config", str(job.folder / "evaluate.toml")],
        env=env,
        cwd=job.folder,
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 4
    said = ran.stdout + ran.stderr  # spark-submit makes stdout of a Python program's stderr
    assert len([line for line in said.splitlines() if "day=2/part.parquet cannot be read" in line]) == 1
    assert "Traceback" not in said
    assert "\tat " not in said
    assert not job.out.exists()


def test_an_input_of_links_is_not_overwritten_where_they_lead(job: SimpleNamespace) -> None:
    (job.folder / "links").mkdir()
    for day in (1, 2):
        (job.folder / "links" / f"day={day}").symlink_to(job.predictions / f"day={day}")
    ran = job.run(f"input.path={job.folder}/links", f"output.metrics={job.predictions}", "output.mode=overwrite")
    assert ran.code == 2
    assert "must not lie inside what is read, nor around it, and metrics does" in ran.err
    assert len(list(job.predictions.rglob("*.parquet"))) == 2


def test_a_table_that_where_asks_is_not_overwritten(job: SimpleNamespace, spark: SparkSession) -> None:
    spark.range(1, 2).write.parquet(str(job.out / "metrics"))
    where = f"input.where=day in (select id from parquet.`{job.out}/metrics`)"
    ran = job.run(where, "output.mode=overwrite")
    assert ran.code == 2
    assert "must not lie inside what is read, nor around it, and metrics does" in ran.err
    assert spark.read.parquet(str(job.out / "metrics")).columns == ["id"]


def test_what_is_not_a_table_is_not_overwritten(job: SimpleNamespace) -> None:
    (job.out / "metrics").mkdir(parents=True)
    (job.out / "metrics" / "thesis.txt").write_text("all of it")
    ran = job.run("output.mode=overwrite")
    assert (ran.code, (job.out / "metrics" / "thesis.txt").read_text()) == (2, "all of it")
    assert ran.err.count("\n") == 1
    assert f"metrics is neither: {job.out / 'metrics'} holds thesis.txt" in ran.err


def test_metrics_are_written_as_csv_and_a_state_is_not(job: SimpleNamespace, spark: SparkSession) -> None:
    ran = job.run("output.format=csv", 'output.options={ sep = ";" }', outputs=["reliability", "invalid"])
    assert (ran.code, ran.err) == (0, "")
    written = spark.read.options(header=True, sep=";").csv(str(job.out / "metrics"))
    assert [row["slice"] for row in written.collect()] == ["all"]
    refused = job.run("output.format=csv", outputs=["state"])
    assert refused.code == 2
    assert "a state must be stored in a format that keeps its types, got csv" in refused.err


def test_no_secret_is_printed(job: SimpleNamespace, tmp_path: Path) -> None:
    options = (
        '{ user = "me", password = "hush!", "fs.key" = "hush!2", url = "jdbc:none://me:hush!@host/x?token=hush!" }'
    )
    for said in (
        job.run("input.format=jdbc", f"input.options={options}", arguments=["--traceback"]),
        job.run('input.options.password="hush!'),
        job.run(f"input.options={options[:-2]}"),
        job.run(f"input.options={options}", 'input.options.list=["hush!"]'),
        job.run(arguments=["input.options.password=hush!"]),
    ):
        assert said.code in (1, 2)
        assert "hush" not in said.err + said.out
        assert said.err.splitlines()[-1].startswith("logloss-spark: error: ")
    config = tmp_path / "evaluate.toml"
    config.write_text(
        config.read_text().replace("[columns]", 'format = "jdbc"\noptions = { pwd = "hush!", k = [1] }\n[columns]')
    )
    assert "hush" not in job.run().err


@pytest.mark.parametrize("stream", quick(["ascii", "full", "closed"], "ascii", "full"))
def test_what_was_written_stands_whatever_becomes_of_the_report(
    job: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, stream: str
) -> None:
    (job.folder / "prédictions").symlink_to(job.predictions)
    printed = io.BytesIO()
    with open("/dev/full", "w", encoding="utf-8") as full:
        ascii_only = io.TextIOWrapper(printed, encoding="ascii", write_through=True)
        monkeypatch.setattr(sys, "stdout", {"ascii": ascii_only, "full": full, "closed": None}[stream])
        ran = job.run(f"input.path={job.folder}/prédictions", 'evaluate.metrics=["n_eff"]')
    assert ran.code == 0
    assert (job.out / "metrics" / "_SUCCESS").exists()
    why = {"full": "No space left on device", "closed": "it is closed"}
    if stream == "ascii":
        assert r"/pr\xe9dictions, scored 1,999" in printed.getvalue().decode("ascii")
        assert ran.err == ""
    else:
        line = f"logloss-spark: the report cannot be printed on stdout: {why[stream]}; what was written stands\n"
        assert ran.err == line


@pytest.mark.slow
def test_odd_paths_are_read_and_written(job: SimpleNamespace, spark: SparkSession) -> None:
    odd = job.folder / "a [1] 100% {b,c} ü\\d"
    job.predictions.rename(odd)
    path = str(odd).replace("\\", "\\\\")
    for _ in range(2):
        ran = job.run(f'input.path="{path}"', f'output.metrics="{path}-out"', "output.mode=overwrite")
        assert (ran.code, ran.err) == (0, "")
    assert "read 2,000 rows" in ran.out
    assert Path(f"{odd}-out", "_SUCCESS").exists()
