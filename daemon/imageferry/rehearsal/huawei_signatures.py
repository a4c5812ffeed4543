"""Checks of Huawei Cloud's signatures, written from the vendor's descriptions alone and not shared with the client.

The gateway of the rehearsal calls it for each request of the API, its storage for each HEAD. It only checks: it knows
no parameters, counts nothing and answers no requests.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final
from urllib.parse import quote, unquote

from imageferry.core.times import SECOND
from imageferry.rehearsal.options import AcceptedKey
from imageferry.rehearsal.signatures import SignatureRefused, Signed

TOLERANCE: Final = 900
"""Seconds that a signed time may be off, at the gateway and at the storage."""

REFUSED: Final = "APIGW.0301"
PREFIX: Final = "Incorrect IAM authentication information: "
MISMATCH: Final = "verify aksk signature fail"
UNSIGNED: Final = "UNSIGNED-PAYLOAD"

_AUTHORIZATION: Final = re.compile(
    r"SDK-HMAC-SHA256 Access=([^,\s]+), ?SignedHeaders=([^,\s_]+), ?Signature=([0-9a-f]{64})"
)
_OBS: Final = re.compile(r"OBS ([^:\s]+):([A-Za-z0-9+/]+=*)")
_HASHED_TYPES: Final = ("application/json", "application/bson")


class BadSignature(SignatureRefused):
    """The signature of a known key does not fit its request: it counts towards the key's lock.

    ``skewed``: what is wrong is the signed time.
    """

    def __init__(self, key: AcceptedKey, message: str, *, skewed: bool = False) -> None:
        super().__init__(REFUSED, message)
        self.key = key
        self.skewed = skewed


def claimed_key(request: Signed, keys: Sequence[AcceptedKey]) -> AcceptedKey | None:
    """The key that a request says it is signed with; None where no signature is there.

    :raises SignatureRefused: the header is no such signature, or the key is not known.
    """
    header = request.headers.get("authorization", "")
    if not header:
        return None
    found = _AUTHORIZATION.fullmatch(header)
    if found is None:
        raise SignatureRefused(REFUSED, f"{PREFIX}the Authorization header is not an SDK-HMAC-SHA256 signature")
    key = next((key for key in keys if key.secret_id == found[1]), None)
    if key is None:
        raise SignatureRefused(REFUSED, f"{PREFIX}get secretKey failed, ak not exist")
    return key


def check_sdk_hmac(request: Signed, key: AcceptedKey, now: int, needed: frozenset[str]) -> None:
    """Check the signature of an API request; ``needed``: the headers that it must cover.

    :raises BadSignature: it does not fit; the message quotes the canonical request, as the vendor does.
    :raises SignatureRefused: the token is missing, wrong, or has run out.
    """
    found = _AUTHORIZATION.fullmatch(request.headers.get("authorization", ""))
    names = found[2].split(";") if found else []
    stamp = request.headers.get("x-sdk-date", "")
    if found is None or not needed <= set(names) or not set(names) <= request.headers.keys():
        raise BadSignature(key, f"{PREFIX}{MISMATCH}, a header that must be signed is not")
    if abs(now - _signed_at(stamp, key)) > TOLERANCE * SECOND:
        raise BadSignature(key, f"{PREFIX}signature expired, signature time:{stamp}", skewed=True)
    canonical = canonical_request(request, names)
    text = f"SDK-HMAC-SHA256\n{stamp}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
    wanted = hmac.digest(key.secret_key.encode(), text.encode(), "sha256").hex()
    if not hmac.compare_digest(wanted, found[3]):
        raise BadSignature(key, f"{PREFIX}{MISMATCH}, canonicalRequest:{canonical.replace(chr(10), '|')}")
    _check_token(key, request.headers.get("x-security-token", ""), now)


def check_obs(request: Signed, resource: str, keys: Sequence[AcceptedKey], now: int) -> AcceptedKey:
    """The key that signed a storage request by the storage's own scheme; ``resource``: ``/bucket/key`` as encoded.

    :raises SignatureRefused: with the storage's code.
    """
    headers, found = request.headers, _OBS.fullmatch(request.headers.get("authorization", ""))
    if found is None:
        raise SignatureRefused("AccessDenied", "The Authorization header is not an OBS signature.")
    key = next((key for key in keys if key.secret_id == found[1]), None)
    if key is None:
        raise SignatureRefused("InvalidAccessKeyId", "The key id is not known.")
    stamp = headers.get("x-obs-date", "") or headers.get("date", "")
    if abs(now - _mailed_at(stamp)) > TOLERANCE * SECOND:
        raise SignatureRefused("RequestTimeTooSkewed", "The signed time is too far off.")
    own = "".join(f"{name}:{headers[name].strip()}\n" for name in sorted(headers) if name.startswith("x-obs-"))
    date = "" if "x-obs-date" in headers else headers.get("date", "")
    plain = "\n".join((request.method, headers.get("content-md5", ""), headers.get("content-type", ""), date))
    wanted = base64.b64encode(hmac.digest(key.secret_key.encode(), f"{plain}\n{own}{resource}".encode(), "sha1"))
    if not hmac.compare_digest(wanted, found[2].encode()):
        raise SignatureRefused("SignatureDoesNotMatch", "The signature does not match this request.")
    token_fits = hmac.compare_digest(key.token.encode(), headers.get("x-obs-security-token", "").encode())
    if not token_fits or (key.expires_at is not None and now >= key.expires_at):
        raise SignatureRefused("InvalidAccessKeyId", "The token is missing, wrong, or has expired.")
    return key


def canonical_request(request: Signed, names: Sequence[str]) -> str:
    """The text whose hash is signed: method, path, query, headers, their names, and the body's hash."""
    path = "/".join(_encoded(part) for part in unquote(request.path).split("/"))
    path = path if path.endswith("/") else f"{path}/"
    query = "&".join(f"{_encoded(name)}={_encoded(value)}" for name, value in sorted(query_pairs(request.query)))
    lines = "".join(f"{name}:{_text(request.headers[name]).strip()}\n" for name in names)
    return "\n".join((request.method.upper(), path, query, lines, ";".join(names), _body_hash(request)))


