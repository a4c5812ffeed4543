"""Requests to an image API: with the account's keys, each with its own permit, and judged before anybody acts on it.

The client of each cloud sends with it. It sends nothing twice, but for one case: a refusal that the client has put
right, because of our clock, the keys or how they were written, is worth one more request that is signed anew.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

from imageferry.clouds.credentials import Credentials, Keys
from imageferry.clouds.wire import Read, Request, Told, VendorTime, Wire
from imageferry.core.facts import LaneKind
from imageferry.errors import CircuitOpen, Refused
from imageferry.ports import Clock, Gate, Permit


@dataclass(frozen=True, slots=True)
class Attempt:
    """One signed request, how its reply is read, and what a refusal may be about."""

    pool: str
    request: Request
    read: Read
    late: Callable[[Told], bool]
    """Whether it may be about our clock."""
    corrected: Callable[[Told, int], Awaitable[bool]]
    """Whether something that it may be about is different now; given by how much the vendor's time is known better
    than when the request was signed, in microseconds."""


Sign = Callable[[Keys], Attempt]
"""Signs a request with keys; asked anew for every attempt."""


class Sending:
    """One account's requests."""

    def __init__(self, gate: Gate, clock: Clock, wire: Wire, credentials: Credentials) -> None:
        self._gate = gate
        self._clock = clock
        self._wire = wire
        self.credentials = credentials
        self.time = VendorTime()

    def vendor_now(self) -> int:
        """The time by the vendor's clock."""
        return self.time.at(self._clock.now())

    async def ask(self, region: str, kind: LaneKind, sign: Sign) -> Told:
        """Send with a permit of its own.

        :raises CircuitOpen: the account is closed off.
        """
        async with self._gate.enter(region, kind) as permit:
            told, again = await self._once(permit, sign, last=False)
        if not again:
            return told
        async with self._gate.enter(region, kind) as permit:
            return (await self._once(permit, sign, last=True))[0]

    async def submit(self, region: str, kind: LaneKind, permit: Permit, sign: Sign) -> Told:
        """Send with the permit that the caller has; never raises but for cancellation."""
        told, again = await self._once(permit, sign, last=False)
        if not again:
            return told
        try:
            async with self._gate.enter(region, kind) as second:
                return (await self._once(second, sign, last=True))[0]
        except CircuitOpen:
            return told

    async def renewed(self, keys: Keys) -> bool:
        """Whether the source of the keys has others by now."""
        try:
            return await self.credentials.refresh(keys) != keys
        except Refused:
            return False

    async def _once(self, permit: Permit, sign: Sign, *, last: bool) -> tuple[Told, bool]:
        """One request, judged; and whether it is worth another that is signed anew."""
        try:
            keys = await self.credentials.get()
        except Refused as refused:
            permit.judged(refused.answer)
            return Told(refused.answer), False
        before, attempt = self.time.at(0), sign(keys)
        told = await self._wire.ask(attempt.pool, attempt.request, attempt.read)
        again = False
        if told.reply is not None:
            self.time.learn(told.reply, complained=attempt.late(told))
            again = not last and await attempt.corrected(told, self.time.at(0) - before)
        # A refusal that is being put right says nothing of the keys: it must not close the account off.
        permit.judged(replace(told.answer, klass="retry") if again else told.answer)
        return told, again


def succeeded(told: Told) -> Told:
    """The same, where only a success is of use.

    :raises Refused: it was not answered, or not with a success.
    """
    if told.answer.klass != "ok":
        raise Refused(told.answer)
    return told
