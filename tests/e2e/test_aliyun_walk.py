"""A whole daemon at an Alibaba Cloud that loses answers: every job ends well, and nothing is ever started twice."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from imageferry.rehearsal.aliyun import AliyunRehearsal
from imageferry.rehearsal.misbehaviour import Misbehaviour
from imageferry.rehearsal.options import REHEARSAL_KEY as KEY
from imageferry.telemetry.clock import SystemClock
from support.aliyun_rehearsals import BUCKET, OTHER_REGION, REGION, aliyun, image
from support.daemons import House, account, event, run_until_idle
from support.rehearsals import served

IMAGES = 20
SECOND_BUCKET = "second-hangzhou"
EVERYTHING = {
    "name": "everything",
    "match": {"cloud": "aliyun", "os": "linux"},
    "actions": [
        {"export": {"bucket": BUCKET, "prefix": "walk"}},
        {"export": {"bucket": SECOND_BUCKET}},
        {"copy": {"regions": [OTHER_REGION]}},
    ],
}
DESTINATIONS = (("ExportImage", BUCKET), ("ExportImage", SECOND_BUCKET), ("CopyImage", OTHER_REGION))


def mishaps() -> list[Misbehaviour]:
    """Answers that are lost before, after and long before the work, and other trouble; each so often, at random."""
    chance: dict[str, Any] = {"probability": 0.3, "count": 2}
    submits = [
        Misbehaviour(action=action, **fault, **chance)
        for action in ("ExportImage", "CopyImage")
        for fault in (
            {"fault": "drop", "work": "none"},
            {"fault": "drop", "work": "done"},
            {"fault": "drop", "work": "late", "after": 1.0},
            {"fault": "status", "status": 503, "work": "done"},
            {"fault": "throttle"},
        )
    ]
    reads = [
        Misbehaviour(fault="status", status=503, action="DescribeImages", **chance),
        Misbehaviour(fault="throttle", action="DescribeImages", **chance),
        Misbehaviour(fault="status", status=503, action="DescribeTasks", **chance),
        Misbehaviour(fault="status", status=500, action="DescribeTaskAttribute", **chance),
        Misbehaviour(fault="drop", action="HeadObject", **chance),
    ]
    return [*submits, *reads]


def house_at(url: str, folder: Path) -> House:
    """A daemon's folder with one account at the rehearsal, in a hurry."""
    credentials = {"source": "static", "access_key_id": KEY.secret_id, "access_key_secret": KEY.secret_key}
    prod = account(
        url,
        cloud="aliyun",
        regions=[REGION, OTHER_REGION],
        credentials=credentials,
        limits={
            "export": {"rate": "40/s", "running": 10},
            "copy": {"rate": "40/s", "running": 10},
            "read": {"rate": "60/s"},
        },
        timeouts={"request": "1500ms", "settle": "2s", "image": "60s", "export": "60s", "copy": "60s"},
    )
    return House(folder, {"prod": prod}, [EVERYTHING])


SILENT = {"objects_shown": "never", "shows_resource_id": False, "wrappers": "list", "copies_during_exports": False}
FORGETFUL = {"task_kept_seconds": 0.0, "error_shape": "xml", "task_id_key": "ExportTaskId", "names_unique": False}
OTHERWISE = {"clock_skew_seconds": 1000.0, "short_times": True, "image_ids_most": 1, "concurrent_exports": True}


def cloud(**switches: Any) -> AliyunRehearsal:
    """One with two buckets and no limit but those that the account keeps."""
    usual = {
        "buckets": {BUCKET: REGION, SECOND_BUCKET: REGION},
        "exports_running": 10,
        "copies_running": 10,
        "image_quota": None,
        "retry_after_ms": 500,
        "export_seconds": 0.3,
        "copy_seconds": 0.3,
        "duration_spread": 0.5,
    }
    return aliyun(SystemClock(), **{**usual, **switches})


@pytest.mark.parametrize("switches", [{}, SILENT, FORGETFUL, OTHERWISE], ids=["usual", "silent", "forgetful", "other"])
async def test_every_job_is_done_exactly_once_though_answers_are_lost(tmp_path: Path, switches: dict[str, Any]) -> None:
    rehearsal = cloud(**switches)
    ids = [image(rehearsal, name=f"web-{n}") for n in range(IMAGES)]
    for fault in mishaps():
        rehearsal.misbehave(fault)
    async with served(rehearsal) as url:
        house = house_at(url, tmp_path)
        house.tell([event(each, cloud="aliyun", region=REGION) for each in ids])
        await run_until_idle(house)
    jobs = await house.jobs()
    assert Counter(job["state"] for job in jobs) == {"succeeded": len(ids) * len(DESTINATIONS)}
    assert rehearsal.requests.accepted == {(action, each, to): 1 for each in ids for action, to in DESTINATIONS}
    assert rehearsal.state(["misbehaviours"])["misbehaviours"] == []
    written = {(each["bucket"], each["key"]) for each in rehearsal.state(["objects"])["objects"]}
    assert {(job["destination"], key) for job in jobs for key in job["object_keys"]} == written
    assert len(written) == IMAGES * 2
    assert Counter(each["type"] for each in house.completed()) == {"io.imageferry.job.succeeded": len(jobs)}
