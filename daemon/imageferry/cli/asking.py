"""How commands that write reach the ledger: through the daemon that has it, or themselves where none runs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

import anyio

from imageferry.control import Request, ask, socket_path
from imageferry.errors import ImageferryError
from imageferry.ledgers.sqlite import open_ledger, sqlite_path
from imageferry.ports import Clock, Ledger
from imageferry.settings import Settings
from imageferry.telemetry.clock import SystemClock

_NO_ANSWER: Final = (anyio.EndOfStream, anyio.IncompleteRead, anyio.BrokenResourceError, TimeoutError)
"""It ended in the middle, or hangs."""

Alone = Callable[[Ledger, Clock], Awaitable[Mapping[str, Any]]]
"""Does what was asked on the ledger itself; answers what the daemon would have answered."""


async def ask_or_do(settings: Settings, request: Request, alone: Alone) -> Mapping[str, Any]:
    """Ask the running daemon; open the ledger ourselves only when none holds it.

    :raises ImageferryError: the daemon says no, in its words; or what ``alone`` raises.
    """
    try:
        answer = await ask(socket_path(sqlite_path(settings.ledger_url)), request)
    except _NO_ANSWER as error:
        raise ImageferryError(
            "the daemon was asked and did not answer; whether it did it is not known: see that it runs, and ask again"
        ) from error
    if answer is not None:
        if "error" in answer:
            raise ImageferryError(str(answer["error"]))
        return answer
    clock = SystemClock()
    async with open_ledger(settings.ledger_url, clock=clock) as ledger:
        return await alone(ledger, clock)
