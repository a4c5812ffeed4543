from typing import Any

import pytest

from imageferry.rehearsal.misbehaviour import Misbehaviour
from support.clocks import FakeClock
from support.rehearsals import BUCKET, OTHER_REGION, REGION, calling, image, tencent

THIRD_REGION = "ap-tokyo"


async def refused(
    facts: dict[str, Any] | None = None,
    options: dict[str, Any] | None = None,
    to: tuple[str, ...] = (OTHER_REGION,),
    **params: Any,
) -> str:
    """The code with which a copy of one image is refused; empty when it is taken."""
    clock = FakeClock()
    rehearsal = tencent(clock, **(options or {}))
    image_id = image(rehearsal, **{"name": "web", **(facts or {})})
    asked = {"ImageIds": [image_id], "DestinationRegions": list(to), **params}
    async with calling(rehearsal, clock) as caller:
        return await caller.code("SyncImages", asked)


async def test_a_copy_is_syncing_in_its_destination_and_then_normal_under_a_new_id() -> None:
    clock = FakeClock()
    rehearsal = tencent(clock, copy_seconds=60)
    image_id = image(rehearsal, name="web", tags={"env": "prod"})
    async with calling(rehearsal, clock) as caller:
        (made,) = (await caller.copy(image_id))["ImageSet"]
        clock.jump(59)
        pending = await caller.state(made["ImageId"], OTHER_REGION)
        clock.jump(1)
        (shown,) = await caller.images(OTHER_REGION)
    assert (made["Region"], pending, shown["ImageState"]) == (OTHER_REGION, "SYNCING", "NORMAL")
    assert (shown["ImageId"], shown["ImageName"], shown["Tags"]) == (made["ImageId"], "web", None)
    assert made["ImageId"] != image_id


async def test_the_new_ids_are_only_told_when_asked_for() -> None:
    clock = FakeClock()
    rehearsal = tencent(clock)
    async with calling(rehearsal, clock) as caller:
        answer = await caller.copy(image(rehearsal), ImageSetRequired=False)
    assert (answer["ImageSet"], len(rehearsal.tasks)) == ([], 1)


async def test_a_copy_takes_the_name_that_it_is_given() -> None:
    clock = FakeClock()
    rehearsal = tencent(clock)
    async with calling(rehearsal, clock) as caller:
        await caller.copy(image(rehearsal), ImageName="web-unique")
        assert [each["ImageName"] for each in await caller.images(OTHER_REGION)] == ["web-unique"]


@pytest.mark.parametrize(("options", "tags"), [({}, None), ({"copies_keep_tags": True}, [{"Key": "a", "Value": "b"}])])
async def test_tags_are_copied_as_the_switch_says(options: dict[str, Any], tags: Any) -> None:
    clock = FakeClock()
    rehearsal = tencent(clock, **options)
    async with calling(rehearsal, clock) as caller:
        await caller.copy(image(rehearsal, tags={"a": "b"}))
        assert [each["Tags"] for each in await caller.images(OTHER_REGION)] == [tags]


@pytest.mark.parametrize(
    ("params", "code"),
    [
        ({"ImageIds": []}, "InvalidParameterValue"),
        ({"ImageIds": None}, "MissingParameter"),
        ({"ImageIds": ["web"]}, "InvalidImageId.Malformed"),
        ({"ImageIds": ["img-00000001"]}, "InvalidImageId.NotFound"),
        (
            {"ImageIds": [f"img-0000000{n}" for n in range(10)] + ["img-0000000a"]},
            "InvalidParameterValue.LimitExceeded",
        ),
        ({"DestinationRegions": []}, "InvalidParameterValue"),
        ({"DestinationRegions": None}, "MissingParameter"),
        ({"DestinationRegions": ["mars-1"]}, "InvalidParameterValue.InvalidRegion"),
        ({"DestinationRegions": [REGION]}, "InvalidParameterValue.InvalidRegion"),
        ({"DestinationRegions": [OTHER_REGION, OTHER_REGION]}, "InvalidParameterValue"),
        ({"DestinationRegions": [f"r-{n}" for n in range(21)]}, "InvalidParameterValue.LimitExceeded"),
        ({"ImageName": "n" * 61}, "InvalidParameterValue"),
        ({"ImageName": "n" * 60}, ""),
        ({"KmsKeyId": "key-1"}, "InvalidParameter.InvalidKmsKeyId"),
        ({"Encrypt": True}, "InvalidParameterValue.InvalidRegion"),
        ({"Encrypt": True, "DestinationRegions": [REGION], "ImageName": "sealed"}, ""),
        ({"FileNamePrefixList": ["a"]}, "UnknownParameter"),
        ({"DryRun": True}, ""),
    ],
)
async def test_parameters_are_held_to_their_rules(params: dict[str, Any], code: str) -> None:
    assert await refused(**params) == code


