"""Signed requests to Tencent Cloud's image API: one at a time, each with its own permit, its answer classified.

Used by the images, exports and copies of this cloud. It sends nothing twice, but for one case each: a request that was
refused because of our clock is signed again by the vendor's, and one refused because of its token with newer keys.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

import structlog

from imageferry.clouds.credentials import Credentials, Keys
from imageferry.clouds.reading import json_object
from imageferry.clouds.tencent.codes import ABOUT_RUNNING, CLOCK_OFF, TOKEN_OLD, classify
from imageferry.clouds.tencent.sign import CONTENT_TYPE, Signable, authorization
from imageferry.clouds.wire import Reply, Request, Told, VendorTime, Wire, foreign
from imageferry.core.account import Account
from imageferry.core.answers import Answer
from imageferry.core.facts import LaneKind
from imageferry.core.times import SECOND
from imageferry.errors import CircuitOpen, Refused
from imageferry.ports import Clock, Gate, Permit

Service = Literal["cvm", "sts"]
VERSIONS: Final[dict[Service, str]] = {"cvm": "2017-03-12", "sts": "2018-08-13"}
_OK: Final = 200

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Call:
    """One API request."""

    action: str
    region: str
    kind: LaneKind
    body: bytes
    submits: bool = False
    """It starts a task: an answer that cannot be read leaves open whether it did."""
    service: Service = "cvm"


def call(action: str, region: str, params: Mapping[str, Any], kind: LaneKind = "read") -> Call:
    """A call that may be made again without harm."""
    return Call(action, region, kind, json.dumps(params).encode())


class Client:
    """One account's way to the image API."""

    def __init__(self, account: Account, gate: Gate, clock: Clock, wire: Wire, credentials: Credentials) -> None:
        self._endpoints: dict[Service, str] = {"cvm": account.endpoint, "sts": account.identity_endpoint}
        self._lane = account.lane
        self._gate = gate
        self._clock = clock
        self._wire = wire
        self._credentials = credentials
        self._warned: set[str] = set()
        self.time = VendorTime()

    def vendor_now(self) -> int:
        """The time by the vendor's clock."""
        return self.time.at(self._clock.now())

    async def ask(self, asked: Call) -> Told:
        """Send a call with a permit of its own.

        :raises CircuitOpen: the account is closed off.
        """
        async with self._gate.enter(asked.region, asked.kind) as permit:
            told, again = await self._once(asked, permit, last=False)
        if not again:
            return told
        async with self._gate.enter(asked.region, asked.kind) as permit:
            return (await self._once(asked, permit, last=True))[0]

    async def read(self, asked: Call) -> Told:
        """The same, where only a success is of use.

        :raises Refused: it was not answered, or not with a success.
        """
        told = await self.ask(asked)
        if told.answer.klass != "ok":
            raise Refused(told.answer)
        return told

    async def submit(self, asked: Call, permit: Permit) -> Told:
        """Send a call with the permit that the caller has."""
        told, again = await self._once(asked, permit, last=False)
        if not again:
            return told
        try:
            async with self._gate.enter(asked.region, asked.kind) as second:
                return (await self._once(asked, second, last=True))[0]
        except CircuitOpen:
            return told

    async def _once(self, asked: Call, permit: Permit, *, last: bool) -> tuple[Told, bool]:
        """One request, judged; and whether it is worth another that is signed anew."""
        try:
            keys = await self._credentials.get()
        except Refused as refused:
            permit.judged(refused.answer)
            return Told(refused.answer), False
        before = self.time.at(0)
        told = await self._wire.ask(
            f"{self._lane(asked.region)}/{asked.kind if asked.service == 'cvm' else asked.service}",
            self._signed(asked, keys),
            lambda reply: self._read(asked, reply),
        )
        if told.reply is not None:
            self.time.learn(told.reply, complained=told.answer.vendor_code in CLOCK_OFF)
        again = not last and await self._corrected(told.answer, keys, before)
        # A refusal that is being put right says nothing of the keys: it must not close the account off.
        permit.judged(replace(told.answer, klass="retry") if again else told.answer)
        return told, again

    async def _corrected(self, answer: Answer, keys: Keys, before: int) -> bool:
        if answer.vendor_code in CLOCK_OFF:
            return self.time.at(0) != before
        if answer.vendor_code not in TOKEN_OLD:
            return False
        try:
            return await self._credentials.refresh(keys) != keys
        except Refused:
            return False

    def _signed(self, asked: Call, keys: Keys) -> Request:
        scheme, _, rest = self._endpoints[asked.service].replace("{region}", asked.region).partition("://")
        host = rest.partition("/")[0]
        stamp = self.vendor_now() // SECOND
        headers = {
            "Host": host,
            "Content-Type": CONTENT_TYPE,
            "Authorization": authorization(Signable(asked.service, host, asked.body), stamp, keys.id, keys.secret),
            "X-TC-Action": asked.action,
            "X-TC-Version": VERSIONS[asked.service],
            "X-TC-Timestamp": str(stamp),
            "X-TC-Region": asked.region,
            "X-TC-Language": "en-US",
        }
        if keys.token:
            headers["X-TC-Token"] = keys.token
        return Request(asked.action, "POST", f"{scheme}://{host}/", headers, asked.body)

    def _read(self, asked: Call, reply: Reply) -> Told:
        """API errors come with HTTP 200; every other status is from something that stands before the API."""
        response = _response(reply)
        if response is None:
            status = "an unreadable body" if reply.status == _OK else f"HTTP {reply.status}"
            return Told(
                Answer("unanswered" if asked.submits else "retry", f"the API answered with {status}"), {}, reply
            )
        request_id = str(response.get("RequestId") or "")
        if response.get("Error") is None:
            self._warn(asked.action, response)
            return Told(Answer("ok", "", request_id=request_id), response, reply)
        error = response["Error"]
        code = str(error["Code"])
        answer = Answer(
            classify(asked.action, code),
            foreign(str(error.get("Message") or "")),
            vendor_code=foreign(code),
            request_id=request_id,
            about_running=code in ABOUT_RUNNING,
        )
        return Told(answer, {}, reply)

    def _warn(self, action: str, response: Mapping[str, Any]) -> None:
        warning = response.get("DeprecatedWarning")
        if warning and action not in self._warned:
            self._warned.add(action)
            log.warning("the vendor calls this API deprecated", api=action, vendor_says=foreign(str(warning)))


def _response(reply: Reply) -> Mapping[str, Any] | None:
    """What stands under ``Response``; None where the reply is not the API's."""
    if reply.status != _OK:
        return None
    response = (json_object(reply.body) or {}).get("Response")
    return response if isinstance(response, dict) and _readable(response.get("Error")) else None


def _readable(error: object) -> bool:
    """An error without a code says nothing: a request that earned one may have been carried out."""
    return error is None or (isinstance(error, Mapping) and bool(error.get("Code")))
