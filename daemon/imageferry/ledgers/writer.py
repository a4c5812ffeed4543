"""SQLite's one writer thread: every queued transaction goes into one commit with whatever else is queued by then.

Owned by the SQLite ledger. Each script runs in a savepoint, so that one that fails is undone alone; nobody hears of
success before the commit is on the disk. When the database itself fails, the thread refuses everything from then on:
what was not committed is gone, and only a restart reads the truth again.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import threading
from collections.abc import Callable, Sequence
from queue import Empty, SimpleQueue
from typing import Any, Final, NamedTuple

from imageferry.errors import LedgerError
from imageferry.ledgers.script import Rows, Script, T, Value, drive
from imageferry.ports import Clock

GROUP: Final = 256
"""Transactions a commit, at the most."""
REFUSALS: Final = (sqlite3.ProgrammingError, sqlite3.DataError)
"""Errors about one statement's parameters: the connection is as good as before."""


class _Work(NamedTuple):
    script: Script[Any]
    future: asyncio.Future[Any]


class _Outcome(NamedTuple):
    future: asyncio.Future[Any]
    result: Any
    error: BaseException | None


def execute(connection: sqlite3.Connection, statement: str, params: Sequence[Value]) -> Rows:
    """One statement, all of its rows; text that is not Unicode is stored with replacement characters."""
    try:
        return connection.execute(statement, params).fetchall()
    except UnicodeEncodeError:  # lone surrogates, which JSON can spell; binding fails before anything is written
        readable = [p.encode(errors="replace").decode() if isinstance(p, str) else p for p in params]
        return connection.execute(statement, readable).fetchall()


class Writer:
    """The thread and its queue. ``explain`` words an error of the database; ``closed`` is called at its very end."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        clock: Clock,
        observe: Callable[[float], None] | None,
        explain: Callable[[BaseException], str],
        closed: Callable[[], None],
    ) -> None:
        self.error: LedgerError | None = None
        self._connection = connection
        self._clock = clock
        self._observe = observe
        self._explain = explain
        self._closed = closed
        self._queue: SimpleQueue[_Work | None] = SimpleQueue()
        self._loop = asyncio.get_running_loop()
        self._closing = False
        self._ended = asyncio.Event()
        threading.Thread(target=self._run, name="ledger-writer", daemon=True).start()

    async def write(self, script: Script[T]) -> T:
        """Queue a transaction and wait until it is committed.

        :raises LedgerError: the ledger is closed, has failed before, or refuses what the script writes.
        """
        if self._closing:
            raise LedgerError("the ledger is closed")
        future: asyncio.Future[T] = self._loop.create_future()
        self._queue.put(_Work(script, future))
        return await future

    async def close(self) -> None:
        """Commit what is queued, close the connection, and wait until that is done."""
        if not self._closing:
            self._closing = True
            self._queue.put(None)
        await self._ended.wait()

    # --- in the thread ---------------------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            last = False
            while not last:
                group, last = self._gather()
                self._tell(_settle, self._serve(group))
        finally:
            self._close()
            self._tell(self._ended.set)

    def _gather(self) -> tuple[list[_Work], bool]:
        """Everything that is queued, at least one; and whether that was the last."""
        group: list[_Work] = []
        item = self._queue.get()
        with contextlib.suppress(Empty):
            while item is not None:
                group.append(item)
                if len(group) == GROUP:
                    return group, False
                item = self._queue.get_nowait()
            return group, True
        return group, False

    def _serve(self, group: Sequence[_Work]) -> list[_Outcome]:
        if self.error is None:
            try:
                return self._transaction(group) if group else []
            except BaseException as error:  # noqa: BLE001 - every waiter hears of it, and every later caller
                self.error = LedgerError(self._explain(error))
                self.error.__cause__ = error
        return [_Outcome(work.future, None, _again(self.error)) for work in group]

    def _transaction(self, group: Sequence[_Work]) -> list[_Outcome]:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            outcomes = [self._one(work) for work in group if not _dropped(work)]
            start = self._clock.monotonic()
            self._connection.execute("COMMIT")
        except BaseException:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise
        if self._observe is not None:
            self._observe(self._clock.monotonic() - start)
        return outcomes

    def _one(self, work: _Work) -> _Outcome:
        """Carry out one script; an error that is the script's own undoes it alone."""
        self._connection.execute("SAVEPOINT one")
        try:
            result = drive(work.script, self._execute)
        except sqlite3.IntegrityError as refusal:
            error = LedgerError(f"the ledger refuses this: {refusal}; nothing of the transaction was written")
            error.__cause__ = refusal
            return self._undo(work, error)
        except sqlite3.Error as error:
            if isinstance(error, REFUSALS):
                return self._undo(work, error)
            raise
        except Exception as error:  # noqa: BLE001 - it belongs to whoever asked, who gets it
            return self._undo(work, error)
        self._connection.execute("RELEASE one")
        return _Outcome(work.future, result, None)

    def _undo(self, work: _Work, error: Exception) -> _Outcome:
        self._connection.execute("ROLLBACK TO one")
        self._connection.execute("RELEASE one")
        return _Outcome(work.future, None, error)

    def _execute(self, statement: str, params: Sequence[Value]) -> Rows:
        return execute(self._connection, statement, params)

    def _close(self) -> None:
        # What is committed is safe in the log file whether or not it can be moved into the database now.
        with contextlib.suppress(sqlite3.Error):
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        self._connection.close()
        self._closed()

    def _tell(self, call: Callable[..., object], *args: object) -> None:
        # A loop that is closed has nobody left who waits.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(call, *args)


def _dropped(work: _Work) -> bool:
    """Whether the caller was cancelled before the transaction began; then it never begins."""
    if work.future.cancelled():
        work.script.close()
        return True
    return False


def _settle(outcomes: Sequence[_Outcome]) -> None:
    for future, result, error in outcomes:
        if future.cancelled():
            continue
        if error is None:
            future.set_result(result)
        else:
            future.set_exception(error)


def _again(error: LedgerError) -> LedgerError:
    """An error of its own for every caller: one object raised twice would show the wrong trace."""
    fresh = LedgerError(str(error))
    fresh.__cause__ = error.__cause__
    return fresh
