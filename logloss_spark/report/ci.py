"""Tell systems of continuous integration what came of a gate: JUnit's XML, and annotations and Markdown for GitHub.

Names of slices come from data and may hold anything. They are made visible on one line first; then each format escapes
what it would take as its own.
"""

from collections import Counter
from collections.abc import Iterator
from xml.etree import ElementTree

from logloss_spark.gates.judging import Judged, Judgement
from logloss_spark.gates.rules import VERDICTS
from logloss_spark.report.gate_documents import LISTED
from logloss_spark.report.gates import reason_of, records, view_of_gate, worst_rules_first
from logloss_spark.wording import shortened, visible

ANNOTATIONS = 10
"""GitHub shows at most this many of a step."""

LENGTH = 200
"""The longest name of a slice in XML and Markdown, in columns of a terminal."""

MARKDOWN = str.maketrans({sign: f"&#{ord(sign)};" for sign in "&<>|`*_[]\\~#$@"})
"""Signs that Markdown or HTML would take as their own, as character references."""


def to_junit(judgement: Judgement) -> str:
    """Return what came of a gate as JUnit's XML: a suite for each rule, a case for each slice, the worst first."""
    root = ElementTree.Element("testsuites", name="logloss-spark gate")
    for judged in worst_rules_first(judgement):
        rule = judged.rule
        cases = list(cases_of(judged))
        numbers = Counter(tag for _, tag, _ in cases)
        suite = ElementTree.SubElement(
            root,
            "testsuite",
            name=legal(rule.name),
            tests=str(len(cases)),
            failures=str(numbers["failure"]),
            skipped=str(numbers["skipped"]),
            errors="0",
        )
        for name, tag, message in cases:
            case = ElementTree.SubElement(suite, "testcase", classname=legal(rule.name), name=legal(name))
            if tag == "system-out":
                ElementTree.SubElement(case, tag).text = legal(message)
            else:
                ElementTree.SubElement(case, tag, message=legal(message))
    return ElementTree.tostring(root, encoding="unicode", xml_declaration=False)


def cases_of(judged: Judged) -> Iterator[tuple[str, str, str]]:
    """The name of each case of a rule, the element that says what came of it, and its message."""
    elements = {"fail": "failure", "warn": "system-out", "watch": "system-out", "pass": "system-out"}
    if not len(judged.slices):
        message = f"no slice matches {shortened(judged.rule.slices)}"
        yield shortened(judged.rule.slices), elements[judged.verdict], message
    for record in records(judged, LISTED):
        yield (
            record["slice"],
            elements.get(record["verdict"], "skipped"),
            f"{record['verdict']}: {reason_of(record, judged.rule)}",
        )


def legal(text: str) -> str:
    """Return a text that XML 1.0 may hold, on one line: signs that are not printable become Python's escapes."""
    return visible(text, LENGTH)


def annotations(judgement: Judgement) -> Iterator[str]:
    """Return workflow commands of GitHub Actions, one a line, for the worst slices; at most as many as it shows."""
    found = [
        (VERDICTS.index(record["verdict"]), judged.rule.name, record["slice"], reason_of(record, judged.rule))
        for judged in worst_rules_first(judgement)
        for record in records(judged, ANNOTATIONS)
        if record["verdict"] in ("fail", "warn")
    ]
    found += [
        (VERDICTS.index(judged.verdict), judged.rule.name, shortened(judged.rule.slices), "no slice matches")
        for judged in judgement.rules
        if not len(judged.slices)
    ]
    for verdict, rule, slice_, reason in sorted(found, key=lambda annotation: annotation[0])[:ANNOTATIONS]:
        level = "error" if VERDICTS[verdict] == "fail" else "warning"
        title = of_property(f"gate {VERDICTS[verdict]}: {rule}, {slice_}")
        yield f"::{level} title={title}::{of_message(f'{slice_}: {reason}')}"


def of_message(text: str) -> str:
    """Return a text as the message of a workflow command."""
    shown = visible(text, LENGTH)
    return shown.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def of_property(text: str) -> str:
    """Return a text as a property of a workflow command."""
    return of_message(text).replace(":", "%3A").replace(",", "%2C")


def to_markdown(judgement: Judgement, source: str) -> str:
    """Return what a person sees of a gate as Markdown, for the summary of a step."""
    view = view_of_gate(judgement, source)
    lines = [list(view.table), ["---"] * len(view.table), *map(list, zip(*view.table.values(), strict=True))]
    table = "\n".join(f"| {' | '.join(map(escaped, line))} |" for line in lines)
    remarks = "".join(f"\n- {escaped(line)}" for line in view.remarks)
    return f"### {escaped(view.title)}\n\n{table}\n{remarks}\n"


def escaped(text: str) -> str:
    """Return a text that Markdown shows as it is."""
    return visible(text, LENGTH).translate(MARKDOWN)
