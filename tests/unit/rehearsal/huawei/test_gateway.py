import random
from typing import Any

import pytest

from imageferry.rehearsal.huawei_options import HuaweiOptions
from imageferry.rehearsal.options import REHEARSAL_KEY
from support.clocks import START, FakeClock
from support.huawei_rehearsals import (
    BUCKET,
    OTHER_PROJECT,
    OTHER_REGION,
    PROJECT,
    Caller,
    calling,
    code_of,
    huawei,
    image,
)

LIST = ("GET", "/v2/cloudimages")
LETTERS = "abc XYZ019-_.~!*'()+/=&?%:@,;äß中文🙂"


def words(chance: random.Random) -> str:
    return "".join(chance.choices(LETTERS, k=chance.randrange(1, 12)))


# --- who asks ------------------------------------------------------------------------------------------------------


async def test_500_random_requests_that_the_vendors_code_signs_are_let_in() -> None:
    chance, clock = random.Random(4), FakeClock()
    async with calling(huawei(clock), clock) as caller:
        for _ in range(500):
            headers = {f"X-Note-{chance.randrange(9)}": f" {chance.randrange(10**9)}  inner "}
            if chance.random() < 0.5:
                name = chance.choice(["name", "tag", "owner", "__platform"])
                answer = await caller.send("GET", "/v2/cloudimages", {name: words(chance)}, headers=headers)
            else:
                body = {"bucket_url": words(chance), "file_format": words(chance)}
                answer = await caller.send("POST", "/v1/cloudimages/some-id/file", body, headers=headers)
            assert code_of(answer) == "" or code_of(answer).startswith("IMG."), answer.text


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"Authorization": None}, "x-auth-token not found"),
        ({"Authorization": "Bearer x"}, "not an SDK-HMAC-SHA256 signature"),
        ({"X-Sdk-Date": "20200101T000000Z"}, "signature expired"),
        ({"X-Sdk-Date": "yesterday"}, "verify aksk signature fail"),
        ({"X-Project-Id": OTHER_PROJECT}, "verify aksk signature fail"),
        ({"Content-Type": "text/plain"}, "verify aksk signature fail"),
    ],
)
async def test_a_request_that_proves_nothing_is_refused_by_the_gateway(
    change: dict[str, str | None], words: str
) -> None:
    clock = FakeClock()
    async with calling(huawei(clock), clock) as caller:
        answer = await caller.send(*LIST, change=change)
    told = answer.json()
    assert (answer.status_code, told["error_code"], words in told["error_msg"]) == (401, "APIGW.0301", True)
    assert told["request_id"] == answer.headers["x-request-id"]


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ({"secret_key": "wrong"}, "verify aksk signature fail"),
        ({"secret_id": "AKnobody"}, "ak not exist"),
        ({"token": "stray"}, "decrypt token fail"),
    ],
)
async def test_a_wrong_key_is_refused_without_being_told_in_the_journal(key: dict[str, str], words: str) -> None:
    clock = FakeClock()
    rehearsal = huawei(clock)
    async with calling(rehearsal, clock) as caller:
        answer = await caller.with_key(**key).send(*LIST)
    assert words in answer.json()["error_msg"]
    assert rehearsal.requests.answered("APIGW.0301") == 1
    assert next(iter(key.values())) not in str(rehearsal.state(["requests", "recent"]))


@pytest.mark.parametrize(("echoes", "seen"), [(True, True), (False, False)])
async def test_the_refusal_of_a_signature_echoes_the_request_as_the_switch_says(echoes: bool, seen: bool) -> None:  # noqa: FBT001 - a switch
    clock = FakeClock()
    key = {"secret_id": "tmp", "secret_key": "s", "token": "the-token-itself"}
    async with calling(huawei(clock, keys=[key], echoes_canonical=echoes), clock) as caller:
        answer = await caller.with_key(**{**key, "secret_key": "wrong"}).send(*LIST)
    assert ("x-security-token:the-token-itself|" in answer.json()["error_msg"]) is seen
    assert "verify aksk signature fail" in answer.json()["error_msg"]


@pytest.mark.parametrize("words", ["signature expired", "verify aksk signature fail"])
async def test_a_clock_that_is_off_is_called_as_the_switch_says(words: str) -> None:
    clock = FakeClock()
    async with calling(huawei(clock, clock_skew_seconds=1000, skew_words=words), clock) as caller:
        refused = await caller.send(*LIST)
        corrected = await caller.code(*LIST, ahead=1000)
    assert (words in refused.json()["error_msg"], corrected) == (True, "")
    assert refused.headers["date"] == "Thu, 01 Jan 2026 00:16:40 GMT"


