"""The command line: one group, its commands in files of their own, and what every command does with an error.

Errors go to standard error. Exit 0: fine, 1: failed, 2: usage or a bad file, 3: some jobs failed.
"""

from __future__ import annotations

import errno
import importlib
import os
import sys
from collections.abc import Iterator, Sequence
from typing import Final

import click

from imageferry.cli.tables import plain
from imageferry.errors import BadFile, ImageferryError

FAILED: Final = 1
BAD_FILE: Final = 2
SOME_JOBS_FAILED: Final = 3

COMMANDS: Final = {
    "demo": "show the whole walk on rehearsal clouds: no account, no network",
    "run": "the daemon",
    "check": "config and policies: every error at once; --online asks the clouds too",
    "plan": "what would be done with images, and why, without doing it",
    "test": "the tests written beside policies",
    "backfill": "put images that exist already before the policies",
    "jobs": "see and steer jobs",
    "why": "why an image is protected, or is not",
    "coverage": "how far every policy is",
    "dead-letters": "see and replay what could not be read",
    "schema": "JSON Schema of policies, tests and config, for editors",
    "rehearse": "one rehearsal cloud, to try a policy against",
}
"""Every command, in the order of the help text; each is ``command`` in the module of its name."""


def module_of(name: str) -> str:
    """The module of a command; a dash in its name is an underscore there."""
    return f"imageferry.cli.{name.replace('-', '_')}"


class Commands(click.Group):
    """Loads a command's file only when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's own signature
        """Every command's name."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - the same
        """The command, or None for a name there is not."""
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = importlib.import_module(module_of(cmd_name)).command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - the same
        """List the commands without loading them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def invoke(self, ctx: click.Context) -> object:
        """Run a command; an error of ours becomes its message and its exit code, never a traceback."""
        try:
            return super().invoke(ctx)
        except (ImageferryError, OSError, BaseExceptionGroup) as error:
            leaves = list(_leaves(error))
            ours = [one for one in leaves if isinstance(one, ImageferryError)]
            if ours:
                sys.exit(_complain(ours))
            if all(isinstance(one, BrokenPipeError) for one in leaves):
                sys.stderr.close()  # the reader has gone; Python would complain about it on the way out
                sys.exit(FAILED)
            if all(isinstance(one, OSError) and one.errno == errno.ENOSPC for one in leaves):
                click.echo(f"imageferry: cannot write: {os.strerror(errno.ENOSPC)}; make room and try again", err=True)
                sys.exit(FAILED)
            raise


def _leaves(error: BaseException) -> Iterator[BaseException]:
    """Every error in what a task group raised; an error that is no group is itself."""
    if isinstance(error, BaseExceptionGroup):
        for one in error.exceptions:
            yield from _leaves(one)
    else:
        yield error


def _complain(errors: Sequence[ImageferryError]) -> int:
    """Print every message once; returns the exit code."""
    for error in errors:
        lines = [str(c) for c in error.complaints] if isinstance(error, BadFile) else [f"imageferry: {error}"]
        for line in lines:
            click.echo(plain(line), err=True)
    return BAD_FILE if any(isinstance(error, BadFile) for error in errors) else FAILED


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="imageferry")
def main() -> None:
    """Move virtual-machine images where policy wants them."""
