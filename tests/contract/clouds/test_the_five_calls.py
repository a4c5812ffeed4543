"""The five calls that the project began from: each accepted, followed to its end, and refused in every documented way.

JD Cloud's exportImage and copyImages, Huawei Cloud's ExportImage, Tencent Cloud's ExportImages and Alibaba Cloud's
ExportImage. Their tables of errors are ``tests/vectors/<cloud>_codes.json``: a vendor's code, the message where it
counts, and the class; two classes where the documents leave it to the image's state or age.
"""

from __future__ import annotations

import json
from math import inf
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from imageferry.core.account import Timeouts
from imageferry.core.answers import ANSWER_CLASSES, Answer
from imageferry.core.job import ActionKind
from support.cloud_table import CLOUD_TABLE, Code
from support.trials import named, trial

VECTORS = Path(__file__).parents[2] / "vectors"
SHORT = {"timeouts": Timeouts(request=5, settle=90, image=900, export=900, copy=900)}
"""What is said to pass is waited for, but not for long."""


class Call(NamedTuple):
    """One of the five."""

    cloud: str
    api: str
    kind: ActionKind


ALL = (
    Call("jdcloud", "exportImage", "export"),
    Call("jdcloud", "copyImages", "copy"),
    Call("huawei", "ExportImage", "export"),
    Call("tencent", "ExportImages", "export"),
    Call("aliyun", "ExportImage", "export"),
)
FIVE = [pytest.param(call, id=f"{call.cloud} {call.api}") for call in ALL]


class Refusal(NamedTuple):
    """One line of a vendor's table."""

    said: Code
    classes: list[str]


def table(call: Call) -> list[Refusal]:
    """The documented errors of a call."""
    rows: Any = json.loads((VECTORS / f"{call.cloud}_codes.json").read_text())[call.api]
    if isinstance(rows, dict):
        rows = [{"code": code, "class": klass} for code, klass in rows.items()]
    return [
        Refusal(
            Code(row["code"], row.get("message", "rehearsed")),
            row["class"] if isinstance(row["class"], list) else [row["class"]],
        )
        for row in rows
    ]


REFUSALS = [
    pytest.param(call, klass, id=f"{call.cloud} {call.api} {klass}")
    for call in ALL
    for klass in ANSWER_CLASSES
    if klass != "auth" and any(klass == each.classes[0] for each in table(call))
]
KEYS = [
    pytest.param(call, each.said, id=f"{call.cloud} {call.api} {each.said.code}")
    for call in ALL
    for each in table(call)
    if each.classes == ["auth"]
]


def most(klass: str) -> float:
    """How often what is always of this class may be asked for; what is said for good is not asked again and again."""
    return 2 if klass.startswith("permanent") else inf


@pytest.mark.parametrize("call", FIVE)
async def test_it_is_accepted_and_followed_to_the_end(tmp_path: Path, call: Call) -> None:
    async with trial(tmp_path, CLOUD_TABLE[call.cloud], export_seconds=120.0, copy_seconds=120.0) as there:
        image_id, job = await there.walk(call.kind)
        assert there.entry.apis[call.kind] == call.api
        assert there.cloud.requests.answered("ok", call.api) >= 1
        assert (job.state, job.klass, job.vendor_code) == ("succeeded", "ok", "")
        [task] = there.cloud.tasks
        assert (task.image_id, task.destination) == (image_id, there.target(call.kind))
        assert named([job]) == there.written
        assert (call.kind == "copy") == (job.made_name != "")
        waited = [row.reason for row in await there.stage.history() if row.from_state == row.to_state == "running"]
        assert waited, "its progress was never told"


@pytest.mark.parametrize(("call", "klass"), REFUSALS)
async def test_every_documented_error_is_told_with_its_class(tmp_path: Path, call: Call, klass: str) -> None:
    rows = [each for each in table(call) if each.classes[0] == klass]
    async with trial(tmp_path, CLOUD_TABLE[call.cloud], account=SHORT) as there:
        refused = {there.image(name=f"web-{number}"): row for number, row in enumerate(rows)}
        await there.decided(there.wanted(call.kind), *refused)
        for image_id, row in refused.items():
            there.refuse(row.said, call.kind, image_id=image_id)
        jobs = await there.walked(2000)
        answers = {each.request_id: each.outcome for each in there.cloud.requests.last if each.action == call.api}
        for job in jobs:
            said, classes = refused[job.image_id]
            assert (job.state, job.vendor_code) == ("failed", said.code), said
            assert job.klass in classes, said
            assert answers[job.request_id] == said.code
            assert said.code in job.reason or job.reason.startswith("given up after"), said
        assert (len(jobs), there.accepted) == (len(rows), {})
        assert max((job.attempts for job in jobs if refused[job.image_id].classes == [klass]), default=0) <= most(klass)


@pytest.mark.parametrize(("call", "said"), KEYS)
async def test_every_documented_error_about_the_keys_is_told_as_such(tmp_path: Path, call: Call, said: Code) -> None:
    async with trial(tmp_path, CLOUD_TABLE[call.cloud]) as there:
        job = await there.frozen(call.kind)
        there.refuse(said, call.kind)
        answer = await there.sent(job)
        assert isinstance(answer, Answer)
        assert (answer.klass, answer.vendor_code, there.accepted) == ("auth", said.code, {})
        assert answer.request_id
        assert there.asked(call.kind) <= 2
