"""The file source: events from a file or from standard input, one JSON object a line.

The app builds it through the registry and runs it. It reads a file to its end, is then drained, and goes on to follow
what is appended; a path that does not exist yet is waited for. It keeps no bookmark: a restarted daemon reads the
file again, and the ledger knows the repeats by their ids. Reading and parsing happen in a thread.
"""

from __future__ import annotations

import hashlib
import os
import select
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

import anyio
import structlog
from anyio.abc import TaskStatus

from imageferry.errors import SourceFailed
from imageferry.ports import Clock, Delivery, Intake, Unreadable
from imageferry.sources.cloudevents import LARGEST, Codec, EnvelopeReader
from imageferry.sources.mapping import mappers
from imageferry.sources.specs import FileSpec
from imageferry.telemetry.metrics import Metrics

BATCH: Final = 1000
"""The most lines in one batch."""

LOOK_EVERY: Final = 0.5
"""Seconds between two looks at a file that did not grow."""

STANDARD_INPUT: Final = "-"

_CHUNK: Final = 262_144
_WAIT: Final = 0.25


class Line(NamedTuple):
    """A line without its end, and its number from 1."""

    number: int
    text: bytes
    too_long: bool = False
    """Only its beginning is kept."""


class Lines:
    """Cuts chunks into lines, holding at most one unfinished line, and of that no more than one event may have."""

    def __init__(self) -> None:
        self._number = 0
        self._rest = bytearray()
        self._cut = False

    @property
    def tail(self) -> bytes:
        """The unfinished last line."""
        return bytes(self._rest)

    def feed(self, chunk: bytes) -> list[Line]:
        """The lines that this chunk ends."""
        *ended, last = chunk.split(b"\n")
        lines = []
        for piece in ended:
            self._append(piece)
            lines.append(self.finish())
        self._append(last)
        return lines

    def finish(self) -> Line:
        """Take the unfinished line as it is."""
        self._number += 1
        line = Line(self._number, bytes(self._rest), self._cut)
        self._rest.clear()
        self._cut = False
        return line

    def _append(self, piece: bytes) -> None:
        room = LARGEST + 1 - len(self._rest)
        self._rest += piece[:room]
        self._cut = self._cut or len(piece) > room


class _Open(NamedTuple):
    descriptor: int
    identity: tuple[int, int]


