"""What a person and a program are shown of a gate, and that no name of a slice breaks a format. No Spark."""

import html
import json
import re
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest

from logloss_spark.gates.estimates import Baseline, Measurement
from logloss_spark.gates.judging import Judgement, judge
from logloss_spark.gates.rules import Against, Gate, Rule
from logloss_spark.report.ci import ANNOTATIONS, annotations, to_junit, to_markdown
from logloss_spark.report.gate_documents import LISTED, ROW, document_of, rows_of_document, to_json
from logloss_spark.report.gates import SHOWN, title_of_gate, view_of_gate
from logloss_spark.report.text import as_text
from tests import hostile

LAST_WEEK = Against(days=7)


def measurement(losses: dict[str | None, float], **columns: Any) -> Measurement:
    """Log losses by country; None is the global row."""
    table = pd.DataFrame(
        {
            "country": list(losses),
            "slice": ["all" if name is None else f"country={name}" for name in losses],
            "rows": 2500,
            "n": 2000,
            "n_eff": 1900.0,
            "buckets": 0,
            "log_loss": list(losses.values()),
            "log_loss_se": 0.01,
            "grouping_id": [int(name is None) for name in losses],
        }
    )
    return Measurement(table.assign(**columns), ("country",))


def judgement(now: Measurement, *rules: Rule, then: Measurement | None = None, **gate: Any) -> Judgement:
    baseline = Baseline(measured=then, states=7, first="2026-11-01", last="2026-11-07")
    return judge(Gate(rule=list(rules), **gate), now, {LAST_WEEK: baseline})


def bound(name: str = "low enough", **keys: Any) -> Rule:
    return Rule(**{"name": name, "metric": "log_loss", "slices": ["all", "country=*"], "at_most": 0.4} | keys)


RISE = Rule(
    name="no worse",
    metric="log_loss",
    slices=["country=*"],
    except_=["country=xx"],
    against=LAST_WEEK,
    rise_at_most="2%",
)
PLAIN = judgement(
    measurement({None: 0.3, "de": 0.5, "fr": 0.3, "xx": 0.9}),
    bound(except_=["country=xx"]),
    RISE,
    bound("of nobody", slices=["country=zz"], level="warn"),
    then=measurement({None: 0.3, "de": 0.4, "it": 0.3}),
)


def test_a_person_sees_the_worst_rules_and_slices_first() -> None:
    text = as_text(view_of_gate(PLAIN, "states/2026-11-08"), width=110)
    assert text.splitlines()[0] == "gate of states/2026-11-08: fail (3 rules: 2 fail, 1 warn; 99% intervals)"
    table = [re.split(r"\s{2,}", line)[0] for line in text.splitlines()[2:5]]
    assert [line.split()[:2] for line in table] == [["low", "enough"], ["no", "worse"], ["of", "nobody"]]
    assert "country=de" in text
    assert "+25% [+15.1%, +34.9%]" not in text  # hypot(0.01, 1.25 * 0.01) / 0.4 = 0.04; 2.576 of it
    assert "+25% [+14.7%, +35.3%]" in text
    assert "of nobody: no slice matches country=zz" in text
    assert "no worse: not judged: 1 no_baseline of 2 slices" in text
    assert "no worse: compared with 7 states, 2026-11-01 to 2026-11-07" in text


def test_many_bad_slices_are_counted_and_the_worst_are_shown() -> None:
    found = judgement(
        measurement({f"c{place}": 0.5 + place / 1000 for place in range(40)}), bound(slices=["country=*"])
    )
    view = view_of_gate(found, "s")
    assert view.table["slice"] == [f"country=c{39 - place}" for place in range(SHOWN)]
    assert f"low enough: of 40 slices that did not pass the worst {SHOWN} are shown" in view.remarks
    assert "low enough: p is adjusted over 40 slices" in view.remarks


def test_the_document_says_all_that_a_verdict_rests_on() -> None:
    run = {"run_id": "r1", "run_date": "2026-11-08", "version": "1"}
    document = json.loads(to_json(document_of(PLAIN, run)))
    assert list(document) == [
        "schema",
        "verdict",
        "run_id",
        "run_time",
        "run_date",
        "judged",
        "config",
        "version",
        "counts",
        "rules",
    ]
    assert (document["schema"], document["verdict"], document["run_time"]) == (1, "fail", None)
    assert document["counts"] == {"rules": {"fail": 2, "warn": 1}, "slices": {"fail": 2, "pass": 2, "no_baseline": 1}}
    absolute, rise, nobody = document["rules"]
    assert (absolute["bound"], absolute["allowed"], absolute["relative"]) == ({"at_most": 0.4}, [None, 0.4], False)
    assert (absolute["confidence"], absolute["judge"], absolute["in_doubt"]) == (0.99, "interval", "pass")
    assert (absolute["adjusted_over"], absolute["except"]) == (3, ["country=xx"])
    first = absolute["slices"][0]
    assert (first["slice"], first["keys"], first["rows"], first["n"]) == ("country=de", {"country": "de"}, 2500, 2000)
    assert first["low"] < first["value"] < first["high"]
    assert (first["baseline"], first["change"]) == (None, None)
    assert first["reason"].startswith("log_loss 0.5 [0.4742, 0.5258], at most 0.4: over the bound")
    assert rise["baseline"] == {"from": "2026-11-01", "to": "2026-11-07", "states": 7, "because": None}
    assert rise["slices"][0]["change"]["value"] == pytest.approx(0.25)
    assert rise["slices"][1]["baseline"] == {"value": None, "low": None, "high": None}
    assert rise["over"] == [{"country": "de"}]
    assert (nobody["reason"], nobody["unmatched"], nobody["slices"]) == ("no slice matches", ["country=zz"], [])


