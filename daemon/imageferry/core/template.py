"""Templates such as ``compliance-{region}``: parsed once when the policies are loaded, filled in once a decision.

The policy models and ``decide`` use them. They know seven placeholders and do nothing but put words in: no
expressions, no escapes, no defaults.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from difflib import get_close_matches
from typing import Final

from imageferry.core.image import Image
from imageferry.core.times import SECOND

PLACEHOLDERS: Final = ("image.id", "image.name", "cloud", "account", "region", "policy", "date")
"""Everything that may stand between braces."""

_PIECES: Final = re.compile(r"\{([^{}]*)\}")
PATTERN: Final = rf"^(?:[^{{}}]|\{{(?:{'|'.join(map(re.escape, PLACEHOLDERS))})\}})+$"
"""What a template looks like, for the editors' schema; :func:`parse` says what is wrong with one that does not."""
_SHOWN: Final = " ".join(f"{{{name}}}" for name in PLACEHOLDERS)

Words = Mapping[str, str | None]
"""Placeholder -> its word; None where the fact is not known."""


@dataclass(frozen=True, slots=True)
class Template:
    """A parsed template: fixed texts at even places of ``pieces``, placeholders at odd ones."""

    text: str
    pieces: tuple[str, ...]
    needs: tuple[str, ...] = field(init=False)
    """The placeholders whose words have to be known before it can be filled in."""
    _shape: str = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "needs", self.pieces[1::2])
        object.__setattr__(self, "_shape", "%s".join(piece.replace("%", "%%") for piece in self.pieces[0::2]))

    def fill(self, words: Words) -> str:
        """The text with every placeholder replaced; the caller has seen that what it needs is known."""
        return self._shape % tuple([words[name] or "" for name in self.needs])


def parse(text: str) -> Template:
    """Read a template.

    :raises ValueError: a placeholder that does not exist, or a brace without its partner.
    """
    pieces = tuple(_PIECES.split(text))
    for name in pieces[1::2]:
        if name not in PLACEHOLDERS:
            raise ValueError(f"{{{name}}} is no placeholder; expected one of {_SHOWN}{_suggestion(name)}")
    if any("{" in literal or "}" in literal for literal in pieces[0::2]):
        raise ValueError(f'"{text}" has a brace without its partner; expected placeholders such as {{region}}')
    return Template(text, pieces)


def words_of(image: Image, policy: str, now: int) -> Words:
    """What the placeholders stand for; ``now`` in microseconds UTC gives ``{date}``."""
    place = image.place
    return {
        "image.id": image.id,
        "image.name": image.name,
        "cloud": place.cloud,
        "account": place.account or None,
        "region": place.region or None,
        "policy": policy,
        "date": datetime.fromtimestamp(now // SECOND, tz=UTC).strftime("%Y-%m-%d"),
    }


def sample_words(cloud: str, policy: str) -> Words:
    """Words as short and plain as real ones can be, for asking whether a template could ever fit.

    Every cloud's image ids and region ids have a hyphen in them.
    """
    return {
        "image.id": "m-1",
        "image.name": "a",
        "cloud": cloud,
        "account": "a",
        "region": "r-1",
        "policy": policy,
        "date": "2026-01-01",
    }


def _suggestion(name: str) -> str:
    """People write ``{image_name}``, ``{name}`` or ``{Region}``."""
    plain = name.strip().lower().replace("_", ".")
    close = [p for p in PLACEHOLDERS if p in (plain, f"image.{plain}")] or get_close_matches(plain, PLACEHOLDERS, 1)
    return f"; did you mean {{{close[0]}}}?" if close else ""
