from __future__ import annotations

from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from imageferry.clouds.aliyun.storage import Listed, Storage
from imageferry.clouds.credentials import Around
from imageferry.clouds.objects import Missing, Present
from imageferry.core.account import CredentialSpec
from imageferry.core.answers import Answer
from imageferry.core.times import SECOND
from support.aliyun_rehearsals import BUCKET, OTHER_REGION, REGION, image
from support.aliyun_stages import NOWHERE, Stage, staged
from support.clocks import START
from support.sockets import Peer, listening

GIB = 1 << 30


def storage_of(stage: Stage) -> Storage:
    return stage.cloud._exports.storage


async def exported(stage: Stage, **facts: Any) -> list[str]:
    """An export that has ended; the keys of its objects."""
    await stage.running(await stage.export(image(stage.server, **facts)))
    stage.clock.jump(10)
    return [str(key) for key in stage.server.tasks[-1].objects]


# --- against the rehearsal -----------------------------------------------------------------------------------------


async def test_an_object_is_seen_with_size_and_date() -> None:
    async with staged() as stage:
        [key] = await exported(stage, size_gib=40)
        seen = await storage_of(stage).head(BUCKET, REGION, key)
        [shown] = stage.server.state(["objects"])["objects"]
    assert isinstance(seen, Present)
    assert (seen.size, seen.last_modified) == (shown["size"], START + 2 * SECOND)
    assert seen.etag


async def test_one_that_is_not_there_is_missing() -> None:
    async with staged() as stage:
        assert isinstance(await storage_of(stage).head(BUCKET, REGION, "生产 a*b~c+d/x.raw"), Missing)


async def test_a_token_is_signed() -> None:
    key = {"secret_id": "STS.1", "secret_key": "made-up-1", "token": "token/+=1"}
    words = {"access_key_id": "STS.1", "access_key_secret": "made-up-1", "security_token": "token/+=1"}
    account = {"credentials": CredentialSpec(source="static", values=words)}
    async with staged(account=account, keys=[key]) as stage:
        assert isinstance(await storage_of(stage).head(BUCKET, REGION, "x"), Missing)


async def test_objects_are_listed_by_the_beginning_of_their_keys() -> None:
    async with staged() as stage:
        keys = await exported(stage, data_disks_gib=(10,))
        await exported(stage)
        listed = await storage_of(stage).list(BUCKET, REGION, keys[0].partition("_")[0])
        none = await storage_of(stage).list(BUCKET, REGION, "nothing")
    assert isinstance(listed, Listed)
    assert sorted(listed.objects) == sorted(keys)
    assert all(each.size > 0 and each.last_modified == START + 2 * SECOND for each in listed.objects.values())
    assert none == Listed({})


@pytest.mark.parametrize("skew", [3600.0, -3600.0])
async def test_a_clock_that_is_off_is_put_right_once(skew: float) -> None:
    async with staged() as stage:
        stage.server.change({"clock_skew_seconds": skew})
        assert isinstance(await storage_of(stage).head(BUCKET, REGION, "x"), Missing)
        assert abs(stage.cloud.vendor_time(START) - START - skew * SECOND) <= SECOND


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"unreadable_buckets": [BUCKET]}, "grant the keys oss:GetObject"),
        ({"buckets": {BUCKET: OTHER_REGION}}, "the bucket is in another region than the image"),
        ({"path_style": False}, "SecondLevelDomainForbidden"),
    ],
)
@pytest.mark.parametrize("header", [True, False])
async def test_what_a_person_must_put_right_is_said(options: dict[str, Any], words: str, *, header: bool) -> None:
    async with staged(storage_error_header=header, **options) as stage:
        seen = await storage_of(stage).head(BUCKET, REGION, "x")
    assert isinstance(seen, Answer)
    assert seen.klass == "permanent_config"
    assert words in seen.message or not header


async def test_a_bucket_that_is_not_there_has_no_object_and_no_list() -> None:
    async with staged(buckets={}) as stage:
        assert isinstance(await storage_of(stage).head(BUCKET, REGION, "x"), Missing)
        listed = await storage_of(stage).list(BUCKET, REGION, "x")
    assert isinstance(listed, Answer)
    assert (listed.klass, listed.message) == ("permanent_config", f"there is no bucket {BUCKET}")


async def test_a_bucket_that_may_not_be_listed_is_refused() -> None:
    async with staged(storage_lists=False) as stage:
        listed = await storage_of(stage).list(BUCKET, REGION, "x")
    assert isinstance(listed, Answer)
    assert (listed.klass, listed.vendor_code) == ("permanent_config", "AccessDenied")


@pytest.mark.parametrize("fault", ["drop", "status"])
async def test_an_answer_that_is_missing_proves_nothing(fault: str) -> None:
    async with staged() as stage:
        stage.misbehave(fault, "HeadObject", count=1)
        seen = await storage_of(stage).head(BUCKET, REGION, "x")
    assert isinstance(seen, Answer)
    assert seen.klass in ("retry", "unanswered")


