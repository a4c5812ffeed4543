from __future__ import annotations

from typing import Any

import pytest

from imageferry.clouds.aliyun.facts import FACTS
from imageferry.core.answers import Refusal
from imageferry.core.image import Image, Place
from support.aliyun_rehearsals import image
from support.aliyun_stages import staged


def fresh(region: str = "cn-hangzhou", **facts: Any) -> Image:
    known: dict[str, Any] = {"name": "web-1", "os": "linux", "visibility": "private", "encrypted": False}
    return Image(place=Place("aliyun", "prod", region), id="m-1", **{**known, **facts})


def refusal(seen: Image, action: Any = "export", to: str = "bucket", **options: Any) -> Refusal | None:
    return FACTS.preflight(seen, action, to, options)


@pytest.mark.parametrize("region", ["cn-hangzhou", "cn-hongkong", "cn-shanghai-finance-1"])
@pytest.mark.parametrize("form", ["qcow2", "vhd", "vmdk", "vdi"])
def test_the_regions_of_china_export_as_raw_only(region: str, form: str) -> None:
    found = refusal(fresh(region), format=form)
    assert found
    assert (found.klass, "InvalidImageFormat.RegionNotSupported" in found.reason) == ("permanent_config", True)


@pytest.mark.parametrize(
    ("region", "options"),
    [("cn-hangzhou", {}), ("cn-hangzhou", {"format": "raw"}), ("eu-central-1", {"format": "qcow2"}), ("xx-new-1", {})],
)
def test_elsewhere_the_cloud_is_asked(region: str, options: dict[str, str]) -> None:
    assert refusal(fresh(region), **options) is None


def test_an_image_is_copied_to_another_region_only() -> None:
    found = refusal(fresh(), "copy", "cn-hangzhou")
    assert found
    assert "another region only" in found.reason
    assert refusal(fresh(), "copy", "cn-shanghai") is None


def test_a_format_is_no_matter_of_a_copy() -> None:
    assert refusal(fresh(), "copy", "cn-shanghai", format="qcow2") is None


@pytest.mark.parametrize(
    ("facts", "action"),
    [
        ({"platform": "Windows"}, "export"),
        ({"encrypted": True}, "export"),
        ({"data_disks_gib": (1,) * 5}, "export"),
        ({"data_disks_gib": (501,)}, "export"),
        ({"extra": {"product_code": "cmjj1"}}, "export"),
        ({"extra": {"product_code": "cmjj1"}}, "copy"),
        ({"image_type": "SHARED_IMAGE"}, "export"),
        ({"image_type": "SHARED_IMAGE"}, "copy"),
        ({"image_type": "PUBLIC_IMAGE"}, "export"),
        ({"image_type": "PUBLIC_IMAGE"}, "copy"),
    ],
)
async def test_what_is_refused_without_a_request_is_refused_by_the_cloud_too(
    facts: dict[str, Any], action: str
) -> None:
    async with staged() as stage:
        image_id = image(stage.server, name="web-1", **facts)
        seen = await stage.image(image_id)
        found = refusal(seen, action, "cn-shanghai")
        job = await (stage.export if action == "export" else stage.copy)(image_id)
        answer = await stage.refused(job)
    assert found
    assert (found.klass, answer.klass) == ("permanent_image", "permanent_image")


async def test_what_the_cloud_exports_is_not_refused() -> None:
    async with staged() as stage:
        seen = await stage.image(image(stage.server, data_disks_gib=(500,) * 4))
        assert refusal(seen) is None
        await stage.running(await stage.export(seen.id))
