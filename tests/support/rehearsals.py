"""Rehearsal clouds in tests: building one, serving one over loopback, and asking one with signed requests.

Signatures are made by the vendors' own code, so that the rehearsal's checks are not tested against themselves.
"""

from __future__ import annotations

import json
import random
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

import httpx
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from tencentcloud.common.sign import Sign

from imageferry.ports import Clock
from imageferry.rehearsal.control import Rehearsal
from imageferry.rehearsal.options import REHEARSAL_KEY, AcceptedKey, RehearsalOptions, options_from_json
from imageferry.rehearsal.store import NewImage
from imageferry.rehearsal.tencent import TencentRehearsal
from imageferry.telemetry.http import serving
from support.clocks import FakeClock

REGION = "ap-guangzhou"
OTHER_REGION = "ap-shanghai"
BUCKET = "archive-1250000000"
CVM = "2017-03-12"
VERSIONS = {"cvm": CVM, "cbs": CVM, "sts": "2018-08-13"}


def tencent(clock: Clock | None = None, **options: Any) -> TencentRehearsal:
    """A Tencent rehearsal with one bucket in ``REGION``; ``options`` as JSON would have them."""
    given = {"buckets": {BUCKET: REGION}, **options}
    return TencentRehearsal(options_from_json(given), clock or FakeClock(), random.Random(7))


def image(rehearsal: Rehearsal, **facts: Any) -> str:
    """Put an image into ``REGION`` unless ``facts`` say otherwise; its id."""
    return rehearsal.add_image(NewImage(**{"region": REGION, **facts}))


@asynccontextmanager
async def served(rehearsal: Rehearsal) -> AsyncIterator[str]:
    """Serve a rehearsal on any free port of the loopback interface; yields its base URL."""
    async with serving(rehearsal.app, "127.0.0.1", 0, drain=1) as (host, port):
        yield f"http://{host}:{port}"


