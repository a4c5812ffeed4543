"""The ordered stop, the hurried stop, and policies that change in mid-run; a restart goes on where the last one was."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
import yaml
from anyio.abc import Process

from imageferry.core.machine import END_STATES
from imageferry.rehearsal.misbehaviour import Misbehaviour
from imageferry.telemetry.clock import SystemClock
from support.daemons import EXPORT_ALL, House, daemon_process, event, run_until_idle, running_daemon
from support.faults import accepted_once, alive, brisk, ended_once, ops_of
from support.rehearsals import BUCKET, image, served, tencent
from support.waiting import until

FIVE = {"export": {"rate": "5/s", "running": 30}}


def says(house: House, text: str) -> Callable[[], bool]:
    """Whether the log has it by now."""
    return lambda: text.encode() in house.log.read_bytes()


async def ends(process: Process, within: float) -> int:
    with anyio.fail_after(within):
        return await process.wait()


async def test_a_stop_lets_requests_in_flight_finish_begins_no_new_work_and_loses_nothing(tmp_path: Path) -> None:
    cloud = tencent(SystemClock(), export_seconds=0.3, exports_running=30)
    ids = [image(cloud) for _ in range(20)]
    slow = cloud.misbehave(Misbehaviour(fault="slow", action="ExportImages", after=0.7))
    async with served(cloud) as url:
        house = House(tmp_path, {"prod": brisk(url, limits=FIVE, request="5s", settle="6s")})
        house.tell([event(img) for img in ids])
        async with daemon_process(house) as process:
            await until(alive(process, house, lambda: cloud.requests.asked("ExportImages") >= 4))
            process.send_signal(signal.SIGTERM)
            sent = cloud.requests.asked("ExportImages")
            assert await ends(process, 10) == 0
        jobs = await house.jobs()
        assert {job["state"] for job in jobs} <= {"planned", "running", "succeeded"}
        assert sum(job["state"] != "planned" for job in jobs) == len(cloud.tasks) <= sent + 1
        announced = {one["subject"] for one in house.completed()}
        assert announced == {job["image_id"] for job in jobs if job["state"] in END_STATES}
        cloud.behave(slow)
        await run_until_idle(house)
    assert accepted_once(cloud) == {(img, BUCKET) for img in ids}
    assert await ended_once(house) == dict.fromkeys(ids, "succeeded")


async def test_a_second_signal_stops_waiting_and_the_next_start_finds_what_was_in_flight(tmp_path: Path) -> None:
    cloud = tencent(SystemClock(), export_seconds=0.3)
    ids = [image(cloud) for _ in range(3)]
    cloud.misbehave(Misbehaviour(fault="hang", action="ExportImages", work="done", count=3))
    async with served(cloud) as url:
        house = House(tmp_path, {"prod": brisk(url, request="6s", settle="7s")})
        house.tell([event(img) for img in ids])
        async with daemon_process(house) as process:
            await until(alive(process, house, lambda: len(cloud.tasks) == 3))
            process.send_signal(signal.SIGTERM)
            await until(says(house, "stopping: first the sources"))
            process.send_signal(signal.SIGTERM)
            await ends(process, 3)
        assert says(house, "requests in flight are doubts for the next start")()
        assert [job["state"] for job in await house.jobs()] == ["submitting"] * 3
        await run_until_idle(house)
    assert accepted_once(cloud) == {(img, BUCKET) for img in ids}
    assert await ended_once(house) == dict.fromkeys(ids, "succeeded")


async def test_a_job_that_ends_during_the_stop_is_still_announced(tmp_path: Path) -> None:
    cloud = tencent(SystemClock(), export_seconds=0.2)
    img = image(cloud)
    async with served(cloud) as url:
        house = House(tmp_path, {"prod": brisk(url, request="5s", settle="6s")})
        house.tell([event(img)])
        async with daemon_process(house) as process:
            await until(alive(process, house, lambda: len(cloud.tasks) == 1))
            cloud.misbehave(Misbehaviour(fault="slow", action="DescribeImages", after=1.5))
            await until(lambda: cloud.requests.asked("DescribeImages") == 2)
            process.send_signal(signal.SIGTERM)
            assert await ends(process, 8) == 0
    assert await ended_once(house) == {img: "succeeded"}


def take_away(house: House) -> None:
    """Make the completions' path unusable."""
    house.completions.unlink()
    house.completions.mkdir()


