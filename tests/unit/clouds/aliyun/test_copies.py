from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest

from imageferry.clouds.aliyun.copies import TAG
from imageferry.clouds.aliyun.facts import FACTS
from imageferry.core.answers import Answer
from imageferry.core.image import Image
from imageferry.core.job import Job, unique_part
from imageferry.core.times import SECOND
from imageferry.errors import Refused
from imageferry.ports import Absent, Accepted, Following, Found, Lost
from imageferry.rehearsal.store import NewImage
from support.aliyun_rehearsals import OTHER_REGION, REGION, image
from support.aliyun_stages import PLACE, Stage, new_job, staged
from support.clocks import START
from support.gates import OpenGate

THIRD_REGION = "cn-beijing"


def tokens(stage: Stage) -> list[str]:
    return [token for _, token in stage.server.world.repeats]


async def claim_again(stage: Stage, job: Job, **changes: Any) -> Job:
    """The job as flow sends it in another life."""
    return stage.ready(replace(job, **changes), await stage.image(job.image_id))


# --- freezing ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "beginning"),
    [
        ({}, "web-1"),
        ({"name": "given"}, "given"),
        ({"name": "x" * 128}, "x" * 115),
        ({"name": "镜像 1/a"}, "镜像-1-a"),
        ({"name": "1web"}, "image-1web"),
        ({"name": "aliyun-web"}, "image-aliyun-web"),
        ({"name": "ACS:web"}, "image-ACS:web"),
        ({"name": "http://x"}, "http:--x"),
        ({"name": "-"}, "image--"),
    ],
)
async def test_a_copy_is_frozen_with_a_name_of_its_own_that_fits_the_vendors_rule(
    options: dict[str, str], beginning: str
) -> None:
    async with staged() as stage:
        job = await stage.copy(**options)
    assert job.made_name == f"{beginning}-{unique_part(job.key)}"
    assert re.fullmatch(FACTS.name_pattern, job.made_name)
    assert job.request == {
        "params": {
            "ImageId": job.image_id,
            "DestinationRegionId": OTHER_REGION,
            "DestinationImageName": job.made_name,
            "DestinationDescription": f"imageferry {unique_part(job.key)}: copy of {job.image_id} from {REGION}",
            "Tag.1.Key": TAG,
            "Tag.1.Value": unique_part(job.key),
        }
    }


async def test_the_tags_of_the_source_go_along_as_far_as_a_request_may_name_them() -> None:
    tags = {
        "env": "prod",
        "empty": "",
        "acs:ecs:image:osVersion": "CentOS 7.9",
        "Aliyun-x": "1",
        "link": "see https://x",
        "long": "x" * 129,
        "other": "acs:1",
        TAG: "of another job",
        **{f"more-{n:02}": str(n) for n in range(30)},
    }
    async with staged() as stage:
        job = await stage.copy(image(stage.server, name="web-1", tags=tags))
        accepted = await stage.submit(job)
        assert isinstance(accepted, Accepted)
        made = await stage.image(accepted.task_ref, OTHER_REGION)
    more = {f"more-{n:02}": str(n) for n in range(17)}
    assert made.tags == {TAG: unique_part(job.key), "env": "prod", "empty": "", **more}


async def test_a_description_is_never_too_long() -> None:
    async with staged() as stage:
        job = new_job("copy", "i" * 128, OTHER_REGION)
        frozen = stage.cloud.freeze(job, Image(place=PLACE, id=job.image_id))
    assert len(frozen.request["params"]["DestinationDescription"]) <= 256


# --- submitting ----------------------------------------------------------------------------------------------------


async def test_an_accepted_copy_tells_the_new_image() -> None:
    async with staged() as stage:
        job = await stage.copy(name="镜像")
        accepted = await stage.submit(job)
        [task] = stage.server.tasks
        assert accepted == Accepted(task.new_image_id, task.request_id)
        assert (await stage.image(task.new_image_id, OTHER_REGION)).name == job.made_name