class Caller:
    """Asks a rehearsal with requests that are signed as the vendor's SDK signs them."""

    def __init__(self, client: httpx.AsyncClient, clock: Clock, key: AcceptedKey = REHEARSAL_KEY) -> None:
        self.client = client
        self.clock = clock
        self.key = key

    def with_key(self, **changes: Any) -> Caller:
        """The same caller with another key."""
        return Caller(self.client, self.clock, replace(self.key, **changes))

    def headers(self, action: str, body: bytes, *, region: str, service: str, ahead: int = 0) -> dict[str, str]:
        """The headers of one signed request; ``ahead``: seconds that its clock is ahead."""
        stamp = self.clock.now() // 1_000_000 + ahead
        date = datetime.fromtimestamp(stamp, UTC).strftime("%Y-%m-%d")
        host = self.client.base_url.netloc.decode()
        lines = f"content-type:application/json\nhost:{host}\n"
        canonical = f"POST\n/\n\n{lines}\ncontent-type;host\n{sha256(body).hexdigest()}"
        scope = f"{date}/{service}/tc3_request"
        text = f"TC3-HMAC-SHA256\n{stamp}\n{scope}\n{sha256(canonical.encode()).hexdigest()}"
        signature = Sign.sign_tc3(self.key.secret_key, date, service, text)
        token = {"X-TC-Token": self.key.token} if self.key.token else {}
        return {
            "Content-Type": "application/json",
            "Host": host,
            "X-TC-Action": action,
            "X-TC-Version": VERSIONS[service],
            "X-TC-Timestamp": str(stamp),
            "X-TC-Region": region,
            "Authorization": f"TC3-HMAC-SHA256 Credential={self.key.secret_id}/{scope}, "
            f"SignedHeaders=content-type;host, Signature={signature}",
            **token,
        }

    async def send(
        self,
        action: str,
        params: Mapping[str, Any] | bytes,
        *,
        region: str = REGION,
        service: str = "cvm",
        ahead: int = 0,
        change: Mapping[str, str | None] | None = None,
    ) -> httpx.Response:
        """One request; ``change`` sets headers after signing, None takes one away."""
        body = params if isinstance(params, bytes) else json.dumps(params).encode()
        headers = self.headers(action, body, region=region, service=service, ahead=ahead)
        changed: dict[str, str | None] = {**headers, **(change or {})}
        sent = {name: value for name, value in changed.items() if value is not None}
        return await self.client.post("/", content=body, headers=sent)

    async def ask(self, action: str, params: Mapping[str, Any] | bytes, **more: Any) -> dict[str, Any]:
        """What stands under ``Response`` of the answer to one request."""
        answer = await self.send(action, params, **more)
        assert answer.status_code == 200
        return answer.json()["Response"]

    async def code(self, action: str, params: Mapping[str, Any] | bytes, **more: Any) -> str:
        """The vendor code of the answer; empty for a success."""
        return (await self.ask(action, params, **more)).get("Error", {}).get("Code", "")

    async def export(self, *ids: str, **more: Any) -> dict[str, Any]:
        """Ask for an export to ``BUCKET``."""
        return await self.ask("ExportImages", {"ImageIds": list(ids), "BucketName": BUCKET, **more})

    async def export_code(self, *ids: str, **more: Any) -> str:
        """The vendor code of the answer to such a request."""
        return (await self.export(*ids, **more)).get("Error", {}).get("Code", "")

    async def copy(self, image_id: str, *regions: str, **more: Any) -> dict[str, Any]:
        """Ask for a copy to ``regions``, or to ``OTHER_REGION``."""
        asked = {"ImageIds": [image_id], "DestinationRegions": list(regions or (OTHER_REGION,))}
        return await self.ask("SyncImages", {**asked, "ImageSetRequired": True, **more})

    async def copy_code(self, image_id: str, *regions: str, **more: Any) -> str:
        """The vendor code of the answer to such a request."""
        return (await self.copy(image_id, *regions, **more)).get("Error", {}).get("Code", "")

    async def images(self, region: str = REGION, **params: Any) -> list[dict[str, Any]]:
        """Images as DescribeImages shows them."""
        return (await self.ask("DescribeImages", params, region=region))["ImageSet"]

    async def state(self, image_id: str, region: str = REGION) -> str:
        """The state of one image; empty when it is not there."""
        return next((each["ImageState"] for each in await self.images(region, ImageIds=[image_id])), "")

    def storage_headers(self, path: str, region: str = REGION) -> dict[str, str]:
        """The headers of a HEAD that is signed as botocore signs it for S3."""
        token = self.key.token or None
        request = AWSRequest("HEAD", str(self.client.base_url.join(path)))
        stamp = datetime.fromtimestamp(self.clock.now() // 1_000_000, UTC).strftime("%Y%m%dT%H%M%SZ")
        request.context["timestamp"] = stamp
        auth = S3SigV4Auth(Credentials(self.key.secret_id, self.key.secret_key, token), "s3", region)
        auth._modify_request_before_signing(request)
        text = auth.string_to_sign(request, auth.canonical_request(request))
        auth._inject_signature_to_request(request, auth.signature(text, request))
        return dict(request.headers.items())

    async def head(self, key: str, bucket: str = BUCKET, **more: str) -> httpx.Response:
        """HEAD of an object; of the bucket for an empty key."""
        path = f"/{bucket}/{key}" if key else f"/{bucket}"
        return await self.client.head(path, headers={**self.storage_headers(path), **more})


@asynccontextmanager
async def calling(rehearsal: Rehearsal, clock: Clock) -> AsyncIterator[Caller]:
    """Ask a rehearsal in this process, without a network between."""
    transport = httpx.ASGITransport(app=rehearsal.app)
    async with httpx.AsyncClient(transport=transport, base_url="http://cvm.test") as client:
        yield Caller(client, clock)


@asynccontextmanager
async def calling_over_http(rehearsal: Rehearsal, clock: Clock) -> AsyncIterator[Caller]:
    """Ask a rehearsal over a real connection."""
    async with served(rehearsal) as base_url, httpx.AsyncClient(base_url=base_url) as client:
        yield Caller(client, clock)


__all__ = [
    "BUCKET",
    "OTHER_REGION",
    "REGION",
    "Caller",
    "RehearsalOptions",
    "calling",
    "calling_over_http",
    "image",
    "served",
    "tencent",
]
