import asyncio
import random
from typing import Any

import httpx
import pytest

from imageferry.rehearsal.jdcloud import JdcloudRehearsal
from imageferry.rehearsal.jdcloud_options import JdcloudOptions
from imageferry.rehearsal.misbehaviour import HEAD_OBJECT, Misbehaviour
from imageferry.rehearsal.options import REHEARSAL_KEY
from imageferry.rehearsal.store import NewImage
from support.clocks import START, FakeClock
from support.jdcloud_rehearsals import (
    BUCKET,
    OTHER_REGION,
    REGION,
    Caller,
    calling,
    calling_over_http,
    copy_body,
    export_body,
    image,
    jdcloud,
)
from support.waiting import until

LIST = {"imageSource": "private"}


async def test_a_success_has_a_request_id_and_a_result() -> None:
    clock = FakeClock()
    async with calling(jdcloud(clock), clock) as caller:
        answer = await caller.send("GET", "images", LIST)
    told = answer.json()
    assert (answer.status_code, told["result"]) == (200, {"images": [], "totalCount": 0})
    assert (len(told["requestId"]), answer.headers["x-jdcloud-request-id"]) == (32, told["requestId"])


async def test_a_refusal_has_code_status_and_message_and_the_http_status_of_its_code() -> None:
    clock = FakeClock()
    async with calling(jdcloud(clock), clock) as caller:
        answer = await caller.send("GET", "images/img-none")
    told = answer.json()
    assert answer.status_code == 404
    assert told["error"] == {"code": 404, "status": "NOT_FOUND", "message": "Image 'img-none' not found"}
    assert (told.keys(), answer.headers["x-jdcloud-request-id"]) == ({"requestId", "error"}, told["requestId"])


@pytest.mark.parametrize(
    ("options", "http", "code"),
    [
        ({}, 404, 404),
        ({"errors_with_status_200": True}, 200, 404),
        ({"http_statuses": {"NOT_FOUND": 409}}, 409, 409),
    ],
)
async def test_the_http_status_of_an_error_is_the_switches(options: dict[str, Any], http: int, code: int) -> None:
    clock = FakeClock()
    async with calling(jdcloud(clock, **options), clock) as caller:
        answer = await caller.send("GET", "images/img-none")
    assert (answer.status_code, answer.json()["error"]["code"]) == (http, code)


async def test_the_date_of_an_answer_is_the_rehearsals_own() -> None:
    clock = FakeClock()
    async with calling(jdcloud(clock, clock_skew_seconds=90), clock) as caller:
        answers = [await caller.send("GET", "images", LIST), await caller.head("")]
    assert [each.headers.get_list("date") for each in answers] == [["Thu, 01 Jan 2026 00:01:30 GMT"]] * 2


@pytest.mark.parametrize(
    ("method", "path", "service", "words"),
    [
        ("GET", "moons", "vm", "NOT_FOUND: There is no such API [gw]"),
        ("POST", "images", "vm", "NOT_FOUND: There is no such API [gw]"),
        ("GET", "/v2/regions/cn-north-1/images", "vm", "NOT_FOUND: There is no such API [gw]"),
        ("GET", "images", "disk", "NOT_FOUND: There is no such API [gw]"),
        ("GET", "images", "moon", "APIGW_SERVICE_NOT_FOUND: There is no such API [gw]"),
    ],
)
async def test_what_no_service_has_is_not_found(method: str, path: str, service: str, words: str) -> None:
    clock = FakeClock()
    async with calling(jdcloud(clock), clock) as caller:
        assert await caller.words(method, path, service=service) == words


async def test_a_region_that_is_not_there_is_invalid() -> None:
    clock = FakeClock()
    async with calling(jdcloud(clock), clock) as caller:
        assert await caller.words("GET", "images", LIST, region="mars-1") == "INVALID_ARGUMENT: Invalid region 'mars-1'"


async def test_a_signature_for_another_region_than_the_paths_is_refused() -> None:
    clock = FakeClock()
    async with calling(jdcloud(clock), clock) as caller:
        path = f"/v1/regions/{OTHER_REGION}/images"
        assert await caller.words("GET", path, LIST) == "ACCESS_ERROR: The signature is for another region [gw]"


