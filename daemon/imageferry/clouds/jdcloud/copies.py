"""copyImages: the request, looking for one that got no answer, and following it to the new image.

The adapter hands copy jobs here. One image and one destination a request, so that every refusal belongs to one job.
There is no client token: the new image is known by its id, before that by its name and description, which no other
job gives, and where the API takes neither of them by the text that the cloud itself writes into a copy.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Final

from imageferry.clouds.copying import ENDED, follow_copies, judge_copy, made_name
from imageferry.clouds.jdcloud.client import Call, Client
from imageferry.clouds.jdcloud.codes import STRANGE_PARAMETER, by_message
from imageferry.clouds.jdcloud.images import Images, Own, latest
from imageferry.clouds.reading import objects
from imageferry.clouds.wire import Told
from imageferry.core.answers import Answer
from imageferry.core.job import Job, unique_part
from imageferry.core.times import SECOND
from imageferry.errors import CircuitOpen
from imageferry.ports import (
    Absent,
    Accepted,
    Finding,
    Following,
    Found,
    Frozen,
    Look,
    Lost,
    Permit,
    Progress,
)

ACTION: Final = "copyImages"
LONGEST_NAME: Final = 32
MARGIN: Final = 60 * SECOND
"""A new image may be this much older than its request, by the vendor's clocks."""

_NOT_IN_NAMES: Final = re.compile(r"[^A-Za-z0-9\u3400-\u9fff_.-]")


@dataclass(frozen=True, slots=True)
class Copies:
    """One account's copies."""

    client: Client
    images: Images
    plain: set[str] = field(default_factory=set)
    """Regions whose API has refused names and descriptions; forgotten at the end of the process."""

    async def submit(self, job: Job, permit: Permit) -> Accepted | Answer:
        """Send the frozen request once; without its name where the API is older than names."""
        region = job.place.region
        told = await self.client.submit(_call(job, "plain" if region in self.plain else "body"), permit)
        if region not in self.plain and _strange(told.answer):
            try:
                told = await self.client.ask(_call(job, "plain"))
            except CircuitOpen as error:
                return Answer("never_sent", str(error))
            if told.answer.klass == "ok":
                self.plain.add(region)
        return _accepted(job, told)

    async def find(self, job: Job, taken: Collection[str]) -> Finding:
        """Look for the image that an unanswered request may have begun, in its region.

        Our name or our mark proves it. A name alone is no proof that nothing began: that wants a second look.

        :raises Refused: the cloud did not answer.
        :raises CircuitOpen: the account is closed off.
        """
        since = (job.created_at if job.sent_at is None else job.sent_at) - MARGIN
        failed: Finding | None = None
        for own in await self._candidates(job):
            image = own.image
            if image.id in taken or not _ours(job, own, since):
                continue
            if image.state not in ENDED:
                return Found(image.id, f"found in {job.destination} as {image.name}: {image.id}")
            if image.created_at is not None and image.created_at >= since:
                reason = f"the copy {image.id} was begun and has failed"
                failed = Lost(reason, Answer("permanent_image", reason))
        return failed or Absent(f"{job.destination} has no image named {job.made_name}, and no other copy since")

    async def follow(self, asked: Sequence[Following]) -> list[Progress]:
        """How each copy is; one destination that does not answer holds up no other. Raises only cancellation."""

        def judged(one: Following, look: Look) -> Progress:
            return judge_copy(one, look, self.client.vendor_now())

        return await follow_copies(asked, self.images.look, judged)

    async def _candidates(self, job: Job) -> Sequence[Own]:
        """Images that bear our name; where there is none, every own image of the region."""
        named = [own async for own in self.images.own(job.destination, job.made_name)]
        if any(own.image.name == job.made_name for own in named):
            return named
        return [own async for own in self.images.own(job.destination)]


def freeze(job: Job) -> Frozen:
    """The exact body, with a name and a mark that no other job gives, and one without for an API older than names."""
    wanted = _NOT_IN_NAMES.sub("-", str(job.options.get("name") or job.image_name or job.image_id))
    name = made_name(job, wanted, LONGEST_NAME)
    params = {"sourceImageIds": [job.image_id], "destinationRegion": job.destination}
    named = {**params, "name": name, "description": f"{_mark(job)}: copy of {job.image_id} from {job.place.region}"}
    return Frozen({"body": json.dumps(named), "plain": json.dumps(params)}, made_name=name)


def _mark(job: Job) -> str:
    return f"imageferry {unique_part(job.key)}"


def _call(job: Job, body: str) -> Call:
    path, sent = f"images:{ACTION}", str(job.request[body]).encode()
    return Call(ACTION, job.place.region, "copy", path, body=sent, submits=True)


def _strange(answer: Answer) -> bool:
    """Whether the API may not know a parameter: nothing was begun, and nothing known is wrong."""
    return answer.vendor_code == STRANGE_PARAMETER and by_message(answer.message) is None


def _accepted(job: Job, told: Told) -> Accepted | Answer:
    if told.answer.klass != "ok":
        return told.answer
    for made in objects(told.content.get("copyImages")):
        if made.get("sourceImageId") == job.image_id and made.get("destinationImageId"):
            return Accepted(str(made["destinationImageId"]), told.answer.request_id)
    return Answer("unanswered", "the answer names no new image", request_id=told.answer.request_id)


def _ours(job: Job, own: Own, since: int) -> bool:
    """Whether an image is the copy that was asked for: by our name or mark, else by the cloud's own description."""
    image = own.image
    if image.name == job.made_name or _mark(job) in own.description:
        return True
    begun = image.created_at is None or latest(image.created_at) >= since
    return begun and image.name == job.image_name and job.image_id in own.description
