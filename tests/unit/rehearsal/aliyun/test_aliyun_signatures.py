import json
import random
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import pytest
from alibabacloud_tea_openapi.utils import Utils
from darabonba.request import DaraRequest

from imageferry.rehearsal.aliyun_options import AliyunOptions, aliyun_options
from imageferry.rehearsal.aliyun_signatures import check_acs3, check_oss4, check_rpc1
from imageferry.rehearsal.options import AcceptedKey
from imageferry.rehearsal.signatures import SignatureRefused, Signed
from support.clocks import START

VECTORS = Path(__file__).parents[3] / "vectors"
ACS3 = json.loads((VECTORS / "aliyun_acs3.json").read_text())
RPC1 = json.loads((VECTORS / "aliyun_rpc_v1.json").read_text())
OSS4 = json.loads((VECTORS / "aliyun_oss_v4.json").read_text())
SECOND = 1_000_000
EVER = AliyunOptions(clock_tolerance_seconds=1e12)


def named(cases: list[dict[str, Any]]) -> Any:
    return pytest.mark.parametrize("case", cases, ids=[each["name"] for each in cases])


def keys(case: dict[str, Any]) -> list[AcceptedKey]:
    return [AcceptedKey(case["access_key_id"], case["access_key_secret"], case["security_token"] or "")]


def query_of(params: dict[str, str]) -> str:
    return "&".join(f"{quote(name, safe='')}={quote(value, safe='')}" for name, value in params.items())


def acs3(case: dict[str, Any], **changed: str) -> Signed:
    headers = {**case["headers_to_sign"], "authorization": case["expected"]["authorization"], **changed}
    return Signed(case["method"], case["path"], query_of(case["query"]), headers, case["body"].encode())


def rpc1(case: dict[str, Any]) -> dict[str, str]:
    return {**case["query_params"], **case["body_params"], "Signature": case["expected"]["signature"]}


def oss4(case: dict[str, Any]) -> tuple[Signed, str]:
    parts = urlsplit(case["url"])
    headers = {name.lower(): value for name, value in case["headers"].items()}
    headers["authorization"] = case["expected"]["authorization"]
    return Signed(case["method"], parts.path, parts.query, headers, b""), f"/{case['bucket']}{parts.path}"


def refused(check: Any, *arguments: Any) -> str:
    with pytest.raises(SignatureRefused) as caught:
        check(*arguments)
    return caught.value.code


@named(ACS3)
def test_every_vector_of_v3_is_let_in(case: dict[str, Any]) -> None:
    proof = check_acs3(acs3(case), keys(case), 0, EVER)
    assert (proof.key.secret_id, proof.nonce) == (case["access_key_id"], case["nonce"])


@named(ACS3)
def test_every_vector_of_v3_with_another_parameter_is_refused(case: dict[str, Any]) -> None:
    other = acs3({**case, "query": {**case["query"], "Extra": "1"}})
    assert refused(check_acs3, other, keys(case), 0, EVER) == "SignatureDoesNotMatch"


@named(RPC1)
def test_every_vector_of_rpc_v1_is_let_in(case: dict[str, Any]) -> None:
    proof = check_rpc1(case["method"], rpc1(case), keys(case), 0, EVER)
    assert (proof.key.secret_id, proof.nonce) == (case["access_key_id"], case["nonce"])


@named(RPC1)
def test_every_vector_of_rpc_v1_with_another_parameter_is_refused(case: dict[str, Any]) -> None:
    other = {**rpc1(case), "Extra": "1"}
    assert refused(check_rpc1, case["method"], other, keys(case), 0, EVER) == "SignatureDoesNotMatch"


@named(OSS4)
def test_every_vector_of_the_storage_is_let_in_for_its_region(case: dict[str, Any]) -> None:
    request, place = oss4(case)
    assert check_oss4(request, place, keys(case), 0, EVER) == case["region"]


@named(OSS4)
def test_every_vector_of_the_storage_for_another_place_is_refused(case: dict[str, Any]) -> None:
    request, place = oss4(case)
    assert refused(check_oss4, request, f"{place}x", keys(case), 0, EVER) == "SignatureDoesNotMatch"


LETTERS = "abcXYZ019-_.~ /:+%&=?'()*!,;@#镜像ß"


