"""A local server that behaves like Tencent Cloud's image API (CVM), with STS, CBS and the HEAD of COS beside it.

``demo``, ``rehearse`` and tests serve its ``app`` and steer it by its methods or under ``/_rehearsal``. One server is
every region: the resource region is X-TC-Region, and the entry at which requests are counted is the Host header, so
that one address makes one lane of all regions; ``count_rate_by="region"`` counts as if each region had a host of its
own. Objects are at ``/{bucket}/{key}``. Nothing runs in the background and no data is stored.
"""

from __future__ import annotations

import random
import re
import uuid
from collections.abc import Collection, Mapping
from email.utils import formatdate
from functools import partial
from typing import Any, Final

from starlette.requests import Request as HttpRequest
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from imageferry.core.times import SECOND, rfc3339
from imageferry.ports import Clock
from imageferry.rehearsal.connection import OwnConnection, befallen
from imageferry.rehearsal.control import control_routes
from imageferry.rehearsal.journal import OK, Journal, Request
from imageferry.rehearsal.misbehaviour import HEAD_OBJECT, Misbehaviour, Misbehaviours
from imageferry.rehearsal.objects import object_headers
from imageferry.rehearsal.options import RehearsalOptions
from imageferry.rehearsal.parameters import VendorError, check_shape, read_object
from imageferry.rehearsal.signatures import SignatureRefused, Signed, check_sigv4, check_tc3
from imageferry.rehearsal.steering import Steered
from imageferry.rehearsal.store import NewImage, Store, StoredImage, disks_of
from imageferry.rehearsal.telling import chosen, common_parts, signed_parts
from imageferry.rehearsal.tencent_actions import ACTIONS, find_action
from imageferry.rehearsal.tencent_calls import Action, Call, World
from imageferry.rehearsal.tencent_images import image_json
from imageferry.rehearsal.windows import RateWindows

UNSIGNED: Final = "SKIP"
"""The Authorization of a request that no key signs."""
LARGEST_BODY: Final = 10 << 20

_KNOWN: Final = frozenset(name for actions in ACTIONS.values() for name in actions)
_IMAGE_IN_KEY: Final = re.compile(r"img-[a-z0-9]{8}")
_CLIENT: Final = re.compile(r"[0-9a-zA-Z\-_,;.]{0,128}")
_GARBAGE: Final = b'{"Response": {"Req'
"""An answer that was cut off."""


