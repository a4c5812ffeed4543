"""Reads dead letters again, with today's readers and the mapping of the source that they came from.

The app and ``dead-letters replay`` make one from the settings; the replay calls it. A letter of a source that is no
longer configured is read without a mapping.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from imageferry.ports import DeadLetter, Delivery
from imageferry.sources.cloudevents import Codec, EnvelopeReader
from imageferry.sources.mapping import mappers
from imageferry.sources.specs import FileSpec, KafkaSpec, Spec

_KAFKA: Final = re.compile(r"kafka:(?P<topic>.+)\[\d+\]@\d+(#\d+)*")
_FILE: Final = re.compile(r"file:(?P<path>.+):\d+#[0-9a-f]{12}(#\d+)*", re.DOTALL)


class Rereader:
    """Calls the codec as the letter's own source does."""

    def __init__(self, specs: Sequence[Spec], readers: Sequence[EnvelopeReader]) -> None:
        self._readers = tuple(readers)
        self._kafka = {topic: spec for spec in specs if isinstance(spec, KafkaSpec) for topic in spec.topics}
        self._files = {spec.path: spec for spec in specs if isinstance(spec, FileSpec)}

    def __call__(self, letter: DeadLetter) -> list[Delivery]:
        """What the letter says now; what is unreadable in it has the letter's own source."""
        bare_source, mapped_source, spec = self._source(letter.source)
        codec = Codec(self._readers, mappers(None if spec is None else spec.mapping))
        return codec.read(
            letter.body, letter.source, letter.headers, bare_source=bare_source, mapped_source=mapped_source
        )

    def _source(self, origin: str) -> tuple[str | None, str, KafkaSpec | FileSpec | None]:
        """What the letter's source calls itself in events, and how it is configured."""
        if found := _KAFKA.fullmatch(origin):
            return None, f"kafka:{found['topic']}", self._kafka.get(found["topic"])
        if found := _FILE.fullmatch(origin):
            own = f"file:{found['path']}"
            return own, own, self._files.get(found["path"])
        return None, origin, None
