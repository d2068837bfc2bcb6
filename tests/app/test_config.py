"""What a config may say, and what is said of one that cannot be meant. No Spark."""

from dataclasses import fields
from pathlib import Path
from typing import Any, get_type_hints

import pytest
from hypothesis import given
from hypothesis import strategies as st

from logloss_spark.app.commands.compare import CompareConfig
from logloss_spark.app.commands.drift import DriftConfig
from logloss_spark.app.commands.fit import FitConfig
from logloss_spark.app.commands.gate import GateConfig
from logloss_spark.app.commands.merge import MergeConfig
from logloss_spark.app.commands.metrics import MetricsConfig
from logloss_spark.app.commands.score import ScoreConfig
from logloss_spark.app.config import JobConfig, key_of, overriding, read_config, section_type, structured
from logloss_spark.app.evaluating import EvaluateConfig, PredictionColumns
from logloss_spark.errors import SpecError
from logloss_spark.gates.rules import Against, Rule

MINIMAL = """
[input]
path = "predictions"
[columns]
label = "y"
prediction = "p"
"""


@pytest.fixture
def config(tmp_path: Path) -> Any:
    """A config of MINIMAL and these overrides."""
    file = tmp_path / "evaluate.toml"
    file.write_text(MINIMAL)

    def read(*overrides: str, **arguments: Any) -> EvaluateConfig:
        return read_config(str(file), of=EvaluateConfig, overrides=overrides, **arguments)

    return read


def test_what_is_not_said_has_the_defaults_of_the_library(config: Any) -> None:
    read = config()
    assert (read.evaluate.eps, read.roles.by, read.evaluate.ece_bins) == (1e-15, (), 10)
    assert (read.input.format, read.output.mode, read.output.paths) == ("parquet", "errorifexists", {})


def test_the_example_in_conf_is_a_config() -> None:
    read = read_config(str(Path(__file__).parents[2] / "conf" / "evaluate.toml"), of=EvaluateConfig)
    assert read.roles.by == (("month",), ("carrier",), ("month", "carrier"))
    assert set(read.output.paths) == {"metrics", "reliability", "state", "invalid"}


def test_columns_per_class_and_their_names_keep_their_order(config: Any) -> None:
    read = config('columns.prediction=["p_b", "p_a"]', 'evaluate.classes=["b", "a"]')
    assert (read.roles.prediction, read.evaluate.classes) == (("p_b", "p_a"), ("b", "a"))


@pytest.mark.parametrize(
    ("override", "value"),
    [
        ("input.where=month = 1", "month = 1"),
        ("input.where='month = 1'", "month = 1"),
        ('input.where=name = "a\\b"', 'name = "a\\b"'),
        ("input.where=true", "true"),
    ],
)
def test_an_override_is_toml_and_a_bare_word_is_a_string(config: Any, override: str, value: str) -> None:
    if value == "true":
        with pytest.raises(SpecError, match="where must be a string, got True"):
            config(override)
    else:
        assert config(override).input.where == value


def test_of_two_overrides_the_last_counts(config: Any) -> None:
    assert config("evaluate.eps=1e-9", "evaluate.eps=1e-12").evaluate.eps == 1e-12


def test_an_override_adds_one_reader_option_to_the_others(config: Any) -> None:
    assert config("input.options.header=true", "input.options.sep=;").input.options == {"header": True, "sep": ";"}


def test_an_empty_path_is_no_output(config: Any) -> None:
    assert config("output.state=a", "output.metrics=").output.paths == {"state": "a"}


def test_the_run_date_fills_paths_and_filters_and_leaves_other_braces(config: Any) -> None:
    read = config("input.path=p/{run_date}/{a,b}", "input.where=d = '{run_date}'", run_date="2026-01-31")
    assert (read.input.path, read.input.where) == ("p/2026-01-31/{a,b}", "d = '2026-01-31'")


