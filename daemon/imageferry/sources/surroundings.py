"""What a source may use of the daemon around it; the app fills it in, the registry's builders take what they need."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from imageferry.ports import Clock, Cloud, Ledger
from imageferry.sources.cloudevents import EnvelopeReader
from imageferry.telemetry.metrics import Metrics


class Watched(NamedTuple):
    """An account's region that can be asked for its images, and where it is remembered what was seen there."""

    account: str
    region: str
    cloud: Cloud
    ledger: Ledger


@dataclass(frozen=True, slots=True)
class Surroundings:
    """See the module."""

    readers: Sequence[EnvelopeReader]
    """What reads the vendors' own envelopes."""
    clock: Clock
    metrics: Metrics
    watched: Sequence[Watched] = ()
    """Every configured account and region; none while a config is only being checked."""