@pytest.mark.parametrize(
    ("facts", "code"),
    [
        ({"image_type": "PUBLIC_IMAGE"}, "InvalidParameterValue.InvalidImageId"),
        ({"image_type": "SHARED_IMAGE"}, "InvalidParameterValue.InvalidRegion"),
        ({"instance_image": True}, "InvalidParameter.InstanceImageNotSupport"),
        ({"location_bound": True}, "UnsupportedOperation.LocationImageNotSupported"),
        ({"encrypted": True}, "UnsupportedOperation.EncryptedImagesNotSupported"),
        ({"ready_seconds": 5}, "InvalidImageId.IncorrectState"),
        ({"fails": True}, "InvalidImageId.IncorrectState"),
        ({"platform": "Windows"}, ""),
    ],
)
async def test_images_that_cannot_be_copied_are_refused_by_their_code(facts: dict[str, Any], code: str) -> None:
    assert await refused(facts) == code


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"refused_destinations": {OTHER_REGION: "InvalidRegion.Unavailable"}}, "InvalidRegion.Unavailable"),
        ({"copy_largest_gib": 10}, "InvalidImageId.TooLarge"),
        ({"image_quota": 0}, "ImageQuotaLimitExceeded"),
        ({"copies_running": 0}, "LimitExceeded"),
        ({"copies_running": 0, "copy_limit_code": "LimitExceeded.Other"}, "LimitExceeded.Other"),
        ({"copies_running": None, "image_quota": None}, ""),
    ],
)
async def test_the_options_decide_about_destinations_and_limits(options: dict[str, Any], code: str) -> None:
    assert await refused(options=options) == code


async def test_a_shared_image_can_be_made_an_own_one_in_its_region() -> None:
    clock = FakeClock()
    rehearsal = tencent(clock)
    shared = image(rehearsal, image_type="SHARED_IMAGE")
    async with calling(rehearsal, clock) as caller:
        (made,) = (await caller.copy(shared, REGION, ImageName="own"))["ImageSet"]
        kinds = {each["ImageId"]: each["ImageType"] for each in await caller.images()}
    assert kinds == {shared: "SHARED_IMAGE", made["ImageId"]: "PRIVATE_IMAGE"}


async def test_an_encrypted_copy_of_a_shared_image_is_refused() -> None:
    code = await refused({"image_type": "SHARED_IMAGE"}, to=(REGION,), Encrypt=True)
    assert code == "UnsupportedOperation.SyncEncryptImageNotSupport"


async def test_a_name_that_the_destination_has_is_refused() -> None:
    clock = FakeClock()
    rehearsal = tencent(clock)
    image(rehearsal, region=OTHER_REGION, name="web")
    async with calling(rehearsal, clock) as caller:
        assert await caller.copy_code(image(rehearsal, name="web")) == "InvalidImageName.Duplicate"


async def test_two_copies_of_an_image_run_one_after_another() -> None:
    clock = FakeClock()
    rehearsal = tencent(clock)
    image_id = image(rehearsal)
    async with calling(rehearsal, clock) as caller:
        codes = [await caller.copy_code(image_id, region) for region in (OTHER_REGION, THIRD_REGION)]
        clock.jump(3)
        later = await caller.copy_code(image_id, THIRD_REGION)
    assert (codes, later) == (["", "InvalidParameterValue.InvalidImageState"], "")


