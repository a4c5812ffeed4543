from __future__ import annotations

import json
from typing import Any

import pytest
from structlog.testing import capture_logs

from imageferry.clouds.huawei.images import to_image
from imageferry.core.image import Image
from imageferry.core.times import SECOND
from imageferry.errors import CircuitOpen, Refused
from imageferry.ports import Gone
from support.clocks import START
from support.gates import OpenGate
from support.huawei_rehearsals import NOBODY, OTHER_REGION, PROJECT, REGION, image
from support.huawei_stages import PLACE, huawei_account, staged
from support.sockets import Peer, listening

GIB = 1 << 30


async def test_an_image_is_read_with_every_fact() -> None:
    async with staged() as stage:
        made = START - 3600 * SECOND
        image_id = image(stage.server, name="生产 镜像-01", size_gib=50, tags={"env": "prod"}, created_at=made)
        seen = await stage.image(image_id)
    assert seen == Image(
        place=PLACE,
        id=image_id,
        name="生产 镜像-01",
        os="linux",
        os_name="Ubuntu Server 22.04 LTS 64bit",
        arch="x86_64",
        size_gib=50,
        state="ready",
        visibility="private",
        encrypted=False,
        tags={"env": "prod"},
        created_at=made,
        extra={
            "kind": "system",
            "whole_image": False,
            "backup_id": "",
            "product_code": "",
            "origin": seen.extra["origin"],
            "bytes": 50 * GIB,
        },
    )
    assert seen.extra["origin"].startswith("instance,")


def row(**changes: Any) -> dict[str, Any]:
    shown = {"id": "i-1", "status": "active", "owner": PROJECT, "__imagetype": "private", "__os_type": "Linux"}
    return {**shown, "min_disk": 40, "__image_size": "449261568", **changes}


@pytest.mark.parametrize(
    ("changes", "name", "value"),
    [
        ({"__os_type": "Windows"}, "os", "windows"),
        ({"__os_type": "Other"}, "os", "other"),
        ({"__os_type": None}, "os", "other"),
        ({"__os_version": "CentOS 7.3 64bit", "__platform": "CentOS"}, "os_name", "CentOS 7.3 64bit"),
        ({"__platform": "CentOS"}, "os_name", "CentOS"),
        ({"__support_arm": "true"}, "arch", "aarch64"),
        ({"__os_bit": "32"}, "arch", "i386"),
        ({"__os_bit": 64}, "arch", "x86_64"),
        ({"__image_size": "449261568"}, "size_gib", 1),
        ({"__image_size": str(128 * GIB)}, "size_gib", 128),
        ({"__image_size": str(128 * GIB + 1)}, "size_gib", 129),
        ({"__image_size": "0"}, "size_gib", 40),
        ({"__image_size": None}, "size_gib", 40),
        ({"__image_size": "0", "min_disk": None}, "size_gib", None),
        ({"status": "queued"}, "state", "pending"),
        ({"status": "saving"}, "state", "pending"),
        ({"status": "killed"}, "state", "failed"),
        ({"status": "deleted"}, "state", "gone"),
        ({"__imagetype": "gold"}, "visibility", "public"),
        ({"__imagetype": "market", "visibility": "public"}, "visibility", "market"),
        ({"__imagetype": "shared", "owner": "another"}, "visibility", "shared"),
        ({"__imagetype": "shared"}, "visibility", "private"),
        ({"__imagetype": "strange"}, "visibility", None),
        ({"__system__cmkid": "key-1"}, "encrypted", True),
        ({"__system__encrypted": "1"}, "encrypted", True),
        ({"__system__encrypted": "true"}, "encrypted", True),
        ({}, "encrypted", False),
        (
            {"tags": ["env=prod", "old.value", "bare", "a.b=c"]},
            "tags",
            {"env": "prod", "old": "value", "bare": "", "a.b": "c"},
        ),
        ({"tags": [{"key": "env", "value": "prod"}]}, "tags", {"env": "prod"}),
        ({"tags": None}, "tags", {}),
        ({"created_at": "2026-01-01T00:00:00Z"}, "created_at", START),
        ({"created_at": "long ago"}, "created_at", None),
    ],
)
def test_a_vendors_word_becomes_the_common_one(changes: dict[str, Any], name: str, value: object) -> None:
    assert getattr(to_image(row(**changes), PLACE, PROJECT), name) == value


