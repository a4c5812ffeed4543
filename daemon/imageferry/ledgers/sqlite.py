"""The ledger in a SQLite file: opening it for the daemon, and beside the daemon for the lists.

Opened by the app and the commands. One connection in one process ever writes (two that write or checkpoint at once
can corrupt the file before SQLite 3.51.3); everything that only reads has connections that cannot write.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from typing import Final

import anyio

from imageferry.errors import LedgerError
from imageferry.ledgers.lockfile import LockFile
from imageferry.ledgers.migrations import Migration, migrations, missing, up_to_date
from imageferry.ledgers.script import Script, T, drive
from imageferry.ledgers.store import StoredLedger, StoredReader
from imageferry.ledgers.writer import Writer, execute
from imageferry.ports import Clock, Reader

SCHEME: Final = "sqlite://"
READERS: Final = 2
"""Reading threads: a long list never holds up a loop's question for long."""
BUSY: Final = 5.0
"""Seconds to wait for another program that has the file locked."""
CLOSING: Final = 30.0
"""Seconds that closing may take when everything is cancelled; the process ends then anyway, and what is committed
stays committed."""
WORDS: Final = {"SERIAL": "INTEGER PRIMARY KEY AUTOINCREMENT", "BYTES": "BLOB"}

_VERSIONS: Final = "CREATE TABLE IF NOT EXISTS schema_version (version BIGINT PRIMARY KEY, applied_at BIGINT NOT NULL);"
_ADVICE: Final = {
    "SQLITE_NOTADB": "it is no SQLite database: give the ledger another file, or move that one away",
    "SQLITE_CORRUPT": "the file is damaged: restore it from a backup, or move it away to begin anew",
    "SQLITE_FULL": "the disk is full: make room and start again",
    "SQLITE_CANTOPEN": "let this user read and write the file and its folder",
    "SQLITE_READONLY": "let this user write to the file and its folder",
    "SQLITE_PERM": "let this user write to the file and its folder",
    "SQLITE_BUSY": "another program has it locked: end that one (a database browser, a backup)",
    "SQLITE_IOERR": "the disk or the file system failed: see the system's log",
}


def sqlite_path(url: str) -> Path:
    """The file of a ledger's URL: ``sqlite:///var/lib/imageferry/ledger.db``.

    :raises LedgerError: it is no such URL.
    """
    path = url.removeprefix(SCHEME)
    if url.startswith("postgresql://"):
        raise LedgerError("PostgreSQL ledgers are not there yet; expected sqlite:///path/to/ledger.db")
    if path == url or not path:
        raise LedgerError("the ledger's url is not a SQLite one; expected sqlite:///path/to/ledger.db")
    return Path(path)


def explain(path: Path, error: BaseException) -> str:
    """An error of the database in words that say what to do."""
    name = str(getattr(error, "sqlite_errorname", ""))
    advice = next(
        (text for code, text in _ADVICE.items() if name.startswith(code)), "start again; what is committed stays"
    )
    return f"the ledger {path} cannot be used: {error}; {advice}"


def known_migrations() -> list[Migration]:
    """Every migration of a SQLite ledger."""
    return migrations("sqlite", WORDS)


class SqliteDatabase:
    """Drives scripts on one file: reads in threads of their own, writes through the writer where there is one."""

    def __init__(self, path: Path, readers: Sequence[sqlite3.Connection], writer: Writer | None) -> None:
        self._path = path
        self._writer = writer
        self._idle: SimpleQueue[sqlite3.Connection] = SimpleQueue()
        self._threads = ThreadPoolExecutor(len(readers), thread_name_prefix="ledger-reader")
        self._closed = False
        for connection in readers:
            self._idle.put(connection)

    @property
    def failure(self) -> LedgerError | None:
        """Why nothing can be written any more."""
        return None if self._writer is None else self._writer.error

    async def write(self, script: Script[T]) -> T:
        """One transaction in the writer's next commit."""
        if self._writer is None:
            raise LedgerError("this ledger was opened for reading")
        return await self._writer.write(script)

    async def read(self, script: Script[T]) -> T:
        """Drive a script on a snapshot, in a reading thread."""
        if self.failure is not None:
            raise LedgerError(str(self.failure)) from self.failure
        if self._closed:
            raise LedgerError("the ledger is closed")
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._read, script)

    def _read(self, script: Script[T]) -> T:
        connection = self._idle.get()
        try:
            connection.execute("BEGIN")
            try:
                return drive(script, partial(execute, connection))
            finally:
                connection.execute("ROLLBACK")
        except sqlite3.Error as error:
            raise LedgerError(explain(self._path, error)) from error
        finally:
            self._idle.put(connection)

    async def aclose(self) -> None:
        """Let reads and writes that were accepted finish; the writer closes last and tidies the file up."""
        if not self._closed:
            self._closed = True
            await asyncio.get_running_loop().run_in_executor(None, self._close_readers)
        if self._writer is not None:
            await self._writer.close()

    def _close_readers(self) -> None:
        self._threads.shutdown()
        while not self._idle.empty():
            self._idle.get().close()


