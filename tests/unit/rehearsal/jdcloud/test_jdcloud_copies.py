from typing import Any

import pytest

from imageferry.rehearsal.misbehaviour import Misbehaviour
from support.clocks import FakeClock
from support.jdcloud_rehearsals import OTHER_REGION, REGION, calling, copy_body, image, jdcloud

THIRD_REGION = "cn-east-2"


async def refused(facts: dict[str, Any] | None = None, options: dict[str, Any] | None = None, **params: Any) -> str:
    """The status and words with which a copy of one image is refused; empty when it is taken."""
    clock = FakeClock()
    rehearsal = jdcloud(clock, **(options or {}))
    image_id = image(rehearsal, **(facts or {}))
    async with calling(rehearsal, clock) as caller:
        return await caller.copy_words(image_id, **params)


async def test_an_accepted_copy_names_source_and_destination() -> None:
    clock = FakeClock()
    rehearsal = jdcloud(clock)
    ids = [image(rehearsal), image(rehearsal)]
    async with calling(rehearsal, clock) as caller:
        made = await caller.copy(*ids)
    assert [each["sourceImageId"] for each in made] == ids
    assert [each["destinationImageId"] for each in made] == [task.new_image_id for task in rehearsal.tasks]
    assert {each.keys() == {"sourceImageId", "destinationImageId"} for each in made} == {True}


async def test_a_copy_is_pending_with_its_percentage_until_it_is_ready() -> None:
    clock = FakeClock()
    rehearsal = jdcloud(clock, copy_seconds=100)
    source = image(rehearsal, name="web", size_gib=50, data_disks_gib=(70,), tags={"env": "prod"})
    seen = []
    async with calling(rehearsal, clock) as caller:
        (made,) = await caller.copy(source)
        for wait in (0, 40, 59, 1):
            clock.jump(wait)
            shown = await caller.image(made["destinationImageId"], OTHER_REGION)
            seen.append((shown["status"], shown["progress"]))
    assert seen == [("pending", "0"), ("pending", "40"), ("pending", "99"), ("ready", "100")]
    assert (shown["name"], shown["imageSource"], shown["systemDiskSizeGB"]) == ("web", "private", 50)
    assert shown["desc"] == f"Copied from {REGION} {source}"
    assert [disk["cloudDisk"]["diskSizeGB"] for disk in shown["dataDisks"]] == [70]


async def test_name_and_description_are_given_to_every_copy() -> None:
    clock = FakeClock()
    rehearsal = jdcloud(clock)
    async with calling(rehearsal, clock) as caller:
        await caller.copy(image(rehearsal), image(rehearsal), name="网站-1.a_B", description="key=1")
        shown = await caller.images(OTHER_REGION)
    assert [(each["name"], each["desc"]) for each in shown] == [("网站-1.a_B", "key=1")] * 2


async def test_a_repeated_copy_is_another_image_because_there_is_no_client_token() -> None:
    clock = FakeClock()
    rehearsal = jdcloud(clock)
    image_id = image(rehearsal)
    async with calling(rehearsal, clock) as caller:
        first = await caller.copy(image_id)
        clock.jump(3)
        second = await caller.copy(image_id)
        token = await caller.copy_words(image_id, clientToken="t")
    assert first != second
    assert dict(rehearsal.requests.accepted) == {("copyImages", image_id, OTHER_REGION): 2}
    assert token == "INVALID_ARGUMENT: The parameter `clientToken` is not recognized."


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"sourceImageIds": None}, "The request is missing a required parameter `sourceImageIds`."),
        ({"destinationRegion": None}, "The request is missing a required parameter `destinationRegion`."),
        ({"destinationRegion": [OTHER_REGION]}, "The parameter `destinationRegion` must be a string."),
        ({"sourceImageIds": []}, "Invalid sourceImageIds: 1 to 10 different ids are wanted"),
        ({"sourceImageIds": ["img-1"] * 2}, "Invalid sourceImageIds: 1 to 10 different ids are wanted"),
        (
            {"sourceImageIds": [f"img-{n}" for n in range(11)]},
            "Invalid sourceImageIds: 1 to 10 different ids are wanted",
        ),
        ({"destinationRegion": "mars-1"}, "Invalid region 'mars-1'"),
        ({"destinationRegion": REGION}, f"Invalid region '{REGION}'"),
        ({"name": ""}, "Invalid name: 1 to 32 Chinese or other letters, digits, _ - and ."),
        ({"name": "a b"}, "Invalid name: 1 to 32 Chinese or other letters, digits, _ - and ."),
        ({"name": "n" * 33}, "Invalid name: 1 to 32 Chinese or other letters, digits, _ - and ."),
        ({"description": "d" * 257}, "Invalid description: at most 256 characters"),
    ],
)
async def test_parameters_are_held_to_their_rules(params: dict[str, Any], words: str) -> None:
    assert await refused(**params) == f"INVALID_ARGUMENT: {words}"


