"""Signed requests to Tencent Cloud's image API: one at a time, each with its own permit, its answer classified.

Used by the images, exports and copies of this cloud. It sends nothing twice, but for one case each: a request that was
refused because of our clock is signed again by the vendor's, and one refused because of its token with newer keys.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, Literal

import structlog

from imageferry.clouds.credentials import Credentials, Keys
from imageferry.clouds.reading import json_object
from imageferry.clouds.sending import Attempt, Sending, succeeded
from imageferry.clouds.tencent.codes import ABOUT_RUNNING, CLOCK_OFF, TOKEN_OLD, classify
from imageferry.clouds.tencent.sign import CONTENT_TYPE, Signable, authorization
from imageferry.clouds.wire import Reply, Request, Told, Wire, foreign
from imageferry.core.account import Account
from imageferry.core.answers import Answer
from imageferry.core.facts import LaneKind
from imageferry.core.times import SECOND
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
        self._sending = Sending(gate, clock, wire, credentials)
        self._warned: set[str] = set()
        self.time = self._sending.time

    def vendor_now(self) -> int:
        """The time by the vendor's clock."""
        return self._sending.vendor_now()

    async def ask(self, asked: Call) -> Told:
        """Send a call with a permit of its own.

        :raises CircuitOpen: the account is closed off.
        """
        return await self._sending.ask(asked.region, asked.kind, partial(self._attempt, asked))

    async def read(self, asked: Call) -> Told:
        """The same, where only a success is of use.

        :raises Refused: it was not answered, or not with a success.
        """
        return succeeded(await self.ask(asked))

    async def submit(self, asked: Call, permit: Permit) -> Told:
        """Send a call with the permit that the caller has."""
        return await self._sending.submit(asked.region, asked.kind, permit, partial(self._attempt, asked))

    def _attempt(self, asked: Call, keys: Keys) -> Attempt:
        def late(told: Told) -> bool:
            return told.answer.vendor_code in CLOCK_OFF

        async def corrected(told: Told, moved: int) -> bool:
            if late(told):
                return moved != 0
            return told.answer.vendor_code in TOKEN_OLD and await self._sending.renewed(keys)

        pool = f"{self._lane(asked.region)}/{asked.kind if asked.service == 'cvm' else asked.service}"
        return Attempt(pool, self._signed(asked, keys), partial(self._read, asked), late, corrected)

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
