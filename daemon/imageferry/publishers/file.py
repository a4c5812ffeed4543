"""The file publisher: one completion a line, on the disk before it counts as published.

The app opens it through the registry; only flow's announce loop calls it. Two daemons may not share a file. It neither
rotates nor shortens the file, but for the unfinished last line that a crash in mid-write leaves: that event was never
counted as published and comes again.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Final

import anyio
import structlog

from imageferry.errors import PublishFailed
from imageferry.ports import Clock, OutboxRow
from imageferry.publishers.specs import FileSpec

_BLOCK: Final = 65_536


class FilePublisher:
    """See :class:`imageferry.ports.Publisher`."""

    type = "file"

    def __init__(self, spec: FileSpec, name: str, _clock: Clock) -> None:
        self.name = name
        self._path = Path(spec.path)
        self._descriptor: int | None = None
        self._log = structlog.get_logger(__name__).bind(publisher=name, path=spec.path)

    @asynccontextmanager
    async def open(self) -> AsyncIterator[FilePublisher]:
        """Open the file, cut an unfinished last line, and hold it open.

        :raises PublishFailed: the file cannot be opened or created.
        """
        await self._in_thread(self._open)
        try:
            yield self
        finally:
            self._close()

    async def publish(self, rows: Sequence[OutboxRow]) -> None:
        """Append the batch and flush it to the disk.

        :raises PublishFailed: nothing of the batch stayed in the file.
        """
        await self._in_thread(partial(self._append, b"".join(row.body.encode() + b"\n" for row in rows)))

    async def _in_thread(self, act: Callable[[], object]) -> None:
        try:
            await anyio.to_thread.run_sync(act)
        except OSError as error:
            raise PublishFailed(
                f"{self._path} cannot be written: {error.strerror or error}; check the folder, its rights and its space"
            ) from error

    def _open(self) -> int:
        new = not self._path.exists()
        descriptor = os.open(self._path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)
        self._descriptor = descriptor
        if new:
            _flush_folder(self._path.parent)
        size = os.fstat(descriptor).st_size
        whole = _end_of_last_line(descriptor, size)
        if whole < size:
            self._log.warning("cut an unfinished last line; its event is published again", bytes=size - whole)
            os.ftruncate(descriptor, whole)
            os.fsync(descriptor)
        return descriptor

    def _append(self, lines: bytes) -> None:
        descriptor = self._current()
        size = os.fstat(descriptor).st_size
        try:
            written = 0
            while written < len(lines):
                written += os.write(descriptor, lines[written:])
            os.fsync(descriptor)
        except OSError:
            # Opening anew cuts the half line even where this cut fails too.
            self._close()
            os.truncate(self._path, size)
            raise

    def _current(self) -> int:
        """The open file; opened anew when the path was renamed or removed, as rotation does."""
        if self._descriptor is not None and _is_open_at(self._descriptor, self._path):
            return self._descriptor
        self._close()
        return self._open()

    def _close(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def _is_open_at(descriptor: int, path: Path) -> bool:
    try:
        there = path.stat()
    except FileNotFoundError:
        return False
    return os.path.samestat(os.fstat(descriptor), there)


def _end_of_last_line(descriptor: int, size: int) -> int:
    """The offset after the last line end; 0 when there is none."""
    end = size
    while end > 0:
        start = max(0, end - _BLOCK)
        found = os.pread(descriptor, end - start, start).rfind(b"\n")
        if found >= 0:
            return start + found + 1
        end = start
    return 0


def _flush_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
