"""What the accounts hold now, put before the policies: what ``plan --live`` and ``backfill`` have in common.

It reads clouds and the ledger, and writes nothing. A place that cannot be listed is said, and delays no other.
"""

from __future__ import annotations

import difflib
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any, Final

import anyio
import click

from imageferry.cli.main import FAILED
from imageferry.cli.planned import add_jobs, image_json
from imageferry.cli.progress import Shown
from imageferry.clouds.facts import FACTS
from imageferry.clouds.registry import CLOUDS
from imageferry.control import socket_path
from imageferry.core.account import Account, Backoff
from imageferry.core.actions import World
from imageferry.core.image import Image, Place
from imageferry.core.policy import PolicySet
from imageferry.errors import CircuitOpen, Refused
from imageferry.flow.lanes import Lanes
from imageferry.ledgers.sqlite import sqlite_path
from imageferry.ports import Clock, Cloud, ImagePage, Reader, own_images
from imageferry.settings import Settings
from imageferry.telemetry.clock import SystemClock
from imageferry.telemetry.logs import configure
from imageferry.telemetry.metrics import Metrics
from imageferry.telemetry.secrets import register_secret

SHARE: Final = 0.25
"""How much of an account's rate of reads a command takes beside a daemon, which knows nothing of it."""
AT_ONCE: Final = 16
"""Places that are listed at once."""
PASSING: Final = frozenset({"throttled", "retry", "unanswered", "never_sent"})
"""Classes of answers after which a page may be asked for again."""
TRIES: Final = 3
"""How often a page is asked for at the most."""
ENDED: Final = frozenset({"failed", "gone"})
"""States of images that are none."""

Take = Callable[[Place, Sequence[Image]], Awaitable[bool]]
"""Takes a page of a place's images, one at a time; False: that is enough."""

account_option = click.option("--account", "accounts", multiple=True, help="Only this account; may be repeated.")
region_option = click.option("--region", "regions", multiple=True, help="Only this region; may be repeated.")


def places_of(settings: Settings, accounts: Collection[str], regions: Collection[str]) -> list[Place]:
    """The configured places, as far as the options leave them.

    :raises click.UsageError: an option names none of them.
    """
    every = [Place(account.cloud, account.name, region) for account in settings.accounts for region in account.regions]
    check_names("--account", accounts, [place.account for place in every])
    check_names("--region", regions, [place.region for place in every])
    left = [p for p in every if p.account in (accounts or (p.account,)) and p.region in (regions or (p.region,))]
    if not left:
        raise click.UsageError("no account has such a region; see accounts in the config")
    return left


def check_names(option: str, names: Collection[str], known: Collection[str]) -> None:
    """Whether everything that an option names is there.

    :raises click.UsageError: something is not, with the nearest that is.
    """
    for name in names:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"; did you mean {near[0]}?" if near else f"; expected one of {', '.join(dict.fromkeys(known))}"
            raise click.UsageError(f"{option} {name} is not configured{hint}")


def quiet(settings: Settings) -> None:
    """Only warnings of the parts that the daemon logs with, and on standard error."""
    configure("console", "warning", sys.stderr)
    for secret in settings.secrets:
        register_secret(secret)


def complain(troubles: Sequence[str]) -> None:
    """Say what could not be listed, and end with 1 if anything could not."""
    for trouble in troubles:
        click.echo(f"imageferry: {trouble}", err=True)
    if troubles:
        sys.exit(FAILED)


async def survey(settings: Settings, places: Sequence[Place], take: Take, shown: Shown) -> Sequence[str]:
    """List every place, page by page; returns what could not be listed to its end, and why."""
    troubles: dict[Place, str] = {}
    limiter, turn = anyio.CapacityLimiter(AT_ONCE), anyio.Lock()
    async with AsyncExitStack() as stack:
        clouds = await _clouds(settings, {place.account for place in places}, stack)
        async with anyio.create_task_group() as group:

            async def walk(place: Place) -> None:
                count = 0
                try:
                    async with limiter, aclosing(own_images(clouds[place.account], place.region)) as pages:
                        async for images in pages:
                            count += len(images)
                            async with turn:
                                if not await take(place, images):
                                    group.cancel_scope.cancel()
                except (Refused, CircuitOpen) as error:
                    troubles[place] = f"{place} could not be listed to its end: {error}"
                shown.done(f"{place}: {count} image{'' if count == 1 else 's'}")

            for place in places:
                group.start_soon(walk, place, name=f"list {place}")
    return [troubles[place] for place in places if place in troubles]


async def _clouds(settings: Settings, wanted: Collection[str], stack: AsyncExitStack) -> Mapping[str, Patient]:
    """A patient adapter for each account that is wanted."""
    clock = SystemClock()
    return {
        account.name: Patient(
            await stack.enter_async_context(connected(settings, account, clock)), clock, account.backoff
        )
        for account in settings.accounts
        if account.name in wanted
    }


@asynccontextmanager
async def connected(settings: Settings, account: Account, clock: Clock) -> AsyncIterator[Cloud]:
    """An account's cloud, asked within its limits; where a daemon runs, at a share of its rate of reads."""
    metrics = Metrics()
    share = SHARE if socket_path(sqlite_path(settings.ledger_url)).exists() else 1.0
    cloud = CLOUDS[account.cloud](account, Lanes(slowed(account, share), clock, metrics), clock, metrics)
    try:
        yield cloud
    finally:
        await cloud.aclose()


def slowed(account: Account, share: float) -> Account:
    """The account with a share of its rate of reads."""
    read = account.limits["read"]
    return replace(account, limits={**account.limits, "read": replace(read, rate=read.rate * share)})


@dataclass(frozen=True, slots=True)
class Patient:
    """Asks a few times for a page that a passing fault denies: one of them must not cost a whole listing."""

    cloud: Cloud
    clock: Clock
    backoff: Backoff

    async def list_images(self, region: str, marker: str | None = None) -> ImagePage:
        """See ``Cloud``."""
        tries = 0
        while True:
            tries += 1
            try:
                return await self.cloud.list_images(region, marker)
            except Refused as refused:
                if refused.answer.klass not in PASSING or tries >= TRIES:
                    raise
            await self.clock.sleep(min(self.backoff.longest, self.backoff.first * 2.0 ** (tries - 1)))


@dataclass(frozen=True, slots=True)
class Hearing:
    """Puts images before the policies, with what the ledger knows of them; ``reader`` is None where there is none."""

    settings: Settings
    policies: PolicySet
    reader: Reader | None
    now: int
    only: tuple[str, ...] = ()
    """The policies that are asked; empty: all."""

    async def of(self, place: Place, images: Sequence[Image]) -> list[dict[str, Any]]:
        """Each image as ``plan`` shows it, with the jobs that exist already."""
        regions = next(account.regions for account in self.settings.accounts if account.name == place.account)
        world = World(facts=FACTS[place.cloud], account_regions=regions)
        copies = await self._copies(place, images)
        told = []
        for image in images:
            known = replace(image, is_copy=image.id in copies)
            told.append(image_json(self.policies.decide(known, world, self.now, self.only)))
        await add_jobs(self.reader, told)
        return told

    async def _copies(self, place: Place, images: Sequence[Image]) -> set[str]:
        if self.reader is None:
            return set()
        named = [(image.id, image.name) for image in images]
        return await self.reader.copies(place.account, place.region, named)
