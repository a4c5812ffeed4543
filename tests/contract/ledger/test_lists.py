"""What people see: the same from the ledger itself, from a reader beside it, and from one after it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from imageferry.core.image import Place
from imageferry.core.job import JobFilter
from imageferry.core.machine import OPEN_STATES, STATES, State
from imageferry.errors import LedgerError
from imageferry.ports import Counted, Ledger, Move, Reader, Unprotected
from support.clocks import FakeClock
from support.ledgers import DATABASES, ELSEWHERE, HOUR, NOW, PLACE, Database, job_in, look, new_job, plan, sighting


@pytest.fixture(params=["itself", "beside", "after"])
async def reader(request: pytest.FixtureRequest, database: Database, ledger: Ledger) -> AsyncIterator[Reader]:
    """Asked after the test has written; ``after`` closes the ledger at its first use."""
    if request.param == "itself":
        yield ledger
    elif request.param == "beside":
        async with database.reader() as opened:
            yield opened
    else:
        yield _After(database, ledger)  # type: ignore[misc] # has whatever the opened one has


class _After:
    """Closes the ledger, then asks a reader that is opened for that one question."""

    def __init__(self, database: Database, ledger: Ledger) -> None:
        self._database = database
        self._ledger = ledger

    def __getattr__(self, name: str) -> object:
        async def ask(*args: object) -> object:
            await self._ledger.aclose()
            async with self._database.reader() as opened:
                return await getattr(opened, name)(*args)

        return ask


async def test_a_job_is_found_by_its_id_its_key_and_a_unique_beginning(ledger: Ledger, reader: Reader) -> None:
    job = await job_in(ledger, "running")
    for name in (job.id, job.key, job.id[:5]):
        assert await reader.job(name) == job


async def test_a_beginning_that_two_jobs_share_finds_neither(ledger: Ledger, reader: Reader) -> None:
    jobs = await plan(ledger, *(new_job(f"img-{n}") for n in range(40)))
    first = [job.id[0] for job in jobs]
    shared = next(letter for letter in first if first.count(letter) > 1)
    assert await reader.job(shared) is None


@pytest.mark.parametrize("name", ["", "nobody", "%", "_", "a' OR '1'='1"])
async def test_a_name_of_no_job_finds_nothing(ledger: Ledger, reader: Reader, name: str) -> None:
    await job_in(ledger, "planned")
    assert await reader.job(name) is None


async def test_jobs_are_listed_newest_first(ledger: Ledger, reader: Reader) -> None:
    await plan(ledger, new_job("img-1"), new_job("img-2"))
    await plan(ledger, new_job("img-3"), now=NOW + HOUR)
    assert [job.image_id for job in await reader.jobs(JobFilter())] == ["img-3", "img-2", "img-1"]


@pytest.mark.parametrize(
    ("want", "images"),
    [
        (JobFilter(state="planned"), ["there", "plan"]),
        (JobFilter(state="running"), ["run"]),
        (JobFilter(cloud="tencent", account="prod", state="running"), ["run"]),
        (JobFilter(cloud="aliyun"), []),
        (JobFilter(account="other"), []),
        (JobFilter(image="plan"), ["plan"]),
        (JobFilter(policy="dr"), ["there"]),
        (JobFilter(policy="DR"), []),
        (JobFilter(policy="d"), []),
        (JobFilter(policy='quo"ted %'), ["run"]),
        (JobFilter(policy="archive", limit=1), ["there"]),
        (JobFilter(limit=2), ["there", "run"]),
    ],
)
async def test_a_list_shows_what_it_is_asked_for(
    ledger: Ledger, reader: Reader, want: JobFilter, images: list[str]
) -> None:
    await job_in(ledger, "planned", "plan")
    await job_in(ledger, "running", "run", policies=("archive", 'quo"ted %'))
    await job_in(ledger, "planned", "there", place=ELSEWHERE, policies=("dr", "archive"))
    assert [job.image_id for job in await reader.jobs(want)] == images


async def test_jobs_are_counted_by_place_action_and_state(ledger: Ledger, reader: Reader) -> None:
    await job_in(ledger, "running", "img-1")
    await job_in(ledger, "failed", "img-2")
    await job_in(ledger, "failed", "img-3")
    await job_in(ledger, "failed", "img-4", place=ELSEWHERE, action="copy", destination=PLACE.region)
    assert await reader.counts() == [
        Counted(PLACE, "export", "failed", 2),
        Counted(PLACE, "export", "running", 1),
        Counted(ELSEWHERE, "copy", "failed", 1),
    ]


async def test_unprotected_are_all_but_the_succeeded_and_the_cancelled(ledger: Ledger, reader: Reader) -> None:
    for n, state in enumerate(STATES):
        await job_in(ledger, state, f"img-{n}", now=NOW - n)
    await job_in(ledger, "planned", "more", policies=("archive", "dr"))
    assert sorted(await reader.unprotected()) == [
        Unprotected(("archive",), 5, NOW - 5),
        Unprotected(("archive", "dr"), 1, NOW),
    ]


async def test_open_work_is_looks_to_come_and_jobs_without_an_end(ledger: Ledger, reader: Reader) -> None:
    for n, state in enumerate(STATES):
        await job_in(ledger, state, f"img-{n}")
    await ledger.record([sighting("new")], NOW + HOUR)
    assert await reader.open_work() == (1, 4)


async def test_the_history_of_a_job_is_told_from_its_beginning(ledger: Ledger, reader: Reader) -> None:
    job = await job_in(ledger, "in_doubt")
    await ledger.move([Move(job=job, to="planned", reason="proved absent")], NOW)
    rows = await reader.history(job.id)
    assert [(row.from_state, row.to_state) for row in rows] == [
        ("", "planned"),
        ("planned", "submitting"),
        ("submitting", "in_doubt"),
        ("in_doubt", "planned"),
    ]
    assert await reader.history("nobody") == []


async def test_an_image_is_shown_at_every_place_that_has_it(ledger: Ledger, reader: Reader) -> None:
    await look(ledger, "img-1", PLACE)
    await look(ledger, "img-1", ELSEWHERE, event="there")
    assert [(row.place, row.outcome) for row in await reader.image("img-1")] == [(PLACE, "due"), (ELSEWHERE, "due")]
    assert await reader.image("nobody") == []


async def test_the_outbox_is_counted(ledger: Ledger, reader: Reader) -> None:
    await job_in(ledger, "failed")
    assert await reader.outbox_size() == 1


async def test_an_empty_ledger_has_nothing_to_show(reader: Reader) -> None:
    assert (await reader.jobs(JobFilter()), await reader.counts(), await reader.unprotected()) == ([], [], [])


async def test_a_reader_sees_what_is_committed_while_it_is_open(database: Database, ledger: Ledger) -> None:
    async with database.reader() as reader:
        assert await reader.open_work() == (0, 0)
        await ledger.record([sighting("img-1", place=Place("tencent", "prod", "r"))], NOW)
        assert await reader.open_work() == (1, 0)


@pytest.mark.parametrize("name", DATABASES)
async def test_a_ledger_that_is_not_there_is_said_so(name: str, tmp_path: Path) -> None:
    with pytest.raises(LedgerError, match="there is no ledger"):
        async with DATABASES[name](tmp_path).reader():
            pass


async def test_the_clock_of_the_ledger_is_the_one_it_was_given(database: Database) -> None:
    clock = FakeClock(start=12_345)
    async with database.open(clock):
        pass
    assert {row[0] for row in database.raw("SELECT applied_at FROM schema_version")} == {12_345}


@pytest.mark.parametrize("state", STATES)
async def test_there_is_work_where_a_job_is_open(ledger: Ledger, state: State) -> None:
    await job_in(ledger, state)
    assert await ledger.has_work("prod", PLACE.region) == (state in OPEN_STATES)
    assert not await ledger.has_work("prod", ELSEWHERE.region)


async def test_there_is_work_where_a_look_is_due_sometime(ledger: Ledger) -> None:
    await look(ledger, "img-1")
    assert await ledger.has_work("prod", PLACE.region)
    assert not await ledger.has_work("prod", ELSEWHERE.region)


async def test_outcomes_are_told_of_the_images_that_are_known_at_the_place(ledger: Ledger, reader: Reader) -> None:
    await job_in(ledger, "planned", "img-decided")
    await ledger.record([sighting("img-due"), sighting("img-there", place=ELSEWHERE)], NOW)
    asked = ["img-due", "img-decided", "img-there", *(f"img-{n}" for n in range(1200))]
    assert await reader.outcomes(PLACE, asked) == {"img-due": "due", "img-decided": "decided"}


async def test_outcomes_of_nothing_are_nothing(ledger: Ledger) -> None:
    assert await ledger.outcomes(PLACE, []) == {}
