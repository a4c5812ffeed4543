"""JDCLOUD2-HMAC-SHA256, and 3 beside it: from the exact parts of a request to its URL text and its signed headers.

The client of this cloud calls it for every request. Pure: the time, the nonce and the keys are given, nothing is sent
or kept.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple
from urllib.parse import quote

NO_REGION: Final = "jdcloud-api"
"""Stands in the scope of a call that names no region."""


class Scheme(NamedTuple):
    """One version of the algorithm; what :func:`path_text` and :func:`query_text` write has one form under both."""

    algorithm: str
    prefix: str
    """Stands before the secret."""
    request: str
    """Ends the scope."""


V2: Final = Scheme("JDCLOUD2-HMAC-SHA256", "JDCLOUD2", "jdcloud2_request")
V3: Final = Scheme("JDCLOUD3-HMAC-SHA256", "JDCLOUD3", "jdcloud3_request")


@dataclass(frozen=True, slots=True)
class Scope:
    """What a signature holds for, besides its date."""

    region: str
    service: str
    """Of the API that is called, on any endpoint."""


@dataclass(frozen=True, slots=True)
class Signable:
    """What is signed of a request. Header names are lower case; every header here is signed."""

    method: str
    path: str
    """Not encoded."""
    query: tuple[tuple[str, str], ...]
    """Not encoded, in any order."""
    headers: Mapping[str, str]
    """With ``host`` and ``x-jdcloud-date`` (``YYYYMMDDTHHMMSSZ``)."""
    body: bytes = b""


def path_text(path: str) -> str:
    """A path as it is sent and signed: a colon is ``%3A`` too."""
    return quote(path, safe="-_.~/")


def query_text(query: Iterable[tuple[str, str]]) -> str:
    """A query as it is sent and signed: sorted by its encoded bytes, ``=`` also where a value is empty."""
    pairs = sorted((quote(name, safe="-_.~"), quote(value, safe="-_.~")) for name, value in query)
    return "&".join(f"{name}={value}" for name, value in pairs)


def canonical_request(request: Signable) -> str:
    """The request in the form that is hashed."""
    lines = "".join(f"{name}:{request.headers[name].strip()}\n" for name in sorted(request.headers))
    return "\n".join(
        (
            request.method,
            path_text(request.path),
            query_text(request.query),
            lines,
            _names(request),
            hashlib.sha256(request.body).hexdigest(),
        )
    )


def string_to_sign(request: Signable, scope: Scope, scheme: Scheme = V2) -> str:
    """The text that is signed."""
    digest = hashlib.sha256(canonical_request(request).encode()).hexdigest()
    return "\n".join((scheme.algorithm, request.headers["x-jdcloud-date"], _scope(request, scope, scheme), digest))


def authorization(request: Signable, scope: Scope, access_key: str, secret_key: str, scheme: Scheme = V2) -> str:
    """The value of the Authorization header."""
    key = f"{scheme.prefix}{secret_key}".encode()
    for part in _scope(request, scope, scheme).split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    signature = hmac.digest(key, string_to_sign(request, scope, scheme).encode(), "sha256").hex()
    credential = f"{access_key}/{_scope(request, scope, scheme)}"
    return f"{scheme.algorithm} Credential={credential}, SignedHeaders={_names(request)}, Signature={signature}"


def _scope(request: Signable, scope: Scope, scheme: Scheme) -> str:
    return "/".join((request.headers["x-jdcloud-date"][:8], scope.region, scope.service, scheme.request))


def _names(request: Signable) -> str:
    return ";".join(sorted(request.headers))
