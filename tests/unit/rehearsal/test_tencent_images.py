from typing import Any

import pytest

from support.clocks import FakeClock
from support.rehearsals import OTHER_REGION, calling, image, tencent


async def code(params: dict[str, Any], **options: Any) -> str:
    clock = FakeClock()
    async with calling(tencent(clock, **options), clock) as caller:
        return await caller.code("DescribeImages", params)


async def test_an_image_has_every_field_of_the_vendors_model() -> None:
    clock = FakeClock()
    rehearsal = tencent(clock)
    image_id = image(rehearsal, name="web", size_gib=30, data_disks_gib=(70,), tags={"env": "prod"})
    async with calling(rehearsal, clock) as caller:
        (shown,) = await caller.images()
    disks = shown.pop("SnapshotSet")
    assert shown == {
        "ImageId": image_id,
        "OsName": "Ubuntu Server 22.04 LTS 64bit",
        "ImageType": "PRIVATE_IMAGE",
        "CreatedTime": "2026-01-01T00:00:00Z",
        "ImageName": "web",
        "ImageDescription": "",
        "ImageSize": 30,
        "Architecture": "x86_64",
        "ImageState": "NORMAL",
        "Platform": "Ubuntu",
        "ImageCreator": "100000000001",
        "ImageSource": "CREATE_IMAGE",
        "SyncPercent": 20,
        "IsSupportCloudinit": True,
        "Tags": [{"Key": "env", "Value": "prod"}],
        "LicenseType": "TencentCloud",
        "ImageFamily": None,
        "ImageDeprecated": False,
        "CdcCacheStatus": None,
    }
    assert [(each["DiskUsage"], each["DiskSize"]) for each in disks] == [("SYSTEM_DISK", 30), ("DATA_DISK", 70)]


async def test_a_new_image_is_creating_until_its_time_has_come() -> None:
    clock = FakeClock()
    rehearsal = tencent(clock, image_ready_seconds=10)
    good, bad, own_time = image(rehearsal), image(rehearsal, fails=True), image(rehearsal, ready_seconds=0)
    async with calling(rehearsal, clock) as caller:
        before = [await caller.state(each) for each in (good, bad, own_time)]
        clock.jump(10)
        after = [await caller.state(each) for each in (good, bad, own_time)]
    assert before == ["CREATING", "CREATING", "NORMAL"]
    assert after == ["NORMAL", "CREATEFAILED", "NORMAL"]


@pytest.mark.parametrize(
    ("options", "while_exporting", "while_copying"),
    [
        ({}, "NORMAL", "SYNCING"),
        ({"state_while_exporting": "USING", "state_while_copying": "NORMAL"}, "USING", "NORMAL"),
    ],
)
async def test_a_source_image_shows_the_state_of_the_switches(
    options: dict[str, Any], while_exporting: str, while_copying: str
) -> None:
    clock = FakeClock()
    rehearsal = tencent(clock, **options)
    exported, copied = image(rehearsal), image(rehearsal)
    async with calling(rehearsal, clock) as caller:
        await caller.export(exported)
        await caller.copy(copied)
        meanwhile = (await caller.state(exported), await caller.state(copied))
        clock.jump(3)
        afterwards = (await caller.state(exported), await caller.state(copied))
    assert (meanwhile, afterwards) == ((while_exporting, while_copying), ("NORMAL", "NORMAL"))


@pytest.mark.parametrize(
    ("filters", "names"),
    [
        ([], ["web-1", "web-2", "db"]),
        ([("image-name", ["web"])], ["web-1", "web-2"]),
        ([("image-name", ["WEB-1", "db"])], ["web-1", "db"]),
        ([("image-type", ["SHARED_IMAGE"])], ["db"]),
        ([("image-type", ["PRIVATE_IMAGE"]), ("platform", ["deb"])], ["web-2"]),
        ([("tag-key", ["env"])], ["web-1"]),
        ([("tag-value", ["prod"])], ["web-1"]),
        ([("tag:env", ["prod", "test"])], ["web-1"]),
        ([("tag:env", ["test"])], []),
        ([("cdc-cache-status", ["CACHED_ALL"])], []),
        ([("image-id", ["img-0000000a", "img-0000000c"])], ["web-1", "db"]),
    ],
)
async def test_filters_are_all_needed_and_each_takes_any_of_its_values(filters: Any, names: list[str]) -> None:
    clock = FakeClock()
    rehearsal = tencent(clock)
    image(rehearsal, image_id="img-0000000a", name="web-1", tags={"env": "prod"})
    image(rehearsal, image_id="img-0000000b", name="web-2", platform="Debian")
    image(rehearsal, image_id="img-0000000c", name="db", image_type="SHARED_IMAGE")
    image(rehearsal, region=OTHER_REGION, name="web-elsewhere")
    async with calling(rehearsal, clock) as caller:
        shown = await caller.images(Filters=[{"Name": name, "Values": values} for name, values in filters])
    assert [each["ImageName"] for each in shown] == names


async def test_pages_together_hold_every_image_once() -> None:
    clock = FakeClock()
    rehearsal = tencent(clock)
    made = [image(rehearsal) for _ in range(45)]
    async with calling(rehearsal, clock) as caller:
        pages = [await caller.ask("DescribeImages", {"Offset": offset}) for offset in (0, 20, 40, 60)]
    assert [each["ImageId"] for page in pages for each in page["ImageSet"]] == made
    assert [(page["TotalCount"], len(page["ImageSet"])) for page in pages] == [(45, 20), (45, 20), (45, 5), (45, 0)]