async def test_the_colon_of_a_path_may_be_written_either_way() -> None:
    clock = FakeClock()
    rehearsal = jdcloud(clock)
    async with calling_over_http(rehearsal, clock) as caller:
        words = [
            await caller.words("POST", f"images/{image(rehearsal)}{colon}exportImage", export_body())
            for colon in (":", "%3A")
        ]
    assert (words, rehearsal.requests.answered("ok", "exportImage")) == (["", ""], 2)


@pytest.mark.parametrize("generation", [2, 3])
async def test_either_generation_of_signatures_is_let_in(generation: int) -> None:
    clock = FakeClock()
    async with calling(jdcloud(clock), clock, generation) as caller:
        assert await caller.status("GET", "images", LIST) == ""


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("", "The request body is not JSON."),
        ("{", "The request body is not JSON."),
        ("[]", "The request body is not a JSON object."),
        ('{"colour": "red"}', "The parameter `colour` is not recognized."),
        ("{}", "The request is missing a required parameter `sourceImageIds`."),
        ('{"sourceImageIds": "img-1"}', "The parameter `sourceImageIds` must be a list of strings."),
        ('{"regionId": "cn-east-1"}', "regionId is not the path's"),
    ],
)
async def test_a_body_that_is_wrong_says_why(body: str, words: str) -> None:
    clock = FakeClock()
    async with calling(jdcloud(clock), clock) as caller:
        assert await caller.words("POST", "images:copyImages", body) == f"INVALID_ARGUMENT: {words}"


async def test_a_body_may_repeat_the_path_and_say_null() -> None:
    clock = FakeClock()
    rehearsal = jdcloud(clock)
    image_id = image(rehearsal)
    repeated = {"regionId": REGION, "imageId": image_id, "ossPrefix": None, "clientToken": None, "isAllDisk": None}
    async with calling(rehearsal, clock) as caller:
        assert await caller.export_words(image_id, **repeated) == ""
        other = await caller.export_words(image_id, imageId="img-other")
    assert other == "INVALID_ARGUMENT: imageId is not the path's"


async def test_a_body_must_be_json_by_its_type_and_there_is_no_query_beside_it() -> None:
    clock = FakeClock()
    async with calling(jdcloud(clock), clock) as caller:
        plain = await caller.words("POST", "images:copyImages", {}, more={"content-type": "text/plain"})
        query = await caller.words("POST", "images:copyImages?a=1", {})
    assert plain == "INVALID_ARGUMENT: The body must be application/json"
    assert query == "INVALID_ARGUMENT: Parameters of a POST belong in its body"


async def test_what_is_too_large_is_answered_with_a_bare_status() -> None:
    clock = FakeClock()
    async with calling(jdcloud(clock), clock) as caller:
        long = await caller.send("GET", "images", {"imageName": "x" * 8200})
        large = await caller.send("POST", "images:copyImages", " " * (1 << 20) + "{}")
    assert [(each.status_code, each.headers["content-type"]) for each in (long, large)] == [
        (414, "text/html; charset=utf-8"),
        (413, "text/html; charset=utf-8"),
    ]


# --- keys ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ({"secret_key": "wrong"}, "ACCESS_ERROR: sign result is not same [gw]"),
        ({"secret_id": "nobody"}, "ACCESS_ERROR: access key is not exist [gw]"),
        ({"token": "stray"}, "ACCESS_ERROR: security token is missing, or is not this key's [gw]"),
    ],
)
async def test_a_wrong_key_is_refused_and_counted_without_being_told_in_the_journal(
    key: dict[str, str], words: str
) -> None:
    clock = FakeClock()
    rehearsal = jdcloud(clock)
    async with calling(rehearsal, clock) as caller:
        assert await caller.with_key(**key).words("GET", "images", LIST) == words
    assert (rehearsal.requests.answered("ACCESS_ERROR"), rehearsal.requests.asked("describeImages")) == (1, 1)
    assert next(iter(key.values())) not in str(rehearsal.state(["requests", "recent"]))


