from typing import Any

import pytest

from imageferry.rehearsal.misbehaviour import Misbehaviour
from support.aliyun_rehearsals import (
    BUCKET,
    FORMATTING,
    OTHER_REGION,
    REGION,
    aliyun,
    calling,
    export_of,
    image,
    objects_of,
)
from support.clocks import FakeClock

DAY = 86_400


async def refused(facts: dict[str, Any] | None = None, options: dict[str, Any] | None = None, **params: Any) -> str:
    """The code with which an export of one image is refused; empty when it is taken."""
    clock = FakeClock()
    rehearsal = aliyun(clock, **(options or {}))
    image_id = image(rehearsal, **(facts or {}))
    async with calling(rehearsal, clock) as caller:
        return await caller.export_code(image_id, **params)


@pytest.mark.parametrize(
    ("options", "names"),
    [
        ({}, {"TaskId"}),
        ({"task_id_key": "ExportTaskId"}, {"ExportTaskId"}),
        ({"task_id_key": "both"}, {"TaskId", "ExportTaskId"}),
    ],
)
async def test_an_accepted_export_names_its_task_as_the_switch_says(options: dict[str, Any], names: set[str]) -> None:
    clock = FakeClock()
    rehearsal = aliyun(clock, task_id_prefix="tsk", **options)
    async with calling(rehearsal, clock) as caller:
        told = await caller.ask("ExportImage", export_of(image(rehearsal)))
    (task,) = rehearsal.tasks
    assert {name: told[name] for name in told if name not in ("RequestId", "RegionId")} == dict.fromkeys(names, task.id)
    assert (told["RegionId"], task.id[:4], task.destination) == (REGION, "tsk-", BUCKET)


@pytest.mark.parametrize(
    ("params", "code"),
    [
        ({"RegionId": None}, "MissingParameter"),
        ({"ImageId": None}, "MissingParameter"),
        ({"OSSBucket": None}, "MissingParameter"),
        ({"OSSBucket": ""}, "MissingParameter"),
        ({"RegionId": "mars-1"}, "InvalidRegionId.NotFound"),
        ({"Colour": "red"}, "UnsupportedParameter"),
        ({"OssBucket": BUCKET}, "UnsupportedParameter"),
        ({"OSSPrefix": ""}, "InvalidOSSPrefix.Malformed"),
        ({"OSSPrefix": "a-b"}, "InvalidOSSPrefix.Malformed"),
        ({"OSSPrefix": "a/b"}, "InvalidOSSPrefix.Malformed"),
        ({"OSSPrefix": "x" * 31}, "InvalidOSSPrefix.Malformed"),
        ({"OSSPrefix": "aZ0" + "x" * 27}, ""),
        ({"ImageFormat": "tape"}, "InvalidImageFormat.Malformed"),
        ({"ImageFormat": ""}, "InvalidImageFormat.Malformed"),
        ({"ImageFormat": "vhd"}, "InvalidImageFormat.RegionNotSupported"),
        ({"ImageFormat": "raw"}, ""),
        ({"DryRun": "perhaps"}, "InvalidParameter"),
        ({"ImageId": "m-none"}, "InvalidImageId.NotFound"),
        ({"RegionId": OTHER_REGION}, "InvalidImageId.NotFound"),
        ({"OSSBucket": "nowhere"}, "InvalidOSSBucket.NotFound"),
        ({"OSSBucket": "archive-frankfurt"}, "InvalidOSSBucket.NotFound"),
        ({"RoleName": "AliyunECSImageExportDefaultRole"}, ""),
        ({"RoleName": "Another"}, "NoSetRoletoECSServiceAcount"),
    ],
)
async def test_parameters_are_held_to_their_rules(params: dict[str, Any], code: str) -> None:
    assert await refused(**params) == code


@pytest.mark.parametrize(
    ("facts", "code"),
    [
        ({"image_type": "PUBLIC_IMAGE"}, "ImageNotSupported"),
        ({"image_type": "SHARED_IMAGE"}, "ImageNotSupported"),
        ({"image_type": "MARKET_IMAGE"}, "ImageNotSupported"),
        ({"market_derived": True}, "ImageNotSupported"),
        ({"extra": {"product_code": "cmjj1"}}, "ImageNotSupported"),
        ({"encrypted": True}, "ImageNotSupported"),
        ({"extra": {"unfit_origin": True}}, "InvalidImageCategory.NotSupported"),
        ({"platform": "Windows"}, "InvalidImageLicense.NotSupported"),
        ({"extra": {"os_type": "windows"}}, "InvalidImageLicense.NotSupported"),
        ({"data_disks_gib": (1, 1, 1, 1, 1)}, "InvalidImage.DiskAmountOrSize"),
        ({"data_disks_gib": (501,)}, "InvalidImage.DiskAmountOrSize"),
        ({"extra": {"data_disks_locked": True}}, "OperationDenied"),
        ({"ready_seconds": 5}, "IncorrectImageStatus"),
        ({"fails": True}, "IncorrectImageStatus"),
        ({"data_disks_gib": (500, 500, 500, 500)}, ""),
        ({"extra": {"deprecated": True}}, ""),
    ],
)
async def test_an_image_must_be_one_that_may_be_exported(facts: dict[str, Any], code: str) -> None:
    assert await refused(facts) == code


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"roles": []}, "NoSetRoletoECSServiceAcount"),
        ({"roles": [], "role_code": "NoSetRoletoECSServiceAccount"}, "NoSetRoletoECSServiceAccount"),
        ({"unwritable_buckets": [BUCKET]}, "InvalidOSS.NotAuthorized"),
        ({"encrypted_buckets": [BUCKET]}, "InvalidOSSBucket.EncryptUnsupported"),
        (
            {"buckets": {BUCKET: OTHER_REGION}, "bucket_elsewhere_code": "InvalidOSSBucket.NotMatched"},
            "InvalidOSSBucket.NotMatched",
        ),
        ({"denied": {"ExportImage": "UserNotInTheWhiteList"}}, "UserNotInTheWhiteList"),
    ],
)
async def test_a_bucket_and_its_role_must_fit(options: dict[str, Any], code: str) -> None:
    assert await refused(options=options) == code


