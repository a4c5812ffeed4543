from typing import Any

import pytest

from imageferry.rehearsal.jdcloud import JdcloudRehearsal
from imageferry.rehearsal.misbehaviour import Misbehaviour
from support.clocks import FakeClock
from support.jdcloud_rehearsals import BUCKET, OTHER_REGION, Caller, calling, image, jdcloud, oss_url


async def words(params: dict[str, Any] | str, **options: Any) -> str:
    clock = FakeClock()
    async with calling(jdcloud(clock, **options), clock) as caller:
        return await caller.words("GET", "imageTasks", params)


async def test_a_finished_task_has_every_field_of_the_vendors_model() -> None:
    clock = FakeClock()
    rehearsal = jdcloud(clock)
    image_id = image(rehearsal, data_disks_gib=(5,))
    async with calling(rehearsal, clock) as caller:
        task_id = (await caller.export(image_id, ossPrefix="p1", isAllDisk=True))["taskId"]
        clock.jump(2)
        (task,) = await caller.tasks()
    assert task == {
        "taskId": task_id,
        "action": "ExportImage",
        "taskStatus": "finished",
        "progress": 100,
        "errorInfo": "",
        "message": "",
        "createdTime": "2026-01-01 08:00:00",
        "finishedTime": "2026-01-01 08:00:02",
        "imageId": image_id,
        "ossUrl": oss_url(BUCKET),
        "ossObject": f"p1_exportImage_{image_id}",
        "ossObjects": [f"p1_exportImage_{image_id}", f"p1_exportImage_{image_id}_vdb"],
    }


async def test_a_task_is_pending_then_running_then_at_its_end() -> None:
    clock = FakeClock()
    rehearsal = jdcloud(clock, export_seconds=100)
    rehearsal.misbehave(Misbehaviour(fault="task_fails", count=1, message="disk is gone"))
    seen = []
    async with calling(rehearsal, clock) as caller:
        await caller.export(image(rehearsal))
        await caller.export(image(rehearsal))
        for wait in (9, 41, 49, 1):
            clock.jump(wait)
            seen.append(
                [(t["taskStatus"], t["progress"], t["errorInfo"], t["ossObject"]) for t in await caller.tasks()]
            )
    key = rehearsal.tasks[1].objects[0]
    assert seen == [
        [("pending", 9, "", ""), ("pending", 9, "", "")],
        [("running", 50, "", ""), ("running", 50, "", "")],
        [("running", 99, "", ""), ("running", 99, "", "")],
        [("finished", 100, "", key), ("failed", 99, "disk is gone", "")],
    ]


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"names_objects": "ossObject"}, {"ossObject": "exportImage_img-a"}),
        ({"names_objects": "none"}, {}),
        ({"task_action_suffix": "Task"}, {"action": "ExportImageTask"}),
        ({"zone_hours": 0}, {"createdTime": "2026-01-01 00:00:00"}),
    ],
)
async def test_a_task_is_told_as_the_switches_say(options: dict[str, Any], told: dict[str, Any]) -> None:
    clock = FakeClock()
    rehearsal = jdcloud(clock, **options)
    async with calling(rehearsal, clock) as caller:
        await caller.export(image(rehearsal, image_id="img-a"))
        clock.jump(2)
        (task,) = await caller.tasks()
    assert {name: task[name] for name in told} == told
    named = {"ossObject", "ossObjects"} & task.keys()
    assert named == ({"ossObject", "ossObjects"} if "names_objects" not in options else set(told))


async def test_numbers_stay_numbers_in_the_list_of_tasks() -> None:
    clock = FakeClock()
    rehearsal = jdcloud(clock, task_ids_are_numbers=True)
    async with calling(rehearsal, clock) as caller:
        task_id = (await caller.export(image(rehearsal)))["taskId"]
        assert [each["taskId"] for each in await caller.tasks(taskIds=[str(task_id)])] == [task_id]


async def test_a_failure_is_told_in_the_other_field_as_the_switch_says() -> None:
    clock = FakeClock()
    rehearsal = jdcloud(clock, failure_field="message")
    rehearsal.misbehave(Misbehaviour(fault="task_fails"))
    async with calling(rehearsal, clock) as caller:
        await caller.export(image(rehearsal))
        clock.jump(2)
        (task,) = await caller.tasks()
    assert (task["taskStatus"], task["errorInfo"], task["message"]) == ("failed", "", "rehearsed")


async def started(rehearsal: JdcloudRehearsal, clock: FakeClock, caller: Caller, number: int) -> list[str]:
    """Exports that begin ten seconds apart; their task ids."""
    ids = []
    for _ in range(number):
        ids.append((await caller.export(image(rehearsal)))["taskId"])
        clock.jump(10)
    return ids