async def test_a_refused_key_is_answered_401() -> None:
    clock = FakeClock()
    async with calling(jdcloud(clock), clock) as caller:
        answer = await caller.send("GET", "images", LIST, change={"Authorization": None})
    told = answer.json()["error"]
    assert (answer.status_code, told["message"]) == (401, "lack of header authorization [gw]")


async def test_a_nonce_may_not_be_used_twice_within_its_time() -> None:
    clock = FakeClock()
    rehearsal = jdcloud(clock)
    own = {"more": {"x-jdcloud-nonce": "one"}}
    async with calling(rehearsal, clock) as caller:
        first = [await caller.status("GET", "images", LIST, **own) for _ in range(2)]
        clock.jump(900)
        later = await caller.status("GET", "images", LIST, **own)
        rehearsal.change({"nonce_seconds": 0})
        free = [await caller.status("GET", "images", LIST, more={"x-jdcloud-nonce": "two"}) for _ in range(2)]
    assert (first, later, free) == (["", "APIGW_NONCE_CONFLICT"], "", ["", ""])


async def test_a_signature_that_is_refused_uses_up_no_nonce() -> None:
    clock = FakeClock()
    own = {"more": {"x-jdcloud-nonce": "one"}}
    async with calling(jdcloud(clock), clock) as caller:
        await caller.with_key(secret_key="wrong").send("GET", "images", LIST, **own)
        assert await caller.status("GET", "images", LIST, **own) == ""


async def test_a_clock_that_is_off_is_refused_unless_nobody_looks() -> None:
    clock = FakeClock()
    rehearsal = jdcloud(clock, clock_skew_seconds=1000)
    async with calling(rehearsal, clock) as caller:
        refused = await caller.words("GET", "images", LIST)
        rehearsal.change({"clock_tolerance_seconds": None})
        let_in = await caller.words("GET", "images", LIST)
    assert (refused, let_in) == ("ACCESS_ERROR: x-jdcloud-date is too far from the server's time [gw]", "")


async def test_a_temporary_key_works_until_it_expires() -> None:
    clock = FakeClock()
    key = {"secret_id": "a", "secret_key": "b", "token": "c", "expires_at": START + 60_000_000}
    async with calling(jdcloud(clock, keys=[key]), clock) as caller:
        own = caller.with_key(secret_id="a", secret_key="b", token="c")
        before = await own.status("GET", "images", LIST)
        clock.jump(60)
        after = await own.status("GET", "images", LIST)
    assert (before, after) == ("", "ACCESS_ERROR")


async def test_an_operation_that_is_denied_is_refused_with_the_status_of_the_options() -> None:
    clock = FakeClock()
    denied = {"exportImage": "APIGW_MFA_FAIL", "describeImages": "PERMISSION_DENIED"}
    async with calling(jdcloud(clock, denied=denied), clock) as caller:
        answer = await caller.send("POST", "images/img-1:exportImage", export_body())
        listed = await caller.status("GET", "images", LIST)
    assert (answer.status_code, answer.json()["error"]["status"], listed) == (
        403,
        "APIGW_MFA_FAIL",
        "PERMISSION_DENIED",
    )


# --- rates -----------------------------------------------------------------------------------------------------------


async def statuses(caller: Caller, times: int, **more: Any) -> list[str]:
    return [await caller.status("GET", "images", LIST, **more) for _ in range(times)]


@pytest.mark.parametrize("code", ["RATE_LIMIT", "RATE_LIMIT_EXCEEDED", "HTTP_RATE_LIMIT_EXCEEDED"])
async def test_one_request_more_than_the_rate_allows_is_throttled(code: str) -> None:
    clock = FakeClock()
    rehearsal = jdcloud(clock, rates={"describeImages": 3}, throttle_code=code)
    async with calling(rehearsal, clock) as caller:
        first = await statuses(caller, 4)
        clock.jump(0.9)
        later = await statuses(caller, 1)
    assert (first, later) == (["", "", "", code], [""])
    assert (rehearsal.requests.throttled, rehearsal.busiest()) == (1, {("describeImages", REGION): 4})


