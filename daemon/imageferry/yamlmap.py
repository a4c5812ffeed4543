"""YAML that remembers where everything stands: file, line and column of every key and value.

Called by the settings and the policies. It reads one document of plain YAML 1.2 core types (``no``, ``012``, ``1:30``
and dates stay text, keys are always text) and turns whatever is wrong with it into complaints. It will not build
Python objects, expand what grows without bound, or quote from a file that is not YAML.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Final, NamedTuple, NoReturn, TypeAlias

import yaml
from pydantic import BaseModel, ValidationError

from imageferry.errors import BadFile, Complaint
from imageferry.scalars import offset_in_file
from imageferry.wording import reworded

LARGEST: Final = 8 * 1024 * 1024
"""Bytes a file may have."""
DEEPEST: Final = 48
"""How many lists and mappings may stand inside each other."""
MOST_NODES: Final = 250_000
"""Keys, values, lists and mappings a document may have, every alias counted with all that it stands for."""

Loc: TypeAlias = Sequence[str | int]
Plain: TypeAlias = Any
"""dict with text keys, list, str, int, float, bool or None."""
_Event: TypeAlias = Any
"""One of the parser's events; what is read of it follows from its class."""
_Mark: TypeAlias = Any
"""A place of the parser: ``line`` and ``column`` from 0; typed as optional there, though events always have it."""

_LOADER: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_TAG: Final = "tag:yaml.org,2002:"
_TYPES: Final[Mapping[str, type]] = {
    f"{_TAG}{name}": kind
    for name, kind in {"str": str, "int": int, "float": float, "bool": bool, "null": type(None)}.items()
}
_START: Final = yaml.Mark("", 0, 0, 0, None, 0)
_UNPRINTABLE: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff\ufffe\uffff]")
_INTEGER: Final = re.compile(r"[-+]?(?:0|[1-9][0-9]{0,99})|0o[0-7]{1,99}|0x[0-9a-fA-F]{1,99}")
_FLOAT: Final = re.compile(
    r"[-+]?(?:(?=.*[.eE])(?:\.[0-9]+|(?:0|[1-9][0-9]*)(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|\.(?:inf|Inf|INF))"
)
_WORDS: Final[Mapping[str, bool | float | None]] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **dict.fromkeys((".nan", ".NaN", ".NAN"), float("nan")),
}
_NO_KEY: Final = "did not find expected key"
_SYNTAX: Final = (
    ("mapping values are not allowed", 'a ":" stands where no key can begin; quote the text if the ":" belongs to it'),
    ("escape", 'an escape after "\\" is unknown; write the text in single quotes'),
    ("quoted scalar", "a quote is opened and never closed; close it"),
    ("flow sequence", 'a "[" is opened and not closed properly; look for a missing "," or "]"'),
    ("flow mapping", 'a "{" is opened and not closed properly; look for a missing "," or "}"'),
    ("unexpected ':'", 'a ":" stands inside a text; write "key: value" with a blank, or quote the text'),
    ("block sequence entries", 'a "- " stands where no list can begin; begin the list in the next line'),
    ("block scalar", 'nothing can follow a "|" or ">" in its line; begin the text in the next one, or quote it'),
    ("directive", 'a text cannot begin with a "%"; put it in quotes'),
    ("flow node", 'a "[" or "{" is opened and not closed properly; look for a missing "]" or "}"'),
    ("block node", 'a value cannot begin here; look for a missing "[", "{" or quote, or for a "-" without its item'),
    ("<document start>", "this does not belong to what stands above; look at the line above and at the indentation"),
    ("block mapping", "the indentation does not fit the lines above; begin the keys of a mapping in one column"),
    ("block collection", "the indentation does not fit the lines above; begin the items of a list in one column"),
    ("block end", "the indentation does not fit the lines above; begin what belongs together in one column"),
    ("could not find expected ':'", 'a key has no ":"; write "key: value"'),
    ("cannot start any token", "a text cannot begin with this character; put it in quotes"),
    ("alias", 'what follows the "*" names no anchor; put a text that begins with "*" in quotes'),
    ("anchor", 'what follows the "&" is not a name; put a text that begins with "&" in quotes'),
    ("tag", 'what follows the "!" is not a tag; put a text that begins with "!" in quotes'),
)


