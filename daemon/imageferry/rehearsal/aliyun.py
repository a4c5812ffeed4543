"""A local server that behaves like Alibaba Cloud's ECS images, with STS and the reading side of OSS beside it.

``demo``, ``rehearse`` and tests serve its ``app`` and steer it by its methods or under ``/_rehearsal``. One server is
every region and every service: the API is at ``/``, the region is the parameter RegionId, the service follows from the
version. Objects are at ``/{bucket}/{key}``, or at ``/{key}`` of a host that begins with the bucket. Nothing runs in the
background and no data is stored.
"""

from __future__ import annotations

import random
import re
from collections.abc import Collection
from dataclasses import replace
from email.utils import formatdate
from functools import partial
from typing import Any, Final

from starlette.requests import Request as HttpRequest
from starlette.responses import Response
from starlette.routing import Route

from imageferry.core.times import SECOND, rfc3339
from imageferry.ports import Clock
from imageferry.rehearsal.aliyun_answers import GARBAGE, THROTTLING, refusal, success
from imageferry.rehearsal.aliyun_calls import Call, Operation, World, check_facts, check_parameters
from imageferry.rehearsal.aliyun_copies import expect_late
from imageferry.rehearsal.aliyun_gateway import Gateway
from imageferry.rehearsal.aliyun_images import image_json
from imageferry.rehearsal.aliyun_options import AliyunOptions
from imageferry.rehearsal.aliyun_storage import place_of, serve
from imageferry.rehearsal.connection import OwnConnection, befallen
from imageferry.rehearsal.control import control_routes
from imageferry.rehearsal.journal import OK, Journal, Request
from imageferry.rehearsal.misbehaviour import HEAD_OBJECT, Misbehaviour, Misbehaviours
from imageferry.rehearsal.parameters import VendorError
from imageferry.rehearsal.signatures import Signed
from imageferry.rehearsal.steering import Steered
from imageferry.rehearsal.store import NewImage, Store, StoredImage, disks_of
from imageferry.rehearsal.telling import chosen, common_parts, signed_parts

GET_BUCKET: Final = "GetBucket"
"""What the journal calls the list and the facts of a bucket."""

_METHODS: Final = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD"]
_IMAGE_IN_KEY: Final = re.compile(r"m-[a-z0-9]+")
_STORAGE: Final = "OSS4-"
"""How an Authorization begins that is meant for the storage."""


