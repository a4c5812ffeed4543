"""The headers of a message, as Kafka has them: which of them say how its body is to be read.

The codec asks, on both of its ways; the webhook writes HTTP's headers in this form.
"""

from __future__ import annotations

from typing import Final

from imageferry.ports import Headers

CONTENT_TYPE: Final = "content-type"

_STRUCTURED: Final = b"application/cloudevents"
_MOST: Final = 65_536
"""Bytes of headers that are kept of what cannot be read."""


def telling(headers: Headers) -> Headers:
    """The headers that say how to read the body; whatever else a sender adds is not kept."""
    kept = tuple((key, value) for key, value in headers if _tells(key.lower()))
    size = sum(len(key) + len(value or b"") for key, value in kept)
    return kept if size <= _MOST else ()


def _tells(name: str) -> bool:
    return name == CONTENT_TYPE or name.startswith("ce_")


def is_binary(headers: Headers) -> bool:
    """Whether the body is the data alone, and the event's attributes stand in the headers."""
    binary = False
    for key, value in headers:
        name = key.lower()
        if name == CONTENT_TYPE and value is not None and value.lower().startswith(_STRUCTURED):
            return False
        binary = binary or name.startswith("ce_")
    return binary
