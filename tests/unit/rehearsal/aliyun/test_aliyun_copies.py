from typing import Any

import pytest

from imageferry.rehearsal.misbehaviour import Misbehaviour
from support.aliyun_rehearsals import FORMATTING, OTHER_REGION, REGION, aliyun, calling, copy_of, image
from support.clocks import START, FakeClock


async def refused(facts: dict[str, Any] | None = None, options: dict[str, Any] | None = None, **params: Any) -> str:
    """The code with which a copy of one image is refused; empty when it is taken."""
    clock = FakeClock()
    rehearsal = aliyun(clock, **(options or {}))
    image_id = image(rehearsal, **(facts or {}))
    async with calling(rehearsal, clock) as caller:
        return await caller.copy_code(image_id, **params)


async def test_a_copy_becomes_available_in_its_region() -> None:
    clock = FakeClock()
    rehearsal = aliyun(clock, copy_seconds=60)
    async with calling(rehearsal, clock) as caller:
        image_id = image(rehearsal, name="web", tags={"env": "prod"}, size_gib=50, data_disks_gib=(5,))
        tags = [{"Key": "job", "Value": "1"}, {"Key": "empty", "Value": ""}]
        made = await caller.copy(image_id, DestinationImageName="web-copy", DestinationDescription="as asked", Tag=tags)
        seen = []
        for wait in (0, 30, 30):
            clock.jump(wait)
            (shown,) = await caller.images(OTHER_REGION, ImageId=made)
            disk = shown["DiskDeviceMappings"]["DiskDeviceMapping"][1]
            seen.append((shown["Status"], shown["Progress"], disk["Progress"], disk["RemainTime"]))
    assert seen == [("Creating", "0%", "0%", 60), ("Creating", "50%", "50%", 30), ("Available", "100%", "100%", 0)]
    assert (shown["ImageName"], shown["Description"], shown["IsCopied"]) == ("web-copy", "as asked", True)
    assert shown["Tags"]["Tag"] == [{"TagKey": "job", "TagValue": "1"}, {"TagKey": "empty", "TagValue": ""}]
    assert (shown["Size"], disk["Size"], shown["ImageOwnerAlias"]) == (50, "5", "self")
    (task,) = rehearsal.tasks
    assert (task.action, task.destination, task.new_image_id) == ("CopyImage", OTHER_REGION, made)


async def test_a_copy_keeps_the_sources_tags_and_name_as_the_switch_says() -> None:
    clock = FakeClock()
    rehearsal = aliyun(clock, copies_keep_tags=True)
    async with calling(rehearsal, clock) as caller:
        await caller.copy(image(rehearsal, name="web", tags={"env": "prod"}), Tag=[{"Key": "job", "Value": "1"}])
        (shown,) = await caller.images(OTHER_REGION)
    assert (shown["ImageName"], {each["TagKey"] for each in shown["Tags"]["Tag"]}) == ("web", {"env", "job"})


