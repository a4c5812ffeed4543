"""Checks of signatures, written from the vendors' descriptions alone and on purpose not shared with the clients.

Rehearsal clouds call it for each request. It only checks: it knows no parameters and answers no requests.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final
from urllib.parse import parse_qsl, quote

from imageferry.core.times import SECOND
from imageferry.rehearsal.options import AcceptedKey

TC3_TOLERANCE: Final = 300
SIGV4_TOLERANCE: Final = 900
"""Seconds that a signed time may be off."""

_TC3: Final = re.compile(
    r"TC3-HMAC-SHA256 Credential=([^/,\s]+)/(\d{4}-\d\d-\d\d)/([a-z0-9]+)/tc3_request, ?"
    r"SignedHeaders=([a-z0-9;-]+), ?Signature=([0-9a-f]{64})"
)
_SIGV4: Final = re.compile(
    r"AWS4-HMAC-SHA256 Credential=([^/,\s]+)/(\d{8})/([a-z0-9-]+)/s3/aws4_request, ?"
    r"SignedHeaders=([a-z0-9;-]+), ?Signature=([0-9a-f]{64})"
)


class SignatureRefused(Exception):
    """A request does not prove who sent it; ``code`` is the vendor's word for why."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


@dataclass(frozen=True, slots=True)
class Signed:
    """The parts of a request that signatures are about. Header names are lower case."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes


def check_tc3(request: Signed, keys: Sequence[AcceptedKey], now: int) -> tuple[AcceptedKey, str]:
    """The key that signed a Tencent API request, and the service it signed for.

    :raises SignatureRefused: with the vendor's ``AuthFailure`` code.
    """
    found = _TC3.fullmatch(request.headers.get("authorization", ""))
    if found is None:
        raise SignatureRefused("AuthFailure.InvalidAuthorization", "The Authorization header is not a TC3 signature.")
    secret_id, date, service, names, signature = found.groups()
    if not {"content-type", "host"} <= set(names.split(";")):
        raise SignatureRefused("AuthFailure.InvalidAuthorization", "content-type and host must be signed.")
    key = _key(keys, secret_id, "AuthFailure.SecretIdNotFound")
    timestamp = request.headers["x-tc-timestamp"]
    if abs(now - int(timestamp) * SECOND) > TC3_TOLERANCE * SECOND:
        raise SignatureRefused("AuthFailure.SignatureExpire", "The signature has expired or is from the future.")
    if date != datetime.fromtimestamp(int(timestamp), UTC).strftime("%Y-%m-%d"):
        raise SignatureRefused("AuthFailure.SignatureFailure", "The credential's date is not the timestamp's in UTC.")
    scope = f"{date}/{service}/tc3_request"
    text = _text("TC3-HMAC-SHA256", timestamp, scope, _canonical(request, names, _tc3_body_hash(request)))
    wanted = _chain("TC3" + key.secret_key, (date, service, "tc3_request"), text)
    _compare(wanted, signature, "AuthFailure.SignatureFailure")
    _check_token(key, request.headers.get("x-tc-token", ""), now, "AuthFailure.TokenFailure")
    return key, service


def check_sigv4(request: Signed, keys: Sequence[AcceptedKey], now: int) -> tuple[AcceptedKey, str]:
    """The key that signed an S3-style request, and the region it signed for.

    :raises SignatureRefused: with S3's code.
    """
    found = _SIGV4.fullmatch(request.headers.get("authorization", ""))
    if found is None:
        raise SignatureRefused("AccessDenied", "The Authorization header is not an AWS4 signature for s3.")
    secret_id, date, region, names, signature = found.groups()
    if "host" not in names.split(";"):
        raise SignatureRefused("SignatureDoesNotMatch", "host must be signed.")
    key = _key(keys, secret_id, "InvalidAccessKeyId")
    stamp = request.headers.get("x-amz-date", "")
    if not re.fullmatch(rf"{date}T\d{{6}}Z", stamp):
        raise SignatureRefused("AccessDenied", "x-amz-date is missing or not of the credential's date.")
    if abs(now - _signed_at(stamp)) > SIGV4_TOLERANCE * SECOND:
        raise SignatureRefused("RequestTimeTooSkewed", "The signed time is too far off.")
    body_hash = request.headers.get("x-amz-content-sha256", hashlib.sha256(request.body).hexdigest())
    text = _text("AWS4-HMAC-SHA256", stamp, f"{date}/{region}/s3/aws4_request", _canonical(request, names, body_hash))
    wanted = _chain("AWS4" + key.secret_key, (date, region, "s3", "aws4_request"), text)
    _compare(wanted, signature, "SignatureDoesNotMatch")
    _check_token(key, request.headers.get("x-amz-security-token", ""), now, "InvalidToken")
    return key, region


def _key(keys: Sequence[AcceptedKey], secret_id: str, code: str) -> AcceptedKey:
    for key in keys:
        if key.secret_id == secret_id:
            return key
    raise SignatureRefused(code, "The key id is not known.")


def _check_token(key: AcceptedKey, token: str, now: int, code: str) -> None:
    if not hmac.compare_digest(key.token.encode(), token.encode()):
        raise SignatureRefused(code, "The token is missing, or is not this key's.")
    if key.expires_at is not None and now >= key.expires_at:
        raise SignatureRefused(code, "The temporary key has expired.")


def _signed_at(stamp: str) -> int:
    try:
        moment = datetime.strptime(stamp, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    except ValueError:
        raise SignatureRefused("AccessDenied", "x-amz-date is not a time.") from None
    return int(moment.timestamp()) * SECOND


def _tc3_body_hash(request: Signed) -> str:
    unsigned = request.headers.get("x-tc-content-sha256") == "UNSIGNED-PAYLOAD"
    return hashlib.sha256(b"UNSIGNED-PAYLOAD" if unsigned else request.body).hexdigest()


def _canonical(request: Signed, names: str, body_hash: str) -> str:
    lines = "".join(f"{name}:{_value(request, name)}\n" for name in names.split(";"))
    return "\n".join((request.method, request.path, _canonical_query(request.query), lines, names, body_hash))


def _value(request: Signed, name: str) -> str:
    value = " ".join(request.headers.get(name, "").split())
    return value.lower() if name == "x-tc-action" else value


def _canonical_query(query: str) -> str:
    pairs = sorted((quote(k, safe="-_.~"), quote(v, safe="-_.~")) for k, v in parse_qsl(query, keep_blank_values=True))
    return "&".join(f"{name}={value}" for name, value in pairs)


def _text(algorithm: str, stamp: str, scope: str, canonical: str) -> str:
    return "\n".join((algorithm, stamp, scope, hashlib.sha256(canonical.encode()).hexdigest()))


def _chain(secret: str, parts: Sequence[str], text: str) -> str:
    key = secret.encode()
    for part in parts:
        key = hmac.digest(key, part.encode(), "sha256")
    return hmac.digest(key, text.encode(), "sha256").hex()


def _compare(wanted: str, signature: str, code: str) -> None:
    if not hmac.compare_digest(wanted, signature):
        raise SignatureRefused(code, "The signature does not match this request.")
