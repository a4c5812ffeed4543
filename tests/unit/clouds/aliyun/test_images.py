from __future__ import annotations

import random
from typing import Any

import pytest
from structlog.testing import capture_logs

from imageferry.clouds.aliyun.images import moment, to_image
from imageferry.core.image import Image
from imageferry.core.times import SECOND
from imageferry.errors import Refused
from imageferry.ports import Gone
from support.aliyun_rehearsals import OTHER_REGION, REGION, image
from support.aliyun_stages import PLACE, Stage, staged
from support.clocks import START

NOBODY = "m-bp1nobody00000000000"


async def test_an_image_is_read_with_every_fact() -> None:
    async with staged() as stage:
        made = START - 3600 * SECOND
        facts: dict[str, Any] = {
            "name": "生产-01",
            "size_gib": 50,
            "data_disks_gib": (10, 500),
            "tags": {"env": "prod"},
        }
        image_id = image(stage.server, created_at=made, **facts)
        seen = await stage.image(image_id)
    assert seen == Image(
        place=PLACE,
        id=image_id,
        name="生产-01",
        os="linux",
        os_name="Ubuntu Server 22.04 LTS 64bit",
        arch="x86_64",
        size_gib=50,
        state="ready",
        visibility="private",
        encrypted=False,
        tags={"env": "prod"},
        created_at=made,
        extra={"product_code": "", "data_disks_gib": [10, 500], "copied": False, "progress": 100},
    )


def row(**changes: Any) -> dict[str, Any]:
    return {"ImageId": "m-1", "Status": "Available", "ImageOwnerAlias": "self", "OSType": "linux", **changes}


def disks(*each: dict[str, Any]) -> dict[str, Any]:
    return {"DiskDeviceMapping": list(each)}


@pytest.mark.parametrize(
    ("changes", "name", "value"),
    [
        ({"OSType": "windows"}, "os", "windows"),
        ({"OSType": "Windows"}, "os", "windows"),
        ({"OSType": "freebsd"}, "os", "other"),
        ({"OSType": ""}, "os", None),
        ({"OSNameEn": "CentOS 7.9", "OSName": "CentOS 7.9 64位", "Platform": "CentOS"}, "os_name", "CentOS 7.9"),
        ({"OSName": "CentOS 7.9 64位", "Platform": "CentOS"}, "os_name", "CentOS 7.9 64位"),
        ({"Platform": "CentOS"}, "os_name", "CentOS"),
        ({}, "os_name", None),
        ({"Architecture": "arm64"}, "arch", "aarch64"),
        ({"Architecture": "i386"}, "arch", "i386"),
        ({"Architecture": "riscv"}, "arch", "other"),
        ({}, "arch", None),
        ({"Size": 40}, "size_gib", 40),
        ({"Size": "40"}, "size_gib", 40),
        ({"Size": None}, "size_gib", None),
        ({"Status": "Creating"}, "state", "pending"),
        ({"Status": "Waiting"}, "state", "pending"),
        ({"Status": "CreateFailed"}, "state", "failed"),
        ({"Status": "UnAvailable"}, "state", "failed"),
        ({"Status": "Deprecated"}, "state", "deprecated"),
        ({"Status": "Strange"}, "state", "pending"),
        ({"ImageOwnerAlias": "system"}, "visibility", "public"),
        ({"ImageOwnerAlias": "marketplace"}, "visibility", "market"),
        ({"ImageOwnerAlias": "others"}, "visibility", "shared"),
        ({"ImageOwnerAlias": "others", "IsPublic": True}, "visibility", "public"),
        ({"ImageOwnerAlias": "others", "IsPublic": "false"}, "visibility", "shared"),
        ({"ImageOwnerAlias": "strange"}, "visibility", None),
        ({"DiskDeviceMappings": disks({"Encrypted": False}, {"Encrypted": True})}, "encrypted", True),
        ({"DiskDeviceMappings": disks({"Encrypted": "False"})}, "encrypted", False),
        ({"DiskDeviceMappings": disks({"Type": "system"})}, "encrypted", None),
        ({}, "encrypted", None),
        ({"Tags": {"Tag": [{"TagKey": "env", "TagValue": "prod"}]}}, "tags", {"env": "prod"}),
        ({"Tags": [{"Tag": {"TagKey": "env", "TagValue": None}}]}, "tags", {"env": ""}),
        ({"Tags": {"Tag": []}}, "tags", {}),
        ({"CreationTime": "2026-01-01T00:00:00Z"}, "created_at", START),
        ({"CreationTime": "2026-01-01T00:00Z"}, "created_at", START),
        ({"CreationTime": "long ago"}, "created_at", None),
    ],
)
def test_a_vendors_word_becomes_the_common_one(changes: dict[str, Any], name: str, value: object) -> None:
    assert getattr(to_image(row(**changes), PLACE), name) == value