async def test_without_keys_nothing_is_sent() -> None:
    account = {"credentials": CredentialSpec(source="env")}
    async with staged(account=account, around=Around({}, NOWHERE.home)) as stage:
        seen = await storage_of(stage).head(BUCKET, REGION, "x")
        listed = await storage_of(stage).list(BUCKET, REGION, "x")
    assert [isinstance(each, Answer) and each.klass for each in (seen, listed)] == ["auth", "auth"]


# --- against canned answers ----------------------------------------------------------------------------------------


@asynccontextmanager
async def canned(status: int, headers: str = "", body: str = "") -> AsyncIterator[tuple[Storage, list[bytes]]]:
    async def answering(peer: Peer) -> None:
        while await peer.request() is not None:
            head = f"HTTP/1.1 {status} X\r\ncontent-length: {len(body)}\r\nx-oss-request-id: r-1\r\n{headers}\r\n"
            await peer.answer((head.replace("content-length: 0\r\n", "") + body).encode())
            await peer.close()

    async with listening(answering) as server, staged(account={"storage_endpoint": server.url + "/{bucket}"}) as stage:
        yield storage_of(stage), server.requests


async def head(status: int, headers: str = "") -> object:
    async with canned(status, headers) as (storage, _):
        return await storage.head("demo", REGION, "a/b.qcow2")


async def test_a_request_names_bucket_and_key_in_the_path_and_the_region_in_its_scope() -> None:
    async with canned(404, "content-length: 0\r\n") as (storage, requests):
        await storage.head("demo", REGION, "生产 a*~+b.qcow2")
        await storage.list("demo", REGION, "a b")
    texts = [each.decode() for each in requests]
    assert texts[0].startswith("HEAD /demo/%E7%94%9F%E4%BA%A7%20a%2A~%2Bb.qcow2 HTTP/1.1\r\n")
    assert texts[1].startswith("GET /demo/?list-type=2&max-keys=100&prefix=a%20b HTTP/1.1\r\n")
    assert all("x-oss-content-sha256: UNSIGNED-PAYLOAD\r\n" in text for text in texts)
    assert all("date: Thu, 01 Jan 2026 00:00:00 GMT\r\n" in text for text in texts)
    assert all(f"/20260101/{REGION}/oss/aliyun_v4_request,Signature=" in text for text in texts)


def error(code: str, number: str) -> str:
    text = f"<Error><Code>{code}</Code><Message>m</Message><EC>{number}</EC></Error>"
    return f"content-length: 0\r\nx-oss-err: {b64encode(text.encode()).decode()}\r\nx-oss-ec: {number}\r\n"


@pytest.mark.parametrize(
    ("status", "headers", "klass", "words"),
    [
        (400, error("PublicEndpointForbidden", "0048-00000401"), "permanent_config", "oss-{region}-internal"),
        (400, error("InvalidArgument", "0002-00000226"), "permanent_config", "in another region"),
        (403, error("AccessDenied", "0003-00000001"), "permanent_config", "oss:GetObject"),
        (403, error("InvalidAccessKeyId", "0002-00000902"), "permanent_config", "InvalidAccessKeyId"),
        (403, error("SignatureDoesNotMatch", "0002-00000040"), "permanent_config", "SignatureDoesNotMatch"),
        (403, error("RequestTimeTooSkewed", "0002-00000504"), "retry", "RequestTimeTooSkewed"),
        (403, "content-length: 0\r\nx-oss-err: no base64!\r\n", "permanent_config", "may not look at objects here"),
        (403, "content-length: 0\r\n", "permanent_config", "may not look at objects here"),
        (408, "content-length: 0\r\n", "retry", "HTTP 408"),
        (429, "content-length: 0\r\n", "retry", "HTTP 429"),
        (503, "content-length: 0\r\n", "retry", "HTTP 503"),
        (301, "content-length: 0\r\n", "permanent_config", "HTTP 301"),
    ],
)
async def test_a_refusal_has_a_class_and_says_what_to_do(status: int, headers: str, klass: str, words: str) -> None:
    seen = await head(status, headers)
    assert isinstance(seen, Answer)
    assert (seen.klass, seen.request_id) == (klass, "r-1")
    assert words in seen.message


async def test_an_answer_without_a_date_is_asked_for_again() -> None:
    seen = await head(200, "content-length: 5\r\n")
    assert isinstance(seen, Answer)
    assert seen.klass == "retry"


async def test_a_list_is_read_with_whatever_stands_in_it() -> None:
    body = (
        "<ListBucketResult><Contents><Key>a&amp;b_1.raw</Key><LastModified>2026-01-01T00:00:00.000Z</LastModified>"
        '<ETag>"x"</ETag><Size>7</Size></Contents><Contents><Key>broken</Key></Contents></ListBucketResult>'
    )
    async with canned(200, body=body) as (storage, _):
        assert await storage.list("demo", REGION, "a") == Listed({"a&b_1.raw": Present(7, START, '"x"')})
