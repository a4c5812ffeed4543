"""exportImage: the request, looking for one that got no answer, and following its task to the object.

The adapter hands export jobs here. A client token makes a request that is repeated the same request, and its answer the
same answer: a resend after a doubt has the first send's token, every other send one of its own.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Final

from imageferry.clouds.following import some_at_once
from imageferry.clouds.jdcloud.client import Call, Client
from imageferry.clouds.jdcloud.codes import by_message
from imageferry.clouds.jdcloud.images import latest
from imageferry.clouds.jdcloud.storage import Storage
from imageferry.clouds.jdcloud.tasks import Seen, Task, Tasks
from imageferry.clouds.objects import Missing, Present
from imageferry.clouds.sights import SEEN, Sight, objects_unseen, same_twice
from imageferry.clouds.wire import foreign
from imageferry.core.answers import Answer
from imageferry.core.image import Image
from imageferry.core.job import Job, first_send, unique_part
from imageferry.core.times import SECOND
from imageferry.ports import Absent, Accepted, Finding, Following, Found, Frozen, Lost, Permit, Progress, Unclear

ACTION: Final = "exportImage"
OSS_URL: Final = "https://{bucket}.s3-internal.{region}.jdcloud-oss.com"
"""How the request names a bucket; the only form that every description of the API allows."""
MARGIN: Final = 60 * SECOND
"""A task may be this much older than its request, by the vendor's clocks."""
PATIENCE: Final = 600 * SECOND
"""How long a task may be missing from the list, and an object after its task has finished."""
PROMPT: Final = 60 * SECOND
"""How long an object that is late is looked for at the shortest cadence."""
FINISHED: Final = "finished"
"""In a job's memo: when its task was first seen to have finished, and the keys that it named."""
MISSING: Final = "missing"
"""In a job's memo: when its task was first missing from the list."""
AT_ONCE: Final = 16
"""Objects looked at at once."""
PASSING: Final = frozenset({"retry", "throttled", "wait_image", "wait_quota"})
"""Reasons of a failed task that may be gone when it is asked for once more."""


@dataclass(frozen=True, slots=True)
class Exports:
    """One account's exports."""

    client: Client
    tasks: Tasks
    storage: Storage

    async def submit(self, job: Job, permit: Permit) -> Accepted | Answer:
        """Send the frozen request once."""
        body = json.dumps({**job.request["params"], "clientToken": _token(job)}).encode()
        path = f"images/{job.image_id}:{ACTION}"
        told = await self.client.submit(Call(ACTION, job.place.region, "export", path, body=body, submits=True), permit)
        if told.answer.klass != "ok":
            return told.answer
        task = told.content.get("taskId") or told.content.get("exportTaskId")
        if not task:
            return Answer("unanswered", "the answer names no task", request_id=told.answer.request_id)
        return Accepted(str(task), told.answer.request_id, (str(job.request["key"]),))

    async def find(self, job: Job, taken: Collection[str]) -> Finding:
        """Look for the task of an unanswered request among those that began since.

        A task names its objects, and they our prefix; one that names none yet may be ours as well as another's of the
        same image and bucket. If that is the only one it is followed: at its end it shows whose it was.

        :raises Refused: the cloud did not answer.
        :raises CircuitOpen: the account is closed off.
        """
        since = first_send(job) - MARGIN
        others, maybe = {*taken, job.task_ref}, list[Task]()
        async for task in self.tasks.since(job.place.region, since):
            if task.id in others or not _fits(job, task, since):
                continue
            if _ours(job, task):
                return _own(task)
            if not task.objects and task.status != "failed":
                maybe.append(task)
        if len(maybe) == 1:
            return Found(maybe[0].id, f"found as the image's only export to {job.destination} since: {maybe[0].id}")
        if maybe:
            return Unclear(f"{len(maybe)} exports of the image run, and none of them names its object yet")
        # "Busy" may mean our own task that is not listed yet: that wants a second look.
        reason = "no export of the image is listed since; the client token makes sending it again safe"
        return Absent(reason, certain=job.klass != "wait_image")

    async def follow(self, region: str, asked: Sequence[Following]) -> list[Progress]:
        """How each export is; never raises but for cancellation."""
        told = await self._told(region, [one.job for one in asked])

        async def see(one: Following) -> Sight:
            return await self._see(one.job, told[one.job.id])

        sights = await some_at_once(AT_ONCE, asked, see)
        now = self.client.vendor_now()
        return [_judge(one, told[one.job.id], sight, now) for one, sight in zip(asked, sights, strict=True)]

    async def _told(self, region: str, jobs: Sequence[Job]) -> dict[str, Seen]:
        """What the cloud tells of each job's task; one that is known to have finished is not asked about again."""
        open_jobs = [job for job in jobs if FINISHED not in job.memo]
        lost = [[job.task_ref] for job in open_jobs if MISSING in job.memo]
        told: dict[str, Seen] = {}
        for ids in ([job.task_ref for job in open_jobs if MISSING not in job.memo], *lost):
            told |= await self.tasks.by_id(region, ids)
        return {job.id: _remembered(job) if FINISHED in job.memo else told[job.task_ref] for job in jobs}

    async def _see(self, job: Job, task: Seen) -> Sight:
        """HEAD the objects of a task that has finished, or that the cloud does not list."""
        if isinstance(task, Answer) or (task is not None and task.status != "finished"):
            return Sight()
        keys = (task.objects if task is not None else ()) or (str(job.request["key"]),)
        present: dict[str, Present] = {}
        for key in keys:
            seen = await self.storage.head(job.destination, job.place.region, key)
            if isinstance(seen, Answer):
                return Sight(present, len(keys), seen)
            if not isinstance(seen, Missing):
                present[key] = seen
        return Sight(present, len(keys))


