from __future__ import annotations

from typing import Any

import pytest

from imageferry.clouds.huawei.facts import FACTS
from imageferry.core.image import Image
from support.huawei_rehearsals import BUCKET, OTHER_REGION, image
from support.huawei_stages import PLACE, staged

GIB = 1 << 30
DESTINATIONS = {"export": BUCKET, "copy": OTHER_REGION}


def refused(seen: Image, action: Any, **options: Any) -> str:
    found = FACTS.preflight(seen, action, DESTINATIONS[action], options)
    return found.reason if found else ""


@pytest.mark.parametrize(
    ("facts", "action"),
    [
        ({"image_type": "PUBLIC_IMAGE"}, "export"),
        ({"image_type": "PUBLIC_IMAGE"}, "copy"),
        ({"image_type": "MARKET_IMAGE"}, "export"),
        ({"image_type": "MARKET_IMAGE"}, "copy"),
        ({"image_type": "SHARED_IMAGE"}, "export"),
        ({"image_type": "SHARED_IMAGE"}, "copy"),
        ({"extra": {"virtual_env_type": "IsoImage"}}, "export"),
        ({"extra": {"disk_format": "iso"}}, "copy"),
        ({"instance_image": True}, "export"),
        ({"instance_image": True}, "copy"),
        ({"extra": {"backup_id": "b-1"}}, "export"),
        ({"extra": {"product_code": "p-1"}}, "export"),
        ({"size_gib": 1024}, "export"),
        ({"size_gib": 200, "encrypted": True}, "export"),
        ({"size_gib": 301}, "copy"),
        ({"encrypted": True}, "copy"),
        ({"fails": True}, "export"),
    ],
)
async def test_what_the_cloud_would_refuse_for_ever_is_known_from_a_look(facts: dict[str, Any], action: Any) -> None:
    async with staged(shows_whole_image=True) as stage:
        image_id = image(stage.server, **facts)
        seen = await stage.image(image_id)
        job = await (stage.export(image_id) if action == "export" else stage.copy(image_id))
        answer = await stage.refused(job)
    assert refused(seen, action)
    assert answer.klass in ("permanent_image", "wait_image")


@pytest.mark.parametrize("action", ["export", "copy"])
async def test_an_own_image_that_is_shared_with_others_is_still_ours(action: Any) -> None:
    async with staged() as stage:
        image_id = image(stage.server, extra={"shared_out": True})
        assert refused(await stage.image(image_id), action) == ""
        await stage.running(await (stage.export(image_id) if action == "export" else stage.copy(image_id)))


@pytest.mark.parametrize(
    ("size", "exact", "forbidden"),
    [
        (1024, 1024 * GIB, True),
        (1024, 1023 * GIB + 1, False),
        (1023, 1023 * GIB, False),
        (1024, 0, True),
        (40, 0, False),
    ],
)
def test_an_exact_size_counts_more_than_the_rounded_one(size: int, exact: int, *, forbidden: bool) -> None:
    seen = Image(place=PLACE, id="i", size_gib=size, encrypted=False, extra={"bytes": exact})
    assert bool(refused(seen, "export")) is forbidden


def test_a_size_that_nobody_told_refuses_nothing() -> None:
    assert refused(Image(place=PLACE, id="i"), "export") == refused(Image(place=PLACE, id="i"), "copy") == ""
