"""The reading operations of the Huawei Cloud rehearsal: images with filters and paging, and the quota.

The rehearsal's table of operations points here. They change nothing.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Mapping
from operator import eq, ge, gt, le, lt, ne
from typing import Any, Final

from imageferry.core.times import SECOND, parse_rfc3339, rfc3339
from imageferry.rehearsal.huawei_calls import (
    MALFORMED,
    Call,
    World,
    facts_of,
    kind_of,
    min_disk_of,
    platform_of,
    private_images,
    project_of,
    shown,
    status_of,
)
from imageferry.rehearsal.huawei_options import HuaweiOptions
from imageferry.rehearsal.parameters import STRING, VendorError, Wanted
from imageferry.rehearsal.store import GIB, StoredImage

USUAL_LIMIT: Final = 500
BOUNDLESS: Final = 100_000
"""What the quota says that the options do not limit."""
PUBLIC_OWNER: Final = "0" * 32
SHARER: Final = "5" * 32
"""The projects of others, who own public and shared images."""

_WORDS: Final[Mapping[str, tuple[str, ...]]] = {
    "__imagetype": ("gold", "private", "shared", "market"),
    "visibility": ("public", "private", "shared"),
    "status": ("queued", "saving", "deleted", "killed", "active"),
    "__os_type": ("Linux", "Windows", "Other"),
    "__os_bit": ("32", "64"),
    "architecture": ("x86", "arm"),
    "virtual_env_type": ("FusionCompute", "DataImage", "Ironic", "IsoImage"),
    "member_status": ("accepted", "rejected", "pending"),
    "sort_key": ("name", "container_format", "disk_format", "status", "id", "size", "created_at"),
    "sort_dir": ("asc", "desc"),
}
"""Parameter -> what it may say; another word is refused with a code of its own."""

_REFUSALS: Final = {"__imagetype": "IMG.0024"}
_OPERATORS: Final[Mapping[str, Callable[[int, int], bool]]] = {
    "gt": gt,
    "gte": ge,
    "lt": lt,
    "lte": le,
    "eq": eq,
    "neq": ne,
}
_COMPARED: Final = (
    "__imagetype",
    "visibility",
    "status",
    "__os_type",
    "__platform",
    "__os_bit",
    "owner",
    "id",
    "name",
    "disk_format",
    "container_format",
    "virtual_env_type",
    "__system__cmkid",
    "enterprise_project_id",
)
"""Parameters that compare with the field of their name."""

_EVERY: Final = "enterprise_project_id"
"""The one of them that has a word for everything."""

_NAMES: Final = (
    *_COMPARED,
    *("limit", "marker", "architecture", "__whole_image", "tag", "created_at", "updated_at", "sort_key", "sort_dir"),
    *("member_status", "__isregistered", "min_disk", "min_ram", "protected", "flavor_id"),
    *("__support_diskintensive", "__support_highperformance", "__support_kvm", "__support_kvm_gpu_type"),
    *("__support_kvm_infiniband", "__support_largememory", "__support_xen", "__support_xen_gpu_type"),
    "__support_xen_hana",
)
WANTED: Final = {name: Wanted(STRING) for name in _NAMES}


def list_images(world: World, call: Call, now: int) -> Mapping[str, Any]:
    """The images that a project gets to see, by filters, a page of them.

    :raises VendorError: a parameter does not fit.
    """
    for name, words in _WORDS.items():
        if call.text(name) and call.text(name) not in words:
            raise VendorError(_REFUSALS.get(name, MALFORMED), f"The {name.strip('_')} is invalid.")
    limit = _limit(call, world.options)
    times = {name: _time_filter(call.text(name)) for name in ("created_at", "updated_at") if call.text(name)}
    seen = [
        (image, image_json(image, world, now))
        for image in _candidates(world, call, now)
        if shown(image, call, now) and all(fits(image.created_at // SECOND * SECOND) for fits in times.values())
    ]
    found = _sorted([told for image, told in seen if _fits(image, told, call)], call)
    page, more = _page(found, call.text("marker"), limit)
    info = {"next_marker": page[-1]["id"]} if more and page else {}
    return {"images": page, **({"page_info": info} if world.options.page_info else {})}


def show_image_quota(world: World, call: Call, now: int) -> Mapping[str, Any]:
    """How many private images a region may hold, and holds."""
    quota = world.options.image_quota
    most = BOUNDLESS if quota is None else quota
    used = private_images(world, call.region, now)
    return {"quotas": {"resources": [{"type": "image", "used": used, "quota": most, "min": 0, "max": BOUNDLESS}]}}


def image_json(image: StoredImage, world: World, now: int) -> dict[str, Any]:
    """An image with the fields of the vendor's model; those that say nothing are absent."""
    facts, own, options = image.facts, facts_of(image), world.options
    kind, arm = kind_of(image), facts.architecture == "aarch64"
    told = {
        "id": image.id,
        "name": image.name,
        "status": status_of(image, options, now),
        "visibility": {"gold": "public", "market": "public"}.get(kind, kind),
        "owner": _owner(image, options),
        "tags": [f"{key}{options.tag_separator}{value}" for key, value in facts.tags.items()],
        "created_at": _time(image.created_at),
        "updated_at": _time(max(image.created_at, min(image.ready_at, now))),
        "disk_format": own.disk_format,
        "container_format": "bare",
        "virtual_env_type": own.virtual_env_type,
        "min_disk": min_disk_of(image),
        "min_ram": 0,
        "size": 0,
        "checksum": "d41d8cd98f00b204e9800998ecf8427e",
        "protected": False,
        "file": f"/v2/images/{image.id}/file",
        "schema": "/v2/schemas/image",
        "self": f"/v2/images/{image.id}",
        "enterprise_project_id": own.enterprise_project_id,
        "hw_firmware_type": "bios",
        "__imagetype": kind,
        "__isregistered": "true",
        "__image_source_type": "uds",
        "__lazyloading": "True",
        "__os_type": _os_type(image),
        "__os_bit": "32" if facts.architecture == "i386" else "64",
        "__os_version": facts.os_name,
        "__platform": platform_of(image),
        "__description": own.description,
        "__data_origin": own.data_origin or f"instance,{_made_up(image.id)}",
        "__support_kvm": "true",
        "__support_arm": "true" if arm else "",
        "__root_origin": own.root_origin,
        "__backup_id": own.backup_id,
        "__productcode": own.product_code,
        "__account_code": own.account_code,
        "__image_size": {"bytes": str(facts.size_gib * GIB), "zero": "0", "absent": ""}[options.shown_size],
        "__whole_image": "true" if facts.instance_image and options.shows_whole_image else "",
        "__system__cmkid": _made_up(f"key {image.id}") if facts.encrypted else "",
        "__system__encrypted": "1" if facts.encrypted and options.shows_encrypted_flag else "",
        "active_at": _time(image.ready_at) if image.settled(now) else "",
    }
    return {name: value for name, value in told.items() if value != "" or not name.startswith(("__", "active_at"))}


