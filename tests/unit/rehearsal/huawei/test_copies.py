from typing import Any

import pytest

from imageferry.rehearsal.misbehaviour import Misbehaviour
from support.clocks import FakeClock
from support.huawei_rehearsals import (
    NOBODY,
    OTHER_PROJECT,
    OTHER_REGION,
    PROJECT,
    REGION,
    Caller,
    calling,
    code_of,
    huawei,
    image,
)


async def refused(facts: dict[str, Any] | None = None, options: dict[str, Any] | None = None, **params: Any) -> str:
    """The code with which a copy of one image is refused; empty when it is taken."""
    clock = FakeClock()
    rehearsal = huawei(clock, **(options or {}))
    image_id = image(rehearsal, **(facts or {}))
    async with calling(rehearsal, clock) as caller:
        return code_of(await caller.copy(image_id, **params))


async def copied(caller: Caller, project: str = OTHER_PROJECT) -> list[tuple[str, str]]:
    return [(each["name"], each["status"]) for each in await caller.images(project)]


async def test_a_copy_becomes_active_in_its_region_when_its_job_ends() -> None:
    clock = FakeClock()
    rehearsal = huawei(clock)
    image_id = image(rehearsal, size_gib=10)
    seen = []
    async with calling(rehearsal, clock) as caller:
        job_id = (await caller.copy(image_id)).json()["job_id"]
        for seconds in (0, 3):
            clock.jump(seconds)
            seen.append((await copied(caller), (await caller.job(job_id))["status"]))
        (made,) = await caller.images(OTHER_PROJECT)
        named = (await caller.job(job_id))["entities"]["image_id"]
    assert seen == [([("web-copy", "saving")], "RUNNING"), ([("web-copy", "active")], "SUCCESS")]
    assert (made["id"], made["owner"], made["__image_size"]) == (named, OTHER_PROJECT, str(10 << 30))
    assert made["__data_origin"] == f"image,{REGION},{image_id}"
    assert dict(rehearsal.requests.accepted) == {("CopyImageCrossRegion", image_id, OTHER_REGION): 1}


@pytest.mark.parametrize(
    ("params", "code"),
    [
        ({"name": ""}, "IMG.0062"),
        ({"name": None}, "IMG.0062"),
        ({"name": "n" * 128}, ""),
        ({"name": "n" * 129}, "IMG.0002"),
        ({"name": " outer"}, "IMG.0003"),
        ({"name": "outer "}, "IMG.0003"),
        ({"name": "a/b"}, "IMG.0003"),
        ({"name": "镜像 A-b_c.1"}, ""),
        ({"description": "d" * 1024}, ""),
        ({"description": "d" * 1025}, "IMG.0004"),
        ({"description": "two\nlines"}, "IMG.0054"),
        ({"description": "<b>"}, "IMG.0054"),
        ({"region": REGION, "project_name": REGION}, "IMG.0142"),
        ({"region": "mars-1", "project_name": "mars-1"}, "IMG.0147"),
        ({"region": None}, "IMG.0147"),
        ({"project_name": None}, "IMG.0104"),
        ({"project_name": "nothing"}, "IMG.0145"),
        ({"project_name": "cn-north-1"}, "IMG.0145"),
        ({"agency_name": None}, "IMG.0179"),
        ({"agency_name": "nobody"}, "IMG.0179"),
        ({"vault_id": "v1", "enterprise_project_id": "e1"}, ""),
        ({"cmk_id": "k1"}, "IMG.0001"),
    ],
)
async def test_parameters_are_held_to_their_rules(params: dict[str, Any], code: str) -> None:
    assert await refused(**params) == code


@pytest.mark.parametrize(
    ("facts", "code"),
    [
        ({"image_type": "PUBLIC_IMAGE"}, "IMG.0077"),
        ({"image_type": "MARKET_IMAGE"}, "IMG.0078"),
        ({"image_type": "SHARED_IMAGE"}, "IMG.0047"),
        ({"image_type": "SHARED_IMAGE", "extra": {"member_status": "pending"}}, "IMG.0196"),
        ({"extra": {"virtual_env_type": "IsoImage"}}, "IMG.0167"),
        ({"instance_image": True}, "IMG.0130"),
        ({"encrypted": True}, "IMG.0143"),
        ({"platform": "Windows"}, ""),
        ({"extra": {"backup_id": "b1"}}, ""),
        ({"size_gib": 300}, ""),
        ({"size_gib": 301}, "IMG.0146"),
        ({"fails": True}, "IMG.0046"),
        ({"ready_seconds": 5}, "IMG.0046"),
    ],
)
async def test_images_are_held_to_their_rules(facts: dict[str, Any], code: str) -> None:
    assert await refused(facts) == code


