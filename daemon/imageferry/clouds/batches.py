"""Batches of ids, and the ids that spoil one: cutting a list, and keeping culprits apart for a while.

The images of each cloud call it. It asks nobody.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final, TypeVar

from imageferry.ports import Clock

REST: Final = 600.0
"""Seconds that an id which spoilt a batch is kept out of batches."""
MOST_RESTING: Final = 10_000

T = TypeVar("T")


def parts(rows: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    """The rows in order, so many at once."""
    return (rows[start : start + size] for start in range(0, len(rows), size))


class Resting:
    """Ids that are kept out of batches, by region; in memory alone."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._until: dict[tuple[str, str], float] = {}

    def among(self, region: str, ids: Iterable[str]) -> list[str]:
        """Those of the ids that rest."""
        now = self._clock.monotonic()
        return [each for each in ids if self._until.get((region, each), 0.0) > now]

    def add(self, region: str, ids: Iterable[str]) -> None:
        """Let ids rest; the oldest go where they are too many."""
        until = self._clock.monotonic() + REST
        self._until |= {(region, each): until for each in ids}
        while len(self._until) > MOST_RESTING:
            del self._until[next(iter(self._until))]

    def drop(self, region: str, ids: Iterable[str]) -> None:
        """They are there after all."""
        for each in ids:
            self._until.pop((region, each), None)

    def __len__(self) -> int:
        return len(self._until)
