from support.aliyun_rehearsals import aliyun, calling, image, objects_of
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
