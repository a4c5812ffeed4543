"""exportImage of the JD Cloud rehearsal: its rules in the order in which they are checked, and the task it starts.

The rehearsal's table of operations points here. What the vendor leaves open is a switch of the options.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from imageferry.core.times import SECOND
from imageferry.rehearsal.jdcloud_calls import (
    INVALID,
    UNFIT,
    Call,
    Export,
    Repeat,
    World,
    busy,
    check_ready,
    facts_of,
    image_of,
    is_windows,
    source_of,
)
from imageferry.rehearsal.jdcloud_options import JdcloudOptions
from imageferry.rehearsal.misbehaviour import Aim, Fault, Misbehaviour
from imageferry.rehearsal.objects import written
from imageferry.rehearsal.parameters import BOOLEAN, STRING, VendorError, Wanted
from imageferry.rehearsal.store import GIB, Disk, StoredImage, StoredObject, Task

WANTED: Final = {
    "roleName": Wanted(STRING, required=True),
    "ossUrl": Wanted(STRING, required=True),
    "ossPrefix": Wanted(STRING),
    "clientToken": Wanted(STRING),
    "isAllDisk": Wanted(BOOLEAN),
}

LONGEST_TOKEN: Final = 64
PACKED: Final = 3
"""QCOW2 is taken to be a third of the disk's size."""

_ROLE: Final = re.compile(r"[A-Za-z][A-Za-z0-9_-]{3,63}")
_PREFIX: Final = re.compile(r"[A-Za-z0-9]{1,32}")
_HOST: Final = re.compile(
    r"(?P<bucket>[a-z0-9][a-z0-9-]{1,61}[a-z0-9])\.(?P<entry>s3|s3-internal)\.(?P<region>[a-z0-9-]+)\.jdcloud-oss\.com"
)


class Target(NamedTuple):
    """Where an export goes."""

    bucket: str
    region: str


def export_image(world: World, call: Call, now: int) -> dict[str, Any]:
    """Start an export unless a rule says no, or say again what was said to the same client token.

    :raises VendorError: a rule says no.
    """
    target = _check_parameters(call, world.options)
    token = (call.region, call.text("clientToken"))
    earlier = _remembered(world, token, now)
    if earlier is None:
        earlier = _first_answer(world, call, target, now)
        if token[1] and (world.options.client_token_keeps_refusals or not isinstance(earlier.answer, VendorError)):
            world.repeats[token] = earlier
    if isinstance(earlier.answer, VendorError):
        raise VendorError(earlier.answer.code, earlier.answer.message)
    return dict(earlier.answer)


def _remembered(world: World, token: tuple[str, str], now: int) -> Repeat | None:
    earlier, seconds = world.repeats.get(token), world.options.client_token_seconds
    if earlier is None or (seconds is not None and now >= earlier.at + seconds * SECOND):
        return None
    return earlier


def _first_answer(world: World, call: Call, target: Target, now: int) -> Repeat:
    try:
        image = image_of(world, call.region, call.resource, now)
        _check_image(image, world.options, now)
        _check_free(world, image, now)
        fault = _check_target(call, target, world.options)
        world.check_room(call.action, call.region, 1, now)
    except VendorError as refused:
        return Repeat(now, refused)
    number = _start(world, call, image, target, fault=fault, now=now)
    return Repeat(now, {world.options.task_id_key: int(number) if world.options.task_ids_are_numbers else number})


# --- rules ---------------------------------------------------------------------------------------------------------


def _check_parameters(call: Call, options: JdcloudOptions) -> Target:
    if _ROLE.fullmatch(call.text("roleName")) is None:
        raise VendorError(INVALID, "Invalid roleName: 4 to 64 letters, digits, - and _, a letter first")
    if call.params.get("ossPrefix") is not None and _PREFIX.fullmatch(call.text("ossPrefix")) is None:
        raise VendorError(INVALID, "Invalid ossPrefix: 1 to 32 letters and digits")
    if len(call.text("clientToken")) > LONGEST_TOKEN:
        raise VendorError(INVALID, f"Invalid clientToken: at most {LONGEST_TOKEN} characters")
    if call.params.get("isAllDisk") is not None and not options.all_disks_known:
        raise VendorError(INVALID, "The parameter `isAllDisk` is not recognized.")
    target = _target_of(call.text("ossUrl"), options)
    if target.region != call.region:
        raise VendorError("CONFLICT", f"OssRegion '{target.region}' not match current region '{call.region}'")
    return target


