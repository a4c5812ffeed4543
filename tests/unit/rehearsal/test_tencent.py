import asyncio
import random
import uuid
from typing import Any

import pytest

from imageferry.rehearsal.misbehaviour import HEAD_OBJECT, Misbehaviour
from imageferry.rehearsal.options import REHEARSAL_KEY, RehearsalOptions
from imageferry.rehearsal.registry import REHEARSALS
from imageferry.rehearsal.store import NewImage
from imageferry.rehearsal.tencent import TencentRehearsal
from support.clocks import START, FakeClock
from support.rehearsals import BUCKET, OTHER_REGION, REGION, Caller, calling, image, tencent


async def test_a_refusal_is_an_error_within_an_answer_of_status_200() -> None:
    clock = FakeClock()
    async with calling(tencent(clock), clock) as caller:
        answer = await caller.send("ExportImages", {"BucketName": BUCKET})
    told = answer.json()["Response"]
    assert (answer.status_code, told["Error"]["Code"]) == (200, "InvalidParameter.ImageIdsSnapshotIdsMustOne")
    assert (told.keys(), bool(told["Error"]["Message"])) == ({"Error", "RequestId"}, True)
    assert str(uuid.UUID(told["RequestId"])) == told["RequestId"]


async def test_the_date_of_an_answer_is_the_rehearsals_own() -> None:
    clock = FakeClock()
    async with calling(tencent(clock, clock_skew_seconds=90), clock) as caller:
        answer = await caller.send("DescribeImages", {})
    assert answer.headers.get_list("date") == ["Thu, 01 Jan 2026 00:01:30 GMT"]


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"Authorization": None}, "AuthFailure.InvalidAuthorization"),
        ({"X-TC-Action": None}, "MissingParameter"),
        ({"X-TC-Version": None}, "MissingParameter"),
        ({"X-TC-Timestamp": None}, "MissingParameter"),
        ({"X-TC-Region": None}, "MissingParameter"),
        ({"X-TC-Timestamp": "now"}, "InvalidParameter"),
        ({"X-TC-Region": "mars-1"}, "UnsupportedRegion"),
        ({"X-TC-Action": "DescribeMoons"}, "InvalidAction"),
        ({"X-TC-Action": "describeImages"}, "InvalidAction"),
        ({"X-TC-Version": "2016-01-01"}, "NoSuchVersion"),
        ({"X-TC-RequestClient": "a b"}, "InvalidParameter"),
        ({"X-TC-RequestClient": "c" * 129}, "InvalidParameter"),
        ({"X-TC-RequestClient": "imageferry-0.1", "X-TC-Language": "en-US"}, ""),
        ({"Content-Type": "text/plain"}, "UnsupportedProtocol"),
        ({"Content-Type": "application/json; charset=utf-8"}, "AuthFailure.SignatureFailure"),
    ],
)
async def test_headers_are_held_to_their_rules(change: dict[str, str | None], code: str) -> None:
    clock = FakeClock()
    async with calling(tencent(clock), clock) as caller:
        assert await caller.code("DescribeImages", {}, change=change) == code


@pytest.mark.parametrize(
    ("body", "code"), [(b"{}", ""), (b"", "InvalidRequest"), (b"{", "InvalidRequest"), (b"[]", "InvalidRequest")]
)
async def test_a_body_must_be_a_json_object(body: bytes, code: str) -> None:
    clock = FakeClock()
    async with calling(tencent(clock), clock) as caller:
        assert await caller.code("DescribeImages", body) == code


async def test_a_body_over_ten_mebibytes_is_too_large() -> None:
    clock = FakeClock()
    async with calling(tencent(clock), clock) as caller:
        assert await caller.code("DescribeImages", b" " * (10 << 20) + b"{}") == "RequestSizeLimitExceeded"


async def test_an_action_must_be_signed_for_its_own_service() -> None:
    clock = FakeClock()
    async with calling(tencent(clock), clock) as caller:
        codes = [await caller.code("DescribeImages", {}, service=service) for service in ("cbs", "sts")]
    assert codes == ["InvalidAction", "InvalidAction"]


async def test_who_is_calling_is_told_without_a_region() -> None:
    clock = FakeClock()
    rehearsal = tencent(clock, account_id="1234")
    no_region = {"service": "sts", "change": {"X-TC-Region": None}}
    async with calling(rehearsal, clock) as caller:
        told = await caller.ask("GetCallerIdentity", {}, **no_region)
        rehearsal.change({"sts_needs_region": True})
        code = await caller.code("GetCallerIdentity", {}, **no_region)
    assert (told["AccountId"], told["Arn"], code) == ("1234", "qcs::cam::uin/1234:uin/1234", "MissingParameter")


