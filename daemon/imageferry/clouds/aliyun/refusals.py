"""What a refused submit means beyond its code: the image is read again, tries are counted, a week's quota is kept.

The adapter asks before and after every submit. It keeps its counts in memory alone: a restart is only more patient.
It sends nothing but looks, and never submits.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from imageferry.clouds.aliyun.codes import BUSY_OR_BAD, FEW, NO_SUCH_IMAGE, TRIES, WEEKLY
from imageferry.clouds.aliyun.images import Images
from imageferry.core.answers import Answer
from imageferry.core.image import Image
from imageferry.core.job import Job
from imageferry.core.times import SECOND
from imageferry.errors import CircuitOpen, Refused
from imageferry.ports import Accepted, Clock

FRESH: Final = 600 * SECOND
"""So long after its event an image may not be known everywhere yet."""
PROBE_EVERY: Final = 6 * 3600.0
"""Seconds between two exports that are tried while the week's quota is used up: nobody says when a week ends."""
PROBE_TAKES: Final = 120.0
"""Seconds for which the others wait for what the tried one is told."""


class Refusals:
    """One account's refused submits."""

    def __init__(self, images: Images, clock: Clock) -> None:
        self._images = images
        self._clock = clock
        self._used_up: dict[str, float] = {}

    def held(self, job: Job) -> Answer | None:
        """Why an export cannot be sent now: its region's week is used up, and it is not its turn to try."""
        until, now = self._used_up.get(job.place.region), self._clock.monotonic()
        if job.action != "export" or until is None:
            return None
        if now >= until:
            self._used_up[job.place.region] = now + PROBE_TAKES
            return None
        reason = (
            f"the week's exports of {job.place.region} are used up; one is tried every {PROBE_EVERY / 3600:g} hours"
        )
        return Answer("wait_quota", reason, vendor_code=WEEKLY, retry_after=until - now)

    async def judged(self, job: Job, told: Accepted | Answer) -> Accepted | Answer:
        """The answer to a submit as it is to be acted on."""
        if job.action == "export":
            told = self._weighed(job, told)
        if isinstance(told, Accepted):
            return told
        code = told.vendor_code
        if code == BUSY_OR_BAD:
            return await self._with_image(job, told)
        if code == NO_SUCH_IMAGE and self._clock.now() - (job.sighted_at or job.created_at) < FRESH:
            return replace(told, klass="retry", message=f"{told.message}; it may be too new")
        if code in FEW and job.vendor_code == code and job.attempts >= TRIES - 1:
            return replace(told, klass=FEW[code], message=f"{told.message}; said {TRIES} times")
        return told

    def _weighed(self, job: Job, told: Accepted | Answer) -> Accepted | Answer:
        """Keep in mind that a week is used up, until an export is accepted again."""
        region = job.place.region
        if isinstance(told, Answer) and told.vendor_code == WEEKLY:
            self._used_up[region] = self._clock.monotonic() + PROBE_EVERY
            return replace(told, retry_after=PROBE_EVERY)
        if isinstance(told, Accepted):
            self._used_up.pop(region, None)
        return told

    async def _with_image(self, job: Job, told: Answer) -> Answer:
        """A wrong state passes while the image is not ready yet, and never where it has failed or is gone."""
        try:
            look = (await self._images.look(job.place.region, [job.image_id]))[job.image_id]
        except (Refused, CircuitOpen) as error:
            return replace(told, message=f"{told.message}; how the image is was not answered: {error}")
        if not isinstance(look, Image):
            return replace(told, klass="permanent_image", message=f"{told.message}; {look.reason}")
        klass: Final = "wait_image" if look.state in ("pending", "ready") else "permanent_image"
        return replace(told, klass=klass, message=f"{told.message}; the image is {look.state}")