def _target_of(url: str, options: JdcloudOptions) -> Target:
    scheme, _, rest = url.partition("://")
    found = _HOST.fullmatch(rest)
    if scheme != "https" or found is None:
        raise VendorError(INVALID, "Invalid ossUrl: https://{bucket}.s3-internal.{regionId}.jdcloud-oss.com is wanted")
    if found["entry"] == "s3" and not options.public_oss_url:
        raise VendorError(INVALID, "Invalid ossUrl: it must name the internal host")
    return Target(found["bucket"], found["region"])


def _check_image(image: StoredImage, options: JdcloudOptions, now: int) -> None:
    own = facts_of(image)
    if source_of(image) != "private":
        raise VendorError(UNFIT, "Can't use this image")
    if own.root_device != "cloudDisk":
        raise VendorError(UNFIT, f"Invalid image type '{own.root_device}'")
    if is_windows(image) and not own.imported:
        raise VendorError(UNFIT, "Windows image can't export")
    check_ready(image, options, now)


def _check_free(world: World, image: StoredImage, now: int) -> None:
    exported = image.exporting_until > now and not world.options.concurrent_exports
    copied = image.copying_until > now and not world.options.exports_during_copies
    if exported or copied:
        raise busy(world, image, now)


def _check_target(call: Call, target: Target, options: JdcloudOptions) -> str:
    """Why the task will fail for its role or bucket; empty where it will not."""
    fault = _fault_of_target(call, target, options)
    if fault and options.bad_target == "call":
        raise VendorError(options.bad_target_code, fault)
    return fault


def _fault_of_target(call: Call, target: Target, options: JdcloudOptions) -> str:
    """Why the role cannot write to the bucket; empty where it can."""
    role = call.text("roleName")
    if role not in options.roles:
        return f"The role '{role}' does not exist or does not trust the disk service"
    if options.buckets.get(target.bucket) != target.region:
        return f"The bucket '{target.bucket}' does not exist in {target.region}"
    return f"The role '{role}' may not write" if target.bucket in options.unwritable_buckets else ""


# --- work ----------------------------------------------------------------------------------------------------------


def _start(world: World, call: Call, image: StoredImage, target: Target, *, fault: str, now: int) -> str:
    struck = {
        each.fault: each
        for each in world.faults.strike_task(Aim(call.action, call.region, [image.id], [target.bucket]))
    }
    failure = fault or (struck["task_fails"].message if "task_fails" in struck else "")
    ends_at = now + world.duration(world.options.export_seconds)
    disks = [disk for disk in image.disks if disk.system or call.flag("isAllDisk")]
    keys = _keys(call, image, len(disks), world.options)
    image.exporting_until = max(image.exporting_until, ends_at)
    world.store.running(call.action, world.scope(call.region)).start(now, ends_at)
    world.journal.accepted[call.action, image.id, target.bucket] += 1
    if not failure:
        written = list(zip(keys, disks, strict=True))
        for key, disk in written[:-1] if "object_missing" in struck else written:
            world.store.write(target.bucket, key, _object(world, disk, struck, ends_at))
    task = Task(
        id=str(world.store.new_number()),
        action=call.action,
        region=call.region,
        image_id=image.id,
        destination=target.bucket,
        request_id=call.request_id,
        requested_at=call.at,
        accepted_at=now,
        ends_at=ends_at,
        fails=bool(failure),
        objects=keys,
    )
    world.store.tasks.append(task)
    world.exports[task.id] = Export(task, call.text("ossUrl"), failure)
    return task.id


def _keys(call: Call, image: StoredImage, disks: int, options: JdcloudOptions) -> tuple[str, ...]:
    prefix = call.text("ossPrefix")
    form = options.key_form if prefix else options.bare_key_form
    key = form.format(prefix=prefix, image=image.id)
    devices = ["", *(f"_vd{letter}" for letter in "bcdefghijklmnopqrstuvwxyz")]
    return tuple(f"{key}{device}{options.key_suffix}" for device in devices[:disks])


def _object(world: World, disk: Disk, struck: Mapping[Fault, Misbehaviour], ends_at: int) -> StoredObject:
    size = disk.size_gib * GIB // PACKED
    return written(world.options, struck, size=size, etag=world.store.new_etag(), ends_at=ends_at)
