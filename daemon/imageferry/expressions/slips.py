"""What is wrong with an expression, in plain words: the library's own complaints, and what it lets pass.

Called by the reader of expressions. Positions are counted from 1 within the expression; ``policies`` finds their
places in the file.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import Final

from imageferry.core.match import Slip
from imageferry.core.values import close_to
from imageferry.expressions.facts import FACTS
from imageferry.expressions.text import Text

MOST_LOOPS: Final = 3
"""How many macros that go through a list may stand in one expression: each multiplies what the ones before it made."""
MOST_SUMS: Final = 4
"""How many ``+`` may stand beside these macros: texts that grow with every turn fill the memory within few steps."""
DEEPEST: Final = 32
"""The library's own bound."""

_COMPLAINT: Final = re.compile(r"(?:^|: )ERROR: <input>:(-?\d+):(-?\d+): (.*)$", re.MULTILINE)
_STATUS: Final = re.compile(r"^[A-Z_]+: | \[[A-Z_]+\]$")
_UNDECLARED: Final = re.compile(r"undeclared reference to '([^']+)'")
_OVERLOAD: Final = re.compile(r"found no matching overload for '([^']+)' applied to '\((.*)\)'")
_NO_PARTS: Final = re.compile(r"expression of type '([^']+)' cannot be the operand of a select operation")
_UNREADABLE: Final = re.compile(r"Syntax error: token recognition error at: '(.*)'", re.DOTALL)
_MISPLACED: Final = re.compile(r"Syntax error: (?:mismatched|extraneous) input '(.*?)' expecting")
_ABSENT: Final = re.compile(r"Syntax error: missing '(.*?)' at")
_HYPHENED: Final = re.compile(r"\bimage\.tags\.(\w+(?:-\w+)+)")
"""A tag's name with hyphens in it."""
_FUNCTIONS: Final = ("has", "size", "int", "uint", "double", "string", "bool", "bytes", "duration", "timestamp", "type")
_METHODS: Final = (
    *("contains", "endsWith", "startsWith", "matches", "size", "all", "exists", "exists_one", "filter", "map"),
    *("getFullYear", "getMonth", "getDate", "getDayOfMonth", "getDayOfWeek", "getDayOfYear"),
    *("getHours", "getMinutes", "getSeconds", "getMilliseconds"),
)
_WRITTEN: Final[Mapping[str, str]] = {
    "and": "&&",
    "or": "||",
    "not": "!",
    "=": "==",
    "===": "==",
    "<>": "!=",
    "&": "&&",
    "|": "||",
    "True": "true",
    "False": "false",
    "None": "null",
}
"""What other languages write, and how CEL writes it."""
_GLOBBED: Final = ("image.name", "image.os_name", "account", "region")
"""Facts that matchers compare with globs, and that have no "*" in them."""
_CURLY: Final = ("\u201c", "\u201d", "\u2018", "\u2019", "\u201e")
_PAIR: Final = "two values of one type"
_WANTED: Final[Mapping[str, str]] = {
    **dict.fromkeys(("==", "!=", "<", "<=", ">", ">=", "+", "-", "*", "/", "%"), _PAIR),
    **dict.fromkeys(("&&", "||"), "true or false on either side"),
    "!": "true or false",
    "?:": f"true or false before the ?, then {_PAIR}",
    "in": "a list, or a map, with values of that type",
    "[]": "a list and a number, or a map and a key of its type",
    **dict.fromkeys(("contains", "endsWith", "startsWith", "matches"), "two texts"),
    "size": "a text, a list or a map",
}


def of_library(complaint: str, text: Text) -> list[Slip]:
    """The library's complaint taken apart, in the order of the text."""
    found = [(int(line), int(column), said) for line, column, said in _COMPLAINT.findall(_STATUS.sub("", complaint))]
    if "recursion" in complaint or not found:
        return [Slip(1, 1, _whole(complaint))]
    if any(said.startswith("Syntax error") for _, _, said in found):
        found = found[:1]  # the library stumbles over the same thing again and again
    known = [each for each in found if "*error*" not in each[2]]  # of a part that is wrong itself, and told
    return sorted({_reworded(text, text.offset(line, column), said) for line, column, said in known or found})


