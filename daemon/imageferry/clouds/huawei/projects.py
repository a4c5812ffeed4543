"""The ids of the projects that images live in: as configured, else as the identity service names them, and kept.

The client asks it before every request to the image API. A region's own project has the region's id for a name.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

import anyio

from imageferry.clouds.wire import Told
from imageferry.core.account import Account
from imageferry.core.answers import Answer
from imageferry.errors import Refused

ACTION: Final = "KeystoneListProjects"

Lister = Callable[[str, str], Awaitable[Told]]
"""(region, name) -> the projects of that name, as the identity service lists them.

:raises Refused: it did not answer, or not with a success.
:raises CircuitOpen: the account is closed off.
"""


class Projects:
    """One account's projects."""

    def __init__(self, account: Account, lister: Lister) -> None:
        self._account = account.name
        self._lister = lister
        self._ids = {(region, region): project for region, project in account.credentials.projects.items()}
        self._locks: dict[tuple[str, str], anyio.Lock] = {}

    def known(self, region: str, name: str = "") -> str | None:
        """The id of a project, where it is known; without a name that of the region's own."""
        return self._ids.get((region, name or region))

    async def find(self, region: str, name: str = "") -> str:
        """The id of a project; one question for each at a time, however many ask.

        :raises Refused: it could not be found out.
        :raises CircuitOpen: the account is closed off.
        """
        which = (region, name or region)
        async with self._locks.setdefault(which, anyio.Lock()):
            if which not in self._ids:
                self._ids[which] = await self._ask(*which)
            return self._ids[which]

    async def _ask(self, region: str, name: str) -> str:
        told = await self._lister(region, name)
        listed = told.content.get("projects")
        rows = [row for row in listed if isinstance(row, dict)] if isinstance(listed, list) else []
        ids = [str(row["id"]) for row in rows if row.get("name", name) == name and row.get("id")]
        if len(ids) == 1:
            return ids[0]
        count = f"{len(ids)} projects" if ids else "no project"
        reason = f"{count} named {name} in account {self._account}; write the one that is meant: credentials.projects"
        raise Refused(Answer("permanent_config", f'{reason}: {{{region}: "…"}}', request_id=told.answer.request_id))
