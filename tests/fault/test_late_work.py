"""Work that the cloud does late, after its connection was dropped: found, and never repeated."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from imageferry.rehearsal.misbehaviour import HEAD_OBJECT, Misbehaviour
from imageferry.telemetry.clock import SystemClock
from support.daemons import EXPORT_ALL, House, copy_to, daemon_process, event, run_until_idle
from support.faults import accepted_once, alive, brisk, ended_once
from support.rehearsals import BUCKET, OTHER_REGION, REGION, image, served, tencent
from support.waiting import until

LATE = (0.0, 0.5, 1.0, 1.5, 2.0)
"""Seconds after which the work is done whose connection was dropped at once."""


@pytest.mark.parametrize(
    ("policy", "action", "destination"),
    [(EXPORT_ALL, "ExportImages", BUCKET), (copy_to(OTHER_REGION), "SyncImages", OTHER_REGION)],
    ids=["export", "copy"],
)
async def test_late_work_is_found_and_never_repeated(
    tmp_path: Path, policy: dict[str, Any], action: str, destination: str
) -> None:
    cloud = tencent(SystemClock(), export_seconds=1.0, copy_seconds=1.0, exports_running=20, copies_running=20)
    ids = {image(cloud): after for after in LATE * 2}
    for img, after in ids.items():
        cloud.misbehave(Misbehaviour(fault="drop", action=action, image_id=img, count=1, work="late", after=after))
    async with served(cloud) as url:
        house = House(
            tmp_path, {"prod": brisk(url, request="3s", settle="4s", regions=[REGION, OTHER_REGION])}, policies=[policy]
        )
        house.tell([event(img) for img in ids])
        await run_until_idle(house)
    assert accepted_once(cloud) == {(img, destination) for img in ids}
    assert await ended_once(house) == dict.fromkeys(ids, "succeeded")
    assert [job.sends for job in await house.job_rows()] == [1] * len(ids)


async def test_looking_into_doubts_keeps_to_the_rate_of_what_it_tries(tmp_path: Path) -> None:
    """Every vendor request, finds and looks too, is paced in the lane that it hits; refused ones count."""
    cloud = tencent(SystemClock(), export_seconds=0.5, exports_running=20, rates={"ExportImages": 5})
    ids = [image(cloud) for _ in range(8)]
    cloud.misbehave(Misbehaviour(fault="drop", action="ExportImages", count=8, work="done", dry_runs=False))
    async with served(cloud) as url:
        house = House(tmp_path, {"prod": brisk(url, limits={"export": {"rate": "5/s"}})})
        house.tell([event(img) for img in ids])
        await run_until_idle(house)
    assert await ended_once(house) == dict.fromkeys(ids, "succeeded")
    assert cloud.requests.asked("ExportImages") >= 16
    assert cloud.requests.throttled == 0


async def test_storage_that_hangs_starves_no_submit(tmp_path: Path) -> None:
    """Storage HEADs have a connection pool of their own, so that they cannot starve submits."""
    cloud = tencent(SystemClock(), export_seconds=0.2, exports_running=None, rates={"ExportImages": None})
    ids = [image(cloud) for _ in range(60)]
    cloud.misbehave(Misbehaviour(fault="hang", action=HEAD_OBJECT))
    async with served(cloud) as url:
        house = House(tmp_path, {"prod": brisk(url, request="20s", settle="30s", limits={"export": {"rate": "30/s"}})})
        house.tell([event(img) for img in ids])
        async with daemon_process(house) as process:
            await until(alive(process, house, lambda: len(cloud.tasks) == len(ids)), within=15)
            assert cloud.requests.answered("hang", HEAD_OBJECT) > 0
