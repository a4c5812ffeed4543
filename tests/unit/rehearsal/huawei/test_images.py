from typing import Any

import pytest

from imageferry.core.times import SECOND
from support.clocks import START, FakeClock
from support.huawei_rehearsals import NOBODY, PROJECT, REGION, calling, huawei, image


async def listed(filters: dict[str, str], *facts: dict[str, Any], **options: Any) -> list[str]:
    """The names of the images that a list with these filters shows."""
    clock = FakeClock()
    rehearsal = huawei(clock, **options)
    for each in facts:
        image(rehearsal, **each)
    async with calling(rehearsal, clock) as caller:
        return [each["name"] for each in await caller.images(**filters)]


async def refusal(filters: dict[str, str], **options: Any) -> str:
    clock = FakeClock()
    async with calling(huawei(clock, **options), clock) as caller:
        return await caller.code("GET", "/v2/cloudimages", filters)


async def one(facts: dict[str, Any], **options: Any) -> dict[str, Any]:
    clock = FakeClock()
    rehearsal = huawei(clock, **options)
    image(rehearsal, **facts)
    async with calling(rehearsal, clock) as caller:
        return (await caller.images())[0]


async def test_an_image_has_its_facts_as_texts() -> None:
    facts = {
        "name": "web",
        "size_gib": 30,
        "platform": "CentOS",
        "os_name": "CentOS 7.3 64bit",
        "tags": {"env": "prod", "flag": ""},
        "encrypted": True,
    }
    shown = await one(facts)
    wanted = {
        "name": "web",
        "status": "active",
        "visibility": "private",
        "owner": PROJECT,
        "tags": ["env=prod", "flag="],
        "created_at": "2026-01-01T00:00:00Z",
        "active_at": "2026-01-01T00:00:00Z",
        "disk_format": "zvhd2",
        "virtual_env_type": "FusionCompute",
        "min_disk": 40,
        "size": 0,
        "__imagetype": "private",
        "__image_size": str(30 << 30),
        "__os_type": "Linux",
        "__os_bit": "64",
        "__platform": "CentOS",
        "__os_version": "CentOS 7.3 64bit",
        "__isregistered": "true",
    }
    assert {name: shown[name] for name in wanted} == wanted
    assert shown["__system__cmkid"] != ""
    assert not {"__support_arm", "__whole_image", "__backup_id", "__productcode", "__root_origin"} & shown.keys()


@pytest.mark.parametrize(
    ("facts", "wanted"),
    [
        ({"architecture": "aarch64"}, {"__support_arm": "true"}),
        ({"architecture": "i386"}, {"__os_bit": "32"}),
        ({"platform": "Windows", "os_name": "Windows Server 2022"}, {"__os_type": "Windows", "__platform": "Windows"}),
        ({"platform": "Other", "os_name": "Other(64 bit)"}, {"__os_type": "Other"}),
        ({"image_type": "PUBLIC_IMAGE"}, {"__imagetype": "gold", "visibility": "public"}),
        ({"image_type": "MARKET_IMAGE"}, {"__imagetype": "market", "visibility": "public"}),
        ({"image_type": "SHARED_IMAGE"}, {"__imagetype": "shared", "visibility": "shared", "owner": "5" * 32}),
        ({"extra": {"shared_out": True}}, {"__imagetype": "shared", "owner": PROJECT}),
        ({"extra": {"backup_id": "b", "product_code": "p"}}, {"__backup_id": "b", "__productcode": "p"}),
        ({"extra": {"root_origin": "file", "account_code": "a"}}, {"__root_origin": "file", "__account_code": "a"}),
        ({"extra": {"virtual_env_type": "IsoImage", "disk_format": "iso"}}, {"virtual_env_type": "IsoImage"}),
        ({"ready_seconds": 5}, {"status": "saving"}),
        ({"fails": True}, {"status": "killed"}),
        ({"size_gib": 500}, {"min_disk": 500}),
        ({"extra": {"min_disk_gib": 1}}, {"min_disk": 1}),
    ],
)
async def test_facts_show_in_the_vendors_words(facts: dict[str, Any], wanted: dict[str, Any]) -> None:
    shown = await one(facts)
    assert {name: shown[name] for name in wanted} == wanted


