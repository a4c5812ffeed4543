"""Small readers of what vendors answer: JSON that may be anything, numbers written as text, times, waits.

Every cloud's folder calls them. Pure; what cannot be read is empty or None, and never an error.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from imageferry.clouds.wire import Reply, http_date
from imageferry.core.times import SECOND, parse_rfc3339

LONGEST_WAIT: Final = 3600.0
"""Seconds of a wait that a vendor asks for that are believed."""


def json_object(text: str | bytes) -> Mapping[str, Any] | None:
    """A JSON object; None where the text is none."""
    try:
        data = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return data if isinstance(data, dict) else None


def object_of(value: object) -> Mapping[str, Any]:
    """A JSON object, also where it is written as a string; anything else is empty."""
    if isinstance(value, str):
        return json_object(value) or {}
    return value if isinstance(value, Mapping) else {}


def objects(value: object) -> list[Mapping[str, Any]]:
    """A list of objects; null, absent and anything else is empty."""
    return [each for each in value if isinstance(each, Mapping)] if isinstance(value, list) else []


def whole(value: object) -> int | None:
    """A whole number from 0, also one that is written as text; None where it is none."""
    text = str(value)
    return int(text) if text.isascii() and text.isdecimal() else None


def moment(text: object) -> int | None:
    """Microseconds UTC of an RFC 3339 time; None where it is none."""
    try:
        return parse_rfc3339(str(text))
    except ValueError:
        return None


def retry_after(reply: Reply) -> float | None:
    """Seconds that a Retry-After asks to wait, however it writes them; a date counts by the reply's own."""
    text = reply.headers.get("retry-after", "").strip()
    seconds = whole(text)
    if seconds is not None:
        return min(float(seconds), LONGEST_WAIT)
    until, now = http_date(text), http_date(reply.headers.get("date", ""))
    if until is None or now is None:
        return None
    return min(max(0.0, (until - now) / SECOND), LONGEST_WAIT)