@pytest.mark.parametrize(
    ("changes", "name", "value"),
    [
        ({"virtual_env_type": "IsoImage"}, "kind", "iso"),
        ({"virtual_env_type": "FusionCompute", "disk_format": "iso"}, "kind", "iso"),
        ({"virtual_env_type": "DataImage"}, "kind", "data"),
        ({"virtual_env_type": "Ironic"}, "kind", "baremetal"),
        ({"__whole_image": "true"}, "whole_image", True),
        ({"__whole_image": True}, "whole_image", True),
        ({"__backup_id": "b-1"}, "backup_id", "b-1"),
        ({"__productcode": "p-1"}, "product_code", "p-1"),
        ({"__data_origin": "image,cn-east-3,i-9"}, "origin", "image,cn-east-3,i-9"),
        ({"__image_size": "12"}, "bytes", 12),
    ],
)
def test_facts_that_only_this_cloud_has_are_kept(changes: dict[str, Any], name: str, value: object) -> None:
    assert to_image(row(**changes), PLACE, PROJECT).extra[name] == value


async def test_a_state_that_nobody_knows_is_not_ready_yet_and_is_said_once() -> None:
    assert to_image(row(status="dreaming"), PLACE, PROJECT).state == "pending"
    body = json.dumps({"images": [row(status="dreaming")]}).encode()

    async def dreaming(peer: Peer) -> None:
        while await peer.request() is not None:
            await peer.answer(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(body) + body)

    async with listening(dreaming) as server, staged(account={"endpoint": server.url}) as stage:
        with capture_logs() as lines:
            for _ in range(3):
                await stage.image("i-1")
    assert [line["state"] for line in lines if line["log_level"] == "warning"] == ["dreaming"]


async def test_one_or_two_images_are_a_request_each() -> None:
    async with staged() as stage:
        ids = [image(stage.server) for _ in range(2)]
        assert list(await stage.cloud.look(REGION, ids)) == ids
        assert (stage.asked("ListImages"), stage.gate.classes) == (2, ["ok", "ok"])


@pytest.mark.parametrize("page_info", [True, False])
async def test_many_images_are_one_request_a_hundred(*, page_info: bool) -> None:
    async with staged(page_info=page_info, image_quota=None) as stage:
        ids = [image(stage.server) for _ in range(130)]
        found = await stage.cloud.look(REGION, ids)
        assert all(isinstance(found[each], Image) for each in ids)
        assert stage.asked("ListImages") == 2


@pytest.mark.parametrize("options", [{"list_most": 30, "list_over": "cut"}, {"list_most": 30, "page_info": False}])
async def test_a_server_that_gives_less_than_was_asked_for_is_understood(options: dict[str, Any]) -> None:
    async with staged(image_quota=None, **options) as stage:
        ids = [image(stage.server) for _ in range(50)]
        found = await stage.cloud.look(REGION, ids)
        assert all(isinstance(found[each], Image) for each in ids)


async def test_three_unknown_ids_among_a_hundred_cost_a_handful() -> None:
    async with staged(image_quota=None) as stage:
        known = [image(stage.server) for _ in range(97)]
        unknown = [NOBODY, NOBODY[:-1] + "1", "not an id at all"]
        found = await stage.cloud.look(REGION, [*known[:50], *unknown, *known[50:]])
        assert [each for each in found if isinstance(found[each], Gone)] == unknown
        assert stage.asked("ListImages") <= 5


async def test_the_list_is_left_where_asking_one_by_one_is_shorter() -> None:
    async with staged(image_quota=None) as stage:
        old = [image(stage.server, created_at=START - number * SECOND) for number in range(900)][-3:]
        found = await stage.cloud.look(REGION, old)
        assert all(isinstance(each, Image) for each in found.values())
        assert stage.asked("ListImages") == 6