async def test_a_bad_bucket_fails_the_task_where_the_switch_says_so() -> None:
    clock = FakeClock()
    rehearsal = aliyun(clock, bad_target="task")
    async with calling(rehearsal, clock) as caller:
        task_id = await caller.export(image(rehearsal), OSSBucket="nowhere")
        clock.jump(2)
        told = await caller.task(task_id)
    (entry,) = told["OperationProgressSet"]["OperationProgress"]
    assert (told["TaskStatus"], told["FailedCount"], entry["ErrorCode"]) == ("Failed", 1, "InvalidOSSBucket.NotFound")


@pytest.mark.parametrize(
    ("options", "http", "code"),
    [({}, 400, "DryRunOperation"), ({"http_statuses": {"DryRunOperation": 403}}, 403, "DryRunOperation")],
)
async def test_a_dry_run_that_passes_is_an_error_that_starts_nothing(
    options: dict[str, Any], http: int, code: str
) -> None:
    clock = FakeClock()
    rehearsal = aliyun(clock, **options)
    async with calling(rehearsal, clock) as caller:
        answer = await caller.send("ExportImage", export_of(image(rehearsal), DryRun="true"))
    assert (answer.status_code, answer.json()["Code"], rehearsal.tasks) == (http, code, [])


async def test_a_dry_run_may_be_an_answer_or_unknown_by_the_switches() -> None:
    clock = FakeClock()
    rehearsal = aliyun(clock, dry_run_shape="answer")
    async with calling(rehearsal, clock) as caller:
        image_id = image(rehearsal)
        told = await caller.ask("ExportImage", export_of(image_id, DryRun="true"))
        rehearsal.change({"dry_run_known": False})
        unknown = await caller.export_code(image_id, DryRun="true")
    assert (told.keys(), unknown, rehearsal.tasks) == ({"RequestId"}, "UnsupportedParameter", [])


async def test_an_image_is_exported_once_at_a_time() -> None:
    clock = FakeClock()
    rehearsal = aliyun(clock)
    async with calling(rehearsal, clock) as caller:
        image_id = image(rehearsal)
        answers = [await caller.export_code(image_id) for _ in range(2)]
        clock.jump(2)
        answers.append(await caller.export_code(image_id))
        rehearsal.change({"concurrent_exports": True})
        answers.append(await caller.export_code(image_id))
    assert answers == ["", "ImageIsExporting", "", ""]


@pytest.mark.parametrize(("allowed", "code"), [(True, ""), (False, "OperationDenied.ImageCopying")])
async def test_an_image_that_is_being_copied_is_exported_as_the_switch_says(allowed: bool, code: str) -> None:  # noqa: FBT001 - a switch
    clock = FakeClock()
    rehearsal = aliyun(clock, exports_during_copies=allowed)
    async with calling(rehearsal, clock) as caller:
        image_id = image(rehearsal)
        await caller.copy(image_id)
        assert await caller.export_code(image_id) == code


async def test_only_so_many_exports_run_at_once_in_a_region() -> None:
    clock = FakeClock()
    rehearsal = aliyun(clock, exports_running=2)
    async with calling(rehearsal, clock) as caller:
        codes = [await caller.export_code(image(rehearsal)) for _ in range(3)]
        frankfurt = image(rehearsal, region=FORMATTING)
        codes.append(await caller.export_code(frankfurt, RegionId=FORMATTING, OSSBucket="archive-frankfurt"))
        clock.jump(2)
        codes.append(await caller.export_code(image(rehearsal)))
    assert codes == ["", "", "ConcurrentQuotaExceed.ExportImage", "", ""]
    assert rehearsal.state(["running"])["running"] == [
        {"action": "ExportImage", "scope": REGION, "most": 2},
        {"action": "ExportImage", "scope": FORMATTING, "most": 1},
    ]


