"""What stands before Alibaba Cloud's services: which action is meant, who asks, how often, with which parameters.

The rehearsal asks it once for each request of the API. It performs no action and answers nothing; what it refuses, it
refuses with the vendor's own code.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final, NamedTuple
from urllib.parse import parse_qsl

from imageferry.core.times import SECOND
from imageferry.ports import Clock
from imageferry.rehearsal.aliyun_calls import Call, Operation, World
from imageferry.rehearsal.aliyun_copies import CANCEL_WANTED, cancel_copy_image, copy_image
from imageferry.rehearsal.aliyun_copies import WANTED as COPY_WANTED
from imageferry.rehearsal.aliyun_exports import WANTED as EXPORT_WANTED
from imageferry.rehearsal.aliyun_exports import export_image
from imageferry.rehearsal.aliyun_identity import (
    CALLER_WANTED,
    OIDC_WANTED,
    ROLE_WANTED,
    assume_role,
    assume_role_with_oidc,
    get_caller_identity,
)
from imageferry.rehearsal.aliyun_images import IMAGES_WANTED, REGIONS_WANTED, describe_images, describe_regions
from imageferry.rehearsal.aliyun_signatures import SIGNATURE, Proof, check_acs3, check_rpc1
from imageferry.rehearsal.aliyun_tasks import (
    TASK_WANTED,
    TASKS_WANTED,
    cancel_task,
    describe_task_attribute,
    describe_tasks,
)
from imageferry.rehearsal.nonces import UsedNonces
from imageferry.rehearsal.parameters import VendorError
from imageferry.rehearsal.signatures import SignatureRefused, Signed
from imageferry.rehearsal.windows import RateWindows

FORM: Final = "application/x-www-form-urlencoded"
MINUTE: Final = 60 * SECOND
UNSIGNED: Final = "AssumeRoleWithOIDC"
"""The one action that needs no signature."""

_ECS: Final = "2014-05-26"
_STS: Final = "2015-04-01"

OPERATIONS: Final[Mapping[str, tuple[Operation, ...]]] = {
    _ECS: (
        Operation("DescribeImages", IMAGES_WANTED, describe_images),
        Operation("DescribeRegions", REGIONS_WANTED, describe_regions),
        Operation("ExportImage", EXPORT_WANTED, export_image),
        Operation("CopyImage", COPY_WANTED, copy_image),
        Operation("CancelCopyImage", CANCEL_WANTED, cancel_copy_image),
        Operation("DescribeTasks", TASKS_WANTED, describe_tasks),
        Operation("DescribeTaskAttribute", TASK_WANTED, describe_task_attribute),
        Operation("CancelTask", TASK_WANTED, cancel_task),
    ),
    _STS: (
        Operation("GetCallerIdentity", CALLER_WANTED, get_caller_identity),
        Operation("AssumeRole", ROLE_WANTED, assume_role),
        Operation(UNSIGNED, OIDC_WANTED, assume_role_with_oidc),
    ),
}
"""Version, of which each service has one -> its actions."""

_OF_THE_ENVELOPE: Final = frozenset(
    {
        "AccessKeyId",
        "Action",
        "Format",
        "SecurityToken",
        SIGNATURE,
        "SignatureMethod",
        "SignatureNonce",
        "SignatureType",
        "SignatureVersion",
        "Timestamp",
        "Version",
    }
)
"""Parameters of RPC requests that are not the action's."""


class Envelope(NamedTuple):
    """What a request says about itself."""

    action: str
    version: str
    given: Mapping[str, str]
    """Every parameter of query and form."""
    doubled: str
    """A parameter that is given twice; empty where none is."""
    by_headers: bool
    """V3: action, version and signature stand in headers; else in parameters."""


