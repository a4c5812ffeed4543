"""Reads the policies: one file or a folder of them, all complaints of all files at once.

``app`` holds a :class:`PolicyBook`, and ``reloading`` says when it is read again; ``check`` and ``plan`` call
:func:`load`, and the trials :func:`read_all`, to say where a policy is written. Nothing here watches files or decides
anything.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeVar

from pydantic import BaseModel, ValidationError

from imageferry import yamlmap
from imageferry.core.facts import CloudFacts
from imageferry.core.match import Matcher, Reader, compile_match
from imageferry.core.policy import PolicySet
from imageferry.core.review import Draft, Flaw, review
from imageferry.core.spec import ActionSpec, MatchSpec, PolicyFile, PolicySpec, TopMatchSpec
from imageferry.core.values import LONGEST_WHEN
from imageferry.errors import BadFile, Complaint
from imageferry.expressions.reader import Expressions
from imageferry.wording import dotted

TESTS: Final = ".test.yaml"
"""How the names of files end that hold tests: they stand beside the policies, and are none."""

Loc = tuple[str | int, ...]
_Model = TypeVar("_Model", bound=BaseModel)


class Written(NamedTuple):
    """A policy, and where it is written."""

    spec: PolicySpec
    document: yamlmap.Document
    place: int
    """Its index in the document's list."""


class _Read(NamedTuple):
    """One file, as far as it could be read."""

    document: yamlmap.Document | None
    specs: Sequence[PolicySpec]
    complaints: Sequence[Complaint]


def load(path: Path, clouds: Mapping[str, CloudFacts]) -> PolicySet:
    """Read a file, or every ``*.yaml`` of a folder in the order of their names, without those of tests.

    :param clouds: the facts of every cloud there is, by name.
    :raises BadFile: with everything that is wrong, file by file.
    """
    reader = Expressions()
    return PolicySet([one.spec for one in _read_all(path, clouds, reader)], reader)


def read_all(path: Path, clouds: Mapping[str, CloudFacts]) -> list[Written]:
    """The same policies with their places, in the order in which they are consulted.

    :raises BadFile: with everything that is wrong, file by file.
    """
    return _read_all(path, clouds, Expressions())


def _read_all(path: Path, clouds: Mapping[str, CloudFacts], reader: Reader) -> list[Written]:
    reads = [_read(file, clouds, reader) for file in _files(path)]
    repeated = _repeated([one.document for one in reads if one.document])
    complaints = [
        complaint
        for one in reads
        for complaint in sorted({*one.complaints, *(repeated.get(one.document, ()) if one.document else ())})
    ]
    complaints.extend(_strays(path))
    if complaints:
        raise BadFile(complaints)
    return [Written(spec, one.document, place) for one in reads if one.document for place, spec in enumerate(one.specs)]


def compiled(specs: Sequence[PolicySpec]) -> PolicySet:
    """The set of some policies that were read without complaints."""
    return PolicySet(specs, Expressions())


def compiled_match(spec: MatchSpec) -> Matcher:
    """A matcher, or some, of a policy that was read without complaints, by itself."""
    return compile_match(spec, Expressions())


def fingerprint(path: Path) -> str:
    """Tells whether any policy file is another than before, without understanding it."""
    seen = hashlib.sha256()
    try:
        for file in _files(path):
            seen.update(f"{file.name}\0".encode(errors="surrogateescape"))
            with file.open("rb") as opened:
                seen.update(opened.read(yamlmap.LARGEST + 1))
        seen.update("".join(str(stray) for stray in _strays(path)).encode(errors="surrogateescape"))
    except (BadFile, OSError) as error:
        seen.update(f"{error}".encode(errors="surrogateescape"))
    return seen.hexdigest()


Found = PolicySet | tuple[Complaint, ...]
"""A whole set, or why there is none."""