class TencentRehearsal(Steered[World]):
    """One rehearsal of Tencent Cloud: all its regions, one account, any number of keys."""

    def __init__(self, options: RehearsalOptions, clock: Clock, chance: random.Random) -> None:
        super().__init__(World(options, chance, Store(chance), Misbehaviours(chance), Journal()), clock)
        self._windows = RateWindows()
        self.app = OwnConnection(
            routes=[
                control_routes(self),
                Route("/", self._api, methods=["GET", "POST"]),
                Route("/{bucket}", self._storage, methods=["HEAD"]),
                Route("/{bucket}/{key:path}", self._storage, methods=["HEAD"]),
            ]
        )
        self.app.router.redirect_slashes = False

    # --- steering --------------------------------------------------------------------------------------------------

    def add_image(self, image: NewImage) -> str:
        """Create an image; its id.

        :raises ValueError: the rehearsal does not have the region.
        """
        options, store, now = self.world.options, self.world.store, self._settled()
        if image.region not in options.regions:
            raise ValueError(f"region: {image.region!r} is not a region of this rehearsal")
        image_id = image.image_id or store.new_id("img")
        wait = options.image_ready_seconds if image.ready_seconds is None else image.ready_seconds
        store.put(
            StoredImage(
                id=image_id,
                region=image.region,
                facts=image,
                name=image.name or image_id,
                disks=disks_of(image, store),
                created_at=now if image.created_at is None else image.created_at,
                ready_at=now + int(wait * SECOND),
                fails=image.fails,
            )
        )
        return image_id

    def busiest(self) -> dict[tuple[str, str], int]:
        """(action, entry) -> the most requests of one key within any 0.9 s."""
        return self._windows.busiest()

    def state(self, parts: Collection[str] = ()) -> dict[str, Any]:
        """What it holds and was asked: ``images tasks objects requests running misbehaviours recent``.

        ``recent``, the last requests one by one, is only there when it is named.

        :raises ValueError: there is no such part.
        """
        now, world = self._settled(), self.world
        made = {
            "images": lambda: [{"Region": i.region, **image_json(i, world, now)} for i in world.store.every_image(now)],
            **common_parts(world.store, world.faults, world.journal, self.busiest(), now),
        }
        return {"now": rfc3339(now), "late_work": len(self._late), **chosen(made, parts)}

    # --- the image API ---------------------------------------------------------------------------------------------

    async def _api(self, request: HttpRequest) -> Response:
        body = await request.body()
        headers = {name.lower(): value for name, value in request.headers.items()}
        signed = Signed(request.method, request.url.path, request.url.query, headers, body)
        now = self._settled()
        request_id = str(uuid.UUID(int=self.world.chance.getrandbits(128), version=4))
        region, action = headers.get("x-tc-region", ""), headers.get("x-tc-action", "")
        call = Call(action if action in _KNOWN else "unknown", region, {}, request_id, now)
        delay, outcome = 0.0, OK
        try:
            rule, call = self._admit(signed, call)
            delay, fault = self.world.faults.strike_answer(call.aim())
            outcome, response = self._carry_out(rule, call, fault)
        except VendorError as error:
            outcome, response = error.code, self._refusal(error, call)
        self._write_down(call, outcome)
        if delay > 0:
            await self._clock.sleep(delay)
        return response

    def _admit(self, signed: Signed, call: Call) -> tuple[Action, Call]:
        """Everything that is checked before a fault can befall a request: the envelope, the key, the rate."""
        options, headers = self.world.options, signed.headers
        _check_envelope(signed)
        key_id, service = self._prove(signed, call.at)
        rule = find_action(service, headers["x-tc-action"], headers["x-tc-version"])
        if rule.signed and not key_id:
            raise VendorError("AuthFailure.InvalidAuthorization", "The Authorization header is not a TC3 signature.")
        if call.region or rule.needs_region or options.sts_needs_region:
            _check_region(call.region, options)
        entry = call.region if options.count_rate_by == "region" else headers["host"]
        limit = options.rate(call.action)
        held = self._windows.arrive((call.action, entry, key_id), self._clock.monotonic())
        if limit is not None and held > limit:
            raise VendorError("RequestLimitExceeded", f"{call.action} may be called {limit} times a second.")
        params = read_object(signed.body)
        return rule, Call(call.action, call.region, params, call.request_id, call.at, key_id)

    def _prove(self, signed: Signed, now: int) -> tuple[str, str]:
        """(who signed, for which service); who asks STS without a key says so, and is nobody."""
        if signed.headers.get("authorization") == UNSIGNED:
            return "", "sts"
        try:
            key, service = check_tc3(signed, self.world.keys, now)
        except SignatureRefused as refused:
            raise VendorError(refused.code, refused.message) from None
        return key.secret_id, service

    def _carry_out(self, rule: Action, call: Call, fault: Misbehaviour | None) -> tuple[str, Response]:
        if fault is None:
            return OK, self._success(_perform(rule, self.world, call, call.at), call)
        if fault.fault == "throttle":
            raise VendorError("RequestLimitExceeded", fault.message)
        if fault.fault == "code":
            raise VendorError(fault.code, fault.message)
        if fault.work == "done":
            self._work_unseen(rule, call, call.at)
        elif fault.work == "late":
            self._late.put_off(call.at + int(fault.after * SECOND), partial(self._work_unseen, rule, call))
        return self._befallen(fault)

    def _work_unseen(self, rule: Action, call: Call, now: int) -> None:
        """Do the work of a request whose answer nobody will see; a refusal is written down instead of answered."""
        try:
            _perform(rule, self.world, call, now)
        except VendorError as error:
            self._write_down(call, f"unseen {error.code}")

    def _write_down(self, call: Call, outcome: str) -> None:
        ids = tuple(call.strings("ImageIds"))
        self.world.journal.add(Request(call.at, call.action, call.region, ids, outcome, call.request_id))

    def _success(self, fields: dict[str, Any], call: Call) -> Response:
        warning = {"DeprecatedWarning": "rehearsed"} if self.world.options.deprecated_warning else {}
        return self._envelope({**fields, **warning, "RequestId": call.request_id})

    def _refusal(self, error: VendorError, call: Call) -> Response:
        return self._envelope({"Error": {"Code": error.code, "Message": error.message}, "RequestId": call.request_id})

    def _envelope(self, fields: dict[str, Any]) -> Response:
        return JSONResponse({"Response": fields}, media_type=self.world.options.answer_type, headers=self._date())

    def _befallen(self, fault: Misbehaviour) -> tuple[str, Response]:
        outcome, response = befallen(fault, _GARBAGE)
        response.headers.update(self._date())
        return outcome, response

    def _date(self) -> dict[str, str]:
        return {"date": formatdate(self.now() / SECOND, usegmt=True)}

    # --- storage ---------------------------------------------------------------------------------------------------

    async def _storage(self, request: HttpRequest) -> Response:
        bucket, key = request.path_params["bucket"], request.path_params.get("key", "")
        now = self._settled()
        region = self.world.options.buckets.get(bucket, "")
        call = Call(HEAD_OBJECT, region, {"ImageIds": _IMAGE_IN_KEY.findall(key)[:1], "BucketName": bucket}, "", now)
        delay, fault = self.world.faults.strike_answer(call.aim())
        if fault is not None:
            outcome, response = self._befallen(fault)
        else:
            response = self._head(signed_parts(request, b""), bucket, key, now)
            outcome = f"http {response.status_code}"
        self._write_down(call, outcome)
        if delay > 0:
            await self._clock.sleep(delay)
        return response

    def _head(self, signed: Signed, bucket: str, key: str, now: int) -> Response:
        options = self.world.options
        try:
            _, region = check_sigv4(signed, self.world.keys, now)
        except SignatureRefused:
            return self._bare(403)
        if bucket not in options.buckets:
            return self._bare(404)
        wrong_region = options.storage_checks_region and region != options.buckets[bucket]
        if wrong_region or bucket in options.unreadable_buckets:
            return self._bare(403)
        if not key:
            return self._bare(200, {"x-cos-bucket-region": options.buckets[bucket]})
        return self._head_object(bucket, key, now)

    def _head_object(self, bucket: str, key: str, now: int) -> Response:
        shown = self.world.store.head(bucket, key, now)
        if shown is None:
            return self._bare(404)
        return self._bare(200, object_headers(shown, now))

    def _bare(self, status: int, more: Mapping[str, str] | None = None) -> Response:
        request_id = {"x-cos-request-id": f"{self.world.chance.getrandbits(96):024x}"}
        return Response(status_code=status, headers={**self._date(), **request_id, **(more or {})})


