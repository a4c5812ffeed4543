from __future__ import annotations

from typing import Any

import pytest

from imageferry.clouds.jdcloud.facts import FACTS
from imageferry.core.answers import Refusal
from imageferry.core.image import Image
from support.jdcloud_rehearsals import image
from support.jdcloud_stages import PLACE, staged


def judged(bucket: str, **options: Any) -> Refusal | None:
    return FACTS.preflight(Image(place=PLACE, id="img-1"), "export", bucket, options)


@pytest.mark.parametrize("role", ["abc", "1abc", "a b c d", "x" * 65, "rolé"])
def test_what_cannot_be_a_roles_name_is_the_configs_fault(role: str) -> None:
    refusal = judged("archive", role=role)
    assert refusal is not None
    assert (refusal.klass, "role names of 4 to 64" in refusal.reason) == ("permanent_config", True)


@pytest.mark.parametrize("role", ["abcd", "Image_Export-Role1", "x" * 64])
def test_what_can_be_a_roles_name_is_left_to_the_cloud(role: str) -> None:
    assert judged("archive", role=role) is None


def test_a_bucket_with_a_dot_is_the_configs_fault() -> None:
    refusal = judged("archive.north", role="abcd")
    assert refusal == Refusal(
        "permanent_config", "JD Cloud's bucket names have no dots; archive.north cannot be one of them"
    )


@pytest.mark.parametrize(
    ("facts", "action"),
    [
        ({"image_type": "PUBLIC_IMAGE"}, "export"),
        ({"image_type": "SHARED_IMAGE"}, "copy"),
        ({"image_type": "MARKET_IMAGE"}, "copy"),
        ({"extra": {"community": True}}, "export"),
        ({"extra": {"root_device": "localDisk"}}, "export"),
        ({"extra": {"root_device": "localDisk"}}, "copy"),
        ({"platform": "Windows", "os_name": "Windows Server 2019"}, "export"),
        ({"encrypted": True}, "copy"),
    ],
)
async def test_what_the_cloud_would_refuse_for_ever_is_known_from_a_look(facts: dict[str, Any], action: Any) -> None:
    async with staged() as stage:
        seen = await stage.image(image(stage.server, **facts))
        refusal = FACTS.preflight(seen, action, "cn-south-1", {})
        job = await (stage.export(seen.id) if action == "export" else stage.copy(seen.id))
        answer = await stage.refused(job)
    assert refusal is not None
    assert refusal.klass == answer.klass == "permanent_image"


async def test_an_imported_windows_image_may_be_exported() -> None:
    async with staged() as stage:
        image_id = image(stage.server, platform="Windows", os_name="Windows Server 2019", extra={"imported": True})
        assert FACTS.preflight(await stage.image(image_id), "export", "archive", {}) is None
        await stage.running(await stage.export(image_id))
