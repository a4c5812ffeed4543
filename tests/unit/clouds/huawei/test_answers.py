from __future__ import annotations

import json
from typing import Any

import pytest

from imageferry.clouds.huawei.answers import Fault, fault, read
from imageferry.clouds.wire import Reply
from imageferry.core.answers import Answer


def reply(body: Any, status: int = 400, **headers: str) -> Reply:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Reply(status, {name.replace("_", "-"): value for name, value in headers.items()}, raw, 0, 0)


def answer(body: Any, status: int = 400, *, submits: bool = False, advice: str = "", **headers: str) -> Answer:
    return read(reply(body, status, **headers), submits=submits, advice=advice).answer


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"error_code": "APIGW.0301", "error_msg": "m", "request_id": "r"}, Fault("APIGW.0301", "m")),
        ({"errorCode": "X.1", "errorMsg": "m"}, Fault("X.1", "m")),
        ({"code": "X.2", "message": "m"}, Fault("X.2", "m")),
        ({"error": {"code": "IMG.0024", "message": "m"}}, Fault("IMG.0024", "m")),
        ({"a": {"b": {"error_code": "X.3", "error_msg": "m"}}}, Fault("X.3", "m")),
        ({"encoded_authorization_message": "x", "error_code": "IAM.0082", "error_msg": "m"}, Fault("IAM.0082", "m")),
        ({"error": {"code": 401, "message": "m", "title": "t"}}, Fault("", "m")),
        ({"error": {"code": "401", "title": "t"}}, Fault("", "t")),
        ({"error_code": None, "fail_reason": None}, Fault()),
        ({"images": []}, Fault()),
    ],
)
def test_every_envelope_of_the_vendors_is_read(body: dict[str, Any], expected: Fault) -> None:
    assert fault(body) == expected


def test_a_body_without_end_has_no_fault() -> None:
    body: dict[str, Any] = {"error_code": "X.1"}
    for _ in range(50):
        body = {"inner": body}
    assert fault(body) == Fault()


def test_a_success_has_its_content_and_request_id() -> None:
    told = read(reply({"job_id": "j"}, 200, x_request_id="r-1"), submits=True, advice="")
    assert (told.answer, told.content) == (Answer("ok", "", request_id="r-1"), {"job_id": "j"})


def test_a_refusal_has_code_class_words_and_request_id() -> None:
    told = answer({"error": {"code": "IMG.0148", "message": "busy"}}, x_request_id="r-1")
    assert told == Answer("wait_image", "busy", "IMG.0148", "r-1")


@pytest.mark.parametrize(
    ("headers", "body", "expected"),
    [
        ({"x_request_id": "r-1", "x_iam_trace_id": "r-2"}, {"request_id": "r-3"}, "r-1"),
        ({"x_iam_trace_id": "r-2"}, {"request_id": "r-3"}, "r-2"),
        ({}, {"request_id": "r-3"}, "r-3"),
        ({}, {}, ""),
    ],
)
def test_the_request_id_is_found_wherever_it_stands(headers: dict[str, str], body: Any, expected: str) -> None:
    assert answer({"error_code": "APIGW.0101", **body}, 404, **headers).request_id == expected


def test_an_error_that_comes_as_a_success_is_a_refusal() -> None:
    assert answer({"error": {"code": "IMG.0046", "message": "m"}}, 200).klass == "wait_image"


def test_a_job_document_that_says_why_it_failed_is_no_refusal() -> None:
    assert answer({"status": "FAIL", "error_code": "IMG.0069"}, 200).klass == "ok"


@pytest.mark.parametrize("body", [b"<html>", b"", b"[]", b"\xff", b"[" * 100_000])
@pytest.mark.parametrize(("submits", "klass"), [(True, "unanswered"), (False, "retry")])
def test_an_unreadable_success_leaves_it_open_whether_a_task_was_started(
    body: bytes, klass: str, *, submits: bool
) -> None:
    assert answer(body, 200, submits=submits).klass == klass


@pytest.mark.parametrize(("submits", "klass"), [(True, "unanswered"), (False, "retry")])
@pytest.mark.parametrize("status", [408, 425, 500, 502, 503, 504])
def test_a_server_error_without_a_code_leaves_it_open_too(status: int, klass: str, *, submits: bool) -> None:
    assert answer(b"oops", status, submits=submits).klass == klass


def test_plain_text_on_a_denial_goes_by_its_status() -> None:
    told = answer(b"<error>denied</error>", 403, submits=True)
    assert (told.klass, told.message) == ("auth", "the API answered with HTTP 403")


def test_what_a_person_may_do_is_added() -> None:
    told = answer({"error_code": "IAM.0002", "error_msg": "no"}, 403, advice="grant it")
    assert told.message == "no; grant it"


@pytest.mark.parametrize("code", ["IMG.0060", "IMG.0149"])
def test_a_limit_of_running_tasks_says_so(code: str) -> None:
    assert answer({"error": {"code": code, "message": "m"}}).about_running


def test_another_quota_does_not() -> None:
    assert not answer({"error": {"code": "IMG.0015", "message": "m"}}).about_running


def test_the_gateways_echo_of_a_refused_request_is_cut_off() -> None:
    said = "Incorrect IAM authentication information: verify aksk signature fail"
    echo = f"{said}, canonicalRequest:GET|/|x-security-token:abc|"
    told = answer({"error_code": "APIGW.0301", "error_msg": echo}, 401)
    assert told.message == said


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry_after": "7"}, 7.0),
        ({"retry_after": "999999"}, 3600.0),
        ({"retry_after": "Thu, 15 Jan 2026 08:16:40 GMT", "date": "Thu, 15 Jan 2026 08:16:30 GMT"}, 10.0),
        ({"retry_after": "Thu, 15 Jan 2026 08:16:20 GMT", "date": "Thu, 15 Jan 2026 08:16:30 GMT"}, 0.0),
        ({"retry_after": "soon"}, None),
        ({}, None),
    ],
)
def test_a_retry_after_is_honoured_where_there_is_one(headers: dict[str, str], seconds: float | None) -> None:
    assert answer({"error_code": "APIGW.0308", "error_msg": "m"}, 429, **headers).retry_after == seconds
