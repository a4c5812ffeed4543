"""How far a walk through the accounts has come: a bar where a terminal can show one, else a line for each region.

It goes to standard error, so that what is found can be piped.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol, TextIO

import click

from imageferry.cli.show import console_for
from imageferry.cli.tables import plain

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID


class Shown(Protocol):
    """What is shown of a walk."""

    def read(self, images: int) -> None:
        """So many more images were listed."""
        ...

    def done(self, said: str) -> None:
        """A place was listed to its end, or could not be; ``said`` is a line about it."""
        ...


class _Lines:
    """A line for each place."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def read(self, images: int) -> None:
        """Lines are for what is finished."""

    def done(self, said: str) -> None:
        click.echo(plain(said), file=self._stream)


class _Bar:
    """A bar of places, with the number of images so far."""

    def __init__(self, bar: Progress, task: TaskID) -> None:
        self._bar = bar
        self._task = task
        self._images = 0

    def read(self, images: int) -> None:
        self._images += images
        self._bar.update(self._task, images=self._images)

    def done(self, said: str) -> None:
        self._bar.update(self._task, advance=1)
        self._bar.console.print(plain(said), markup=False)


@contextmanager
def progress(stream: TextIO, places: int) -> Iterator[Shown]:
    """Show a walk through so many places while the context is open."""
    console = console_for(stream)
    if console is None:
        yield _Lines(stream)
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn  # noqa: PLC0415 - rich is an extra

    columns = (BarColumn(), MofNCompleteColumn(), TextColumn("regions, {task.fields[images]} images"))
    with Progress(*columns, console=console, transient=True) as bar:
        yield _Bar(bar, bar.add_task("regions", total=places, images=0))
