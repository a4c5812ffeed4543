"""``imageferry demo``: the whole walk on rehearsal clouds, with no account and no network, in well under a minute.

It makes a folder, plays the scenes there with the real daemon, shows the work, and tells what came of it.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import sys
import tempfile
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import anyio
import click
from anyio.abc import TaskStatus

from imageferry.app import Daemon, Orders, Running
from imageferry.cli.closing import closing
from imageferry.cli.epilogue import Outcome, announced, misses, told
from imageferry.cli.main import FAILED
from imageferry.cli.scenes import SCENES
from imageferry.cli.show import Scenery, View, Watch, view
from imageferry.cli.stage import House, Stage, staged, write_house
from imageferry.clouds.facts import FACTS
from imageferry.core.machine import OPEN_STATES
from imageferry.ledgers.sqlite import open_reader
from imageferry.policies import PolicyBook
from imageferry.ports import DeadLetter, Reader
from imageferry.settings import load
from imageferry.telemetry.clock import SystemClock
from imageferry.telemetry.logs import configure
from imageferry.telemetry.metrics import EVENT_OUTCOMES

LONGEST: Final = 55.0
"""Seconds after which the demo gives up waiting."""
EVERY: Final = 0.25
_WIDEST: Final = 110


@click.command()
@click.option("--keep", is_flag=True, default=False, help="Leave everything running, with metrics, until Ctrl-C.")
def command(keep: bool) -> None:  # noqa: FBT001 - click passes flags by name
    """Show the whole walk on rehearsal clouds: no account, no network, under a minute.

    Images become ready, policies decide, exports and copies run, some are refused by design, one answer is lost on
    the way. Everything is in a temporary folder, which stays for you to look at.
    """
    play = Play(House(Path(tempfile.mkdtemp(prefix="imageferry-demo-"))), keep)
    sys.exit(anyio.run(play.run))


@dataclass(slots=True)
class Play:
    """One demo, from the raising of the curtain to the last line."""

    house: House
    keep: bool
    clock: SystemClock = field(default_factory=SystemClock)
    orders: Orders = field(default_factory=Orders)
    gone: anyio.Event = field(default_factory=anyio.Event)
    """The daemon has ended."""
    started: int = 0
    gave_up: bool = False
    """It took too long."""
    interrupted: bool = False

    async def run(self) -> int:
        """Play it; the exit code."""
        async with AsyncExitStack() as stack:
            # Chance is seeded, so that every demo shows the same.
            chance = random.Random(1)  # noqa: S311 - no secret comes from it
            stages = [await stack.enter_async_context(staged(s, self.clock, chance)) for s in SCENES.values()]
            write_house(self.house, stages)
            # The log is opened before anything is shown, and closed after everything that may write to it.
            log = stack.enter_context(self.house.log.open("w", encoding="utf-8"))
            configure("json", "info", log)
            self._welcome(stages)
            return await self._play(stages)

    async def _play(self, stages: Sequence[Stage]) -> int:
        code = FAILED
        settings = load(self.house.config, os.environ)
        daemon = Daemon(
            settings=settings,
            book=PolicyBook(settings.policies, FACTS),
            clock=self.clock,
            orders=self.orders,
            chance=random.Random(),  # noqa: S311 - spreads waits; nothing secret comes from it
            until_idle=not self.keep,
        )
        async with anyio.create_task_group() as group:
            group.start_soon(self._signals, group.cancel_scope)
            running: Running = await group.start(self._live, daemon)
            last, unread = await self._watch(stages)
            self.interrupted = self.interrupted or (self.orders.stop.is_set() and not self.gave_up)
            if not self.keep or self.orders.stop.is_set():
                await self.gone.wait()
            published = announced(self.house.completions)
            code = self._tell(Outcome(stages, last, published, unread, _events(daemon)), running)
            await self.gone.wait()
            group.cancel_scope.cancel()
        return code

    async def _live(self, daemon: Daemon, *, task_status: TaskStatus[Running]) -> None:
        self.started = self.clock.now()
        await daemon.run(task_status=task_status)
        self.gone.set()

    async def _signals(self, everything: anyio.CancelScope) -> None:
        """The first signal ends it in order, the second at once."""
        with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as received:
            async for _ in received:
                if self.orders.stop.is_set():
                    everything.cancel()
                self.orders.stop.set()

    async def _watch(self, stages: Sequence[Stage]) -> tuple[Scenery, list[DeadLetter]]:
        """Show what happens until nothing more will, or for as long as a demo may take."""
        names = {part.image.image_id: part.image.name for stage in stages for part in stage.scene.parts}
        names.update({stage.scene.stranger: stage.scene.stranger for stage in stages})
        async with open_reader(f"sqlite://{self.house.ledger}") as reader:
            watch = Watch(reader, names, self.started)
            with view(sys.stdout) as shown:
                with anyio.move_on_after(LONGEST) as patience:
                    while not await self._over(reader, await self._moment(watch, shown), len(names)):
                        await self.clock.sleep(EVERY)
                if patience.cancelled_caught:
                    self.gave_up = True
                    self.orders.stop.set()
                return await self._moment(watch, shown), await reader.dead_letters()

    async def _moment(self, watch: Watch, shown: View) -> Scenery:
        scenery = await watch.look(self.clock.now())
        shown.show(scenery, self.started)
        return scenery

    async def _over(self, reader: Reader, now: Scenery, images: int) -> bool:
        """Whether the daemon has ended or, where it is to be kept, has nothing left to do."""
        if self.gone.is_set() or self.orders.stop.is_set():
            return True
        heard = len(now.looks) == images and all(row.outcome != "due" for row in now.looks.values())
        return self.keep and heard and not await self._busy(reader, now)

    async def _busy(self, reader: Reader, now: Scenery) -> bool:
        return any(job.state in OPEN_STATES for job in now.jobs) or await reader.outbox_size() > 0

    # --- telling ---------------------------------------------------------------------------------------------------

    def _welcome(self, stages: Sequence[Stage]) -> None:
        clouds = ", ".join(f"{FACTS[stage.scene.cloud].title} ({stage.url})" for stage in stages)
        click.echo(f"Rehearsal clouds, on this machine alone: {clouds}")
        click.echo(f"Config, policies, events, ledger and log: {self.house.folder}")
        click.echo()

    def _tell(self, outcome: Outcome, running: Running) -> int:
        """Print the end of the story; the exit code."""
        width = min(shutil.get_terminal_size((_WIDEST, 0)).columns, _WIDEST)
        wrong = misses(outcome)
        click.echo()
        for line in told(outcome, width):
            click.echo(line)
        click.echo()
        if self.interrupted:
            click.echo(f"Stopped by hand after {outcome.last.seconds:.1f} s, before its end.", err=True)
        elif wrong:
            click.echo(
                f"After {outcome.last.seconds:.1f} s this is not as it should be; see {self.house.log}:", err=True
            )
            for each in wrong:
                click.echo(f"  {each}", err=True)
        else:
            click.echo(
                f"All as it should be, after {outcome.last.seconds:.1f} s: refused was only what is meant to be."
            )
        click.echo()
        for line in closing(outcome, self.house, running.ops if self.keep and not self.gone.is_set() else None):
            click.echo(line)
        return FAILED if wrong or self.interrupted else 0


def _events(daemon: Daemon) -> dict[str, int]:
    """How many deliveries became what."""
    read = daemon.metrics.registry.get_sample_value
    return {
        outcome: int(read("imageferry_events_total", {"source": "file", "outcome": outcome}) or 0)
        for outcome in EVENT_OUTCOMES
    }
