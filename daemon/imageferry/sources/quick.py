"""The codec's fast path: the daemon's own type in one typed decode.

Called by the codec for every delivery. It finds no reasons, and takes nothing that the slow way would refuse or read
differently.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Final, Literal

import msgspec

from imageferry.core.image import CloudName
from imageferry.ports import Headers, Sighting
from imageferry.sources.headers import CONTENT_TYPE, is_binary

ID_PATTERN: Final = r"\A[^\x00-\x1f\x7f]{1,1024}\Z"
NAME_PATTERN: Final = r"\A[A-Za-z0-9][A-Za-z0-9._:-]{0,127}\Z"
ACCOUNT_PATTERN: Final = r"\A[^\x00-\x1f\x7f]{1,128}\Z"

_PLAIN_JSON: Final = (b"application/json", b"application/json; charset=utf-8")

_Text = Annotated[str, msgspec.Meta(min_length=1)]
_Id = Annotated[str, msgspec.Meta(pattern=ID_PATTERN)]
_Name = Annotated[str, msgspec.Meta(pattern=NAME_PATTERN)]
Time = Annotated[datetime, msgspec.Meta(tz=True)]
"""An RFC 3339 time with its zone."""


class _Data(msgspec.Struct, forbid_unknown_fields=True):
    """Our own data, with its facts unjudged.

    Surplus fields are left to the slow way, and the facts are decoded whole: what the decoder skips it does not
    check, and so it would take broken UTF-8 there.
    """

    cloud: CloudName
    region: _Name
    image_id: _Name
    account: Annotated[str, msgspec.Meta(pattern=ACCOUNT_PATTERN)] | None = None
    image: Any = None


class _Attributes(msgspec.Struct, forbid_unknown_fields=True):
    specversion: Literal["1.0"]
    type: Literal["io.imageferry.image.ready"]
    id: _Id
    source: _Id
    time: Time | None = None
    subject: _Text | None = None
    dataschema: _Text | None = None
    partitionkey: Any = None
    traceparent: Any = None
    tracestate: Any = None


class _Event(_Attributes, kw_only=True, forbid_unknown_fields=True):
    datacontenttype: _Text | None = None
    data: _Data


_event: Final = msgspec.json.Decoder(_Event).decode
_data: Final = msgspec.json.Decoder(_Data).decode


def quick(body: bytes, headers: Headers) -> Sighting | None:
    """The own type in one typed decode; None leaves it to the slow way."""
    try:
        if headers and is_binary(headers):
            attributes: _Attributes = msgspec.convert(_attributes(headers), _Attributes)
            data = _data(body)
        else:
            event = _event(body)
            attributes, data = event, event.data
    except (ValueError, RecursionError):
        return None
    return Sighting(attributes.source, attributes.id, data.cloud, data.account, data.region, data.image_id)


def _attributes(headers: Headers) -> dict[str, str]:
    attributes = {}
    for key, value in headers:
        if value is None:
            raise ValueError
        if key[:3] == "ce_":
            attributes[key[3:]] = value.decode()
        elif key.lower().startswith("ce_") or (key.lower() == CONTENT_TYPE and value.lower() not in _PLAIN_JSON):
            raise ValueError
    return attributes
