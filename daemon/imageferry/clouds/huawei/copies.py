"""The copy of an image to another region: the request, looking for one that got no answer, and following it.

The adapter hands copy jobs here. A copy is known by its name, which no other job gives, in the project it goes to: one
list of the newest images there tells of many copies, so that jobs are asked about now and then only.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from imageferry.clouds.copying import ENDED, copy_unseen, earlier, made_name, own_earlier
from imageferry.clouds.following import in_groups, some_at_once
from imageferry.clouds.huawei.chances import ended_badly, second_chance
from imageferry.clouds.huawei.client import Call, Client, body_of
from imageferry.clouds.huawei.codes import NAME_TAKEN
from imageferry.clouds.huawei.images import Images
from imageferry.clouds.huawei.jobs import Jobs, JobState
from imageferry.clouds.huawei.listings import Listings, Target
from imageferry.core.answers import Answer
from imageferry.core.image import Image
from imageferry.core.job import Job
from imageferry.core.times import SECOND
from imageferry.errors import CircuitOpen, Refused
from imageferry.ports import Absent, Accepted, Finding, Following, Found, Frozen, Lost, Permit, Progress

ACTION: Final = "CopyImageCrossRegion"
LONGEST_NAME: Final = 128
MARGIN: Final = 60 * SECOND
"""A new image may be this much older than its request, by the vendor's clocks."""
IMAGE: Final = "image:"
"""A task reference without a job's id; behind it the new image's."""
AT_ONCE: Final = 8
"""Jobs asked about at once."""
CHECK_EVERY: Final = 20
"""How many base cadences pass between two questions about a job whose image does not show."""
GRACE: Final = 2
"""How many of them an image may show later than the end of its job."""

# In a job's memo:
ASKED: Final = "asked"
"""When its job was asked about last, by the vendor's clock."""
DONE: Final = "done"
"""When its job was first seen to be over, without an image that shows."""
NAMED: Final = "image"
"""The new image's id, as its job names it."""

_FROM_IMAGE: Final = "image,"
_FORBIDDEN: Final = re.compile(r"[^A-Za-z0-9\u3400-\u9fff ._-]")


