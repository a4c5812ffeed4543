"""The facts that an event claims about an image; only an offline plan believes them.

What does not fit is left unknown, and said.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from imageferry.core.image import ARCHES, IMAGE_STATES, OS_FAMILIES, VISIBILITIES, Image, Place
from imageferry.core.times import parse_rfc3339

Reader = Callable[[object], Any]
"""Returns the fact, or raises ValueError saying what was expected."""


def claimed(place: Place, image_id: str, facts: Mapping[str, Any]) -> tuple[Image, list[str]]:
    """The image as an event describes it, and what of the description could not be used."""
    known: dict[str, Any] = {}
    doubtful: list[str] = []
    for name, value in facts.items():
        if name in {"id", "cloud", "account", "region", "image_id"} or value is None:
            continue
        reader = _READERS.get(name)
        if reader is None:
            close = difflib.get_close_matches(name, _READERS, n=1)
            hint = f"; did you mean {close[0]}?" if close else ""
            doubtful.append(f"image.{name} is not a fact that policies know{hint}")
            continue
        try:
            known[name] = reader(value)
        except ValueError as error:
            doubtful.append(f"image.{name} stays unknown: expected {error}")
    return Image(place=place, id=image_id, **known), doubtful


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError("text")
    return value


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise ValueError("true or false")
    return value


def _size(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ValueError("a whole number of GiB")
    return value


def _tags(value: object) -> dict[str, str]:
    if not isinstance(value, dict) or not all(isinstance(v, str) for v in value.values()):
        raise ValueError("an object of texts")
    return dict(value)


def _moment(value: object) -> int:
    if not isinstance(value, str):
        raise ValueError("an RFC 3339 time")
    return parse_rfc3339(value)


def _one_of(allowed: Sequence[str]) -> Reader:
    def read(value: object) -> str:
        if value not in allowed:
            raise ValueError(f"one of {', '.join(allowed)}")
        return str(value)

    return read


_READERS: Final[Mapping[str, Reader]] = {
    "name": _text,
    "os": _one_of(OS_FAMILIES),
    "os_name": _text,
    "arch": _one_of(ARCHES),
    "size_gib": _size,
    "state": _one_of(IMAGE_STATES),
    "visibility": _one_of(VISIBILITIES),
    "encrypted": _flag,
    "tags": _tags,
    "created_at": _moment,
    "is_copy": _flag,
}
