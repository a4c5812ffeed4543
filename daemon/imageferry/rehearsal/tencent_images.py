"""The reading actions of the Tencent rehearsal: DescribeImages, DescribeImageQuota, DescribeSnapshots, who am I.

The rehearsal's action table points here. They change nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

from imageferry.core.times import rfc3339
from imageferry.rehearsal.options import RehearsalOptions
from imageferry.rehearsal.parameters import FILTERS, INTEGER, STRING, STRINGS, VendorError, Wanted
from imageferry.rehearsal.store import StoredImage
from imageferry.rehearsal.tencent_calls import Call, World, check_ids, culprit

IMAGES_WANTED: Final = {
    "ImageIds": Wanted(STRINGS),
    "Filters": Wanted(FILTERS),
    "Offset": Wanted(INTEGER),
    "Limit": Wanted(INTEGER),
    "InstanceType": Wanted(STRING),
}
SNAPSHOTS_WANTED: Final = {"SnapshotIds": Wanted(STRINGS), "Offset": Wanted(INTEGER), "Limit": Wanted(INTEGER)}

USUAL_LIMIT: Final = 20
HIGHEST_LIMIT: Final = 100
MOST_FILTERS: Final = 10
MOST_VALUES: Final = 5

_INSTANCE_TYPE: Final = re.compile(r"[A-Z0-9a-z]+\.[A-Z0-9]+")
_FILTERS: Final[dict[str, Callable[[StoredImage, str], bool]]] = {
    "image-id": lambda image, value: image.id == value,
    "image-type": lambda image, value: image.facts.image_type == value,
    "image-name": lambda image, value: value.lower() in image.name.lower(),
    "platform": lambda image, value: value.lower() in image.facts.platform.lower(),
    "tag-key": lambda image, value: value in image.facts.tags,
    "tag-value": lambda image, value: value in image.facts.tags.values(),
    "dedicated-cluster-id": lambda _image, _value: False,
    "cdc-cache-status": lambda _image, _value: False,
}


def describe_images(world: World, call: Call, now: int) -> dict[str, Any]:
    """Images of a region, by their ids or by filters, a page of them.

    :raises VendorError: a rule says no.
    """
    options, ids = world.options, call.strings("ImageIds")
    if ids and call.params.get("Filters"):
        raise VendorError(
            "InvalidParameter.InvalidParameterCoexistImageIdsFilters", "ImageIds and Filters exclude each other."
        )
    check_ids(ids, options.describe_ids_most, options)
    _check_filters(call)
    instance_type = call.params.get("InstanceType")
    if instance_type is not None and _INSTANCE_TYPE.fullmatch(instance_type) is None:
        raise VendorError("InvalidInstanceType.Malformed", "The instance type is malformed.")
    found = _by_ids(world, call, ids, now) if ids else _by_filters(world, call, now)
    offset, limit = _page(call)
    page = found if ids and not options.limit_cuts_ids else found[offset : offset + limit]
    return {"TotalCount": len(found), "ImageSet": [image_json(image, world, now) for image in page]}


def describe_image_quota(world: World, _call: Call, _now: int) -> dict[str, Any]:
    """How many images a region may hold."""
    return {"ImageNumQuota": world.options.image_quota}


def describe_snapshots(world: World, call: Call, now: int) -> dict[str, Any]:
    """The snapshots of images, each with whether it is encrypted (service cbs).

    :raises VendorError: a rule says no.
    """
    wanted = frozenset(call.strings("SnapshotIds"))
    found = [
        {
            "SnapshotId": disk.snapshot_id,
            "DiskUsage": "SYSTEM_DISK" if disk.system else "DATA_DISK",
            "DiskSize": disk.size_gib,
            "Encrypt": image.facts.encrypted,
            "SnapshotState": "NORMAL",
            "Percent": 100,
        }
        for image in world.store.images(call.region, now)
        for disk in image.disks
        if not wanted or disk.snapshot_id in wanted
    ]
    offset, limit = _page(call)
    return {"TotalCount": len(found), "SnapshotSet": found[offset : offset + limit]}


def state_of(image: StoredImage, options: RehearsalOptions, now: int) -> str:
    """The word for an image's state."""
    if now < image.ready_at:
        return image.pending_state
    if image.fails:
        return "CREATEFAILED"
    if image.copying_until > now:
        return options.state_while_copying
    return options.state_while_exporting if image.exporting_until > now else "NORMAL"


