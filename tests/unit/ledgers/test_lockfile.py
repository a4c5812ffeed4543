"""The lock beside the ledger."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from imageferry.errors import LedgerError, LedgerLocked
from imageferry.ledgers.lockfile import LockFile

HOLDER = """
import sys
from pathlib import Path
from imageferry.ledgers.lockfile import LockFile
lock = LockFile(Path(sys.argv[1]))
print("held", flush=True)
sys.stdin.read()
"""


def test_the_lock_holds_the_pid_of_its_holder(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db.lock"
    lock = LockFile(path)
    assert path.read_text() == f"{os.getpid()}\n"
    lock.release()
    assert path.read_text() == ""


def test_the_lock_of_another_process_names_it_and_is_free_once_it_was_killed(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db.lock"
    arguments = [sys.executable, "-c", HOLDER, str(path)]
    with subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(LedgerLocked, match=f"process {holder.pid} holds {path}; stop it first"):
            LockFile(path)
        holder.send_signal(signal.SIGKILL)
        holder.wait()
    LockFile(path).release()


def test_a_longer_pid_from_before_is_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db.lock"
    path.write_text("99999999999\n")
    lock = LockFile(path)
    assert path.read_text() == f"{os.getpid()}\n"
    lock.release()


def test_a_lock_without_a_pid_still_says_that_it_is_held(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db.lock"
    lock = LockFile(path)
    path.write_text("")
    with pytest.raises(LedgerLocked, match="another process holds"):
        LockFile(path)
    lock.release()


def test_a_lock_that_cannot_be_written_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(LedgerError, match="let the daemon's user write there"):
        LockFile(tmp_path / "nowhere" / "ledger.db.lock")
