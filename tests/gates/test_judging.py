"""What comes of a rule, on tables whose intervals and p-values SciPy knows. No Spark."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.stats

from logloss_spark.errors import SpecError
from logloss_spark.gates.estimates import Baseline, Measurement
from logloss_spark.gates.judging import Judged, judge, judge_rule
from logloss_spark.gates.rules import Against, Gate, Rule

LAST_WEEK = Against(days=7)
Z = scipy.stats.norm.ppf(0.995)


def measurement(values: Any, error: Any = 0.01, **columns: Any) -> Measurement:
    """Countries c0, c1, ... with these log losses; the first value is that of the global row."""
    n = len(values)
    countries = [None, *(f"c{place}" for place in range(n - 1))]
    table = pd.DataFrame(
        {
            "country": countries,
            "slice": ["all", *(f"country={country}" for country in countries[1:])],
            "rows": 2500,
            "n": 2000,
            "n_eff": 1900.0,
            "buckets": 0,
            "log_loss": np.asarray(values, dtype=float),
            "log_loss_se": error,
            "null_label": 500,
            "grouping_id": [1] + [0] * (n - 1),
        }
    )
    return Measurement(table.assign(**columns), ("country",))


def rule(**keys: Any) -> Rule:
    given = {"name": "r", "metric": "log_loss", "slices": ["all", "country=*"]} | keys
    if not {"at_most", "at_least", "between", "rise_at_most", "fall_at_most", "change_at_most"} & given.keys():
        given["at_most"] = 0.4
    return Rule(**given)


def judged(asked: Rule, now: Measurement, then: Measurement | None = None, **gate: Any) -> Judged:
    baseline = Baseline(measured=then, states=7) if asked.against else None
    return judge_rule(asked, Gate(rule=[asked], **gate), now, baseline)


def verdicts(found: Judged) -> dict[str, str]:
    return dict(zip(found.slices["slice"], found.slices["verdict"], strict=True))


def test_a_slice_is_over_if_its_whole_interval_is() -> None:
    found = judged(rule(), measurement([0.4 + Z * 0.01 + 1e-9, 0.4 + Z * 0.01 - 1e-9, 0.4, 0.3]), false_alarms=0.0)
    assert verdicts(found) == {"all": "fail", "country=c0": "pass", "country=c1": "pass", "country=c2": "pass"}
    assert found.slices["cause"].tolist() == ["over", "in_doubt", "in_doubt", "inside"]
    assert found.slices["value_low"][0] == pytest.approx(0.4 + 1e-9, abs=1e-12)


@pytest.mark.parametrize(
    ("bound", "values"),
    [
        ({"at_most": 0.4}, [0.4]),
        ({"at_least": 0.4}, [0.4]),
        ({"between": [0.3, 0.4]}, [0.4]),
        ({"between": [0.4, 0.5]}, [0.4]),
    ],
)
def test_a_bound_is_itself_allowed(bound: dict[str, Any], values: list[float]) -> None:
    for judge_by, error in (("point", np.nan), ("interval", 0.0)):
        found = judged(rule(judge=judge_by, **bound), measurement(values, error))
        assert verdicts(found) == {"all": "pass"}


@pytest.mark.parametrize("in_doubt", ["pass", "warn", "fail"])
def test_a_straddled_bound_is_in_doubt(in_doubt: str) -> None:
    assert verdicts(judged(rule(in_doubt=in_doubt), measurement([0.4]))) == {"all": in_doubt}
    assert verdicts(judged(rule(in_doubt=in_doubt), measurement([0.3]))) == {"all": "pass"}
    assert verdicts(judged(rule(in_doubt=in_doubt, level="warn"), measurement([0.5]))) == {"all": "warn"}


def test_p_values_are_adjusted_over_the_slices_of_a_rule_as_scipy_does() -> None:
    rng = np.random.default_rng(80)
    values, error = 0.4 + 0.03 * rng.random(60), 0.01 * (0.5 + rng.random(60))
    found = judged(rule(slices=["country=*"]), measurement(values, error), false_alarms=0.1)
    p = scipy.stats.norm.sf((values[1:] - 0.4) / error[1:])
    adjusted = scipy.stats.false_discovery_control(p)
    over = (values[1:] - Z * error[1:] > 0.4) & (adjusted <= 0.1)
    table = found.slices.assign(place=found.slices["slice"].str.removeprefix("country=c").astype(int)).sort_values(
        "place"
    )
    np.testing.assert_allclose(table["p_value"], p, rtol=1e-11)
    np.testing.assert_allclose(table["p_adjusted"], adjusted, rtol=1e-11)
    assert ((table["verdict"] == "fail") == over).all()
    assert 0 < over.sum() < 59
    assert found.adjusted_over == 59


def test_what_only_one_of_many_slices_shows_is_not_over_after_adjustment() -> None:
    values = [0.4] * 50 + [0.4 + 0.027]
    found = judged(rule(slices=["country=*"]), measurement(values))
    assert found.slices[["slice", "cause", "verdict"]].iloc[0].tolist() == ["country=c49", "adjusted", "pass"]
    assert judged(rule(slices=["country=*"]), measurement(values), false_alarms=0.0).verdict == "fail"
    assert judged(rule(slices=["country=c49"]), measurement(values)).verdict == "fail"


def test_clusters_take_students_quantile() -> None:
    reach = scipy.stats.t(9).ppf(0.995) * 0.01
    now = measurement([0.4 + reach + 1e-9, 0.4 + reach - 1e-9], buckets=10)
    found = judged(rule(), now, false_alarms=0.0)
    assert found.slices["cause"].tolist() == ["over", "in_doubt"]
    assert found.slices["p_value"][0] == pytest.approx(scipy.stats.t(9).sf((reach + 1e-9) / 0.01), rel=1e-9)


def test_a_change_has_the_errors_of_both_sides() -> None:
    now, then = measurement([0.5, 0.45], 0.01), measurement([0.4, 0.45], 0.02)
    found = judged(rule(against=LAST_WEEK, rise_at_most=0.01), now, then)
    error = np.hypot(0.01, 0.02)
    first = found.slices.iloc[0]
    assert first[["slice", "verdict"]].tolist() == ["all", "fail"]
    assert first[["baseline", "change"]].tolist() == pytest.approx([0.4, 0.1])
    assert first["change_low"] == pytest.approx(0.1 - Z * error)
    assert first["p_value"] == pytest.approx(scipy.stats.norm.sf(0.09 / error), rel=1e-9)


def test_a_percentage_is_of_the_baseline_whose_error_counts_too() -> None:
    now, then = measurement([0.5], 0.01), measurement([0.4], 0.02)
    found = judged(rule(against=LAST_WEEK, rise_at_most="2%"), now, then).slices.iloc[0]
    draws = np.random.default_rng(81).normal([0.5, 0.4], [0.01, 0.02], (200_000, 2))
    changes = (draws[:, 0] - draws[:, 1]) / draws[:, 1]
    assert found["change"] == pytest.approx(0.25)
    # The error is that to first order: of a baseline that is known to 5 % it is right to half a percent or so.
    assert found["error"] == pytest.approx(changes.std(), rel=0.02)
    negative = judged(
        rule(metric="overconfidence", judge="point", against=LAST_WEEK, rise_at_most="10%"),
        measurement([0.5], overconfidence=-0.08),
        measurement([0.5], overconfidence=-0.1),
    )
    assert negative.slices["change"][0] == pytest.approx(0.2)
    assert negative.verdict == "fail"


@pytest.mark.parametrize(
    ("now", "then", "cause"),
    [
        ([0.5, 0.5], [0.4], "no_baseline"),
        ([0.5, 0.5], [0.4, np.nan], "no_baseline"),
        ([0.5, np.nan], [0.4, 0.4], "null"),
    ],
)
def test_a_slice_without_a_baseline_is_said_and_passes(now: Any, then: Any, cause: str) -> None:
    asked = rule(against=LAST_WEEK, rise_at_most=0.2)
    found = judged(asked, measurement(now), measurement(then))
    assert found.slices.set_index("slice").loc["country=c0", "cause"] == cause
    assert found.verdict == "pass"


def test_where_there_is_no_baseline_at_all_the_rule_says_so() -> None:
    for on_no_baseline, verdict in (("pass", "no_baseline"), ("warn", "warn"), ("fail", "fail")):
        asked = rule(against=LAST_WEEK, rise_at_most=0.2, on_no_baseline=on_no_baseline)
        assert judged(asked, measurement([0.5, 0.4])).verdict == verdict


def test_a_percentage_of_nothing_is_no_baseline() -> None:
    asked = rule(against=LAST_WEEK, rise_at_most="2%")
    assert judged(asked, measurement([0.5]), measurement([0.0])).verdict == "no_baseline"


def test_the_same_users_on_both_sides_are_subtracted_bucket_by_bucket() -> None:
    rng = np.random.default_rng(82)
    shared, own, other = rng.normal(size=64), 0.1 * rng.normal(size=64), 0.1 * rng.normal(size=64)
    sides = []
    for value, influence in ((0.41, shared + own), (0.4, shared + other)):
        influence = (influence - influence.mean())[np.newaxis] * 1e-3
        error = np.sqrt(64 / 63 * np.sum(influence**2))
        plain = measurement([value], error, buckets=64)
        sides.append(Measurement(plain.table, plain.slices, np.ones((1, 64), bool), {"log_loss": influence}))
    asked = rule(against=LAST_WEEK, rise_at_most=0.005)
    found = judged(asked, *sides).slices.iloc[0]
    difference = (own - other - (own - other).mean()) * 1e-3
    error = np.sqrt(64 / 63 * np.sum(difference**2))
    assert found["error"] == pytest.approx(error, rel=1e-9)
    assert found["p_value"] == pytest.approx(scipy.stats.t(63).sf(0.005 / error), rel=1e-9)
    assert found["verdict"] == "fail"
    assert sides[0].table["log_loss_se"][0] > 5 * error


def test_a_change_by_clusters_that_has_no_influences_is_refused() -> None:
    now = measurement([0.5], buckets=64)
    with pytest.raises(SpecError, match="rule 'r': the change of 'log_loss' has no error by clusters"):
        judged(rule(against=LAST_WEEK, rise_at_most=0.1), now, now)
    point = rule(against=LAST_WEEK, rise_at_most=0.1, judge="point")
    assert judged(point, now, now).verdict == "pass"


def test_few_rows_are_not_judged_and_do_not_hide_what_was() -> None:
    now = measurement([0.3, 0.5], n=[5000, 999])
    assert verdicts(judged(rule(), now)) == {"all": "pass", "country=c0": "too_few"}
    assert judged(rule(), now).verdict == "pass"
    assert judged(rule(slices=["country=*"]), now).verdict == "too_few"
    assert judged(rule(min_rows=999), now).verdict == "fail"
    assert judged(rule(), now, min_rows=0).verdict == "fail"
    asked = rule(against=LAST_WEEK, rise_at_most=0.1)
    assert judged(asked, measurement([0.5]), measurement([0.3], n=10)).verdict == "too_few"


def test_counts_are_judged_whatever_the_rows() -> None:
    few = measurement([0.3], n=5)
    assert judged(rule(metric="n", at_least=1000, judge="point"), few).verdict == "fail"
    labels = rule(metric="null_label / rows", at_most=0.1, judge="point")
    assert judged(labels, few).verdict == "fail"  # 500 of 2,500 rows; none of them need be scored
    assert judged(labels, measurement([0.3], rows=999)).verdict == "too_few"
    assert judged(labels, measurement([0.3], rows=0)).verdict == "fail"


@pytest.mark.parametrize(
    ("keys", "of_all", "of_country"),
    [
        ({}, "fail", "missing"),
        ({"on_missing": "skip"}, "missing", "missing"),
        ({"on_missing": "fail"}, "fail", "fail"),
        ({"on_missing": "warn"}, "warn", "warn"),
        ({"level": "warn"}, "warn", "missing"),
    ],
)
def test_a_null_metric_is_missing(keys: dict[str, Any], of_all: str, of_country: str) -> None:
    found = judged(rule(**keys), measurement([np.nan, np.nan]))
    assert verdicts(found) == {"all": of_all, "country=c0": of_country}


def test_an_interval_that_is_undefined_is_missing_and_a_point_is_not() -> None:
    now = measurement([0.3], np.nan)
    assert judged(rule(), now).slices[["cause", "verdict"]].iloc[0].tolist() == ["no_error", "fail"]
    assert judged(rule(judge="point"), now).verdict == "pass"


def test_an_infinite_loss_is_over_every_bound() -> None:
    found = judged(rule(at_most=1e300), measurement([np.inf], np.nan))
    assert found.slices[["verdict", "p_value", "value_low"]].iloc[0].tolist() == ["fail", 0.0, np.inf]
    changed = judged(rule(against=LAST_WEEK, rise_at_most="2%"), measurement([np.inf], np.nan), measurement([0.4]))
    assert changed.verdict == "fail"


def test_a_rule_that_matches_nothing_fails() -> None:
    now = measurement([0.3, 0.3])
    assert judged(rule(slices=["country=XX"]), now).verdict == "fail"
    assert judged(rule(slices=["country=XX"], on_missing="skip"), now).verdict == "fail"
    assert judged(rule(slices=["country=*"], except_=["country=c*"]), now).verdict == "fail"
    some = judged(rule(slices=["all", "country=XX"]), now)
    assert (some.verdict, some.unmatched) == ("pass", ("country=XX",))
    assert judged(rule(slices=["all", "country=XX"], on_missing="fail"), now).verdict == "fail"


def test_what_is_excepted_is_not_judged() -> None:
    now = measurement([0.3, 0.9, 0.3])
    found = judged(rule(except_=["country=c0"]), now)
    assert verdicts(found) == {"all": "pass", "country=c1": "pass"}


@pytest.mark.parametrize(
    ("earlier", "verdict"), [([], "watch"), ([True], "fail"), ([False, True], "fail"), ([False, False, True], "watch")]
)
def test_a_rule_may_wait_until_it_was_over_in_two_of_three_runs(earlier: list[bool], verdict: str) -> None:
    asked = rule(slices=["country=*"], persist="2 of 3")
    runs = [{"r": [(("country", "c0"),)] if was_over else []} for was_over in earlier]
    found = judge_rule(asked, Gate(rule=[asked]), measurement([0.3, 0.6]), earlier=runs)
    assert found.verdict == verdict
    assert found.over == {(("country", "c0"),)}
    now_fine = judge_rule(asked, Gate(rule=[asked]), measurement([0.3, 0.3]), earlier=runs)
    assert (now_fine.verdict, now_fine.over) == ("pass", frozenset())


def test_slices_come_the_worst_first() -> None:
    found = judged(rule(), measurement([0.39, 0.6, 0.5, 0.1, 0.2], n=[2000, 2000, 2000, 10, 2000]))
    order = [("country=c0", "fail"), ("country=c1", "fail"), ("all", "pass"), ("country=c3", "pass")]
    assert list(verdicts(found).items()) == [*order, ("country=c2", "too_few")]


def test_a_gate_has_the_worst_of_its_rules() -> None:
    rules = [
        rule(name="a"),
        rule(name="b", at_most=0.1, level="warn"),
        rule(name="c", slices=["country=c9"], level="warn"),
    ]
    found = judge(Gate(rule=rules), measurement([0.3]))
    assert [one.verdict for one in found.rules] == ["pass", "warn", "warn"]
    assert (found.verdict, found.counts) == ("warn", {"warn": 2, "pass": 1})


def test_a_challenger_is_judged_by_its_name() -> None:
    table = measurement([0.0, 0.0]).table.drop(columns=["log_loss", "log_loss_se", "country"])
    table = table.assign(
        slice="all", grouping_id=0, challenger=["new", "newer"], difference=[0.001, 0.009], difference_se=1e-4
    )
    now = Measurement(table, ())
    asked = {"metric": "difference", "at_most": 0.002, "slices": ["all"]}
    assert judged(rule(model="new", **asked), now).verdict == "pass"
    assert judged(rule(model="newer", **asked), now).verdict == "fail"
    with pytest.raises(SpecError, match="rule 'r': a rule on a comparison must name its model; it has: new, newer"):
        judged(rule(**asked), now)
    with pytest.raises(SpecError, match=r"model 'nw' is not compared; it has: new, newer\. Did you mean 'new'"):
        judged(rule(model="nw", **asked), now)
    with pytest.raises(SpecError, match="model 'new' needs a comparison"):
        judged(rule(model="new"), measurement([0.3]))


def test_what_the_table_does_not_have_is_one_line() -> None:
    with pytest.raises(SpecError, match="rule 'r': metric 'brier' is not in the table; it has: "):
        judged(rule(metric="brier"), measurement([0.3]))
    lists = measurement([0.3]).table.assign(calibration_ratio=[[1.0, 1.0]], calibration_ratio_se=[[0.1, 0.1]])
    with pytest.raises(SpecError, match="one number for each slice, and 'calibration_ratio' has one for each class"):
        judged(rule(metric="calibration_ratio"), Measurement(lists, ("country",)))
    with pytest.raises(SpecError, match="rule 'r': a slice is named by its columns, and 'day="):
        judged(rule(slices=["day=*"]), measurement([0.3]))
