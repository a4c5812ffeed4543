from typing import Any

import pytest

from imageferry.rehearsal.misbehaviour import Misbehaviour
from support.clocks import FakeClock
from support.huawei_rehearsals import (
    OTHER_PROJECT,
    PROJECT,
    REGION,
    calling,
    code_of,
    huawei,
    image,
)

MISSING = "0" * 32


async def export_told(*waits: float, fault: Misbehaviour | None = None, **options: Any) -> list[dict[str, Any]]:
    """What is told of an export of 60 seconds after each wait."""
    clock = FakeClock()
    rehearsal = huawei(clock, export_seconds=60, **options)
    if fault is not None:
        rehearsal.misbehave(fault)
    told = []
    async with calling(rehearsal, clock) as caller:
        job_id = (await caller.export(image(rehearsal, name="web"))).json()["job_id"]
        for seconds in waits:
            clock.jump(seconds)
            told.append(await caller.job(job_id))
    return told


async def test_a_job_is_told_while_it_runs_and_when_it_has_ended() -> None:
    running, ended = await export_told(15, 45)
    assert (running["status"], running["end_time"], running["entities"]["process_percent"]) == ("RUNNING", "", 0.25)
    assert (ended["status"], ended["job_type"]) == ("SUCCESS", "imsNativeExportImageJob")
    assert (ended["begin_time"], ended["end_time"]) == ("2026-01-01T00:00:00.000Z", "2026-01-01T00:01:00.000Z")
    assert (ended["error_code"], ended["fail_reason"]) == (None, None)
    assert (ended["entities"]["image_name"], ended["entities"]["process_percent"]) == ("web", 1.0)


async def test_both_paths_tell_the_same_of_an_export_and_name_its_image() -> None:
    clock = FakeClock()
    rehearsal = huawei(clock)
    image_id = image(rehearsal)
    async with calling(rehearsal, clock) as caller:
        job_id = (await caller.export(image_id)).json()["job_id"]
        older = await caller.ask("GET", f"/v1/{PROJECT}/jobs/{job_id}")
        newer = await caller.job(job_id)
    assert (older, newer["entities"]["image_id"]) == (newer, image_id)


@pytest.mark.parametrize(("paths", "codes"), [(["progress"], ["", "APIGW.0101"]), (["project"], ["APIGW.0101", ""])])
async def test_a_server_may_have_one_of_the_paths(paths: list[str], codes: list[str]) -> None:
    clock = FakeClock()
    rehearsal = huawei(clock, job_paths=paths)
    async with calling(rehearsal, clock) as caller:
        job_id = (await caller.export(image(rehearsal))).json()["job_id"]
        asked = [f"/v1/cloudimages/job/{job_id}", f"/v1/{PROJECT}/jobs/{job_id}"]
        assert [await caller.code("GET", path) for path in asked] == codes


async def test_a_job_is_known_in_the_region_that_was_asked_for_it() -> None:
    clock = FakeClock()
    rehearsal = huawei(clock)
    async with calling(rehearsal, clock) as caller:
        job_id = (await caller.copy(image(rehearsal))).json()["job_id"]
        statuses = [
            (await caller.send("GET", f"/v1/cloudimages/job/{job_id}", project=each)).status_code
            for each in (PROJECT, OTHER_PROJECT)
        ]
    assert statuses == [200, 404]


@pytest.mark.parametrize(
    ("options", "status", "code"),
    [
        ({}, 404, "404"),
        ({"missing_job_status": 400}, 400, "400"),
        ({"missing_job_code": "IMG.0105"}, 400, "IMG.0105"),
    ],
)
async def test_a_job_that_is_not_there_is_answered_as_the_switches_say(
    options: dict[str, Any], status: int, code: str
) -> None:
    clock = FakeClock()
    rehearsal = huawei(clock, **options)
    async with calling(rehearsal, clock) as caller:
        answer = await caller.send("GET", f"/v1/cloudimages/job/{MISSING}")
    assert (answer.status_code, code_of(answer)) == (status, code)
    assert rehearsal.requests.last[-1].outcome != "ok"


async def test_a_job_is_forgotten_after_its_time() -> None:
    clock = FakeClock()
    rehearsal = huawei(clock, job_kept_seconds=100)
    statuses = []
    async with calling(rehearsal, clock) as caller:
        job_id = (await caller.export(image(rehearsal))).json()["job_id"]
        for seconds in (101, 1):
            clock.jump(seconds)
            statuses.append((await caller.send("GET", f"/v1/cloudimages/job/{job_id}")).status_code)
    assert statuses == [200, 404]


