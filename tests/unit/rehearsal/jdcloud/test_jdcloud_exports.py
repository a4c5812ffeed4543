from typing import Any

import pytest

from imageferry.rehearsal.misbehaviour import Misbehaviour
from support.clocks import FakeClock
from support.jdcloud_rehearsals import (
    BUCKET,
    OTHER_REGION,
    REGION,
    calling,
    export_body,
    image,
    jdcloud,
    oss_url,
)


async def refused(facts: dict[str, Any] | None = None, options: dict[str, Any] | None = None, **params: Any) -> str:
    """The status and words with which an export of one image is refused; empty when it is taken."""
    clock = FakeClock()
    rehearsal = jdcloud(clock, **(options or {}))
    image_id = image(rehearsal, **(facts or {}))
    async with calling(rehearsal, clock) as caller:
        return await caller.export_words(image_id, **params)


async def test_an_accepted_export_names_its_task() -> None:
    clock = FakeClock()
    rehearsal = jdcloud(clock)
    image_id = image(rehearsal)
    async with calling(rehearsal, clock) as caller:
        result = await caller.export(image_id, ossPrefix="p1")
    (task,) = rehearsal.tasks
    assert result == {"taskId": task.id}
    assert (task.action, task.destination, task.objects) == ("exportImage", BUCKET, (f"p1_exportImage_{image_id}",))


@pytest.mark.parametrize(
    ("options", "key", "kind"),
    [
        ({}, "taskId", str),
        ({"task_id_key": "exportTaskId"}, "exportTaskId", str),
        ({"task_ids_are_numbers": True}, "taskId", int),
    ],
)
async def test_the_task_is_named_as_the_switches_say(options: dict[str, Any], key: str, kind: type) -> None:
    clock = FakeClock()
    rehearsal = jdcloud(clock, **options)
    async with calling(rehearsal, clock) as caller:
        result = await caller.export(image(rehearsal))
    assert [(name, type(value)) for name, value in result.items()] == [(key, kind)]
    assert str(result[key]) == rehearsal.tasks[0].id


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"roleName": None}, "The request is missing a required parameter `roleName`."),
        ({"ossUrl": None}, "The request is missing a required parameter `ossUrl`."),
        ({"colour": "red"}, "The parameter `colour` is not recognized."),
        ({"isAllDisk": "yes"}, "The parameter `isAllDisk` must be a boolean."),
        ({"roleName": "abc"}, "Invalid roleName: 4 to 64 letters, digits, - and _, a letter first"),
        ({"roleName": "1abc"}, "Invalid roleName: 4 to 64 letters, digits, - and _, a letter first"),
        ({"roleName": "a" * 65}, "Invalid roleName: 4 to 64 letters, digits, - and _, a letter first"),
        ({"ossPrefix": ""}, "Invalid ossPrefix: 1 to 32 letters and digits"),
        ({"ossPrefix": "a-b"}, "Invalid ossPrefix: 1 to 32 letters and digits"),
        ({"ossPrefix": "a" * 33}, "Invalid ossPrefix: 1 to 32 letters and digits"),
        ({"clientToken": "t" * 65}, "Invalid clientToken: at most 64 characters"),
    ],
)
async def test_parameters_are_held_to_their_rules(params: dict[str, Any], words: str) -> None:
    assert await refused(**params) == f"INVALID_ARGUMENT: {words}"


@pytest.mark.parametrize(
    "params",
    [
        {"ossPrefix": "aZ0" + "b" * 29, "clientToken": "t" * 64},
        {"isAllDisk": True},
        {"ossUrl": oss_url(entry="s3")},
    ],
)
async def test_parameters_at_their_bounds_are_taken(params: dict[str, Any]) -> None:
    assert await refused(**params) == ""