def test_a_document_is_a_table_too() -> None:
    table = pd.DataFrame(rows_of_document(document_of(PLAIN, {"run_id": "r1"})), columns=list(ROW))
    assert table["rule"].tolist() == ["low enough"] * 3 + ["no worse"] * 2 + ["of nobody"]
    assert table["slice"].tolist()[:1] == ["country=de"]
    assert table.loc[3, ["run_id", "verdict", "change"]].tolist() == ["r1", "fail", pytest.approx(0.25)]
    assert table.loc[5, ["verdict", "reason"]].tolist() == ["warn", "no slice matches"]
    assert set(table) == set(ROW)


def test_infinite_numbers_and_nan_are_null() -> None:
    document = document_of(judgement(measurement({None: np.inf}, log_loss_se=np.nan), bound()), {})
    (slice_,) = document["rules"][0]["slices"]
    assert (slice_["value"], slice_["low"], slice_["verdict"]) == (None, None, "fail")
    json.loads(to_json(document), parse_constant=lambda name: pytest.fail(name))


def test_a_document_of_many_slices_lists_the_worst_and_counts_the_others() -> None:
    now = measurement({f"c{place}": 0.3 for place in range(LISTED + 7)} | {"bad": 0.9})
    (rule,) = document_of(judgement(now, bound(slices=["country=*"])), {})["rules"]
    assert (len(rule["slices"]), rule["slices_not_listed"]) == (LISTED, 8)
    assert rule["slices"][0]["slice"] == "country=bad"


def test_junit_has_a_suite_for_each_rule_and_a_case_for_each_slice() -> None:
    root = ElementTree.fromstring(to_junit(PLAIN))
    suites = {suite.get("name"): suite for suite in root}
    assert list(suites) == ["low enough", "no worse", "of nobody"]
    assert [(suite.get("tests"), suite.get("failures"), suite.get("skipped")) for suite in root] == [
        ("3", "1", "0"),
        ("2", "1", "1"),
        ("1", "0", "0"),
    ]
    case = suites["low enough"][0]
    assert case.get("name") == "country=de"
    assert "over the bound" in (case.find("failure").get("message") or "")  # type: ignore[union-attr]


def test_github_sees_at_most_ten_annotations_the_worst_first() -> None:
    now = measurement({f"c{place}": 0.5 for place in range(20)})
    found = judgement(now, bound("warns", slices=["country=*"], level="warn"), bound("fails", slices=["country=c1*"]))
    lines = list(annotations(found))
    assert len(lines) == ANNOTATIONS
    assert all(line.startswith("::error title=gate fail%3A fails%2C country=c1") for line in lines)
    assert [line.partition(" ")[0] for line in annotations(PLAIN)] == ["::error", "::error", "::warning"]


@pytest.mark.parametrize("text", hostile.TEXTS.values(), ids=list(hostile.TEXTS))
def test_a_hostile_slice_breaks_no_format(text: str) -> None:
    found = judgement(measurement({text: 0.9}), bound(name=f"rule {text}", slices=["country=*"]))
    assert not hostile.unsafe(as_text(view_of_gate(found, text)), 510)
    assert json.loads(to_json(document_of(found, {})))["rules"][0]["slices"][0]["keys"] == {"country": text}
    (line,) = annotations(found)
    assert not hostile.unsafe(line, 2_000)
    title, message = re.fullmatch(r"::error title=([^:,]*)::(.*)", line).groups()  # type: ignore[union-attr]
    assert re.sub("%(25|3A|2C)", "", title + message).count("%") == 0
    root = ElementTree.fromstring(to_junit(found))
    assert [len(suite) for suite in root] == [1]
    markdown = to_markdown(found, text)
    rows = [line for line in markdown.splitlines() if line.startswith("|")]
    assert len(rows) == 3
    assert all(row.count("|") == 7 for row in rows)
    assert not set("<`[]\\~$@") & set(markdown)
    assert not hostile.unsafe(html.unescape(markdown), 2_000)


def test_every_sign_that_xml_forbids_is_replaced() -> None:
    signs = "".join(map(chr, (*range(32), *range(127, 160), 0xD800, 0xFFFE, 0xFFFF, 0x1FFFF)))
    for place in range(0, len(signs), 10):
        found = judgement(measurement({signs[place : place + 10]: 0.9}), bound(slices=["country=*"]))
        ElementTree.fromstring(to_junit(found).encode("utf-8"))


def test_the_title_says_what_was_judged() -> None:
    fine = judgement(measurement({None: 0.3}), bound())
    assert title_of_gate(fine, "clicks") == "gate of clicks: pass (1 rule: 1 pass; 99% intervals)"
