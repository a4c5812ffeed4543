"""Starting again: after an orderly end, after a kill, and beside a ledger that is in use."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from imageferry.core.job import JobFilter
from imageferry.core.machine import END_STATES
from imageferry.errors import LedgerError, MoveForbidden
from imageferry.ports import Ledger, Move
from support.clocks import FakeClock
from support.ledgers import (
    DATABASES,
    ELSEWHERE,
    HOUR,
    NOW,
    PLACE,
    Database,
    ask,
    freeze,
    job_in,
    new_job,
    plan,
    sighting,
)

WORKER = Path(__file__).parents[2] / "support" / "ledger_worker.py"


async def test_a_job_found_submitting_becomes_a_doubt(ledger: Ledger) -> None:
    job = await job_in(ledger, "submitting")
    assert await ledger.recover("prod", PLACE.region, NOW + 1, NOW + HOUR) == 1
    doubt = await ledger.job(job.id)
    assert doubt == replace(
        job, state="in_doubt", due_at=NOW + HOUR, version=job.version + 1, reason=doubt.reason if doubt else ""
    )
    last = (await ledger.history(job.id))[-1]
    assert (last.at, last.from_state, last.to_state, last.reason) == (NOW + 1, "submitting", "in_doubt", doubt.reason)
    assert "start-up" in doubt.reason


async def test_only_submitting_jobs_of_that_region_are_recovered(ledger: Ledger) -> None:
    states = ("planned", "in_doubt", "running", "succeeded", "failed", "cancelled")
    before = [await job_in(ledger, state, f"img-{n}") for n, state in enumerate(states)]
    there = await job_in(ledger, "submitting", "there", place=ELSEWHERE)
    assert await ledger.recover("prod", PLACE.region, NOW + 1, NOW + HOUR) == 0
    assert [await ledger.job(job.id) for job in (*before, there)] == [*before, there]


async def test_everything_is_there_after_closing_and_opening_again(database: Database, clock: FakeClock) -> None:
    async with database.open(clock) as ledger:
        job = await job_in(ledger, "succeeded")
        await ledger.set_cursor("polling", "page 7", NOW)
    async with database.open(clock) as ledger:
        assert await ledger.job(job.id) == job
        assert [row.to_state for row in await ledger.history(job.id)] == [
            "planned",
            "submitting",
            "running",
            "succeeded",
        ]
        assert await ledger.cursor("polling") == "page 7"
        assert await ledger.outbox_size() == 1


async def test_opening_again_migrates_nothing_twice(database: Database, clock: FakeClock) -> None:
    async with database.open(clock):
        pass
    first = database.raw("SELECT version, applied_at FROM schema_version ORDER BY version")
    clock.jump(60)
    async with database.open(clock):
        pass
    assert database.raw("SELECT version, applied_at FROM schema_version ORDER BY version") == first
    assert [version for version, _ in first] == list(range(1, len(first) + 1))


async def test_a_closed_ledger_says_so(ledger: Ledger) -> None:
    await ledger.aclose()
    await ledger.aclose()
    with pytest.raises(LedgerError, match="closed"):
        await ledger.outbox_size()
    with pytest.raises(LedgerError, match="closed"):
        await ledger.record([sighting("img-1")], NOW)


async def test_closing_commits_what_is_queued(database: Database, clock: FakeClock) -> None:
    async with database.open(clock) as ledger:
        writes = [asyncio.ensure_future(ledger.record([sighting(f"img-{n}")], NOW)) for n in range(300)]
        await asyncio.sleep(0)
        await ledger.aclose()
        assert sum(recorded.accepted for recorded in await asyncio.gather(*writes)) == 300
    async with database.reader() as reader:
        assert await reader.open_work() == (300, 0)


async def test_a_failing_transaction_leaves_those_queued_with_it_untouched(ledger: Ledger) -> None:
    [job] = await plan(ledger, new_job())
    bad = Move(job=job, to="succeeded", reason="never ran")
    calls = [ledger.move([bad], NOW), *(ledger.record([sighting(f"img-{n}")], NOW) for n in range(20))]
    first, *others = await asyncio.gather(*calls, return_exceptions=True)
    assert isinstance(first, MoveForbidden)
    assert [getattr(recorded, "accepted", recorded) for recorded in others] == [1] * 19 + [1]
    assert await ledger.job(job.id) == job


async def test_a_cancelled_caller_leaves_a_whole_transaction_or_none(ledger: Ledger) -> None:
    jobs = await plan(ledger, *(new_job(f"img-{n}") for n in range(50)))
    half = [
        asyncio.ensure_future(ledger.move([Move(job=job, to="cancelled", reason="x") for job in pair], NOW))
        for pair in zip(jobs[::2], jobs[1::2], strict=True)
    ]
    await asyncio.sleep(0)
    for task in half:
        task.cancel()
    assert all(isinstance(done, asyncio.CancelledError) for done in await asyncio.gather(*half, return_exceptions=True))
    await ledger.set_cursor("behind all of them", "x", NOW)
    after = [await ledger.job(job.id) for job in jobs]
    states = [job.state for job in after if job is not None]
    assert states[::2] == states[1::2]
    assert await ledger.outbox_size() == states.count("cancelled")


async def test_a_cancelled_claim_is_whole_or_was_never_made(ledger: Ledger) -> None:
    await plan(ledger, *(new_job(f"img-{n}") for n in range(20)))
    claims = [asyncio.ensure_future(ledger.claim(ask(), NOW, freeze)) for _ in range(20)]
    await asyncio.sleep(0)
    for task in claims:
        task.cancel()
    await asyncio.gather(*claims, return_exceptions=True)
    await ledger.set_cursor("behind all of them", "x", NOW)
    for job in await ledger.jobs(JobFilter(state="submitting")):
        assert job.request
        assert [row.to_state for row in await ledger.history(job.id)] == ["planned", "submitting"]


@pytest.mark.parametrize("kill_after", [1, 40, 137])
@pytest.mark.parametrize("name", DATABASES)
async def test_what_was_acknowledged_survives_a_kill(name: str, tmp_path: Path, kill_after: int) -> None:
    """A process works until it is killed; every line it wrote is one that the ledger had acknowledged."""
    database = DATABASES[name](tmp_path)
    said = await asyncio.to_thread(_work_until_killed, name, tmp_path, kill_after)
    async with database.open(FakeClock()) as ledger:
        for line in said:
            _, key, version = line.split()
            job = await ledger.job(key)
            assert job is not None
            assert job.version >= int(version)
        await _sound(ledger)
        submitting = len(await ledger.jobs(JobFilter(state="submitting")))
        assert await ledger.recover("prod", PLACE.region, NOW, NOW) == submitting


async def _sound(ledger: Ledger) -> None:
    """Rows, history and outbox tell the same story of every job."""
    jobs = await ledger.jobs(JobFilter())
    for job in jobs:
        lines = await ledger.history(job.id)
        assert (lines[-1].to_state, len(lines)) == (job.state, job.version)
    ended = {f"{job.id}-{job.attempt}" for job in jobs if job.state in END_STATES}
    assert {row.event_id for row in await ledger.pending("log", 100_000)} == ended


def _work_until_killed(name: str, folder: Path, lines: int) -> list[str]:
    arguments = [sys.executable, WORKER, name, folder]
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    with subprocess.Popen(arguments, env=environ, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        said = [process.stdout.readline() for _ in range(lines)]
        process.send_signal(signal.SIGKILL)
        said += [line for line in process.stdout if line.endswith("\n")]
        assert process.wait() == -signal.SIGKILL
    return said


async def test_every_account_with_work_is_known_with_its_cloud(ledger: Ledger) -> None:
    assert await ledger.known_accounts() == set()
    await job_in(ledger, "succeeded")
    await ledger.record([sighting("img-9", place=PLACE._replace(cloud="huawei", account="other"))], NOW)
    assert await ledger.known_accounts() == {("tencent", "prod"), ("huawei", "other")}
