"""Right YAML files made wrong in the ways people do it; every change is drawn from a chance that is given."""

from __future__ import annotations

import re
from collections.abc import Callable
from random import Random
from typing import Final

Mutation = Callable[[str, Random], str]

_VALUES: Final = (
    "5",
    "-1",
    "1.5",
    "true",
    "",
    "null",
    '""',
    "[]",
    "{}",
    "[a, 7]",
    "{a: b}",
    "*alias",
    "&anchor",
    "!!binary eA==",
    "!!python/object/apply:os.system [id]",
    "2026-01-01",
    "nothing-of-the-kind",
    "{region}",
    "'unclosed",
    ".nan",
    "1e999",
    "0x10",
    "no",
    "a: b",
    "- a",
    "|",
    "@x",
    "${UNSET_VARIABLE}",
    "${",
    "Ärger",
)
_CHARACTERS: Final = (
    "\t",
    "\x00",
    "\x85",
    "\ufeff",
    "\ufffe",
    "\x1b",
    ":",
    "'",
    '"',
    "[",
    "]",
    "{",
    "}",
    "-",
    "#",
    ",",
    "%",
)
_KEY: Final = re.compile(r"([A-Za-z_]+)(?=:)")
_VALUE: Final = re.compile(r"(?<=: )[^\s,\]}#]+")


def _at(text: str, chance: Random, pattern: re.Pattern[str], change: Callable[[str], str]) -> str:
    """One occurrence of a pattern, outside of comments, changed."""
    comments = [range(*found.span()) for found in re.finditer(r"(?:^|(?<=\s))#.*$", text, re.MULTILINE)]
    found = [one for one in pattern.finditer(text) if not any(one.start() in comment for comment in comments)]
    one = chance.choice(found)
    return text[: one.start()] + change(one[0]) + text[one.end() :]


def _lines(text: str, chance: Random, change: Callable[[list[str], int], None]) -> str:
    lines = text.splitlines(keepends=True)
    written = [index for index, line in enumerate(lines) if line.strip() and not line.lstrip().startswith("#")]
    change(lines, chance.choice(written))
    return "".join(lines)


def misspell_key(text: str, chance: Random) -> str:
    def misspelled(key: str) -> str:
        place = chance.randrange(len(key))
        return chance.choice([key[:place] + key[place + 1 :], key[:place] + "x" + key[place:], key.upper(), f"{key}s"])

    return _at(text, chance, _KEY, misspelled)


def drop_value(text: str, chance: Random) -> str:
    return _at(text, chance, _VALUE, lambda _: "")


def change_value(text: str, chance: Random) -> str:
    return _at(text, chance, _VALUE, lambda _: chance.choice(_VALUES))


def misspell_value(text: str, chance: Random) -> str:
    return _at(text, chance, _VALUE, lambda value: value[:1] + "?" + value[2:])


def tab(text: str, chance: Random) -> str:
    def change(lines: list[str], index: int) -> None:
        lines[index] = "\t" + lines[index].lstrip()

    return _lines(text, chance, change)


def repeat_line(text: str, chance: Random) -> str:
    return _lines(text, chance, lambda lines, index: lines.insert(index, lines[index]))


def drop_line(text: str, chance: Random) -> str:
    def change(lines: list[str], index: int) -> None:
        del lines[index]

    return _lines(text, chance, change)


def swap_lines(text: str, chance: Random) -> str:
    def change(lines: list[str], index: int) -> None:
        other = chance.randrange(len(lines))
        lines[index], lines[other] = lines[other], lines[index]

    return _lines(text, chance, change)


def indent(text: str, chance: Random) -> str:
    def change(lines: list[str], index: int) -> None:
        lines[index] = " " * chance.randint(1, 4) + lines[index]

    return _lines(text, chance, change)


def outdent(text: str, chance: Random) -> str:
    def change(lines: list[str], index: int) -> None:
        lines[index] = lines[index].removeprefix("  ")

    return _lines(text, chance, change)


def nest(text: str, chance: Random) -> str:
    """Everything from a line on stands one level too deep."""

    def change(lines: list[str], index: int) -> None:
        lines[index:] = [f"  {line}" for line in lines[index:]]

    return _lines(text, chance, change)


def truncate(text: str, chance: Random) -> str:
    return text[: chance.randrange(1, len(text))]


def insert_character(text: str, chance: Random) -> str:
    place = chance.randrange(len(text))
    return text[:place] + chance.choice(_CHARACTERS) + text[place:]


def drop_mark(text: str, chance: Random) -> str:
    return _at(text, chance, re.compile(r"[][{}:\",'-]"), lambda _: "")


def wrap(text: str, chance: Random) -> str:
    return chance.choice(["- ", "x: ", "? ", "%", "---\n---\n", "... \n", "[", "&a "]) + text


MUTATIONS: Final[tuple[Mutation, ...]] = (
    misspell_key,
    drop_value,
    change_value,
    misspell_value,
    tab,
    repeat_line,
    drop_line,
    swap_lines,
    indent,
    outdent,
    nest,
    truncate,
    insert_character,
    drop_mark,
    wrap,
)