async def test_two_copies_of_an_image_run_side_by_side_when_the_switch_says_so() -> None:
    clock = FakeClock()
    rehearsal = tencent(clock, concurrent_copies=True)
    image_id = image(rehearsal)
    async with calling(rehearsal, clock) as caller:
        assert [await caller.copy_code(image_id, region) for region in (OTHER_REGION, THIRD_REGION)] == ["", ""]


async def test_an_image_that_is_copied_can_not_be_exported_meanwhile_nor_the_other_way_round() -> None:
    clock = FakeClock()
    rehearsal = tencent(clock, concurrent_copies=True, copy_busy_code="FailedOperation.InvalidImageState")
    copied, exported = image(rehearsal), image(rehearsal)
    async with calling(rehearsal, clock) as caller:
        await caller.copy(copied)
        await caller.export(exported)
        codes = (await caller.export_code(copied), await caller.copy_code(exported))
    assert codes == ("InvalidParameterValue.InvalidImageState", "FailedOperation.InvalidImageState")


async def test_no_more_copies_run_than_may_and_every_destination_counts() -> None:
    clock = FakeClock()
    rehearsal = tencent(clock, copies_running=2)
    first, second = image(rehearsal), image(rehearsal)
    async with calling(rehearsal, clock) as caller:
        codes = [await caller.copy_code(first, OTHER_REGION, THIRD_REGION), await caller.copy_code(second)]
        clock.jump(3)
        later = await caller.copy_code(second)
    assert (codes, later) == (["", "LimitExceeded"], "")


@pytest.mark.parametrize(
    ("partial", "code", "accepted"), [(False, "InvalidRegion.Unavailable", []), (True, "", [OTHER_REGION])]
)
async def test_one_bad_region_fails_the_others_as_the_switch_says(
    partial: bool,  # noqa: FBT001 - a switch
    code: str,
    accepted: list[str],
) -> None:
    clock = FakeClock()
    closed = {THIRD_REGION: "InvalidRegion.Unavailable"}
    rehearsal = tencent(clock, partial_copies=partial, refused_destinations=closed)
    async with calling(rehearsal, clock) as caller:
        assert await caller.copy_code(image(rehearsal), OTHER_REGION, THIRD_REGION) == code
    assert [task.destination for task in rehearsal.tasks] == accepted


@pytest.mark.parametrize(("how", "state"), [("state", "CREATEFAILED"), ("gone", "")])
async def test_a_failed_copy_ends_as_the_switch_says(how: str, state: str) -> None:
    clock = FakeClock()
    rehearsal = tencent(clock, copy_failure=how)
    rehearsal.misbehave(Misbehaviour(fault="task_fails", destination=OTHER_REGION))
    async with calling(rehearsal, clock) as caller:
        (made,) = (await caller.copy(image(rehearsal)))["ImageSet"]
        before = await caller.state(made["ImageId"], OTHER_REGION)
        clock.jump(3)
        after = await caller.state(made["ImageId"], OTHER_REGION)
    assert (before, after) == ("SYNCING", state)


@pytest.mark.parametrize(
    ("options", "code"), [({}, ""), ({"dry_run_shape": "error"}, "DryRunOperation"), ({"dry_run_sees_limit": True}, "")]
)
async def test_a_dry_run_starts_nothing(options: dict[str, Any], code: str) -> None:
    clock = FakeClock()
    rehearsal = tencent(clock, **options)
    async with calling(rehearsal, clock) as caller:
        assert await caller.copy_code(image(rehearsal), DryRun=True) == code
        assert await caller.images(OTHER_REGION) == []


async def test_a_dry_run_sees_a_busy_image_as_the_switch_says() -> None:
    clock = FakeClock()
    rehearsal = tencent(clock)
    image_id = image(rehearsal)
    async with calling(rehearsal, clock) as caller:
        await caller.export(image_id, BucketName=BUCKET)
        sees = await caller.copy_code(image_id, DryRun=True)
        rehearsal.change({"dry_run_sees_busy": False})
        blind = await caller.copy_code(image_id, DryRun=True)
    assert (sees, blind) == ("InvalidParameterValue.InvalidImageState", "")
