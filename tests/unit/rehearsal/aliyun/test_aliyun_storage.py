from typing import Any

import pytest

from imageferry.rehearsal.misbehaviour import HEAD_OBJECT, Misbehaviour
from support.aliyun_rehearsals import (
    BUCKET,
    OTHER_REGION,
    Caller,
    aliyun,
    calling,
    calling_over_http,
    image,
    storage_code,
)
from support.clocks import FakeClock

OUTSIDE = f"http://{BUCKET}.oss-cn-hangzhou.aliyuncs.com"
INSIDE = f"http://{BUCKET}.oss-cn-hangzhou-internal.aliyuncs.com"
ELSEWHERE = f"http://{BUCKET}.oss-cn-shanghai.aliyuncs.com"


async def exported(caller: Caller, rehearsal: Any, clock: FakeClock, image_id: str, **more: Any) -> None:
    """Export an image to its end."""
    await caller.export(image(rehearsal, image_id=image_id), **more)
    clock.jump(2)


@pytest.mark.parametrize(
    ("key", "bucket", "options", "status", "code"),
    [
        ("", BUCKET, {}, 200, ""),
        ("some", BUCKET, {}, 404, "NoSuchKey"),
        ("镜像/a b*~+.qcow2", BUCKET, {}, 404, "NoSuchKey"),
        ("", "missing", {}, 404, "NoSuchBucket"),
        ("", BUCKET, {"unreadable_buckets": [BUCKET]}, 403, "AccessDenied"),
        ("", BUCKET, {"clock_skew_seconds": 901}, 403, "RequestTimeTooSkewed"),
        ("", BUCKET, {"buckets": {BUCKET: OTHER_REGION}}, 400, "InvalidArgument"),
        ("", BUCKET, {"buckets": {BUCKET: OTHER_REGION}, "storage_checks_region": False}, 200, ""),
        ("", BUCKET, {"path_style": False}, 403, "SecondLevelDomainForbidden"),
    ],
)
async def test_a_bucket_and_its_objects_answer_by_their_status(
    key: str, bucket: str, options: dict[str, Any], status: int, code: str
) -> None:
    clock = FakeClock()
    async with calling(aliyun(clock, **options), clock) as caller:
        answer = await caller.head(key, bucket)
    assert (answer.status_code, storage_code(answer), answer.content) == (status, code, b"")
    assert len(answer.headers["x-oss-request-id"]) == 24


async def test_a_bucket_of_another_region_has_its_own_detail() -> None:
    clock = FakeClock()
    async with calling(aliyun(clock, buckets={BUCKET: OTHER_REGION}), clock) as caller:
        assert (await caller.head("")).headers["x-oss-ec"] == "0002-00000226"


async def test_an_object_tells_its_facts() -> None:
    clock = FakeClock()
    rehearsal = aliyun(clock)
    async with calling(rehearsal, clock) as caller:
        await exported(caller, rehearsal, clock, "m-a")
        headers = (await caller.head("m-a_system.raw.tar.gz")).headers
    assert (headers["x-oss-object-type"], headers["x-oss-storage-class"]) == ("Multipart", "Standard")
    assert (headers["last-modified"], headers["etag"][-4:]) == ("Thu, 01 Jan 2026 00:00:02 GMT", '-64"')
    assert headers["x-oss-hash-crc64ecma"].isdecimal()
    assert "content-md5" not in headers


@pytest.mark.parametrize(
    ("base", "options", "status", "code"),
    [
        (OUTSIDE, {}, 200, ""),
        (INSIDE, {}, 200, ""),
        (f"{OUTSIDE}:8080", {}, 200, ""),
        (ELSEWHERE, {}, 403, "AccessDenied"),
        (OUTSIDE, {"path_style": False}, 200, ""),
        (OUTSIDE, {"public_hosts": False}, 400, "PublicEndpointForbidden"),
        (INSIDE, {"public_hosts": False}, 200, ""),
    ],
)
async def test_a_bucket_may_stand_in_the_host(base: str, options: dict[str, Any], status: int, code: str) -> None:
    clock = FakeClock()
    rehearsal = aliyun(clock, **options)
    async with calling(rehearsal, clock) as caller:
        await exported(caller, rehearsal, clock, "m-a")
        answer = await caller.storage("HEAD", "m-a_system.raw.tar.gz", base=base)
    assert (answer.status_code, storage_code(answer)) == (status, code)


