from typing import Any

import pytest

from support.aliyun_rehearsals import OTHER_REGION, REGION, Caller, aliyun, calling, image
from support.clocks import START, FakeClock

HERE = {"RegionId": REGION}


async def test_an_image_has_the_vendors_fields() -> None:
    clock = FakeClock()
    rehearsal = aliyun(clock)
    image(
        rehearsal,
        image_id="m-a",
        name="web",
        size_gib=40,
        data_disks_gib=(100,),
        architecture="aarch64",
        tags={"env": "prod"},
        encrypted=True,
        extra={"family": "web-family", "description": "front", "self_shared": True},
    )
    async with calling(rehearsal, clock) as caller:
        (shown,) = await caller.images()
    disks = shown["DiskDeviceMappings"]["DiskDeviceMapping"]
    assert (shown["ImageId"], shown["ImageName"], shown["ImageOwnerAlias"]) == ("m-a", "web", "self")
    assert (shown["Size"], shown["Architecture"], shown["OSType"]) == (40, "arm64", "linux")
    assert [(each["Device"], each["Type"], each["Size"], each["Encrypted"]) for each in disks] == [
        ("/dev/xvda", "system", "40", True),
        ("/dev/xvdb", "data", "100", True),
    ]
    assert shown["Tags"]["Tag"] == [{"TagKey": "env", "TagValue": "prod"}]
    assert (shown["Status"], shown["Progress"], shown["CreationTime"]) == ("Available", "100%", "2026-01-01T00:00:00Z")
    assert (shown["ImageFamily"], shown["Description"], shown["IsSelfShared"]) == ("web-family", "front", "True")
    assert "ImageOwnerId" not in shown


@pytest.mark.parametrize(
    ("options", "name", "value"),
    [
        ({"short_times": True}, "CreationTime", "2026-01-01T00:00Z"),
        ({"shows_own_account": True}, "ImageOwnerId", 1_000_000_000_000_001),
    ],
)
async def test_an_image_is_written_as_the_switches_say(options: dict[str, Any], name: str, value: object) -> None:
    clock = FakeClock()
    rehearsal = aliyun(clock, **options)
    image(rehearsal)
    async with calling(rehearsal, clock) as caller:
        (shown,) = await caller.images()
    assert shown[name] == value


async def test_disks_may_not_say_whether_they_are_encrypted() -> None:
    clock = FakeClock()
    rehearsal = aliyun(clock, shows_encrypted=False)
    image(rehearsal, encrypted=True)
    async with calling(rehearsal, clock) as caller:
        (shown,) = await caller.images()
    assert "Encrypted" not in shown["DiskDeviceMappings"]["DiskDeviceMapping"][0]


@pytest.mark.parametrize(
    ("facts", "after", "status"),
    [
        ({}, 0, "Available"),
        ({"ready_seconds": 5}, 4, "Creating"),
        ({"ready_seconds": 5}, 5, "Available"),
        ({"ready_seconds": 5, "fails": True}, 4, "Creating"),
        ({"ready_seconds": 5, "fails": True}, 5, "CreateFailed"),
        ({"extra": {"deprecated": True}}, 0, "Deprecated"),
    ],
)
async def test_the_status_follows_the_time(facts: dict[str, Any], after: int, status: str) -> None:
    clock = FakeClock()
    rehearsal = aliyun(clock)
    image_id = image(rehearsal, **facts)
    clock.jump(after)
    async with calling(rehearsal, clock) as caller:
        assert await caller.status(image_id) == status


async def test_an_image_that_is_not_whole_may_be_waiting() -> None:
    clock = FakeClock()
    rehearsal = aliyun(clock, pending_word="Waiting")
    async with calling(rehearsal, clock) as caller:
        assert await caller.status(image(rehearsal, ready_seconds=5)) == "Waiting"


async def found(caller: Caller, **params: Any) -> list[str]:
    """The ids that a list has, sorted."""
    told = await caller.ask("DescribeImages", {**HERE, "PageSize": "100", **params})
    return sorted(each["ImageId"][2:] for each in told["Images"]["Image"])


