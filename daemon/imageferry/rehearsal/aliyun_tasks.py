"""DescribeTasks, DescribeTaskAttribute and CancelTask of the Alibaba Cloud rehearsal: how exports go.

The rehearsal's table of actions points here. Copies have no task; whatever changes with time follows from the time that
is asked about.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from imageferry.core.times import SECOND
from imageferry.rehearsal.aliyun_calls import (
    HERE,
    PAGES,
    TEXT,
    Call,
    Export,
    World,
    page_of,
    time_of,
)
from imageferry.rehearsal.parameters import VendorError, Wanted

TASKS_WANTED: Final = {
    **HERE,
    **PAGES,
    "TaskIds": Wanted(TEXT),
    "TaskAction": Wanted(TEXT),
    "TaskStatus": Wanted(TEXT),
    "StartTime": Wanted(TEXT),
    "EndTime": Wanted(TEXT),
    "ResourceIds.N": Wanted(TEXT),
}
TASK_WANTED: Final = {**HERE, "TaskId": Wanted(TEXT, required=True)}

ACTIONS: Final = ("ImportImage", "ExportImage", "RedeployInstance", "ModifyDiskSpec", "ArchiveSnapshot")
STATUSES: Final = ("Finished", "Processing", "Failed")
MOST_IDS: Final = 100
WAITING_SHARE: Final = 0.1
"""Of a task's time, at its beginning."""


def describe_tasks(world: World, call: Call, now: int) -> dict[str, Any]:
    """Tasks of a region, newest first, a page of them.

    :raises VendorError: a rule says no.
    """
    number, size, page = page_of(call)
    found = list(_wanted(world, call, now))
    return {
        "PageNumber": number,
        "PageSize": size,
        "TotalCount": len(found),
        "RegionId": call.region,
        "TaskSet": world.wrapped("Task", (_outline(world, each, now) for each in found[page])),
    }


def describe_task_attribute(world: World, call: Call, now: int) -> dict[str, Any]:
    """One task with its progress, its objects, and why it failed.

    :raises VendorError: there is no such task here.
    """
    export = _task_of(world, call, now)
    ended, failed = export.ended(now), _failed(export, now)
    entries = list(_entries(world, export, now))
    total = 1 if world.options.one_entry else max(1, len(export.task.objects))
    return {
        **_outline(world, export, now),
        "RegionId": call.region,
        "TaskProcess": f"{int(100 * _share(export, now))}%",
        "TotalCount": total,
        "SuccessCount": total if ended and not failed else 0,
        "FailedCount": total if failed else 0,
        "OperationProgressSet": world.wrapped("OperationProgress", entries),
    }


def cancel_task(world: World, call: Call, now: int) -> dict[str, Any]:
    """Stop a task that runs; its objects never come.

    :raises VendorError: there is no such task here, or it has ended.
    """
    export = _task_of(world, call, now)
    if export.ended(now):
        raise VendorError("InvalidTaskId.IncorrectTaskStatus", "The status of the task does not support this.")
    export.cancelled_at = now
    for key in export.task.objects:
        world.store.delete(export.task.destination, key)
    image = world.store.image(export.task.region, export.task.image_id, now)
    if image is not None:
        others = (e for e in world.exports.values() if e.task.image_id == image.id and not e.ended(now))
        image.exporting_until = max((each.task.ends_at for each in others), default=now)
    world.store.running(export.task.action, export.task.region).stop(export.task.ends_at)
    return {}


def _task_of(world: World, call: Call, now: int) -> Export:
    export = world.exports.get(call.text("TaskId"))
    if export is None or export.task.region != call.region or not _there(world, export, now):
        raise VendorError("InvalidTaskId.NotFound", "The specified TaskId does not exist.")
    return export


def _there(world: World, export: Export, now: int) -> bool:
    """Whether a task can be asked for."""
    kept, options = world.options.task_kept_seconds, world.options
    forgotten = kept is not None and export.ended(now) and now >= export.ends_at() + int(kept * SECOND)
    return not forgotten and now >= export.task.accepted_at + int(options.task_shows_seconds * SECOND)


def _wanted(world: World, call: Call, now: int) -> Iterator[Export]:
    action, status = call.text("TaskAction"), call.text("TaskStatus")
    ids = [each for each in call.text("TaskIds").split(",") if each]
    resources = call.numbered("ResourceIds")
    if len(ids) > MOST_IDS or len(resources) > MOST_IDS:
        raise VendorError("InvalidParameter", f"At most {MOST_IDS} ids may be given.")
    if action and action not in ACTIONS:
        raise VendorError("InvalidParameter", "The specified TaskAction is not valid.")
    since = time_of("StartTime", call.text("StartTime"), "InvalidParameter") if call.text("StartTime") else 0
    until = time_of("EndTime", call.text("EndTime"), "InvalidParameter") if call.text("EndTime") else now
    chosen = [world.exports[each] for each in ids if each in world.exports] if ids else list(world.exports.values())
    for each in reversed(chosen):
        begun = each.task.accepted_at // SECOND * SECOND
        if each.task.region != call.region or not since <= begun <= until or action not in ("", "ExportImage"):
            continue
        fits = status not in STATUSES or status == _status(world, each, now)
        if fits and (not resources or each.task.image_id in resources) and _there(world, each, now):
            yield each


def _outline(world: World, export: Export, now: int) -> dict[str, Any]:
    options, ended = world.options, export.ended(now)
    support = not ended
    return {
        "TaskId": export.task.id,
        "TaskAction": options.task_action_form,
        "TaskStatus": _status(world, export, now),
        **({"ResourceId": export.task.image_id} if options.shows_resource_id else {}),
        "CreationTime": world.time_text(export.task.accepted_at),
        "FinishedTime": world.time_text(export.ends_at()) if ended else "",
        "SupportCancel": str(support).lower() if options.support_cancel_as == "text" else support,
    }


def _status(world: World, export: Export, now: int) -> str:
    options = world.options
    if export.cancelled_at is not None:
        return options.cancelled_as
    if export.ended(now):
        return options.failed_as if export.task.fails else "Finished"
    waits = options.waiting_word and _share(export, now) < WAITING_SHARE
    return options.waiting_word if waits else "Processing"


def _failed(export: Export, now: int) -> bool:
    return export.cancelled_at is not None or (export.task.fails and export.ended(now))


def _entries(world: World, export: Export, now: int) -> Iterator[dict[str, Any]]:
    """One entry an object, or one for all of them."""
    options, ended, failed = world.options, export.ended(now), _failed(export, now)
    told = options.objects_shown == "always" or (options.objects_shown == "finished" and ended)
    keys = export.task.objects if told and not failed else ()
    keys = keys[:1] if options.names_objects == "system" else keys
    groups = [list(keys)] if options.one_entry or not keys else [[key] for key in keys]
    for group in groups:
        items = [
            {"Name": "OSSBucket", "Value": export.task.destination},
            *({"Name": "OSSObject", "Value": key} for key in group),
            {"Name": "ImageFormat", "Value": export.format},
        ]
        yield {
            "OperationStatus": ("Failed" if failed else "Success") if ended else "Processing",
            "ErrorCode": export.code if failed else "",
            "ErrorMsg": export.reason if failed else "",
            "RelatedItemSet": world.wrapped("RelatedItem", items),
        }


def _share(export: Export, now: int) -> float:
    """How much of its time a task has had, 0 to 1; a failed one never comes to its end."""
    task = export.task
    at = min(now, export.ends_at())
    share = min(1.0, (at - task.accepted_at) / max(1, task.ends_at - task.accepted_at))
    return min(share, 0.99) if _failed(export, now) else share
