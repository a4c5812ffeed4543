"""``imageferry run``: the daemon, until it is told to stop or, with ``--until-idle``, until nothing is left to do."""

from __future__ import annotations

import gc
import os
import random
import signal
import sys
from pathlib import Path

import anyio
import click
import structlog
from anyio.abc import TaskStatus

from imageferry.app import Daemon, Ended, Orders, Running
from imageferry.cli.files import config_option, load_all
from imageferry.cli.main import FAILED, SOME_JOBS_FAILED
from imageferry.telemetry.clock import SystemClock
from imageferry.telemetry.logs import configure
from imageferry.telemetry.notify import Notifier, watchdog_seconds
from imageferry.telemetry.secrets import register_secret

log = structlog.get_logger(__name__)


@click.command()
@config_option
@click.option("--until-idle", is_flag=True, default=False, help="End when every finite source is used up and done.")
def command(config: Path | None, until_idle: bool) -> None:  # noqa: FBT001 - click passes flags by name
    """Run the daemon.

    SIGTERM and SIGINT end it in order, a second one at once; SIGHUP reads the policies again.
    """
    settings, book = load_all(config)
    for warning in settings.warnings():
        click.echo(f"imageferry: {warning}", err=True)
    configure(settings.logging.format, settings.logging.level, sys.stderr)
    for secret in settings.secrets:
        register_secret(secret)
    clock = SystemClock()
    orders = Orders()
    daemon = Daemon(
        settings=settings,
        book=book,
        clock=clock,
        orders=orders,
        chance=random.Random(),  # noqa: S311 - spreads waits; nothing secret comes from it
        until_idle=until_idle,
    )
    gc.collect()
    gc.freeze()  # what start-up made stays: looking through it again and again would cost the intake a sixth
    ended = anyio.run(_supervised, daemon)
    for reason in ended.stuck:
        click.echo(f"imageferry: work is left undone: {reason}", err=True)
    if until_idle and ended.failed:
        sys.exit(SOME_JOBS_FAILED)
    if until_idle and ended.stuck:
        sys.exit(FAILED)


async def _supervised(daemon: Daemon) -> Ended:
    """Run the daemon beside its signals and systemd's watchdog."""
    ended: list[Ended] = []
    notifier = Notifier.from_environ(os.environ)
    async with anyio.create_task_group() as group:

        async def life(*, task_status: TaskStatus[Running]) -> None:
            ended.append(await daemon.run(task_status=task_status))
            group.cancel_scope.cancel()

        group.start_soon(_signals, daemon, notifier, group.cancel_scope)
        running: Running = await group.start(life, name="daemon")
        notifier.ready(f"ops on {running.ops[0]}:{running.ops[1]}")
        group.start_soon(_watchdog, running, daemon, notifier)
    if not ended:
        log.warning("stopped at once; requests in flight are doubts for the next start")
        return Ended(daemon.tally.succeeded, daemon.tally.failed, ())
    return ended[0]


async def _signals(daemon: Daemon, notifier: Notifier, everything: anyio.CancelScope) -> None:
    with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT, signal.SIGHUP) as received:
        async for number in received:
            if number == signal.SIGHUP:
                notifier.reloading(daemon.clock.monotonic())
                daemon.orders.reload()
                notifier.ready()
            elif daemon.orders.stop.is_set():
                everything.cancel()
            else:
                notifier.stopping()
                daemon.orders.stop.set()


async def _watchdog(running: Running, daemon: Daemon, notifier: Notifier) -> None:
    """Tell systemd that the loops move; silence makes it restart the daemon."""
    seconds = watchdog_seconds(os.environ, os.getpid())
    while seconds is not None:
        stopped = running.beats.stopped(daemon.clock.monotonic(), daemon.stuck_after)
        if stopped:
            log.error("loops have stopped moving", loops=stopped)
        else:
            notifier.watchdog()
        await daemon.clock.sleep(seconds / 2)
