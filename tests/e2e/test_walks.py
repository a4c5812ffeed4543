"""A whole daemon at each cloud in a bad hour: two hundred images, every job ends well, nothing is ever started twice.

Exports and copies mixed, some images to two buckets, some to two regions; answers dropped before, after and long
before the work, errors of the server, answers that are none, and requests that come too fast.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from imageferry.rehearsal.misbehaviour import Misbehaviour
from imageferry.rehearsal.options import REHEARSAL_KEY
from imageferry.rehearsal.store import NewImage
from imageferry.telemetry.clock import SystemClock
from support.cloud_table import CLOUD_TABLE, Entry
from support.daemons import House, account, event, run_until_idle
from support.rehearsals import served
from support.trials import KINDS, action, rehearsed, words

IMAGES = 200
WITHIN = 480.0
"""Seconds, on a machine that is busy with other things; alone it takes a twentieth. No job's deadline comes sooner."""


def kinds(entry: Entry) -> dict[str, list[tuple[str, str]]]:
    """What is done to a fourth of the images each, by the beginning of their names."""
    one, two = (("export", bucket) for bucket in entry.buckets)
    near, far = (("copy", region) for region in (entry.other_region, entry.third_region))
    return {"archived": [one], "twice": [one, two], "both": [one, near], "abroad": [near, far]}


def policies(entry: Entry) -> list[dict[str, Any]]:
    """A policy for each kind of image."""
    return [
        {
            "name": name,
            "match": {"cloud": entry.cloud, "name": f"{name}-*"},
            "actions": [_action(entry, kind, to) for kind, to in wanted],
        }
        for name, wanted in kinds(entry).items()
    ]


def _action(entry: Entry, kind: str, to: str) -> dict[str, Any]:
    if to == entry.buckets[1]:
        return {"export": {"bucket": to, **entry.other_export}}
    return action(entry, kind, to)  # type: ignore[arg-type] # one of the literals


def mishaps(entry: Entry) -> list[Misbehaviour]:
    """Each so often, at random."""
    chance: dict[str, Any] = {"probability": 0.3, "count": 5}
    submits = [
        Misbehaviour(action=entry.apis[kind], dry_runs=False, **fault, **chance)
        for kind in KINDS
        for fault in (
            {"fault": "drop", "work": "none"},
            {"fault": "drop", "work": "done"},
            {"fault": "drop", "work": "late", "after": 1.0},
            {"fault": "status", "status": 503, "work": "done"},
            {"fault": "status", "status": 502, "work": "none"},
            {"fault": "garbage", "work": "done"},
            {"fault": "throttle"},
        )
    ]
    reads = [
        Misbehaviour(action=entry.looks, **fault, probability=0.3, count=2)
        for fault in ({"fault": "status", "status": 500}, {"fault": "throttle"}, {"fault": "drop"})
    ]
    return [*submits, *reads]


def house_at(entry: Entry, url: str, folder: Path) -> House:
    """A daemon's folder with one account at the rehearsal, in a hurry."""
    given = {"rate": "40/s", "running": 25}
    prod = account(
        url,
        cloud=entry.cloud,
        regions=[entry.region, entry.other_region, entry.third_region],
        credentials={"source": "static", **words(entry, REHEARSAL_KEY.secret_id, REHEARSAL_KEY.secret_key)},
        poll={"tasks": "500ms", "images": "500ms"},
        limits={"export": given, "copy": given, "read": {"rate": "60/s"}},
        timeouts={"request": "3s", "settle": "4s", "image": "10m", "export": "10m", "copy": "10m"},
        backoff={"first": "200ms", "longest": "2s", "attempts": 20},
    )
    return House(folder, {"prod": prod}, policies(entry))


@pytest.mark.parametrize("entry", CLOUD_TABLE.values(), ids=CLOUD_TABLE.keys())
async def test_every_job_is_done_exactly_once_though_answers_are_lost(tmp_path: Path, entry: Entry) -> None:
    limits = {"rates": dict.fromkeys(entry.apis.values(), 60), "exports_running": 30, "copies_running": 30}
    times = {"export_seconds": 0.5, "copy_seconds": 0.5, "duration_spread": 0.5}
    cloud = rehearsed(entry, SystemClock(), **limits, **times)
    wanted = list(kinds(entry).items())
    expected: dict[tuple[str, str, str], int] = {}
    ids = []
    for number in range(IMAGES):
        name, jobs = wanted[number % len(wanted)]
        disks = (10,) * (number // len(wanted) % 2)
        ids.append(cloud.add_image(NewImage(region=entry.region, name=f"{name}-{number}", data_disks_gib=disks)))
        expected |= {(entry.apis[kind], ids[-1], to): 1 for kind, to in jobs}  # type: ignore[index] # literals
    for fault in mishaps(entry):
        cloud.misbehave(fault)
    async with served(cloud) as url:
        house = house_at(entry, url, tmp_path)
        house.tell([event(each, cloud=entry.cloud, region=entry.region) for each in ids])
        await run_until_idle(house, WITHIN)
    done = await house.jobs()
    assert Counter(job["state"] for job in done) == {"succeeded": len(expected)}
    assert cloud.requests.accepted == expected
    assert cloud.state(["misbehaviours"])["misbehaviours"] == []
    written = {(each["bucket"], each["key"]) for each in cloud.state(["objects"])["objects"]}
    named = Counter((job["destination"], key) for job in done for key in job["object_keys"])
    assert named == Counter(written)
    copies = Counter((task.destination, task.new_image_id) for task in cloud.tasks if task.new_image_id)
    assert set(copies.values()) == {1}
    assert Counter(each["type"] for each in house.completed()) == {"io.imageferry.job.succeeded": len(expected)}
