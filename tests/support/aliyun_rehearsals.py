"""Alibaba Cloud rehearsals in tests: building one, and asking one with requests that the vendor's own code signs."""

from __future__ import annotations

import base64
import random
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from hashlib import sha256
from itertools import count
from typing import Any
from urllib.parse import quote

import httpx
from alibabacloud_oss_v2.credentials import StaticCredentialsProvider
from alibabacloud_oss_v2.signer.v4 import SignerV4
from alibabacloud_oss_v2.types import HttpRequest, SigningContext
from alibabacloud_tea_openapi.utils import Utils
from darabonba.request import DaraRequest

from imageferry.ports import Clock
from imageferry.rehearsal.aliyun import AliyunRehearsal
from imageferry.rehearsal.aliyun_options import aliyun_options
from imageferry.rehearsal.control import Rehearsal
from imageferry.rehearsal.options import REHEARSAL_KEY, AcceptedKey
from imageferry.rehearsal.store import NewImage
from support.clocks import FakeClock
from support.rehearsals import served

REGION = "cn-hangzhou"
OTHER_REGION = "cn-shanghai"
FORMATTING = "eu-central-1"
"""A region where the format of an export may be chosen."""
BUCKET = "archive-hangzhou"
ECS = "2014-05-26"
STS = "2015-04-01"


def aliyun(clock: Clock | None = None, **options: Any) -> AliyunRehearsal:
    """A rehearsal with one bucket in ``REGION`` that counts no requests; ``options`` as JSON would have them."""
    given = {"buckets": {BUCKET: REGION, "archive-frankfurt": FORMATTING}, "requests_a_second": None, **options}
    return AliyunRehearsal(aliyun_options(given), clock or FakeClock(), random.Random(7))


def image(rehearsal: Rehearsal, **facts: Any) -> str:
    """Put an image into ``REGION`` unless ``facts`` say otherwise; its id."""
    return rehearsal.add_image(NewImage(**{"region": REGION, **facts}))