@pytest.mark.parametrize(
    ("key", "code"),
    [
        ({"secret_key": "wrong"}, "AuthFailure.SignatureFailure"),
        ({"secret_id": "AKIDnobody"}, "AuthFailure.SecretIdNotFound"),
        ({"token": "stray"}, "AuthFailure.TokenFailure"),
    ],
)
async def test_a_wrong_key_is_refused_and_counted_without_being_told_in_the_journal(
    key: dict[str, str], code: str
) -> None:
    clock = FakeClock()
    rehearsal = tencent(clock)
    async with calling(rehearsal, clock) as caller:
        assert await caller.with_key(**key).code("DescribeImages", {}) == code
    assert (rehearsal.requests.answered("AuthFailure"), rehearsal.requests.asked()) == (1, 1)
    assert next(iter(key.values())) not in str(rehearsal.state(["requests", "recent"]))


async def test_a_clock_that_is_off_refuses_signatures_until_they_are_made_by_its_time() -> None:
    clock = FakeClock()
    async with calling(tencent(clock, clock_skew_seconds=600), clock) as caller:
        codes = [await caller.code("DescribeImages", {}, ahead=ahead) for ahead in (0, 600)]
    assert codes == ["AuthFailure.SignatureExpire", ""]


async def test_a_temporary_key_works_until_it_expires() -> None:
    clock = FakeClock()
    key = {"secret_id": "a", "secret_key": "b", "token": "c", "expires_at": START + 60_000_000}
    async with calling(tencent(clock, keys=[key]), clock) as caller:
        own = caller.with_key(secret_id="a", secret_key="b", token="c")
        before = await own.code("DescribeImages", {})
        clock.jump(60)
        after = await own.code("DescribeImages", {})
    assert (before, after) == ("", "AuthFailure.TokenFailure")


# --- rates ---------------------------------------------------------------------------------------------------------


async def codes_of(caller: Caller, times: int, **more: Any) -> list[str]:
    return [await caller.code("DescribeImages", {}, **more) for _ in range(times)]


async def test_one_request_more_than_the_rate_allows_is_throttled() -> None:
    clock = FakeClock()
    rehearsal = tencent(clock, rates={"DescribeImages": 3})
    async with calling(rehearsal, clock) as caller:
        first = await codes_of(caller, 4)
        clock.jump(0.9)
        later = await codes_of(caller, 1)
    assert (first, later) == (["", "", "", "RequestLimitExceeded"], [""])
    assert (rehearsal.requests.throttled, rehearsal.busiest()) == (1, {("DescribeImages", "cvm.test"): 4})


@pytest.mark.parametrize(("action", "rate"), [("ExportImages", 20), ("SyncImages", 10), ("DescribeImages", 40)])
async def test_the_usual_rates_are_the_vendors(action: str, rate: int) -> None:
    clock = FakeClock()
    rehearsal = tencent(clock)
    async with calling(rehearsal, clock) as caller:
        for _ in range(rate + 1):
            await caller.ask(action, {})
    assert rehearsal.requests.throttled == 1


async def test_requests_that_keep_to_the_rate_are_never_throttled() -> None:
    clock = FakeClock()
    rehearsal = tencent(clock)
    async with calling(rehearsal, clock) as caller:
        for _ in range(100):
            await caller.ask("ExportImages", {})
            clock.jump(1 / 20)
    assert (rehearsal.requests.throttled, rehearsal.requests.asked("ExportImages")) == (0, 100)


@pytest.mark.parametrize(("by", "code"), [("host", "RequestLimitExceeded"), ("region", "")])
async def test_regions_behind_one_host_share_a_rate_unless_it_is_counted_by_region(by: str, code: str) -> None:
    clock = FakeClock()
    async with calling(tencent(clock, rates={"DescribeImages": 1}, count_rate_by=by), clock) as caller:
        await caller.ask("DescribeImages", {}, region=REGION)
        assert await caller.code("DescribeImages", {}, region=OTHER_REGION) == code


async def test_every_key_has_a_rate_of_its_own() -> None:
    clock = FakeClock()
    key = {"secret_id": "second", "secret_key": "x"}
    own = {"secret_id": REHEARSAL_KEY.secret_id, "secret_key": REHEARSAL_KEY.secret_key}
    async with calling(tencent(clock, rates={"DescribeImages": 1}, keys=[own, key]), clock) as caller:
        codes = [await each.code("DescribeImages", {}) for each in (caller, caller.with_key(**key), caller)]
    assert codes == ["", "", "RequestLimitExceeded"]


