"""``imageferry check``: every error of the config and of the policies at once, and what they amount to.

With ``--online`` it goes on to ask the clouds; what is asked stands in ``online``.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import Final

import anyio
import click

from imageferry.cli.files import config_option, load_all
from imageferry.cli.live import quiet
from imageferry.cli.main import FAILED
from imageferry.cli.online import Found, ask_all
from imageferry.cli.tables import plain
from imageferry.cli.unused import unused
from imageferry.core.account import Account

NAMED: Final = 20
"""How many policies are named; the others are counted."""


@click.command()
@config_option
@click.option("--online", is_flag=True, default=False, help="Ask every account who it is, and look at every bucket.")
def command(config: Path | None, online: bool) -> None:  # noqa: FBT001 - click passes flags by name
    """Check the config and the policies; without --online no cloud is touched.

    Every error of every file is one line, file:line:column; then the exit code is 2. With --online every account is
    asked who it is, whether images can be read in its regions, what is left of its quotas, and whether the buckets
    of the policies are there. Nothing is changed; the exit code is 1 where something failed.
    """
    settings, book = load_all(config)
    for warning in (*settings.warnings(), *unused(settings.accounts, book.current)):
        click.echo(f"warning: {warning}", err=True)
    places = sum(len(account.regions) for account in settings.accounts)
    click.echo(
        f"fine: {_count(len(settings.accounts), 'account')} in {_count(places, 'region')}, "
        f"{_count(len(settings.sources), 'source')}, {_count(len(settings.publishers), 'publisher')}, "
        f"{_count(len(book.current.names), 'policy', 'policies')}: {_some(book.current.names)}"
    )
    if online:
        quiet(settings)
        found = anyio.run(ask_all, settings, book.current)
        _print(settings.accounts, found)
        if any(one.outcome == "failed" for one in found):
            sys.exit(FAILED)


def _print(accounts: Sequence[Account], found: Sequence[Found]) -> None:
    """What was found, account by account; what went wrong stands out by its first word."""
    clouds = {account.name: account.cloud for account in accounts}
    for name, answers in groupby(found, lambda one: one.account):
        click.echo(f"{name} ({clouds[name]})")
        for one in answers:
            where = f"{one.region}: " if one.region else ""
            click.echo(plain(f"  {one.outcome:<8} {where}{one.subject}: {one.says}"))


def _some(names: Sequence[str]) -> str:
    """The names, so many of them as a person still reads."""
    left = len(names) - NAMED
    return ", ".join(names[:NAMED]) + (f" and {left} more" if left > 0 else "")


def _count(number: int, one: str, many: str = "") -> str:
    return f"{number} {one if number == 1 else many or one + 's'}"