def query_pairs(query: str) -> Iterator[tuple[str, str]]:
    """The parameters of a query, in its order; a plus sign is a plus sign."""
    for part in query.split("&") if query else ():
        name, _, value = part.partition("=")
        yield unquote(name), unquote(value)


def _body_hash(request: Signed) -> str:
    kind = request.headers.get("content-type", "")
    unsigned = bool(kind) and not kind.startswith(_HASHED_TYPES)
    if request.body and unsigned and request.headers.get("x-sdk-content-sha256") == UNSIGNED:
        return UNSIGNED
    return hashlib.sha256(request.body).hexdigest()


def _encoded(text: str) -> str:
    return quote(text, safe="-_.~")


def _text(value: str) -> str:
    """A header's text: it travels as bytes, which servers read as Latin-1 and the vendor as UTF-8."""
    return value.encode("latin-1").decode("utf-8", "replace")


def _signed_at(stamp: str, key: AcceptedKey) -> int:
    try:
        moment = datetime.strptime(stamp, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    except ValueError:
        raise BadSignature(key, f"{PREFIX}{MISMATCH}, x-sdk-date is not a time") from None
    return int(moment.timestamp()) * SECOND


def _mailed_at(stamp: str) -> int:
    try:
        return int(parsedate_to_datetime(stamp).timestamp()) * SECOND
    except ValueError:
        raise SignatureRefused("AccessDenied", "The request has no date.") from None


def _check_token(key: AcceptedKey, token: str, now: int) -> None:
    if not hmac.compare_digest(key.token.encode(), token.encode()):
        raise SignatureRefused(REFUSED, f"{PREFIX}decrypt token fail")
    if key.expires_at is not None and now >= key.expires_at:
        raise SignatureRefused(REFUSED, f"{PREFIX}token expires")