@pytest.mark.parametrize(
    ("options", "facts", "name", "value"),
    [
        ({"shown_size": "zero"}, {}, "__image_size", "0"),
        ({"shown_size": "absent"}, {}, "__image_size", None),
        ({}, {"instance_image": True}, "__whole_image", None),
        ({"shows_whole_image": True}, {"instance_image": True}, "__whole_image", "true"),
        ({}, {"encrypted": True}, "__system__encrypted", None),
        ({"shows_encrypted_flag": True}, {"encrypted": True}, "__system__encrypted", "1"),
        ({"tag_separator": "."}, {"tags": {"a": "b"}}, "tags", ["a.b"]),
        ({"pending_status": "queued"}, {"ready_seconds": 1}, "status", "queued"),
        ({}, {"ready_seconds": 1}, "active_at", None),
    ],
)
async def test_what_the_vendor_leaves_open_of_fields_is_a_switch(
    options: dict[str, Any], facts: dict[str, Any], name: str, value: Any
) -> None:
    assert (await one(facts, **options)).get(name) == value


ZOO: tuple[dict[str, Any], ...] = (
    {"name": "own", "tags": {"env": "prod"}, "created_at": START - 100 * SECOND},
    {"name": "windows", "platform": "Windows", "created_at": START - 90 * SECOND},
    {"name": "arm", "architecture": "aarch64", "created_at": START - 80 * SECOND},
    {"name": "whole", "instance_image": True, "created_at": START - 70 * SECOND},
    {"name": "killed", "fails": True, "created_at": START - 60 * SECOND},
    {"name": "public", "image_type": "PUBLIC_IMAGE", "created_at": START - 50 * SECOND},
    {"name": "shared", "image_type": "SHARED_IMAGE", "created_at": START - 40 * SECOND},
    {
        "name": "offered",
        "image_type": "SHARED_IMAGE",
        "extra": {"member_status": "pending"},
        "created_at": START - 30 * SECOND,
    },
    {"name": "iso", "extra": {"virtual_env_type": "IsoImage", "disk_format": "iso"}, "created_at": START - 20 * SECOND},
)
PRIVATE = ["iso", "killed", "whole", "arm", "windows", "own"]


@pytest.mark.parametrize(
    ("filters", "names"),
    [
        ({}, ["iso", "shared", "public", "killed", "whole", "arm", "windows", "own"]),
        ({"__imagetype": "private"}, PRIVATE),
        ({"__imagetype": "private", "owner": PROJECT}, PRIVATE),
        ({"__imagetype": "private", "owner": "f" * 32}, []),
        ({"__imagetype": "gold"}, ["public"]),
        ({"visibility": "public"}, ["public"]),
        ({"__imagetype": "shared", "visibility": "shared", "member_status": "accepted"}, ["shared"]),
        ({"__imagetype": "shared", "visibility": "shared", "member_status": "pending"}, ["offered"]),
        ({"status": "killed"}, ["killed"]),
        ({"__os_type": "Windows"}, ["windows"]),
        ({"__platform": "Windows"}, ["windows"]),
        ({"architecture": "arm"}, ["arm"]),
        ({"__whole_image": "true"}, ["whole"]),
        ({"name": "own"}, ["own"]),
        ({"name": "ow"}, []),
        ({"tag": "env=prod"}, ["own"]),
        ({"tag": "env.prod"}, ["own"]),
        ({"tag": "env=test"}, []),
        ({"virtual_env_type": "IsoImage"}, ["iso"]),
        ({"disk_format": "iso"}, ["iso"]),
        ({"__isregistered": "false"}, []),
        ({"created_at": "gte:2025-12-31T23:59:20Z"}, ["iso", "shared"]),
        ({"created_at": "gt:2025-12-31T23:59:20Z"}, ["iso"]),
        ({"updated_at": "lt:2025-12-31T23:58:30Z"}, ["own"]),
        ({"created_at": "eq:2025-12-31T23:58:30Z"}, ["windows"]),
        ({"id": NOBODY}, []),
        ({"enterprise_project_id": "all_granted_eps", "name": "own"}, ["own"]),
        ({"enterprise_project_id": "e1"}, []),
        ({"sort_key": "name", "sort_dir": "asc", "__imagetype": "private"}, sorted(PRIVATE)),
        ({"sort_dir": "asc", "__imagetype": "private"}, PRIVATE[::-1]),
    ],
)
async def test_filters_choose_images(filters: dict[str, str], names: list[str]) -> None:
    assert await listed(filters, *ZOO) == names


