"""The table of publishers: which spec is opened by what; the app walks it, and knows no publisher by name.

A kind that settings knows and that has no code yet says so here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any, Final

from imageferry.errors import PublishFailed
from imageferry.ports import Clock, Publisher
from imageferry.publishers.file import FilePublisher
from imageferry.publishers.kafka import KafkaPublisher
from imageferry.publishers.log import LogPublisher
from imageferry.publishers.specs import FileSpec, KafkaSpec, LogSpec, WebhookSpec

Builder = Callable[[Any, str, Clock], AbstractAsyncContextManager[Publisher]]
"""(spec, name, clock) -> the publisher for as long as the context lasts."""


def _kafka(spec: KafkaSpec, name: str, clock: Clock) -> AbstractAsyncContextManager[Publisher]:
    return KafkaPublisher(spec, name, clock).open()


def _file(spec: FileSpec, name: str, clock: Clock) -> AbstractAsyncContextManager[Publisher]:
    return FilePublisher(spec, name, clock).open()


def _log(spec: LogSpec, name: str, clock: Clock) -> AbstractAsyncContextManager[Publisher]:
    return LogPublisher(spec, name, clock).open()


def _webhook(_spec: WebhookSpec, name: str, _clock: Clock) -> AbstractAsyncContextManager[Publisher]:
    raise PublishFailed(
        f"publisher {name}: publishers of type webhook are not there yet; remove it from the config,"
        " and use kafka, file or log until then"
    )


PUBLISHERS: Final[Mapping[str, Builder]] = {
    "kafka": _kafka,
    "file": _file,
    "log": _log,
    "webhook": _webhook,
}
"""By the spec's ``type``."""
