"""What is wrong with a policy that has the right shape, as far as the clouds' rules tell without an image.

``policies`` asks at load, so that nobody waits for the first image to learn of it. It never judges what depends on
an image, an account or a region: ``decide`` refuses those, with the same rules.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from imageferry.core.actions import compile_options
from imageferry.core.facts import CloudFacts
from imageferry.core.image import CLOUD_NAMES
from imageferry.core.job import ActionKind
from imageferry.core.match import Reader, compile_match, no_expressions
from imageferry.core.options import Fault, bucket_fault, faults, name_room
from imageferry.core.policy import possible_clouds
from imageferry.core.spec import ActionSpec, CopySpec, ExportSpec, MatchSpec, PolicySpec
from imageferry.core.template import parse, sample_words
from imageferry.core.values import ANY_REGION

Loc = tuple[str | int, ...]


class Flaw(NamedTuple):
    """Something wrong inside one policy."""

    loc: Loc
    """The path within the policy, as its file writes it."""
    message: str
    """What is wrong; what was expected; a suggestion."""


@dataclass(frozen=True, slots=True)
class Draft:
    """What can be understood of a policy that may have errors elsewhere."""

    name: str
    match: MatchSpec | None
    actions: tuple[tuple[int, ActionSpec], ...]
    """With their places in the file's list."""

    @classmethod
    def whole(cls, spec: PolicySpec) -> Draft:
        """The draft of a policy without errors."""
        return cls(spec.name, spec.match, tuple(enumerate(spec.actions)))


def review(draft: Draft, clouds: Mapping[str, CloudFacts], read: Reader = no_expressions) -> Iterator[Flaw]:
    """Every flaw of one policy but those of its expressions; ``clouds`` are the facts of all clouds there are."""
    possible = possible_clouds(compile_match(draft.match, read)) if draft.match else tuple(clouds)
    if not possible:
        yield Flaw(("match",), "no cloud fits all of this; expected matchers that can hold together")
    facts = [clouds[cloud] for cloud in possible if cloud in clouds]
    names_cloud = len(facts) < len(clouds)
    for index, action in draft.actions:
        yield from _action(("actions", index), action, facts, draft.name, names_cloud=names_cloud)
    yield from _repeats(draft)


def _action(at: Loc, action: ActionSpec, facts: list[CloudFacts], policy: str, *, names_cloud: bool) -> Iterator[Flaw]:
    if action.export is not None:
        yield from _buckets((*at, "export", "bucket"), action.export, policy)
        yield from _options((*at, "export"), action.export, facts, policy, names_cloud=names_cloud)
    if action.copy_ is not None:
        yield from _options((*at, "copy"), action.copy_, facts, policy, names_cloud=names_cloud)


def _options(
    at: Loc, spec: ExportSpec | CopySpec, clouds: list[CloudFacts], policy: str, *, names_cloud: bool
) -> Iterator[Flaw]:
    """Flaws by option; a policy for any cloud is only wrong where no cloud takes what it says."""
    found: dict[str, list[str]] = defaultdict(list)
    for facts in clouds:
        for fault in _faults(facts, spec, policy):
            found[fault.option].append(fault.reason)
    for option, reasons in found.items():
        if names_cloud:
            yield from (Flaw((*at, option), reason) for reason in reasons)
        elif len(reasons) == len(clouds):
            yield Flaw((*at, option), f"no cloud takes this; {reasons[0]}")


def _faults(facts: CloudFacts, spec: ExportSpec | CopySpec, policy: str) -> Iterator[Fault]:
    """The cloud's faults with the options as they are with sample words."""
    kind: ActionKind = "export" if isinstance(spec, ExportSpec) else "copy"
    options = compile_options(spec)(sample_words(facts.name, policy))
    for fault in faults(facts, kind, options):
        written = getattr(spec, fault.option)
        became = f'; "{written}" becomes this at best' if written and written != options[fault.option] else ""
        yield Fault(fault.option, f"{fault.reason}{became}")
    if isinstance(spec, CopySpec) and spec.name is not None:
        yield from _long_name(facts, spec.name)


def _long_name(facts: CloudFacts, name: str) -> Iterator[Fault]:
    """Words may be cut to fit; what every name would lose is a mistake."""
    fixed = sum(map(len, parse(name).pieces[0::2]))
    if fixed > name_room(facts):
        reason = f"the name is too long for what makes a job unique; expected at most {name_room(facts)} characters"
        yield Fault("name", f"{reason} on {facts.name}")


def _buckets(at: Loc, spec: ExportSpec, policy: str) -> Iterator[Flaw]:
    """A bucket's rule is the same on every cloud, so one cloud's words will do."""
    words = sample_words(CLOUD_NAMES[0], policy)
    for region, text in spec.bucket.items():
        if reason := bucket_fault(parse(text).fill(words), text):
            yield Flaw(_bucket_at(at, region), reason)


def _repeats(draft: Draft) -> Iterator[Flaw]:
    """A destination that the same policy names twice: the second one would never be done as it is written."""
    seen: dict[tuple[str, ...], int] = {}
    for index, action in draft.actions:
        for at, destination in _destinations(action):
            if destination in seen:
                said = f'"{destination[-1]}" is a destination of actions[{seen[destination]}] already'
                yield Flaw(("actions", index, *at), f"{said}; expected each destination once in a policy")
            seen.setdefault(destination, index)


def _destinations(action: ActionSpec) -> Iterator[tuple[Loc, tuple[str, ...]]]:
    if action.export is not None:
        for region, bucket in action.export.bucket.items():
            yield _bucket_at(("export", "bucket"), region), ("export", region, bucket)
    if action.copy_ is not None:
        for index, region in enumerate(action.copy_.regions):
            yield ("copy", "regions", index), ("copy", region)


def _bucket_at(at: Loc, region: str) -> Loc:
    return at if region == ANY_REGION else (*at, region)
