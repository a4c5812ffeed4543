"""The hot statements find their rows through an index, however many jobs there are."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from imageferry.ledgers import backfill, letters, looks, moving, outbox, overview, queries
from imageferry.ledgers.script import Rows, Script, Value, drive
from imageferry.ledgers.sqlite import open_ledger
from support.clocks import FakeClock
from support.ledgers import HOUR, NOW, PLACE, ask, freeze, job_in, look, new_job, plan

HERE = (PLACE.account, PLACE.region)

SCRIPTS: dict[str, Callable[[], Script[Any]]] = {
    "claim over a region": lambda: moving.claim(ask(running=9), NOW + HOUR, freeze),
    "claim over an account": lambda: moving.claim(ask(running=9, scope="account"), NOW + HOUR, freeze),
    "due looks": lambda: looks.due_looks(*HERE, NOW, 400),
    "next look": lambda: looks.next_look(*HERE),
    "due jobs": lambda: queries.due_jobs(HERE, "running", NOW, 400, {"ap-shanghai"}),
    "next job": lambda: queries.next_job(*HERE, "planned", None),
    "next export": lambda: queries.next_job(*HERE, "planned", "export"),
    "overdue": lambda: queries.overdue(NOW, 500, 500),
    "in flight": lambda: queries.in_flight(*HERE, "export"),
    "recover": lambda: moving.recover(*HERE, NOW, NOW),
    "copies": lambda: queries.copies(*HERE, [("img-1", "name"), ("img-2", None)]),
    "one job": lambda: queries.job("abc"),
    "history": lambda: queries.history("abc"),
    "image": lambda: queries.image("img-1"),
    "outcomes": lambda: queries.outcomes(PLACE, ["img-1", "img-2"]),
    "told": lambda: queries.told(PLACE, ["img-1", "img-2"]),
    "put in": lambda: backfill.put_in(PLACE, ["img-1", "img-99"], ["a"], NOW),
    "coverage": overview.coverage,
    "letter heads": lambda: letters.letter_heads(20, waiting=True),
    "one dead letter": lambda: letters.dead_letter(1),
    "waiting letters": lambda: letters.waiting_letters(0, 20),
    "pending": lambda: outbox.pending("kafka", 500),
}
FINE = (
    "USING INDEX outbox_pending",
    "USING INDEX images_undecided",
    "USING INDEX dead_letters_waiting",
    "SCAN CONSTANT",
)
"""Indexes of nothing but the rows that are wanted."""


@pytest.mark.parametrize("name", SCRIPTS)
async def test_nothing_is_searched_row_by_row_and_nothing_sorted(name: str, tmp_path: Path) -> None:
    plans: list[str] = []
    async with open_ledger(f"sqlite://{tmp_path}/ledger.db", clock=FakeClock()) as ledger:
        await job_in(ledger, "running", "img-0")
        await plan(ledger, *(new_job(f"img-{n}") for n in range(1, 9)))
        await look(ledger, "img-99")

        def explained(script: Script[Any]) -> Script[None]:
            def execute(statement: str, params: tuple[Value, ...]) -> Rows:
                asked.append((statement, params))
                return connection.execute(statement, params).fetchall()

            asked: list[tuple[str, tuple[Value, ...]]] = []
            connection = ledger._sqlite._writer._connection  # type: ignore[union-attr] # a ledger that writes
            drive(script, execute)  # type: ignore[arg-type] # parameters are tuples here
            for statement, params in asked:
                rows = connection.execute(f"EXPLAIN QUERY PLAN {statement}", params).fetchall()
                plans.extend(f"{row[3]}: {statement}" for row in rows)
            yield from ()

        await ledger._database.write(explained(SCRIPTS[name]()))
    assert plans
    slow = [one for one in plans if one.startswith("SCAN") and not any(fine in one for fine in FINE)]
    slow += [one for one in plans if "TEMP B-TREE" in one]
    assert slow == []


async def test_a_claim_passes_over_busy_images_in_the_index_alone(tmp_path: Path) -> None:
    async with open_ledger(f"sqlite://{tmp_path}/ledger.db", clock=FakeClock()) as ledger:
        await plan(ledger, new_job())

        def script() -> Script[list[str]]:
            connection = ledger._sqlite._writer._connection  # type: ignore[union-attr] # a ledger that writes
            params = ("prod", PLACE.region, "export", 0, NOW, "tencent")
            rows = connection.execute(f"EXPLAIN QUERY PLAN {moving._NEXT}", params).fetchall()
            yield from ()
            return [row[3] for row in rows]

        lines = await ledger._database.write(script())
    assert any("COVERING INDEX jobs_planned" in line for line in lines)
    assert any("INDEX jobs_one_in_flight" in line for line in lines)
