from __future__ import annotations

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials as BotoCredentials

from imageferry.clouds.credentials import Credentials, Keys
from imageferry.clouds.jdcloud.credentials import SOURCES
from imageferry.clouds.jdcloud.storage import Storage, sign_plain
from imageferry.clouds.objects import Missing, Present
from imageferry.clouds.wire import Wire
from imageferry.core.account import CredentialSpec
from imageferry.core.answers import Answer
from imageferry.core.times import SECOND
from imageferry.rehearsal.jdcloud import JdcloudRehearsal
from imageferry.rehearsal.misbehaviour import Misbehaviour
from imageferry.rehearsal.options import REHEARSAL_KEY
from imageferry.rehearsal.store import StoredObject
from imageferry.telemetry.metrics import Metrics
from support.clocks import START, FakeClock
from support.jdcloud_rehearsals import BUCKET, OTHER_REGION, REGION, jdcloud
from support.jdcloud_stages import NOWHERE, jdcloud_account
from support.rehearsals import served
from support.sockets import Peer, listening

KEY = "prodabcdefghij_exportImage_img-fake000029"


def signed_by_botocore(url: str, keys: Keys, region: str, now: int) -> str:
    """As botocore signs for services other than S3."""
    request = AWSRequest("HEAD", url)
    request.context["timestamp"] = datetime.fromtimestamp(now // SECOND, UTC).strftime("%Y%m%dT%H%M%SZ")
    request.headers["X-Amz-Date"] = request.context["timestamp"]
    auth = SigV4Auth(BotoCredentials(keys.id, keys.secret), "s3", region)
    # Other services' paths are normalised and encoded once more; the storage's are not.
    auth._normalize_url_path = lambda path: path
    text = auth.string_to_sign(request, auth.canonical_request(request))
    auth._inject_signature_to_request(request, auth.signature(text, request))
    return str(request.headers["Authorization"])


def test_300_random_keys_are_signed_as_botocore_signs_them() -> None:
    chance = random.Random(7)
    for _ in range(300):
        key = "".join(chance.choices("abcXYZ019-_.~+ @:&=!*'()/镜é", k=chance.randint(1, 40)))
        url = f"https://b-1.s3.r.example.com/{quote(key, safe='/-_.~')}"
        keys = Keys("AK" + str(chance.random()), str(chance.random()))
        now = START + chance.randint(0, 10**15)
        assert sign_plain("HEAD", url, keys, REGION, now)["authorization"] == signed_by_botocore(url, keys, REGION, now)


def test_the_plain_form_has_none_of_the_headers_that_the_storage_does_not_list() -> None:
    headers = sign_plain("HEAD", "https://b.example.com/k", Keys("i", "s", "t-1"), REGION, START)
    assert set(headers) == {"host", "x-amz-date", "authorization"}


@asynccontextmanager
async def storage(base_url: str, **changes: Any) -> AsyncIterator[Storage]:
    account, clock = jdcloud_account(base_url, **changes), FakeClock()
    wire = Wire(account, clock, Metrics())
    try:
        yield Storage(account, wire, Credentials(account, NOWHERE, wire, clock, SOURCES), clock.now)
    finally:
        await wire.aclose()


def holding(key: str = KEY, **options: Any) -> JdcloudRehearsal:
    server = jdcloud(**options)
    server.world.store.write(BUCKET, key, StoredObject(7, "etag-1", START, START))
    return server


@pytest.mark.parametrize("taken", ["either", "required", "refused"])
async def test_an_object_is_seen_whichever_headers_the_storage_takes_and_that_is_remembered(taken: str) -> None:
    server = holding(storage_content_hash=taken)
    async with served(server) as base_url, storage(base_url) as objects:
        assert await objects.head(BUCKET, REGION, KEY) == Present(7, START, '"etag-1"')
        first = server.requests.asked("HeadObject")
        assert isinstance(await objects.head(BUCKET, REGION, "absent"), Missing)
        assert (first, server.requests.asked("HeadObject") - first) == (2 if taken == "required" else 1, 1)


@pytest.mark.parametrize("key", ["a b/镜像~_-.+.qcow2", "/leading", "a%20b", "a?b#c"])
async def test_any_key_is_asked_for_as_it_is(key: str) -> None:
    async with served(holding(key)) as base_url, storage(base_url) as objects:
        assert isinstance(await objects.head(BUCKET, REGION, key), Present)


async def test_a_bucket_that_may_not_be_read_is_the_configs_fault_and_says_what_it_wants() -> None:
    server = holding(unreadable_buckets=[BUCKET])
    async with served(server) as base_url, storage(base_url) as objects:
        seen = await objects.head(BUCKET, REGION, KEY)
        assert server.requests.asked("HeadObject") == 2
    assert isinstance(seen, Answer)
    assert (seen.klass, "long-lived keys that may use oss:GetObject" in seen.message) == ("permanent_config", True)


@pytest.mark.parametrize(("taken", "seen"), [(True, Present), (False, Answer)])
async def test_temporary_keys_are_tried_with_their_token(taken: bool, seen: type) -> None:  # noqa: FBT001 - a parameter of a test
    words = {"access_key": REHEARSAL_KEY.secret_id, "secret_key": REHEARSAL_KEY.secret_key, "session_token": "t-1"}
    key = {"secret_id": REHEARSAL_KEY.secret_id, "secret_key": REHEARSAL_KEY.secret_key, "token": "t-1"}
    server = holding(keys=[key], storage_takes_tokens=taken)
    spec = CredentialSpec(source="static", values=words)
    async with served(server) as base_url, storage(base_url, credentials=spec) as objects:
        assert isinstance(await objects.head(BUCKET, REGION, KEY), seen)


async def test_another_region_is_another_place() -> None:
    async with served(holding()) as base_url, storage(base_url) as objects:
        assert isinstance(await objects.head(BUCKET, OTHER_REGION, KEY), Missing)


@pytest.mark.parametrize(
    ("status", "klass"), [(400, "retry"), (429, "retry"), (500, "retry"), (503, "retry"), (405, "permanent_config")]
)
async def test_a_status_that_tells_nothing_of_the_object_is_told_apart(status: int, klass: str) -> None:
    server = holding()
    server.misbehave(Misbehaviour(fault="status", action="HeadObject", status=status))
    async with served(server) as base_url, storage(base_url) as objects:
        seen = await objects.head(BUCKET, REGION, KEY)
    assert isinstance(seen, Answer)
    assert seen.klass == klass


async def test_once_a_form_has_proved_right_a_refusal_is_not_asked_again_in_the_other() -> None:
    server = holding()
    async with served(server) as base_url, storage(base_url) as objects:
        await objects.head(BUCKET, REGION, KEY)
        server.change({"unreadable_buckets": [BUCKET]})
        assert isinstance(await objects.head(BUCKET, REGION, KEY), Answer)
        assert server.requests.asked("HeadObject") == 2


async def test_an_answer_without_size_or_date_is_asked_for_again() -> None:
    async def answering(peer: Peer) -> None:
        while await peer.request() is not None:
            await peer.answer(b"HTTP/1.1 200 OK\r\nx-amz-request-id: r-1\r\ncontent-length: 7\r\n\r\n")

    async with listening(answering) as server, storage(server.url) as objects:
        seen = await objects.head(BUCKET, REGION, KEY)
    assert seen == Answer("retry", "the storage's answer lacks size or date", request_id="r-1")


async def test_without_keys_nothing_is_asked() -> None:
    server = holding()
    async with (
        served(server) as base_url,
        storage(base_url, credentials=CredentialSpec(source="env")) as objects,
    ):
        seen = await objects.head(BUCKET, REGION, KEY)
        assert server.requests.asked("HeadObject") == 0
    assert isinstance(seen, Answer)
    assert seen.klass == "auth"
