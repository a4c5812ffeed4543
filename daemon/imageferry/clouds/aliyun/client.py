"""Signed requests to Alibaba Cloud's image API: one at a time, each with its own permit, its answer classified.

Used by the images, tasks, exports and copies of this cloud. It sends nothing twice, but for one case each: a request
that was refused because of its nonce, of our clock or of its keys is signed anew, once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Final, Literal

import structlog

from imageferry.clouds.aliyun import endpoints
from imageferry.clouds.aliyun.answers import read
from imageferry.clouds.aliyun.codes import CLOCK, EXPORT, NONCE_USED
from imageferry.clouds.aliyun.requests import Proof, Signature, signed
from imageferry.clouds.credentials import Credentials, Keys
from imageferry.clouds.sending import Attempt, Sending, succeeded
from imageferry.clouds.wire import Reply, Request, Told, Wire
from imageferry.core.account import Account
from imageferry.core.answers import Answer
from imageferry.core.facts import LaneKind
from imageferry.core.times import SECOND
from imageferry.errors import CircuitOpen
from imageferry.ports import Clock, Gate, Permit

Service = Literal["ecs", "sts"]
VERSIONS: Final[dict[Service, str]] = {"ecs": "2014-05-26", "sts": "2015-04-01"}

_PERMISSION: Final = ("Forbidden.RAM", "NoPermis", "ActionUnauthorized", "RealName")
"""Beginnings of codes about what a proven asker may not do: newer keys of the same source would not help."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Call:
    """One API request: everything stands in its query."""

    api: str
    """The vendor's name of the operation."""
    region: str
    kind: LaneKind
    params: Mapping[str, str]
    """Without RegionId, which every call of the image API has."""
    submits: bool = False
    """It starts a task: an answer that cannot be read leaves open whether it did."""
    service: Service = "ecs"
    """The image API, or the token service beside it."""


class Client:
    """One account's way to the image API."""

    def __init__(
        self,
        account: Account,
        gate: Gate,
        clock: Clock,
        wire: Wire,
        credentials: Credentials,
        *,
        signature: Signature,
        nonce: Callable[[], object],
    ) -> None:
        """``nonce``: something new at every call."""
        self._account = account
        self._gate = gate
        self._sending = Sending(gate, clock, wire, credentials)
        self._signature = signature
        self._nonce = nonce
        self.time = self._sending.time

    def vendor_now(self) -> int:
        """The time by the vendor's clock."""
        return self._sending.vendor_now()

    async def ask(self, asked: Call) -> Told:
        """Send a call with a permit of its own.

        :raises CircuitOpen: the account is closed off.
        """
        async with self._gate.enter(asked.region, asked.kind) as permit:
            return await self.submit(asked, permit)

    async def read(self, asked: Call) -> Told:
        """The same, where only a success is of use.

        :raises Refused: it was not answered, or not with a success.
        """
        return succeeded(await self.ask(asked))

    async def submit(self, asked: Call, permit: Permit) -> Told:
        """Send a call with the permit that the caller has."""
        return await self._sending.submit(asked.region, asked.kind, permit, partial(self._attempt, asked))

    async def submit_anew(self, asked: Call) -> Told:
        """The same with a permit of its own, where the caller's was spent on something else; never raises."""
        try:
            return await self.ask(asked)
        except CircuitOpen as error:
            return Told(Answer("never_sent", str(error)))

    async def let_in(self, region: str) -> None:
        """Send nothing.

        :raises CircuitOpen: the account is closed off.
        """
        async with self._gate.enter(region, "read") as permit:
            permit.judged(Answer("never_sent", "nothing was to be sent"))

    def _attempt(self, asked: Call, keys: Keys) -> Attempt:
        def late(told: Told) -> bool:
            return told.answer.vendor_code in CLOCK

        async def corrected(told: Told, moved: int) -> bool:  # noqa: ARG001 - the vendor says so where it is the clock
            return await self._corrected(asked, told.answer, keys)

        pool = f"{self._account.lane(asked.region)}/{asked.kind if asked.service == 'ecs' else asked.service}"
        return Attempt(pool, self._signed(asked, keys), partial(_read, asked), late, corrected)

    async def _corrected(self, asked: Call, answer: Answer, keys: Keys) -> bool:
        """Whether something that the refusal may be about is different now.

        A nonce that was used may mean that something between us and the cloud has sent the request twice: then the
        first one may have been carried out, and nothing but looking can tell.
        """
        if answer.vendor_code == NONCE_USED:
            return asked.api != EXPORT
        if answer.vendor_code in CLOCK:
            log.warning("the clock is off; the vendor's is used", seconds=round(self.time.at(0) / SECOND))
            return True
        if answer.klass != "auth" or answer.vendor_code.startswith(_PERMISSION):
            return False
        return await self._sending.renewed(keys)

    def _signed(self, asked: Call, keys: Keys) -> Request:
        where = endpoints.images if asked.service == "ecs" else endpoints.tokens
        base = where(self._account, asked.region)
        params = {**({"RegionId": asked.region} if asked.service == "ecs" else {}), **asked.params}
        proof = Proof(keys, self.vendor_now(), str(self._nonce()), self._signature)
        return signed(base, VERSIONS[asked.service], asked.api, params, proof)


def _read(asked: Call, reply: Reply) -> Told:
    told = read(reply, action=asked.api, submits=asked.submits)
    if asked.service == "sts" and told.answer.vendor_code.startswith(_PERMISSION):
        # Who may not ask for its own name may do everything else all the same.
        return told._replace(answer=replace(told.answer, klass="permanent_config"))
    return told


def flat(name: str, pairs: Mapping[str, str]) -> dict[str, str]:
    """Tags or filters as parameters: ``Tag.1.Key``, ``Tag.1.Value`` and so on."""
    parameters: dict[str, str] = {}
    for number, (key, value) in enumerate(pairs.items(), 1):
        parameters |= {f"{name}.{number}.Key": key, f"{name}.{number}.Value": value}
    return parameters
