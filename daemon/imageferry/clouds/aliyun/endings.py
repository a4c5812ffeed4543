"""How an export ends: what was seen of its task and its objects, and what that means for its job.

Exports see with it and judge with it. Pure: it asks nobody.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from imageferry.clouds.aliyun.codes import EXPORT, classify
from imageferry.clouds.aliyun.tasks import FAILED, FINISHED, REMOVED, Seen, Task
from imageferry.clouds.sights import SEEN, objects_unseen, same_twice
from imageferry.clouds.sights import Sight as Objects
from imageferry.clouds.wire import foreign
from imageferry.core.answers import Answer
from imageferry.core.job import Job
from imageferry.core.times import SECOND
from imageferry.ports import Following, Progress

MARGIN: Final = 60 * SECOND
"""An object may be this much older than its task, by the vendor's clocks; a task's time may lack its seconds."""
PATIENCE: Final = 300 * SECOND
"""How long objects may be missing after their task has finished, or after the cloud knew it no more."""
PROMPT: Final = 60 * SECOND
"""How long an object that is late is looked for at the shortest cadence."""
FOUND: Final = "found:"
"""A task reference without a task's id; behind it, when the request was sent, microseconds by the vendor's clock."""

# In a job's memo:
DONE: Final = "finished"
"""When its task was first seen to have finished, when that was created (0: unknown), and the keys that it named."""
MISSING: Final = "missing"
"""How often in a row its task was missing from the list."""
LOST: Final = "lost"
"""Since when the cloud does not know its task."""

PASSING: Final = frozenset({"retry", "throttled", "wait_image", "wait_quota"})
"""Reasons of a failed task that may be gone when it is asked for once more."""


@dataclass(frozen=True, slots=True)
class Sight:
    """What was seen of one job."""

    task: Seen
    missing: int = 0
    """How often in a row the list left the task out."""
    lost: bool = False
    """The cloud does not know the task, or somebody has removed it: only its objects can tell."""
    objects: Objects = field(default_factory=Objects)


def judge(asked: Following, sight: Sight, now: int) -> Progress:
    """What becomes of an export; ``now`` by the vendor's clock."""
    job, task = asked.job, sight.task
    if isinstance(task, Answer):
        return Progress(job.id, "running", f"the task cannot be looked at: {task}", dict(job.memo), answer=task)
    if sight.lost:
        return _lost(asked, sight, now)
    if task is None:
        reason = f"the cloud does not list the task {job.task_ref}"
        return Progress(job.id, "running", reason, {**job.memo, MISSING: sight.missing})
    if task.status == FAILED:
        return _failed(job, task)
    if task.status == FINISHED:
        return _finished(asked, task, sight, now)
    return Progress(job.id, "running", f"the task is {task.status or 'under way'}")


def why(task: Task) -> Answer:
    """The reason of a failed task, classified as a refusal's code is; one without a code may pass."""
    text = foreign(task.reason) or "the cloud gives no reason"
    return Answer(classify(task.code, 0, EXPORT) if task.code else "retry", text, vendor_code=foreign(task.code))


def remembered(job: Job) -> Task:
    """A task that has finished, as the memo keeps it."""
    _, created_at, *keys = job.memo[DONE]
    return Task(job.task_ref, FINISHED, job.image_id, created_at or None, tuple(keys))


def _failed(job: Job, task: Task) -> Progress:
    answer = why(task)
    verdict: Final = "vanished" if answer.klass in PASSING else "failed"
    return Progress(job.id, verdict, f"the task {task.id} has failed: {answer.message}", answer=answer)


def _finished(asked: Following, task: Task, sight: Sight, now: int) -> Progress:
    job = asked.job
    since = int(job.memo.get(DONE, [now])[0])
    memo = {DONE: [since, task.created_at or 0, *task.objects], SEEN: sight.objects.sizes}
    if sight.objects.refusal is not None:
        return objects_unseen(asked, sight.objects.refusal, memo, sight.objects.what)
    if sight.objects.whole:
        return same_twice(asked, sight.objects, memo)
    reason = f"the task has finished, but {sight.objects.count}"
    if asked.overdue or now - since >= PATIENCE:
        return Progress(job.id, "vanished", reason)
    return Progress(job.id, "running", reason, memo, soon=now - since < PROMPT)


def _lost(asked: Following, sight: Sight, now: int) -> Progress:
    """Nobody knows the task any more: its objects tell, and without them it is asked for once more."""
    job = asked.job
    since = int(job.memo.get(LOST, now))
    memo = {MISSING: sight.missing, LOST: since, SEEN: sight.objects.sizes}
    if sight.objects.refusal is not None:
        return objects_unseen(asked, sight.objects.refusal, memo, sight.objects.what)
    if sight.objects.whole:
        return same_twice(asked, sight.objects, memo)
    known = f"the task {job.task_ref} is {sight.task.status}" if isinstance(sight.task, Task) else ""
    reason = f"{known or f'the cloud does not know the task {job.task_ref}'}, and {sight.objects.count}"
    if asked.overdue or now - since >= PATIENCE:
        verdict: Final = "failed" if isinstance(sight.task, Task) and sight.task.status in REMOVED else "vanished"
        return Progress(job.id, verdict, reason)
    return Progress(job.id, "running", reason, memo)