REFUSALS = [
    ("SourceRegion.NotFound", "permanent_config"),
    ("DestinationRegion.NotFound", "permanent_config"),
    ("IncorrectDestinationRegion", "permanent_config"),
    ("RegionNotSupportCopy", "permanent_config"),
    ("InvalidImageName.Malformed", "permanent_config"),
    ("InvalidDescription.Malformed", "permanent_config"),
    ("InvalidResourceGroup.NotFound", "permanent_config"),
    ("InvalidParameter.EncryptedIllegal", "permanent_config"),
    ("InvalidParameter.KMSKeyId.NotFound", "permanent_config"),
    ("InvalidEncrypted.NotMatchDiskDefaultEncryption", "permanent_config"),
    ("UserNotInTheWhiteList", "permanent_config"),
    ("Account.Arrearage", "permanent_config"),
    ("IdempotentParameterMismatch", "permanent_config"),
    ("InvalidSnapshotId.NotFound", "permanent_image"),
    ("OperationDenied", "permanent_image"),
    ("OperationDenied.CommunityImage", "permanent_image"),
    ("OperationDenied.SameRegionOnly", "permanent_image"),
    ("SizeExceed.Image", "permanent_image"),
    ("OperationDenied.ImageCopying", "wait_image"),
    ("OperationDenied.ImageCopyConflict", "wait_image"),
    ("QuotaExceed.Image", "wait_quota"),
    ("QuotaExceed.Snapshot", "wait_quota"),
    ("InvalidAliUid.IsNull", "auth"),
    ("Forbbiden", "auth"),
    ("InvalidOperation.Conflict", "retry"),
    ("LastTokenProcessing", "retry"),
    ("InternalError", "retry"),
    ("Throttling.User", "throttled"),
]


@pytest.mark.parametrize(("code", "klass"), REFUSALS)
async def test_every_documented_refusal_comes_back_with_its_class_and_request_id(code: str, klass: Any) -> None:
    async with staged() as stage:
        job = await stage.copy()
        stage.misbehave("code", "CopyImage", code=code, message="the vendor's words")
        answer = await stage.refused(job)
        request = next(each for each in reversed(stage.server.requests.last) if each.action == "CopyImage")
    assert (answer.klass, answer.vendor_code, answer.request_id) == (klass, code, request.request_id)
    assert not answer.about_running


async def test_a_full_region_is_waited_for_and_teaches_no_limit_of_tasks() -> None:
    async with staged(image_quota=0) as stage:
        answer = await stage.refused(await stage.copy())
    assert (answer.klass, answer.about_running) == ("wait_quota", False)


@pytest.mark.parametrize("code", ["OperationDenied.ImageCopyConflict", "OperationDenied.ImageCopying"])
async def test_a_second_copy_of_an_image_waits_for_the_first(code: str) -> None:
    async with staged(copy_busy_code=code) as stage:
        job = await stage.running(await stage.copy())
        other = await stage.copy(job.image_id, THIRD_REGION)
        assert (await stage.refused(other)).klass == "wait_image"
        stage.clock.jump(10)
        assert isinstance(await stage.submit(stage.claimed(other)), Accepted)


async def test_an_image_whose_snapshots_are_encrypted_is_copied_as_an_encrypted_one() -> None:
    async with staged() as stage:
        job = await stage.copy(image(stage.server, name="web-1", encrypted=True))
        accepted = await stage.submit(job)
        assert isinstance(accepted, Accepted)
        assert (await stage.image(accepted.task_ref, OTHER_REGION)).encrypted is True
        assert stage.asked("CopyImage") == 2
        assert stage.gate.entered[-2] == (REGION, "copy")


async def test_one_that_is_refused_even_so_is_the_images_fault() -> None:
    async with staged() as stage:
        job = await stage.copy()
        stage.misbehave("code", "CopyImage", code="OperationDeined.EncryptedSnapshot")
        answer = await stage.refused(job)
        assert stage.asked("CopyImage") == 2
    assert answer.klass == "permanent_image"


async def test_a_lost_answer_to_the_encrypted_form_is_solved_like_any_other() -> None:
    async with staged() as stage:
        job = await stage.copy(image(stage.server, name="web-1", encrypted=True))
        plain = stage.cloud._client.submit

        async def losing(asked: Any, permit: Any) -> Any:
            told = await plain(asked, permit)
            stage.misbehave("drop", "CopyImage", work="done", count=1)
            return told

        stage.cloud._client.submit = losing
        assert (await stage.refused(job)).klass == "unanswered"
        assert isinstance(await stage.find(job), Found)


async def test_an_account_that_closes_before_the_encrypted_form_was_sent_nothing() -> None:
    async with staged(gate=OpenGate(closed_after=1)) as stage:
        answer = await stage.refused(await stage.copy(image(stage.server, name="web-1", encrypted=True)))
    assert answer.klass == "never_sent"


# --- the client token ----------------------------------------------------------------------------------------------


