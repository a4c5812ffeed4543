"""``imageferry coverage``: how many images every policy wants at every place, and how far it is with them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anyio
import click

from imageferry.cli.files import config_option, load_settings
from imageferry.cli.tables import format_option, print_json, print_table
from imageferry.core.times import rfc3339_or_none
from imageferry.ledgers.sqlite import open_reader
from imageferry.ports import Covered
from imageferry.settings import Settings

COLUMNS = (
    *("policy", "cloud", "account", "region"),
    *("wanted", "protected", "on_the_way", "failed", "cancelled", "undecided", "oldest_unprotected"),
)


@click.command()
@config_option
@format_option
def command(config: Path | None, output: str) -> None:
    """Say how far every policy is, at every place where it wants anything.

    An image counts once, by the worst that became of what the policy wants of it. Undecided are images of which the
    policy could not tell whether it wants them; they are not among the wanted.
    """
    covered, waiting = anyio.run(_read, load_settings(config))
    rows = [_row(one) for one in covered]
    if output == "json":
        print_json({"coverage": rows, "waiting_for_a_look": waiting})
        return
    print_table(rows, COLUMNS, empty="no policy has wanted anything yet")
    if waiting:
        click.echo(f"\nimages that wait to be looked at, and may be wanted too: {waiting}")


async def _read(settings: Settings) -> tuple[list[Covered], int]:
    async with open_reader(settings.ledger_url) as reader:
        waiting, _ = await reader.open_work()
        return await reader.coverage(), waiting


def _row(one: Covered) -> dict[str, Any]:
    return {
        "policy": one.policy,
        **one.place._asdict(),
        "wanted": one.protected + one.on_the_way + one.failed + one.cancelled,
        "protected": one.protected,
        "on_the_way": one.on_the_way,
        "failed": one.failed,
        "cancelled": one.cancelled,
        "undecided": one.undecided,
        "oldest_unprotected": rfc3339_or_none(one.oldest),
    }
