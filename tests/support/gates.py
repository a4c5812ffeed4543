"""Gates for tests of the clouds' adapters: always open, and remembering what was asked and judged."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from imageferry.core.answers import Answer
from imageferry.core.facts import LaneKind
from imageferry.errors import CircuitOpen


class RecordingPermit:
    """Leave for one request; judging it twice is an error."""

    def __init__(self) -> None:
        self.answer: Answer | None = None

    def judged(self, answer: Answer) -> None:
        assert self.answer is None, "a permit was judged twice"
        self.answer = answer


class OpenGate:
    """Lets everything through; ``closed_after`` requests it says that the account is closed off."""

    def __init__(self, closed_after: int | None = None) -> None:
        self.entered: list[tuple[str, LaneKind]] = []
        self.permits: list[RecordingPermit] = []
        self._closed_after = closed_after

    @asynccontextmanager
    async def enter(self, region: str, kind: LaneKind) -> AsyncIterator[RecordingPermit]:
        if self._closed_after is not None and len(self.entered) >= self._closed_after:
            raise CircuitOpen("prod", "its keys were refused")
        permit = RecordingPermit()
        self.entered.append((region, kind))
        self.permits.append(permit)
        yield permit

    @property
    def classes(self) -> list[str]:
        """The class each request was judged with; a request that was not judged fails the test."""
        return [permit.answer.klass if permit.answer else "not judged" for permit in self.permits]
