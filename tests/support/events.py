"""Events as a build pipeline writes them."""

from __future__ import annotations

import json
from typing import Any

READY = "io.imageferry.image.ready"


def ready_event(image: str = "img-0yc6rie8", **changes: Any) -> dict[str, Any]:
    """A structured event of our own type; ``None`` removes an attribute, ``data__x`` changes one of the data."""
    data = {"cloud": "tencent", "account": "prod", "region": "ap-guangzhou", "image_id": image}
    event: dict[str, Any] = {
        "specversion": "1.0",
        "id": f"event-of-{image}",
        "source": "/build",
        "type": READY,
        "time": "2026-01-02T03:04:05.000006Z",
        "datacontenttype": "application/json",
        "data": data,
    }
    for name, value in changes.items():
        target, key = (data, name.removeprefix("data__")) if name.startswith("data__") else (event, name)
        target[key] = value
        if value is None:
            del target[key]
    return event


def ready_bytes(image: str = "img-0yc6rie8", **changes: Any) -> bytes:
    return json.dumps(ready_event(image, **changes)).encode()


def binary(event: dict[str, Any]) -> tuple[bytes, list[tuple[str, bytes]]]:
    """The same event in Kafka's binary mode: value and headers."""
    attributes = {name: value for name, value in event.items() if name not in {"data", "datacontenttype"}}
    headers = [(f"ce_{name}", str(value).encode()) for name, value in attributes.items()]
    return json.dumps(event["data"]).encode(), [*headers, ("content-type", b"application/json")]