async def test_an_image_is_found_by_its_id() -> None:
    clock = FakeClock()
    rehearsal = huawei(clock)
    ids = [image(rehearsal) for _ in range(3)]
    async with calling(rehearsal, clock) as caller:
        assert [each["id"] for each in await caller.images(id=ids[1])] == [ids[1]]
    assert rehearsal.requests.last[-1].image_ids == (ids[1],)


@pytest.mark.parametrize(
    ("filters", "code"),
    [
        ({"__imagetype": "own"}, "IMG.0024"),
        ({"status": "ready"}, "IMG.0001"),
        ({"__os_type": "linux"}, "IMG.0001"),
        ({"sort_key": "colour"}, "IMG.0001"),
        ({"sort_dir": "up"}, "IMG.0001"),
        ({"limit": "many"}, "IMG.0001"),
        ({"limit": "-1"}, "IMG.0001"),
        ({"limit": "9999"}, ""),
        ({"created_at": "2026-01-01T00:00:00Z"}, "IMG.0001"),
        ({"created_at": "after:2026-01-01T00:00:00Z"}, "IMG.0001"),
        ({"created_at": "gt:yesterday"}, "IMG.0001"),
        ({"marker": NOBODY}, "IMG.0031"),
        ({"colour": "red"}, "IMG.0001"),
    ],
)
async def test_filters_are_held_to_their_rules(filters: dict[str, str], code: str) -> None:
    assert await refusal(filters) == code


async def test_a_limit_over_the_most_is_refused_where_the_switch_says_so() -> None:
    assert await refusal({"limit": "11"}, list_most=10, list_over="refused") == "IMG.0001"


async def pages(limit: int | None, **options: Any) -> list[tuple[int, bool]]:
    """How many images each page has, and whether it names the next marker; 7 images in all."""
    clock = FakeClock()
    rehearsal = huawei(clock, **options)
    for _ in range(7):
        image(rehearsal)
    seen: list[str] = []
    sizes = []
    async with calling(rehearsal, clock) as caller:
        while len(seen) < 7:
            query = {**({"limit": limit} if limit else {}), **({"marker": seen[-1]} if seen else {})}
            answer = await caller.ask("GET", "/v2/cloudimages", query)
            sizes.append((len(answer["images"]), "next_marker" in answer.get("page_info", {})))
            seen += [each["id"] for each in answer["images"]]
    assert len(set(seen)) == 7
    return sizes


async def test_pages_go_on_behind_the_last_image_of_the_one_before() -> None:
    assert await pages(3) == [(3, True), (3, True), (1, False)]


async def test_pages_need_not_say_that_they_go_on() -> None:
    assert await pages(3, page_info=False) == [(3, False), (3, False), (1, False)]


async def test_a_page_is_cut_at_the_most() -> None:
    assert await pages(100, list_most=5) == [(5, True), (2, False)]


async def test_a_page_without_limit_has_what_a_page_may_have() -> None:
    assert (await pages(None), await pages(None, list_most=6)) == ([(7, False)], [(6, True), (1, False)])


@pytest.mark.parametrize(("quota", "shown"), [(20, 20), (None, 100_000)])
async def test_the_quota_counts_private_images_of_the_region(quota: int | None, shown: int) -> None:
    clock = FakeClock()
    rehearsal = huawei(clock, image_quota=quota)
    for facts in ({}, {}, {"image_type": "PUBLIC_IMAGE"}, {"region": "cn-north-1"}):
        image(rehearsal, **facts)
    async with calling(rehearsal, clock) as caller:
        (told,) = (await caller.ask("GET", "/v1/cloudimages/quota"))["quotas"]["resources"]
    assert (told["type"], told["used"], told["quota"]) == ("image", 2, shown)


def test_facts_that_are_not_this_clouds_are_refused() -> None:
    with pytest.raises(ValueError, match="colour"):
        image(huawei(), extra={"colour": "red"})


def test_an_image_in_a_region_that_is_not_there_is_refused() -> None:
    with pytest.raises(ValueError, match="mars-1"):
        image(huawei(), region="mars-1")


async def test_an_image_that_was_removed_is_gone() -> None:
    clock = FakeClock()
    rehearsal = huawei(clock)
    image_id = image(rehearsal)
    removed = rehearsal.remove_image(REGION, image_id)
    async with calling(rehearsal, clock) as caller:
        assert (removed, await caller.images()) == (True, [])
