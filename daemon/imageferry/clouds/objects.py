"""Whether an exported object is there: HEAD with AWS Signature V4, which S3-compatible storage takes.

Adapters call it to follow exports and to solve doubts. It reads no object, writes none, and its requests are not paced:
they are no requests to the image API. Its connections are a pool of their own, so that they cannot starve submits.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import UTC, datetime
from typing import Final, NamedTuple
from urllib.parse import quote

from imageferry.clouds.credentials import Credentials, Keys
from imageferry.clouds.reading import whole
from imageferry.clouds.wire import Reply, Request, Told, Wire, http_date
from imageferry.core.account import Account
from imageferry.core.answers import Answer
from imageferry.core.times import SECOND
from imageferry.errors import Refused
from imageferry.ports import Bucket

POOL: Final = "storage"
HEAD_OBJECT: Final = "HeadObject"
HEAD_BUCKET: Final = "HeadBucket"
EMPTY_HASH: Final = hashlib.sha256(b"").hexdigest()

_OK: Final = 200
_FORBIDDEN: Final = (401, 403)
_MISSING: Final = 404
_TOO_MANY: Final = 429
_SERVER: Final = 500


class Present(NamedTuple):
    """The object is there."""

    size: int
    last_modified: int
    """Microseconds UTC by the storage's clock, whole seconds."""
    etag: str


class Missing(NamedTuple):
    """There is no such object."""

    request_id: str


Seen = Present | Missing | Answer
"""What a HEAD told; an Answer where it told neither."""


class Objects:
    """One account's storage."""

    def __init__(self, account: Account, wire: Wire, credentials: Credentials, now: Callable[[], int]) -> None:
        """``now``: the vendor's time, microseconds UTC."""
        self._endpoint = account.storage_endpoint
        self._wire = wire
        self._credentials = credentials
        self._now = now

    async def head(self, bucket: str, region: str, key: str) -> Seen:
        """Look at one object; ``key`` without the slash that parts it from the endpoint."""
        return seen(await self._ask(HEAD_OBJECT, bucket, region, f"/{key_text(key)}"))

    async def bucket(self, bucket: str, region: str) -> Bucket:
        """Look at a bucket.

        :raises Refused: it was not answered, or not let in.
        """
        return seen_bucket(await self._ask(HEAD_BUCKET, bucket, region, ""), "x-cos-bucket-region")

    async def _ask(self, api: str, bucket: str, region: str, path: str) -> Told:
        url = base_of(self._endpoint, bucket, region) + path

        async def send(keys: Keys) -> Told:
            headers = sign_s3("HEAD", url, keys, region, self._now())
            return await self._wire.ask(POOL, Request(api, "HEAD", url, headers), _read_head)

        return await self._credentials.signing(send)


def base_of(endpoint: str, bucket: str, region: str) -> str:
    """What stands before the slash and an object's key."""
    return endpoint.replace("{bucket}", bucket).replace("{region}", region).rstrip("/")


def key_text(key: str) -> str:
    """An object's key as it is sent and signed."""
    return quote(key, safe="/-_.~")


def seen(told: Told) -> Seen:
    """What a HEAD of an object told."""
    reply, request_id = told.reply, told.answer.request_id
    if reply is None or told.answer.klass != "ok":
        return told.answer
    if reply.status == _MISSING:
        return Missing(request_id)
    size, modified = whole(reply.headers.get("content-length", "")), http_date(reply.headers.get("last-modified", ""))
    if size is None or modified is None:
        return Answer("retry", "the storage's answer lacks size or date", request_id=request_id)
    return Present(size, modified, reply.headers.get("etag", ""))


def seen_bucket(told: Told, region_header: str) -> Bucket:
    """What a HEAD of a bucket told.

    :raises Refused: it was not answered, or not let in.
    """
    if told.reply is None or told.answer.klass != "ok":
        raise Refused(told.answer)
    return Bucket(told.reply.status == _OK, told.reply.headers.get(region_header, ""))


def sign_s3(method: str, url: str, keys: Keys, region: str, now: int) -> dict[str, str]:
    """Every header of a request without body and query; the whole path of ``url`` is signed as it is written."""
    stamp = stamp_of(now)
    headers = {"host": host_of(url), "x-amz-content-sha256": EMPTY_HASH, "x-amz-date": stamp}
    if keys.token:
        headers["x-amz-security-token"] = keys.token
    return signed_v4(method, url, headers, keys, region)


def host_of(url: str) -> str:
    """The host of a URL, with its port."""
    return url.partition("://")[2].partition("/")[0]


def stamp_of(now: int) -> str:
    """``20260115T081630Z`` for microseconds UTC."""
    return datetime.fromtimestamp(now // SECOND, UTC).strftime("%Y%m%dT%H%M%SZ")


def signed_v4(method: str, url: str, headers: Mapping[str, str], keys: Keys, region: str) -> dict[str, str]:
    """The headers, every one of them signed, and the signature; they come sorted, with ``x-amz-date`` among them."""
    path, stamp, names = url.partition("://")[2].partition("/")[2], headers["x-amz-date"], ";".join(headers)
    lines = "".join(f"{name}:{value}\n" for name, value in headers.items())
    canonical = "\n".join((method, f"/{path}", "", lines, names, EMPTY_HASH))
    scope = (stamp[:8], region, "s3", "aws4_request")
    text = "\n".join(("AWS4-HMAC-SHA256", stamp, "/".join(scope), hashlib.sha256(canonical.encode()).hexdigest()))
    key = f"AWS4{keys.secret}".encode()
    for part in scope:
        key = hmac.digest(key, part.encode(), "sha256")
    signature = hmac.digest(key, text.encode(), "sha256").hex()
    credential = f"{keys.id}/{'/'.join(scope)}"
    proof = f"AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders={names}, Signature={signature}"
    return {**headers, "authorization": proof}


def read_head(
    reply: Reply,
    request_ids: Sequence[str],
    passing: Collection[int] = (_TOO_MANY,),
    refused: str = "the keys may not look at objects here",
) -> Told:
    """Judge the reply to a HEAD, which has no body: its status is all there is. Absence is an answer like any other.

    :param request_ids: headers that may have the request's id.
    :param passing: statuses below 500 that may pass.
    :param refused: what it means not to be let in.
    """
    request_id = next((reply.headers[name] for name in request_ids if reply.headers.get(name)), "")
    if reply.status in (_OK, _MISSING):
        return Told(Answer("ok", "", request_id=request_id), {}, reply)
    reason = f"the storage answered HTTP {reply.status}"
    if reply.status in _FORBIDDEN:
        return Told(Answer("permanent_config", f"{reason}: {refused}", request_id=request_id), {}, reply)
    may_pass = reply.status >= _SERVER or reply.status in passing
    return Told(Answer("retry" if may_pass else "permanent_config", reason, request_id=request_id), {}, reply)


def _read_head(reply: Reply) -> Told:
    return read_head(reply, ("x-cos-request-id", "x-amz-request-id"))
