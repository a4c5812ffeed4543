"""``imageferry plan``: what would be done with the images that events speak of, and why, without doing anything.

Offline: it believes the events' own facts, and what they do not say stays unknown.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import anyio
import click
import msgspec

from imageferry.cli.files import config_option, load_all
from imageferry.cli.main import BAD_FILE
from imageferry.cli.tables import format_option, plain, print_json
from imageferry.clouds.facts import FACTS
from imageferry.clouds.registry import READERS
from imageferry.core.actions import World
from imageferry.core.decision import Decision, PlannedAction
from imageferry.core.image import Place
from imageferry.core.job import job_id, job_key
from imageferry.core.policy import PolicySet
from imageferry.errors import BadFile, Complaint
from imageferry.flow.intake import Directory
from imageferry.ledgers.sqlite import open_reader, sqlite_path
from imageferry.ports import Reader, Unreadable
from imageferry.settings import Settings
from imageferry.sources.cloudevents import Codec, Told
from imageferry.sources.facts import claimed
from imageferry.telemetry.clock import SystemClock

BARE_SOURCE: Final = "plan"


@click.command()
@config_option
@format_option
@click.argument("events", nargs=-1, type=click.Path(path_type=Path, allow_dash=True))
def command(config: Path | None, output: str, events: tuple[Path, ...]) -> None:
    """Say what would be done about EVENTS, and why.

    EVENTS are files of events: one JSON event or an array of them, or one event a line; "-" is standard input.
    """
    if not events:
        raise click.UsageError("name at least one file of events, or - for standard input")
    settings, book = load_all(config)
    planned = anyio.run(_plan, settings, book.current, events)
    for complaint in planned.complaints:
        click.echo(plain(str(complaint)), err=True)
    if output == "json":
        print_json({"images": planned.images, "summary": planned.summary()})
    else:
        _print(planned)
    if any(planned.unreadable):
        sys.exit(BAD_FILE)


@dataclass(slots=True)
class Planned:
    """What came of the events."""

    images: list[dict[str, Any]] = field(default_factory=list)
    complaints: list[Complaint] = field(default_factory=list)
    unreadable: list[Complaint] = field(default_factory=list)
    ignored: int = 0

    def summary(self) -> dict[str, int]:
        """How much of what."""
        verdicts = Counter(v["verdict"] for image in self.images for v in image["verdicts"])
        actions = [action for image in self.images for action in image["actions"]]
        return {
            "images": len(self.images),
            "match": verdicts["match"],
            "no_match": verdicts["no_match"],
            "unknown": verdicts["unknown"],
            "actions": len(actions),
            "refused": sum(1 for action in actions if action["refused"]),
            "existing": sum(1 for action in actions if action["job"]),
            "ignored": self.ignored,
            "unreadable": len(self.unreadable),
        }


async def _plan(settings: Settings, policies: PolicySet, files: Sequence[Path]) -> Planned:
    planned = Planned()
    directory = Directory(settings.accounts)
    regions = {account.name: account.regions for account in settings.accounts}
    now = SystemClock().now()
    for told, path, line in _events(files):
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
    await _add_jobs(settings, planned.images)
    return planned


def _events(files: Sequence[Path]) -> Iterator[tuple[Told | Unreadable, str, int]]:
    """Every event of every file, with its file's name and line."""
    codec = Codec(READERS)
    for file in files:
        name = str(file)
        for line, body in _documents(name, _content(file)):
            for told in codec.told(body, f"{name}:{line}", (), BARE_SOURCE):
                yield told, name, line


def _content(file: Path) -> bytes:
    try:
        return sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()
    except OSError as error:
        raise BadFile([Complaint(str(file), 1, 1, f"cannot be read: {error.strerror}")]) from error


def _documents(name: str, content: bytes) -> Iterator[tuple[int, bytes]]:
    """The whole file where it is one JSON document, else each of its lines that is not empty."""
    try:
        msgspec.json.decode(content)
    except (ValueError, RecursionError):
        lines = [(n, line) for n, line in enumerate(content.splitlines(), 1) if line.strip()]
        if not lines:
            raise BadFile([Complaint(name, 1, 1, "there is no event in it")]) from None
        yield from lines
    else:
        yield 1, content


def image_json(decision: Decision) -> dict[str, Any]:
    """A decision as ``plan --format json`` prints it."""
    image = decision.image
    return {
        "cloud": image.place.cloud,
        "account": image.place.account,
        "region": image.place.region,
        "image_id": image.id,
        "image_name": image.name,
        "verdicts": [{"policy": v.policy, "verdict": v.verdict, "reason": v.reason} for v in decision.verdicts],
        "actions": [_action_json(action) for action in decision.actions],
    }


def _action_json(action: PlannedAction) -> dict[str, Any]:
    return {
        "action": action.action,
        "destination": action.destination,
        "policies": list(action.policies),
        "refused": action.refused.reason if action.refused else None,
        "job": None,
    }


async def _add_jobs(settings: Settings, images: Sequence[Mapping[str, Any]]) -> None:
    """Say of every action whether a job for it exists already; a ledger that is not there has none."""
    if not sqlite_path(settings.ledger_url).exists():
        return
    async with open_reader(settings.ledger_url) as reader:
        for image in images:
            place = Place(image["cloud"], image["account"], image["region"])
            for action in image["actions"]:
                key = job_key(place, image["image_id"], action["action"], action["destination"])
                action["job"] = await _job_json(reader, job_id(key))


async def _job_json(reader: Reader, wanted: str) -> dict[str, str] | None:
    job = await reader.job(wanted)
    return None if job is None else {"id": job.id, "state": job.state}


def _print(planned: Planned) -> None:
    for image in planned.images:
        place = f"{image['cloud']}/{image['account']}/{image['region']}"
        click.echo(plain(f"{image['image_id']} ({image['image_name'] or 'name not known'}) at {place}"))
        for verdict in image["verdicts"]:
            click.echo(plain(f"  {verdict['verdict']:<8}  {verdict['policy']}: {verdict['reason']}"))
        for action in image["actions"]:
            click.echo(plain(f"  -> {_said(action)}"))
        click.echo()
    click.echo(", ".join(f"{name.replace('_', ' ')}: {count}" for name, count in planned.summary().items()))


def _said(action: Mapping[str, Any]) -> str:
    text = f"{action['action']} to {action['destination']} ({', '.join(action['policies'])})"
    if action["refused"]:
        return f"{text}: cannot be done: {action['refused']}"
    if action["job"]:
        return f"{text}: job {action['job']['id']} exists and is {action['job']['state']}"
    return text
