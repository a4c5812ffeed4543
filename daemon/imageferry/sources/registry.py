"""The table of sources: which spec is built by what; the app walks it, and knows no source by name.

Building opens nothing.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping
from typing import Any, Final

from imageferry.ports import EventSource
from imageferry.sources.file import FileSource
from imageferry.sources.kafka import KafkaSource
from imageferry.sources.polling import PollingSource
from imageferry.sources.specs import FileSpec, KafkaSpec, PollingSpec, WebhookSpec
from imageferry.sources.surroundings import Surroundings
from imageferry.sources.webhook import WebhookSource

Builder = Callable[[Any, str, Surroundings], EventSource]
"""(spec, name, what is around it) -> the source, not yet running."""


def _kafka(spec: KafkaSpec, name: str, around: Surroundings) -> EventSource:
    return KafkaSource(spec, name, around.readers, around.clock, around.metrics, host=socket.gethostname())


def _file(spec: FileSpec, name: str, around: Surroundings) -> EventSource:
    return FileSource(spec, name, around.readers, around.clock, around.metrics)


def _webhook(spec: WebhookSpec, name: str, around: Surroundings) -> EventSource:
    return WebhookSource(spec, name, around.readers, around.clock, around.metrics)


def _polling(spec: PollingSpec, name: str, around: Surroundings) -> EventSource:
    return PollingSource(spec, name, around)


SOURCES: Final[Mapping[str, Builder]] = {
    "kafka": _kafka,
    "file": _file,
    "webhook": _webhook,
    "polling": _polling,
}
"""By the spec's ``type``."""
