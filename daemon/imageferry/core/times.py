"""Times as people and events write them: RFC 3339, UTC, microseconds; inside they are integers."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

SECOND: Final = 1_000_000
"""Microseconds in a second."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


def rfc3339(micros: int) -> str:
    """``2026-01-02T03:04:05.000006Z`` for microseconds UTC."""
    return (_EPOCH + timedelta(microseconds=micros)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def rfc3339_or_none(micros: int | None) -> str | None:
    """The same, where the time may not have come yet."""
    return None if micros is None else rfc3339(micros)


def parse_rfc3339(text: str) -> int:
    """Microseconds UTC of an RFC 3339 time with a zone.

    :raises ValueError: it is not one, or has no zone.
    """
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"{text!r} has no time zone; write it as 2026-01-02T03:04:05Z")
    return (moment - _EPOCH) // _MICROSECOND
