"""Fenced blocks, inline code, links and table rows of the project's Markdown pages."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from support.programs import ROOT

PAGES = ["README.md", *sorted(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md"))]
"""Every page whose examples are tested."""

_FENCE = re.compile(r"^```(\w+)(?: title=(\S+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)


class Block(NamedTuple):
    page: str
    language: str
    title: str
    text: str


def text_of(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def blocks(language: str, title: str | None = None, *, pages: list[str] | None = None) -> list[Block]:
    """The fenced blocks of a language; with ``title`` only those of that title."""
    found = [Block(page, *match) for page in pages or PAGES for match in _FENCE.findall(text_of(page))]
    return [block for block in found if block.language == language and title in (None, block.title)]


def console(block: Block) -> Iterator[tuple[str, str]]:
    """Each command of a console block, and the output that it shows."""
    for part in re.split(r"^\$ ", block.text, flags=re.MULTILINE)[1:]:
        command, _, output = part.partition("\n")
        yield command, output


def prose(page: str) -> str:
    """A page without its fenced blocks."""
    return _FENCE.sub("", text_of(page))


def inline(page: str) -> list[str]:
    """Everything between single backticks outside of fenced blocks."""
    return re.findall(r"`([^`\n]+)`", prose(page))


def links(page: str) -> list[str]:
    """Targets of links that lead to files of the project."""
    return [target for target in re.findall(r"\]\(([^)\s]+)\)", prose(page)) if "://" not in target]
