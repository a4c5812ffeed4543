"""Whether an exported object is there: HEAD with the signature of Huawei Cloud's own object storage.

Exports call it to follow jobs and to solve doubts. The bucket is part of what is signed, wherever the endpoint has it.
Its requests are not paced: they are none to the image API.
"""

from __future__ import annotations

import hmac
from base64 import b64encode
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Final

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
)
from imageferry.clouds.wire import Reply, Request, Told, Wire
from imageferry.core.account import Account
from imageferry.core.times import SECOND
from imageferry.ports import Bucket

SIGNED_PREFIX: Final = "x-obs-"

_PASSING: Final = (408, 409, 429)


class Storage:
    """One account's storage."""

    def __init__(self, account: Account, wire: Wire, credentials: Credentials, now: Callable[[], int]) -> None:
        """``now``: the vendor's time, microseconds UTC."""
        self._endpoint = account.storage_endpoint
        self._wire = wire
        self._credentials = credentials
        self._now = now

    async def head(self, bucket: str, region: str, key: str) -> Seen:
        """Look at one object; ``key`` without the slash that parts it from the endpoint."""
        return seen(await self._ask(HEAD_OBJECT, bucket, region, key))

    async def bucket(self, bucket: str, region: str) -> Bucket:
        """Look at a bucket, and whether it is of a kind that exports can be written to.

        :raises Refused: it was not answered, or not let in.
        """
        told = await self._ask(HEAD_BUCKET, bucket, region, "")
        found = seen_bucket(told, "x-obs-bucket-location")
        return found._replace(fault=_unfit(told.reply)) if found.exists and told.reply is not None else found

    async def _ask(self, api: str, bucket: str, region: str, key: str) -> Told:
        url = f"{base_of(self._endpoint, bucket, region)}/{key_text(key)}"

        async def send(keys: Keys) -> Told:
            headers = {"host": host_of(url), **signed(keys, bucket, key, self._now())}
            return await self._wire.ask(POOL, Request(api, "HEAD", url, headers), _read)

        return await self._credentials.signing(send)


def _unfit(reply: Reply) -> str:
    """Why exports cannot be written to a bucket that is there."""
    storage_class = reply.headers.get("x-obs-storage-class", "STANDARD")
    if reply.headers.get("x-obs-fs-file-interface", "").lower() == "enabled":
        return "it is a parallel file system; exports need an object bucket"
    if storage_class != "STANDARD":
        return f"its storage class is {storage_class}; exports need STANDARD"
    return ""


def signed(keys: Keys, bucket: str, key: str, now: int) -> dict[str, str]:
    """The headers of a HEAD that its signature covers, and the signature."""
    date = format_datetime(datetime.fromtimestamp(now // SECOND, UTC), usegmt=True)
    headers = {"x-obs-date": date}
    if keys.token:
        headers["x-obs-security-token"] = keys.token
    text = string_to_sign("HEAD", headers, f"/{bucket}/{key_text(key)}")
    return {**headers, "authorization": f"OBS {keys.id}:{signature(keys.secret, text)}"}


def string_to_sign(method: str, headers: Mapping[str, str], resource: str) -> str:
    """The text that is signed of a request without body and type; its line for Date stays empty beside x-obs-date."""
    date = "" if "x-obs-date" in headers else headers.get("date", "")
    own = "".join(f"{name}:{headers[name]}\n" for name in sorted(headers) if name.startswith(SIGNED_PREFIX))
    return f"{method}\n\n\n{date}\n{own}{resource}"


def signature(secret: str, text: str) -> str:
    """Base64 of HMAC-SHA1: the storage takes no newer one beside its S3 dialect."""
    return b64encode(hmac.digest(secret.encode(), text.encode(), "sha1")).decode()


def _read(reply: Reply) -> Told:
    return read_head(reply, ("x-obs-request-id", "x-amz-request-id"), _PASSING)
