"""The commands that read stored states: they write where they are told to, and nowhere else."""

import html
import json
import shlex
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from pyspark.sql import SparkSession

import logloss_spark as ls
from logloss_spark.app.cli import main
from tests.quick import slow

DAYS = ("mon", "tue")


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory, spark: SparkSession) -> Path:
    """A folder with the states of two days, of 2 and 3 rows, by country."""
    folder = tmp_path_factory.mktemp("states of days")
    rows = [
        ("mon", "fr", 1, 0.9),
        ("mon", "de", 0, 0.4),
        ("tue", "fr", 1, 0.2),
        ("tue", "fr", 0, 0.1),
        ("tue", "de", 1, 0.5),
    ]
    for day, of_day in pd.DataFrame(rows, columns=["day", "country", "y", "p"]).groupby("day"):
        of_day.to_parquet(folder / f"{day}.parquet")
        with ls.evaluate(folder / f"{day}.parquet", label="y", prediction="p", by=[["country"]]) as evaluation:
            evaluation.state.save(str(folder / str(day)))
    return folder


@pytest.fixture
def run(
    stored: Path, tmp_path: Path, spark: SparkSession, capsys: pytest.CaptureFixture[str]
) -> Callable[..., SimpleNamespace]:
    """How to run a command on states, and the config of the evaluation that stored them, with outputs of its own."""
    (tmp_path / "daily.toml").write_text(
        f'[input]\npath = "p/dt={{run_date}}"\n[columns]\nlabel = "y"\nprediction = "p"\n'
        f'[evaluate]\nby = [["country"]]\nmetrics = ["brier"]\n'
        f'[output]\nmetrics = "{tmp_path}/daily/dt={{run_date}}"\nstate = "{stored}/mon"\nmode = "overwrite"\n'
    )

    def run(*arguments: object) -> SimpleNamespace:
        capsys.readouterr()
        code = main([str(argument) for argument in arguments])
        said = capsys.readouterr()
        return SimpleNamespace(code=code, out=said.out, err=said.err)

    return run


@pytest.mark.connect
def test_metrics_of_states_use_a_config_and_write_none_of_its_outputs(
    run: Callable[..., SimpleNamespace], stored: Path, tmp_path: Path
) -> None:
    before = {file: file.read_bytes() for file in (*stored.rglob("*.parquet"), *tmp_path.rglob("*.toml"))}
    ran = run("metrics", "--config", tmp_path / "daily.toml", stored / "mon", stored / "tue")
    assert (ran.code, ran.err) == (0, "")
    title, header, everything, *_ = ran.out.splitlines()
    assert title == f"metrics of {stored / 'mon'}, {stored / 'tue'}"
    assert header.split() == ["slice", "rows", "n", "brier"]
    # ((1 - .9)² + .4² + (1 - .2)² + .1² + .5²) / 5
    assert everything.split() == ["all", "5", "5", "0.2140"]
    assert "country=fr" in ran.out
    assert "wrote" not in ran.out
    assert {file: file.read_bytes() for file in (*stored.rglob("*.parquet"), *tmp_path.rglob("*.*"))} == before


def test_metrics_of_states_need_no_config_and_go_where_they_are_sent(
    run: Callable[..., SimpleNamespace], stored: Path, tmp_path: Path, spark: SparkSession
) -> None:
    paths = {"--to": tmp_path / "week", "--reliability": tmp_path / "reliability", "--by-class": tmp_path / "classes"}
    words = [word for pair in paths.items() for word in pair]
    ran = run("metrics", stored / "mon", stored / "tue", "--by", "country", *words)
    assert (ran.code, ran.err) == (0, "")
    assert [line for line in ran.out.splitlines() if line.startswith("wrote")] == [
        f"wrote metrics to {tmp_path / 'week'}",
        f"wrote reliability to {tmp_path / 'reliability'}",
        f"wrote by_class to {tmp_path / 'classes'}",
    ]
    found = {row["slice"]: row["n"] for row in spark.read.parquet(str(tmp_path / "week")).collect()}
    assert found == {"all": 5, "country=de": 2, "country=fr": 3}
    again = run("metrics", stored / "mon", "--to", tmp_path / "week")
    assert (again.code, "an output must not exist" in again.err) == (2, True)
    assert run("metrics", stored / "mon", "--to", tmp_path / "week", "--overwrite").code == 0
    assert spark.read.parquet(str(tmp_path / "week")).first().n == 2


@pytest.fixture(scope="module")
def week(tmp_path_factory: pytest.TempPathFactory, spark: SparkSession) -> Path:
    """The state of three days by country, the second of which is missing."""
    rows = [("2026-01-01", "fr", 1, 0.9), ("2026-01-01", "de", 0, 0.4), ("2026-01-03", "fr", 1, 0.2)]
    folder = tmp_path_factory.mktemp("state")
    pd.DataFrame(rows, columns=["dt", "country", "y", "p"]).to_parquet(folder / "rows.parquet")
    ls.evaluate(folder / "rows.parquet", "y", "p", by=[["dt", "country"]]).state.save(str(folder / "week"))
    return folder / "week"