@pytest.mark.parametrize(
    ("words", "seen"),
    [
        ("upper", ["INIT", "RUNNING", "SUCCESS"]),
        ("lower", ["init", "running", "success"]),
        ("texts", ["init", "running", "success"]),
    ],
)
async def test_the_words_of_a_status_are_a_switch(words: str, seen: list[str]) -> None:
    told = await export_told(1, 30, 30, job_words=words, init_seconds=5)
    assert [each["status"] for each in told] == seen


@pytest.mark.parametrize(("words", "seen"), [("upper", "FAIL"), ("lower", "fail"), ("texts", "failed")])
async def test_the_word_of_a_failure_is_a_switch(words: str, seen: str) -> None:
    (told,) = await export_told(60, fault=Misbehaviour(fault="task_fails"), job_words=words)
    assert told["status"] == seen


async def test_older_times_and_a_percentage_of_a_hundred_are_switches() -> None:
    (told,) = await export_told(30, job_times="old", percent_scale=100)
    assert (told["begin_time"], told["entities"]["process_percent"]) == ("01-Jan-2026 00:00:00:000", 50.0)


@pytest.mark.parametrize(
    ("where", "at_job", "in_entities", "in_sub_job"),
    [
        ("job", "IMG.0069", None, None),
        ("entities", None, "IMG.0069", None),
        ("sub_job", None, None, "IMG.0069"),
        ("nowhere", None, None, None),
    ],
)
async def test_a_failed_job_says_why_where_the_switch_says(
    where: str, at_job: str | None, in_entities: str | None, in_sub_job: str | None
) -> None:
    fault = Misbehaviour(fault="task_fails")
    running, failed = await export_told(30, 30, fault=fault, failure_at=where)
    subs = failed["entities"].get("sub_jobs_result", [{}])
    told = (failed["error_code"], failed["entities"].get("error_code"), subs[0].get("error_code"))
    assert told == (at_job, in_entities, in_sub_job)
    assert (running["status"], running["error_code"], failed["status"]) == ("RUNNING", None, "FAIL")


@pytest.mark.parametrize(("code", "seen"), [("IMG.0160", "IMG.0160"), ("InternalError", "IMG.0191")])
async def test_a_job_fails_with_the_code_of_its_fault_or_of_the_options(code: str, seen: str) -> None:
    (told,) = await export_told(60, fault=Misbehaviour(fault="task_fails", code=code), failed_job_code="IMG.0191")
    assert told["error_code"] == seen


async def test_a_failed_job_never_says_that_all_is_done() -> None:
    (told,) = await export_told(60, fault=Misbehaviour(fault="task_fails"))
    assert told["entities"]["process_percent"] == 0.99


async def test_an_export_may_show_the_job_that_does_its_work() -> None:
    (told,) = await export_told(60, sub_jobs=True)
    (sub,) = told["entities"]["sub_jobs_result"]
    assert (sub["status"], sub["job_type"]) == ("SUCCESS", "imsGoofysExportImageJob")
    assert [sub["job_id"]] == told["entities"]["sub_jobs_list"]


@pytest.mark.parametrize(
    ("names", "running", "ended"),
    [
        ("always", "new", "new"),
        ("at_end", None, "new"),
        ("source_first", "source", "new"),
        ("never", None, None),
    ],
)
async def test_a_copys_job_names_the_new_image_when_the_switch_says(
    names: str, running: str | None, ended: str | None
) -> None:
    clock = FakeClock()
    rehearsal = huawei(clock, copy_names_image=names)
    image_id = image(rehearsal)
    told = []
    async with calling(rehearsal, clock) as caller:
        job_id = (await caller.copy(image_id)).json()["job_id"]
        (made,) = await caller.images(OTHER_PROJECT)
        for seconds in (1, 2):
            clock.jump(seconds)
            told.append((await caller.job(job_id))["entities"].get("image_id"))
    titles = {image_id: "source", made["id"]: "new", None: None}
    assert [titles[each] for each in told] == [running, ended]


async def test_tasks_of_the_state_are_the_jobs() -> None:
    clock = FakeClock()
    rehearsal = huawei(clock)
    async with calling(rehearsal, clock) as caller:
        job_id = (await caller.export(image(rehearsal))).json()["job_id"]
    (task,) = rehearsal.state(["tasks"])["tasks"]
    assert (task["id"], task["state"], task["region"]) == (job_id, "running", REGION)
