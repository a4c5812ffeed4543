from typing import Any

import pytest

from imageferry.rehearsal.misbehaviour import Misbehaviour
from support.aliyun_rehearsals import REGION, aliyun, calling, image, objects_of
from support.clocks import FakeClock


async def test_a_task_is_followed_from_its_beginning_to_its_end() -> None:
    clock = FakeClock()
    rehearsal = aliyun(clock, export_seconds=60)
    async with calling(rehearsal, clock) as caller:
        image_id = image(rehearsal)
        task_id = await caller.export(image_id, OSSPrefix="p1")
        seen = []
        for wait in (0, 30, 30):
            clock.jump(wait)
            (listed,) = await caller.tasks()
            told = await caller.task(task_id)
            seen.append((listed["TaskStatus"], told["TaskStatus"], told["TaskProcess"], told["SuccessCount"]))
        head = await caller.head(f"p1_{image_id}_system.raw.tar.gz")
    assert seen == [
        ("Processing", "Processing", "0%", 0),
        ("Processing", "Processing", "50%", 0),
        ("Finished", "Finished", "100%", 1),
    ]
    assert objects_of(told) == [f"p1_{image_id}_system.raw.tar.gz"]
    assert (head.status_code, head.headers["x-oss-object-type"]) == (200, "Multipart")
    assert listed == {
        "TaskId": task_id,
        "TaskAction": "ExportImage",
        "TaskStatus": "Finished",
        "ResourceId": image_id,
        "CreationTime": "2026-01-01T00:00:00Z",
        "FinishedTime": "2026-01-01T00:01:00Z",
        "SupportCancel": False,
    }


async def told_at_end(fault: dict[str, Any] | None = None, **options: Any) -> dict[str, Any]:
    """One finished task of an image with two disks."""
    clock = FakeClock()
    rehearsal = aliyun(clock, **options)
    if fault is not None:
        rehearsal.misbehave(Misbehaviour(**fault))
    async with calling(rehearsal, clock) as caller:
        task_id = await caller.export(image(rehearsal, image_id="m-a", data_disks_gib=(5,)), OSSPrefix="p1")
        clock.jump(2)
        return await caller.task(task_id)


KEYS = ["p1_m-a_system.raw.tar.gz", "p1_m-a_data_xvdb.raw.tar.gz"]


@pytest.mark.parametrize(
    ("options", "entries", "keys"),
    [
        ({}, 2, KEYS),
        ({"one_entry": True}, 1, KEYS),
        ({"names_objects": "system"}, 1, KEYS[:1]),
        ({"objects_shown": "finished"}, 2, KEYS),
        ({"objects_shown": "never"}, 1, []),
    ],
)
async def test_a_finished_task_names_its_objects_as_the_switches_say(
    options: dict[str, Any], entries: int, keys: list[str]
) -> None:
    told = await told_at_end(**options)
    progress = told["OperationProgressSet"]["OperationProgress"]
    assert (len(progress), objects_of(told), told["FailedCount"]) == (entries, keys, 0)
    assert [item["Name"] for item in progress[0]["RelatedItemSet"]["RelatedItem"]] == [
        "OSSBucket",
        *(["OSSObject"] * (len(keys) if entries == 1 else 1)),
        "ImageFormat",
    ]


@pytest.mark.parametrize(("shown", "keys"), [("always", KEYS), ("finished", []), ("never", [])])
async def test_a_running_task_names_its_objects_as_the_switch_says(shown: str, keys: list[str]) -> None:
    clock = FakeClock()
    rehearsal = aliyun(clock, objects_shown=shown)
    async with calling(rehearsal, clock) as caller:
        task_id = await caller.export(image(rehearsal, image_id="m-a", data_disks_gib=(5,)), OSSPrefix="p1")
        assert objects_of(await caller.task(task_id)) == keys