@pytest.mark.parametrize(
    ("begins", "days", "codes"),
    [
        ("rolling", (0, 6, 7, 13), ["", "", "WeeklyQuotaExceed.ExportImage", "", ""]),
        ("monday", (0, 3, 4, 5), ["", "", "WeeklyQuotaExceed.ExportImage", "", ""]),
    ],
)
async def test_only_so_many_exports_start_in_a_week(begins: str, days: tuple[int, ...], codes: list[str]) -> None:
    clock = FakeClock()  # a Thursday
    rehearsal = aliyun(clock, exports_a_week=2, week_begins=begins)
    told, today = [], 0
    async with calling(rehearsal, clock) as caller:
        told.append(await caller.export_code(image(rehearsal)))
        for day in days:
            clock.jump((day - today) * DAY)
            today = day
            told.append(await caller.export_code(image(rehearsal)))
    assert told == codes


@pytest.mark.parametrize(
    ("options", "params", "keys"),
    [
        ({}, {"OSSPrefix": "p1"}, ["p1_m-a_system.raw.tar.gz", "p1_m-a_data_xvdb.raw.tar.gz"]),
        ({}, {}, ["m-a_system.raw.tar.gz", "m-a_data_xvdb.raw.tar.gz"]),
        (
            {"format_elsewhere": "raw"},
            {"ImageFormat": "vhd"},
            ["m-a_system.raw.tar.gz", "m-a_data_xvdb.raw.tar.gz"],
        ),
        (
            {"format_regions": [REGION]},
            {"ImageFormat": "qcow2", "OSSPrefix": "p1"},
            ["p1_m-a_system.qcow2", "p1_m-a_data_xvdb.qcow2"],
        ),
    ],
)
async def test_objects_are_named_by_prefix_image_disk_and_format(
    options: dict[str, Any], params: dict[str, Any], keys: list[str]
) -> None:
    clock = FakeClock()
    rehearsal = aliyun(clock, **options)
    image(rehearsal, image_id="m-a", size_gib=3, data_disks_gib=(6,))
    async with calling(rehearsal, clock) as caller:
        task_id = await caller.export("m-a", **params)
        clock.jump(2)
        told = objects_of(await caller.task(task_id))
        sizes = [(await caller.head(key)).headers["content-length"] for key in keys]
    assert (told, sizes) == (keys, [str(1 << 30), str(2 << 30)])


async def test_an_object_may_be_named_by_its_task_and_not_be_packed() -> None:
    clock = FakeClock()
    rehearsal = aliyun(clock, key_form="{prefix}_{image}_{task}", packed_raw=False)
    async with calling(rehearsal, clock) as caller:
        task_id = await caller.export(image(rehearsal, image_id="m-a"), OSSPrefix="p1")
    assert rehearsal.tasks[0].objects == (f"p1_m-a_{task_id}.raw",)


@pytest.mark.parametrize(
    ("fault", "seen"),
    [
        ({"fault": "object_missing"}, [(200, "1073741824"), (404, None)]),
        ({"fault": "object_empty"}, [(200, "0"), (200, "0")]),
        ({"fault": "object_late", "after": 5}, [(404, None), (404, None)]),
        ({"fault": "object_grows", "after": 5}, [(200, "536870912"), (200, "536870912")]),
        ({"fault": "task_fails"}, [(404, None), (404, None)]),
    ],
)
async def test_objects_misbehave_on_request(fault: dict[str, Any], seen: list[Any]) -> None:
    clock = FakeClock()
    rehearsal = aliyun(clock)
    image(rehearsal, image_id="m-a", size_gib=3, data_disks_gib=(3,))
    rehearsal.misbehave(Misbehaviour(**fault))
    async with calling(rehearsal, clock) as caller:
        await caller.export("m-a")
        clock.jump(2)
        answers = [await caller.head(key) for key in rehearsal.tasks[0].objects]
    there = [(each.status_code, each.headers["content-length"] if each.is_success else None) for each in answers]
    assert there == seen


async def test_objects_appear_and_grow_as_the_options_say() -> None:
    clock = FakeClock()
    rehearsal = aliyun(clock, object_late_seconds=1, object_grows_seconds=2, bare_key_form="all/{image}-{disk}")
    image(rehearsal, image_id="m-a", size_gib=6)
    seen = []
    async with calling(rehearsal, clock) as caller:
        await caller.export("m-a")
        for wait in (2, 1, 2):
            clock.jump(wait)
            answer = await caller.head("all/m-a-system.raw.tar.gz")
            seen.append(answer.headers["content-length"] if answer.is_success else answer.status_code)
    assert seen == [404, str(1 << 30), str(2 << 30)]


async def test_tasks_take_more_or_less_than_their_usual_time() -> None:
    clock = FakeClock()
    rehearsal = aliyun(clock, export_seconds=10, duration_spread=0.2, exports_running=None)
    async with calling(rehearsal, clock) as caller:
        for _ in range(30):
            await caller.export(image(rehearsal))
    took = {(each.ends_at - each.accepted_at) / 1_000_000 for each in rehearsal.tasks}
    assert len(took) == 30
    assert all(8 <= each <= 12 for each in took)
