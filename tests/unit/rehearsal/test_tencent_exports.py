from typing import Any

import pytest

from imageferry.rehearsal.misbehaviour import Misbehaviour
from support.clocks import FakeClock
from support.rehearsals import BUCKET, OTHER_REGION, REGION, calling, image, tencent


async def refused(facts: dict[str, Any] | None = None, options: dict[str, Any] | None = None, **params: Any) -> str:
    """The code with which an export of one image is refused; empty when it is taken."""
    clock = FakeClock()
    rehearsal = tencent(clock, **(options or {}))
    image_id = image(rehearsal, **(facts or {}))
    async with calling(rehearsal, clock) as caller:
        return await caller.code("ExportImages", {"ImageIds": [image_id], "BucketName": BUCKET, **params})


async def test_an_accepted_export_names_its_task_and_a_path_for_every_disk() -> None:
    clock = FakeClock()
    rehearsal = tencent(clock)
    image_id = image(rehearsal, data_disks_gib=(50,))
    async with calling(rehearsal, clock) as caller:
        (described,) = await caller.images()
        answer = await caller.export(image_id, FileNamePrefixList=["p-1"], ExportFormat="QCOW2")
    system, data = (each["SnapshotId"] for each in described["SnapshotSet"])
    assert answer["CosPaths"] == [
        f"/p-1_{image_id}_system_{system}.qcow2",
        f"/p-1_{image_id}_data_{data}.qcow2",
    ]
    assert (isinstance(answer["TaskId"], int), answer["RequestId"]) == (True, rehearsal.tasks[0].request_id)


async def test_without_prefix_and_format_a_path_begins_with_the_image_and_ends_in_raw() -> None:
    clock = FakeClock()
    rehearsal = tencent(clock)
    image_id = image(rehearsal)
    async with calling(rehearsal, clock) as caller:
        (path,) = (await caller.export(image_id))["CosPaths"]
    assert (path.startswith(f"/{image_id}_system_snap-"), path.endswith(".raw")) == (True, True)


async def test_only_the_root_disk_is_exported_when_asked_so() -> None:
    clock = FakeClock()
    rehearsal = tencent(clock)
    image_id = image(rehearsal, data_disks_gib=(50, 60))
    async with calling(rehearsal, clock) as caller:
        assert len((await caller.export(image_id, OnlyExportRootDisk=True))["CosPaths"]) == 1


async def test_the_objects_appear_when_the_task_ends() -> None:
    clock = FakeClock()
    rehearsal = tencent(clock, export_seconds=60)
    image_id = image(rehearsal, size_gib=2)
    async with calling(rehearsal, clock) as caller:
        key = (await caller.export(image_id))["CosPaths"][0].lstrip("/")
        clock.jump(59)
        before = await caller.head(key)
        clock.jump(1)
        after = await caller.head(key)
    assert (before.status_code, after.status_code) == (404, 200)
    assert after.headers["content-length"] == str(2 << 30)
    assert after.headers["last-modified"] == "Thu, 01 Jan 2026 00:01:00 GMT"


async def test_a_busy_image_is_refused_until_its_export_has_ended() -> None:
    clock = FakeClock()
    rehearsal = tencent(clock, export_seconds=60)
    image_id = image(rehearsal)
    async with calling(rehearsal, clock) as caller:
        await caller.export(image_id)
        busy = [await caller.export_code(image_id, DryRun=dry) for dry in (True, False)]
        clock.jump(60)
        free = await caller.export_code(image_id, DryRun=True)
    assert (busy, free) == (["InvalidParameterValue.InvalidImageState"] * 2, "")


async def test_no_more_exports_run_in_a_region_than_may() -> None:
    clock = FakeClock()
    rehearsal = tencent(clock, exports_running=2, export_seconds=60)
    ids = [image(rehearsal) for _ in range(3)]
    async with calling(rehearsal, clock) as caller:
        codes = [await caller.export_code(each) for each in ids]
        clock.jump(60)
        later = await caller.export_code(ids[2])
    assert (codes, later) == (["", "", "LimitExceeded.ExportImageTaskLimitExceeded"], "")
    assert rehearsal.state(["running"])["running"] == [{"action": "ExportImages", "scope": REGION, "most": 2}]


