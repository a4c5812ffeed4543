"""A request to one of Alibaba Cloud's services, signed in either of the vendor's ways: everything stands in its query.

The client of the image API and the credentials (for STS) make theirs with it. Pure: the time, the nonce and the keys
are given, nothing is sent or kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from imageferry.clouds.aliyun.sign import EMPTY_HASH, Signable, authorization, query_text, rpc_signature, timestamp
from imageferry.clouds.credentials import Keys
from imageferry.clouds.wire import Request

Signature = Literal["acs3", "rpc_v1"]
"""The vendor's own signature, or the one before it, which some gateways and proxies still want."""


@dataclass(frozen=True, slots=True)
class Proof:
    """What a request is signed with."""

    keys: Keys
    now: int
    """Microseconds UTC, by the vendor's clock."""
    nonce: str
    signature: Signature = "acs3"


def signed(base: str, version: str, api: str, params: Mapping[str, str], proof: Proof) -> Request:
    """A request for an operation of the service at ``base``."""
    host, _, prefix = base.partition("://")[2].partition("/")
    if proof.signature == "acs3":
        query, headers = _acs3(version, api, params, proof, host, f"/{prefix}")
    else:
        query, headers = _rpc_v1(version, api, params, proof)
    headers = {"Accept": "application/json", "host": host, **headers}
    return Request(api, "POST", f"{base}{'' if prefix else '/'}{f'?{query}' if query else ''}", headers)


def _acs3(
    version: str, api: str, params: Mapping[str, str], proof: Proof, host: str, path: str
) -> tuple[str, dict[str, str]]:
    keys = proof.keys
    token = {"x-acs-accesskey-id": keys.id, "x-acs-security-token": keys.token} if keys.token else {}
    headers = {
        "host": host,
        "x-acs-action": api,
        "x-acs-version": version,
        "x-acs-date": timestamp(proof.now),
        "x-acs-signature-nonce": proof.nonce,
        "x-acs-content-sha256": EMPTY_HASH,
        **token,
    }
    text = authorization(Signable("POST", params, headers, path), keys.id, keys.secret)
    return query_text(params), {**headers, "authorization": text}


def _rpc_v1(version: str, api: str, params: Mapping[str, str], proof: Proof) -> tuple[str, dict[str, str]]:
    """This signature leaves host and path out."""
    keys = proof.keys
    common = {
        "Action": api,
        "Version": version,
        "Format": "JSON",
        "AccessKeyId": keys.id,
        "SignatureMethod": "HMAC-SHA1",
        "SignatureVersion": "1.0",
        "SignatureNonce": proof.nonce,
        "Timestamp": timestamp(proof.now),
        **({"SecurityToken": keys.token} if keys.token else {}),
    }
    whole = {**params, **common}
    return query_text({**whole, "Signature": rpc_signature("POST", whole, keys.secret)}), {}
