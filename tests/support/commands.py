"""The command line in tests: in this process where output and exit code are enough, else as a process of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from click.testing import CliRunner, Result

from imageferry.cli.main import main


def invoke(*arguments: str | Path, stdin: str | bytes | None = None, env: Mapping[str, str] | None = None) -> Result:
    """Run a command in this process; its errors are those that a person would see."""
    result = CliRunner().invoke(main, [str(each) for each in arguments], input=stdin, env=env)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def program(*arguments: str | Path) -> list[str]:
    """The command line of a process of its own."""
    return [sys.executable, "-m", "imageferry", *(str(each) for each in arguments)]


def environment(**more: str) -> dict[str, str]:
    """This process's environment, unbuffered, without what could lead a command elsewhere."""
    left_out = {"IMAGEFERRY_CONFIG", "TENCENTCLOUD_SECRET_ID", "TENCENTCLOUD_SECRET_KEY", "COLUMNS"}
    return {**{k: v for k, v in os.environ.items() if k not in left_out}, "PYTHONUNBUFFERED": "1", **more}


def run(*arguments: str | Path, cwd: Path, within: float = 60.0, **env: str) -> subprocess.CompletedProcess[str]:
    """Run a command as a process of its own, to its end."""
    return subprocess.run(
        program(*arguments),
        cwd=cwd,
        env=environment(**env),
        capture_output=True,
        text=True,
        timeout=within,
        check=False,
    )


class Started:
    """A command that runs on; its output is read line by line."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.lines: list[str] = []

    def until(self, text: str) -> str:
        """Read until a line holds ``text``; that line. A command that ends before it fails the test."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line.rstrip("\n"))
            if text in line:
                return self.lines[-1]
        raise AssertionError(f"it ended without saying {text!r}:\n" + "\n".join(self.lines))

    def stop(self, number: signal.Signals = signal.SIGINT) -> int:
        """Send a signal; the exit code."""
        self.process.send_signal(number)
        rest, _ = self.process.communicate(timeout=60)
        self.lines += rest.splitlines()
        return self.process.returncode

    @property
    def text(self) -> str:
        return "\n".join(self.lines)


@contextmanager
def started(arguments: Sequence[str | Path], cwd: Path, **env: str) -> Iterator[Started]:
    """Start a command, both its outputs in one; it is killed in the end if it still runs."""
    with subprocess.Popen(
        program(*arguments),
        cwd=cwd,
        env=environment(**env),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        try:
            yield Started(process)
        finally:
            if process.poll() is None:
                process.kill()
