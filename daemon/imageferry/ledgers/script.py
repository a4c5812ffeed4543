"""How a transaction is written once for every database: as a generator that yields statements and receives rows.

The modules beside this one write scripts; a database drives them. Nothing here opens, waits or commits.
Statements are limited to what SQLite 3.40 and PostgreSQL 15 both speak; a ``?`` stands for each parameter, and never
stands in a literal.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from functools import cache
from itertools import chain
from typing import Any, Final, NamedTuple, Protocol, TypeAlias, TypeVar

Value: TypeAlias = str | int | bytes | None
Rows: TypeAlias = Sequence[tuple[Any, ...]]


class Ask(NamedTuple):
    """One statement; the answer to it is its rows, none for a statement that returns nothing."""

    sql: str
    params: Sequence[Value] = ()


T = TypeVar("T")
Script: TypeAlias = Generator[Ask, Rows, T]
"""A transaction, or a part of one. What it raises undoes the transaction."""


class Database(Protocol):
    """What carries scripts out. Every error of the database itself comes out as a ``LedgerError``."""

    async def write(self, script: Script[T]) -> T:
        """One transaction, durable when this returns; a cancelled caller never leaves half of it."""
        ...

    async def read(self, script: Script[T]) -> T:
        """The same on a snapshot, without writing."""
        ...

    async def aclose(self) -> None:
        """Finish what was accepted, then close."""
        ...


def drive(script: Script[T], execute: Callable[[str, Sequence[Value]], Rows]) -> T:
    """Carry a script out, statement by statement, and return its result."""
    try:
        ask = next(script)
        while True:
            ask = script.send(execute(ask.sql, ask.params))
    except StopIteration as stop:
        result: T = stop.value
        return result
    finally:
        script.close()


def sql(*parts: str) -> str:
    """A statement out of its parts."""
    return " ".join(parts)


def one_of(values: Sequence[Value]) -> str:
    """``(?, ?, ?)``: as many places as there are values."""
    return f"({', '.join('?' * len(values))})"


_CHUNKS: Final = (1000, 200, 40, 8, 1)
"""Rows a statement: few different lengths, so that the database's cache of prepared statements holds them all. The
longest is what lets other threads run meanwhile; no database takes more than some 32,000 parameters."""


@cache
def _insert(head: str, width: int, rows: int, tail: str) -> str:
    row = one_of("?" * width)
    return sql(head, "VALUES", ", ".join([row] * rows), tail)


def insert_all(head: str, rows: Sequence[tuple[Value, ...]], tail: str = "") -> Script[list[tuple[Any, ...]]]:
    """Insert any number of rows; returns what ``RETURNING`` in ``tail`` gives for them."""
    returned: list[tuple[Any, ...]] = []
    start = 0
    for size in _CHUNKS:
        while len(rows) - start >= size:
            flat = list(chain.from_iterable(rows[start : start + size]))
            returned.extend((yield Ask(_insert(head, len(rows[start]), size, tail), flat)))
            start += size
    return returned
