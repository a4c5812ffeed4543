"""Health: ready or not and why, and whether anything is left that can still move."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest

from imageferry.core.answers import Answer
from imageferry.errors import LedgerError
from imageferry.flow.health import Health
from imageferry.flow.lanes import Lanes
from imageferry.flow.site import Site
from imageferry.ports import Ledger, Move, Partly
from imageferry.telemetry.metrics import Metrics
from support.accounts import tencent_account
from support.ledgers import job_in
from support.stages import Stage, staged

BAD = Answer("auth", "the signature is wrong", "AuthFailure.SignatureFailure", "r-1")
CLOSED = "account prod is closed off: AuthFailure.SignatureFailure: the signature is wrong (request r-1)"


class Spring:
    """A source, as far as its health goes."""

    type = "file"

    def __init__(self, name: str = "file", trouble: str | None = None, *, drained: bool = True) -> None:
        self.name = name
        self.finite = True
        self._trouble = trouble
        self._drained = drained

    def health(self) -> str | None:
        return self._trouble

    def drained(self) -> bool:
        return self._drained


def health(stage: Stage, *sources: Any, wrong: str | None = None, sites: list[Site] | None = None) -> Health:
    return Health(stage.ledger, sites or [stage.site], sources or [Spring()], lambda: wrong)


def other_site(stage: Stage) -> Site:
    """A site of a second account over the same ledger."""
    lanes = Lanes(tencent_account(name="dev"), stage.clock, Metrics())
    site = stage.site
    return Site(
        region=site.region,
        lanes=lanes,
        cloud=site.cloud,
        ledger=site.ledger,
        clock=site.clock,
        metrics=site.metrics,
        bells=site.bells,
        announce=site.announce,
        chance=site.chance,
    )


async def test_everything_well_is_ready(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage:
        state = await health(stage).readiness()
        assert state.ready
        assert {name: check.ok for name, check in state.checks.items()} == {
            "ledger": True,
            "policies": True,
            "source file": True,
            "account prod": True,
        }


async def test_a_source_that_goes_on_beside_its_trouble_is_named_and_does_not_make_it_unready(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage:
        state = await health(stage, Spring("polling", Partly("one region does not answer"))).readiness()
        check = state.checks["source polling"]
        assert (state.ready, check.ok, check.reason) == (True, False, "one region does not answer")


async def test_a_source_in_trouble_makes_it_not_ready_and_is_named(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage:
        state = await health(stage, Spring(), Spring("kafka", "no broker answers")).readiness()
        assert (state.ready, state.checks["source kafka"].reason) == (False, "no broker answers")


async def test_wrong_policies_on_disk_are_shown_but_the_old_set_goes_on(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage:
        state = await health(stage, wrong="policies.yaml:3:5: unknown key").readiness()
        assert (state.ready, state.checks["policies"].ok) == (True, False)
        assert state.checks["policies"].reason == "policies.yaml:3:5: unknown key"


async def test_one_closed_account_of_two_is_named_and_leaves_the_whole_ready(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage:
        stage.site.lanes.circuit.judge(BAD)
        state = await health(stage, sites=[stage.site, other_site(stage)]).readiness()
        assert (state.ready, state.checks["account prod"]) == (True, (False, CLOSED))
        assert state.checks["account dev"].ok


async def test_every_account_closed_makes_the_whole_not_ready(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage:
        stage.site.lanes.circuit.judge(BAD)
        assert (await health(stage).readiness()).ready is False


async def test_a_daemon_that_stops_is_not_ready(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage:
        asked = health(stage)
        asked.closing = True
        state = await asked.readiness()
        assert (state.ready, state.checks["running"].reason) == (False, "the daemon is stopping")


async def test_a_ledger_that_fails_makes_it_not_ready(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage:
        asked = health(stage)
    state = await asked.readiness()
    assert (state.ready, state.checks["ledger"].ok) == (False, False)
    with pytest.raises(LedgerError, match=state.checks["ledger"].reason):
        await stage.ledger.outbox_size()


async def test_idle_needs_every_finite_source_used_up(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage:
        assert await health(stage).idle()
        assert not await health(stage, Spring(drained=False)).idle()


async def test_idle_needs_no_look_and_no_open_job(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage:
        await stage.sight("img-9")
        assert not await health(stage).idle()


@pytest.mark.parametrize("state", ["planned", "submitting", "in_doubt", "running"])
async def test_an_open_job_is_not_idle(tmp_path: Path, state: Any) -> None:
    async with staged(tmp_path) as stage:
        await job_in(stage.ledger, state)
        assert not await health(stage).idle()


async def test_idle_needs_an_empty_outbox(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage:
        await job_in(stage.ledger, "succeeded")
        assert not await health(stage).idle()
        [row] = await stage.ledger.pending("file", 9)
        await stage.ledger.published("file", [row.seq], ["file"], stage.clock.now())
        assert await health(stage).idle()


async def test_work_of_a_closed_account_cannot_move_and_is_told(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage:
        await job_in(stage.ledger, "planned")
        stage.site.lanes.circuit.judge(BAD)
        asked = health(stage)
        assert (await asked.idle(), await asked.stuck()) == (True, [CLOSED])


async def test_a_closed_account_without_work_is_not_stuck(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage:
        stage.site.lanes.circuit.judge(BAD)
        assert await health(stage).stuck() == []


async def test_a_job_that_moves_on_while_it_is_asked_about_keeps_it_busy(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage:
        job = await job_in(stage.ledger, "submitting")

        class Moving:
            """The ledger, in which the job runs from just before its old state is asked for."""

            def __getattr__(self, name: str) -> Any:
                return getattr(stage.ledger, name)

            async def next_due(self, account: str, region: str, what: Any) -> int | None:
                if what == "submitting":
                    move = Move(job=job, to="running", reason="accepted", task_ref="task-1")
                    await stage.ledger.move([move], stage.clock.now())
                return await stage.ledger.next_due(account, region, what)

        asked = health(stage)
        asked.ledger = cast("Ledger", Moving())
        assert not await asked.idle()
