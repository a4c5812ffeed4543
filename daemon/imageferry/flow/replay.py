"""Replays dead letters: what can be read today goes the way of every event, what cannot stays, with today's reason.

Called by the daemon for requests that come over its socket, and by the command itself when no daemon runs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from imageferry.errors import MoveConflict
from imageferry.flow.intake import Recorder
from imageferry.ports import DeadLetter, Delivery, Unreadable

DO: Final = "replay"
"""What a request for it says under ``do``."""
MOST: Final = 20
"""Letters that one request may name: the answer about them has to fit on a line of the socket."""
_UNKNOWN: Final = "there is no such letter; `imageferry dead-letters list` shows them"
_LONGEST: Final = 300
_LAST: Final = 2**63 - 1
"""The largest number that a database has."""
_CUT: Final = "too large"
"""Begins the reason of a letter of which only the first part was kept."""


class Replayed(NamedTuple):
    """What became of one letter."""

    id: int
    read: bool
    """Whether it is done with."""
    text: str
    """What its events became, or why it cannot be read, shortened."""


@dataclass(frozen=True, slots=True)
class Replay:
    """Reads letters again and has the recorder take them."""

    recorder: Recorder
    reread: Callable[[DeadLetter], Sequence[Delivery]]

    async def __call__(self, letter_id: int) -> Replayed:
        """Replay one letter.

        :raises MoveConflict: somebody else replayed it at the same moment.
        """
        ledger = self.recorder.ledger
        letter = await ledger.dead_letter(letter_id)
        if letter is None:
            return Replayed(letter_id, read=False, text=_UNKNOWN)
        if letter.replayed_at is not None:
            return Replayed(letter_id, read=True, text=f"was replayed before: {letter.outcome}")
        found = self.reread(letter)
        wrong = [one for one in found if isinstance(one, Unreadable)]
        if wrong and len(wrong) == len(found):
            reason = letter.reason if letter.reason.startswith(_CUT) else wrong[0].reason
            await ledger.still_dead(letter_id, reason)
            return Replayed(letter_id, read=False, text=reason[:_LONGEST])
        recorded = await self.recorder.replayed(letter_id, found, letter.source.partition(":")[0])
        counts = ", ".join(f"{count} {name}" for name, count in recorded._asdict().items() if count)
        return Replayed(letter_id, read=True, text=counts or "it says nothing of an image")


def _is_number(value: object) -> bool:
    return type(value) is int and 0 < value <= _LAST


async def answered(replay: Replay, letters: object) -> Mapping[str, Any]:
    """The answer to a request that came over the socket: ``{"letters": [{id read text}]}``, or ``{"error": …}``."""
    if not isinstance(letters, list) or len(letters) > MOST or not all(map(_is_number, letters)):
        return {"error": f"this names no dead letters; a list of at most {MOST} numbers was expected"}
    try:
        return {"letters": [(await replay(letter))._asdict() for letter in letters]}
    except MoveConflict as error:
        return {"error": str(error)}
