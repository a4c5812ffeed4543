"""The report, read as pipelines read it: suites with their counts and times, cases with their failures."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from imageferry.trials.junit import junit
from support.beside import IMAGE, Beside

TESTS = f"""\
tests:
  - {{name: right, image: {IMAGE}, expect: {{verdicts: {{archive: match}}}}}}
  - {{name: "wrong <&> \\x01", image: {IMAGE}, expect: {{verdicts: {{archive: no_match}}, actions: []}}}}
"""


@pytest.fixture
def root(tmp_path: Path) -> ET.Element:
    beside = Beside(tmp_path)
    (tmp_path / "a.test.yaml").write_text(
        f"tests: [{{name: x, image: {IMAGE}, expect: {{verdicts: {{dr: no_match}}}}}}]"
    )
    outcomes = beside.outcomes(TESTS)
    report = junit(outcomes, ["" if outcome.passed else "- this\n+ that \x1b" for outcome in outcomes])
    return ET.fromstring(report)  # noqa: S314 - our own report


def test_each_file_is_a_suite_and_each_test_a_case(root: ET.Element, tmp_path: Path) -> None:
    cases = [(suite.get("name"), [case.get("name") for case in suite]) for suite in root]

    assert root.tag == "testsuites"
    assert {suite.tag for suite in root} == {"testsuite"}
    assert {case.tag for case in root.iterfind("testsuite/*")} == {"testcase"}
    assert cases == [(f"{tmp_path}/a.test.yaml", ["x"]), (f"{tmp_path}/p.test.yaml", ["right", "wrong <&> \ufffd"])]


def test_the_counts_and_times_add_up(root: ET.Element) -> None:
    for node in (root, *root):
        cases = list(node.iter("testcase"))
        failures = list(node.iter("failure"))
        assert (node.get("tests"), node.get("failures")) == (str(len(cases)), str(len(failures)))
        assert (node.get("errors"), node.get("skipped")) == ("0", "0")
        assert float(node.get("time", "")) == sum(float(case.get("time", "")) for case in cases) > 0


def test_a_failure_says_what_a_person_should_read(root: ET.Element) -> None:
    [failure] = root.iter("failure")

    assert (failure.get("message"), failure.get("type")) == ("2 differences from what was expected", "difference")
    assert failure.text == "- this\n+ that \ufffd"


def test_a_case_says_where_its_test_stands(root: ET.Element, tmp_path: Path) -> None:
    case = root.findall("testsuite/testcase")[2]

    assert (case.get("classname"), case.get("file"), case.get("line")) == (
        f"{tmp_path}/p.test.yaml",
        f"{tmp_path}/p.test.yaml",
        "3",
    )