async def test_requests_that_keep_to_the_rate_are_never_throttled() -> None:
    clock = FakeClock()
    rehearsal = jdcloud(clock, rates={"describeImages": 5})
    async with calling(rehearsal, clock) as caller:
        for _ in range(50):
            await caller.send("GET", "images", LIST)
            clock.jump(1 / 5)
    assert (rehearsal.requests.throttled, rehearsal.requests.asked("describeImages")) == (0, 50)


async def test_a_service_has_a_rate_of_the_minute_over_all_its_operations() -> None:
    clock = FakeClock()
    async with calling(jdcloud(clock, requests_a_minute=2), clock) as caller:
        kinds = [("images", LIST, "vm"), ("imageTasks", {}, "vm"), ("quotas", {}, "vm")]
        told = [await caller.words("GET", path, query, service=service) for path, query, service in kinds]
        told.append(await caller.words("GET", "quotas", {"type": "snapshot"}, service="disk"))
        clock.jump(54)
        told.append(await caller.words("GET", "quotas"))
    assert told == ["", "", "RATE_LIMIT: minute rate limit exceeded, 2 [gw]", "", ""]


@pytest.mark.parametrize(("by", "status"), [("region", ""), ("account", "RATE_LIMIT")])
async def test_a_rate_is_counted_by_region_or_over_the_account(by: str, status: str) -> None:
    clock = FakeClock()
    async with calling(jdcloud(clock, rates={"describeImages": 1}, count_rate_by=by), clock) as caller:
        await statuses(caller, 1)
        assert await statuses(caller, 1, region=OTHER_REGION) == [status]


async def test_every_key_has_a_rate_of_its_own_and_a_wrong_one_uses_none() -> None:
    clock = FakeClock()
    key = {"secret_id": "second", "secret_key": "x"}
    own = {"secret_id": REHEARSAL_KEY.secret_id, "secret_key": REHEARSAL_KEY.secret_key}
    async with calling(jdcloud(clock, rates={"describeImages": 1}, keys=[own, key]), clock) as caller:
        await statuses(caller.with_key(secret_key="wrong"), 2)
        told = [await statuses(each, 1) for each in (caller, caller.with_key(**key), caller)]
    assert told == [[""], [""], ["RATE_LIMIT"]]


@pytest.mark.parametrize(("seconds", "header"), [(None, None), (7, "7")])
async def test_a_throttled_answer_says_when_to_come_back_if_it_is_told_so(
    seconds: int | None, header: str | None
) -> None:
    clock = FakeClock()
    rehearsal = jdcloud(clock, retry_after_seconds=seconds)
    rehearsal.misbehave(Misbehaviour(fault="throttle"))
    async with calling(rehearsal, clock) as caller:
        answer = await caller.send("GET", "images", LIST)
    assert (answer.status_code, answer.headers.get("retry-after")) == (429, header)


# --- faults ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "http"),
    [
        ("FAILED_PRECONDITION", 400),
        ("CONFLICT", 400),
        ("APIGW_ROLE_NOT_EXIST", 403),
        ("ABORTED", 409),
        ("QUOTA_EXCEEDED", 429),
        ("INTERNAL", 500),
        ("UNKNOWN", 500),
        ("DEADLINE_EXCEEDED", 504),
    ],
)
async def test_a_given_status_is_answered_for_one_image_only(code: str, http: int) -> None:
    clock = FakeClock()
    rehearsal = jdcloud(clock)
    hit, spared = image(rehearsal), image(rehearsal)
    rehearsal.misbehave(Misbehaviour(fault="code", code=code, message="as asked", image_id=hit))
    async with calling(rehearsal, clock) as caller:
        answer = await caller.send("POST", f"images/{hit}:exportImage", export_body())
        other = await caller.export_words(spared)
    assert (answer.status_code, other) == (http, "")
    assert answer.json()["error"] == {"code": http, "status": code, "message": "as asked"}


