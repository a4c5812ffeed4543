import asyncio
import random
from typing import Any
from xml.etree import ElementTree as ET

import httpx
import pytest

from imageferry.rehearsal.aliyun import AliyunRehearsal
from imageferry.rehearsal.aliyun_options import AliyunOptions
from imageferry.rehearsal.misbehaviour import Misbehaviour
from imageferry.rehearsal.options import REHEARSAL_KEY
from imageferry.rehearsal.store import NewImage
from support.aliyun_rehearsals import (
    BUCKET,
    OTHER_REGION,
    REGION,
    STS,
    Caller,
    aliyun,
    calling,
    calling_over_http,
    copy_of,
    export_of,
    image,
)
from support.clocks import START, FakeClock
from support.waiting import until

HERE = {"RegionId": REGION}
LIST = "DescribeImages"


# --- envelopes -------------------------------------------------------------------------------------------------------


async def test_a_success_is_flat_and_has_a_request_id() -> None:
    clock = FakeClock()
    async with calling(aliyun(clock), clock) as caller:
        answer = await caller.send(LIST, HERE)
    told = answer.json()
    assert (answer.status_code, told["TotalCount"], told["Images"]) == (200, 0, {"Image": []})
    assert (len(told["RequestId"]), answer.headers["x-acs-request-id"]) == (36, told["RequestId"])


async def test_a_refusal_says_where_why_and_what_helps() -> None:
    clock = FakeClock()
    async with calling(aliyun(clock), clock) as caller:
        answer = await caller.send("ExportImage", export_of("m-none"), host="ecs.cn-hangzhou.aliyuncs.com")
    told = answer.json()
    assert (answer.status_code, told.keys()) == (404, {"RequestId", "HostId", "Code", "Message", "Recommend"})
    assert (told["Code"], told["HostId"]) == ("InvalidImageId.NotFound", "ecs.cn-hangzhou.aliyuncs.com")
    assert told["Recommend"].endswith(f"q=InvalidImageId.NotFound&product=Ecs&requestId={told['RequestId']}")


async def test_an_error_may_have_lower_case_names() -> None:
    clock = FakeClock()
    async with calling(aliyun(clock, error_shape="lower_case"), clock) as caller:
        told = (await caller.send("ExportImage", export_of("m-none"))).json()
    assert (told["code"], told.keys()) == (
        "InvalidImageId.NotFound",
        {"requestId", "hostId", "code", "message", "recommend"},
    )


async def test_an_error_may_be_xml() -> None:
    clock = FakeClock()
    async with calling(aliyun(clock, error_shape="xml"), clock) as caller:
        answer = await caller.send("ExportImage", export_of("m-none"))
    root = ET.fromstring(answer.text)  # noqa: S314 - our own server's
    assert (answer.status_code, answer.headers["content-type"]) == (404, "text/xml;charset=utf-8")
    assert (root.tag, root.findtext("Code")) == ("Error", "InvalidImageId.NotFound")


async def test_who_does_not_ask_for_json_gets_xml() -> None:
    clock = FakeClock()
    rehearsal = aliyun(clock)
    image(rehearsal, name="a<b & c", tags={"a": "1", "b": "2"})
    async with calling(rehearsal, clock) as caller:
        answers = [
            await caller.send(LIST, HERE, change={"accept": "*/*"}),
            await caller.send_rpc1(LIST, HERE, more={"Format": "XML"}),
        ]
    for answer in answers:
        root = ET.fromstring(answer.text)  # noqa: S314 - our own server's
        assert (root.tag, root.findtext("Images/Image/ImageName")) == ("DescribeImagesResponse", "a<b & c")
        assert [each.text for each in root.iter("TagKey")] == ["a", "b"]
        assert root.findtext("Images/Image/IsPublic") == "false"