@pytest.mark.parametrize(("options", "status"), [({}, "Failed"), ({"failed_as": "Finished"}, "Finished")])
async def test_a_task_that_failed_says_why(options: dict[str, Any], status: str) -> None:
    fault = {"fault": "task_fails", "code": "ExportImageFailed", "message": "as asked"}
    told = await told_at_end(fault, **options)
    (entry,) = told["OperationProgressSet"]["OperationProgress"]
    assert (told["TaskStatus"], told["TaskProcess"], told["FailedCount"]) == (status, "99%", 2)
    assert (entry["OperationStatus"], entry["ErrorCode"], entry["ErrorMsg"]) == (
        "Failed",
        "ExportImageFailed",
        "as asked",
    )
    assert objects_of(told) == []


@pytest.mark.parametrize(
    ("options", "name", "value"),
    [
        ({"task_action_form": "EXPORT_IMAGE"}, "TaskAction", "EXPORT_IMAGE"),
        ({"short_times": True}, "CreationTime", "2026-01-01T00:00Z"),
        ({"support_cancel_as": "text"}, "SupportCancel", "false"),
        ({"shows_resource_id": False}, "ResourceId", None),
    ],
)
async def test_a_task_is_written_as_the_switches_say(options: dict[str, Any], name: str, value: object) -> None:
    assert (await told_at_end(**options)).get(name) == value


@pytest.mark.parametrize("word", ["Waiting", "Pending"])
async def test_a_task_may_wait_at_its_beginning(word: str) -> None:
    clock = FakeClock()
    rehearsal = aliyun(clock, waiting_word=word, export_seconds=100)
    async with calling(rehearsal, clock) as caller:
        task_id = await caller.export(image(rehearsal))
        seen = []
        for wait in (0, 9, 1):
            clock.jump(wait)
            seen.append((await caller.task(task_id))["TaskStatus"])
    assert seen == [word, word, "Processing"]


async def test_wrappers_may_be_lists() -> None:
    clock = FakeClock()
    rehearsal = aliyun(clock, wrappers="list")
    async with calling(rehearsal, clock) as caller:
        await caller.export(image(rehearsal))
        told = await caller.ask("DescribeTasks", {"RegionId": REGION})
        images = await caller.ask("DescribeImages", {"RegionId": REGION})
    assert [[each["TaskStatus"] for each in inner["Task"]] for inner in told["TaskSet"]] == [["Processing"]]
    assert [len(inner["Image"]) for inner in images["Images"]] == [1]


async def test_tasks_are_found_by_every_filter() -> None:
    clock = FakeClock()
    rehearsal = aliyun(clock)
    async with calling(rehearsal, clock) as caller:
        first = await caller.export(image(rehearsal, image_id="m-a"))
        clock.jump(10)
        second = await caller.export(image(rehearsal, image_id="m-b"))

        async def found(**params: Any) -> list[str]:
            return [each["TaskId"] for each in await caller.tasks(**params)]

        assert await found() == [second, first]
        assert await found(TaskIds=f"{first},t-none") == [first]
        assert await found(TaskStatus="Finished") == [first]
        assert await found(TaskStatus="Processing") == [second]
        assert await found(TaskStatus="Sleeping") == [second, first]
        assert await found(TaskAction="ExportImage", StartTime="2026-01-01T00:00:10Z") == [second]
        assert await found(EndTime="2026-01-01T00:00:09Z") == [first]
        assert await found(TaskAction="ImportImage") == []
        assert await found(ResourceIds=["m-a"]) == [first]
        assert await found(PageSize="1", PageNumber="2") == [first]
        assert await found(RegionId="cn-shanghai") == []


async def test_a_page_tells_what_it_is_part_of() -> None:
    clock = FakeClock()
    rehearsal = aliyun(clock, exports_running=None)
    async with calling(rehearsal, clock) as caller:
        for _ in range(12):
            await caller.export(image(rehearsal))
        told = await caller.ask("DescribeTasks", {"RegionId": REGION})
    assert (told["PageNumber"], told["PageSize"], told["TotalCount"], len(told["TaskSet"]["Task"])) == (1, 10, 12, 10)


