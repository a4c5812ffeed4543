"""Which options, prefixes and names a cloud takes: one set of rules, asked twice.

``review`` asks when the policies are loaded, with sample words in the templates; ``decide`` asks again with the real
ones. Nothing here knows why an image is wanted, or what the image is: that is the cloud's own preflight.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any, Final, NamedTuple

from imageferry.core.facts import CloudFacts
from imageferry.core.job import UNIQUE_LENGTH, ActionKind
from imageferry.core.values import close_to

_UNIQUE: Final = "a" * UNIQUE_LENGTH
"""Stands for the job-unique part."""
_BUCKET: Final = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
"""What all four object stores take."""


class Fault(NamedTuple):
    """An option that a cloud will not take."""

    option: str
    reason: str
    """What is wrong; what was expected; a suggestion."""


def faults(facts: CloudFacts, kind: ActionKind, options: Mapping[str, Any]) -> Iterator[Fault]:
    """Everything about these options that the cloud will not take, templates already filled in."""
    has, required = _words(facts, kind)
    for option in options:
        if option not in has:
            yield Fault(option, _no_such(facts, kind, option, tuple(sorted(has))))
    for option in sorted(required - options.keys()):
        yield Fault(option, f"{facts.name} wants {option} for every {kind}; expected it to be written")
    if options.get("quick") and "format" in options:
        yield Fault("format", "a quick export has a format of its own; expected either quick: true or format")
    for option, rule in _RULES.items():
        if option in has and (value := options.get(option)):
            yield from rule(facts, value)


@lru_cache(maxsize=256)
def bucket_fault(bucket: str, written: str | None = None) -> str | None:
    """Why no cloud can have a bucket of this name, or None; ``written`` is shown in its place."""
    if _BUCKET.fullmatch(bucket):
        return None
    expected = "3 to 63 lower-case letters, digits, dots or hyphens"
    return f'"{written or bucket}" cannot be the name of a bucket; expected {expected}'


def name_room(facts: CloudFacts) -> int:
    """How many characters of a copy's name are the policy's; a hyphen and the job-unique part follow."""
    return facts.name_longest - 1 - UNIQUE_LENGTH


def _words(facts: CloudFacts, kind: ActionKind) -> tuple[frozenset[str], frozenset[str]]:
    if kind == "export":
        return facts.export_options, facts.export_required
    return facts.copy_options, facts.copy_required


def _no_such(facts: CloudFacts, kind: ActionKind, option: str, has: tuple[str, ...]) -> str:
    return f"{facts.name} has no {option} for an {kind}; expected {_listing(has)}".replace("an copy", "a copy")


def _format(facts: CloudFacts, value: str) -> Iterator[Fault]:
    if value not in facts.formats:
        expected = _listing(facts.formats)
        reason = f'{facts.name} cannot export as "{value}"; expected {expected}{close_to(value, facts.formats)}'
        yield Fault("format", reason)


def _prefix(facts: CloudFacts, value: str) -> Iterator[Fault]:
    whole = f"{value}{facts.prefix_joint}{_UNIQUE}"
    room = facts.prefix_longest - len(facts.prefix_joint) - UNIQUE_LENGTH
    if len(value) > room:
        reason = f'prefix "{value}" leaves no room for what makes a job unique; expected at most {room} characters'
        yield Fault("prefix", f"{reason} on {facts.name}")
    elif not _pattern(facts.prefix_pattern).fullmatch(whole):
        reason = f'{facts.name} does not take the prefix "{value}"'
        yield Fault("prefix", f"{reason}; expected it to fit {facts.prefix_pattern} with {UNIQUE_LENGTH} more letters")


def _name(facts: CloudFacts, value: str) -> Iterator[Fault]:
    if not _pattern(facts.name_pattern).fullmatch(f"{value[: name_room(facts)]}-{_UNIQUE}"):
        yield Fault("name", f'{facts.name} does not take the name "{value}"; expected it to fit {facts.name_pattern}')


_RULES: Final = {"format": _format, "prefix": _prefix, "name": _name}


@lru_cache(maxsize=64)
def _pattern(text: str) -> re.Pattern[str]:
    return re.compile(text)


def _listing(words: tuple[str, ...]) -> str:
    return ", ".join(words) if words else "none"