@pytest.mark.parametrize("params", [{"name": "n" * 32}, {"description": "d" * 256}])
async def test_parameters_at_their_bounds_are_taken(params: dict[str, Any]) -> None:
    assert await refused(**params) == ""


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ({"image_type": "PUBLIC_IMAGE"}, "Can't use this image"),
        ({"image_type": "SHARED_IMAGE"}, "Can't use this image"),
        ({"extra": {"root_device": "localDisk"}}, "Only support cloudDisk image"),
        ({"ready_seconds": 5}, "Invalid image status 'pending'"),
        ({"fails": True}, "Invalid image status 'error'"),
        ({"extra": {"deleting": True}}, "Invalid image status 'deleting'"),
    ],
)
async def test_images_that_cannot_be_copied_are_refused_in_the_vendors_words(facts: dict[str, Any], words: str) -> None:
    assert await refused(facts) == f"FAILED_PRECONDITION: {words}"


async def test_an_encrypted_snapshot_is_named() -> None:
    clock = FakeClock()
    rehearsal = jdcloud(clock)
    image_id = image(rehearsal, encrypted=True)
    async with calling(rehearsal, clock) as caller:
        snapshot = (await caller.image(image_id))["snapshotId"]
        words = await caller.copy_words(image_id)
    assert words == f"FAILED_PRECONDITION: Copy encrypted snapshot '{snapshot}' is not support."


async def test_an_image_that_is_not_there_is_not_found() -> None:
    clock = FakeClock()
    async with calling(jdcloud(clock), clock) as caller:
        assert await caller.copy_words("img-none") == "NOT_FOUND: Image 'img-none' not found"


async def test_a_windows_image_is_copied() -> None:
    assert await refused({"platform": "Windows"}) == ""


@pytest.mark.parametrize(
    ("options", "facts", "params", "words"),
    [
        ({"same_region_copies": True}, {}, {"destinationRegion": REGION}, ""),
        ({"shared_copies": True}, {"image_type": "SHARED_IMAGE"}, {}, ""),
        (
            {"copy_names_known": False},
            {},
            {"name": "web"},
            "INVALID_ARGUMENT: The parameter `name` is not recognized.",
        ),
        (
            {"copy_names_known": False},
            {},
            {"description": "d"},
            "INVALID_ARGUMENT: The parameter `description` is not recognized.",
        ),
        ({"copy_names_known": False}, {}, {}, ""),
        (
            {"refused_destinations": {OTHER_REGION: "PERMISSION_DENIED"}},
            {},
            {},
            f"PERMISSION_DENIED: The region '{OTHER_REGION}' takes no copies",
        ),
    ],
)
async def test_what_servers_disagree_about_is_a_switch(
    options: dict[str, Any], facts: dict[str, Any], params: dict[str, Any], words: str
) -> None:
    assert await refused(facts, options, **params) == words


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "FAILED_PRECONDITION: The image '{image}' is busy"),
        ({"busy_words": "task"}, "FAILED_PRECONDITION: Conflict with underlay image task '{task}'"),
    ],
)
async def test_an_image_that_is_copied_is_busy_until_the_copy_is_done(options: dict[str, Any], words: str) -> None:
    clock = FakeClock()
    rehearsal = jdcloud(clock, **options)
    image_id = image(rehearsal)
    async with calling(rehearsal, clock) as caller:
        await caller.copy(image_id)
        busy = await caller.copy_words(image_id, destinationRegion=THIRD_REGION)
        clock.jump(3)
        free = await caller.copy_words(image_id, destinationRegion=THIRD_REGION)
    assert (busy, free) == (words.format(image=image_id, task=rehearsal.tasks[0].id), "")