@pytest.mark.parametrize(("cuts", "shown"), [(True, 20), (False, 30)])
async def test_the_usual_limit_cuts_an_answer_to_ids_as_the_switch_says(cuts: bool, shown: int) -> None:  # noqa: FBT001 - a switch
    clock = FakeClock()
    rehearsal = tencent(clock, limit_cuts_ids=cuts)
    ids = [image(rehearsal) for _ in range(30)]
    async with calling(rehearsal, clock) as caller:
        assert len(await caller.images(ImageIds=ids)) == shown
        assert len(await caller.images(ImageIds=ids, Limit=100)) == 30


async def test_unknown_ids_are_left_out() -> None:
    clock = FakeClock()
    rehearsal = tencent(clock)
    known = image(rehearsal)
    async with calling(rehearsal, clock) as caller:
        shown = await caller.images(ImageIds=["img-00000000", known])
    assert [each["ImageId"] for each in shown] == [known]


@pytest.mark.parametrize(("named", "told"), [(True, True), (False, False)])
async def test_unknown_ids_are_an_error_that_names_the_first_when_the_switches_say_so(named: bool, told: bool) -> None:  # noqa: FBT001 - a switch
    clock = FakeClock()
    rehearsal = tencent(clock, unknown_ids="error", names_culprit=named)
    asked = {"ImageIds": [image(rehearsal), "img-00000000", "img-00000001"]}
    async with calling(rehearsal, clock) as caller:
        error = (await caller.ask("DescribeImages", asked))["Error"]
    assert error["Code"] == "InvalidImageId.NotFound"
    assert ("img-00000000" in error["Message"], "img-00000001" in error["Message"]) == (told, False)


@pytest.mark.parametrize(
    ("params", "says"),
    [
        ({"ImageIds": ["IMG-1"]}, "InvalidImageId.Malformed"),
        ({"ImageIds": [f"img-{n:08}" for n in range(100)]}, ""),
        ({"ImageIds": [f"img-{n:08}" for n in range(101)]}, "InvalidParameterValue.LimitExceeded"),
        (
            {"ImageIds": ["img-00000001"], "Filters": [{"Name": "platform", "Values": ["a"]}]},
            "InvalidParameter.InvalidParameterCoexistImageIdsFilters",
        ),
        ({"Filters": [{"Name": "state", "Values": ["NORMAL"]}]}, "InvalidFilter"),
        ({"Filters": [{"Name": "platform", "Values": list("abcdef")}]}, "InvalidFilterValue.LimitExceeded"),
        ({"Filters": [{"Name": "platform", "Values": ["a"]}] * 11}, "InvalidParameterValue.LimitExceeded"),
        ({"Filters": [{"Name": "platform"}]}, "InvalidParameter"),
        ({"Filters": [{"Name": "platform", "Values": "a"}]}, "InvalidParameter"),
        ({"Filters": ["platform"]}, "InvalidParameter"),
        ({"Limit": 101}, "InvalidParameterValue.InvalidParameterValueLimit"),
        ({"Limit": 0}, "InvalidParameterValue.InvalidParameterValueLimit"),
        ({"Limit": True}, "InvalidParameter"),
        ({"Offset": -1}, "InvalidParameterValue.InvalidParameterValueLimit"),
        ({"InstanceType": "S5.MEDIUM2"}, ""),
        ({"InstanceType": "small"}, "InvalidInstanceType.Malformed"),
    ],
)
async def test_parameters_are_held_to_their_rules(params: dict[str, Any], says: str) -> None:
    assert await code(params) == says


@pytest.mark.parametrize(
    ("options", "created", "tags", "snapshots", "percent"),
    [
        ({}, "2026-01-01T00:00:00Z", None, None, 20),
        (
            {"zulu_times": False, "null_for_empty": False, "stale_sync_percent": False},
            "2026-01-01T00:00:00+00:00",
            [],
            [],
            None,
        ),
    ],
)
async def test_what_is_written_differently_follows_the_switches(
    options: dict[str, Any], created: str, tags: Any, snapshots: Any, percent: int | None
) -> None:
    clock = FakeClock()
    rehearsal = tencent(clock, **options)
    image(rehearsal, without_snapshots=True)
    async with calling(rehearsal, clock) as caller:
        (shown,) = await caller.images()
    told = (shown["CreatedTime"], shown["Tags"], shown["SnapshotSet"], shown["SyncPercent"])
    assert told == (created, tags, snapshots, percent)


async def test_the_quota_is_told() -> None:
    clock = FakeClock()
    async with calling(tencent(clock, image_quota=42), clock) as caller:
        assert (await caller.ask("DescribeImageQuota", {}))["ImageNumQuota"] == 42


async def test_snapshots_tell_whether_they_are_encrypted() -> None:
    clock = FakeClock()
    rehearsal = tencent(clock)
    image(rehearsal, encrypted=True)
    image(rehearsal)
    async with calling(rehearsal, clock) as caller:
        ids = [each["SnapshotSet"][0]["SnapshotId"] for each in await caller.images()]
        answers = [await caller.ask("DescribeSnapshots", {"SnapshotIds": [each]}, service="cbs") for each in ids]
    told = [[(each["SnapshotId"], each["Encrypt"]) for each in answer["SnapshotSet"]] for answer in answers]
    assert told == [[(ids[0], True)], [(ids[1], False)]]
