"""Taking old images from the command: only for what the daemon has, and written the same way by both."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from imageferry.control import LONGEST_LINE
from imageferry.core.image import Place
from imageferry.errors import BatchRefused
from imageferry.flow.backfill import Batch, take
from imageferry.ports import PutIn
from support.ledgers import NOW, PLACE
from support.stages import Stage, staged

BATCH = Batch(PLACE, ("img-1", "img-2"), ("archive",))


async def taken(stage: Stage, batch: Batch, *policies: str) -> PutIn:
    return await take(stage.ledger, stage.clock, {"prod": stage.site.account}, policies, batch)


async def test_a_batch_is_put_in_for_its_policies(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage:
        assert await taken(stage, BATCH, "archive", "dr") == PutIn(put_in=2, waiting=0)
        looks = await stage.ledger.due_looks("prod", PLACE.region, NOW, 10)
        assert [(one.image_id, one.only) for one in looks] == [("img-1", ("archive",)), ("img-2", ("archive",))]


@pytest.mark.parametrize(
    "place",
    [
        Place("tencent", "other", PLACE.region),
        Place("huawei", "prod", PLACE.region),
        Place("tencent", "prod", "eu-nowhere-9"),
    ],
)
async def test_a_place_that_the_daemon_does_not_have_is_refused(tmp_path: Path, place: Place) -> None:
    async with staged(tmp_path) as stage:
        with pytest.raises(BatchRefused, match=f"{place} is not configured"):
            await taken(stage, Batch(place, ("img-1",)))
        assert await stage.ledger.open_work() == (0, 0)


async def test_a_policy_that_is_not_in_force_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage:
        with pytest.raises(BatchRefused, match="policy archive is not in force in the daemon; reload it"):
            await taken(stage, BATCH, "dr")
        assert await stage.ledger.open_work() == (0, 0)


def test_a_batch_goes_over_the_socket_and_back() -> None:
    assert Batch.from_request(json.loads(json.dumps(BATCH.to_request()))) == BATCH


def test_a_page_of_a_hundred_images_fits_into_a_line() -> None:
    ids = tuple(f"{n:0>36}" for n in range(100))
    batch = Batch(Place("huawei", "a" * 100, "cn-north-4"), ids, tuple(f"{n:x>100}" for n in range(100)))
    assert len(json.dumps(batch.to_request())) < LONGEST_LINE


@pytest.mark.parametrize(
    "change",
    [
        {"place": ["tencent", "prod"]},
        {"place": "abc"},
        {"images": "img-1"},
        {"images": [1]},
        {"policies": None},
        {"policies": {"a": 1}},
    ],
)
def test_a_request_of_another_shape_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(BatchRefused, match="this is no batch of images"):
        Batch.from_request({**BATCH.to_request(), **change})
