"""Reports as one HTML file: what stands on the page, in what order, and that nothing on it runs. No Spark."""

import hashlib
import html
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest
from matplotlib.figure import Figure

import logloss_spark
from logloss_spark.gates.estimates import Baseline, Measurement
from logloss_spark.gates.judging import judge
from logloss_spark.gates.rules import Against, Gate, Rule
from logloss_spark.report.first_screen import headline, numbers
from logloss_spark.report.html import digest, template, to_html
from logloss_spark.report.over_time import bounds_of, draw, near
from logloss_spark.report.over_time import of_days as over_time
from logloss_spark.report.palette import LIGHT
from logloss_spark.report.recalibrations import view_of_gains
from logloss_spark.report.sections import sections_of
from logloss_spark.report.slice_table import slice_table
from logloss_spark.report.text import View
from logloss_spark.statistics.recalibration import Gain
from tests import hostile
from tests.quick import quick
from tests.report.pages import by_country_and_device, by_day, cells, full_page, metrics_of, page

COUNTRIES = by_country_and_device(["de", "fr", "it"])
VOID = {"meta", "input", "br", "wbr"}


class Elements(HTMLParser):
    """The elements of a document: their names, ids and attributes, and whether all of them end."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.names: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.append(tag)
        self.attributes += attrs
        self.ids += [value or "" for name, value in attrs if name == "id"]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.fixture(scope="module")
def document() -> str:
    return to_html(full_page(COUNTRIES))


def test_the_sections_are_in_the_order_in_which_a_reader_asks(document: str) -> None:
    titles = re.findall(r"<h2 [^>]*>(.*?)</h2>", document)
    assert titles == [
        "Rows", "Gate", "Over time", "Reliability", "Slices", "Slices that are worse than the rest",
        "Where the loss comes from", "What recalibration would gain", "Classes", "Drift", "Comparison", "Fit",
        "How this was made",
    ]  # fmt: skip


def test_what_a_page_does_not_have_has_no_section() -> None:
    few = page(metrics_of(COUNTRIES.head(0)).assign(log_loss_miscalibration=float("nan")))
    assert [section.title for section in sections_of(few)] == ["Rows"]


def test_the_first_numbers_are_three_with_intervals() -> None:
    shown = numbers(page(metrics_of(COUNTRIES)))
    assert [(number.name, number.value) for number in shown] == [
        ("log loss", "0.5000"), ("normalized entropy", "0.8333"), ("calibration ratio", "1.0300"),
    ]  # fmt: skip
    assert all(number.interval and number.coverage == "95% interval" for number in shown)


@pytest.mark.parametrize(
    ("low", "high", "few", "word"),
    [
        (0.8, 0.9, False, "Better than the base rate"),
        (1.1, 1.2, False, "Worse than the base rate"),
        (0.9, 1.1, False, "No better than the base rate"),
        (0.8, 0.9, True, "Too few rows to tell"),
        (float("nan"), float("nan"), False, "Evaluated"),
    ],
)
def test_without_a_gate_the_forecasts_are_compared_with_the_base_rate(
    low: float, high: float, few: bool, word: str
) -> None:
    measured = metrics_of(COUNTRIES).assign(normalized_entropy_low=low, normalized_entropy_high=high, few=few)
    assert headline(page(measured)).word == word


def test_the_headline_says_the_whole_name_of_a_rule_and_its_table_says_it_once() -> None:
    name = "calibrated by country and device, as the people who buy these forecasts were promised in spring"
    measured = metrics_of(COUNTRIES)
    rule = Rule(name=name, metric="log_loss", slices=["country=*"], at_most=0.1)
    found = judge(Gate(rule=[rule]), Measurement(measured, ("country", "device")), {})
    document = to_html(page(measured, judgement=found))
    assert f"<strong>Fail</strong> 1 of 1 rule: {name} (country=" in document
    assert document.count(f'<th scope="rowgroup" rowspan="3">{name}</th>') == 1


def test_a_share_that_is_not_0_is_not_shown_as_0() -> None:
    measured = metrics_of(COUNTRIES).assign(rows=9_000_012)
    assert "9,000,000 of 9,000,012 rows were scored; &lt;0.01% were not:" in to_html(page(measured))


def test_a_gate_names_the_rules_that_fail_first(document: str) -> None:
    assert "<strong>Fail</strong> 1 of 2 rules: plain (all)." in document


def test_the_same_page_gives_the_same_bytes_in_another_process_and_under_another_style() -> None:
    code = (
        "import hashlib, matplotlib; matplotlib.rcParams.update({'axes.grid': True, 'font.size': 20})\n"
        "from logloss_spark.report.html import to_html\n"
        "from tests.report.pages import by_country_and_device, cells, metrics_of, page\n"
        "of_countries = page(metrics_of(by_country_and_device(['de', 'fr', 'it'])), cells=cells())\n"
        "print(hashlib.sha256(to_html(of_countries).encode()).hexdigest())\n"
    )
    env = {**os.environ, "PYTHONPATH": ".", "PYTHONHASHSEED": "1"}
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=env)
    document = to_html(page(metrics_of(COUNTRIES), cells=cells()))
    assert ran.stdout == f"{hashlib.sha256(document.encode()).hexdigest()}\n"


def test_a_document_is_whole_has_ids_of_its_own_and_asks_for_nothing(document: str) -> None:
    found = Elements(document)
    assert not found.open
    assert len(found.ids) == len(set(found.ids))
    assert not {"img", "link", "iframe", "object", "base"} & set(found.names)
    addresses = [value for name, value in found.attributes if name in ("src", "href", "action") and value]
    assert all(value.startswith("#") and value[1:] in found.ids for value in addresses)
    assert not [name for name, _ in found.attributes if name.startswith("on")]
    assert "url(http" not in document


def test_pictures_take_all_their_colours_from_the_page(document: str) -> None:
    pictures = re.findall(r"<svg.*?</svg>", document, flags=re.DOTALL)
    assert len(pictures) == 10
    for drawn in pictures:
        assert not re.search(r"#[0-9a-fA-F]{6}|rgb", drawn)
        assert re.match(r'<svg viewBox="0 0 288 [\d.]+" aria-hidden="true" focusable="false">', drawn)
    assert set(re.findall(r"var\(--(\w+)\)", "".join(pictures))) <= set(vars(LIGHT))


def test_every_picture_says_what_it_shows(document: str) -> None:
    words = re.findall(r'<div role="img" aria-label="([^"]+)">', document)
    assert len(words) == document.count("<svg")
    assert "The expected calibration error is 0.0200" in words[1]
    assert "the least is" in words[0]


def check_inert(document: str) -> None:
    """AssertionError where a name became an element, an attribute or an id."""
    found = Elements(document)
    assert not found.open
    assert found.names.count("script") == 2
    assert len(found.ids) == len(set(found.ids))
    assert not {"img", "b"} & set(found.names)
    assert not [name for name, _ in found.attributes if name.startswith("on")]
    assert not set(document) & (hostile.CONTROLS - {"\n"})


def test_hostile_names_of_slices_are_text() -> None:
    check_inert(to_html(page(metrics_of(by_country_and_device(list(hostile.TEXTS.values()))))))


@pytest.mark.parametrize("name", quick(["script", "quotes", "title of the terminal"], "script"))
def test_hostile_texts_are_text_wherever_they_stand(name: str) -> None:
    text = hostile.TEXTS[name]
    check_inert(to_html(full_page(by_country_and_device([text, "de"]), text)))


def test_names_from_data_are_no_starts_of_sentences() -> None:
    frame = metrics_of(COUNTRIES)
    view = View(title="", table={"slice": ["all"]}, remarks=["v2 is better than v1", "no evidence on others"])
    differences = frame.head(1).assign(
        challenger="v2", verdict="better", difference=-0.01, difference_low=-0.02, difference_high=0.0
    )
    rule = Rule(name="no worse", metric="log_loss", at_most=0.4, slices=["country=xx"])
    judged = judge(Gate(rule=[rule]), Measurement(frame, ("country", "device")), {})
    document = to_html(page(frame, comparison=view, differences=differences, judgement=judged))
    assert "<p>v2 is better than v1.</p>" in document
    assert "<p>No evidence on others.</p>" in document
    assert "no worse: no slice matches" in document
    assert "No worse" not in document


def test_a_slice_shows_its_blanks_and_breaks_between_its_columns() -> None:
    document = to_html(page(metrics_of(by_country_and_device(["", "  "]))))
    for country in ("&#34;&#34;", "&#34;  &#34;"):
        assert f'<th scope="row">country={country}/<wbr>device=phone</th>' in document


def test_the_table_of_a_gate_begins_with_what_was_judged(document: str) -> None:
    gate = re.findall(r'<section id="gate".*?</section>', document, flags=re.DOTALL)[0]
    heads = re.findall(r"<th scope=\"col\".*?>(.*?)</th>", gate)
    assert heads == ["rule", "verdict", "judged", "bound", "slice", "p"]


def test_captions_say_what_is_red_what_a_box_is_and_what_is_adjusted() -> None:
    document = to_html(page(metrics_of(COUNTRIES).assign(auc_bound=0.0112), cells=cells()))
    assert "The line is red where it leaves the band." in document
    assert "This may move the area (AUC) by up to 0.011 beyond its interval." in document
    assert "differ from it after adjustment for all 9 (Benjamini and Hochberg)." in document
    assert "The number of slices above, and the colours and the filter of the table, take each interval" in document
    assert "beyond its interval" not in to_html(page(metrics_of(COUNTRIES), cells=cells()))


def test_a_gain_below_0_is_a_rise() -> None:
    known = {
        "platt": gain(0.01, 0.002, 0.018), "beta": gain(0.01, -0.001, 0.021), "isotonic": gain(-0.01, -0.02, 0.001),
        "temperature": gain(-0.01, -0.02, -0.001),
    }  # fmt: skip
    view = view_of_gains(known)
    assert view.remarks == [
        "platt: the log loss would fall",
        "beta: the log loss would fall here, and may rise on new rows",
        "isotonic: the log loss would rise: there is nothing to gain",
        "temperature: the log loss would rise, on new rows too: do not recalibrate",
        "an interval is of the fall on as many new rows; that of the expected fall is narrower by the root of 2",
    ]
    assert list(view.table)[:3] == ["method", "loss falls by", "95% interval"]  # a phone shows these
    assert "Temperature: the log loss would rise" in to_html(page(metrics_of(COUNTRIES), recalibration=view))
    assert view_of_gains({"platt": (9, None)}).remarks == []


def gain(value: float, low: float, high: float) -> tuple[int, Gain]:
    return 9, Gain(value, 0.005, low, high, 0.95, 500, "held-out rows")


def test_secrets_are_shown_nowhere() -> None:
    shown = full_page(by_country_and_device(["de"]), "s3a://id:hidden@bucket/hush-hush")
    document = to_html(replace(shown, secrets=["hush-hush"]))
    text = re.sub(r"<svg.*?</svg>", "", document, flags=re.DOTALL)
    assert "***" in text
    assert "hush-hush" not in text
    assert "id:hidden" not in text


def test_no_script_but_ours_may_run(document: str) -> None:
    policy = html.unescape(re.findall(r'Content-Security-Policy" content="([^"]+)"', document)[0])
    assert policy.startswith("default-src 'none'; ")
    scripts = re.findall(r"<script>(.*?)</script>", document, flags=re.DOTALL)
    assert scripts == [template("report.js")]
    assert f"script-src '{digest(scripts[0])}'" in policy


def test_data_of_the_table_end_where_they_should() -> None:
    hostile_names = by_country_and_device(["</script><script>alert(1)</script>", "<!--", "\u2028"])
    document = to_html(page(metrics_of(hostile_names)))
    data = re.findall(r'<script type="application/json" id="slices-data">(.*?)</script>', document)[0]
    assert "<" not in data
    assert json.loads(data)["rows"][0][0] in (0, 1)


def test_slices_that_add_most_to_the_loss_come_first_and_40_need_no_script() -> None:
    many = metrics_of(by_country_and_device([f"c{index}" for index in range(30)]))
    table = slice_table(page(many))
    assert table is not None
    added = [row[2 + table.order] for row in table.rows]
    assert added == sorted(added, reverse=True)
    assert table.sets == ("country", "country and device")
    document = to_html(page(many))
    assert "40 of 90 slices; a script shows the others" in document
    body = re.findall(r'id="slices".*?<tbody>(.*?)</tbody>', document, flags=re.DOTALL)[0]
    assert body.count("<tr") == 40


def test_a_slice_of_too_few_rows_is_neither_better_nor_worse() -> None:
    table = slice_table(page(metrics_of(COUNTRIES).assign(few=True, log_loss_low=0.9)))
    assert table is not None
    assert {(row[1], row[-1]) for row in table.rows} == {(0, "few")}


def test_numbers_that_are_not_defined_or_infinite_are_words() -> None:
    frame = metrics_of(COUNTRIES)
    frame.loc[1, "log_loss"] = float("inf")
    frame.loc[2, "normalized_entropy"] = float("nan")
    document = to_html(page(frame))
    data = json.loads(re.findall(r'id="slices-data">(.*?)</script>', document)[0])
    assert "inf" in data["rows"][0]
    assert any(None in row for row in data["rows"])


@pytest.mark.slow
def test_five_thousand_slices_are_below_a_megabyte() -> None:
    many = by_country_and_device([f"{index:03}" for index in range(100)], [f"age_group={age}" for age in range(49)])
    text = to_html(full_page(many))
    assert len(many) == 5_000
    assert text.count("country=099") > 40
    assert len(text.encode()) < 1_000_000


def test_bounds_of_the_gate_and_the_days_it_compares_with_are_drawn_over_time() -> None:
    of_days, overall = by_day(20), metrics_of(COUNTRIES)
    against = Against(days=7)
    rules = [
        Rule(name="bounded", metric="log_loss", at_most=0.7),
        Rule(name="far", metric="log_loss", at_most=99.0),
        Rule(name="as before", metric="log_loss", against=against, rise_at_most="10%"),
    ]
    baseline = Baseline(measured=Measurement(overall, ("country", "device")), first="2026-01-12", last="2026-01-18")
    found = judge(Gate(rule=rules), Measurement(overall, ("country", "device")), {against: baseline})
    assert bounds_of(found, "log_loss") == [0.7, 99.0, pytest.approx(0.55)]
    assert near(bounds_of(found, "log_loss"), of_days, "log_loss") == [0.7, pytest.approx(0.55)]
    section = over_time(page(overall, judgement=found, days=of_days, day="day"))
    assert section is not None
    (drawn,) = section.pictures
    assert "Red lines are bounds of the gate." in drawn.caption
    assert "Grey are the days that it compares with, 2026-01-12 to 2026-01-18." in drawn.caption
    assert drawn.svg.count("stroke: var(--bad)") >= 2


def test_the_panels_over_time_have_the_same_days_above_each_other() -> None:
    panels = Figure().subplots(2)
    bounds: dict[str, list[float]] = {"log_loss": [], "n": []}
    draw(panels, days=by_day(20), day="day", bounds=bounds, window=("2026-01-01", "2026-01-18"), young=by_day(0))
    assert panels[0].get_xlim() == panels[1].get_xlim()


def test_days_whose_labels_may_still_come_are_hollow_and_listed_with_their_age_and_share() -> None:
    days = by_day(10)
    days.loc[days["slice"].isin(["day=2026-01-09", "day=2026-01-10"]), ["unlabelled", "rows"]] = [500, 1500]
    ages = dict.fromkeys(map(str, days["day"].iloc[1:]), 7) | {"2026-01-09": 3, "2026-01-10": 0}
    shown = page(metrics_of(COUNTRIES), days=days, day="day", ages=ages, final_age=7)
    section = over_time(shown)
    assert section is not None
    assert section.lines[1].startswith("Labels may still come for 2 days, the hollow ones: ")
    assert section.tables[0].table == {
        "day": ["2026-01-10", "2026-01-09"], "age in days": ["0 of 7", "3 of 7"],
        "share labelled": ["66.7%", "66.7%"], "rows scored": ["1,000", "1,000"],
    }  # fmt: skip
    assert "Hollow are the days whose labels may still come." in section.pictures[0].caption
    assert "share labelled over 10 days: the least is 0.6667 on 2026-01-09" in section.pictures[0].words
    panel = Figure().subplots(1)
    young = days[days["unlabelled"] > 0]
    draw([panel], days=days, day="day", bounds={"log_loss": []}, window=None, young=young)
    (hollow,) = (line for line in panel.lines if line.get_label() == "immature")
    assert (list(hollow.get_xdata()), hollow.get_markerfacecolor()) == ([8.0, 9.0], LIGHT.page)
    mature = over_time(replace(shown, ages=dict.fromkeys(ages, 7)))
    assert mature is not None
    assert (len(mature.lines), mature.tables) == (1, ())
    without_config = over_time(replace(shown, final_age=None))
    assert without_config is not None
    assert without_config.tables[0].table["age in days"] == ["0", "3"]


def test_without_the_extra_one_line_says_which_is_missing() -> None:
    code = (
        "import sys; sys.modules['jinja2'] = None\n"
        "import logloss_spark\n"
        "from logloss_spark.report.html import check_libraries\n"
        "try: check_libraries()\n"
        "except logloss_spark.SpecError as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "reports need the package jinja2: pip install jinja2 matplotlib\n"


@pytest.mark.slow
def test_templates_are_found_in_a_zip_file(tmp_path: Path) -> None:
    package = Path(logloss_spark.__file__).parent
    with ZipFile(tmp_path / "logloss_spark.zip", "w") as archive:
        for file in package.rglob("*.*"):
            if file.suffix != ".pyc":
                archive.write(file, file.relative_to(package.parent))
    code = "from logloss_spark.report import html; print(html.__file__, len(html.template('report.css')))"
    ran = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(tmp_path / "logloss_spark.zip")},
        cwd=tmp_path,
    )
    assert ran.stdout == f"{tmp_path}/logloss_spark.zip/logloss_spark/report/html.py {len(template('report.css'))}\n"


def test_a_frame_without_a_row_is_a_page() -> None:
    empty = metrics_of(COUNTRIES.head(0)).assign(n=0, rows=0, ok=0, null_label=0, log_loss=float("nan"))
    document = to_html(page(empty))
    assert "No row scored" in document
    assert "No row was scored: the table has none." in document


def test_what_was_not_scored_and_what_costs_most_is_said() -> None:
    measured = metrics_of(COUNTRIES).assign(clipped=3, zero=1, clipped_loss_share=0.25)
    document = to_html(page(measured, way_out="give classes=(-1, 1)"))
    assert "9,000 of 9,012 rows were scored; 0.13% were not:" in document
    assert "To score more of them: give classes=(-1, 1)." in document
    assert "3 rows gave what happened a probability below eps (1 gave it 0), 25.0% of the loss." in document
    without_weight = metrics_of(COUNTRIES.head(0)).assign(n=0, null_label=0)
    assert "No row was scored: all weights are 0." in to_html(page(without_weight))


def infinite() -> dict[str, Any]:
    frame = metrics_of(COUNTRIES).assign(log_loss_miscalibration=float("nan"))
    ends = [f"{name}_{end}" for name in ("log_loss", "normalized_entropy") for end in ("low", "high")]
    frame.loc[[0, 1], ["log_loss", "normalized_entropy"]] = float("inf")
    frame.loc[[0, 1], ends] = float("nan")
    return {"metrics": frame, "cells": cells()}


def without_rows() -> dict[str, Any]:
    frame = metrics_of(COUNTRIES)
    frame.loc[1:, "n"] = 0
    frame.loc[1:, ["log_loss", "log_loss_low", "log_loss_high", "weight"]] = float("nan")
    return {"metrics": frame, "cells": cells().head(0)}


def one_class() -> dict[str, Any]:
    return {"metrics": metrics_of(COUNTRIES).assign(auc=float("nan")), "cells": cells().assign(wy=0.0, w2y=0.0)}


def undefined_days() -> dict[str, Any]:
    days = by_day(5)
    days.loc[1:, ["log_loss", "log_loss_low", "log_loss_high", "calibration_ratio"]] = float("nan")
    return {"metrics": metrics_of(COUNTRIES), "days": days, "day": "day"}


@pytest.mark.parametrize("parts", [infinite, without_rows, one_class, undefined_days])
def test_tables_at_their_limits_have_pages(parts: Callable[[], dict[str, Any]]) -> None:
    document = to_html(page(**parts()))
    assert not Elements(document).open
    assert "nan" not in re.sub(r"<style>.*</style>|<script.*</script>", "", document, flags=re.DOTALL)
