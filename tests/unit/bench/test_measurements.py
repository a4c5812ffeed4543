"""The program that measures: what it does with a measurement that fails, and the one that needs no other process."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench import __main__ as program
from bench.report import Row, Size

TINY = Size(commits=5, calls=50)


def test_the_ledger_is_measured_without_any_other_process() -> None:
    rows = program.measured(["ledger"], TINY)
    assert [row.what for row in rows] == [
        "ledger, one commit after the other, to bare sqlite3",
        "ledger, 256 calls at once, to bare sqlite3",
    ]


def test_one_that_fails_says_so_and_leaves_the_others_be(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_size: Size, _folder: Path) -> list[Row]:
        raise ValueError("no such thing")

    def whole(_size: Size, _folder: Path) -> list[Row]:
        return [Row("whole", "1")]

    monkeypatch.setattr(program, "MEASUREMENTS", {"broken": broken, "whole": whole})
    rows = program.measured(["broken", "whole"], TINY)
    assert [row.figure for row in rows] == ["not measured: ValueError: no such thing", "1"]
