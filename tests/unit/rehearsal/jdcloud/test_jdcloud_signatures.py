import base64
import json
import random
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from jdcloud_sdk.core.credential import Credential
from jdcloud_sdk.core.logger import Logger
from jdcloud_sdk.core.signer import Signer

from imageferry.rehearsal.jdcloud_options import JdcloudOptions, jdcloud_options
from imageferry.rehearsal.jdcloud_signatures import check_jdcloud, claimed_service
from imageferry.rehearsal.options import AcceptedKey
from imageferry.rehearsal.signatures import SignatureRefused, Signed
from support.clocks import START
from support.jdcloud_rehearsals import SILENT, generation_2

CASES = json.loads((Path(__file__).parents[3] / "vectors" / "jdcloud2_hmac.json").read_text())
NAMES = [each["name"] for each in CASES]
RAW = ["get_images_security_token_raw"]
SECOND = 1_000_000
OPTIONS = JdcloudOptions(clock_tolerance_seconds=None)


def signed(case: dict[str, Any], **changed: str) -> Signed:
    headers = {
        "content-type": case["content_type"],
        "host": case["host_header"],
        "x-jdcloud-date": case["date"],
        "x-jdcloud-nonce": case["nonce"],
        "authorization": case["expected"]["authorization"],
    }
    if "security_token_header" in case:
        headers["x-jdcloud-security-token"] = case["security_token_header"]
    return Signed(case["method"], case["path"], case["query_string"], {**headers, **changed}, case["body"].encode())


def keys(case: dict[str, Any]) -> list[AcceptedKey]:
    return [AcceptedKey(case["access_key"], case["secret_key"], case.get("security_token", ""))]


def options_for(case: dict[str, Any], **more: Any) -> JdcloudOptions:
    encoding = "raw" if case["name"] in RAW else "base64"
    return jdcloud_options({"clock_tolerance_seconds": None, "session_encoding": encoding, **more})


def refused(request: Signed, accepted: list[AcceptedKey], options: JdcloudOptions = OPTIONS, now: int = 0) -> str:
    with pytest.raises(SignatureRefused) as caught:
        check_jdcloud(request, accepted, now, options)
    return f"{caught.value.code}: {caught.value.message}"


@pytest.mark.parametrize("case", CASES, ids=NAMES)
def test_every_vector_is_let_in_for_its_region_and_service(case: dict[str, Any]) -> None:
    proof = check_jdcloud(signed(case), keys(case), 0, options_for(case))
    assert (proof.key.secret_id, proof.region, proof.service) == (case["access_key"], case["region"], case["service"])


@pytest.mark.parametrize("case", CASES, ids=NAMES)
def test_every_vector_with_another_body_is_refused(case: dict[str, Any]) -> None:
    other = signed({**case, "body": case["body"] + " "})
    assert refused(other, keys(case), options_for(case)) == "ACCESS_ERROR: sign result is not same [gw]"


@pytest.mark.parametrize("case", CASES, ids=NAMES)
def test_every_vector_with_an_encoded_path_is_the_same(case: dict[str, Any]) -> None:
    encoded = signed({**case, "path": quote(case["path"], safe="/-_.~")})
    assert check_jdcloud(encoded, keys(case), 0, options_for(case)).service == case["service"]


def test_the_known_answer_of_the_documentation_is_let_in() -> None:
    headers = {
        "x-jdcloud-date": "20190214T104514Z",
        "x-jdcloud-nonce": "testnonce",
        "x-my-header": "test",
        "x-my-header_blank": " blank",
        "authorization": "JDCLOUD2-HMAC-SHA256 Credential=TESTAK/20190214/cn-north-1/test/jdcloud2_request, "
        "SignedHeaders=x-jdcloud-date;x-jdcloud-nonce;x-my-header;x-my-header_blank, "
        "Signature=2a98f83c074e7bee260bfc8ef64f009c07595bd93f7f0c3f4e156bf6479ed9bf",
    }
    request = Signed("POST", "/v1/resource:action", "p1=p1&p0=p0&o=%&u=u", headers, b"body data")
    without_host = jdcloud_options({"clock_tolerance_seconds": None, "headers_to_sign": []})
    assert check_jdcloud(request, [AcceptedKey("TESTAK", "TESTSK")], 0, without_host).service == "test"


