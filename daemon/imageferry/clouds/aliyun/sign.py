"""Alibaba Cloud's signatures: ACS3-HMAC-SHA256 and the older RPC v1 for its API, OSS4-HMAC-SHA256 for its storage.

The client, the storage and the credentials of this cloud call it for every request. Pure: the time, the nonce and the
keys are given, nothing is sent or kept.
"""

from __future__ import annotations

import hashlib
import hmac
from base64 import b64encode
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final
from urllib.parse import quote

from imageferry.core.times import SECOND

ACS3: Final = "ACS3-HMAC-SHA256"
OSS4: Final = "OSS4-HMAC-SHA256"
UNSIGNED: Final = "UNSIGNED-PAYLOAD"
EMPTY_HASH: Final = hashlib.sha256(b"").hexdigest()


@dataclass(frozen=True, slots=True)
class Signable:
    """What ACS3 signs of a request. Header names are lower case; every header here is signed."""

    method: str
    query: Mapping[str, str]
    """Not encoded."""
    headers: Mapping[str, str]
    """With ``host``, ``x-acs-content-sha256`` and every other ``x-acs-*``."""
    path: str = "/"
    """As it is sent."""


def encoded(text: str) -> str:
    """A parameter's name or value as it is sent and signed: RFC 3986, a blank is ``%20``."""
    return quote(text, safe="-_.~")


def query_text(query: Mapping[str, str]) -> str:
    """A query as it is sent and signed: sorted by its names' code points, ``=`` also where a value is empty."""
    return "&".join(f"{encoded(name)}={encoded(query[name])}" for name in sorted(query))


def timestamp(now: int) -> str:
    """``2026-01-02T03:04:05Z`` for microseconds UTC."""
    return datetime.fromtimestamp(now // SECOND, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


# --- ACS3 ----------------------------------------------------------------------------------------------------------


def canonical_request(request: Signable) -> str:
    """The request in the form that is hashed."""
    lines = "".join(f"{name}:{request.headers[name].strip()}\n" for name in sorted(request.headers))
    digest = request.headers["x-acs-content-sha256"]
    return "\n".join((request.method, request.path, query_text(request.query), lines, _names(request), digest))


def string_to_sign(request: Signable) -> str:
    """The text that is signed."""
    return f"{ACS3}\n{hashlib.sha256(canonical_request(request).encode()).hexdigest()}"


def authorization(request: Signable, key_id: str, secret: str) -> str:
    """The value of the Authorization header."""
    signature = hmac.digest(secret.encode(), string_to_sign(request).encode(), "sha256").hex()
    return f"{ACS3} Credential={key_id},SignedHeaders={_names(request)},Signature={signature}"


def _names(request: Signable) -> str:
    return ";".join(sorted(request.headers))


# --- RPC v1 --------------------------------------------------------------------------------------------------------


def rpc_string_to_sign(method: str, parameters: Mapping[str, str]) -> str:
    """The text that is signed, of all parameters together, those of a body included."""
    return f"{method}&%2F&{encoded(query_text(parameters))}"


def rpc_signature(method: str, parameters: Mapping[str, str], secret: str) -> str:
    """The value of the parameter Signature, not yet encoded."""
    text = rpc_string_to_sign(method, parameters)
    return b64encode(hmac.digest(f"{secret}&".encode(), text.encode(), "sha1")).decode()


# --- OSS4 ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Stored:
    """What OSS4 signs of a request. Header names are lower case."""

    method: str
    bucket: str
    key: str
    """Not encoded; empty for the bucket itself."""
    headers: Mapping[str, str]
    """With ``x-oss-date`` (``YYYYMMDDTHHMMSSZ``) and ``x-oss-content-sha256``."""
    query: tuple[tuple[str, str], ...] = ()
    """Not encoded."""
    additional: tuple[str, ...] = ()
    """Headers that are signed though they need not be, such as ``host``; sorted."""


def key_text(key: str) -> str:
    """An object's key as it is sent and signed."""
    return quote(key, safe="/-_.~")


def storage_query_text(query: Iterable[tuple[str, str]]) -> str:
    """A storage request's query as it is sent and signed: no ``=`` where a value is empty."""
    pairs = sorted((encoded(name), encoded(value)) for name, value in query)
    return "&".join(f"{name}={value}" if value else name for name, value in pairs)


def storage_canonical_request(request: Stored) -> str:
    """The request in the form that is hashed; its path is ``/bucket/key``, wherever the bucket is sent."""
    signed = {
        name: value
        for name, value in request.headers.items()
        if name.startswith("x-oss-") or name in ("content-type", "content-md5", *request.additional)
    }
    lines = "".join(f"{name}:{signed[name].strip()}\n" for name in sorted(signed))
    path = f"/{request.bucket}/{key_text(request.key)}"
    names = ";".join(request.additional)
    return "\n".join((request.method, path, storage_query_text(request.query), lines, names, UNSIGNED))


def storage_string_to_sign(request: Stored, region: str) -> str:
    """The text that is signed."""
    digest = hashlib.sha256(storage_canonical_request(request).encode()).hexdigest()
    return "\n".join((OSS4, request.headers["x-oss-date"], "/".join(_scope(request, region)), digest))


def storage_authorization(request: Stored, region: str, key_id: str, secret: str) -> str:
    """The value of the Authorization header; ``region`` is the bucket's."""
    scope = _scope(request, region)
    key = f"aliyun_v4{secret}".encode()
    for part in scope:
        key = hmac.digest(key, part.encode(), "sha256")
    signature = hmac.digest(key, storage_string_to_sign(request, region).encode(), "sha256").hex()
    names = f",AdditionalHeaders={';'.join(request.additional)}" if request.additional else ""
    return f"{OSS4} Credential={key_id}/{'/'.join(scope)}{names},Signature={signature}"


def _scope(request: Stored, region: str) -> tuple[str, ...]:
    return (request.headers["x-oss-date"][:8], region, "oss", "aliyun_v4_request")
