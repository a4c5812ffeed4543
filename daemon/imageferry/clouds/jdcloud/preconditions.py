"""What to make of a FAILED_PRECONDITION whose message nobody knows: read the image again, and be patient for a while.

The adapter asks after every submit. It counts in memory alone: a restart is only more patient. It sends nothing but
looks, and never submits.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from imageferry.clouds.jdcloud.codes import UNEXPLAINED, explained
from imageferry.clouds.jdcloud.images import Images
from imageferry.core.answers import Answer
from imageferry.core.image import Image
from imageferry.core.job import Job
from imageferry.errors import CircuitOpen, Refused
from imageferry.ports import Clock

TIMES: Final = 3
"""How often a ready image is waited for."""
APART: Final = 600.0
"""Seconds between those."""
MOST: Final = 10_000
"""Jobs that are counted at once."""
_DONE: Final = 100


@dataclass(slots=True)
class _Count:
    times: int
    last: float


class Preconditions:
    """One account's unexplained refusals."""

    def __init__(self, images: Images, clock: Clock) -> None:
        self._images = images
        self._clock = clock
        self._counts: dict[str, _Count] = {}

    async def judged(self, job: Job, answer: Answer) -> Answer:
        """The answer to a submit as it is to be acted on."""
        if answer.vendor_code != UNEXPLAINED or answer.klass != "wait_image" or explained(answer.message):
            return answer
        try:
            look = (await self._images.look(job.place.region, [job.image_id]))[job.image_id]
        except (Refused, CircuitOpen) as error:
            return replace(answer, message=f"{answer.message}; how the image is was not answered: {error}")
        if not isinstance(look, Image):
            return replace(answer, klass="permanent_image", message=f"{answer.message}; {look.reason}")
        if look.state != "ready" or int(look.extra.get("progress", _DONE)) < _DONE:
            return replace(answer, message=f"{answer.message}; the image is not ready")
        return self._counted(job, answer)

    def _counted(self, job: Job, answer: Answer) -> Answer:
        now = self._clock.monotonic()
        count = self._counts.setdefault(job.id, _Count(0, now - APART))
        if now - count.last >= APART:
            count.times, count.last = count.times + 1, now
        while len(self._counts) > MOST:
            del self._counts[next(iter(self._counts))]
        if count.times <= TIMES:
            return replace(answer, retry_after=count.last + APART - now)
        del self._counts[job.id]
        return replace(answer, klass="permanent_config", message=f"{answer.message}; said {TIMES + 1} times")