LETTERS = "abcXYZ019-_.~ /:+%&=?'()*!,;@#镜像ß"


def random_request(chance: random.Random) -> tuple[str, str, str, str, str]:
    """(method, path, query, body, region); without what the vendor's signers disagree about."""

    def text(most: int) -> str:
        return "".join(chance.choices(LETTERS, k=chance.randint(1, most)))

    path = "/v1/regions/cn-north-1/" + quote(text(12).replace("/", "").replace("+", ""), safe="-_.~:")
    query = "&".join(
        f"{quote(text(6), safe='')}.{number}={quote(text(9), safe='')}" for number in range(chance.randint(0, 4))
    )
    post = chance.random() < 0.5
    body = json.dumps({text(5): text(20)}, ensure_ascii=chance.random() < 0.5) if post else ""
    return "POST" if post else "GET", path, query, body, chance.choice(["cn-north-1", "cn-south-1", "jdcloud-api"])


@pytest.mark.parametrize("generation", [2, 3])
def test_five_hundred_random_requests_that_the_vendors_signer_signed_are_let_in(generation: int) -> None:
    chance = random.Random(generation)
    key = AcceptedKey("AK0", "secret/+= ß", "token+/=")
    services = []
    for number in range(500):
        method, path, query, body, region = random_request(chance)
        headers = {
            "content-type": "application/json",
            "x-jdcloud-date": "20260101T000000Z",
            "x-jdcloud-nonce": str(number),
            "x-jdcloud-security-token": base64.b64encode(key.token.encode()).decode(),
        }
        url = f"https://vm.test:8443{path}{f'?{query}' if query else ''}"
        arguments = (method, "vm", region, url, headers, body, Credential(key.secret_id, key.secret_key), "")
        if generation == 2:
            with generation_2():
                Signer(Logger(SILENT)).sign(*arguments)
        else:
            Signer(Logger(SILENT)).sign(*arguments)
        lower = {name.lower(): value for name, value in headers.items()}
        request = Signed(method, path, query, {**lower, "host": "vm.test:8443"}, body.encode())
        assert f"JDCLOUD{generation}-" in lower["authorization"]
        services.append(check_jdcloud(request, [key], START, JdcloudOptions()).service)
    assert services == ["vm"] * 500


FIRST = CASES[0]
POST = next(each for each in CASES if each["name"] == "post_export_image")
TOKEN = next(each for each in CASES if each["name"] == "post_export_image_security_token")
RAW_TOKEN = next(each for each in CASES if each["name"] in RAW)


@pytest.mark.parametrize(
    ("header", "value", "words"),
    [
        ("authorization", "", "lack of header authorization [gw]"),
        ("x-jdcloud-date", "", "lack of header x-jdcloud-date [gw]"),
        ("x-jdcloud-nonce", "", "lack of header x-jdcloud-nonce [gw]"),
        ("authorization", "Basic abc", "authorization is not of a known form [gw]"),
        ("x-jdcloud-date", "20260102T990405Z", "x-jdcloud-date is not a time [gw]"),
        ("x-jdcloud-date", "20260103T030405Z", "x-jdcloud-date is not of the credential's date [gw]"),
        ("x-jdcloud-date", "20260102T030406Z", "sign result is not same [gw]"),
        ("x-jdcloud-nonce", "another", "sign result is not same [gw]"),
        ("host", "other.test", "sign result is not same [gw]"),
        ("x-jdcloud-security-token", "c3RyYXk=", "x-jdcloud-security-token must be signed [gw]"),
    ],
)
def test_a_header_that_is_wrong_is_refused_with_its_reason(header: str, value: str, words: str) -> None:
    assert refused(signed(FIRST, **{header: value}), keys(FIRST)) == f"ACCESS_ERROR: {words}"


@pytest.mark.parametrize("part", ["path", "query", "method", "body"])
def test_what_was_not_signed_is_refused(part: str) -> None:
    request = signed(POST)
    other = {"path": request.path + "x", "query": "a=1", "method": "PUT", "body": b"{}"}[part]
    fields = {name: getattr(request, name) for name in ("method", "path", "query", "headers", "body")}
    assert refused(Signed(**{**fields, part: other}), keys(POST)) == "ACCESS_ERROR: sign result is not same [gw]"


