"""imageTasks: export tasks by their ids, many a request, and those that began since a time.

Exports follow and search with it. It starts nothing, and decides nothing about jobs. Copies have no tasks. One document
of the API allows ten to a hundred tasks a page, another one to ten: the larger page is tried once, and given up for
good where it is refused.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

from imageferry.clouds.jdcloud.client import Call, Client
from imageferry.clouds.jdcloud.codes import NO_SUCH_ID, OUT_OF_RANGE
from imageferry.clouds.jdcloud.images import Query, indexed, moment, written
from imageferry.clouds.reading import objects
from imageferry.core.answers import Answer
from imageferry.errors import CircuitOpen, Refused

TASKS: Final = "imageTasks"
EXPORT: Final = "ExportImage"
PAGE: Final = 50
"""Tasks of one answer, and ids of one request: they stand in the URL, which must stay short."""
SMALL_PAGE: Final = 10
"""The one page size that every description of the API allows."""
MOST_PAGES: Final = 50


@dataclass(frozen=True, slots=True)
class Task:
    """An export as the cloud tells of it."""

    id: str
    image_id: str
    status: str
    """``pending running failed finished``, and what nobody has told of yet."""
    progress: str
    reason: str
    """Why it failed, in free text; empty where nothing is said."""
    bucket_url: str
    objects: tuple[str, ...]
    """Keys that it writes; empty until the cloud names them."""
    created_at: int | None
    """See ``images.moment``: its zone is not sure."""


Seen = Task | Answer | None
"""What was told of an id: the task, why nothing was told, or that the cloud does not list it."""


class Tasks:
    """One account's export tasks, read through its client."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._size = PAGE

    async def by_id(self, region: str, ids: Sequence[str]) -> dict[str, Seen]:
        """What is told of each id; never raises but for cancellation."""
        told: dict[str, Seen] = {}
        rest = list(dict.fromkeys(ids))
        while rest:
            some = rest[: self._size]
            told |= await self._batch(region, some)
            rest = rest[len(some) :]
        return told

    async def since(self, region: str, begun: int) -> AsyncIterator[Task]:
        """Export tasks that were created since then, and some older ones.

        :raises Refused: the question was not answered.
        :raises CircuitOpen: the account is closed off.
        """
        query, size = (("startTime", written(begun)),), self._size
        for page in range(1, MOST_PAGES + 1):
            told = await self._client.ask(_call(region, query, page, size))
            if self._too_large(told.answer, size):
                size = SMALL_PAGE
                told = await self._client.ask(_call(region, query, page, size))
            if told.answer.klass != "ok":
                raise Refused(told.answer)
            rows = objects(told.content.get("taskSet"))
            for row in rows:
                if _is_export(row):
                    yield to_task(row)
            total = told.content.get("totalCount")
            if not rows or (page * size >= total if isinstance(total, int) else len(rows) < size):
                break

    async def _batch(self, region: str, ids: Sequence[str]) -> dict[str, Seen]:
        size = self._size
        try:
            told = await self._client.ask(_call(region, indexed("taskIds", ids), 1, size))
        except CircuitOpen as error:
            return dict.fromkeys(ids, Answer("never_sent", str(error)))
        answer = told.answer
        if self._too_large(answer, size):
            return await self.by_id(region, ids)
        if answer.klass == "ok":
            listed = {task.id: task for task in map(to_task, objects(told.content.get("taskSet")))}
            return {each: listed.get(each) for each in ids}
        if not _about_ids(answer, ids):
            return dict.fromkeys(ids, answer)
        if len(ids) == 1:
            return {ids[0]: None}
        alone = [await self._batch(region, [each]) for each in ids]
        return {each: seen for one in alone for each, seen in one.items()}

    def _too_large(self, answer: Answer, size: int) -> bool:
        """Whether a page of this size is refused; then smaller ones are asked for, to the end of the process."""
        if size == SMALL_PAGE or answer.vendor_code != OUT_OF_RANGE:
            return False
        self._size = SMALL_PAGE
        return True


def to_task(row: Mapping[str, Any]) -> Task:
    """A task as the API shows it; what fails it is told in one of two places."""
    several = row.get("ossObjects")
    named = [each for each in several if each] if isinstance(several, list) else []
    return Task(
        id=str(row.get("taskId") or ""),
        image_id=str(row.get("imageId") or ""),
        status=str(row.get("taskStatus") or "").lower(),
        progress=str(row.get("progress") or 0),
        reason=str(row.get("errorInfo") or row.get("message") or ""),
        bucket_url=str(row.get("ossUrl") or ""),
        objects=tuple(_key(str(each)) for each in named or [row.get("ossObject")] if each),
        created_at=moment(row.get("createdTime")),
    )


def _call(region: str, query: Query, page: int, size: int) -> Call:
    paging = (("taskAction", EXPORT), ("pageNumber", str(page)), ("pageSize", str(size)))
    return Call(TASKS, region, "read", TASKS, (*query, *paging))


def _is_export(row: Mapping[str, Any]) -> bool:
    return str(row.get("action") or EXPORT).startswith(EXPORT)


def _about_ids(answer: Answer, ids: Sequence[str]) -> bool:
    """Whether a refusal says that one of the ids is not there."""
    if answer.klass not in ("permanent_config", "permanent_image"):
        return False
    return answer.vendor_code in NO_SUCH_ID or any(each in answer.message for each in ids)


def _key(text: str) -> str:
    """A key without the bucket before it."""
    return (urlsplit(text).path if "://" in text else text).lstrip("/")
