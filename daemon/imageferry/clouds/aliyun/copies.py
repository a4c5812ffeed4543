"""CopyImage: the request, looking for one that got no answer, and following it to the new image.

The adapter hands copy jobs here. A client token makes a request that is repeated the same request; the new image is
known by its id, and before that by its name, which no other job gives.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

from imageferry.clouds.aliyun.client import Call, Client, flat
from imageferry.clouds.aliyun.codes import COPY, ENCRYPTED, NAME_TAKEN
from imageferry.clouds.aliyun.images import Images
from imageferry.clouds.copying import ENDED, earlier, follow_copies, judge_copy, made_name
from imageferry.clouds.wire import Told
from imageferry.core.answers import Answer
from imageferry.core.image import Image
from imageferry.core.job import Job, first_send, unique_part
from imageferry.core.times import SECOND
from imageferry.errors import CircuitOpen, Refused
from imageferry.ports import Absent, Accepted, Finding, Following, Found, Frozen, Look, Lost, Permit, Progress

LONGEST_NAME: Final = 128
MOST_TAGS: Final = 20
LONGEST_TAG: Final = 128
TAG: Final = "imageferry-job"
"""The key of the tag that says which job a copy is of."""
MARGIN: Final = 960 * SECOND
"""A new image may seem so much older than its request: a clock may be off by a quarter of an hour unnoticed."""

_NOT_IN_NAMES: Final = re.compile(r"[^A-Za-z0-9\u3400-\u9fff.:_-]")
_NOT_FIRST: Final = re.compile(r"^(?![A-Za-z\u3400-\u9fff])|^(?=aliyun|acs:)", re.IGNORECASE)
_NO_KEYS: Final = ("acs:", "aliyun")
_NO_VALUES: Final = "acs:"


@dataclass(frozen=True, slots=True)
class Copies:
    """One account's copies."""

    client: Client
    images: Images

    async def submit(self, job: Job, permit: Permit) -> Accepted | Answer:
        """Send the frozen request once; as an encrypted copy where the image turns out to want that.

        A later life of a job first looks for what an earlier one has made: its token is another one.
        """
        if job.attempt > 1:
            permit.judged(Answer("never_sent", "an earlier copy of this name is looked for first"))
            made = await earlier(partial(self._named, job))
            if made is not None:
                return made
            told = await self.client.submit_anew(_call(job))
        else:
            told = await self.client.submit(_call(job), permit)
        if told.answer.vendor_code in ENCRYPTED:
            told = await self.client.submit_anew(_call(job, encrypted=True))
        if told.answer.vendor_code == NAME_TAKEN:
            return await self._own(job, told.answer)
        return _accepted(told)

    async def find(self, job: Job, taken: Collection[str]) -> Finding:
        """Look for the image that an unanswered request may have begun: by its name, in the region it goes to.

        :raises Refused: the cloud did not answer.
        :raises CircuitOpen: the account is closed off.
        """
        own = [image for image in await self._named(job) if image.id not in taken]
        for image in own:
            if image.state not in ENDED:
                return Found(image.id, f"found in {job.destination} by its name {job.made_name}: {image.id}")
        since = first_send(job) - MARGIN
        for image in own:
            if image.id != job.task_ref and (image.created_at is None or image.created_at >= since):
                reason = f"the copy {image.id} was begun and has failed"
                return Lost(reason, Answer("permanent_image", reason))
        # "Busy" may mean our own copy that no list shows yet: that wants a second look.
        reason = f"{job.destination} has no image named {job.made_name}; the client token makes sending it again safe"
        return Absent(reason, certain=job.klass != "wait_image")

    async def follow(self, asked: Sequence[Following]) -> list[Progress]:
        """How each copy is; one destination that does not answer holds up no other. Raises only cancellation."""

        def judged(one: Following, look: Look) -> Progress:
            return judge_copy(one, look, self.client.vendor_now())

        return await follow_copies(asked, self.images.look, judged)

    async def _named(self, job: Job) -> list[Image]:
        """Own images of the job's name that do not say that they are another's."""
        images = await self.images.named(job.destination, job.made_name)
        return [image for image in images if (image.tags or {}).get(TAG, unique_part(job.key)) == unique_part(job.key)]

    async def _own(self, job: Job, refusal: Answer) -> Accepted | Answer:
        """The name is taken: by our own earlier copy, then that is the copy; by another, and a person must see to it.

        A name that no list shows yet leaves it open whose it is.
        """
        try:
            named = await self.images.named(job.destination, job.made_name)
        except (Refused, CircuitOpen) as error:
            return replace(refusal, klass="retry", message=f"{refusal.message}; whose it is was not answered: {error}")
        for image in named:
            if image.state not in ENDED and (image.tags or {}).get(TAG, "") in ("", unique_part(job.key)):
                return Accepted(image.id, refusal.request_id)
        if not named:
            return replace(refusal, klass="retry", message=f"{refusal.message}; no list shows whose it is yet")
        return replace(refusal, message=f"{refusal.message}; delete or rename {named[0].id} in {job.destination}")


def freeze(job: Job, image: Image) -> Frozen:
    """Everything of the request but its client token, with a name that no other job gives."""
    wanted = _NOT_IN_NAMES.sub("-", str(job.options.get("name") or job.image_name or job.image_id))
    wanted = _NOT_FIRST.sub("image-", wanted)
    name = made_name(job, wanted, LONGEST_NAME)
    params = {
        "ImageId": job.image_id,
        "DestinationRegionId": job.destination,
        "DestinationImageName": name,
        "DestinationDescription": f"imageferry {unique_part(job.key)}: copy of {job.image_id} from {job.place.region}",
        **flat("Tag", {TAG: unique_part(job.key), **_own_tags(image)}),
    }
    return Frozen({"params": params}, made_name=name)


def _own_tags(image: Image) -> Mapping[str, str]:
    """The source's tags, as far as a request may name them: whether the cloud copies them by itself is not known."""
    fit = [
        (key, value)
        for key, value in (image.tags or {}).items()
        if key and key != TAG and _fits(key, _NO_KEYS) and _fits(value, _NO_VALUES)
    ]
    return dict(fit[: MOST_TAGS - 1])


def _fits(text: str, beginnings: str | tuple[str, ...]) -> bool:
    lower = text.lower()
    return (
        len(text) <= LONGEST_TAG
        and not lower.startswith(beginnings)
        and "http://" not in lower
        and "https://" not in lower
    )


def _call(job: Job, *, encrypted: bool = False) -> Call:
    more = {"Encrypted": "true"} if encrypted else {}
    params = {**job.request["params"], **more, "ClientToken": _token(job, encrypted=encrypted)}
    return Call(COPY, job.place.region, "copy", params, submits=True)


def _token(job: Job, *, encrypted: bool) -> str:
    """The same as long as it is open what became of the first send under it.

    A refusal may be remembered with its token, and so may a copy that has failed: once the cloud has said what became
    of a send, the next one is another request.
    """
    parts = (*job.place[1:], job.id, job.image_id, job.destination, job.attempt, first_send(job), encrypted)
    digest = hashlib.sha256("\n".join(map(str, parts)).encode()).hexdigest()
    return f"if-{digest[:40]}"


def _accepted(told: Told) -> Accepted | Answer:
    if told.answer.klass != "ok":
        return told.answer
    made = told.content.get("ImageId")
    if not made:
        return Answer("unanswered", "the answer names no new image", request_id=told.answer.request_id)
    return Accepted(str(made), told.answer.request_id)
