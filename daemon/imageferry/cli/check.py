"""``imageferry check``: every error of the config and of the policies at once, and what they amount to."""

from __future__ import annotations

from pathlib import Path

import click

from imageferry.cli.files import config_option, load_all


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
        f"{_count(len(book.current.names), 'policy', 'policies')}: {', '.join(book.current.names)}"
    )


def _count(number: int, one: str, many: str = "") -> str:
    return f"{number} {one if number == 1 else many or one + 's'}"
