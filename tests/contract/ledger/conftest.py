"""Every test of this folder runs on every database of the table."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from imageferry.ports import Ledger
from support.clocks import FakeClock
from support.ledgers import DATABASES, Database


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture(params=DATABASES)
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Database:
    return DATABASES[request.param](tmp_path)


@pytest.fixture
async def ledger(database: Database, clock: FakeClock) -> AsyncIterator[Ledger]:
    async with database.open(clock) as opened:
        yield opened