class SqliteLedger(StoredLedger):
    """The ledger of the one daemon that holds the file's lock."""

    exclusive = True

    def __init__(self, database: SqliteDatabase) -> None:
        super().__init__(database)
        self._sqlite = database

    @property
    def closed_on_error(self) -> LedgerError | None:
        """Why the ledger refuses every call since the database failed; None while it works."""
        return self._sqlite.failure


@asynccontextmanager
async def open_ledger(
    url: str, *, clock: Clock, observe: Callable[[float], None] | None = None
) -> AsyncIterator[SqliteLedger]:
    """Lock, open and bring up to date; ``observe`` hears how many seconds each commit took, in the writer's thread.

    :raises LedgerLocked: another process works on it.
    :raises SchemaTooNew: a newer program wrote it.
    :raises LedgerError: it cannot be opened; the message says what to do.
    """
    path = sqlite_path(url)
    database = _open(path, clock, observe)
    try:
        yield SqliteLedger(database)
    finally:
        with anyio.move_on_after(CLOSING, shield=True):
            await database.aclose()


@asynccontextmanager
async def open_reader(url: str) -> AsyncIterator[Reader]:
    """Open for reading, beside a running daemon or after it.

    :raises LedgerError: there is no ledger, or it cannot be read; the message says what to do.
    """
    path = sqlite_path(url)
    if not path.exists():
        raise LedgerError(f"there is no ledger at {path}; `imageferry run` makes it when it first starts")
    try:
        readers = _readable(path)
    except sqlite3.Error as error:
        raise LedgerError(explain(path, error)) from error
    database = SqliteDatabase(path, readers, None)
    try:
        yield StoredReader(database)
    finally:
        with anyio.move_on_after(CLOSING, shield=True):
            await database.aclose()


def _open(path: Path, clock: Clock, observe: Callable[[float], None] | None) -> SqliteDatabase:
    """Everything that start-up does with the file. It blocks: nothing else runs yet, and nothing may be left behind."""
    if not path.parent.is_dir():
        raise LedgerError(f"the ledger's folder {path.parent} does not exist; make it, writable for this user")
    lock = LockFile(path.with_name(path.name + ".lock"))
    try:
        connection = _prepared(path, clock.now())
        readers = [_connect(path, "ro") for _ in range(READERS)]
    except sqlite3.Error as error:
        lock.release()
        raise LedgerError(explain(path, error)) from error
    except BaseException:
        lock.release()
        raise
    writer = Writer(connection, clock, observe, partial(explain, path), lock.release)
    return SqliteDatabase(path, readers, writer)


def _readable(path: Path) -> list[sqlite3.Connection]:
    """One connection for reading a ledger that must be there, and of this program's schema."""
    connection = _connect(path, "ro")
    try:
        up_to_date(known_migrations(), _version(connection, path), str(path))
    except BaseException:
        connection.close()
        raise
    return [connection]


def _prepared(path: Path, now: int) -> sqlite3.Connection:
    connection = _connect(path, "rwc")
    try:
        version = _version(connection, path)
        needed = missing(known_migrations(), version, str(path))
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA cache_size = -16000")
        connection.execute("PRAGMA journal_size_limit = 67108864")
        # Keys come in no order, so every commit touches pages of the last ones: move them into the file less often.
        connection.execute("PRAGMA wal_autocheckpoint = 8000")
        for migration in needed:
            _migrate(connection, migration, now)
    except BaseException:
        connection.close()
        raise
    return connection


def _connect(path: Path, mode: str) -> sqlite3.Connection:
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode={mode}",
        uri=True,
        timeout=BUSY,
        isolation_level=None,
        check_same_thread=False,
        cached_statements=256,
    )
    connection.execute("PRAGMA foreign_keys = ON")
    return connection


def _version(connection: sqlite3.Connection, path: Path) -> int:
    """The schema's version; 0: an empty file.

    :raises LedgerError: the file holds another program's tables.
    """
    tables = {row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    if not tables:
        return 0
    if "schema_version" not in tables:
        raise LedgerError(f"{path} is another program's database, not a ledger; give the ledger a file of its own")
    [[version]] = connection.execute("SELECT COALESCE(MAX(version), 0) FROM schema_version")
    return int(version)


def _migrate(connection: sqlite3.Connection, migration: Migration, now: int) -> None:
    """Carry one file out and note it, in one transaction."""
    try:
        connection.executescript(f"BEGIN IMMEDIATE;\n{_VERSIONS}\n{migration.text}\n")
        connection.execute("INSERT INTO schema_version (version, applied_at) VALUES (?, ?)", (migration.version, now))
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
