"""Signs of life: every loop says that it moves; livez and the systemd watchdog ask which ones have stopped.

It judges by silence alone and stops nothing.
"""

from __future__ import annotations

from collections.abc import Callable


class Heartbeats:
    """When each loop last moved, by the monotonic clock it is given."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._beats: dict[str, float] = {}

    def beat(self, name: str) -> None:
        """Say that the loop ``name`` moves; the first beat makes it one of those that are watched."""
        self._beats[name] = self._monotonic()

    def forget(self, name: str) -> None:
        """Say that the loop ``name`` has ended as it should: its silence means nothing any more."""
        self._beats.pop(name, None)

    def stopped(self, now: float, limit: float) -> list[str]:
        """The loops that have been silent for more than ``limit`` seconds, by name."""
        return sorted(name for name, beat in self._beats.items() if now - beat > limit)
