"""Whether an exported object is there, and which objects begin with a prefix: OSS as its own V4 signature opens it.

Exports call it at their end and for doubts. It reads no object and writes none. Its requests are not paced: they are
none to the image API, and have connections of their own.
"""

from __future__ import annotations

import html
import re
from base64 import b64decode
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Final, NamedTuple

from imageferry.clouds.aliyun.answers import Fault, fault
from imageferry.clouds.aliyun.client import Client
from imageferry.clouds.aliyun.images import moment
from imageferry.clouds.aliyun.sign import UNSIGNED, Stored, key_text, storage_authorization, storage_query_text
from imageferry.clouds.credentials import Credentials, Keys
from imageferry.clouds.objects import (
    HEAD_BUCKET,
    HEAD_OBJECT,
    POOL,
    Present,
    Seen,
    base_of,
    host_of,
    seen,
    seen_bucket,
)
from imageferry.clouds.reading import whole
from imageferry.clouds.wire import Reply, Request, Told, Wire, foreign
from imageferry.core.account import Account
from imageferry.core.answers import Answer, AnswerClass
from imageferry.core.times import SECOND
from imageferry.ports import Bucket

LIST_OBJECTS: Final = "ListObjectsV2"
MOST_LISTED: Final = 100
SKEWED: Final = "RequestTimeTooSkewed"

_OK: Final = 200
_FORBIDDEN: Final = (401, 403)
_MISSING: Final = 404
_PASSING: Final = (408, 429)
_SERVER: Final = 500
_ENTRY: Final = re.compile(r"<Contents>(.*?)</Contents>", re.DOTALL)
_PART: Final = re.compile(r"<(Key|LastModified|ETag|Size)>([^<]*)</\1>")
_EC: Final = re.compile(r"<EC>([^<]*)</EC>")
_ADVICE: Final = {
    "PublicEndpointForbidden": "set the account's storage_endpoint to https://{bucket}.oss-{region}-internal.aliyuncs.com"
    " or to a domain of your own",
    "0002-00000226": "the bucket is in another region than the image",
    "AccessDenied": "grant the keys oss:GetObject, and oss:ListObjects on the bucket",
}


class Listed(NamedTuple):
    """Objects that begin with a prefix."""

    objects: dict[str, Present]


class Storage:
    """One account's storage."""

    def __init__(self, account: Account, wire: Wire, credentials: Credentials, client: Client) -> None:
        """``client``: whose idea of the vendor's time is used, and corrected."""
        self._endpoint = account.storage_endpoint
        self._wire = wire
        self._credentials = credentials
        self._client = client

    async def head(self, bucket: str, region: str, key: str) -> Seen:
        """Look at one object; ``key`` without the slash that parts it from the bucket."""
        return seen(await self._ask(HEAD_OBJECT, Stored("HEAD", bucket, key, {}), region))

    async def bucket(self, bucket: str, region: str) -> Bucket:
        """Look at a bucket.

        :raises Refused: it was not answered, or not let in.
        """
        told = await self._ask(HEAD_BUCKET, Stored("HEAD", bucket, "", {}), region)
        found = seen_bucket(told, "x-oss-bucket-region")
        return found._replace(region=found.region.removeprefix("oss-"))

    async def list(self, bucket: str, region: str, prefix: str) -> Listed | Answer:
        """The objects whose key begins so, the first hundred."""
        query = (("list-type", "2"), ("max-keys", str(MOST_LISTED)), ("prefix", prefix))
        told = await self._ask(LIST_OBJECTS, Stored("GET", bucket, "", {}, query), region)
        if told.reply is None or told.answer.klass != "ok":
            return told.answer
        if told.reply.status == _MISSING:
            return Answer("permanent_config", f"there is no bucket {bucket}", request_id=told.answer.request_id)
        return Listed(_entries(told.reply.body.decode(errors="replace")))

    async def _ask(self, api: str, asked: Stored, region: str) -> Told:
        async def send(keys: Keys) -> Told:
            told = await self._wire.ask(POOL, self._signed(api, asked, region, keys), _read)
            if told.reply is None or told.answer.vendor_code != SKEWED:
                return told
            self._client.time.learn(told.reply, complained=True)
            return await self._wire.ask(POOL, self._signed(api, asked, region, keys), _read)

        return await self._credentials.signing(send)

    def _signed(self, api: str, asked: Stored, region: str, keys: Keys) -> Request:
        base = base_of(self._endpoint, asked.bucket, region)
        now = datetime.fromtimestamp(self._client.vendor_now() // SECOND, UTC)
        headers = {
            "x-oss-content-sha256": UNSIGNED,
            "x-oss-date": now.strftime("%Y%m%dT%H%M%SZ"),
            **({"x-oss-security-token": keys.token} if keys.token else {}),
        }
        request = Stored(asked.method, asked.bucket, asked.key, headers, asked.query)
        proof = storage_authorization(request, region, keys.id, keys.secret)
        query = f"?{storage_query_text(asked.query)}" if asked.query else ""
        sent = {
            "host": host_of(base),
            "date": format_datetime(now, usegmt=True),
            **headers,
            "authorization": proof,
        }
        return Request(api, asked.method, f"{base}/{key_text(asked.key)}{query}", sent)


def _read(reply: Reply) -> Told:
    """A HEAD has no body: what is wrong stands in a header. Absence is an answer like any other."""
    request_id = foreign(reply.headers.get("x-oss-request-id", ""))
    wrong, detail = _fault(reply)
    absent = reply.status == _MISSING and (not wrong.code or wrong.code in ("NoSuchKey", "NoSuchBucket"))
    if reply.status == _OK or absent:
        return Told(Answer("ok", "", request_id=request_id), {}, reply)
    advice = _ADVICE.get(wrong.code) or _ADVICE.get(detail)
    said = f"the storage answered HTTP {reply.status}" + "".join(f", {each}" for each in (wrong.code, detail) if each)
    if advice is None and reply.status in _FORBIDDEN:
        advice = "the keys may not look at objects here"
    reason = foreign(f"{said}: {advice}" if advice else said)
    return Told(Answer(_class(reply.status, wrong.code), reason, foreign(wrong.code), request_id), {}, reply)


def _class(status: int, code: str) -> AnswerClass:
    if code == SKEWED or status >= _SERVER or status in _PASSING:
        return "retry"
    return "permanent_config"


def _fault(reply: Reply) -> tuple[Fault, str]:
    """What an error says, and its number; in a header for HEAD, else in the body."""
    if reply.status == _OK:
        return Fault(), ""
    told = reply.headers.get("x-oss-err", "")
    try:
        body = b64decode(told, validate=True) if told else reply.body
    except ValueError:
        body = b""
    number = reply.headers.get("x-oss-ec", "") or "".join(_EC.findall(body.decode(errors="replace"))[:1])
    return fault(body), number


def _entries(text: str) -> dict[str, Present]:
    found: dict[str, Present] = {}
    for entry in _ENTRY.findall(text):
        parts = {name: html.unescape(value) for name, value in _PART.findall(entry)}
        size, modified = whole(parts.get("Size", "")), moment(parts.get("LastModified", ""))
        if parts.get("Key") and size is not None and modified is not None:
            found[parts["Key"]] = Present(size, modified, parts.get("ETag", ""))
    return found
