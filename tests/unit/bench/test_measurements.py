"""The program that measures: what it does with a measurement that fails, and the one that needs no other process."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench import __main__ as program
from bench import deciding
from bench.report import Row, Size
from support.policies import NOW, world

TINY = Size(commits=5, calls=50, policies=40, decisions=2)


def test_the_ledger_is_measured_without_any_other_process() -> None:
    rows = program.measured(["ledger"], TINY)
    assert [row.what for row in rows] == [
        "ledger, one commit after the other, to bare sqlite3",
        "ledger, 256 calls at once, to bare sqlite3",
    ]


def test_policies_are_measured_without_any_other_process() -> None:
    rows = program.measured(["policies"], TINY)
    assert [row.what for row in rows] == [
        "decision, 40 policies of which ten could match, to ten",
        "decision, 100 applicable policies, 10 match, to bare predicates",
        "decision, 100 applicable policies, 10 match, to predicates with reasons",
        "decision, 100 applicable policies, 100 match, to bare predicates",
        "decision, 100 applicable policies, 100 match, to predicates with reasons",
        "decision, 100 policies with an expression, to matchers",
        "reload of 40 policies, to composing the YAML",
    ]
    assert all(row.ratio for row in rows)


def test_what_a_person_would_write_by_hand_decides_as_the_policies_do(tmp_path: Path) -> None:
    globs = ["team-1-*", "team-*", "no-*"]
    chosen = deciding._loaded(tmp_path, [deciding._policy(n, "tencent", each) for n, each in enumerate(globs)])
    for image in deciding._images(12):
        decision = chosen.decide(image, world(), NOW)
        said = [deciding._teller(each[:-1], n)(image) for n, each in enumerate(globs)]
        assert [(verdict.verdict == "match", verdict.reason) for verdict in decision.verdicts] == said
        assert [fits for fits, _ in said] == [deciding._predicate(each[:-1], n)(image) for n, each in enumerate(globs)]


def test_one_that_fails_says_so_and_leaves_the_others_be(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_size: Size, _folder: Path) -> list[Row]:
        raise ValueError("no such thing")

    def whole(_size: Size, _folder: Path) -> list[Row]:
        return [Row("whole", "1")]

    monkeypatch.setattr(program, "MEASUREMENTS", {"broken": broken, "whole": whole})
    rows = program.measured(["broken", "whole"], TINY)
    assert [row.figure for row in rows] == ["not measured: ValueError: no such thing", "1"]
