"""Scripts: driven statement by statement, and inserts of any size."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from imageferry.ledgers.script import Ask, Rows, Script, Value, drive, insert_all, one_of, sql


def test_a_script_gets_the_rows_of_each_statement_and_returns_its_result() -> None:
    asked: list[tuple[str, Sequence[Value]]] = []

    def execute(statement: str, params: Sequence[Value]) -> Rows:
        asked.append((statement, params))
        return [(len(asked),)]

    def script() -> Script[int]:
        [[one]] = yield Ask("first", (1,))
        [[two]] = yield Ask("second")
        return int(one + two)

    assert drive(script(), execute) == 3
    assert asked == [("first", (1,)), ("second", ())]


def test_an_error_of_a_statement_ends_the_script() -> None:
    ended = []

    def execute(statement: str, params: Sequence[Value]) -> Rows:
        raise ValueError(statement, params)

    def script() -> Script[None]:
        try:
            yield Ask("first")
        finally:
            ended.append("cleaned up")

    with pytest.raises(ValueError, match="first"):
        drive(script(), execute)
    assert ended == ["cleaned up"]


@pytest.mark.parametrize("size", [0, 1, 7, 8, 47, 48, 200, 249, 1000])
def test_every_row_is_inserted_once_and_in_order(size: int) -> None:
    inserted: list[Value] = []

    def execute(statement: str, params: Sequence[Value]) -> Rows:
        assert statement.count("?") == len(params)
        inserted.extend(params)
        return [(param,) for param in params[::2]]

    rows = [(n, -n) for n in range(size)]
    returned = drive(insert_all("INSERT INTO t (a, b)", rows, "RETURNING a"), execute)
    assert inserted == [value for row in rows for value in row]
    assert returned == [(n,) for n in range(size)]


def test_inserts_of_all_sizes_use_few_statements() -> None:
    seen: set[str] = set()

    def execute(statement: str, params: Sequence[Value]) -> Rows:
        seen.add(statement)
        return []

    for size in range(1, 600):
        drive(insert_all("INSERT INTO t (a)", [(n,) for n in range(size)]), execute)
    assert len(seen) == 4


def test_a_statement_is_put_together_from_parts() -> None:
    assert sql("SELECT a FROM t WHERE b IN", one_of([1, 2, 3])) == "SELECT a FROM t WHERE b IN (?, ?, ?)"
