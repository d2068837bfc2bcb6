"""Prometheus's text format, by its grammar: a strict parser that knows nothing of the package.

The format is described in https://prometheus.io/docs/instrumenting/exposition_formats/ ("Text-based format").
"""

import re
from dataclasses import dataclass

NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
LABEL = r"[a-zA-Z_][a-zA-Z0-9_]*"
VALUE = r"[+-]?(?:Inf|(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?)|NaN"
PAIR = re.compile(rf'({LABEL})="((?:[^"\\\n]|\\[\\"n])*)"(,|$)', re.DOTALL)
SAMPLE = re.compile(rf"({NAME})(?:\{{(.*)\}})? ({VALUE})", re.DOTALL)
META = re.compile(rf"# (HELP|TYPE) ({NAME}) (.*)", re.DOTALL)
TYPES = ("counter", "gauge", "histogram", "summary", "untyped")
ESCAPES = {"\\\\": "\\", '\\"': '"', "\\n": "\n"}


@dataclass(frozen=True)
class Family:
    """The series of one name: what they mean, and their values by their labels."""

    help: str
    values: dict[tuple[tuple[str, str], ...], float]


def parsed(text: str) -> dict[str, Family]:
    """Return the families of a text; raise AssertionError where it breaks the format.

    A name has one HELP and one TYPE, before its samples, and these are one group. No series is there twice, no sample
    has a time, other lines that begin with # are comments, and the last line ends with a line feed.
    """
    assert text.endswith("\n")
    families: dict[str, Family] = {}
    typed: set[str] = set()
    group = None
    for line in text[:-1].split("\n"):
        if meta := META.fullmatch(line):
            kind, name, rest = meta[1], meta[2], meta[3]
            if kind == "HELP":
                assert name not in families, f"a second HELP of {name}"
                assert not re.search(r"\\[^\\n]", rest.replace("\\\\", "")), rest
                families[name] = Family(rest, {})
            else:
                assert name not in typed, f"a second TYPE of {name}"
                assert not families[name].values, f"a late TYPE of {name}"
                assert rest in TYPES, rest
                typed.add(name)
            group = name
            continue
        if line.startswith("#"):
            assert not re.match(r"#[ \t]*(HELP|TYPE)\b", line), f"neither HELP nor TYPE: {line!r}"
            continue
        sample = SAMPLE.fullmatch(line)
        assert sample, f"no sample: {line!r}"
        name, labels, value = sample[1], sample[2], sample[3]
        assert name == group, f"{name} stands among those of {group}"
        key = tuple(sorted(labels_of(labels or "").items()))
        assert key not in families[name].values, f"{line!r} is there twice"
        families[name].values[key] = float(value)
    assert families.keys() == typed
    return families


def labels_of(text: str) -> dict[str, str]:
    """Return the labels between braces."""
    found: dict[str, str] = {}
    place = 0
    while place < len(text):
        pair = PAIR.match(text, place)
        assert pair, f"no label: {text[place:]!r}"
        assert pair[1] not in found, f"{pair[1]} is there twice"
        found[pair[1]] = re.sub(r"\\.", lambda escape: ESCAPES[escape[0]], pair[2])
        place = pair.end()
    return found
