"""What a region is known to hold, and which of its listed images are news: pure.

The polling source asks it page by page, and keeps it in the ledger as the region's bookmark. A bookmark of times would
not do: vendors' clocks differ, many images have one time or none, and a listing may show an image late or leave one
out. So it is the ids themselves, which are few: the vendors allow some hundred images a region.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Final

from imageferry.core.image import Image
from imageferry.core.times import SECOND

LATE: Final = 48 * 3600 * SECOND
"""How much older than the first round an image that was not in it may be and still be news: its time of creation is
when its making began, may be read in the wrong zone, and a listing may show it late."""
FORGOTTEN: Final = 7 * 24 * 3600 * SECOND
"""After so long without being listed an image is taken for deleted; until then a listing may have left it out."""
ENDED: Final = frozenset({"failed", "gone"})
"""States that never become an image; one that recovers all the same is news."""


@dataclass(slots=True)
class Stock:
    """One region's bookmark. Times are microseconds UTC."""

    reaches_to: int
    """By the vendor's clock: what was ready and older when the region was first asked is no news."""
    ids: dict[str, int] | None = None
    """Id -> 0 while it is listed, else since when it is not; None until a first round came to its end."""

    @classmethod
    def read(cls, text: str) -> Stock:
        """The inverse of :meth:`written`."""
        data = json.loads(text)
        listed, missing = data["listed"], data["missing"]
        return cls(data["reaches_to"], None if listed is None else {**dict.fromkeys(listed, 0), **missing})

    def written(self) -> str:
        """As the ledger keeps it."""
        ids = self.ids or {}
        listed = None if self.ids is None else sorted(each for each, since in ids.items() if not since)
        missing = {each: since for each, since in sorted(ids.items()) if since}
        return json.dumps({"reaches_to": self.reaches_to, "listed": listed, "missing": missing})

    def news(self, images: Iterable[Image]) -> list[Image]:
        """Those that were not there before; what events have told already is not known here."""
        known: Collection[str] = self.ids or ()
        return [each for each in images if each.id not in known and each.state not in ENDED and self._is_news(each)]

    def _is_news(self, image: Image) -> bool:
        """What is not ready yet was never announced, whenever its making began.

        Where no time of creation is known, an image counts as old in the first round and as new afterwards.
        """
        if image.state == "pending":
            return True
        if self.ids is None:
            return image.created_at is not None and image.created_at >= self.reaches_to
        return image.created_at is None or image.created_at >= self.reaches_to - LATE

    def close_round(self, listed: Collection[str], now: int, *, complete: bool) -> None:
        """Remember what a round has listed; only a complete one tells what is missing, or what a first stock is."""
        if self.ids is None and not complete:
            return
        ids = self.ids or {}
        missing = {each: since or now for each, since in ids.items() if each not in listed} if complete else ids
        kept = {each: since for each, since in missing.items() if not since or now - since < FORGOTTEN}
        self.ids = {**kept, **dict.fromkeys(listed, 0)}