@pytest.mark.parametrize(
    ("aim", "hit"),
    [
        ({"destination": BUCKET}, ["exportImage"]),
        ({"destination": OTHER_REGION}, ["copyImages"]),
        ({"region": REGION}, ["exportImage", "copyImages"]),
        ({"action": "copyImages"}, ["copyImages"]),
    ],
)
async def test_faults_are_aimed_at_buckets_regions_and_operations(aim: dict[str, Any], hit: list[str]) -> None:
    clock = FakeClock()
    rehearsal = jdcloud(clock)
    first, second = image(rehearsal), image(rehearsal)
    rehearsal.misbehave(Misbehaviour(fault="throttle", **aim))
    async with calling(rehearsal, clock) as caller:
        await caller.export_words(first)
        await caller.copy_words(second)
    assert [each for each in ("exportImage", "copyImages") if rehearsal.requests.answered("RATE_LIMIT", each)] == hit


@pytest.mark.parametrize(("work", "tasks"), [("none", 0), ("done", 1)])
@pytest.mark.parametrize("status", [500, 502, 503])
async def test_a_bare_status_comes_with_or_without_the_work(status: int, work: Any, tasks: int) -> None:
    clock = FakeClock()
    rehearsal = jdcloud(clock)
    rehearsal.misbehave(Misbehaviour(fault="status", status=status, work=work, count=1))
    async with calling(rehearsal, clock) as caller:
        answer = await caller.send("POST", f"images/{image(rehearsal)}:exportImage", export_body())
    assert (answer.status_code, answer.text[:6], len(rehearsal.tasks)) == (status, "<html>", tasks)


async def test_garbage_is_no_json() -> None:
    clock = FakeClock()
    rehearsal = jdcloud(clock)
    rehearsal.misbehave(Misbehaviour(fault="garbage"))
    async with calling(rehearsal, clock) as caller:
        answer = await caller.send("GET", "images", LIST)
    assert answer.status_code == 200
    with pytest.raises(ValueError, match="Unterminated"):
        answer.json()


async def test_a_slow_answer_waits_by_the_given_clock_and_its_work_is_done_at_once() -> None:
    clock = FakeClock()
    rehearsal = jdcloud(clock)
    rehearsal.misbehave(Misbehaviour(fault="slow", after=2, action="exportImage"))
    async with calling(rehearsal, clock) as caller:
        asked = asyncio.create_task(caller.export_words(image(rehearsal)))
        await clock.until_sleeping()
        at_once = (asked.done(), len(rehearsal.tasks))
        await clock.advance(2)
        assert (at_once, await asked) == ((False, 1), "")


async def test_late_work_is_done_when_its_time_has_come() -> None:
    clock = FakeClock()
    rehearsal = jdcloud(clock)
    image_id = image(rehearsal)
    rehearsal.misbehave(Misbehaviour(fault="status", work="late", after=1.5, count=1))
    async with calling(rehearsal, clock) as caller:
        await caller.send("POST", "images:copyImages", copy_body(image_id))
        clock.jump(1.4)
        before = (len(rehearsal.tasks), rehearsal.state()["late_work"])
        clock.jump(10)
        (task,) = rehearsal.tasks
    assert before == (0, 1)
    assert (task.requested_at, task.accepted_at, task.ends_at) == (START, START + 1_500_000, START + 4_500_000)
    assert dict(rehearsal.requests.accepted) == {("copyImages", image_id, OTHER_REGION): 1}


async def test_late_work_is_refused_unseen_when_the_rules_say_no_by_then() -> None:
    clock = FakeClock()
    rehearsal = jdcloud(clock)
    image_id = image(rehearsal)
    rehearsal.misbehave(Misbehaviour(fault="status", work="late", after=1, count=1))
    async with calling(rehearsal, clock) as caller:
        for _ in range(2):
            await caller.send("POST", "images:copyImages", copy_body(image_id))
    clock.jump(1)
    assert (len(rehearsal.tasks), rehearsal.requests.answered("unseen FAILED_PRECONDITION")) == (1, 1)


async def test_an_answer_is_lost_with_its_connection() -> None:
    clock = FakeClock()
    rehearsal = jdcloud(clock)
    rehearsal.misbehave(Misbehaviour(fault="drop", work="done", count=1))
    async with calling_over_http(rehearsal, clock) as caller:
        with pytest.raises(httpx.TransportError):
            await caller.export(image(rehearsal))
    assert (len(rehearsal.tasks), rehearsal.requests.answered("drop, work done")) == (1, 1)


