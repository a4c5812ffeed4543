"""ExportImage of the Alibaba Cloud rehearsal: its rules in the order in which they are checked, and the task it starts.

The rehearsal's table of actions points here. There is no client token: a repeated request is another export, or refused
because the image is being exported. What the vendor leaves open is a switch of the options.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from imageferry.core.times import SECOND
from imageferry.rehearsal.aliyun_calls import (
    FLAG,
    HERE,
    TEXT,
    Call,
    Export,
    World,
    alias_of,
    check_available,
    facts_of,
    image_of,
    os_of,
)
from imageferry.rehearsal.aliyun_options import AliyunOptions
from imageferry.rehearsal.misbehaviour import Aim, Fault, Misbehaviour
from imageferry.rehearsal.objects import written
from imageferry.rehearsal.parameters import VendorError, Wanted
from imageferry.rehearsal.store import GIB, Disk, StoredImage, StoredObject, Task

WANTED: Final = {
    **HERE,
    "ImageId": Wanted(TEXT, required=True),
    "OSSBucket": Wanted(TEXT, required=True),
    "OSSPrefix": Wanted(TEXT),
    "ImageFormat": Wanted(TEXT),
    "RoleName": Wanted(TEXT),
    "DryRun": Wanted(FLAG),
}

TASK_KEYS: Final = ("TaskId", "ExportTaskId")
FORMATS: Final = ("raw", "vhd", "qcow2", "vmdk", "vdi")
MOST_DATA_DISKS: Final = 4
LARGEST_DATA_DISK_GIB: Final = 500
WEEK: Final = 7 * 86_400 * SECOND
PACKED: Final = 3
"""An exported disk is taken to be a third of its size."""

_PREFIX: Final = re.compile(r"[A-Za-z0-9]{1,30}")
_FIRST_MONDAY: Final = 4 * 86_400 * SECOND
"""1970 began on a Thursday."""


def export_image(world: World, call: Call, now: int) -> dict[str, Any]:
    """Start an export unless a rule says no.

    :raises VendorError: a rule says no, or it was a dry run that passed.
    """
    _check_texts(call, world.options)
    image = image_of(world, call, now)
    _check_kind(image)
    check_available(world, image, now)
    _check_free(image, world.options, now)
    failure = _check_target(call, world.options)
    _check_quotas(world, call.region, now)
    if call.flag("DryRun"):
        if world.options.dry_run_shape == "answer":
            return {}
        raise VendorError("DryRunOperation", "Request validation has been passed with DryRun flag set.")
    task_id = _start(world, call, image, failure=failure, now=now)
    key = world.options.task_id_key
    return {"RegionId": call.region, **{name: task_id for name in TASK_KEYS if key in (name, "both")}}


# --- rules ---------------------------------------------------------------------------------------------------------


def _check_texts(call: Call, options: AliyunOptions) -> None:
    if "DryRun" in call.params and not options.dry_run_known:
        raise VendorError("UnsupportedParameter", 'The parameter "DryRun" is not supported.')
    if "OSSPrefix" in call.params and _PREFIX.fullmatch(call.text("OSSPrefix")) is None:
        raise VendorError("InvalidOSSPrefix.Malformed", "The specified OSSPrefix format is wrongly formed.")
    chosen = call.text("ImageFormat")
    if "ImageFormat" in call.params and chosen not in FORMATS:
        raise VendorError("InvalidImageFormat.Malformed", "The specified Image Format is wrongly formed.")
    elsewhere = call.region not in options.format_regions and options.format_elsewhere == "refused"
    if chosen not in ("", "raw") and elsewhere:
        raise VendorError("InvalidImageFormat.RegionNotSupported", "The region does not support this image format.")


def _check_kind(image: StoredImage) -> None:
    own, data = facts_of(image), image.facts.data_disks_gib
    market = own.product_code != "" or image.facts.market_derived
    rules = (
        (alias_of(image) != "self", "ImageNotSupported", "The specified image is not a custom image."),
        (market, "ImageNotSupported", "The image comes from the Marketplace."),
        (image.facts.encrypted, "ImageNotSupported", "The image contains encrypted snapshots."),
        (own.unfit_origin, "InvalidImageCategory.NotSupported", "The source of the image does not support export."),
        (os_of(image) == "windows", "InvalidImageLicense.NotSupported", "The license type does not support export."),
        (
            len(data) > MOST_DATA_DISKS or max(data, default=0) > LARGEST_DATA_DISK_GIB,
            "InvalidImage.DiskAmountOrSize",
            "The amount or size of the image's data disks exceeds the limit.",
        ),
        (own.data_disks_locked, "OperationDenied", "The image contains snapshots of data disks."),
    )
    for broken, code, words in rules:
        if broken:
            raise VendorError(code, words)


def _check_free(image: StoredImage, options: AliyunOptions, now: int) -> None:
    if image.exporting_until > now and not options.concurrent_exports:
        raise VendorError("ImageIsExporting", "The specified image is exporting.")
    if image.copying_until > now and not options.exports_during_copies:
        raise VendorError("OperationDenied.ImageCopying", "The specified image is being copied.")


def _check_target(call: Call, options: AliyunOptions) -> VendorError | None:
    """Why the task will fail for its bucket or role; None where it will not.

    :raises VendorError: the same, where the options say that the call is refused for it.
    """
    refusal = _fault_of_target(call, options)
    if refusal is not None and options.bad_target == "call":
        raise refusal
    return refusal


def _fault_of_target(call: Call, options: AliyunOptions) -> VendorError | None:
    bucket, home = call.text("OSSBucket"), options.buckets.get(call.text("OSSBucket"))
    role = call.text("RoleName") or next(iter(sorted(options.roles)), "")
    rules = (
        (home is None, "InvalidOSSBucket.NotFound", "The specified OSS bucket does not exist."),
        (home != call.region, options.bucket_elsewhere_code, "The OSS bucket is not in the region of the image."),
        (role not in options.roles, options.role_code, "The ECS service has no role that may write to OSS."),
        (bucket in options.encrypted_buckets, "InvalidOSSBucket.EncryptUnsupported", "The bucket is encrypted."),
        (bucket in options.unwritable_buckets, "InvalidOSS.NotAuthorized", "The bucket cannot be written to."),
    )
    return next((VendorError(code, words) for broken, code, words in rules if broken), None)


def _check_quotas(world: World, region: str, now: int) -> None:
    most, weekly = world.options.exports_running, world.options.exports_a_week
    if weekly is not None:
        since = now - WEEK
        if world.options.week_begins == "monday":
            since = (now - _FIRST_MONDAY) // WEEK * WEEK + _FIRST_MONDAY - 1
        if sum(at > since for at in world.export_times.get(region, ())) >= weekly:
            raise VendorError("WeeklyQuotaExceed.ExportImage", "The weekly quota of exports is exceeded.")
    if most is not None and world.store.running("ExportImage", region).count(now) >= most:
        raise VendorError("ConcurrentQuotaExceed.ExportImage", "Too many exports are running.")


# --- work ----------------------------------------------------------------------------------------------------------


def _start(world: World, call: Call, image: StoredImage, *, failure: VendorError | None, now: int) -> str:
    bucket, aim = call.text("OSSBucket"), Aim(call.action, call.region, [image.id], [call.text("OSSBucket")])
    struck = {each.fault: each for each in world.faults.strike_task(aim)}
    if failure is None and "task_fails" in struck:
        failure = VendorError(struck["task_fails"].code, struck["task_fails"].message)
    task_id = world.new_id(world.options.task_id_prefix)
    ends_at = now + world.duration(world.options.export_seconds)
    chosen = call.text("ImageFormat") if call.region in world.options.format_regions else ""
    keys = _keys(call, image, task_id, chosen or "raw", world.options)
    image.exporting_until = max(image.exporting_until, ends_at)
    world.store.running(call.action, call.region).start(now, ends_at)
    world.export_times.setdefault(call.region, []).append(now)
    world.journal.accepted[call.action, image.id, bucket] += 1
    if failure is None:
        written = list(zip(keys, image.disks, strict=True))
        for key, disk in written[:-1] if "object_missing" in struck else written:
            world.store.write(bucket, key, _object(world, disk, struck, ends_at))
    task = Task(
        id=task_id,
        action=call.action,
        region=call.region,
        image_id=image.id,
        destination=bucket,
        request_id=call.request_id,
        requested_at=call.at,
        accepted_at=now,
        ends_at=ends_at,
        fails=failure is not None,
        objects=keys,
    )
    world.store.tasks.append(task)
    code, reason = (failure.code, failure.message) if failure is not None else ("", "")
    world.exports[task_id] = Export(task=task, format=chosen or "raw", code=code, reason=reason)
    return task_id


def _keys(call: Call, image: StoredImage, task_id: str, form: str, options: AliyunOptions) -> tuple[str, ...]:
    prefix = call.text("OSSPrefix")
    key = options.key_form if prefix else options.bare_key_form
    disks = ["system", *(f"data_xvd{letter}" for letter in "bcdefghijklmnopqrstuvwxyz")]
    extension = ".raw.tar.gz" if form == "raw" and options.packed_raw else f".{form}"
    return tuple(
        key.format(prefix=prefix, image=image.id, task=task_id, disk=disk) + extension
        for disk, _ in zip(disks, image.disks, strict=False)
    )


def _object(world: World, disk: Disk, struck: Mapping[Fault, Misbehaviour], ends_at: int) -> StoredObject:
    etag = f"{world.store.new_etag().upper()}-64"
    return written(world.options, struck, size=disk.size_gib * GIB // PACKED, etag=etag, ends_at=ends_at)