async def test_the_http_status_of_a_code_may_be_another() -> None:
    clock = FakeClock()
    options = {"http_statuses": {"InvalidRegionId.NotFound": 400}}
    async with calling(aliyun(clock, **options), clock) as caller:
        answer = await caller.send(LIST, {"RegionId": "mars-1"})
    assert (answer.status_code, answer.json()["Code"]) == (400, "InvalidRegionId.NotFound")


async def test_the_date_of_an_answer_is_the_rehearsals_own() -> None:
    clock = FakeClock()
    async with calling(aliyun(clock, clock_skew_seconds=90), clock) as caller:
        answers = [await caller.send(LIST, HERE), await caller.head("")]
    assert [each.headers.get_list("date") for each in answers] == [["Thu, 01 Jan 2026 00:01:30 GMT"]] * 2


# --- what is meant ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_either_way_of_signing_is_let_in_by_either_method(method: str) -> None:
    clock = FakeClock()
    async with calling(aliyun(clock), clock) as caller:
        answers = [
            await caller.send(LIST, HERE, method=method),
            await caller.send_rpc1(LIST, HERE, method=method),
        ]
    assert [each.status_code for each in answers] == [200, 200]


async def test_parameters_may_stand_in_a_form() -> None:
    clock = FakeClock()
    rehearsal = aliyun(clock)
    async with calling(rehearsal, clock) as caller:
        body = f"ImageId={image(rehearsal)}&OSSBucket={BUCKET}"
        answer = await caller.send("ExportImage", HERE, body=body)
    assert (answer.status_code, len(rehearsal.tasks)) == (200, 1)


async def test_a_form_of_rpc_v1_is_signed_with_the_query() -> None:
    clock = FakeClock()
    async with calling(aliyun(clock), clock) as caller:
        given = caller.rpc1(LIST, {**HERE, "PageSize": "5"}, method="POST")
        body = {name: given.pop(name) for name in ("PageSize", "RegionId")}
        answer = await caller.client.post("/", params=given, data=body)
    assert (answer.status_code, answer.json()["PageSize"]) == (200, 5)


async def test_a_parameter_that_is_given_twice_is_refused() -> None:
    clock = FakeClock()
    async with calling(aliyun(clock), clock) as caller:
        answer = await caller.send(LIST, HERE, body="RegionId=cn-shanghai")
    assert (answer.status_code, answer.json()["Code"]) == (400, "InvalidParameter")


@pytest.mark.parametrize(
    ("action", "said", "http", "code"),
    [
        ("Dance", {}, 404, "InvalidApi.NotFound"),
        (LIST, {"version": STS}, 404, "InvalidApi.NotFound"),
        ("GetCallerIdentity", {}, 404, "InvalidApi.NotFound"),
        (LIST, {"version": "2010-01-01"}, 400, "NoSuchVersion"),
        (LIST, {"method": "PUT"}, 403, "UnsupportedHTTPMethod"),
    ],
)
async def test_what_no_service_has_is_refused(action: str, said: dict[str, str], http: int, code: str) -> None:
    clock = FakeClock()
    async with calling(aliyun(clock), clock) as caller:
        answer = await caller.send(action, HERE, **said)
    assert (answer.status_code, answer.json()["Code"]) == (http, code)


# --- keys ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "http", "code"),
    [
        ({"secret_key": "wrong"}, 400, "SignatureDoesNotMatch"),
        ({"secret_id": "nobody"}, 404, "InvalidAccessKeyId.NotFound"),
        ({"token": "stray"}, 400, "InvalidSecurityToken.MismatchWithAccessKey"),
    ],
)
async def test_a_wrong_key_is_refused_and_counted_without_being_told_in_the_journal(
    key: dict[str, str], http: int, code: str
) -> None:
    clock = FakeClock()
    rehearsal = aliyun(clock)
    async with calling(rehearsal, clock) as caller:
        answer = await caller.with_key(**key).send(LIST, HERE)
    assert (answer.status_code, answer.json()["Code"]) == (http, code)
    assert (rehearsal.requests.answered(code), rehearsal.requests.asked(LIST)) == (1, 1)
    assert next(iter(key.values())) not in str(rehearsal.state(["requests", "recent"]))