def of_type(kind: str) -> Slip:
    """The expression gives something other than true or false."""
    gives = "something whose type is not known beforehand"
    if kind != "DYN":
        (gives,) = _kinds(kind.partition("<")[0])
    return Slip(1, 1, f"the expression gives {gives}; expected true or false")


def of_text(text: Text) -> Iterator[Slip]:
    """What the library lets pass, and would then never be decided, or decided wrongly."""
    for start, name in text.presences():
        if name in FACTS:
            expected = "expected has() of a tag, as in has(image.tags.env)"
            yield _at(text, start, f"has({name}) does not say whether it is known; {expected}; leave it out")
    for start, word in text.inner_words():
        yield _at(text, start, f'"{word}" is a word that CEL keeps for itself; expected names without "__"')
    for start in text.loops()[MOST_LOOPS:]:
        yield _at(text, start, f"too many lists are gone through; expected at most {MOST_LOOPS} of all, exists, map, …")
    for start in text.sums()[MOST_SUMS:] if text.loops() else ():
        expected = f"expected at most {MOST_SUMS} + beside all, exists, map, …"
        yield _at(text, start, f"too much is put together in lists; {expected}")
    for name, (start, literal) in text.comparisons():
        words = FACTS[name].words if name in FACTS else ()
        value = literal.strip("'\"")
        if words and value not in words and literal[0] in "'\"" and "\\" not in literal:
            expected = f"expected {', '.join(words)}{close_to(value.lower(), words)}"
            yield _at(text, start, f'{name} is never "{value}"; {expected}')
        elif name in _GLOBBED and "*" in value:
            matcher = name.removeprefix("image.")
            said = f'"{value}" is compared letter by letter, and {name} never has a "*"'
            yield _at(text, start, f'{said}; expected {name}.startsWith(…) or the matcher {matcher}: "{value}"')


def of_literal(name: str, literal: str, reason: str) -> str:
    """A literal that the library cannot use: nothing would ever be decided."""
    if name == "matches":
        return f"{literal} is not a regular expression: {reason}; expected one of RE2"
    written = 'a number with its unit, such as duration("36h") or duration("90m")'
    expected = written if name == "duration" else 'a time such as timestamp("2026-01-02T03:04:05Z")'
    value = literal.strip("'\"")
    days = value.removesuffix("d")
    near = f'; did you mean "{int(days) * 24}h"?' if days != value and days.isascii() and days.isdigit() else ""
    return f"{literal} is not a {name}; expected {expected}{near}"


def plain_reason(complaint: str) -> str:
    """What the library says of one evaluation, without its own codes."""
    if "Iteration budget exceeded" in complaint:
        return "it takes too many steps"
    said = _STATUS.sub("", _STATUS.sub("", complaint))
    if key := re.fullmatch(r'Key not found in map : "(.*)"', said, re.DOTALL):
        return f'there is no "{key[1]}"; ask first whether it is there, as in has(image.tags.env)'
    return said[:1].lower() + said[1:]


def _reworded(text: Text, offset: int, said: str) -> Slip:
    if found := _UNDECLARED.match(said):
        return _undeclared(text, offset, found[1])
    if found := _OVERLOAD.match(said):
        return _at(text, offset, _mistyped(found[1], found[2]))
    if found := _NO_PARTS.match(said):
        (kind,) = _kinds(found[1])
        expected = 'expected a "." behind the name of a map, such as image.tags.env'
        return _at(text, offset, f"{kind} has no parts; {expected}")
    if said.startswith("Syntax error"):
        return _at(text, offset, _misread(text.text[:offset], said))
    return _at(text, offset, f"{said[:1].lower()}{said[1:]}; expected an expression of CEL")


