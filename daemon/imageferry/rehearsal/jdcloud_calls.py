"""What the operations of the JD Cloud rehearsal have in common: a call, the world it meets, and its images.

The operation modules use it. It knows no operation and answers nothing.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Any, Final, Literal, NamedTuple
from urllib.parse import urlsplit

from pydantic import ConfigDict, TypeAdapter

from imageferry.core.times import SECOND
from imageferry.rehearsal.jdcloud_options import JdcloudOptions
from imageferry.rehearsal.journal import Journal
from imageferry.rehearsal.misbehaviour import Aim, Misbehaviours
from imageferry.rehearsal.options import AcceptedKey, checked
from imageferry.rehearsal.parameters import VendorError, Wanted, check_shape
from imageferry.rehearsal.store import NewImage, Store, StoredImage, Task

INVALID: Final = "INVALID_ARGUMENT"
UNFIT: Final = "FAILED_PRECONDITION"
NOT_FOUND: Final = "NOT_FOUND"

ImageSource = Literal["public", "thirdparty", "private", "shared", "community"]

_SOURCES: Final[Mapping[str, ImageSource]] = {
    "PUBLIC_IMAGE": "public",
    "MARKET_IMAGE": "thirdparty",
    "PRIVATE_IMAGE": "private",
    "SHARED_IMAGE": "shared",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class JdcloudFacts:
    """What only JD Cloud's images have; stands in ``NewImage.extra``."""

    __pydantic_config__ = ConfigDict(extra="forbid")

    root_device: Literal["cloudDisk", "localDisk"] = "cloudDisk"
    imported: bool = False
    community: bool = False
    launch_permission: Literal["", "all", "specifiedUsers", "ownerOnly"] = ""
    """Empty: all for public images, ownerOnly for the others."""
    instance_id: str = ""
    """The instance that it was made from."""
    description: str = ""
    deleting: bool = False
    copied: bool = False
    """Made by copyImages."""


_FACTS: Final = TypeAdapter(JdcloudFacts)


def check_facts(image: NewImage) -> None:
    """Check the facts that only JD Cloud's images have.

    :raises ValueError: one is unknown or does not fit.
    """
    checked(_FACTS, image.extra)


def facts_of(image: StoredImage) -> JdcloudFacts:
    """What only JD Cloud's images have; it was checked when the image was put there."""
    return JdcloudFacts(**image.facts.extra)


@dataclass(frozen=True, slots=True)
class Export:
    """An export task, and what its image and bucket do not tell."""

    task: Task
    oss_url: str
    failure: str
    """Why it fails, where it does."""


class Repeat(NamedTuple):
    """What was answered to the first request with a client token."""

    at: int
    answer: Mapping[str, Any] | VendorError