async def test_a_refused_signature_shows_what_was_to_be_signed_but_no_secret() -> None:
    clock = FakeClock()
    async with calling(aliyun(clock), clock) as caller:
        words = await caller.with_key(secret_key="wrong").words(LIST, HERE)
    assert "server string to sign is:POST\n/\nRegionId=cn-hangzhou\n" in words
    assert REHEARSAL_KEY.secret_key not in words


@pytest.mark.parametrize("way", ["acs3", "rpc1"])
async def test_a_nonce_may_not_be_used_twice_within_its_time(way: str) -> None:
    clock = FakeClock()
    rehearsal = aliyun(clock)
    async with calling(rehearsal, clock) as caller:

        async def code() -> str:
            caller.nonce = lambda: "one"  # type: ignore[method-assign]
            send = caller.send if way == "acs3" else caller.send_rpc1
            return (await send(LIST, HERE)).json().get("Code", "")

        first = [await code(), await code()]
        clock.jump(1800)
        later = await code()
        rehearsal.change({"nonce_seconds": 0})
        clock.jump(1800)
        free = [await code(), await code()]
    assert (first, later, free) == (["", "SignatureNonceUsed"], "", ["", ""])


async def test_a_signature_that_is_refused_uses_up_no_nonce() -> None:
    clock = FakeClock()
    async with calling(aliyun(clock), clock) as caller:
        own = {"more": {"x-acs-signature-nonce": "one"}}
        codes = [
            await caller.with_key(secret_key="wrong").code(LIST, HERE, **own),
            await caller.code(LIST, HERE, **own),
        ]
    assert codes == ["SignatureDoesNotMatch", ""]


async def test_a_clock_that_is_off_is_refused_with_the_date_that_mends_it() -> None:
    clock = FakeClock()
    async with calling(aliyun(clock, clock_skew_seconds=1000), clock) as caller:
        answer = await caller.send(LIST, HERE)
        mended = await caller.code(LIST, HERE, stamp=caller.stamp(1000))
    assert (answer.json()["Code"], mended) == ("InvalidTimeStamp.Expired", "")
    assert answer.headers["date"] == "Thu, 01 Jan 2026 00:16:40 GMT"


@pytest.mark.parametrize(("encoded", "told"), [(False, None), (True, "ecs:ExportImage")])
async def test_an_action_that_is_denied_is_refused_with_the_code_of_the_options(
    encoded: bool,  # noqa: FBT001 - a switch
    told: str | None,
) -> None:
    clock = FakeClock()
    rehearsal = aliyun(clock, denied={"ExportImage": "Forbidden.RAM"}, encoded_denials=encoded)
    async with calling(rehearsal, clock) as caller:
        answer = await caller.send("ExportImage", export_of(image(rehearsal)))
    assert (answer.status_code, answer.json()["Code"]) == (403, "Forbidden.RAM")
    assert answer.json().get("AccessDeniedDetail", {}).get("AuthAction") == told


# --- rates -----------------------------------------------------------------------------------------------------------


async def codes(caller: Caller, times: int, **params: Any) -> list[str]:
    """The codes of so many questions for images."""
    return [await caller.code(LIST, {**HERE, **params}) for _ in range(times)]


async def test_what_is_too_fast_is_throttled_until_the_next_minute() -> None:
    clock = FakeClock()
    rehearsal = aliyun(clock, requests_a_second=3)
    async with calling(rehearsal, clock) as caller:
        clock.jump(30)
        told = [await codes(caller, 4)]
        for wait in (1, 28, 1):
            clock.jump(wait)
            told.append(await codes(caller, 1))
    assert told == [["", "", "", "Throttling.User"], ["Throttling.User"], ["Throttling.User"], [""]]
    assert (rehearsal.requests.throttled, rehearsal.busiest()) == (3, {(LIST, REGION): 4})


