"""SyncImages of the Tencent rehearsal: its rules in the order in which they are checked, and the copies it starts.

The rehearsal's action table points here. What the vendor leaves open is a switch of the options.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final, NamedTuple

from imageferry.rehearsal.misbehaviour import Aim
from imageferry.rehearsal.options import RehearsalOptions
from imageferry.rehearsal.parameters import BOOLEAN, STRING, STRINGS, VendorError, Wanted
from imageferry.rehearsal.store import StoredImage, Task, disks_of
from imageferry.rehearsal.tencent_calls import Call, World, check_ids, images_of, passed_dry_run

WANTED: Final = {
    "ImageIds": Wanted(STRINGS, required=True),
    "DestinationRegions": Wanted(STRINGS, required=True),
    "DryRun": Wanted(BOOLEAN),
    "ImageName": Wanted(STRING),
    "ImageSetRequired": Wanted(BOOLEAN),
    "Encrypt": Wanted(BOOLEAN),
    "KmsKeyId": Wanted(STRING),
}

LONGEST_NAME: Final = 60


class Copy(NamedTuple):
    """One image to one region, checked."""

    image: StoredImage
    region: str
    name: str


def sync_images(world: World, call: Call, now: int) -> dict[str, Any]:
    """Check a copy by every rule and, unless it is a dry run, start it for every destination.

    :raises VendorError: a rule says no; with ``partial_copies`` only when no destination is left.
    """
    _check_parameters(call, world.options)
    images = images_of(world, call, now)
    for image in images:
        _check_kind(image, call, world.options)
        _check_free(image, call, world.options, now)
    copies = _allowed_copies(world, call, images, now)
    _check_limit(world, call, len(copies), now)
    if call.flag("DryRun"):
        return passed_dry_run(world.options)
    made = [{"ImageId": _start(world, call, copy, now), "Region": copy.region} for copy in copies]
    return {"ImageSet": made if call.flag("ImageSetRequired") else []}


def _check_parameters(call: Call, options: RehearsalOptions) -> None:
    ids, regions = call.strings("ImageIds"), call.strings("DestinationRegions")
    if not ids or not regions:
        raise VendorError("InvalidParameterValue", "ImageIds and DestinationRegions must not be empty.")
    check_ids(ids, options.copy_ids_most, options)
    if len(regions) > options.copy_regions_most:
        raise VendorError("InvalidParameterValue.LimitExceeded", "There are too many destination regions.")
    if len(set(ids)) != len(ids) or len(set(regions)) != len(regions):
        raise VendorError("InvalidParameterValue", "An image or a region is given twice.")
    name = call.params.get("ImageName")
    if name is not None and not 1 <= len(name) <= LONGEST_NAME:
        raise VendorError("InvalidParameterValue", f"ImageName must have 1 to {LONGEST_NAME} characters.")
    if call.params.get("KmsKeyId") is not None and not call.flag("Encrypt"):
        raise VendorError("InvalidParameter.InvalidKmsKeyId", "KmsKeyId needs Encrypt.")


def _check_kind(image: StoredImage, call: Call, options: RehearsalOptions) -> None:
    largest = options.copy_largest_gib
    size = sum(disk.size_gib for disk in image.disks) or image.facts.size_gib
    public = image.facts.image_type in ("PUBLIC_IMAGE", "MARKET_IMAGE")
    rules = (
        (public, "InvalidParameterValue.InvalidImageId", "is not the account's own"),
        (image.facts.instance_image, "InvalidParameter.InstanceImageNotSupport", "is a whole-machine image"),
        (image.facts.location_bound, "UnsupportedOperation.LocationImageNotSupported", "is bound to its location"),
        (image.facts.encrypted, "UnsupportedOperation.EncryptedImagesNotSupported", "is encrypted"),
        (largest is not None and size > largest, "InvalidImageId.TooLarge", "is too large to copy"),
        (
            call.flag("Encrypt") and image.facts.image_type != "PRIVATE_IMAGE",
            "UnsupportedOperation.SyncEncryptImageNotSupport",
            "cannot be turned into an encrypted image",
        ),
    )
    for forbidden, code, reason in rules:
        if forbidden:
            raise VendorError(code, f"The image `{image.id}` {reason}.")


def _check_free(image: StoredImage, call: Call, options: RehearsalOptions, now: int) -> None:
    if not image.settled(now):
        raise VendorError("InvalidImageId.IncorrectState", f"The image `{image.id}` is not NORMAL.")
    if call.flag("DryRun") and not options.dry_run_sees_busy:
        return
    if image.exporting_until > now or (image.copying_until > now and not options.concurrent_copies):
        raise VendorError(options.copy_busy_code, f"The image `{image.id}` is busy with another task.")


def _allowed_copies(world: World, call: Call, images: list[StoredImage], now: int) -> list[Copy]:
    allowed, refused = [], None
    for region in call.strings("DestinationRegions"):
        try:
            allowed += _copies_to(world, call, images, region, now)
        except VendorError as error:
            refused = refused or error
    if refused is not None and not (allowed and world.options.partial_copies):
        raise refused
    return allowed


def _copies_to(world: World, call: Call, images: list[StoredImage], region: str, now: int) -> list[Copy]:
    options = world.options
    if region not in options.regions:
        raise VendorError("InvalidParameterValue.InvalidRegion", f"The region `{region}` does not exist.")
    if region in options.refused_destinations:
        raise VendorError(options.refused_destinations[region], f"The region `{region}` takes no copies.")
    for image in images:
        stays = call.flag("Encrypt") or image.facts.image_type == "SHARED_IMAGE"
        if stays != (region == call.region):
            where = "only" if stays else "not"
            raise VendorError(
                "InvalidParameterValue.InvalidRegion", f"The image `{image.id}` can {where} be copied to {call.region}."
            )
    quota = options.image_quota
    if quota is not None and world.store.holds(region) + len(images) > quota:
        raise VendorError("ImageQuotaLimitExceeded", f"The region `{region}` has no room for more images.")
    copies = [Copy(image, region, str(call.params.get("ImageName") or image.name)) for image in images]
    for copy in copies:
        if world.store.named(region, copy.name, now):
            raise VendorError("InvalidImageName.Duplicate", f"The region `{region}` has an image of this name.")
    return copies


def _check_limit(world: World, call: Call, more: int, now: int) -> None:
    limit = world.options.copies_running
    if limit is None or (call.flag("DryRun") and not world.options.dry_run_sees_limit):
        return
    if world.store.running("SyncImages", world.scope(call.region)).count(now) + more > limit:
        raise VendorError(world.options.copy_limit_code, f"No more than {limit} copies may run at once.")


def _start(world: World, call: Call, copy: Copy, now: int) -> str:
    source, options = copy.image, world.options
    aim = Aim(call.action, call.region, [source.id], [copy.region])
    fails = any(each.fault == "task_fails" for each in world.faults.strike_task(aim))
    ends_at = now + world.duration(options.copy_seconds)
    facts = replace(
        source.facts,
        region=copy.region,
        image_type="PRIVATE_IMAGE",
        encrypted=call.flag("Encrypt"),
        tags=source.facts.tags if options.copies_keep_tags else {},
    )
    made = StoredImage(
        id=world.store.new_id("img"),
        region=copy.region,
        facts=facts,
        name=copy.name,
        disks=disks_of(facts, world.store),
        created_at=now,
        ready_at=ends_at,
        pending_state="SYNCING",
        fails=fails,
        vanishes=fails and options.copy_failure == "gone",
    )
    world.store.put(made)
    source.copying_until = max(source.copying_until, ends_at)
    world.store.running(call.action, world.scope(call.region)).start(now, ends_at)
    world.journal.accepted[call.action, source.id, copy.region] += 1
    world.store.tasks.append(_task(call, copy, made, now))
    return made.id


def _task(call: Call, copy: Copy, made: StoredImage, now: int) -> Task:
    return Task(
        id=made.id,
        action="SyncImages",
        region=call.region,
        image_id=copy.image.id,
        destination=copy.region,
        request_id=call.request_id,
        requested_at=call.at,
        accepted_at=now,
        ends_at=made.ready_at,
        fails=made.fails,
        new_image_id=made.id,
    )
