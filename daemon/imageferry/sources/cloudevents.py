"""The one CloudEvents codec: bytes and headers in, deliveries out; every source and ``plan`` read through it.

It never raises on what a stranger wrote: what cannot be read comes back as :class:`~imageferry.ports.Unreadable` with
its reason. It does not look at accounts or policies, and believes no fact of an event but who and where.

The daemon's own type has a fast path in ``quick``. Whatever that does not take whole goes the slow way, which is here
and alone finds reasons.
"""

from __future__ import annotations

import hashlib
import re
from base64 import b64decode
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

import msgspec
import structlog
from cloudevents.core.exceptions import CloudEventValidationError
from cloudevents.core.v1.event import CloudEvent

from imageferry.core.image import CLOUD_NAMES
from imageferry.ports import Delivery, Headers, Sighting, Unreadable
from imageferry.sources.headers import CONTENT_TYPE, is_binary, telling
from imageferry.sources.mapping import Mapper
from imageferry.sources.quick import ACCOUNT_PATTERN, ID_PATTERN, NAME_PATTERN, Time, quick

READY: Final = "io.imageferry.image.ready"
"""The daemon's own event type."""

LARGEST: Final = 1_048_576
"""The most bytes one delivery may have."""

EnvelopeReader = Callable[[Mapping[str, Any]], list[Sighting] | None]
"""A cloud's reader of its own envelopes: None when it is not theirs, ValueError with the reason when it is broken."""

_parts: Final = msgspec.json.Decoder(list[msgspec.Raw]).decode

_JSON_TYPE: Final = re.compile(r"(application|text)/([a-z0-9.-]+\+)?json\s*(;.*)?", re.IGNORECASE)
_QUOTED: Final = 60


class Told(NamedTuple):
    """A sighting with the facts that came beside it, which only an offline plan may believe."""

    sighting: Sighting
    facts: Mapping[str, Any]


class _Origin(NamedTuple):
    """Where a value came from, and what its event's source is where it names none itself."""

    place: str
    bare_source: str | None
    mapped_source: str
    headers: Headers = ()

    def unreadable(self, reason: str, body: bytes) -> Unreadable:
        return Unreadable(self.place, reason, body, self.headers)


