"""The outcomes of tests as JUnit XML, for the pipelines that show it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import groupby
from typing import Final
from xml.etree.ElementTree import Element, SubElement, tostring

from imageferry.trials.judge import Outcome

_NOT_XML: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What XML cannot hold, not even escaped."""


def junit(outcomes: Sequence[Outcome], texts: Sequence[str]) -> bytes:
    """One suite a file, one case a test; ``texts`` has for each outcome what a person should read of its failure."""
    root = Element("testsuites", _counts(outcomes) | {"name": "imageferry"})
    told = zip(outcomes, texts, strict=True)
    for path, group in groupby(told, key=lambda pair: pair[0].trial.path):
        pairs = list(group)
        suite = SubElement(root, "testsuite", {"name": _clean(path)} | _counts([outcome for outcome, _ in pairs]))
        for outcome, text in pairs:
            _case(suite, outcome, text)
    declared: bytes = tostring(root, encoding="utf-8", xml_declaration=True)
    return declared + b"\n"


def _case(suite: Element, outcome: Outcome, text: str) -> None:
    trial = outcome.trial
    attributes = {
        "name": _clean(trial.name),
        "classname": _clean(trial.path),
        "file": _clean(trial.path),
        "line": str(trial.line),
        "time": _time(outcome.seconds),
    }
    case = SubElement(suite, "testcase", attributes)
    if not outcome.passed:
        count = len(outcome.differences)
        message = f"{count} difference{'' if count == 1 else 's'} from what was expected"
        SubElement(case, "failure", {"type": "difference", "message": message}).text = _clean(text)


def _counts(outcomes: Sequence[Outcome]) -> dict[str, str]:
    return {
        "tests": str(len(outcomes)),
        "failures": str(sum(1 for outcome in outcomes if not outcome.passed)),
        "errors": "0",
        "skipped": "0",
        "time": _time(sum(outcome.seconds for outcome in outcomes)),
    }


def _time(seconds: float) -> str:
    return f"{seconds:.6f}"


def _clean(text: str) -> str:
    return _NOT_XML.sub("\ufffd", text)