async def test_the_same_send_has_the_same_token_and_is_one_copy() -> None:
    async with staged() as stage:
        job = await stage.copy()
        first, second = await stage.submit(job), await stage.submit(job)
        assert len(stage.server.tasks) == 1
        [token] = tokens(stage)
    assert first == replace(second, request_id=first.request_id)
    assert re.fullmatch("if-[0-9a-f]{40}", token)


@pytest.mark.parametrize("fault", ["drop", "status", "garbage"])
async def test_a_resend_after_a_doubt_is_the_same_request_and_starts_nothing_new(fault: str) -> None:
    async with staged() as stage:
        job = await stage.lost(await stage.copy(), fault)
        stage.clock.jump(400)
        accepted = await stage.submit(stage.doubted(job))
        stage.clock.jump(400)
        again = await stage.submit(stage.doubted(stage.doubted(job)))
        [task] = stage.server.tasks
    assert isinstance(accepted, Accepted)
    assert isinstance(again, Accepted)
    assert (accepted.task_ref, again.task_ref) == (task.new_image_id, task.new_image_id)


async def test_a_send_after_a_refusal_has_a_token_of_its_own() -> None:
    async with staged(client_token_keeps_refusals=True) as stage:
        first = await stage.running(await stage.copy())
        job = await stage.copy(first.image_id, THIRD_REGION)
        assert (await stage.refused(job)).klass == "wait_image"
        stage.clock.jump(60)
        assert isinstance(await stage.submit(stage.claimed(job)), Accepted)


@pytest.mark.parametrize("gone", ["state", "gone"])
async def test_a_person_who_asks_again_after_a_failure_gets_another_copy(gone: str) -> None:
    async with staged(copy_failure=gone, names_unique=False) as stage:
        stage.misbehave("task_fails", "CopyImage", count=1)
        job = await stage.running(await stage.copy())
        stage.clock.jump(60)
        assert (await stage.ends(job, 30)).verdict == "failed"
        again = await stage.running(await claim_again(stage, job, attempt=2, task_ref="", state="submitting"))
        assert again.task_ref != job.task_ref
        assert (await stage.ends(again)).verdict == "succeeded"


async def test_a_person_who_asks_again_while_a_copy_lives_gets_that_one() -> None:
    async with staged() as stage:
        job = await stage.running(await stage.copy())
        stage.gate.entered.clear()
        again = await stage.running(await claim_again(stage, job, attempt=2, task_ref="", state="submitting"))
        assert (again.task_ref, len(stage.server.tasks)) == (job.task_ref, 1)
        assert stage.gate.entered[-1] == (OTHER_REGION, "read")
    assert stage.permit.answer
    assert stage.permit.answer.klass == "never_sent"


@pytest.mark.parametrize(("fault", "klass"), [("status", "never_sent"), ("code", "auth")])
async def test_where_it_cannot_be_told_whether_one_lives_nothing_is_sent(fault: str, klass: str) -> None:
    async with staged() as stage:
        job = await claim_again(stage, await stage.copy(), attempt=2)
        stage.misbehave(fault, "DescribeImages", code="Forbidden.RAM", count=1)
        assert (await stage.refused(job)).klass == klass
        assert stage.asked("CopyImage") == 0


async def test_where_the_account_is_closed_nothing_is_sent_either() -> None:
    async with staged(gate=OpenGate(closed_after=2)) as stage:
        job = await claim_again(stage, await stage.copy(), attempt=2)
        assert (await stage.refused(job)).klass == "never_sent"


async def test_tokens_differ_between_images_regions_and_sends() -> None:
    async with staged() as stage:
        first = await stage.copy()
        for job in (first, await stage.copy(region=THIRD_REGION), await stage.copy()):
            await stage.submit(job)
        stage.clock.jump(60)
        await stage.submit(stage.claimed(replace(first, request={"params": {**first.request["params"]}})))
        assert len(set(tokens(stage))) >= 3


# --- the name is taken ---------------------------------------------------------------------------------------------


async def test_our_own_earlier_copy_is_adopted_where_its_token_is_forgotten() -> None:
    async with staged(client_token_seconds=0.0) as stage:
        job = await stage.lost(await stage.copy())
        stage.clock.jump(60)
        accepted = await stage.submit(stage.doubted(job))
        [task] = stage.server.tasks
    assert isinstance(accepted, Accepted)
    assert accepted.task_ref == task.new_image_id


