import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from imageferry.rehearsal.options import AcceptedKey
from imageferry.rehearsal.signatures import SignatureRefused, Signed, check_sigv4, check_tc3
from support.clocks import START, FakeClock
from support.rehearsals import Caller

CASES = json.loads((Path(__file__).parents[2] / "vectors" / "tencent_tc3.json").read_text())
SECOND = 1_000_000


def signed(case: dict[str, Any], **changed: str) -> Signed:
    headers = {
        "content-type": case["content_type"],
        "host": case["host"],
        "x-tc-action": case["action"],
        "x-tc-timestamp": str(case["timestamp"]),
        "x-tc-token": case["token"],
        "authorization": case["expected"]["authorization"],
    }
    return Signed("POST", "/", "", {**headers, **changed}, case["payload"].encode())


def keys(case: dict[str, Any]) -> list[AcceptedKey]:
    return [AcceptedKey(case["secret_id"], case["secret_key"], case["token"])]


def refused(case: dict[str, Any], now: int | None = None, **changed: str) -> str:
    with pytest.raises(SignatureRefused) as caught:
        check_tc3(signed(case, **changed), keys(case), now or case["timestamp"] * SECOND)
    return caught.value.code


@pytest.mark.parametrize("case", CASES, ids=[each["name"] for each in CASES])
def test_every_vector_is_let_in_for_its_service(case: dict[str, Any]) -> None:
    key, service = check_tc3(signed(case), keys(case), case["timestamp"] * SECOND)
    assert (key.secret_id, service) == (case["secret_id"], case["service"])


@pytest.mark.parametrize("case", CASES, ids=[each["name"] for each in CASES])
def test_every_vector_with_another_body_is_refused(case: dict[str, Any]) -> None:
    other = {**case, "payload": case["payload"] + " "}
    assert refused(other) == "AuthFailure.SignatureFailure"


def test_another_secret_is_refused() -> None:
    assert refused({**CASES[0], "secret_key": "another"}) == "AuthFailure.SignatureFailure"


def test_another_host_than_was_signed_is_refused() -> None:
    assert refused(CASES[0], host="other.test") == "AuthFailure.SignatureFailure"


def test_an_unknown_key_id_is_refused() -> None:
    with pytest.raises(SignatureRefused) as caught:
        check_tc3(signed(CASES[0]), [AcceptedKey("AKIDother", "x")], CASES[0]["timestamp"] * SECOND)
    assert caught.value.code == "AuthFailure.SecretIdNotFound"


@pytest.mark.parametrize("off", [-301, 301])
def test_a_time_more_than_five_minutes_off_is_refused(off: int) -> None:
    assert refused(CASES[0], (CASES[0]["timestamp"] + off) * SECOND) == "AuthFailure.SignatureExpire"


@pytest.mark.parametrize("off", [-300, 300])
def test_a_time_five_minutes_off_is_let_in(off: int) -> None:
    key, _ = check_tc3(signed(CASES[0]), keys(CASES[0]), (CASES[0]["timestamp"] + off) * SECOND)
    assert key.secret_id == CASES[0]["secret_id"]


def test_a_credential_date_that_is_not_the_timestamps_is_refused() -> None:
    other = CASES[0]["expected"]["authorization"].replace("2025-10-09", "2025-10-10")
    assert refused(CASES[0], authorization=other) == "AuthFailure.SignatureFailure"


@pytest.mark.parametrize("header", ["", "SKIP", "TC3-HMAC-SHA256 Credential=a/b/c"])
def test_a_header_that_is_no_tc3_signature_is_refused(header: str) -> None:
    assert refused(CASES[0], authorization=header) == "AuthFailure.InvalidAuthorization"


def test_content_type_and_host_must_both_be_signed() -> None:
    other = CASES[0]["expected"]["authorization"].replace("content-type;host", "content-type")
    assert refused(CASES[0], authorization=other) == "AuthFailure.InvalidAuthorization"


def test_a_token_must_be_the_keys_own() -> None:
    assert refused(CASES[0], **{"x-tc-token": "another"}) == "AuthFailure.TokenFailure"


def test_a_temporary_key_is_refused_once_it_has_expired() -> None:
    case = CASES[0]
    now = case["timestamp"] * SECOND
    expired = [AcceptedKey(case["secret_id"], case["secret_key"], case["token"], expires_at=now)]
    with pytest.raises(SignatureRefused) as caught:
        check_tc3(signed(case), expired, now)
    assert caught.value.code == "AuthFailure.TokenFailure"


def head(path: str, key: AcceptedKey, **changed: str) -> Signed:
    caller = Caller(httpx.AsyncClient(base_url="http://127.0.0.1:9000"), FakeClock(), key)
    headers = {name.lower(): value for name, value in caller.storage_headers(path).items()}
    return Signed("HEAD", path, "", {"host": "127.0.0.1:9000", **headers, **changed}, b"")


KEY = AcceptedKey("AKIDone", "secret-one")
TEMPORARY = AcceptedKey("AKIDtwo", "secret-two", "token-two")


@pytest.mark.parametrize("key", [KEY, TEMPORARY])
@pytest.mark.parametrize("path", ["/bucket-1/plain.raw", "/bucket-1/a%20b/%E9%95%9C~_.-.qcow2", "/bucket-1"])
def test_what_botocore_signs_is_let_in(path: str, key: AcceptedKey) -> None:
    assert check_sigv4(head(path, key), [KEY, TEMPORARY], START) == (key, "ap-guangzhou")


def storage_refused(request: Signed, now: int = START) -> str:
    with pytest.raises(SignatureRefused) as caught:
        check_sigv4(request, [KEY, TEMPORARY], now)
    return caught.value.code


def test_a_storage_signature_for_another_path_is_refused() -> None:
    other = Signed("HEAD", "/bucket-1/b", "", head("/bucket-1/a", KEY).headers, b"")
    assert storage_refused(other) == "SignatureDoesNotMatch"


def test_a_storage_signature_by_an_unknown_key_is_refused() -> None:
    assert storage_refused(head("/a", AcceptedKey("AKIDthree", "x"))) == "InvalidAccessKeyId"


def test_a_storage_time_more_than_fifteen_minutes_off_is_refused() -> None:
    assert storage_refused(head("/a", KEY), START + 901 * SECOND) == "RequestTimeTooSkewed"


def test_a_storage_token_must_be_the_keys_own() -> None:
    assert storage_refused(head("/a", AcceptedKey(TEMPORARY.secret_id, TEMPORARY.secret_key))) == "InvalidToken"


@pytest.mark.parametrize("stamp", ["", "20260101T990000Z", "20260102T000000Z"])
def test_a_storage_date_that_is_none_or_not_the_credentials_is_refused(stamp: str) -> None:
    assert storage_refused(head("/a", KEY, **{"x-amz-date": stamp})) == "AccessDenied"


def test_an_unsigned_storage_request_is_refused() -> None:
    assert storage_refused(Signed("HEAD", "/a", "", {"host": "h"}, b"")) == "AccessDenied"
