import json
from pathlib import Path
from typing import Any

import pytest

from imageferry.rehearsal.huawei_options import HuaweiOptions
from imageferry.rehearsal.huawei_signatures import (
    BadSignature,
    canonical_request,
    check_obs,
    check_sdk_hmac,
    claimed_key,
)
from imageferry.rehearsal.options import AcceptedKey
from imageferry.rehearsal.signatures import SignatureRefused, Signed, check_sigv4

VECTORS = json.loads((Path(__file__).parents[3] / "vectors" / "huawei_sdk_hmac.json").read_text())
KEY = AcceptedKey("FAKEAKEXAMPLE0000000", "FakeSecretKeyForTestsOnlyDoNotUse0000000")
WITH_TOKEN = AcceptedKey(KEY.secret_id, KEY.secret_key, "FAKE-SECURITY-TOKEN-for-tests-only")
AT = 1_768_464_990_000_000
"""2026-01-15T08:16:30Z, when the storage's vectors were signed."""
STAMP = "Thu, 15 Jan 2026 08:16:30 GMT"
NEEDED = HuaweiOptions().headers_to_sign
RESOURCE = "/demo-bucket/exports/centos7_5%20%E9%95%9C%E5%83%8F.qcow2"
NATIVE = "tubL/mOZXFYyNdPUzA3qvKcBwic="
NATIVE_WITH_TOKEN = "9hoxU8TyL0wG8z/WhrBbSlBkgIA="
V4 = "599a8328785ca2d3d53547c8670775f6262c3c1a65392e44d74262644f0b6301"


def received(case: dict[str, Any], **changes: str) -> Signed:
    """A vector as a server gets it."""
    given, expected = case["input"], case["expected"]
    path, _, query = expected["request_target"].partition("?")
    sent = {name.lower(): value for name, value in expected["sent_headers"].items()}
    headers = {**sent, "authorization": expected["authorization"], **changes}
    return Signed(given["method"].upper(), path, query, headers, (given["body"] or "").encode())


def key_of(case: dict[str, Any]) -> AcceptedKey:
    given = case["input"]
    return AcceptedKey(given["access_key"], given["secret_key"], given["security_token"] or "")


def signed_at(case: dict[str, Any]) -> int:
    return {"20260115T081630Z": AT, "20300228T235959Z": 1_898_553_599_000_000}[case["input"]["date"]]


@pytest.mark.parametrize("case", VECTORS, ids=lambda case: case["name"])
def test_every_vector_is_let_in(case: dict[str, Any]) -> None:
    request, key = received(case), key_of(case)
    assert claimed_key(request, [key]) == key
    check_sdk_hmac(request, key, signed_at(case), NEEDED)


@pytest.mark.parametrize("case", VECTORS, ids=lambda case: case["name"])
def test_every_vector_has_the_canonical_request_that_was_signed(case: dict[str, Any]) -> None:
    names = case["expected"]["authorization"].partition("SignedHeaders=")[2].partition(",")[0].split(";")
    assert canonical_request(received(case), names) == case["expected"]["canonical_request"]


CASE = next(case for case in VECTORS if case["name"] == "export_qcow2")


@pytest.mark.parametrize(
    "change",
    [
        {"method": "PUT"},
        {"path": "/v1/cloudimages/other/file"},
        {"query": "limit=1"},
        {"body": b"{}"},
    ],
)
def test_whatever_is_changed_on_the_way_is_noticed(change: dict[str, Any]) -> None:
    with pytest.raises(BadSignature, match="verify aksk signature fail"):
        check_sdk_hmac(Signed(**{**_fields(received(CASE)), **change}), KEY, AT, NEEDED)


@pytest.mark.parametrize("name", ["host", "x-project-id", "content-type"])
def test_a_changed_signed_header_is_noticed(name: str) -> None:
    with pytest.raises(BadSignature, match="verify aksk signature fail"):
        check_sdk_hmac(received(CASE, **{name: "application/json;other"}), KEY, AT, NEEDED)


def _fields(request: Signed) -> dict[str, Any]:
    return {name: getattr(request, name) for name in ("method", "path", "query", "headers", "body")}


def test_the_refusal_quotes_the_canonical_request_in_one_line() -> None:
    with pytest.raises(BadSignature) as caught:
        check_sdk_hmac(received(CASE, host="elsewhere"), KEY, AT, NEEDED)
    assert "canonicalRequest:POST|/v1/cloudimages/" in caught.value.message
    assert "|host:elsewhere|" in caught.value.message


@pytest.mark.parametrize(("seconds", "skewed"), [(900, False), (-900, False), (901, True), (-901, True)])
def test_a_signed_time_may_be_a_quarter_of_an_hour_off(seconds: int, skewed: bool) -> None:  # noqa: FBT001 - what is expected
    def check() -> bool:
        try:
            check_sdk_hmac(received(CASE), KEY, AT + seconds * 1_000_000, NEEDED)
        except BadSignature as bad:
            return bad.skewed
        return False

    assert check() is skewed


