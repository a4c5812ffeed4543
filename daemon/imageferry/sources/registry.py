"""The table of sources: which spec is built by what; the app walks it, and knows no source by name.

Building opens nothing. A kind that settings knows and that has no code yet says so here.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping
from typing import Any, Final

from imageferry.errors import SourceFailed
from imageferry.ports import EventSource
from imageferry.sources.file import FileSource
from imageferry.sources.kafka import KafkaSource
from imageferry.sources.polling import PollingSource
from imageferry.sources.specs import FileSpec, KafkaSpec, PollingSpec, WebhookSpec
from imageferry.sources.surroundings import Surroundings

Builder = Callable[[Any, str, Surroundings], EventSource]
"""(spec, name, what is around it) -> the source, not yet running."""


def _kafka(spec: KafkaSpec, name: str, around: Surroundings) -> EventSource:
    return KafkaSource(spec, name, around.readers, around.clock, around.metrics, host=socket.gethostname())


def _file(spec: FileSpec, name: str, around: Surroundings) -> EventSource:
    return FileSource(spec, name, around.readers, around.clock, around.metrics)


def _polling(spec: PollingSpec, name: str, around: Surroundings) -> EventSource:
    return PollingSource(spec, name, around)


def _not_yet(spec: WebhookSpec, name: str, _around: Surroundings) -> EventSource:
    raise SourceFailed(
        f"source {name}: sources of type {spec.type} are not there yet; remove it from the config,"
        " and use kafka or file until then"
    )


SOURCES: Final[Mapping[str, Builder]] = {
    "kafka": _kafka,
    "file": _file,
    "webhook": _not_yet,
    "polling": _polling,
}
"""By the spec's ``type``."""
