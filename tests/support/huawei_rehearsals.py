"""Huawei Cloud rehearsals in tests: building one, and asking one with requests that the vendor's own code signs.

The storage's own scheme has no signer in a package that tests use, so that its vectors stand behind the one here.
"""

from __future__ import annotations

import hmac
import json
import random
from base64 import b64encode
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any

import httpx
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from huaweicloudsdkcore.auth.credentials import BasicCredentials
from huaweicloudsdkcore.sdk_request import SdkRequest
from huaweicloudsdkcore.signer.signer import Signer

from imageferry.ports import Clock
from imageferry.rehearsal.control import Rehearsal
from imageferry.rehearsal.huawei import HuaweiRehearsal
from imageferry.rehearsal.huawei_options import AGENCY, HuaweiOptions, huawei_options
from imageferry.rehearsal.options import REHEARSAL_KEY, AcceptedKey
from imageferry.rehearsal.store import NewImage
from support.clocks import FakeClock
from support.rehearsals import served

REGION = "cn-north-4"
OTHER_REGION = "cn-east-3"
BUCKET = "archive-north"
PROJECT = HuaweiOptions().project_id(REGION)
OTHER_PROJECT = HuaweiOptions().project_id(OTHER_REGION)
NOBODY = "00000000-0000-4000-8000-000000000000"
"""An image id that no rehearsal has."""


def huawei(clock: Clock | None = None, **options: Any) -> HuaweiRehearsal:
    """A rehearsal with one bucket in ``REGION`` that counts no requests; ``options`` as JSON would have them."""
    given = {"buckets": {BUCKET: REGION}, "requests_a_second": None, **options}
    return HuaweiRehearsal(huawei_options(given), clock or FakeClock(), random.Random(7))


def image(rehearsal: Rehearsal, **facts: Any) -> str:
    """Put an image into ``REGION`` unless ``facts`` say otherwise; its id."""
    return rehearsal.add_image(NewImage(**{"region": REGION, **facts}))