async def test_a_temporary_key_works_until_it_expires() -> None:
    clock = FakeClock()
    key = {"secret_id": "a", "secret_key": "b", "token": "c"}
    rehearsal = huawei(clock, keys=[{**key, "expires_at": START + 60_000_000}])
    async with calling(rehearsal, clock) as caller:
        codes = [await caller.with_key(**key).code(*LIST)]
        clock.jump(60)
        codes.append(await caller.with_key(**key).code(*LIST))
    assert codes == ["", "APIGW.0301"]


@pytest.mark.parametrize(("needed", "code"), [(["x-sdk-date"], ""), (["x-sdk-date", "x-other"], "APIGW.0301")])
async def test_the_headers_that_must_be_signed_are_a_switch(needed: list[str], code: str) -> None:
    clock = FakeClock()
    async with calling(huawei(clock, headers_to_sign=needed), clock) as caller:
        assert await caller.code(*LIST) == code


# --- the lock ------------------------------------------------------------------------------------------------------


async def bad(caller: Caller, times: int) -> list[str]:
    wrong = caller.with_key(secret_key="wrong")
    answers = [await wrong.send(*LIST) for _ in range(times)]
    return ["forbidden" if "AK access failed" in each.json()["error_msg"] else code_of(each) for each in answers]


async def test_more_than_five_bad_signatures_in_a_row_lock_a_key_for_five_minutes() -> None:
    clock = FakeClock()
    rehearsal = huawei(clock)
    async with calling(rehearsal, clock) as caller:
        failures = await bad(caller, 6)
        locked = await caller.send(*LIST)
        clock.jump(299)
        still = await caller.code(*LIST)
        clock.jump(1)
        free = await caller.code(*LIST)
    assert failures == ["APIGW.0301"] * 6
    assert "AK access failed to reach the limit" in locked.json()["error_msg"]
    assert (still, free, rehearsal.state(["running"])["locks"]) == ("APIGW.0301", "", 1)


async def test_five_bad_signatures_and_a_good_one_lock_nothing() -> None:
    clock = FakeClock()
    rehearsal = huawei(clock)
    async with calling(rehearsal, clock) as caller:
        for _ in range(2):
            await bad(caller, 5)
            assert await caller.code(*LIST) == ""
    assert rehearsal.locks == 0


async def test_only_the_key_with_bad_signatures_is_locked() -> None:
    clock = FakeClock()
    keys = [{"secret_id": each, "secret_key": each} for each in ("one", "two")]
    async with calling(huawei(clock, keys=keys), clock) as caller:
        await bad(caller.with_key(secret_id="one"), 6)
        codes = [await caller.with_key(secret_id=each, secret_key=each).code(*LIST) for each in ("one", "two")]
    assert codes == ["APIGW.0301", ""]


@pytest.mark.parametrize(("most", "locks"), [(0, 1), (2, 1), (3, 0), (None, 0)])
async def test_how_many_bad_signatures_a_key_may_have_is_an_option(most: int | None, locks: int) -> None:
    clock = FakeClock()
    rehearsal = huawei(clock, bad_signatures_most=most)
    async with calling(rehearsal, clock) as caller:
        await bad(caller, 3)
    assert bool(rehearsal.locks) == bool(locks)


@pytest.mark.parametrize(("counts", "code"), [(True, "APIGW.0301"), (False, "")])
async def test_a_clock_that_is_off_counts_towards_the_lock_as_the_switch_says(counts: bool, code: str) -> None:  # noqa: FBT001 - a switch
    clock = FakeClock()
    async with calling(huawei(clock, skew_counts_to_lock=counts), clock) as caller:
        for _ in range(6):
            await caller.send(*LIST, ahead=2000)
        assert await caller.code(*LIST) == code


# --- projects and regions ------------------------------------------------------------------------------------------


async def test_the_project_tells_the_region() -> None:
    clock = FakeClock()
    rehearsal = huawei(clock)
    here, there = image(rehearsal), image(rehearsal, region=OTHER_REGION)
    async with calling(rehearsal, clock) as caller:
        seen = [[each["id"] for each in await caller.images(project)] for project in (PROJECT, OTHER_PROJECT)]
    assert seen == [[here], [there]]


@pytest.mark.parametrize(("needed", "code"), [(False, ""), (True, "IMG.0030")])
async def test_a_host_that_names_its_region_needs_no_project_unless_the_switch_says_so(needed: bool, code: str) -> None:  # noqa: FBT001 - a switch
    clock = FakeClock()
    rehearsal = huawei(clock, project_header_needed=needed)
    base = f"http://ims.{OTHER_REGION}.myhuaweicloud.com"
    async with calling(rehearsal, clock, base) as caller:
        assert await caller.code(*LIST, project="") == code
    assert rehearsal.requests.last[-1].region == ("" if code else OTHER_REGION)


