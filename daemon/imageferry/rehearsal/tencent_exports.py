"""ExportImages of the Tencent rehearsal: its rules in the order in which they are checked, and the task it starts.

The rehearsal's action table points here. What the vendor leaves open is a switch of the options.
"""

from __future__ import annotations

import re
from typing import Any, Final

from imageferry.rehearsal.misbehaviour import Aim, Fault, Misbehaviour
from imageferry.rehearsal.objects import written
from imageferry.rehearsal.options import RehearsalOptions
from imageferry.rehearsal.parameters import BOOLEAN, STRING, STRINGS, VendorError, Wanted
from imageferry.rehearsal.store import GIB, Disk, StoredImage, StoredObject, Task
from imageferry.rehearsal.tencent_calls import Call, World, check_ids, images_of, names, passed_dry_run

WANTED: Final = {
    "BucketName": Wanted(STRING, required=True),
    "ImageIds": Wanted(STRINGS),
    "SnapshotIds": Wanted(STRINGS),
    "ExportFormat": Wanted(STRING),
    "FileNamePrefixList": Wanted(STRINGS),
    "OnlyExportRootDisk": Wanted(BOOLEAN),
    "DryRun": Wanted(BOOLEAN),
    "RoleName": Wanted(STRING),
}

FORMATS: Final = ("RAW", "QCOW2", "VHD", "VMDK")
PACKED: Final = 3
"""Formats other than RAW are taken to be a third of the disk's size."""

_BUCKET: Final = re.compile(r"[a-z0-9][a-z0-9-]*-\d+")


def export_images(world: World, call: Call, now: int) -> dict[str, Any]:
    """Check an export by every rule and, unless it is a dry run, start it.

    :raises VendorError: a rule says no.
    """
    _check_parameters(call, world.options)
    images = images_of(world, call, now)
    for image in images:
        _check_kind(image)
    _check_target(call, world.options)
    for image in images:
        _check_disks(image, call, world.options)
        _check_free(image, call, world.options, now)
    _check_limit(world, call, len(images), now)
    if call.flag("DryRun"):
        return passed_dry_run(world.options)
    number = world.store.new_number()
    prefixes = call.strings("FileNamePrefixList") or [""] * len(images)
    paths = [
        path
        for image, prefix in zip(images, prefixes, strict=True)
        for path in _start(world, call, image, prefix=prefix, number=number, now=now)
    ]
    return {"TaskId": number, "CosPaths": paths}


def _check_parameters(call: Call, options: RehearsalOptions) -> None:
    ids = call.strings("ImageIds")
    if bool(ids) == bool(call.strings("SnapshotIds")):
        raise VendorError(
            "InvalidParameter.ImageIdsSnapshotIdsMustOne", "Exactly one of ImageIds and SnapshotIds is needed."
        )
    if not ids:
        raise VendorError("UnsupportedOperation", "Exports of snapshots are not open to this account.")
    check_ids(ids, options.export_ids_most, options)
    if len(set(ids)) != len(ids):
        raise VendorError("InvalidParameterValue", "An image id is given twice.")
    if call.params.get("ExportFormat") not in (None, *FORMATS):
        raise VendorError("InvalidParameterValue", f"ExportFormat must be one of {', '.join(FORMATS)}.")
    _check_prefixes(call, options)


def _check_prefixes(call: Call, options: RehearsalOptions) -> None:
    if call.params.get("FileNamePrefixList") is None:
        return
    prefixes = call.strings("FileNamePrefixList")
    if len(prefixes) != len(call.strings("ImageIds")):
        raise VendorError(
            "InvalidParameterValue.InvalidFileNamePrefixList", "FileNamePrefixList must be as long as ImageIds."
        )
    for each in prefixes:
        if re.fullmatch(options.prefix_pattern, each) is None:
            raise VendorError(
                "InvalidParameterValue.InvalidFileNamePrefixList",
                f"A prefix must match {options.prefix_pattern}.",
            )


def _check_kind(image: StoredImage) -> None:
    kind = image.facts.image_type
    rules = (
        (kind in ("PUBLIC_IMAGE", "MARKET_IMAGE"), "PublicImageExportUnsupported", "Public and market images"),
        (kind == "SHARED_IMAGE", "SharedImageExportUnsupported", "Shared images"),
        (image.facts.market_derived, "MarketImageExportUnsupported", "Images made from market images"),
        (image.facts.encrypted, "EncryptedImagesNotSupported", "Encrypted images"),
        (names(image, "windows"), "WindowsImageExportUnsupported", "Windows images"),
        (names(image, "red hat", "redhat"), "RedHatImageExportUnsupported", "Red Hat images"),
    )
    for forbidden, code, title in rules:
        if forbidden:
            raise VendorError(f"UnsupportedOperation.{code}", f"{title} cannot be exported.")


