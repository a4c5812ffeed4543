"""SyncImages: the request, looking for one that got no answer, and following it to the new image.

The adapter hands copy jobs here. One destination a request; the new image is known by its id, and before that by its
name, which no other job gives.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from imageferry.clouds.copying import follow_copies, made_name, own_earlier
from imageferry.clouds.tencent.client import Call, Client
from imageferry.clouds.tencent.codes import DUPLICATE_NAME
from imageferry.clouds.tencent.images import Images
from imageferry.core.answers import Answer
from imageferry.core.image import Image
from imageferry.core.job import Job
from imageferry.core.times import SECOND
from imageferry.ports import (
    Absent,
    Accepted,
    Finding,
    Following,
    Found,
    Frozen,
    Gone,
    Look,
    Lost,
    Permit,
    Progress,
    Unclear,
)

ACTION: Final = "SyncImages"
LONGEST_NAME: Final = 60
MARGIN: Final = 60 * SECOND
"""A new image may be this much older than its request by the vendor's clocks, or show so much later."""


@dataclass(frozen=True, slots=True)
class Copies:
    """One account's copies."""

    client: Client
    images: Images

    async def submit(self, job: Job, permit: Permit) -> Accepted | Answer:
        """Send the frozen request once."""
        body = str(job.request["body"]).encode()
        told = await self.client.submit(Call(ACTION, job.place.region, "copy", body, submits=True), permit)
        if told.answer.vendor_code == DUPLICATE_NAME:
            return await own_earlier(told.answer, partial(self.images.named, job.destination, job.made_name))
        if told.answer.klass != "ok":
            return told.answer
        for made in told.content.get("ImageSet") or ():
            if made.get("Region") == job.destination and made.get("ImageId"):
                return Accepted(str(made["ImageId"]), told.answer.request_id)
        return Answer("unanswered", "the answer names no new image", request_id=told.answer.request_id)

    async def find(self, job: Job, taken: Collection[str]) -> Finding:
        """Look for the image that an unanswered request may have begun: by its name, in its region.

        The source is looked at first: it is busy while it is copied, and a copy that ends in between is then found.

        :raises Refused: the cloud did not answer.
        :raises CircuitOpen: the account is closed off.
        """
        source = (await self.images.look(job.place.region, [job.image_id]))[job.image_id]
        since = (job.created_at if job.sent_at is None else job.sent_at) - MARGIN
        named = await self.images.named(job.destination, job.made_name)
        own = [i for i in named if i.id not in taken and (i.created_at is None or i.created_at >= since)]
        for image in own:
            if image.state != "failed":
                return Found(image.id, f"found by its name {job.made_name} in {job.destination}: {image.id}")
        if own:
            reason = f"the copy {own[0].id} was begun and has failed"
            return Lost(reason, Answer("permanent_image", reason))
        if isinstance(source, Image) and source.state == "pending":
            return Unclear("the image is busy; it may be our own copy")
        return Absent(f"{job.destination} has no image named {job.made_name}")

    async def follow(self, asked: Sequence[Following]) -> list[Progress]:
        """How each copy is; one destination that does not answer holds up no other. Raises only cancellation."""

        def judged(one: Following, look: Look) -> Progress:
            return _judge(one, look, self.client.vendor_now())

        return await follow_copies(asked, self.images.look, judged)


def freeze(job: Job) -> Frozen:
    """The exact body, with a name that no other job gives."""
    wanted = str(job.options.get("name") or job.image_name or job.image_id)
    name = made_name(job, wanted, LONGEST_NAME)
    params = {
        "ImageIds": [job.image_id],
        "DestinationRegions": [job.destination],
        "ImageName": name,
        "ImageSetRequired": True,
    }
    return Frozen({"body": json.dumps(params)}, made_name=name)


def _judge(one: Following, look: Look, now: int) -> Progress:
    job = one.job
    where = f"{job.task_ref} in {job.destination}"
    if isinstance(look, Gone):
        if job.memo.get("gone") and now - (job.submitted_at or 0) >= MARGIN:
            return Progress(job.id, "failed", f"the new image is gone: {look.reason}")
        return Progress(job.id, "running", f"the new image does not show: {look.reason}", {"gone": True}, soon=True)
    if look.state == "failed":
        return Progress(job.id, "failed", f"the new image {where} has failed")
    if look.state == "pending":
        return Progress(job.id, "running", f"the new image {where} is not ready yet")
    return Progress(job.id, "succeeded", f"the new image {where} is ready")