def read(path: Path, *, keep: bool = False) -> Document:
    """Read the one document of a file.

    :param keep: leave what can be read around (duplicate keys, tags) in ``Document.faults`` instead of raising it.
    :raises BadFile: it cannot be opened, or is not one document of plain YAML.
    """
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST + 1)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise BadFile([Complaint(str(path), 1, 1, f"the file cannot be read: {reason}")]) from error
    return parse(content, str(path), keep=keep)


def parse(content: str | bytes, name: str, *, keep: bool = False) -> Document:
    """Read one document from text; ``name`` stands for the file in complaints, the rest is as :func:`read`."""
    text = content if isinstance(content, str) else _decoded(content, name)
    _check_characters(text, name)
    builder = _Builder(text, name)
    root = builder.build()
    if builder.faults and not keep:
        raise BadFile(sorted(builder.faults))
    return Document(name, root, text, tuple(sorted(builder.faults)))


class Document:
    """What a file says, and where it says it. Positions are counted from 1."""

    def __init__(self, name: str, root: _Node, text: str, faults: tuple[Complaint, ...] = ()) -> None:
        self.name = name
        self.data: Plain = root.data
        self.faults = faults
        self._root = root
        self._text = text

    def complaint(self, loc: Loc, message: str, *, key: bool = False) -> Complaint:
        """A complaint at the value (or the key) of a path; where it is missing, at the nearest parent."""
        return Complaint(self.name, *self.position(loc, key=key), message)

    def complaints(self, error: ValidationError, model: type[BaseModel]) -> list[Complaint]:
        """Everything that a model refused, in plain words, in the order of the file, each thing once.

        Nothing is said of what stands where the file itself has a fault: its value is not the one that was meant.
        """
        faults = {(fault.line, fault.column) for fault in self.faults}
        found = {
            self.complaint(wrong.loc, wrong.message, key=wrong.key) for wrong in reworded(error, model, self.path_of)
        }
        return sorted(each for each in found if (each.line, each.column) not in faults)

    def position(self, loc: Loc, *, key: bool = False) -> tuple[int, int]:
        """Line and column of the value (or the key) at a path."""
        node = _Branch(self._root, self._root.line, self._root.column)
        rest = list(loc)
        for branch in self._walk(loc):
            node = branch
            rest.pop(0)
        at_key = key or bool(rest and node.node is not self._root)
        return (node.line, node.column) if at_key else (node.node.line, node.node.column)

    def complaint_within(self, loc: Loc, offset: int, message: str) -> Complaint:
        """A complaint at a character of the text at a path, counted from 0."""
        value: Plain = self.data
        for part in loc:
            value = value[part]
        start, end = self._spans[self.position(loc)]
        at = start + offset_in_file(self._text[start:end], value, offset)
        return Complaint(self.name, *_end_of(self._text[:at]), message)

    @cached_property
    def _spans(self) -> Mapping[tuple[int, int], tuple[int, int]]:
        """Where every text begins and ends, by its line and column; parsed again, as only complaints want it."""
        texts = (event for event in yaml.parse(self._text, Loader=_LOADER) if isinstance(event, yaml.ScalarEvent))
        marks: Iterator[tuple[_Mark, _Mark]] = ((event.start_mark, event.end_mark) for event in texts)
        return {(start.line + 1, start.column + 1): (start.index, end.index) for start, end in marks}

    def path_of(self, loc: Loc) -> tuple[str | int, ...]:
        """A path as pydantic gives it, without its union tags and whatever else is not in the file."""
        kept: list[str | int] = []
        node = self._root
        for part in loc:
            if branch := _branch(node, part):
                kept.append(part)
                node = branch.node
        return tuple(kept)

    def _walk(self, loc: Loc) -> Iterator[_Branch]:
        node = self._root
        for part in loc:
            branch = _branch(node, part)
            if branch is None:
                return
            yield branch
            node = branch.node


