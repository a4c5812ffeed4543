from __future__ import annotations

import pytest

from imageferry.clouds.credentials import Around, Credentials, Keys
from imageferry.clouds.huawei.credentials import SOURCES
from imageferry.clouds.huawei.storage import Storage, signature, signed, string_to_sign
from imageferry.clouds.objects import Missing, Present, key_text
from imageferry.clouds.wire import Wire
from imageferry.core.account import CredentialSpec
from imageferry.core.answers import Answer
from imageferry.rehearsal.options import REHEARSAL_KEY
from imageferry.telemetry.metrics import Metrics
from support.clocks import FakeClock
from support.huawei_rehearsals import BUCKET, REGION
from support.huawei_stages import NOWHERE, huawei_account, staged
from support.sockets import Peer, listening

KEYS = Keys("FAKEAKEXAMPLE0000000", "FakeSecretKeyForTestsOnlyDoNotUse0000000")
TOKEN = Keys(KEYS.id, KEYS.secret, "FAKE-SECURITY-TOKEN-for-tests-only")
DATE = "Thu, 15 Jan 2026 08:16:30 GMT"
NOW = 1_768_464_990_000_000


def test_a_date_in_the_storages_own_header_leaves_its_line_empty() -> None:
    text = string_to_sign("HEAD", {"x-obs-date": DATE}, f"/demo-bucket/{key_text('exports/centos7_5 镜像.qcow2')}")
    expected = f"HEAD\n\n\n\nx-obs-date:{DATE}\n/demo-bucket/exports/centos7_5%20%E9%95%9C%E5%83%8F.qcow2"
    assert (text, signature(KEYS.secret, text)) == (expected, "tubL/mOZXFYyNdPUzA3qvKcBwic=")


def test_a_token_is_signed_with_the_storages_own_headers() -> None:
    headers = {"date": DATE, "x-obs-security-token": TOKEN.token}
    text = string_to_sign("HEAD", headers, "/demo-bucket/exports/centos7_5.qcow2")
    expected = f"HEAD\n\n\n{DATE}\nx-obs-security-token:{TOKEN.token}\n/demo-bucket/exports/centos7_5.qcow2"
    assert (text, signature(TOKEN.secret, text)) == (expected, "9hoxU8TyL0wG8z/WhrBbSlBkgIA=")


def test_a_head_is_signed_with_date_and_token() -> None:
    headers = signed(KEYS, "demo-bucket", "exports/centos7_5 镜像.qcow2", NOW)
    assert headers == {"x-obs-date": DATE, "authorization": f"OBS {KEYS.id}:tubL/mOZXFYyNdPUzA3qvKcBwic="}
    assert signed(TOKEN, "b", "k", NOW)["x-obs-security-token"] == TOKEN.token


async def head(status: int, headers: str = "", endpoint: str = "{url}/{bucket}") -> tuple[object, bytes]:
    """What one canned answer is taken for, and the request."""

    async def answering(peer: Peer) -> None:
        while await peer.request() is not None:
            await peer.answer(f"HTTP/1.1 {status} X\r\nx-obs-request-id: r-1\r\n{headers}\r\n".encode())

    async with listening(answering) as server:
        account = huawei_account(storage_endpoint=endpoint.replace("{url}", server.url))
        clock = FakeClock()
        wire = Wire(account, clock, Metrics())
        storage = Storage(account, wire, Credentials(account, NOWHERE, wire, clock, SOURCES), clock.now)
        seen = await storage.head("demo", REGION, "a/b.qcow2")
        await wire.aclose()
    return seen, server.requests[0]


async def test_an_object_has_size_date_and_etag() -> None:
    shown = f'content-length: 5\r\nlast-modified: {DATE}\r\netag: "e-7"\r\n'
    seen, request = await head(200, shown)
    assert seen == Present(5, NOW, '"e-7"')
    assert request.startswith(b"HEAD /demo/a/b.qcow2 HTTP/1.1\r\n")


async def test_a_bucket_and_a_region_in_the_host_are_filled_in() -> None:
    _, request = await head(404, "content-length: 0\r\n", "{url}/{region}/{bucket}/")
    assert request.startswith(f"HEAD /{REGION}/demo/a/b.qcow2 HTTP/1.1\r\n".encode())


async def test_an_object_that_is_not_there_is_missing() -> None:
    assert (await head(404, "content-length: 0\r\n"))[0] == Missing("r-1")


@pytest.mark.parametrize(
    ("status", "klass"),
    [
        (401, "permanent_config"),
        (403, "permanent_config"),
        (301, "permanent_config"),
        (307, "permanent_config"),
        (400, "permanent_config"),
        (408, "retry"),
        (409, "retry"),
        (429, "retry"),
        (500, "retry"),
        (503, "retry"),
    ],
)
async def test_every_other_status_tells_neither(status: int, klass: str) -> None:
    seen, _ = await head(status, "content-length: 0\r\n")
    assert isinstance(seen, Answer)
    assert (seen.klass, seen.request_id) == (klass, "r-1")


@pytest.mark.parametrize("shown", [f"last-modified: {DATE}\r\ncontent-length: x\r\n", "content-length: 5\r\n"])
async def test_an_answer_without_size_or_date_is_asked_for_again(shown: str) -> None:
    seen, _ = await head(200, shown)
    assert isinstance(seen, Answer)
    assert seen.klass in ("retry", "unanswered")


async def test_without_keys_nothing_is_sent() -> None:
    account = huawei_account(credentials=CredentialSpec(source="env"))
    clock = FakeClock()
    wire = Wire(account, clock, Metrics())
    seen = await Storage(account, wire, Credentials(account, NOWHERE, wire, clock, SOURCES), clock.now).head(
        "b", "r", "k"
    )
    await wire.aclose()
    assert isinstance(seen, Answer)
    assert seen.klass == "auth"


@pytest.mark.parametrize("token", ["", "token-1"])
async def test_the_rehearsals_storage_takes_the_signature(token: str) -> None:
    key = {"secret_id": REHEARSAL_KEY.secret_id, "secret_key": REHEARSAL_KEY.secret_key, "token": token}
    environ = {
        "HUAWEICLOUD_SDK_AK": key["secret_id"],
        "HUAWEICLOUD_SDK_SK": key["secret_key"],
        "HUAWEICLOUD_SDK_SECURITY_TOKEN": token,
    }
    around = Around(environ, NOWHERE.home)
    spec = CredentialSpec(source="env")
    async with staged(account={"credentials": spec}, around=around, keys=[key], storage_schemes=["obs"]) as stage:
        job = await stage.running(await stage.export(prefix="a/b"))
        stage.clock.jump(10)
        told = await stage.follow(job)
    assert (told.reason, told.object_keys) == ("the object is there; seen once", job.object_keys)
    assert job.destination == BUCKET