class PolicyBook:
    """The policy set in force. A reload swaps all of it or nothing."""

    def __init__(self, path: Path, clouds: Mapping[str, CloudFacts]) -> None:
        """Read the policies for the first time.

        :raises BadFile: without a first set there is nothing to keep.
        """
        self.path = path
        self._clouds = clouds
        self.current = load(path, clouds)
        self.complaints: tuple[Complaint, ...] = ()
        """What the last reload had to say; empty when it worked."""

    def reload(self) -> tuple[Complaint, ...]:
        """Read everything again. Complaints mean that the old set stays in force."""
        self.take(self.read())
        return self.complaints

    def read(self) -> Found:
        """What the files say now; nothing comes into force by it."""
        try:
            return load(self.path, self._clouds)
        except BadFile as error:
            return error.complaints
        except OSError as error:
            message = f"the policies cannot be read: {error.strerror or type(error).__name__}"
            return (Complaint(str(self.path), 1, 1, message),)

    def take(self, found: Found) -> bool:
        """Put what was read into force, all of it or nothing; whether that changes anything."""
        if not isinstance(found, PolicySet):
            changed = found != self.complaints
            self.complaints = found
            return changed
        changed = bool(self.complaints) or found.digest != self.current.digest
        self.complaints = ()
        if found.digest != self.current.digest:
            self.current = found
        return changed


def _files(path: Path) -> list[Path]:
    """The files to read.

    :raises BadFile: there are none, or one is no file at all.
    """
    try:
        inside = sorted(path.iterdir())
    except NotADirectoryError:
        return [path]
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        message = f"the policies cannot be read: {reason}; expected a file, or a folder with at least one file *.yaml"
        raise BadFile([Complaint(str(path), 1, 1, message)]) from error
    files = [file for file in inside if file.suffix == ".yaml" and not file.name.startswith(".")]
    files = [file for file in files if not file.name.endswith(TESTS)]
    if not files:
        message = f"no policies here; expected at least one file *.yaml{_instead(inside)}"
        raise BadFile([Complaint(str(path), 1, 1, message)])
    odd = [file for file in files if file.exists() and not (file.is_file() or file.is_dir())]
    if odd:  # opening one may wait for ever, and a reload with it
        raise BadFile([Complaint(str(file), 1, 1, "this is a pipe, socket or device; expected a file") for file in odd])
    return files


def _instead(inside: Sequence[Path]) -> str:
    """What of a folder without policies was most likely meant to be read."""
    others = [file for file in inside if file.suffix == ".yml"]
    folders = [folder.name for folder in inside if not folder.name.startswith(".") and any(folder.glob("*.yaml"))]
    if others:
        return f"; rename {others[0].name} to {others[0].stem}.yaml"
    return f"; folders in it, such as {folders[0]}, are not read" if folders else ""


def _strays(path: Path) -> Iterator[Complaint]:
    """Files of a folder that are meant to be read, by their names, and are not: nobody would learn of it."""
    for file in sorted(path.iterdir()) if path.is_dir() else ():
        if file.suffix.lower() in {".yaml", ".yml"} and file.suffix != ".yaml" and not file.name.startswith("."):
            message = f"this file is not read; expected a name that ends with .yaml; rename it to {file.stem}.yaml"
            yield Complaint(str(file), 1, 1, message)


def _read(file: Path, clouds: Mapping[str, CloudFacts], reader: Reader) -> _Read:
    try:
        document = yamlmap.read(file, keep=True)
    except BadFile as error:
        return _Read(None, (), error.complaints)
    slips = [*document.faults, *_slips(document, reader)]
    try:
        specs = PolicyFile.model_validate(document.data).policies
    except ValidationError as error:
        wrong = [details["loc"] for details in error.errors(include_url=False, include_context=False)]
        flaws = [flaw for flaw in _flaws(_drafts(document.data, wrong), clouds, reader) if flaw.loc not in wrong]
        complaints = document.complaints(error, PolicyFile)
        return _Read(document, (), [*slips, *_located(document, flaws), *complaints])
    return _Read(document, specs, [*slips, *_located(document, _flaws(map(Draft.whole, specs), clouds, reader))])


def _flaws(drafts: Iterable[Draft], clouds: Mapping[str, CloudFacts], reader: Reader) -> Iterator[Flaw]:
    """What review says, with paths from the file's root."""
    for index, draft in enumerate(drafts):
        for loc, message in review(draft, clouds, reader):
            yield Flaw(("policies", index, *loc), message)


def _located(document: yamlmap.Document, flaws: Iterable[Flaw]) -> Iterator[Complaint]:
    return (document.complaint(flaw.loc, f"{dotted(flaw.loc)}: {flaw.message}") for flaw in flaws)