@pytest.mark.parametrize(
    "url",
    [
        f"http://{BUCKET}.s3-internal.{REGION}.jdcloud-oss.com",
        f"{BUCKET}.s3-internal.{REGION}.jdcloud-oss.com",
        f"https://{BUCKET}.s3-internal.{REGION}.jdcloud-oss.com/",
        f"https://{BUCKET}.s3-internal.{REGION}.jdcloud-oss.com/path",
        f"https://s3-internal.{REGION}.jdcloud-oss.com/{BUCKET}",
        f"https://{BUCKET}.s3-internal.{REGION}.example.com",
        "https://[",
    ],
)
async def test_an_oss_url_is_scheme_bucket_and_host_and_nothing_else(url: str) -> None:
    assert (await refused(ossUrl=url)).startswith("INVALID_ARGUMENT: Invalid ossUrl: ")


async def test_an_oss_url_of_another_region_conflicts() -> None:
    words = "CONFLICT: OssRegion 'cn-south-1' not match current region 'cn-north-1'"
    assert await refused(ossUrl=oss_url(region=OTHER_REGION)) == words


@pytest.mark.parametrize(
    ("options", "params", "words"),
    [
        ({"public_oss_url": False}, {"ossUrl": oss_url(entry="s3")}, "Invalid ossUrl: it must name the internal host"),
        ({"public_oss_url": False}, {}, ""),
        ({"all_disks_known": False}, {"isAllDisk": False}, "The parameter `isAllDisk` is not recognized."),
        ({"all_disks_known": False}, {}, ""),
    ],
)
async def test_what_servers_disagree_about_is_a_switch(
    options: dict[str, Any], params: dict[str, Any], words: str
) -> None:
    assert await refused(options=options, **params) == (f"INVALID_ARGUMENT: {words}" if words else "")


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ({"image_type": "PUBLIC_IMAGE"}, "Can't use this image"),
        ({"image_type": "MARKET_IMAGE"}, "Can't use this image"),
        ({"image_type": "SHARED_IMAGE"}, "Can't use this image"),
        ({"extra": {"community": True}}, "Can't use this image"),
        ({"extra": {"root_device": "localDisk"}}, "Invalid image type 'localDisk'"),
        ({"platform": "Windows"}, "Windows image can't export"),
        ({"os_name": "Windows Server 2022"}, "Windows image can't export"),
        ({"ready_seconds": 5}, "Invalid image status 'pending'"),
        ({"fails": True}, "Invalid image status 'error'"),
        ({"extra": {"deleting": True}}, "Invalid image status 'deleting'"),
    ],
)
async def test_images_that_cannot_be_exported_are_refused_in_the_vendors_words(
    facts: dict[str, Any], words: str
) -> None:
    assert await refused(facts) == f"FAILED_PRECONDITION: {words}"


@pytest.mark.parametrize("facts", [{"platform": "Windows", "extra": {"imported": True}}, {"encrypted": True}])
async def test_an_imported_windows_and_an_encrypted_image_are_exported(facts: dict[str, Any]) -> None:
    assert await refused(facts) == ""


async def test_an_image_that_is_not_there_is_not_found() -> None:
    clock = FakeClock()
    async with calling(jdcloud(clock), clock) as caller:
        assert await caller.export_words("img-none") == "NOT_FOUND: Image 'img-none' not found"


TARGETS: list[tuple[dict[str, Any], dict[str, Any], str]] = [
    ({}, {"roleName": "Nobody"}, "The role 'Nobody' does not exist or does not trust the disk service"),
    ({"buckets": {}}, {}, f"The bucket '{BUCKET}' does not exist in {REGION}"),
    ({"buckets": {BUCKET: OTHER_REGION}}, {}, f"The bucket '{BUCKET}' does not exist in {REGION}"),
    ({"unwritable_buckets": [BUCKET]}, {}, "The role 'ImageExportRole' may not write"),
]


@pytest.mark.parametrize(("options", "params", "words"), TARGETS)
@pytest.mark.parametrize("code", ["FAILED_PRECONDITION", "NOT_FOUND"])
async def test_a_role_or_bucket_that_cannot_be_used_is_refused(
    options: dict[str, Any], params: dict[str, Any], words: str, code: str
) -> None:
    assert await refused(options={**options, "bad_target_code": code}, **params) == f"{code}: {words}"


