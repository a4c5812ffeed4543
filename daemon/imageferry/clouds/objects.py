"""Whether an exported object is there: HEAD with AWS Signature V4, which S3-compatible storage takes.

Adapters call it to follow exports and to solve doubts. It reads no object, writes none, and its requests are not paced:
they are no requests to the image API. Its connections are a pool of their own, so that they cannot starve submits.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Final, NamedTuple
from urllib.parse import quote

from imageferry.clouds.credentials import Credentials, Keys
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
        told = await self._ask(HEAD_OBJECT, bucket, region, "/" + quote(key, safe="/-_.~"))
        if told.reply is None or told.answer.klass != "ok":
            return told.answer
        if told.reply.status == _MISSING:
            return Missing(told.answer.request_id)
        return _present(told.reply, told.answer)

    async def bucket(self, bucket: str, region: str) -> Bucket:
        """Look at a bucket.

        :raises Refused: it was not answered, or not let in.
        """
        return seen_bucket(await self._ask(HEAD_BUCKET, bucket, region, ""), "x-cos-bucket-region")

    async def _ask(self, api: str, bucket: str, region: str, path: str) -> Told:
        url = self._endpoint.replace("{bucket}", bucket).replace("{region}", region).rstrip("/") + path

        async def send(keys: Keys) -> Told:
            headers = sign_s3("HEAD", url, keys, region, self._now())
            return await self._wire.ask(POOL, Request(api, "HEAD", url, headers), _read)

        return await self._credentials.signing(send)


def seen_bucket(told: Told, region_header: str) -> Bucket:
    """What a HEAD of a bucket told.

    :raises Refused: it was not answered, or not let in.
    """
    if told.reply is None or told.answer.klass != "ok":
        raise Refused(told.answer)
    return Bucket(told.reply.status == _OK, told.reply.headers.get(region_header, ""))


def sign_s3(method: str, url: str, keys: Keys, region: str, now: int) -> dict[str, str]:
    """Every header of a request without body and query; the whole path of ``url`` is signed as it is written."""
    host, _, path = url.partition("://")[2].partition("/")
    stamp = datetime.fromtimestamp(now // SECOND, UTC).strftime("%Y%m%dT%H%M%SZ")
    headers = {"host": host, "x-amz-content-sha256": EMPTY_HASH, "x-amz-date": stamp}
    if keys.token:
        headers["x-amz-security-token"] = keys.token
    names = ";".join(headers)
    lines = "".join(f"{name}:{value}\n" for name, value in headers.items())
    canonical = "\n".join((method, f"/{path}", "", lines, names, EMPTY_HASH))
    scope = (stamp[:8], region, "s3", "aws4_request")
    text = "\n".join(("AWS4-HMAC-SHA256", stamp, "/".join(scope), hashlib.sha256(canonical.encode()).hexdigest()))
    key = f"AWS4{keys.secret}".encode()
    for part in scope:
        key = hmac.digest(key, part.encode(), "sha256")
    signature = hmac.digest(key, text.encode(), "sha256").hex()
    credential = f"{keys.id}/{'/'.join(scope)}"
    return {
        **headers,
        "authorization": f"AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders={names}, Signature={signature}",
    }


def _read(reply: Reply) -> Told:
    """A HEAD has no body: its status is all there is to judge by. Absence is an answer like any other."""
    request_id = _request_id(reply.headers)
    if reply.status in (_OK, _MISSING):
        return Told(Answer("ok", "", request_id=request_id), {}, reply)
    if reply.status in _FORBIDDEN:
        reason = f"the storage answered HTTP {reply.status}: the keys may not look at objects here"
        return Told(Answer("permanent_config", reason, request_id=request_id), {}, reply)
    klass: Final = "retry" if reply.status >= _SERVER or reply.status == 429 else "permanent_config"  # noqa: PLR2004 - HTTP's own number
    return Told(Answer(klass, f"the storage answered HTTP {reply.status}", request_id=request_id), {}, reply)


def _present(reply: Reply, answer: Answer) -> Seen:
    size, modified = reply.headers.get("content-length", ""), http_date(reply.headers.get("last-modified", ""))
    if not size.isdecimal() or modified is None:
        return Answer("retry", "the storage's answer lacks size or date", request_id=answer.request_id)
    return Present(int(size), modified, reply.headers.get("etag", ""))


def _request_id(headers: Mapping[str, str]) -> str:
    return headers.get("x-cos-request-id", "") or headers.get("x-amz-request-id", "")