async def test_images_of_others_are_found_though_the_list_has_them_not() -> None:
    async with staged() as stage:
        public = image(stage.server, image_type="PUBLIC_IMAGE")
        shared = image(stage.server, image_type="SHARED_IMAGE")
        lent = image(stage.server, extra={"shared_out": True})
        own = image(stage.server)
        found = await stage.cloud.look(REGION, [public, shared, lent, own])
    kinds = {each: seen.visibility for each, seen in found.items() if isinstance(seen, Image)}
    assert kinds == {public: "public", shared: "shared", lent: "private", own: "private"}


async def test_an_unknown_id_is_gone() -> None:
    async with staged() as stage:
        assert await stage.cloud.look(REGION, [NOBODY]) == {
            NOBODY: Gone(f"the cloud does not have {NOBODY} in {REGION}")
        }


async def test_an_id_that_is_refused_by_its_code_is_gone_with_the_reason() -> None:
    async with staged() as stage:
        stage.misbehave("code", "ListImages", code="IMG.0031", message="bad id")
        look = (await stage.cloud.look(REGION, ["not an id"]))["not an id"]
    assert isinstance(look, Gone)
    assert "IMG.0031: bad id" in look.reason


@pytest.mark.parametrize("status", [404, 405])
async def test_an_endpoint_that_does_not_have_the_list_makes_no_image_gone(status: int) -> None:
    async with staged() as stage:
        stage.misbehave("status", "ListImages", status=status)
        with pytest.raises(Refused):
            await stage.cloud.look(REGION, [NOBODY])


async def test_a_look_that_is_refused_raises_the_answer() -> None:
    async with staged(retry_after_seconds=3) as stage:
        stage.misbehave("throttle", "ListImages")
        with pytest.raises(Refused) as caught:
            await stage.cloud.look(REGION, [NOBODY])
    answer = caught.value.answer
    assert (answer.klass, answer.vendor_code, bool(answer.request_id)) == ("throttled", "APIGW.0308", True)
    assert (answer.retry_after, stage.gate.classes) == (3.0, ["throttled"])


@pytest.mark.parametrize(("fault", "klass"), [("status", "retry"), ("garbage", "retry"), ("drop", "unanswered")])
async def test_a_look_without_a_readable_answer_is_told_apart(fault: str, klass: str) -> None:
    async with staged() as stage:
        stage.misbehave(fault, "ListImages")
        with pytest.raises(Refused) as caught:
            await stage.cloud.look(REGION, [NOBODY])
    assert (caught.value.answer.klass, stage.gate.classes) == (klass, [klass])


async def test_a_success_without_a_list_is_no_proof_that_an_image_is_gone() -> None:
    async def empty(peer: Peer) -> None:
        while await peer.request() is not None:
            await peer.answer(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}")

    async with listening(empty) as server, staged(account={"endpoint": server.url}) as stage:
        with pytest.raises(Refused, match="no list of images"):
            await stage.cloud.look(REGION, [NOBODY])


async def test_pages_that_go_in_a_circle_come_to_an_end() -> None:
    body = json.dumps({"images": [row(id="i-9")], "page_info": {"next_marker": "i-9"}}).encode()

    async def circling(peer: Peer) -> None:
        while await peer.request() is not None:
            await peer.answer(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(body) + body)

    async with listening(circling) as server, staged(account={"endpoint": server.url}) as stage:
        found = await stage.cloud.look(REGION, [f"i-{number}" for number in range(9)])
        assert all(isinstance(look, Gone) for look in found.values())
        assert len(server.requests) <= 2 + 9


async def test_a_closed_account_is_not_asked() -> None:
    async with staged(gate=OpenGate(closed_after=0)) as stage:
        with pytest.raises(CircuitOpen):
            await stage.cloud.look(REGION, [NOBODY])
        assert stage.asked("ListImages") == 0


async def test_every_region_is_asked_in_its_own_lane_and_project() -> None:
    async with staged() as stage:
        image_id = image(stage.server, region=OTHER_REGION)
        assert (await stage.image(image_id, OTHER_REGION)).place.region == OTHER_REGION
        assert stage.gate.entered == [(OTHER_REGION, "read")]


def test_the_stage_counts_as_the_cloud_does() -> None:
    assert huawei_account().lane(REGION) == REGION
