"""What stands before JD Cloud's services: which operation is meant, who asks, how often, with which parameters.

The rehearsal asks it once for each request of the API. It performs no operation and answers nothing; what it refuses,
it refuses with the vendor's own status.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import unquote

from imageferry.core.times import SECOND
from imageferry.ports import Clock
from imageferry.rehearsal.jdcloud_calls import INVALID, NOT_FOUND, Call, Operation, World
from imageferry.rehearsal.jdcloud_copies import WANTED as COPY_WANTED
from imageferry.rehearsal.jdcloud_copies import copy_images
from imageferry.rehearsal.jdcloud_exports import WANTED as EXPORT_WANTED
from imageferry.rehearsal.jdcloud_exports import export_image
from imageferry.rehearsal.jdcloud_images import IMAGES_WANTED, describe_image, describe_images
from imageferry.rehearsal.jdcloud_neighbours import (
    DISK_QUOTA_WANTED,
    PIN_WANTED,
    QUOTAS_WANTED,
    ROLE_WANTED,
    assume_role,
    describe_disk_quota,
    describe_quotas,
    describe_snapshot,
    describe_user_pin,
)
from imageferry.rehearsal.jdcloud_queries import read_query
from imageferry.rehearsal.jdcloud_signatures import NONCE, Proof, check_jdcloud, claimed_service
from imageferry.rehearsal.jdcloud_tasks import WANTED as TASKS_WANTED
from imageferry.rehearsal.jdcloud_tasks import image_tasks
from imageferry.rehearsal.nonces import UsedNonces
from imageferry.rehearsal.parameters import VendorError, read_object
from imageferry.rehearsal.signatures import SignatureRefused, Signed
from imageferry.rehearsal.windows import WINDOW, RateWindows

NO_REGION: Final = "jdcloud-api"
"""What stands in a signature for the region of a path that has none."""
MINUTE: Final = 60 * WINDOW
"""Seconds that a rate of N a minute is judged over."""


def _at(path: str) -> re.Pattern[str]:
    """The pattern of a path, as ``/v1/regions/{region}/images/{id}`` describes it."""
    return re.compile(path.replace("{region}", "(?P<region>[^/]+)").replace("{id}", "(?P<id>[^/:]+)"))


_HERE: Final = "/v1/regions/{region}"

OPERATIONS: Final[Mapping[str, tuple[Operation, ...]]] = {
    "vm": (
        Operation("describeImages", "GET", _at(f"{_HERE}/images"), IMAGES_WANTED, describe_images),
        Operation("describeImage", "GET", _at(_HERE + "/images/{id}"), {}, describe_image),
        Operation("exportImage", "POST", _at(_HERE + "/images/{id}:exportImage"), EXPORT_WANTED, export_image),
        Operation("copyImages", "POST", _at(f"{_HERE}/images:copyImages"), COPY_WANTED, copy_images),
        Operation("imageTasks", "GET", _at(f"{_HERE}/imageTasks"), TASKS_WANTED, image_tasks),
        Operation("describeQuotas", "GET", _at(f"{_HERE}/quotas"), QUOTAS_WANTED, describe_quotas),
    ),
    "disk": (
        Operation("describeSnapshot", "GET", _at(_HERE + "/snapshots/{id}"), {}, describe_snapshot),
        Operation("describeQuota", "GET", _at(f"{_HERE}/quotas"), DISK_QUOTA_WANTED, describe_disk_quota),
    ),
    "iam": (Operation("describeUserPin", "GET", _at(f"{_HERE}/user:describeUserPin"), PIN_WANTED, describe_user_pin),),
    "sts": (Operation("assumeRole", "POST", _at("/v1/sessionToken:assumeRole"), ROLE_WANTED, assume_role),),
}
"""Service, as signatures name it -> what it does."""


class Gateway:
    """Lets requests in, or refuses them."""

    def __init__(self, world: World, clock: Clock) -> None:
        self._world = world
        self._clock = clock
        self._seconds = RateWindows()
        self._minutes = RateWindows(MINUTE)
        self._nonces = UsedNonces()

    def identify(self, signed: Signed, request_id: str, at: int) -> tuple[Operation | None, Call]:
        """Which operation a request means, proved or not, and the call without its parameters."""
        path = unquote(signed.path)
        for operation in OPERATIONS.get(claimed_service(signed.headers.get("authorization", "")), ()):
            found = operation.path.fullmatch(path)
            if found is not None and operation.method == signed.method:
                words = found.groupdict()
                return operation, Call(operation.name, words.get("region", ""), words.get("id", ""), {}, request_id, at)
        return None, Call("unknown", "", "", {}, request_id, at)

    def admit(self, signed: Signed, operation: Operation | None, call: Call) -> tuple[Operation, Call]:
        """Everything that is checked before a fault can befall a request; the call with its parameters.

        :raises VendorError: it is refused.
        """
        options = self._world.options
        try:
            proof = check_jdcloud(signed, self._world.keys, call.at, options)
        except SignatureRefused as refused:
            raise VendorError(refused.code, refused.message) from None
        if not self._nonces.use(
            proof.key.secret_id, signed.headers[NONCE], call.at, int(options.nonce_seconds * SECOND)
        ):
            raise VendorError("APIGW_NONCE_CONFLICT", "The nonce was used before [gw]")
        if operation is None:
            known = proof.service in OPERATIONS
            raise VendorError(NOT_FOUND if known else "APIGW_SERVICE_NOT_FOUND", "There is no such API [gw]")
        self._check_region(call, proof)
        self._count(call, proof)
        if operation.name in options.denied:
            raise VendorError(options.denied[operation.name], f"{operation.name} is not allowed [gw]")
        params = _read_body(signed, call) if signed.method == "POST" else read_query(signed.query)
        return operation, Call(call.action, call.region, call.resource, params, call.request_id, call.at)

    def busiest(self) -> dict[tuple[str, str], int]:
        """(operation, region) -> the most requests of one key within any 0.9 s."""
        return self._seconds.busiest()

    def _check_region(self, call: Call, proof: Proof) -> None:
        if proof.region != (call.region or NO_REGION):
            raise VendorError("ACCESS_ERROR", "The signature is for another region [gw]")
        if call.region and call.region not in self._world.options.regions:
            raise VendorError(INVALID, f"Invalid region '{call.region}'")

    def _count(self, call: Call, proof: Proof) -> None:
        options, at = self._world.options, self._clock.monotonic()
        scope = call.region if options.count_rate_by == "region" else "*"
        held = self._seconds.arrive((call.action, scope, proof.key.secret_id), at)
        minute = self._minutes.arrive((proof.service, scope, proof.key.secret_id), at)
        limit, most = options.rates.get(call.action), options.requests_a_minute
        if limit is not None and held > limit:
            raise VendorError(options.throttle_code, f"rate limit exceeded, {limit} a second [gw]")
        if most is not None and minute > most:
            raise VendorError(options.throttle_code, f"minute rate limit exceeded, {most} [gw]")


def _read_body(signed: Signed, call: Call) -> dict[str, Any]:
    """The parameters of a body, as the vendor's SDKs write it: the path repeated, and null for what is not set."""
    if not signed.headers.get("content-type", "").startswith("application/json"):
        raise VendorError(INVALID, "The body must be application/json")
    if signed.query:
        raise VendorError(INVALID, "Parameters of a POST belong in its body")
    try:
        given = read_object(signed.body)
    except VendorError as error:
        raise VendorError(INVALID, error.message) from None
    params = {name: value for name, value in given.items() if value is not None}
    for name, own in (("regionId", call.region), ("imageId", call.resource)):
        if own and params.pop(name, own) != own:
            raise VendorError(INVALID, f"{name} is not the path's")
    return params
