"""How much of the policies their tests exercise: each policy matched and not matched, each matcher true and false.

A matcher is asked about a test's image by itself, whatever stands beside it, so that the order of matchers does not
count. What is unknown was seen neither true nor false. The ``test`` command prints what this finds.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Any, Final, NamedTuple

from imageferry.core.decision import Ternary
from imageferry.core.image import ARCHES, CLOUD_NAMES, OS_FAMILIES, VISIBILITIES
from imageferry.core.match import Matcher
from imageferry.core.spec import MatchSpec
from imageferry.policies import Written, compiled_match
from imageferry.trials.judge import Outcome
from imageferry.wording import dotted

_Loc = tuple[str | int, ...]
_NESTED = {"any_of": "any", "all_of": "all"}
_CLOSED: Final[Mapping[str, tuple[str, ...]]] = {
    "cloud": CLOUD_NAMES,
    "os": OS_FAMILIES,
    "arch": ARCHES,
    "visibility": VISIBILITIES,
}
"""Matchers of facts that have one of a few words."""
_OPEN: Final = ("account", "region", "name", "os_name")
"""Matchers of facts that may have any."""


class Gap(NamedTuple):
    """Something that no test exercises."""

    path: str
    line: int
    column: int
    policy: str
    missing: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}:{self.column}: {self.policy}: {self.missing}"


class Coverage(NamedTuple):
    """What was seen of all there is to see."""

    seen: int
    total: int
    gaps: tuple[Gap, ...]

    @property
    def percent(self) -> int:
        """Whole percents, rounded down: 100 means everything."""
        return 100 * self.seen // self.total if self.total else 100


def measure(policies: Iterable[Written], outcomes: Iterable[Outcome]) -> Coverage:
    """What the tests' images showed of each policy and each of its matchers."""
    told: dict[str, list[tuple[Outcome, Ternary]]] = defaultdict(list)
    for outcome in outcomes:
        for verdict in outcome.decision.verdicts:
            told[verdict.policy].append((outcome, verdict.verdict))
    seen, total, gaps = 0, 0, list[Gap]()
    for one in policies:
        for loc, missing, was_seen in _points(one, told[one.spec.name]):
            total += 1
            seen += was_seen
            if not was_seen:
                at: _Loc = ("policies", one.place, *loc)
                gaps.append(Gap(one.document.name, *one.document.position(at, key=True), one.spec.name, missing))
    return Coverage(seen, total, tuple(gaps))


def _points(one: Written, asked: list[tuple[Outcome, Ternary]]) -> Iterator[tuple[_Loc, str, bool]]:
    """(where it is, what is said if no test shows it, whether one does); ``asked``: the tests that ask the policy."""
    verdicts = {verdict for _, verdict in asked}
    yield ("name",), "it matches in no test", "match" in verdicts
    written = list(matchers(one.spec.match))
    if not (one.spec.match.says_visibility() and one.spec.takes_copies) or any(each.can_fail for each in written):
        yield ("name",), "it is not matched in any test", "no_match" in verdicts
    for loc, matcher, can_fail in written:
        found = {matcher(outcome.trial.image, outcome.trial.now).verdict for outcome, _ in asked}
        yield ("match", *loc), f"{dotted(loc)} is true in no test", "match" in found
        if can_fail:
            yield ("match", *loc), f"{dotted(loc)} is false in no test", "no_match" in found


class Leaf(NamedTuple):
    """One matcher by itself."""

    loc: _Loc
    matcher: Matcher
    can_fail: bool
    """Whether any image that is known at all would not fit; ``region: "*"`` fits all of them."""


def matchers(spec: MatchSpec, at: _Loc = ()) -> Iterator[Leaf]:
    """Every matcher that is written, down to the last nested one, each compiled by itself."""
    for field in MatchSpec.model_fields:
        value: Any = getattr(spec, field)
        if field not in spec.model_fields_set:
            continue
        if field in _NESTED:
            for index, inner in enumerate(value):
                yield from matchers(inner, (*at, _NESTED[field], index))
        elif field == "not_":
            yield from matchers(value, (*at, "not"))
        elif field == "tags":
            yield from (
                Leaf((*at, "tags", key), _alone("tags", {key: globs}), can_fail=True) for key, globs in value.items()
            )
        else:
            yield Leaf((*at, field), _alone(field, value), _can_fail(field, value))


def _can_fail(field: str, value: Any) -> bool:  # noqa: ANN401 - the value of any matcher
    if field in _CLOSED:
        return not all(any(fnmatchcase(word, glob) for glob in value) for word in _CLOSED[field])
    if field in _OPEN:
        return not any(set(glob) == {"*"} for glob in value)
    return True


def _alone(field: str, value: object) -> Matcher:
    """One matcher of a ``match`` that has been validated already."""
    return compiled_match(MatchSpec.model_construct({field}, **{field: value}))
