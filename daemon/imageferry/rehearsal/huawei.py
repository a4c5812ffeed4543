"""A local server that behaves like Huawei Cloud's image service (IMS), with IAM, STS and the HEAD of OBS beside it.

``demo``, ``rehearse`` and tests serve its ``app`` and steer it by its methods or under ``/_rehearsal``. One server is
every region and every service: the region is the one of the project in X-Project-Id or the path, or the one that the
Host header names. Objects are at ``/{bucket}/{key}``, or at ``/{key}`` of a host that begins with the bucket. Nothing
runs in the background and no data is stored.
"""

from __future__ import annotations

import random
import re
from collections.abc import Collection, Mapping
from email.utils import formatdate
from functools import partial
from typing import Any, Final
from urllib.parse import unquote

from starlette.requests import Request as HttpRequest
from starlette.responses import Response
from starlette.routing import Route

from imageferry.core.times import SECOND, rfc3339
from imageferry.ports import Clock
from imageferry.rehearsal.connection import OwnConnection, befallen
from imageferry.rehearsal.control import control_routes
from imageferry.rehearsal.huawei_answers import GARBAGE, THROTTLED, refusal, success
from imageferry.rehearsal.huawei_calls import Answered, Call, Operation, World, check_facts, check_parameters
from imageferry.rehearsal.huawei_gateway import Gateway
from imageferry.rehearsal.huawei_images import image_json
from imageferry.rehearsal.huawei_options import HuaweiOptions
from imageferry.rehearsal.huawei_storage import head, place_of
from imageferry.rehearsal.journal import OK, Journal, Request
from imageferry.rehearsal.misbehaviour import HEAD_OBJECT, Misbehaviour, Misbehaviours
from imageferry.rehearsal.parameters import VendorError
from imageferry.rehearsal.steering import Steered
from imageferry.rehearsal.store import NewImage, Store, StoredImage
from imageferry.rehearsal.telling import chosen, common_parts, signed_parts

_METHODS: Final = ["GET", "POST", "PUT", "PATCH", "DELETE"]
_IMAGE_IN_KEY: Final = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class HuaweiRehearsal(Steered[World]):
    """One rehearsal of Huawei Cloud: all its regions, one account, any number of keys.

    A job that ``task_fails`` fails with the fault's code, if it is an IMG.
    """

    def __init__(self, options: HuaweiOptions, clock: Clock, chance: random.Random) -> None:
        super().__init__(World(options, chance, Store(chance), Misbehaviours(chance), Journal(THROTTLED)), clock)
        self._gateway = Gateway(self.world, clock)
        self.app = OwnConnection(
            routes=[
                control_routes(self),
                Route("/{path:path}", self._storage, methods=["HEAD"]),
                Route("/{path:path}", self._api, methods=_METHODS),
            ]
        )
        self.app.router.redirect_slashes = False

    # --- steering --------------------------------------------------------------------------------------------------

    @property
    def locks(self) -> int:
        """How often a key was locked for its bad signatures."""
        return self._gateway.locks

    def add_image(self, image: NewImage) -> str:
        """Create an image; its id. What only Huawei Cloud's images have stands in ``extra``.

        :raises ValueError: the rehearsal does not have the region, or ``extra`` does not fit.
        """
        options, now = self.world.options, self._settled()
        if image.region not in options.regions:
            raise ValueError(f"region: {image.region!r} is not a region of this rehearsal")
        check_facts(image)
        image_id = image.image_id or self.world.new_image_id()
        wait = options.image_ready_seconds if image.ready_seconds is None else image.ready_seconds
        self.world.store.put(
            StoredImage(
                id=image_id,
                region=image.region,
                facts=image,
                name=image.name or image_id,
                disks=(),
                created_at=now if image.created_at is None else image.created_at,
                ready_at=now + int(wait * SECOND),
                fails=image.fails,
            )
        )
        return image_id

    def busiest(self) -> dict[tuple[str, str], int]:
        """(operation, region) -> the most requests within any 0.9 s; the service as a whole is one of them."""
        return self._gateway.busiest()

    def state(self, parts: Collection[str] = ()) -> dict[str, Any]:
        """What it holds and was asked: ``images tasks objects requests running misbehaviours recent``.

        ``recent``, the last requests one by one, is only there when it is named.

        :raises ValueError: there is no such part.
        """
        now, world = self._settled(), self.world
        made = {
            "images": lambda: [{"region": i.region, **image_json(i, world, now)} for i in world.store.every_image(now)],
            **common_parts(world.store, world.faults, world.journal, self.busiest(), now),
        }
        return {"now": rfc3339(now), "late_work": len(self._late), "locks": self.locks, **chosen(made, parts)}

    # --- the API ---------------------------------------------------------------------------------------------------

    async def _api(self, request: HttpRequest) -> Response:
        signed = signed_parts(request, await request.body())
        now = self._settled()
        request_id = self.world.new_hex()
        operation, call = self._gateway.identify(signed, request_id, now)
        service = operation.service if operation is not None else ""
        delay, outcome = 0.0, OK
        try:
            admitted, call = self._gateway.admit(signed, operation, call)
            delay, fault = self.world.faults.strike_answer(call.aim())
            outcome, response = self._carry_out(admitted, call, fault)
        except VendorError as error:
            outcome, response = error.code, refusal(error, service, request_id, self.world.options)
        return await self._answer(call, outcome, response, delay)

    def _carry_out(self, operation: Operation, call: Call, fault: Misbehaviour | None) -> tuple[str, Response]:
        if fault is None:
            response = success(_perform(operation, self.world, call, call.at), call.request_id)
            return OK if response.status_code < 400 else f"http {response.status_code}", response  # noqa: PLR2004 - HTTP's own bound of an error
        if fault.fault == "throttle":
            raise VendorError(THROTTLED, fault.message)
        if fault.fault == "code":
            raise VendorError(fault.code, fault.message)
        if fault.work == "done":
            self._work_unseen(operation, call, call.at)
        elif fault.work == "late":
            self._late.put_off(call.at + int(fault.after * SECOND), partial(self._work_unseen, operation, call))
        return befallen(fault, GARBAGE)

    def _work_unseen(self, operation: Operation, call: Call, now: int) -> None:
        """Do the work of a request whose answer nobody will see; a refusal is written down instead of answered."""
        try:
            _perform(operation, self.world, call, now)
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

    async def _storage(self, request: HttpRequest) -> Response:
        signed, now = signed_parts(request, b""), self._settled()
        place = place_of(signed, self.world.options)
        key = unquote(place.key)
        region = self.world.options.buckets.get(place.bucket, "")
        written = self.world.writers.get((place.bucket, key), "")
        image_id = written or next(iter(_IMAGE_IN_KEY.findall(key)), "")
        call = Call(HEAD_OBJECT, region, "", image_id, {"bucket_url": place.bucket}, "", now)
        delay, fault = self.world.faults.strike_answer(call.aim())
        if fault is not None:
            outcome, response = befallen(fault, GARBAGE)
        else:
            response = head(self.world, signed, place, key, now)
            outcome = f"http {response.status_code}"
        return await self._answer(call, outcome, response, delay)


def _perform(operation: Operation, world: World, call: Call, now: int) -> Mapping[str, Any] | Answered:
    check_parameters(call, operation)
    return operation.perform(world, call, now)