@pytest.mark.parametrize("project", ["", "f" * 32])
async def test_without_a_known_project_nothing_is_told(project: str) -> None:
    clock = FakeClock()
    async with calling(huawei(clock), clock) as caller:
        assert await caller.code(*LIST, project=project) == "IMG.0030"


async def test_a_project_of_another_region_than_the_hosts_is_refused_with_the_code_of_the_switch() -> None:
    clock = FakeClock()
    rehearsal = huawei(clock, project_mismatch_code="IMG.0067")
    async with calling(rehearsal, clock, f"http://ims.{OTHER_REGION}.myhuaweicloud.com") as caller:
        assert [await caller.code(*LIST, project=each) for each in (PROJECT, OTHER_PROJECT)] == ["IMG.0067", ""]


async def test_a_path_that_names_another_project_than_the_header_is_refused() -> None:
    clock = FakeClock()
    async with calling(huawei(clock), clock) as caller:
        assert await caller.code("GET", f"/v1/{OTHER_PROJECT}/jobs/{'0' * 32}") == "IMG.0030"


async def test_images_of_another_project_in_the_region_are_not_seen() -> None:
    clock = FakeClock()
    rehearsal = huawei(clock, projects={"cn-north-4_dev": "d" * 32})
    image_id = image(rehearsal, extra={"project": "cn-north-4_dev"})
    async with calling(rehearsal, clock) as caller:
        seen = [[each["id"] for each in await caller.images(project)] for project in (PROJECT, "d" * 32)]
        code = code_of(await caller.export(image_id))
    assert (seen, code) == ([[], [image_id]], "IMG.0027")


# --- rates ---------------------------------------------------------------------------------------------------------


async def test_five_requests_a_second_may_be_sent_to_a_region_whatever_they_are() -> None:
    clock = FakeClock()
    rehearsal = huawei(clock, requests_a_second=HuaweiOptions().requests_a_second)
    async with calling(rehearsal, clock) as caller:
        quota = ("GET", "/v1/cloudimages/quota")
        first = [await caller.code(*each) for each in (LIST, quota, LIST, quota, LIST, quota)]
        elsewhere = await caller.code(*LIST, project=OTHER_PROJECT)
        clock.jump(0.9)
        later = await caller.code(*LIST)
    assert first == ["", "", "", "", "", "APIGW.0308"]
    assert (elsewhere, later, rehearsal.requests.throttled) == ("", "", 1)
    assert rehearsal.busiest()["the image service", "cn-north-4"] == 6


async def test_a_rate_may_be_counted_over_the_whole_account() -> None:
    clock = FakeClock()
    async with calling(huawei(clock, requests_a_second=1, count_rate_by="account"), clock) as caller:
        assert [await caller.code(*LIST, project=each) for each in (PROJECT, OTHER_PROJECT)] == ["", "APIGW.0308"]


async def test_an_operation_may_have_a_rate_of_its_own() -> None:
    clock = FakeClock()
    async with calling(huawei(clock, rates={"ListImages": 1}), clock) as caller:
        codes = [await caller.code(*each) for each in (LIST, LIST, ("GET", "/v1/cloudimages/quota"))]
    assert codes == ["", "APIGW.0308", ""]


async def test_requests_that_prove_no_key_use_up_no_rate_and_identity_services_have_none() -> None:
    clock = FakeClock()
    async with calling(huawei(clock, requests_a_second=1), clock) as caller:
        await bad(caller, 2)
        codes = [await caller.code("GET", "/v3/projects") for _ in range(3)]
        assert [*codes, await caller.code(*LIST)] == ["", "", "", ""]


@pytest.mark.parametrize(("seconds", "header"), [(None, None), (7, "7")])
async def test_a_throttled_answer_says_when_to_come_again_as_the_switch_says(
    seconds: int | None, header: str | None
) -> None:
    clock = FakeClock()
    async with calling(huawei(clock, requests_a_second=0, retry_after_seconds=seconds), clock) as caller:
        answer = await caller.send(*LIST)
    assert (answer.status_code, answer.headers.get("retry-after")) == (429, header)


