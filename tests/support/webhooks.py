"""Webhook sources for tests, and senders that know their secret."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import anyio
import httpx

from imageferry.sources.cloudevents import EnvelopeReader
from imageferry.sources.specs import WebhookSpec
from imageferry.sources.webhook import WebhookSource
from imageferry.telemetry.bounds import Bounds
from imageferry.telemetry.clock import SystemClock
from imageferry.telemetry.metrics import Metrics
from support.inbox import Inbox, running

SECRET = "hush-hush-ü"
JSON = "application/json"
STRUCTURED = "application/cloudevents+json"
BATCH = "application/cloudevents-batch+json"


def bearer(secret: str = SECRET) -> dict[str, str | bytes]:
    return {"authorization": b"Bearer " + secret.encode()}


def signature(body: bytes, secret: str = SECRET) -> dict[str, str | bytes]:
    return {"x-imageferry-signature": f"sha256={hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()}"}


def hook(
    metrics: Metrics | None = None,
    readers: Sequence[EnvelopeReader] = (),
    bounds: Bounds | None = None,
    **spec: Any,
) -> WebhookSource:
    given = {"listen": "127.0.0.1:0", "secret": SECRET, **spec}
    model = WebhookSpec.model_validate(given)
    return WebhookSource(model, "webhook", readers, SystemClock(), metrics or Metrics(), bounds)


class Sender:
    """Posts to one webhook."""

    def __init__(self, source: WebhookSource, client: httpx.AsyncClient, inbox: Inbox) -> None:
        self.source = source
        self.inbox = inbox
        self._client = client

    @property
    def address(self) -> tuple[str, int]:
        assert self.source.address is not None
        return self.source.address

    async def post(
        self,
        body: bytes | Any,
        content_type: str | None = JSON,
        *,
        proof: Mapping[str, str | bytes] | None = None,
        path: str = "/events",
        method: str = "POST",
        **headers: str,
    ) -> httpx.Response:
        """One request; by default it bears the secret."""
        host, port = self.address
        given: dict[str, str | bytes] = {name.replace("_", "-"): value for name, value in headers.items()}
        given |= {} if content_type is None else {"content-type": content_type}
        given |= bearer() if proof is None else proof
        return await self._client.request(method, f"http://{host}:{port}{path}", content=body, headers=given)


@asynccontextmanager
async def posting(source: WebhookSource, inbox: Inbox | None = None) -> AsyncIterator[Sender]:
    """Run a source and send to it."""
    inbox = inbox or Inbox()
    limits = httpx.Limits(max_connections=64)
    async with (
        running(source, inbox),
        httpx.AsyncClient(trust_env=False, timeout=httpx.Timeout(60.0), limits=limits) as client,
    ):
        yield Sender(source, client, inbox)


async def said_raw(address: tuple[str, int], request: bytes) -> bytes:
    """What comes back for these very bytes, until the other side closes."""
    said = b""
    with anyio.fail_after(60):
        async with await anyio.connect_tcp(*address) as stream:
            await stream.send(request)
            try:
                while True:
                    said += await stream.receive()
            except (anyio.EndOfStream, anyio.BrokenResourceError):
                return said
