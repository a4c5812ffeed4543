"""JD Cloud rehearsals in tests: building one, and asking one with requests that the vendor's own code signs."""

from __future__ import annotations

import json
import random
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, nullcontext
from dataclasses import replace
from datetime import UTC, datetime
from itertools import count
from typing import Any
from unittest.mock import patch
from urllib.parse import quote

import httpx
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from jdcloud_sdk.core import const
from jdcloud_sdk.core.credential import Credential
from jdcloud_sdk.core.logger import Logger
from jdcloud_sdk.core.signer import Signer
from jdcloud_sdk.core.util import base64encode

from imageferry.ports import Clock
from imageferry.rehearsal.control import Rehearsal
from imageferry.rehearsal.jdcloud import JdcloudRehearsal
from imageferry.rehearsal.jdcloud_options import ROLE, jdcloud_options
from imageferry.rehearsal.options import REHEARSAL_KEY, AcceptedKey
from imageferry.rehearsal.store import NewImage
from support.clocks import FakeClock
from support.rehearsals import served

REGION = "cn-north-1"
OTHER_REGION = "cn-south-1"
BUCKET = "archive-north"
SILENT = -1
"""A level of the vendor's logger that nothing reaches: it would print secrets."""


def jdcloud(clock: Clock | None = None, **options: Any) -> JdcloudRehearsal:
    """A JD Cloud rehearsal with one bucket in ``REGION`` and room for images; ``options`` as JSON would have them."""
    given = {"buckets": {BUCKET: REGION}, "image_quota": None, "snapshot_quota": None, **options}
    return JdcloudRehearsal(jdcloud_options(given), clock or FakeClock(), random.Random(7))


def image(rehearsal: Rehearsal, **facts: Any) -> str:
    """Put an image into ``REGION`` unless ``facts`` say otherwise; its id."""
    return rehearsal.add_image(NewImage(**{"region": REGION, **facts}))


def oss_url(bucket: str = BUCKET, region: str = REGION, entry: str = "s3-internal") -> str:
    """A bucket's URL as exports want it."""
    return f"https://{bucket}.{entry}.{region}.jdcloud-oss.com"


@contextmanager
def generation_2() -> Iterator[None]:
    """Let the vendor's signer make signatures of the older generation; the two differ in three words only."""
    words = {
        "JDCLOUD3": "JDCLOUD2",
        "JDCLOUD3_ALGORITHM": "JDCLOUD2-HMAC-SHA256",
        "JDCLOUD3_REQUEST": "jdcloud2_request",
    }
    with patch.multiple(const, **words):
        yield