@pytest.mark.parametrize(
    ("allowed", "words"), [(False, "FAILED_PRECONDITION: The image '{image}' is busy"), (True, "")]
)
async def test_an_image_that_is_exported_may_be_copied_as_the_switch_says(allowed: bool, words: str) -> None:  # noqa: FBT001 - a switch
    clock = FakeClock()
    rehearsal = jdcloud(clock, copies_during_exports=allowed)
    image_id = image(rehearsal)
    async with calling(rehearsal, clock) as caller:
        await caller.export(image_id)
        assert await caller.copy_words(image_id) == words.format(image=image_id)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"image_quota": 2}, "Image quota limit exceeded"),
        ({"snapshot_quota": 5}, "Snapshot quota limit exceeded"),
        ({"image_quota": 3, "snapshot_quota": 6}, ""),
    ],
)
async def test_a_copy_needs_room_for_images_and_snapshots_in_its_region(options: dict[str, Any], words: str) -> None:
    clock = FakeClock()
    rehearsal = jdcloud(clock, **options)
    for _ in range(2):
        image(rehearsal, region=OTHER_REGION, data_disks_gib=(5,))
    image(rehearsal, region=OTHER_REGION, image_type="PUBLIC_IMAGE")
    async with calling(rehearsal, clock) as caller:
        answer = await caller.send("POST", "images:copyImages", copy_body(image(rehearsal, data_disks_gib=(5,))))
    error = {"code": 429, "status": "QUOTA_EXCEEDED", "message": words}
    assert answer.json().get("error") == (error if words else None)


async def test_the_usual_quota_is_five_images_and_removing_one_makes_room() -> None:
    clock = FakeClock()
    rehearsal = jdcloud(clock, image_quota=5)
    there = [image(rehearsal, region=OTHER_REGION) for _ in range(5)]
    image_id = image(rehearsal)
    async with calling(rehearsal, clock) as caller:
        full = await caller.copy_words(image_id)
        rehearsal.remove_image(OTHER_REGION, there[0])
        assert (full, await caller.copy_words(image_id)) == ("QUOTA_EXCEEDED: Image quota limit exceeded", "")


async def test_no_more_copies_run_than_may() -> None:
    clock = FakeClock()
    rehearsal = jdcloud(clock, copies_running=1)
    first, second = image(rehearsal), image(rehearsal)
    async with calling(rehearsal, clock) as caller:
        await caller.copy(first)
        full = await caller.copy_words(second)
        clock.jump(3)
        assert (full, await caller.copy_words(second)) == ("QUOTA_EXCEEDED: Image task limit exceeded", "")


@pytest.mark.parametrize(("partial", "made"), [(True, 1), (False, 0)])
async def test_one_bad_image_of_a_batch_leaves_the_good_ones_as_the_switch_says(partial: bool, made: int) -> None:  # noqa: FBT001 - a switch
    clock = FakeClock()
    rehearsal = jdcloud(clock, partial_copies=partial)
    async with calling(rehearsal, clock) as caller:
        words = await caller.copy_words(image(rehearsal, encrypted=True), image(rehearsal))
    assert (bool(words), len(rehearsal.tasks)) == (not partial, made)


@pytest.mark.parametrize("failure", ["state", "gone"])
async def test_a_copy_that_fails_ends_in_error_or_vanishes_as_the_switch_says(failure: str) -> None:
    clock = FakeClock()
    rehearsal = jdcloud(clock, copy_failure=failure)
    rehearsal.misbehave(Misbehaviour(fault="task_fails", destination=OTHER_REGION))
    async with calling(rehearsal, clock) as caller:
        await caller.copy(image(rehearsal))
        before = [(each["status"], each["progress"]) for each in await caller.images(OTHER_REGION)]
        clock.jump(3)
        after = [(each["status"], each["progress"]) for each in await caller.images(OTHER_REGION)]
    assert (before, after) == ([("pending", "0")], [("error", "99")] if failure == "state" else [])
    assert rehearsal.state(["tasks"])["tasks"][0]["state"] == "failed"


async def test_a_new_copy_is_not_found_for_as_long_as_the_switch_says() -> None:
    clock = FakeClock()
    rehearsal = jdcloud(clock, copy_shows_seconds=60)
    async with calling(rehearsal, clock) as caller:
        (made,) = await caller.copy(image(rehearsal))
        path = f"images/{made['destinationImageId']}"
        clock.jump(59)
        before = [await caller.status("GET", path, region=OTHER_REGION), len(await caller.images(OTHER_REGION))]
        clock.jump(1)
        after = [await caller.status("GET", path, region=OTHER_REGION), len(await caller.images(OTHER_REGION))]
    assert (before, after) == (["NOT_FOUND", 0], ["", 1])


async def test_a_copy_can_be_copied_on_and_exported() -> None:
    clock = FakeClock()
    rehearsal = jdcloud(clock)
    async with calling(rehearsal, clock) as caller:
        (made,) = await caller.copy(image(rehearsal, platform="Windows", extra={"imported": True}))
        clock.jump(3)
        body = copy_body(made["destinationImageId"], destinationRegion=THIRD_REGION)
        (on,) = (await caller.ask("POST", "images:copyImages", body, region=OTHER_REGION))["copyImages"]
        shown = await caller.image(on["destinationImageId"], THIRD_REGION)
    assert shown["imported"] is True
