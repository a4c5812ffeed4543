"""A rehearsal cloud behind a note of when each request arrived, for the measurements that watch a daemon at work."""

from __future__ import annotations

import random
import time
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

from starlette.types import Receive, Scope, Send

from bench.town import BUCKETS
from imageferry.rehearsal.misbehaviour import Misbehaviour
from imageferry.rehearsal.options import options_from_json
from imageferry.rehearsal.tencent import TencentRehearsal
from imageferry.telemetry.clock import SystemClock
from imageferry.telemetry.http import serving

EXPORT = "ExportImages"
UNLIMITED = 100_000


class Cloud(NamedTuple):
    """A rehearsal that is being served."""

    rehearsal: TencentRehearsal
    url: str
    arrivals: dict[str, list[float]]
    """API -> when its requests arrived, before the rehearsal looked at them (``perf_counter``)."""

    def slow(self, seconds: float) -> None:
        """Let every answer to an export take so long."""
        self.rehearsal.misbehave(Misbehaviour(fault="slow", action=EXPORT, after=seconds))

    @property
    def throttled(self) -> int:
        return self.rehearsal.requests.throttled


@asynccontextmanager
async def cloud(**options: Any) -> AsyncIterator[Cloud]:
    """Serve a rehearsal with the town's buckets and, unless ``options`` say otherwise, no limit on running tasks."""
    given = {"buckets": {bucket: region for region, bucket in BUCKETS.items()}, "exports_running": None, **options}
    rehearsal = TencentRehearsal(options_from_json(given), SystemClock(), random.Random(7))
    arrivals: dict[str, list[float]] = defaultdict(list)

    async def noting(scope: Scope, receive: Receive, send: Send) -> None:
        name = dict(scope["headers"]).get(b"x-tc-action", b"").decode()
        arrivals[name].append(time.perf_counter())
        await rehearsal.app(scope, receive, send)

    async with serving(noting, "127.0.0.1", 0, drain=1) as (host, port):
        yield Cloud(rehearsal, f"http://{host}:{port}", arrivals)
