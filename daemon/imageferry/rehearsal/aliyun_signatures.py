"""Checks of Alibaba Cloud's signatures (V3, RPC v1, OSS V4), written from the vendor's description alone.

The rehearsal's gateway and storage call it for each request. It shares nothing with the adapter that signs, and it only
checks: it knows no actions, no rates, and answers no requests.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Final, NamedTuple
from urllib.parse import parse_qsl, quote

from imageferry.core.times import SECOND
from imageferry.rehearsal.aliyun_options import AliyunOptions
from imageferry.rehearsal.options import AcceptedKey
from imageferry.rehearsal.signatures import SignatureRefused, Signed

SIGNATURE: Final = "Signature"

_TIME: Final = "%Y-%m-%dT%H:%M:%SZ"
_ACS3: Final = re.compile(
    r"ACS3-HMAC-SHA256 Credential=(?P<id>[^,\s]+), ?SignedHeaders=(?P<names>[a-z0-9;-]+), ?"
    r"Signature=(?P<signature>[0-9a-f]{64})"
)
_NEEDED: Final = ("x-acs-action", "x-acs-version", "x-acs-date", "x-acs-signature-nonce", "x-acs-content-sha256")


class Proof(NamedTuple):
    """What a good signature proves."""

    key: AcceptedKey
    nonce: str


def check_acs3(request: Signed, keys: Sequence[AcceptedKey], now: int, options: AliyunOptions) -> Proof:
    """Who signed an API request by V3, ACS3-HMAC-SHA256.

    :raises SignatureRefused: with the vendor's code.
    """
    headers = request.headers
    found = _ACS3.fullmatch(headers.get("authorization", ""))
    if found is None or "acs3" not in options.signatures:
        raise _incomplete("The Authorization header is not an ACS3-HMAC-SHA256 signature.")
    for name in _NEEDED:
        if not headers.get(name):
            raise _absent(name) if name == "x-acs-date" else _incomplete(f"The header {name} is missing.")
    _check_names(request, found["names"].split(";"))
    _check_time(headers["x-acs-date"], now, options)
    key = _key_of(found["id"], keys, options)
    digest = hashlib.sha256(request.body).hexdigest()
    if headers["x-acs-content-sha256"] != digest:
        raise _different(f"x-acs-content-sha256 is {digest}")
    canonical = _acs3_canonical(request, found["names"])
    text = f"ACS3-HMAC-SHA256\n{hashlib.sha256(canonical.encode()).hexdigest()}"
    wanted = hmac.digest(key.secret_key.encode(), text.encode(), "sha256").hex()
    if not hmac.compare_digest(wanted, found["signature"]):
        raise _different(canonical)
    _check_token(key, headers.get("x-acs-security-token", ""), now)
    return Proof(key, headers["x-acs-signature-nonce"])


def check_rpc1(
    method: str, params: Mapping[str, str], keys: Sequence[AcceptedKey], now: int, options: AliyunOptions
) -> Proof:
    """Who signed an API request by RPC v1, HMAC-SHA1 over its parameters; ``params`` are those of query and form.

    :raises SignatureRefused: with the vendor's code.
    """
    for name in ("AccessKeyId", "SignatureMethod", "SignatureVersion", "SignatureNonce", "Timestamp", SIGNATURE):
        if not params.get(name):
            raise _absent(name) if name == "Timestamp" else _incomplete(f"The parameter {name} is missing.")
    kind = (params["SignatureMethod"], params["SignatureVersion"], params.get("SignatureType", ""))
    if kind != ("HMAC-SHA1", "1.0", "") or "rpc1" not in options.signatures:
        raise _incomplete("This method or version of signatures is not supported.")
    _check_time(params["Timestamp"], now, options)
    key = _key_of(params["AccessKeyId"], keys, options)
    signed = _sorted_pairs((name, value) for name, value in params.items() if name != SIGNATURE)
    text = f"{method}&%2F&{_escaped(signed)}"
    digest = hmac.digest(f"{key.secret_key}&".encode(), text.encode(), "sha1")
    if not hmac.compare_digest(base64.b64encode(digest), params[SIGNATURE].encode()):
        raise _different(text)
    _check_token(key, params.get("SecurityToken", ""), now)
    return Proof(key, params["SignatureNonce"])


# --- the parts of a check ------------------------------------------------------------------------------------------


def _sorted_pairs(pairs: Iterable[tuple[str, str]]) -> str:
    """The pairs, encoded, sorted by the names as they are."""
    return "&".join(f"{_escaped(name)}={_escaped(value)}" for name, value in sorted(pairs))


def _acs3_canonical(request: Signed, names: str) -> str:
    query = _sorted_pairs(parse_qsl(request.query, keep_blank_values=True))
    lines = "".join(f"{name}:{request.headers.get(name, '').strip()}\n" for name in names.split(";"))
    return "\n".join((request.method, request.path, query, lines, names, request.headers["x-acs-content-sha256"]))


def _escaped(text: str) -> str:
    return quote(text, safe="-_.~")


def _check_names(request: Signed, names: Sequence[str]) -> None:
    if list(names) != sorted(set(names)):
        raise _incomplete("SignedHeaders must be sorted.")
    needed = {name for name in request.headers if name.startswith("x-acs-")} | {"host"}
    needed |= {"content-type"} & request.headers.keys()
    unsigned = sorted(needed - set(names))
    if unsigned:
        raise _incomplete(f"The header {unsigned[0]} must be signed.")


def _check_time(stamp: str, now: int, options: AliyunOptions) -> None:
    try:
        moment = datetime.strptime(stamp, _TIME).replace(tzinfo=UTC)
    except ValueError:
        raise SignatureRefused("InvalidTimeStamp.Format", "Specified time stamp is not well formatted.") from None
    if abs(now - int(moment.timestamp()) * SECOND) > options.clock_tolerance_seconds * SECOND:
        raise SignatureRefused("InvalidTimeStamp.Expired", "Specified time stamp or date value is expired.")


def _key_of(key_id: str, keys: Sequence[AcceptedKey], options: AliyunOptions) -> AcceptedKey:
    key = next((each for each in keys if each.secret_id == key_id), None)
    if key is None:
        raise SignatureRefused("InvalidAccessKeyId.NotFound", "Specified access key is not found.")
    if key_id in options.inactive_keys:
        raise SignatureRefused("InvalidAccessKeyId.Inactive", "Specified access key is disabled.")
    return key


def _check_token(key: AcceptedKey, sent: str, now: int) -> None:
    if key.token and not sent:
        raise SignatureRefused("MissingSecurityToken", "SecurityToken is mandatory for this action.")
    if not hmac.compare_digest(key.token.encode(), sent.encode()):
        reason = "Malformed" if key.token else "MismatchWithAccessKey"
        raise SignatureRefused(f"InvalidSecurityToken.{reason}", "Specified SecurityToken is not this key's.")
    if key.expires_at is not None and now >= key.expires_at:
        raise SignatureRefused("InvalidSecurityToken.Expired", "Specified SecurityToken is expired.")


def _incomplete(why: str) -> SignatureRefused:
    return SignatureRefused("IncompleteSignature", f"The request signature does not conform to standards. {why}")


def _absent(name: str) -> SignatureRefused:
    return SignatureRefused("IllegalTimestamp", f"The input parameter {name} is missing.")


def _different(wanted: str) -> SignatureRefused:
    words = "Specified signature is not matched with our calculation. server string to sign is:"
    return SignatureRefused("SignatureDoesNotMatch", f"{words}{wanted}")


# --- storage -------------------------------------------------------------------------------------------------------

_OSS4: Final = re.compile(
    r"OSS4-HMAC-SHA256 Credential=(?P<id>[^/,\s]+)/(?P<date>\d{8})/(?P<region>[a-z0-9-]+)/oss/aliyun_v4_request, ?"
    r"(?:AdditionalHeaders=(?P<names>[a-z0-9;-]+), ?)?Signature=(?P<signature>[0-9a-f]{64})"
)
_ALWAYS_SIGNED: Final = ("content-type", "content-md5")
UNSIGNED: Final = "UNSIGNED-PAYLOAD"


def check_oss4(request: Signed, place: str, keys: Sequence[AcceptedKey], now: int, options: AliyunOptions) -> str:
    """The region that a storage request is signed for; ``place`` is ``/bucket/`` and the key as it is encoded.

    :raises SignatureRefused: with the storage's code.
    """
    headers = request.headers
    found = _OSS4.fullmatch(headers.get("authorization", ""))
    if found is None:
        raise SignatureRefused("AccessDenied", "The Authorization header is not an OSS4-HMAC-SHA256 signature.")
    stamp = headers.get("x-oss-date", "")
    if headers.get("x-oss-content-sha256") != UNSIGNED:
        raise SignatureRefused("InvalidArgument", f"x-oss-content-sha256 must be {UNSIGNED}.")
    if re.fullmatch(rf"{found['date']}T\d{{6}}Z", stamp) is None:
        raise SignatureRefused("AccessDenied", "x-oss-date is missing, or not of the credential's date.")
    if abs(now - _oss_time(stamp)) > options.clock_tolerance_seconds * SECOND:
        raise SignatureRefused("RequestTimeTooSkewed", "The difference to the server's time is too large.")
    key = next((each for each in keys if each.secret_id == found["id"]), None)
    if key is None or key.secret_id in options.inactive_keys:
        raise SignatureRefused("InvalidAccessKeyId", "The OSS Access Key Id you provided does not exist.")
    parts = (found["date"], found["region"], "oss", "aliyun_v4_request")
    canonical = _oss_canonical(request, place, found["names"] or "")
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    text = "\n".join(("OSS4-HMAC-SHA256", stamp, "/".join(parts), digest))
    wanted = f"aliyun_v4{key.secret_key}".encode()
    for part in (*parts, text):
        wanted = hmac.digest(wanted, part.encode(), "sha256")
    if not hmac.compare_digest(wanted.hex(), found["signature"]):
        raise SignatureRefused("SignatureDoesNotMatch", f"The server's string to sign is: {text}")
    _check_oss_token(key, headers.get("x-oss-security-token", ""), now)
    return found["region"]


def _oss_canonical(request: Signed, place: str, names: str) -> str:
    more = names.split(";") if names else []
    chosen = sorted(n for n in request.headers if n.startswith("x-oss-") or n in _ALWAYS_SIGNED or n in more)
    lines = "".join(f"{name}:{request.headers[name].strip()}\n" for name in chosen)
    pairs = sorted((_escaped(n), _escaped(v)) for n, v in parse_qsl(request.query, keep_blank_values=True))
    query = "&".join(f"{name}={value}" if value else name for name, value in pairs)
    return f"{request.method}\n{place}\n{query}\n{lines}\n{names}\n{UNSIGNED}"


def _oss_time(stamp: str) -> int:
    try:
        moment = datetime.strptime(stamp, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    except ValueError:
        raise SignatureRefused("AccessDenied", "x-oss-date is not a time.") from None
    return int(moment.timestamp()) * SECOND


def _check_oss_token(key: AcceptedKey, sent: str, now: int) -> None:
    expired = key.expires_at is not None and now >= key.expires_at
    if expired or not hmac.compare_digest(key.token.encode(), sent.encode()):
        code = "SecurityTokenExpired" if expired else "InvalidSecurityToken"
        raise SignatureRefused(code, "The security token you provided is invalid or has expired.")
