"""What a cloud's folder hands to the rest of the house: its facts, its adapter, and its reader of vendor events.

Each folder fills one in, in its own ``entry.py``; the registry lists them. Nothing is built or asked by importing it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from imageferry.core.account import Account
from imageferry.core.facts import CloudFacts
from imageferry.ports import Clock, Cloud, Gate, Sighting
from imageferry.telemetry.metrics import Metrics

Builder = Callable[[Account, Gate, Clock, Metrics], Cloud]
Reader = Callable[[Mapping[str, Any]], list[Sighting] | None]
"""A vendor's event -> what it sighted, or None where it is not that vendor's.

:raises ValueError: it is that vendor's, but cannot be read; the message says why.
"""


@dataclass(frozen=True, slots=True)
class Entry:
    """One cloud."""

    facts: CloudFacts
    build: Builder
    """Of its adapter."""
    apis: tuple[str, ...]
    """What the adapter asks for, as the metrics name it."""
    sightings: Reader
