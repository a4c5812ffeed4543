"""The services beside JD Cloud's images that an image daemon asks: quotas, snapshots, who am I, temporary keys.

The rehearsal's table of operations points here. All but assumeRole change nothing.
"""

from __future__ import annotations

from typing import Any, Final

from imageferry.core.times import SECOND
from imageferry.rehearsal.jdcloud_calls import INVALID, NOT_FOUND, Call, World, source_of
from imageferry.rehearsal.jdcloud_queries import FILTERS
from imageferry.rehearsal.options import AcceptedKey
from imageferry.rehearsal.parameters import STRING, Shape, VendorError, Wanted

QUOTAS_WANTED: Final = {"filters": Wanted(FILTERS), "imageId": Wanted(STRING)}
DISK_QUOTA_WANTED: Final = {"type": Wanted(STRING, required=True)}
PIN_WANTED: Final = {"accessKey": Wanted(STRING), "accountId": Wanted(STRING)}
ROLE_WANTED: Final = {
    "assumeRoleInfo": Wanted(Shape("an object", lambda value: isinstance(value, dict)), required=True)
}

RESOURCES: Final = (
    "instance",
    "instance_cpu",
    "instance_memory",
    "instance_local_disk",
    "keypair",
    "image",
    "instanceTemplate",
    "imageShare",
)
BOUNDLESS: Final = 100_000
"""What a quota says that the options do not limit."""
SHORTEST_SESSION: Final = 3_600


def describe_quotas(world: World, call: Call, now: int) -> dict[str, Any]:
    """How many images and other things a region may hold and holds (service vm).

    :raises VendorError: a rule says no.
    """
    wanted = [*RESOURCES[:-1]]
    for each in call.params.get("filters") or []:
        if each["name"] != "resourceTypes":
            raise VendorError(INVALID, f"Invalid filter '{each['name']}'")
        wanted = each["values"]
    if not set(wanted) <= set(RESOURCES):
        raise VendorError(INVALID, "Invalid resourceTypes")
    if "imageShare" in wanted and not call.text("imageId"):
        raise VendorError(INVALID, "Parameter ImageId missing")
    return {"quotas": [{"resourceType": each, **_quota(world, call.region, each, now)} for each in wanted]}


def describe_disk_quota(world: World, call: Call, now: int) -> dict[str, Any]:
    """How many snapshots a region may hold and holds (service disk).

    :raises VendorError: the type is not known.
    """
    if call.text("type") not in ("disk", "snapshot", "snapshot_policy"):
        raise VendorError(INVALID, f"Invalid type '{call.text('type')}'")
    return {"quota": _quota(world, call.region, call.text("type"), now)}


def describe_snapshot(world: World, call: Call, now: int) -> dict[str, Any]:
    """One snapshot, with whether it is encrypted (service disk).

    :raises VendorError: it is not there.
    """
    for image in world.store.images(call.region, now):
        for disk in image.disks:
            if disk.snapshot_id == call.resource:
                return {
                    "snapshot": {
                        "snapshotId": disk.snapshot_id,
                        "snapshotSource": "self",
                        "snapshotSizeGB": disk.size_gib,
                        "images": [image.id],
                        "name": disk.snapshot_id,
                        "description": "",
                        "status": "available",
                        "createTime": world.time_text(image.created_at),
                        "encrypted": image.facts.encrypted,
                    }
                }
    raise VendorError(NOT_FOUND, f"Snapshot '{call.resource}' not found")


def describe_user_pin(world: World, call: Call, _now: int) -> dict[str, Any]:
    """Whose key it is (service iam).

    :raises VendorError: no key is named, or it is not known.
    """
    if not call.text("accessKey") and not call.text("accountId"):
        raise VendorError(INVALID, "accessKey or accountId is needed")
    if call.text("accessKey") and call.text("accessKey") not in {key.secret_id for key in world.keys}:
        raise VendorError(NOT_FOUND, "The access key does not exist")
    return {"pin": world.options.account_id}


def assume_role(world: World, call: Call, now: int) -> dict[str, Any]:
    """A temporary key for a role (service sts).

    :raises VendorError: a rule says no.
    """
    info, options = call.params["assumeRoleInfo"], world.options
    name, seconds = info.get("roleSessionName"), info.get("durationSeconds")
    seconds = SHORTEST_SESSION if seconds is None else seconds
    if not isinstance(name, str) or not name:
        raise VendorError(INVALID, "roleSessionName is needed")
    if type(seconds) is not int or not SHORTEST_SESSION <= seconds <= options.longest_session_seconds:
        raise VendorError(INVALID, f"durationSeconds must be {SHORTEST_SESSION} to {options.longest_session_seconds}")
    if str(info.get("roleJrn")) not in options.assumable_roles:
        raise VendorError("PERMISSION_DENIED", "The role does not exist, or does not trust this user")
    key_id, secret, token = (f"{world.chance.getrandbits(128):032X}" for _ in range(3))
    key = AcceptedKey(f"STS{key_id}", secret, token, expires_at=now + seconds * SECOND)
    world.sessions.append(key)
    return {
        "credentials": {
            "accessKey": key.secret_id,
            "secretKey": key.secret_key,
            "sessionToken": key.token,
            "expiration": world.time_text(now + seconds * SECOND),
        }
    }


def room_for_images(world: World, region: str, now: int) -> int:
    """How many private images more a region may hold."""
    return _room(_quota(world, region, "image", now))


def room_for_snapshots(world: World, region: str, now: int) -> int:
    """How many snapshots more a region may hold."""
    return _room(_quota(world, region, "snapshot", now))


def _room(quota: dict[str, int]) -> int:
    return quota["limit"] - quota["used"]


def _quota(world: World, region: str, resource: str, now: int) -> dict[str, int]:
    own = [image for image in world.store.images(region, now) if source_of(image) == "private"]
    used = {"image": len(own), "snapshot": sum(len(image.disks) for image in own)}
    limit = {"image": world.options.image_quota, "snapshot": world.options.snapshot_quota}.get(resource)
    return {"limit": BOUNDLESS if limit is None else limit, "used": used.get(resource, 0)}
