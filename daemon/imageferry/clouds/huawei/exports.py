"""The export of an image: the request, looking for one that got no answer, and following its job to the object.

The adapter hands export jobs here. Nothing tells which jobs run, and no token marks a request; but the object's key is
the job's own, and the cloud refuses a second export of an image while one runs, and one onto an object that is there.
So sending the same request once more starts nothing that a lost one has started.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from imageferry.clouds.following import answer_of, some_at_once
from imageferry.clouds.huawei.chances import ended_badly, second_chance
from imageferry.clouds.huawei.client import Call, Client, body_of
from imageferry.clouds.huawei.codes import OBJECT_EXISTS, TOO_LARGE
from imageferry.clouds.huawei.facts import FACTS, LARGEST_NORMAL_GIB
from imageferry.clouds.huawei.jobs import Jobs, JobState
from imageferry.clouds.huawei.storage import Storage
from imageferry.clouds.objects import Missing, Present
from imageferry.clouds.sights import SEEN, objects_unseen
from imageferry.core.answers import Answer
from imageferry.core.image import Image
from imageferry.core.job import Job, unique_part
from imageferry.core.times import SECOND
from imageferry.errors import CircuitOpen, Refused
from imageferry.ports import Absent, Accepted, Finding, Following, Found, Frozen, Permit, Progress, Unclear

ACTION: Final = "ExportImage"
MARGIN: Final = 60 * SECOND
"""An object may be this much older than its request by the storage's clock."""
AT_ONCE: Final = 16
"""Jobs looked into at once."""
FOUND: Final = "found:"
"""A task reference without a job's id; behind it, from when on its object is, microseconds by the vendor's clock."""
CHECK_EVERY: Final = 20
"""How many base cadences of a running task pass between two questions about a job whose object does not show."""
GRACE: Final = 2
"""How many of them an object may come later than the end of its job."""

# In a job's memo:
ASKED: Final = "asked"
"""When its job was asked about last, by the vendor's clock."""
DONE: Final = "done"
"""When its job was first seen to have succeeded."""
UNKNOWN: Final = "unknown"
"""The cloud does not know its job any more."""

_QUICK_FORMAT: Final = "zvhd2"


@dataclass(frozen=True, slots=True)
class Sight:
    """What was seen of one job's object, under whichever of its keys."""

    key: str = ""
    present: Present | None = None
    refusal: Answer | None = None

    @property
    def whole(self) -> bool:
        """It is there and holds something."""
        return self.present is not None and self.present.size > 0

    @property
    def sizes(self) -> list[int]:
        """JSON to compare with the next look's."""
        return [self.present.size, self.present.last_modified] if self.present else []


