"""TC3-HMAC-SHA256: from the exact bytes of a request to its signed headers.

The client of this cloud calls it for every request. Pure: the time and the keys are given, nothing is sent or kept.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

ALGORITHM: Final = "TC3-HMAC-SHA256"
CONTENT_TYPE: Final = "application/json"


@dataclass(frozen=True, slots=True)
class Signable:
    """What is signed of a request: always POST to ``/`` without a query."""

    service: str
    """The first label of the service's own host (``cvm``, ``sts``), on any other endpoint too."""
    host: str
    body: bytes
    content_type: str = CONTENT_TYPE
    action: str = ""
    """Only where the action is signed too."""


def canonical_request(request: Signable) -> str:
    """The request in the form that is hashed."""
    headers = _headers(request)
    lines = "".join(f"{name}:{value}\n" for name, value in headers.items())
    return "\n".join(("POST", "/", "", lines, ";".join(headers), hashlib.sha256(request.body).hexdigest()))


def string_to_sign(request: Signable, timestamp: int) -> str:
    """The text that is signed; ``timestamp`` in Unix seconds."""
    digest = hashlib.sha256(canonical_request(request).encode()).hexdigest()
    return "\n".join((ALGORITHM, str(timestamp), _scope(request, timestamp), digest))


def authorization(request: Signable, timestamp: int, secret_id: str, secret_key: str) -> str:
    """The value of the Authorization header."""
    key = f"TC3{secret_key}".encode()
    for part in _scope(request, timestamp).split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    signature = hmac.digest(key, string_to_sign(request, timestamp).encode(), "sha256").hex()
    credential = f"{secret_id}/{_scope(request, timestamp)}"
    return f"{ALGORITHM} Credential={credential}, SignedHeaders={';'.join(_headers(request))}, Signature={signature}"


def _scope(request: Signable, timestamp: int) -> str:
    date = datetime.fromtimestamp(timestamp, UTC).strftime("%Y-%m-%d")
    return f"{date}/{request.service}/tc3_request"


def _headers(request: Signable) -> Mapping[str, str]:
    headers = {"content-type": request.content_type, "host": request.host}
    return {**headers, "x-tc-action": request.action.lower()} if request.action else headers
