"""Every measurement with its real parts, so small that the figures mean nothing: it goes through, and has figures."""

from __future__ import annotations

import pytest

from bench import __main__ as program
from bench.report import Size
from support.kafka import need_kafka

TINY = Size(events=300, rounds=1, sightings=2, exports=3, slow_exports=1, jobs=20, starts=1, submits=3, running=4)


@pytest.mark.parametrize("name", ["pace", "backlog", "costs"])
def test_a_measurement_without_a_broker_has_figures(name: str) -> None:
    rows = program.measured([name], TINY)
    assert rows
    assert [row.figure for row in rows if row.ratio is None] == []


@pytest.mark.parametrize("name", ["intake", "latency"])
def test_a_measurement_with_a_broker_has_figures(name: str) -> None:
    need_kafka()
    rows = program.measured([name], TINY)
    assert rows
    assert [row.figure for row in rows if row.ratio is None] == []