@dataclass(frozen=True, slots=True)
class Exports:
    """One account's exports."""

    client: Client
    jobs: Jobs
    storage: Storage
    cadence: float
    """The base cadence of a running task, seconds."""

    async def submit(self, job: Job, permit: Permit) -> Accepted | Answer:
        """Send the frozen request once; an image that turns out to be too large for it is exported quickly instead."""
        ways = job.request["ways"]
        way = ways[-1] if job.vendor_code in TOO_LARGE else ways[0]
        told = await self.client.submit(self._call(job, way), permit)
        if told.answer.vendor_code in TOO_LARGE and way != ways[-1]:
            way = ways[-1]
            told = await self.client.submit_anew(self._call(job, way))
        if told.answer.vendor_code == OBJECT_EXISTS:
            return await self._own_earlier(job, told.answer)
        if told.answer.klass != "ok":
            return second_chance(job, told.answer)
        task = told.content.get("job_id")
        if not task:
            return Answer("unanswered", "the answer names no job", request_id=told.answer.request_id)
        return Accepted(str(task), told.answer.request_id, (str(way["key"]),))

    async def find(self, job: Job) -> Finding:
        """Look for the object of an unanswered request. A job that runs cannot be seen: see the module's head."""
        since = job.created_at if job.sent_at is None else job.sent_at
        sight = await self._see(job, _keys(job), since)
        if sight.whole:
            return Found(f"{FOUND}{since}", f"found by its object {sight.key}", (sight.key,))
        if sight.refusal is not None:
            return Unclear(f"the object cannot be looked at: {sight.refusal}", sight.refusal)
        if sight.present is not None:
            return Unclear(f"the object {sight.key} is there, but empty")
        return Absent("the object is not there; if its job runs, the cloud refuses the same request")

    async def follow(self, asked: Sequence[Following]) -> list[Progress]:
        """How each export is; never raises but for cancellation."""
        return await some_at_once(AT_ONCE, asked, self._follow)

    # --- looking ---------------------------------------------------------------------------------------------------

    def _call(self, job: Job, way: Mapping[str, Any]) -> Call:
        body = str(way["body"]).encode()
        return Call(ACTION, job.place.region, "export", str(job.request["path"]), body=body, submits=True)

    async def _see(self, job: Job, keys: Sequence[str], since: int = 0) -> Sight:
        """HEAD the object under each key that it may have; one that is older than ``since`` is another's."""
        for key in keys:
            seen = await self.storage.head(job.destination, job.place.region, key)
            if isinstance(seen, Answer):
                return Sight(key, refusal=seen)
            if not isinstance(seen, Missing) and seen.last_modified >= since - MARGIN:
                return Sight(key, seen)
        return Sight()

    async def _own_earlier(self, job: Job, refusal: Answer) -> Accepted | Answer:
        """The object is there: our own earlier one, since nobody else writes this key; else a person must see to it."""
        sight = await self._see(job, _keys(job))
        if sight.refusal is not None:
            why = f"{refusal.message}; whether it is ours was not answered: {sight.refusal}"
            return replace(refusal, klass="retry", message=why)
        if sight.present is None or not sight.whole:
            return refusal
        return Accepted(f"{FOUND}{sight.present.last_modified}", refusal.request_id, (sight.key,))

    async def _follow(self, one: Following) -> Progress:
        job = one.job
        since = int(job.task_ref.removeprefix(FOUND)) if job.task_ref.startswith(FOUND) else 0
        sight = await self._see(job, job.object_keys, since)
        state: JobState | None = None
        if self._wants_job(one, sight):
            try:
                state = await self.jobs.ask(job.place.region, job.task_ref)
            except (Refused, CircuitOpen) as error:
                reason = f"the job's state was not told: {error}"
                return Progress(job.id, "running", reason, dict(job.memo), answer=answer_of(error))
            job = replace(job, memo=_noted(job, state, self.client.vendor_now()))
        return self._judge(Following(job, one.overdue), sight, state)

    def _wants_job(self, one: Following, sight: Sight) -> bool:
        """Whether the job is asked about now: at the end, and now and then before it."""
        memo = one.job.memo
        if one.job.task_ref.startswith(FOUND) or DONE in memo:
            return False
        if one.overdue:
            return True
        if sight.whole and UNKNOWN not in memo and memo.get(SEEN) == sight.sizes:
            return True
        started = self.client.time.at(one.job.submitted_at or one.job.created_at)
        last = max(int(memo.get(ASKED, 0)), started)
        return self.client.vendor_now() - last >= CHECK_EVERY * self.cadence * SECOND

    # --- judging ---------------------------------------------------------------------------------------------------

    def _judge(self, one: Following, sight: Sight, state: JobState | None) -> Progress:
        job = one.job
        if state is not None and state.status == "failed":
            return ended_badly(job, state)
        if sight.refusal is not None:
            what = "the job succeeded, but the object" if DONE in job.memo else "the object"
            return objects_unseen(one, sight.refusal, dict(job.memo), what)
        if sight.whole:
            return _at_the_end(job, sight)
        memo = {name: value for name, value in job.memo.items() if name != SEEN}
        if DONE in memo:
            return self._without_object(job, memo)
        reason = "the object does not show yet" if state is None else state.reason
        if one.overdue and (state is None or state.status == "unknown"):
            return Progress(job.id, "vanished", f"past its deadline, and {reason}")
        return Progress(job.id, "running", reason, memo)

    def _without_object(self, job: Job, memo: Mapping[str, Any]) -> Progress:
        reason = "the job succeeded, but its object is not there"
        if self.client.vendor_now() - int(memo[DONE]) < GRACE * self.cadence * SECOND:
            return Progress(job.id, "running", reason, memo, soon=True)
        return Progress(job.id, "vanished", reason, memo)


def freeze(job: Job, image: Image, version: str) -> Frozen:
    """The exact body and key; for an image that may turn out to be too large, those of a quick export as well."""
    options = job.options
    stem = "-".join(part for part in (options.get("prefix"), unique_part(job.key)) if part)
    form = str(options.get("format") or FACTS.formats[0])
    quick_key = f"{stem}.{_QUICK_FORMAT}"
    quick = {
        "key": quick_key,
        "body": body_of({"bucket_url": f"{job.destination}:{quick_key}", "is_quick_export": True}),
    }
    key = f"{stem}.{form}"
    bucket_url = f"{job.destination}:{key}"
    normal = {
        "key": key,
        "body": body_of({"bucket_url": bucket_url, "file_format": form, "is_quick_export": False}),
    }
    ways = [quick] if options.get("quick") or (image.size_gib or 0) > LARGEST_NORMAL_GIB else [normal]
    if ways == [normal] and image.encrypted is not True:
        ways.append(quick)
    return Frozen({"path": f"{version}/cloudimages/{job.image_id}/file", "ways": ways})


def _keys(job: Job) -> list[str]:
    return [str(way["key"]) for way in job.request["ways"]]


def _noted(job: Job, state: JobState, now: int) -> dict[str, Any]:
    memo = {**job.memo, ASKED: now}
    if state.status == "done":
        memo[DONE] = now
    if state.status == "unknown":
        memo[UNKNOWN] = True
    return memo


def _at_the_end(job: Job, sight: Sight) -> Progress:
    """The object is there: it must be the same twice, and the job over as far as the cloud knows of it."""
    memo = {**job.memo, SEEN: sight.sizes}
    over = job.task_ref.startswith(FOUND) or DONE in job.memo or UNKNOWN in job.memo
    if job.memo.get(SEEN) != sight.sizes:
        return Progress(job.id, "running", "the object is there; seen once", memo, (sight.key,), soon=True)
    if not over:
        return Progress(job.id, "running", "the object is there; its job is not over", memo, (sight.key,))
    reason = f"object {sight.key} of {sight.sizes[0]} bytes in {job.destination}"
    # An earlier look that was refused must not be what the job ends with.
    return Progress(job.id, "succeeded", reason, memo, (sight.key,), Answer("ok", reason, request_id=job.request_id))
