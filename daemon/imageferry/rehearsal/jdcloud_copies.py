"""copyImages of the JD Cloud rehearsal: its rules in the order in which they are checked, and the copies it starts.

The rehearsal's table of operations points here. There is no client token: a repeated request is another copy, or
refused because the image is busy. What the vendor leaves open is a switch of the options.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any, Final

from imageferry.rehearsal.jdcloud_calls import (
    INVALID,
    UNFIT,
    Call,
    World,
    busy,
    check_ready,
    facts_of,
    image_of,
    source_of,
)
from imageferry.rehearsal.jdcloud_neighbours import room_for_images, room_for_snapshots
from imageferry.rehearsal.jdcloud_options import JdcloudOptions
from imageferry.rehearsal.misbehaviour import Aim
from imageferry.rehearsal.parameters import STRING, STRINGS, VendorError, Wanted
from imageferry.rehearsal.store import StoredImage, Task, disks_of

WANTED: Final = {
    "sourceImageIds": Wanted(STRINGS, required=True),
    "destinationRegion": Wanted(STRING, required=True),
    "name": Wanted(STRING),
    "description": Wanted(STRING),
}

LONGEST_DESCRIPTION: Final = 256

_NAME: Final = re.compile(r"[A-Za-z0-9\u3400-\u4dbf\u4e00-\u9fff_.-]{1,32}")


def copy_images(world: World, call: Call, now: int) -> dict[str, Any]:
    """Start a copy of every image unless a rule says no.

    :raises VendorError: a rule says no; with ``partial_copies`` only when no image is left.
    """
    _check_parameters(call, world.options)
    _check_destination(call, world.options)
    images = _allowed_images(world, call, now)
    _check_quotas(world, call, images, now)
    world.check_room(call.action, call.region, len(images), now)
    made = [
        {"sourceImageId": image.id, "destinationImageId": _start(world, call, image, now).new_image_id}
        for image in images
    ]
    return {"copyImages": made}


def _check_parameters(call: Call, options: JdcloudOptions) -> None:
    ids = call.strings("sourceImageIds")
    if not 1 <= len(ids) <= options.copy_ids_most or len(set(ids)) != len(ids):
        raise VendorError(INVALID, f"Invalid sourceImageIds: 1 to {options.copy_ids_most} different ids are wanted")
    named = [name for name in ("name", "description") if call.params.get(name) is not None]
    if named and not options.copy_names_known:
        raise VendorError(INVALID, f"The parameter `{named[0]}` is not recognized.")
    if "name" in named and _NAME.fullmatch(call.text("name")) is None:
        raise VendorError(INVALID, "Invalid name: 1 to 32 Chinese or other letters, digits, _ - and .")
    if len(call.text("description")) > LONGEST_DESCRIPTION:
        raise VendorError(INVALID, f"Invalid description: at most {LONGEST_DESCRIPTION} characters")


def _check_destination(call: Call, options: JdcloudOptions) -> None:
    region = call.text("destinationRegion")
    if region not in options.regions or (region == call.region and not options.same_region_copies):
        raise VendorError(INVALID, f"Invalid region '{region}'")
    if region in options.refused_destinations:
        raise VendorError(options.refused_destinations[region], f"The region '{region}' takes no copies")


def _allowed_images(world: World, call: Call, now: int) -> list[StoredImage]:
    allowed, refused = [], None
    for image_id in call.strings("sourceImageIds"):
        try:
            allowed.append(_allowed(world, call, image_id, now))
        except VendorError as error:
            refused = refused or error
    if refused is not None and not (allowed and world.options.partial_copies):
        raise refused
    return allowed


def _allowed(world: World, call: Call, image_id: str, now: int) -> StoredImage:
    image, options = image_of(world, call.region, image_id, now), world.options
    if source_of(image) not in (("private", "shared") if options.shared_copies else ("private",)):
        raise VendorError(UNFIT, "Can't use this image")
    if facts_of(image).root_device != "cloudDisk":
        raise VendorError(UNFIT, "Only support cloudDisk image")
    check_ready(image, options, now)
    if image.facts.encrypted:
        snapshot = image.disks[0].snapshot_id if image.disks else ""
        raise VendorError(UNFIT, f"Copy encrypted snapshot '{snapshot}' is not support.")
    if image.copying_until > now or (image.exporting_until > now and not options.copies_during_exports):
        raise busy(world, image, now)
    return image


def _check_quotas(world: World, call: Call, images: list[StoredImage], now: int) -> None:
    region = call.text("destinationRegion")
    if room_for_images(world, region, now) < len(images):
        raise VendorError("QUOTA_EXCEEDED", "Image quota limit exceeded")
    if room_for_snapshots(world, region, now) < sum(len(image.disks) for image in images):
        raise VendorError("QUOTA_EXCEEDED", "Snapshot quota limit exceeded")


def _start(world: World, call: Call, source: StoredImage, now: int) -> Task:
    region, store = call.text("destinationRegion"), world.store
    struck = world.faults.strike_task(Aim(call.action, call.region, [source.id], [region]))
    fails = any(each.fault == "task_fails" for each in struck)
    made = _new_image(world, call, source, fails=fails, now=now)
    store.put(made)
    source.copying_until = max(source.copying_until, made.ready_at)
    store.running(call.action, world.scope(call.region)).start(now, made.ready_at)
    world.journal.accepted[call.action, source.id, region] += 1
    task = Task(
        id=made.id,
        action=call.action,
        region=call.region,
        image_id=source.id,
        destination=region,
        request_id=call.request_id,
        requested_at=call.at,
        accepted_at=now,
        ends_at=made.ready_at,
        fails=fails,
        new_image_id=made.id,
    )
    store.tasks.append(task)
    return task


def _new_image(world: World, call: Call, source: StoredImage, *, fails: bool, now: int) -> StoredImage:
    own = {
        "copied": True,
        "imported": facts_of(source).imported,
        "description": call.text("description") or f"Copied from {call.region} {source.id}",
    }
    region = call.text("destinationRegion")
    facts = replace(source.facts, region=region, image_type="PRIVATE_IMAGE", tags={}, extra=own)
    return StoredImage(
        id=world.store.new_id("img"),
        region=region,
        facts=facts,
        name=call.text("name") or source.name,
        disks=disks_of(facts, world.store),
        created_at=now,
        ready_at=now + world.duration(world.options.copy_seconds),
        pending_state="pending",
        fails=fails,
        vanishes=fails and world.options.copy_failure == "gone",
    )