@pytest.mark.parametrize(
    ("scope", "second"), [("region", ""), ("account", "LimitExceeded.ExportImageTaskLimitExceeded")]
)
async def test_running_exports_are_counted_over_the_scope_of_the_options(scope: str, second: str) -> None:
    clock = FakeClock()
    buckets = {BUCKET: REGION, "other-1250000000": OTHER_REGION}
    rehearsal = tencent(clock, exports_running=1, running_scope=scope, buckets=buckets)
    here, there = image(rehearsal), image(rehearsal, region=OTHER_REGION)
    async with calling(rehearsal, clock) as caller:
        await caller.export(here)
        asked = {"ImageIds": [there], "BucketName": "other-1250000000"}
        assert await caller.code("ExportImages", asked, region=OTHER_REGION) == second


@pytest.mark.parametrize(
    ("params", "code"),
    [
        ({"BucketName": None}, "MissingParameter"),
        ({"Colour": "red"}, "UnknownParameter"),
        ({"DryRun": "yes"}, "InvalidParameter"),
        ({"ImageIds": "img-00000001"}, "InvalidParameter"),
        ({"ImageIds": None}, "InvalidParameter.ImageIdsSnapshotIdsMustOne"),
        ({"SnapshotIds": ["snap-00000001"]}, "InvalidParameter.ImageIdsSnapshotIdsMustOne"),
        ({"ImageIds": None, "SnapshotIds": ["snap-00000001"]}, "UnsupportedOperation"),
        ({"ImageIds": ["img-00000001", "img-00000001"]}, "InvalidParameterValue"),
        ({"ImageIds": ["ami-00000001"]}, "InvalidImageId.Malformed"),
        ({"ImageIds": ["img-00000001"]}, "InvalidImageId.NotFound"),
        (
            {"ImageIds": [f"img-0000000{n}" for n in range(10)] + ["img-0000000a"]},
            "InvalidParameterValue.LimitExceeded",
        ),
        ({"ExportFormat": "ISO"}, "InvalidParameterValue"),
        ({"FileNamePrefixList": ["a", "b"]}, "InvalidParameterValue.InvalidFileNamePrefixList"),
        ({"FileNamePrefixList": []}, "InvalidParameterValue.InvalidFileNamePrefixList"),
        ({"FileNamePrefixList": ["a/b"]}, "InvalidParameterValue.InvalidFileNamePrefixList"),
        ({"FileNamePrefixList": ["a" * 65]}, "InvalidParameterValue.InvalidFileNamePrefixList"),
        ({"FileNamePrefixList": ["a" * 64]}, ""),
        ({"BucketName": "short"}, "InvalidParameterValue.InvalidAppIdFormat"),
        ({"BucketName": "missing-1250000000"}, "InvalidParameterValue.BucketNotFound"),
        ({"RoleName": "Nobody"}, "AuthFailure.CamRoleNameAuthenticateFailed"),
        ({"RoleName": "CVM_QcsRole"}, ""),
    ],
)
async def test_parameters_are_held_to_their_rules(params: dict[str, Any], code: str) -> None:
    assert await refused(**params) == code


@pytest.mark.parametrize(
    ("facts", "code"),
    [
        ({"image_type": "PUBLIC_IMAGE"}, "UnsupportedOperation.PublicImageExportUnsupported"),
        ({"image_type": "MARKET_IMAGE"}, "UnsupportedOperation.PublicImageExportUnsupported"),
        ({"image_type": "SHARED_IMAGE"}, "UnsupportedOperation.SharedImageExportUnsupported"),
        ({"market_derived": True}, "UnsupportedOperation.MarketImageExportUnsupported"),
        ({"encrypted": True}, "UnsupportedOperation.EncryptedImagesNotSupported"),
        ({"platform": "Windows"}, "UnsupportedOperation.WindowsImageExportUnsupported"),
        ({"os_name": "Windows Server 2022"}, "UnsupportedOperation.WindowsImageExportUnsupported"),
        ({"platform": "RedHat"}, "UnsupportedOperation.RedHatImageExportUnsupported"),
        ({"size_gib": 501}, "UnsupportedOperation.ImageTooLargeExportUnsupported"),
        ({"data_disks_gib": (1,) * 6}, "UnsupportedOperation.ImageTooLargeExportUnsupported"),
        ({"without_snapshots": True}, "InvalidParameter.SnapshotNotFound"),
        ({"ready_seconds": 5}, "InvalidParameterValue.InvalidImageState"),
        ({"fails": True}, "InvalidParameterValue.InvalidImageState"),
        ({"size_gib": 500, "data_disks_gib": (1,) * 5}, ""),
    ],
)
async def test_images_that_cannot_be_exported_are_refused_by_their_code(facts: dict[str, Any], code: str) -> None:
    assert await refused(facts) == code


