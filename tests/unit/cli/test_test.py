from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from support.beside import IMAGE, Beside
from support.commands import invoke, run

RIGHT = f"""\
tests:
  - name: a Linux image is archived
    image: {IMAGE}
    expect: {{actions: [{{export: archive-ap-guangzhou}}]}}
"""
WRONG = RIGHT.replace("export: archive-ap", "export: archive-cn")
CONFIG = """\
policies: policies/
accounts:
  prod: {cloud: tencent, regions: [ap-guangzhou, ap-beijing]}
"""


@pytest.fixture
def beside(tmp_path: Path) -> Beside:
    (tmp_path / "policies").mkdir()
    (tmp_path / "imageferry.yaml").write_text(CONFIG)
    return Beside(tmp_path / "policies")


def test_tests_that_pass_are_counted_and_their_coverage_is_told(beside: Beside) -> None:
    result = invoke("test", beside.write(RIGHT))

    lines = result.stdout.replace(f"{beside.folder}/", "").splitlines()
    assert (result.exit_code, result.stderr) == (0, "")
    assert lines == [
        "p.test.yaml: 1 of 1 passed",
        "coverage: 50% (6 of 12)",
        "  p.yaml:2:5: archive: it is not matched in any test",
        "  p.yaml:3:13: archive: cloud is false in no test",
        "  p.yaml:3:29: archive: os is false in no test",
        "  p.yaml:6:5: dr: it matches in no test",
        "  p.yaml:7:13: dr: cloud is false in no test",
        "  p.yaml:7:29: dr: name is true in no test",
        "tests: 1, passed: 1, failed: 0",
    ]


def test_a_test_that_fails_shows_expected_and_actual_and_why(beside: Beside) -> None:
    result = invoke("test", beside.write(WRONG))

    assert result.exit_code == 1
    assert result.stdout.replace(f"{beside.folder}/", "").splitlines()[:9] == [
        "p.test.yaml: 0 of 1 passed",
        "  FAILED p.test.yaml:2: a Linux image is archived",
        "    img-test (dev-1) at tencent/?/ap-guangzhou, 2026-01-01T00:00:00Z",
        "    - expected  export to archive-cn-guangzhou",
        "    + actual    nothing of this",
        "    - expected  nothing more",
        "    + actual    export to archive-ap-guangzhou (archive)",
        "    match     archive: cloud is tencent, os is linux",
        '    no_match  dr: name "dev-1" does not match "prod-*"',
    ]


def test_a_wrong_file_is_told_as_any_other_and_nothing_is_run(beside: Beside) -> None:
    result = invoke("test", beside.write(RIGHT.replace("expect:", "expects:")))

    assert (result.exit_code, result.stdout) == (2, "")
    assert 'p.test.yaml:4:5: tests[0]: unknown key "expects"' in result.stderr
    assert 'did you mean "expect"?' in result.stderr


def test_the_json_tells_the_same(beside: Beside) -> None:
    result = invoke("test", beside.write(WRONG), "--format", "json")

    answer = json.loads(result.stdout)
    [told] = answer["tests"]
    assert result.exit_code == 1
    assert answer["summary"] == {"tests": 1, "passed": 0, "failed": 1}
    assert (told["name"], told["path"], told["line"], told["passed"]) == (
        "a Linux image is archived",
        str(beside.file),
        2,
        False,
    )
    assert told["differences"][0] == {"expected": "export to archive-cn-guangzhou", "actual": None}
    assert [verdict["verdict"] for verdict in told["verdicts"]] == ["match", "no_match"]
    assert told["actions"] == [
        {
            "action": "export",
            "destination": "archive-ap-guangzhou",
            "policies": ["archive"],
            "refused": None,
            "options": {"prefix": "", "disks": "all", "format": "qcow2"},
        }
    ]
    assert (answer["coverage"]["percent"], answer["coverage"]["seen"], answer["coverage"]["total"]) == (50, 6, 12)
    assert answer["coverage"]["gaps"][0] == {
        "path": str(beside.folder / "p.yaml"),
        "line": 2,
        "column": 5,
        "policy": "archive",
        "missing": "it is not matched in any test",
    }


def test_a_report_for_pipelines_is_written_before_the_failure_is_told(beside: Beside, tmp_path: Path) -> None:
    report = tmp_path / "report.xml"

    result = invoke("test", beside.write(WRONG), "--junit", report)

    [failure] = ET.parse(report).iter("failure")  # noqa: S314 - our own report
    assert result.exit_code == 1
    assert "- expected  export to archive-cn-guangzhou\n+ actual    nothing of this" in (failure.text or "")


def test_a_report_that_cannot_be_written_is_told(beside: Beside, tmp_path: Path) -> None:
    result = invoke("test", beside.write(RIGHT), "--junit", tmp_path / "nowhere" / "report.xml")

    assert (result.exit_code, "report.xml cannot be written: No such file or directory" in result.stderr) == (1, True)
    assert "tests: 1, passed: 1, failed: 0" in result.stdout


@pytest.mark.parametrize(("least", "code"), [(50, 0), (51, 1)])
def test_coverage_below_what_is_asked_for_is_a_failure(beside: Beside, least: int, code: int) -> None:
    result = invoke("test", beside.write(RIGHT), "--fail-under", str(least))

    told = "imageferry: coverage is 50%; expected at least 51%\n" if code else ""
    assert (result.exit_code, result.stderr) == (code, told)


def test_a_config_says_where_the_policies_are_and_what_accounts_list(beside: Beside, tmp_path: Path) -> None:
    beside.write(f"""\
        tests:
          - name: one of two regions is not listed
            image: {IMAGE.replace("dev-", "prod-")}
            expect:
              actions:
                - {{export: archive-ap-guangzhou}}
                - {{copy: ap-beijing}}
                - {{copy: ap-shanghai, refused: "account prod does not list the region ap-shanghai"}}
    """)

    result = invoke("test", "--config", tmp_path / "imageferry.yaml")

    assert (result.exit_code, "passed: 1" in result.stdout) == (0, True), result.output


def test_without_anything_named_it_is_the_folder_policies_and_no_config_is_read(beside: Beside, tmp_path: Path) -> None:
    beside.write(RIGHT)
    (tmp_path / "imageferry.yaml").write_text("{")

    done = run("test", cwd=tmp_path)

    assert (done.returncode, done.stdout.splitlines()[0]) == (0, "policies/p.test.yaml: 1 of 1 passed")


def test_a_name_with_control_characters_leaves_the_terminal_alone(beside: Beside) -> None:
    result = invoke("test", beside.write(WRONG.replace("name: a Linux image", 'name: "\\x1b[2J"\n    #')))

    assert r"FAILED" in result.stdout
    assert "\x1b" not in result.stdout


def test_tests_beside_policies_are_no_policies(beside: Beside, tmp_path: Path) -> None:
    beside.write(RIGHT)

    assert invoke("check", "--config", tmp_path / "imageferry.yaml").exit_code == 0
