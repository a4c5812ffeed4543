"""What the actions of the Tencent rehearsal have in common: a call, the world it meets, and how images are found.

The action modules use it. It knows no action and answers nothing.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from imageferry.core.times import SECOND
from imageferry.rehearsal.journal import Journal
from imageferry.rehearsal.misbehaviour import Aim, Misbehaviours
from imageferry.rehearsal.options import AcceptedKey, RehearsalOptions
from imageferry.rehearsal.parameters import VendorError, Wanted
from imageferry.rehearsal.store import Store, StoredImage

_IMAGE_ID: Final = re.compile(r"img-[a-z0-9]{8}")


@dataclass(slots=True)
class World:
    """Everything that the actions of one rehearsal share."""

    options: RehearsalOptions
    chance: random.Random
    store: Store
    faults: Misbehaviours
    journal: Journal
    sessions: list[AcceptedKey] = field(default_factory=list)
    """Temporary keys that were given out."""

    @property
    def keys(self) -> list[AcceptedKey]:
        """Every key that may be let in."""
        return [*self.options.keys, *self.sessions]

    def duration(self, seconds: float) -> int:
        """Microseconds that a task takes which usually takes ``seconds``."""
        spread = self.options.duration_spread
        return int(seconds * self.chance.uniform(1 - spread, 1 + spread) * SECOND)

    def scope(self, region: str) -> str:
        """Over what running tasks of a region are counted."""
        return region if self.options.running_scope == "region" else "*"


@dataclass(frozen=True, slots=True)
class Call:
    """One request, as far as its action is concerned."""

    action: str
    region: str
    params: Mapping[str, Any]
    request_id: str
    at: int
    """When it arrived, microseconds by the rehearsal's clock."""
    key_id: str = ""
    """Whose key signed it; empty where none did."""

    def flag(self, name: str) -> bool:
        """A boolean parameter; false when it is not given."""
        return self.params.get(name) is True

    def strings(self, name: str) -> list[str]:
        """A parameter that is a list of strings; empty when it is not given, or is something else."""
        value = self.params.get(name)
        return [each for each in value if isinstance(each, str)] if isinstance(value, list) else []

    def aim(self) -> Aim:
        """What faults see of it."""
        bucket = self.params.get("BucketName")
        destinations = [*self.strings("DestinationRegions"), *([bucket] if isinstance(bucket, str) else [])]
        return Aim(self.action, self.region, self.strings("ImageIds"), destinations, self.flag("DryRun"))


class Action(NamedTuple):
    """An action: its parameters, and what it does at a given time."""

    wanted: Mapping[str, Wanted]
    perform: Callable[[World, Call, int], dict[str, Any]]
    needs_region: bool = True
    signed: bool = True


def check_ids(ids: Sequence[str], most: int, options: RehearsalOptions) -> None:
    """Check how image ids are written, and how many there are.

    :raises VendorError: an id is malformed, or there are too many.
    """
    if len(ids) > most:
        raise VendorError("InvalidParameterValue.LimitExceeded", f"At most {most} image ids are allowed.")
    for each in ids:
        if _IMAGE_ID.fullmatch(each) is None:
            raise VendorError("InvalidImageId.Malformed", culprit("The image id is malformed", each, options))


def images_of(world: World, call: Call, now: int) -> list[StoredImage]:
    """The images that a call names, in its order.

    :raises VendorError: one is not there.
    """
    found = []
    for each in call.strings("ImageIds"):
        image = world.store.image(call.region, each, now)
        if image is None:
            raise VendorError("InvalidImageId.NotFound", culprit("The image does not exist", each, world.options))
        found.append(image)
    return found


def culprit(text: str, image_id: str, options: RehearsalOptions) -> str:
    """A message about an image id, with the id where the options say that the vendor names it."""
    return f"{text}: `{image_id}`." if options.names_culprit else f"{text}."


def passed_dry_run(options: RehearsalOptions) -> dict[str, Any]:
    """The answer to a dry run that would have succeeded.

    :raises VendorError: where the options say that the vendor answers so with a code.
    """
    if options.dry_run_shape == "error":
        raise VendorError("DryRunOperation", "The request would have succeeded, but the DryRun parameter is set.")
    return {}


def names(image: StoredImage, *words: str) -> bool:
    """Whether an image's platform or system name has one of the words, in any case."""
    text = f"{image.facts.platform} {image.facts.os_name}".lower()
    return any(word in text for word in words)