async def test_throttling_may_last_only_while_the_rate_is_too_high() -> None:
    clock = FakeClock()
    rehearsal = aliyun(clock, requests_a_second=3, throttled_until="second", throttle_code="Throttling")
    async with calling(rehearsal, clock) as caller:
        told = [await codes(caller, 4)]
        clock.jump(0.9)
        told.append(await codes(caller, 1))
    assert told == [["", "", "", "Throttling"], [""]]


async def test_requests_that_keep_to_the_rate_are_never_throttled() -> None:
    clock = FakeClock()
    rehearsal = aliyun(clock, rates={LIST: 5})
    async with calling(rehearsal, clock) as caller:
        for _ in range(50):
            await caller.send(LIST, HERE)
            clock.jump(1 / 5)
    assert (rehearsal.requests.throttled, rehearsal.requests.asked(LIST)) == (0, 50)


async def test_every_action_and_region_has_a_rate_of_its_own_whichever_key_asks() -> None:
    clock = FakeClock()
    second = {"secret_id": "second", "secret_key": "x"}
    own = {"secret_id": REHEARSAL_KEY.secret_id, "secret_key": REHEARSAL_KEY.secret_key}
    async with calling(aliyun(clock, requests_a_second=1, keys=[own, second]), clock) as caller:
        told = [
            *await codes(caller, 1),
            *await codes(caller, 1, RegionId=OTHER_REGION),
            await caller.code("DescribeTasks", HERE),
            *await codes(caller.with_key(**second), 1),
        ]
    assert told == ["", "", "", "Throttling.User"]


@pytest.mark.parametrize(("wait", "header"), [(None, None), (1500, "1500")])
async def test_a_throttled_answer_says_when_to_come_back_if_it_is_told_so(wait: int | None, header: str | None) -> None:
    clock = FakeClock()
    rehearsal = aliyun(clock, retry_after_ms=wait)
    rehearsal.misbehave(Misbehaviour(fault="throttle"))
    async with calling(rehearsal, clock) as caller:
        answer = await caller.send(LIST, HERE)
    assert (answer.status_code, answer.headers.get("x-acs-retry-after")) == (400, header)
    assert rehearsal.requests.throttled == 1


# --- faults ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "http"),
    [
        ("ExportImageFailed", 403),
        ("WeeklyQuotaExceed.ExportImage", 403),
        ("InvalidOSSBucket.NotMatched", 400),
        ("Forbbiden", 403),
        ("OperationConflict", 409),
        ("InternalError", 500),
        ("ServiceUnavailable", 503),
    ],
)
async def test_a_given_code_is_answered_for_one_image_only(code: str, http: int) -> None:
    clock = FakeClock()
    rehearsal = aliyun(clock)
    hit, spared = image(rehearsal), image(rehearsal)
    rehearsal.misbehave(Misbehaviour(fault="code", code=code, message="as asked", image_id=hit))
    async with calling(rehearsal, clock) as caller:
        answer = await caller.send("ExportImage", export_of(hit))
        other = await caller.export_code(spared)
    told = answer.json()
    assert (answer.status_code, told["Code"], told["Message"], other) == (http, code, "as asked", "")


@pytest.mark.parametrize(
    ("aim", "hit"),
    [
        ({"destination": BUCKET}, ["ExportImage"]),
        ({"destination": OTHER_REGION}, ["CopyImage"]),
        ({"region": REGION}, ["ExportImage", "CopyImage"]),
        ({"action": "CopyImage"}, ["CopyImage"]),
    ],
)
async def test_faults_are_aimed_at_buckets_regions_and_actions(aim: dict[str, Any], hit: list[str]) -> None:
    clock = FakeClock()
    rehearsal = aliyun(clock)
    first, second = image(rehearsal), image(rehearsal)
    rehearsal.misbehave(Misbehaviour(fault="throttle", **aim))
    async with calling(rehearsal, clock) as caller:
        await caller.export_code(first)
        await caller.copy_code(second)
    answered = rehearsal.requests.answered
    assert [each for each in ("ExportImage", "CopyImage") if answered("Throttling", each)] == hit


