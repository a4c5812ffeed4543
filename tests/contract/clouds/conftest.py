"""The grounds of the suite: every registered cloud as documented, and with every doubt answered the other way."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from support.cloud_table import CLOUD_TABLE, Entry
from support.trials import Begin, Trial, trial


@dataclass(frozen=True, slots=True)
class Ground:
    """A cloud, and how its rehearsal answers what nobody could confirm."""

    entry: Entry
    switches: dict[str, Any]


GROUNDS = {
    f"{entry.cloud}-{answers}": Ground(entry, switches)
    for entry in CLOUD_TABLE.values()
    for answers, switches in {"as documented": {}, "other answers": entry.mixed}.items()
}


@pytest.fixture(params=GROUNDS.values(), ids=GROUNDS.keys())
def ground(request: pytest.FixtureRequest) -> Ground:
    ground: Ground = request.param
    return ground


@pytest.fixture
def entry(ground: Ground) -> Entry:
    return ground.entry


@pytest.fixture
def begin(ground: Ground, tmp_path: Path) -> Begin:
    def begun(**options: Any) -> AbstractAsyncContextManager[Trial]:
        return trial(tmp_path, ground.entry, **{**ground.switches, **options})

    return begun