async def test_the_outbox_is_drained_although_its_publisher_comes_back_only_during_the_stop(tmp_path: Path) -> None:
    cloud = tencent(SystemClock(), export_seconds=0.2)
    img = image(cloud)
    async with served(cloud) as url:
        house = House(tmp_path, {"prod": brisk(url)})
        async with daemon_process(house) as process:
            await until(alive(process, house, house.completions.exists))
            take_away(house)
            house.tell([event(img)])
            await until(lambda: house.log.exists() and says(house, "completions could not be published")())
            process.send_signal(signal.SIGTERM)
            await until(says(house, "stopping: first the sources"))
            house.completions.rmdir()
            assert await ends(process, 12) == 0
    assert await ended_once(house) == {img: "succeeded"}


async def test_an_outbox_that_cannot_be_drained_does_not_hold_up_the_stop_and_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("imageferry.app.DRAIN", 0.5)
    cloud = tencent(SystemClock(), export_seconds=0.2)
    img = image(cloud)
    async with served(cloud) as url:
        house = House(tmp_path, {"prod": brisk(url)})
        async with running_daemon(house) as live:
            take_away(house)
            house.tell([event(img)])
            await until(lambda: live.daemon.tally.succeeded == 1)
        house.completions.rmdir()
        assert house.completed() == []
        await run_until_idle(house)
    assert await ended_once(house) == {img: "succeeded"}


def rewrite(house: House, *policies: dict[str, Any]) -> None:
    (house.folder / "policies.yaml").write_text(yaml.safe_dump({"policies": list(policies)}))


async def gauges(house: House) -> dict[str, str]:
    """Name -> value, of the metrics without labels."""
    async with httpx.AsyncClient(base_url=str(ops_of(house))) as client:
        lines = (await client.get("/metrics")).text.splitlines()
    return dict(line.split(" ")[:2] for line in lines if not line.startswith("#") and "{" not in line)


async def test_a_reload_takes_the_whole_new_set_and_keeps_the_old_one_when_a_file_is_wrong(tmp_path: Path) -> None:
    cloud = tencent(SystemClock(), export_seconds=0.2)
    first, second, third = (image(cloud) for _ in range(3))
    async with served(cloud) as url:
        house = House(tmp_path, {"prod": brisk(url)})
        async with daemon_process(house) as process:
            house.tell([event(first)])
            await until(alive(process, house, lambda: len(house.completed()) == 1))
            rewrite(house, {**EXPORT_ALL, "name": "renamed"}, {**EXPORT_ALL, "name": "another"})
            process.send_signal(signal.SIGHUP)
            await until(says(house, "policies read again"))
            house.tell([event(second)])
            await until(lambda: len(house.completed()) == 2)
            assert (await gauges(house))["imageferry_policies_loaded"] == "2.0"
            rewrite(house, {**EXPORT_ALL, "matcch": {}})
            process.send_signal(signal.SIGHUP)
            await until(says(house, "policies kept as they were: a file is wrong"))
            house.tell([event(third)])
            await until(lambda: len(house.completed()) == 3)
            shown = await gauges(house)
        assert (shown["imageferry_policies_loaded"], shown["imageferry_policies_reload_failed"]) == ("2.0", "1.0")
    policies = {one["subject"]: one["data"]["policies"] for one in house.completed()}
    assert policies == {first: ["archive"], second: ["renamed", "another"], third: ["renamed", "another"]}
    [complaint] = {
        json.loads(line)["complaint"] for line in house.log.read_text().splitlines() if '"complaint"' in line
    }
    assert complaint.startswith(f"{house.folder}/policies.yaml:")