@pytest.mark.parametrize(
    ("params", "code"),
    [
        ({"RegionId": None}, "MissingParameter"),
        ({"ImageId": None}, "MissingParameter"),
        ({"ImageId": "m-none"}, "InvalidImageId.NotFound"),
        ({"DestinationRegionId": None}, "IncorrectDestinationRegion"),
        ({"DestinationRegionId": REGION}, "IncorrectDestinationRegion"),
        ({"DestinationRegionId": "mars-1"}, "DestinationRegion.NotFound"),
        ({"DestinationImageName": "a"}, "InvalidImageName.Malformed"),
        ({"DestinationImageName": "1web"}, "InvalidImageName.Malformed"),
        ({"DestinationImageName": "aliyun-web"}, "InvalidImageName.Malformed"),
        ({"DestinationImageName": "acs:web"}, "InvalidImageName.Malformed"),
        ({"DestinationImageName": "web-http://x"}, "InvalidImageName.Malformed"),
        ({"DestinationImageName": "web copy"}, "InvalidImageName.Malformed"),
        ({"DestinationImageName": "w" * 129}, "InvalidImageName.Malformed"),
        ({"DestinationImageName": "镜像.a:b_c-d" + "w" * 117}, ""),
        ({"DestinationDescription": "a"}, "InvalidDescription.Malformed"),
        ({"DestinationDescription": "http://x"}, "InvalidDescription.Malformed"),
        ({"DestinationDescription": "a" * 257}, "InvalidDescription.Malformed"),
        ({"DestinationDescription": "see http://x\nand more"}, ""),
        ({"ClientToken": "t" * 65}, "InvalidParameter"),
        ({"ClientToken": "ß"}, "InvalidParameter"),
        ({"ClientToken": "t" * 64}, ""),
        ({"Tag": [{"Key": f"k{number}", "Value": ""} for number in range(21)]}, "InvalidTagCount"),
        ({"Tag": [{"Key": f"k{number}", "Value": ""} for number in range(20)]}, ""),
        ({"Tag": [{"Key": "a", "Value": "1"}, {"Key": "a", "Value": "2"}]}, "InvalidParameter.TagDuplicate"),
        ({"Tag": [{"Value": "1"}]}, "InvalidTagKey.Malformed"),
        ({"Tag": [{"Key": "acs:x", "Value": "1"}]}, "InvalidTagKey.Malformed"),
        ({"Tag": [{"Key": "aliyunx", "Value": "1"}]}, "InvalidTagKey.Malformed"),
        ({"Tag": [{"Key": "x" * 129, "Value": "1"}]}, "InvalidTagKey.Malformed"),
        ({"Tag": [{"Key": "x", "Value": "acs:1"}]}, "InvalidTagValue.Malformed"),
        ({"Tag": [{"Key": "x", "Value": "a http://1"}]}, "InvalidTagValue.Malformed"),
        ({"Tag": [{"Key": "x", "Colour": "1"}]}, "UnsupportedParameter"),
        ({"EncryptAlgorithm": "aes-256"}, "InvalidEncryptAlgorithm"),
        ({"KMSKeyId": "k1"}, "InvalidEncrypted.NotMatchKmsKeyId"),
        ({"KMSKeyId": "k2", "Encrypted": "true"}, "InvalidParameter.KMSKeyId.NotFound"),
        ({"KMSKeyId": "k1", "Encrypted": "True"}, ""),
        ({"ResourceGroupId": "rg-none"}, "InvalidResourceGroup.NotFound"),
        ({"ResourceGroupId": "rg-1"}, ""),
        ({"DryRun": "true"}, "DryRunOperation"),
    ],
)
async def test_parameters_are_held_to_their_rules(params: dict[str, Any], code: str) -> None:
    options = {"kms_keys": {"k1": OTHER_REGION, "k2": REGION}, "resource_groups": ["rg-1"]}
    assert await refused(options=options, **params) == code


@pytest.mark.parametrize(
    ("facts", "code"),
    [
        ({"image_type": "PUBLIC_IMAGE"}, "ImageNotSupported"),
        ({"image_type": "SHARED_IMAGE"}, "OperationDenied.SameRegionOnly"),
        ({"image_type": "SHARED_IMAGE", "extra": {"community": True}}, "OperationDenied.CommunityImage"),
        ({"image_type": "MARKET_IMAGE"}, "OperationDenied.NotAuthorized"),
        ({"market_derived": True}, "OperationDenied.NotAuthorized"),
        ({"extra": {"product_code": "cmjj1"}}, "OperationDenied.NotAuthorized"),
        ({"encrypted": True}, "OperationDeined.EncryptedSnapshot"),
        ({"ready_seconds": 5}, "IncorrectImageStatus"),
        ({"fails": True}, "IncorrectImageStatus"),
        ({"platform": "Windows"}, ""),
    ],
)
async def test_an_image_must_be_one_that_may_be_copied(facts: dict[str, Any], code: str) -> None:
    assert await refused(facts) == code


@pytest.mark.parametrize(("switch", "asked"), [("asked", "true"), ("always", None)])
async def test_an_encrypted_image_is_copied_encrypted(switch: str, asked: str | None) -> None:
    clock = FakeClock()
    rehearsal = aliyun(clock, encrypted_copies=switch)
    async with calling(rehearsal, clock) as caller:
        await caller.copy(image(rehearsal, encrypted=True), Encrypted=asked)
        (shown,) = await caller.images(OTHER_REGION)
    assert shown["DiskDeviceMappings"]["DiskDeviceMapping"][0]["Encrypted"] is True


async def test_a_key_is_in_the_region_that_the_switch_names() -> None:
    options = {"kms_keys": {"k1": OTHER_REGION, "k2": REGION}, "kms_key_region": "source"}
    codes = [await refused(options=options, KMSKeyId=key, Encrypted="true") for key in ("k1", "k2")]
    assert codes == ["InvalidParameter.KMSKeyId.NotFound", ""]


async def test_a_region_may_take_no_copies() -> None:
    options = {"refused_destinations": {OTHER_REGION: "OperationDenied.NonCompliantDestinationRegion"}}
    assert await refused(options=options) == "OperationDenied.NonCompliantDestinationRegion"