def test_five_hundred_random_requests_that_the_vendors_signer_signed_are_let_in() -> None:
    chance = random.Random(3)
    key = AcceptedKey("AK0", "secret/+= ß", "token+/=")
    for number in range(500):
        texts = ["".join(chance.choices(LETTERS, k=chance.randint(0, 9))) for _ in range(chance.randint(0, 4))]
        query = {f"Tag.{index}.Value": text for index, text in enumerate(texts, 1)}
        request = DaraRequest()
        request.method, request.pathname, request.query = chance.choice(["GET", "POST"]), "/", query
        request.headers = {
            "host": "ecs.test",
            "x-acs-action": "DescribeImages",
            "x-acs-version": "2014-05-26",
            "x-acs-date": "2026-01-01T00:00:00Z",
            "x-acs-signature-nonce": str(number),
            "x-acs-content-sha256": "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
            "x-acs-security-token": key.token,
        }
        digest = request.headers["x-acs-content-sha256"]
        text = Utils.get_authorization(request, "ACS3-HMAC-SHA256", digest, key.secret_id, key.secret_key)
        headers = {**request.headers, "authorization": text}
        signed = Signed(request.method, "/", query_of(query), headers, b"")
        assert check_acs3(signed, [key], START, AliyunOptions()).nonce == str(number)


PLAIN = ACS3[1]
AT = 1_709_618_828 * SECOND
"""2024-03-05T06:07:08Z."""


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"authorization": ""}, "IncompleteSignature"),
        ({"authorization": PLAIN["expected"]["authorization"].replace("ACS3", "ACS4")}, "IncompleteSignature"),
        ({"x-acs-date": ""}, "IllegalTimestamp"),
        ({"x-acs-date": "2024-03-05 06:07:08"}, "InvalidTimeStamp.Format"),
        ({"x-acs-signature-nonce": ""}, "IncompleteSignature"),
        ({"x-acs-content-sha256": "0" * 64}, "SignatureDoesNotMatch"),
        ({"x-acs-more": "1"}, "IncompleteSignature"),
        ({"content-type": "application/json"}, "IncompleteSignature"),
        ({"x-acs-signature-nonce": "another"}, "SignatureDoesNotMatch"),
        ({"user-agent": "any", "accept": "any"}, ""),
    ],
)
def test_what_v3_must_carry_and_sign(changed: dict[str, str], code: str) -> None:
    if code:
        assert refused(check_acs3, acs3(PLAIN, **changed), keys(PLAIN), AT, AliyunOptions()) == code
    else:
        assert check_acs3(acs3(PLAIN, **changed), keys(PLAIN), AT, AliyunOptions()).nonce == PLAIN["nonce"]


@pytest.mark.parametrize(
    ("off", "code"), [(900, ""), (901, "InvalidTimeStamp.Expired"), (-901, "InvalidTimeStamp.Expired")]
)
def test_a_time_may_be_off_by_a_quarter_of_an_hour(off: int, code: str) -> None:
    for check, arguments in (
        (check_acs3, (acs3(PLAIN),)),
        (check_rpc1, (RPC1[1]["method"], rpc1(RPC1[1]))),
    ):
        asked = (*arguments, keys(PLAIN), AT + off * SECOND, AliyunOptions())
        assert (refused(check, *asked) if code else "") == code
        if not code:
            check(*asked)


@pytest.mark.parametrize(
    ("accepted", "code"),
    [
        (AcceptedKey("OTHER", "x"), "InvalidAccessKeyId.NotFound"),
        (AcceptedKey("TESTONLYAKID0000FAKE", "x"), "SignatureDoesNotMatch"),
        (AcceptedKey("TESTONLYAKID0000FAKE", "TESTONLY/FakeSecret+Key==0000", "t"), "MissingSecurityToken"),
    ],
)
def test_a_key_must_be_known_and_whole(accepted: AcceptedKey, code: str) -> None:
    for check, arguments in ((check_acs3, (acs3(PLAIN),)), (check_rpc1, (RPC1[1]["method"], rpc1(RPC1[1])))):
        assert refused(check, *arguments, [accepted], 0, EVER) == code


