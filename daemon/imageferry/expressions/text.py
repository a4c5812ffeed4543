"""An expression's text as its reader looks at it: where its facts, calls and literals stand.

It knows just enough of CEL's words to tell what is code from what stands in quotes or comments; whether the code is
right is for the library to say.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, NamedTuple

_QUOTED: Final = re.compile(
    r"""//[^\n]*                                  # a comment
    | [bB]?[rR][bB]?(?:'''.*?'''|\"\"\".*?\"\"\"|'[^'\n]*'|"[^"\n]*")      # raw: a backslash is itself
    | [bB]?(?:'''(?:\\.|[^\\])*?'''|\"\"\"(?:\\.|[^\\])*?\"\"\"|'(?:\\.|[^'\\\n])*'|"(?:\\.|[^"\\\n])*")
    | [A-Za-z_][A-Za-z0-9_]*                      # a word, so that none of its letters begins a quote
    """,
    re.VERBOSE | re.DOTALL,
)
_PATH: Final = r"(?<![\w.])(?:image\s*\.\s*[a-z_]+|cloud|account|region)(?![\w])(?!\s*\()"
_FACT: Final = re.compile(_PATH)
_PRESENCE: Final = re.compile(rf"(?<![\w.])has\s*\(\s*({_PATH})\s*\)")
_INNER: Final = re.compile(r"\b__\w*")
_LOOP: Final = re.compile(r"\.\s*(?:all|exists|exists_one|map|filter)\s*\(")
_LITERAL: Final = "'#*'"
_CALL: Final = re.compile(rf"\b(duration|timestamp|matches)\s*\(\s*({_LITERAL})\s*\)")
_COMPARED: Final = (
    re.compile(rf"({_PATH})\s*[!=]=\s*({_LITERAL})"),
    re.compile(rf"({_LITERAL})\s*[!=]=\s*({_PATH})"),
)
_LISTED: Final = re.compile(rf"({_PATH})\s+in\s*\[(['#,\s]*)\]")


class Piece(NamedTuple):
    """A part of an expression and where it begins, counted from 0."""

    start: int
    text: str


class Text:
    """The text of one expression."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.code = _QUOTED.sub(lambda found: _covered(found[0]), text)
        """The text with everything in quotes covered and every comment blank; as long as the text."""

    def facts(self) -> tuple[str, ...]:
        """The names of the facts, each once, in the order of the text."""
        return tuple(dict.fromkeys(_plain(found[0]) for found in _FACT.finditer(self.code)))

    def presences(self) -> Iterator[Piece]:
        """The facts of which ``has()`` asks whether they are there."""
        return (Piece(found.start(1), _plain(found[1])) for found in _PRESENCE.finditer(self.code))

    def inner_words(self) -> Iterator[Piece]:
        """Words that CEL keeps for itself."""
        return (Piece(found.start(), found[0]) for found in _INNER.finditer(self.code))

    def loops(self) -> list[int]:
        """Where the macros that go through a list or a map begin."""
        return [found.start() for found in _LOOP.finditer(self.code)]

    def sums(self) -> list[int]:
        """Where something is added, or a text is put behind another."""
        return [found.start() for found in re.finditer(r"\+", self.code)]

    def literal_calls(self) -> Iterator[tuple[str, Piece]]:
        """Calls whose literal can be judged at once, with the literal: ``duration matches timestamp``."""
        for found in _CALL.finditer(self.code):
            yield found[1], self._piece(found, 2)

    def comparisons(self) -> Iterator[tuple[str, Piece]]:
        """Facts that are compared with a literal, with that literal."""
        forward, backward = _COMPARED
        yield from ((_plain(found[1]), self._piece(found, 2)) for found in forward.finditer(self.code))
        yield from ((_plain(found[2]), self._piece(found, 1)) for found in backward.finditer(self.code))
        for found in _LISTED.finditer(self.code):
            for literal in re.finditer(_LITERAL, found[2]):
                start = found.start(2) + literal.start()
                yield _plain(found[1]), Piece(start, self.text[start : start + len(literal[0])])

    def place(self, offset: int) -> tuple[int, int]:
        """Line and column of an offset, counted from 1."""
        before = self.text[:offset]
        return before.count("\n") + 1, offset - before.rfind("\n")

    def offset(self, line: int, column: int) -> int:
        """The offset of a line and a column; what is not in the text is brought to its nearest end."""
        lines = self.text.split("\n")
        line = min(max(line, 1), len(lines))
        return sum(len(each) + 1 for each in lines[: line - 1]) + min(max(column, 1) - 1, len(lines[line - 1]))

    def _piece(self, found: re.Match[str], group: int) -> Piece:
        return Piece(found.start(group), self.text[found.start(group) : found.end(group)])


def _covered(found: str) -> str:
    if found.startswith("//"):
        return " " * len(found)
    return f"'{'#' * (len(found) - 2)}'" if found[-1] in "'\"" else found


def _plain(path: str) -> str:
    return "".join(path.split())
