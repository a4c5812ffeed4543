from typing import Any

import pytest

from imageferry.rehearsal.options import REHEARSAL_KEY
from support.clocks import FakeClock
from support.jdcloud_rehearsals import OTHER_REGION, calling, image, jdcloud

ROLE = "jrn:iam::000000000001:role/imageferry"
SESSION = "/v1/sessionToken:assumeRole"


async def words(path: str, params: dict[str, Any] | str, service: str, **options: Any) -> str:
    clock = FakeClock()
    async with calling(jdcloud(clock, **options), clock) as caller:
        return await caller.words("GET", path, params, service=service)


ONLY_IMAGES = "filters.1.name=resourceTypes&filters.1.values.1=image"


@pytest.mark.parametrize(("limit", "told"), [(7, 7), (None, 100_000)])
async def test_the_quota_of_images_counts_the_accounts_own(limit: int | None, told: int) -> None:
    clock = FakeClock()
    rehearsal = jdcloud(clock, image_quota=limit)
    for facts in ({}, {"ready_seconds": 60}, {"image_type": "PUBLIC_IMAGE"}, {"region": OTHER_REGION}):
        image(rehearsal, **facts)
    async with calling(rehearsal, clock) as caller:
        result = await caller.ask("GET", "quotas", ONLY_IMAGES)
    assert result == {"quotas": [{"resourceType": "image", "limit": told, "used": 2}]}


async def test_every_quota_but_that_of_shares_is_told_unasked() -> None:
    clock = FakeClock()
    async with calling(jdcloud(clock), clock) as caller:
        told = [each["resourceType"] for each in (await caller.ask("GET", "quotas"))["quotas"]]
    assert ("image" in told, "imageShare" in told, len(told)) == (True, False, 7)


@pytest.mark.parametrize(
    ("query", "told"),
    [
        (f"{ONLY_IMAGES}&filters.1.operator=eq", ""),
        (f"{ONLY_IMAGES}&filters.1.values.2=imageShare&imageId=img-1", ""),
        (f"{ONLY_IMAGES}&filters.1.values.2=imageShare", "INVALID_ARGUMENT: Parameter ImageId missing"),
        ("filters.1.name=colour&filters.1.values.1=red", "INVALID_ARGUMENT: Invalid filter 'colour'"),
        ("filters.1.name=resourceTypes&filters.1.values.1=moon", "INVALID_ARGUMENT: Invalid resourceTypes"),
        (
            "filters.1.name=resourceTypes",
            "INVALID_ARGUMENT: The parameter `filters` must be a list of {name, operator, values}.",
        ),
        (
            f"{ONLY_IMAGES}&filters.1.operator=near",
            "INVALID_ARGUMENT: The parameter `filters` must be a list of {name, operator, values}.",
        ),
    ],
)
async def test_filters_of_quotas_are_held_to_their_rules(query: str, told: str) -> None:
    assert await words("quotas", query, "vm") == told


async def test_the_quota_of_snapshots_counts_every_disk() -> None:
    clock = FakeClock()
    rehearsal = jdcloud(clock, snapshot_quota=15)
    image(rehearsal, data_disks_gib=(5, 5))
    image(rehearsal)
    async with calling(rehearsal, clock) as caller:
        result = await caller.ask("GET", "quotas", {"type": "snapshot"}, service="disk")
    assert result == {"quota": {"limit": 15, "used": 4}}


@pytest.mark.parametrize(
    ("path", "params", "service", "told"),
    [
        ("quotas", {"type": "moon"}, "disk", "INVALID_ARGUMENT: Invalid type 'moon'"),
        ("quotas", {}, "disk", "INVALID_ARGUMENT: The request is missing a required parameter `type`."),
        ("snapshots/snap-none", {}, "disk", "NOT_FOUND: Snapshot 'snap-none' not found"),
        ("user:describeUserPin", {}, "iam", "INVALID_ARGUMENT: accessKey or accountId is needed"),
        ("user:describeUserPin", {"accessKey": "nobody"}, "iam", "NOT_FOUND: The access key does not exist"),
    ],
)
async def test_what_is_not_there_is_said_to_be_so(path: str, params: dict[str, Any], service: str, told: str) -> None:
    assert await words(path, params, service) == told


async def test_the_pin_of_a_key_is_told() -> None:
    clock = FakeClock()
    async with calling(jdcloud(clock, account_id="pin-1"), clock) as caller:
        asked = {"accessKey": REHEARSAL_KEY.secret_id}
        assert await caller.ask("GET", "user:describeUserPin", asked, service="iam") == {"pin": "pin-1"}


async def test_a_role_gives_a_temporary_key_that_ends() -> None:
    clock = FakeClock()
    async with calling(jdcloud(clock), clock) as caller:
        asked = {"assumeRoleInfo": {"roleJrn": ROLE, "roleSessionName": "s", "durationSeconds": None, "policy": None}}
        told = (await caller.ask("POST", SESSION, asked, service="sts"))["credentials"]
        own = caller.with_key(secret_id=told["accessKey"], secret_key=told["secretKey"], token=told["sessionToken"])
        during = await own.status("GET", "images", {"imageSource": "private"})
        clock.jump(3600)
        after = await own.status("GET", "images", {"imageSource": "private"})
    assert (told["expiration"], during, after) == ("2026-01-01 09:00:00", "", "ACCESS_ERROR")


@pytest.mark.parametrize(
    ("info", "told"),
    [
        (None, "INVALID_ARGUMENT: The request is missing a required parameter `assumeRoleInfo`."),
        ({"roleJrn": ROLE}, "INVALID_ARGUMENT: roleSessionName is needed"),
        (
            {"roleJrn": "jrn:iam::1:role/other", "roleSessionName": "s"},
            "PERMISSION_DENIED: The role does not exist, or does not trust this user",
        ),
        (
            {"roleJrn": [ROLE], "roleSessionName": "s"},
            "PERMISSION_DENIED: The role does not exist, or does not trust this user",
        ),
        (
            {"roleJrn": ROLE, "roleSessionName": "s", "durationSeconds": True},
            "INVALID_ARGUMENT: durationSeconds must be 3600 to 43200",
        ),
        (
            {"roleJrn": ROLE, "roleSessionName": "s", "durationSeconds": 3599},
            "INVALID_ARGUMENT: durationSeconds must be 3600 to 43200",
        ),
        (
            {"roleJrn": ROLE, "roleSessionName": "s", "durationSeconds": "3600"},
            "INVALID_ARGUMENT: durationSeconds must be 3600 to 43200",
        ),
        ({"roleJrn": ROLE, "roleSessionName": "s", "durationSeconds": 43200}, ""),
    ],
)
async def test_a_role_is_only_given_by_the_rules(info: dict[str, Any] | None, told: str) -> None:
    clock = FakeClock()
    async with calling(jdcloud(clock), clock) as caller:
        assert await caller.words("POST", SESSION, {"assumeRoleInfo": info}, service="sts") == told