async def test_a_fault_may_spare_dry_runs() -> None:
    clock = FakeClock()
    rehearsal = aliyun(clock)
    rehearsal.misbehave(Misbehaviour(fault="throttle", dry_runs=False))
    async with calling(rehearsal, clock) as caller:
        image_id = image(rehearsal)
        assert [await caller.export_code(image_id, DryRun=each) for each in ("true", None)] == [
            "DryRunOperation",
            "Throttling.User",
        ]


@pytest.mark.parametrize(("work", "tasks"), [("none", 0), ("done", 1)])
@pytest.mark.parametrize("status", [500, 502, 503])
async def test_a_bare_status_comes_with_or_without_the_work(status: int, work: Any, tasks: int) -> None:
    clock = FakeClock()
    rehearsal = aliyun(clock)
    rehearsal.misbehave(Misbehaviour(fault="status", status=status, work=work, count=1))
    async with calling(rehearsal, clock) as caller:
        answer = await caller.send("ExportImage", export_of(image(rehearsal)))
    assert (answer.status_code, answer.text[:6], len(rehearsal.tasks)) == (status, "<html>", tasks)


async def test_garbage_is_no_json() -> None:
    clock = FakeClock()
    rehearsal = aliyun(clock)
    rehearsal.misbehave(Misbehaviour(fault="garbage"))
    async with calling(rehearsal, clock) as caller:
        answer = await caller.send(LIST, HERE)
    assert answer.status_code == 200
    with pytest.raises(ValueError, match="Unterminated"):
        answer.json()


async def test_a_slow_answer_waits_by_the_given_clock_and_its_work_is_done_at_once() -> None:
    clock = FakeClock()
    rehearsal = aliyun(clock)
    rehearsal.misbehave(Misbehaviour(fault="slow", after=2, action="ExportImage"))
    async with calling(rehearsal, clock) as caller:
        asked = asyncio.create_task(caller.export_code(image(rehearsal)))
        await clock.until_sleeping()
        at_once = (asked.done(), len(rehearsal.tasks))
        await clock.advance(2)
        assert (at_once, await asked) == ((False, 1), "")


async def test_late_work_is_done_when_its_time_has_come() -> None:
    clock = FakeClock()
    rehearsal = aliyun(clock)
    image_id = image(rehearsal)
    rehearsal.misbehave(Misbehaviour(fault="status", work="late", after=1.5, count=1))
    async with calling(rehearsal, clock) as caller:
        await caller.send("ExportImage", export_of(image_id))
        clock.jump(1.4)
        before = (len(rehearsal.tasks), rehearsal.state()["late_work"])
        clock.jump(10)
        (task,) = rehearsal.tasks
    assert before == (0, 1)
    assert (task.requested_at, task.accepted_at, task.ends_at) == (START, START + 1_500_000, START + 3_500_000)
    assert dict(rehearsal.requests.accepted) == {("ExportImage", image_id, BUCKET): 1}


async def test_late_work_is_refused_unseen_when_the_rules_say_no_by_then() -> None:
    clock = FakeClock()
    rehearsal = aliyun(clock)
    image_id = image(rehearsal)
    rehearsal.misbehave(Misbehaviour(fault="status", work="late", after=1, count=1))
    async with calling(rehearsal, clock) as caller:
        for _ in range(2):
            await caller.send("CopyImage", copy_of(image_id))
    clock.jump(1)
    refused = rehearsal.requests.answered("unseen OperationDenied.ImageCopyConflict")
    assert (len(rehearsal.tasks), refused) == (1, 1)


async def test_an_answer_is_lost_with_its_connection() -> None:
    clock = FakeClock()
    rehearsal = aliyun(clock)
    rehearsal.misbehave(Misbehaviour(fault="drop", work="done", count=1))
    async with calling_over_http(rehearsal, clock) as caller:
        with pytest.raises(httpx.TransportError):
            await caller.export(image(rehearsal))
    assert (len(rehearsal.tasks), rehearsal.requests.answered("drop, work done")) == (1, 1)