# --- expressions: what is wrong with them is told whatever else is wrong around them --------------------------------


def _slips(document: yamlmap.Document, reader: Reader) -> Iterator[Complaint]:
    """What is wrong inside the expressions, each at its own place in the file."""
    for loc, text in _expressions(document.data):
        found = reader(text)
        for line, column, message in found if isinstance(found, tuple) else ():
            offset = sum(len(each) + 1 for each in text.split("\n")[: line - 1]) + column - 1
            yield document.complaint_within(loc, offset, f"{dotted(loc)}: {message}")


def _expressions(data: object) -> Iterator[tuple[Loc, str]]:
    for index, item in enumerate(_items(data)):
        if isinstance(item, dict):
            yield from _whens(("policies", index, "match"), item.get("match"))


def _whens(at: Loc, match: object) -> Iterator[tuple[Loc, str]]:
    """Every expression of a match that the models would take as one."""
    if not isinstance(match, dict):
        return
    text = match.get("when")
    if isinstance(text, str) and text.strip() and len(text) <= LONGEST_WHEN:
        yield (*at, "when"), text
    for key in ("any", "all"):
        nested = match.get(key)
        for index, inner in enumerate(nested if isinstance(nested, list) else []):
            yield from _whens((*at, key, index), inner)
    yield from _whens((*at, "not"), match.get("not"))


# --- a wrong file: what can be said about the rest of it, so that a person learns of everything in one go -----------


def _drafts(data: object, wrong: Sequence[Loc]) -> Iterator[Draft]:
    """What can be understood of each policy once every key with an error is left out."""
    rest = deepcopy(data)
    for loc in wrong:
        _drop(rest, loc)
    for item in _items(rest):
        parts = item if isinstance(item, dict) else {}
        name, actions = parts.get("name"), parts.get("actions")
        yield Draft(
            name if isinstance(name, str) else "",
            _tried(TopMatchSpec, parts.get("match")),
            tuple(_actions(actions if isinstance(actions, list) else [])),
        )


def _actions(items: Sequence[object]) -> Iterator[tuple[int, ActionSpec]]:
    for index, item in enumerate(items):
        if (spec := _tried(ActionSpec, item)) is not None:
            yield index, spec


def _tried(model: type[_Model], data: object) -> _Model | None:
    """The model, or None where errors remain; all of those are among the complaints already."""
    try:
        return model.model_validate(data)
    except ValidationError:
        return None


def _drop(node: object, loc: Loc) -> None:
    """Leave out what is wrong: the nearest key, or the nearest mapping in a list, which keeps its length."""
    holder: dict[Any, object] | list[Any] | None = None
    key: Any = None
    for part in loc:
        if isinstance(node, dict) and part not in node:
            return  # a missing key leaves nothing to drop
        if isinstance(node, dict):
            holder, key, node = node, part, node[part]
        elif isinstance(node, list) and isinstance(part, int) and part < len(node):
            holder, key = (node, part) if any(isinstance(item, dict) for item in node) else (holder, key)
            node = node[part]
    if isinstance(holder, dict):
        holder.pop(key)
    elif holder is not None:
        holder[key] = None


def _items(data: object) -> list[object]:
    items = data.get("policies") if isinstance(data, dict) else None
    return items if isinstance(items, list) else []


def _repeated(documents: Sequence[yamlmap.Document]) -> dict[yamlmap.Document, list[Complaint]]:
    """Complaints about names that stand above already, in the same file or in an earlier one."""
    first: dict[str, Complaint] = {}
    found: dict[yamlmap.Document, list[Complaint]] = {}
    for document in documents:
        for loc, name in _names(document.data):
            here = document.complaint(loc, "")
            there = first.setdefault(name, here)
            if there is not here:
                where = f"{there.path}:{there.line}:{there.column}"
                message = f'the policy name "{name}" is taken by {where}; expected another name'
                found.setdefault(document, []).append(here._replace(message=message))
    return found


def _names(data: object) -> Iterator[tuple[Loc, str]]:
    for index, item in enumerate(_items(data)):
        if isinstance(item, dict) and isinstance(name := item.get("name"), str):
            yield ("policies", index, "name"), name
