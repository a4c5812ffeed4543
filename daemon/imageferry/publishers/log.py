"""The log publisher: every completion as one line of the daemon's own log.

The app opens it through the registry; only flow's announce loop calls it. It keeps nothing and cannot fail.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Final

import structlog

from imageferry.ports import Clock, OutboxRow
from imageferry.publishers.specs import LogSpec

_SHOWN: Final = (
    ("job", "id"),
    ("state", "state"),
    ("action", "action"),
    ("image", "image_id"),
    ("cloud", "cloud"),
    ("account", "account"),
    ("region", "region"),
    ("destination", "destination"),
    ("reason", "reason"),
    ("vendor_code", "vendor_code"),
    ("request_id", "request_id"),
)


class LogPublisher:
    """See :class:`imageferry.ports.Publisher`."""

    type = "log"

    def __init__(self, _spec: LogSpec, name: str, _clock: Clock) -> None:
        self.name = name
        self._log = structlog.get_logger(__name__)

    @asynccontextmanager
    async def open(self) -> AsyncIterator[LogPublisher]:
        """Nothing to open."""
        yield self

    async def publish(self, rows: Sequence[OutboxRow]) -> None:
        """Write one line for each completion."""
        for row in rows:
            data = json.loads(row.body)["data"]
            shown = {name: data[key] for name, key in _SHOWN if data.get(key)}
            self._log.info("job ended", event_id=row.event_id, **shown)
