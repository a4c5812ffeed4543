"""CopyImageCrossRegion and CopyImageInRegion of the Huawei Cloud rehearsal: their rules, and the jobs they start.

The rehearsal's table of operations points here. What the vendor leaves open is a switch of the options.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final, NamedTuple

from imageferry.core.times import SECOND
from imageferry.rehearsal.huawei_calls import (
    Call,
    Job,
    World,
    check_description,
    check_name,
    facts_of,
    image_of,
    kind_of,
    platform_of,
    private_images,
    refuse_first,
    status_of,
)
from imageferry.rehearsal.huawei_exports import failure_of
from imageferry.rehearsal.huawei_options import HuaweiOptions, region_of
from imageferry.rehearsal.misbehaviour import Aim
from imageferry.rehearsal.parameters import STRING, VendorError, Wanted
from imageferry.rehearsal.store import StoredImage, Task

CROSS_WANTED: Final = {
    "name": Wanted(STRING),
    "region": Wanted(STRING),
    "project_name": Wanted(STRING),
    "agency_name": Wanted(STRING),
    "description": Wanted(STRING),
    "vault_id": Wanted(STRING),
    "enterprise_project_id": Wanted(STRING),
}
WITHIN_WANTED: Final = {
    "name": Wanted(STRING),
    "description": Wanted(STRING),
    "cmk_id": Wanted(STRING),
    "enterprise_project_id": Wanted(STRING),
}

LARGEST_GIB: Final = 128
LARGEST_MAINLAND_GIB: Final = 300

CROSS_JOB: Final = "imsCrossRegionCopyImageJob"
WITHIN_JOB: Final = "imsCopyImageInRegionJob"


class Copy(NamedTuple):
    """One image to one project, checked."""

    image: StoredImage
    project: str
    name: str
    kind: str
    encrypted: bool = False

    @property
    def region(self) -> str:
        """Where the new image will be."""
        return region_of(self.project)


def copy_across(world: World, call: Call, now: int) -> Mapping[str, Any]:
    """Check a copy into another region by every rule, and start it.

    :raises VendorError: a rule says no.
    """
    options = world.options
    _check_texts(call)
    _check_destination(call, options)
    image = image_of(world, call, now)
    _check_kind(image)
    _check_travels(image, call, options)
    _check_free(image, options, now)
    copy = Copy(image, call.text("project_name"), call.text("name"), CROSS_JOB)
    taken = _name_taken(world, copy, now)
    _check_quota(world, copy.region, now)
    world.check_room(call, options.copies_scope, options.copies_running, "IMG.0149", now)
    return _start(world, call, copy, taken, now)


def copy_within(world: World, call: Call, now: int) -> Mapping[str, Any]:
    """Check a copy inside its region by every rule, and start it; with ``cmk_id`` the copy is encrypted.

    :raises VendorError: a rule says no.
    """
    _check_texts(call)
    image = image_of(world, call, now)
    if image.facts.image_type != "SHARED_IMAGE":
        _check_kind(image)
    rules = (
        (_is_iso(image), "IMG.0167", "is an ISO image"),
        (image.facts.instance_image, "IMG.0130", "is a full-ECS image"),
        (facts_of(image).member_status != "accepted", "IMG.0196", "was not accepted yet"),
        (kind_of(image) == "shared" and image.facts.encrypted, "IMG.0197", "is encrypted and shared"),
        (image.facts.size_gib > LARGEST_GIB, "IMG.0146", "is too large to copy"),
    )
    refuse_first(rules, image)
    _check_free(image, world.options, now)
    copy = Copy(image, call.project, call.text("name"), WITHIN_JOB, bool(call.text("cmk_id")))
    taken = _name_taken(world, copy, now)
    _check_quota(world, copy.region, now)
    return _start(world, call, copy, taken, now)


def _check_texts(call: Call) -> None:
    check_name(call.text("name"))
    check_description(call.text("description"))


def _check_destination(call: Call, options: HuaweiOptions) -> None:
    region, project, agency = call.text("region"), call.text("project_name"), call.text("agency_name")
    if region == call.region:
        raise VendorError("IMG.0142", "The destination region is the image's own.")
    if region not in options.regions:
        raise VendorError("IMG.0147", f"The region {region} does not exist.")
    if region in options.refused_destinations:
        raise VendorError(options.refused_destinations[region], f"The region {region} takes no copies.")
    if not project:
        raise VendorError("IMG.0104", "The project name is empty.")
    if project not in options.project_names() or region_of(project) != region:
        raise VendorError("IMG.0145", f"The region {region} has no project {project}.")
    if agency not in options.agencies:
        raise VendorError("IMG.0179", "The token of the agency is invalid.")
    rights = options.agencies[agency]
    if rights and region not in rights:
        raise VendorError("IMG.0151", "The agency has no rights on the source and the destination project.")


def _check_kind(image: StoredImage) -> None:
    kind, foreign = kind_of(image), image.facts.image_type == "SHARED_IMAGE"
    rules = (
        (kind == "gold", "IMG.0077", "is a public image"),
        (kind == "market", "IMG.0078", "is a market image"),
        (foreign and facts_of(image).member_status != "accepted", "IMG.0196", "was not accepted yet"),
        (foreign, "IMG.0047", "belongs to another account"),
    )
    refuse_first(rules, image)


def _check_travels(image: StoredImage, call: Call, options: HuaweiOptions) -> None:
    mainland = options.large_copy_regions & {call.region, call.text("region")}
    largest = LARGEST_MAINLAND_GIB if mainland else LARGEST_GIB
    rules = (
        (_is_iso(image), "IMG.0167", "is an ISO image"),
        (image.facts.instance_image, "IMG.0130", "is a full-ECS image"),
        (image.facts.encrypted, "IMG.0143", "is encrypted"),
        (image.facts.size_gib > largest, "IMG.0146", f"has more than {largest} GiB"),
        (platform_of(image) == "Windows" and not options.windows_copies, "IMG.0105", "is a Windows image"),
    )
    refuse_first(rules, image)


def _is_iso(image: StoredImage) -> bool:
    return facts_of(image).virtual_env_type == "IsoImage" or facts_of(image).disk_format == "iso"


def _check_free(image: StoredImage, options: HuaweiOptions, now: int) -> None:
    exporting = image.exporting_until > now and not options.copies_during_exports
    copying = image.copying_until > now and not options.concurrent_copies
    rules = (
        (status_of(image, options, now) != "active", "IMG.0046", "is not active"),
        (exporting, "IMG.0148", "is being exported"),
        (copying, options.copy_busy_code, "is being copied"),
    )
    refuse_first(rules, image)


def _name_taken(world: World, copy: Copy, now: int) -> VendorError | None:
    """Why a copy cannot have its name, as far as the options say that anybody looks; for the job to fail with.

    :raises VendorError: the same, where the options say that the call is refused for it.
    """
    if world.options.names_checked == "never" or not world.store.named(copy.region, copy.name, now):
        return None
    refusal = VendorError("IMG.0009", "The image name already exists.")
    if world.options.names_checked == "call":
        raise refusal
    return refusal


def _check_quota(world: World, region: str, now: int) -> None:
    quota = world.options.image_quota
    if quota is not None and private_images(world, region, now) >= quota:
        raise VendorError("IMG.0015", f"The region {region} has no room for more private images.")


def _start(world: World, call: Call, copy: Copy, taken: VendorError | None, now: int) -> Mapping[str, Any]:
    source, options = copy.image, world.options
    destination = copy.region
    struck = world.faults.strike_task(Aim(call.action, call.region, [source.id], [destination]))
    rehearsed = (failure_of(each, options) for each in struck if each.fault == "task_fails")
    failed = taken or next(rehearsed, None)
    ends_at = now + world.duration(options.copy_seconds)
    image_id = world.new_image_id()
    if taken is None:
        world.store.put(_made(copy, call, options, image_id, now=now, ends_at=ends_at, fails=failed is not None))
    source.copying_until = max(source.copying_until, ends_at)
    task = Task(
        id=world.new_hex(),
        action=call.action,
        region=call.region,
        image_id=source.id,
        destination=destination,
        request_id=call.request_id,
        requested_at=call.at,
        accepted_at=now,
        ends_at=ends_at,
        fails=failed is not None,
        new_image_id=image_id,
    )
    code, reason = (failed.code, failed.message) if failed else ("", "")
    return world.begin(call, options.copies_scope, Job(task, copy.kind, copy.name, code, reason), now)


def _made(
    copy: Copy, call: Call, options: HuaweiOptions, image_id: str, *, now: int, ends_at: int, fails: bool
) -> StoredImage:
    origin = f"image,{call.region},{copy.image.id}" if options.copies_show_origin else ""
    shows_at = now + int(options.copy_shows_seconds * SECOND)
    own = {
        "project": copy.project,
        "data_origin": origin,
        "disk_format": facts_of(copy.image).disk_format,
        "min_disk_gib": facts_of(copy.image).min_disk_gib,
        "root_origin": facts_of(copy.image).root_origin,
        "description": call.text("description"),
        "enterprise_project_id": call.text("enterprise_project_id") or "0",
        "wholly_visible_at": shows_at if options.copy_shows_seconds else 0,
    }
    facts = replace(
        copy.image.facts,
        region=copy.region,
        image_type="PRIVATE_IMAGE",
        encrypted=copy.encrypted,
        tags=copy.image.facts.tags if options.copies_keep_tags else {},
        extra=own,
    )
    return StoredImage(
        id=image_id,
        region=copy.region,
        facts=facts,
        name=copy.name,
        disks=(),
        created_at=now,
        ready_at=ends_at + int(options.copy_late_seconds * SECOND),
        fails=fails,
        vanishes=fails and options.copy_failure == "gone",
    )
