"""Durations and rates as people write them, as pydantic types.

Used by the settings, the policies and the specs of sources and publishers. It never guesses a unit: a number without
one is an error that says how to write it.
"""

from __future__ import annotations

import re
from typing import Annotated, Final

from pydantic import BeforeValidator, WithJsonSchema

_SECONDS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
_NUMBER: Final = r"[0-9]{1,12}(?:\.[0-9]{1,6})?"
_DURATION: Final = re.compile(rf"({_NUMBER})(ms|s|m|h|d)")
_RATE: Final = re.compile(rf"({_NUMBER})/(s|m|h)")
_WRITE_DURATION: Final = "a number with its unit, such as 500ms 30s 5m 12h 7d"
_WRITE_RATE: Final = "a number of requests with its time, such as 20/s 300/m"


def parse_duration(value: object) -> float:
    """Seconds of ``500ms 30s 5m 12h 7d``.

    :raises ValueError: it is something else, or zero.
    """
    return _duration(value, "s")


def parse_age(value: object) -> float:
    """The same of how old something is, which people count in days."""
    return _duration(value, "d")


def parse_rate(value: object) -> float:
    """Requests a second of ``20/s 300/m``.

    :raises ValueError: it is something else, or zero.
    """
    if isinstance(value, str) and (found := _RATE.fullmatch(value)):
        return _positive(float(found[1]) / _SECONDS[found[2]], value, f"expected {_WRITE_RATE}")
    raise ValueError(f"{_shown(value)} is not a rate; expected {_WRITE_RATE}{_suggestion(value, '/s')}")


def duration_text(seconds: float) -> str:
    """The shortest way to write a number of seconds: ``90s``, ``24h``; the inverse of :func:`parse_duration`."""
    for unit in ("d", "h", "m", "s"):
        if seconds >= _SECONDS[unit] and seconds % _SECONDS[unit] == 0 and (unit != "d" or seconds > _SECONDS["d"]):
            return f"{seconds / _SECONDS[unit]:.0f}{unit}"
    return f"{seconds * 1000:g}ms"


def rate_text(per_second: float) -> str:
    """How to write a rate: ``20/s``, ``90/m``; the inverse of :func:`parse_rate`."""
    return f"{per_second:g}/s" if per_second >= 1 else f"{per_second * 60:g}/m"


def _duration(value: object, meant: str) -> float:
    """``meant`` is the unit that a number without one most likely means; it is only suggested."""
    if isinstance(value, str) and (found := _DURATION.fullmatch(value)):
        return _positive(float(found[1]) * _SECONDS[found[2]], value, f"expected {_WRITE_DURATION}")
    raise ValueError(f"{_shown(value)} is not a duration; expected {_WRITE_DURATION}{_suggestion(value, meant)}")


def _positive(number: float, value: str, expected: str) -> float:
    if number <= 0:
        raise ValueError(f'"{value}" is not more than zero; {expected}')
    return number


def _shown(value: object) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return f'"{value}"'
    return str(value) if isinstance(value, int | float) else "a list or mapping"


def _suggestion(value: object, unit: str) -> str:
    """A bare number most likely means the commonest unit."""
    text = str(value).strip()
    return f'; did you mean "{text}{unit}"?' if re.fullmatch(_NUMBER, text) else ""


Duration = Annotated[
    float,
    BeforeValidator(parse_duration),
    WithJsonSchema({"type": "string", "pattern": f"^{_NUMBER}(ms|s|m|h|d)$", "examples": ["30s", "5m"]}),
]
"""Seconds, written ``500ms 30s 5m 12h 7d``; more than zero."""

Age = Annotated[
    float,
    BeforeValidator(parse_age),
    WithJsonSchema({"type": "string", "pattern": f"^{_NUMBER}(ms|s|m|h|d)$", "examples": ["24h", "7d"]}),
]
"""The same, for how old something is."""

Rate = Annotated[
    float,
    BeforeValidator(parse_rate),
    WithJsonSchema({"type": "string", "pattern": f"^{_NUMBER}/(s|m|h)$", "examples": ["20/s", "300/m"]}),
]
"""Requests a second, written ``20/s 300/m``; more than zero."""