async def test_a_request_that_hangs_has_no_answer_and_its_work_may_be_done() -> None:
    clock = FakeClock()
    rehearsal = jdcloud(clock)
    rehearsal.misbehave(Misbehaviour(fault="hang", work="done", count=1))
    async with calling_over_http(rehearsal, clock) as caller:
        asked = asyncio.create_task(caller.export(image(rehearsal)))
        await until(lambda: bool(rehearsal.tasks))
        unanswered = not asked.done()
        asked.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asked
    assert (unanswered, rehearsal.requests.answered("hang, work done")) == (True, 1)


async def test_faults_are_over_when_they_are_taken_away() -> None:
    clock = FakeClock()
    rehearsal = jdcloud(clock)
    rehearsal.misbehave(Misbehaviour(fault="throttle"))
    removed = rehearsal.behave()
    async with calling(rehearsal, clock) as caller:
        assert (removed, await statuses(caller, 1)) == (1, [""])


# --- storage ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "bucket", "options", "status"),
    [
        ("", BUCKET, {}, 200),
        ("some", BUCKET, {}, 404),
        ("", BUCKET, {"unreadable_buckets": [BUCKET]}, 403),
        ("", "missing", {}, 404),
        ("", BUCKET, {"storage_content_hash": "refused"}, 400),
        ("", BUCKET, {"storage_content_hash": "required"}, 200),
        ("", BUCKET, {"clock_skew_seconds": 901}, 400),
    ],
)
async def test_a_bucket_and_its_objects_answer_by_their_status(
    key: str, bucket: str, options: dict[str, Any], status: int
) -> None:
    clock = FakeClock()
    async with calling(jdcloud(clock, **options), clock) as caller:
        answer = await caller.head(key, bucket)
    assert (answer.status_code, answer.content, len(answer.headers["x-amz-request-id"])) == (status, b"", 16)


@pytest.mark.parametrize(("wants", "status"), [("either", 403), ("required", 400), ("refused", 403)])
async def test_a_request_without_content_hash_is_judged_as_the_switch_says(wants: str, status: int) -> None:
    clock = FakeClock()
    async with calling(jdcloud(clock, storage_content_hash=wants), clock) as caller:
        assert (await caller.client.head(f"/{BUCKET}")).status_code == status


async def test_a_wrong_storage_signature_answers_403() -> None:
    clock = FakeClock()
    async with calling(jdcloud(clock), clock) as caller:
        wrong = [await caller.with_key(secret_key="wrong").head(""), await caller.client.head(f"/{BUCKET}/some")]
    assert [each.status_code for each in wrong] == [403, 403]


@pytest.mark.parametrize(("checks", "status"), [(True, 404), (False, 200)])
async def test_a_bucket_is_found_from_another_region_as_the_switch_says(checks: bool, status: int) -> None:  # noqa: FBT001 - a switch
    clock = FakeClock()
    async with calling(jdcloud(clock, storage_checks_region=checks), clock) as caller:
        assert (await caller.head("", region=OTHER_REGION)).status_code == status


@pytest.mark.parametrize(("takes", "status"), [(True, 200), (False, 403)])
async def test_temporary_keys_are_let_into_the_storage_as_the_switch_says(takes: bool, status: int) -> None:  # noqa: FBT001 - a switch
    clock = FakeClock()
    key = {"secret_id": "a", "secret_key": "b", "token": "c"}
    async with calling(jdcloud(clock, keys=[key], storage_takes_tokens=takes), clock) as caller:
        assert (await caller.with_key(**key).head("")).status_code == status


async def test_storage_faults_hit_the_objects_of_one_image_and_their_bucket() -> None:
    clock = FakeClock()
    rehearsal = jdcloud(clock)
    rehearsal.misbehave(
        Misbehaviour(fault="status", action=HEAD_OBJECT, image_id="img-a", destination=BUCKET, status=502)
    )
    async with calling(rehearsal, clock) as caller:
        found = [(await caller.head(f"p_exportImage_img-{letter}")).status_code for letter in "ab"]
    assert (found, rehearsal.requests.answered("http 502", HEAD_OBJECT)) == ([502, 404], 1)


