"""The textfile of Prometheus: its grammar, by a parser of its own, and what it says after a failure."""

import math
from datetime import UTC, datetime
from pathlib import Path

import pytest

from logloss_spark.app.sinks.prometheus import MOST, PrometheusSection, prometheus
from logloss_spark.errors import SpecError
from logloss_spark.gates.patterns import quoted_null
from tests import hostile
from tests.app.sinks.exposition import Family, parsed
from tests.app.sinks.runs import OUTCOME, RULE, RUN, ending, measurement, replace

CLICKS = (("command", "evaluate"), ("name", "clicks"))
ENDED = ending().ended.timestamp()


def section(folder: Path, **others: object) -> PrometheusSection:
    return PrometheusSection(folder=str(folder), **others)  # type: ignore[arg-type]


def told(folder: Path, ended: object = None, **others: object) -> dict[str, Family]:
    """The families of the textfile after a run."""
    prometheus(section(folder, **others), RUN).end(ended or ending())  # type: ignore[arg-type]
    (file,) = folder.iterdir()
    assert file.name == f"{others.get('name', 'clicks')}.evaluate.prom"
    return parsed(file.read_bytes().decode())


def value(families: dict[str, Family], name: str, **labels: str) -> float:
    return families[f"logloss_spark_{name}"].values[tuple(sorted((*CLICKS, *labels.items())))]


def test_a_textfile_has_the_printed_metrics_of_all_rows_with_their_intervals(tmp_path: Path) -> None:
    families = told(tmp_path)
    assert value(families, "log_loss", slice="all") == 0.4
    assert value(families, "log_loss_low", slice="all") == 0.3
    assert value(families, "log_loss_high", slice="all") == 0.5
    assert value(families, "rows", slice="all") == 1000
    assert value(families, "counted", kind="read") == 1000
    assert value(families, "last_success_timestamp_seconds") == ENDED
    assert value(families, "duration_seconds") == 90
    assert value(families, "exit_code") == 0
    assert value(families, "gate_verdict", rule="no worse", verdict="fail") == 1
    assert value(families, "series_left_out") == 0
    assert families["logloss_spark_log_loss"].help.startswith("Mean loss")
    assert "logloss_spark_few" not in families, "it is not printed"


def test_only_the_slices_and_metrics_that_are_named_are_there(tmp_path: Path) -> None:
    families = told(tmp_path, slices=["country=*"], metrics=["brier"], labels={"team": "ads"})
    found = {name for name, family in families.items() if any("slice" in dict(key) for key in family.values)}
    assert found == {"logloss_spark_brier"}
    slices = [dict(key)["slice"] for key in families["logloss_spark_brier"].values]
    assert slices == ["country=de", "country=fr"]
    assert all(("team", "ads") in key for family in families.values() for key in family.values)


def test_after_a_failure_the_last_success_stays_and_no_older_number_does(tmp_path: Path) -> None:
    told(tmp_path)
    failed = ending(None, exit_code=4, error="error: broken", ended=ending().ended.replace(hour=6))
    families = told(tmp_path, failed)
    assert value(families, "last_success_timestamp_seconds") == ENDED
    assert value(families, "last_run_timestamp_seconds") == failed.ended.timestamp()
    assert value(families, "exit_code") == 4
    assert "logloss_spark_log_loss" not in families
    assert value(told(tmp_path, failed), "last_success_timestamp_seconds") == ENDED, "nor after two"


def test_a_first_run_that_fails_has_no_last_success(tmp_path: Path) -> None:
    assert "logloss_spark_last_success_timestamp_seconds" not in told(tmp_path, ending(None, exit_code=1))


def test_a_gate_that_fails_is_no_success_and_has_its_numbers(tmp_path: Path) -> None:
    families = told(tmp_path, ending(exit_code=3))
    assert "logloss_spark_last_success_timestamp_seconds" not in families
    assert value(families, "log_loss", slice="all") == 0.4


def test_hostile_slices_stay_what_they_are(tmp_path: Path) -> None:
    texts = list(hostile.TEXTS.values())
    found = ending(replace(OUTCOME, measured=measurement(texts)))
    families = told(tmp_path, found, slices=["country=*"], metrics=["brier"])
    slices = {dict(key)["slice"] for key in families["logloss_spark_brier"].values}
    assert slices == {f"country={quoted_null(text)}" for text in texts}


def test_two_slices_of_one_name_are_one_series(tmp_path: Path) -> None:
    # A series that is there twice fails the scrape of all textfiles.
    found = ending(replace(OUTCOME, measured=measurement(["de", "de"])))
    assert value(told(tmp_path, found, slices=["country=*"], metrics=["brier"]), "series_left_out") == 1


