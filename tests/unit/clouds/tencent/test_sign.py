from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
from tencentcloud.common import credential
from tencentcloud.common.abstract_client import AbstractClient
from tencentcloud.common.http.request import RequestInternal
from tencentcloud.common.profile.client_profile import ClientProfile
from tencentcloud.common.profile.http_profile import HttpProfile

from imageferry.clouds.tencent.sign import Signable, authorization, canonical_request, string_to_sign

VECTORS: list[dict[str, Any]] = json.loads(
    (Path(__file__).parents[3] / "vectors" / "tencent_tc3.json").read_text(encoding="utf-8")
)


def signable(vector: dict[str, Any]) -> Signable:
    signed_action = vector["action"] if "x-tc-action" in vector["signed_headers"] else ""
    return Signable(
        vector["service"], vector["host"], vector["payload"].encode(), vector["content_type"], signed_action
    )


def test_there_are_all_vectors() -> None:
    assert len(VECTORS) == 25


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["name"])
def test_a_vector_is_signed_step_by_step_as_it_should_be(vector: dict[str, Any]) -> None:
    request, expected = signable(vector), vector["expected"]
    assert canonical_request(request) == expected["canonical_request"]
    assert string_to_sign(request, vector["timestamp"]) == expected["string_to_sign"]
    signed = authorization(request, vector["timestamp"], vector["secret_id"], vector["secret_key"])
    assert signed == expected["authorization"]


class SdkSigner(AbstractClient):  # type: ignore[misc] # the SDK has no types
    _apiVersion = "2017-03-12"  # noqa: N815 - the SDK's own name
    _endpoint = "cvm.tencentcloudapi.com"

    def __init__(self, secret_id: str, secret_key: str, service: str, host: str) -> None:
        self._service = service
        profile = ClientProfile(httpProfile=HttpProfile(endpoint=host))
        super().__init__(credential.Credential(secret_id, secret_key), "ap-guangzhou", profile)

    def authorization(self, action: str, params: dict[str, Any], timestamp: int) -> tuple[str, bytes]:
        """The header the SDK makes, and the body it signs."""
        request = RequestInternal(self.profile.httpProfile.endpoint, "POST", "/")
        options = {"IsMultipart": False, "IsOctetStream": False}
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("time.time", lambda: float(timestamp))
            self._build_req_inter(action, params, request, options)
        body = request.data if isinstance(request.data, bytes) else request.data.encode()
        return request.header["Authorization"], body


def words(chance: random.Random, letters: str) -> str:
    return "".join(chance.choices(letters, k=chance.randint(1, 30)))


def test_500_random_requests_are_signed_as_the_vendors_sdk_signs_them() -> None:
    chance = random.Random(20260101)
    ascii_letters, any_letters = "abcXYZ019_-=+/", 'aZ09 "\\/镜像é\u2028🚢\n'
    for _ in range(500):
        secret_id, secret_key = words(chance, ascii_letters), words(chance, ascii_letters)
        service = chance.choice(["cvm", "sts", "cbs"])
        host = f"{service}.{words(chance, 'abc0-')}.example.com"
        params = {words(chance, any_letters): words(chance, any_letters) for _ in range(chance.randint(0, 4))}
        timestamp = chance.randint(1_500_000_000, 2_000_000_000)
        expected, body = SdkSigner(secret_id, secret_key, service, host).authorization(
            "DescribeImages", params, timestamp
        )
        assert authorization(Signable(service, host, body), timestamp, secret_id, secret_key) == expected
