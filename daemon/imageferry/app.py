"""Builds every part of the daemon, holds it open, runs the loops, and stops them in order.

The ``run`` and ``demo`` commands call it. Every decision is made elsewhere; this file only says what is connected
to what, and in which order things start and end.
"""

from __future__ import annotations

import os
import platform
import random
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any, Final

import anyio
import structlog
from anyio.abc import TaskGroup, TaskStatus
from starlette.types import ASGIApp

from imageferry.clouds.registry import APIS, CLOUDS, READERS
from imageferry.control import listening, socket_path
from imageferry.core.account import Account
from imageferry.core.completion import job_json
from imageferry.core.image import Place
from imageferry.core.job import JobFilter
from imageferry.errors import ImageferryError, PublishFailed
from imageferry.flow.announce import Announce
from imageferry.flow.asked import Asked
from imageferry.flow.doubt import Doubt
from imageferry.flow.drive import Bell, Step, Stopping, drive
from imageferry.flow.follow import Follow
from imageferry.flow.health import Health
from imageferry.flow.hold import Hold, check_names
from imageferry.flow.inspect import Inspect
from imageferry.flow.intake import Directory, Recorder
from imageferry.flow.lanes import Lanes
from imageferry.flow.replay import Replay
from imageferry.flow.site import Bells, Site, Tally
from imageferry.flow.submit import Submit
from imageferry.flow.sweep import Sweep
from imageferry.flow.undecided import Undecided
from imageferry.flow.ways import Ways
from imageferry.ledgers.sqlite import open_ledger, sqlite_path
from imageferry.policies import PolicyBook
from imageferry.ports import Clock, EventSource, Ledger
from imageferry.publishers.registry import PUBLISHERS
from imageferry.publishers.specs import Spec as PublisherSpec
from imageferry.reloading import Reloading
from imageferry.settings import Settings
from imageferry.sources.registry import SOURCES
from imageferry.sources.reread import Rereader
from imageferry.sources.specs import Spec as SourceSpec
from imageferry.sources.surroundings import Surroundings, Watched
from imageferry.telemetry.http import ops_app, serving
from imageferry.telemetry.liveness import Heartbeats
from imageferry.telemetry.metrics import Metrics

LOOP_STUCK: Final = 180.0
"""Seconds without a heartbeat after which a loop counts as stopped, at the least."""
SLOW_REQUESTS: Final = 12
"""One step may wait for so many requests that run into their time-out, one after another."""
DRAIN: Final = 10.0
"""Seconds that the outbox may take to drain at the end."""
OWNER: Final = "daemon"
"""Who holds the lanes of a ledger that only one daemon can hold."""
IDLE_EVERY: Final = 0.2
MOST_LISTED: Final = 10_000
"""Jobs that the ops listener lists at the most, the newest first: a page must not cost more memory than the daemon."""

Loop = tuple[str, Step, Bell]
"""Its name, what it does each time, and what wakes it."""

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Orders:
    """What the front door may say while the daemon runs."""

    stop: anyio.Event = field(default_factory=anyio.Event)
    """End in order."""
    reload: Callable[[], None] = lambda: None
    """Read the policies again and let closed accounts try again; set by the daemon once it runs."""


@dataclass(frozen=True, slots=True)
class Running:
    """A started daemon, as the front door sees it."""

    ops: tuple[str, int]
    ledger: Ledger
    beats: Heartbeats


@dataclass(frozen=True, slots=True)
class Ended:
    """How a run ended."""

    succeeded: int
    failed: int
    stuck: tuple[str, ...]
    """Accounts that had work left and could not do it."""


@dataclass(frozen=True, slots=True)
class Parts:
    """Everything that is held open while the daemon runs."""

    ledger: Ledger
    sites: Sequence[Site]
    sources: Sequence[EventSource]
    announcing: Sequence[tuple[Announce, Bell]]
    hold: Hold
    health: Health
    beats: Heartbeats

    def announce(self) -> None:
        """Wake every publisher."""
        for _, bell in self.announcing:
            bell.ring()


