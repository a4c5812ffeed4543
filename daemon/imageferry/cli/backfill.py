"""``imageferry backfill``: images that exist already, put before the policies as work behind everything fresh.

It lists what the accounts hold, hands what is worth a look to the ledger page by page, and returns; the daemon does the
work, and looks at every image again before it decides. Interrupted and run again it goes on where it was.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import anyio
import click

from imageferry.cli.asking import ask_or_do
from imageferry.cli.files import config_option, load_all
from imageferry.cli.live import (
    ENDED,
    Hearing,
    account_option,
    check_names,
    complain,
    places_of,
    quiet,
    region_option,
    survey,
)
from imageferry.cli.planned import Planned, counted, ledger_if_any, show
from imageferry.cli.progress import Shown, progress
from imageferry.cli.tables import format_option, print_json
from imageferry.core.image import Image, Place
from imageferry.core.policy import PolicySet
from imageferry.core.times import SECOND, parse_rfc3339
from imageferry.core.units import parse_duration
from imageferry.flow.backfill import Batch, take
from imageferry.ports import Clock, Ledger, PutIn, Reader
from imageferry.settings import Settings
from imageferry.telemetry.clock import SystemClock


class Since(click.ParamType[int]):
    """A time as people say it: a duration before now, a date, or an RFC 3339 time. Microseconds UTC."""

    name = "since"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:  # noqa: ANN401 - click's own signature
        """Read it.

        :raises click.BadParameter: it is none of these.
        """
        try:
            return SystemClock().now() - round(parse_duration(value) * SECOND)
        except ValueError:
            pass
        try:
            day = datetime.strptime(value, "%Y-%m-%d").replace(tzinfo=UTC)
            return round(day.timestamp()) * SECOND
        except ValueError:
            pass
        try:
            return parse_rfc3339(value)
        except ValueError:
            self.fail(f"{value!r} is no time; expected one such as 30d, 2026-01-31 or 2026-01-31T08:00:00Z", param, ctx)


@click.command()
@config_option
@format_option
@click.option("--policy", "only", multiple=True, help="Only what this policy wants; may be repeated.")
@click.option("--since", type=Since(), default=None, help="Only images made since: 30d, or a date such as 2026-01-31.")
@click.option("--limit", type=click.IntRange(min=1), default=None, help="Put in at most so many images.")
@account_option
@region_option
@click.option("--dry-run", is_flag=True, default=False, help="Show what would be done; write nothing.")
def command(  # noqa: PLR0913 - click passes every option
    config: Path | None,
    output: str,
    *,
    only: tuple[str, ...],
    since: int | None,
    limit: int | None,
    accounts: tuple[str, ...],
    regions: tuple[str, ...],
    dry_run: bool,
) -> None:
    """Put images that exist already before the policies.

    They become work of low priority in the ledger, and the daemon does it; events go first. Images whose jobs exist
    are passed over, so that it can be run again at any time.
    """
    settings, book = load_all(config)
    check_names("--policy", only, book.current.names)
    places = [place for place in places_of(settings, accounts, regions) if book.current.could_match(place, only)]
    quiet(settings)
    wanted = Wanted(tuple(dict.fromkeys(only)), since, limit, dry_run=dry_run)
    backfill = Backfill(settings, book.current, wanted)
    with progress(sys.stderr, len(places)) as shown:
        troubles = anyio.run(backfill.run, places, shown)
    _print(backfill, output)
    complain(troubles)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the options say."""

    only: tuple[str, ...]
    since: int | None
    limit: int | None
    dry_run: bool


@dataclass(slots=True)
class Tally:
    """How many images were what."""

    images: int = 0
    """Listed."""
    put_in: int = 0
    """Put in; with ``--dry-run``: would be."""
    waiting: int = 0
    """Were to be looked at already."""
    existing: int = 0
    """Everything that is wanted has its job."""
    no_match: int = 0
    undecided: int = 0
    """No policy wants anything, and one could not tell."""
    left_out: int = 0
    """Older than ``--since`` or of unknown age, or no images: failed, deleted."""