@pytest.mark.parametrize("stamp", ["", "yesterday", "2026-01-15T08:16:30Z"])
def test_a_date_that_is_none_is_a_bad_signature(stamp: str) -> None:
    with pytest.raises(BadSignature, match="not a time"):
        check_sdk_hmac(received(CASE, **{"x-sdk-date": stamp}), KEY, AT, NEEDED)


def test_a_header_that_must_be_covered_and_is_not_is_a_bad_signature() -> None:
    with pytest.raises(BadSignature, match="must be signed"):
        check_sdk_hmac(received(CASE), KEY, AT, NEEDED | {"x-security-token"})


@pytest.mark.parametrize(
    ("authorization", "message"),
    [
        ("Basic abc", "not an SDK-HMAC-SHA256 signature"),
        ("SDK-HMAC-SHA256 Access=A, SignedHeaders=host", "not an SDK-HMAC-SHA256 signature"),
        (f"SDK-HMAC-SHA256 Access=nobody, SignedHeaders=host;x_y, Signature={'0' * 64}", "not an SDK"),
        (f"SDK-HMAC-SHA256 Access=nobody, SignedHeaders=host, Signature={'0' * 64}", "ak not exist"),
    ],
)
def test_an_authorization_that_names_no_known_key_is_refused(authorization: str, message: str) -> None:
    with pytest.raises(SignatureRefused, match=message):
        claimed_key(received(CASE, authorization=authorization), [KEY])


def test_no_authorization_is_no_key() -> None:
    assert claimed_key(received(CASE, authorization=""), [KEY]) is None


TOKEN_CASE = next(case for case in VECTORS if case["name"] == "security_token")


@pytest.mark.parametrize(
    ("key", "message"),
    [
        (KEY, "decrypt token fail"),
        (AcceptedKey(KEY.secret_id, KEY.secret_key, TOKEN_CASE["input"]["security_token"], AT), "token expires"),
    ],
)
def test_a_token_must_be_the_keys_own_and_not_have_run_out(key: AcceptedKey, message: str) -> None:
    with pytest.raises(SignatureRefused, match=message) as caught:
        check_sdk_hmac(received(TOKEN_CASE), key, AT, NEEDED)
    assert not isinstance(caught.value, BadSignature)


# --- storage -------------------------------------------------------------------------------------------------------


def head(signature: str, resource: str = RESOURCE, **headers: str) -> Signed:
    own = {name.replace("_", "-"): value for name, value in headers.items()}
    path = resource.removeprefix("/demo-bucket")
    return Signed("HEAD", path, "", {"authorization": f"OBS {KEY.secret_id}:{signature}", **own}, b"")


def test_the_storages_own_scheme_is_let_in_with_its_own_date() -> None:
    assert check_obs(head(NATIVE, x_obs_date=STAMP), RESOURCE, [KEY], AT) == KEY


def test_the_storages_own_scheme_is_let_in_with_a_plain_date_and_a_token() -> None:
    resource = "/demo-bucket/exports/centos7_5.qcow2"
    request = head(NATIVE_WITH_TOKEN, resource, date=STAMP, x_obs_security_token=WITH_TOKEN.token)
    assert check_obs(request, resource, [WITH_TOKEN], AT) == WITH_TOKEN


@pytest.mark.parametrize(
    ("request_", "resource", "key", "now", "code"),
    [
        (head(NATIVE, x_obs_date=STAMP), "/demo-bucket/other", KEY, AT, "SignatureDoesNotMatch"),
        (head(NATIVE, x_obs_date=STAMP, x_obs_more="1"), RESOURCE, KEY, AT, "SignatureDoesNotMatch"),
        (head(NATIVE, x_obs_date=STAMP), RESOURCE, WITH_TOKEN, AT, "InvalidAccessKeyId"),
        (head(NATIVE, x_obs_date=STAMP), RESOURCE, AcceptedKey("other", "x"), AT, "InvalidAccessKeyId"),
        (head(NATIVE, x_obs_date=STAMP), RESOURCE, KEY, AT + 901_000_000, "RequestTimeTooSkewed"),
        (head(NATIVE), RESOURCE, KEY, AT, "AccessDenied"),
        (head("not base64!", x_obs_date=STAMP), RESOURCE, KEY, AT, "AccessDenied"),
    ],
)
def test_a_wrong_storage_request_is_refused_with_the_storages_code(
    request_: Signed, resource: str, key: AcceptedKey, now: int, code: str
) -> None:
    with pytest.raises(SignatureRefused) as caught:
        check_obs(request_, resource, [key], now)
    assert caught.value.code == code


def test_the_storages_other_scheme_is_let_in() -> None:
    names = "host;x-amz-content-sha256;x-amz-date"
    credential = f"{KEY.secret_id}/20260115/cn-north-4/s3/aws4_request"
    headers = {
        "host": "demo-bucket.obs.cn-north-4.myhuaweicloud.com",
        "x-amz-content-sha256": "UNSIGNED-PAYLOAD",
        "x-amz-date": "20260115T081630Z",
        "authorization": f"AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders={names}, Signature={V4}",
    }
    request = Signed("HEAD", "/exports/centos7_5.qcow2", "", headers, b"")
    assert check_sigv4(request, [KEY], AT) == (KEY, "cn-north-4")
