"""Export tasks: DescribeTasks for many at once, DescribeTaskAttribute for what one of them wrote.

Exports follow and search with it. It starts nothing, and decides nothing about jobs. Copies have no tasks.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import structlog

from imageferry.clouds.aliyun.answers import listed, rows
from imageferry.clouds.aliyun.client import Call, Client
from imageferry.clouds.aliyun.codes import EXPORT, NO_SUCH_TASK
from imageferry.clouds.aliyun.images import moment
from imageferry.clouds.aliyun.sign import timestamp
from imageferry.clouds.reading import whole
from imageferry.core.answers import Answer
from imageferry.errors import CircuitOpen, Refused

TASKS: Final = "DescribeTasks"
ATTRIBUTE: Final = "DescribeTaskAttribute"
PAGE: Final = 100
"""Ids of one request, and tasks of one answer."""
MOST_PAGES: Final = 50
MOST_NAMED: Final = 10_000
"""Tasks whose objects are remembered."""

RUNNING: Final = frozenset({"processing", "waiting", "pending"})
FINISHED: Final = "finished"
FAILED: Final = "failed"
REMOVED: Final = frozenset({"deleted", "cancelled", "canceled"})
"""What a task may be called that somebody has cancelled; no document says so."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Task:
    """An export as the cloud tells of it."""

    id: str
    status: str
    """``processing finished failed``, and what nobody has told of yet; lower case."""
    image_id: str = ""
    """The resource it is about, where that is shown and is an image."""
    created_at: int | None = None
    """By the vendor's clock; perhaps without its seconds."""
    objects: tuple[str, ...] = ()
    """Keys that it writes; empty until the cloud names them, and in a list of tasks."""
    bucket: str = ""
    code: str = ""
    """Why it failed; empty where nothing is said."""
    reason: str = ""

    @property
    def ended(self) -> bool:
        """Whether it has come to some end."""
        return self.status in (FINISHED, FAILED) or self.status in REMOVED


Seen = Task | Answer | None
"""What was told of an id: the task, why nothing was told, or that the cloud does not list it."""


class Tasks:
    """One account's export tasks, read through its client."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._named: dict[tuple[str, str], tuple[str, ...]] = {}
        self._strange: set[str] = set()

    async def by_id(self, region: str, ids: Sequence[str]) -> dict[str, Seen]:
        """What a list tells of each id, without objects; never raises but for cancellation."""
        told: dict[str, Seen] = {}
        for start in range(0, len(ids), PAGE):
            told |= await self._batch(region, ids[start : start + PAGE])
        return told

    async def whole(self, region: str, task_id: str) -> Seen:
        """All that is told of one task; never raises but for cancellation."""
        try:
            told = await self._client.ask(Call(ATTRIBUTE, region, "read", {"TaskId": task_id}))
        except CircuitOpen as error:
            return Answer("never_sent", str(error))
        if told.answer.klass == "ok":
            task = self._task({"TaskId": task_id, **told.content})
            self._remember(region, task)
            return task
        return None if told.answer.vendor_code == NO_SUCH_TASK else told.answer

    async def named(self, region: str, task: Task) -> Seen:
        """A listed task with what it writes, which is not asked for twice; never raises but for cancellation."""
        known = self._named.get((region, task.id))
        return replace(task, objects=known) if known else await self.whole(region, task.id)

    async def since(self, region: str, begun: int) -> AsyncIterator[Task]:
        """Export tasks that were created since then, without objects.

        :raises Refused: the question was not answered.
        :raises CircuitOpen: the account is closed off.
        """
        told_of: set[str] = set()
        for page in range(1, MOST_PAGES + 1):
            params = {"TaskAction": EXPORT, "StartTime": timestamp(begun)}
            told = await self._client.read(_call(region, params, page))
            tasks = [self._task(row) for row in listed(told, "TaskSet", "Task") if _is_export(row)]
            for task in tasks:
                if task.id not in told_of:
                    told_of.add(task.id)
                    yield task
            total = whole(told.content.get("TotalCount"))
            if len(tasks) < PAGE if total is None else page * PAGE >= total:
                break

    async def _batch(self, region: str, ids: Sequence[str]) -> dict[str, Seen]:
        try:
            told = await self._client.ask(_call(region, {"TaskIds": ",".join(ids)}, 1))
        except CircuitOpen as error:
            return dict.fromkeys(ids, Answer("never_sent", str(error)))
        if told.answer.klass == "ok":
            try:
                tasks = {task.id: task for task in map(self._task, listed(told, "TaskSet", "Task"))}
            except Refused as error:
                return dict.fromkeys(ids, error.answer)
            return {each: tasks.get(each) for each in ids}
        if told.answer.vendor_code != NO_SUCH_TASK:
            return dict.fromkeys(ids, told.answer)
        if len(ids) == 1:
            return {ids[0]: None}
        half = -(-len(ids) // 2)
        return {**await self._batch(region, ids[:half]), **await self._batch(region, ids[half:])}

    def _task(self, row: Mapping[str, Any]) -> Task:
        task = to_task(row)
        if not task.ended and task.status not in RUNNING | self._strange:
            self._strange.add(task.status)
            log.warning("task status is not known; taken as running", status=task.status[:64])
        return task

    def _remember(self, region: str, task: Task) -> None:
        if not task.objects:
            return
        self._named[region, task.id] = task.objects
        while len(self._named) > MOST_NAMED:
            del self._named[next(iter(self._named))]


def to_task(row: Mapping[str, Any]) -> Task:
    """A task as either operation shows it; success is ``Finished`` without a failure or an error code."""
    parts = rows(row, "OperationProgressSet", "OperationProgress")
    items = [item for part in parts for item in rows(part, "RelatedItemSet", "RelatedItem")]
    wrong = next((part for part in parts if part.get("ErrorCode")), {})
    status, resource = str(row.get("TaskStatus") or "").lower(), str(row.get("ResourceId") or "")
    if status == FINISHED and (wrong or whole(row.get("FailedCount"))):
        status = FAILED
    return Task(
        id=str(row.get("TaskId") or ""),
        status=status,
        image_id=resource if resource.startswith("m-") else "",
        created_at=moment(row.get("CreationTime")),
        objects=tuple(dict.fromkeys(_values(items, "OSSObject"))),
        bucket=next(iter(_values(items, "OSSBucket")), ""),
        code=str(wrong.get("ErrorCode") or ""),
        reason=str(wrong.get("ErrorMsg") or ""),
    )


def _values(items: Sequence[Mapping[str, Any]], name: str) -> list[str]:
    return [str(item["Value"]).lstrip("/") for item in items if item.get("Name") == name and item.get("Value")]


def _call(region: str, params: Mapping[str, str], page: int) -> Call:
    return Call(TASKS, region, "read", {**params, "PageNumber": str(page), "PageSize": str(PAGE)})


def _is_export(row: Mapping[str, Any]) -> bool:
    return str(row.get("TaskAction") or EXPORT).replace("_", "").lower() == EXPORT.lower()
