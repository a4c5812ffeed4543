"""describeImages and describeImage of the JD Cloud rehearsal, and the vendor's model of an image.

The rehearsal's table of operations points here. They change nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from imageferry.rehearsal.jdcloud_calls import (
    INVALID,
    NOT_FOUND,
    UNFIT,
    Call,
    World,
    facts_of,
    image_of,
    is_windows,
    shown,
    source_of,
    status_of,
)
from imageferry.rehearsal.jdcloud_options import JdcloudOptions
from imageferry.rehearsal.jdcloud_queries import FLAG, NUMBER, page_of
from imageferry.rehearsal.parameters import STRING, STRINGS, VendorError, Wanted
from imageferry.rehearsal.store import Disk, StoredImage

IMAGES_WANTED: Final = {
    "imageSource": Wanted(STRING),
    "offline": Wanted(FLAG),
    "platform": Wanted(STRING),
    "ids": Wanted(STRINGS),
    "imageName": Wanted(STRING),
    "rootDeviceType": Wanted(STRING),
    "launchPermission": Wanted(STRING),
    "status": Wanted(STRING),
    "serviceCode": Wanted(STRING),
    "architecture": Wanted(STRING),
    "pageNumber": Wanted(NUMBER),
    "pageSize": Wanted(NUMBER),
    "instanceIds": Wanted(STRINGS),
    "bootMode": Wanted(STRING),
}

USUAL_SIZE: Final = 20
SMALLEST_SIZE: Final = 10
LARGEST_SIZE: Final = 100

_WORDS: Final[Mapping[str, tuple[str, ...]]] = {
    "imageSource": ("public", "thirdparty", "private", "shared", "community"),
    "rootDeviceType": ("localDisk", "cloudDisk"),
    "launchPermission": ("all", "specifiedUsers", "ownerOnly"),
    "architecture": ("x86_64", "arm64"),
    "bootMode": ("bios", "uefi"),
}
"""Parameter -> what it may say."""

_FILTERS: Final[Mapping[str, Callable[[StoredImage, str], bool]]] = {
    "imageSource": lambda image, value: source_of(image) == value,
    "rootDeviceType": lambda image, value: facts_of(image).root_device == value,
    "platform": lambda image, value: platform_of(image) == value,
    "imageName": lambda image, value: value in image.name,
    "architecture": lambda image, value: _architecture(image) == value,
    "bootMode": lambda _image, value: value == "bios",
}


def describe_images(world: World, call: Call, now: int) -> dict[str, Any]:
    """Images of a region, by their ids or by what they are, a page of them.

    :raises VendorError: a rule says no.
    """
    for name, words in _WORDS.items():
        if call.text(name) and call.text(name) not in words:
            raise VendorError(INVALID, f"Invalid {name} '{call.text(name)}'")
    ids = call.strings("ids")
    if not ids and not call.text("imageSource"):
        raise VendorError(UNFIT, "Parameter ImageSource missing")
    page = page_of(call, USUAL_SIZE, SMALLEST_SIZE, LARGEST_SIZE)
    candidates = _by_ids(world, call, ids, now) if ids else world.store.images(call.region, now)
    found = [image for image in candidates if shown(world, image, now) and _wanted(world, call, image, now)]
    told = found if ids and not world.options.limit_cuts_ids else found[page]
    return {"images": [image_json(image, world, now) for image in told], "totalCount": len(found)}


def describe_image(world: World, call: Call, now: int) -> dict[str, Any]:
    """One image.

    :raises VendorError: it is not there.
    """
    return {"image": image_json(image_of(world, call.region, call.resource, now), world, now)}


def platform_of(image: StoredImage) -> str:
    """The vendor's word for an image's system."""
    return "Windows Server" if image.facts.platform == "Windows" else image.facts.platform


def image_json(image: StoredImage, world: World, now: int) -> dict[str, Any]:
    """An image with every field of the vendor's model."""
    own, options, source = facts_of(image), world.options, source_of(image)
    system = next((disk for disk in image.disks if disk.system), None)
    told = {
        "imageId": image.id,
        "name": image.name,
        "platform": platform_of(image),
        "osVersion": _version(image),
        "architecture": _architecture(image),
        "systemDiskSizeGB": image.facts.size_gib,
        "imageSource": source,
        "osType": "windows" if is_windows(image) else "linux",
        "status": status_of(image, options, now),
        "createTime": world.time_text(image.created_at),
        "sizeMB": 0,
        "desc": own.description,
        "ownerPin": options.account_id if source == "private" else "another-pin",
        "loginName": options.account_id if source == "private" else "another",
        "launchPermission": own.launch_permission or ("all" if source == "public" else "ownerOnly"),
        "systemDisk": _disk_json(image, system, "vda", options) if system else None,
        "dataDisks": [
            _disk_json(image, disk, f"vd{letter}", options)
            for disk, letter in zip((d for d in image.disks if not d.system), _letters(), strict=False)
        ],
        "snapshotId": system.snapshot_id if system and own.root_device == "cloudDisk" else "",
        "rootDeviceType": own.root_device,
        "progress": _progress(image, now) if own.copied else None,
        "offline": False,
        "serviceCode": None,
        "expiredTime": "",
        "instanceId": own.instance_id,
        "bootMode": "bios",
        "chargeInfo": None,
    }
    return {**told, "imported": own.imported} if options.shows_imported else told


