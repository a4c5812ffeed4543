"""ExportImage: the request, looking for one that got no answer, and following its task to the objects.

The adapter hands export jobs here. The request has no client token: what marks it is the prefix of its objects, which
no other job gives. So a lost task is known by the objects that it names, and where none is listed by the objects
themselves; a task that names none yet keeps the doubt open.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final

from imageferry.clouds.aliyun.client import Call, Client
from imageferry.clouds.aliyun.codes import EXPORT
from imageferry.clouds.aliyun.endings import DONE, FOUND, MARGIN, MISSING, PASSING, Sight, judge, remembered, why
from imageferry.clouds.aliyun.facts import FACTS
from imageferry.clouds.aliyun.storage import Storage
from imageferry.clouds.aliyun.tasks import FAILED, FINISHED, REMOVED, Seen, Task, Tasks
from imageferry.clouds.following import some_at_once
from imageferry.clouds.objects import Missing, Present
from imageferry.clouds.sights import Sight as Objects
from imageferry.core.answers import Answer
from imageferry.core.image import Image
from imageferry.core.job import Job, first_send, unique_part
from imageferry.core.times import SECOND
from imageferry.ports import Absent, Accepted, Finding, Following, Found, Frozen, Lost, Permit, Progress, Unclear

SINCE: Final = 960 * SECOND
"""A lost task may seem so much older than its request: a clock may be off by a quarter of an hour unnoticed."""
OFTEN: Final = 3
"""So often in a row a task must be missing from the list before it is asked about alone."""
AT_ONCE: Final = 16
"""Jobs looked into at once."""


@dataclass(frozen=True, slots=True)
class Exports:
    """One account's exports."""

    client: Client
    tasks: Tasks
    storage: Storage

    async def submit(self, job: Job, permit: Permit) -> Accepted | Answer:
        """Send the frozen request once."""
        call = Call(EXPORT, job.place.region, "export", job.request["params"], submits=True)
        told = await self.client.submit(call, permit)
        if told.answer.klass != "ok":
            return told.answer
        task = told.content.get("TaskId") or told.content.get("ExportTaskId")
        if not task:
            return Answer("unanswered", "the answer names no task", request_id=told.answer.request_id)
        return Accepted(str(task), told.answer.request_id)

    async def find(self, job: Job, taken: Collection[str]) -> Finding:
        """Look for the task of an unanswered request among those that began since, then for its objects.

        :raises Refused: the cloud did not answer.
        :raises CircuitOpen: the account is closed off.
        """
        others, unnamed = {*taken, job.task_ref}, list[Task]()
        region, began = job.place.region, first_send(job)
        async for listed in self.tasks.since(region, began - SINCE):
            if listed.id in others or listed.image_id not in ("", job.image_id):
                continue
            task = await self.tasks.named(region, listed)
            if not isinstance(task, Task):
                return Unclear(f"the task {listed.id} cannot be looked at: {task or 'it is not known'}", task)
            if _ours(job, task):
                found = await self._own(job, task)
                if found is not None:
                    return found
            elif not task.objects and task.status != FAILED and task.bucket in ("", job.destination):
                unnamed.append(task)
        if any(not task.ended for task in unnamed):
            return Unclear(f"{len(unnamed)} exports run that may be ours, and do not name their objects yet")
        return await self._by_objects(job, began, [task for task in unnamed if task.status == FINISHED])

    async def follow(self, region: str, asked: Sequence[Following]) -> list[Progress]:
        """How each export is; never raises but for cancellation."""
        told = await self._told(region, [one.job for one in asked])

        async def see(one: Following) -> Sight:
            return await self._see(one.job, told[one.job.id])

        sights = await some_at_once(AT_ONCE, asked, see)
        now = self.client.vendor_now()
        return [judge(one, sight, now) for one, sight in zip(asked, sights, strict=True)]

    # --- finding ---------------------------------------------------------------------------------------------------

    async def _own(self, job: Job, task: Task) -> Finding | None:
        """What our own lost task means; None for one that has failed in a way that may pass: it can be sent again."""
        if task.status != FAILED:
            return Found(task.id, f"found by the name of its object: {task.id}", task.objects)
        seen = await self.tasks.whole(job.place.region, task.id)
        if not isinstance(seen, Task):
            return Unclear(f"why the lost task {task.id} failed was not told: {seen or 'it is not known'}", seen)
        answer = why(seen)
        if answer.klass in PASSING:
            return None
        return Lost(f"the lost task {task.id} has failed: {answer.message}", answer)

    async def _by_objects(self, job: Job, began: int, finished: Sequence[Task]) -> Finding:
        """No task is known to be ours: objects under our prefix would be."""
        prefix = str(job.request["prefix"])
        listed = await self.storage.list(job.destination, job.place.region, prefix)
        if isinstance(listed, Answer):
            if finished or listed.klass != "permanent_config":
                return Unclear(f"whether {prefix}* is in {job.destination} was not told: {listed}", listed)
            return Absent("no export with our prefix is listed since; the bucket may not be listed")
        keys = tuple(key for key in listed.objects if _bears(prefix, key))
        if not keys:
            return Absent("no export with our prefix is listed since, and no object bears it")
        named = next((task for task in finished if any(task.id in key for key in keys)), None)
        task = named or next((task for task in finished if task.image_id == job.image_id), None)
        return Found(task.id if task else f"{FOUND}{began}", f"found by its object {keys[0]}", keys)

    # --- following -------------------------------------------------------------------------------------------------

    async def _told(self, region: str, jobs: Sequence[Job]) -> dict[str, Seen]:
        """What a list tells of each job's task; one that is known to have finished is not asked about again."""
        ids = [job.task_ref for job in jobs if DONE not in job.memo and not job.task_ref.startswith(FOUND)]
        told = await self.tasks.by_id(region, ids)
        return {job.id: remembered(job) if DONE in job.memo else told.get(job.task_ref) for job in jobs}

    async def _see(self, job: Job, task: Seen) -> Sight:
        """Everything about one job: its task alone where that has ended or is missed, and then its objects."""
        region, missing, lost = job.place.region, 0, job.task_ref.startswith(FOUND)
        if task is None and not lost:
            missing = int(job.memo.get(MISSING, 0)) + 1
            if missing < OFTEN:
                return Sight(None, missing)
            task = await self.tasks.whole(region, job.task_ref)
            lost = task is None
        elif isinstance(task, Task) and task.ended and DONE not in job.memo:
            alone = await self.tasks.whole(region, job.task_ref)
            # A list may know a task that is not known alone any more; how it ended is then told by its objects.
            task = task if alone is None else alone
        if isinstance(task, Answer):
            return Sight(task)
        lost = lost or (task is not None and task.status in REMOVED)
        if not lost and task is not None and task.status != FINISHED:
            return Sight(task)
        return Sight(task, missing, lost, await self._objects(job, task))

    async def _objects(self, job: Job, task: Task | None) -> Objects:
        """HEAD the objects that the task names, and those under our prefix where it names too few."""
        expected, prefix, region = int(job.request["objects"]), str(job.request["prefix"]), job.place.region
        keys, begun = dict.fromkeys(task.objects if task is not None else ()), _begun(job, task) - MARGIN
        if len(keys) < expected:
            listed = await self.storage.list(job.destination, region, prefix)
            if isinstance(listed, Answer):
                # That the rest of several disks was written too would be a guess.
                what = f"all but {len(keys)} of {expected} objects" if keys else "the objects"
                return Objects(expected=expected, refusal=listed, what=what)
            fresh = (key for key, seen in listed.objects.items() if seen.last_modified >= begun)
            keys |= dict.fromkeys(key for key in fresh if _bears(prefix, key))
        present, expected = dict[str, Present](), max(len(keys), expected)
        for key in keys:
            seen = await self.storage.head(job.destination, region, key)
            if isinstance(seen, Answer):
                return Objects(present, expected, seen)
            if not isinstance(seen, Missing) and seen.last_modified >= begun:
                present[key] = seen
        return Objects(present, expected)