@dataclass(slots=True)
class Daemon:
    """One run of the daemon over its settings; ``run`` is its whole life."""

    settings: Settings
    book: PolicyBook
    clock: Clock
    orders: Orders
    chance: random.Random
    until_idle: bool = False
    metrics: Metrics = field(default_factory=Metrics)
    stopping: Stopping = field(default_factory=Stopping)
    tally: Tally = field(default_factory=Tally)
    undecided: Undecided = field(default_factory=Undecided)
    reloading: Reloading = field(init=False)

    def __post_init__(self) -> None:
        """Nothing is read or watched by this."""
        self.reloading = Reloading(self.book, self.clock, self._show_policies)

    @property
    def stuck_after(self) -> float:
        """Seconds without a heartbeat after which a loop counts as stopped."""
        slowest = max((account.timeouts.request for account in self.settings.accounts), default=0.0)
        return max(LOOP_STUCK, SLOW_REQUESTS * slowest)

    async def run(self, *, task_status: TaskStatus[Running]) -> Ended:
        """Start everything, work until told to stop or idle, stop everything in order.

        :raises ImageferryError: a part could not be opened, or the ledger failed.
        """
        async with AsyncExitStack() as stack:
            parts = await self._open(stack)
            ledger = parts.ledger
            await check_names(ledger, self.settings.accounts)
            await parts.hold.step()
            stack.push_async_callback(ledger.release_lanes, parts.hold.owner)
            await ledger.published("", (), [one.publisher.name for one, _ in parts.announcing], self.clock.now())
            for site in parts.sites:
                await ledger.recover(site.account.name, site.region, self.clock.now(), self.clock.now())
            ops = await stack.enter_async_context(serving(self._ops_app(parts), *self.settings.ops))
            log.info("serving metrics and health", address=f"{ops[0]}:{ops[1]}")
            log.info("policies in force", policies=len(self.book.current.names), digest=self.book.current.digest)
            socket = socket_path(sqlite_path(self.settings.ledger_url))
            await stack.enter_async_context(listening(socket, self._asked(parts)))
            self.orders.reload = lambda: self._reload(parts.sites)
            await self._work(parts, lambda: task_status.started(Running(ops, ledger, parts.beats)))
            stuck = tuple(await parts.health.stuck())
        log.info("stopped", succeeded=self.tally.succeeded, failed=self.tally.failed)
        return Ended(self.tally.succeeded, self.tally.failed, stuck)

    async def _work(self, parts: Parts, started: Callable[[], None]) -> None:
        """The loops' task groups, nested so that leaving them is the ordered stop."""
        async with anyio.create_task_group() as announcers:
            drained = Stopping()  # never said: publishers go on until the outbox is empty
            for announce, bell in parts.announcing:
                name = f"announce {announce.publisher.name}"
                self._start(announcers, (name, announce.step, bell), parts.beats, drained)
            async with anyio.create_task_group() as flow:
                self._start_flow(flow, parts)
                async with anyio.create_task_group() as intake:
                    for source in parts.sources:
                        await intake.start(source.run, self._recorder(parts), name=f"source {source.name}")
                    intake.start_soon(self.reloading.watch, name="policies")
                    started()
                    await self._until_told(parts.health)
                    parts.health.closing = True
                    log.info("stopping: first the sources, then requests in flight, then the outbox")
                    intake.cancel_scope.cancel()
                self.stopping.say()
                longest = max((site.account.timeouts.request for site in parts.sites), default=0.0)
                flow.cancel_scope.deadline = anyio.current_time() + longest + 1
            with anyio.move_on_after(DRAIN):
                while await parts.ledger.outbox_size():
                    await self.clock.sleep(IDLE_EVERY)
            announcers.cancel_scope.cancel()

    # --- building --------------------------------------------------------------------------------------------------

    def _check(self) -> None:
        """Say of everything that this version cannot run, at once and before anything is opened."""
        missing: list[ImageferryError] = []
        for name, published in self._publishers():
            try:
                PUBLISHERS[published.type](published, name, self.clock)
            except PublishFailed as error:
                missing.append(error)
        if missing:
            raise ExceptionGroup("the config asks for what is not there yet", missing)

    def _sources(self) -> list[tuple[str, SourceSpec]]:
        specs = self.settings.sources
        return list(zip(_names([spec.type for spec in specs]), specs, strict=True))

    def _publishers(self) -> list[tuple[str, PublisherSpec]]:
        specs = self.settings.publishers
        return list(zip(_names([spec.type for spec in specs]), specs, strict=True))

    async def _open(self, stack: AsyncExitStack) -> Parts:
        self._check()
        settings, clock = self.settings, self.clock
        observe = self.metrics.ledger_commit_seconds.observe
        ledger = await stack.enter_async_context(open_ledger(settings.ledger_url, clock=clock, observe=observe))
        names = [name for name, _ in self._publishers()]
        announcing: list[tuple[Announce, Bell]] = []
        for name, spec in self._publishers():
            publisher = await stack.enter_async_context(PUBLISHERS[spec.type](spec, name, clock))
            announcing.append((Announce(publisher, names, ledger, clock, self.metrics, self.chance), Bell(clock)))
        sites = [
            site for account in settings.accounts for site in await self._sites(account, ledger, announcing, stack)
        ]
        watched = [Watched(site.account.name, site.region, site.cloud, ledger) for site in sites]
        around = Surroundings(READERS, clock, self.metrics, watched)
        sources = [SOURCES[spec.type](spec, name, around) for name, spec in self._sources()]
        lanes = sorted(f"{site.account.name}/{site.region}" for site in sites)
        owner = OWNER if ledger.exclusive else f"{platform.node()}:{os.getpid()}:{self.chance.getrandbits(32):x}"
        hold = Hold(ledger, owner, lanes, clock)
        health = Health(ledger, sites, sources, lambda: self.reloading.wrong)
        self._preset()
        return Parts(ledger, sites, sources, announcing, hold, health, Heartbeats(clock.monotonic))

    async def _sites(
        self, account: Account, ledger: Ledger, announcing: Sequence[tuple[Announce, Bell]], stack: AsyncExitStack
    ) -> list[Site]:
        """One cloud adapter for the account, one site for each of its regions."""
        lanes = Lanes(account, self.clock, self.metrics)
        cloud = CLOUDS[account.cloud](account, lanes, self.clock, self.metrics)
        stack.push_async_callback(cloud.aclose)

        def announce() -> None:
            for _, bell in announcing:
                bell.ring()

        return [
            Site(
                region=region,
                lanes=lanes,
                cloud=cloud,
                ledger=ledger,
                clock=self.clock,
                metrics=self.metrics,
                bells=Bells(*(self.stopping.bell(self.clock) for _ in range(5))),
                announce=announce,
                chance=self.chance,
                tally=self.tally,
                undecided=self.undecided,
            )
            for region in account.regions
        ]

    def _preset(self) -> None:
        """Every closed label set starts at zero, so that a rate exists before the first event."""
        self.metrics.preset_sources([spec.type for spec in self.settings.sources])
        self.metrics.preset_publishers([spec.type for spec in self.settings.publishers])
        for account in self.settings.accounts:
            apis = APIS[account.cloud]
            self.metrics.preset_account(account.cloud, account.name, account.regions, apis=apis)
        self._show_policies()

    def _show_policies(self) -> None:
        self.metrics.preset_policies(self.book.current.names)
        self.metrics.policies_loaded.set(len(self.book.current.names))
        self.metrics.policies_reload_failed.set(0 if self.reloading.wrong is None else 1)

    def _ops_app(self, parts: Parts) -> ASGIApp:
        async def jobs(want: JobFilter) -> list[dict[str, Any]]:
            want = want._replace(limit=min(want.limit or MOST_LISTED, MOST_LISTED))
            return [job_json(job) for job in await parts.ledger.jobs(want)]

        def stopped() -> list[str]:
            return parts.beats.stopped(self.clock.monotonic(), self.stuck_after)

        return ops_app(self.metrics, parts.health.readiness, stopped, jobs)

    def _recorder(self, parts: Parts) -> Recorder:
        bells = {Place(s.account.cloud, s.account.name, s.region): s.bells.look for s in parts.sites}
        return Recorder(
            directory=Directory(self.settings.accounts),
            policies=lambda: self.book.current,
            ledger=parts.ledger,
            clock=self.clock,
            metrics=self.metrics,
            ring=lambda place: bells[place].ring(),
        )

    # --- running ---------------------------------------------------------------------------------------------------

    def _start(self, group: TaskGroup, one: Loop, beats: Heartbeats, stopping: Stopping) -> None:
        name, step, bell = one

        async def loop() -> None:
            await drive(step, bell=bell, stopping=stopping, beat=lambda: beats.beat(name))
            beats.forget(name)

        group.start_soon(loop, name=name)

    def _start_flow(self, group: TaskGroup, parts: Parts) -> None:
        sweep = Sweep(parts.sites, parts.ledger, self.clock, self.metrics, lambda: self.book.current.names)
        sweep.since = self.clock.now()
        loops: list[Loop] = [
            ("sweep", sweep.step, self.stopping.bell(self.clock)),
            ("hold", parts.hold.step, self.stopping.bell(self.clock)),
        ]

        def stopped() -> bool:
            return self.stopping.said

        for site in parts.sites:
            here = f"{site.account.name}/{site.region}"
            loops += [
                (f"look {here}", Inspect(site, lambda: self.book.current).step, site.bells.look),
                (f"export {here}", Submit(site, "export", group, stopped=stopped).step, site.bells.export),
                (f"copy {here}", Submit(site, "copy", group, stopped=stopped).step, site.bells.copy),
            ]
            doubt, follow = f"doubt {here}", f"follow {here}"
            doubts = Doubt(site, Ways(group, site.bells.doubt, doubt, parts.beats))
            follows = Follow(site, Ways(group, site.bells.follow, follow, parts.beats))
            loops += [(doubt, doubts.step, site.bells.doubt), (follow, follows.step, site.bells.follow)]
        for loop in loops:
            self._start(group, loop, parts.beats, self.stopping)

    async def _until_told(self, health: Health) -> None:
        if not self.until_idle:
            await self.orders.stop.wait()
        while not self.orders.stop.is_set() and not await health.idle():
            await self.clock.sleep(IDLE_EVERY)

    def _reload(self, sites: Sequence[Site]) -> None:
        """Take the whole new set of policies, or keep the old one and say why; let closed accounts try again."""
        self.reloading.now()
        for site in sites:
            site.lanes.circuit.try_again()

    def _asked(self, parts: Parts) -> Asked:
        """What answers the commands that write."""
        return Asked(
            ledger=parts.ledger,
            clock=self.clock,
            accounts={account.name: account for account in self.settings.accounts},
            sites=parts.sites,
            policies=lambda: self.book.current.names,
            announce=parts.announce,
            replay=Replay(self._recorder(parts), Rereader(self.settings.sources, READERS)),
        )


def _names(types: Sequence[str]) -> list[str]:
    """Unique names: the type, and from the second of its kind on a number behind it."""
    seen: dict[str, int] = {}
    names = []
    for kind in types:
        seen[kind] = seen.get(kind, 0) + 1
        names.append(kind if seen[kind] == 1 else f"{kind}-{seen[kind]}")
    return names
