"""Whether an exported object is there: HEAD as JD Cloud's object storage takes it.

Exports call it at their end. The storage takes AWS Signature V4, but lists two of its headers as not supported, which
S3's own clients always send: the plain form goes first, and theirs once the plain one is refused. Which of them works
is remembered. Its requests are not paced: they are none to the image API.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Literal

from imageferry.clouds.credentials import Credentials, Keys
from imageferry.clouds.objects import (
    HEAD_BUCKET,
    HEAD_OBJECT,
    POOL,
    Seen,
    base_of,
    host_of,
    key_text,
    read_head,
    seen,
    seen_bucket,
    sign_s3,
    signed_v4,
    stamp_of,
)
from imageferry.clouds.wire import Reply, Request, Told, Wire
from imageferry.core.account import Account
from imageferry.ports import Bucket

Form = Literal["plain", "s3"]
OTHER: Final[dict[Form, Form]] = {"plain": "s3", "s3": "plain"}

_BAD: Final = 400
_FORBIDDEN: Final = (401, 403)
_TOO_MANY: Final = 429


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
        url = f"{base_of(self._endpoint, bucket, region)}/{key_text(key)}"
        return seen(await self._settled(HEAD_OBJECT, url, region))

    async def bucket(self, bucket: str, region: str) -> Bucket:
        """Look at a bucket.

        :raises Refused: it was not answered, or not let in.
        """
        url = base_of(self._endpoint, bucket, region)
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
    return signed_v4(method, url, {"host": host_of(url), "x-amz-date": stamp_of(now)}, keys, region)


def _read(reply: Reply) -> Told:
    # 400 stands for "too fast" and for a clock that is off, and a HEAD does not say for what.
    passing, wants = (_BAD, _TOO_MANY), "it wants long-lived keys that may use oss:GetObject here"
    return read_head(reply, ("x-amz-request-id", "x-jdcloud-request-id"), passing, wants)
