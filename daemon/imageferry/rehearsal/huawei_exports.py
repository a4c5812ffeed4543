"""ExportImage of the Huawei Cloud rehearsal: its rules in the order in which they are checked, and the job it starts.

The rehearsal's table of operations points here. What the vendor leaves open is a switch of the options.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from imageferry.core.times import SECOND
from imageferry.rehearsal.huawei_calls import (
    Call,
    Job,
    World,
    facts_of,
    image_of,
    kind_of,
    platform_of,
    refuse_first,
    size_of,
    status_of,
)
from imageferry.rehearsal.huawei_options import HuaweiOptions
from imageferry.rehearsal.misbehaviour import Aim, Fault, Misbehaviour
from imageferry.rehearsal.objects import written
from imageferry.rehearsal.parameters import BOOLEAN, STRING, VendorError, Wanted
from imageferry.rehearsal.store import GIB, StoredImage, StoredObject, Task

WANTED: Final = {
    "bucket_url": Wanted(STRING, required=True),
    "file_format": Wanted(STRING),
    "is_quick_export": Wanted(BOOLEAN),
}

FORMATS: Final = ("qcow2", "vhd", "zvhd", "vmdk")
QUICK_FORMAT: Final = "zvhd2"
TOO_LARGE_GIB: Final = 1024
PACKED: Final = 3
"""Exported files are taken to be a third of the image's size."""
JOB: Final = "imsNativeExportImageJob"

_BUCKET: Final = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_KEY: Final = re.compile(r"[A-Za-z0-9._/-]+")


class Target(NamedTuple):
    """Where an export goes, and as what."""

    bucket: str
    key: str
    form: str


def export_image(world: World, call: Call, now: int) -> Mapping[str, Any]:
    """Check an export by every rule, and start it.

    :raises VendorError: a rule says no.
    """
    options = world.options
    target = _target(call, options)
    image = image_of(world, call, now)
    _check_kind(image, options)
    _check_size(image, call, options)
    _check_free(image, options, now)
    refusal = _target_refusal(world, call, target, now)
    if refusal is not None and options.bad_target == "call":
        raise refusal
    world.check_room(call, options.exports_scope, options.exports_running, "IMG.0060", now)
    return _start(world, call, image, target, refusal=refusal, now=now)


def _target(call: Call, options: HuaweiOptions) -> Target:
    bucket, colon, key = call.text("bucket_url").partition(":")
    if not colon:
        raise VendorError("IMG.0017", "bucket_url must be <bucket>:<object>.")
    if not bucket:
        raise VendorError("IMG.0068", "The bucket name is empty.")
    if _BUCKET.fullmatch(bucket) is None:
        raise VendorError("IMG.0109", "The bucket name is malformed.")
    form = _format(call, options)
    key = key if not options.key_suffix or key.endswith(f".{form}") else f"{key}.{form}"
    _check_key(key, options)
    return Target(bucket, key, form)


def _check_key(key: str, options: HuaweiOptions) -> None:
    if not key.rpartition("/")[2]:
        raise VendorError("IMG.0073", "The name of the exported file is empty.")
    if re.search(r"\s", key):
        raise VendorError("IMG.0175", "The name of the exported file has blanks.")
    if len(key) > options.key_longest:
        raise VendorError("IMG.0074", f"The name of the exported file is longer than {options.key_longest}.")
    if _KEY.fullmatch(key) is None or key.startswith("/") or "//" in key:
        raise VendorError("IMG.0075", "The name of the exported file has other characters than allowed.")


def _format(call: Call, options: HuaweiOptions) -> str:
    given = call.text("file_format")
    if call.flag("is_quick_export"):
        if "file_format" in call.params:
            raise VendorError("IMG.0072", "A quick export takes no file_format.")
        return QUICK_FORMAT
    if not given and options.missing_format == "vhd":
        return "vhd"
    if given not in FORMATS:
        raise VendorError("IMG.0072", f"file_format must be one of {', '.join(FORMATS)}.")
    return given


def _check_kind(image: StoredImage, options: HuaweiOptions) -> None:
    own, kind = facts_of(image), kind_of(image)
    iso = own.virtual_env_type == "IsoImage" or own.disk_format == "iso"
    lineage = platform_of(image) in options.lineages and own.root_origin != "file"
    rules = (
        (kind == "gold", "IMG.0077", "is a public image"),
        (kind == "market", "IMG.0078", "is a market image"),
        (image.facts.image_type == "SHARED_IMAGE", "IMG.0047", "belongs to another account"),
        (iso, "IMG.0167", "is an ISO image"),
        (image.facts.instance_image, "IMG.0128", "is a full-ECS image"),
        (bool(own.backup_id), "IMG.0080", "was made from a backup"),
        (bool(own.product_code) or image.facts.market_derived, "IMG.0078", "was made from a market image"),
        (bool(own.account_code), "IMG.0079", "was made from a charged image"),
        (lineage, options.lineage_code, "comes of a public image that may not be exported"),
    )
    refuse_first(rules, image)


