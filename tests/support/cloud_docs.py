"""Makes the blocks of ``docs/clouds.md`` that repeat the code; what stands around them is written by hand.

A block begins with ``<!-- made: <what> <cloud> -->`` and ends with ``<!-- end -->``. ``support.docs`` calls it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final

from imageferry.clouds.facts import FACTS
from imageferry.clouds.preflight import Judge
from imageferry.core.facts import CloudFacts, KindLimit
from imageferry.core.units import rate_text

_BLOCK: Final = re.compile(r"(<!-- made: (\w+) (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)
_FACT: Final = re.compile(r"\{image\.(?:place\.)?(\w+)\}")


def renewed(page: Path) -> str:
    """The page with every block made anew."""
    text = page.read_text(encoding="utf-8")
    return _BLOCK.sub(lambda found: found[1] + BLOCKS[found[2]](FACTS[found[3]]) + found[4], text)


def blocks(page: Path) -> set[tuple[str, str]]:
    """(what, cloud) of every block that the page has."""
    return {(found[2], found[3]) for found in _BLOCK.finditer(page.read_text(encoding="utf-8"))}


def _settings(facts: CloudFacts) -> str:
    rows = "".join(f"| {name} | {value} |\n" for name, value in _rows(facts))
    return f"\n| setting or option | is |\n|---|---|\n{rows}\n"


def _rows(facts: CloudFacts) -> Iterator[tuple[str, str]]:
    words = (*facts.credential_words, *facts.optional_credential_words)
    yield "static credentials", ", ".join(f"`{word}`" for word in words)
    yield "`endpoint`", f"`{facts.endpoint}`"
    yield "`identity_endpoint`", f"`{facts.identity_endpoint}`"
    yield "`storage_endpoint`", f"`{facts.storage_endpoint}`"
    yield "requests are counted by", facts.counted_by
    for kind in ("export", "copy"):
        yield f"`limits.{kind}`", _limit(facts.limits[kind])
    yield "`limits.read`", f"`rate: {rate_text(facts.limits['read'].rate)}`"
    yield "`format`", ", ".join(f"`{each}`" for each in facts.formats) or "no choice"
    yield "`prefix`, as it is sent", f"`{_shown(facts.prefix_pattern)}`, {facts.prefix_longest} characters at the most"
    yield "options of an export", _options(facts.export_options, facts.export_required)
    yield "options of a copy", _options(facts.copy_options, facts.copy_required)
    yield "name of a copy", f"{facts.name_longest} characters at the most"
    for name, note in facts.notes.items():
        yield f"`{name}`", note


def _limit(limit: KindLimit) -> str:
    running = "learned from the cloud's refusals" if limit.running is None else f"{limit.running} per {limit.scope}"
    return f"`rate: {rate_text(limit.rate)}`; running: {running}"


def _options(has: frozenset[str], wants: frozenset[str]) -> str:
    return ", ".join(f"`{name}`{' (wanted)' if name in wants else ''}" for name in sorted(has))


def _shown(pattern: str) -> str:
    return pattern.replace("|", "\\|")


def _never(facts: CloudFacts) -> str:
    assert isinstance(facts.preflight, Judge)
    rules = facts.preflight.rules
    rows = [f"| {' and '.join(rule.actions)} | {_reason(rule.reason)} | `{rule.klass}` |\n" for rule in rules]
    return f"\n| of | reason that the job gets | class |\n|---|---|---|\n{''.join(rows)}\n"


def _reason(text: str) -> str:
    return _FACT.sub(r"(\1)", text).replace("{destination}", "(destination)")


BLOCKS: Final[Mapping[str, Callable[[CloudFacts], str]]] = {"settings": _settings, "never": _never}
"""What a block shows -> what makes it."""