async def test_an_image_of_that_name_that_another_job_made_is_a_persons_affair() -> None:
    async with staged() as stage:
        job = await stage.copy()
        taken = stage.server.add_image(NewImage(region=OTHER_REGION, name=job.made_name, tags={TAG: "another"}))
        answer = await stage.refused(job)
    assert (answer.klass, answer.vendor_code) == ("permanent_config", "InvalidImageName.Duplicated")
    assert answer.message.endswith(f"; delete or rename {taken} in {OTHER_REGION}")


async def test_a_dead_image_of_our_name_is_a_persons_affair_too() -> None:
    async with staged() as stage:
        job = await stage.copy()
        stage.server.add_image(NewImage(region=OTHER_REGION, name=job.made_name, fails=True))
        assert (await stage.refused(job)).klass == "permanent_config"


async def test_a_name_that_no_list_shows_leaves_it_open_whose_it_is() -> None:
    async with staged() as stage:
        job = await stage.copy()
        stage.misbehave("code", "CopyImage", code="InvalidImageName.Duplicated")
        answer = await stage.refused(job)
    assert answer.klass == "retry"
    assert answer.message.endswith("; no list shows whose it is yet")


async def test_a_list_that_is_not_answered_leaves_it_open_too() -> None:
    async with staged() as stage:
        job = await stage.copy()
        stage.misbehave("code", "CopyImage", code="InvalidImageName.Duplicated")
        stage.misbehave("status", "DescribeImages", status=503)
        assert (await stage.refused(job)).klass == "retry"


# --- solving a doubt -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [{}, {"wrappers": "list"}, {"short_times": True}, {"copies_keep_tags": True}])
@pytest.mark.parametrize("later", [1, 400])
async def test_a_lost_copy_is_found_by_its_name(shape: dict[str, Any], later: int) -> None:
    async with staged(**shape) as stage:
        job = await stage.lost(await stage.copy())
        stage.clock.jump(later)
        before = len(stage.gate.entered)
        found = await stage.find(job)
        [task] = stage.server.tasks
        assert stage.gate.entered[before:] == [(OTHER_REGION, "read")]
    made = task.new_image_id
    assert found == Found(made, f"found in {OTHER_REGION} by its name {job.made_name}: {made}")


async def test_a_copy_that_never_began_is_absent_for_certain_because_of_its_token() -> None:
    async with staged() as stage:
        job = await stage.copy()
        found = await stage.find(job)
    reason = f"{OTHER_REGION} has no image named {job.made_name}; the client token makes sending it again safe"
    assert found == Absent(reason, certain=True)


async def test_after_a_busy_answer_absent_wants_a_second_look() -> None:
    async with staged() as stage:
        found = await stage.find(stage.doubted(await stage.copy(), "wait_image"))
    assert isinstance(found, Absent)
    assert not found.certain


async def test_a_copy_that_was_done_late_is_found() -> None:
    async with staged() as stage:
        job = await stage.copy()
        stage.misbehave("drop", "CopyImage", work="late", after=2.0, count=1)
        await stage.submit(job)
        assert isinstance(await stage.find(job), Absent)
        stage.clock.jump(4)
        assert isinstance(await stage.find(job), Found)


async def test_what_another_job_owns_is_never_adopted() -> None:
    async with staged() as stage:
        job = await stage.lost(await stage.copy())
        assert isinstance(await stage.find(job, stage.server.tasks[0].new_image_id), Absent)


@pytest.mark.parametrize(
    "facts", [{"name": "web-1"}, {"name": "{name}-2"}, {"name": "{name}", "tags": {TAG: "another"}}]
)
async def test_an_image_of_another_name_or_job_is_not_ours(facts: dict[str, Any]) -> None:
    async with staged() as stage:
        job = await stage.copy()
        named = {**facts, "name": facts["name"].format(name=job.made_name)}
        stage.server.add_image(NewImage(region=OTHER_REGION, **named))
        assert isinstance(await stage.find(job), Absent)


async def test_a_lost_copy_that_has_failed_ends_the_doubt() -> None:
    async with staged() as stage:
        stage.misbehave("task_fails", "CopyImage", count=1)
        job = await stage.lost(await stage.copy())
        stage.clock.jump(60)
        found = await stage.find(job)
        made = stage.server.tasks[0].new_image_id
    reason = f"the copy {made} was begun and has failed"
    assert found == Lost(reason, Answer("permanent_image", reason))


