from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
from jdcloud_sdk.core import const
from jdcloud_sdk.core.credential import Credential
from jdcloud_sdk.core.logger import Logger
from jdcloud_sdk.core.signer import Signer

from imageferry.clouds.jdcloud.sign import (
    V2,
    V3,
    Scheme,
    Scope,
    Signable,
    authorization,
    canonical_request,
    path_text,
    query_text,
    string_to_sign,
)

VECTORS: list[dict[str, Any]] = json.loads(
    (Path(__file__).parents[3] / "vectors" / "jdcloud2_hmac.json").read_text(encoding="utf-8")
)
SCHEMES = {scheme.algorithm: scheme for scheme in (V2, V3)}
SILENT = 100
"""A level of the vendor's logger that nothing reaches."""


def signable(vector: dict[str, Any]) -> Signable:
    token = {"x-jdcloud-security-token": vector["security_token_header"]} if "security_token" in vector else {}
    headers = {
        "content-type": vector["content_type"],
        "host": vector["host_header"],
        "x-jdcloud-date": vector["date"],
        "x-jdcloud-nonce": vector["nonce"],
        **token,
    }
    query = tuple((name, value) for name, value in vector["query"])
    return Signable(vector["method"], vector["path"], query, headers, vector["body"].encode())


def test_there_are_all_vectors() -> None:
    assert [sum(v["algorithm"] == scheme.algorithm for v in VECTORS) for scheme in (V2, V3)] == [25, 9]


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["name"])
def test_a_vector_is_signed_step_by_step_as_it_should_be(vector: dict[str, Any]) -> None:
    request, expected = signable(vector), vector["expected"]
    scheme, scope = SCHEMES[vector["algorithm"]], Scope(vector["region"], vector["service"])
    assert canonical_request(request) == expected["canonical_request"]
    assert string_to_sign(request, scope, scheme) == expected["string_to_sign"]
    signed = authorization(request, scope, vector["access_key"], vector["secret_key"], scheme)
    assert signed == expected["authorization"]


def test_the_known_answer_of_the_documentation() -> None:
    headers = {
        "x-jdcloud-date": "20190214T104514Z",
        "x-jdcloud-nonce": "testnonce",
        "x-my-header": "test",
        "x-my-header_blank": " blank",
    }
    query = (("p1", "p1"), ("p0", "p0"), ("o", "%"), ("u", "u"))
    request = Signable("POST", "/v1/resource:action", query, headers, b"body data")
    scope = Scope("cn-north-1", "test")
    digest = string_to_sign(request, scope).rpartition("\n")[2]
    assert (path_text(request.path), query_text(query)) == ("/v1/resource%3Aaction", "o=%25&p0=p0&p1=p1&u=u")
    assert digest == "fb2e317056269590681d091f8eb22272967c0b922b2deda887312215ea4eed4c"
    signature = authorization(request, scope, "TESTAK", "TESTSK").rpartition("Signature=")[2]
    assert signature == "2a98f83c074e7bee260bfc8ef64f009c07595bd93f7f0c3f4e156bf6479ed9bf"


def test_an_empty_query_is_an_empty_line() -> None:
    request = Signable("GET", "/v1", (), {"host": "h", "x-jdcloud-date": "20260101T000000Z"})
    assert canonical_request(request).split("\n")[:3] == ["GET", "/v1", ""]


def words(chance: random.Random, letters: str) -> str:
    return "".join(chance.choices(letters, k=chance.randint(1, 30)))


def signed_by_the_sdk(request: Signable, scope: Scope, url: str, access_key: str, secret_key: str) -> str:
    headers = {name: value for name, value in request.headers.items() if name != "host"}
    body, keys = request.body.decode(), Credential(access_key, secret_key)
    Signer(Logger(SILENT)).sign(request.method, scope.service, scope.region, url, headers, body, keys, "")
    return headers["Authorization"]


@pytest.mark.parametrize("scheme", [V2, V3], ids=["JDCLOUD2", "JDCLOUD3"])
def test_500_random_requests_are_signed_as_the_vendors_sdk_signs_them(
    scheme: Scheme, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The SDK's older releases, which signed with 2, differ from this one in these three words alone.
    monkeypatch.setattr(const, "JDCLOUD3", scheme.prefix)
    monkeypatch.setattr(const, "JDCLOUD3_ALGORITHM", scheme.algorithm)
    monkeypatch.setattr(const, "JDCLOUD3_REQUEST", scheme.request)
    chance = random.Random(20260101)
    plain, any_letters = "abcXYZ019-_.~", 'aZ09 "\\/镜像é\u2028🚢+%&=:,~'
    for _ in range(500):
        host = f"vm.{words(chance, 'abc0-')}.example.com" + chance.choice(["", ":8000"])
        path = f"/v1/regions/{words(chance, plain)}/{words(chance, any_letters.replace('/', ''))}"
        path += chance.choice(["", ":exportImage"])
        query = tuple((words(chance, any_letters), words(chance, any_letters)) for _ in range(chance.randint(0, 4)))
        token = {"x-jdcloud-security-token": words(chance, plain)} if chance.random() < 0.3 else {}
        headers = {
            "content-type": "application/json",
            "host": host,
            "x-jdcloud-date": f"20{chance.randint(10, 40)}0102T030405Z",
            "x-jdcloud-nonce": words(chance, plain),
            **token,
        }
        request = Signable(chance.choice(["GET", "POST"]), path, query, headers, words(chance, any_letters).encode())
        scope = Scope(words(chance, "abc0-"), chance.choice(["vm", "disk", "sts", "iam"]))
        access_key, secret_key = words(chance, plain), words(chance, plain + "+/=")
        url = f"https://{host}{path_text(path)}" + (f"?{query_text(query)}" if query else "")
        expected = signed_by_the_sdk(request, scope, url, access_key, secret_key)
        assert authorization(request, scope, access_key, secret_key, scheme) == expected
