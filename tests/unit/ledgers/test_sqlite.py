"""The SQLite ledger: opening, locking, failing, and what it does to the event loop."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import threading
from collections.abc import Awaitable, Callable
from contextlib import closing
from pathlib import Path

import pytest

from imageferry.errors import LedgerError, LedgerLocked, SchemaTooNew
from imageferry.ledgers.script import Ask, Script
from imageferry.ledgers.sqlite import SqliteLedger, known_migrations, open_ledger, open_reader, sqlite_path
from imageferry.ports import Recorded
from support.clocks import FakeClock
from support.ledgers import NOW, job_in, sighting

PATIENCE = 20
"""Seconds after which a test that waits for a thread gives up instead of hanging."""


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite://{tmp_path}/ledger.db"


async def refusal(url: str) -> str:
    """Why the ledger cannot be opened."""
    with pytest.raises(LedgerError) as caught:
        async with open_ledger(url, clock=FakeClock()):
            pass
    return str(caught.value)


async def reader_refusal(url: str) -> str:
    with pytest.raises(LedgerError) as caught:
        async with open_reader(url):
            pass
    return str(caught.value)


def edit(url: str, *statements: str) -> None:
    with closing(sqlite3.connect(sqlite_path(url))) as connection, connection:
        for statement in statements:
            connection.execute(statement)


async def made(url: str) -> None:
    async with open_ledger(url, clock=FakeClock()):
        pass


# --- opening -------------------------------------------------------------------------------------------------------


def test_a_url_names_a_file() -> None:
    assert sqlite_path("sqlite:///var/lib/imageferry/ledger.db") == Path("/var/lib/imageferry/ledger.db")


@pytest.mark.parametrize("url", ["postgresql://user:secret@host/db", "/var/lib/ledger.db", "sqlite://"])
def test_another_url_is_refused_without_being_quoted(url: str) -> None:
    with pytest.raises(LedgerError, match=r"expected sqlite:///path/to/ledger\.db") as caught:
        sqlite_path(url)
    assert "secret" not in str(caught.value)


async def test_a_path_with_odd_characters_is_opened_as_it_is(tmp_path: Path) -> None:
    await made(f"sqlite://{tmp_path}/a b?mode=memory#%20.db")
    assert (tmp_path / "a b?mode=memory#%20.db").stat().st_size > 0


async def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    assert await refusal(f"sqlite://{tmp_path}/nowhere/ledger.db") == (
        f"the ledger's folder {tmp_path}/nowhere does not exist; make it, writable for this user"
    )


async def test_a_folder_that_cannot_be_written_is_said_so() -> None:
    assert "let the daemon's user write there" in await refusal("sqlite:///proc/ledger.db")


async def test_a_folder_in_the_ledgers_place_is_said_so(tmp_path: Path) -> None:
    (tmp_path / "ledger.db").mkdir()
    assert "let this user read and write the file" in await refusal(f"sqlite://{tmp_path}/ledger.db")


async def test_a_file_that_is_no_database_is_left_alone(tmp_path: Path, url: str) -> None:
    text = b"this is somebody's diary\n" * 100
    (tmp_path / "ledger.db").write_bytes(text)
    assert "it is no SQLite database" in await refusal(url)
    assert "it is no SQLite database" in await reader_refusal(url)
    assert (tmp_path / "ledger.db").read_bytes() == text


async def test_another_programs_database_is_left_alone(url: str) -> None:
    edit(url, "CREATE TABLE bookmarks (url TEXT)")
    assert "another program's database" in await refusal(url)
    assert "another program's database" in await reader_refusal(url)
    with closing(sqlite3.connect(sqlite_path(url))) as connection:
        assert connection.execute("SELECT name FROM sqlite_master").fetchall() == [("bookmarks",)]


async def test_a_ledger_of_a_newer_program_is_refused(url: str) -> None:
    await made(url)
    edit(url, "INSERT INTO schema_version (version, applied_at) VALUES (99, 1)")
    with pytest.raises(SchemaTooNew, match="its schema is 99"):
        await made(url)
    with pytest.raises(SchemaTooNew, match="its schema is 99"):
        async with open_reader(url):
            pass


async def test_a_ledger_of_an_older_program_is_not_read_before_it_is_brought_up_to_date(url: str) -> None:
    await made(url)
    edit(url, "DELETE FROM schema_version WHERE version > 1")
    assert "start the daemon once" in await reader_refusal(url)


async def test_an_empty_file_becomes_a_ledger_but_cannot_be_read_before(tmp_path: Path, url: str) -> None:
    (tmp_path / "ledger.db").touch()
    assert "start the daemon once" in await reader_refusal(url)
    await made(url)
    async with open_reader(url) as reader:
        assert await reader.open_work() == (0, 0)


async def test_a_migration_that_fails_leaves_nothing_of_itself_and_no_lock(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = known_migrations()
    bad = good[1]._replace(text="CREATE TABLE half (a INTEGER); CREATE TABLE nonsense (")
    monkeypatch.setattr("imageferry.ledgers.sqlite.known_migrations", lambda: [good[0], bad])
    assert "incomplete input" in await refusal(url)
    monkeypatch.undo()
    await made(url)
    with closing(sqlite3.connect(sqlite_path(url))) as connection:
        tables = {row[0] for row in connection.execute("SELECT name FROM sqlite_master")}
    assert "half" not in tables
    assert "jobs_move" in tables


async def test_commits_are_made_to_last(url: str) -> None:
    async with open_ledger(url, clock=FakeClock()) as ledger:
        assert await asked(ledger, "PRAGMA journal_mode") == "wal"
        assert await asked(ledger, "PRAGMA synchronous") == 2
        assert await asked(ledger, "PRAGMA foreign_keys") == 1


async def asked(ledger: SqliteLedger, pragma: str) -> object:
    def script() -> Script[object]:
        [[value]] = yield Ask(pragma)
        return value

    return await ledger._database.write(script())


# --- one daemon at a time ------------------------------------------------------------------------------------------


async def test_a_second_daemon_is_told_which_process_holds_the_ledger(url: str) -> None:
    async with open_ledger(url, clock=FakeClock()) as ledger:
        assert ledger.exclusive
        with pytest.raises(LedgerLocked, match=f"process {os.getpid()} holds"):
            await made(url)
        assert await ledger.open_work() == (0, 0)


async def test_the_lock_is_free_again_after_closing(url: str) -> None:
    await made(url)
    await made(url)
    assert Path(f"{sqlite_path(url)}.lock").read_bytes() == b""


async def test_the_lock_is_free_again_after_an_error_inside(url: str) -> None:
    with pytest.raises(ValueError, match="inside"):
        async with open_ledger(url, clock=FakeClock()):
            raise ValueError("inside")
    await made(url)


async def test_closing_is_finished_even_when_everything_is_cancelled(url: str) -> None:
    entered = asyncio.Event()

    async def daemon() -> None:
        async with open_ledger(url, clock=FakeClock()) as ledger:
            await ledger.record([sighting("img-1")], NOW)
            entered.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(daemon())
    await entered.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    async with open_ledger(url, clock=FakeClock()) as ledger:
        assert await ledger.open_work() == (1, 0)


async def test_an_orderly_end_leaves_one_file_with_everything_in_it(url: str) -> None:
    async with open_ledger(url, clock=FakeClock()) as ledger:
        await ledger.record([sighting("img-1")], NOW)
    path = sqlite_path(url)
    assert [one.name for one in sorted(path.parent.iterdir())] == ["ledger.db", "ledger.db.lock"]


async def test_a_reader_cannot_write(url: str) -> None:
    await made(url)

    def script() -> Script[None]:
        yield Ask("INSERT INTO cursors (name, value, updated_at) VALUES ('a', 'b', 1)")

    async with open_reader(url) as reader:
        with pytest.raises(LedgerError, match="readonly"):
            await reader._database.read(script())  # type: ignore[attr-defined] # the reader of SQLite
        with pytest.raises(LedgerError, match="opened for reading"):
            await reader._database.write(script())  # type: ignore[attr-defined] # the same


# --- failing -------------------------------------------------------------------------------------------------------


async def test_when_the_disk_is_full_every_later_call_says_so(url: str) -> None:
    async with open_ledger(url, clock=FakeClock()) as ledger:
        job = await job_in(ledger, "running")
        assert ledger.closed_on_error is None
        pages = await asked(ledger, "PRAGMA page_count")
        await asked(ledger, f"PRAGMA max_page_count = {pages}")
        batch = [sighting(f"img-{n}") for n in range(5000)]
        calls: list[Callable[[], Awaitable[object]]] = [
            lambda: ledger.record(batch, NOW),
            lambda: ledger.record([sighting("img-9")], NOW),
            lambda: ledger.set_cursor("a", "b", NOW),
            ledger.outbox_size,
        ]
        for call in calls:
            with pytest.raises(LedgerError, match="the disk is full: make room"):
                await call()
        assert "disk is full" in str(ledger.closed_on_error)
    async with open_ledger(url, clock=FakeClock()) as ledger:
        assert await ledger.job(job.id) == job
        assert await ledger.open_work() == (0, 1)


async def test_a_failure_is_told_to_everyone_in_the_same_commit(url: str) -> None:
    async with open_ledger(url, clock=FakeClock()) as ledger:
        held = Held(ledger)
        good = asyncio.ensure_future(ledger.record([sighting("img-1")], NOW))
        broken = asyncio.ensure_future(asked(ledger, "SELECT nonsense FROM nowhere"))
        await held.queued()
        held.let_go()
        results = await asyncio.gather(good, broken, return_exceptions=True)
        assert [type(result) for result in results] == [LedgerError, LedgerError]
    async with open_ledger(url, clock=FakeClock()) as ledger:
        assert await ledger.open_work() == (0, 0)


async def test_a_parameter_that_cannot_be_stored_fails_its_own_call_only(url: str) -> None:
    async with open_ledger(url, clock=FakeClock()) as ledger:
        with pytest.raises(OverflowError):
            await ledger.set_cursor("a", "b", 2**70)
        with pytest.raises(sqlite3.ProgrammingError):
            await ledger.set_cursor("a", object(), NOW)  # type: ignore[arg-type] # on purpose
        await ledger.set_cursor("a", "b", NOW)
        assert await ledger.cursor("a") == "b"


async def test_a_broken_file_is_said_to_be_damaged(url: str) -> None:
    async with open_ledger(url, clock=FakeClock()) as ledger:
        await ledger.record([sighting(f"img-{n}") for n in range(2000)], NOW)
    path = sqlite_path(url)
    whole = path.read_bytes()
    path.write_bytes(whole[:4096] + b"\xff" * (len(whole) - 4096))
    assert "damaged" in await refusal_while_working(url)


async def refusal_while_working(url: str) -> str:
    with pytest.raises(LedgerError) as caught:
        async with open_ledger(url, clock=FakeClock()) as ledger:
            await ledger.record([sighting("img-1")], NOW)
    return str(caught.value)


# --- threads and commits -------------------------------------------------------------------------------------------


class Held:
    """Keeps the writer busy with a transaction until it is let go, so that what follows queues up."""

    def __init__(self, ledger: SqliteLedger) -> None:
        self._loop = asyncio.get_running_loop()
        self._begun = asyncio.Event()
        self._go = threading.Event()
        self.done = asyncio.ensure_future(ledger._database.write(self._script()))

    def _script(self) -> Script[int]:
        self._loop.call_soon_threadsafe(self._begun.set)
        if not self._go.wait(PATIENCE):
            raise TimeoutError
        [[one]] = yield Ask("SELECT 1")
        return int(one)

    async def queued(self) -> None:
        """Wait until the writer is busy; everything asked before this is queued behind."""
        await self._begun.wait()
        await asyncio.sleep(0)

    def let_go(self) -> None:
        self._go.set()


async def test_what_queues_up_goes_into_one_commit(url: str) -> None:
    commits: list[float] = []
    async with open_ledger(url, clock=FakeClock(), observe=commits.append) as ledger:
        held = Held(ledger)
        await held.queued()
        writes = [asyncio.ensure_future(ledger.record([sighting(f"img-{n}")], NOW)) for n in range(100)]
        await asyncio.sleep(0)
        held.let_go()
        assert await asyncio.gather(*writes) == [Recorded(1, 0, 0, 0)] * 100
        assert len(commits) == 2


async def test_every_commit_is_timed_by_the_given_clock(url: str) -> None:
    class Ticking(FakeClock):
        def monotonic(self) -> float:
            self.jump(1.5)
            return super().monotonic()

    commits: list[float] = []
    async with open_ledger(url, clock=Ticking(), observe=commits.append) as ledger:
        await ledger.record([sighting("img-1")], NOW)
        await ledger.set_cursor("a", "b", NOW)
    assert commits == [1.5, 1.5]


async def test_the_event_loop_runs_on_while_the_ledger_writes(url: str) -> None:
    async with open_ledger(url, clock=FakeClock()) as ledger:
        held = Held(ledger)
        await held.queued()
        held.let_go()
        assert await held.done == 1


async def test_reads_do_not_wait_for_the_writer(url: str) -> None:
    async with open_ledger(url, clock=FakeClock()) as ledger:
        held = Held(ledger)
        await held.queued()
        assert await ledger.open_work() == (0, 0)
        held.let_go()
        await held.done


async def test_the_event_loop_runs_on_while_the_ledger_reads(url: str) -> None:
    async with open_ledger(url, clock=FakeClock()) as ledger:
        loop, begun, go = asyncio.get_running_loop(), asyncio.Event(), threading.Event()

        def script() -> Script[bool]:
            yield Ask("SELECT 1")
            loop.call_soon_threadsafe(begun.set)
            return go.wait(PATIENCE)

        reading = asyncio.ensure_future(ledger._database.read(script()))
        await begun.wait()
        assert await ledger.outbox_size() == 0
        go.set()
        assert await reading


async def test_a_call_that_is_cancelled_before_its_turn_is_never_made(url: str) -> None:
    async with open_ledger(url, clock=FakeClock()) as ledger:
        held = Held(ledger)
        await held.queued()
        dropped = asyncio.ensure_future(ledger.set_cursor("a", "dropped", NOW))
        await asyncio.sleep(0)
        dropped.cancel()
        await asyncio.gather(dropped, return_exceptions=True)
        held.let_go()
        await ledger.set_cursor("b", "kept", NOW)
        assert (await ledger.cursor("a"), await ledger.cursor("b")) == (None, "kept")


async def test_a_call_that_is_cancelled_in_its_turn_is_carried_out_whole(url: str) -> None:
    async with open_ledger(url, clock=FakeClock()) as ledger:
        loop, begun, go = asyncio.get_running_loop(), asyncio.Event(), threading.Event()

        def script() -> Script[None]:
            yield Ask("INSERT INTO cursors (name, value, updated_at) VALUES ('a', 'first', 1)")
            loop.call_soon_threadsafe(begun.set)
            go.wait(PATIENCE)
            yield Ask("INSERT INTO cursors (name, value, updated_at) VALUES ('b', 'second', 1)")

        task = asyncio.ensure_future(ledger._database.write(script()))
        await begun.wait()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        go.set()
        await ledger.set_cursor("behind it", "x", NOW)
        assert (await ledger.cursor("a"), await ledger.cursor("b")) == ("first", "second")