async def test_a_wrong_storage_signature_is_refused() -> None:
    clock = FakeClock()
    async with calling(aliyun(clock), clock) as caller:
        answers = [
            await caller.with_key(secret_key="wrong").head(""),
            await caller.with_key(secret_id="nobody").head(""),
            await caller.with_key(token="stray").head(""),
            await caller.client.head(f"/{BUCKET}/some"),
        ]
    assert [(each.status_code, storage_code(each)) for each in answers] == [
        (403, "SignatureDoesNotMatch"),
        (403, "InvalidAccessKeyId"),
        (403, "InvalidSecurityToken"),
        (403, "AccessDenied"),
    ]


async def test_errors_of_head_may_be_bare() -> None:
    clock = FakeClock()
    async with calling(aliyun(clock, storage_error_header=False), clock) as caller:
        answer = await caller.head("some")
    assert (answer.status_code, [name for name in answer.headers if name.startswith("x-oss-e")]) == (404, [])


async def test_a_bucket_is_listed_by_prefix_page_by_page() -> None:
    clock = FakeClock()
    rehearsal = aliyun(clock)
    async with calling(rehearsal, clock) as caller:
        for letter in "abc":
            await exported(caller, rehearsal, clock, f"m-{letter}", OSSPrefix="p1")
        await exported(caller, rehearsal, clock, "m-d", OSSPrefix="p2")
        first = (await caller.storage("GET", query="list-type=2&max-keys=2&prefix=p1_")).text
        more = "continuation-token=p1_m-b_system.raw.tar.gz&list-type=2&max-keys=2&prefix=p1_"
        second = (await caller.storage("GET", query=more)).text
    assert first.count("<Key>") == 2
    assert "<IsTruncated>true</IsTruncated><NextContinuationToken>p1_m-b_system.raw.tar.gz<" in first
    assert "<LastModified>2026-01-01T00:00:02.000Z</LastModified>" in first
    assert second.count("<Key>p1_m-c_system.raw.tar.gz</Key>") == second.count("<Key>") == 1
    assert "<IsTruncated>false</IsTruncated>" in second


@pytest.mark.parametrize(
    ("query", "options", "status", "code"),
    [
        ("list-type=2", {"storage_lists": False}, 403, "AccessDenied"),
        ("list-type=2&max-keys=0", {}, 400, "InvalidArgument"),
        ("list-type=2&max-keys=many", {}, 400, "InvalidArgument"),
        ("", {}, 403, "NotImplemented"),
        ("bucketInfo", {}, 200, ""),
    ],
)
async def test_what_a_bucket_is_asked(query: str, options: dict[str, Any], status: int, code: str) -> None:
    clock = FakeClock()
    async with calling(aliyun(clock, **options), clock) as caller:
        answer = await caller.storage("GET", query=query)
    assert (answer.status_code, storage_code(answer)) == (status, code)


async def test_a_buckets_facts_name_its_region_and_hosts() -> None:
    clock = FakeClock()
    async with calling(aliyun(clock), clock) as caller:
        in_path = (await caller.storage("GET", query="bucketInfo")).text
        in_host = (await caller.storage("GET", query="bucketInfo", base=OUTSIDE)).text
    assert "<Location>oss-cn-hangzhou</Location>" in in_path
    assert in_host == in_path


async def test_storage_faults_hit_the_objects_of_one_image_and_their_bucket() -> None:
    clock = FakeClock()
    rehearsal = aliyun(clock)
    rehearsal.misbehave(
        Misbehaviour(fault="status", action=HEAD_OBJECT, image_id="m-a", destination=BUCKET, status=502)
    )
    async with calling(rehearsal, clock) as caller:
        found = [(await caller.head(f"p_m-{letter}_system.raw.tar.gz")).status_code for letter in "ab"]
    assert (found, rehearsal.requests.answered("http 502", HEAD_OBJECT)) == ([502, 404], 1)


async def test_a_list_is_hit_by_storage_faults_and_by_none_of_the_api() -> None:
    clock = FakeClock()
    rehearsal = aliyun(clock)
    rehearsal.misbehave(Misbehaviour(fault="throttle"))
    async with calling(rehearsal, clock) as caller:
        statuses = [(await caller.storage("GET", query="list-type=2")).status_code]
        rehearsal.misbehave(Misbehaviour(fault="status", action=HEAD_OBJECT, status=502))
        statuses.append((await caller.storage("GET", query="list-type=2")).status_code)
    assert (statuses, rehearsal.requests.asked("GetBucket")) == ([200, 502], 2)


async def test_a_key_is_the_same_over_a_real_connection() -> None:
    clock = FakeClock()
    rehearsal = aliyun(clock, key_form="镜像/{image} +*~")
    async with calling_over_http(rehearsal, clock) as caller:
        await exported(caller, rehearsal, clock, "m-a", OSSPrefix="p1")
        (key,) = rehearsal.tasks[0].objects
        assert (key, (await caller.head(key)).status_code) == ("镜像/m-a +*~.raw.tar.gz", 200)