class Codec:
    """Reads deliveries.

    :param readers: the clouds' readers of their own envelopes, asked in this order.
    :param mappers: read what is no event of ours and no record of a cloud; the first that can wins.
    """

    def __init__(self, readers: Sequence[EnvelopeReader], mappers: Sequence[Mapper] = ()) -> None:
        self._readers = tuple(readers)
        self._mappers = tuple(mappers)
        self._log = structlog.get_logger(__name__)

    def read(
        self,
        body: bytes | None,
        origin: str,
        headers: Headers = (),
        *,
        bare_source: str | None = None,
        mapped_source: str = "",
    ) -> list[Delivery]:
        """Everything that one message, line or request says.

        :param origin: where it came from, unique for this delivery; becomes the source of what is unreadable.
        :param headers: a Kafka message's headers; ``ce_*`` among them mean binary mode.
        :param bare_source: also take our event's data without an event around it; this is then the event's source.
        :param mapped_source: the event's source where a mapping reads what is no CloudEvent.
        """
        known = quick(body, headers) if body is not None and len(body) <= LARGEST else None
        if known is not None:
            return [known]
        found = self.told(body, origin, headers, bare_source, mapped_source)
        return [t.sighting if isinstance(t, Told) else t for t in found]

    def told(
        self,
        body: bytes | None,
        origin: str,
        headers: Headers = (),
        bare_source: str | None = None,
        mapped_source: str = "",
    ) -> list[Told | Unreadable]:
        """The same with the facts that events claim, always the slow way."""
        kept = (body or b"")[:LARGEST]
        whence = _Origin(origin, bare_source, mapped_source, telling(headers))
        try:
            raw = _sound(body)
            if is_binary(headers):
                return self._object(_from_headers(headers, raw), raw, whence._replace(bare_source=None))
            value = _json(raw)
            parts = [bytes(part) for part in _parts(raw)] if isinstance(value, list) else []
        except RecursionError:
            return [whence.unreadable("JSON that is nested too deeply", kept)]
        except _Wrong as wrong:
            return [whence.unreadable(str(wrong), kept)]
        if not isinstance(value, list):
            return self._object(value, raw, whence)
        if not value:
            return [whence.unreadable("the batch is empty", raw)]
        rows = enumerate(zip(value, parts, strict=True))
        return [
            told for i, (one, part) in rows for told in self._object(one, part, whence._replace(place=f"{origin}#{i}"))
        ]

    def _object(self, value: object, raw: bytes, whence: _Origin) -> list[Told | Unreadable]:
        try:
            return self._understood(value, raw, whence)
        except _Wrong as wrong:
            return [whence.unreadable(str(wrong), raw)]

    def _understood(self, value: object, raw: bytes, whence: _Origin) -> list[Told | Unreadable]:
        if not isinstance(value, dict):
            raise _Wrong(f"this is {_kind(value)}; a JSON object, or an array of objects, was expected")
        if value.get("type") == READY:
            return [_own(value)]
        if whence.bare_source is not None and self._is_bare(value):
            return [_bare(value, raw, whence.bare_source)]
        sightings = self._from_vendor(value)
        if sightings is not None:
            return [Told(_checked(sighting), {}) for sighting in sightings]
        if self._mappers:
            return [self._mapped(value, raw, whence.mapped_source)]
        raise _Wrong(_why_nobody_reads(value))

    def _is_bare(self, value: Mapping[str, Any]) -> bool:
        """Our data alone; beside a mapping, which may be meant for the same words, only where all of it is there."""
        words = [name in value for name in ("cloud", "region", "image_id")]
        return "specversion" not in value and (all(words) if self._mappers else words[0] or words[2])

    def _from_vendor(self, value: dict[str, Any]) -> list[Sighting] | None:
        for reader in self._readers:
            try:
                found = reader(value)
            except ValueError as error:
                raise _Wrong(str(error)) from error
            except Exception as error:
                # One strange record must not stop a partition; the dead letter keeps it for whoever mends the reader.
                self._log.exception("an envelope reader failed", reader=getattr(reader, "__module__", "?"))
                raise _Wrong(f"its reader failed with {type(error).__name__}; this is a fault of imageferry") from error
            if found is not None:
                return found
        return None

    def _mapped(self, value: Mapping[str, Any], raw: bytes, source: str) -> Told:
        """What the first mapping makes of it that can make anything of it."""
        reasons: list[str] = []
        for mapper in self._mappers:
            try:
                data, event_id = mapper.read(value)
            except ValueError as error:
                reasons.append(str(error))
                continue
            who = _who_and_where(data, "what the mapping yields")
            known = {"source": source, "id": hashlib.sha256(raw.strip()).hexdigest()}
            if _is_event(value):
                known = {name: value[name] for name in known}
            if event_id is not None:
                known["id"] = event_id
            _check_names(known)
            return Told(Sighting(known["source"], known["id"], *who), _facts(data))
        raise _Wrong("; ".join(dict.fromkeys(reasons)))


class _Wrong(Exception):
    """Why something cannot be read."""


def _sound(body: bytes | None) -> bytes:
    if not body or not body.strip():
        raise _Wrong("the message is empty")
    if len(body) > LARGEST:
        raise _Wrong(f"too large: {len(body)} bytes, at most {LARGEST} are read; only the first {LARGEST} are kept")
    try:
        body.decode()
    except UnicodeDecodeError as error:
        raise _Wrong(f"not UTF-8: byte 0x{body[error.start]:02x} at position {error.start}") from error
    return body


def _json(raw: bytes) -> object:
    try:
        return msgspec.json.decode(raw)
    except ValueError as error:
        raise _Wrong(f"not JSON: {error}") from error


def _from_headers(headers: Headers, raw: bytes) -> dict[str, Any]:
    """A binary-mode message as the object that structured mode would have had."""
    event: dict[str, Any] = {}
    for key, value in headers:
        name = key.lower()
        attribute = name[3:] if name.startswith("ce_") else "datacontenttype" if name == CONTENT_TYPE else None
        if attribute is not None and value is not None:
            try:
                event[attribute] = value.decode()
            except UnicodeDecodeError as error:
                raise _Wrong(f"header {key} is not UTF-8") from error
    content_type = event.get("datacontenttype", "application/json")
    if not _JSON_TYPE.fullmatch(content_type.strip()):
        raise _Wrong(f"the data is {_quote(content_type)}; application/json was expected")
    event["data"] = _json(raw)
    return event


def _own(event: dict[str, Any]) -> Told:
    _check_attributes(event)
    data = event.get("data")
    if data is None and event.get("data_base64") is not None:
        data = _unpacked(event["data_base64"])
    return Told(Sighting(event["source"], event["id"], *_who_and_where(data, "data")), _facts(data))


def _bare(data: dict[str, Any], raw: bytes, source: str) -> Told:
    who = _who_and_where(data, "the object")
    return Told(Sighting(source, hashlib.sha256(raw.strip()).hexdigest(), *who), _facts(data))


def _facts(data: object) -> Mapping[str, Any]:
    image = data.get("image") if isinstance(data, dict) else None
    return image if isinstance(image, dict) else {}


