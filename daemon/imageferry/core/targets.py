"""Where the policies would send things from a place, as far as that can be said before any image is there.

``check --online`` asks, so that buckets and regions are tried before they are needed. Nothing here decides.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from imageferry.core.image import Image, Place
from imageferry.core.job import ActionKind
from imageferry.core.policy import PolicySet
from imageferry.core.spec import PolicySpec
from imageferry.core.template import parse, words_of
from imageferry.core.values import ANY_REGION

_SOMETIME: Final = 0
_OF_THE_IMAGE: Final = frozenset({"image.id", "image.name", "date"})


class Target(NamedTuple):
    """One destination that a policy may want for images of a place."""

    policy: str
    action: ActionKind
    destination: str
    """A bucket or a region; where ``open`` is True, a template that only an image fills in."""
    open: bool = False


def targets(policies: PolicySet, place: Place) -> list[Target]:
    """Every destination that a policy which could match here names, once for each policy, in file order."""
    return list(dict.fromkeys(target for spec in policies.candidates(place) for target in _targets(spec, place)))


def _targets(spec: PolicySpec, place: Place) -> Iterator[Target]:
    for action in spec.actions:
        if action.export is not None:
            text = action.export.bucket.get(ANY_REGION) or action.export.bucket.get(place.region)
            if text is not None:
                yield _bucket(spec.name, text, place)
        if action.copy_ is not None:
            yield from (Target(spec.name, "copy", region) for region in action.copy_.regions if region != place.region)


def _bucket(policy: str, text: str, place: Place) -> Target:
    bucket = parse(text)
    if _OF_THE_IMAGE & set(bucket.needs):
        return Target(policy, "export", text, open=True)
    return Target(policy, "export", bucket.fill(words_of(Image(place=place, id=""), policy, _SOMETIME)))