@dataclass(slots=True)
class Backfill:
    """One run of the command."""

    settings: Settings
    policies: PolicySet
    wanted: Wanted
    tally: Tally = field(default_factory=Tally)
    planned: Planned = field(default_factory=Planned)
    """What would be done, for ``--dry-run``."""

    async def run(self, places: Sequence[Place], shown: Shown) -> Sequence[str]:
        """Go through all places; returns what could not be listed, and why."""
        if not places:
            return ()
        if not self.wanted.dry_run:
            # Nothing yet: makes the ledger where there is none, and lets a daemon that runs say what it does not know.
            await self._hand_over(Batch(places[0], (), self.wanted.only))
        async with ledger_if_any(self.settings) as reader:
            hearing = Hearing(self.settings, self.policies, reader, SystemClock().now(), self.wanted.only)

            async def page(place: Place, images: Sequence[Image]) -> bool:
                shown.read(len(images))
                await self._page(hearing, place, images)
                return self._left() > 0

            return await survey(self.settings, places, page, shown)

    def _left(self) -> float:
        """How many more may be put in."""
        return float("inf") if self.wanted.limit is None else self.wanted.limit - self.tally.put_in

    async def _page(self, hearing: Hearing, place: Place, images: Sequence[Image]) -> None:
        chosen = [image for image in images if self._is_wanted(image)]
        self.tally.images += len(images)
        self.tally.left_out += len(images) - len(chosen)
        told = await hearing.of(place, chosen)
        worth = [image for image in told if self._is_worth_it(image)]
        waiting = await self._waiting(hearing.reader, place, worth)
        fresh = [image for image in worth if image["image_id"] not in waiting]
        if len(fresh) > self._left():
            fresh = fresh[: int(self._left())]
        if self.wanted.dry_run:
            self.planned.images += fresh
            put = PutIn(len(fresh), len(waiting))
        else:
            ids = [image["image_id"] for image in fresh]
            put = await self._hand_over(Batch(place, (*ids, *sorted(waiting)), self.wanted.only))
        self.tally.put_in += put.put_in
        self.tally.waiting += put.waiting

    def _is_wanted(self, image: Image) -> bool:
        if image.state in ENDED:
            return False
        since = self.wanted.since
        return since is None or (image.created_at is not None and image.created_at >= since)

    def _is_worth_it(self, image: Mapping[str, Any]) -> bool:
        """Whether something is wanted that has no job; counts the others."""
        if any(action["job"] is None for action in image["actions"]):
            return True
        if image["actions"]:
            self.tally.existing += 1
        elif any(verdict["verdict"] == "unknown" for verdict in image["verdicts"]):
            self.tally.undecided += 1
        else:
            self.tally.no_match += 1
        return False

    @staticmethod
    async def _waiting(reader: Reader | None, place: Place, images: Sequence[Mapping[str, Any]]) -> set[str]:
        """Those that are to be looked at already."""
        if reader is None:
            return set()
        outcomes = await reader.outcomes(place, [image["image_id"] for image in images])
        return {image_id for image_id, outcome in outcomes.items() if outcome == "due"}

    async def _hand_over(self, batch: Batch) -> PutIn:
        accounts = {account.name: account for account in self.settings.accounts}

        async def alone(ledger: Ledger, clock: Clock) -> Mapping[str, Any]:
            return (await take(ledger, clock, accounts, self.policies.names, batch))._asdict()

        answer = await ask_or_do(self.settings, batch.to_request(), alone)
        return PutIn(answer["put_in"], answer["waiting"])


def _print(backfill: Backfill, output: str) -> None:
    tally = asdict(backfill.tally)
    if backfill.wanted.dry_run:
        show(backfill.planned, output, backfill=tally)
    elif output == "json":
        print_json({"backfill": tally})
    if output == "json":
        return
    click.echo(("nothing was written; " if backfill.wanted.dry_run else "") + counted(tally))
    if backfill.wanted.limit is not None and backfill.tally.put_in >= backfill.wanted.limit:
        click.echo("the limit is reached; run it again for more")
