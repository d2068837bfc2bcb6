"""Which slices a pattern names, whatever their values are. No Spark."""

import pandas as pd
import pytest

from logloss_spark.errors import SpecError
from logloss_spark.gates.patterns import grouping_sets_of, names_of, pattern_of, readable, words_in
from tests import hostile

SLICES = ("country", "device")


def word(value):
    return "null" if value is None else '"null"' if value == "null" else str(value)


def table(*rows):
    """Slices of country and device as a table of metrics has them; `...` is rolled up."""
    records = []
    for values in rows:
        kept = [(name, value) for name, value in zip(SLICES, values, strict=True) if value is not ...]
        records.append(
            {name: None if value is ... else value for name, value in zip(SLICES, values, strict=True)}
            | {"slice": "/".join(f"{name}={word(value)}" for name, value in kept) or "all"}
            | {"grouping_id": sum(2 ** (1 - place) for place, value in enumerate(values) if value is ...)}
        )
    return pd.DataFrame(records)


TABLE = table((..., ...), ("de", ...), ("DE", ...), (None, ...), ("null", ...), ("de", "tv"), ("fr", "tv"), (..., "tv"))


def named(pattern, frame=TABLE):
    found = pattern_of(pattern, SLICES)
    return [text for text, name in zip(frame["slice"], names_of(frame, SLICES), strict=True) if found.names(name)]


@pytest.mark.parametrize(
    ("pattern", "slices"),
    [
        ("all", ["all"]),
        ("country=*", ["country=de", "country=DE", "country=null", 'country="null"']),
        ("country=de", ["country=de"]),
        ("country=null", ["country=null"]),
        ('country="null"', ['country="null"']),
        ("country=d*", ["country=de"]),
        ("country=d.", []),
        ("country=de/device=*", ["country=de/device=tv"]),
        ("device=*/country=*", ["country=de/device=tv", "country=fr/device=tv"]),
        ("device=tv", ["device=tv"]),
    ],
)
def test_a_pattern_names_the_slices_of_exactly_its_columns(pattern, slices):
    assert named(pattern) == slices


@pytest.mark.parametrize("value", hostile.TEXTS.values(), ids=list(hostile.TEXTS))
def test_a_hostile_value_is_named_by_itself_and_by_a_star_alone(value):
    frame = table((..., ...), (value, ...), (value, "tv"), ("other", ...))
    assert named(f"country={word(value)}", frame) == frame["slice"].tolist()[1:2]
    assert named(f"country={word(value)}/device=tv", frame) == frame["slice"].tolist()[2:3]
    assert named("country=*", frame) == frame["slice"].tolist()[1::2]


def test_values_that_look_like_other_columns_are_told_apart():
    frame = table(("x/device=y", "z"), ("x", "y/device=z"), ("x", "z"))
    assert frame["slice"][0] == frame["slice"][1]
    assert [name[1][1] for name in names_of(frame, SLICES)] == ["z", "y/device=z", "z"]
    assert named("country=x/device=z", frame) == ["country=x/device=z"]


def test_values_that_are_no_strings_are_cut_out_of_the_text():
    assert words_in("day=2026-01-31/hour=7", ["day", "hour"], [object(), 7]) == ["2026-01-31", "7"]
    assert words_in("x=null/y=1.5", ["x", "y"], [float("nan"), 1.5]) == ["null", "1.5"]


@pytest.mark.parametrize(
    ("pattern", "line"),
    [
        ("contry=*", "'contry=\\*' begins with no slice column; it has: country, device. Did you mean 'country'\\?"),
        ("", "'' begins with no slice column"),
        ("*", "begins with no slice column"),
        ("country=a/country=b", "'country=a/country=b' has one twice"),
    ],
)
def test_a_pattern_that_names_no_column_is_one_line(pattern, line):
    with pytest.raises(SpecError, match=line):
        pattern_of(pattern, SLICES)


def test_patterns_ask_for_the_grouping_sets_that_they_name():
    patterns = [pattern_of(text, SLICES) for text in ("all", "device=*/country=*", "country=de", "country=fr")]
    assert grouping_sets_of(patterns, SLICES) == (("country", "device"), ("country",))
    assert readable((("country", "de"), ("device", "tv"))) == "country=de/device=tv"
