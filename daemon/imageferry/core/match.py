"""Three-valued matchers: match, no match or unknown, each with a reason a person can read.

``decide`` compiles a policy's ``match`` here, once, into one function. A fact that is not known makes its matcher
unknown, never wrong, so that learning a fact later can settle a verdict but not turn it round. Nothing here knows
what a policy does once it matches.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from fnmatch import translate
from typing import Final, Literal, NamedTuple

from imageferry.core.decision import Ternary
from imageferry.core.image import Image
from imageferry.core.spec import MatchSpec, PolicySpec, SizeSpec
from imageferry.core.times import SECOND
from imageferry.core.units import duration_text


class Outcome(NamedTuple):
    """What a matcher says of an image, and why."""

    verdict: Ternary
    reason: str


Matcher = Callable[[Image, int], Outcome]
"""(image, now in microseconds UTC) -> outcome."""


class Slip(NamedTuple):
    """Something wrong inside an expression, at a position counted from 1 within its text."""

    line: int
    column: int
    message: str
    """What is wrong; what was expected; a suggestion."""


Reader = Callable[[str], Matcher | tuple[Slip, ...]]
"""Understands expressions: a matcher, or everything that is wrong. It needs a library, so it is handed in."""


def no_expressions(_text: str) -> tuple[Slip, ...]:
    """The reader of those who have none."""
    return (Slip(1, 1, "expressions are not understood here"),)


Word = Literal["cloud", "account", "region", "os", "arch", "visibility"]
Phrase = Literal["os_name", "name"]
Wanted = Sequence[str]

_WORDS: Final[tuple[Word, ...]] = ("cloud", "account", "region", "os", "arch", "visibility")
_PHRASES: Final[tuple[Phrase, ...]] = ("os_name", "name")
_PLACE: Final = frozenset({"cloud", "account", "region"})


def compile_policy(spec: PolicySpec, read: Reader = no_expressions) -> Matcher:
    """One function for a policy's whole ``match``, the default guard included."""
    return _every([*_matchers(spec.match, read), *_guards(spec)])


def compile_match(spec: MatchSpec, read: Reader = no_expressions) -> Matcher:
    """One function for what is written, without the default guard."""
    return _every(list(_matchers(spec, read)))


def _matchers(spec: MatchSpec, read: Reader) -> Iterator[Matcher]:
    """The written matchers, those of the place first: they decide for most images."""
    yield from (_word(field, globs) for field in _WORDS if (globs := getattr(spec, field)) is not None)
    yield from (_phrase(field, globs) for field in _PHRASES if (globs := getattr(spec, field)) is not None)
    if spec.encrypted is not None:
        yield _encrypted(wanted=spec.encrypted)
    if spec.size_gib is not None:
        yield _size(spec.size_gib)
    if spec.created_within is not None:
        yield _created_within(spec.created_within)
    yield from (_tag(key, globs) for key, globs in (spec.tags or {}).items())
    yield from (compile_match(nested, read) for nested in spec.all_of or ())
    if spec.any_of is not None:
        yield _some([compile_match(nested, read) for nested in spec.any_of])
    if spec.not_ is not None:
        yield _negated(compile_match(spec.not_, read))
    if spec.when is not None:
        yield _when(spec.when, read)


def _guards(spec: PolicySpec) -> Iterator[Matcher]:
    """What holds unless the policy says otherwise."""
    if not spec.match.says_visibility():
        yield _private
    if not spec.takes_copies:
        yield _no_copy


# --- three-valued logic --------------------------------------------------------------------------------------------


def _every(parts: Sequence[Matcher]) -> Matcher:
    if len(parts) == 1:
        return parts[0]

    def ask(image: Image, now: int) -> Outcome:
        fitting: list[str] = []
        unknown: list[str] = []
        for part in parts:
            verdict, reason = part(image, now)
            if verdict == "no_match":
                return Outcome(verdict, reason)
            (fitting if verdict == "match" else unknown).append(reason)
        return Outcome("unknown", _joined(unknown)) if unknown else Outcome("match", _joined(fitting))

    return ask


def _some(parts: Sequence[Matcher]) -> Matcher:
    def ask(image: Image, now: int) -> Outcome:
        failing: list[str] = []
        unknown: list[str] = []
        for part in parts:
            verdict, reason = part(image, now)
            if verdict == "match":
                return Outcome(verdict, reason)
            (failing if verdict == "no_match" else unknown).append(reason)
        return Outcome("unknown", _joined(unknown)) if unknown else Outcome("no_match", _joined(failing))

    return ask


def _negated(part: Matcher) -> Matcher:
    def ask(image: Image, now: int) -> Outcome:
        verdict, reason = part(image, now)
        if verdict == "unknown":
            return Outcome(verdict, reason)
        return Outcome("match", reason) if verdict == "no_match" else Outcome("no_match", f"{reason}: not wanted")

    return ask


def _joined(reasons: Iterable[str]) -> str:
    """Each reason once, in order."""
    return ", ".join(dict.fromkeys(reason for reason in reasons if reason))