async def test_images_are_found_by_every_filter() -> None:
    clock = FakeClock()
    rehearsal = aliyun(clock)
    image(rehearsal, image_id="m-a", name="web-1", tags={"env": "prod", "team": "x"}, created_at=START - 3_600_000_000)
    image(rehearsal, image_id="m-b", name="db-1", tags={"env": "test"}, extra={"family": "db"})
    image(rehearsal, image_id="m-c", ready_seconds=5, platform="Windows")
    image(rehearsal, image_id="m-d", extra={"deprecated": True}, architecture="aarch64")
    image(rehearsal, image_id="m-e", image_type="PUBLIC_IMAGE")
    image(rehearsal, image_id="m-f", image_type="SHARED_IMAGE", extra={"owner_id": "77"})
    image(rehearsal, image_id="m-g", image_type="SHARED_IMAGE", extra={"community": True})
    image(rehearsal, image_id="m-h", image_type="MARKET_IMAGE")
    image(rehearsal, image_id="m-z", region=OTHER_REGION)
    own = {"ImageOwnerAlias": "self"}
    async with calling(rehearsal, clock) as caller:
        assert await found(caller) == list("abef")
        assert await found(caller, **own) == list("ab")
        assert await found(caller, **own, Status="Available,Creating,Deprecated") == list("abcd")
        assert await found(caller, Status="ALL") == list("abcdef")
        assert await found(caller, ImageOwnerAlias="system") == ["e"]
        assert await found(caller, ImageOwnerAlias="marketplace") == ["h"]
        assert await found(caller, ImageOwnerAlias="others") == ["f"]
        assert await found(caller, ImageOwnerAlias="others", IsPublic="true") == ["g"]
        assert await found(caller, ImageOwnerId="77") == ["f"]
        assert await found(caller, ImageName="-1") == list("ab")
        assert await found(caller, ImageFamily="db") == ["b"]
        assert await found(caller, Status="ALL", OSType="windows") == ["c"]
        assert await found(caller, Status="ALL", Architecture="arm64") == ["d"]
        assert await found(caller, Tag=[{"Key": "env"}]) == list("ab")
        assert await found(caller, Tag=[{"Key": "env", "Value": "prod"}, {"Key": "team", "Value": "x"}]) == ["a"]
        assert await found(caller, Usage="instance") == []
        started = {"Key": "CreationStartTime", "Value": "2025-12-31T23:30Z"}
        assert await found(caller, **own, Filter=[started]) == ["b"]
        assert await found(caller, **own, Filter=[{**started, "Key": "CreationEndTime"}]) == ["a"]
        assert await found(caller, ImageId="m-a,m-b,m-z,m-none") == list("ab")
        assert await found(caller, RegionId=OTHER_REGION) == ["z"]


@pytest.mark.parametrize(
    ("params", "code"),
    [
        ({"RegionId": None}, "MissingParameter"),
        ({"RegionId": "mars-1"}, "InvalidRegionId.NotFound"),
        ({"ImageOwnerAlias": "me"}, "InvalidImageOwnerAlias.ValueNotSupported"),
        ({"Status": "Sleeping"}, "InvalidParamter"),
        ({"Status": "ALL,Available"}, "InvalidParamter"),
        ({"IsPublic": "true"}, "InvalidParamter"),
        ({"OSType": "beos"}, "InvalidOSType"),
        ({"Architecture": "z80"}, "InvalidArchitecture"),
        ({"Usage": "much"}, "InvalidUsage"),
        ({"Tag": [{"Value": "x"}]}, "InvalidTag.Mismatch"),
        ({"Tag": [{"Key": f"k{number}"} for number in range(21)]}, "InvalidTagCount"),
        ({"Filter": [{"Key": "Colour", "Value": "red"}]}, "InvalidFilterKey.NotFound"),
        ({"Filter": [{"Key": "CreationStartTime", "Value": "today"}]}, "InvalidParamter"),
        ({"Filter": [{"Key": "NetworkType", "Value": "vpc"}]}, ""),
        ({"ImageId": ",".join(f"m-{number}" for number in range(101))}, "InvalidParamter"),
        ({"ImageId": ",".join(f"m-{number}" for number in range(100))}, ""),
        ({"PageSize": "101"}, "InvalidParameter"),
        ({"Colour": "red"}, "UnsupportedParameter"),
        ({"DryRun": "true"}, "DryRunOperation"),
    ],
)
async def test_a_question_for_images_is_held_to_its_rules(params: dict[str, Any], code: str) -> None:
    clock = FakeClock()
    async with calling(aliyun(clock), clock) as caller:
        assert await caller.code("DescribeImages", {**HERE, **params}) == code


