"""Takes changed policies into force while the daemon runs: when a person says so, and when the files change.

The app runs :meth:`Reloading.watch` and calls :meth:`Reloading.now` for SIGHUP. A change that is noticed is only a
hint: everything is read again, and either all of it comes into force or nothing. What a file says is the policies'
affair.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

import anyio
import structlog
from watchfiles._rust_notify import RustNotify, WatchfilesRustInternalError

from imageferry.policies import Found, PolicyBook, fingerprint
from imageferry.ports import Clock

LOOK_EVERY: Final = 10.0
"""Seconds between two looks where no change is noticed: some file systems tell of none."""
_QUIET_MS: Final = 200
"""A change counts once nothing has followed it for so long: half of a change would be a wrong file."""
_LONGEST_MS: Final = 2_000
"""A change counts after so long, whatever follows it."""
_KUBERNETES: Final = ".."
"""Begins the names through which Kubernetes swaps all the files of a volume at once."""

_Identity = tuple[int, int] | None


class Reloading:
    """Reads the policies again; ``changed`` is told after each time that did anything."""

    def __init__(self, book: PolicyBook, clock: Clock, changed: Callable[[], None]) -> None:
        self._book = book
        self._path = Path(os.path.abspath(book.path))  # noqa: PTH100 - resolve() would follow links that are swapped
        self._clock = clock
        self._changed = changed
        self._seen: str | None = None
        self._reads = 0
        self._log = structlog.get_logger(__name__)
        self._trouble: str | None = None

    @property
    def wrong(self) -> str | None:
        """Why the policy files on disk are not the set in force."""
        return "; ".join(str(complaint) for complaint in self._book.complaints) or None

    def now(self) -> None:
        """Read everything at once, and say what came of it, even if that is nothing."""
        self._reads += 1
        self._book.take(self._book.read())
        self._tell()

    async def watch(self) -> None:
        """Read again whenever a file has changed, until cancelled; what has not changed is not said."""
        while True:
            trouble = await self._watched()
            if trouble is not None:
                self._say(f"{self._path} cannot be watched: {trouble}")
                await self._look()
                await self._clock.sleep(LOOK_EVERY)

    async def _watched(self) -> Exception | None:
        """Look at every hint, until what is watched is no longer what stands there; or why it cannot be watched."""
        folders = self._folders()
        stop = anyio.Event()
        try:
            watcher = await anyio.to_thread.run_sync(_watcher, list(folders))
        except (OSError, WatchfilesRustInternalError) as error:
            return error
        self._trouble = None
        with watcher:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(_set_when_cancelled, stop)
                await self._look()  # whatever changed before this was watched
                looked = self._clock.monotonic()
                while self._folders() == folders:
                    timeout = round(LOOK_EVERY * 1000)
                    hint = await anyio.to_thread.run_sync(watcher.watch, _LONGEST_MS, _QUIET_MS, timeout, stop)
                    late = self._clock.monotonic() - looked >= LOOK_EVERY  # a busy ledger beside them never times out
                    if late or isinstance(hint, str) or any(self._matters(path) for _, path in hint):
                        await self._look()
                        looked = self._clock.monotonic()
                tasks.cancel_scope.cancel()
        return None

    def _folders(self) -> dict[Path, _Identity]:
        """What is watched: the folder of the policies if they have one, and the folder that theirs stands in."""
        return {path: _identity(path) for path in self._candidates() if path.is_dir()}

    def _candidates(self) -> Iterator[Path]:
        yield self._path.parent  # a removed folder, or a file that another takes the place of, is seen only from here
        yield self._path

    def _matters(self, changed: str) -> bool:
        """Whether a change may be one of the policies; the ledger may stand beside them, and changes all the time."""
        path = Path(changed)
        return self._path in {path, path.parent} or path.name.startswith(_KUBERNETES)

    async def _look(self) -> None:
        """Read again if any file is another than the last time; a file system that hangs keeps nothing from ending."""
        seen = await anyio.to_thread.run_sync(fingerprint, self._path, abandon_on_cancel=True)
        if seen == self._seen:
            return
        self._seen = seen
        self._reads = reads = self._reads + 1
        found: Found = await anyio.to_thread.run_sync(self._book.read, abandon_on_cancel=True)
        if self._reads == reads and self._book.take(found):  # a read that began later knows better
            self._tell()

    def _tell(self) -> None:
        current = self._book.current
        for complaint in self._book.complaints:
            self._log.error("policies kept as they were: a file is wrong", complaint=str(complaint))
        if not self._book.complaints:
            self._log.info("policies read again", policies=len(current.names), digest=current.digest)
        self._changed()

    def _say(self, trouble: str) -> None:
        if trouble != self._trouble:
            self._log.warning("looking at the policies now and then instead", reason=trouble, every=LOOK_EVERY)
        self._trouble = trouble


def _watcher(folders: Sequence[Path]) -> RustNotify:
    """Watches from now on; the library's own loop would begin only when it is first asked."""
    paths = [str(folder) for folder in folders]
    # no debugging, notices from the system where it has any, no folders below
    return RustNotify(paths, False, False, 300, False, True)  # noqa: FBT003 - the library's own signature


def _identity(path: Path) -> _Identity:
    """Which folder a path means now; another one has to be watched anew."""
    try:
        state = path.stat()
    except OSError:
        return None
    return state.st_dev, state.st_ino


async def _set_when_cancelled(stop: anyio.Event) -> None:
    """The watching thread looks at nothing else: without this it would go on until its time is over."""
    try:
        await anyio.sleep_forever()
    finally:
        stop.set()