@pytest.mark.parametrize(("options", "params", "words"), TARGETS)
async def test_a_role_or_bucket_that_cannot_be_used_fails_the_task_as_the_switch_says(
    options: dict[str, Any], params: dict[str, Any], words: str
) -> None:
    clock = FakeClock()
    rehearsal = jdcloud(clock, **options, bad_target="task")
    async with calling(rehearsal, clock) as caller:
        await caller.export(image(rehearsal), **params)
        clock.jump(2)
        (task,) = await caller.tasks()
    assert (task["taskStatus"], task["errorInfo"]) == ("failed", words)
    assert rehearsal.state(["objects"])["objects"] == []


# --- client tokens ---------------------------------------------------------------------------------------------------


async def test_the_same_client_token_has_the_same_result_and_starts_nothing() -> None:
    clock = FakeClock()
    rehearsal = jdcloud(clock)
    first, second = image(rehearsal), image(rehearsal)
    async with calling(rehearsal, clock) as caller:
        results = [await caller.export(each, clientToken="t1") for each in (first, first, second)]
        clock.jump(1_000_000)
        results.append(await caller.export(first, clientToken="t1"))
        other = await caller.export(first, clientToken="t2")
    assert (results, len(rehearsal.tasks)) == ([results[0]] * 4, 2)
    assert other != results[0]


async def test_a_client_token_brings_back_a_failed_task() -> None:
    clock = FakeClock()
    rehearsal = jdcloud(clock)
    image_id = image(rehearsal)
    rehearsal.misbehave(Misbehaviour(fault="task_fails", message="out of luck", count=1))
    async with calling(rehearsal, clock) as caller:
        result = await caller.export(image_id, clientToken="t1")
        clock.jump(2)
        again = await caller.export(image_id, clientToken="t1")
        (task,) = await caller.tasks()
    assert (again, task["taskStatus"], task["errorInfo"]) == (result, "failed", "out of luck")


async def test_a_client_token_works_after_its_answer_was_lost() -> None:
    clock = FakeClock()
    rehearsal = jdcloud(clock)
    image_id = image(rehearsal)
    rehearsal.misbehave(Misbehaviour(fault="status", work="late", after=5, count=1))
    async with calling(rehearsal, clock) as caller:
        await caller.send("POST", f"images/{image_id}:exportImage", export_body(clientToken="t1"))
        result = await caller.export(image_id, clientToken="t1")
        clock.jump(10)
        again = await caller.export(image_id, clientToken="t1")
    assert (again, len(rehearsal.tasks)) == (result, 1)


async def test_a_client_token_is_forgotten_after_its_time() -> None:
    clock = FakeClock()
    rehearsal = jdcloud(clock, client_token_seconds=60)
    image_id = image(rehearsal)
    results = []
    async with calling(rehearsal, clock) as caller:
        for wait in (0, 59, 1):
            clock.jump(wait)
            results.append((await caller.export(image_id, clientToken="t1"))["taskId"])
    assert (results[0] == results[1], results[1] == results[2]) == (True, False)


@pytest.mark.parametrize(
    ("keeps", "later"), [(False, ""), (True, "FAILED_PRECONDITION: Invalid image status 'pending'")]
)
async def test_a_refusal_is_repeated_for_its_token_as_the_switch_says(keeps: bool, later: str) -> None:  # noqa: FBT001 - a switch
    clock = FakeClock()
    rehearsal = jdcloud(clock, client_token_keeps_refusals=keeps)
    image_id = image(rehearsal, ready_seconds=5)
    async with calling(rehearsal, clock) as caller:
        first = await caller.export_words(image_id, clientToken="t1")
        clock.jump(5)
        assert (first, await caller.export_words(image_id, clientToken="t1")) == (
            "FAILED_PRECONDITION: Invalid image status 'pending'",
            later,
        )