@pytest.mark.parametrize(("quota", "code"), [(1, "QuotaExceed.Image"), (2, ""), (None, "")])
async def test_a_region_holds_only_so_many_images(quota: int | None, code: str) -> None:
    clock = FakeClock()
    rehearsal = aliyun(clock, image_quota=quota)
    image(rehearsal, region=OTHER_REGION)
    image(rehearsal, region=OTHER_REGION, image_type="PUBLIC_IMAGE")
    async with calling(rehearsal, clock) as caller:
        assert await caller.copy_code(image(rehearsal)) == code


@pytest.mark.parametrize(("unique", "code"), [(True, "InvalidImageName.Duplicated"), (False, "")])
async def test_a_name_is_taken_once_in_a_region_as_the_switch_says(unique: bool, code: str) -> None:  # noqa: FBT001 - a switch
    clock = FakeClock()
    rehearsal = aliyun(clock, names_unique=unique)
    image(rehearsal, region=OTHER_REGION, name="web")
    async with calling(rehearsal, clock) as caller:
        assert await caller.copy_code(image(rehearsal, name="web")) == code


@pytest.mark.parametrize("code", ["OperationDenied.ImageCopyConflict", "OperationDenied.ImageCopying"])
async def test_an_image_is_copied_once_at_a_time(code: str) -> None:
    clock = FakeClock()
    rehearsal = aliyun(clock, copy_busy_code=code)
    async with calling(rehearsal, clock) as caller:
        image_id = image(rehearsal)
        codes = [await caller.copy_code(image_id, DestinationRegionId=each) for each in (OTHER_REGION, FORMATTING)]
        clock.jump(3)
        codes.append(await caller.copy_code(image_id, DestinationRegionId=FORMATTING))
    assert codes == ["", code, ""]


@pytest.mark.parametrize(("allowed", "code"), [(True, ""), (False, "ImageIsExporting")])
async def test_an_image_that_is_being_exported_is_copied_as_the_switch_says(allowed: bool, code: str) -> None:  # noqa: FBT001 - a switch
    clock = FakeClock()
    rehearsal = aliyun(clock, copies_during_exports=allowed)
    async with calling(rehearsal, clock) as caller:
        image_id = image(rehearsal)
        await caller.export(image_id)
        assert await caller.copy_code(image_id) == code


async def test_copies_beyond_those_that_may_run_wait_for_their_turn() -> None:
    clock = FakeClock()
    rehearsal = aliyun(clock, copies_running=2, copy_seconds=10)
    seen = []
    async with calling(rehearsal, clock) as caller:
        made = []
        for wait in (0, 2, 2, 2):
            clock.jump(wait)
            made.append(await caller.copy(image(rehearsal)))
        for wait in (0, 4, 2, 8, 2):
            clock.jump(wait)
            seen.append([(await caller.status(each, OTHER_REGION))[0] for each in made])
    assert seen == [list("CCWW"), list("ACCW"), list("AACC"), list("AAAC"), list("AAAA")]
    assert rehearsal.state(["running"])["running"] == [{"action": "CopyImage", "scope": REGION, "most": 2}]


async def test_running_copies_are_counted_by_the_region_that_the_switch_names() -> None:
    clock = FakeClock()
    rehearsal = aliyun(clock, copies_running=1, copies_scope="destination")
    async with calling(rehearsal, clock) as caller:
        made = [await caller.copy(image(rehearsal), DestinationRegionId=each) for each in (OTHER_REGION, FORMATTING)]
        statuses = [await caller.status(made[0], OTHER_REGION), await caller.status(made[1], FORMATTING)]
    assert statuses == ["Creating", "Creating"]


@pytest.mark.parametrize(
    ("options", "status"),
    [({}, "CreateFailed"), ({"failed_word": "UnAvailable"}, "UnAvailable"), ({"copy_failure": "gone"}, "")],
)
async def test_a_copy_fails_on_request(options: dict[str, Any], status: str) -> None:
    clock = FakeClock()
    rehearsal = aliyun(clock, **options)
    rehearsal.misbehave(Misbehaviour(fault="task_fails", action="CopyImage"))
    async with calling(rehearsal, clock) as caller:
        made = await caller.copy(image(rehearsal))
        before = await caller.status(made, OTHER_REGION)
        clock.jump(3)
        assert (before, await caller.status(made, OTHER_REGION)) == ("Creating", status)


async def test_a_new_copy_shows_late_as_the_switch_says() -> None:
    clock = FakeClock()
    rehearsal = aliyun(clock, copy_shows_seconds=2)
    async with calling(rehearsal, clock) as caller:
        made = await caller.copy(image(rehearsal))
        before = await caller.status(made, OTHER_REGION)
        clock.jump(2)
        assert (before, await caller.status(made, OTHER_REGION)) == ("", "Creating")


# --- client tokens -------------------------------------------------------------------------------------------------