class _Node:
    """A value and its place; ``branches`` are the places of what is inside."""

    __slots__ = ("branches", "column", "data", "line", "size")

    def __init__(self, data: Plain, at: _Mark, branches: dict[str | int, _Branch] | None = None) -> None:
        self.data = data
        self.line, self.column = at.line + 1, at.column + 1
        self.branches = branches or {}
        self.size: int = 1 + sum(branch.node.size for branch in self.branches.values())


class _Branch(NamedTuple):
    """A node under its key (or its dash), with the key's place."""

    node: _Node
    line: int
    column: int


def _branch(node: _Node, part: str | int) -> _Branch | None:
    """What is under a key; a key whose text was to come from a file stands as ``<key>_file``."""
    return node.branches.get(part) or node.branches.get(f"{part}_file")


class _Builder:
    """Builds the nodes of one document from the parser's events, within the limits."""

    def __init__(self, text: str, name: str) -> None:
        self.faults: list[Complaint] = []
        self._text = text
        self._name = name
        self._events: Iterator[_Event] = iter(())
        self._anchors: dict[str, _Node | None] = {}
        self._seen = 0

    def build(self) -> _Node:
        """The root node.

        :raises BadFile: this is not one document of YAML, or too large a one.
        """
        self._events = self._parsed()
        root = None
        for event in self._events:
            if isinstance(event, yaml.DocumentStartEvent):
                if root is not None:
                    self._stop(event.start_mark, 'a second document begins here; expected one; remove the "---"')
                root = self._node(next(self._events), 1)
        if root is None or root.data is None:
            raise BadFile([Complaint(self._name, 1, 1, "the file is empty; expected a mapping of keys and values")])
        return root

    def _parsed(self) -> Iterator[_Event]:
        try:
            yield from yaml.parse(self._text, Loader=_LOADER)
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark or _START
            self.faults.clear()  # they quote keys, and nothing is quoted from a file that is not YAML
            self._stop(mark, f"this is not YAML: {self._syntax(error, mark)}")

    def _syntax(self, error: yaml.MarkedYAMLError, mark: _Mark) -> str:
        """The parser's words made plain, without anything from the file."""
        lines = self._text.split("\n")
        line = lines[mark.line] if mark.line < len(lines) else ""
        if "\t" in line[: len(line) - len(line.lstrip())] or line[mark.column : mark.column + 1] == "\t":
            return "a tab is used for indentation; expected spaces"
        said = f"{error.problem} {error.context}"
        if error.problem == _NO_KEY and line[: mark.column].strip():
            return "more stands here than belongs to the value before it; put the whole value in quotes"
        return next((plain for words, plain in _SYNTAX if words in said), "the text cannot be understood here")

    def _stop(self, mark: _Mark, message: str) -> NoReturn:
        raise BadFile([*self.faults, Complaint(self._name, mark.line + 1, mark.column + 1, message)])

    def _fault(self, mark: _Mark, message: str) -> None:
        self.faults.append(Complaint(self._name, mark.line + 1, mark.column + 1, message))

    def _node(self, event: _Event, depth: int) -> _Node:
        if depth > DEEPEST:
            self._stop(event.start_mark, f"lists and mappings are nested too deep; expected at most {DEEPEST} levels")
        if isinstance(event, yaml.AliasEvent):
            return self._alias(event)
        if event.anchor:
            self._anchors[event.anchor] = None
        node = self._fresh(event, depth)
        self._count(1, event.start_mark)
        if event.anchor:
            self._anchors[event.anchor] = node
        return node

    def _fresh(self, event: _Event, depth: int) -> _Node:
        if isinstance(event, yaml.ScalarEvent):
            return _Node(self._scalar(event), event.start_mark)
        self._check_tag(event, "seq" if isinstance(event, yaml.SequenceStartEvent) else "map")
        if isinstance(event, yaml.SequenceStartEvent):
            return self._sequence(event, depth)
        return self._mapping(event, depth)

    def _alias(self, event: _Event) -> _Node:
        node = self._anchors.get(event.anchor)
        if node is None:
            what = "stands inside itself" if event.anchor in self._anchors else "is not defined above"
            self._stop(event.start_mark, f'the anchor of this alias {what}; quote a text that begins with "*"')
        self._count(node.size, event.start_mark)
        return node

    def _count(self, nodes: int, mark: _Mark) -> None:
        self._seen += nodes
        if self._seen > MOST_NODES:
            self._stop(
                mark, f"the document is too large with its aliases expanded; expected at most {MOST_NODES} values"
            )

    def _sequence(self, start: _Event, depth: int) -> _Node:
        branches: dict[str | int, _Branch] = {}
        while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
            at = event.start_mark
            branches[len(branches)] = _Branch(self._node(event, depth + 1), at.line + 1, at.column + 1)
        return _Node([branch.node.data for branch in branches.values()], start.start_mark, branches)

    def _mapping(self, start: _Event, depth: int) -> _Node:
        branches: dict[str | int, _Branch] = {}
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            at = event.start_mark
            key = self._key(event, depth)
            value = self._node(next(self._events), depth + 1)
            if key in branches:
                self._fault(
                    at, f'the key "{key}" is here twice; expected it once; the first is in line {branches[key].line}'
                )
            elif key is not None:
                branches[key] = _Branch(value, at.line + 1, at.column + 1)
        return _Node({key: branch.node.data for key, branch in branches.items()}, start.start_mark, branches)

    def _key(self, event: _Event, depth: int) -> str | None:
        """A key's text; None where it is not text, which is said."""
        if not isinstance(event, yaml.ScalarEvent):
            self._node(event, depth + 1)
            self._fault(event.start_mark, "a list, mapping or alias is used as a key; expected a text")
            return None
        self._count(1, event.start_mark)
        self._check_tag(event, "str")
        if event.anchor:
            self._anchors[event.anchor] = _Node(event.value, event.start_mark)
        if event.value == "<<" and not event.style:
            self._fault(event.start_mark, 'the merge key "<<" is not part of YAML 1.2; write the keys out')
            return None
        return str(event.value)

    def _scalar(self, event: _Event) -> str | float | bool | None:
        text = str(event.value)
        if event.tag is None or event.tag == "!":
            return resolved(text) if event.tag is None and not event.style else text
        wanted = _TYPES.get(event.tag)
        value = text if wanted is str else resolved(text)
        if wanted is None or type(value) is not wanted:
            self._check_tag(event, "")
        return value

    def _check_tag(self, event: _Event, name: str) -> None:
        if event.tag not in {None, "!", _TAG + name}:
            shown = event.tag.replace(_TAG, "!!", 1)
            expected = "expected plain texts, numbers, lists and mappings"
            remedy = "leave the tag out" if shown.startswith("!!") else 'put a text that begins with "!" in quotes'
            self._fault(event.start_mark, f'the tag "{shown}" is not allowed here; {expected}; {remedy}')


