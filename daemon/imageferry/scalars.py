"""Where a character of a YAML text stands in its file, however the text is written there.

Called by :mod:`imageferry.yamlmap` for complaints about something inside a text, such as an expression over several
lines. Quotes, escapes, folding and indentation change blanks and what escapes stand for, but never the order of the
other characters: so the n-th of them in the value is the n-th of them in the file.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

_PROPERTIES: Final = re.compile(r"(?:[&!]\S*\s+)*")
"""An anchor or a tag in front of the text."""
_HEADER: Final = re.compile(r"[|>][^\n]*\n?")
"""The line that begins a block; it may end in a comment."""
_SINGLE: Final = re.compile(r"''|.", re.DOTALL)
_DOUBLE: Final = re.compile(r"\\(?:x.{2}|u.{4}|U.{8}|\n|.)|.", re.DOTALL)
_PLAIN: Final = re.compile(r".", re.DOTALL)
_BLANK_ESCAPES: Final = frozenset(
    {"\\n", "\\t", "\\r", "\\v", "\\f", "\\ ", "\\N", "\\_", "\\L", "\\P", "\\\n", "\\\t"}
)


def offset_in_file(raw: str, value: str, offset: int) -> int:
    """The offset within ``raw`` of the character at an offset of the value.

    :param raw: the text as the file writes it, from its first character (a quote, an anchor, …) to its last.
    :param offset: a blank or the end of the value stand behind the character before them.
    """
    wanted = sum(not character.isspace() for character in value[:offset])
    behind = offset >= len(value) or value[offset].isspace()
    last = 0
    for number, (start, end) in enumerate(_marks(raw), start=1):
        if number == wanted + 1 and not behind:
            return start
        if number <= wanted:
            last = end
    return last


def _marks(raw: str) -> Iterator[tuple[int, int]]:
    """Where each character that is no blank begins and ends."""
    begin = _end(_PROPERTIES, raw, 0)
    style = raw[begin : begin + 1]
    if style in {"|", ">"}:
        begin, shape = _end(_HEADER, raw, begin), _PLAIN
    elif style in {"'", '"'}:
        begin, shape = begin + 1, _SINGLE if style == "'" else _DOUBLE
    else:
        shape = _PLAIN
    for found in shape.finditer(raw, begin):
        if not found[0].isspace() and not _is_blank(found[0]):
            yield found.span()


def _is_blank(written: str) -> bool:
    """Whether an escape stands for a blank."""
    if written in _BLANK_ESCAPES:
        return True
    return written[:2] in {"\\x", "\\u", "\\U"} and chr(int(f"0x{written[2:]}", 0)).isspace()


def _end(shape: re.Pattern[str], raw: str, begin: int) -> int:
    found = shape.match(raw, begin)
    return found.end() if found else begin
