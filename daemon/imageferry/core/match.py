"""Three-valued matchers: match, no match or unknown, each with a reason a person can read.

``decide`` compiles a policy's ``match`` here, once, into one function. A fact that is not known makes its matcher
unknown, never wrong, so that learning a fact later can settle a verdict but not turn it round. Nothing here knows
what a policy does once it matches.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from fnmatch import translate
from functools import lru_cache
from operator import attrgetter, methodcaller
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


def no_expressions(text: str) -> tuple[Slip, ...]:
    """The reader of those who expect no expressions: a silent one would leave images undone."""
    raise AssertionError(f"nobody handed in a reader of expressions, and here is one: {text}")


Word = Literal["cloud", "account", "region", "os", "arch", "visibility"]
Phrase = Literal["os_name", "name"]
Wanted = tuple[str, ...]

_WORDS: Final[tuple[Word, ...]] = ("cloud", "account", "region", "os", "arch", "visibility")
_PHRASES: Final[tuple[Phrase, ...]] = ("os_name", "name")
_PLACE: Final = frozenset({"cloud", "account", "region"})
_WILD: Final = re.compile(r"[*?\[]")
_MATCHERS: Final = 1024
"""How many matchers of words are shared by the policies that write the same."""
_VALUES: Final = 16
"""How many words each of them remembers."""


def compile_policy(spec: PolicySpec, read: Reader = no_expressions) -> tuple[Matcher, ...]:
    """The matchers of a policy, every one of which has to match, the default guards included."""
    return (*_matchers(spec.match, read), *_guards(spec))


def compile_match(spec: MatchSpec, read: Reader = no_expressions) -> Matcher:
    """One function for what is written, without the default guards."""
    return every(tuple(_matchers(spec, read)))


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


def every(parts: Sequence[Matcher], settled: Sequence[str] = ()) -> Matcher:
    """One function for matchers that all have to match.

    :param settled: the reasons of further ones that are known to match; they stand first.
    """
    if len(parts) == 1 and not settled:
        return parts[0]

    def ask(image: Image, now: int) -> Outcome:
        fitting = [*settled]
        unknown: list[str] = []
        for part in parts:
            verdict, reason = outcome = part(image, now)
            if verdict == "no_match":
                return outcome
            if reason:
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
    return ", ".join(dict.fromkeys(reasons))


def _when(text: str, read: Reader) -> Matcher:
    """The expression's own matcher; one that has something wrong is never decided, and so acts on nothing."""
    found = read(text)
    if not isinstance(found, tuple):
        return found
    unread = Outcome("unknown", f"when: {found[0].message}")
    return lambda _image, _now: unread


# --- one fact each -------------------------------------------------------------------------------------------------


@lru_cache(maxsize=_MATCHERS)
def _word(field: Word, globs: Wanted) -> Matcher:
    """A fact with few values: what is said of each is remembered, by all policies that want the same."""
    fits = _glob(globs)
    wanted = " or ".join(globs)
    get = _place_word(field) if field in _PLACE else attrgetter(field)
    unknown = Outcome("unknown", f"{field} is not known")

    @lru_cache(maxsize=_VALUES)
    def judged(value: str | None) -> Outcome:
        if value is None:
            return unknown
        if fits(value):
            return Outcome("match", f"{field} is {value}")
        return Outcome("no_match", f"{field} is {value}, wanted {wanted}")

    return lambda image, _now: judged(get(image))


def _place_word(field: str) -> Callable[[Image], str | None]:
    """A place is always known, except where an event leaves its account out: then it is empty."""

    def get(image: Image) -> str | None:
        value: str = getattr(image.place, field)
        return value or None

    return get


def _phrase(field: Phrase, globs: Wanted) -> Matcher:
    fits = _glob(globs)
    wanted = _alternatives(globs)
    get = attrgetter(field)
    unknown = Outcome("unknown", f"{field} is not known")

    def ask(image: Image, _now: int) -> Outcome:
        value: str | None = get(image)
        if value is None:
            return unknown
        if fits(value):
            return Outcome("match", f'{field} "{value}" matches {wanted}')
        return Outcome("no_match", f'{field} "{value}" does not match {wanted}')

    return ask


def _encrypted(*, wanted: bool) -> Matcher:
    unknown = Outcome("unknown", "encrypted is not known")
    fitting = Outcome("match", f"encrypted is {str(wanted).lower()}")
    failing = Outcome("no_match", f"encrypted is {str(not wanted).lower()}, wanted {str(wanted).lower()}")

    def ask(image: Image, _now: int) -> Outcome:
        if image.encrypted is None:
            return unknown
        return fitting if image.encrypted == wanted else failing

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
    young = Outcome("match", f"created within {wanted}")

    def ask(image: Image, now: int) -> Outcome:
        if image.created_at is None:
            return unknown
        if now - image.created_at <= longest:
            return young
        age = duration_text((now - image.created_at) // (60 * SECOND) * 60.0 or 60.0)
        return Outcome("no_match", f"created {age} ago, wanted within {wanted}")

    return ask


def _tag(key: str, globs: Wanted) -> Matcher:
    fits = _glob(globs)
    wanted = _alternatives(globs)
    unknown = Outcome("unknown", "tags are not known")
    missing = Outcome("no_match", f"tag {key} is missing, wanted {wanted}")

    def ask(image: Image, _now: int) -> Outcome:
        if image.tags is None:
            return unknown
        value = image.tags.get(key)
        if value is None:
            return missing
        if fits(value):
            return Outcome("match", f'tag {key} is "{value}"')
        return Outcome("no_match", f'tag {key} is "{value}", wanted {wanted}')

    return ask


_SILENT: Final = Outcome("match", "")
"""A guard that lets an image pass says nothing."""
_VISIBILITY_UNKNOWN: Final = Outcome("unknown", "visibility is not known")
_COPY_UNKNOWN: Final = Outcome("unknown", "whether it is a copy made by imageferry is not known")


def _private(image: Image, _now: int) -> Outcome:
    if image.visibility is None:
        return _VISIBILITY_UNKNOWN
    if image.visibility == "private":
        return _SILENT
    return Outcome("no_match", f"visibility is {image.visibility}, wanted private unless the policy says visibility")


def _no_copy(image: Image, _now: int) -> Outcome:
    if image.is_copy is None:
        return _COPY_UNKNOWN
    if image.is_copy:
        return Outcome("no_match", "it is a copy made by imageferry, not wanted unless the policy says copies: include")
    return _SILENT


def _glob(globs: Wanted) -> Callable[[str], object]:
    """One function for all of them; case counts, and ``*`` spans everything.

    What most people write, plain words and beginnings, needs no pattern, and is much faster without one.
    """
    if not any(_WILD.search(glob) for glob in globs):
        return frozenset(globs).__contains__
    beginnings = tuple(glob[:-1] for glob in globs if glob.endswith("*"))
    if len(beginnings) == len(globs) and not any(_WILD.search(text) for text in beginnings):
        return methodcaller("startswith", beginnings)
    return re.compile("|".join(translate(glob) for glob in globs)).match


def _alternatives(globs: Wanted) -> str:
    return " or ".join(f'"{glob}"' for glob in globs)