async def test_tasks_are_found_by_id_status_and_time() -> None:
    clock = FakeClock()
    rehearsal = jdcloud(clock, export_seconds=15)
    async with calling(rehearsal, clock) as caller:
        a, b, c = await started(rehearsal, clock, caller, 3)
        asked: list[dict[str, Any]] = [
            {},
            {"taskIds": [a, c, "unknown"]},
            {"taskStatus": "finished"},
            {"taskStatus": "running"},
            {"taskStatus": "finished", "taskIds": [a]},
            {"startTime": "2026-01-01 08:00:10"},
            {"endTime": "2026-01-01 08:00:10"},
            {"startTime": "2026-01-01 08:00:01", "endTime": "2026-01-01 08:00:19"},
            {"taskAction": "ImportImage"},
        ]
        found = [[task["taskId"] for task in await caller.tasks(**each)] for each in asked]
    assert found == [[c, b, a], [c, a], [b, a], [c], [a], [c, b], [b, a], [b], []]


async def test_tasks_of_another_region_and_copies_are_not_listed() -> None:
    clock = FakeClock()
    rehearsal = jdcloud(clock)
    async with calling(rehearsal, clock) as caller:
        await caller.export(image(rehearsal))
        await caller.copy(image(rehearsal))
        here = await caller.tasks()
        there = await caller.ask("GET", "imageTasks", region=OTHER_REGION)
    assert (len(here), there) == (1, {"taskSet": [], "totalCount": 0})


async def test_a_new_task_is_missing_for_as_long_as_the_switch_says() -> None:
    clock = FakeClock()
    rehearsal = jdcloud(clock, task_shows_seconds=60)
    async with calling(rehearsal, clock) as caller:
        await caller.export(image(rehearsal))
        clock.jump(59)
        before = await caller.tasks()
        clock.jump(1)
        assert (before, len(await caller.tasks())) == ([], 1)


async def test_pages_together_hold_every_task_once() -> None:
    clock = FakeClock()
    rehearsal = jdcloud(clock)
    async with calling(rehearsal, clock) as caller:
        made = await started(rehearsal, clock, caller, 23)
        pages = [await caller.ask("GET", "imageTasks", {"pageNumber": n, "pageSize": "10"}) for n in "1234"]
    assert [task["taskId"] for page in pages for task in page["taskSet"]] == made[::-1]
    assert [(page["totalCount"], len(page["taskSet"])) for page in pages] == [(23, 10), (23, 10), (23, 3), (23, 0)]


@pytest.mark.parametrize(
    ("sizes", "size", "fits"),
    [
        ("10-100", "9", False),
        ("10-100", "10", True),
        ("10-100", "100", True),
        ("10-100", "101", False),
        ("1-10", "1", True),
        ("1-10", "10", True),
        ("1-10", "11", False),
        ("1-10", "0", False),
    ],
)
async def test_a_page_has_the_sizes_of_the_switch(sizes: str, size: str, fits: bool) -> None:  # noqa: FBT001 - an expectation
    told = await words({"pageSize": size}, task_page_sizes=sizes)
    assert told == ("" if fits else "OUT_OF_RANGE: PageSize out of range")


@pytest.mark.parametrize(
    ("params", "told"),
    [
        ({"pageNumber": "0"}, "OUT_OF_RANGE: PageNumber out of range"),
        ({"pageSize": "ten"}, "INVALID_ARGUMENT: The parameter `pageSize` must be a whole number."),
        ({"taskAction": "MoveImage"}, "INVALID_ARGUMENT: Invalid taskAction 'MoveImage'"),
        ({"taskStatus": "done"}, "INVALID_ARGUMENT: Invalid taskStatus 'done'"),
        ({"startTime": "yesterday"}, "INVALID_ARGUMENT: Invalid time 'yesterday'"),
        ({"colour": "red"}, "INVALID_ARGUMENT: The parameter `colour` is not recognized."),
        ({"taskIds": "1"}, "INVALID_ARGUMENT: The parameter `taskIds` must be a list of strings."),
        ("taskIds.2=a", "INVALID_ARGUMENT: Parameter 'taskIds' must be numbered from 1 without gaps"),
        ("pageSize=10&pageSize=20", "INVALID_ARGUMENT: Parameter 'pageSize' is given twice"),
        ("taskIds=1&taskIds.1=2", "INVALID_ARGUMENT: Parameter 'taskIds.1' is given in two ways"),
        ("a.b.c.d.e=1", "INVALID_ARGUMENT: Invalid parameter 'a.b.c.d.e'"),
    ],
)
async def test_parameters_are_held_to_their_rules(params: dict[str, Any] | str, told: str) -> None:
    assert await words(params) == told


@pytest.mark.parametrize(("required", "told"), [(False, ""), (True, "INVALID_ARGUMENT: Parameter TaskAction missing")])
async def test_the_action_must_be_named_as_the_switch_says(required: bool, told: str) -> None:  # noqa: FBT001 - a switch
    assert await words({}, task_action_required=required) == told
