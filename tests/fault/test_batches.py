"""One id that the cloud refuses must not poison a batch of a hundred: the others are read, for a few requests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from imageferry.flow.inspect import GONE_LOOKS
from support.faults import rehearsed
from support.policies import policies, policy
from support.rehearsals import image

NOTHING = policies(policy("nothing", match={"name": "no-image-is-called-so"}))
UNKNOWN = ("img-00000001", "img-00000002", "img-00000003")
HANDFUL = 10


@pytest.mark.parametrize("others", [0, 400], ids=["few images", "a full region"])
@pytest.mark.parametrize(
    "switches",
    [{"unknown_ids": "empty"}, {"unknown_ids": "error"}, {"unknown_ids": "error", "names_culprit": False}],
    ids=["left out", "refused", "refused without a name"],
)
async def test_three_unknown_ids_among_a_hundred_cost_a_handful_of_requests(
    tmp_path: Path, switches: dict[str, Any], others: int
) -> None:
    async with rehearsed(tmp_path, **switches) as (stage, cloud):
        for _ in range(others):
            image(cloud)
        known = [image(cloud) for _ in range(97)]
        await stage.sight(*known[:50], *UNKNOWN, *known[50:])
        await stage.look(NOTHING)
        assert [(await stage.ledger.image(each))[0].outcome for each in known] == ["decided"] * 97
        for _ in range(GONE_LOOKS):
            stage.clock.jump(30)
            await stage.look(NOTHING)
        assert [(await stage.ledger.image(each))[0].outcome for each in UNKNOWN] == ["gone"] * 3
        assert cloud.requests.asked("DescribeImages") <= HANDFUL


async def test_an_id_that_spoilt_a_batch_is_kept_out_of_later_ones(tmp_path: Path) -> None:
    async with rehearsed(tmp_path, unknown_ids="error") as (stage, cloud):
        first = [image(cloud) for _ in range(99)]
        await stage.sight(UNKNOWN[0], *first)
        await stage.look(NOTHING)
        later = [image(cloud) for _ in range(99)]
        await stage.sight(*later)
        stage.clock.jump(30)
        before = cloud.requests.answered("InvalidImageId")
        await stage.look(NOTHING)
        assert (before, cloud.requests.answered("InvalidImageId")) == (1, 1)
        assert [(await stage.ledger.image(each))[0].outcome for each in later] == ["decided"] * 99


async def test_a_malformed_id_spoils_nothing_either(tmp_path: Path) -> None:
    async with rehearsed(tmp_path) as (stage, cloud):
        known = [image(cloud) for _ in range(20)]
        await stage.sight("img-NOT-AN-ID", *known)
        await stage.look(NOTHING)
        assert [(await stage.ledger.image(each))[0].outcome for each in known] == ["decided"] * 20
        assert cloud.requests.asked("DescribeImages") <= HANDFUL
