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
    """The image as an event describes it, and what of the description could not be used.

    An event that does not say so speaks of no copy made by imageferry: only the ledger could know better.
    """
    known: dict[str, Any] = {"is_copy": False}
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


def _want(fits: bool, what: str) -> None:  # noqa: FBT001 - the outcome of a test, read at the call
    if not fits:
        raise ValueError(what)


def _text(value: object) -> str:
    _want(isinstance(value, str), "text")
    return str(value)


def _flag(value: object) -> bool:
    _want(isinstance(value, bool), "true or false")
    return bool(value)


def _size(value: object) -> object:
    _want(isinstance(value, int) and not isinstance(value, bool) and value >= 0, "a whole number of GiB")
    return value


def _tags(value: object) -> object:
    _want(isinstance(value, dict) and all(isinstance(v, str) for v in value.values()), "an object of texts")
    return value


def _moment(value: object) -> int:
    _want(isinstance(value, str), "an RFC 3339 time")
    return parse_rfc3339(str(value))


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
FACT_NAMES: Final = tuple(_READERS)
"""Every fact that an event may claim."""
