"""What a rehearsal cloud holds: images, objects, and the tasks that make them, as they are at a given moment.

The actions of a rehearsal cloud read and write it. Nothing runs in the background: whatever changes with time is
worked out from the time that is asked about. It refuses nothing; rules belong to the actions. Times are microseconds
UTC by the rehearsal's own clock.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from pydantic import ConfigDict

from imageferry.core.times import rfc3339, rfc3339_or_none

ID_LETTERS: Final = "abcdefghijklmnopqrstuvwxyz0123456789"
GIB: Final = 1 << 30

ImageType = Literal["PRIVATE_IMAGE", "PUBLIC_IMAGE", "SHARED_IMAGE", "MARKET_IMAGE"]


@dataclass(frozen=True, slots=True, kw_only=True)
class NewImage:
    """An image to put into a rehearsal cloud, as a test or a person describes it."""

    __pydantic_config__ = ConfigDict(extra="forbid")

    region: str
    image_id: str = ""
    """Made up when empty."""
    name: str = ""
    """The id when empty."""
    platform: str = "Ubuntu"
    os_name: str = "Ubuntu Server 22.04 LTS 64bit"
    architecture: str = "x86_64"
    size_gib: int = 20
    data_disks_gib: tuple[int, ...] = ()
    image_type: ImageType = "PRIVATE_IMAGE"
    source: str = "CREATE_IMAGE"
    encrypted: bool = False
    market_derived: bool = False
    """Looks like any own image, but exports of it are refused."""
    instance_image: bool = False
    location_bound: bool = False
    without_snapshots: bool = False
    tags: Mapping[str, str] = field(default_factory=dict)
    ready_seconds: float | None = None
    """CREATING for so long; None: as the options say."""
    fails: bool = False
    """CREATEFAILED instead of NORMAL."""
    created_at: int | None = None
    """Microseconds UTC; None: now."""
    extra: Mapping[str, Any] = field(default_factory=dict)
    """Facts that only one cloud's images have, in that rehearsal's own words."""


@dataclass(frozen=True, slots=True)
class Disk:
    """A disk of an image and its snapshot."""

    snapshot_id: str
    system: bool
    size_gib: int


@dataclass(slots=True, kw_only=True)
class StoredImage:
    """An image that is there."""

    id: str
    region: str
    facts: NewImage
    name: str
    disks: tuple[Disk, ...]
    created_at: int
    ready_at: int
    pending_state: str = "CREATING"
    fails: bool = False
    vanishes: bool = False
    """A failed copy that is gone at ``ready_at`` instead of CREATEFAILED."""
    exporting_until: int = 0
    copying_until: int = 0

    def there(self, now: int) -> bool:
        """Whether the cloud still shows it."""
        return not (self.vanishes and now >= self.ready_at)

    def settled(self, now: int) -> bool:
        """Whether it is whole: NORMAL, or busy as the source of a task."""
        return now >= self.ready_at and not self.fails

    def busy(self, now: int) -> bool:
        """Whether a task reads it."""
        return max(self.exporting_until, self.copying_until) > now


@dataclass(frozen=True, slots=True)
class StoredObject:
    """One writing of an object."""

    size: int
    etag: str
    appears_at: int
    whole_at: int

    def size_at(self, now: int) -> int:
        """Its length as HEAD tells it: half of it until it is whole."""
        return self.size if now >= self.whole_at else self.size // 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """An export or a copy that was accepted."""

    id: str
    action: str
    region: str
    image_id: str
    destination: str
    """Bucket or target region."""
    request_id: str
    requested_at: int
    accepted_at: int
    """Later than ``requested_at`` where the work was done late."""
    ends_at: int
    fails: bool
    objects: tuple[str, ...] = ()
    """Keys that the export writes, or would have written."""
    new_image_id: str = ""

    def to_json(self, now: int) -> dict[str, Any]:
        """As the state endpoint shows it."""
        ended = "failed" if self.fails else "done"
        return {
            "id": self.id,
            "action": self.action,
            "region": self.region,
            "image_id": self.image_id,
            "destination": self.destination,
            "request_id": self.request_id,
            "requested_at": rfc3339(self.requested_at),
            "accepted_at": rfc3339(self.accepted_at),
            "ends_at": rfc3339(self.ends_at),
            "state": "running" if now < self.ends_at else ended,
            "objects": list(self.objects),
            "new_image_id": self.new_image_id,
        }


class RunningTasks:
    """How many tasks run, over one scope and kind."""

    def __init__(self) -> None:
        self._ends: list[int] = []
        self.most = 0

    def count(self, now: int) -> int:
        """How many run at ``now``; ``now`` never goes back."""
        while self._ends and self._ends[0] <= now:
            heapq.heappop(self._ends)
        return len(self._ends)

    def free_at(self, limit: int, now: int) -> int:
        """When one more may begin, where each that finds ``limit`` others waits for its turn."""
        over = self.count(now) - limit
        return now if over < 0 else sorted(self._ends)[over]

    def start(self, now: int, ends_at: int, begins_at: int = 0) -> None:
        """One more, until ``ends_at``; one that ``begins_at`` a later time takes the place of one that has ended."""
        heapq.heappush(self._ends, ends_at)
        if begins_at <= now:
            self.most = max(self.most, self.count(now))

    def stop(self, ends_at: int) -> None:
        """One that would have run until ``ends_at`` was stopped."""
        if ends_at in self._ends:
            self._ends.remove(ends_at)
            heapq.heapify(self._ends)


class Store:
    """Images, objects and tasks of one rehearsal cloud."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self._images: dict[str, dict[str, StoredImage]] = {}
        self._objects: dict[tuple[str, str], list[StoredObject]] = {}
        self._running: dict[tuple[str, str], RunningTasks] = {}
        self._names: dict[tuple[str, str], dict[str, StoredImage]] = {}
        self.tasks: list[Task] = []

    def new_id(self, kind: str) -> str:
        """``img-`` or ``snap-`` and eight characters."""
        return f"{kind}-{''.join(self._chance.choices(ID_LETTERS, k=8))}"

    def new_number(self) -> int:
        """An export's task number."""
        return self._chance.randrange(100_000_000, 1_000_000_000)

    def new_etag(self) -> str:
        """An object's ETag, without quotation marks."""
        return f"{self._chance.getrandbits(128):032x}"

    def put(self, image: StoredImage) -> None:
        """Keep an image; one of the same id in that region is replaced."""
        self.take_away(image.region, image.id)
        self._images.setdefault(image.region, {})[image.id] = image
        self._names.setdefault((image.region, image.name), {})[image.id] = image

    def take_away(self, region: str, image_id: str) -> bool:
        """Delete an image; whether it was there."""
        gone = self._images.get(region, {}).pop(image_id, None)
        if gone is not None:
            del self._names[region, gone.name][image_id]
        return gone is not None

    def image(self, region: str, image_id: str, now: int) -> StoredImage | None:
        """An image of a region, or None."""
        image = self._images.get(region, {}).get(image_id)
        return image if image is not None and image.there(now) else None

    def images(self, region: str, now: int) -> Iterator[StoredImage]:
        """The images of a region, oldest first."""
        return (image for image in self._images.get(region, {}).values() if image.there(now))

    def every_image(self, now: int) -> Iterator[StoredImage]:
        """The images of all regions."""
        return (image for region in self._images for image in self.images(region, now))

    def holds(self, region: str) -> int:
        """How many images a region has."""
        return len(self._images.get(region, {}))

    def named(self, region: str, name: str, now: int) -> bool:
        """Whether a region has an image of that name."""
        return any(image.there(now) for image in self._names.get((region, name), {}).values())

    def running(self, action: str, scope: str) -> RunningTasks:
        """The running tasks of an action over a scope."""
        return self._running.setdefault((action, scope), RunningTasks())

    def most_running(self) -> dict[tuple[str, str], int]:
        """(action, scope) -> the most that ever ran at once."""
        return {key: each.most for key, each in self._running.items()}

    def write(self, bucket: str, key: str, written: StoredObject) -> None:
        """Put an object, over what is there; it shows when its time has come."""
        self._objects.setdefault((bucket, key), []).append(written)

    def delete(self, bucket: str, key: str) -> bool:
        """Take an object away, every writing of it; whether there was one."""
        return self._objects.pop((bucket, key), None) is not None

    def head(self, bucket: str, key: str, now: int) -> StoredObject | None:
        """The object as it shows now: the newest writing that has appeared."""
        shown = [each for each in self._objects.get((bucket, key), ()) if each.appears_at <= now]
        return max(shown, key=lambda each: each.appears_at, default=None)

    def objects(self, now: int) -> Iterator[dict[str, Any]]:
        """Every object that shows now, as the state endpoint lists them."""
        for bucket, key in self._objects:
            shown = self.head(bucket, key, now)
            if shown is not None:
                yield {
                    "bucket": bucket,
                    "key": key,
                    "size": shown.size_at(now),
                    "last_modified": rfc3339_or_none(min(shown.whole_at, now)),
                }


def disks_of(facts: NewImage, store: Store) -> tuple[Disk, ...]:
    """The disks of a new image, each with a snapshot of its own."""
    if facts.without_snapshots:
        return ()
    sizes: Iterable[tuple[int, int]] = enumerate((facts.size_gib, *facts.data_disks_gib))
    return tuple(Disk(store.new_id("snap"), number == 0, size) for number, size in sizes)
