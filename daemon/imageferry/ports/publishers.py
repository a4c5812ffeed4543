"""Where completions go: the publisher's port."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from imageferry.ports.records import OutboxRow


class Publisher(Protocol):
    """Where completions go."""

    name: str
    """Unique in this daemon; what the ledger remembers."""
    type: str
    """The metric label: kafka, webhook, file, log."""

    async def publish(self, rows: Sequence[OutboxRow]) -> None:
        """Publish in this order; returning means that it is safe with the receiver.

        :raises PublishFailed: nothing of the batch counts as published.
        """
        ...
