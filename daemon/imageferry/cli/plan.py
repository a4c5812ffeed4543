"""``imageferry plan``: what would be done with images, and why, without doing anything.

Offline it believes the events' own facts, and what they do not say stays unknown; ``--live`` asks the accounts instead.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import anyio
import click
import msgspec

from imageferry.cli.files import config_option, load_all
from imageferry.cli.live import (
    ENDED,
    Hearing,
    account_option,
    complain,
    places_of,
    quiet,
    region_option,
    survey,
)
from imageferry.cli.main import BAD_FILE
from imageferry.cli.planned import Planned, add_jobs, image_json, ledger_if_any, show
from imageferry.cli.progress import Shown, progress
from imageferry.cli.tables import format_option, plain
from imageferry.clouds.facts import FACTS
from imageferry.clouds.registry import READERS
from imageferry.core.actions import World
from imageferry.core.image import Image, Place
from imageferry.core.policy import PolicySet
from imageferry.errors import BadFile, Complaint
from imageferry.flow.intake import Directory
from imageferry.ports import Unreadable
from imageferry.settings import Settings
from imageferry.sources.cloudevents import Codec, Told
from imageferry.sources.facts import claimed
from imageferry.sources.mapping import Mapper
from imageferry.sources.specs import mappers_of
from imageferry.telemetry.clock import SystemClock

BARE_SOURCE: Final = "plan"


@click.command()
@config_option
@format_option
@click.option("--live", is_flag=True, default=False, help="What the accounts hold now, instead of events.")
@account_option
@region_option
@click.argument("events", nargs=-1, type=click.Path(path_type=Path, allow_dash=True))
def command(
    config: Path | None,
    output: str,
    *,
    live: bool,
    accounts: tuple[str, ...],
    regions: tuple[str, ...],
    events: tuple[Path, ...],
) -> None:
    """Say what would be done about EVENTS, or with --live about what the accounts hold now, and why.

    EVENTS are files of events: one JSON event or an array of them, or one event a line; "-" is standard input.
    """
    if live == bool(events):
        raise click.UsageError("name at least one file of events, or - for standard input; or give --live alone")
    if (accounts or regions) and not live:
        raise click.UsageError("--account and --region go with --live")
    settings, book = load_all(config)
    if live:
        _plan_live(settings, book.current, places_of(settings, accounts, regions), output)
        return
    planned = anyio.run(_plan, settings, book.current, events)
    for complaint in planned.complaints:
        click.echo(plain(str(complaint)), err=True)
    show(planned, output)
    if any(planned.unreadable):
        sys.exit(BAD_FILE)


def _plan_live(settings: Settings, policies: PolicySet, places: Sequence[Place], output: str) -> None:
    quiet(settings)
    with progress(sys.stderr, len(places)) as shown:
        planned, troubles = anyio.run(_survey, settings, policies, places, shown)
    show(planned, output)
    complain(troubles)


async def _survey(
    settings: Settings, policies: PolicySet, places: Sequence[Place], shown: Shown
) -> tuple[Planned, Sequence[str]]:
    """What would be done with everything the places hold, place by place as the config has them."""
    found: dict[Place, list[dict[str, Any]]] = {place: [] for place in places}
    planned = Planned()
    async with ledger_if_any(settings) as reader:
        hearing = Hearing(settings, policies, reader, SystemClock().now())

        async def take(place: Place, images: Sequence[Image]) -> bool:
            alive = [image for image in images if image.state not in ENDED]
            planned.ignored += len(images) - len(alive)
            found[place] += await hearing.of(place, alive)
            shown.read(len(images))
            return True

        troubles = await survey(settings, places, take, shown)
    planned.images = [image for images in found.values() for image in images]
    return planned, troubles


async def _plan(settings: Settings, policies: PolicySet, files: Sequence[Path]) -> Planned:
    planned = Planned()
    directory = Directory(settings.accounts)
    regions = {account.name: account.regions for account in settings.accounts}
    now = SystemClock().now()
    for told, path, line in _events(files, mappers_of(settings.sources)):
        if isinstance(told, Unreadable):
            complaint = Complaint(path, line, 1, f"cannot be read: {told.reason}")
            planned.unreadable.append(complaint)
            planned.complaints.append(complaint)
            continue
        sighting = told.sighting
        place = directory.resolve((sighting.cloud, sighting.account, sighting.region))
        if isinstance(place, str):
            planned.ignored += 1
            planned.complaints.append(Complaint(path, line, 1, f"{sighting.image_id} is ignored: {place}"))
            continue
        image, doubtful = claimed(place, sighting.image_id, told.facts)
        planned.complaints.extend(Complaint(path, line, 1, f"{image.id}: {text}") for text in doubtful)
        world = World(facts=FACTS[place.cloud], account_regions=regions[place.account])
        planned.images.append(image_json(policies.decide(image, world, now)))
    async with ledger_if_any(settings) as reader:
        await add_jobs(reader, planned.images)
    return planned


def _events(files: Sequence[Path], mappers: Sequence[Mapper]) -> Iterator[tuple[Told | Unreadable, str, int]]:
    """Every event of every file, with its file's name and line."""
    codec = Codec(READERS, mappers)
    for file in files:
        name = str(file)
        for line, body in _documents(name, _content(file)):
            for told in codec.told(body, f"{name}:{line}", (), BARE_SOURCE, BARE_SOURCE):
                yield told, name, line


def _content(file: Path) -> bytes:
    try:
        return sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()
    except OSError as error:
        raise BadFile([Complaint(str(file), 1, 1, f"cannot be read: {error.strerror}")]) from error


def _documents(name: str, content: bytes) -> Iterator[tuple[int, bytes]]:
    """The whole file where it is one JSON document, the events of it where that is an array, else each line.

    What one delivery may have at the most is asked of each event: a file of many may be as large as it likes.
    """
    try:
        value = msgspec.json.decode(content)
    except (ValueError, RecursionError):
        lines = [(n, line) for n, line in enumerate(content.splitlines(), 1) if line.strip()]
        if not lines:
            raise BadFile([Complaint(name, 1, 1, "there is no event in it")]) from None
        yield from lines
    else:
        alone = not isinstance(value, list) or not value or any(isinstance(one, list) for one in value)
        yield from [(1, content)] if alone else _elements(content)


def _elements(content: bytes) -> Iterator[tuple[int, bytes]]:
    """Each value of a JSON array, with the line that it begins on."""
    line, end = 1, 0
    for raw in msgspec.json.decode(content, type=list[msgspec.Raw]):
        part = bytes(raw)
        start = content.index(part, end)
        line += content.count(b"\n", end, start)
        yield line, part
        line, end = line + part.count(b"\n"), start + len(part)
