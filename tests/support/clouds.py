"""A cloud that answers as a test has written down, for what no rehearsal cloud can bring about at will."""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from typing import Any, TypeVar

from imageferry.clouds.facts import FACTS
from imageferry.core.answers import Answer
from imageferry.core.facts import LaneKind
from imageferry.core.image import Image
from imageferry.core.job import Job
from imageferry.ports import (
    Absent,
    Accepted,
    Finding,
    Following,
    Frozen,
    Gone,
    ImagePage,
    Look,
    Permit,
    Progress,
)

T = TypeVar("T")
Told = Progress | Callable[[Following], Progress] | Exception


class ScriptedCloud:
    """See ``imageferry.ports.Cloud``. Answers are taken from the front of each list; the last one stays.

    What it was asked is kept: ``sent`` (jobs), ``sought`` (job, taken), ``followed`` and ``looked`` (batches),
    ``listed`` (region, marker).
    """

    account = "prod"
    facts = FACTS["tencent"]

    def __init__(self) -> None:
        self.ahead = 0
        """Microseconds that the vendor's clock is ahead."""
        self.answers: deque[Accepted | Answer] = deque([Accepted("task-1", "request-1")])
        self.findings: deque[Finding | Exception] = deque([Absent("nothing there")])
        self.progress: deque[Told] = deque([lambda one: Progress(one.job.id, "running", "still running")])
        self.images: dict[str, Look | Exception] = {}
        self.pages: dict[str, list[Sequence[Image] | Exception]] = {}
        """Region -> the pages of its listing; an exception stands for a page that cannot be read."""
        self.on_submit: Callable[[Job], Awaitable[None]] | None = None
        self.sent: list[Job] = []
        self.sought: list[tuple[Job, set[str]]] = []
        self.followed: list[list[Following]] = []
        self.looked: list[list[str]] = []
        self.listed: list[tuple[str, str | None]] = []
        self.frozen = 0

    def scope(self, region: str, kind: LaneKind) -> str:
        return region

    def vendor_time(self, now: int) -> int:
        return now + self.ahead

    def freeze(self, job: Job, image: Image) -> Frozen:
        """A request that tells how many were frozen before it, and what the image's facts were."""
        self.frozen += 1
        request: Mapping[str, Any] = {"number": self.frozen, "options": dict(job.options), "extra": dict(image.extra)}
        return Frozen(request, made_name=f"made-{job.id}" if job.action == "copy" else "")

    async def look(self, region: str, image_ids: Sequence[str]) -> Mapping[str, Look]:
        self.looked.append(list(image_ids))
        told: dict[str, Look] = {}
        for image_id in image_ids:
            look = self.images.get(image_id, Gone(f"there is no {image_id}"))
            if isinstance(look, Exception):
                raise look
            told[image_id] = look
        return told

    async def list_images(self, region: str, marker: str | None = None) -> ImagePage:
        self.listed.append((region, marker))
        pages, number = self.pages.get(region, [[]]), int(marker or 0)
        page = pages[number]
        if isinstance(page, Exception):
            raise page
        return ImagePage(page, str(number + 1) if number + 1 < len(pages) else None)

    async def submit(self, job: Job, permit: Permit) -> Accepted | Answer:
        self.sent.append(job)
        if self.on_submit is not None:
            await self.on_submit(job)
        answer = _next(self.answers)
        permit.judged(Answer("ok", "") if isinstance(answer, Accepted) else answer)
        return answer

    async def find(self, job: Job, taken: Collection[str]) -> Finding:
        self.sought.append((job, set(taken)))
        finding = _next(self.findings)
        if isinstance(finding, Exception):
            raise finding
        return finding

    async def follow(self, region: str, jobs: Sequence[Following]) -> Sequence[Progress]:
        self.followed.append(list(jobs))
        told = _next(self.progress)
        if isinstance(told, Exception):
            raise told
        return [told if isinstance(told, Progress) else told(one) for one in jobs]

    async def aclose(self) -> None:
        """Nothing is open."""


def _next(answers: deque[T]) -> T:
    return answers.popleft() if len(answers) > 1 else answers[0]
