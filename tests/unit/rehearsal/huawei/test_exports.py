from typing import Any

import pytest

from imageferry.rehearsal.misbehaviour import Misbehaviour
from support.clocks import FakeClock
from support.huawei_rehearsals import (
    BUCKET,
    NOBODY,
    OTHER_PROJECT,
    OTHER_REGION,
    REGION,
    calling,
    code_of,
    huawei,
    image,
)


async def refused(facts: dict[str, Any] | None = None, options: dict[str, Any] | None = None, **params: Any) -> str:
    """The code with which an export of one image is refused; empty when it is taken."""
    clock = FakeClock()
    rehearsal = huawei(clock, **(options or {}))
    image_id = image(rehearsal, **(facts or {}))
    async with calling(rehearsal, clock) as caller:
        return code_of(await caller.export(image_id, **params))


QUICK = {"is_quick_export": True, "file_format": None, "bucket_url": f"{BUCKET}:big.zvhd2"}


async def test_an_accepted_export_names_its_job_and_nothing_else() -> None:
    clock = FakeClock()
    rehearsal = huawei(clock)
    image_id = image(rehearsal)
    async with calling(rehearsal, clock) as caller:
        answer = await caller.export(image_id)
    (task,) = rehearsal.tasks
    assert (answer.status_code, answer.json()) == (200, {"job_id": task.id})
    assert (len(task.id), task.image_id, task.destination, task.objects) == (32, image_id, BUCKET, ("web.qcow2",))
    assert task.request_id == answer.headers["x-request-id"]
    assert dict(rehearsal.requests.accepted) == {("ExportImage", image_id, BUCKET): 1}


async def test_the_object_is_there_when_the_job_has_ended() -> None:
    clock = FakeClock()
    rehearsal = huawei(clock, export_seconds=60)
    image_id = image(rehearsal, size_gib=3)
    async with calling(rehearsal, clock) as caller:
        await caller.export(image_id, "folder/web.qcow2", bucket_url=f"{BUCKET}:folder/web.qcow2")
        clock.jump(59)
        before = await caller.head("folder/web.qcow2")
        clock.jump(1)
        after = await caller.head("folder/web.qcow2")
    assert (before.status_code, after.status_code) == (404, 200)
    assert (after.headers["content-length"], after.headers["last-modified"]) == (
        str(1 << 30),
        "Thu, 01 Jan 2026 00:01:00 GMT",
    )


async def test_an_image_that_is_exported_is_refused_until_its_job_has_ended() -> None:
    clock = FakeClock()
    rehearsal = huawei(clock, export_seconds=60)
    image_id = image(rehearsal)
    async with calling(rehearsal, clock) as caller:
        codes = [code_of(await caller.export(image_id)) for _ in range(2)]
        clock.jump(60)
        codes += [code_of(await caller.export(image_id)), code_of(await caller.export(image_id, "other.qcow2"))]
    assert codes == ["", "IMG.0148", "IMG.0070", ""]


@pytest.mark.parametrize(
    ("params", "code"),
    [
        ({"bucket_url": None}, "IMG.0001"),
        ({"bucket_url": "no-colon"}, "IMG.0017"),
        ({"bucket_url": ":key"}, "IMG.0068"),
        ({"bucket_url": "UPPER:key"}, "IMG.0109"),
        ({"bucket_url": f"{BUCKET}:"}, "IMG.0073"),
        ({"bucket_url": f"{BUCKET}:folder/"}, "IMG.0073"),
        ({"bucket_url": f"{BUCKET}:two words.qcow2"}, "IMG.0175"),
        ({"bucket_url": f"{BUCKET}:{'k' * 129}"}, "IMG.0074"),
        ({"bucket_url": f"{BUCKET}:{'k' * 128}"}, ""),
        ({"bucket_url": f"{BUCKET}:bild-ä.qcow2"}, "IMG.0075"),
        ({"bucket_url": f"{BUCKET}:/web.qcow2"}, "IMG.0075"),
        ({"bucket_url": f"{BUCKET}:a//b.qcow2"}, "IMG.0075"),
        ({"bucket_url": f"{BUCKET}:a:b.qcow2"}, "IMG.0075"),
        ({"bucket_url": f"{BUCKET}:A-b/c_d.1.qcow2"}, ""),
        ({"bucket_url": "missing:web.qcow2"}, "IMG.0069"),
        ({"file_format": None}, "IMG.0072"),
        ({"file_format": "raw"}, "IMG.0072"),
        ({"file_format": "QCOW2"}, "IMG.0072"),
        ({"file_format": "zvhd2"}, "IMG.0072"),
        ({"file_format": "zvhd"}, ""),
        ({"is_quick_export": False}, ""),
        ({"is_quick_export": True}, "IMG.0072"),
        (QUICK, ""),
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
        ({"extra": {"shared_out": True}}, ""),
        ({"extra": {"virtual_env_type": "IsoImage"}}, "IMG.0167"),
        ({"extra": {"disk_format": "iso"}}, "IMG.0167"),
        ({"instance_image": True}, "IMG.0128"),
        ({"extra": {"backup_id": "b1"}}, "IMG.0080"),
        ({"extra": {"product_code": "p1"}}, "IMG.0078"),
        ({"market_derived": True}, "IMG.0078"),
        ({"extra": {"account_code": "c1"}}, "IMG.0079"),
        ({"platform": "Windows"}, "IMG.0071"),
        ({"platform": "SUSE", "os_name": "SUSE Enterprise 15 64bit"}, "IMG.0071"),
        ({"os_name": "Red Hat Linux Enterprise 8.0 64bit", "platform": "RedHat"}, "IMG.0071"),
        ({"platform": "Windows", "extra": {"root_origin": "file"}}, ""),
        ({"platform": "OpenSUSE", "os_name": "OpenSUSE 15 64bit"}, ""),
        ({"fails": True}, "IMG.0046"),
        ({"ready_seconds": 5}, "IMG.0046"),
        ({"encrypted": True}, ""),
        ({"size_gib": 128}, ""),
        ({"size_gib": 129}, "IMG.0160"),
        ({"size_gib": 1024}, "IMG.0059"),
    ],
)
async def test_images_are_held_to_their_rules(facts: dict[str, Any], code: str) -> None:
    assert await refused(facts) == code