async def test_requests_without_a_client_token_are_exports_of_their_own() -> None:
    clock = FakeClock()
    rehearsal = jdcloud(clock, concurrent_exports=True)
    image_id = image(rehearsal)
    async with calling(rehearsal, clock) as caller:
        for _ in range(2):
            await caller.export(image_id)
    assert dict(rehearsal.requests.accepted) == {("exportImage", image_id, BUCKET): 2}


# --- busy images and limits ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "FAILED_PRECONDITION: The image '{image}' is busy"),
        ({"busy_words": "task"}, "FAILED_PRECONDITION: Conflict with underlay image task '{task}'"),
        ({"concurrent_exports": True}, ""),
    ],
)
async def test_an_image_that_is_exported_is_busy_as_the_switches_say(options: dict[str, Any], words: str) -> None:
    clock = FakeClock()
    rehearsal = jdcloud(clock, **options)
    image_id = image(rehearsal)
    async with calling(rehearsal, clock) as caller:
        await caller.export(image_id)
        busy = await caller.export_words(image_id)
        clock.jump(2)
        free = await caller.export_words(image_id)
    assert (busy, free) == (words.format(image=image_id, task=rehearsal.tasks[0].id), "")


@pytest.mark.parametrize(
    ("allowed", "words"), [(False, "FAILED_PRECONDITION: The image '{image}' is busy"), (True, "")]
)
async def test_an_image_that_is_copied_may_be_exported_as_the_switch_says(allowed: bool, words: str) -> None:  # noqa: FBT001 - a switch
    clock = FakeClock()
    rehearsal = jdcloud(clock, exports_during_copies=allowed)
    image_id = image(rehearsal)
    async with calling(rehearsal, clock) as caller:
        await caller.copy(image_id)
        assert await caller.export_words(image_id) == words.format(image=image_id)


async def test_no_more_exports_run_in_a_region_than_may() -> None:
    clock = FakeClock()
    rehearsal = jdcloud(clock, exports_running=2, running_limit_message="Too many")
    ids = [image(rehearsal) for _ in range(3)]
    async with calling(rehearsal, clock) as caller:
        answers = [await caller.send("POST", f"images/{each}:exportImage", export_body()) for each in ids]
        clock.jump(2)
        later = await caller.export_words(ids[2])
    assert [each.status_code for each in answers] == [200, 200, 429]
    assert answers[2].json()["error"] == {"code": 429, "status": "QUOTA_EXCEEDED", "message": "Too many"}
    assert (later, rehearsal.state(["running"])["running"][0]["most"]) == ("", 2)


@pytest.mark.parametrize(("scope", "words"), [("region", ""), ("account", "QUOTA_EXCEEDED: Image task limit exceeded")])
async def test_running_exports_are_counted_over_the_scope_of_the_options(scope: str, words: str) -> None:
    clock = FakeClock()
    buckets = {BUCKET: REGION, "archive-south": OTHER_REGION}
    rehearsal = jdcloud(clock, exports_running=1, running_scope=scope, buckets=buckets)
    here, there = image(rehearsal), image(rehearsal, region=OTHER_REGION)
    async with calling(rehearsal, clock) as caller:
        await caller.export(here)
        body = export_body(ossUrl=oss_url("archive-south", OTHER_REGION))
        assert await caller.words("POST", f"images/{there}:exportImage", body, region=OTHER_REGION) == words


# --- objects ---------------------------------------------------------------------------------------------------------


async def exported(fault: Misbehaviour | None = None, **options: Any) -> list[list[int]]:
    """An export of two disks that takes 2 s: the length of each object (-1: absent) after 2, 3, 4 and 10 s."""
    clock = FakeClock()
    rehearsal = jdcloud(clock, **options)
    image_id = image(rehearsal, size_gib=3, data_disks_gib=(3,))
    if fault:
        rehearsal.misbehave(fault)
    seen = []
    async with calling(rehearsal, clock) as caller:
        await caller.export(image_id, isAllDisk=True)
        for step in (2, 1, 1, 6):
            clock.jump(step)
            answers = [await caller.head(key) for key in rehearsal.tasks[0].objects]
            seen.append([int(a.headers["content-length"]) if a.status_code == 200 else -1 for a in answers])
    return seen


