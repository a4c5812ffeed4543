"""Every error code of the vendor's tables, answered for one image each: the job tells code, request id and class.

The tables are ``tests/vectors/tencent_codes.json``. What the vendor means by "later" is waited for until a deadline
that is short here, and then told as well.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from imageferry.core.answers import AnswerClass
from imageferry.rehearsal.misbehaviour import Misbehaviour
from imageferry.telemetry.clock import SystemClock
from support.daemons import EXPORT_ALL, House, copy_to, event, run_until_idle
from support.faults import brisk
from support.rehearsals import OTHER_REGION, REGION, image, served, tencent

VECTORS = Path(__file__).parents[1] / "vectors" / "tencent_codes.json"
TABLES: dict[str, dict[str, AnswerClass]] = json.loads(VECTORS.read_text())
POLICIES = {"ExportImages": EXPORT_ALL, "SyncImages": copy_to(OTHER_REGION)}
SHORT = {"timeouts": {"image": "3s", "export": "3s", "copy": "3s"}}


async def refused(
    folder: Path, action: str, codes: list[str], **account: Any
) -> tuple[list[dict[str, Any]], list[str]]:
    """(the job of an image for each code that the cloud answers for it, the request ids of those answers)."""
    cloud = tencent(SystemClock())
    ids = [image(cloud) for _ in codes]
    for img, code in zip(ids, codes, strict=True):
        cloud.misbehave(Misbehaviour(fault="code", code=code, image_id=img, action=action))
    async with served(cloud) as url:
        house = House(
            folder, {"prod": brisk(url, regions=[REGION, OTHER_REGION], **account)}, policies=[POLICIES[action]]
        )
        house.tell([event(img) for img in ids])
        await run_until_idle(house)
    jobs = {job["image_id"]: job for job in await house.jobs()}
    assert cloud.tasks == []
    answers = [each.request_id for each in cloud.requests.last if each.action == action]
    return [jobs[img] for img in ids], answers


@pytest.mark.parametrize("action", sorted(TABLES))
async def test_every_code_of_the_table_is_told_with_its_class_and_request_id(tmp_path: Path, action: str) -> None:
    table = TABLES[action]
    jobs, answers = await refused(tmp_path, action, list(table), **SHORT)
    assert {job["vendor_code"]: job["class"] for job in jobs} == table
    assert {job["state"] for job in jobs} == {"failed"}
    assert [job["request_id"] in answers for job in jobs] == [True] * len(table)
    assert [job["reason"] for job in jobs if job["vendor_code"] not in job["reason"]] == []


async def test_what_is_refused_for_good_is_asked_once(tmp_path: Path) -> None:
    for action, table in TABLES.items():
        codes = [code for code, klass in table.items() if klass.startswith("permanent")]
        _, answers = await refused(tmp_path / action, action, codes)
        assert len(answers) == len(codes)


async def test_an_internal_error_is_tried_again_as_often_as_the_backoff_says_and_then_told(tmp_path: Path) -> None:
    quick = {"request": "900ms", "settle": "1s", "backoff": {"first": "100ms", "longest": "200ms", "attempts": 2}}
    cloud = tencent(SystemClock())
    img = image(cloud)
    cloud.misbehave(Misbehaviour(fault="code", code="InternalError", action="ExportImages", dry_runs=False))
    async with served(cloud) as url:
        house = House(tmp_path, {"prod": brisk(url, **quick)})
        house.tell([event(img)])
        await run_until_idle(house)
    [job] = await house.jobs()
    assert (job["state"], job["class"], job["vendor_code"]) == ("failed", "retry", "InternalError")
    assert (job["attempts"], cloud.requests.answered("InternalError")) == (2, 2)