def image_json(image: StoredImage, world: World, now: int) -> dict[str, Any]:
    """An image with every field of the vendor's model."""
    facts, options = image.facts, world.options
    empty: list[Any] | None = None if options.null_for_empty else []
    created = rfc3339(image.created_at)[:19]
    return {
        "ImageId": image.id,
        "OsName": facts.os_name,
        "ImageType": facts.image_type,
        "CreatedTime": f"{created}{'Z' if options.zulu_times else '+00:00'}",
        "ImageName": image.name,
        "ImageDescription": "",
        "ImageSize": facts.size_gib,
        "Architecture": facts.architecture,
        "ImageState": state_of(image, options, now),
        "Platform": facts.platform,
        "ImageCreator": "tencent" if facts.image_type == "PUBLIC_IMAGE" else options.account_id,
        "ImageSource": facts.source,
        "SyncPercent": _sync_percent(image, options, now),
        "IsSupportCloudinit": True,
        "SnapshotSet": [
            {
                "SnapshotId": disk.snapshot_id,
                "DiskUsage": "SYSTEM_DISK" if disk.system else "DATA_DISK",
                "DiskSize": disk.size_gib,
            }
            for disk in image.disks
        ]
        or empty,
        "Tags": [{"Key": key, "Value": value} for key, value in facts.tags.items()] or empty,
        "LicenseType": "TencentCloud",
        "ImageFamily": None,
        "ImageDeprecated": False,
        "CdcCacheStatus": None,
    }


def _sync_percent(image: StoredImage, options: RehearsalOptions, now: int) -> int | None:
    if now < image.ready_at and image.pending_state == "SYNCING":
        return 100 * (now - image.created_at) // max(1, image.ready_at - image.created_at)
    return 20 if options.stale_sync_percent else None


def _by_ids(world: World, call: Call, ids: list[str], now: int) -> list[StoredImage]:
    found = []
    for each in dict.fromkeys(ids):
        image = world.store.image(call.region, each, now)
        if image is not None:
            found.append(image)
        elif world.options.unknown_ids == "error":
            raise VendorError("InvalidImageId.NotFound", culprit("The image does not exist", each, world.options))
    return found


def _by_filters(world: World, call: Call, now: int) -> list[StoredImage]:
    filters = call.params.get("Filters") or []
    return [
        image
        for image in world.store.images(call.region, now)
        if all(any(_fits(image, each["Name"], value) for value in each["Values"]) for each in filters)
    ]


def _fits(image: StoredImage, name: str, value: str) -> bool:
    if name.startswith("tag:"):
        return image.facts.tags.get(name.removeprefix("tag:")) == value
    return _FILTERS[name](image, value)


def _check_filters(call: Call) -> None:
    filters = call.params.get("Filters") or []
    if len(filters) > MOST_FILTERS:
        raise VendorError("InvalidParameterValue.LimitExceeded", f"At most {MOST_FILTERS} filters are allowed.")
    for each in filters:
        if each["Name"] not in _FILTERS and not each["Name"].startswith("tag:"):
            raise VendorError("InvalidFilter", f"The filter `{each['Name']}` does not exist.")
        if len(each["Values"]) > MOST_VALUES:
            raise VendorError("InvalidFilterValue.LimitExceeded", f"A filter takes at most {MOST_VALUES} values.")


def _page(call: Call) -> tuple[int, int]:
    offset, limit = call.params.get("Offset"), call.params.get("Limit")
    offset, limit = 0 if offset is None else offset, USUAL_LIMIT if limit is None else limit
    if offset < 0 or not 1 <= limit <= HIGHEST_LIMIT:
        raise VendorError(
            "InvalidParameterValue.InvalidParameterValueLimit",
            f"Offset must not be negative, and Limit must be between 1 and {HIGHEST_LIMIT}.",
        )
    return offset, limit