def freeze(job: Job, image: Image) -> Frozen:
    """Everything of the request but its client token, and the key that its object will have."""
    options, region = job.options, job.place.region
    prefix = f"{options.get('prefix') or ''}{unique_part(job.key)}"
    params: dict[str, Any] = {
        "roleName": options.get("role"),
        "ossUrl": OSS_URL.format(bucket=job.destination, region=region),
        "ossPrefix": prefix,
    }
    if options.get("disks") == "all" and image.extra.get("data_disks"):
        params["isAllDisk"] = True
    return Frozen({"params": params, "prefix": prefix, "key": f"{prefix}_exportImage_{job.image_id}"})


def _token(job: Job) -> str:
    """64 characters, the same as long as it is open what became of the first send under them.

    An answer may be remembered with its token, a refusal too, and so may a task that has ended without a result: once
    the cloud has said what became of a send, the next one is another request.
    """
    parts = (*job.place[1:], job.image_id, job.destination, job.request["prefix"], job.attempt, first_send(job))
    return hashlib.sha256("\n".join(map(str, parts)).encode()).hexdigest()


def _fits(job: Job, task: Task, since: int) -> bool:
    """Whether a task is about this image and bucket, and not too old in any time zone."""
    if task.image_id != job.image_id or (task.created_at is not None and latest(task.created_at) < since):
        return False
    return not task.bucket_url or f"//{job.destination}." in task.bucket_url


def _ours(job: Job, task: Task) -> bool:
    return any(str(job.request["prefix"]) in key for key in task.objects)


def _own(task: Task) -> Finding:
    answer = _why(task)
    if task.status == "failed" and answer.klass not in PASSING:
        return Lost(f"the lost task {task.id} has failed: {answer.message}", answer)
    return Found(task.id, f"found by the name of its object: {task.id}", task.objects)


def _why(task: Task) -> Answer:
    """The reason of a failed task, classified as a refusal's message is."""
    text = foreign(task.reason) or "the cloud gives no reason"
    return Answer(by_message(task.reason) or "permanent_config", text)


# --- judging -------------------------------------------------------------------------------------------------------


def _judge(asked: Following, task: Seen, sight: Sight, now: int) -> Progress:
    job = asked.job
    if isinstance(task, Answer):
        return Progress(job.id, "running", f"the task cannot be looked at: {task}", dict(job.memo), answer=task)
    if task is None:
        return _unlisted(asked, sight, now)
    if task.status == "failed":
        return _failed(job, task)
    if task.status == "finished":
        return _finished(asked, task, sight, now)
    return Progress(job.id, "running", f"the task is {task.status or 'under way'}, {task.progress} %")


def _failed(job: Job, task: Task) -> Progress:
    answer = _why(task)
    verdict: Final = "vanished" if answer.klass in PASSING else "failed"
    return Progress(job.id, verdict, f"the task {task.id} has failed: {answer.message}", answer=answer)


def _finished(asked: Following, task: Task, sight: Sight, now: int) -> Progress:
    """The task is done: its objects must be there, the same twice, and ours where that was not known before."""
    job = asked.job
    if task.objects and not job.object_keys and not _ours(job, task):
        return Progress(job.id, "vanished", f"the task {task.id} wrote {task.objects[0]}: it was another's")
    finished = int(job.memo.get(FINISHED, [now])[0])
    memo = {FINISHED: [finished, *task.objects], SEEN: sight.sizes}
    if sight.refusal is not None:
        return objects_unseen(asked, sight.refusal, memo)
    if sight.whole:
        return same_twice(asked, sight, memo)
    reason = f"the task has finished, but {sight.count}"
    if asked.overdue or now - finished >= PATIENCE:
        return Progress(job.id, "vanished", reason)
    return Progress(job.id, "running", reason, memo, soon=now - finished < PROMPT)


def _unlisted(asked: Following, sight: Sight, now: int) -> Progress:
    """The cloud does not list the task: for a while that may pass, later only its object can tell how it ended."""
    job = asked.job
    missing = int(job.memo.get(MISSING, now))
    reason = f"the cloud does not list the task {job.task_ref}"
    memo = {MISSING: missing, SEEN: sight.sizes}
    if now - missing < PATIENCE and not asked.overdue:
        return Progress(job.id, "running", reason, memo)
    if sight.refusal is not None:
        return objects_unseen(asked, sight.refusal, memo)
    if sight.whole:
        return same_twice(asked, sight, memo)
    verdict: Final = "failed" if asked.overdue else "running"
    return Progress(job.id, verdict, f"{reason}, and {sight.count}", memo)


def _remembered(job: Job) -> Task:
    """A task that has finished, as the memo keeps it."""
    _, *keys = job.memo[FINISHED]
    return Task(job.task_ref, job.image_id, "finished", "100", "", "", tuple(keys), None)