class Caller:
    """Asks a rehearsal with requests that are signed as the vendor's SDK signs them."""

    def __init__(self, client: httpx.AsyncClient, clock: Clock, key: AcceptedKey = REHEARSAL_KEY) -> None:
        self.client = client
        self.clock = clock
        self.key = key

    def with_key(self, **changes: Any) -> Caller:
        """The same caller with another key."""
        return Caller(self.client, self.clock, replace(self.key, **changes))

    def date(self, ahead: int = 0) -> datetime:
        """The caller's time; ``ahead``: seconds that its clock is ahead."""
        return datetime.fromtimestamp(self.clock.now() // 1_000_000 + ahead, UTC)

    def signed(
        self, method: str, path: str, query: Sequence[tuple[str, Any]], body: bytes, headers: Mapping[str, str]
    ) -> SdkRequest:
        """A request that the vendor's code has signed, with everything that it sets."""
        token = {"X-Security-Token": self.key.token} if self.key.token else {}
        request = SdkRequest(
            method=method,
            schema="http",
            host=self.client.base_url.netloc.decode(),
            resource_path=path,
            query_params=list(query),
            header_params={**headers, **token},
            body=body,
        )
        return Signer(BasicCredentials(self.key.secret_id, self.key.secret_key)).sign(request)

    async def send(
        self,
        method: str,
        path: str,
        params: Any = None,
        *,
        project: str = PROJECT,
        ahead: int = 0,
        headers: Mapping[str, str] | None = None,
        change: Mapping[str, str | None] | None = None,
    ) -> httpx.Response:
        """One request: ``params`` are a query for GET, else a body; ``change`` sets headers after signing."""
        query: list[tuple[str, Any]] = list((params or {}).items()) if method == "GET" else []
        body = b"" if method == "GET" or params is None else params
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        own = {
            "Content-Type": "application/json" if method == "GET" else "application/json;charset=UTF-8",
            "X-Sdk-Date": self.date(ahead).strftime("%Y%m%dT%H%M%SZ"),
            **({"X-Project-Id": project} if project else {}),
            **(headers or {}),
        }
        request = self.signed(method, path, query, raw, own)
        changed: dict[str, str | None] = {**request.header_params, **(change or {})}
        sent = {name: value for name, value in changed.items() if value is not None}
        return await self.client.request(method, request.uri, content=raw, headers=sent)

    async def ask(self, method: str, path: str, params: Any = None, **more: Any) -> dict[str, Any]:
        """What stands in the answer to a request that was not refused."""
        answer = await self.send(method, path, params, **more)
        assert answer.status_code < 400, answer.text
        return answer.json() if answer.content else {}

    async def code(self, method: str, path: str, params: Any = None, **more: Any) -> str:
        """The vendor code of the answer; empty for a success."""
        return code_of(await self.send(method, path, params, **more))

    async def export(self, image_id: str, key: str = "web.qcow2", **more: Any) -> httpx.Response:
        """Ask for an export to ``BUCKET`` as qcow2; what is None in ``more`` is left out."""
        given = {"bucket_url": f"{BUCKET}:{key}", "file_format": "qcow2", **more}
        body = {name: value for name, value in given.items() if value is not None}
        return await self.send("POST", f"/v1/cloudimages/{image_id}/file", body)

    async def copy(self, image_id: str, name: str = "web-copy", **more: Any) -> httpx.Response:
        """Ask for a copy into ``OTHER_REGION``; what is None in ``more`` is left out."""
        given = {"name": name, "region": OTHER_REGION, "project_name": OTHER_REGION, "agency_name": AGENCY, **more}
        body = {name: value for name, value in given.items() if value is not None}
        return await self.send("POST", f"/v1/cloudimages/{image_id}/cross_region_copy", body)

    async def job(self, job_id: str, project: str = PROJECT) -> dict[str, Any]:
        """A job by the recommended path."""
        return await self.ask("GET", f"/v1/cloudimages/job/{job_id}", project=project)

    async def images(self, project: str = PROJECT, **filters: Any) -> list[dict[str, Any]]:
        """Images as ListImages shows them."""
        return (await self.ask("GET", "/v2/cloudimages", filters, project=project))["images"]

    async def head(self, key: str, bucket: str = BUCKET, *, ahead: int = 0, **headers: str) -> httpx.Response:
        """HEAD of an object, signed by the storage's own scheme; of the bucket for an empty key."""
        path = f"/{bucket}/{key}"
        own = {"x-obs-date": format_datetime(self.date(ahead), usegmt=True)}
        token = {"x-obs-security-token": self.key.token} if self.key.token else {}
        signed = {**own, **token}
        authorization = obs_authorization(self.key, "HEAD", path, signed)
        return await self.client.head(path, headers={**signed, "Authorization": authorization, **headers})

    async def head_v4(self, key: str, region: str = REGION) -> httpx.Response:
        """HEAD of an object in ``BUCKET``, signed as botocore signs it for S3."""
        path = f"/{BUCKET}/{key}"
        request = AWSRequest("HEAD", str(self.client.base_url.join(path)))
        request.context["timestamp"] = self.date().strftime("%Y%m%dT%H%M%SZ")
        auth = S3SigV4Auth(Credentials(self.key.secret_id, self.key.secret_key), "s3", region)
        auth._modify_request_before_signing(request)
        text = auth.string_to_sign(request, auth.canonical_request(request))
        auth._inject_signature_to_request(request, auth.signature(text, request))
        return await self.client.head(path, headers=dict(request.headers.items()))


def obs_authorization(key: AcceptedKey, method: str, resource: str, headers: Mapping[str, str]) -> str:
    """The Authorization header of the storage's own scheme, for headers that are all signed."""
    own = "".join(f"{name}:{headers[name]}\n" for name in sorted(headers) if name.startswith("x-obs-"))
    date = "" if "x-obs-date" in headers else headers.get("date", "")
    text = f"{method}\n\n\n{date}\n{own}{resource}"
    return f"OBS {key.secret_id}:{b64encode(hmac.digest(key.secret_key.encode(), text.encode(), 'sha1')).decode()}"


def code_of(answer: httpx.Response) -> str:
    """The vendor code of an answer; empty for a success, the status where it has none."""
    if answer.status_code < 400:
        return ""
    told = answer.json()
    return str(told.get("error_code") or told.get("error", {}).get("code") or answer.status_code)


@asynccontextmanager
async def calling(
    rehearsal: Rehearsal, clock: Clock, base_url: str = "http://ims.example.test"
) -> AsyncIterator[Caller]:
    """Ask a rehearsal in this process, without a network between."""
    transport = httpx.ASGITransport(app=rehearsal.app)
    async with httpx.AsyncClient(transport=transport, base_url=base_url) as client:
        yield Caller(client, clock)


@asynccontextmanager
async def calling_over_http(rehearsal: Rehearsal, clock: Clock) -> AsyncIterator[Caller]:
    """Ask a rehearsal over a real connection."""
    async with served(rehearsal) as base_url, httpx.AsyncClient(base_url=base_url) as client:
        yield Caller(client, clock)
