"""The outbox, as every publisher sees it."""

from __future__ import annotations

from imageferry.ports import Ledger, Move
from support.ledgers import NOW, Database, job_in, new_job, plan

BOTH = ("kafka", "file")


async def end(ledger: Ledger, *images: str) -> None:
    for image_id in images:
        await job_in(ledger, "failed", image_id)


async def images(ledger: Ledger, publisher: str, limit: int = 100) -> list[str]:
    return [row.image_id for row in await ledger.pending(publisher, limit)]


async def mark(ledger: Ledger, publisher: str, *wanted: str, everyone: tuple[str, ...] = BOTH) -> None:
    seqs = [row.seq for row in await ledger.pending(publisher, 100) if row.image_id in wanted]
    await ledger.published(publisher, seqs, everyone, NOW)


async def test_completions_are_pending_in_the_order_of_their_ends(ledger: Ledger) -> None:
    await end(ledger, "img-2", "img-1", "img-3")
    assert await images(ledger, "kafka") == ["img-2", "img-1", "img-3"]
    assert await images(ledger, "kafka", limit=2) == ["img-2", "img-1"]


async def test_a_job_that_has_not_ended_has_nothing_to_announce(ledger: Ledger) -> None:
    await job_in(ledger, "running")
    assert await ledger.pending("kafka", 10) == []


async def test_each_publisher_has_its_own_progress(ledger: Ledger) -> None:
    await end(ledger, "img-1", "img-2")
    await mark(ledger, "kafka", "img-1")
    assert await images(ledger, "kafka") == ["img-2"]
    assert await images(ledger, "file") == ["img-1", "img-2"]
    assert await ledger.outbox_size() == 2


async def test_what_everyone_has_published_is_done(ledger: Ledger) -> None:
    await end(ledger, "img-1", "img-2")
    await mark(ledger, "kafka", "img-1", "img-2")
    await mark(ledger, "file", "img-1")
    assert await ledger.outbox_size() == 1
    assert await images(ledger, "a publisher that came later") == ["img-2"]


async def test_nothing_but_the_row_is_kept_of_what_is_done(database: Database, ledger: Ledger) -> None:
    await end(ledger, "img-1", "img-2")
    await mark(ledger, "kafka", "img-1", "img-2")
    await mark(ledger, "file", "img-1")
    await ledger.aclose()
    assert database.raw("SELECT publisher FROM outbox_marks") == [("kafka",)]
    assert database.raw("SELECT done_at FROM outbox ORDER BY seq") == [(NOW,), (None,)]


async def test_marking_twice_is_marking_once(ledger: Ledger) -> None:
    await end(ledger, "img-1")
    [row] = await ledger.pending("kafka", 1)
    for _ in range(2):
        await ledger.published("kafka", [row.seq, row.seq], BOTH, NOW)
    assert await ledger.outbox_size() == 1
    await ledger.published("file", [row.seq], BOTH, NOW)
    await ledger.published("kafka", [row.seq, 999], BOTH, NOW)
    assert await ledger.outbox_size() == 0


async def test_rows_may_be_published_out_of_order(ledger: Ledger) -> None:
    await end(ledger, "img-1", "img-2", "img-3")
    await mark(ledger, "kafka", "img-2")
    assert await images(ledger, "kafka") == ["img-1", "img-3"]


async def test_names_that_contain_each_other_are_different_publishers(ledger: Ledger) -> None:
    await end(ledger, "img-1")
    await mark(ledger, "kafka-2", "img-1", everyone=("kafka", "kafka-2"))
    assert await images(ledger, "kafka") == ["img-1"]


async def test_a_row_that_only_a_removed_publisher_lacked_is_finished_by_an_empty_call(ledger: Ledger) -> None:
    await end(ledger, "img-1", "img-2")
    await mark(ledger, "file", "img-1")
    assert await ledger.outbox_size() == 2
    await ledger.published("file", [], ("file",), NOW)
    assert await images(ledger, "file") == ["img-2"]
    assert await ledger.outbox_size() == 1


async def test_a_large_batch_is_marked_whole(ledger: Ledger) -> None:
    jobs = await plan(ledger, *(new_job(f"img-{n}") for n in range(1300)))
    await ledger.move([Move(job=job, to="cancelled", reason="not wanted") for job in jobs], NOW)
    rows = await ledger.pending("log", 5000)
    await ledger.published("log", [row.seq for row in rows], ("log",), NOW)
    assert (len(rows), await ledger.outbox_size()) == (1300, 0)
