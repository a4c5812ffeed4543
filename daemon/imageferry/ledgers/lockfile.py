"""The lock beside a SQLite ledger: one process writes to it at a time, and a second one is told which.

Taken by the SQLite ledger when it is opened. The kernel gives the lock back when its holder dies, however it dies.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from imageferry.errors import LedgerError, LedgerLocked


class LockFile:
    """An exclusive lock, held from construction until :meth:`release`. The file itself stays.

    :raises LedgerLocked: another process holds it.
    :raises LedgerError: it cannot be written.
    """

    def __init__(self, path: Path) -> None:
        try:
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise LedgerError(
                f"the ledger's lock {path} cannot be written: {error.strerror}; let the daemon's user write there"
            ) from error
        try:
            self._take(path)
        except BaseException:
            os.close(self._file)
            raise

    def _take(self, path: Path) -> None:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(self._file, 20, 0).decode("ascii", "replace").strip()
            who = f"process {holder}" if holder else "another process"
            raise LedgerLocked(
                f"the ledger is in use: {who} holds {path}; stop it first, or give this daemon a ledger of its own"
            ) from None
        os.ftruncate(self._file, 0)
        os.pwrite(self._file, f"{os.getpid()}\n".encode(), 0)

    def release(self) -> None:
        """Give the lock back."""
        os.ftruncate(self._file, 0)
        os.close(self._file)
