from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
from huaweicloudsdkcore.auth.credentials import BasicCredentials
from huaweicloudsdkcore.sdk_request import SdkRequest
from huaweicloudsdkcore.signer.signer import Signer

from imageferry.clouds.huawei.sign import (
    Signable,
    authorization,
    canonical_request,
    date_text,
    query_text,
    string_to_sign,
    with_hash,
)

VECTORS: list[dict[str, Any]] = json.loads(
    (Path(__file__).parents[3] / "vectors" / "huawei_sdk_hmac.json").read_text(encoding="utf-8")
)


def text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def pairs(query: list[list[Any]]) -> tuple[tuple[str, str], ...]:
    """One pair for each value of a list."""
    values = [(name, value if isinstance(value, list) else [value]) for name, value in query]
    return tuple((name, text(each)) for name, several in values for each in several)


def signable(given: dict[str, Any]) -> Signable:
    named = {
        "x-project-id": given["project_id"],
        "x-domain-id": given["domain_id"],
        "x-security-token": given["security_token"],
    }
    headers = {name.lower(): value for name, value in given["headers"].items()}
    headers |= {"host": given["host"], "x-sdk-date": given["date"]}
    headers |= {name: value for name, value in named.items() if value}
    body = (given["body"] or "").encode()
    return Signable(given["method"], given["path"], pairs(given["query"]), with_hash(headers), body)


def test_there_are_all_vectors() -> None:
    assert len(VECTORS) == 34


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["name"])
def test_a_vector_is_signed_step_by_step_as_it_should_be(vector: dict[str, Any]) -> None:
    given, expected = vector["input"], vector["expected"]
    request = signable(given)
    assert canonical_request(request) == expected["canonical_request"]
    assert string_to_sign(request) == expected["string_to_sign"]
    assert authorization(request, given["access_key"], given["secret_key"]) == expected["authorization"]


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["name"])
def test_the_query_of_a_vector_is_sent_as_it_is_signed(vector: dict[str, Any]) -> None:
    sent = vector["expected"]["request_target"].partition("?")[2]
    assert query_text(pairs(vector["input"]["query"])) == sent


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["name"])
def test_a_vector_is_sent_with_the_headers_that_it_is_signed_with(vector: dict[str, Any]) -> None:
    sent = {name.lower(): value.strip() for name, value in vector["expected"]["sent_headers"].items()}
    sent.pop("authorization", None)
    assert {name: value.strip() for name, value in signable(vector["input"]).headers.items()} == sent


def test_a_time_is_written_in_utc_to_the_second() -> None:
    assert date_text(1_768_464_990_999_999) == "20260115T081630Z"


def words(chance: random.Random, letters: str, least: int = 1) -> str:
    return "".join(chance.choices(letters, k=chance.randint(least, 30)))


def by_the_sdk(request: Signable, access_key: str, secret_key: str) -> SdkRequest:
    """The request as the vendor's own code signs and sends it."""
    made = SdkRequest(
        method=request.method,
        schema="https",
        host=request.headers["host"],
        resource_path=request.path,
        query_params=list(request.query),
        header_params=dict(request.headers),
        body=request.body,
    )
    return Signer(BasicCredentials(access_key, secret_key)).sign(made)


def test_500_random_requests_are_signed_as_the_vendors_sdk_signs_them() -> None:
    chance = random.Random(20260115)
    plain, any_letters = "abcXYZ019-", 'aZ09 "\\/镜像é🚢%+~=&?:,;._-'
    for _ in range(500):
        headers = {
            "content-type": chance.choice(["application/json", "application/json;charset=UTF-8", "text/plain"]),
            "host": f"ims.{words(chance, 'abc0-')}.example.com",
            "x-sdk-date": date_text(chance.randint(1_500_000_000, 2_000_000_000) * 1_000_000),
            "x-note": words(chance, any_letters),
            "x_unsigned": words(chance, plain),
        }
        request = Signable(
            chance.choice(["GET", "POST", "HEAD", "delete"]),
            "/" + "/".join(words(chance, any_letters, 0) for _ in range(chance.randint(0, 4))),
            tuple((words(chance, any_letters), words(chance, any_letters, 0)) for _ in range(chance.randint(0, 5))),
            with_hash(headers),
            chance.choice([b"", words(chance, any_letters).encode()]),
        )
        access_key, secret_key = words(chance, plain), words(chance, plain)
        expected = by_the_sdk(request, access_key, secret_key)
        assert authorization(request, access_key, secret_key) == expected.header_params["Authorization"]
        assert query_text(request.query) == expected.uri.removeprefix(request.path).removeprefix("?")
