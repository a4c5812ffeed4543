"""Any order of decisions, claims, moves, recoveries and restarts: the table and the database never disagree."""

from __future__ import annotations

import asyncio
import tempfile
from contextlib import AsyncExitStack
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from imageferry.core.job import Job, JobFilter
from imageferry.core.machine import END_STATES, IN_FLIGHT, OPEN_STATES, STATES, State, allowed
from imageferry.errors import MoveConflict, MoveForbidden
from imageferry.ports import Ledger, Move
from support.clocks import FakeClock
from support.ledgers import DATABASES, NOW, PLACE, Database, accepted, ask, freeze, new_job, plan

IMAGES = st.sampled_from(["img-1", "img-2", "img-3"])
BUCKETS = st.sampled_from(["one", "two"])
PICK = st.integers(min_value=0, max_value=5)


class Moves(RuleBasedStateMachine):
    """``known`` is what the rules say the ledger holds; ``past`` are rows as they were before."""

    name = "sqlite"

    @initialize()
    def open(self) -> None:
        self.runner = asyncio.Runner()
        self.folder = tempfile.TemporaryDirectory()
        self.database: Database = DATABASES[self.name](Path(self.folder.name))
        self.known: dict[str, Job] = {}
        self.past: list[Job] = []
        self.announced: set[str] = set()
        self.tick = NOW
        self._enter()

    def _enter(self) -> None:
        async def enter() -> Ledger:
            self.stack = AsyncExitStack()
            return await self.stack.enter_async_context(self.database.open(FakeClock()))

        self.ledger = self.runner.run(enter())

    def _write(self, job: Job) -> None:
        if job.id in self.known:
            self.past.append(self.known[job.id])
        self.known[job.id] = job
        if job.state in END_STATES:
            self.announced.add(f"{job.id}-{job.attempt}")

    def _pick(self, number: int) -> Job:
        return list(self.known.values())[number % len(self.known)]

    @rule(image=IMAGES, bucket=BUCKETS, refusal=st.sampled_from(["", "permanent_image"]))
    def decide(self, image: str, bucket: str, refusal: str) -> None:
        self.tick += 1
        wanted = new_job(image, bucket, refusal_class=refusal)
        [job] = self.runner.run(plan(self.ledger, wanted, now=self.tick))
        if job.id not in self.known:
            assert job.state == ("failed" if refusal else "planned")
            self._write(job)

    @rule(limit=st.one_of(st.none(), st.integers(0, 3)))
    def claim(self, limit: int | None) -> None:
        busy = {job.image_id for job in self.known.values() if job.state in IN_FLIGHT}
        free = [job for job in self.known.values() if job.state == "planned" and job.image_id not in busy]
        claimed = self.runner.run(self.ledger.claim(ask(running=limit), self.tick, freeze))
        if not free or (limit is not None and len(busy) >= limit):
            assert claimed is None
        else:
            assert claimed is not None
            assert claimed.id in {job.id for job in free}
            self._write(claimed)

    @precondition(lambda self: self.known)
    @rule(pick=PICK, to=st.sampled_from(STATES))
    def move(self, pick: int, to: State) -> None:
        job = self._pick(pick)
        if (job.state, to) == ("planned", "submitting"):
            return  # only a claim does this
        move = accepted(job) if to == "running" else Move(job=job, to=to, reason="x")
        if allowed(job.state, to) or (job.state == to and to in OPEN_STATES):
            [moved] = self.runner.run(self.ledger.move([move], self.tick))
            assert (moved.state, moved.version) == (to, job.version + 1)
            self._write(moved)
        else:
            with pytest.raises(MoveForbidden):
                self.runner.run(self.ledger.move([move], self.tick))

    @precondition(lambda self: self.past)
    @rule(pick=PICK, to=st.sampled_from(STATES))
    def move_what_was_read_before(self, pick: int, to: State) -> None:
        job = self.past[pick % len(self.past)]
        with pytest.raises(MoveConflict):
            self.runner.run(self.ledger.move([Move(job=job, to=to, reason="late", task_ref="task-9")], self.tick))

    @rule()
    def recover(self) -> None:
        found = [job for job in self.known.values() if job.state == "submitting"]
        assert self.runner.run(self.ledger.recover("prod", PLACE.region, self.tick, self.tick)) == len(found)
        for job in found:
            doubt = self.runner.run(self.ledger.job(job.id))
            assert doubt is not None
            assert (doubt.state, doubt.sent_at) == ("in_doubt", job.sent_at)
            self._write(doubt)

    @rule()
    def restart(self) -> None:
        self.runner.run(self.stack.aclose())
        self._enter()

    @invariant()
    def the_ledger_holds_what_is_known(self) -> None:
        jobs = self.runner.run(self.ledger.jobs(JobFilter()))
        assert {job.id: job for job in jobs} == self.known
        in_flight = [job.image_id for job in jobs if job.state in IN_FLIGHT]
        assert len(in_flight) == len(set(in_flight))

    @invariant()
    def history_is_a_chain_of_allowed_moves(self) -> None:
        for job in self.known.values():
            rows = self.runner.run(self.ledger.history(job.id))
            assert rows[0].from_state == ""
            assert rows[-1].to_state == job.state
            for before, after in pairwise(rows):
                assert after.from_state == before.to_state
                assert after.from_state == after.to_state or allowed(after.from_state, after.to_state)  # type: ignore[arg-type] # states

    @invariant()
    def every_end_is_announced_once(self) -> None:
        rows = self.runner.run(self.ledger.pending("log", 1000))
        assert sorted(row.event_id for row in rows) == sorted(self.announced)

    def teardown(self) -> None:
        if hasattr(self, "ledger"):
            self.runner.run(self.stack.aclose())
            self.runner.close()
            self.folder.cleanup()


@pytest.mark.parametrize("name", DATABASES)
def test_the_table_and_the_database_never_disagree(name: str) -> None:
    machine = type("OneDatabase", (Moves,), {"name": name})
    run_state_machine_as_test(machine, settings=settings(max_examples=30, stateful_step_count=30, deadline=None))