def _when(text: str, read: Reader) -> Matcher:
    """The expression's own matcher; one that has something wrong is never decided, and so acts on nothing."""
    found = read(text)
    if not isinstance(found, tuple):
        return found
    unread = Outcome("unknown", f"when: {found[0].message}")
    return lambda _image, _now: unread


# --- one fact each -------------------------------------------------------------------------------------------------


def _word(field: Word, globs: Wanted) -> Matcher:
    fits = _glob(globs)
    wanted = " or ".join(globs)
    get = _place_word(field) if field in _PLACE else _fact(field)
    unknown = Outcome("unknown", f"{field} is not known")

    def ask(image: Image, _now: int) -> Outcome:
        value = get(image)
        if value is None:
            return unknown
        if fits(value):
            return Outcome("match", f"{field} is {value}")
        return Outcome("no_match", f"{field} is {value}, wanted {wanted}")

    return ask


def _place_word(field: str) -> Callable[[Image], str | None]:
    """A place is always known, except where an event leaves its account out: then it is empty."""

    def get(image: Image) -> str | None:
        value: str = getattr(image.place, field)
        return value or None

    return get


def _fact(field: str) -> Callable[[Image], str | None]:
    def get(image: Image) -> str | None:
        value: str | None = getattr(image, field)
        return value

    return get


def _phrase(field: Phrase, globs: Wanted) -> Matcher:
    fits = _glob(globs)
    wanted = _alternatives(globs)
    unknown = Outcome("unknown", f"{field} is not known")

    def ask(image: Image, _now: int) -> Outcome:
        value: str | None = getattr(image, field)
        if value is None:
            return unknown
        if fits(value):
            return Outcome("match", f'{field} "{value}" matches {wanted}')
        return Outcome("no_match", f'{field} "{value}" does not match {wanted}')

    return ask


def _encrypted(*, wanted: bool) -> Matcher:
    unknown = Outcome("unknown", "encrypted is not known")
    shown = {True: "encrypted is true", False: "encrypted is false"}

    def ask(image: Image, _now: int) -> Outcome:
        if image.encrypted is None:
            return unknown
        if image.encrypted == wanted:
            return Outcome("match", shown[wanted])
        return Outcome("no_match", f"{shown[not wanted]}, wanted {str(wanted).lower()}")

    return ask


def _size(spec: SizeSpec) -> Matcher:
    least, most = spec.min, spec.max
    wanted = f"at least {least}" if most is None else f"at most {most}" if least is None else f"{least} to {most}"
    unknown = Outcome("unknown", "size_gib is not known")

    def ask(image: Image, _now: int) -> Outcome:
        size = image.size_gib
        if size is None:
            return unknown
        if (least is None or size >= least) and (most is None or size <= most):
            return Outcome("match", f"size_gib is {size}")
        return Outcome("no_match", f"size_gib is {size}, wanted {wanted}")

    return ask


def _created_within(seconds: float) -> Matcher:
    longest = round(seconds * SECOND)
    wanted = duration_text(seconds)
    unknown = Outcome("unknown", "created_at is not known")

    def ask(image: Image, now: int) -> Outcome:
        if image.created_at is None:
            return unknown
        if now - image.created_at <= longest:
            return Outcome("match", f"created within {wanted}")
        age = duration_text((now - image.created_at) // (60 * SECOND) * 60.0 or 60.0)
        return Outcome("no_match", f"created {age} ago, wanted within {wanted}")

    return ask


def _tag(key: str, globs: Wanted) -> Matcher:
    fits = _glob(globs)
    wanted = _alternatives(globs)
    unknown = Outcome("unknown", "tags are not known")

    def ask(image: Image, _now: int) -> Outcome:
        if image.tags is None:
            return unknown
        value = image.tags.get(key)
        if value is None:
            return Outcome("no_match", f"tag {key} is missing, wanted {wanted}")
        if fits(value):
            return Outcome("match", f'tag {key} is "{value}"')
        return Outcome("no_match", f'tag {key} is "{value}", wanted {wanted}')

    return ask


def _private(image: Image, _now: int) -> Outcome:
    if image.visibility is None:
        return Outcome("unknown", "visibility is not known")
    if image.visibility == "private":
        return Outcome("match", "")
    return Outcome("no_match", f"visibility is {image.visibility}, wanted private unless the policy says visibility")


def _no_copy(image: Image, _now: int) -> Outcome:
    if image.is_copy is None:
        return Outcome("unknown", "whether it is a copy made by imageferry is not known")
    if image.is_copy:
        return Outcome("no_match", "it is a copy made by imageferry, not wanted unless the policy says copies: include")
    return Outcome("match", "")


def _glob(globs: Wanted) -> Callable[[str], object]:
    """One compiled pattern for all of them; case counts, and ``*`` spans everything."""
    return re.compile("|".join(translate(glob) for glob in globs)).match


def _alternatives(globs: Wanted) -> str:
    return " or ".join(f'"{glob}"' for glob in globs)
