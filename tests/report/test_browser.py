"""Reports in Chromium: nothing fails, nothing is fetched, the table works; on a phone, in the dark, and on paper."""

import re
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from logloss_spark.report.html import to_html
from logloss_spark.report.palette import DARK, LIGHT
from tests import hostile
from tests.report.browser import DESKTOP, PHONE, Tab, running_browser
from tests.report.pages import by_country_and_device, full_page

pytestmark = pytest.mark.slow

SLICES = 5_000

FIRST_CELLS = "[...document.querySelectorAll('#slices tbody th')].map((cell) => cell.textContent)"
ROWS = "[...document.querySelectorAll('#slices tbody tr')]"
COUNT = "document.getElementById('slices-count').textContent"


@pytest.fixture(scope="module")
def tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tab]:
    with running_browser(tmp_path_factory.mktemp("profile of Chromium")) as tab:
        yield tab


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of reports: `many` slices, and one whose names are all `hostile`."""
    folder = tmp_path_factory.mktemp("reports")
    many = by_country_and_device([f"{index:03}" for index in range(100)], [f"d{age:02}" for age in range(49)])
    assert len(many) == SLICES
    (folder / "many.html").write_text(to_html(full_page(many)), encoding="utf-8")
    for name, text in hostile.TEXTS.items():
        if name in ("html", "script", "quotes", "dollars", "long word"):
            page = full_page(by_country_and_device([*hostile.TEXTS.values()]), text)
            (folder / f"hostile {name}.html").write_text(to_html(page), encoding="utf-8")
    return folder


def typed(selector: str, value: str) -> str:
    """A script that puts a value into a control, as a hand does."""
    return (
        f"(() => {{ const control = document.querySelector({selector!r}); control.value = {value!r}; "
        "control.dispatchEvent(new Event('input', {bubbles: true})); })()"
    )


@pytest.mark.parametrize("width", [PHONE, DESKTOP])
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_a_report_of_5000_slices_opens_without_a_complaint_and_fits_its_width(
    tab: Tab, reports: Path, width: int, dark: bool
) -> None:
    tab.complaints.clear()
    tab.open(reports / "many.html", width=width, dark=dark)
    assert tab.complaints == []
    assert tab.value("document.documentElement.scrollWidth <= innerWidth")
    wide = "[...document.querySelectorAll('svg')].filter((svg) => svg.getBoundingClientRect().width < 300).length"
    assert tab.value(wide) == 0
    page = DARK.page if dark else LIGHT.page
    red, green, blue = (int(page[at : at + 2], 16) for at in (1, 3, 5))
    assert tab.value("getComputedStyle(document.body).backgroundColor") == f"rgb({red}, {green}, {blue})"


def test_the_first_screen_of_a_phone_has_the_verdict_and_three_numbers(tab: Tab, reports: Path) -> None:
    tab.open(reports / "many.html", width=PHONE)
    bottoms = tab.value(
        "[...document.querySelectorAll('.verdict, .numbers li')].map((one) => one.getBoundingClientRect().bottom)"
    )
    assert len(bottoms) == 4
    assert max(bottoms) < 844


def test_a_phone_shows_what_a_gate_judged_and_its_bound_without_scrolling(tab: Tab, reports: Path) -> None:
    tab.open(reports / "many.html", width=PHONE)
    heads = tab.value(
        "[...document.querySelectorAll('#gate thead th')].map((head) => "
        "[head.textContent, head.getBoundingClientRect().right])"
    )
    assert [name for name, right in heads if right <= PHONE][:4] == ["rule", "verdict", "judged", "bound"]


def test_the_table_sorts_filters_searches_and_draws_50_rows_at_a_time(tab: Tab, reports: Path) -> None:
    tab.open(reports / "many.html")
    assert tab.value(COUNT) == "50 of 5,000 slices"
    before = tab.value(FIRST_CELLS)
    assert len(before) == 50
    tab.value("document.getElementById('slices-more').click()")
    assert tab.value(FIRST_CELLS)[:50] == before
    assert tab.value(COUNT) == "100 of 5,000 slices"
    head = "document.querySelectorAll('#slices thead button')"
    tab.value(f"{head}[0].click()")
    assert tab.value(FIRST_CELLS)[:2] == ["country=000", "country=000/device=d00"]
    tab.value(f"{head}[0].click()")
    assert tab.value(FIRST_CELLS)[0] == "country=099/device=d48"
    assert tab.value("document.querySelector('#slices th[aria-sort]').getAttribute('aria-sort')") == "descending"
    tab.value(f"{head}[2].click()")
    losses = tab.value(
        "[...document.querySelectorAll('#slices tbody tr')].map((tr) => Number(tr.cells[2].textContent))"
    )
    assert losses == sorted(losses, reverse=True)
    tab.value(typed("#slices-search", "COUNTRY=07 d03"))
    assert tab.value(COUNT) == "10 of 10 slices of 5,000 listed"
    assert all(re.fullmatch(r"country=07\d/device=d03", name) for name in tab.value(FIRST_CELLS))
    tab.value(typed("#slices-search", ""))
    tab.value(typed("#slices-set", "0"))
    assert tab.value(COUNT) == "50 of 100 slices of 5,000 listed"
    tab.value(typed("#slices-side", "1"))
    moods = set(tab.value(f"{ROWS}.map((tr) => tr.className)"))
    assert moods == {"bad"}


def test_the_table_is_used_with_a_keyboard(tab: Tab, reports: Path) -> None:
    tab.open(reports / "many.html")
    tab.value("document.querySelectorAll('#slices thead button')[1].focus()")
    for kind in ("keyDown", "keyUp"):
        tab.call("Input.dispatchKeyEvent", type=kind, key="Enter", code="Enter", text="\r", windowsVirtualKeyCode=13)
    assert tab.value("document.querySelectorAll('#slices thead th')[1].getAttribute('aria-sort')") == "descending"


def test_forty_slices_and_all_pictures_are_there_without_a_script(tab: Tab, reports: Path) -> None:
    tab.call("Emulation.setScriptExecutionDisabled", value=True)
    try:
        tab.open(reports / "many.html")
        assert len(tab.value(FIRST_CELLS)) == 40
        assert tab.value(COUNT) == "40 of 5,000 slices; a script shows the others"
        assert tab.value("document.querySelectorAll('svg').length") == 10
        assert tab.value("document.querySelector('.controls').offsetHeight") == 0
    finally:
        tab.call("Emulation.setScriptExecutionDisabled", value=False)


@pytest.mark.parametrize("name", ["html", "script", "quotes", "dollars", "long word"])
def test_hostile_names_run_nothing_and_break_nothing(tab: Tab, reports: Path, name: str) -> None:
    tab.complaints.clear()
    for width in (PHONE, DESKTOP):
        tab.open(reports / f"hostile {name}.html", width=width)
        assert tab.value("document.documentElement.scrollWidth <= innerWidth")
    assert tab.complaints == []
    assert tab.value("document.scripts.length") == 2
    assert tab.value("document.querySelectorAll('img, b, iframe').length") == 0
    cut = tab.value(f"{FIRST_CELLS}.length")
    assert cut == 50
    shown = hostile.TEXTS["script"]
    tab.value(typed("#slices-search", "alert('x')"))
    assert f"country={shown}" in tab.value(FIRST_CELLS)


def test_a_report_is_printed_in_the_colours_of_paper(tab: Tab, reports: Path) -> None:
    tab.open(reports / "many.html", dark=True)
    data = tab.pdf()
    assert data.startswith(b"%PDF")
    assert 4 <= data.count(b"/Type /Page\n") <= 20
    streams = [
        zlib.decompress(part) for part in re.findall(rb"FlateDecode[^>]*>>\s*stream\r?\n(.*?)endstream", data, re.S)
    ]
    dark_page = b" ".join(f"{int(DARK.page[at : at + 2], 16) / 255:.8g}".lstrip("0").encode() for at in (1, 3, 5))
    assert streams
    assert not any(dark_page in stream for stream in streams)
