from __future__ import annotations

import json
import random
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from alibabacloud_oss_v2.credentials import Credentials
from alibabacloud_oss_v2.signer.v4 import SignerV4
from alibabacloud_oss_v2.types import HttpRequest, SigningContext
from alibabacloud_tea_openapi.utils import Utils
from darabonba.request import DaraRequest

from imageferry.clouds.aliyun.sign import (
    ACS3,
    Signable,
    Stored,
    authorization,
    canonical_request,
    encoded,
    key_text,
    query_text,
    rpc_signature,
    rpc_string_to_sign,
    storage_authorization,
    storage_canonical_request,
    storage_query_text,
    storage_string_to_sign,
    string_to_sign,
    timestamp,
)

FOLDER = Path(__file__).parents[3] / "vectors"
PLAIN = "abcXYZ019-_.~"
ANY_LETTERS = "aZ09 \"\\/镜像é\u2028🚢+%&=:,~*'()!"


def vectors(name: str) -> list[dict[str, Any]]:
    read: list[dict[str, Any]] = json.loads((FOLDER / name).read_text(encoding="utf-8"))
    return read


ACS3_VECTORS, RPC_VECTORS, OSS_VECTORS = (
    vectors(name) for name in ("aliyun_acs3.json", "aliyun_rpc_v1.json", "aliyun_oss_v4.json")
)


def test_there_are_all_vectors() -> None:
    assert [len(each) for each in (ACS3_VECTORS, RPC_VECTORS, OSS_VECTORS)] == [16, 16, 5]


@pytest.mark.parametrize("vector", ACS3_VECTORS, ids=lambda vector: vector["name"])
def test_an_acs3_vector_is_signed_step_by_step_as_it_should_be(vector: dict[str, Any]) -> None:
    request, expected = Signable(vector["method"], vector["query"], vector["headers_to_sign"]), vector["expected"]
    assert query_text(vector["query"]) == expected["canonical_query"]
    assert canonical_request(request) == expected["canonical_request"]
    assert string_to_sign(request) == expected["string_to_sign"]
    signed = authorization(request, vector["access_key_id"], vector["access_key_secret"])
    assert signed == expected["authorization"]


@pytest.mark.parametrize("vector", RPC_VECTORS, ids=lambda vector: vector["name"])
def test_an_rpc_vector_is_signed_step_by_step_as_it_should_be(vector: dict[str, Any]) -> None:
    parameters, expected = {**vector["query_params"], **vector["body_params"]}, vector["expected"]
    assert query_text(parameters) == expected["canonicalized_query"]
    assert rpc_string_to_sign(vector["method"], parameters) == expected["string_to_sign"]
    signature = rpc_signature(vector["method"], parameters, vector["access_key_secret"])
    assert (signature, encoded(signature)) == (expected["signature"], expected["signature_encoded"])


def stored(vector: dict[str, Any]) -> Stored:
    headers = {name.lower(): value for name, value in vector["headers"].items()}
    query = tuple(tuple(each.split("=")) for each in vector["query"].split("&") if each)
    return Stored(
        vector["method"],
        vector["bucket"],
        vector["key"],
        headers,
        query,
        tuple(vector["additional_headers"]),
    )


@pytest.mark.parametrize("vector", OSS_VECTORS, ids=lambda vector: vector["name"])
def test_a_storage_vector_is_signed_step_by_step_as_it_should_be(vector: dict[str, Any]) -> None:
    request, expected, region = stored(vector), vector["expected"], vector["region"]
    assert storage_canonical_request(request) == expected["canonical_request"]
    assert storage_string_to_sign(request, region) == expected["string_to_sign"]
    signed = storage_authorization(request, region, vector["access_key_id"], vector["access_key_secret"])
    assert signed == expected["authorization"]
    assert vector["url"].partition(vector["host"])[2].partition("?")[0] == f"/{key_text(vector['key'])}"