def _unpacked(text: object) -> object:
    try:
        packed = b64decode(text, validate=True) if isinstance(text, str) else None
    except ValueError as error:
        raise _Wrong(f"data_base64 is not base64: {error}") from error
    if packed is None:
        raise _Wrong("data_base64 is not text")
    return _json(packed)


def _check_attributes(event: Mapping[str, Any]) -> None:
    """What CloudEvents 1.0 asks of the attributes; null counts as absent."""
    attributes = {k: v for k, v in event.items() if v is not None and k not in {"data", "data_base64"}}
    if (moment := attributes.pop("time", None)) is not None:
        try:
            attributes["time"] = msgspec.convert(moment, Time)
        except msgspec.ValidationError as error:
            raise _Wrong(f"time {_quote(moment)} is not an RFC 3339 time with its zone") from error
    missing = [name for name in ("specversion", "id", "source", "type") if name not in attributes]
    if missing:
        # The SDK would make up an id and a version, and so make every repeat a new event.
        raise _Wrong(f"not a CloudEvent: {', '.join(missing)} missing")
    try:
        CloudEvent({"time": _SOME_TIME, **attributes})
    except CloudEventValidationError as error:
        said = [f"{str(problems[0]).rstrip('.')}" for problems in error.errors.values()]
        raise _Wrong(f"not a CloudEvent 1.0: {'; '.join(said)}") from error
    _check_names(attributes)


def _check_names(attributes: Mapping[str, Any]) -> None:
    for name in ("id", "source"):
        if not re.search(ID_PATTERN, attributes[name]):
            raise _Wrong(f"{name} is longer than 1024 characters or has control characters in it")


def _is_event(value: Mapping[str, Any]) -> bool:
    """Whether it is a CloudEvent, if not one of ours: such a one has a name of its own."""
    return all(isinstance(value.get(name), str) for name in ("specversion", "id", "source", "type"))


_SOME_TIME: Final = datetime.fromisoformat("1970-01-01T00:00:00+00:00")
"""Stands in for an absent time, or the SDK would ask the clock."""


def _who_and_where(data: object, where: str) -> tuple[str, str | None, str, str]:
    if not isinstance(data, dict):
        raise _Wrong(f"{where} is {_kind(data)}; an object with cloud, region and image_id was expected")
    missing = [name for name in ("cloud", "region", "image_id") if data.get(name) is None]
    if missing:
        raise _Wrong(f"{', '.join(missing)} missing in {where}")
    for name in ("cloud", "region", "image_id", "account"):
        if data.get(name) is not None and not isinstance(data[name], str):
            raise _Wrong(f"{name} is {_kind(data[name])}; text was expected")
    if data["cloud"] not in CLOUD_NAMES:
        raise _Wrong(f"cloud {_quote(data['cloud'])} is unknown; expected one of {', '.join(CLOUD_NAMES)}")
    _check_place(data)
    return data["cloud"], data.get("account"), data["region"], data["image_id"]


def _check_place(data: Mapping[str, Any]) -> None:
    for name, pattern in (("region", NAME_PATTERN), ("image_id", NAME_PATTERN), ("account", ACCOUNT_PATTERN)):
        if data.get(name) is not None and not re.search(pattern, data[name]):
            raise _Wrong(f"{name} {_quote(data[name])} is not a name that a cloud gives")


def _checked(sighting: Sighting) -> Sighting:
    """What a reader took out of a record; anybody may have written that, and the readers look at its meaning alone."""
    _check_place(sighting._asdict())
    _check_names({"id": sighting.event_id, "source": sighting.source})
    return sighting


def _why_nobody_reads(value: Mapping[str, Any]) -> str:
    if "specversion" not in value:
        return f"neither a CloudEvent nor a record that is known here; it has {_some_keys(value)}"
    missing = [name for name in ("id", "source", "type") if not isinstance(value.get(name), str)]
    if missing:
        return f"not a CloudEvent: {', '.join(missing)} missing"
    return f"events of type {_quote(value['type'])} from {_quote(value['source'])} are not known here"


def _some_keys(value: Iterable[str]) -> str:
    keys = sorted(value)
    if not keys:
        return "no keys"
    return "the keys " + ", ".join(_quote(key) for key in keys[:8]) + (" …" if len(keys) > 8 else "")  # noqa: PLR2004 - enough to recognise it


def _kind(value: object) -> str:
    names = {dict: "an object", list: "an array", str: "text", bool: "true or false", type(None): "missing"}
    return names.get(type(value), "a number")


def _quote(value: object) -> str:
    text = value if isinstance(value, str) else str(value)
    return repr(text if len(text) <= _QUOTED else text[:_QUOTED] + "…")