async def test_a_request_that_hangs_has_no_answer_and_its_work_may_be_done() -> None:
    clock = FakeClock()
    rehearsal = aliyun(clock)
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
    rehearsal = aliyun(clock)
    rehearsal.misbehave(Misbehaviour(fault="throttle"))
    removed = rehearsal.behave()
    async with calling(rehearsal, clock) as caller:
        assert (removed, await codes(caller, 1)) == (1, [""])


# --- steering --------------------------------------------------------------------------------------------------------


def test_it_is_built_from_options_clock_and_chance_alone() -> None:
    assert AliyunRehearsal(AliyunOptions(), FakeClock(), random.Random(1)).tasks == []


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ({"region": "mars-1"}, "mars-1"),
        ({"extra": {"colour": "red"}}, "colour"),
        ({"extra": {"boot_mode": "kick"}}, "boot_mode"),
    ],
)
def test_an_image_that_cannot_be_is_refused(facts: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        aliyun().add_image(NewImage(**{"region": REGION, **facts}))


async def test_the_control_endpoints_create_steer_and_tell() -> None:
    clock = FakeClock()
    rehearsal = aliyun(clock)
    async with calling(rehearsal, clock) as caller:
        client = caller.client
        described = {"region": REGION, "name": "web", "extra": {"family": "front"}}
        (image_id,) = (await client.post("/_rehearsal/images", json=described)).json()["image_ids"]
        (shown,) = await caller.images()
        await client.post("/_rehearsal/misbehave", json={"fault": "throttle", "count": 1})
        throttled = await codes(caller, 1)
        changed = await client.post("/_rehearsal/options", json={"image_quota": 1})
        wrong = await client.post("/_rehearsal/options", json={"colour": "red"})
        state = (await client.get("/_rehearsal/state?parts=images,requests")).json()
        gone = await client.delete(f"/_rehearsal/images/{REGION}/{image_id}")
    assert (shown["ImageName"], shown["ImageFamily"], throttled) == ("web", "front", ["Throttling.User"])
    assert (changed.status_code, rehearsal.world.options.image_quota, wrong.status_code) == (200, 1, 400)
    assert "colour" in wrong.json()["error"]
    assert state["images"] == [{"RegionId": REGION, **shown}]
    assert (state["requests"]["total"], state["requests"]["throttled"]) == (2, 1)
    assert gone.json() == {"removed": 1}


async def test_the_state_tells_tasks_objects_and_what_ran_at_once() -> None:
    clock = FakeClock()
    rehearsal = aliyun(clock)
    image(rehearsal, image_id="m-a")
    async with calling(rehearsal, clock) as caller:
        await caller.export("m-a")
    clock.jump(2)
    state = rehearsal.state()
    assert [(each["action"], each["state"], each["destination"]) for each in state["tasks"]] == [
        ("ExportImage", "done", BUCKET)
    ]
    assert [(each["bucket"], each["key"]) for each in state["objects"]] == [(BUCKET, "m-a_system.raw.tar.gz")]
    assert state["running"] == [{"action": "ExportImage", "scope": REGION, "most": 1}]
    assert "recent" not in state
    with pytest.raises(ValueError, match="there are only"):
        rehearsal.state(["moons"])


async def test_a_removed_object_is_gone() -> None:
    clock = FakeClock()
    rehearsal = aliyun(clock)
    image(rehearsal, image_id="m-a")
    async with calling(rehearsal, clock) as caller:
        await caller.export("m-a")
        clock.jump(2)
        key = "m-a_system.raw.tar.gz"
        found = [(await caller.head(key)).status_code, rehearsal.remove_object(BUCKET, key)]
        assert (found, (await caller.head(key)).status_code) == ([200, True], 404)


def test_the_same_chance_makes_the_same_ids() -> None:
    first, second = ([image(rehearsal) for _ in range(3)] for rehearsal in (aliyun(), aliyun()))
    assert first == second
    assert first[0].startswith("m-")
