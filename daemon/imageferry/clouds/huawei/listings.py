"""Lists of the newest images where copies go, shared by all who follow copies there at about the same time.

Copies follow with it. A list is read no further back than the oldest copy that is looked for, and a page of it only
once; after a short while it is read anew.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Final, NamedTuple

import anyio

from imageferry.clouds.copying import ENDED
from imageferry.clouds.huawei.images import Images, Pages
from imageferry.core.image import Image
from imageferry.core.times import SECOND

FRESH: Final = 10
"""A list is used again for this part of a running task's base cadence."""


class Target(NamedTuple):
    """Where copies go."""

    region: str
    project: str


class Listings:
    """One account's."""

    def __init__(self, images: Images, now: Callable[[], int], cadence: float) -> None:
        """``now``: the vendor's time, microseconds UTC; ``cadence``: the base cadence of a running task, seconds."""
        self._images = images
        self._now = now
        self._span = int(cadence * SECOND / FRESH)
        self._newest: dict[Target, _Newest] = {}
        self._locks: dict[Target, anyio.Lock] = {}

    async def shown(self, target: Target, names: Collection[str], since: int) -> Mapping[str, Image]:
        """The images of these names that are there, and perhaps others; they were made since then.

        Of several that have one name, it is the oldest that lives.

        :raises Refused: the question was not answered.
        :raises CircuitOpen: the account is closed off.
        """
        async with self._locks.setdefault(target, anyio.Lock()):
            now, newest = self._now(), self._newest.get(target)
            if newest is None or not 0 <= now - newest.at < self._span:
                newest = self._newest[target] = _Newest(now, self._images.newest(*target))
                if len(names) == 1:  # the shorter way; the list is read only once others are looked for
                    newest.asked(names, await self._images.named(*target, *names))
            await newest.read(names, since)
            return newest.shown


class _Newest:
    """One list, and how far it was read."""

    def __init__(self, at: int, pages: Pages) -> None:
        self.at = at
        self.shown: dict[str, Image] = {}
        self._pages = pages
        self._reach: int | None = None
        """Everything that was made since then was read; None: nothing was."""
        self._asked: set[str] = set()

    def asked(self, names: Collection[str], images: Collection[Image]) -> None:
        """These are all that have these names."""
        self._asked.update(names)
        self._add(images)

    async def read(self, names: Collection[str], since: int) -> None:
        """Read on until nothing of these names can be missing that was made since then."""
        wanted = {*names} - self._asked
        while not wanted <= self.shown.keys() and (self._reach is None or self._reach >= since):
            page = await self._pages.following()
            if page is None:
                break
            self._add(page)
            if page and page[-1].created_at is not None:
                self._reach = page[-1].created_at

    def _add(self, images: Collection[Image]) -> None:
        for image in images:
            if image.name:
                known = self.shown.get(image.name)
                self.shown[image.name] = image if known is None else max(known, image, key=_counts)


def _counts(image: Image) -> tuple[bool, int]:
    return image.state not in ENDED, -(image.created_at or 0)
