from typing import Any

import pytest

from support.clocks import FakeClock
from support.huawei_rehearsals import PROJECT, calling, huawei, image


async def changed(action: str, tags: list[Any], facts: dict[str, Any] | None = None) -> tuple[str, dict[str, str]]:
    """(the code of the answer, the tags of the image afterwards)."""
    clock = FakeClock()
    rehearsal = huawei(clock)
    image_id = image(rehearsal, **{"tags": {"env": "prod"}, **(facts or {})})
    path = f"/v2/{PROJECT}/images/{image_id}/tags"
    async with calling(rehearsal, clock) as caller:
        code = await caller.code("POST", f"{path}/action", {"action": action, "tags": tags})
        after = (await caller.ask("GET", path))["tags"]
    return code, {each["key"]: each["value"] for each in after}


@pytest.mark.parametrize(
    ("action", "tags", "after"),
    [
        ("create", [{"key": "team", "value": "a.b=c"}], {"env": "prod", "team": "a.b=c"}),
        ("create", [{"key": "env", "value": "test"}], {"env": "test"}),
        ("create", [{"key": "flag"}], {"env": "prod", "flag": ""}),
        ("delete", [{"key": "env"}], {}),
    ],
)
async def test_tags_are_set_and_deleted(action: str, tags: list[Any], after: dict[str, str]) -> None:
    assert await changed(action, tags) == ("", after)


@pytest.mark.parametrize(
    ("action", "tags", "code"),
    [
        ("update", [{"key": "a", "value": "b"}], "IMG.0001"),
        ("create", [{"value": "b"}], "IMG.0001"),
        ("create", ["a=b"], "IMG.0001"),
        ("create", [{"key": "k" * 37, "value": "b"}], "IMG.0001"),
        ("create", [{"key": "k", "value": "v" * 44}], "IMG.0001"),
        ("create", [{"key": "", "value": "v"}], "IMG.0001"),
        ("create", [{"key": f"k{number}", "value": "v"} for number in range(10)], "IMG.0116"),
    ],
)
async def test_tags_are_held_to_their_rules(action: str, tags: list[Any], code: str) -> None:
    assert await changed(action, tags) == (code, {"env": "prod"})


async def test_tags_of_anothers_image_cannot_be_changed() -> None:
    code, _ = await changed("create", [{"key": "a", "value": "b"}], {"image_type": "SHARED_IMAGE"})
    assert code == "IMG.0047"
