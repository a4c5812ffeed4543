"""The policies in force, compiled, and asked about one image at a time.

``policies`` builds the set, flow asks it whether a place matters at all and what is to be done with an image. It
never changes: a reload makes a new set.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Sequence
from typing import Final, NamedTuple

from imageferry.core.actions import World, compile_action, templates
from imageferry.core.decide import Policy, Round
from imageferry.core.decision import Decision, Verdict
from imageferry.core.image import CLOUD_NAMES, Image, Place
from imageferry.core.match import Matcher, Reader, compile_policy, every, no_expressions
from imageferry.core.spec import PolicySpec

_SOMETIME: Final = 0
"""A place's own facts do not depend on the time."""


class _View(NamedTuple):
    """The set as seen from one place."""

    verdicts: tuple[Verdict, ...]
    """In file order; those of the policies that could match here stand for what an image will be told."""
    candidates: tuple[tuple[int, Policy], ...]
    """These policies, with their index; what the place itself settles is not asked again."""


class PolicySet:
    """Every policy in file order, indexed by the places where it could match."""

    def __init__(self, specs: Sequence[PolicySpec], read: Reader = no_expressions) -> None:
        self.names = tuple(spec.name for spec in specs)
        """In file order."""
        self.digest = _digest(specs)
        """The same for the same policies in the same order, whatever their files look like."""
        self.specs = tuple(specs)
        self._policies = tuple(compile_spec(spec, read) for spec in specs)
        self._views: dict[Place, _View] = {}

    def could_match(self, place: Place, only: Collection[str] = ()) -> bool:
        """Whether any policy, or any of these, could match an image at this place; remembered per place."""
        return any(not only or policy.name in only for _, policy in self._view(place).candidates)

    def candidates(self, place: Place) -> list[PolicySpec]:
        """The policies that could match an image at this place, in file order."""
        return [self.specs[index] for index, _ in self._view(place).candidates]

    def matched_nowhere(self, places: Sequence[Place]) -> dict[str, list[str]]:
        """The policies that could match at none of these places, each with what it says at every one of them."""
        views = [self._view(place) for place in places]
        somewhere = {index for view in views for index, _ in view.candidates}
        return {
            name: [view.verdicts[index].reason for view in views]
            for index, name in enumerate(self.names)
            if index not in somewhere
        }

    def decide(self, image: Image, world: World, now: int, only: Collection[str] = ()) -> Decision:
        """Every policy's verdict in file order, and what is to be done; ``now`` in microseconds UTC.

        :param only: ask no other policies than these; empty: ask them all.
        """
        view = self._view(image.place)
        verdicts = list(view.verdicts)
        asked = Round(image, world, now)
        for index, policy in view.candidates:
            if not only or policy.name in only:
                verdicts[index] = asked.consult(policy)
        told = verdicts if not only else [verdict for verdict in verdicts if verdict.policy in only]
        return Decision(image, tuple(told), asked.actions, self.digest, tuple(only))

    def _view(self, place: Place) -> _View:
        view = self._views.get(place)
        if view is None:
            view = self._views[place] = self._viewed(place)
        return view

    def _viewed(self, place: Place) -> _View:
        """Ask every policy about an image of which only the place is known.

        What then says no says no whatever else becomes known, so its verdict holds for every image of the place.
        """
        bare = Image(place=place, id="")
        verdicts = []
        candidates = []
        for index, policy in enumerate(self._policies):
            outcome = policy.ask(bare, _SOMETIME)
            verdicts.append(Verdict(policy.name, *outcome))
            if outcome.verdict != "no_match":
                candidates.append((index, policy.at(bare, _SOMETIME)))
        return _View(tuple(verdicts), tuple(candidates))


def compile_spec(spec: PolicySpec, read: Reader = no_expressions) -> Policy:
    """Compile one policy; nothing of it is read again when images are decided."""
    parts = compile_policy(spec, read)
    ask = every(parts)
    return Policy(
        name=spec.name,
        parts=parts,
        ask=ask,
        actions=tuple(compile_action(action) for action in spec.actions),
        needs=tuple(sorted({name for action in spec.actions for text in templates(action) for name in text.needs})),
        names_cloud=possible_clouds(ask) != CLOUD_NAMES,
    )


def possible_clouds(ask: Matcher) -> tuple[str, ...]:
    """The clouds at which a policy could match: those it does not refuse knowing nothing else."""
    images = {cloud: Image(place=Place(cloud, "", ""), id="") for cloud in CLOUD_NAMES}
    return tuple(cloud for cloud, image in images.items() if ask(image, _SOMETIME).verdict != "no_match")


def _digest(specs: Sequence[PolicySpec]) -> str:
    content = [spec.model_dump(mode="json", by_alias=True, exclude_unset=True) for spec in specs]
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]
