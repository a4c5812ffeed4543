"""``imageferry dead-letters``: see what could not be read, and have it read again once the reason is mended."""

from __future__ import annotations

import sys
from base64 import b64encode
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import anyio
import click

from imageferry.cli.asking import ask_or_do
from imageferry.cli.files import config_option, load_all, load_settings
from imageferry.cli.main import FAILED
from imageferry.cli.tables import cell, format_option, plain, print_json, print_table
from imageferry.clouds.registry import READERS
from imageferry.core.times import rfc3339, rfc3339_or_none
from imageferry.errors import ImageferryError
from imageferry.flow.intake import Directory, Recorder
from imageferry.flow.replay import DO, MOST, Replay, answered
from imageferry.ledgers.sqlite import open_reader
from imageferry.ports import Clock, DeadLetter, Ledger, LetterHead
from imageferry.settings import Settings
from imageferry.sources.reread import Rereader
from imageferry.telemetry.metrics import Metrics

NUMBER = click.IntRange(1, 2**63 - 1)
COLUMNS = ("id", "received_at", "source", "outcome", "reason")


@click.group()
def command() -> None:
    """See and replay dead letters: deliveries that could not be read."""


@command.command("list")
@config_option
@format_option
@click.option("--waiting", is_flag=True, default=False, help="Only letters that were not replayed.")
@click.option("--limit", type=click.IntRange(min=1), default=None, help="At most so many, the newest first.")
def list_letters(config: Path | None, output: str, waiting: bool, limit: int | None) -> None:  # noqa: FBT001 - click passes flags by name
    """List dead letters, newest first; everything unless filtered."""
    rows = [_row(one) for one in anyio.run(_list, load_settings(config), limit, waiting)]
    if output == "json":
        print_json(rows)
    else:
        print_table(rows, COLUMNS, empty="no dead letters")


@command.command()
@config_option
@format_option
@click.argument("letter", type=NUMBER)
def show(config: Path | None, output: str, letter: int) -> None:
    """Show the whole of one dead letter; LETTER is its number."""
    found = anyio.run(_one, load_settings(config), letter)
    row = {**_row(_head(found)), "headers": _headers(found), **_body(found)}
    if output == "json":
        print_json(row)
        return
    body = row.pop("body", None)
    for name, value in row.items():
        click.echo(f"{name + ':':<14} {cell(value)}")
    if body is not None:
        click.echo()
        for line in body.splitlines():
            click.echo(plain(line))


@command.command()
@config_option
@click.option("--all", "everything", is_flag=True, default=False, help="Every letter that was not replayed.")
@click.argument("letters", type=NUMBER, nargs=-1)
def replay(config: Path | None, everything: bool, letters: tuple[int, ...]) -> None:  # noqa: FBT001 - click passes flags by name
    """Read dead letters again, with the config of today, or of the daemon where one runs: restart it after a change.

    What can be read now becomes an event and the letter is marked; what still cannot stays, with its new reason, and
    makes the exit code 1.
    """
    if bool(letters) == everything:
        raise click.UsageError("name the letters by their numbers, or give --all")
    if not anyio.run(_replay, config, letters):
        sys.exit(FAILED)


async def _replay(config: Path | None, letters: Sequence[int]) -> bool:
    """Replay them, few at a time; whether all could be read."""
    settings = load_settings(config)
    fine = True
    count = 0
    async for some in _batches(settings, letters):

        async def do(ledger: Ledger, clock: Clock, some: Sequence[int] = some) -> Mapping[str, Any]:
            return await answered(_replayer(config, ledger, clock), list(some))

        answer = await ask_or_do(settings, {"do": DO, "letters": list(some)}, do)
        for one in answer["letters"]:
            count += 1
            fine = fine and one["read"]
            click.echo(plain(f"dead letter {one['id']} {'is read' if one['read'] else 'stays'}: {one['text']}"))
    if not count:
        click.echo("no dead letters")
    return fine


async def _batches(settings: Settings, letters: Sequence[int]) -> AsyncIterator[Sequence[int]]:
    """These letters, or, where none are named, all that wait; those that stay are not asked for again."""
    for start in range(0, len(letters), MOST):
        yield letters[start : start + MOST]
    last = 0
    while not letters:
        async with open_reader(settings.ledger_url) as reader:
            some = await reader.waiting_letters(last, MOST)
        if not some:
            return
        last = some[-1]
        yield some


def _replayer(config: Path | None, ledger: Ledger, clock: Clock) -> Replay:
    """What the daemon has, for when none runs: whoever starts it next looks at the images."""
    settings, book = load_all(config)
    recorder = Recorder(
        directory=Directory(settings.accounts),
        policies=lambda: book.current,
        ledger=ledger,
        clock=clock,
        metrics=Metrics(),
        ring=lambda _: None,
    )
    return Replay(recorder, Rereader(settings.sources, READERS))


async def _list(settings: Settings, limit: int | None, waiting: bool) -> list[LetterHead]:  # noqa: FBT001 - run() passes no names
    async with open_reader(settings.ledger_url) as reader:
        return await reader.letter_heads(limit, waiting=waiting)


async def _one(settings: Settings, letter_id: int) -> DeadLetter:
    async with open_reader(settings.ledger_url) as reader:
        found = await reader.dead_letter(letter_id)
    if found is None:
        raise ImageferryError(f"there is no dead letter {letter_id}; `imageferry dead-letters list` shows them")
    return found


def _head(letter: DeadLetter) -> LetterHead:
    return LetterHead(*letter[:4], len(letter.body), letter.replayed_at, letter.outcome)


def _row(letter: LetterHead) -> dict[str, Any]:
    return {
        "id": letter.id,
        "source": letter.source,
        "received_at": rfc3339(letter.received_at),
        "reason": letter.reason,
        "replayed_at": rfc3339_or_none(letter.replayed_at),
        "outcome": letter.outcome,
        "bytes": letter.size,
    }


def _headers(letter: DeadLetter) -> dict[str, str | None]:
    return {name: None if value is None else value.decode(errors="replace") for name, value in letter.headers}


def _body(letter: DeadLetter) -> dict[str, str]:
    """The body as text where it is text, else as base64."""
    try:
        return {"body": letter.body.decode()}
    except UnicodeDecodeError:
        return {"body_base64": b64encode(letter.body).decode()}