def _disk_json(image: StoredImage, disk: Disk, device: str, options: JdcloudOptions) -> dict[str, Any]:
    local = disk.system and facts_of(image).root_device == "localDisk"
    facts = {"diskType": "premium-hdd" if local else "ssd.gp1", "diskSizeGB": disk.size_gib}
    encrypted = {} if options.shows_encrypted == "absent" else {options.shows_encrypted: image.facts.encrypted}
    return {
        "diskCategory": "local" if local else "cloud",
        "autoDelete": True,
        "deviceName": device,
        "localDisk": facts if local else None,
        "cloudDisk": None if local else {**facts, "snapshotId": disk.snapshot_id, **encrypted},
    }


def _letters() -> str:
    return "bcdefghijklmnopqrstuvwxyz"


def _architecture(image: StoredImage) -> str:
    return {"aarch64": "arm64"}.get(image.facts.architecture, image.facts.architecture)


def _version(image: StoredImage) -> str:
    found = re.search(r"\d+(\.\d+)*", image.facts.os_name)
    return found[0] if found else ""


def _progress(image: StoredImage, now: int) -> str:
    """How far a copy is, in percent."""
    took, takes = now - image.created_at, max(1, image.ready_at - image.created_at)
    return str(min(99 if image.fails else 100, 100 * took // takes))


def _by_ids(world: World, call: Call, ids: list[str], now: int) -> list[StoredImage]:
    found = []
    for each in dict.fromkeys(ids):
        image = world.store.image(call.region, each, now)
        if image is not None:
            found.append(image)
        elif world.options.unknown_ids == "error":
            raise VendorError(NOT_FOUND, f"Image '{each}' not found")
    return found


def _wanted(world: World, call: Call, image: StoredImage, now: int) -> bool:
    """Whether an image fits every filter; some filters count only for some sources, and none of those for ids."""
    if any(call.text(name) and not fits(image, call.text(name)) for name, fits in _FILTERS.items()):
        return False
    if call.text("status") and status_of(image, world.options, now) != call.text("status"):
        return False
    instances, source = call.strings("instanceIds"), call.text("imageSource")
    if instances and facts_of(image).instance_id not in instances:
        return False
    permission = call.text("launchPermission") if source == "private" else ""
    if permission and image_json(image, world, now)["launchPermission"] != permission:
        return False
    return not (source in ("public", "thirdparty") and call.text("offline").lower() == "true")
