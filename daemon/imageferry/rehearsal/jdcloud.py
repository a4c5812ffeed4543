"""A local server that behaves like JD Cloud's image API (vm), with disk, iam, sts and the HEAD of OSS beside it.

``demo``, ``rehearse`` and tests serve its ``app`` and steer it by its methods or under ``/_rehearsal``. One server is
every region and every service: the region stands in the path, the service is the one that a request is signed for.
Objects are at ``/{bucket}/{key}``. Nothing runs in the background and no data is stored.
"""

from __future__ import annotations

import random
import re
from collections.abc import Collection
from email.utils import formatdate
from functools import partial
from typing import Any, Final

from starlette.requests import Request as HttpRequest
from starlette.responses import Response
from starlette.routing import Route

from imageferry.core.times import SECOND, rfc3339
from imageferry.ports import Clock
from imageferry.rehearsal.connection import OwnConnection, befallen, page
from imageferry.rehearsal.control import control_routes
from imageferry.rehearsal.jdcloud_answers import GARBAGE, THROTTLING, refusal, success
from imageferry.rehearsal.jdcloud_calls import Call, Operation, World, check_facts, check_parameters
from imageferry.rehearsal.jdcloud_gateway import Gateway
from imageferry.rehearsal.jdcloud_images import image_json
from imageferry.rehearsal.jdcloud_options import JdcloudOptions
from imageferry.rehearsal.jdcloud_storage import head
from imageferry.rehearsal.journal import OK, Journal, Request
from imageferry.rehearsal.misbehaviour import HEAD_OBJECT, Misbehaviour, Misbehaviours
from imageferry.rehearsal.parameters import VendorError
from imageferry.rehearsal.signatures import Signed
from imageferry.rehearsal.steering import Steered
from imageferry.rehearsal.store import NewImage, Store, StoredImage, disks_of
from imageferry.rehearsal.telling import chosen, common_parts, signed_parts

LONGEST_URL: Final = 8 << 10
LARGEST_BODY: Final = 1 << 20

_METHODS: Final = ["GET", "POST", "PUT", "PATCH", "DELETE"]
_IMAGE_IN_KEY: Final = re.compile(r"img-[a-z0-9]+")


class JdcloudRehearsal(Steered[World]):
    """One rehearsal of JD Cloud: all its regions, one account, any number of keys."""

    def __init__(self, options: JdcloudOptions, clock: Clock, chance: random.Random) -> None:
        super().__init__(World(options, chance, Store(chance), Misbehaviours(chance), Journal(*THROTTLING)), clock)
        self._gateway = Gateway(self.world, clock)
        self.app = OwnConnection(
            routes=[
                control_routes(self),
                Route("/{bucket}", self._storage, methods=["HEAD"]),
                Route("/{bucket}/{key:path}", self._storage, methods=["HEAD"]),
                Route("/{path:path}", self._api, methods=_METHODS),
            ]
        )
        self.app.router.redirect_slashes = False

    # --- steering --------------------------------------------------------------------------------------------------

    def add_image(self, image: NewImage) -> str:
        """Create an image; its id. What only JD Cloud's images have stands in ``extra``.

        :raises ValueError: the rehearsal does not have the region, or ``extra`` does not fit.
        """
        options, store, now = self.world.options, self.world.store, self._settled()
        if image.region not in options.regions:
            raise ValueError(f"region: {image.region!r} is not a region of this rehearsal")
        check_facts(image)
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
                pending_state=options.pending_word,
                fails=image.fails,
            )
        )
        return image_id

    def busiest(self) -> dict[tuple[str, str], int]:
        """(operation, region) -> the most requests of one key within any 0.9 s."""
        return self._gateway.busiest()

    def state(self, parts: Collection[str] = ()) -> dict[str, Any]:
        """What it holds and was asked: ``images tasks objects requests running misbehaviours recent``.

        ``recent``, the last requests one by one, is only there when it is named.

        :raises ValueError: there is no such part.
        """
        now, world = self._settled(), self.world
        made = {
            "images": lambda: [
                {"regionId": i.region, **image_json(i, world, now)} for i in world.store.every_image(now)
            ],
            **common_parts(world.store, world.faults, world.journal, self.busiest(), now),
        }
        return {"now": rfc3339(now), "late_work": len(self._late), **chosen(made, parts)}

    # --- the API ---------------------------------------------------------------------------------------------------

    async def _api(self, request: HttpRequest) -> Response:
        signed = signed_parts(request, await request.body())
        now = self._settled()
        request_id = f"{self.world.chance.getrandbits(128):032x}"
        operation, call = self._gateway.identify(signed, request_id, now)
        delay, outcome = 0.0, OK
        try:
            if (refused := _outsize(signed)) is not None:
                outcome, response = f"http {refused}", page(refused)
            else:
                admitted, call = self._gateway.admit(signed, operation, call)
                delay, fault = self.world.faults.strike_answer(call.aim())
                outcome, response = self._carry_out(admitted, call, fault)
        except VendorError as error:
            outcome, response = error.code, refusal(error, request_id, self.world.options)
        return await self._answer(call, outcome, response, delay)

    def _carry_out(self, operation: Operation, call: Call, fault: Misbehaviour | None) -> tuple[str, Response]:
        if fault is None:
            return OK, success(_perform(operation, self.world, call, call.at), call.request_id)
        if fault.fault == "throttle":
            raise VendorError(self.world.options.throttle_code, fault.message)
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
        bucket, key = request.path_params["bucket"], request.path_params.get("key", "")
        now = self._settled()
        region = self.world.options.buckets.get(bucket, "")
        image_id = next(iter(_IMAGE_IN_KEY.findall(key)), "")
        call = Call(HEAD_OBJECT, region, image_id, {"bucket": bucket}, "", now)
        delay, fault = self.world.faults.strike_answer(call.aim())
        if fault is not None:
            outcome, response = befallen(fault, GARBAGE)
        else:
            response = head(self.world, signed_parts(request, b""), bucket, key, now)
            outcome = f"http {response.status_code}"
        return await self._answer(call, outcome, response, delay)


def _outsize(signed: Signed) -> int | None:
    """The HTTP status of a request that is too large to be read."""
    if len(signed.path) + 1 + len(signed.query) > LONGEST_URL:
        return 414
    return 413 if len(signed.body) > LARGEST_BODY else None


def _perform(operation: Operation, world: World, call: Call, now: int) -> dict[str, Any]:
    check_parameters(call, operation.wanted)
    return operation.perform(world, call, now)