@pytest.mark.parametrize(
    ("facts", "code"),
    [
        ({"size_gib": 129}, ""),
        ({"size_gib": 1023}, ""),
        ({"size_gib": 1024}, "IMG.0059"),
        ({"encrypted": True}, "IMG.0105"),
        ({"encrypted": True, "size_gib": 200}, "IMG.0105"),
    ],
)
async def test_a_quick_export_takes_large_images_and_no_encrypted_ones(facts: dict[str, Any], code: str) -> None:
    assert await refused(facts, **QUICK) == code


@pytest.mark.parametrize(
    ("options", "facts", "code"),
    [
        ({"size_measured": "min_disk"}, {"size_gib": 20, "extra": {"min_disk_gib": 200}}, "IMG.0160"),
        ({"size_measured": "image_size"}, {"size_gib": 20, "extra": {"min_disk_gib": 200}}, ""),
        ({"too_large_code": "IMG.0059"}, {"size_gib": 129}, "IMG.0059"),
        ({"normal_export_gib": None}, {"size_gib": 500}, ""),
        ({"lineages": ["Ubuntu"]}, {}, "IMG.0071"),
        ({"lineages": ["Ubuntu"], "lineage_code": "IMG.0081"}, {}, "IMG.0081"),
        ({"lineages": []}, {"platform": "Windows"}, ""),
        ({"missing_image_code": "IMG.0086"}, {"extra": {"project": "elsewhere"}}, "IMG.0086"),
    ],
)
async def test_what_the_vendor_leaves_open_of_images_is_a_switch(
    options: dict[str, Any], facts: dict[str, Any], code: str
) -> None:
    assert await refused(facts, options) == code


@pytest.mark.parametrize(
    ("options", "params", "code"),
    [
        ({"missing_format": "vhd"}, {"file_format": None}, ""),
        ({"key_longest": 8}, {}, "IMG.0074"),
        ({"unwritable_buckets": [BUCKET]}, {}, "IMG.0069"),
        ({"buckets": {BUCKET: OTHER_REGION}}, {}, "IMG.0058"),
        ({"bucket_classes": {BUCKET: "WARM"}}, {}, "IMG.0069"),
        ({"bucket_classes": {BUCKET: "STANDARD"}}, {}, ""),
        ({"parallel_buckets": [BUCKET], "bucket_class_code": "IMG.0105"}, {}, "IMG.0105"),
    ],
)
async def test_targets_are_held_to_their_rules(options: dict[str, Any], params: dict[str, Any], code: str) -> None:
    assert await refused(options=options, **params) == code


async def test_an_image_that_is_not_there_or_elsewhere_is_missing() -> None:
    clock = FakeClock()
    rehearsal = huawei(clock)
    elsewhere = image(rehearsal, region=OTHER_REGION)
    async with calling(rehearsal, clock) as caller:
        codes = [code_of(await caller.export(each)) for each in (NOBODY, elsewhere)]
    assert codes == ["IMG.0027", "IMG.0027"]