def resolved(text: str) -> str | float | bool | None:
    """An unquoted text as YAML 1.2's core schema reads it; a number with a leading zero stays text."""
    if text in _WORDS:
        return _WORDS[text]
    if _INTEGER.fullmatch(text):
        return int(text, 0)
    return (
        float(text.replace(".inf", "inf").replace(".Inf", "inf").replace(".INF", "inf"))
        if _FLOAT.fullmatch(text)
        else text
    )


def _decoded(content: bytes, name: str) -> str:
    if len(content) > LARGEST:
        raise BadFile([Complaint(name, 1, 1, f"the file is too large; expected at most {LARGEST // 1024 // 1024} MiB")])
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        before = content[: error.start].decode()
        message = "the file is not UTF-8 text at this byte; expected UTF-8; save it so"
        raise BadFile([Complaint(name, *_end_of(before), message)]) from None


def _check_characters(text: str, name: str) -> None:
    if text.startswith("\ufeff"):
        raise BadFile([Complaint(name, 1, 1, "the file begins with a byte order mark; save it as UTF-8 without one")])
    if found := _UNPRINTABLE.search(text):
        message = f"the character U+{ord(found[0]):04X} is not text; expected printable characters only; remove it"
        raise BadFile([Complaint(name, *_end_of(text[: found.start()]), message)])


def _end_of(text: str) -> tuple[int, int]:
    """The position that follows a text."""
    return text.count("\n") + 1, len(text) - text.rfind("\n")
