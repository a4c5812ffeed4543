"""imageTasks of the JD Cloud rehearsal: how exports go. Copies are not among them.

The rehearsal's table of operations points here. It changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from imageferry.core.times import SECOND
from imageferry.rehearsal.jdcloud_calls import INVALID, Call, Export, World
from imageferry.rehearsal.jdcloud_options import JdcloudOptions
from imageferry.rehearsal.jdcloud_queries import NUMBER, page_of
from imageferry.rehearsal.parameters import STRING, STRINGS, VendorError, Wanted

WANTED: Final = {
    "taskAction": Wanted(STRING),
    "taskIds": Wanted(STRINGS),
    "taskStatus": Wanted(STRING),
    "startTime": Wanted(STRING),
    "endTime": Wanted(STRING),
    "pageNumber": Wanted(NUMBER),
    "pageSize": Wanted(NUMBER),
}

ACTIONS: Final = ("ImportImage", "ExportImage")
STATUSES: Final = ("pending", "running", "failed", "finished")
USUAL_SIZE: Final = 10
PENDING_SHARE: Final = 0.1
"""Of a task's time, at its beginning."""


def image_tasks(world: World, call: Call, now: int) -> dict[str, Any]:
    """Export tasks of a region, newest first, a page of them.

    :raises VendorError: a rule says no.
    """
    options = world.options
    if options.task_action_required and not call.text("taskAction"):
        raise VendorError(INVALID, "Parameter TaskAction missing")
    for name, words in (("taskAction", ACTIONS), ("taskStatus", STATUSES)):
        if call.text(name) and call.text(name) not in words:
            raise VendorError(INVALID, f"Invalid {name} '{call.text(name)}'")
    lowest, highest = (10, 100) if options.task_page_sizes == "10-100" else (1, 10)
    page = page_of(call, USUAL_SIZE, lowest, highest)
    found = list(_wanted(world, call, now))
    return {"taskSet": [_task_json(world, each, now) for each in found[page]], "totalCount": len(found)}


def status_of_task(export: Export, now: int) -> str:
    """The word for how an export is."""
    task = export.task
    if now >= task.ends_at:
        return "failed" if task.fails else "finished"
    return "pending" if _share(export, now) < PENDING_SHARE else "running"


def _wanted(world: World, call: Call, now: int) -> Iterator[Export]:
    if call.text("taskAction") == "ImportImage":
        return
    since = world.time_of(call.text("startTime")) if call.text("startTime") else 0
    until = world.time_of(call.text("endTime")) if call.text("endTime") else now
    ids, status = call.strings("taskIds"), call.text("taskStatus")
    chosen = [world.exports[each] for each in ids if each in world.exports] if ids else list(world.exports.values())
    shows = int(world.options.task_shows_seconds * SECOND)
    for each in reversed(chosen):
        task = each.task
        begun = task.accepted_at // SECOND * SECOND
        there = task.region == call.region and now >= task.accepted_at + shows
        if there and since <= begun <= until and status in ("", status_of_task(each, now)):
            yield each


def _task_json(world: World, export: Export, now: int) -> dict[str, Any]:
    task, options = export.task, world.options
    status = status_of_task(export, now)
    ended = now >= task.ends_at
    told = {
        "taskId": int(task.id) if options.task_ids_are_numbers else task.id,
        "action": f"ExportImage{options.task_action_suffix}",
        "taskStatus": status,
        "progress": int(100 * _share(export, now)) if not (ended and task.fails) else 99,
        "createdTime": world.time_text(task.accepted_at),
        "finishedTime": world.time_text(task.ends_at) if ended else "",
        "imageId": task.image_id,
        "ossUrl": export.oss_url,
        **_objects(export, options, finished=status == "finished"),
    }
    return {**told, "errorInfo": "", "message": "", options.failure_field: export.failure if ended else ""}


def _objects(export: Export, options: JdcloudOptions, *, finished: bool) -> dict[str, Any]:
    if options.names_objects == "none":
        return {}
    keys = export.task.objects if finished else ()
    told: dict[str, Any] = {"ossObject": keys[0] if keys else ""}
    return {**told, "ossObjects": list(keys)} if options.names_objects == "ossObjects" else told


def _share(export: Export, now: int) -> float:
    """How much of its time a task has had, 0 to 1."""
    task = export.task
    return min(1.0, (now - task.accepted_at) / max(1, task.ends_at - task.accepted_at))