class Gateway:
    """Lets requests in, or refuses them."""

    def __init__(self, world: World, clock: Clock) -> None:
        self._world = world
        self._clock = clock
        self._windows = RateWindows()
        self._nonces = UsedNonces()
        self._closed: dict[tuple[str, str], int] = {}
        """(action, region) -> until when it is throttled, whatever its rate."""

    def identify(self, signed: Signed, request_id: str, at: int) -> tuple[Envelope, Call]:
        """What a request means, proved or not."""
        envelope = _read(signed)
        if envelope.by_headers:
            params, json = envelope.given, "json" in signed.headers.get("accept", "")
        else:
            params = {name: value for name, value in envelope.given.items() if name not in _OF_THE_ENVELOPE}
            json = envelope.given.get("Format", "").upper() == "JSON"
        known = envelope.action if _operation(envelope) is not None else "unknown"
        return envelope, Call(known, params, request_id, at, signed.headers.get("host", ""), json)

    def admit(self, signed: Signed, envelope: Envelope, call: Call) -> tuple[Operation, Call]:
        """Everything that is checked before a fault can befall a request; the call with who it is from.

        :raises VendorError: it is refused.
        """
        options = self._world.options
        if signed.method not in ("GET", "POST"):
            raise VendorError("UnsupportedHTTPMethod", "This http method is not supported.")
        if envelope.doubled:
            raise VendorError("InvalidParameter", f'The parameter "{envelope.doubled}" is given twice.')
        operation = _operation(envelope)
        proof = None
        if operation is None or operation.name != UNSIGNED or SIGNATURE in envelope.given:
            proof = self._prove(signed, envelope, call.at)
        if operation is None:
            raise _unknown(envelope)
        self._count(call)
        if operation.name in options.denied:
            raise VendorError(options.denied[operation.name], "You are not authorized to do this action.")
        return operation, replace(call, key=proof.key if proof is not None else None)

    def busiest(self) -> dict[tuple[str, str], int]:
        """(action, region) -> the most requests within any 0.9 s."""
        return self._windows.busiest()

    def _prove(self, signed: Signed, envelope: Envelope, now: int) -> Proof:
        world = self._world
        try:
            if envelope.by_headers:
                proof = check_acs3(signed, world.keys, now, world.options)
            else:
                proof = check_rpc1(signed.method, envelope.given, world.keys, now, world.options)
        except SignatureRefused as refused:
            raise VendorError(refused.code, refused.message) from None
        if not self._nonces.use(proof.key.secret_id, proof.nonce, now, int(world.options.nonce_seconds * SECOND)):
            raise VendorError("SignatureNonceUsed", "Specified signature nonce was used already.")
        return proof

    def _count(self, call: Call) -> None:
        options, lane = self._world.options, (call.action, call.region)
        held, limit = self._windows.arrive((*lane, ""), self._clock.monotonic()), options.rate(call.action)
        blocked = options.throttled_until == "minute" and call.at < self._closed.get(lane, 0)
        if limit is None or not (blocked or held > limit):
            return
        self._closed[lane] = call.at // MINUTE * MINUTE + MINUTE
        raise VendorError(options.throttle_code, "Request was denied due to user flow control.")


def _read(signed: Signed) -> Envelope:
    pairs = parse_qsl(signed.query, keep_blank_values=True)
    if signed.headers.get("content-type", "").startswith(FORM):
        pairs += parse_qsl(signed.body.decode("utf-8", "replace"), keep_blank_values=True)
    given = dict(pairs)
    names = [name for name, _ in pairs]
    doubled = next((name for name in given if names.count(name) > 1), "") if len(given) < len(pairs) else ""
    said = signed.headers.get
    if said("authorization") or (said("x-acs-action") and "Action" not in given):
        return Envelope(said("x-acs-action", ""), said("x-acs-version", ""), given, doubled, by_headers=True)
    return Envelope(given.get("Action", ""), given.get("Version", ""), given, doubled, by_headers=False)


def _operation(envelope: Envelope) -> Operation | None:
    actions = OPERATIONS.get(envelope.version, ())
    return next((each for each in actions if each.name == envelope.action), None)


def _unknown(envelope: Envelope) -> VendorError:
    if envelope.version not in OPERATIONS:
        return VendorError("NoSuchVersion", "Specified version does not exist.")
    return VendorError("InvalidApi.NotFound", "Specified api is not found, please check your url and method.")