@pytest.mark.parametrize(
    ("changes", "name", "value"),
    [
        ({"ProductCode": "cmjj1"}, "product_code", "cmjj1"),
        ({"ProductCode": None}, "product_code", ""),
        (
            {"DiskDeviceMappings": disks({"Type": "system", "Size": "20"}, {"Type": "data", "Size": "500"})},
            "data_disks_gib",
            [500],
        ),
        ({"IsCopied": "True"}, "copied", True),
        ({"Progress": "42%"}, "progress", 42),
        ({"Progress": ""}, "progress", None),
    ],
)
def test_facts_that_only_this_cloud_has_are_kept(changes: dict[str, Any], name: str, value: object) -> None:
    assert to_image(row(**changes), PLACE).extra.get(name) == value


def test_a_time_is_read_with_and_without_its_zone() -> None:
    assert [moment(text) for text in ("2026-01-01T00:00:00Z", "2026-01-01T00:00:00", "", None)] == [
        START,
        START,
        None,
        None,
    ]


# --- looking -------------------------------------------------------------------------------------------------------


async def test_a_hundred_images_are_one_request_and_an_unknown_one_is_gone() -> None:
    async with staged() as stage:
        ids = [image(stage.server) for _ in range(99)]
        looks = await stage.cloud.look(REGION, [*ids, NOBODY, ids[0]])
        assert stage.asked("DescribeImages") == 1
    assert [isinstance(looks[each], Image) for each in ids] == [True] * 99
    assert looks[NOBODY] == Gone(f"the cloud does not have {NOBODY} in {REGION}")


async def test_images_that_are_not_ready_yet_are_seen() -> None:
    async with staged() as stage:
        waiting, failed = image(stage.server, ready_seconds=60.0), image(stage.server, fails=True)
        states = [(await stage.image(each)).state for each in (waiting, failed)]
    assert states == ["pending", "failed"]


async def test_an_image_is_looked_for_in_its_own_region_alone() -> None:
    async with staged() as stage:
        there = image(stage.server, region=OTHER_REGION)
        assert isinstance((await stage.cloud.look(REGION, [there]))[there], Gone)


@pytest.mark.parametrize("seed", range(3))
async def test_one_bad_id_spoils_no_batch_and_is_kept_out_of_the_next_ones(seed: int) -> None:
    async with staged(unknown_ids="error") as stage:
        ids = [image(stage.server) for _ in range(30)]
        asked = [*ids, NOBODY]
        random.Random(seed).shuffle(asked)
        looks = await stage.cloud.look(REGION, asked)
        first = stage.asked("DescribeImages")
        again = await stage.cloud.look(REGION, asked)
        second = stage.asked("DescribeImages") - first
    assert looks == again
    assert {each for each, look in looks.items() if isinstance(look, Gone)} == {NOBODY}
    assert (first <= 15, second) == (True, 2)