def test_windows_end_on_each_day_and_the_last_ones_are_shown(
    run: Callable[..., SimpleNamespace], week: Path, tmp_path: Path, spark: SparkSession
) -> None:
    asked = (
        "metrics",
        week,
        "--windows",
        "1d,3d",
        "--over",
        "dt",
        "--by",
        "country",
        "--set",
        'evaluate.metrics=["brier"]',
    )
    ran = run(*asked, "--to", tmp_path / "windows", "--long")
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.splitlines() == [
        f"metrics of {week}: windows of 1, 3 days that end on 2026-01-03",
        "slice      window days rows n  brier",
        "all             1    1    1 1 0.6400",
        "all             3    2    3 3 0.2700",
        "country=fr      1    1    1 1 0.6400",
        "country=fr      3    2    2 2 0.3250",
        "country=de      3    1    1 1 0.1600",
        "largest log_loss first",
        f"read 1 state: {week}",
        f"wrote metrics to {tmp_path / 'windows'}",
    ]
    found = spark.read.parquet(str(tmp_path / "windows"))
    assert found.columns == [
        "dt",
        "window",
        "days",
        "country",
        "slice",
        "grouping",
        "metric",
        *("value", "low", "high", "se"),
    ]
    of_fr = found.where("metric = 'brier' AND slice = 'country=fr'").collect()
    assert {(row.dt, row.window): round(row.value, 4) for row in of_fr} == {
        ("2026-01-01", 1): 0.01,
        ("2026-01-01", 3): 0.01,
        ("2026-01-03", 1): 0.64,
        ("2026-01-03", 3): 0.325,
    }
    configured = ("--set", 'evaluate.by=[["dt"], ["dt", "country"]]')  # without dt, which the windows go over
    document = json.loads(run(*asked[:6], *configured, "--json").out)
    assert document["counts"] == {"states": 1, "missing": 0, "read": 3, "scored": 3}
    assert [(row["slice"], row["window"], row["dt"]) for row in document["slices"][:3]] == [
        ("all", 1, "2026-01-03"),
        ("all", 3, "2026-01-03"),
        ("country=fr", 1, "2026-01-03"),
    ]


@pytest.mark.connect
def test_merged_states_are_the_state_of_all_rows(
    run: Callable[..., SimpleNamespace], stored: Path, tmp_path: Path, spark: SparkSession
) -> None:
    ran = run("merge", stored / "mon", stored / "tue", "--to", tmp_path / "both")
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.splitlines() == [
        f"read 2 states: {stored / 'mon'}, {stored / 'tue'}",
        f"wrote state to {tmp_path / 'both'}",
    ]
    metrics = ls.read_state(str(tmp_path / "both")).metrics().first()
    assert (metrics.n, metrics.brier) == (5, pytest.approx(0.214, abs=1e-12))


def test_drift_of_states_is_told_and_written_where_it_is_sent(
    run: Callable[..., SimpleNamespace], stored: Path, tmp_path: Path, spark: SparkSession
) -> None:
    states = {day: ls.read_state(str(stored / day)) for day in DAYS}
    moved = ls.drift(states["mon"], states["tue"], by=[["country"]])
    ran = run("drift", stored / "mon", stored / "tue", "--by", "country", "--to", tmp_path / "drift")
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.splitlines() == [
        *str(moved).splitlines(),
        f"compared {stored / 'tue'} with {stored / 'mon'}",
        f"wrote drift to {tmp_path / 'drift'}",
    ]
    found = spark.read.parquet(str(tmp_path / "drift"))
    assert {row["slice"]: (row["reference_n"], row["current_n"]) for row in found.collect()} == {
        "all": (2, 3),
        "country=de": (1, 1),
        "country=fr": (1, 2),
    }


@pytest.mark.slow
def test_a_drift_of_states_has_a_report(run: Callable[..., SimpleNamespace], stored: Path, tmp_path: Path) -> None:
    file = tmp_path / "drift.html"
    ran = run("drift", stored / "mon", stored / "tue", "--by", "country", "--report", file, "--traceback")
    assert (ran.code, ran.err) == (0, "")
    assert f"wrote report to {file}" in ran.out.splitlines()
    document = file.read_text()
    assert "<strong>No evidence of drift</strong>" in document
    command = shlex.join(["logloss-spark", "drift", f"{stored}/mon", f"{stored}/tue", "--by", "country"])
    assert f"$ {html.escape(command)}\n</pre>" in document.replace("&#39;", "&#x27;")


