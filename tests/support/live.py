"""Accounts that commands ask: a rehearsal over HTTP, a config for it, and the command in a thread beside it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
from click.testing import Result

from imageferry.core.times import SECOND
from imageferry.rehearsal.options import RATES
from imageferry.rehearsal.store import NewImage
from imageferry.rehearsal.tencent import TencentRehearsal
from imageferry.telemetry.clock import SystemClock
from support.commands import invoke
from support.daemons import EXPORT_ALL, House, account
from support.rehearsals import OTHER_REGION, REGION, served, tencent

DAY = 86_400 * SECOND


@dataclass(slots=True)
class Held:
    """A cloud that holds images, and a house whose account it is."""

    server: TencentRehearsal
    house: House

    def add(self, **facts: Any) -> str:
        """An image that was made a day ago, unless told otherwise."""
        made = {"region": REGION, "created_at": SystemClock().now() - DAY}
        return self.server.add_image(NewImage(**{**made, **facts}))

    async def run(self, command: str, *options: str) -> Result:
        """Run a command as it is typed."""
        return await anyio.to_thread.run_sync(lambda: invoke(command, "--config", self.house.config, *options))


@asynccontextmanager
async def held(
    folder: Path,
    policies: Sequence[dict[str, Any]] = (EXPORT_ALL,),
    *,
    regions: Sequence[str] = (REGION, OTHER_REGION),
    running: int = 10,
    sources: Sequence[dict[str, Any]] | None = None,
) -> AsyncIterator[Held]:
    """A Tencent rehearsal in a hurry that runs so many exports at once, and a house with the account ``prod`` there."""
    rates = dict.fromkeys(RATES)
    server = tencent(SystemClock(), rates=rates, export_seconds=0.2, copy_seconds=0.2, exports_running=running)
    limits = {kind: {"rate": "40/s", "running": running} for kind in ("export", "copy")}
    async with served(server) as url:
        prod = account(url, regions=list(regions), limits={**limits, "read": {"rate": "400/s"}})
        house = House(folder, {"prod": prod}, policies, sources)
        house.tell([])  # the file is there, so that it can be used up
        yield Held(server, house)