# --- shapes and envelopes ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/v1/nothing"), ("DELETE", "/v2/cloudimages"), ("POST", "/"), ("GET", "/v2/images/a")]
)
async def test_what_is_no_api_is_not_found_by_the_gateway(method: str, path: str) -> None:
    clock = FakeClock()
    async with calling(huawei(clock), clock) as caller:
        answer = await caller.send(method, path)
    assert (answer.status_code, code_of(answer)) == (404, "APIGW.0101")


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "IMG.0007"),
        (b"{", "IMG.0001"),
        (b"[]", "IMG.0001"),
        (b"{}", "IMG.0001"),
        (b'{"bucket_url": 1}', "IMG.0001"),
        (b'{"bucket_url": "b:k", "colour": "red"}', "IMG.0001"),
        (b'{"bucket_url": "b:k", "is_quick_export": "true"}', "IMG.0001"),
        (b" " * (12 << 20) + b"{}", "APIGW.0201"),
    ],
)
async def test_a_body_must_have_its_shape(body: bytes, code: str) -> None:
    clock = FakeClock()
    rehearsal = huawei(clock)
    async with calling(rehearsal, clock) as caller:
        assert await caller.code("POST", f"/v1/cloudimages/{image(rehearsal)}/file", body) == code


async def test_sizes_that_the_gateway_refuses_have_their_own_statuses() -> None:
    clock = FakeClock()
    async with calling(huawei(clock), clock) as caller:
        long = await caller.send("GET", "/v2/cloudimages", {"name": "x" * (33 << 10)})
        large = await caller.send("POST", "/v1/cloudimages/x/file", b" " * (12 << 20) + b"x")
    assert (long.status_code, large.status_code) == (414, 413)


async def test_a_body_that_is_not_json_by_its_type_is_malformed() -> None:
    clock = FakeClock()
    async with calling(huawei(clock), clock) as caller:
        headers = {"Content-Type": "text/plain"}
        answer = await caller.send("POST", "/v1/cloudimages/x/file", {"bucket_url": "b:k"}, headers=headers)
    assert (answer.status_code, code_of(answer)) == (400, "APIGW.0201")


@pytest.mark.parametrize(
    ("options", "status", "told"),
    [
        ({}, 400, {"error": {"code": "IMG.0027", "message": "The image x does not exist."}}),
        (
            {"image_envelope": "flat"},
            400,
            {"error_code": "IMG.0027", "error_msg": "The image x does not exist."},
        ),
        (
            {"http_statuses": {"IMG.0027": 404}},
            404,
            {"error": {"code": "IMG.0027", "message": "The image x does not exist."}},
        ),
    ],
)
async def test_errors_of_the_image_service_have_the_envelope_of_the_switch(
    options: dict[str, Any], status: int, told: dict[str, Any]
) -> None:
    clock = FakeClock()
    async with calling(huawei(clock, **options), clock) as caller:
        answer = await caller.send(
            "POST", "/v1/cloudimages/x/file", {"bucket_url": f"{BUCKET}:k", "file_format": "vhd"}
        )
    assert (answer.status_code, answer.json()) == (status, told)


@pytest.mark.parametrize(
    ("code", "status", "encoded"),
    [
        ("APIGW.0302", 403, False),
        ("APIGW.0310", 403, False),
        ("APIGW.0613", 503, False),
        ("APIGW.0605", 500, False),
        ("IAM.0001", 401, False),
        ("IAM.0082", 403, True),
        ("IMG.0238", 400, False),
    ],
)
async def test_an_operation_may_be_denied_with_any_code(code: str, status: int, encoded: bool) -> None:  # noqa: FBT001 - what is expected
    clock = FakeClock()
    async with calling(huawei(clock, denied={"ListImages": code}), clock) as caller:
        answer = await caller.send(*LIST)
    assert (answer.status_code, code_of(answer)) == (status, code)
    assert ("encoded_authorization_message" in answer.json()) is encoded


async def test_the_gateways_prefix_is_a_switch() -> None:
    clock = FakeClock()
    rehearsal = huawei(clock, gateway_prefix="APIG", requests_a_second=0)
    async with calling(rehearsal, clock) as caller:
        assert await caller.code(*LIST) == "APIG.0308"
    assert rehearsal.requests.throttled == 1


async def test_the_newer_paths_do_the_same() -> None:
    clock = FakeClock()
    rehearsal = huawei(clock)
    body = {"bucket_url": f"{BUCKET}:k", "file_format": "vhd"}
    async with calling(rehearsal, clock) as caller:
        assert await caller.code("POST", f"/v2.1/cloudimages/{image(rehearsal)}/file", body) == ""
    assert [task.action for task in rehearsal.tasks] == ["ExportImage"]


def test_the_options_key_is_the_one_that_every_rehearsal_takes() -> None:
    assert HuaweiOptions().keys == (REHEARSAL_KEY,)
