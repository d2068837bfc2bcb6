"""The pictures of README and the documentation: they are there, small, light and dark, and none is left over."""

import re
from pathlib import Path

from tests.docs.pages import ROOT

PICTURES = ROOT / "docs" / "_static" / "plots"
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]

MOST_BYTES = 40_000


def shown() -> set[Path]:
    """The pictures that pages show."""
    found = re.compile(r'(?:src|srcset)="([^"]+\.svg)"')
    return {(page.parent / name).resolve() for page in PAGES for name in found.findall(page.read_text("utf-8"))}


def test_pages_show_the_pictures_that_there_are() -> None:
    pictures = set(PICTURES.glob("*.svg"))
    assert shown() == pictures
    assert {path.stem.removesuffix("-light") for path in pictures if path.stem.endswith("-light")} == {
        path.stem.removesuffix("-dark") for path in pictures if path.stem.endswith("-dark")
    }


def test_pictures_are_small_and_letters_are_letters() -> None:
    for path in PICTURES.glob("*.svg"):
        assert path.stat().st_size < MOST_BYTES
        assert "<text" in path.read_text("utf-8")
        assert "<script" not in path.read_text("utf-8")
