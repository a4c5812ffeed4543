"""What every rehearsal cloud lets tests and people do with it: its time, its faults, its options, what it was asked.

Each rehearsal cloud is built on it; its API is its own. Nothing here knows a vendor.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Generic, Protocol, TypeVar

from imageferry.core.times import SECOND
from imageferry.ports import Clock
from imageferry.rehearsal.journal import Journal
from imageferry.rehearsal.late import LateWork
from imageferry.rehearsal.misbehaviour import Misbehaviour, Misbehaviours
from imageferry.rehearsal.store import Store, Task


class Parts(Protocol):
    """What a rehearsal cloud is made of."""

    options: Any
    """As a frozen record that :meth:`Steered.change` can set anew by its ``changed``."""
    store: Store
    faults: Misbehaviours
    journal: Journal


W = TypeVar("W", bound=Parts)


class Steered(Generic[W]):
    """See the module."""

    def __init__(self, world: W, clock: Clock) -> None:
        self.world = world
        self._clock = clock
        self._late = LateWork()

    @property
    def tasks(self) -> list[Task]:
        """Every task that was accepted, oldest first; late work whose time has come included."""
        self._settled()
        return self.world.store.tasks

    @property
    def requests(self) -> Journal:
        """What was asked and answered."""
        self._settled()
        return self.world.journal

    def now(self) -> int:
        """The rehearsal's own time, microseconds UTC."""
        return self._clock.now() + int(self.world.options.clock_skew_seconds * SECOND)

    def remove_image(self, region: str, image_id: str) -> bool:
        """Delete an image; whether it was there."""
        return self.world.store.take_away(region, image_id)

    def remove_object(self, bucket: str, key: str) -> bool:
        """Delete an object; whether it was there."""
        return self.world.store.delete(bucket, key)

    def misbehave(self, fault: Misbehaviour) -> int:
        """Put a fault in force; its number."""
        return self.world.faults.add(fault)

    def behave(self, number: int | None = None) -> int:
        """Take one fault away, or all; how many there were."""
        return self.world.faults.remove(number)

    def change(self, changes: Mapping[str, Any]) -> None:
        """Set options anew, as JSON has them; tasks that run keep their times.

        :raises ValueError: a name is unknown or a value does not fit.
        """
        self.world.options = self.world.options.changed(changes)

    def _settled(self) -> int:
        """Do the late work whose time has come; now."""
        now = self.now()
        self._late.settle(now)
        return now