GIB, HALF = 1 << 30, 1 << 29


async def test_objects_are_whole_at_the_end_of_the_task() -> None:
    assert await exported() == [[GIB, GIB]] * 4


async def test_a_failed_export_leaves_nothing() -> None:
    assert await exported(Misbehaviour(fault="task_fails", action="exportImage")) == [[-1, -1]] * 4


async def test_a_missing_object_is_the_last_one() -> None:
    assert await exported(Misbehaviour(fault="object_missing")) == [[GIB, -1]] * 4


async def test_late_objects_appear_after_the_task_has_ended() -> None:
    late = [[-1, -1], [GIB, GIB], [GIB, GIB], [GIB, GIB]]
    assert await exported(Misbehaviour(fault="object_late", after=1)) == late
    assert await exported(object_late_seconds=1) == late


async def test_growing_objects_are_first_seen_at_half_their_length() -> None:
    growing = [[HALF, HALF], [HALF, HALF], [GIB, GIB], [GIB, GIB]]
    assert await exported(Misbehaviour(fault="object_grows", after=2)) == growing
    assert await exported(object_grows_seconds=2) == growing


async def test_empty_objects_have_no_length() -> None:
    assert await exported(Misbehaviour(fault="object_empty")) == [[0, 0]] * 4


@pytest.mark.parametrize(
    ("options", "params", "keys"),
    [
        ({}, {"ossPrefix": "p1"}, ["p1_exportImage_{image}"]),
        ({}, {}, ["exportImage_{image}"]),
        ({}, {"ossPrefix": "p1", "isAllDisk": True}, ["p1_exportImage_{image}", "p1_exportImage_{image}_vdb"]),
        ({"key_suffix": ".qcow2"}, {"ossPrefix": "p1"}, ["p1_exportImage_{image}.qcow2"]),
        ({"key_form": "{prefix}/{image}"}, {"ossPrefix": "p1"}, ["p1/{image}"]),
        ({"bare_key_form": "{image}"}, {}, ["{image}"]),
    ],
)
async def test_an_objects_key_is_made_as_the_switches_say(
    options: dict[str, Any], params: dict[str, Any], keys: list[str]
) -> None:
    clock = FakeClock()
    rehearsal = jdcloud(clock, **options)
    image_id = image(rehearsal, data_disks_gib=(5,))
    async with calling(rehearsal, clock) as caller:
        await caller.export(image_id, **params)
        clock.jump(2)
        wanted = [key.format(image=image_id) for key in keys]
        assert [(await caller.head(key)).status_code for key in wanted] == [200] * len(wanted)
    assert list(rehearsal.tasks[0].objects) == wanted


async def test_a_repeated_export_overwrites_the_same_key() -> None:
    clock = FakeClock()
    rehearsal = jdcloud(clock)
    image_id = image(rehearsal)
    modified = []
    async with calling(rehearsal, clock) as caller:
        for _ in range(2):
            await caller.export(image_id, ossPrefix="p")
            clock.jump(2)
            modified.append((await caller.head(f"p_exportImage_{image_id}")).headers["last-modified"])
    assert modified == ["Thu, 01 Jan 2026 00:00:02 GMT", "Thu, 01 Jan 2026 00:00:04 GMT"]


async def test_durations_spread_by_chance_within_their_bounds() -> None:
    clock = FakeClock()
    rehearsal = jdcloud(clock, export_seconds=10, duration_spread=0.2)
    async with calling(rehearsal, clock) as caller:
        for _ in range(50):
            await caller.export(image(rehearsal))
    took = [(task.ends_at - task.accepted_at) / 1_000_000 for task in rehearsal.tasks]
    assert (min(took) >= 8, max(took) <= 12, max(took) - min(took) > 2) == (True, True, True)