def test_an_unknown_key_and_another_secret_are_refused() -> None:
    request = signed(FIRST)
    assert refused(request, [AcceptedKey("other", "x")]) == "ACCESS_ERROR: access key is not exist [gw]"
    assert refused(request, [AcceptedKey(FIRST["access_key"], "x")]) == "ACCESS_ERROR: sign result is not same [gw]"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"authorization": ""}, "APIGW_LACK_PARAMS"),
        ({"authorization": "Basic abc"}, "APIGW_ILLEGAL_HEADER"),
        ({"x-jdcloud-nonce": "another"}, "APIGW_SIGN_RESULT_NOT_SAME"),
    ],
)
def test_the_gateways_other_codes_name_the_reason(change: dict[str, str], code: str) -> None:
    options = jdcloud_options({"gateway_codes": "apigw", "clock_tolerance_seconds": None})
    assert refused(signed(FIRST, **change), keys(FIRST), options).partition(":")[0] == code


def test_an_unknown_key_has_the_vendors_own_spelling_among_the_other_codes() -> None:
    options = jdcloud_options({"gateway_codes": "apigw", "clock_tolerance_seconds": None})
    assert refused(signed(FIRST), [], options).startswith("APIGW_KEY_NOT_EXITST: ")


@pytest.mark.parametrize("off", [-901, 901])
def test_a_time_beyond_the_tolerance_is_refused(off: int) -> None:
    at = 1_767_323_045 * SECOND  # 2026-01-02T03:04:05Z
    words = refused(signed(FIRST), keys(FIRST), JdcloudOptions(), at + off * SECOND)
    assert words == "ACCESS_ERROR: x-jdcloud-date is too far from the server's time [gw]"
    assert check_jdcloud(signed(FIRST), keys(FIRST), at + off // 901 * 900 * SECOND, JdcloudOptions()).service == "vm"


@pytest.mark.parametrize("generation", ["JDCLOUD2", "JDCLOUD3"])
def test_a_generation_that_is_switched_off_is_refused(generation: str) -> None:
    options = jdcloud_options({"algorithms": [generation], "clock_tolerance_seconds": None})
    for case in (FIRST, CASES[-1]):
        if case["algorithm"].startswith(generation):
            assert check_jdcloud(signed(case), keys(case), 0, options).key.secret_id == case["access_key"]
        else:
            assert refused(signed(case), keys(case), options).endswith("authorization is not of a known form [gw]")


def test_every_header_that_must_be_signed_must_be_signed() -> None:
    options = jdcloud_options({"headers_to_sign": ["host", "x-jdcloud-trace"], "clock_tolerance_seconds": None})
    assert refused(signed(FIRST), keys(FIRST), options) == "ACCESS_ERROR: x-jdcloud-trace must be signed [gw]"


@pytest.mark.parametrize(
    ("case", "encoding", "let_in"),
    [
        (TOKEN, "base64", True),
        (TOKEN, "raw", False),
        (TOKEN, "either", True),
        (RAW_TOKEN, "base64", False),
        (RAW_TOKEN, "raw", True),
        (RAW_TOKEN, "either", True),
    ],
)
def test_a_session_token_is_read_as_the_switch_says(case: dict[str, Any], encoding: str, let_in: bool) -> None:  # noqa: FBT001 - a switch
    options = jdcloud_options({"session_encoding": encoding, "clock_tolerance_seconds": None})
    if let_in:
        assert check_jdcloud(signed(case), keys(case), 0, options).key.token == case["security_token"]
    else:
        assert "security token is missing" in refused(signed(case), keys(case), options)


def test_a_long_lived_key_has_no_token_and_a_temporary_one_ends() -> None:
    stray = [AcceptedKey(TOKEN["access_key"], TOKEN["secret_key"])]
    assert "security token is missing" in refused(signed(TOKEN), stray)
    ended = [AcceptedKey(TOKEN["access_key"], TOKEN["secret_key"], TOKEN["security_token"], expires_at=START)]
    assert "security token has expired" in refused(signed(TOKEN), ended, now=START)


@pytest.mark.parametrize(("case", "service"), [(FIRST, "vm"), (CASES[-1], "sts")])
def test_the_claimed_service_is_read_without_proof(case: dict[str, Any], service: str) -> None:
    assert (claimed_service(case["expected"]["authorization"]), claimed_service("Basic x")) == (service, "")