async def test_an_unknown_parameter_may_be_ignored() -> None:
    clock = FakeClock()
    async with calling(aliyun(clock, unknown_parameters="ignored"), clock) as caller:
        assert await caller.code("DescribeImages", {**HERE, "Colour": "red", "Tag.x.Key": "env"}) == ""


async def test_one_unknown_id_may_refuse_the_whole() -> None:
    clock = FakeClock()
    rehearsal = aliyun(clock, unknown_ids="error")
    async with calling(rehearsal, clock) as caller:
        codes = [
            await caller.code("DescribeImages", {**HERE, "ImageId": ids})
            for ids in (image(rehearsal), f"{image(rehearsal)},m-none")
        ]
    assert codes == ["", "InvalidImageId.NotFound"]


async def test_only_one_id_may_be_taken() -> None:
    clock = FakeClock()
    async with calling(aliyun(clock, image_ids_most=1), clock) as caller:
        codes = [await caller.code("DescribeImages", {**HERE, "ImageId": ids}) for ids in ("m-1", "m-1,m-2")]
    assert codes == ["", "InvalidParamter"]


@pytest.mark.parametrize(
    ("order", "ids"),
    [("newest", list("zyx")), ("oldest", list("xyz")), ("none", list("yzx"))],
)
async def test_pages_follow_one_order_and_tell_the_total(order: str, ids: list[str]) -> None:
    clock = FakeClock()
    rehearsal = aliyun(clock, order=order)
    for letter in "xyz":
        image(rehearsal, image_id=f"m-{letter}")
        clock.jump(1)
    seen, told = [], {}
    async with calling(rehearsal, clock) as caller:
        for number in ("1", "2", "3"):
            told = await caller.ask("DescribeImages", {**HERE, "PageNumber": number, "PageSize": "1"})
            seen += [each["ImageId"][2:] for each in told["Images"]["Image"]]
        beyond = await caller.ask("DescribeImages", {**HERE, "PageNumber": "9"})
    assert seen == ids
    assert (told["PageNumber"], told["PageSize"], told["TotalCount"], told["RegionId"]) == (3, 1, 3, REGION)
    assert (beyond["Images"]["Image"], beyond["TotalCount"]) == ([], 3)


@pytest.mark.parametrize(
    ("options", "host", "code"),
    [
        ({}, "ecs.cn-shanghai.aliyuncs.com", ""),
        ({"foreign_hosts": "refuse"}, "ecs.cn-shanghai.aliyuncs.com", "InvalidRegionId.NotFound"),
        ({"foreign_hosts": "refuse"}, "ecs.cn-hangzhou.aliyuncs.com:443", ""),
        ({"foreign_hosts": "refuse"}, "ecs.aliyuncs.com", ""),
    ],
)
async def test_a_host_answers_for_another_region_as_the_switch_says(
    options: dict[str, Any], host: str, code: str
) -> None:
    clock = FakeClock()
    async with calling(aliyun(clock, **options), clock) as caller:
        assert await caller.code("DescribeImages", HERE, host=host) == code


async def test_regions_are_listed() -> None:
    clock = FakeClock()
    async with calling(aliyun(clock, regions=[REGION, OTHER_REGION], buckets={}), clock) as caller:
        told = await caller.ask("DescribeRegions")
    assert [(each["RegionId"], each["RegionEndpoint"]) for each in told["Regions"]["Region"]] == [
        (REGION, "ecs.cn-hangzhou.aliyuncs.com"),
        (OTHER_REGION, "ecs.cn-shanghai.aliyuncs.com"),
    ]


async def test_new_images_may_all_take_their_time() -> None:
    clock = FakeClock()
    rehearsal = aliyun(clock, image_ready_seconds=5)
    image_id = image(rehearsal)
    async with calling(rehearsal, clock) as caller:
        before = await caller.status(image_id)
        clock.jump(5)
        assert (before, await caller.status(image_id)) == ("Creating", "Available")
