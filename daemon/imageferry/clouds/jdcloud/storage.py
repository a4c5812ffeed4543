"""Whether an exported object is there: HEAD as JD Cloud's object storage takes it.

Exports call it at their end. The storage takes AWS Signature V4, but lists two of its headers as not supported, which
S3's own clients always send: the plain form goes first, and theirs once the plain one is refused. Which of them works
is remembered. Its requests are not paced: they are none to the image API.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final, Literal
from urllib.parse import quote

from imageferry.clouds.credentials import Credentials, Keys
from imageferry.clouds.objects import (
    EMPTY_HASH,
    HEAD_BUCKET,
    HEAD_OBJECT,
    POOL,
    Missing,
    Present,
    Seen,
    seen_bucket,
    sign_s3,
)
from imageferry.clouds.wire import Reply, Request, Told, Wire, http_date
from imageferry.core.account import Account
from imageferry.core.answers import Answer
from imageferry.core.times import SECOND
from imageferry.ports import Bucket

Form = Literal["plain", "s3"]
OTHER: Final[dict[Form, Form]] = {"plain": "s3", "s3": "plain"}

_OK: Final = 200
_BAD: Final = 400
_FORBIDDEN: Final = (401, 403)
_MISSING: Final = 404
_TOO_MANY: Final = 429
_SERVER: Final = 500


class Storage:
    """One account's storage."""

    def __init__(self, account: Account, wire: Wire, credentials: Credentials, now: Callable[[], int]) -> None:
        """``now``: the vendor's time, microseconds UTC."""
        self._endpoint = account.storage_endpoint
        self._wire = wire
        self._credentials = credentials
        self._now = now
        self._form: Form = "plain"
        self._proven = False

    async def head(self, bucket: str, region: str, key: str) -> Seen:
        """Look at one object; ``key`` without the slash that parts it from the endpoint."""
        url = self._endpoint.replace("{bucket}", bucket).replace("{region}", region).rstrip("/")
        told = await self._settled(HEAD_OBJECT, f"{url}/{quote(key, safe='/-_.~')}", region)
        if told.reply is None or told.answer.klass != "ok":
            return told.answer
        if told.reply.status == _MISSING:
            return Missing(told.answer.request_id)
        return _present(told.reply, told.answer)

    async def bucket(self, bucket: str, region: str) -> Bucket:
        """Look at a bucket.

        :raises Refused: it was not answered, or not let in.
        """
        url = self._endpoint.replace("{bucket}", bucket).replace("{region}", region).rstrip("/")
        return seen_bucket(await self._settled(HEAD_BUCKET, url, region), "x-amz-bucket-region")

    async def _settled(self, api: str, url: str, region: str) -> Told:
        """Ask in the form that works; while none has, in both."""
        form, settled = self._form, self._proven
        told = await self._ask(api, url, region, form, renewing=settled)
        if not settled and told.reply is not None and told.reply.status in (_BAD, *_FORBIDDEN):
            form = OTHER[form]
            told = await self._ask(api, url, region, form, renewing=True)
        if told.answer.klass == "ok":
            self._form, self._proven = form, True
        return told

    async def _ask(self, api: str, url: str, region: str, form: Form, *, renewing: bool) -> Told:
        sign = sign_plain if form == "plain" else sign_s3

        async def send(keys: Keys) -> Told:
            headers = sign("HEAD", url, keys, region, self._now())
            return await self._wire.ask(POOL, Request(api, "HEAD", url, headers), _read)

        return await self._credentials.signing(send, renewing=renewing)


def sign_plain(method: str, url: str, keys: Keys, region: str, now: int) -> dict[str, str]:
    """Every header of a request without body and query, signed by Signature V4 as it is for other services than S3.

    A token has no place in it.
    """
    host, _, path = url.partition("://")[2].partition("/")
    stamp = datetime.fromtimestamp(now // SECOND, UTC).strftime("%Y%m%dT%H%M%SZ")
    names = "host;x-amz-date"
    canonical = "\n".join((method, f"/{path}", "", f"host:{host}", f"x-amz-date:{stamp}", "", names, EMPTY_HASH))
    scope = (stamp[:8], region, "s3", "aws4_request")
    text = "\n".join(("AWS4-HMAC-SHA256", stamp, "/".join(scope), hashlib.sha256(canonical.encode()).hexdigest()))
    key = f"AWS4{keys.secret}".encode()
    for part in scope:
        key = hmac.digest(key, part.encode(), "sha256")
    signature = hmac.digest(key, text.encode(), "sha256").hex()
    credential = f"{keys.id}/{'/'.join(scope)}"
    proof = f"AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders={names}, Signature={signature}"
    return {"host": host, "x-amz-date": stamp, "authorization": proof}


def _read(reply: Reply) -> Told:
    """A HEAD has no body: its status is all there is to judge by. Absence is an answer like any other."""
    headers = reply.headers
    request_id = headers.get("x-amz-request-id", "") or headers.get("x-jdcloud-request-id", "")
    if reply.status in (_OK, _MISSING):
        return Told(Answer("ok", "", request_id=request_id), {}, reply)
    if reply.status in _FORBIDDEN:
        reason = f"the storage answered HTTP {reply.status}: it wants long-lived keys that may use oss:GetObject here"
        return Told(Answer("permanent_config", reason, request_id=request_id), {}, reply)
    # 400 stands for "too fast" and for a clock that is off, and a HEAD does not say for what.
    passing = reply.status >= _SERVER or reply.status in (_BAD, _TOO_MANY)
    reason = f"the storage answered HTTP {reply.status}"
    return Told(Answer("retry" if passing else "permanent_config", reason, request_id=request_id), {}, reply)


def _present(reply: Reply, answer: Answer) -> Seen:
    size, modified = reply.headers.get("content-length", ""), http_date(reply.headers.get("last-modified", ""))
    if not size.isdecimal() or modified is None:
        return Answer("retry", "the storage's answer lacks size or date", request_id=answer.request_id)
    return Present(int(size), modified, reply.headers.get("etag", ""))