def test_a_textfile_has_at_most_200_series_and_counts_the_others(tmp_path: Path) -> None:
    found = ending(replace(OUTCOME, measured=measurement([f"c{number}" for number in range(500)])))
    families = told(tmp_path, found, slices=["all", "country=*"], metrics=["log_loss", "brier"])
    series = sum(len(family.values) for family in families.values())
    assert MOST - 3 < series <= MOST
    assert value(families, "series_left_out") == 10 + 501 * 4 - series
    kept = families["logloss_spark_log_loss_low"].values.keys()
    assert kept == families["logloss_spark_log_loss_high"].values.keys(), "an interval is whole"
    assert [dict(key)["slice"] for key in kept][:2] == ["all", "country=c0"], "most rows first"


def test_infinite_numbers_are_written_and_null_ones_are_not(tmp_path: Path) -> None:
    infinite = measurement([], log_loss=[math.inf], log_loss_low=[math.nan])
    families = told(tmp_path, ending(replace(OUTCOME, measured=infinite)))
    assert value(families, "log_loss", slice="all") == math.inf
    assert "logloss_spark_log_loss_low" not in families
    assert "logloss_spark_ece" not in families


def test_a_comparison_has_its_challenger_as_a_label(tmp_path: Path) -> None:
    compared = measurement([], challenger=["b"], difference=[0.01])
    families = told(tmp_path, ending(replace(OUTCOME, measured=compared)))
    assert value(families, "difference", slice="all", challenger="b") == 0.01


def test_a_dashboard_that_could_not_be_told_is_a_series(tmp_path: Path) -> None:
    families = told(tmp_path, ending(told={"mlflow": False, "openlineage": True}))
    assert value(families, "dashboard_told", dashboard="mlflow") == 0
    assert value(families, "dashboard_told", dashboard="openlineage") == 1


def test_a_name_takes_the_place_of_the_config(tmp_path: Path) -> None:
    families = told(tmp_path, name="ctr")
    assert ("name", "ctr") in next(iter(families["logloss_spark_exit_code"].values))


@pytest.mark.parametrize("label", ["slice", "_own", "a-b", ""])
def test_labels_are_those_of_prometheus_and_not_ours(label: str) -> None:
    with pytest.raises(SpecError, match=r"\[prometheus\] labels must be called by a letter .* got"):
        PrometheusSection(folder="f", labels={label: "x"})


def test_a_name_is_that_of_a_file() -> None:
    with pytest.raises(SpecError, match=r"\[prometheus\] name must be letters, .* got 'a/b'"):
        PrometheusSection(folder="f", name="a/b")


def test_the_numbers_of_a_gate_have_the_rule_as_a_label(tmp_path: Path) -> None:
    gate = replace(OUTCOME, command="gate", measured=None)
    prometheus(section(tmp_path), replace(RUN, command="gate")).end(ending(gate))
    families = parsed((tmp_path / "clicks.gate.prom").read_text())
    key = (("command", "gate"), ("name", "clicks"), ("rule", "no worse"), ("slice", "country=de"))
    assert families["logloss_spark_log_loss"].values == {key: 0.45}
    assert "logloss_spark_log_loss_high" not in families


def test_an_evaluation_with_nothing_due_keeps_the_numbers_that_are_stored(tmp_path: Path) -> None:
    nothing_due = ending(replace(OUTCOME, measured=None), exit_code=3)
    assert "logloss_spark_log_loss" not in told(tmp_path, nothing_due)
    found = told(tmp_path, slices=["all", "country=*"])
    families = told(tmp_path, nothing_due)
    assert value(families, "exit_code") == 3
    assert families["logloss_spark_log_loss"] == found["logloss_spark_log_loss"]
    told(tmp_path, ending(None, exit_code=1))
    assert "logloss_spark_log_loss" not in told(tmp_path, nothing_due), "after a failure nobody knows"


def test_the_days_of_the_metrics_and_of_the_gate_are_told_apart(tmp_path: Path) -> None:
    details = {**OUTCOME.details, "last_day": "2026-11-26", "gate": {"verdict": "fail", "judged": "2026-11-24"}}
    families = told(tmp_path, ending(replace(OUTCOME, details=details), exit_code=3))
    days = [value(families, f"{what}_day_timestamp_seconds") for what in ("metrics", "gate")]
    assert days == [datetime(2026, 11, day, tzinfo=UTC).timestamp() for day in (26, 24)]
    kept = told(tmp_path, ending(replace(OUTCOME, measured=None), exit_code=3))
    assert value(kept, "metrics_day_timestamp_seconds") == days[0], "as the numbers that are kept"


def test_numbers_that_are_kept_leave_room_for_the_series_on_the_run(tmp_path: Path) -> None:
    many = measurement([f"c\x0b{number}" for number in range(500)])
    told(tmp_path, ending(replace(OUTCOME, measured=many)), slices=["country=*"])
    rules = tuple({**RULE, "name": f"rule {number}"} for number in range(50))
    families = told(tmp_path, ending(replace(OUTCOME, measured=None, verdicts=rules)))
    assert sum(len(family.values) for family in families.values()) == MOST
    assert value(families, "series_left_out") == 47
