"""Gates in jobs: what is printed, written and returned, after an evaluation and from stored states alone."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
from pyspark.sql import SparkSession

import logloss_spark as ls
from logloss_spark.app.cli import main
from logloss_spark.app.gating import measured, needed
from logloss_spark.gates.estimates import Measurement
from logloss_spark.gates.rules import Gate, Rule
from logloss_spark.state import State
from logloss_spark.states.state import CheckedState
from logloss_spark.statistics.catalogue import METRICS, WITHOUT_CELLS, by_column
from logloss_spark.statistics.reporting import Reading
from tests import hostile
from tests.quick import slow

ROWS = 1_500

RULES = """
[[gate.rule]]
name = "beats the base rate"
metric = "normalized_entropy"
at_most = 1.0

[[gate.rule]]
name = "calibrated by country"
metric = "calibration_ratio"
slices = ["country=*"]
except = ["country=xx"]
between = [0.5, 2.0]
level = "warn"
min_rows = 100

[[gate.rule]]
name = "labels arrive"
metric = "null_label / rows"
at_most = 0.2
judge = "point"
"""


def predictions(seed: int, worse: float = 0.0) -> pd.DataFrame:
    """Forecasts of users in three countries; those of `xx` are too low, and all can be made worse."""
    rng = np.random.default_rng(seed)
    user = rng.integers(0, 300, ROWS)
    z = rng.normal(size=ROWS) + np.random.default_rng(1).normal(size=300)[user]
    y = (rng.random(ROWS) < 1 / (1 + np.exp(-z))).astype(float)
    country = np.array(["de", "fr", "xx"])[user % 3]
    p = 1 / (1 + np.exp(-z + worse * rng.normal(size=ROWS))) * np.where(country == "xx", 0.6, 1.0)
    y[:10] = np.nan
    return pd.DataFrame({"user": user, "country": country, "y": y, "p": p})


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tables of gates")
    for name, frame in {"good": predictions(2), "again": predictions(3), "bad": predictions(4, worse=4.0)}.items():
        (folder / name).mkdir()
        frame.to_parquet(folder / name / "part.parquet")
    return folder


@pytest.fixture(scope="module")
def states(tables: Path, spark: SparkSession) -> Path:
    """The states of the tables, as an evaluation stores them."""
    for name in ("good", "again", "bad"):
        with ls.evaluate(f"{tables}/{name}", "y", "p", cluster="user", by=[["country"]]) as evaluation:
            evaluation.state.save(f"{tables}/states/{name}")
    return tables / "states"


@pytest.fixture
def run(
    tables: Path, states: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> Callable[..., SimpleNamespace]:
    """How to run a command with a config that has these rules; `gate` judges a stored state of the table."""

    def run(command: str, *arguments: object, rules: str = RULES, table: str = "good") -> SimpleNamespace:
        state = states / table if command == "gate" else tmp_path / "state"
        (tmp_path / "job.toml").write_text(
            f'[input]\npath = "{tables}/{table}"\n[columns]\nlabel = "y"\nprediction = "p"\ncluster = "user"\n'
            f'[evaluate]\nby = [["country"]]\n[output]\nstate = "{state}"\n'
            f'[gate]\nmin_rows = 1000\nresult = "{tmp_path}/gate.json"\n{rules}'
        )
        capsys.readouterr()
        code = main([command, "--config", str(tmp_path / "job.toml"), *map(str, arguments)])
        said = capsys.readouterr()
        result = tmp_path / "gate.json"
        document = json.loads(result.read_text()) if result.exists() else None
        return SimpleNamespace(code=code, out=said.out, err=said.err, document=document)

    return run


def test_an_evaluation_is_judged_and_its_state_alone_gives_the_same_verdicts(
    run: Callable[..., Any], tmp_path: Path
) -> None:
    ran = run("evaluate")
    assert (ran.code, ran.err) == (0, "")
    title = next(line for line in ran.out.splitlines() if line.startswith("gate of"))
    assert title.endswith("good: pass (3 rules: 3 pass; 99% intervals)")
    assert f"wrote result to {tmp_path}/gate.json" in ran.out.splitlines()
    rules = {rule["name"]: rule for rule in ran.document["rules"]}
    assert [slice_["slice"] for slice_ in rules["calibrated by country"]["slices"]] == ["country=de", "country=fr"]
    assert rules["labels arrive"]["slices"][0]["value"] == pytest.approx(10 / ROWS)
    alone = run("gate", tmp_path / "state")
    assert (alone.code, alone.err) == (0, "")
    assert alone.document | {"run_time": ""} == ran.document | {"run_time": ""}


def test_a_gate_that_fails_ends_with_three_when_all_is_written(run: Callable[..., Any], tmp_path: Path) -> None:
    ran = run("evaluate", table="bad")
    assert ran.code == 3
    assert ran.err == "logloss-spark: error: the gate says fail: 1 of 3 rules: beats the base rate (all)\n"
    assert (tmp_path / "state" / "_SUCCESS").exists()
    assert ran.document["verdict"] == "fail"
    assert next(line for line in ran.out.splitlines() if line.startswith("beats the base rate")).split()[4] == "fail"


def test_the_exit_code_and_the_files_are_as_asked(run: Callable[..., Any], tmp_path: Path) -> None:
    junit = tmp_path / "new" / "gate.xml"
    ran = run("gate", "--junit", junit, "--fail-exit", 99, "--json", table="bad")
    assert ran.code == 99
    document = json.loads(ran.out)
    assert document["details"]["gate"]["verdict"] == "fail"
    assert document["verdicts"] == ran.document["rules"]
    assert next(iter(ElementTree.parse(junit).getroot())).get("name") == "beats the base rate"
    assert not list(tmp_path.rglob(".*"))


def test_a_warning_fails_a_strict_gate(run: Callable[..., Any]) -> None:
    warns = RULES.replace("between = [0.5, 2.0]", "between = [0.0, 0.1]").replace("at_most = 1.0", "at_most = 9.0")
    strict = run("gate", "--strict", rules=warns, table="bad")
    assert strict.code == 3
    assert strict.err.startswith(
        "logloss-spark: error: the gate says warn: 1 of 3 rules: calibrated by country (country="
    )


@pytest.mark.slow
def test_a_warning_fails_no_other_gate(run: Callable[..., Any]) -> None:
    warns = RULES.replace("between = [0.5, 2.0]", "between = [0.0, 0.1]").replace("at_most = 1.0", "at_most = 9.0")
    assert run("gate", rules=warns, table="bad").code == 0


def test_github_actions_are_told(run: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "summary.md"))
    ran = run("gate", table="bad")
    assert ran.err.splitlines()[0].startswith("::error title=gate fail%3A beats the base rate%2C all::all: normalized")
    assert (tmp_path / "summary.md").read_text().startswith("### gate of ")


RISE = """
[[gate.rule]]
name = "as good as the release"
metric = "{metric}"
slices = ["all", "country=*"]
against = {{ state = "{state}" }}
rise_at_most = "{most}"
min_rows = 100
"""


@pytest.mark.slow
@pytest.mark.connect
@pytest.mark.parametrize("metric", ["log_loss", "auc"])
def test_a_change_from_a_stored_state_is_judged_by_the_users_of_both(
    run: Callable[..., Any], states: Path, metric: str
) -> None:
    ran = run("gate", rules=RISE.format(metric=metric, state=states / "again", most="1%"))
    assert ran.code == 0, ran.err
    (rule,) = ran.document["rules"]
    now, then = (
        ls.read_state(f"{states}/{name}").metrics(confidence=0.99).toPandas().iloc[0] for name in ("good", "again")
    )
    overall = next(slice_ for slice_ in rule["slices"] if slice_["slice"] == "all")
    assert overall["change"]["value"] == pytest.approx(now[metric] / then[metric] - 1)
    assert overall["baseline"]["high"] == pytest.approx(then[f"{metric}_high"])
    # Users who are hard to forecast are so in both: the change is known better than two independent values would say.
    width = overall["change"]["high"] - overall["change"]["low"]
    independent = np.hypot(now[f"{metric}_high"] - now[f"{metric}_low"], then[f"{metric}_high"] - then[f"{metric}_low"])
    assert 0 < width * then[metric] < independent


def test_influences_are_the_same_on_the_driver_and_in_spark(spark: SparkSession, tables: Path) -> None:
    with ls.evaluate(f"{tables}/good", "y", "p", cluster="user", by=[["country"]]) as evaluation:
        state = evaluation.state.persist()
        assert state.checked.local
        distant = State.from_checked(CheckedState(state.checked.local.table, state.conventions, state.checked.sources))
        assert not distant.checked.local
        here, there = (measured(one, (("country",),), Reading(), ["log_loss", "auc"]) for one in (state, distant))
    row_of = {name: row for row, name in enumerate(there.names)}
    order = [row_of[name] for name in here.names]
    assert here.filled is not None
    assert there.filled is not None
    np.testing.assert_array_equal(here.filled, there.filled[order])
    for metric, influences in here.influences.items():
        np.testing.assert_allclose(influences, there.influences[metric][order], rtol=1e-9, atol=1e-15)
        filled = here.filled.sum(axis=1)
        errors = np.sqrt(filled / (filled - 1) * np.sum(influences**2, axis=1))
        np.testing.assert_allclose(errors, here.numbers(f"{metric}_se", np.arange(4)), rtol=1e-9)


def test_the_dry_run_says_how_often_false_alarms_are_to_be_expected(run: Callable[..., Any]) -> None:
    ran = run("gate", "--dry-run")
    assert (ran.code, ran.document) == (0, None)
    lines = ran.out.splitlines()
    assert lines[0].endswith("3 rules over 4 slices; if nothing changes, at most 2.49 false alarms in 100 runs")
    assert [line.split()[-1] for line in lines if line.startswith(("beats", "calibrated", "labels"))] == [
        "0.5",
        "1.99",
        "-",
    ]


@pytest.mark.parametrize(
    ("command", "old", "new", "line"),
    [
        ("evaluate", "country=*", "contry=*", "'contry=*' begins with no slice column; it has: country"),
        ("gate", "country=*", "contry=*", "'contry=*' begins with no slice column; it has: country"),
        ("gate", "at_most = 1.0", "at_mots = 1.0", "unknown key 'at_mots' in [gate] rule 1; it has: name, metric"),
        ("gate", "at_most = 1.0", "at_most = 'x'", "[gate] rule 1: at_most must be a number, got 'x'"),
        (
            "gate",
            'except = ["country=xx"]',
            "except = 3",
            "[gate] rule 2: except must be a list (each a string), got 3",
        ),
        (
            "gate",
            "at_most = 1.0",
            "rise_at_most = 1.0\nagainst = { weeks = 1 }",
            "unknown key 'weeks' in [gate] rule 1: against",
        ),
        (
            "gate",
            "at_most = 1.0",
            "rise_at_most = 1.0\nagainst = { days = 7 }",
            "compares with the days before, which a [store]",
        ),
        slow(("gate", "at_most = 1.0", "rise_at_most = 1\nagainst = { state = 'no/where' }", "no/where")),
        slow(("gate", "normalized_entropy", "difference", "metric must be one of log_loss, ")),
    ],
)
def test_a_rule_that_does_not_fit_is_one_line(
    run: Callable[..., Any], command: str, old: str, new: str, line: str
) -> None:
    ran = run(command, rules=RULES.replace(old, new, 1))
    assert ran.code in (2, 5)
    assert ran.err.count("\n") == 1
    assert line in ran.err


def test_a_state_that_is_not_there_yet_is_told_from_a_gate_that_fails(run: Callable[..., Any]) -> None:
    assert run("gate", "no/such/state").code == 5
    assert run("gate", "--set", "output.state=").err.endswith("got none: name some, or set `state` in [output]\n")


def test_a_comparison_is_judged(spark: SparkSession, tables: Path, tmp_path: Path, capsys: Any) -> None:
    frame = pd.read_parquet(tables / "good").assign(worse=0.5)
    (tmp_path / "both").mkdir()
    frame.to_parquet(tmp_path / "both" / "part.parquet")
    (tmp_path / "job.toml").write_text(
        f'[input]\npath = "{tmp_path}/both"\n[columns]\nlabel = "y"\ncluster = "user"\n'
        '[models]\nold = "p"\nnew = "worse"\n'
        '[compare]\nbaseline = "old"\n[gate]\n[[gate.rule]]\nname = "challenger is no worse"\nmetric = "difference"\n'
        'model = "new"\nat_most = 0.002\nin_doubt = "fail"\nmin_rows = 100\n'
    )
    code = main(["compare", "--config", str(tmp_path / "job.toml")])
    said = capsys.readouterr()
    assert said.err.startswith(
        "logloss-spark: error: the gate says fail: 1 of 1 rule: challenger is no worse (all)"
    ) == (code == 3)
    assert "challenger is no worse" in said.out
    assert code in (0, 3)


@pytest.mark.slow
def test_hostile_slices_pass_through_every_output(
    spark: SparkSession, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = [*hostile.TEXTS.values(), None, "__HIVE_DEFAULT_PARTITION__", "../../x"]
    rows = [(text, label, p) for text in texts for label, p in ((1, 0.1), (0, 0.8), (1, 0.3), (0, 0.7))]
    table = spark.createDataFrame(rows, "who string, y int, p double")
    with ls.evaluate(table, "y", "p", by="who") as evaluation:
        evaluation.state.save(str(tmp_path / "state"))
    (tmp_path / "gate.toml").write_text(
        f'[gate]\nmin_rows = 0\nfalse_alarms = 0.0\nresult = "{tmp_path}/out/gate.json"\n'
        '[[gate.rule]]\nname = "low"\nmetric = "log_loss"\nslices = ["who=*"]\nat_most = 0.01\n'
    )
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "summary.md"))
    junit = tmp_path / "out" / "gate.xml"
    before = set(tmp_path.rglob("*"))
    code = main(["gate", "--config", f"{tmp_path}/gate.toml", str(tmp_path / "state"), "--junit", str(junit)])
    said = capsys.readouterr()
    assert code == 3
    assert {path.name for path in set(tmp_path.rglob("*")) - before} == {"out", "gate.json", "gate.xml", "summary.md"}
    (rule,) = json.loads((tmp_path / "out" / "gate.json").read_text())["rules"]
    words = {"null" if text is None else '"null"' if text == "null" else text for text in texts}
    assert {slice_["keys"]["who"] for slice_ in rule["slices"]} == words
    assert len(ElementTree.parse(junit).getroot()[0]) == len(set(texts))
    assert not hostile.unsafe(said.out, 1_000)
    assert not hostile.unsafe(said.err, 1_000)
    assert said.err.count("\n") == 11  # ten annotations and the error


def test_measurements_have_the_names_of_their_slices(spark: SparkSession, tables: Path) -> None:
    with ls.evaluate(f"{tables}/good", "y", "p", by=[["country"]]) as evaluation:
        found = measured(evaluation.state, (("country",),), Reading(), ())
    assert isinstance(found, Measurement)
    assert sorted(found.names) == [(), (("country", "de"),), (("country", "fr"),), (("country", "xx"),)]


def write_day(path: Path, day: int, worse: float = 0.0) -> None:
    """Write the predictions of a day."""
    folder = path / "days" / f"dt=2026-11-{day:02}"
    folder.mkdir(parents=True, exist_ok=True)
    predictions(day, worse).to_parquet(folder / "part.parquet")


@pytest.fixture
def store(tables: Path, tmp_path: Path, spark: SparkSession, capsys: pytest.CaptureFixture[str]) -> Callable[..., Any]:
    """How to run a command on the days of a folder, with a store and a rule against the days before."""

    def run(
        command: str, *arguments: object, day: int | None = None, worse: float = 0.0, against: str = "{ days = 3 }"
    ) -> Any:
        if day is not None:
            write_day(tmp_path, day, worse)
            arguments = (*arguments, "--run-date", f"2026-11-{day:02}")
        (tmp_path / "daily.toml").write_text(
            f'[input]\npath = "{tmp_path}/days"\n[columns]\nlabel = "y"\nprediction = "p"\ncluster = "user"\n'
            f'[evaluate]\nby = [["country"]]\n[store]\npath = "{tmp_path}/store"\nunit = ["dt"]\n'
            '[gate]\nmin_rows = 100\n[[gate.rule]]\nname = "no worse"\nmetric = "log_loss"\n'
            'slices = ["all", "country=*"]\n'
            f'against = {against}\nrise_at_most = "20%"\n'
        )
        capsys.readouterr()
        code = main([command, "--config", f"{tmp_path}/daily.toml", "--json", *map(str, arguments)])
        said = capsys.readouterr()
        return SimpleNamespace(code=code, err=said.err, document=json.loads(said.out) if said.out else None)

    return run


@pytest.mark.slow
def test_every_day_is_judged_against_the_days_before_that_passed(store: Callable[..., Any], tmp_path: Path) -> None:
    first = store("evaluate", day=1)
    assert (first.code, first.document["details"]["gate"]["verdict"]) == (0, "no_baseline")
    assert store("evaluate", day=2).document["details"]["gate"]["verdict"] == "pass"
    spoilt = store("evaluate", day=3, worse=5.0)
    assert spoilt.code == 3
    assert spoilt.err.startswith("logloss-spark: error: the gate says fail: 1 of 1 rule: no worse (")
    again = store("evaluate", "--run-date", "2026-11-03")  # nothing is due, and the gate still fails
    assert (again.code, again.document["details"]["due"]) == (3, [])
    fourth = store("evaluate", day=4)
    assert fourth.code == 0
    (rule,) = fourth.document["verdicts"]
    assert rule["baseline"] == {"from": "2026-11-01", "to": "2026-11-02", "states": 2, "because": None}
    kept = ls.Store(f"{tmp_path}/store")
    verdicts = dict(zip(kept.runs()["run_date"], kept.runs()["verdict"], strict=True))
    assert verdicts == {"2026-11-01": "no_baseline", "2026-11-02": "pass", "2026-11-03": "fail", "2026-11-04": "pass"}
    # The change is that of the two states, bucket by bucket, from the states alone.
    then = kept.state("dt <= '2026-11-02'").metrics(confidence=0.99).toPandas().iloc[0]
    overall = next(slice_ for slice_ in rule["slices"] if slice_["slice"] == "all")
    assert overall["baseline"]["value"] == pytest.approx(then["log_loss"], rel=1e-12)
    old = store("gate", "--run-date", "2026-11-02")
    assert (old.code, old.document["verdicts"][0]["baseline"]["to"]) == (0, "2026-11-01")
    assert store("gate", "--run-date", "2026-11-09").code == 5


@pytest.mark.slow
def test_the_last_of_many_days_is_judged_against_those_of_its_own_run(
    store: Callable[..., Any], tmp_path: Path
) -> None:
    for day in (1, 2, 3):
        write_day(tmp_path, day)
    ran = store("evaluate", against="{ days = 3, only_passed = false }")
    assert ran.code == 0, ran.err
    (rule,) = ran.document["verdicts"]
    assert rule["baseline"] == {"from": "2026-11-01", "to": "2026-11-02", "states": 2, "because": None}
    assert (
        rule["slices"] == store("gate", against="{ days = 3, only_passed = false }").document["verdicts"][0]["slices"]
    )


@pytest.mark.slow
def test_each_day_of_a_run_that_comes_late_is_judged_and_has_its_own_verdict(
    store: Callable[..., Any], tmp_path: Path
) -> None:
    for day in (1, 2, 3):
        write_day(tmp_path, day)
    first = store("evaluate")
    assert "judged 3 days: 2026-11-01 no_baseline, 2026-11-02 pass, 2026-11-03 pass" in first.document["remarks"]
    write_day(tmp_path, 4, worse=5.0)
    write_day(tmp_path, 5)
    for _ in range(2):  # the same words twice: nothing is due any more, and it fails again
        late = store("evaluate")
        assert late.code == 3
        assert "judged 2 days: 2026-11-04 fail, 2026-11-05 pass" in late.document["remarks"]
        assert late.document["details"]["gate"]["judged"] == "2026-11-04"
        baseline = store("gate", "--run-date", "2026-11-05").document["verdicts"][0]["baseline"]
        assert (baseline["from"], baseline["to"], baseline["states"]) == ("2026-11-02", "2026-11-03", 2)
    assert ls.Store(f"{tmp_path}/store").runs()["verdict"].tolist() == ["fail", "pass"]
    full = store("evaluate", "--full")
    days = "2026-11-01 no_baseline, 2026-11-02 pass, 2026-11-03 pass, 2026-11-04 fail, 2026-11-05 pass"
    assert (full.code, f"judged 5 days: {days}" in full.document["remarks"]) == (3, True)


def test_a_run_may_publish_only_what_passed(run: Callable[..., Any], tmp_path: Path) -> None:
    ran = run("evaluate", "--set", "gate.publish=passed", table="bad")
    assert ran.code == 3
    assert 'nothing was written: the gate fails, and publish = "passed"' in ran.out.splitlines()
    assert not (tmp_path / "state").exists()
    assert ran.document["verdict"] == "fail"


@pytest.mark.slow
def test_a_store_may_hold_only_what_passed(store: Callable[..., Any], tmp_path: Path) -> None:
    assert store("evaluate", "--set", "gate.publish=passed", day=1).code == 0
    for _ in range(2):
        spoilt = store("evaluate", "--set", "gate.publish=passed", day=2, worse=5.0)
        assert spoilt.code == 3
        assert spoilt.document["written"] == {}
        assert ls.Store(f"{tmp_path}/store").runs()["run_date"].tolist() == ["2026-11-01"]
    assert store("evaluate", "--set", "gate.publish=passed", day=2).code == 0
    assert ls.Store(f"{tmp_path}/store").runs()["verdict"].tolist() == ["pass", "no_baseline"]
    table = ls.Store(f"{tmp_path}/store").verdicts()
    assert table.groupby("judged").size().to_dict() == {"2026-11-01": 4, "2026-11-02": 4}


def test_cells_are_left_aside_where_no_rule_needs_them(spark: SparkSession, tables: Path) -> None:
    with ls.evaluate(f"{tables}/good", "y", "p", cluster="user", by=[["country"]]) as evaluation:
        state = evaluation.state
        distant = CheckedState(state.table, state.conventions, state.checked.sources)
        rule = Rule(name="r", metric="log_loss", at_most=1.0)
        small = needed(State.from_checked(distant), Gate(rule=[rule])).persist()
        whole = needed(State.from_checked(distant), Gate(rule=[rule, replace(rule, name="s", metric="auc")]))
        assert small.table.where("part = 'cell'").isEmpty()
        assert whole.checked is distant
        tables_of = (one.metrics(by=[["country"]]).toPandas().set_index("slice").sort_index() for one in (small, state))
        found, wanted = (table[list(by_column(m for m in METRICS if m.name in WITHOUT_CELLS))] for table in tables_of)
    pd.testing.assert_frame_equal(found, wanted, rtol=1e-12)