# --- steering --------------------------------------------------------------------------------------------------------


def test_it_is_built_from_options_clock_and_chance_alone() -> None:
    assert JdcloudRehearsal(JdcloudOptions(), FakeClock(), random.Random(1)).tasks == []


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ({"region": "mars-1"}, "mars-1"),
        ({"extra": {"colour": "red"}}, "colour"),
        ({"extra": {"root_device": "tape"}}, "root_device"),
    ],
)
def test_an_image_that_cannot_be_is_refused(facts: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        jdcloud().add_image(NewImage(**{"region": REGION, **facts}))


async def test_the_control_endpoints_create_steer_and_tell() -> None:
    clock = FakeClock()
    rehearsal = jdcloud(clock)
    async with calling(rehearsal, clock) as caller:
        client = caller.client
        described = {"region": REGION, "name": "web", "extra": {"root_device": "localDisk"}}
        (image_id,) = (await client.post("/_rehearsal/images", json=described)).json()["image_ids"]
        shown = await caller.image(image_id)
        await client.post("/_rehearsal/misbehave", json={"fault": "throttle", "count": 1})
        throttled = await statuses(caller, 1)
        changed = await client.post("/_rehearsal/options", json={"image_quota": 1})
        wrong = await client.post("/_rehearsal/options", json={"colour": "red"})
        state = (await client.get("/_rehearsal/state?parts=images,requests")).json()
        gone = await client.delete(f"/_rehearsal/images/{REGION}/{image_id}")
    assert (shown["name"], shown["rootDeviceType"], throttled) == ("web", "localDisk", ["RATE_LIMIT"])
    assert (changed.status_code, rehearsal.world.options.image_quota, wrong.status_code) == (200, 1, 400)
    assert "colour" in wrong.json()["error"]
    assert state["images"] == [{"regionId": REGION, **shown}]
    assert (state["requests"]["total"], state["requests"]["throttled"]) == (2, 1)
    assert gone.json() == {"removed": 1}


async def test_the_state_tells_tasks_objects_and_what_ran_at_once() -> None:
    clock = FakeClock()
    rehearsal = jdcloud(clock)
    image_id = image(rehearsal)
    async with calling(rehearsal, clock) as caller:
        await caller.export(image_id)
    clock.jump(2)
    state = rehearsal.state()
    assert [(each["action"], each["state"], each["destination"]) for each in state["tasks"]] == [
        ("exportImage", "done", BUCKET)
    ]
    assert [(each["bucket"], each["key"]) for each in state["objects"]] == [(BUCKET, f"exportImage_{image_id}")]
    assert state["running"] == [{"action": "exportImage", "scope": REGION, "most": 1}]
    assert "recent" not in state
    with pytest.raises(ValueError, match="there are only"):
        rehearsal.state(["moons"])


async def test_a_removed_object_is_gone() -> None:
    clock = FakeClock()
    rehearsal = jdcloud(clock)
    image_id = image(rehearsal)
    async with calling(rehearsal, clock) as caller:
        await caller.export(image_id)
        clock.jump(2)
        key = f"exportImage_{image_id}"
        found = [(await caller.head(key)).status_code, rehearsal.remove_object(BUCKET, key)]
        assert (found, (await caller.head(key)).status_code) == ([200, True], 404)


def test_the_same_chance_makes_the_same_ids() -> None:
    first, second = ([image(rehearsal) for _ in range(3)] for rehearsal in (jdcloud(), jdcloud()))
    assert first == second


def test_options_are_read_from_json_without_telling_values_that_do_not_fit() -> None:
    with pytest.raises(ValueError, match=r"keys\.0") as caught:
        JdcloudOptions().changed({"keys": [{"secret_id": "a", "secret": "very-secret"}]})
    assert "very-secret" not in str(caught.value)
    assert "very-secret" not in repr(
        JdcloudOptions().changed({"keys": [{"secret_id": "a", "secret_key": "very-secret"}]})
    )