def _check_envelope(signed: Signed) -> None:
    headers = signed.headers
    if signed.method != "POST" or not headers.get("content-type", "").startswith("application/json"):
        raise VendorError("UnsupportedProtocol", "Only POST with a JSON body is supported here.")
    if len(signed.body) > LARGEST_BODY:
        raise VendorError("RequestSizeLimitExceeded", "The request is larger than 10 MiB.")
    for name in ("Action", "Version", "Timestamp"):
        if not headers.get(f"x-tc-{name.lower()}"):
            raise VendorError("MissingParameter", f"The request is missing a required header `X-TC-{name}`.")
    if re.fullmatch(r"[0-9]{1,12}", headers["x-tc-timestamp"]) is None:
        raise VendorError("InvalidParameter", "X-TC-Timestamp must be whole seconds.")
    if _CLIENT.fullmatch(headers.get("x-tc-requestclient", "")) is None:
        raise VendorError("InvalidParameter", "X-TC-RequestClient is too long or has other characters than allowed.")


def _check_region(region: str, options: RehearsalOptions) -> None:
    if not region:
        raise VendorError("MissingParameter", "The request is missing a required header `X-TC-Region`.")
    if region not in options.regions:
        raise VendorError("UnsupportedRegion", f"The region `{region}` is not supported.")


def _perform(rule: Action, world: World, call: Call, now: int) -> dict[str, Any]:
    check_shape(call.params, rule.wanted)
    return rule.perform(world, call, now)
