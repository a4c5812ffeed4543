"""What a cloud can never do for an image, as rows that each cloud's facts fill in; judged without asking the cloud.

Called by decisions through ``CloudFacts.preflight``. A fact that is not known refuses nothing: the cloud will say.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Literal, NamedTuple

from imageferry.core.answers import Refusal
from imageferry.core.image import Image, Visibility
from imageferry.core.job import ACTION_KINDS, ActionKind


class Wish(NamedTuple):
    """What is wanted of an image."""

    image: Image
    action: ActionKind
    destination: str
    options: Mapping[str, Any]


class Rule(NamedTuple):
    """One thing a cloud never does."""

    actions: Sequence[ActionKind]
    forbids: Callable[[Wish], bool | None]
    """Whether the rule is about this wish; None where a fact is not known."""
    reason: str
    """May name ``{image}`` (its :class:`Image`) and ``{destination}``."""
    klass: Literal["permanent_image", "permanent_config"] = "permanent_image"


EXPORT: Final[Sequence[ActionKind]] = ("export",)
COPY: Final[Sequence[ActionKind]] = ("copy",)
BOTH: Final[Sequence[ActionKind]] = ("export", "copy")


class Judge:
    """The preflight of a cloud: the first rule that forbids the wish gives the reason."""

    def __init__(self, rules: Sequence[Rule]) -> None:
        self.rules = tuple(rules)
        self._by_action = {action: [rule for rule in rules if action in rule.actions] for action in ACTION_KINDS}

    def __call__(
        self, image: Image, action: ActionKind, destination: str, options: Mapping[str, Any]
    ) -> Refusal | None:
        """See ``core.facts.Preflight``."""
        wish = Wish(image, action, destination, options)
        for rule in self._by_action[action]:
            if rule.forbids(wish):
                return Refusal(rule.klass, rule.reason.format(image=image, destination=destination))
        return None


def judge(*rules: Rule) -> Judge:
    """The preflight that these rules make, in their order."""
    return Judge(rules)


def visible(*kinds: Visibility) -> Callable[[Wish], bool]:
    """Whether the image is of one of these visibilities."""
    return lambda wish: wish.image.visibility in kinds


def encrypted(wish: Wish) -> bool | None:
    """Whether the image is encrypted."""
    return wish.image.encrypted


def windows(wish: Wish) -> bool:
    """Whether the image holds Windows."""
    return wish.image.os == "windows"


def extra(name: str, *values: object) -> Callable[[Wish], bool]:
    """Whether a fact that only this cloud has is one of these values; without values: whether it says anything."""
    if values:
        return lambda wish: name in wish.image.extra and wish.image.extra[name] in values
    return lambda wish: bool(wish.image.extra.get(name))
