from typing import Any

import httpx
import pytest

from imageferry.rehearsal.misbehaviour import HEAD_OBJECT, Misbehaviour
from support.clocks import FakeClock
from support.huawei_rehearsals import (
    BUCKET,
    OTHER_REGION,
    REGION,
    Caller,
    calling,
    huawei,
    image,
    obs_authorization,
)


async def exported(caller: Caller, clock: FakeClock, image_id: str, key: str = "web.qcow2") -> None:
    await caller.export(image_id, key)
    clock.jump(2)


async def test_an_object_answers_with_its_facts_and_no_class() -> None:
    clock = FakeClock()
    rehearsal = huawei(clock)
    async with calling(rehearsal, clock) as caller:
        await exported(caller, clock, image(rehearsal))
        answer = await caller.head("web.qcow2")
    assert (answer.status_code, "x-obs-storage-class" in answer.headers) == (200, False)
    assert (answer.headers["etag"].endswith('-7"'), len(answer.headers["x-obs-request-id"])) == (True, 32)


@pytest.mark.parametrize(
    ("options", "headers"),
    [
        ({}, {"x-obs-bucket-location": REGION, "x-obs-storage-class": "STANDARD"}),
        ({"bucket_classes": {BUCKET: "WARM"}}, {"x-obs-storage-class": "WARM"}),
        ({"parallel_buckets": [BUCKET]}, {"x-obs-fs-file-interface": "Enabled"}),
    ],
)
async def test_a_bucket_answers_with_its_region_and_class(options: dict[str, Any], headers: dict[str, str]) -> None:
    clock = FakeClock()
    async with calling(huawei(clock, **options), clock) as caller:
        answer = await caller.head("")
    assert answer.status_code == 200
    assert {name: answer.headers[name] for name in headers} == headers


async def test_a_bucket_answers_in_the_other_schemes_words() -> None:
    clock = FakeClock()
    async with calling(huawei(clock), clock) as caller:
        answer = await caller.head_v4("")
    assert (answer.status_code, answer.headers["x-amz-bucket-region"]) == (200, REGION)


@pytest.mark.parametrize(
    ("bucket", "options", "status"),
    [
        (BUCKET, {}, 404),
        ("missing", {}, 404),
        (BUCKET, {"unreadable_buckets": [BUCKET]}, 403),
        (BUCKET, {"path_style": False}, 403),
        (BUCKET, {"storage_schemes": ["v4"]}, 403),
    ],
)
async def test_an_object_that_cannot_be_seen_answers_why(bucket: str, options: dict[str, Any], status: int) -> None:
    clock = FakeClock()
    async with calling(huawei(clock, **options), clock) as caller:
        assert (await caller.head("some.qcow2", bucket)).status_code == status


@pytest.mark.parametrize(
    ("key", "ahead", "status"),
    [
        ({}, 0, 404),
        ({"secret_key": "wrong"}, 0, 403),
        ({"secret_id": "nobody"}, 0, 403),
        ({"token": "stray"}, 0, 403),
        ({}, 901, 403),
        ({}, -901, 403),
    ],
)
async def test_a_wrong_storage_signature_answers_403(key: dict[str, str], ahead: int, status: int) -> None:
    clock = FakeClock()
    rehearsal = huawei(clock)
    async with calling(rehearsal, clock) as caller:
        assert (await caller.with_key(**key).head("some.qcow2", ahead=ahead)).status_code == status
    assert rehearsal.locks == 0


async def test_a_storage_request_without_signature_answers_403() -> None:
    clock = FakeClock()
    async with calling(huawei(clock), clock) as caller:
        assert (await caller.client.head(f"/{BUCKET}/some.qcow2")).status_code == 403


async def test_a_temporary_key_reads_with_its_token() -> None:
    clock = FakeClock()
    key = {"secret_id": "a", "secret_key": "b", "token": "c"}
    async with calling(huawei(clock, keys=[key]), clock) as caller:
        assert (await caller.with_key(**key).head("")).status_code == 200


