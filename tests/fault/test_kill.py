"""``kill -9`` at random moments: every image still ends with one task at the cloud, and with one end.

The daemon is a process of its own; the rehearsal cloud lives on in the test's, as a cloud does.
"""

from __future__ import annotations

import random
import signal
from pathlib import Path

import anyio
import pytest

from imageferry.rehearsal.misbehaviour import Misbehaviour
from imageferry.rehearsal.tencent import TencentRehearsal
from imageferry.telemetry.clock import SystemClock
from support.daemons import House, daemon_process, event
from support.faults import accepted_once, alive, brisk, ended_once
from support.rehearsals import BUCKET, image, served, tencent
from support.waiting import until

JOBS = 300
KILLS = 10
QUICK = {"export": {"rate": "60/s", "running": 60}, "read": {"rate": "40/s"}}


def dropping(cloud: TencentRehearsal) -> None:
    """A third of the submits get no answer: sent in vain, done at once, or done a second later."""
    for work in ("none", "done", "late"):
        cloud.misbehave(
            Misbehaviour(fault="drop", action="ExportImages", probability=0.12, work=work, after=1.0, dry_runs=False)
        )


async def killed(house: House, cloud: TencentRehearsal, chance: random.Random) -> None:
    """Start a daemon, and kill it after it has asked the cloud for a random number of things."""
    async with daemon_process(house) as process:
        asked = cloud.requests.asked() + chance.randint(1, 120)
        await until(alive(process, house, lambda: cloud.requests.asked() >= asked))
        process.send_signal(signal.SIGKILL)
        await process.wait()


@pytest.mark.timeout(180)
async def test_ten_kills_during_three_hundred_jobs_leave_one_task_and_one_end_for_every_image(tmp_path: Path) -> None:
    cloud = tencent(SystemClock(), export_seconds=0.5, exports_running=60, rates={"ExportImages": None})
    ids = [image(cloud) for _ in range(JOBS)]
    dropping(cloud)
    chance = random.Random(20260101)
    async with served(cloud) as url:
        house = House(tmp_path, {"prod": brisk(url, limits=QUICK)})
        house.tell([event(image_id) for image_id in ids])
        for _ in range(KILLS):
            await killed(house, cloud, chance)
        assert len(cloud.tasks) < JOBS
        with anyio.fail_after(100):
            async with daemon_process(house, "--until-idle") as process:
                assert await process.wait() == 0
    assert accepted_once(cloud) == {(image_id, BUCKET) for image_id in ids}
    assert await ended_once(house, killed=True) == dict.fromkeys(ids, "succeeded")
    assert cloud.requests.answered("LimitExceeded") == 0
