from __future__ import annotations

from pathlib import Path

import pytest

from support.beside import IMAGE, Beside

PROD = IMAGE.replace("dev-1", "prod-1")
WINDOWS = IMAGE.replace("linux", "windows")
EXPORT = "export: archive-ap-guangzhou"
DONE = "export to archive-ap-guangzhou (archive)"


@pytest.fixture
def beside(tmp_path: Path) -> Beside:
    return Beside(tmp_path)


@pytest.mark.parametrize(
    ("image", "expect"),
    [
        (IMAGE, f"{{actions: [{{{EXPORT}}}]}}"),
        (IMAGE, f"{{actions: [{{{EXPORT}, policies: archive}}]}}"),
        (IMAGE, f"{{actions: [{{{EXPORT}, options: {{format: qcow2, disks: all}}}}]}}"),
        (WINDOWS, "{actions: []}"),
        (PROD, f"{{actions: [{{copy: [ap-shanghai, ap-beijing]}}, {{{EXPORT}}}]}}"),
        (PROD, f"{{actions: [{{copy: ap-shanghai}}, {{{EXPORT}}}, {{copy: ap-beijing}}]}}"),
        (PROD, "{verdicts: {archive: match, dr: match}}"),
        (IMAGE, '{verdicts: {dr: {verdict: no_match, reason: "does not match"}}}'),
        (IMAGE, '{verdicts: {dr: {reason: "dev-1"}}}'),
        ("{cloud: tencent, region: r}", "{actions: [], verdicts: {archive: unknown}}"),
    ],
)
def test_what_is_as_expected_differs_in_nothing(beside: Beside, image: str, expect: str) -> None:
    assert beside.differences(expect, image) == []


@pytest.mark.parametrize(
    ("expect", "expected", "actual"),
    [
        ("{actions: []}", None, DONE),
        (f"{{actions: [{{{EXPORT}}}, {{copy: r}}]}}", "copy to r", None),
        (
            f"{{actions: [{{{EXPORT}, options: {{format: raw}}}}]}}",
            'export to archive-ap-guangzhou with format "raw"',
            'export to archive-ap-guangzhou with format "qcow2" (archive)',
        ),
        (
            f"{{actions: [{{{EXPORT}, options: {{role: x}}}}]}}",
            'export to archive-ap-guangzhou with role "x"',
            "export to archive-ap-guangzhou with role none (archive)",
        ),
        (f"{{actions: [{{{EXPORT}, policies: dr}}]}}", "export to archive-ap-guangzhou (dr)", DONE),
        (
            f"{{actions: [{{{EXPORT}, refused: never}}]}}",
            'export to archive-ap-guangzhou: cannot be done: "never"',
            DONE,
        ),
        (
            "{verdicts: {archive: no_match}}",
            "archive: no_match",
            "archive: match: cloud is tencent, os is linux",
        ),
        (
            "{verdicts: {archive: {verdict: match, reason: os is windows}}}",
            'archive: match: "os is windows"',
            "archive: match: cloud is tencent, os is linux",
        ),
    ],
)
def test_what_is_other_than_expected_is_told_both_ways(
    beside: Beside, expect: str, expected: str | None, actual: str | None
) -> None:
    assert beside.differences(expect) == [(expected, actual)]


REFUSED = "export to archive-ap-guangzhou (archive): cannot be done: Tencent Cloud never exports encrypted images"


def test_an_action_that_can_never_be_done_is_not_what_a_plain_expectation_means(beside: Beside) -> None:
    image = IMAGE.replace("}", ", encrypted: true}")

    [(expected, actual)] = beside.differences(f"{{actions: [{{{EXPORT}}}]}}", image)

    assert (expected, (actual or "").startswith(REFUSED)) == ("export to archive-ap-guangzhou", True)


def test_a_refusal_is_expected_by_a_part_of_its_reason(beside: Beside) -> None:
    image = IMAGE.replace("}", ", encrypted: true}")

    assert beside.differences(f'{{actions: [{{{EXPORT}, refused: "exports encrypted images"}}]}}', image) == []


def test_only_the_policies_that_are_named_are_asked(beside: Beside) -> None:
    [outcome] = beside.outcomes(
        f"tests: [{{name: a, policies: archive, image: {PROD}, expect: {{actions: [{{{EXPORT}}}]}}}}]"
    )

    assert (outcome.passed, [verdict.policy for verdict in outcome.decision.verdicts]) == (True, ["archive"])


def test_an_outcome_says_how_long_it_took_by_the_clock_that_was_given(beside: Beside) -> None:
    outcomes = beside.outcomes(f"tests: [{{name: a, image: {PROD}, expect: {{actions: []}}}}]")

    assert [outcome.seconds for outcome in outcomes] == [1.0]


def test_the_time_of_a_test_decides_how_old_an_image_is(tmp_path: Path) -> None:
    beside = Beside(
        tmp_path, 'policies: [{name: p, match: {created_within: 7d}, actions: [{export: {bucket: "b-{date}"}}]}]'
    )
    born = "{cloud: tencent, region: r, created_at: 2026-03-01T00:00:00Z}"

    outcomes = beside.outcomes(f"""\
        tests:
          - {{name: a, now: 2026-03-08T00:00:00Z, image: {born}, expect: {{actions: [{{export: b-2026-03-08}}]}}}}
          - {{name: b, now: 2026-03-08T00:00:01Z, image: {born}, expect: {{actions: []}}}}
    """)

    assert [outcome.passed for outcome in outcomes] == [True, True]
