from __future__ import annotations

import json
from typing import Any

import pytest

from imageferry.clouds.aliyun.answers import Fault, fault, read, rows, whole
from imageferry.clouds.wire import Reply
from imageferry.core.answers import Answer

DATE = {"date": "Thu, 01 Jan 2026 00:00:45 GMT"}
XML = (
    '<?xml version="1.0" encoding="utf-8"?><Error><RequestId>r-1</RequestId><HostId>ecs.aliyuncs.com</HostId>'
    "<Code>Throttling.User</Code><Message>slow &amp; steady</Message></Error>"
)


def reply(status: int, body: Any = b"", headers: dict[str, str] | None = None) -> Reply:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Reply(status, headers or {}, raw, 0, 0)


def answer(status: int, body: Any = b"", *, submits: bool = False, **headers: str) -> Answer:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return read(reply(status, body, named), action="ExportImage", submits=submits).answer


def test_a_success_is_its_object_with_its_request_id() -> None:
    told = read(reply(200, {"RequestId": "r-1", "TaskId": "t-1"}), action="ExportImage", submits=True)
    assert (told.answer, told.content["TaskId"]) == (Answer("ok", "", request_id="r-1"), "t-1")


@pytest.mark.parametrize("body", [b"", b"<ok/>", b"[1]", b"null", b'{"TaskId": '])
@pytest.mark.parametrize(("submits", "klass"), [(True, "unanswered"), (False, "retry")])
def test_a_success_that_cannot_be_read_proves_nothing(body: bytes, klass: str, *, submits: bool) -> None:
    assert answer(200, body, submits=submits).klass == klass


@pytest.mark.parametrize(
    "body",
    [
        {"Code": "Throttling.User", "Message": "slow & steady", "RequestId": "r-1", "HostId": "h", "Recommend": "u"},
        {"code": "Throttling.User", "message": "slow & steady", "requestId": "r-1"},
        XML.encode(),
    ],
)
def test_an_error_is_read_in_every_shape(body: Any) -> None:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    assert fault(raw) == Fault("Throttling.User", "slow & steady", "r-1")


@pytest.mark.parametrize("body", [b"", b"<html>Bad gateway</html>", b"[]", b"\xff\xfe"])
def test_an_error_without_a_code_is_judged_by_its_status(body: bytes) -> None:
    assert [answer(status, body).klass for status in (400, 401, 429, 502)] == [
        "permanent_config",
        "auth",
        "throttled",
        "retry",
    ]


def test_a_broken_server_leaves_open_whether_a_task_began() -> None:
    assert answer(503, submits=True).klass == "unanswered"
    assert answer(500, {"Code": "InternalError"}, submits=True).klass == "retry"


def test_a_missing_permission_is_named() -> None:
    body = {"Code": "Forbidden.RAM", "Message": "not allowed", "AccessDeniedDetail": {"AuthAction": "ecs:ExportImage"}}
    told = answer(403, body)
    assert (told.klass, told.message) == ("auth", "not allowed; the keys lack ecs:ExportImage")


# --- waiting -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("text", "seconds"), [("1500", 1.5), ("1", 0.001), ("99999999", 3600.0)])
def test_the_header_that_says_how_long_to_wait_counts_milliseconds(text: str, seconds: float) -> None:
    assert answer(400, {"Code": "Throttling"}, x_acs_retry_after=text).retry_after == seconds


@pytest.mark.parametrize("text", ["", "0", "-5", "soon", "1.5"])
def test_without_it_what_is_throttled_waits_for_the_next_minute_of_the_vendors_clock(text: str) -> None:
    assert answer(400, {"Code": "Throttling"}, x_acs_retry_after=text, **DATE).retry_after == 15.0


def test_without_a_clock_either_it_waits_a_little() -> None:
    assert answer(400, {"Code": "Throttling"}).retry_after == 5.0


def test_only_what_is_throttled_waits_for_a_minute() -> None:
    assert answer(400, {"Code": "InvalidParameter"}, **DATE).retry_after is None


def test_an_answer_that_only_asks_to_wait_is_a_throttled_one() -> None:
    told = answer(503, b"", x_acs_retry_after="700", submits=True)
    assert (told.klass, told.retry_after) == ("throttled", 0.7)


def test_only_the_quota_of_running_exports_teaches_how_many_may_run() -> None:
    codes = ("ConcurrentQuotaExceed.ExportImage", "WeeklyQuotaExceed.ExportImage", "QuotaExceed.Image")
    told = [answer(403, {"Code": code}) for code in codes]
    assert [(each.klass, each.about_running) for each in told] == [
        ("wait_quota", True),
        ("wait_quota", False),
        ("wait_quota", False),
    ]


# --- parts of bodies -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "wrapped",
    [{"Task": [{"TaskId": "t-1"}]}, [{"Task": [{"TaskId": "t-1"}]}], [{"Task": {"TaskId": "t-1"}}]],
)
def test_a_wrapped_list_is_read_in_every_shape(wrapped: Any) -> None:
    assert rows({"TaskSet": wrapped}, "TaskSet", "Task") == [{"TaskId": "t-1"}]


@pytest.mark.parametrize("wrapped", [None, {}, [], "x", {"Task": None}, {"Task": ["x", None]}, [None]])
def test_an_empty_or_strange_one_is_empty(wrapped: Any) -> None:
    assert rows({"TaskSet": wrapped}, "TaskSet", "Task") == []


def test_numbers_may_be_written_as_text() -> None:
    assert [whole(each) for each in (40, "40", "", None, "4.5", "-1", "٤")] == [40, 40, None, None, None, None, None]
