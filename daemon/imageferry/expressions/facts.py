"""The facts that expressions may name: how they are written, of which type they are, and how an image tells them.

Called by the reader of expressions alone. A fact that an image does not tell is left out, never made up: the library
then says of the expression that it cannot be told, unless what is known settles it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Literal, NamedTuple

from imageferry.core.image import ARCHES, CLOUD_NAMES, OS_FAMILIES, VISIBILITIES, Image
from imageferry.core.units import duration_text

Kind = Literal["string", "int", "bool", "map(string, string)", "timestamp", "duration"]

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MINUTE: Final = 60
_LONGEST: Final = 80
_ENCODER: Final = json.JSONEncoder(ensure_ascii=False)


class Fact(NamedTuple):
    """One fact of an image or its place."""

    kind: Kind
    """Its type, as CEL names it."""
    get: Callable[[Image, int], Any]
    """(image, now in microseconds UTC) -> the value, None where it is not known."""
    unknown: str
    """What a verdict says where it is not known; the same words as those of the matchers."""
    words: tuple[str, ...] = ()
    """The only values it can have, where they are a closed set."""


def _image(name: str, kind: Kind, unknown: str = "", words: tuple[str, ...] = ()) -> Fact:
    return Fact(kind, lambda image, _now: getattr(image, name), unknown or f"{name} is not known", words)


def _place(name: str, words: tuple[str, ...] = ()) -> Fact:
    """A part of the place; what an event left out is an empty text."""
    return Fact("string", lambda image, _now: getattr(image.place, name) or None, f"{name} is not known", words)


def _id(image: Image, _now: int) -> str | None:
    """The id; images of which only the place is known have an empty one."""
    return image.id or None


def _created_at(image: Image, _now: int) -> datetime | None:
    return None if image.created_at is None else _EPOCH + timedelta(microseconds=image.created_at)


def _age(image: Image, now: int) -> timedelta | None:
    return None if image.created_at is None else timedelta(microseconds=now - image.created_at)


FACTS: Final[Mapping[str, Fact]] = {
    "image.id": Fact("string", _id, "id is not known"),
    "image.name": _image("name", "string"),
    "image.os": _image("os", "string", words=OS_FAMILIES),
    "image.os_name": _image("os_name", "string"),
    "image.arch": _image("arch", "string", words=ARCHES),
    "image.visibility": _image("visibility", "string", words=VISIBILITIES),
    "image.encrypted": _image("encrypted", "bool"),
    "image.size_gib": _image("size_gib", "int"),
    "image.tags": _image("tags", "map(string, string)", "tags are not known"),
    "image.created_at": Fact("timestamp", _created_at, "created_at is not known"),
    "image.age": Fact("duration", _age, "created_at is not known"),
    "image.is_copy": _image("is_copy", "bool", "whether it is a copy made by imageferry is not known"),
    "cloud": _place("cloud", CLOUD_NAMES),
    "account": _place("account"),
    "region": _place("region"),
}
"""Every fact by the name that expressions write."""


def known(image: Image, now: int) -> dict[str, Any]:
    """The facts that the image tells, as the library takes them; ``now`` in microseconds UTC."""
    told = {name: fact.get(image, now) for name, fact in FACTS.items()}
    return {
        name: dict(value) if isinstance(value, Mapping) else value for name, value in told.items() if value is not None
    }


def told(name: str, image: Image, now: int) -> str:
    """A fact for people: ``size_gib is 40``; nothing where it is not known."""
    value = FACTS[name].get(image, now)
    return "" if value is None else f"{name.removeprefix('image.')} is {_shown(value)}"


def _shown(value: object) -> str:
    if isinstance(value, timedelta):
        seconds = value // timedelta(seconds=1)
        return duration_text(float(seconds // _MINUTE * _MINUTE or _MINUTE))
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%dT%H:%M:%SZ")
    text = _ENCODER.encode(dict(value) if isinstance(value, Mapping) else value)
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
