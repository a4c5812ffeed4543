"""Lanes: where every vendor request waits for its pace and its account's circuit, and where answers teach both.

A lane is an account and the scope in which the vendor counts requests. All of it is volatile: after a restart the
pace starts without credit. The loops and the adapters ask here; nobody sends without a permit.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from imageferry.core.account import WHOLE_ACCOUNT, Account
from imageferry.core.answers import Answer
from imageferry.core.facts import LANE_KINDS, LaneKind
from imageferry.core.job import ActionKind
from imageferry.core.pace import Aimd, Expectation, Gcra, RunningLimit
from imageferry.flow.circuit import Circuit
from imageferry.ports import Clock, Permit
from imageferry.telemetry.metrics import Metrics

OVERSLEPT: Final = 0.065
"""Seconds after its slot at which a request may still go; the pace's own margin covers no more."""


class Pace:
    """The rate of one kind of request in one lane."""

    def __init__(self, rate: float, clock: Clock) -> None:
        self._clock = clock
        self._gcra = Gcra(rate, start=clock.monotonic())
        self._aimd = Aimd(rate)

    def reserve(self) -> float:
        """Take the next free slot; returns the seconds until it comes."""
        now = self._clock.monotonic()
        self._gcra.set_rate(self._aimd.rate(now))
        return self._gcra.reserve(now) - now

    def rate(self) -> float:
        """Requests a second that are aimed at now."""
        return self._aimd.rate(self._clock.monotonic())

    def throttled(self, sent_at: float) -> None:
        """The cloud said "too fast" to a request sent at ``sent_at`` (monotonic seconds)."""
        self._aimd.throttled(self._clock.monotonic(), sent_at)


class _Permit:
    """One request's leave; see ``ports.Permit``."""

    def __init__(self, circuit: Circuit, prover: int, pace: Pace, sent_at: float) -> None:
        self._circuit = circuit
        self._prover = prover
        self._pace = pace
        self._sent_at = sent_at

    def judged(self, answer: Answer) -> None:
        """Teach the circuit and the pace; one that is signed anew may then be the next to prove the account."""
        self._circuit.judge(answer)
        self._circuit.leave(self._prover)
        if answer.klass == "throttled":
            self._pace.throttled(self._sent_at)


class Lanes:
    """Every lane of one account; implements ``ports.Gate``."""

    def __init__(self, account: Account, clock: Clock, metrics: Metrics) -> None:
        self.account = account
        self.circuit = Circuit(account.name, clock)
        self._clock = clock
        self._metrics = metrics
        self._paces: dict[tuple[str, LaneKind], Pace] = {}
        self._running: dict[tuple[str, ActionKind], RunningLimit] = {}
        self._expected: dict[ActionKind, Expectation] = {"export": Expectation(), "copy": Expectation()}

    def pace(self, region: str, kind: LaneKind) -> Pace:
        """The pace of one kind of request in the region's lane."""
        key = (self.account.lane(region), kind)
        if key not in self._paces:
            self._paces[key] = Pace(self.account.limits[kind].rate, self._clock)
        return self._paces[key]

    def running(self, region: str, action: ActionKind) -> RunningLimit:
        """How many tasks may run at once, where the region counts."""
        limit = self.account.limits[action]
        key = (WHOLE_ACCOUNT if limit.scope == "account" else region, action)
        if key not in self._running:
            self._running[key] = RunningLimit(limit.running)
        return self._running[key]

    def expected(self, action: ActionKind) -> Expectation:
        """What is known of how long such tasks take."""
        return self._expected[action]

    @asynccontextmanager
    async def enter(self, region: str, kind: LaneKind) -> AsyncIterator[Permit]:
        """Wait for the circuit, then for the pace; the permit is for one request.

        :raises CircuitOpen: the account is closed off.
        """
        pace = self.pace(region, kind)
        prover = await self.circuit.enter()
        try:
            waited_from = self._clock.monotonic()
            await self._wait(pace)
            waited = self._clock.monotonic() - waited_from
            self._metrics.lane_wait_seconds.labels(**self._labels(region, kind)).observe(waited)
            self.circuit.check()
            yield _Permit(self.circuit, prover, pace, self._clock.monotonic())
        finally:
            self.circuit.leave(prover)

    async def _wait(self, pace: Pace) -> None:
        """Wait for a slot. One that was overslept (the loop stalled) is given up: several would go out at once."""
        late = OVERSLEPT
        while late >= OVERSLEPT:
            seconds = pace.reserve()
            slot = self._clock.monotonic() + seconds
            await self._clock.sleep(seconds)
            late = self._clock.monotonic() - slot

    def show(self, region: str, in_flight: dict[ActionKind, int]) -> None:
        """Write a region's lane gauges."""
        for kind in LANE_KINDS:
            self._metrics.lane_rate_limit.labels(**self._labels(region, kind)).set(self.pace(region, kind).rate())
        for action, count in in_flight.items():
            labels = self._labels(region, action)
            self._metrics.lane_running.labels(**labels).set(count)
            limit = self.running(region, action).limit(self._clock.monotonic())
            self._metrics.lane_running_limit.labels(**labels).set(float("inf") if limit is None else limit)

    def _labels(self, region: str, kind: str) -> dict[str, str]:
        return {"cloud": self.account.cloud, "account": self.account.name, "region": region, "action": kind}