@pytest.mark.parametrize(("on_invalid", "tolerance"), [("count", 1.0), ("fail", 0.0)])
def test_what_is_tolerated_follows_from_what_is_done(config: Any, on_invalid: str, tolerance: float) -> None:
    assert config(f"evaluate.on_invalid={on_invalid}").evaluate.tolerance == tolerance
    assert config(f"evaluate.on_invalid={on_invalid}", "evaluate.tolerated_share=0.25").evaluate.tolerance == 0.25


@pytest.mark.parametrize(
    ("override", "line"),
    [
        ("columns.lable=y", r"unknown key 'lable' in \[columns\]; it has: .* Did you mean 'label'\?"),
        ("evalute.eps=1e-9", r"unknown section \[evalute\]; .* Did you mean 'evaluate'\?"),
        (
            "evaluate.kind=logits",
            r"\[evaluate\] kind must be 'probability', 'logit' or 'margin', got 'logits'\. Did you mean 'logit'\?",
        ),
        ("evaluate.metrics=['logloss']", r"metrics must be one of .*, got 'logloss'\. Did you mean 'log_loss'\?"),
        ("evaluate.on_invalid=drop", r"on_invalid must be 'count', 'quarantine' or 'fail', got 'drop'"),
        ("output.mode=append", r"mode must be 'errorifexists' or 'overwrite', got 'append'"),
        ("evaluate.eps=tiny", r"\[evaluate\] eps must be a number, got 'tiny'"),
        ("evaluate.eps=2", r"eps must lie between 0 and 0.5, got 2"),
        ("evaluate.soft_labels=1", r"\[evaluate\] soft_labels must be true or false, got 1"),
        ("evaluate.baseline=x", r"\[evaluate\] baseline must be a number or a list \(each a number\), got 'x'"),
        ("evaluate.ece_bins=7", r"7"),
        (
            "evaluate.by=['day', 'hour']",
            r"by must be one column or a list of lists of columns, got \['day', 'hour'\]: write ",
        ),
        ("evaluate.by=[['day']", r"the value of .* is not TOML"),
        ("evaluate.tolerated_share=5", r"tolerated_share must be a share of the rows, from 0 to 1, got 5"),
        ("evaluate.on_invalid=quarantine", r"got none: set `invalid` in \[output\]"),
        ("input.table=t", r"\[input\] must have either path or table, got both"),
        ("input.path=", r"\[input\] must have either path or table, got neither"),
        ("input.path=p/{run_date}", r"'p/{run_date}' needs a date: give --run-date"),
        ("output.state=p/{run_date}", r"'p/{run_date}' needs a date: give --run-date"),
        ("eps=1e-9", r"an override must be section.key=value, got 'eps=1e-9'"),
        ("evaluate.eps", r"an override must be section.key=value, got 'evaluate.eps'"),
        ("evaluate.eps=0.1\n[output]\nmode='overwrite'", r"an override must set one key, got "),
        ("evaluate.eps=0.1\noutput.mode='overwrite'", r"an override must set one key, got "),
        ("[output]\nmode='overwrite'\n[evaluate]\nx.eps=0.1", r"an override must be section.key=value, got"),
        ("evaluate.by=" + "[" * 9999, r"the value of evaluate.by is nested too deeply"),
        ("evaluate.eps=" + "9" * 9999, r"\[evaluate\] eps must be a number, got '9999"),
        ("evaluate." + "x." * 2_000 + "y=1", r"its values are nested too deeply|unknown key 'x' in \[evaluate\]"),
    ],
)
def test_what_cannot_be_meant_is_one_line_that_says_what_came(config: Any, override: str, line: str) -> None:
    with pytest.raises(SpecError, match=line) as raised:
        config(override)
    assert raised.value.exit_code == 2
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("text", ["31.01.2026", "2026-02-30", "20260131", "2026-W05-6", ""])
def test_a_run_date_is_an_iso_date(config: Any, text: str) -> None:
    with pytest.raises(SpecError, match="--run-date must be a date as 2026-01-31, got"):
        config(run_date=text)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("[input]\npath = 'p'\n", r"the section \[columns\] is missing"),
        ("input = 3\n", r"input must be a section with keys of its own, got 3"),
        ("[input]\npath = 'p'\n[columns]\nlabel = 'y'\n", r"\[columns\] prediction is missing"),
        ("[input\n", r"is not TOML: .*line 1"),
        ("x = " + "[" * 9999, r"its values are nested too deeply"),
        ("[input]\noptions." + "x." * 2_000 + "y = 1", r"its values are nested too deeply|options must be a table"),
    ],
)
def test_a_file_that_is_no_config_says_where(tmp_path: Path, text: str, line: str) -> None:
    file = tmp_path / "bad.toml"
    file.write_text(text)
    with pytest.raises(SpecError, match=line) as raised:
        read_config(str(file), of=EvaluateConfig)
    assert str(file) in str(raised.value)