@pytest.mark.parametrize(
    ("options", "facts", "code"),
    [
        ({"large_copy_regions": []}, {"size_gib": 128}, ""),
        ({"large_copy_regions": []}, {"size_gib": 129}, "IMG.0146"),
        ({"large_copy_regions": [OTHER_REGION]}, {"size_gib": 129}, ""),
        ({"windows_copies": False}, {"platform": "Windows"}, "IMG.0105"),
        ({"refused_destinations": {OTHER_REGION: "IMG.0105"}}, {}, "IMG.0105"),
        ({"agencies": {"ims_copy_agency": [REGION]}}, {}, "IMG.0151"),
        ({"agencies": {"ims_copy_agency": [OTHER_REGION]}}, {}, ""),
        ({"image_quota": 0}, {}, "IMG.0015"),
    ],
)
async def test_what_an_account_or_region_has_is_an_option(
    options: dict[str, Any], facts: dict[str, Any], code: str
) -> None:
    assert await refused(facts, options) == code


async def test_an_image_that_is_not_there_cannot_be_copied() -> None:
    clock = FakeClock()
    async with calling(huawei(clock), clock) as caller:
        assert code_of(await caller.copy(NOBODY)) == "IMG.0027"


async def test_five_copies_may_run_in_the_whole_account() -> None:
    clock = FakeClock()
    rehearsal = huawei(clock)
    here = [image(rehearsal) for _ in range(5)]
    there = image(rehearsal, region=OTHER_REGION)
    body = {"name": "back", "region": REGION, "project_name": REGION, "agency_name": "ims_copy_agency"}
    path = f"/v1/cloudimages/{there}/cross_region_copy"
    async with calling(rehearsal, clock) as caller:
        codes = [code_of(await caller.copy(each, f"copy-{each}")) for each in here]
        sixth = await caller.code("POST", path, body, project=OTHER_PROJECT)
        clock.jump(3)
        later = await caller.code("POST", path, body, project=OTHER_PROJECT)
    assert (codes, sixth, later) == ([""] * 5, "IMG.0149", "")
    assert rehearsal.state(["running"])["running"] == [{"action": "CopyImageCrossRegion", "scope": "*", "most": 5}]


@pytest.mark.parametrize(("allowed", "code"), [(True, ""), (False, "IMG.0148")])
async def test_an_image_that_is_exported_may_be_copied_as_the_switch_says(allowed: bool, code: str) -> None:  # noqa: FBT001 - a switch
    clock = FakeClock()
    rehearsal = huawei(clock, copies_during_exports=allowed)
    image_id = image(rehearsal)
    async with calling(rehearsal, clock) as caller:
        await caller.export(image_id)
        assert code_of(await caller.copy(image_id)) == code


@pytest.mark.parametrize(("allowed", "code"), [(True, ""), (False, "IMG.0046")])
async def test_two_copies_of_an_image_run_at_once_as_the_switch_says(allowed: bool, code: str) -> None:  # noqa: FBT001 - a switch
    clock = FakeClock()
    rehearsal = huawei(clock, concurrent_copies=allowed)
    image_id = image(rehearsal)
    async with calling(rehearsal, clock) as caller:
        await caller.copy(image_id)
        assert code_of(await caller.copy(image_id, region="cn-north-1", project_name="cn-north-1")) == code


async def test_a_name_that_is_taken_is_refused_even_before_the_copy_is_listed() -> None:
    clock = FakeClock()
    rehearsal = huawei(clock, copy_shows_seconds=60)
    async with calling(rehearsal, clock) as caller:
        codes = [code_of(await caller.copy(image(rehearsal))) for _ in range(2)]
        before = await copied(caller)
        clock.jump(60)
        after = await copied(caller)
    assert (codes, before, after) == (["", "IMG.0009"], [], [("web-copy", "active")])


@pytest.mark.parametrize(("checked", "status", "copies"), [("job", "FAIL", 1), ("never", "SUCCESS", 2)])
async def test_a_name_that_is_taken_is_found_out_as_the_switch_says(checked: str, status: str, copies: int) -> None:
    clock = FakeClock()
    rehearsal = huawei(clock, names_checked=checked)
    async with calling(rehearsal, clock) as caller:
        jobs = [(await caller.copy(image(rehearsal))).json()["job_id"] for _ in range(2)]
        clock.jump(3)
        job = await caller.job(jobs[1])
        assert (job["status"], len(await copied(caller))) == (status, copies)
    assert job["error_code"] == ("IMG.0009" if checked == "job" else None)


