from __future__ import annotations

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials as BotoCredentials

from imageferry.clouds.credentials import Around, Credentials, Keys
from imageferry.clouds.objects import Missing, Objects, Present, sign_s3
from imageferry.clouds.tencent.credentials import SOURCES
from imageferry.clouds.wire import Wire
from imageferry.core.account import CredentialSpec
from imageferry.core.answers import Answer
from imageferry.core.times import SECOND
from imageferry.errors import Refused
from imageferry.ports import Bucket
from imageferry.rehearsal.store import StoredObject
from imageferry.rehearsal.tencent import TencentRehearsal
from imageferry.telemetry.metrics import Metrics
from support.accounts import tencent_account
from support.clocks import START, FakeClock
from support.rehearsals import BUCKET, REGION, served, tencent
from support.sockets import Peer, listening

KEY = "nightly_img-72n9mi0y_system_snap-fiux4bof.qcow2"


def signed_by_botocore(url: str, keys: Keys, region: str, now: int) -> dict[str, str]:
    request = AWSRequest("HEAD", url)
    request.context["timestamp"] = datetime.fromtimestamp(now // SECOND, UTC).strftime("%Y%m%dT%H%M%SZ")
    auth = S3SigV4Auth(BotoCredentials(keys.id, keys.secret, keys.token or None), "s3", region)
    auth._modify_request_before_signing(request)
    text = auth.string_to_sign(request, auth.canonical_request(request))
    auth._inject_signature_to_request(request, auth.signature(text, request))
    return {name.lower(): value for name, value in request.headers.items()}


@pytest.mark.parametrize("token", ["", "session-token"])
@pytest.mark.parametrize(
    "url",
    [
        f"https://archive-1250000000.cos.ap-guangzhou.myqcloud.com/{KEY}",
        f"http://127.0.0.1:9000/archive-1250000000/{KEY}",
        "https://b.example.com/a%20b/%E9%95%9C%E5%83%8F~_-.%2B.raw",
        "https://b.example.com//leading/slash.raw",
        "http://127.0.0.1:9000/archive-1250000000",
    ],
)
def test_a_head_is_signed_as_botocore_signs_it(url: str, token: str) -> None:
    keys = Keys("AKIDexample", "secret/+example", token)
    ours = sign_s3("HEAD", url, keys, "ap-guangzhou", START)
    assert ours["authorization"] == signed_by_botocore(url, keys, "ap-guangzhou", START)["authorization"]


def test_300_random_keys_are_signed_as_botocore_signs_them() -> None:
    chance = random.Random(7)
    for _ in range(300):
        key = "".join(chance.choices("abcXYZ019-_.~+ @:&=!*'()/镜é", k=chance.randint(1, 40)))
        url = f"https://b-1.cos.r.example.com/{quote(key, safe='/-_.~')}"
        keys = Keys("AKID" + str(chance.random()), str(chance.random()))
        now = START + chance.randint(0, 10**15)
        ours = sign_s3("HEAD", url, keys, "ap-shanghai", now)
        assert ours["authorization"] == signed_by_botocore(url, keys, "ap-shanghai", now)["authorization"]


def test_a_token_is_sent_and_signed() -> None:
    headers = sign_s3("HEAD", "https://b.example.com/k", Keys("i", "s", "t-1"), "r", START)
    assert headers["x-amz-security-token"] == "t-1"
    assert "SignedHeaders=host;x-amz-content-sha256;x-amz-date;x-amz-security-token," in headers["authorization"]


@asynccontextmanager
async def storage(base_url: str, **changes: Any) -> AsyncIterator[Objects]:
    account, clock = tencent_account(base_url, **changes), FakeClock()
    wire = Wire(account, clock, Metrics())
    credentials = Credentials(account, Around({}, Path("/nowhere")), wire, clock, SOURCES)
    try:
        yield Objects(account, wire, credentials, clock.now)
    finally:
        await wire.aclose()


@asynccontextmanager
async def rehearsed(**options: Any) -> AsyncIterator[tuple[TencentRehearsal, Objects]]:
    cloud = tencent(FakeClock(), **options)
    async with served(cloud) as base_url, storage(base_url) as objects:
        yield cloud, objects


def put(cloud: TencentRehearsal, key: str, size: int = 7) -> None:
    cloud.world.store.write(BUCKET, key, StoredObject(size, "etag-1", START - 90 * SECOND, START - 90 * SECOND))


@pytest.mark.parametrize("key", [KEY, "/leading-slash.raw", "with blank+plus~tilde.raw", "镜像.raw"])
async def test_an_object_that_is_there_has_size_time_and_etag(key: str) -> None:
    async with rehearsed() as (cloud, objects):
        put(cloud, key)
        assert await objects.head(BUCKET, REGION, key) == Present(7, START - 90 * SECOND, '"etag-1"')


async def test_an_object_that_is_not_there_is_missing() -> None:
    async with rehearsed() as (_, objects):
        assert isinstance(await objects.head(BUCKET, REGION, KEY), Missing)


async def test_a_bucket_that_may_not_be_read_is_a_matter_of_configuration() -> None:
    async with rehearsed(unreadable_buckets=[BUCKET]) as (_, objects):
        seen = await objects.head(BUCKET, REGION, KEY)
    assert isinstance(seen, Answer)
    assert (seen.klass, "403" in seen.message, bool(seen.request_id)) == ("permanent_config", True, True)


@pytest.mark.parametrize(
    ("status", "klass"),
    [(500, "retry"), (503, "retry"), (429, "retry"), (301, "permanent_config"), (401, "permanent_config")],
)
async def test_another_status_is_classed(status: int, klass: str) -> None:
    async def answering(peer: Peer) -> None:
        while await peer.request() is not None:
            await peer.answer(f"HTTP/1.1 {status} X\r\ncontent-length: 0\r\n\r\n".encode())

    async with listening(answering) as server, storage(server.url) as objects:
        seen = await objects.head(BUCKET, REGION, KEY)
    assert isinstance(seen, Answer)
    assert seen.klass == klass


@pytest.mark.parametrize("headers", ["content-length: 5\r\n", "last-modified: Thu, 01 Jan 2026 00:00:00 GMT\r\n"])
async def test_a_yes_without_size_or_date_is_no_object_yet(headers: str) -> None:
    async def answering(peer: Peer) -> None:
        while await peer.request() is not None:
            await peer.answer(f"HTTP/1.1 200 OK\r\n{headers}connection: close\r\n\r\n".encode())

    async with listening(answering) as server, storage(server.url) as objects:
        seen = await objects.head(BUCKET, REGION, KEY)
    assert seen == Answer("retry", "the storage's answer lacks size or date")


async def test_the_endpoint_may_name_bucket_and_region_anywhere() -> None:
    async def answering(peer: Peer) -> None:
        while await peer.request() is not None:
            await peer.answer(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n")

    async with listening(answering) as server, storage(server.url) as objects:
        objects._endpoint = server.url + "/gate/{region}/{bucket}/"
        await objects.head("b-1", "ap-shanghai", "k")
        assert server.requests[0].startswith(b"HEAD /gate/ap-shanghai/b-1/k HTTP/1.1\r\n")


async def test_without_keys_nothing_is_asked() -> None:
    async with storage("http://127.0.0.1:9", credentials=CredentialSpec(source="static")) as objects:
        seen = await objects.head(BUCKET, REGION, KEY)
    assert isinstance(seen, Answer)
    assert seen.klass == "auth"


@pytest.mark.parametrize(("bucket", "there"), [(BUCKET, True), ("other-1250000000", False)])
async def test_whether_a_bucket_is_there(bucket: str, there: bool) -> None:  # noqa: FBT001 - a parameter of a test
    async with rehearsed() as (_, objects):
        seen = await objects.bucket(bucket, REGION)
    assert seen == Bucket(there, REGION if there else "")


async def test_a_bucket_that_may_not_be_looked_into_says_so() -> None:
    async with rehearsed(unreadable_buckets=[BUCKET]) as (_, objects):
        with pytest.raises(Refused) as refused:
            await objects.bucket(BUCKET, REGION)
    assert refused.value.answer.klass == "permanent_config"
