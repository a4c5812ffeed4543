"""Listing an account's own images, on every cloud that can be rehearsed."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from imageferry.clouds.aliyun.adapter import AliyunCloud
from imageferry.clouds.credentials import Around
from imageferry.clouds.huawei.adapter import HuaweiCloud
from imageferry.clouds.jdcloud.adapter import JdCloud
from imageferry.clouds.tencent.adapter import TencentCloud
from imageferry.core.account import Account
from imageferry.core.image import Image, Place
from imageferry.core.times import SECOND
from imageferry.errors import CircuitOpen, Refused
from imageferry.ports import Cloud, own_images
from imageferry.rehearsal.control import Rehearsal
from imageferry.rehearsal.misbehaviour import Misbehaviour
from imageferry.rehearsal.options import RATES
from imageferry.rehearsal.store import NewImage
from imageferry.telemetry.metrics import Metrics
from support.accounts import tencent_account
from support.aliyun_rehearsals import aliyun
from support.aliyun_stages import aliyun_account
from support.clocks import START, FakeClock
from support.gates import OpenGate
from support.huawei_rehearsals import huawei
from support.huawei_stages import huawei_account
from support.jdcloud_rehearsals import jdcloud
from support.jdcloud_stages import jdcloud_account
from support.rehearsals import served, tencent
from support.sockets import Peer, listening


class Vendor(NamedTuple):
    """How one cloud is put on a stage."""

    rehearsal: Callable[..., Any]
    options: dict[str, Any]
    account: Callable[..., Account]
    adapter: Callable[..., Any]
    action: str


VENDORS = {
    "tencent": Vendor(tencent, {"rates": dict.fromkeys(RATES)}, tencent_account, TencentCloud, "DescribeImages"),
    "aliyun": Vendor(aliyun, {}, aliyun_account, AliyunCloud, "DescribeImages"),
    "huawei": Vendor(huawei, {"image_quota": None}, huawei_account, HuaweiCloud, "ListImages"),
    "jdcloud": Vendor(jdcloud, {"requests_a_minute": None}, jdcloud_account, JdCloud, "describeImages"),
}


class Stage(NamedTuple):
    """A rehearsal and the adapter that asks it."""

    vendor: Vendor
    server: Rehearsal
    cloud: Cloud
    gate: OpenGate
    region: str

    def add(self, **facts: Any) -> str:
        return self.server.add_image(NewImage(**{"region": self.region, **facts}))

    async def listed(self) -> list[Image]:
        return [image async for page in own_images(self.cloud, self.region) for image in page]

    def misbehave(self, fault: Any, **more: Any) -> None:
        self.server.misbehave(Misbehaviour(fault=fault, action=self.vendor.action, **more))


@pytest.fixture(params=VENDORS)
def name(request: pytest.FixtureRequest) -> str:
    word: str = request.param
    return word


@asynccontextmanager
async def staged(
    name: str, gate: OpenGate | None = None, base_url: str | None = None, **options: Any
) -> AsyncIterator[Stage]:
    vendor, clock, gate = VENDORS[name], FakeClock(), gate or OpenGate()
    server = vendor.rehearsal(clock, **{**vendor.options, **options})
    async with served(server) as own_url:
        account = vendor.account(base_url or own_url)
        cloud = vendor.adapter(account, gate, clock, Metrics(), Around({}, Path("/nowhere")))
        try:
            yield Stage(vendor, server, cloud, gate, account.regions[0])
        finally:
            await cloud.aclose()


async def test_an_account_without_images_has_one_empty_page(name: str) -> None:
    async with staged(name) as stage:
        assert await stage.listed() == []


async def test_two_hundred_and_fifty_images_come_in_pages_each_once(name: str) -> None:
    async with staged(name) as stage:
        ids = [stage.add(created_at=START - number * SECOND) for number in range(250)]
        listed = [image.id for image in await stage.listed()]
        assert (len(listed), set(listed)) == (250, set(ids))
        pages = [page async for page in own_images(stage.cloud, stage.region)]
        assert [len(page) for page in pages if page] == [100, 100, 50]


async def test_images_of_the_same_second_come_once_each(name: str) -> None:
    async with staged(name) as stage:
        ids = {stage.add(created_at=START - SECOND) for _ in range(130)}
        listed = [image.id for image in await stage.listed()]
        assert (len(listed), set(listed)) == (130, ids)


async def test_a_listed_image_is_what_a_look_shows(name: str) -> None:
    async with staged(name) as stage:
        made = stage.add(name="生产 镜像-☃ 01", created_at=START - 60 * SECOND)
        [listed] = await stage.listed()
        looks = await stage.cloud.look(stage.region, [made])
    assert (listed.name, listed.place) == ("生产 镜像-☃ 01", Place(name, "prod", stage.region))
    assert looks == {made: listed}


async def test_only_own_images_are_listed_and_in_any_state(name: str) -> None:
    async with staged(name) as stage:
        for kind in ("PUBLIC_IMAGE", "SHARED_IMAGE", "MARKET_IMAGE"):
            stage.add(image_type=kind)
        ready, pending, failed = stage.add(), stage.add(ready_seconds=60.0), stage.add(fails=True)
        states = {image.id: image.state for image in await stage.listed()}
    assert states == {ready: "ready", pending: "pending", failed: "failed"}


async def test_an_own_image_that_is_shared_with_others_is_listed_as_private() -> None:
    async with staged("huawei") as stage:
        ids = {stage.add(), stage.add(extra={"shared_out": True})}
        assert {(image.id, image.visibility) for image in await stage.listed()} == {(each, "private") for each in ids}


async def test_another_region_is_not_listed(name: str) -> None:
    async with staged(name) as stage:
        stage.add()
        other = stage.add(region=VENDORS[name].account().regions[1])
        assert other not in {image.id for image in await stage.listed()}


async def test_every_request_passes_the_gate_on_the_read_lane(name: str) -> None:
    async with staged(name) as stage:
        for _ in range(120):
            stage.add()
        await stage.listed()
        assert set(stage.gate.entered) == {(stage.region, "read")}
        assert len(stage.gate.entered) == stage.server.requests.asked(stage.vendor.action)
        assert set(stage.gate.classes) == {"ok"}


async def test_a_page_in_the_middle_that_is_refused_is_said(name: str) -> None:
    async with staged(name) as stage:
        for _ in range(150):
            stage.add()
        first = await stage.cloud.list_images(stage.region)
        assert first.marker is not None
        stage.misbehave("throttle", count=1)
        with pytest.raises(Refused) as caught:
            await stage.cloud.list_images(stage.region, first.marker)
        assert caught.value.answer.klass == "throttled"
        assert len((await stage.cloud.list_images(stage.region, first.marker)).images) == 50


async def test_a_closed_account_is_not_asked(name: str) -> None:
    async with staged(name, OpenGate(closed_after=0)) as stage:
        with pytest.raises(CircuitOpen):
            await stage.cloud.list_images(stage.region)
        assert stage.server.requests.asked(stage.vendor.action) == 0


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("tencent", {"Response": {"RequestId": "r-1"}}),
        ("aliyun", {"RequestId": "r-1"}),
        ("huawei", {}),
        ("jdcloud", {"result": {}, "requestId": "r-1"}),
    ],
)
async def test_a_success_without_a_list_is_not_an_account_without_images(name: str, body: object) -> None:
    content = json.dumps(body).encode()

    async def empty(peer: Peer) -> None:
        while await peer.request() is not None:
            await peer.answer(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(content) + content)

    async with listening(empty) as server, staged(name, base_url=server.url) as stage:
        with pytest.raises(Refused, match="no list of images"):
            await stage.listed()


async def test_pages_that_go_in_a_circle_come_to_an_end() -> None:
    row = {"id": "i-9", "status": "active", "__imagetype": "private"}
    content = json.dumps({"images": [row], "page_info": {"next_marker": "i-9"}}).encode()

    async def circling(peer: Peer) -> None:
        while await peer.request() is not None:
            await peer.answer(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(content) + content)

    async with listening(circling) as server, staged("huawei", base_url=server.url) as stage:
        assert [image.id for image in await stage.listed()] == ["i-9"]
        assert len(server.requests) <= 4