async def test_one_that_failed_long_ago_does_not() -> None:
    async with staged() as stage:
        job = await stage.copy()
        old = START - 86_400 * SECOND
        stage.server.add_image(NewImage(region=OTHER_REGION, name=job.made_name, fails=True, created_at=old))
        assert isinstance(await stage.find(job), Absent)


async def test_a_list_that_is_not_answered_is_told() -> None:
    async with staged() as stage:
        job = await stage.copy()
        stage.misbehave("status", "DescribeImages", status=503, count=1)
        with pytest.raises(Refused):
            await stage.find(job)


# --- following -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "shape", [{}, {"pending_word": "Waiting"}, {"copy_shows_seconds": 40.0}, {"copies_running": 1}]
)
async def test_a_copy_is_followed_until_the_new_image_is_ready(shape: dict[str, Any]) -> None:
    async with staged(**{"copy_seconds": 70.0, **shape}) as stage:
        job = await stage.running(await stage.copy())
        told = await stage.ends(job)
    assert (told.verdict, told.reason) == ("succeeded", f"the new image {job.task_ref} in {OTHER_REGION} is ready")


async def test_progress_is_told() -> None:
    async with staged(copy_seconds=100.0) as stage:
        job = await stage.running(await stage.copy())
        stage.clock.jump(42)
        told = await stage.follow(job)
    assert (told.verdict, told.reason) == (
        "running",
        f"the new image {job.task_ref} in {OTHER_REGION} is not ready yet: 42 %",
    )


@pytest.mark.parametrize("word", ["CreateFailed", "UnAvailable"])
async def test_a_copy_that_fails_fails_its_job(word: str) -> None:
    async with staged(failed_word=word) as stage:
        stage.misbehave("task_fails", "CopyImage")
        told = await stage.ends(await stage.running(await stage.copy()))
    assert told.verdict == "failed"


async def test_a_new_image_that_was_seen_and_is_gone_fails_at_the_second_look() -> None:
    async with staged(copy_seconds=100.0) as stage:
        job, _ = await stage.polls(await stage.running(await stage.copy()))
        stage.server.remove_image(OTHER_REGION, job.task_ref)
        job, told = await stage.polls(job)
        assert (told.verdict, told.soon) == ("running", True)
        assert (await stage.follow(job)).verdict == "failed"


async def test_one_that_never_shows_is_waited_for_ten_minutes() -> None:
    async with staged() as stage:
        job = stage.as_running(await stage.copy(), "m-bp1nobody00000000000", ())
        job, told = await stage.polls(job)
        assert told.verdict == "running"
        stage.clock.jump(599)
        job, told = await stage.polls(job)
        assert told.verdict == "running"
        stage.clock.jump(1)
        assert (await stage.follow(job)).verdict == "failed"


async def test_a_destination_that_does_not_answer_holds_up_no_other() -> None:
    async with staged(copy_seconds=1.0) as stage:
        first = await stage.running(await stage.copy())
        second = await stage.running(await stage.copy(region=THIRD_REGION))
        stage.clock.jump(10)
        stage.misbehave("status", "DescribeImages", status=503, region=OTHER_REGION)
        told = await stage.cloud.follow(REGION, [Following(job, overdue=False) for job in (first, second)])
        one, two = (next(each for each in told if each.job_id == job.id) for job in (first, second))
    assert (one.verdict, two.verdict) == ("running", "succeeded")
    assert one.reason.startswith("the new image cannot be looked at: ")


async def test_a_hundred_copies_are_one_request() -> None:
    async with staged() as stage:
        job = await stage.copy()
        jobs = [replace(job, id=f"job-{n}", task_ref=f"m-{n}") for n in range(100)]
        before = stage.asked("DescribeImages")
        await stage.cloud.follow(REGION, [Following(each, overdue=False) for each in jobs])
        assert stage.asked("DescribeImages") - before == 1


async def test_an_account_that_is_closed_keeps_the_job_running() -> None:
    async with staged(gate=OpenGate(closed_after=1)) as stage:
        job = stage.as_running(await stage.copy(), "m-bp1nobody00000000000", ())
        told = await stage.follow(job)
    assert told.verdict == "running"


async def test_a_success_after_an_answer_that_was_not_good_says_so() -> None:
    async with staged(copy_seconds=1.0) as stage:
        job = replace(await stage.running(await stage.copy()), klass="retry")
        stage.clock.jump(10)
        told = await stage.follow(job)
    assert told.answer
    assert (told.verdict, told.answer.klass) == ("succeeded", "ok")
