from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from structlog.testing import capture_logs

from imageferry.clouds.aliyun.tasks import Task, to_task
from imageferry.core.answers import Answer
from imageferry.errors import Refused
from support.aliyun_rehearsals import BUCKET, REGION
from support.aliyun_stages import staged
from support.clocks import START
from support.gates import OpenGate
from support.sockets import Peer, listening


def row(**changes: Any) -> dict[str, Any]:
    known = {"TaskId": "t-1", "TaskAction": "ExportImage", "TaskStatus": "Processing", "ResourceId": "m-1"}
    return {**known, "CreationTime": "2026-01-01T00:00:00Z", **changes}


def entry(*items: tuple[str, str], **more: str) -> dict[str, Any]:
    return {"RelatedItemSet": {"RelatedItem": [{"Name": name, "Value": value} for name, value in items]}, **more}


def progress(*entries: dict[str, Any]) -> dict[str, Any]:
    return {"OperationProgressSet": {"OperationProgress": list(entries)}}


def test_a_task_is_read_from_a_list() -> None:
    assert to_task(row()) == Task("t-1", "processing", "m-1", START)


def test_every_object_of_every_entry_is_read() -> None:
    entries = progress(
        entry(("OSSBucket", BUCKET), ("OSSObject", "/a_system.raw.tar.gz"), ("ImageFormat", "raw")),
        entry(("OSSBucket", BUCKET), ("OSSObject", "a_data.raw.tar.gz"), ("OSSObject", "a_system.raw.tar.gz")),
    )
    read = to_task(row(TaskStatus="Finished", FailedCount=0, **entries))
    assert (read.status, read.bucket) == ("finished", BUCKET)
    assert read.objects == ("a_system.raw.tar.gz", "a_data.raw.tar.gz")


@pytest.mark.parametrize(
    "changes",
    [
        {"TaskStatus": "Failed"},
        {"TaskStatus": "Finished", "FailedCount": 1},
        {"TaskStatus": "Finished", "FailedCount": "1"},
        {"TaskStatus": "Finished", **progress(entry(ErrorCode="InternalError", ErrorMsg="no"))},
    ],
)
def test_finished_is_a_success_only_without_a_failure_and_an_error(changes: dict[str, Any]) -> None:
    assert to_task(row(**changes)).status == "failed"


@pytest.mark.parametrize(
    ("changes", "name", "value"),
    [
        ({"ResourceId": "i-1"}, "image_id", ""),
        ({"ResourceId": None}, "image_id", ""),
        ({"CreationTime": "2026-01-01T00:00Z"}, "created_at", START),
        ({"CreationTime": ""}, "created_at", None),
        (progress(entry(ErrorCode="InternalError", ErrorMsg="no")), "code", "InternalError"),
        (progress(entry(ErrorCode="InternalError", ErrorMsg="no")), "reason", "no"),
    ],
)
def test_what_may_be_missing_or_strange_is_read_as_it_is(changes: dict[str, Any], name: str, value: object) -> None:
    assert getattr(to_task(row(**changes)), name) == value


async def test_an_unknown_status_is_taken_as_running_and_told_once() -> None:
    async with staged() as stage:
        tasks = stage.cloud._exports.tasks
        with capture_logs() as logs:
            read = [tasks._task(row(TaskStatus=word)) for word in ("Queued", "Queued", "Waiting")]
    assert [each.ended for each in read] == [False] * 3
    assert [log["status"] for log in logs if "status" in log] == ["queued"]


async def test_a_list_leaves_out_what_it_does_not_know() -> None:
    async with staged() as stage:
        job = await stage.running(await stage.export())
        told = await stage.cloud._exports.tasks.by_id(REGION, [job.task_ref, "t-nobody"])
    assert isinstance(told[job.task_ref], Task)
    assert told["t-nobody"] is None


async def test_one_id_that_is_refused_spoils_no_batch() -> None:
    async with staged() as stage:
        jobs = [await stage.running(await stage.export()) for _ in range(3)]
        stage.misbehave("code", "DescribeTasks", code="InvalidTaskId.NotFound", count=3)
        told = await stage.cloud._exports.tasks.by_id(REGION, [job.task_ref for job in jobs])
    assert [isinstance(each, Task) for each in told.values()] == [False, True, True]


@pytest.mark.parametrize("closed", [True, False])
async def test_what_cannot_be_told_is_an_answer_for_every_id(*, closed: bool) -> None:
    async with staged(gate=OpenGate(closed_after=0) if closed else None) as stage:
        stage.misbehave("status", None, status=503)
        tasks = stage.cloud._exports.tasks
        told = [*(await tasks.by_id(REGION, ["t-1", "t-2"])).values(), await tasks.whole(REGION, "t-1")]
    assert [isinstance(each, Answer) and each.klass for each in told] == ["never_sent" if closed else "retry"] * 3


async def test_a_task_that_is_known_keeps_what_the_list_says_of_its_status() -> None:
    async with staged() as stage:
        job = await stage.running(await stage.export())
        tasks = stage.cloud._exports.tasks
        first = await tasks.named(REGION, Task(job.task_ref, "processing"))
        again = await tasks.named(REGION, Task(job.task_ref, "finished"))
        assert stage.asked("DescribeTaskAttribute") == 1
    assert isinstance(first, Task)
    assert isinstance(again, Task)
    assert again == replace(Task(job.task_ref, "finished"), objects=first.objects)


async def test_a_success_without_a_list_says_nothing_of_any_task() -> None:
    async def empty(peer: Peer) -> None:
        while await peer.request() is not None:
            await peer.answer(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}")

    async with listening(empty) as server, staged(account={"endpoint": server.url}) as stage:
        tasks = stage.cloud._exports.tasks
        told = await tasks.by_id(REGION, ["t-1"])
        with pytest.raises(Refused, match="no list of tasks"):
            [each async for each in tasks.since(REGION, 0)]
    assert isinstance(told["t-1"], Answer)
    assert told["t-1"].klass == "retry"