async def test_a_bad_id_is_let_into_batches_again_after_a_while() -> None:
    async with staged(unknown_ids="error") as stage:
        known = image(stage.server)
        late = NOBODY
        await stage.cloud.look(REGION, [known, late])
        image(stage.server, image_id=late)
        assert isinstance((await stage.cloud.look(REGION, [known, late]))[late], Image)
        before = stage.asked("DescribeImages")
        await stage.cloud.look(REGION, [known, late])
        assert stage.asked("DescribeImages") - before == 1


@pytest.mark.parametrize("most", [1, 10])
async def test_a_cloud_that_takes_fewer_ids_is_asked_in_smaller_batches_from_then_on(most: int) -> None:
    async with staged(image_ids_most=most) as stage:
        ids = [image(stage.server) for _ in range(20)]
        looks = await stage.cloud.look(REGION, ids)
        before = stage.asked("DescribeImages")
        assert await stage.cloud.look(REGION, ids) == looks
        second = stage.asked("DescribeImages") - before
    assert [isinstance(looks[each], Image) for each in ids] == [True] * 20
    assert second == {1: 20, 10: 2}[most]


async def test_a_region_that_is_not_there_is_refused_at_once() -> None:
    async with staged() as stage:
        with pytest.raises(Refused) as caught:
            await stage.cloud.look("cn-nowhere", [NOBODY, "m-bp1nobody00000000001"])
        assert stage.asked("DescribeImages") == 1
    assert caught.value.answer.klass == "permanent_config"


@pytest.mark.parametrize("shape", [{"wrappers": "list"}, {"short_times": True}, {"shows_encrypted": False}])
async def test_answers_are_read_in_every_shape(shape: dict[str, Any]) -> None:
    async with staged(**shape) as stage:
        seen = await stage.image(image(stage.server, data_disks_gib=(10,)))
    assert (seen.state, seen.created_at, seen.extra["data_disks_gib"]) == ("ready", START, [10])
    assert seen.encrypted is (None if "shows_encrypted" in shape else False)


async def test_an_unknown_status_is_waited_for_and_told_once() -> None:
    async with staged() as stage:
        image_id = image(stage.server)
        images = stage.cloud._images
        with capture_logs() as logs:
            seen = [images._image(REGION, row(ImageId=image_id, Status="Strange")) for _ in range(2)]
    assert [each.state for each in seen] == ["pending", "pending"]
    assert [log["state"] for log in logs if "state" in log] == ["Strange"]


async def test_a_look_that_is_not_answered_is_told() -> None:
    async with staged() as stage:
        stage.misbehave("status", "DescribeImages", status=503, count=1)
        with pytest.raises(Refused):
            await stage.cloud.look(REGION, [NOBODY])


# --- listing -------------------------------------------------------------------------------------------------------


async def every_page(stage: Stage, region: str = REGION) -> list[list[Image]]:
    pages, marker = [], None
    while True:
        page = await stage.cloud.list_images(region, marker)
        pages.append(list(page.images))
        marker = page.marker
        if marker is None:
            return pages


@pytest.mark.parametrize("shape", [{}, {"order": "none"}, {"order": "oldest"}, {"wrappers": "list"}])
async def test_every_own_image_is_listed_page_by_page(shape: dict[str, Any]) -> None:
    async with staged(**shape) as stage:
        ids = {image(stage.server) for _ in range(150)}
        image(stage.server, region=OTHER_REGION)
        image(stage.server, image_type="PUBLIC_IMAGE")
        pages = await every_page(stage)
    assert [len(page) for page in pages] == [100, 50]
    assert {each.id for page in pages for each in page} == ids


@pytest.mark.parametrize(("count", "pages"), [(0, [0]), (100, [100]), (101, [100, 1])])
async def test_the_last_page_says_that_it_is_the_last(count: int, pages: list[int]) -> None:
    async with staged() as stage:
        for _ in range(count):
            image(stage.server)
        assert [len(page) for page in await every_page(stage)] == pages