@pytest.mark.parametrize(
    ("alone", "code"), [(True, ""), (False, "UnsupportedOperation.ImageTooLargeExportUnsupported")]
)
async def test_data_disks_count_beside_a_root_disk_alone_as_the_switch_says(alone: bool, code: str) -> None:  # noqa: FBT001 - a switch
    facts, options = {"data_disks_gib": (501,)}, {"root_disk_alone_counts": alone}
    assert await refused(facts, options, OnlyExportRootDisk=True) == code


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"buckets": {BUCKET: OTHER_REGION}}, "InvalidParameterValue.BucketNotFound"),
        ({"buckets": {BUCKET: OTHER_REGION}, "bucket_elsewhere_code": "Another.Code"}, "Another.Code"),
        ({"unwritable_buckets": [BUCKET]}, "InvalidParameterValue.InvalidBucketPermissionForExport"),
        ({"exports_running": 0}, "LimitExceeded.ExportImageTaskLimitExceeded"),
        ({"exports_running": None}, ""),
        ({"prefix_pattern": "[a-z]+"}, ""),
    ],
)
async def test_the_options_decide_about_buckets_and_limits(options: dict[str, Any], code: str) -> None:
    assert await refused(options=options) == code


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({}, ""),
        ({"dry_run_shape": "error"}, "DryRunOperation"),
        ({"exports_running": 0}, ""),
        ({"exports_running": 0, "dry_run_sees_limit": True}, "LimitExceeded.ExportImageTaskLimitExceeded"),
        ({"buckets": {}}, "InvalidParameterValue.BucketNotFound"),
        ({"buckets": {}, "dry_run_sees_bucket": False}, ""),
        ({"roles": []}, "AuthFailure.CamRoleNameAuthenticateFailed"),
        ({"roles": [], "dry_run_sees_role": False}, ""),
    ],
)
async def test_a_dry_run_sees_and_says_what_the_switches_say(options: dict[str, Any], code: str) -> None:
    assert await refused(options=options, DryRun=True) == code


async def test_a_dry_run_that_does_not_see_a_busy_image_passes() -> None:
    clock = FakeClock()
    rehearsal = tencent(clock, dry_run_sees_busy=False)
    image_id = image(rehearsal)
    async with calling(rehearsal, clock) as caller:
        await caller.export(image_id)
        assert await caller.export_code(image_id, DryRun=True) == ""


async def test_a_dry_run_starts_nothing_and_names_no_task() -> None:
    clock = FakeClock()
    rehearsal = tencent(clock)
    image_id = image(rehearsal)
    async with calling(rehearsal, clock) as caller:
        answer = await caller.export(image_id, DryRun=True)
    assert (answer.keys(), rehearsal.tasks, dict(rehearsal.requests.accepted)) == ({"RequestId"}, [], {})


@pytest.mark.parametrize(
    ("option", "key"),
    [({}, "{image}_system_{snap}.vhd"), ({"upper_case_extension": True}, "{image}_system_{snap}.VHD")],
)
async def test_the_extension_is_written_as_the_switch_says(option: dict[str, Any], key: str) -> None:
    clock = FakeClock()
    rehearsal = tencent(clock, **option)
    image_id = image(rehearsal)
    async with calling(rehearsal, clock) as caller:
        snap = (await caller.images())[0]["SnapshotSet"][0]["SnapshotId"]
        answer = await caller.export(image_id, ExportFormat="VHD")
    assert answer["CosPaths"] == ["/" + key.format(image=image_id, snap=snap)]