@dataclass(frozen=True, slots=True)
class Copies:
    """One account's copies."""

    client: Client
    images: Images
    jobs: Jobs
    listings: Listings
    cadence: float
    """The base cadence of a running task, seconds."""

    async def submit(self, job: Job, permit: Permit) -> Accepted | Answer:
        """Send the frozen request once; a later life of a job first looks for what an earlier one has made."""
        call = Call(
            ACTION,
            job.place.region,
            "copy",
            str(job.request["path"]),
            body=str(job.request["body"]).encode(),
            submits=True,
        )
        if job.attempt > 1:
            permit.judged(Answer("never_sent", "an earlier copy of this name is looked for first"))
            made = await earlier(partial(self._named, job), IMAGE)
            if made is not None:
                return made
            told = await self.client.submit_anew(call)
        else:
            told = await self.client.submit(call, permit)
        if told.answer.vendor_code in NAME_TAKEN:
            named = partial(self.images.named, *_target(job), job.made_name)
            ours = partial(_copied_from, job)
            return await own_earlier(told.answer, named, ours, reference=IMAGE, shows_late=True)
        if told.answer.klass != "ok":
            return second_chance(job, told.answer)
        task = told.content.get("job_id")
        if not task:
            return Answer("unanswered", "the answer names no job", request_id=told.answer.request_id)
        return Accepted(str(task), told.answer.request_id)

    async def find(self, job: Job, taken: Collection[str]) -> Finding:
        """Look for the image that an unanswered request may have begun: by its name, in the project it goes to.

        :raises Refused: the cloud did not answer.
        :raises CircuitOpen: the account is closed off.
        """
        since = (job.created_at if job.sent_at is None else job.sent_at) - MARGIN
        own = [each for each in await self._named(job) if f"{IMAGE}{each.id}" not in taken]
        for image in own:
            if image.state not in ENDED:
                return Found(f"{IMAGE}{image.id}", f"found by its name {job.made_name}: {image.id}")
        for image in own:
            if image.created_at is None or image.created_at >= since:
                reason = f"the copy {image.id} was begun and has failed"
                return Lost(reason, Answer("permanent_image", reason))
        return Absent(f"{job.destination} has no image named {job.made_name}")

    async def follow(self, asked: Sequence[Following]) -> list[Progress]:
        """How each copy is; one target that does not answer holds up no other. Raises only cancellation."""
        return await in_groups(asked, _target, self._follow_in)

    # --- looking ---------------------------------------------------------------------------------------------------

    async def _named(self, job: Job) -> list[Image]:
        """Own images of the job's name that are copies of its image, as far as they say."""
        images = await self.images.named(*_target(job), job.made_name)
        return [image for image in images if _copied_from(job, image)]

    async def _follow_in(self, target: Target, asked: Sequence[Following]) -> list[Progress]:
        try:
            since = min(self._started(one.job) for one in asked) - MARGIN
            shown = await self.listings.shown(target, {one.job.made_name for one in asked}, since)
        except (Refused, CircuitOpen) as error:
            return [copy_unseen(one.job, error) for one in asked]

        async def look_into(one: Following) -> Progress:
            return await self._follow(one, target, shown.get(one.job.made_name))

        return await some_at_once(AT_ONCE, asked, look_into)

    def _started(self, job: Job) -> int:
        return self.client.time.at(job.created_at if job.submitted_at is None else job.submitted_at)

    async def _follow(self, one: Following, target: Target, image: Image | None) -> Progress:
        try:
            if image is None:
                image = await self._by_id(one.job, target)
            if image is not None and image.state not in ENDED:
                return _shown(one, image)
            if image is None and not self._wants_job(one):
                return Progress(one.job.id, "running", "the new image does not show yet", dict(one.job.memo))
            state = await self._job(one.job)
        except (Refused, CircuitOpen) as error:
            return copy_unseen(one.job, error)
        return self._judge(one, image, state)

    async def _by_id(self, job: Job, target: Target) -> Image | None:
        image_id = job.memo.get(NAMED) or job.task_ref.removeprefix(IMAGE)
        if job.task_ref.startswith(IMAGE) or NAMED in job.memo:
            look = (await self.images.look(target.region, [str(image_id)], target.project))[str(image_id)]
            return look if isinstance(look, Image) else None
        return None

    async def _job(self, job: Job) -> JobState:
        if job.task_ref.startswith(IMAGE):
            return JobState("done", f"the copy was found as {job.task_ref.removeprefix(IMAGE)}")
        if DONE in job.memo:
            return JobState("done", "its job has succeeded", str(job.memo.get(NAMED, "")))
        return await self.jobs.ask(job.place.region, job.task_ref)

    def _wants_job(self, one: Following) -> bool:
        """Whether the job is asked about now, though its image does not show: now and then, and once it is over."""
        job = one.job
        if one.overdue or DONE in job.memo or job.task_ref.startswith(IMAGE):
            return True
        last = max(int(job.memo.get(ASKED, 0)), self._started(job))
        return self.client.vendor_now() - last >= CHECK_EVERY * self.cadence * SECOND

    # --- judging ---------------------------------------------------------------------------------------------------

    def _judge(self, one: Following, image: Image | None, state: JobState) -> Progress:
        """The image does not show, or shows as failed; its job says why."""
        job, now = one.job, self.client.vendor_now()
        memo: dict[str, Any] = {**job.memo, ASKED: now}
        if state.status == "failed":
            return ended_badly(job, state)
        if image is not None:
            reason = f"the new image {image.id} in {job.destination} has failed"
            return Progress(job.id, "failed", reason, memo, answer=Answer("permanent_image", reason))
        if state.status == "done":
            return self._without_image(job, state, memo, now)
        if state.status == "unknown" and one.overdue:
            return Progress(job.id, "vanished", f"past its deadline, and {state.reason}", memo)
        return Progress(job.id, "running", state.reason, memo)

    def _without_image(self, job: Job, state: JobState, memo: dict[str, Any], now: int) -> Progress:
        """It is over, so that the image has to be there soon."""
        if state.image_id and state.image_id != job.image_id:
            memo[NAMED] = state.image_id
        reason = f"the new image is not there: {state.reason}"
        if now - int(memo.setdefault(DONE, now)) < GRACE * self.cadence * SECOND:
            return Progress(job.id, "running", reason, memo, soon=DONE not in job.memo)
        return Progress(job.id, "failed", reason, memo)


def freeze(job: Job, image: Image) -> Frozen:
    """The exact body, with a name that no other job gives."""
    wanted = _FORBIDDEN.sub("-", str(job.options.get("name") or job.image_name or job.image_id)).strip() or "image"
    name = made_name(job, wanted, LONGEST_NAME)
    project = str(job.options.get("project") or job.destination)
    params = {
        "name": name,
        "region": job.destination,
        "project_name": project,
        "agency_name": str(job.options.get("agency") or ""),
    }
    request = {
        "path": f"v1/cloudimages/{job.image_id}/cross_region_copy",
        "body": body_of(params),
        "project": project,
        "origin": str(image.extra.get("origin") or ""),
    }
    return Frozen(request, made_name=name)


def _target(job: Job) -> Target:
    return Target(job.destination, str(job.request["project"]))


def _copied_from(job: Job, image: Image) -> bool:
    """Whether an image of our name may be our copy.

    Only one that names another image as its source, and not the one that ours was made from, is surely none: nobody
    has confirmed what a copy of a private image says of its origin.
    """
    origin = str(image.extra.get("origin") or "")
    own = (f"{_FROM_IMAGE}{job.place.region},{job.image_id}", str(job.request.get("origin") or ""))
    return not origin.startswith(_FROM_IMAGE) or origin in own


def _shown(one: Following, image: Image) -> Progress:
    job = one.job
    memo = {name: value for name, value in job.memo.items() if name != DONE}
    where = f"{image.id} in {job.destination}"
    if image.state == "pending":
        return Progress(job.id, "running", f"the new image {where} is not ready yet", memo)
    reason = f"the new image {where} is ready"
    # An earlier look that was refused must not be what the job ends with.
    return Progress(job.id, "succeeded", reason, memo, answer=Answer("ok", reason, request_id=job.request_id))