@dataclass(slots=True)
class World:
    """Everything that the operations of one rehearsal share."""

    options: JdcloudOptions
    chance: random.Random
    store: Store
    faults: Misbehaviours
    journal: Journal
    exports: dict[str, Export] = field(default_factory=dict)
    """By task id, oldest first."""
    repeats: dict[tuple[str, str], Repeat] = field(default_factory=dict)
    """(region, client token) -> the first answer."""
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

    def check_room(self, action: str, region: str, more: int, now: int) -> None:
        """Check that ``more`` tasks may start.

        :raises VendorError: as many run as may.
        """
        limit = self.options.exports_running if action == "exportImage" else self.options.copies_running
        if limit is not None and self.store.running(action, self.scope(region)).count(now) + more > limit:
            raise VendorError("QUOTA_EXCEEDED", self.options.running_limit_message)

    def scope(self, region: str) -> str:
        """Over what running tasks of a region are counted."""
        return region if self.options.running_scope == "region" else "*"

    def time_text(self, at: int) -> str:
        """A time as the vendor writes it: without a zone."""
        return datetime.fromtimestamp(at // SECOND, self._zone).strftime("%Y-%m-%d %H:%M:%S")

    def time_of(self, text: str) -> int:
        """The inverse of :meth:`time_text`.

        :raises VendorError: it is not such a time.
        """
        try:
            moment = datetime.strptime(text, "%Y-%m-%d %H:%M:%S").replace(tzinfo=self._zone)
        except ValueError:
            raise VendorError(INVALID, f"Invalid time '{text}'") from None
        return int(moment.timestamp()) * SECOND

    @property
    def _zone(self) -> timezone:
        return timezone(timedelta(hours=self.options.zone_hours))


@dataclass(frozen=True, slots=True)
class Call:
    """One request, as far as its operation is concerned."""

    action: str
    region: str
    resource: str
    """The id in its path; empty where there is none."""
    params: Mapping[str, Any]
    """Of the query or the body; what is null, and what only repeats the path, is left out."""
    request_id: str
    at: int
    """When it arrived, microseconds by the rehearsal's clock."""

    def flag(self, name: str) -> bool:
        """A boolean parameter; false when it is not given."""
        return self.params.get(name) is True

    def text(self, name: str) -> str:
        """A parameter that is a string; empty when it is not given, or is something else."""
        value = self.params.get(name)
        return value if isinstance(value, str) else ""

    def strings(self, name: str) -> list[str]:
        """A parameter that is a list of strings; empty when it is not given, or is something else."""
        value = self.params.get(name)
        return [each for each in value if isinstance(each, str)] if isinstance(value, list) else []

    @property
    def image_ids(self) -> list[str]:
        """The images that it is about."""
        named = [self.resource] if self.resource and self.action != "describeSnapshot" else []
        return [*named, *self.strings("sourceImageIds"), *self.strings("ids")]

    def aim(self) -> Aim:
        """What faults see of it."""
        bucket = self.text("bucket") or bucket_in(self.text("ossUrl"))
        destinations = [each for each in (self.text("destinationRegion"), bucket) if each]
        return Aim(self.action, self.region, self.image_ids, destinations)


class Operation(NamedTuple):
    """An operation: where it stands, its parameters, and what it does at a given time."""

    name: str
    method: str
    path: re.Pattern[str]
    """Of the decoded path, with the groups ``region`` and ``id`` where it has them."""
    wanted: Mapping[str, Wanted]
    perform: Callable[[World, Call, int], dict[str, Any]]


def check_parameters(call: Call, wanted: Mapping[str, Wanted]) -> None:
    """Check a request's parameters against an operation's table.

    :raises VendorError: one is unknown, missing or of the wrong type.
    """
    try:
        check_shape(call.params, wanted)
    except VendorError as error:
        raise VendorError(INVALID, error.message) from None


def bucket_in(oss_url: str) -> str:
    """The first label of a bucket's URL; empty where there is none."""
    try:
        return (urlsplit(oss_url).hostname or "").partition(".")[0]
    except ValueError:
        return ""


# --- images --------------------------------------------------------------------------------------------------------


def shown(world: World, image: StoredImage, now: int) -> bool:
    """Whether the API knows the image yet."""
    return not facts_of(image).copied or now >= image.created_at + int(world.options.copy_shows_seconds * SECOND)


def image_of(world: World, region: str, image_id: str, now: int) -> StoredImage:
    """An image of a region.

    :raises VendorError: it is not there.
    """
    image = world.store.image(region, image_id, now)
    if image is None or not shown(world, image, now):
        raise VendorError(NOT_FOUND, f"Image '{image_id}' not found")
    return image


def source_of(image: StoredImage) -> ImageSource:
    """Whose image it is."""
    return "community" if facts_of(image).community else _SOURCES[image.facts.image_type]


def status_of(image: StoredImage, options: JdcloudOptions, now: int) -> str:
    """The word for an image's status."""
    if facts_of(image).deleting:
        return "deleting"
    if now < image.ready_at:
        return image.pending_state
    if image.fails:
        return "error"
    if image.copying_until > now:
        return options.state_while_copying
    return options.state_while_exporting if image.exporting_until > now else "ready"


def check_ready(image: StoredImage, options: JdcloudOptions, now: int) -> None:
    """Check that an image is whole, whether or not a task reads it.

    :raises VendorError: it is not.
    """
    if not image.settled(now) or facts_of(image).deleting:
        raise VendorError(UNFIT, f"Invalid image status '{status_of(image, options, now)}'")


def busy(world: World, image: StoredImage, now: int) -> VendorError:
    """The refusal of a task for the one that reads the image."""
    if world.options.busy_words == "image":
        return VendorError(UNFIT, f"The image '{image.id}' is busy")
    running = (each for each in reversed(world.store.tasks) if each.image_id == image.id and each.ends_at > now)
    task = next(running, None)
    return VendorError(UNFIT, f"Conflict with underlay image task '{task.id if task else ''}'")


def is_windows(image: StoredImage) -> bool:
    """Whether an image holds Windows."""
    return "windows" in f"{image.facts.platform} {image.facts.os_name}".lower()
