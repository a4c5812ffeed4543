"""How every cloud lists an account's own images: page by page, each once, and no page for an empty one."""

from __future__ import annotations

import pytest

from imageferry.core.image import Image
from imageferry.errors import Refused
from imageferry.ports import own_images
from support.trials import Begin, Trial

MANY = 250
HANDFUL = 30


async def listed(trial: Trial) -> list[Image]:
    return [image async for page in own_images(trial.stage.cloud, trial.entry.region) for image in page]


async def test_hundreds_of_images_are_all_listed_once_under_their_names(begin: Begin) -> None:
    async with begin() as trial:
        names = {trial.image(name=f"生产-{number} «Maß» 🚢"): f"生产-{number} «Maß» 🚢" for number in range(MANY)}
        trial.image(region=trial.entry.other_region)
        images = await listed(trial)
        assert len(images) == MANY
        assert {image.id: image.name for image in images} == names
        assert {(image.place.region, image.visibility) for image in images} == {(trial.entry.region, "private")}
        assert trial.asked(trial.entry.looks) <= HANDFUL


async def test_an_account_without_images_has_none(begin: Begin) -> None:
    async with begin() as trial:
        assert await listed(trial) == []


@pytest.mark.parametrize("fault", ["status", "garbage", "drop", "throttle"])
async def test_a_page_that_is_not_answered_is_none_and_can_be_asked_for_again(begin: Begin, fault: str) -> None:
    async with begin() as trial:
        ids = {trial.image(name=f"web-{number}") for number in range(120)}
        first = await trial.stage.cloud.list_images(trial.entry.region)
        assert first.marker is not None
        trial.misbehave(fault, trial.entry.looks)
        with pytest.raises(Refused) as refused:
            await trial.stage.cloud.list_images(trial.entry.region, first.marker)
        assert refused.value.answer.klass in ("retry", "unanswered", "throttled")
        trial.cloud.behave()
        assert {image.id for image in await listed(trial)} == ids
