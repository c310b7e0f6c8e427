"""Results for other people's machines: JUnit XML, GitHub's workflow commands. Functions of data: nothing is printed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from xml.etree import ElementTree

from optbench.failures.finding import told
from optbench.runs.results import Result
from optbench.runs.summary import Rules, Summary

# XML 1.0 has no other control characters than these.
_LEGAL_CONTROLS = "\t\n\r"


def junit(results: Sequence[Result], summary: Summary, rules: Rules) -> str:
    """JUnit XML: a suite for each subject and implementation, a test case for each law and case.

    What does not change the exit status is never a failure: there it is a skipped test that says what was seen.
    """
    root = ElementTree.Element("testsuites", name="optbench")
    for subject, implementation in dict.fromkeys((result.subject, result.implementation) for result in results):
        rows = [result for result in results if (result.subject, result.implementation) == (subject, implementation)]
        suite = ElementTree.SubElement(root, "testsuite", name=f"{subject}.{implementation}", tests=str(len(rows)))
        kinds = [_test_case(suite, result, rules.counts(result)) for result in rows]
        for kind in ("failure", "error", "skipped"):
            plural = {"failure": "failures", "error": "errors", "skipped": "skipped"}[kind]
            suite.set(plural, str(kinds.count(kind)))
        suite.set("time", f"{sum(result.seconds for result in rows):.3f}")
    properties = ElementTree.SubElement(root, "properties")
    ElementTree.SubElement(properties, "property", name="summary", value=_legal(summary.sentence))
    ElementTree.indent(root)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ElementTree.tostring(root, encoding="unicode") + "\n"


def _test_case(suite: ElementTree.Element, result: Result, counts: bool) -> str:
    """Add one test case; returns the kind of its outcome, "" where it passed."""
    case = ElementTree.SubElement(
        suite,
        "testcase",
        classname=f"optbench.{result.subject}.{result.implementation}",
        name=_legal(f"{result.law}[{result.case}]"),
        time=f"{result.seconds:.3f}",
    )
    text = _legal("\n".join(filter(None, (result.message, told(result.finding), result.reproduce))))
    kind = ""
    if result.broken:
        kind = "skipped" if not counts else "failure" if result.verdict in ("fail", "xpass") else "error"
    elif result.verdict in ("skip", "xfail"):
        kind = "skipped"
    if kind:
        why = result.message if not result.broken or counts else f"not judged: {result.verdict}: {result.message}"
        outcome = ElementTree.SubElement(case, kind, message=_legal(why))
        if kind != "skipped":
            outcome.set("type", result.verdict)
            outcome.text = text
    elif result.verdict == "precision":
        ElementTree.SubElement(case, "system-out").text = text
    return kind


def github(results: Iterable[Result], summary: Summary, rules: Rules) -> str:
    """Workflow commands: an error for each law that a judged implementation broke, a notice with the sentence."""
    lines = []
    first: dict[tuple[str, str, str], tuple[Result, int]] = {}
    for result in results:
        if result.broken and rules.counts(result):
            key = (result.subject, result.law, result.implementation)
            known = first.get(key)
            first[key] = (known[0], known[1] + 1) if known else (result, 1)
    for result, number in first.values():
        title = f"{result.implementation} breaks {result.law} ({result.subject})"
        cases = f"{number} cases, the first: " if number > 1 else ""
        lines_told = (f"{cases}[{result.case}] {result.message}", told(result.finding), result.reproduce)
        message = "\n".join(filter(None, lines_told)).strip()
        lines.append(f"::error title={_property(title)}::{_data(message)}")
    level = "notice" if summary.exit_status == 0 else "error"
    return "\n".join([*lines, f"::{level} title=optbench::{_data(summary.sentence)}"]) + "\n"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")


def _legal(text: str) -> str:
    return "".join(letter if letter >= " " or letter in _LEGAL_CONTROLS else "?" for letter in text)