def test_a_byte_order_mark_is_no_part_of_a_config(tmp_path: Path) -> None:
    file = tmp_path / "windows.toml"
    file.write_bytes(b"\xef\xbb\xbf" + MINIMAL.replace("\n", "\r\n").encode())
    assert read_config(str(file), of=EvaluateConfig).input.path == "predictions"


@given(st.text() | st.from_regex(r"[a-z]+(\.[a-z]+)+ ?= ?.*", fullmatch=True))
def test_an_override_sets_one_key_or_is_one_of_our_errors(text: str) -> None:
    try:
        found: Any = overriding(text)
    except SpecError:
        return
    for _ in text.partition("=")[0].split("."):
        if not isinstance(found, dict):
            break
        ((_, found),) = found.items() or [("an empty table", None)]


RULE = {"name": "r", "metric": "log_loss", "rise_at_most": "1%", "against": {"state": "s"}}
WHOLE: dict[type[JobConfig], dict[str, dict[str, Any]]] = {
    EvaluateConfig: {
        "input": {"path": "i"},
        "columns": {"label": "y", "prediction": "p"},
        "evaluate": {},
        "output": {},
    },
    MetricsConfig: {"evaluate": {}, "output": {}},
    MergeConfig: {"output": {}},
    GateConfig: {"gate": {"rule": [RULE]}, "evaluate": {}, "output": {}},
    DriftConfig: {"evaluate": {}, "output": {}},
    CompareConfig: {
        "input": {"path": "i"},
        "columns": {"label": "y"},
        "compare": {"baseline": "a"},
        "models": {"a": "p", "b": "q"},
    },
    FitConfig: {
        "input": {"path": "i"},
        "columns": {"features": "x", "label": "y"},
        "output": {"model": "m"},
        "fit": {},
    },
    ScoreConfig: {"score": {"path": "s", "output": "o", "model": "m"}, "columns": {}, "output": {}},
}
KEYS = [
    (of, section, key.name)
    for of, sections in WHOLE.items()
    for section in sections
    for key in fields(section_type(get_type_hints(of)[section]) if section != "models" else PredictionColumns)
]
VALUES = st.recursive(
    st.booleans() | st.integers() | st.floats() | st.text(max_size=3) | st.dates(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)


@given(st.sampled_from(KEYS), VALUES)
def test_whatever_the_value_of_a_key_a_config_is_read_or_is_one_of_our_errors(
    key: tuple[Any, str, str], value: Any
) -> None:
    of, section, name = key
    try:
        read = structured({**WHOLE[of], section: {**WHOLE[of][section], name: value}}, of)
    except SpecError:
        return
    assert isinstance(read, of)


RULE_KEYS = [(key_of(key), None) for key in fields(Rule)] + [("against", key_of(key)) for key in fields(Against)]


@given(st.sampled_from(RULE_KEYS), VALUES)
def test_whatever_a_rule_of_a_gate_says_it_is_read_or_is_one_of_our_errors(
    key: tuple[str, str | None], value: Any
) -> None:
    name, inner = key
    rule = {**RULE, name: value if inner is None else {"state": "s", inner: value}}
    try:
        read = structured({"gate": {"rule": [rule, {**RULE, "name": "other"}]}}, GateConfig)
    except SpecError:
        return
    assert isinstance(read, GateConfig)


def test_the_rules_of_a_gate_are_a_list_of_tables(tmp_path: Path) -> None:
    file = tmp_path / "gate.toml"
    file.write_text(
        '[gate]\nresult = "gate/{run_date}.json"\n[[gate.rule]]\nname = "a"\nmetric = "log_loss"\nexcept = ["x=1"]\n'
        'slices = ["x=*"]\nrise_at_most = 0.1\nagainst = { state = "states/{run_date}" }\n'
        '[[gate.rule]]\nname = "b"\nmetric = "n"\nat_least = 9\njudge = "point"\n'
    )
    gate = read_config(str(file), of=GateConfig, run_date="2026-01-31").gate
    assert (gate.result, [rule.name for rule in gate.rule]) == ("gate/2026-01-31.json", ["a", "b"])
    assert (gate.rule[0].except_, gate.rule[0].against) == (["x=1"], Against(state="states/2026-01-31"))
    changed = read_config(
        str(file),
        of=GateConfig,
        run_date="2026-01-31",
        overrides=['gate.rule=[{name="c", metric="n", at_most=1, judge="point"}]'],
    )
    assert [rule.name for rule in changed.gate.rule] == ["c"]


def test_a_config_that_is_not_there_is_named() -> None:
    with pytest.raises(SpecError, match=r"config no/such\.toml: it cannot be read: No such file"):
        read_config("no/such.toml", of=EvaluateConfig)


EVERY = {
    EvaluateConfig: "evaluate",
    MetricsConfig: "evaluate",
    MergeConfig: "evaluate",
    DriftConfig: "evaluate",
    CompareConfig: "compare",
    GateConfig: "gate",
    FitConfig: "fit",
    ScoreConfig: "fit",
}


@pytest.mark.parametrize("of", EVERY)
def test_every_command_reads_the_example_that_its_help_names(of: type[JobConfig]) -> None:
    assert isinstance(read_config(str(Path(__file__).parents[2] / "conf" / f"{EVERY[of]}.toml"), of=of), of)


@pytest.mark.parametrize(
    ("of", "needed"),
    [
        (MetricsConfig, {}),
        (MergeConfig, {}),
        (DriftConfig, {}),
        (ScoreConfig, {"score": {"path": "s", "output": "o", "model": "m"}}),
    ],
)
def test_a_command_asks_for_no_section_that_it_passes_over(
    of: type[JobConfig], needed: dict[str, dict[str, Any]]
) -> None:
    assert isinstance(structured(needed, of), of)
    strange = {"input": {"path": 3}, "columns": {"label": 4}}
    assert structured(strange | needed, of) == structured(needed, of)


@pytest.mark.parametrize(
    ("of", "override", "line"),
    [
        (MetricsConfig, "output.mode=overwrite", r"got output\.mode; of \[output\] it reads: format, options"),
        (MergeConfig, "evaluate.by=[['day']]", r"got evaluate\.by; it reads no \[evaluate\]"),
        (DriftConfig, "columns.wieght=w", r"unknown key 'wieght' in \[columns\]; .* Did you mean 'weight'\?"),
        (FitConfig, "score.path=elsewhere", r"got score\.path; it reads no \[score\]"),
    ],
)
def test_an_override_that_a_command_would_pass_over_is_refused(of: type[JobConfig], override: str, line: str) -> None:
    with pytest.raises(SpecError, match=line):
        read_config(None, of=of, overrides=[override])


def test_a_table_is_scored_with_the_model_that_fit_wrote_or_another_one() -> None:
    score = {"path": "s", "output": "o"}
    assert structured({"score": score, "output": {"model": "a"}}, ScoreConfig).model == "a"
    assert structured({"score": score | {"model": "b"}, "output": {"model": "a"}}, ScoreConfig).model == "b"
    with pytest.raises(SpecError, match=r"\[score\] model is missing"):
        structured({"score": score}, ScoreConfig)