@pytest.mark.parametrize(
    ("params", "code"),
    [
        ({"RegionId": None}, "MissingParameter"),
        ({"RegionId": "mars-1"}, "InvalidRegionId.NotFound"),
        ({"TaskIds": ",".join(["t-1"] * 101)}, "InvalidParameter"),
        ({"ResourceIds": ["m-1"] * 101}, "InvalidParameter"),
        ({"TaskAction": "Dance"}, "InvalidParameter"),
        ({"StartTime": "yesterday"}, "InvalidParameter"),
        ({"EndTime": "2026-01-01 00:00:00"}, "InvalidParameter"),
        ({"PageNumber": "0"}, "InvalidParameter"),
        ({"PageSize": "101"}, "InvalidParameter"),
        ({"PageSize": "many"}, "InvalidParameter"),
        ({"TaskIds": ",".join(["t-1"] * 100), "PageSize": "100"}, ""),
    ],
)
async def test_a_question_for_tasks_is_held_to_its_rules(params: dict[str, Any], code: str) -> None:
    clock = FakeClock()
    async with calling(aliyun(clock), clock) as caller:
        assert await caller.code("DescribeTasks", {"RegionId": REGION, **params}) == code


async def test_a_task_that_is_not_here_is_not_found() -> None:
    clock = FakeClock()
    rehearsal = aliyun(clock)
    async with calling(rehearsal, clock) as caller:
        task_id = await caller.export(image(rehearsal))
        asked = [(REGION, "t-none"), ("cn-shanghai", task_id), (REGION, "")]
        codes = [await caller.code("DescribeTaskAttribute", {"RegionId": r, "TaskId": t}) for r, t in asked]
    assert codes == ["InvalidTaskId.NotFound", "InvalidTaskId.NotFound", "MissingParameter"]


async def test_a_task_shows_late_and_is_forgotten_as_the_switches_say() -> None:
    clock = FakeClock()
    rehearsal = aliyun(clock, task_shows_seconds=1, task_kept_seconds=5)
    seen = []
    async with calling(rehearsal, clock) as caller:
        task_id = await caller.export(image(rehearsal))
        for wait in (0, 1, 5.9, 0.1):
            clock.jump(wait)
            code = await caller.code("DescribeTaskAttribute", {"RegionId": REGION, "TaskId": task_id})
            seen.append((len(await caller.tasks()), code))
    assert seen == [(0, "InvalidTaskId.NotFound"), (1, ""), (1, ""), (0, "InvalidTaskId.NotFound")]


@pytest.mark.parametrize("word", ["Failed", "Finished", "Deleted", "Cancelled"])
async def test_a_cancelled_task_leaves_nothing_and_frees_its_image(word: str) -> None:
    clock = FakeClock()
    rehearsal = aliyun(clock, cancelled_as=word, exports_running=1)
    async with calling(rehearsal, clock) as caller:
        image_id = image(rehearsal)
        task_id = await caller.export(image_id)
        clock.jump(1)
        await caller.ask("CancelTask", {"RegionId": REGION, "TaskId": task_id})
        told = await caller.task(task_id)
        again = await caller.code("CancelTask", {"RegionId": REGION, "TaskId": task_id})
        anew = await caller.export_code(image_id)
        clock.jump(1)
        there = list(rehearsal.world.store.objects(rehearsal.now()))
    assert (told["TaskStatus"], told["TaskProcess"], told["FinishedTime"]) == (word, "50%", "2026-01-01T00:00:01Z")
    assert (again, anew, there) == ("InvalidTaskId.IncorrectTaskStatus", "", [])


async def test_a_task_that_ended_cannot_be_cancelled() -> None:
    clock = FakeClock()
    rehearsal = aliyun(clock)
    async with calling(rehearsal, clock) as caller:
        task_id = await caller.export(image(rehearsal))
        clock.jump(2)
        answer = await caller.send("CancelTask", {"RegionId": REGION, "TaskId": task_id})
    assert (answer.status_code, answer.json()["Code"]) == (403, "InvalidTaskId.IncorrectTaskStatus")