async def test_the_same_token_gives_the_same_answer_whatever_has_become_of_the_image() -> None:
    clock = FakeClock()
    rehearsal = aliyun(clock)
    async with calling(rehearsal, clock) as caller:
        image_id = image(rehearsal)
        made = [await caller.copy(image_id, ClientToken="t1") for _ in range(2)]
        clock.jump(3)
        made.append(await caller.copy(image_id, ClientToken="t1"))
        other = await caller.copy(image_id, ClientToken="T1", DestinationImageName="other")
    assert len(set(made)) == 1
    assert (len(rehearsal.tasks), other in made) == (2, False)


@pytest.mark.parametrize(
    "code", ["IdempotentParameterMismatch", "IdempotenceParamNotMatch", "InvalidIdempotenceParameter.Mismatch"]
)
async def test_the_same_token_with_other_parameters_is_refused(code: str) -> None:
    clock = FakeClock()
    rehearsal = aliyun(clock, mismatch_code=code)
    async with calling(rehearsal, clock) as caller:
        image_id = image(rehearsal)
        await caller.copy(image_id, ClientToken="t1")
        assert await caller.copy_code(image_id, ClientToken="t1", DestinationRegionId=FORMATTING) == code


async def test_a_token_is_forgotten_after_its_time() -> None:
    clock = FakeClock()
    rehearsal = aliyun(clock, client_token_seconds=10, names_unique=False)
    async with calling(rehearsal, clock) as caller:
        image_id = image(rehearsal)
        made = [await caller.copy(image_id, ClientToken="t1")]
        clock.jump(10)
        made.append(await caller.copy(image_id, ClientToken="t1"))
    assert len(set(made)) == 2


@pytest.mark.parametrize(("keeps", "code"), [(False, ""), (True, "IncorrectImageStatus")])
async def test_a_refusal_is_repeated_for_the_same_token_as_the_switch_says(keeps: bool, code: str) -> None:  # noqa: FBT001 - a switch
    clock = FakeClock()
    rehearsal = aliyun(clock, client_token_keeps_refusals=keeps)
    async with calling(rehearsal, clock) as caller:
        image_id = image(rehearsal, ready_seconds=5)
        first = await caller.copy_code(image_id, ClientToken="t1")
        clock.jump(5)
        assert (first, await caller.copy_code(image_id, ClientToken="t1")) == ("IncorrectImageStatus", code)


async def test_a_token_whose_request_is_still_to_be_carried_out_is_refused_until_it_was() -> None:
    clock = FakeClock()
    rehearsal = aliyun(clock)
    rehearsal.misbehave(Misbehaviour(fault="status", work="late", after=2, count=1))
    async with calling(rehearsal, clock) as caller:
        image_id = image(rehearsal)
        await caller.send("CopyImage", copy_of(image_id, ClientToken="t1"))
        meanwhile = await caller.copy_code(image_id, ClientToken="t1")
        clock.jump(2)
        made = await caller.copy(image_id, ClientToken="t1")
    (task,) = rehearsal.tasks
    assert (meanwhile, made) == ("LastTokenProcessing", task.new_image_id)
    assert task.accepted_at == START + 2_000_000


async def test_a_dry_run_uses_up_no_token() -> None:
    clock = FakeClock()
    rehearsal = aliyun(clock)
    async with calling(rehearsal, clock) as caller:
        image_id = image(rehearsal)
        codes = [await caller.copy_code(image_id, ClientToken="t1", DryRun=each) for each in ("true", None)]
    assert (codes, len(rehearsal.tasks)) == (["DryRunOperation", ""], 1)


# --- taking it back ------------------------------------------------------------------------------------------------


async def test_a_cancelled_copy_is_gone_and_its_source_free() -> None:
    clock = FakeClock()
    rehearsal = aliyun(clock)
    async with calling(rehearsal, clock) as caller:
        image_id = image(rehearsal)
        made = await caller.copy(image_id)
        await caller.ask("CancelCopyImage", {"RegionId": OTHER_REGION, "ImageId": made})
        again = await caller.code("CancelCopyImage", {"RegionId": OTHER_REGION, "ImageId": made})
        assert (again, await caller.copy_code(image_id)) == ("InvalidImageId.NotFound", "")


async def test_only_a_copy_that_runs_can_be_cancelled() -> None:
    clock = FakeClock()
    rehearsal = aliyun(clock)
    async with calling(rehearsal, clock) as caller:
        image_id = image(rehearsal)
        made = await caller.copy(image_id)
        clock.jump(3)
        codes = [
            await caller.code("CancelCopyImage", {"RegionId": region, "ImageId": each})
            for region, each in ((REGION, image_id), (OTHER_REGION, made))
        ]
    assert codes == ["ImageCreatedNotFromCopy", "IncorrectImageStatus"]