async def test_a_key_keeps_the_slash_of_its_path_when_the_switch_says_so() -> None:
    clock = FakeClock()
    rehearsal = tencent(clock, keys_keep_slash=True)
    async with calling(rehearsal, clock) as caller:
        (path,) = (await caller.export(image(rehearsal)))["CosPaths"]
        clock.jump(5)
        statuses = [(await caller.head(key)).status_code for key in (path, path.lstrip("/"))]
    assert statuses == [200, 404]


async def exported(fault: Misbehaviour | None = None, **options: Any) -> list[list[int]]:
    """An export of two disks that takes 2 s: the length of each object (-1: absent) after 2, 3, 4 and 10 s."""
    clock = FakeClock()
    rehearsal = tencent(clock, **options)
    image_id = image(rehearsal, size_gib=1, data_disks_gib=(1,))
    if fault:
        rehearsal.misbehave(fault)
    seen = []
    async with calling(rehearsal, clock) as caller:
        keys = [path.lstrip("/") for path in (await caller.export(image_id))["CosPaths"]]
        for step in (2, 1, 1, 6):
            clock.jump(step)
            answers = [await caller.head(key) for key in keys]
            seen.append([int(a.headers["content-length"]) if a.status_code == 200 else -1 for a in answers])
    return seen


GIB, HALF = 1 << 30, 1 << 29


async def test_objects_are_whole_at_the_end_of_the_task() -> None:
    assert await exported() == [[GIB, GIB]] * 4


async def test_a_failed_export_leaves_nothing() -> None:
    assert await exported(Misbehaviour(fault="task_fails", action="ExportImages")) == [[-1, -1]] * 4


async def test_a_missing_object_is_the_last_one() -> None:
    assert await exported(Misbehaviour(fault="object_missing")) == [[GIB, -1]] * 4


async def test_late_objects_appear_after_the_task_has_ended() -> None:
    late = [[-1, -1], [GIB, GIB], [GIB, GIB], [GIB, GIB]]
    assert await exported(Misbehaviour(fault="object_late", after=1)) == late
    assert await exported(object_late_seconds=1) == late


async def test_growing_objects_are_first_seen_at_half_their_length() -> None:
    growing = [[HALF, HALF], [HALF, HALF], [GIB, GIB], [GIB, GIB]]
    assert await exported(Misbehaviour(fault="object_grows", after=2)) == growing
    assert await exported(object_grows_seconds=2) == growing


async def test_empty_objects_have_no_length() -> None:
    assert await exported(Misbehaviour(fault="object_empty")) == [[0, 0]] * 4


async def test_durations_spread_by_chance_within_their_bounds() -> None:
    clock = FakeClock()
    rehearsal = tencent(
        clock, export_seconds=10, duration_spread=0.2, exports_running=None, rates={"ExportImages": None}
    )
    async with calling(rehearsal, clock) as caller:
        for _ in range(50):
            await caller.export(image(rehearsal))
    took = [(task.ends_at - task.accepted_at) / 1_000_000 for task in rehearsal.tasks]
    assert (min(took) >= 8, max(took) <= 12, max(took) - min(took) > 2) == (True, True, True)


async def test_a_repeated_export_overwrites_the_same_key() -> None:
    clock = FakeClock()
    rehearsal = tencent(clock)
    image_id = image(rehearsal)
    modified = []
    async with calling(rehearsal, clock) as caller:
        for _ in range(2):
            key = (await caller.export(image_id, FileNamePrefixList=["p"]))["CosPaths"][0].lstrip("/")
            clock.jump(2)
            modified.append((await caller.head(key)).headers["last-modified"])
    assert modified == ["Thu, 01 Jan 2026 00:00:02 GMT", "Thu, 01 Jan 2026 00:00:04 GMT"]
    assert dict(rehearsal.requests.accepted) == {("ExportImages", image_id, BUCKET): 2}


async def test_each_export_that_is_accepted_is_counted_once() -> None:
    clock = FakeClock()
    rehearsal = tencent(clock)
    first, second = image(rehearsal), image(rehearsal)
    async with calling(rehearsal, clock) as caller:
        for image_id in (first, first, second):
            await caller.export(image_id)
    assert dict(rehearsal.requests.accepted) == {("ExportImages", i, BUCKET): 1 for i in (first, second)}
