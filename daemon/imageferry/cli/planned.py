"""What would be done with images, as ``plan`` and ``backfill --dry-run`` show it: one shape, as a table or as JSON.

It decides nothing; it adds to decisions what the ledger knows already.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import click

from imageferry.cli.tables import plain, print_json
from imageferry.core.decision import Decision, PlannedAction
from imageferry.core.image import Place
from imageferry.core.job import job_id, job_key
from imageferry.errors import Complaint
from imageferry.ledgers.sqlite import open_reader, sqlite_path
from imageferry.ports import Reader
from imageferry.settings import Settings


@dataclass(slots=True)
class Planned:
    """What came of the events, or of what accounts hold."""

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


def image_json(decision: Decision) -> dict[str, Any]:
    """An image with its verdicts and actions, as ``plan --format json`` prints it."""
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


@asynccontextmanager
async def ledger_if_any(settings: Settings) -> AsyncIterator[Reader | None]:
    """The ledger for reading; None where none was made yet."""
    if not sqlite_path(settings.ledger_url).exists():
        yield None
        return
    async with open_reader(settings.ledger_url) as reader:
        yield reader


async def add_jobs(reader: Reader | None, images: Sequence[Mapping[str, Any]]) -> None:
    """Say of every action whether a job for it exists already; a ledger that is not there has none."""
    if reader is None:
        return
    for image in images:
        place = Place(image["cloud"], image["account"], image["region"])
        for action in image["actions"]:
            key = job_key(place, image["image_id"], action["action"], action["destination"])
            action["job"] = await _job_json(reader, job_id(key))


async def _job_json(reader: Reader, wanted: str) -> dict[str, str] | None:
    job = await reader.job(wanted)
    return None if job is None else {"id": job.id, "state": job.state}


def show(planned: Planned, output: str, **more: Any) -> None:  # noqa: ANN401 - JSON
    """Print it, as ``output`` wants: a table, or JSON with whatever ``more`` there is beside it."""
    if output == "json":
        print_json({"images": planned.images, "summary": planned.summary(), **more})
    else:
        _print(planned)


def counted(summary: Mapping[str, int]) -> str:
    """A summary as one line."""
    return ", ".join(f"{name.replace('_', ' ')}: {count}" for name, count in summary.items())


def _print(planned: Planned) -> None:
    for image in planned.images:
        place = f"{image['cloud']}/{image['account']}/{image['region']}"
        click.echo(plain(f"{image['image_id']} ({image['image_name'] or 'name not known'}) at {place}"))
        for verdict in image["verdicts"]:
            click.echo(plain(f"  {verdict['verdict']:<8}  {verdict['policy']}: {verdict['reason']}"))
        for action in image["actions"]:
            click.echo(plain(f"  -> {_said(action)}"))
        click.echo()
    click.echo(counted(planned.summary()))


def _said(action: Mapping[str, Any]) -> str:
    text = f"{action['action']} to {action['destination']} ({', '.join(action['policies'])})"
    if action["refused"]:
        return f"{text}: cannot be done: {action['refused']}"
    if action["job"]:
        return f"{text}: job {action['job']['id']} exists and is {action['job']['state']}"
    return text
