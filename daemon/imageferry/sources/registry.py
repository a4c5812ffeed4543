"""The table of sources: which spec is built by what; the app walks it, and knows no source by name.

Building opens nothing. A kind that settings knows and that has no code yet says so here.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from imageferry.errors import SourceFailed
from imageferry.ports import Clock, EventSource
from imageferry.sources.cloudevents import EnvelopeReader
from imageferry.sources.file import FileSource
from imageferry.sources.kafka import KafkaSource
from imageferry.sources.specs import FileSpec, KafkaSpec, PollingSpec, WebhookSpec
from imageferry.sources.webhook import WebhookSource
from imageferry.telemetry.metrics import Metrics

Builder = Callable[[Any, str, Sequence[EnvelopeReader], Clock, Metrics], EventSource]
"""(spec, name, readers, clock, metrics) -> the source, not yet running."""


def _kafka(
    spec: KafkaSpec, name: str, readers: Sequence[EnvelopeReader], clock: Clock, metrics: Metrics
) -> EventSource:
    return KafkaSource(spec, name, readers, clock, metrics, host=socket.gethostname())


def _file(spec: FileSpec, name: str, readers: Sequence[EnvelopeReader], clock: Clock, metrics: Metrics) -> EventSource:
    return FileSource(spec, name, readers, clock, metrics)


def _webhook(
    spec: WebhookSpec, name: str, readers: Sequence[EnvelopeReader], clock: Clock, metrics: Metrics
) -> EventSource:
    return WebhookSource(spec, name, readers, clock, metrics)


def _not_yet(
    spec: PollingSpec,
    name: str,
    _readers: Sequence[EnvelopeReader],
    _clock: Clock,
    _metrics: Metrics,
) -> EventSource:
    raise SourceFailed(
        f"source {name}: sources of type {spec.type} are not there yet; remove it from the config,"
        " and use kafka, webhook or file until then"
    )


SOURCES: Final[Mapping[str, Builder]] = {
    "kafka": _kafka,
    "file": _file,
    "webhook": _webhook,
    "polling": _not_yet,
}
"""By the spec's ``type``."""