@pytest.mark.parametrize(
    ("token", "expires_at", "code"),
    [
        ("", None, "InvalidSecurityToken.MismatchWithAccessKey"),
        ("another", None, "InvalidSecurityToken.Malformed"),
        ("TESTONLY.CAISfake+token/with=special==chars~0000", 5, "InvalidSecurityToken.Expired"),
    ],
)
def test_a_token_must_be_the_keys_own_and_fresh(token: str, expires_at: int | None, code: str) -> None:
    case = ACS3[3]
    key = AcceptedKey(case["access_key_id"], case["access_key_secret"], token, expires_at)
    assert refused(check_acs3, acs3(case), [key], 5, EVER) == code
    case = RPC1[3]
    assert refused(check_rpc1, case["method"], rpc1(case), [key], 5, EVER) == code


def test_a_key_that_was_switched_off_is_refused() -> None:
    options = aliyun_options({"clock_tolerance_seconds": 1e12, "inactive_keys": [PLAIN["access_key_id"]]})
    assert refused(check_acs3, acs3(PLAIN), keys(PLAIN), 0, options) == "InvalidAccessKeyId.Inactive"
    request, place = oss4(OSS4[0])
    assert refused(check_oss4, request, place, keys(OSS4[0]), 0, options) == "InvalidAccessKeyId"


def test_a_way_of_signing_can_be_switched_off() -> None:
    only_rpc1 = aliyun_options({"clock_tolerance_seconds": 1e12, "signatures": ["rpc1"]})
    only_acs3 = aliyun_options({"clock_tolerance_seconds": 1e12, "signatures": ["acs3"]})
    assert refused(check_acs3, acs3(PLAIN), keys(PLAIN), 0, only_rpc1) == "IncompleteSignature"
    assert refused(check_rpc1, "GET", rpc1(RPC1[0]), keys(RPC1[0]), 0, only_acs3) == "IncompleteSignature"


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"SignatureNonce": ""}, "IncompleteSignature"),
        ({"Timestamp": ""}, "IllegalTimestamp"),
        ({"Timestamp": "yesterday"}, "InvalidTimeStamp.Format"),
        ({"SignatureMethod": "HMAC-SHA256"}, "IncompleteSignature"),
        ({"SignatureVersion": "2.0"}, "IncompleteSignature"),
    ],
)
def test_what_rpc_v1_must_carry(changed: dict[str, str], code: str) -> None:
    assert refused(check_rpc1, "GET", {**rpc1(RPC1[0]), **changed}, keys(RPC1[0]), 0, EVER) == code


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"authorization": "OSS ak:sig"}, "AccessDenied"),
        ({"x-oss-date": ""}, "AccessDenied"),
        ({"x-oss-date": "20240306T060708Z"}, "AccessDenied"),
        ({"x-oss-date": "20240305T996699Z"}, "AccessDenied"),
        ({"x-oss-content-sha256": ""}, "InvalidArgument"),
        ({"x-oss-meta-more": "1"}, "SignatureDoesNotMatch"),
        ({"x-oss-security-token": "stray"}, "SignatureDoesNotMatch"),
        ({"user-agent": "any"}, ""),
    ],
)
def test_what_a_storage_signature_must_carry_and_sign(changed: dict[str, str], code: str) -> None:
    request, place = oss4(OSS4[0])
    asked = Signed(request.method, request.path, request.query, {**request.headers, **changed}, b"")
    if code:
        assert refused(check_oss4, asked, place, keys(OSS4[0]), AT, AliyunOptions()) == code
    else:
        assert check_oss4(asked, place, keys(OSS4[0]), AT, AliyunOptions()) == "cn-hangzhou"


def test_a_storage_request_that_is_too_old_or_has_another_token_is_refused() -> None:
    request, place = oss4(OSS4[1])
    case = OSS4[1]
    key = keys(case)[0]
    assert refused(check_oss4, request, place, [key], AT + 901 * SECOND, AliyunOptions()) == "RequestTimeTooSkewed"
    other = AcceptedKey(key.secret_id, key.secret_key, "another")
    assert refused(check_oss4, request, place, [other], AT, AliyunOptions()) == "InvalidSecurityToken"
    old = AcceptedKey(key.secret_id, key.secret_key, key.token, AT)
    assert refused(check_oss4, request, place, [old], AT, AliyunOptions()) == "SecurityTokenExpired"