class Caller:
    """Asks a rehearsal with requests that are signed as the vendor's SDK signs them."""

    def __init__(
        self, client: httpx.AsyncClient, clock: Clock, key: AcceptedKey = REHEARSAL_KEY, generation: int = 2
    ) -> None:
        self.client = client
        self.clock = clock
        self.key = key
        self.generation = generation
        self._nonces = count(1)

    def with_key(self, **changes: Any) -> Caller:
        """The same caller with another key."""
        return Caller(self.client, self.clock, replace(self.key, **changes), self.generation)

    def signed(
        self, method: str, url: str, body: str, *, region: str, service: str, more: Mapping[str, str] | None = None
    ) -> dict[str, str]:
        """The headers of one request; ``more`` are signed too, and win over the usual ones."""
        stamp = datetime.fromtimestamp(self.clock.now() // 1_000_000, UTC).strftime("%Y%m%dT%H%M%SZ")
        headers = {
            "content-type": "application/json",
            "x-jdcloud-date": stamp,
            "x-jdcloud-nonce": f"{id(self)}-{next(self._nonces)}",
            **({"x-jdcloud-security-token": base64encode(self.key.token)} if self.key.token else {}),
            **(more or {}),
        }
        with generation_2() if self.generation == 2 else nullcontext():
            Signer(Logger(SILENT)).sign(
                method, service, region, url, headers, body, Credential(self.key.secret_id, self.key.secret_key), ""
            )
        return headers

    async def send(
        self,
        method: str,
        path: str,
        params: Mapping[str, Any] | Sequence[tuple[str, str]] | str | None = None,
        *,
        region: str = REGION,
        service: str = "vm",
        more: Mapping[str, str] | None = None,
        change: Mapping[str, str | None] | None = None,
    ) -> httpx.Response:
        """One request; ``path`` is behind the region's. ``change`` sets headers after signing, None takes one away."""
        place = path if path.startswith("/") else f"/v1/regions/{region}/{path}"
        body = ""
        if method == "POST":
            body = params if isinstance(params, str) else json.dumps(params or {})
        elif params:
            place += f"?{params if isinstance(params, str) else query_of(params)}"
        url = f"{str(self.client.base_url).rstrip('/')}{place}"
        scope = region if place.startswith("/v1/regions/") else "jdcloud-api"
        headers = self.signed(method, url, body, region=scope, service=service, more=more)
        sent = {name: value for name, value in {**headers, **(change or {})}.items() if value is not None}
        return await self.client.request(method, url, content=body.encode() or None, headers=sent)

    async def ask(self, method: str, path: str, params: Any = None, **more: Any) -> dict[str, Any]:
        """What stands under ``result`` of the answer to one request."""
        answer = await self.send(method, path, params, **more)
        told = answer.json()
        assert (answer.status_code, told.get("error")) == (200, None)
        return told["result"]

    async def status(self, method: str, path: str, params: Any = None, **more: Any) -> str:
        """The vendor's status of the answer; empty for a success."""
        return (await self.send(method, path, params, **more)).json().get("error", {}).get("status", "")

    async def words(self, method: str, path: str, params: Any = None, **more: Any) -> str:
        """Status and message of the answer; empty for a success."""
        error = (await self.send(method, path, params, **more)).json().get("error")
        return f"{error['status']}: {error['message']}" if error else ""

    async def export(self, image_id: str, **more: Any) -> dict[str, Any]:
        """Ask for an export to ``BUCKET``; the result."""
        return await self.ask("POST", f"images/{image_id}:exportImage", export_body(**more))

    async def export_words(self, image_id: str, **more: Any) -> str:
        """Status and message of the answer to such a request."""
        return await self.words("POST", f"images/{image_id}:exportImage", export_body(**more))

    async def copy(self, *ids: str, **more: Any) -> list[dict[str, Any]]:
        """Ask for a copy to ``OTHER_REGION``; what was made."""
        return (await self.ask("POST", "images:copyImages", copy_body(*ids, **more)))["copyImages"]

    async def copy_words(self, *ids: str, **more: Any) -> str:
        """Status and message of the answer to such a request."""
        return await self.words("POST", "images:copyImages", copy_body(*ids, **more))

    async def images(self, region: str = REGION, **params: Any) -> list[dict[str, Any]]:
        """Private images as describeImages shows them."""
        asked = {"imageSource": "private", "pageSize": "100", **params}
        return (await self.ask("GET", "images", asked, region=region))["images"]

    async def image(self, image_id: str, region: str = REGION) -> dict[str, Any]:
        """One image."""
        return (await self.ask("GET", f"images/{image_id}", region=region))["image"]

    async def tasks(self, **params: Any) -> list[dict[str, Any]]:
        """Export tasks, the newest first."""
        return (await self.ask("GET", "imageTasks", {"taskAction": "ExportImage", **params}))["taskSet"]

    def storage_headers(self, path: str, region: str = REGION) -> dict[str, str]:
        """The headers of a HEAD that is signed as botocore signs it for S3."""
        request = AWSRequest("HEAD", str(self.client.base_url.join(path)))
        stamp = datetime.fromtimestamp(self.clock.now() // 1_000_000, UTC).strftime("%Y%m%dT%H%M%SZ")
        request.context["timestamp"] = stamp
        keys = Credentials(self.key.secret_id, self.key.secret_key, self.key.token or None)
        auth = S3SigV4Auth(keys, "s3", region)
        auth._modify_request_before_signing(request)
        text = auth.string_to_sign(request, auth.canonical_request(request))
        auth._inject_signature_to_request(request, auth.signature(text, request))
        return dict(request.headers.items())

    async def head(self, key: str, bucket: str = BUCKET, region: str = REGION) -> httpx.Response:
        """HEAD of an object; of the bucket for an empty key."""
        path = f"/{bucket}/{key}" if key else f"/{bucket}"
        return await self.client.head(path, headers=self.storage_headers(path, region))


def export_body(**more: Any) -> dict[str, Any]:
    """The body of an export to ``BUCKET``."""
    return {"roleName": ROLE, "ossUrl": oss_url(), **more}


def copy_body(*ids: str, **more: Any) -> dict[str, Any]:
    """The body of a copy to ``OTHER_REGION``."""
    return {"sourceImageIds": list(ids), "destinationRegion": OTHER_REGION, **more}


def query_of(params: Mapping[str, Any] | Sequence[tuple[str, str]]) -> str:
    """A query; lists become numbered names."""
    pairs = params.items() if isinstance(params, Mapping) else params
    flat: list[tuple[str, str]] = []
    for name, value in pairs:
        flat += (
            [(f"{name}.{n}", each) for n, each in enumerate(value, 1)] if isinstance(value, list) else [(name, value)]
        )
    return "&".join(f"{name}={quote(value, safe='')}" for name, value in flat)


@asynccontextmanager
async def calling(rehearsal: Rehearsal, clock: Clock, generation: int = 2) -> AsyncIterator[Caller]:
    """Ask a rehearsal in this process, without a network between."""
    transport = httpx.ASGITransport(app=rehearsal.app)
    async with httpx.AsyncClient(transport=transport, base_url="http://vm.test") as client:
        yield Caller(client, clock, generation=generation)


@asynccontextmanager
async def calling_over_http(rehearsal: Rehearsal, clock: Clock) -> AsyncIterator[Caller]:
    """Ask a rehearsal over a real connection."""
    async with served(rehearsal) as base_url, httpx.AsyncClient(base_url=base_url) as client:
        yield Caller(client, clock)
