"""How commands that write do it: by the running daemon, and only where none holds the ledger by themselves."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from imageferry.control import Request, ask, socket_path
from imageferry.errors import MoveForbidden
from imageferry.ledgers.sqlite import open_ledger, sqlite_path
from imageferry.ports import Clock, Ledger
from imageferry.settings import Settings
from imageferry.telemetry.clock import SystemClock

Do = Callable[[Ledger, Clock], Awaitable[Mapping[str, Any]]]
"""Does by itself what the daemon would do, and answers the same."""


async def ask_or_do(settings: Settings, request: Request, do: Do) -> Mapping[str, Any]:
    """Ask the running daemon; open the ledger ourselves only when none holds it.

    :raises MoveForbidden: the daemon refuses, and says why.
    :raises LedgerLocked: another process holds the ledger and does not listen.
    """
    answer = await ask(socket_path(sqlite_path(settings.ledger_url)), request)
    if answer is None:
        clock = SystemClock()
        async with open_ledger(settings.ledger_url, clock=clock) as ledger:
            answer = await do(ledger, clock)
    if "error" in answer:
        raise MoveForbidden(str(answer["error"]))
    return answer