async def test_no_more_exports_run_in_a_region_than_may() -> None:
    clock = FakeClock()
    rehearsal = huawei(clock, exports_running=2, export_seconds=60)
    ids = [image(rehearsal) for _ in range(3)]
    async with calling(rehearsal, clock) as caller:
        codes = [code_of(await caller.export(each, f"{each}.qcow2")) for each in ids]
        clock.jump(60)
        later = code_of(await caller.export(ids[2], "c.qcow2"))
    assert (codes, later) == (["", "", "IMG.0060"], "")
    assert rehearsal.state(["running"])["running"] == [{"action": "ExportImage", "scope": REGION, "most": 2}]


@pytest.mark.parametrize(("scope", "second"), [("region", ""), ("account", "IMG.0060")])
async def test_running_exports_are_counted_over_the_scope_of_the_options(scope: str, second: str) -> None:
    clock = FakeClock()
    buckets = {BUCKET: REGION, "archive-east": OTHER_REGION}
    rehearsal = huawei(clock, exports_running=1, exports_scope=scope, buckets=buckets)
    here, there = image(rehearsal), image(rehearsal, region=OTHER_REGION)
    async with calling(rehearsal, clock) as caller:
        await caller.export(here)
        body = {"bucket_url": "archive-east:k.vhd", "file_format": "vhd"}
        assert await caller.code("POST", f"/v1/cloudimages/{there}/file", body, project=OTHER_PROJECT) == second


@pytest.mark.parametrize(("allowed", "code"), [(True, ""), (False, "IMG.0046")])
async def test_an_image_that_is_copied_may_be_exported_as_the_switch_says(allowed: bool, code: str) -> None:  # noqa: FBT001 - a switch
    clock = FakeClock()
    rehearsal = huawei(clock, exports_during_copies=allowed)
    image_id = image(rehearsal)
    async with calling(rehearsal, clock) as caller:
        await caller.copy(image_id)
        assert code_of(await caller.export(image_id)) == code


@pytest.mark.parametrize(("options", "key"), [({}, "web"), ({"key_suffix": True}, "web.vhd")])
async def test_a_key_without_extension_gets_it_as_the_switch_says(options: dict[str, Any], key: str) -> None:
    clock = FakeClock()
    rehearsal = huawei(clock, **options)
    async with calling(rehearsal, clock) as caller:
        await caller.export(image(rehearsal), "web", file_format="vhd")
    assert rehearsal.tasks[0].objects == (key,)


async def test_a_bucket_that_cannot_be_used_fails_the_job_where_the_switch_says_so() -> None:
    clock = FakeClock()
    rehearsal = huawei(clock, bad_target="job", unwritable_buckets=[BUCKET])
    async with calling(rehearsal, clock) as caller:
        job_id = (await caller.export(image(rehearsal))).json()["job_id"]
        clock.jump(2)
        job = await caller.job(job_id)
        answer = await caller.head("web.qcow2")
    assert (job["status"], job["error_code"], answer.status_code) == ("FAIL", "IMG.0069", 404)


@pytest.mark.parametrize(
    ("fault", "at_end", "later"),
    [
        ({"fault": "task_fails"}, 404, 404),
        ({"fault": "object_missing"}, 404, 404),
        ({"fault": "object_late", "after": 5}, 404, 200),
        ({"fault": "object_empty"}, 200, 200),
    ],
)
async def test_faults_of_a_task_show_in_its_object(fault: dict[str, Any], at_end: int, later: int) -> None:
    clock = FakeClock()
    rehearsal = huawei(clock)
    rehearsal.misbehave(Misbehaviour(**fault))
    async with calling(rehearsal, clock) as caller:
        await caller.export(image(rehearsal))
        clock.jump(2)
        statuses = [(await caller.head("web.qcow2")).status_code]
        clock.jump(5)
        last = await caller.head("web.qcow2")
    assert [*statuses, last.status_code] == [at_end, later]
    if fault["fault"] == "object_empty":
        assert last.headers["content-length"] == "0"


async def test_an_object_that_grows_is_whole_later() -> None:
    clock = FakeClock()
    rehearsal = huawei(clock)
    rehearsal.misbehave(Misbehaviour(fault="object_grows", after=5))
    sizes = []
    async with calling(rehearsal, clock) as caller:
        await caller.export(image(rehearsal, size_gib=6))
        for seconds in (2, 5):
            clock.jump(seconds)
            sizes.append(int((await caller.head("web.qcow2")).headers["content-length"]) >> 30)
    assert sizes == [1, 2]


async def test_an_object_may_be_there_before_its_job_says_so() -> None:
    clock = FakeClock()
    rehearsal = huawei(clock, export_seconds=60, object_early_seconds=10)
    async with calling(rehearsal, clock) as caller:
        job_id = (await caller.export(image(rehearsal))).json()["job_id"]
        clock.jump(50)
        status, seen = (await caller.job(job_id))["status"], (await caller.head("web.qcow2")).status_code
    assert (status, seen) == ("RUNNING", 200)
