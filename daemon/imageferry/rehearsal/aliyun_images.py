"""DescribeImages and DescribeRegions of the Alibaba Cloud rehearsal, and the vendor's model of an image.

The rehearsal's table of actions points here. They change nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import Any, Final

from imageferry.rehearsal.aliyun_calls import (
    FLAG,
    HERE,
    MOST_TAGS,
    PAGES,
    TAGS,
    TEXT,
    Call,
    World,
    alias_of,
    facts_of,
    os_of,
    page_of,
    shown,
    status_of,
    time_of,
)
from imageferry.rehearsal.parameters import VendorError, Wanted
from imageferry.rehearsal.store import Disk, StoredImage

IMAGES_WANTED: Final = {
    **HERE,
    **PAGES,
    **TAGS,
    "ImageId": Wanted(TEXT),
    "ImageName": Wanted(TEXT),
    "ImageFamily": Wanted(TEXT),
    "ImageOwnerAlias": Wanted(TEXT),
    "ImageOwnerId": Wanted(TEXT),
    "Status": Wanted(TEXT),
    "SnapshotId": Wanted(TEXT),
    "OSType": Wanted(TEXT),
    "Architecture": Wanted(TEXT),
    "Usage": Wanted(TEXT),
    "ResourceGroupId": Wanted(TEXT),
    "IsPublic": Wanted(FLAG),
    "ShowExpired": Wanted(FLAG),
    "DryRun": Wanted(FLAG),
    "Filter.N.Key": Wanted(TEXT),
    "Filter.N.Value": Wanted(TEXT),
}
REGIONS_WANTED: Final = {
    "AcceptLanguage": Wanted(TEXT),
    "InstanceChargeType": Wanted(TEXT),
    "ResourceType": Wanted(TEXT),
}

STATUSES: Final = ("Creating", "Waiting", "Available", "UnAvailable", "CreateFailed", "Deprecated")
ALL: Final = "ALL"

_WORDS: Final[Mapping[str, tuple[str, tuple[str, ...]]]] = {
    "ImageOwnerAlias": ("InvalidImageOwnerAlias.ValueNotSupported", ("self", "system", "others", "marketplace")),
    "OSType": ("InvalidOSType", ("linux", "windows")),
    "Architecture": ("InvalidArchitecture", ("i386", "x86_64", "arm64")),
    "Usage": ("InvalidUsage", ("instance", "none")),
}
"""Parameter -> (the code of a wrong value, what it may say)."""

_FILTERS: Final[Mapping[str, Callable[[StoredImage, str], bool]]] = {
    "ImageName": lambda image, value: value.strip("*") in image.name,
    "ImageFamily": lambda image, value: facts_of(image).family == value,
    "ImageOwnerId": lambda image, value: alias_of(image) == "others" and facts_of(image).owner_id == value,
    "SnapshotId": lambda image, value: value in {disk.snapshot_id for disk in image.disks},
    "OSType": lambda image, value: os_of(image) == value,
    "Architecture": lambda image, value: _architecture(image) == value,
    "Usage": lambda _image, value: value == "none",
    "ResourceGroupId": lambda image, value: facts_of(image).resource_group == value,
}
_TIMES: Final = ("CreationStartTime", "CreationEndTime")
_OTHER_FILTERS: Final = ("NetworkType", "DiskDeviceHotPlug", "CpuHotPlug")
"""Filters that are known and that every image fits."""

_PLATFORMS: Final[Mapping[str, str]] = {"Windows": "Windows Server 2022"}


def describe_regions(world: World, _call: Call, _now: int) -> dict[str, Any]:
    """Every region."""
    regions = (
        {"RegionId": each, "LocalName": each, "RegionEndpoint": f"ecs.{each}.aliyuncs.com", "Status": "available"}
        for each in world.options.regions
    )
    return {"Regions": world.wrapped("Region", regions)}


def describe_images(world: World, call: Call, now: int) -> dict[str, Any]:
    """Images of a region by every filter, a page of them; ids that are not there are left out.

    :raises VendorError: a rule says no.
    """
    _check(call)
    if call.flag("DryRun"):
        raise VendorError("DryRunOperation", "Request validation has been passed with DryRun flag set.")
    number, size, page = page_of(call)
    found = [image for image in _candidates(world, call, now) if _wanted(world, call, image, now)]
    found = _sorted(world, found)
    return {
        "PageNumber": number,
        "PageSize": size,
        "TotalCount": len(found),
        "RegionId": call.region,
        "Images": world.wrapped("Image", (image_json(each, world, now) for each in found[page])),
    }


# --- filters -------------------------------------------------------------------------------------------------------


def _check(call: Call) -> None:
    for name, (code, words) in _WORDS.items():
        if call.text(name) and call.text(name) not in words:
            raise VendorError(code, f"The specified {name} is not supported.")
    statuses = [each.strip() for each in call.text("Status").split(",") if each]
    if statuses != [ALL] and not set(statuses) <= set(STATUSES):
        raise VendorError("InvalidParamter", "The specified Status is not valid.")
    if call.flag("IsPublic") and call.text("ImageOwnerAlias") != "others":
        raise VendorError("InvalidParamter", "IsPublic needs the ImageOwnerAlias others.")
    tags = call.pairs("Tag")
    if len(tags) > MOST_TAGS:
        raise VendorError("InvalidTagCount", f"At most {MOST_TAGS} tags may be given.")
    if any(value and not key for key, value in tags):
        raise VendorError("InvalidTag.Mismatch", "The tag key and value must match.")
    for key, value in call.pairs("Filter"):
        if key not in (*_TIMES, *_OTHER_FILTERS):
            raise VendorError("InvalidFilterKey.NotFound", "The specified filter does not exist.")
        if key in _TIMES:
            time_of(key, value, "InvalidParamter")


def _candidates(world: World, call: Call, now: int) -> list[StoredImage]:
    ids = call.image_ids
    if not ids:
        return [image for image in world.store.images(call.region, now) if shown(world, image, now)]
    if len(ids) > world.options.image_ids_most:
        raise VendorError("InvalidParamter", f"At most {world.options.image_ids_most} image ids may be given.")
    found = [world.store.image(call.region, each, now) for each in dict.fromkeys(ids)]
    there = [image for image in found if image is not None and shown(world, image, now)]
    if len(there) < len(found) and world.options.unknown_ids == "error":
        raise VendorError("InvalidImageId.NotFound", "The specified ImageId does not exist.")
    return there


def _wanted(world: World, call: Call, image: StoredImage, now: int) -> bool:
    own, alias = facts_of(image), call.text("ImageOwnerAlias")
    statuses = [each.strip() for each in (call.text("Status") or "Available").split(",")]
    if statuses != [ALL] and status_of(world, image, now) not in statuses:
        return False
    if alias_of(image) not in ((alias,) if alias else ("self", "system", "others")):
        return False
    if own.community != call.flag("IsPublic"):
        return False
    if any(call.text(name) and not fits(image, call.text(name)) for name, fits in _FILTERS.items()):
        return False
    tags = image.facts.tags
    tagged = all(key in tags and value in ("", tags[key]) for key, value in call.pairs("Tag"))
    return tagged and all(_in_time(image, key, value) for key, value in call.pairs("Filter") if key in _TIMES)


def _in_time(image: StoredImage, key: str, value: str) -> bool:
    bound = time_of(key, value, "InvalidParamter")
    return image.created_at >= bound if key == "CreationStartTime" else image.created_at <= bound


def _sorted(world: World, images: list[StoredImage]) -> list[StoredImage]:
    """The images in the order that the options say; of the same time, by their ids."""
    if world.options.order == "none":
        return sorted(images, key=lambda image: hashlib.sha256(image.id.encode()).digest())
    return sorted(images, key=lambda image: (image.created_at, image.id), reverse=world.options.order == "newest")


# --- the model -----------------------------------------------------------------------------------------------------


def image_json(image: StoredImage, world: World, now: int) -> dict[str, Any]:
    """An image with the fields of the vendor's model."""
    own, options, alias = facts_of(image), world.options, alias_of(image)
    letters = iter("abcdefghijklmnopqrstuvwxyz")
    disks = (_disk_json(image, disk, f"/dev/xvd{next(letters)}", world, now) for disk in image.disks)
    tags = ({"TagKey": key, "TagValue": value} for key, value in image.facts.tags.items())
    told = {
        "ImageId": image.id,
        "ImageName": image.name,
        "ImageFamily": own.family,
        "ImageVersion": "",
        "Description": own.description,
        "ImageOwnerAlias": alias,
        "OSType": os_of(image),
        "OSName": image.facts.os_name,
        "OSNameEn": image.facts.os_name,
        "Platform": _PLATFORMS.get(image.facts.platform, image.facts.platform),
        "Architecture": _architecture(image),
        "Size": image.facts.size_gib,
        "Status": status_of(world, image, now),
        "Progress": f"{_progress(image, world, now)}%",
        "CreationTime": world.time_text(image.created_at),
        "DiskDeviceMappings": world.wrapped("DiskDeviceMapping", disks),
        "Tags": world.wrapped("Tag", tags),
        "ProductCode": own.product_code,
        "BootMode": own.boot_mode,
        "ResourceGroupId": own.resource_group,
        "Usage": "none",
        "IsCopied": own.copied,
        "IsPublic": own.community,
        "IsSelfShared": "True" if own.self_shared else "False",
        "IsSubscribed": False,
        "IsSupportCloudinit": True,
        "IsSupportIoOptimized": True,
    }
    owner = options.account_id if alias == "self" and options.shows_own_account else ""
    owner = own.owner_id if alias == "others" else owner
    return {**told, "ImageOwnerId": int(owner)} if owner else told