@pytest.mark.parametrize(
    ("arguments", "code", "line"),
    [
        ("merge {0}/mon {0}/tue --to {0}/mon --overwrite", 2, "an output must not lie inside what is read"),
        slow(("merge {0}/mon {0}/tue --to {0} --overwrite", 2, "an output must not lie inside what is read")),
        slow(("merge {0}/mon {0}/tue --to {0}/tue/sum", 2, "an output must not lie inside what is read")),
        slow(("metrics {0}/mon --to {0}/mon/metrics", 2, "an output must not lie inside what is read")),
        (
            "metrics {0}/mon --set output.metrics=elsewhere",
            2,
            "this command reads, got output.metrics; of [output] it reads: format, options",
        ),
        ("merge {0}/mon {0}/mon --to {1}/sum", 2, "each state must be named once"),
        ("merge {0}/mon", 2, "the following arguments are required: --to"),
        ("metrics", 2, "metrics are read off states, got none: name where they are stored"),
        ("metrics {0}/mon --windows 7", 2, "windows need their sizes and the column of the day, got --windows without"),
        ("metrics {0}/mon --over day", 2, "windows need their sizes and the column of the day, got --over without"),
        (
            "metrics {0}/mon --windows 7,x --over day",
            2,
            "argument --windows: it must be a whole number, 0 or more, got 'x'",
        ),
        slow(("metrics {0}/mon --windows 7 --over day", 2, "slice column 'day' is not in the state; it has: country")),
        slow(
            ("metrics {0}/mon --windows 7 --over country", 4, "texts that windows go over must be dates as 2026-01-31")
        ),
        (
            "metrics {0}/mon --windows 7 --over country --by-class {1}/c",
            2,
            "--windows has metrics alone, got --by-class",
        ),
        ("metrics {0}/mon --long", 2, "--long is the form in which metrics are written, got no --to"),
        ("drift {0}/mon", 2, "the following arguments are required: CURRENT"),
        ("drift {0}/mon {0}/wed", 5, "{0}/wed does not: "),
        slow(("drift {0}/mon {0}/tue --to {0}/tue --overwrite", 2, "an output must not lie inside what is read")),
        slow(("metrics {0}/mon --by city", 2, "slice column 'city' is not in the state; it has: country")),
        ("metrics {0}/mon {0}/wed", 5, "a path that is read must exist, and {0}/wed does not"),
        ("metrics {0}/wed --allow-missing 1", 5, "{0}/wed does not: "),
        slow(("metrics {0}/mon {0}/wed {0}/thu --allow-missing 1", 5, "got 2 missing: {0}/wed, {0}/thu")),
        ("merge {0}/mon {0}/wed --to {1}/sum --allow-missing -1", 2, "must be a whole number, 0 or more, got '-1'"),
    ],
)
def test_what_states_cannot_give_is_one_line_and_leaves_all_as_it_was(
    run: Callable[..., SimpleNamespace], stored: Path, tmp_path: Path, arguments: str, code: int, line: str
) -> None:
    before = {file: file.read_bytes() for file in stored.rglob("*.parquet")}
    ran = run(*[word.replace("{0}", str(stored)).replace("{1}", str(tmp_path)) for word in arguments.split()])
    assert line.replace("{0}", str(stored)) in ran.err
    assert (ran.code, ran.out, ran.err.count("\n")) == (code, "", 1)
    assert {file: file.read_bytes() for file in stored.rglob("*.parquet")} == before
    assert [path.name for path in tmp_path.iterdir()] == ["daily.toml"]


def test_missing_states_that_are_allowed_are_told_and_left_out(
    run: Callable[..., SimpleNamespace], stored: Path
) -> None:
    ran = run("metrics", stored / "mon", stored / "wed", "--allow-missing", "1")
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.splitlines()[-2:] == [
        f"read 1 state: {stored / 'mon'}",
        f"left out 1 missing state: {stored / 'wed'}",
    ]


def test_a_state_that_was_edited_or_lost_files_is_one_line_and_exit_4(
    run: Callable[..., SimpleNamespace], stored: Path, tmp_path: Path
) -> None:
    state = pq.read_table(stored / "mon")
    place = state.column_names.index
    fingerprint, part, wl = (state[name] for name in ("fingerprint", "part", "wl"))
    doubled = pc.if_else(pc.equal(part, "moments"), pc.multiply(2.0, wl), wl)
    edits = {
        "fingerprint": (pc.replace_substring(fingerprint, "1e-15", '"x"'), "'eps' of the fingerprint"),
        "json": (pa.array(["no json"] * len(state)), "must be a JSON object, got 'no json'"),
        "sum": (doubled, "part 'cell' has another sum wl than 'moments'"),
    }
    columns = {"fingerprint": "fingerprint", "json": "fingerprint", "sum": "wl"}
    edited = {
        name: (state.set_column(place(columns[name]), columns[name], values), says)
        for name, (values, says) in edits.items()
    }
    edited["files"] = (state.filter(pc.invert(pc.is_in(part, pa.array(["ok", "source"])))), "")
    for name, (rows, says) in edited.items():
        (tmp_path / name).mkdir()
        pq.write_table(rows, tmp_path / name / "part.parquet")
        ran = run("metrics", tmp_path / name)
        assert (ran.code, ran.out, ran.err.count("\n")) == (4, "", 1)
        assert says in ran.err
