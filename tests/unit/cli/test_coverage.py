from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import pytest
from click.testing import Result

from imageferry.core.decision import Verdict
from imageferry.core.times import rfc3339
from imageferry.ledgers import overview
from imageferry.ledgers.sqlite import open_ledger
from imageferry.ports import LookDone
from support.clocks import FakeClock
from support.commands import invoke
from support.daemons import EXPORT_ALL, House, account
from support.ledgers import ELSEWHERE, NOW, PLACE, decision, image, job_in, look

COUNTS = ("wanted", "protected", "on_the_way", "failed", "cancelled", "undecided")


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path, {"prod": account("http://127.0.0.1:9")}, [EXPORT_ALL])


async def coverage(house: House, *arguments: str) -> Result:
    """A command has a loop of its own, so it needs a thread of its own."""
    call: Callable[[], Result] = lambda: invoke("coverage", "--config", house.config, *arguments)  # noqa: E731
    return await anyio.to_thread.run_sync(call)


async def told(house: House) -> dict[str, Any]:
    result = await coverage(house, "--format", "json")
    assert (result.exit_code, result.stderr) == (0, "")
    answer: dict[str, Any] = json.loads(result.stdout)
    return answer


async def fill(house: House) -> None:
    async with open_ledger(f"sqlite://{house.ledger}", clock=FakeClock()) as ledger:
        await job_in(ledger, "succeeded", "img-1")
        await job_in(ledger, "failed", "img-1", destination="second", now=NOW + 2)
        await job_in(ledger, "succeeded", "img-2", policies=("archive", "dr"))
        await job_in(ledger, "running", "img-3", now=NOW + 1)
        await job_in(ledger, "cancelled", "img-4")
        await job_in(ledger, "planned", "img-5", place=ELSEWHERE, policies=("dr",))
        due = await look(ledger, "img-6")
        unsure = decision(image("img-6"), Verdict("dr", "unknown", "x"), Verdict("archive", "no_match", "y"))
        await ledger.close_looks([LookDone(due, "decided", "0 actions", unsure)], NOW)
        await look(ledger, "img-7")


async def test_every_image_counts_once_for_each_policy_and_place_by_the_worst_of_its_jobs(house: House) -> None:
    await fill(house)
    answer = await told(house)
    rows = {(row["policy"], row["region"]): tuple(row[name] for name in COUNTS) for row in answer["coverage"]}
    assert rows == {
        ("archive", "ap-guangzhou"): (4, 1, 1, 1, 1, 0),
        ("dr", "ap-guangzhou"): (1, 1, 0, 0, 0, 1),
        ("dr", "ap-shanghai"): (1, 0, 1, 0, 0, 0),
    }
    assert answer["waiting_for_a_look"] == 1


async def test_one_image_at_two_places_counts_once_at_each_whatever_order_its_jobs_have(house: House) -> None:
    async with open_ledger(f"sqlite://{house.ledger}", clock=FakeClock()) as ledger:
        for destination in ("first", "second"):
            for now, place in enumerate((PLACE, ELSEWHERE), NOW):
                await job_in(ledger, "succeeded", "img-1", now, destination=destination, place=place)
    rows = {(row["region"], row["wanted"], row["protected"]) for row in (await told(house))["coverage"]}
    assert rows == {("ap-guangzhou", 1, 1), ("ap-shanghai", 1, 1)}


async def test_the_oldest_unprotected_is_the_oldest_job_that_did_not_succeed(house: House) -> None:
    await fill(house)
    oldest = {(row["policy"], row["region"]): row["oldest_unprotected"] for row in (await told(house))["coverage"]}
    assert oldest == {
        ("archive", "ap-guangzhou"): rfc3339(NOW + 1),
        ("dr", "ap-guangzhou"): None,
        ("dr", "ap-shanghai"): rfc3339(NOW),
    }


@pytest.mark.parametrize("page", [1, 2, 3, 4])
async def test_images_are_counted_whole_however_many_jobs_are_read_at_once(
    house: House, page: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    await fill(house)
    whole = await told(house)
    monkeypatch.setattr(overview, "_PAGE", max(2, page))
    assert await told(house) == whole


async def test_the_table_says_the_same_to_people(house: House) -> None:
    await fill(house)
    lines = (await coverage(house)).stdout.splitlines()
    assert lines[0].split()[:5] == ["POLICY", "CLOUD", "ACCOUNT", "REGION", "WANTED"]
    assert lines[2].split() == ["dr", "tencent", "prod", "ap-guangzhou", "1", "1", "0", "0", "0", "1", "-"]
    assert lines[-1] == "images that wait to be looked at, and may be wanted too: 1"


async def test_a_ledger_of_nothing_says_so(house: House) -> None:
    async with open_ledger(f"sqlite://{house.ledger}", clock=FakeClock()):
        pass
    result = await coverage(house)
    assert (result.exit_code, result.stdout) == (0, "no policy has wanted anything yet\n")