async def test_requests_that_prove_no_key_use_up_no_rate() -> None:
    clock = FakeClock()
    async with calling(tencent(clock, rates={"DescribeImages": 1}), clock) as caller:
        await caller.with_key(secret_key="wrong").ask("DescribeImages", {})
        assert await caller.code("DescribeImages", {}) == ""


# --- faults --------------------------------------------------------------------------------------------------------


async def test_a_given_code_is_answered_for_one_image_only() -> None:
    clock = FakeClock()
    rehearsal = tencent(clock)
    hit, spared = image(rehearsal), image(rehearsal)
    code = "InvalidParameterValue.MissingLocationCosEndpoint"
    rehearsal.misbehave(Misbehaviour(fault="code", code=code, message="no endpoint", image_id=hit))
    async with calling(rehearsal, clock) as caller:
        error = (await caller.export(hit))["Error"]
        assert (error, await caller.export_code(spared)) == ({"Code": code, "Message": "no endpoint"}, "")


async def test_throttling_on_request_is_counted_as_throttling() -> None:
    clock = FakeClock()
    rehearsal = tencent(clock)
    rehearsal.misbehave(Misbehaviour(fault="throttle", count=2))
    async with calling(rehearsal, clock) as caller:
        assert await codes_of(caller, 3) == ["RequestLimitExceeded", "RequestLimitExceeded", ""]
    assert rehearsal.requests.throttled == 2


@pytest.mark.parametrize(("work", "tasks"), [("none", 0), ("done", 1)])
@pytest.mark.parametrize("status", [500, 502, 503])
async def test_a_bare_status_comes_with_or_without_the_work(status: int, work: Any, tasks: int) -> None:
    clock = FakeClock()
    rehearsal = tencent(clock)
    rehearsal.misbehave(Misbehaviour(fault="status", status=status, work=work, count=1))
    async with calling(rehearsal, clock) as caller:
        answer = await caller.send("ExportImages", {"ImageIds": [image(rehearsal)], "BucketName": BUCKET})
    assert (answer.status_code, "Response" in answer.text, len(rehearsal.tasks)) == (status, False, tasks)


async def test_garbage_is_no_json() -> None:
    clock = FakeClock()
    rehearsal = tencent(clock)
    rehearsal.misbehave(Misbehaviour(fault="garbage"))
    async with calling(rehearsal, clock) as caller:
        answer = await caller.send("DescribeImages", {})
    with pytest.raises(ValueError, match="Unterminated"):
        answer.json()


async def test_a_slow_answer_waits_by_the_given_clock_and_its_work_is_done_at_once() -> None:
    clock = FakeClock()
    rehearsal = tencent(clock)
    rehearsal.misbehave(Misbehaviour(fault="slow", after=2, action="ExportImages"))
    async with calling(rehearsal, clock) as caller:
        asked = asyncio.create_task(caller.export_code(image(rehearsal)))
        await clock.until_sleeping()
        at_once = (asked.done(), len(rehearsal.tasks))
        await clock.advance(2)
        assert (at_once, await asked) == ((False, 1), "")


async def test_late_work_is_done_when_its_time_has_come() -> None:
    clock = FakeClock()
    rehearsal = tencent(clock)
    image_id = image(rehearsal)
    rehearsal.misbehave(Misbehaviour(fault="status", work="late", after=1.5, count=1))
    async with calling(rehearsal, clock) as caller:
        await caller.send("ExportImages", {"ImageIds": [image_id], "BucketName": BUCKET})
        clock.jump(1.4)
        before = (len(rehearsal.tasks), rehearsal.state()["late_work"])
        clock.jump(10)
        (task,) = rehearsal.tasks
    assert before == (0, 1)
    assert (task.requested_at, task.accepted_at, task.ends_at) == (START, START + 1_500_000, START + 3_500_000)
    assert dict(rehearsal.requests.accepted) == {("ExportImages", image_id, BUCKET): 1}


async def test_late_work_is_refused_unseen_when_the_rules_say_no_by_then() -> None:
    clock = FakeClock()
    rehearsal = tencent(clock)
    image_id = image(rehearsal)
    rehearsal.misbehave(Misbehaviour(fault="status", work="late", after=1, count=1))
    async with calling(rehearsal, clock) as caller:
        for _ in range(2):
            await caller.send("ExportImages", {"ImageIds": [image_id], "BucketName": BUCKET})
    clock.jump(1)
    assert (len(rehearsal.tasks), rehearsal.requests.answered("unseen InvalidParameterValue")) == (1, 1)


