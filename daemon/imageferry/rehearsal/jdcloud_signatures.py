"""Checks of JD Cloud's API signatures, JDCLOUD2 and JDCLOUD3, written from the vendor's description alone.

The rehearsal's gateway calls it for each request. It shares nothing with the adapter that signs, and it only checks: it
knows no parameters, no rates, and answers no requests.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Final, Literal, NamedTuple
from urllib.parse import quote, unquote, unquote_plus

from imageferry.core.times import SECOND
from imageferry.rehearsal.jdcloud_options import JdcloudOptions
from imageferry.rehearsal.options import AcceptedKey
from imageferry.rehearsal.signatures import SignatureRefused, Signed

DATE: Final = "x-jdcloud-date"
NONCE: Final = "x-jdcloud-nonce"
SESSION: Final = "x-jdcloud-security-token"

_AUTHORIZATION: Final = re.compile(
    r"JDCLOUD(?P<generation>[23])-HMAC-SHA256 "
    r"Credential=(?P<id>[^/,\s]+)/(?P<date>\d{8})/(?P<region>[a-z0-9-]+)/(?P<service>[a-z0-9-]+)"
    r"/jdcloud(?P=generation)_request, ?"
    r"SignedHeaders=(?P<names>[a-z0-9;_-]+), ?Signature=(?P<signature>[0-9a-f]{64})"
)

Reason = Literal["lacks", "form", "key", "time", "token", "signature"]

_CODES: Final[dict[Reason, str]] = {
    "lacks": "APIGW_LACK_PARAMS",
    "form": "APIGW_ILLEGAL_HEADER",
    "key": "APIGW_KEY_NOT_EXITST",
    "time": "APIGW_ILLEGAL_HEADER",
    "token": "APIGW_ILLEGAL_HEADER",
    "signature": "APIGW_SIGN_RESULT_NOT_SAME",
}


class Proof(NamedTuple):
    """What a good signature proves."""

    key: AcceptedKey
    region: str
    service: str


def check_jdcloud(request: Signed, keys: Sequence[AcceptedKey], now: int, options: JdcloudOptions) -> Proof:
    """Who signed an API request, and the region and service that it was signed for.

    :raises SignatureRefused: with the status of the gateway's answer.
    """
    for name in ("authorization", DATE, NONCE):
        if not request.headers.get(name):
            raise _refused("lacks", f"lack of header {name}", options)
    found = _AUTHORIZATION.fullmatch(request.headers["authorization"])
    if found is None or f"JDCLOUD{found['generation']}" not in options.algorithms:
        raise _refused("form", "authorization is not of a known form", options)
    _check_names(request, found["names"].split(";"), options)
    key = next((each for each in keys if each.secret_id == found["id"]), None)
    if key is None:
        raise _refused("key", "access key is not exist", options)
    _check_time(request.headers[DATE], found["date"], now, options)
    if not hmac.compare_digest(_signature(request, found, key.secret_key), found["signature"]):
        raise _refused("signature", "sign result is not same", options)
    _check_token(key, request.headers.get(SESSION, ""), now, options)
    return Proof(key, found["region"], found["service"])


def claimed_service(authorization: str) -> str:
    """The service that a header says it is signed for, proved or not; empty where it says none."""
    found = _AUTHORIZATION.fullmatch(authorization)
    return found["service"] if found else ""


def _refused(reason: Reason, message: str, options: JdcloudOptions) -> SignatureRefused:
    code = _CODES[reason] if options.gateway_codes == "apigw" else "ACCESS_ERROR"
    return SignatureRefused(code, f"{message} [gw]")


def _check_names(request: Signed, names: Sequence[str], options: JdcloudOptions) -> None:
    needed = set(options.headers_to_sign) | ({SESSION} & request.headers.keys())
    missing = sorted(needed - set(names))
    if missing:
        raise _refused("form", f"{missing[0]} must be signed", options)


def _check_time(stamp: str, date: str, now: int, options: JdcloudOptions) -> None:
    try:
        moment = datetime.strptime(stamp, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    except ValueError:
        raise _refused("form", f"{DATE} is not a time", options) from None
    if not stamp.startswith(date):
        raise _refused("form", f"{DATE} is not of the credential's date", options)
    off = abs(now - int(moment.timestamp()) * SECOND)
    if options.clock_tolerance_seconds is not None and off > options.clock_tolerance_seconds * SECOND:
        raise _refused("time", f"{DATE} is too far from the server's time", options)


def _check_token(key: AcceptedKey, sent: str, now: int, options: JdcloudOptions) -> None:
    if not any(hmac.compare_digest(key.token.encode(), token) for token in _readings(sent, options)):
        raise _refused("token", "security token is missing, or is not this key's", options)
    if key.expires_at is not None and now >= key.expires_at:
        raise _refused("token", "security token has expired", options)


def _readings(sent: str, options: JdcloudOptions) -> Iterator[bytes]:
    """The tokens that a header may mean."""
    if options.session_encoding != "base64":
        yield sent.encode()
    if options.session_encoding != "raw":
        try:
            yield base64.b64decode(sent, validate=True)
        except binascii.Error:
            return


# --- the signature itself ------------------------------------------------------------------------------------------


def _signature(request: Signed, found: re.Match[str], secret: str) -> str:
    word = f"JDCLOUD{found['generation']}"
    parts = (found["date"], found["region"], found["service"], f"{word.lower()}_request")
    canonical = hashlib.sha256(_canonical(request, found["names"], found["generation"]).encode()).hexdigest()
    text = "\n".join((f"{word}-HMAC-SHA256", request.headers[DATE], "/".join(parts), canonical))
    key = (word + secret).encode()
    for part in parts:
        key = hmac.digest(key, part.encode(), "sha256")
    return hmac.digest(key, text.encode(), "sha256").hex()


def _canonical(request: Signed, names: str, generation: str) -> str:
    lines = "".join(f"{name}:{request.headers.get(name, '').strip()}\n" for name in names.split(";"))
    body = hashlib.sha256(request.body).hexdigest()
    path = _path(request.path, generation)
    return "\n".join((request.method, path, _query(request.query, generation), lines, names, body))


def _path(path: str, generation: str) -> str:
    plain = re.sub("/+", "/", unquote_plus(path)) if generation == "3" else unquote(path)
    return quote(plain, safe="/-_.~")


def _query(query: str, generation: str) -> str:
    items = [item.partition("=") for item in query.split("&") if item]
    if generation == "3":
        items = [item for item in items if item[0] and item[1]]
    pairs = sorted((_escaped(name), _escaped(value)) for name, _, value in items)
    return "&".join(f"{name}={value}" for name, value in pairs)


def _escaped(text: str) -> str:
    return quote(unquote_plus(text), safe="-_.~")