def _check_size(image: StoredImage, call: Call, options: HuaweiOptions) -> None:
    quick, largest, size = call.flag("is_quick_export"), options.normal_export_gib, size_of(image, options)
    slow_and_large = not quick and largest is not None and size > largest * GIB
    rules = (
        (quick and image.facts.encrypted, options.encrypted_quick_code, "is encrypted, which takes no quick export"),
        (size >= TOO_LARGE_GIB * GIB, "IMG.0059", "is too large to export"),
        (slow_and_large, options.too_large_code, f"has more than {largest} GiB, which takes a quick export"),
    )
    refuse_first(rules, image)


def _check_free(image: StoredImage, options: HuaweiOptions, now: int) -> None:
    copying = image.copying_until > now and not options.exports_during_copies
    rules = (
        (status_of(image, options, now) != "active", "IMG.0046", "is not active"),
        (image.exporting_until > now, "IMG.0148", "is being exported"),
        (copying, options.copy_busy_code, "is being copied"),
    )
    refuse_first(rules, image)


def _target_refusal(world: World, call: Call, target: Target, now: int) -> VendorError | None:
    """Why a bucket cannot take the object, or None."""
    options, bucket = world.options, target.bucket
    home = options.buckets.get(bucket)
    standard = options.bucket_classes.get(bucket, "STANDARD") == "STANDARD" and bucket not in options.parallel_buckets
    rules = (
        (home is None or bucket in options.unwritable_buckets, "IMG.0069", "cannot be accessed"),
        (home != call.region, "IMG.0058", f"is not in {call.region}"),
        (not standard, options.bucket_class_code, "is not of the class Standard"),
        (world.store.head(bucket, target.key, now) is not None, "IMG.0070", "has an object of this name"),
    )
    for forbidden, code, reason in rules:
        if forbidden:
            return VendorError(code, f"The bucket {bucket} {reason}.")
    return None


def _start(
    world: World, call: Call, image: StoredImage, target: Target, *, refusal: VendorError | None, now: int
) -> Mapping[str, Any]:
    struck = world.faults.strike_task(Aim(call.action, call.region, [image.id], [target.bucket]))
    faults = {each.fault: each for each in struck}
    failed = refusal or _rehearsed_failure(faults.get("task_fails"), world.options)
    ends_at = now + world.duration(world.options.export_seconds)
    image.exporting_until = max(image.exporting_until, ends_at)
    world.writers[target.bucket, target.key] = image.id
    if failed is None and "object_missing" not in faults:
        world.store.write(target.bucket, target.key, _object(world, image, faults, ends_at))
    task = Task(
        id=world.new_hex(),
        action=call.action,
        region=call.region,
        image_id=image.id,
        destination=target.bucket,
        request_id=call.request_id,
        requested_at=call.at,
        accepted_at=now,
        ends_at=ends_at,
        fails=failed is not None,
        objects=(target.key,),
    )
    code, reason = (failed.code, failed.message) if failed else ("", "")
    sub = "imsQuickExportImageJob" if target.form == QUICK_FORMAT else "imsGoofysExportImageJob"
    return world.begin(
        call, world.options.exports_scope, Job(task, JOB, image.name, code, reason, sub, world.new_hex()), now
    )


def _rehearsed_failure(fault: Misbehaviour | None, options: HuaweiOptions) -> VendorError | None:
    return None if fault is None else failure_of(fault, options)


def failure_of(fault: Misbehaviour, options: HuaweiOptions) -> VendorError:
    """Why a job fails that was made to: by the fault's own code, where it is one of the image service."""
    code = fault.code if fault.code.startswith("IMG.") else options.failed_job_code
    return VendorError(code, fault.message)


def _object(world: World, image: StoredImage, faults: Mapping[Fault, Misbehaviour], ends_at: int) -> StoredObject:
    shows_from = ends_at - int(world.options.object_early_seconds * SECOND)
    size, etag = image.facts.size_gib * GIB // PACKED, f"{world.store.new_etag()}-7"
    return written(world.options, faults, size=size, etag=etag, ends_at=shows_from)