async def test_faults_are_over_when_they_are_taken_away() -> None:
    clock = FakeClock()
    rehearsal = tencent(clock)
    rehearsal.misbehave(Misbehaviour(fault="throttle"))
    removed = rehearsal.behave()
    async with calling(rehearsal, clock) as caller:
        assert (removed, await codes_of(caller, 1)) == (1, [""])


# --- storage -------------------------------------------------------------------------------------------------------


async def test_a_bucket_that_may_be_read_answers_with_its_region() -> None:
    clock = FakeClock()
    async with calling(tencent(clock), clock) as caller:
        answer = await caller.head("")
    assert (answer.status_code, answer.headers["x-cos-bucket-region"]) == (200, REGION)


@pytest.mark.parametrize(
    ("bucket", "options", "status"),
    [
        (BUCKET, {}, 404),
        (BUCKET, {"unreadable_buckets": [BUCKET]}, 403),
        ("missing-1250000000", {}, 404),
    ],
)
async def test_an_object_that_cannot_be_seen_answers_why(bucket: str, options: dict[str, Any], status: int) -> None:
    clock = FakeClock()
    async with calling(tencent(clock, **options), clock) as caller:
        assert (await caller.head("some.raw", bucket)).status_code == status


async def test_a_wrong_storage_signature_answers_403() -> None:
    clock = FakeClock()
    async with calling(tencent(clock), clock) as caller:
        statuses = [
            (await caller.with_key(secret_key="wrong").head("")).status_code,
            (await caller.client.head(f"/{BUCKET}/some.raw")).status_code,
        ]
    assert statuses == [403, 403]


@pytest.mark.parametrize(("checks", "status"), [(False, 200), (True, 403)])
async def test_the_region_of_a_storage_scope_is_checked_as_the_switch_says(checks: bool, status: int) -> None:  # noqa: FBT001 - a switch
    clock = FakeClock()
    async with calling(tencent(clock, storage_checks_region=checks), clock) as caller:
        headers = caller.storage_headers(f"/{BUCKET}", region=OTHER_REGION)
        assert (await caller.client.head(f"/{BUCKET}", headers=headers)).status_code == status


async def test_storage_faults_hit_the_objects_of_one_image() -> None:
    clock = FakeClock()
    rehearsal = tencent(clock)
    hit = Misbehaviour(fault="status", action=HEAD_OBJECT, image_id="img-0000000a", status=502)
    rehearsal.misbehave(hit)
    async with calling(rehearsal, clock) as caller:
        keys = [f"p_img-0000000{letter}_system_snap-1.raw" for letter in "ab"]
        assert [(await caller.head(key)).status_code for key in keys] == [502, 404]


async def test_a_slow_storage_answer_waits_by_the_given_clock() -> None:
    clock = FakeClock()
    rehearsal = tencent(clock)
    rehearsal.misbehave(Misbehaviour(fault="slow", action=HEAD_OBJECT, after=5))
    async with calling(rehearsal, clock) as caller:
        asked = asyncio.create_task(caller.head("some.raw"))
        await clock.until_sleeping()
        waiting = not asked.done()
        await clock.advance(5)
        assert (waiting, (await asked).status_code) == (True, 404)


# --- steering ------------------------------------------------------------------------------------------------------


def test_the_registry_builds_a_rehearsal_from_options_clock_and_chance() -> None:
    built = REHEARSALS["tencent"](RehearsalOptions(), FakeClock(), random.Random(1))
    assert isinstance(built, TencentRehearsal)


def test_an_image_in_a_region_that_is_not_there_is_refused() -> None:
    with pytest.raises(ValueError, match="mars-1"):
        tencent().add_image(NewImage(region="mars-1"))


async def test_a_removed_image_and_a_removed_object_are_gone() -> None:
    clock = FakeClock()
    rehearsal = tencent(clock)
    image_id = image(rehearsal)
    async with calling(rehearsal, clock) as caller:
        key = (await caller.export(image_id))["CosPaths"][0].lstrip("/")
        clock.jump(2)
        removed = (rehearsal.remove_image(REGION, image_id), rehearsal.remove_object(BUCKET, key))
        assert (removed, await caller.images(), (await caller.head(key)).status_code) == ((True, True), [], 404)


def test_the_same_chance_makes_the_same_ids() -> None:
    first, second = ([image(rehearsal) for _ in range(3)] for rehearsal in (tencent(), tencent()))
    assert first == second


async def test_a_deprecation_warning_and_a_plain_text_type_can_be_had() -> None:
    clock = FakeClock()
    async with calling(tencent(clock, deprecated_warning=True, answer_type="text/plain"), clock) as caller:
        answer = await caller.send("DescribeImages", {})
    assert "DeprecatedWarning" in answer.json()["Response"]
    assert answer.headers["content-type"].startswith("text/plain")