def test_a_time_is_written_in_whole_seconds_of_utc() -> None:
    assert timestamp(1_767_323_045_999_999) == "2026-01-02T03:04:05Z"


# --- random requests against the vendor's own code -----------------------------------------------------------------


def words(chance: random.Random, letters: str, least: int = 1) -> str:
    return "".join(chance.choices(letters, k=chance.randint(least, 30)))


def parameters(chance: random.Random) -> dict[str, str]:
    return {words(chance, PLAIN): words(chance, ANY_LETTERS, 0) for _ in range(chance.randint(0, 6))}


def test_500_random_requests_are_signed_by_acs3_as_the_vendors_sdk_signs_them() -> None:
    chance = random.Random(20260101)
    for _ in range(500):
        token = {"x-acs-security-token": words(chance, ANY_LETTERS)} if chance.random() < 0.3 else {}
        headers = {
            "host": f"ecs.{words(chance, 'abc0-')}.example.com" + chance.choice(["", ":8000"]),
            "x-acs-action": words(chance, PLAIN),
            "x-acs-content-sha256": words(chance, "0123456789abcdef"),
            "x-acs-date": f"20{chance.randint(10, 40)}-01-02T03:04:05Z",
            **{f"x-acs-{words(chance, 'abcz-')}": words(chance, ANY_LETTERS) for _ in range(chance.randint(0, 4))},
            **token,
        }
        method, query = chance.choice(["GET", "POST"]), parameters(chance)
        asked = DaraRequest()
        asked.method, asked.pathname, asked.query, asked.headers = method, "/", query, dict(headers)
        key_id, secret = words(chance, PLAIN), words(chance, ANY_LETTERS)
        expected = Utils.get_authorization(asked, ACS3, headers["x-acs-content-sha256"], key_id, secret)
        assert authorization(Signable(method, query, headers), key_id, secret) == expected


def test_500_random_requests_are_signed_by_rpc_v1_as_the_vendors_sdk_signs_them() -> None:
    chance = random.Random(20260102)
    for _ in range(500):
        method, signed, secret = chance.choice(["GET", "POST"]), parameters(chance), words(chance, ANY_LETTERS)
        assert rpc_signature(method, signed, secret) == Utils.get_rpcsignature(signed, method, secret)


def test_500_random_storage_requests_are_signed_as_the_vendors_sdk_signs_them() -> None:
    chance = random.Random(20260103)
    for _ in range(500):
        bucket, key = words(chance, "abc0-"), words(chance, ANY_LETTERS.replace("\u2028", ""), 0).lstrip("/")
        query = tuple(
            {words(chance, PLAIN): words(chance, ANY_LETTERS, 0) for _ in range(chance.randint(0, 3))}.items()
        )
        text = storage_query_text(query)
        host = f"{bucket}.oss.example.com"
        at = datetime.fromtimestamp(chance.randint(1_500_000_000, 2_000_000_000), UTC)
        token = words(chance, PLAIN) if chance.random() < 0.3 else ""
        key_id, secret, region = words(chance, PLAIN), words(chance, ANY_LETTERS), words(chance, "abc0-")
        asked = HttpRequest(
            chance.choice(["HEAD", "GET"]), f"https://{host}/{key_text(key)}{f'?{text}' if text else ''}"
        )
        context = SigningContext(
            product="oss",
            region=region,
            bucket=bucket,
            key=key or None,
            request=asked,
            credentials=Credentials(key_id, secret, token or None),
            signing_time=at,
        )
        SignerV4().sign(context)
        headers = {
            "x-oss-date": at.strftime("%Y%m%dT%H%M%SZ"),
            "x-oss-content-sha256": "UNSIGNED-PAYLOAD",
            **({"x-oss-security-token": token} if token else {}),
        }
        request = Stored(asked.method, bucket, key, headers, query)
        assert storage_authorization(request, region, key_id, secret) == asked.headers["Authorization"]