@pytest.mark.parametrize(("failure", "seen"), [("gone", []), ("killed", [("web-copy", "killed")])])
async def test_a_copy_that_fails_leaves_what_the_switch_says(failure: str, seen: list[tuple[str, str]]) -> None:
    clock = FakeClock()
    rehearsal = huawei(clock, copy_failure=failure)
    rehearsal.misbehave(Misbehaviour(fault="task_fails", code="IMG.0191", message="broken"))
    async with calling(rehearsal, clock) as caller:
        job_id = (await caller.copy(image(rehearsal))).json()["job_id"]
        meanwhile = await copied(caller)
        clock.jump(3)
        job = await caller.job(job_id)
        assert await copied(caller) == seen
    assert meanwhile == [("web-copy", "saving")]
    assert (job["status"], job["error_code"], job["fail_reason"]) == ("FAIL", "IMG.0191", "broken")


async def test_a_copy_may_be_active_later_than_its_job_ends() -> None:
    clock = FakeClock()
    rehearsal = huawei(clock, copy_late_seconds=10, pending_status="queued")
    seen = []
    async with calling(rehearsal, clock) as caller:
        job_id = (await caller.copy(image(rehearsal))).json()["job_id"]
        for seconds in (3, 10):
            clock.jump(seconds)
            seen.append(((await caller.job(job_id))["status"], (await copied(caller))[0][1]))
    assert seen == [("SUCCESS", "queued"), ("SUCCESS", "active")]


@pytest.mark.parametrize(("keep", "tags"), [(False, []), (True, ["env=prod"])])
async def test_tags_travel_as_the_switch_says(keep: bool, tags: list[str]) -> None:  # noqa: FBT001 - a switch
    clock = FakeClock()
    rehearsal = huawei(clock, copies_keep_tags=keep)
    async with calling(rehearsal, clock) as caller:
        await caller.copy(image(rehearsal, tags={"env": "prod"}))
        assert (await caller.images(OTHER_PROJECT))[0]["tags"] == tags


async def test_the_origin_of_a_copy_may_stay_untold() -> None:
    clock = FakeClock()
    rehearsal = huawei(clock, copies_show_origin=False)
    async with calling(rehearsal, clock) as caller:
        await caller.copy(image(rehearsal))
        assert (await caller.images(OTHER_PROJECT))[0]["__data_origin"].startswith("instance,")


async def test_a_copy_may_go_into_another_project_of_its_region() -> None:
    clock = FakeClock()
    rehearsal = huawei(clock, projects={f"{OTHER_REGION}_dr": "d" * 32})
    async with calling(rehearsal, clock) as caller:
        code = code_of(await caller.copy(image(rehearsal), project_name=f"{OTHER_REGION}_dr"))
        seen = [len(await copied(caller, project)) for project in (OTHER_PROJECT, "d" * 32)]
    assert (code, seen) == ("", [0, 1])


# --- inside a region -----------------------------------------------------------------------------------------------


async def within(facts: dict[str, Any], **params: Any) -> tuple[str, list[dict[str, Any]]]:
    """(the code of a copy inside its region, the images named so at its end)."""
    clock = FakeClock()
    rehearsal = huawei(clock)
    image_id = image(rehearsal, **facts)
    async with calling(rehearsal, clock) as caller:
        code = await caller.code("POST", f"/v1/cloudimages/{image_id}/copy", {"name": "inside", **params})
        clock.jump(3)
        return code, await caller.images(PROJECT, name="inside")


async def test_a_copy_inside_its_region_decrypts_or_encrypts() -> None:
    plain = await within({"encrypted": True})
    keyed = await within({}, cmk_id="k1")
    assert [("__system__cmkid" in made[0], code) for code, made in (plain, keyed)] == [(False, ""), (True, "")]


async def test_an_accepted_shared_image_becomes_an_own_one() -> None:
    code, (made,) = await within({"image_type": "SHARED_IMAGE"})
    assert (code, made["__imagetype"], made["owner"]) == ("", "private", PROJECT)


@pytest.mark.parametrize(
    ("facts", "params", "code"),
    [
        ({"instance_image": True}, {}, "IMG.0130"),
        ({"extra": {"disk_format": "iso"}}, {}, "IMG.0167"),
        ({"image_type": "SHARED_IMAGE", "extra": {"member_status": "pending"}}, {}, "IMG.0196"),
        ({"image_type": "SHARED_IMAGE", "encrypted": True}, {}, "IMG.0197"),
        ({"image_type": "PUBLIC_IMAGE"}, {}, "IMG.0077"),
        ({"size_gib": 129}, {}, "IMG.0146"),
        ({"name": "inside"}, {}, "IMG.0009"),
        ({"ready_seconds": 9}, {}, "IMG.0046"),
        ({}, {"region": OTHER_REGION}, "IMG.0001"),
    ],
)
async def test_copies_inside_a_region_are_held_to_their_rules(
    facts: dict[str, Any], params: dict[str, Any], code: str
) -> None:
    assert (await within(facts, **params))[0] == code
