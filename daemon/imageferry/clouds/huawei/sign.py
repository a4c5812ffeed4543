"""SDK-HMAC-SHA256: from the exact parts of a request to its URL text and its Authorization header.

The client of this cloud calls it for every request. Pure: the time and the keys are given, nothing is sent or kept.
Neither region nor service goes into a signature.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final
from urllib.parse import quote, unquote

from imageferry.core.times import SECOND

ALGORITHM: Final = "SDK-HMAC-SHA256"
HASH_HEADER: Final = "x-sdk-content-sha256"
UNSIGNED: Final = "UNSIGNED-PAYLOAD"
"""Stands for the hash of a body that is not JSON."""

_JSON: Final = ("application/json", "application/bson")


@dataclass(frozen=True, slots=True)
class Signable:
    """What is signed of a request. Header names are lower case."""

    method: str
    path: str
    """Percent-encoded or not: both sign alike."""
    query: tuple[tuple[str, str], ...]
    """Not encoded, in any order."""
    headers: Mapping[str, str]
    """With ``host`` and ``x-sdk-date``; one with an underscore in its name is sent, but not signed."""
    body: bytes = b""


def date_text(now: int) -> str:
    """``20260115T081630Z`` for microseconds UTC."""
    return datetime.fromtimestamp(now // SECOND, UTC).strftime("%Y%m%dT%H%M%SZ")


def with_hash(headers: Mapping[str, str]) -> dict[str, str]:
    """The headers, with the one that says so where a body is not JSON and so is not hashed."""
    kind = headers.get("content-type", "")
    unhashed = kind and not kind.startswith(_JSON)
    return {**headers, HASH_HEADER: UNSIGNED} if unhashed else dict(headers)


def path_text(path: str) -> str:
    """A path as it is signed, but for the slash at its end; ``%2F`` in it becomes a true slash."""
    return "/".join(quote(part, safe="~") for part in unquote(path).split("/"))


def query_text(query: Iterable[tuple[str, str]]) -> str:
    """A query as it is sent and signed: sorted before it is encoded, ``=`` also where a value is empty."""
    return "&".join(f"{quote(name, safe='~')}={quote(value, safe='~')}" for name, value in sorted(query))


def canonical_request(request: Signable) -> str:
    """The request in the form that is hashed."""
    path = path_text(request.path)
    names = _signed(request)
    return "\n".join(
        (
            request.method.upper(),
            path if path.endswith("/") else f"{path}/",
            query_text(request.query),
            "".join(f"{name}:{request.headers[name].strip()}\n" for name in names),
            ";".join(names),
            _payload_hash(request),
        )
    )


def string_to_sign(request: Signable) -> str:
    """The text that is signed."""
    digest = hashlib.sha256(canonical_request(request).encode()).hexdigest()
    return "\n".join((ALGORITHM, request.headers["x-sdk-date"], digest))


def authorization(request: Signable, access_key: str, secret_key: str) -> str:
    """The value of the Authorization header."""
    signature = hmac.digest(secret_key.encode(), string_to_sign(request).encode(), "sha256").hex()
    return f"{ALGORITHM} Access={access_key}, SignedHeaders={';'.join(_signed(request))}, Signature={signature}"


def _signed(request: Signable) -> list[str]:
    return sorted(name for name in request.headers if "_" not in name)


def _payload_hash(request: Signable) -> str:
    stated = request.headers.get(HASH_HEADER) if request.body else None
    return stated or hashlib.sha256(request.body).hexdigest()