class FileSource:
    """Events from a file; see :class:`imageferry.ports.EventSource`.

    :param standard_input: the descriptor that ``-`` means.
    """

    type = "file"
    finite = True

    def __init__(
        self,
        spec: FileSpec,
        name: str,
        readers: Sequence[EnvelopeReader],
        clock: Clock,
        metrics: Metrics,
        standard_input: int = 0,
    ) -> None:
        self.name = name
        self._path = spec.path
        self._codec = Codec(readers, mappers(spec.mapping))
        self._clock = clock
        self._lag = metrics.source_lag.labels(self.type, spec.path)
        self._standard_input = standard_input
        self._log = structlog.get_logger(__name__).bind(source=name, path=spec.path)
        self._trouble: str | None = None
        self._drained = False
        self._lines = Lines()

    def health(self) -> str | None:
        """None when well, also when the path does not exist yet; else why it cannot be read."""
        return self._trouble

    def drained(self) -> bool:
        """Whether the file was there and has been accepted to its end once."""
        return self._drained

    async def run(self, accept: Intake, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Deliver until cancelled; standard input only until its end."""
        task_status.started()
        if self._path == STANDARD_INPUT:
            await self._read_stream(accept)
            return
        while True:
            opened = await self._opened()
            try:
                await self._follow(opened, accept)
            finally:
                os.close(opened.descriptor)
            self._lines = Lines()

    async def _read_stream(self, accept: Intake) -> None:
        while (chunk := await anyio.to_thread.run_sync(_read_when_ready, self._standard_input)) != b"":
            await self._accept(self._lines.feed(chunk or b""), accept)
        await self._accept_tail(accept)
        self._drained = True

    async def _opened(self) -> _Open:
        """Wait until there is a file that can be read."""
        while True:
            try:
                opened = await anyio.to_thread.run_sync(_open, self._path)
            except FileNotFoundError:
                self._trouble = None
            except OSError as error:
                self._say(f"{self._path} cannot be read: {error.strerror}")
            else:
                self._trouble = None
                return opened
            await self._clock.sleep(LOOK_EVERY)

    async def _follow(self, opened: _Open, accept: Intake) -> None:
        """Deliver what is there and what is appended, until the path is another file or a shorter one."""
        read, still = 0, False
        while True:
            try:
                chunk, size = await anyio.to_thread.run_sync(_read, opened.descriptor)
            except OSError as error:
                self._say(f"{self._path} cannot be read: {error.strerror}")
                await self._clock.sleep(LOOK_EVERY)
                return
            read += len(chunk)
            self._lag.set(max(0, size - read))
            if chunk:
                still = False
                await self._accept(self._lines.feed(chunk), accept)
                continue
            if size < read or await anyio.to_thread.run_sync(_replaced, self._path, opened.identity):
                self._log.info("the file was replaced or cut; it is read from its beginning")
                return
            if still or not self._lines.tail:
                await self._rest(accept)
            still = True
            await self._clock.sleep(LOOK_EVERY)

    async def _rest(self, accept: Intake) -> None:
        """The end was reached and nothing came for a while: an unfinished last line may be all there will be.

        The first time it counts as a line whatever it is; later only when it is readable, as a writer may be slow.
        """
        if self._lines.tail and (not self._drained or self._readable(self._lines.tail)):
            await self._accept_tail(accept)
        self._drained = True

    def _readable(self, text: bytes) -> bool:
        return not any(isinstance(one, Unreadable) for one in self._read(text, ""))

    async def _accept_tail(self, accept: Intake) -> None:
        if self._lines.tail:
            await self._accept([self._lines.finish()], accept)

    async def _accept(self, lines: Sequence[Line], accept: Intake) -> None:
        for start in range(0, len(lines), BATCH):
            deliveries = await anyio.to_thread.run_sync(self._parsed, lines[start : start + BATCH])
            if deliveries:
                await accept(deliveries, source_type=self.type)

    def _parsed(self, lines: Sequence[Line]) -> list[Delivery]:
        return [one for line in lines if line.text.strip() for one in self._read_line(line)]

    def _read_line(self, line: Line) -> list[Delivery]:
        found = self._read(line.text.strip(), "")
        if not any(isinstance(one, Unreadable) for one in found):
            return found
        # The content is part of the name: another file's third line at this path is another delivery.
        origin = f"{self._source}:{line.number}#{hashlib.sha256(line.text).hexdigest()[:12]}"
        return self._read(line.text.strip(), origin)

    def _read(self, text: bytes, origin: str) -> list[Delivery]:
        return self._codec.read(text, origin, bare_source=self._source, mapped_source=self._source)

    @property
    def _source(self) -> str:
        return f"file:{self._path}"

    def _say(self, trouble: str) -> None:
        if trouble != self._trouble:
            self._log.warning("the file cannot be read", reason=trouble)
        self._trouble = trouble


def _open(path: str) -> _Open:
    # Without O_NONBLOCK opening a pipe would wait for its writer, and so keep a thread for ever.
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    state = os.fstat(descriptor)
    if not stat.S_ISREG(state.st_mode):
        os.close(descriptor)
        raise OSError(0, "it is not a regular file; use - to read from a pipe")
    return _Open(descriptor, (state.st_dev, state.st_ino))


def _read_when_ready(descriptor: int) -> bytes | None:
    """The next bytes, none at the end; None when nothing came for a moment.

    A thread that waits in ``read`` for ever could not be ended, and would keep the process alive.
    """
    try:
        ready, _, _ = select.select([descriptor], [], [], _WAIT)
        return os.read(descriptor, _CHUNK) if ready else None
    except BlockingIOError:
        return None
    except OSError as error:
        raise SourceFailed(f"standard input cannot be read: {error.strerror}; is it open?") from error


def _read(descriptor: int) -> tuple[bytes, int]:
    chunk = os.read(descriptor, _CHUNK)
    return chunk, os.fstat(descriptor).st_size


def _replaced(path: str, identity: tuple[int, int]) -> bool:
    """Whether the path now means another file; a removed one is read on until there is another."""
    try:
        state = Path(path).stat()
    except FileNotFoundError:
        return False
    return (state.st_dev, state.st_ino) != identity