@pytest.mark.parametrize(
    ("region", "options", "status"),
    [
        (REGION, {}, 404),
        ("region", {}, 404),
        ("region", {"storage_checks_region": True}, 403),
        (REGION, {"storage_checks_region": True}, 404),
        (REGION, {"storage_schemes": ["obs"]}, 403),
        (REGION, {"storage_v4_hash": "documented"}, 403),
    ],
)
async def test_the_other_scheme_is_taken_as_the_switches_say(region: str, options: dict[str, Any], status: int) -> None:
    clock = FakeClock()
    async with calling(huawei(clock, **options), clock) as caller:
        assert (await caller.head_v4("some.qcow2", region)).status_code == status


# --- the bucket in the host ----------------------------------------------------------------------------------------


async def head_at(host: str, path: str, **options: Any) -> httpx.Response:
    """HEAD of ``path`` at a host, after an export of ``web.qcow2``."""
    clock = FakeClock()
    rehearsal = huawei(clock, **options)
    async with calling(rehearsal, clock) as caller:
        await exported(caller, clock, image(rehearsal))
        headers = {"x-obs-date": "Thu, 01 Jan 2026 00:00:02 GMT"}
        authorization = obs_authorization(caller.key, "HEAD", f"/{BUCKET}{path}", headers)
        sent = {**headers, "Authorization": authorization, "Host": host}
        return await caller.client.head(path, headers=sent)


@pytest.mark.parametrize("host", [f"{BUCKET}.obs.{REGION}.myhuaweicloud.com", f"{BUCKET}.localhost:9000"])
async def test_a_bucket_may_stand_in_the_host(host: str) -> None:
    answers = [await head_at(host, path, path_style=False) for path in ("/web.qcow2", "/")]
    assert [each.status_code for each in answers] == [200, 200]
    assert answers[1].headers["x-obs-bucket-location"] == REGION


@pytest.mark.parametrize("status", [301, 307, 403])
async def test_a_host_of_another_region_answers_as_the_switch_says(status: int) -> None:
    host = f"{BUCKET}.obs.{OTHER_REGION}.myhuaweicloud.com"
    assert (await head_at(host, "/web.qcow2", storage_elsewhere_status=status)).status_code == status


# --- faults --------------------------------------------------------------------------------------------------------


async def test_storage_faults_hit_the_objects_of_one_image_whatever_their_key() -> None:
    clock = FakeClock()
    rehearsal = huawei(clock)
    hit, spared = image(rehearsal), image(rehearsal)
    rehearsal.misbehave(Misbehaviour(fault="status", action=HEAD_OBJECT, image_id=hit, status=502))
    async with calling(rehearsal, clock) as caller:
        await exported(caller, clock, hit, "one.qcow2")
        await exported(caller, clock, spared, "two.qcow2")
        keys = ["one.qcow2", "two.qcow2", f"{hit}.qcow2"]
        assert [(await caller.head(key)).status_code for key in keys] == [502, 200, 502]


async def test_storage_faults_are_aimed_at_a_bucket_or_a_region() -> None:
    clock = FakeClock()
    rehearsal = huawei(clock, buckets={BUCKET: REGION, "archive-east": OTHER_REGION})
    rehearsal.misbehave(Misbehaviour(fault="status", action=HEAD_OBJECT, destination=BUCKET, status=503, count=1))
    rehearsal.misbehave(Misbehaviour(fault="status", action=HEAD_OBJECT, region=OTHER_REGION, status=500))
    async with calling(rehearsal, clock) as caller:
        statuses = [(await caller.head("k", bucket)).status_code for bucket in (BUCKET, BUCKET, "archive-east")]
    assert statuses == [503, 404, 500]


async def test_storage_requests_are_written_down_and_use_up_no_rate() -> None:
    clock = FakeClock()
    rehearsal = huawei(clock, requests_a_second=0)
    async with calling(rehearsal, clock) as caller:
        await caller.head("some.qcow2")
    assert rehearsal.requests.answered("http 404", HEAD_OBJECT) == 1
