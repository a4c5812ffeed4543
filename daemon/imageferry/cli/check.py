"""``imageferry check``: every error of the config and of the policies at once, and what they amount to."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import click

from imageferry.cli.files import config_option, load_all

NAMED: Final = 20
"""How many policies are named; the others are counted."""


@click.command()
@config_option
def command(config: Path | None) -> None:
    """Check the config and the policies without touching any cloud.

    Every error of every file is one line, file:line:column; then the exit code is 2.
    """
    settings, book = load_all(config)
    for warning in settings.warnings():
        click.echo(f"warning: {warning}", err=True)
    places = sum(len(account.regions) for account in settings.accounts)
    click.echo(
        f"fine: {_count(len(settings.accounts), 'account')} in {_count(places, 'region')}, "
        f"{_count(len(settings.sources), 'source')}, {_count(len(settings.publishers), 'publisher')}, "
        f"{_count(len(book.current.names), 'policy', 'policies')}: {_some(book.current.names)}"
    )


def _some(names: Sequence[str]) -> str:
    """The names, so many of them as a person still reads."""
    left = len(names) - NAMED
    return ", ".join(names[:NAMED]) + (f" and {left} more" if left > 0 else "")


def _count(number: int, one: str, many: str = "") -> str:
    return f"{number} {one if number == 1 else many or one + 's'}"