class AliyunRehearsal(Steered[World]):
    """One rehearsal of Alibaba Cloud: all its regions, one account, any number of keys.

    An export that ``task_fails`` fails with the fault's code and message.
    """

    def __init__(self, options: AliyunOptions, clock: Clock, chance: random.Random) -> None:
        super().__init__(World(options, chance, Store(chance), Misbehaviours(chance), Journal(*THROTTLING)), clock)
        self._gateway = Gateway(self.world, clock)
        self.app = OwnConnection(
            routes=[control_routes(self), Route("/{path:path}", self._serve, methods=_METHODS)],
        )
        self.app.router.redirect_slashes = False

    # --- steering --------------------------------------------------------------------------------------------------

    def add_image(self, image: NewImage) -> str:
        """Create an image; its id. What only Alibaba Cloud's images have stands in ``extra``.

        :raises ValueError: the rehearsal does not have the region, or ``extra`` does not fit.
        """
        options, now = self.world.options, self._settled()
        if image.region not in options.regions:
            raise ValueError(f"region: {image.region!r} is not a region of this rehearsal")
        check_facts(image)
        image_id = image.image_id or self.world.new_id("m")
        wait = options.image_ready_seconds if image.ready_seconds is None else image.ready_seconds
        self.world.store.put(
            StoredImage(
                id=image_id,
                region=image.region,
                facts=image,
                name=image.name or image_id,
                disks=disks_of(image, self.world.store),
                created_at=now if image.created_at is None else image.created_at,
                ready_at=now + int(wait * SECOND),
                fails=image.fails,
            )
        )
        return image_id

    def busiest(self) -> dict[tuple[str, str], int]:
        """(action, region) -> the most requests within any 0.9 s."""
        return self._gateway.busiest()

    def state(self, parts: Collection[str] = ()) -> dict[str, Any]:
        """What it holds and was asked: ``images tasks objects requests running misbehaviours recent``.

        ``recent``, the last requests one by one, is only there when it is named.

        :raises ValueError: there is no such part.
        """
        now, world = self._settled(), self.world
        made = {
            "images": lambda: [
                {"RegionId": i.region, **image_json(i, world, now)} for i in world.store.every_image(now)
            ],
            **common_parts(world.store, world.faults, world.journal, self.busiest(), now),
        }
        return {"now": rfc3339(now), "late_work": len(self._late), **chosen(made, parts)}

    # --- the API ---------------------------------------------------------------------------------------------------

    async def _serve(self, request: HttpRequest) -> Response:
        signed = signed_parts(request, await request.body())
        now = self._settled()
        meant = signed.headers.get("authorization", "").startswith(_STORAGE)
        if meant or signed.method == "HEAD" or signed.path != "/":
            return await self._storage(signed, now)
        return await self._api(signed, now)

    async def _api(self, signed: Signed, now: int) -> Response:
        envelope, call = self._gateway.identify(signed, self.world.new_request_id(), now)
        delay = 0.0
        try:
            operation, call = self._gateway.admit(signed, envelope, call)
            delay, fault = self.world.faults.strike_answer(call.aim())
            outcome, response = self._carry_out(operation, call, fault)
        except VendorError as error:
            outcome, response = error.code, refusal(error, call, self.world.options)
        return await self._answer(call, outcome, response, delay)

    def _carry_out(self, operation: Operation, call: Call, fault: Misbehaviour | None) -> tuple[str, Response]:
        if fault is None:
            return OK, success(self._perform(operation, call, call.at), call)
        if fault.fault == "throttle":
            raise VendorError(self.world.options.throttle_code, fault.message)
        if fault.fault == "code":
            raise VendorError(fault.code, fault.message)
        if fault.work == "done":
            self._work_unseen(operation, call, call.at)
        elif fault.work == "late":
            expect_late(self.world, call)
            self._late.put_off(call.at + int(fault.after * SECOND), partial(self._work_unseen, operation, call))
        return befallen(fault, GARBAGE)

    def _perform(self, operation: Operation, call: Call, now: int) -> dict[str, Any]:
        check_parameters(call, operation.wanted, self.world.options)
        return operation.perform(self.world, call, now)

    def _work_unseen(self, operation: Operation, call: Call, now: int) -> None:
        """Do the work of a request whose answer nobody will see; a refusal is written down instead of answered."""
        try:
            self._perform(operation, call, now)
        except VendorError as error:
            self._write_down(call, f"unseen {error.code}")

    def _write_down(self, call: Call, outcome: str) -> None:
        ids = tuple(call.image_ids)
        self.world.journal.add(Request(call.at, call.action, call.region, ids, outcome, call.request_id))

    async def _answer(self, call: Call, outcome: str, response: Response, delay: float) -> Response:
        """Write a request down, and let its answer go when it is time, with the date of the rehearsal's own clock."""
        self._write_down(call, outcome)
        if delay > 0:
            await self._clock.sleep(delay)
        response.headers["date"] = formatdate(self.now() / SECOND, usegmt=True)
        return response

    # --- storage ---------------------------------------------------------------------------------------------------

    async def _storage(self, signed: Signed, now: int) -> Response:
        place = place_of(signed)
        image_id = next(iter(_IMAGE_IN_KEY.findall(place.key)), "")
        about = {
            "RegionId": self.world.options.buckets.get(place.bucket, ""),
            "OSSBucket": place.bucket,
            "ImageId": image_id,
        }
        call = Call(HEAD_OBJECT if signed.method == "HEAD" else GET_BUCKET, about, "", now)
        # Faults know the storage by one name, whatever it is asked.
        delay, fault = self.world.faults.strike_answer(replace(call.aim(), action=HEAD_OBJECT))
        outcome, response = befallen(fault, GARBAGE) if fault is not None else serve(self.world, signed, place, now)
        return await self._answer(call, outcome, response, delay)