def freeze(job: Job, image: Image) -> Frozen:
    """The whole request, and how many objects it will leave.

    The prefix is the job's own, and that of one life of it: what a person asks for once more is not taken for what an
    earlier attempt has left.
    """
    options = job.options
    form, role = str(options.get("format") or FACTS.formats[0]), options.get("role")
    life = f"r{job.attempt % 1000}" if job.attempt > 1 else ""
    prefix = f"{options.get('prefix') or ''}{unique_part(job.key)}{life}"
    params = {
        "ImageId": job.image_id,
        "OSSBucket": job.destination,
        "OSSPrefix": prefix,
        **({"ImageFormat": form} if form != FACTS.formats[0] else {}),
        **({"RoleName": str(role)} if role else {}),
    }
    return Frozen({"params": params, "prefix": prefix, "objects": 1 + len(image.extra.get("data_disks_gib") or ())})


def _begun(job: Job, task: Task | None) -> int:
    """Since when objects of this export can be; 0 where nothing says so."""
    if job.task_ref.startswith(FOUND):
        return int(job.task_ref.removeprefix(FOUND)) - SINCE
    return (task.created_at if task is not None else None) or 0


def _bears(prefix: str, key: str) -> bool:
    """Whether an object's key begins with a prefix that nothing else goes on from."""
    return re.match(rf"{re.escape(prefix)}(?![A-Za-z0-9])", key) is not None


def _ours(job: Job, task: Task) -> bool:
    return any(_bears(str(job.request["prefix"]), key) for key in task.objects)
