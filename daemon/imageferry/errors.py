"""The error tree, drawn here; an error is named for what its catcher does next.

    ImageferryError
    ├── BadFile            a file the user wrote is wrong: print every complaint, exit 2
    ├── Refused            a cloud answered with something other than yes: act on its class
    ├── CircuitOpen        an account is closed off: wait until the circuit lets one request try again
    ├── LedgerError        the ledger cannot be used: stop, the supervisor restarts
    │   ├── LedgerLocked   another daemon holds it: say which, exit 1
    │   └── SchemaTooNew   it was written by a newer imageferry: exit 1
    ├── MoveConflict       a row changed since it was read: read again, decide again
    ├── MoveForbidden      the transition table says no: tell the person who asked
    ├── BatchRefused       a batch of old images does not fit the daemon: tell the person who asked
    ├── SourceFailed       a source cannot go on: its reason goes to readyz
    └── PublishFailed      a publisher did not take a batch: the outbox keeps it, try again later

Nothing here knows about files, clouds or databases; records are passed in as they are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

    from imageferry.core.answers import Answer


class ImageferryError(Exception):
    """Every error that imageferry raises on purpose."""


class Complaint(NamedTuple):
    """One thing that is wrong with a user's file, at a position counted from 1."""

    path: str
    line: int
    column: int
    message: str
    """What is wrong; what was expected; a suggestion (parts joined by "; ")."""

    def __str__(self) -> str:
        return f"{self.path}:{self.line}:{self.column}: {self.message}"


class BadFile(ImageferryError):
    """One or more user files are wrong; ``complaints`` lists everything, in file and line order."""

    def __init__(self, complaints: Sequence[Complaint]) -> None:
        super().__init__("\n".join(str(c) for c in complaints))
        self.complaints = tuple(complaints)


class Refused(ImageferryError):
    """A cloud did not do what was asked; ``answer`` holds its class, code, message and request id."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(str(answer))
        self.answer = answer


class CircuitOpen(ImageferryError):
    """The account is closed off after an ``auth`` answer; nothing was sent."""

    def __init__(self, account: str, reason: str) -> None:
        super().__init__(f"account {account} is closed off: {reason}")
        self.account = account
        self.reason = reason


class LedgerError(ImageferryError):
    """The ledger cannot be used."""


class LedgerLocked(LedgerError):
    """Another daemon holds this ledger."""


class SchemaTooNew(LedgerError):
    """The ledger's schema is newer than this program."""


class MoveConflict(ImageferryError):
    """The row was changed by someone else since it was read (compare-and-set on its version failed)."""


class MoveForbidden(ImageferryError):
    """The transition table does not have this move."""


class BatchRefused(ImageferryError):
    """A back-fill names a place or a policy that the daemon does not have; nothing of it was written."""


class SourceFailed(ImageferryError):
    """A source cannot go on; the message says why and what to do."""


class PublishFailed(ImageferryError):
    """A publisher did not take the batch; nothing of it may be marked as published."""