def _candidates(world: World, call: Call, now: int) -> Iterable[StoredImage]:
    """Every image of the region, or the one that is asked for."""
    if not call.text("id"):
        return world.store.images(call.region, now)
    image = world.store.image(call.region, call.text("id"), now)
    return [image] if image is not None else []


def _owner(image: StoredImage, options: HuaweiOptions) -> str:
    others = {"SHARED_IMAGE": SHARER, "PUBLIC_IMAGE": PUBLIC_OWNER, "MARKET_IMAGE": PUBLIC_OWNER}
    return others.get(image.facts.image_type) or options.project_id(project_of(image))


def _os_type(image: StoredImage) -> str:
    platform = platform_of(image)
    return platform if platform in ("Windows", "Other") else "Linux"


def _made_up(text: str) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_OID, text))


def _time(at: int) -> str:
    return f"{rfc3339(at)[:19]}Z"


def _limit(call: Call, options: HuaweiOptions) -> int:
    text = call.text("limit")
    if not text:
        return min(USUAL_LIMIT, options.list_most)
    if not text.isascii() or not text.isdecimal():
        raise VendorError(MALFORMED, "The limit is invalid.")
    if int(text) > options.list_most and options.list_over == "refused":
        raise VendorError(MALFORMED, f"The limit must not be more than {options.list_most}.")
    return min(int(text), options.list_most)


def _time_filter(text: str) -> Callable[[int], bool]:
    word, colon, time = text.partition(":")
    try:
        wanted = parse_rfc3339(time)
    except ValueError:
        wanted = None
    if not colon or word not in _OPERATORS or wanted is None:
        raise VendorError(MALFORMED, "A time is filtered by <operator>:<UTC time>.")
    compare, moment = _OPERATORS[word], wanted
    return lambda at: compare(at, moment)


def _fits(image: StoredImage, told: Mapping[str, Any], call: Call) -> bool:
    if any(call.text(name) and str(told.get(name, "")) != call.text(name) for name in _COMPARED if name != _EVERY):
        return False
    project = call.text(_EVERY)
    if project not in ("", "all_granted_eps") and told[_EVERY] != project:
        return False
    rules: Mapping[str, Callable[[str], bool]] = {
        "architecture": lambda value: (value == "arm") == ("__support_arm" in told),
        "__whole_image": lambda value: (value.lower() == "true") == image.facts.instance_image,
        "__isregistered": lambda value: value.lower() == "true",
        "tag": lambda value: value in (f"{key}{sign}{word}" for key, word in image.facts.tags.items() for sign in "=."),
        "min_disk": lambda value: str(told["min_disk"]) == value,
        "protected": lambda value: value.lower() == "false",
    }
    if any(call.text(name) and not rule(call.text(name)) for name, rule in rules.items()):
        return False
    return image.facts.image_type != "SHARED_IMAGE" or facts_of(image).member_status == (
        call.text("member_status") or "accepted"
    )


def _sorted(found: list[dict[str, Any]], call: Call) -> list[dict[str, Any]]:
    key, backwards = call.text("sort_key") or "created_at", call.text("sort_dir") != "asc"
    return sorted(found, key=lambda told: (str(told.get(key, "")), told["id"]), reverse=backwards)


def _page(found: list[dict[str, Any]], marker: str, limit: int) -> tuple[list[dict[str, Any]], bool]:
    """(the page behind the marker, whether there is more)."""
    begin = 0
    if marker:
        places = [place for place, told in enumerate(found) if told["id"] == marker]
        if not places:
            raise VendorError("IMG.0031", "The marker names no image of this list.")
        begin = places[0] + 1
    return found[begin : begin + limit], begin + limit < len(found)