def _check_target(call: Call, options: RehearsalOptions) -> None:
    dry = call.flag("DryRun")
    role = call.params.get("RoleName") or "CVM_QcsRole"
    if role not in options.roles and (options.dry_run_sees_role or not dry):
        raise VendorError("AuthFailure.CamRoleNameAuthenticateFailed", f"The role `{role}` cannot be used.")
    if options.dry_run_sees_bucket or not dry:
        _check_bucket(str(call.params["BucketName"]), call.region, options)


def _check_bucket(bucket: str, region: str, options: RehearsalOptions) -> None:
    home = options.buckets.get(bucket)
    if home is None and _BUCKET.fullmatch(bucket) is None:
        raise VendorError("InvalidParameterValue.InvalidAppIdFormat", "The bucket's name must end with -<AppId>.")
    if home is None:
        raise VendorError("InvalidParameterValue.BucketNotFound", f"The bucket `{bucket}` does not exist.")
    if home != region:
        raise VendorError(options.bucket_elsewhere_code, f"The bucket `{bucket}` is not in {region}.")
    if bucket in options.unwritable_buckets:
        raise VendorError(
            "InvalidParameterValue.InvalidBucketPermissionForExport", f"The bucket `{bucket}` cannot be written to."
        )


def _exported_disks(image: StoredImage, call: Call) -> tuple[Disk, ...]:
    return tuple(disk for disk in image.disks if disk.system or not call.flag("OnlyExportRootDisk"))


def _check_disks(image: StoredImage, call: Call, options: RehearsalOptions) -> None:
    if not image.disks:
        raise VendorError("InvalidParameter.SnapshotNotFound", f"The snapshots of `{image.id}` do not exist.")
    counted = _exported_disks(image, call) if options.root_disk_alone_counts else image.disks
    largest, most = options.export_largest_gib, options.export_data_disks
    too_large = largest is not None and max(disk.size_gib for disk in counted) > largest
    too_many = most is not None and sum(not disk.system for disk in counted) > most
    if too_large or too_many:
        raise VendorError(
            "UnsupportedOperation.ImageTooLargeExportUnsupported", f"The image `{image.id}` is too large to export."
        )


def _check_free(image: StoredImage, call: Call, options: RehearsalOptions, now: int) -> None:
    seen = options.dry_run_sees_busy or not call.flag("DryRun")
    if not image.settled(now) or (image.busy(now) and seen):
        raise VendorError(
            "InvalidParameterValue.InvalidImageState", f"The image `{image.id}` is busy with another task."
        )


def _check_limit(world: World, call: Call, more: int, now: int) -> None:
    limit = world.options.exports_running
    if limit is None or (call.flag("DryRun") and not world.options.dry_run_sees_limit):
        return
    if world.store.running("ExportImages", world.scope(call.region)).count(now) + more > limit:
        raise VendorError(
            "LimitExceeded.ExportImageTaskLimitExceeded", f"No more than {limit} export tasks may run at once."
        )


def _start(world: World, call: Call, image: StoredImage, *, prefix: str, number: int, now: int) -> list[str]:
    bucket = str(call.params["BucketName"])
    faults = {
        each.fault: each for each in world.faults.strike_task(Aim(call.action, call.region, [image.id], [bucket]))
    }
    ends_at = now + world.duration(world.options.export_seconds)
    disks = _exported_disks(image, call)
    paths = [_path(prefix, image, disk, call, world.options) for disk in disks]
    keys = tuple(path if world.options.keys_keep_slash else path.lstrip("/") for path in paths)
    image.exporting_until = ends_at
    world.store.running(call.action, world.scope(call.region)).start(now, ends_at)
    world.journal.accepted[call.action, image.id, bucket] += 1
    if "task_fails" not in faults:
        written = list(zip(keys, disks, strict=True))
        for key, disk in written[:-1] if "object_missing" in faults else written:
            world.store.write(bucket, key, _object(world, call, disk, faults, ends_at))
    world.store.tasks.append(
        Task(
            id=str(number),
            action="ExportImages",
            region=call.region,
            image_id=image.id,
            destination=bucket,
            request_id=call.request_id,
            requested_at=call.at,
            accepted_at=now,
            ends_at=ends_at,
            fails="task_fails" in faults,
            objects=keys,
        )
    )
    return paths


def _path(prefix: str, image: StoredImage, disk: Disk, call: Call, options: RehearsalOptions) -> str:
    form = str(call.params.get("ExportFormat") or "RAW")
    extension = form if options.upper_case_extension else form.lower()
    begin = f"{prefix}_" if prefix else ""
    return f"/{begin}{image.id}_{'system' if disk.system else 'data'}_{disk.snapshot_id}.{extension}"


def _object(world: World, call: Call, disk: Disk, faults: dict[Fault, Misbehaviour], ends_at: int) -> StoredObject:
    packed = 1 if call.params.get("ExportFormat") in (None, "RAW") else PACKED
    size = disk.size_gib * GIB // packed
    return written(world.options, faults, size=size, etag=world.store.new_etag(), ends_at=ends_at)
