"""One bad region, account or storage never holds up another."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from time import monotonic
from typing import Any

import anyio

from imageferry.core.account import Timeouts
from imageferry.flow.doubt import Doubt
from imageferry.rehearsal.misbehaviour import Misbehaviour
from imageferry.telemetry.clock import SystemClock
from support.daemons import House, copy_to, daemon_process, event, run_until_idle
from support.faults import accepted_once, alive, brisk, decided, ended_once, rehearsed
from support.policies import policies, policy
from support.rehearsals import OTHER_REGION, REGION, image, served, tencent
from support.stages import Stage
from support.waiting import until

REFUSING = "ap-beijing"
REGIONS = [REGION, OTHER_REGION, REFUSING]
SLOW = {"request": "10s", "settle": "12s"}
SLACK = 3.0
"""Seconds that a busy machine may make between two runs; a request that hangs takes ten."""


async def test_a_copy_to_two_regions_of_which_one_refuses_succeeds_in_the_other(tmp_path: Path) -> None:
    cloud = tencent(SystemClock(), copy_seconds=0.5, refused_destinations={REFUSING: "UnsupportedOperation.Region"})
    ids = [image(cloud) for _ in range(3)]
    async with served(cloud) as url:
        house = House(tmp_path, {"prod": brisk(url, regions=REGIONS)}, policies=[copy_to(REFUSING, OTHER_REGION)])
        house.tell([event(img) for img in ids])
        ended = await run_until_idle(house)
    assert (ended.succeeded, ended.failed) == (3, 3)
    jobs = await house.jobs()
    assert {(job["image_id"], job["state"]) for job in jobs if job["destination"] == OTHER_REGION} == {
        (img, "succeeded") for img in ids
    }
    refused = [job for job in jobs if job["destination"] == REFUSING]
    assert {(job["state"], job["class"], job["vendor_code"]) for job in refused} == {
        ("failed", "permanent_config", "UnsupportedOperation.Region")
    }
    assert accepted_once(cloud) == {(img, OTHER_REGION) for img in ids}
    await ended_once(house)


async def seconds_to_end(folder: Path, *, beside_a_hanging_account: bool) -> float:
    """How long the good account's work takes, from the daemon's start on."""
    good, hanging = tencent(SystemClock(), export_seconds=0.5, exports_running=30), tencent(SystemClock())
    hanging.misbehave(Misbehaviour(fault="hang"))
    ids = [image(good) for _ in range(20)]
    async with served(good) as good_url, served(hanging) as hanging_url:
        accounts = {
            "good": brisk(good_url, account_id="100", **SLOW),
            "hung": brisk(hanging_url, account_id="200", **SLOW),
        }
        house = House(folder, accounts)
        if beside_a_hanging_account:
            house.tell([event(image(hanging), number=number, account="hung") for number in range(20)])
        house.tell([event(img, account="good") for img in ids])
        begun = monotonic()
        async with daemon_process(house) as process:
            await until(alive(process, house, lambda: len(house.completed()) == len(ids)), within=40)
            took = monotonic() - begun
            if beside_a_hanging_account:
                assert hanging.requests.answered("hang") > 0
    return took


async def test_an_account_whose_cloud_hangs_does_not_delay_another(tmp_path: Path) -> None:
    alone = await seconds_to_end(tmp_path / "alone", beside_a_hanging_account=False)
    beside = await seconds_to_end(tmp_path / "beside", beside_a_hanging_account=True)
    assert beside <= alone + SLACK


async def test_a_region_that_hangs_does_not_delay_another_of_the_same_account(tmp_path: Path) -> None:
    cloud = tencent(SystemClock(), export_seconds=0.5, exports_running=30)
    first, *ids = [image(cloud) for _ in range(11)]
    async with served(cloud) as url:
        house = House(tmp_path, {"prod": brisk(url, regions=[REGION, OTHER_REGION], **SLOW)})
        house.tell([event(first)])
        async with daemon_process(house) as process:
            await until(alive(process, house, lambda: len(house.completed()) == 1))  # the account's keys are proven
            cloud.misbehave(Misbehaviour(fault="hang", region=OTHER_REGION))
            house.tell([event(image(cloud, region=OTHER_REGION), region=OTHER_REGION) for _ in range(10)])
            await until(lambda: cloud.requests.answered("hang") > 0)
            house.tell([event(img) for img in ids])
            await until(lambda: len(house.completed()) == 11, within=9)


async def test_a_destination_that_hangs_does_not_delay_looks_at_copies_to_another(tmp_path: Path) -> None:
    cloud = tencent(SystemClock(), copy_seconds=1.0, copies_running=30)
    cloud.misbehave(Misbehaviour(fault="hang", action="DescribeImages", region=REFUSING))
    lost = [image(cloud, name=f"lost-{number}") for number in range(3)]
    good = [image(cloud, name=f"good-{number}") for number in range(5)]
    wanted = [copy_to(REFUSING, name="lost"), copy_to(OTHER_REGION, name="good")]
    for one in wanted:
        one["match"]["name"] = f"{one['name']}-*"
    async with served(cloud) as url:
        slow = brisk(url, regions=REGIONS, request="120s", settle="121s")
        house = House(tmp_path, {"prod": slow}, policies=wanted)
        house.tell([event(each) for each in lost])
        async with daemon_process(house) as process:
            await until(lambda: cloud.requests.answered("hang") > 0, within=50)
            house.tell([event(each) for each in good])
            done = alive(process, house, lambda: len(house.completed()) == len(good))
            await until(done, within=50)
    assert {one["data"]["image_id"] for one in house.completed()} == set(good)


async def test_a_destination_that_hangs_does_not_delay_doubts_about_copies_to_another(tmp_path: Path) -> None:
    """The request that hangs outlives the test: nothing here waits for its end."""
    away = policies(
        policy("lost", copy_of(REFUSING), match={"cloud": "tencent", "name": "lost-*"}),
        policy("good", copy_of(OTHER_REGION), match={"cloud": "tencent", "name": "good-*"}),
    )
    patient = {"regions": tuple(REGIONS), "timeouts": Timeouts(request=600, settle=90, image=3600, copy=3600)}
    async with rehearsed(tmp_path, changes=patient, copies_running=None) as (stage, cloud):

        async def doubted(name: str) -> str:
            """A new image whose copy was begun without an answer, some time ago."""
            cloud.misbehave(Misbehaviour(fault="drop", action="SyncImages", work="done", count=1))
            image_id = image(cloud, name=name)
            await decided(stage, image_id, away)
            await stage.submit("copy")
            assert (await states(stage))[image_id] == "in_doubt"
            stage.clock.jump(91)
            return image_id

        lost, first = await doubted("lost-1"), await doubted("good-1")
        cloud.misbehave(Misbehaviour(fault="hang", action="DescribeImages", region=REFUSING))
        async with anyio.create_task_group() as group:
            doubts = Doubt(stage.site, stage.ways(group, stage.site.bells.doubt))
            await solved(doubts, stage, first)
            await solved(doubts, stage, await doubted("good-2"))
            assert (await states(stage))[lost] == "in_doubt"
            assert cloud.requests.answered("hang") == 1
            group.cancel_scope.cancel()


async def solved(doubts: Doubt, stage: Stage, image_id: str) -> None:
    """Step until the copy of this image is found; a step never waits for what hangs."""
    with anyio.fail_after(60):
        await doubts.step()
    await until(partial(is_running, stage, image_id), within=60)


def copy_of(region: str) -> dict[str, Any]:
    return {"copy": {"regions": [region]}}


async def states(stage: Stage) -> dict[str, str]:
    """Image -> the state of its only job."""
    return {job.image_id: job.state for job in await stage.jobs()}


async def is_running(stage: Stage, image_id: str) -> bool:
    return (await states(stage))[image_id] == "running"