def _undeclared(text: Text, offset: int, name: str) -> Slip:
    """A name that does not exist; the library points behind it where it is called or has a dot."""
    start = offset - (name.rfind(".") if "." in name else 0)
    called = text.code[offset : offset + 1] == "(" and "." not in name
    if called:
        start = len(text.text[:offset].rstrip()) - len(name)
    if text.text[start : start + len(name)] != name:
        start = offset
    for found in _HYPHENED.finditer(text.code):
        if found.start(1) < start < found.end(1):
            said = f'"{found[1]}" is read as a subtraction; expected image.tags["{found[1]}"]'
            return _at(text, found.start(1), said)
    return _at(text, start, _no_function(name) if called else _no_fact(name))


def _no_function(name: str) -> str:
    if name in _METHODS:
        return f'"{name}" stands behind the value it asks about; expected such as image.name.{name}(…)'
    near = get_close_matches(name, (*_METHODS, *_FUNCTIONS), 1)
    known = ", ".join((*_FUNCTIONS[:2], *_METHODS[:4]))
    return f'unknown function "{name}"; expected one of CEL, such as {known}{_meant(near)}'


def _no_fact(name: str) -> str:
    if word := _WRITTEN.get(name):
        return f'"{name}" is no word of CEL; expected {word}'
    plain = ".".join(name.lower().split(".")[:2])  # what follows a right fact is not looked at
    same = {plain, f"image.{plain}", plain.removeprefix("image.")}
    near = [fact for fact in FACTS if fact in same] or get_close_matches(plain, FACTS, 1, 0.7)
    near = [] if plain == "image" else near
    quoted = "" if near or "." in name or plain == "image" else f'; write a text in quotes: "{name}"'
    return f'unknown fact "{name}"; expected one of {", ".join(FACTS)}{_meant(near)}{quoted}'


def _mistyped(function: str, kinds: str) -> str:
    name = function.strip("@_").replace("_", "") if not function[0].isalpha() else function
    taken = " and ".join(_kinds(kinds))
    return f'"{name}" cannot take {taken}; expected {_WANTED.get(name, "values of other types")}'


def _kinds(kinds: str) -> Iterator[str]:
    """The types as the library lists them, in words."""
    plain = re.sub(r"(map|list)\([^()]*\)", r"\1", kinds)
    for kind in plain.split(", "):
        word = kind.removeprefix("google.protobuf.").removesuffix("_type").lower()
        yield word if word in {"dyn", "null"} else f"{'an' if word[0] in 'aeiou' else 'a'} {word}"


def _misread(before: str, said: str) -> str:
    """What the library could not read, behind a text that it could."""
    if found := _ABSENT.match(said):
        return f'a "{found[1]}" is missing here; expected it'
    found = _MISPLACED.match(said) or _UNREADABLE.match(said)
    if found is None:
        return f"{said.removeprefix('Syntax error: ')}; expected an expression of CEL"
    if found[1] == "<EOF>":
        return "the expression ends too early; expected a value, or a bracket that closes"
    if found.re is _UNREADABLE and found[1].startswith(("'", '"')):
        return 'a quote is opened and not closed, or has an unknown escape after "\\"; expected a text in quotes'
    return _stray(before, found[1].strip())


def _stray(before: str, word: str) -> str:
    """A word that cannot stand where it is; people write what other languages want."""
    if word in _CURLY:
        return f"{word} is no quote of CEL; expected ' or \""
    if before.split()[-1:] == ["not"]:
        return 'this follows "not", which is no word of CEL; expected !'
    meant = _WRITTEN.get(f"=={word}" if before.endswith("==") else f"<{word}" if before.endswith("<") else word)
    return f'"{word}" cannot stand here; expected an expression of CEL{_meant([meant] if meant else [])}'


def _whole(complaint: str) -> str:
    if "recursion" in complaint:
        return f"the expression is nested too deep; expected at most {DEEPEST} levels of brackets and operators"
    return f"{plain_reason(complaint)}; expected an expression of CEL"


def _meant(near: Sequence[str]) -> str:
    return f"; did you mean {near[0]}?" if near else ""


def _at(text: Text, offset: int, message: str) -> Slip:
    return Slip(*text.place(offset), message)