class Caller:
    """Asks a rehearsal with requests that are signed as the vendor's SDKs sign them."""

    def __init__(self, client: httpx.AsyncClient, clock: Clock, key: AcceptedKey = REHEARSAL_KEY) -> None:
        self.client = client
        self.clock = clock
        self.key = key
        self._nonces = count(1)

    def with_key(self, **changes: Any) -> Caller:
        """The same caller with another key."""
        return Caller(self.client, self.clock, replace(self.key, **changes))

    def stamp(self, ahead: int = 0) -> str:
        """The time of a request; ``ahead``: seconds that its clock is ahead."""
        moment = datetime.fromtimestamp(self.clock.now() // 1_000_000 + ahead, UTC)
        return moment.strftime("%Y-%m-%dT%H:%M:%SZ")

    def nonce(self) -> str:
        """One that no other request of any caller has."""
        return f"{id(self)}-{next(self._nonces)}"

    def acs3(self, action: str, params: Mapping[str, str], *, body: str, method: str, **said: Any) -> dict[str, str]:
        """The headers of a request by V3."""
        more = said.get("more") or {}
        digest = sha256(body.encode()).hexdigest()
        headers = {
            "host": said.get("host") or self.client.base_url.netloc.decode(),
            "x-acs-action": action,
            "x-acs-version": said.get("version", ECS),
            "x-acs-date": said.get("stamp") or self.stamp(),
            "x-acs-signature-nonce": self.nonce(),
            "x-acs-content-sha256": digest,
            **({"x-acs-security-token": self.key.token} if self.key.token else {}),
            **({"content-type": "application/x-www-form-urlencoded"} if body else {}),
            **more,
        }
        request = DaraRequest()
        request.method, request.pathname, request.query, request.headers = method, "/", dict(params), headers
        text = Utils.get_authorization(request, "ACS3-HMAC-SHA256", digest, self.key.secret_id, self.key.secret_key)
        return {**headers, "accept": "application/json", "authorization": text}

    def rpc1(self, action: str, params: Mapping[str, str], *, method: str, **said: Any) -> dict[str, str]:
        """The parameters of a request by RPC v1."""
        given = {
            "Action": action,
            "Version": said.get("version", ECS),
            "Format": "JSON",
            "AccessKeyId": self.key.secret_id,
            "SignatureMethod": "HMAC-SHA1",
            "SignatureVersion": "1.0",
            "SignatureNonce": self.nonce(),
            "Timestamp": said.get("stamp") or self.stamp(),
            **({"SecurityToken": self.key.token} if self.key.token else {}),
            **params,
            **(said.get("more") or {}),
        }
        return {**given, "Signature": Utils.get_rpcsignature(given, method, self.key.secret_key)}

    async def send(
        self,
        action: str,
        params: Mapping[str, Any] | None = None,
        *,
        method: str = "POST",
        body: str = "",
        change: Mapping[str, str | None] | None = None,
        **said: Any,
    ) -> httpx.Response:
        """One request by V3; ``change`` sets headers after signing, None takes one away."""
        flat = flattened(params or {})
        headers = self.acs3(action, flat, body=body, method=method, **said)
        sent = {name: value for name, value in {**headers, **(change or {})}.items() if value is not None}
        return await self.client.request(method, address(flat), content=body.encode() or None, headers=sent)

    async def send_rpc1(
        self, action: str, params: Mapping[str, Any] | None = None, *, method: str = "GET", **said: Any
    ) -> httpx.Response:
        """One request by RPC v1; ``change`` sets parameters after signing, None takes one away."""
        given = {**self.rpc1(action, flattened(params or {}), method=method, **said), **(said.get("change") or {})}
        return await self.client.request(method, address({n: v for n, v in given.items() if v is not None}))

    async def ask(self, action: str, params: Mapping[str, Any] | None = None, **said: Any) -> dict[str, Any]:
        """The answer to one request."""
        answer = await self.send(action, params, **said)
        assert answer.status_code == 200, answer.text
        told: dict[str, Any] = answer.json()
        return told

    async def code(self, action: str, params: Mapping[str, Any] | None = None, **said: Any) -> str:
        """The vendor code of the answer; empty for a success."""
        code: str = (await self.send(action, params, **said)).json().get("Code", "")
        return code

    async def words(self, action: str, params: Mapping[str, Any] | None = None, **said: Any) -> str:
        """Code and message of the answer; empty for a success."""
        told = (await self.send(action, params, **said)).json()
        return f"{told['Code']}: {told['Message']}" if "Code" in told else ""

    async def export(self, image_id: str, **more: Any) -> str:
        """Ask for an export to ``BUCKET``; its task."""
        task: str = (await self.ask("ExportImage", export_of(image_id, **more)))["TaskId"]
        return task

    async def export_code(self, image_id: str, **more: Any) -> str:
        """The vendor code of the answer to such a request."""
        return await self.code("ExportImage", export_of(image_id, **more))

    async def copy(self, image_id: str, **more: Any) -> str:
        """Ask for a copy to ``OTHER_REGION``; the new image."""
        made: str = (await self.ask("CopyImage", copy_of(image_id, **more)))["ImageId"]
        return made

    async def copy_code(self, image_id: str, **more: Any) -> str:
        """The vendor code of the answer to such a request."""
        return await self.code("CopyImage", copy_of(image_id, **more))

    async def images(self, region: str = REGION, **params: Any) -> list[dict[str, Any]]:
        """Images as DescribeImages shows them, of any status."""
        asked = {"RegionId": region, "PageSize": "100", "Status": "ALL", **params}
        told: list[dict[str, Any]] = (await self.ask("DescribeImages", asked))["Images"]["Image"]
        return told

    async def status(self, image_id: str, region: str = REGION) -> str:
        """The status of one image; empty when it is not there."""
        return next((each["Status"] for each in await self.images(region, ImageId=image_id)), "")

    async def tasks(self, **params: Any) -> list[dict[str, Any]]:
        """Tasks of ``REGION``, the newest first."""
        told: list[dict[str, Any]] = (await self.ask("DescribeTasks", {"RegionId": REGION, **params}))["TaskSet"][
            "Task"
        ]
        return told

    async def task(self, task_id: str, region: str = REGION) -> dict[str, Any]:
        """One task with everything about it."""
        return await self.ask("DescribeTaskAttribute", {"RegionId": region, "TaskId": task_id})

    def storage_headers(
        self, method: str, url: str, *, bucket: str, key: str, region: str, more: Sequence[str] = ()
    ) -> dict[str, str]:
        """The headers of a storage request that is signed as the vendor's SDK signs it."""
        request = HttpRequest(method, url)
        if more:
            request.headers.update({"host": httpx.URL(url).netloc.decode()})
        keys = StaticCredentialsProvider(self.key.secret_id, self.key.secret_key, self.key.token or None)
        SignerV4().sign(
            SigningContext(
                product="oss",
                region=region,
                bucket=bucket,
                key=key or None,
                request=request,
                credentials=keys.get_credentials(),
                signing_time=datetime.fromtimestamp(self.clock.now() // 1_000_000, UTC),
                additional_headers=set(more) or None,
            )
        )
        return dict(request.headers.items())

    async def storage(
        self,
        method: str,
        key: str = "",
        *,
        bucket: str = BUCKET,
        region: str = REGION,
        query: str = "",
        base: str = "",
        change: Mapping[str, str] | None = None,
    ) -> httpx.Response:
        """One request of the storage, at ``/{bucket}/{key}`` unless ``base`` is a host of the bucket's own."""
        path = f"/{quote(key, safe='/-_.~')}" if base else f"/{bucket}/{quote(key, safe='/-_.~')}"
        url = f"{base or str(self.client.base_url).rstrip('/')}{path}{f'?{query}' if query else ''}"
        headers = self.storage_headers(method, url, bucket=bucket, key=key, region=region)
        return await self.client.request(method, url, headers={**headers, **(change or {})})

    async def head(self, key: str, bucket: str = BUCKET, region: str = REGION) -> httpx.Response:
        """HEAD of an object; of the bucket for an empty key."""
        return await self.storage("HEAD", key, bucket=bucket, region=region)


def export_of(image_id: str, **more: Any) -> dict[str, Any]:
    """The parameters of an export to ``BUCKET``."""
    return {"RegionId": REGION, "ImageId": image_id, "OSSBucket": BUCKET, **more}


def copy_of(image_id: str, **more: Any) -> dict[str, Any]:
    """The parameters of a copy to ``OTHER_REGION``."""
    return {"RegionId": REGION, "ImageId": image_id, "DestinationRegionId": OTHER_REGION, **more}


def flattened(params: Mapping[str, Any]) -> dict[str, str]:
    """Lists become ``Name.1``, maps in them ``Name.1.Key``; what is None is left out."""
    flat: dict[str, str] = {}
    for name, value in params.items():
        if isinstance(value, list):
            for number, each in enumerate(value, 1):
                flat |= flattened({f"{name}.{number}": each})
        elif isinstance(value, Mapping):
            flat |= flattened({f"{name}.{inner}": each for inner, each in value.items()})
        elif value is not None:
            flat[name] = str(value)
    return flat


def address(params: Mapping[str, str]) -> str:
    """``/`` and a query."""
    pairs = (f"{quote(name, safe='-_.~')}={quote(value, safe='-_.~')}" for name, value in params.items())
    return f"/?{'&'.join(pairs)}" if params else "/"


def objects_of(task: Mapping[str, Any]) -> list[str]:
    """Every OSSObject that a task tells."""
    entries = task["OperationProgressSet"]["OperationProgress"]
    items = (item for each in entries for item in each["RelatedItemSet"]["RelatedItem"])
    return [item["Value"] for item in items if item["Name"] == "OSSObject"]


def storage_code(answer: httpx.Response) -> str:
    """The code of a storage error, from its header or its body."""
    header = answer.headers.get("x-oss-err")
    text = base64.b64decode(header).decode() if header else answer.text
    found = re.search(r"<Code>(.*?)</Code>", text)
    return found[1] if found else ""


@asynccontextmanager
async def calling(rehearsal: Rehearsal, clock: Clock) -> AsyncIterator[Caller]:
    """Ask a rehearsal in this process, without a network between."""
    transport = httpx.ASGITransport(app=rehearsal.app)
    async with httpx.AsyncClient(transport=transport, base_url="http://ecs.test") as client:
        yield Caller(client, clock)


@asynccontextmanager
async def calling_over_http(rehearsal: Rehearsal, clock: Clock) -> AsyncIterator[Caller]:
    """Ask a rehearsal over a real connection."""
    async with served(rehearsal) as base_url, httpx.AsyncClient(base_url=base_url) as client:
        yield Caller(client, clock)
