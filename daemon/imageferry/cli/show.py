"""Watches a ledger while a daemon works on it, and shows what happens: a live table, or a line for every move.

``demo`` calls it. It only reads, and has no part in what it shows.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol, TextIO

import click

from imageferry.core.job import Job, JobFilter
from imageferry.core.machine import END_STATES
from imageferry.core.times import SECOND
from imageferry.ports import HistoryRow, ImageRow, Reader

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

COLOURS: Final = {
    "planned": "white",
    "submitting": "cyan",
    "in_doubt": "yellow",
    "running": "blue",
    "succeeded": "green",
    "failed": "red",
    "cancelled": "magenta",
}
_WAITING: Final = "waiting"
_NOTHING: Final = "nothing to do"
_STATE_WIDTH: Final = len("submitting -> in_doubt")


class Happening(NamedTuple):
    """One thing that happened, for a line."""

    at: int
    """Microseconds UTC."""
    image: str
    what: str
    state: str
    reason: str


class Scenery(NamedTuple):
    """Everything as it is at one moment."""

    seconds: float
    """Since the start."""
    jobs: Sequence[Job]
    looks: Mapping[str, ImageRow]
    """Image id -> what is known of it, for every watched image that was heard of."""
    names: Mapping[str, str]
    """Image id -> what to call it before it has been looked at."""
    news: Sequence[Happening]
    """What happened since the last time, in its order."""


class Watch:
    """Reads a ledger again and again, and knows what is new."""

    def __init__(self, reader: Reader, images: Mapping[str, str], started: int) -> None:
        self._reader = reader
        self._images = images
        self._started = started
        self._told: dict[str, int] = {}
        self._versions: dict[str, int] = {}
        self._said: dict[str, str] = {}

    async def look(self, now: int) -> Scenery:
        """Everything as it is; ``now`` in microseconds UTC."""
        looks = {}
        for image_id in self._images:
            for row in await self._reader.image(image_id):
                looks[image_id] = row
        jobs = sorted(await self._reader.jobs(JobFilter()), key=lambda job: (job.created_at, job.image_name, job.id))
        news = [*self._from_looks(looks, now)]
        for job in jobs:
            news += [_moved(job, row) for row in await self._new_moves(job)]
        return Scenery((now - self._started) / SECOND, jobs, looks, self._images, sorted(news))

    def _from_looks(self, looks: Mapping[str, ImageRow], now: int) -> Iterator[Happening]:
        for image_id, row in looks.items():
            said = _look_text(row)
            if said is not None and self._said.get(image_id) != said:
                self._said[image_id] = said
                yield Happening(
                    now if row.looked_at is None else row.looked_at,
                    _name(row, self._images[image_id]),
                    "look",
                    row.outcome,
                    said,
                )

    async def _new_moves(self, job: Job) -> list[HistoryRow]:
        if self._versions.get(job.id) == job.version:
            return []
        rows = await self._reader.history(job.id)
        told = self._told.get(job.id, 0)
        self._versions[job.id], self._told[job.id] = job.version, len(rows)
        return [row for row in rows[told:] if row.from_state != row.to_state]


def what_of(job: Job) -> str:
    """A job's action in few words: ``export``, or ``copy ap-shanghai``."""
    return "export" if job.action == "export" else f"copy {job.destination}"


def _name(row: ImageRow, name: str) -> str:
    return (row.image.name if row.image else None) or name or row.image_id


def _moved(job: Job, row: HistoryRow) -> Happening:
    state = f"{row.from_state} -> {row.to_state}" if row.from_state else row.to_state
    return Happening(row.at, job.image_name or job.image_id, what_of(job), state, row.reason)


def _look_text(row: ImageRow) -> str | None:
    """What a look said; None where its jobs say more, and before the first look."""
    if row.looked_at is None:
        return None
    if row.outcome == "decided":
        verdicts = (row.decision or {}).get("verdicts", [])
        matched = [v for v in verdicts if v["verdict"] == "match"]
        return None if matched else "; ".join(f"{v['policy']}: {v['reason']}" for v in verdicts)
    return row.reason or None


# --- two ways to show it -------------------------------------------------------------------------------------------


class View(Protocol):
    """Shows one moment after the other."""

    def show(self, scenery: Scenery, started: int) -> None:
        """The next moment."""
        ...


class Lines:
    """A line for every move, for pipes and plain terminals."""

    def show(self, scenery: Scenery, started: int) -> None:
        """Print what is new."""
        for one in scenery.news:
            seconds = max(0.0, (one.at - started) / SECOND)
            text = f"{seconds:6.1f}s  {one.image:<16} {one.what:<18} {one.state:<{_STATE_WIDTH}}  {one.reason}"
            click.echo(text.rstrip())


@contextmanager
def view(stream: TextIO) -> Iterator[View]:
    """A live table where ``stream`` is a terminal that can show it, else lines."""
    console = console_for(stream)
    if console is None:
        yield Lines()
        return
    from rich.live import Live  # noqa: PLC0415 - rich comes with an extra

    with Live(console=console, auto_refresh=False, redirect_stdout=False, redirect_stderr=False) as live:
        yield _Table(lambda shown: live.update(shown, refresh=True))


def console_for(stream: TextIO) -> Console | None:
    """What draws on ``stream``; None where it is no terminal that can show more than lines, or rich is not there."""
    if not stream.isatty() or find_spec("rich") is None:
        return None
    from rich.console import Console  # noqa: PLC0415 - rich comes with an extra

    console = Console(file=stream, highlight=False)
    return None if console.is_dumb_terminal or not console.is_terminal else console


class _Put(Protocol):
    def __call__(self, shown: RenderableType, /) -> None: ...


class _Table:
    """One row for each job, and for each image without one."""

    def __init__(self, put: _Put) -> None:
        self._put = put

    def show(self, scenery: Scenery, started: int) -> None:  # noqa: ARG002 - the other view needs it
        from rich.table import Table  # noqa: PLC0415 - rich comes with an extra
        from rich.text import Text  # noqa: PLC0415 - the same

        table = Table(box=None, padding=(0, 2, 0, 0), expand=True, title=_title(scenery), title_justify="left")
        for name, ratio in (("image", None), ("action", None), ("state", None), ("what happens", 1)):
            table.add_column(name, no_wrap=True, overflow="ellipsis", ratio=ratio, header_style="bold")
        for image, what, state, reason in _rows(scenery):
            table.add_row(Text(image), Text(what), Text(state, style=COLOURS.get(state, "dim")), Text(reason))
        self._put(table)


def _title(scenery: Scenery) -> str:
    ended = sum(job.state in END_STATES for job in scenery.jobs)
    return f"{scenery.seconds:4.1f} s   {ended} of {len(scenery.jobs)} jobs have ended"


def _rows(scenery: Scenery) -> Iterator[tuple[str, str, str, str]]:
    for job in scenery.jobs:
        yield job.image_name or job.image_id, what_of(job), job.state, job.reason
    busy = {job.image_id for job in scenery.jobs}
    for image_id, row in scenery.looks.items():
        if image_id not in busy:
            state = _WAITING if row.outcome == "due" else _NOTHING
            yield _name(row, scenery.names[image_id]), "", state, _look_text(row) or "to be looked at"