def _disk_json(image: StoredImage, disk: Disk, device: str, world: World, now: int) -> dict[str, Any]:
    encrypted = {"Encrypted": image.facts.encrypted} if world.options.shows_encrypted else {}
    progress = _progress(image, world, now)
    return {
        "Device": device,
        "Type": "system" if disk.system else "data",
        "Size": str(disk.size_gib),
        "SnapshotId": disk.snapshot_id,
        "Format": "",
        "ImportOSSBucket": "",
        "ImportOSSObject": "",
        **encrypted,
        **({"Progress": f"{progress}%", "RemainTime": _remaining(image, now)} if facts_of(image).copied else {}),
    }


def _architecture(image: StoredImage) -> str:
    return {"aarch64": "arm64", "i686": "i386"}.get(image.facts.architecture, image.facts.architecture)


def _progress(image: StoredImage, world: World, now: int) -> int:
    """How far an image is, in percent."""
    copy = world.copies.get((image.region, image.id))
    began = image.created_at if copy is None else copy.begins_at
    share = 1.0 if now >= image.ready_at else max(0, now - began) / max(1, image.ready_at - began)
    return min(99 if image.fails else 100, int(100 * share))


def _remaining(image: StoredImage, now: int) -> int:
    """Whole seconds until a copy is there."""
    return max(0, image.ready_at - now) // 1_000_000
