# SPDX-License-Identifier: Apache-2.0
"""A nightly result as JUnit XML, for CI systems: a suite for each experiment, a case for each cell.

Slower is a failure; what could not be measured is an error; inconclusive and new cells are
skipped. Elements, attributes and their order are those of the schema that Ant's and Surefire's
reports share, so that strict readers take them too.
"""

import re
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from orchestrator.analysis.nightly import Nightly, Outcome, Part, is_lost
from orchestrator.analysis.verdicts import Verdict

# XML 1.0 has no way to write these, not even escaped.
_UNWRITABLE = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def junit(nightly: Nightly) -> str:
    """The XML text."""
    root = Element("testsuites")
    for number, part in enumerate(nightly.parts):
        outcomes = [one for one in nightly.outcomes if one.key.experiment == part.name]
        _suite(root, number, nightly, part, outcomes)
    known = {part.name for part in nightly.parts}
    gone = [one for one in nightly.outcomes if one.key.experiment not in known]
    if gone:
        part = Part(name="no longer in the suite", file="", overrides=(), run="")
        _suite(root, len(nightly.parts), nightly, part, gone)
    indent(root)
    text: str = tostring(root, encoding="unicode")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{text}\n'


def _suite(
    root: Element, number: int, nightly: Nightly, part: Part, outcomes: list[Outcome]
) -> None:
    about = nightly.about
    suite = SubElement(root, "testsuite", name=_text(part.name))
    properties = SubElement(suite, "properties")
    facts = {
        "commit": about.commit,
        "result": about.name,
        "run": part.run,
        "baseline": " ".join(nightly.baseline_commits),
    }
    for name, value in facts.items():
        SubElement(properties, "property", name=name, value=_text(value))
    kinds = [_case(suite, about.suite, one) for one in outcomes]
    if part.failure:
        case = SubElement(
            suite, "testcase", name="all trials", classname=_text(_class(about.suite, part.name))
        )
        case.set("time", "0")
        SubElement(case, "error", message=_text(part.failure), type="not measured")
        kinds.append("error")
    suite.attrib |= {
        "timestamp": about.started.removesuffix("Z"),
        "hostname": "localhost",
        "tests": str(len(kinds)),
        "failures": str(kinds.count("failure")),
        "errors": str(kinds.count("error")),
        "skipped": str(kinds.count("skipped")),
        "time": "0",
        "id": str(number),
        "package": _text(about.suite),
    }
    SubElement(suite, "system-out")
    SubElement(suite, "system-err")


def _case(suite: Element, name: str, outcome: Outcome) -> str:
    key, judgement = outcome.key, outcome.judgement
    load = "" if key.offered_rps is None else f" at {key.offered_rps:g}/s"
    case = SubElement(
        suite,
        "testcase",
        name=_text(f"{key.metric}{load}, {key.workload}"),
        classname=_text(_class(name, key.experiment, key.variant)),
        time="0",
    )
    kind = _kind(outcome)
    if kind == "skipped":
        SubElement(case, kind)
    elif kind:
        message = f"{judgement.verdict}: {judgement.why}"
        found = SubElement(case, kind, message=_text(message), type=str(judgement.verdict))
        found.text = _text(f"./ringbed explain latest '{key.name}'")
    return kind


def _kind(outcome: Outcome) -> str:
    """The element that says how it ended; empty for what passed."""
    verdict = outcome.judgement.verdict
    if verdict is Verdict.SLOWER:
        return "failure"
    if is_lost(outcome) or verdict is Verdict.INVALID:
        return "error"
    return "" if verdict in (Verdict.SAME, Verdict.FASTER) else "skipped"


def _class(*parts: str) -> str:
    """A dotted name: CI systems show it as a tree."""
    return ".".join(part.replace(".", "_") for part in parts)


def _text(text: str) -> str:
    return _UNWRITABLE.sub("\ufffd", text)
