"""``imageferry jobs``: see what became of every action, give one another try, cancel one that was not sent."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

import anyio
import click

from imageferry.cli.asking import ask_or_do
from imageferry.cli.files import config_option, load_settings
from imageferry.cli.tables import cell, format_option, print_json, print_table
from imageferry.core.completion import job_json
from imageferry.core.image import CLOUD_NAMES
from imageferry.core.job import Job, JobFilter
from imageferry.core.machine import State
from imageferry.core.times import rfc3339
from imageferry.errors import ImageferryError
from imageferry.flow.steer import STEERS
from imageferry.ledgers.sqlite import open_reader
from imageferry.ports import Clock, HistoryRow, Ledger
from imageferry.settings import Settings

COLUMNS = (
    "id",
    "state",
    "action",
    "image_id",
    "image_name",
    "destination",
    "account",
    "region",
    "attempts",
    "class",
    "reason",
)


@click.group()
def command() -> None:
    """See and steer jobs: one job is one action on one image to one destination."""


@command.command("list")
@config_option
@format_option
@click.option("--state", type=click.Choice(get_args(State)), default=None, help="Only jobs in this state.")
@click.option("--cloud", type=click.Choice(CLOUD_NAMES), default=None, help="Only jobs at this cloud.")
@click.option("--account", default=None, help="Only jobs of this account.")
@click.option("--image", default=None, help="Only jobs of this image id.")
@click.option("--policy", default=None, help="Only jobs this policy asked for.")
@click.option("--limit", type=click.IntRange(min=1), default=None, help="At most so many, the newest first.")
def list_jobs(config: Path | None, output: str, **want: Any) -> None:  # noqa: ANN401 - exactly JobFilter's fields
    """List jobs, newest first; everything unless filtered."""
    jobs = [job_json(job) for job in anyio.run(_list, load_settings(config), JobFilter(**want))]
    if output == "json":
        print_json(jobs)
    else:
        print_table(jobs, COLUMNS, empty="no jobs")


@command.command()
@config_option
@format_option
@click.argument("job")
def show(config: Path | None, output: str, job: str) -> None:
    """Show one job and every move it made; JOB is its id or a beginning of it."""
    found, history = anyio.run(_show, load_settings(config), job)
    moves = [_move_json(row) for row in history]
    if output == "json":
        print_json({**job_json(found), "history": moves})
        return
    for name, value in job_json(found).items():
        click.echo(f"{name + ':':<14} {cell(value)}")
    click.echo()
    print_table(moves, ("at", "from", "to", "class", "vendor_code", "reason"), empty="no history")


@command.command()
@config_option
@click.argument("job")
def retry(config: Path | None, job: str) -> None:
    """Give a failed or cancelled job another attempt."""
    _steer(config, "retry", job)


@command.command()
@config_option
@click.argument("job")
def cancel(config: Path | None, job: str) -> None:
    """Cancel a job that was not sent yet."""
    _steer(config, "cancel", job)


def _steer(config: Path | None, do: str, job: str) -> None:
    done = anyio.run(_ask_or_do, load_settings(config), do, job)
    click.echo(f"job {done['id']} is {done['state']}: {done['reason']}")


async def _list(settings: Settings, want: JobFilter) -> list[Job]:
    async with open_reader(settings.ledger_url) as reader:
        return await reader.jobs(want)


async def _show(settings: Settings, job_id: str) -> tuple[Job, list[HistoryRow]]:
    async with open_reader(settings.ledger_url) as reader:
        found = await reader.job(job_id)
        if found is None:
            raise ImageferryError(f"there is no job {job_id}; `imageferry jobs list` shows them")
        return found, await reader.history(found.id)


async def _ask_or_do(settings: Settings, do: str, job: str) -> dict[str, Any]:
    accounts = {account.name: account for account in settings.accounts}

    async def alone(ledger: Ledger, clock: Clock) -> Mapping[str, Any]:
        return {"job": job_json(await STEERS[do](ledger, clock, accounts, job))}

    answer = await ask_or_do(settings, {"do": do, "job": job}, alone)
    return dict(answer["job"])


def _move_json(row: HistoryRow) -> dict[str, Any]:
    return {
        "at": rfc3339(row.at),
        "from": row.from_state,
        "to": row.to_state,
        "reason": row.reason,
        "class": row.klass,
        "vendor_code": row.vendor_code,
        "request_id": row.request_id,
    }
