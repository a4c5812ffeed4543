"""One image's decision: every policy's verdict with its reason, and what is to be done.

``PolicySet`` calls it with the policies that could match at the image's place. Two policies that want the same
destination make one action; nothing here looks at the ledger, so whether a job exists already is not known.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from imageferry.core.actions import Action, Asking, LeftOut, Wish, World
from imageferry.core.decision import PlannedAction, Verdict
from imageferry.core.image import Image
from imageferry.core.job import ActionKind
from imageferry.core.match import Matcher, every
from imageferry.core.template import Words, words_of

__all__ = ["Policy", "Round", "World"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """A policy, compiled."""

    name: str
    parts: tuple[Matcher, ...]
    ask: Matcher
    """All of the parts as one."""
    actions: tuple[Action, ...]
    needs: tuple[str, ...]
    """The placeholders of its templates."""
    names_cloud: bool
    """Whether it holds for some clouds only."""

    def at(self, bare: Image, now: int) -> Policy:
        """The policy for images of one place, given an image of which nothing but the place is known.

        A part that matches already does so whatever else becomes known, so it is not asked again.
        """
        outcomes = [part(bare, now) for part in self.parts]
        settled = [outcome.reason for outcome in outcomes if outcome.verdict == "match"]
        rest = [part for part, outcome in zip(self.parts, outcomes, strict=True) if outcome.verdict != "match"]
        return replace(self, ask=every(rest, settled))


class Round:
    """One round through the policies for one image; policies are consulted in file order."""

    def __init__(self, image: Image, world: World, now: int) -> None:
        self._image = image
        self._world = world
        self._now = now
        self._words: Words = {}
        self._planned: dict[tuple[ActionKind, str], PlannedAction] = {}

    @property
    def actions(self) -> tuple[PlannedAction, ...]:
        """What the policies consulted so far want, in the order they first wanted it."""
        return tuple(self._planned.values())

    def consult(self, policy: Policy) -> Verdict:
        """The policy's verdict; what it wants done is added to the actions."""
        verdict, reason = policy.ask(self._image, self._now)
        if verdict != "match":
            return Verdict(policy.name, verdict, reason)
        words = self._words_for(policy)
        unknown = [name for name in policy.needs if words[name] is None]
        if unknown:
            return Verdict(policy.name, "unknown", f"{', '.join(unknown)} is not known, and its templates need it")
        asking = Asking(self._image, self._world, words, policy.names_cloud)
        for action in policy.actions:
            for wish in action(asking):
                note = wish.reason if isinstance(wish, LeftOut) else self._add(policy, wish)
                if note:
                    reason = f"{reason}; {note}"
        return Verdict(policy.name, "match", reason)

    def _words_for(self, policy: Policy) -> Words:
        """What the placeholders stand for; all but the policy's own name is the same for every policy."""
        if not policy.needs:
            return {}
        if not self._words:
            self._words = words_of(self._image, policy.name, self._now)
        return {**self._words, "policy": policy.name} if "policy" in policy.needs else self._words

    def _add(self, policy: Policy, wish: Wish) -> str | None:
        key = (wish.action, wish.destination)
        first = self._planned.get(key)
        if first is None:
            self._planned[key] = PlannedAction(*key, wish.options, (policy.name,), wish.refused)
            return None
        if policy.name not in first.policies:
            self._planned[key] = first._replace(policies=(*first.policies, policy.name))
        return _difference(first, wish)


def _difference(first: PlannedAction, wish: Wish) -> str | None:
    """What the second policy has to know: it does not get the options it wrote."""
    other = [key for key in sorted(first.options.keys() | wish.options.keys()) if _at(first, key) != _at(wish, key)]
    if not other:
        return None
    differences = ", ".join(f"{key} {_at(first, key)}, not {_at(wish, key)}" for key in other)
    what = f"{wish.action} to {wish.destination}"
    return f"{what} is already wanted by policy {first.policies[0]}, whose options win: {differences}"


def _at(wanted: PlannedAction | Wish, key: str) -> str:
    value = wanted.options.get(key)
    return "none" if value in (None, "") else str(value).lower() if isinstance(value, bool) else str(value)
