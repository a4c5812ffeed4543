from __future__ import annotations

from pathlib import Path

import pytest

from imageferry.clouds.facts import FACTS
from imageferry.policies import read_all
from imageferry.trials.coverage import matchers
from support.beside import Beside

POLICY = """\
policies:
  - name: p
    copies: include
    match:
      os: linux
      tags: {env: prod, owner: "*"}
      any: [{name: "a*"}, {all: [{size_gib: {min: 10}}, {not: {arch: i386}}]}]
      not: {encrypted: true, visibility: public}
    actions:
      - export: {bucket: archive}
"""
WHOLE = "cloud: tencent, region: r, os: linux, tags: {env: prod, owner: me}, name: abc, size_gib: 40, arch: x86_64"


def test_every_matcher_that_is_written_is_found_where_it_stands(tmp_path: Path) -> None:
    Beside(tmp_path, POLICY)
    [one] = read_all(tmp_path, FACTS)

    places = [loc for loc, *_ in matchers(one.spec.match)]

    assert places == [
        ("os",),
        ("tags", "env"),
        ("tags", "owner"),
        ("any", 0, "name"),
        ("any", 1, "all", 0, "size_gib"),
        ("any", 1, "all", 1, "not", "arch"),
        ("not", "visibility"),
        ("not", "encrypted"),
    ]


def test_what_no_test_shows_is_told_with_its_line_and_column(tmp_path: Path) -> None:
    beside = Beside(tmp_path, POLICY)

    coverage = beside.coverage(f"tests: [{{name: a, image: {{{WHOLE}, encrypted: false}}, expect: {{actions: []}}}}]")

    assert [str(gap).replace(f"{tmp_path}/", "") for gap in coverage.gaps] == [
        "p.yaml:2:5: p: it is not matched in any test",
        "p.yaml:5:7: p: os is false in no test",
        "p.yaml:6:14: p: tags.env is false in no test",
        "p.yaml:6:25: p: tags.owner is false in no test",
        "p.yaml:7:14: p: any[0].name is false in no test",
        "p.yaml:7:35: p: any[1].all[0].size_gib is false in no test",
        "p.yaml:7:64: p: any[1].all[1].not.arch is true in no test",
        "p.yaml:8:30: p: not.visibility is true in no test",
        "p.yaml:8:13: p: not.encrypted is true in no test",
    ]
    assert (coverage.seen, coverage.total, coverage.percent) == (9, 18, 50)


def test_tests_that_show_everything_leave_no_gap(tmp_path: Path) -> None:
    beside = Beside(tmp_path, POLICY)
    other = "cloud: tencent, region: r, os: other, tags: {}, name: x, size_gib: 1, arch: i386"

    coverage = beside.coverage(f"""\
        tests:
          - {{name: a, image: {{{WHOLE}, encrypted: false}}, expect: {{verdicts: {{p: match}}}}}}
          - {{name: b, image: {{{other}, encrypted: true, visibility: public}}, expect: {{verdicts: {{p: no_match}}}}}}
    """)

    assert (coverage.percent, coverage.gaps) == (100, ())


def test_what_is_not_known_shows_nothing(tmp_path: Path) -> None:
    beside = Beside(tmp_path, 'policies: [{name: p, match: {os: linux}, actions: [{export: {bucket: "abc"}}]}]')

    coverage = beside.coverage("tests: [{name: a, image: {cloud: tencent, region: r}, expect: {actions: []}}]")

    assert (coverage.seen, coverage.total) == (0, 4)


def test_a_test_shows_nothing_of_a_policy_that_it_does_not_ask(tmp_path: Path) -> None:
    beside = Beside(tmp_path)

    coverage = beside.coverage(
        "tests: [{name: a, policies: dr, image: {cloud: tencent, region: r, os: linux}, expect: {actions: []}}]"
    )

    assert {gap.missing for gap in coverage.gaps if gap.policy == "archive"} == {
        "it matches in no test",
        "it is not matched in any test",
        "cloud is true in no test",
        "cloud is false in no test",
        "os is true in no test",
        "os is false in no test",
    }


@pytest.mark.parametrize(
    "match",
    [
        'region: "*"',
        'cloud: ["t*", "*u*", "*e*"]',
        "os: [linux, windows, other]",
        'account: "**"',
        'name: [x, "*"]',
    ],
)
def test_nobody_has_to_show_false_what_fits_every_image(tmp_path: Path, match: str) -> None:
    beside = Beside(tmp_path, f"policies: [{{name: p, match: {{{match}}}, actions: [{{export: {{bucket: abc}}}}]}}]")
    image = "cloud: tencent, account: a, region: r, os: linux, name: x"

    coverage = beside.coverage(f"""\
        tests:
          - {{name: a, image: {{{image}}}, expect: {{verdicts: {{p: match}}}}}}
          - {{name: b, image: {{{image}, visibility: public}}, expect: {{verdicts: {{p: no_match}}}}}}
    """)

    assert (coverage.percent, coverage.gaps, coverage.total) == (100, (), 3)


def test_nobody_has_to_show_unmatched_what_takes_every_image(tmp_path: Path) -> None:
    match = 'copies: include, region: "*", visibility: "*"'
    beside = Beside(tmp_path, f"policies: [{{name: p, match: {{{match}}}, actions: [{{export: {{bucket: abc}}}}]}}]")

    coverage = beside.coverage("tests: [{name: a, image: {cloud: tencent, region: r}, expect: {verdicts: {p: match}}}]")

    assert (coverage.percent, coverage.total) == (100, 3)
