import asyncio
import random
from typing import Any

import httpx
import pytest

from imageferry.rehearsal.huawei import HuaweiRehearsal
from imageferry.rehearsal.huawei_options import HuaweiOptions
from imageferry.rehearsal.misbehaviour import Misbehaviour
from support.clocks import START, FakeClock
from support.huawei_rehearsals import (
    BUCKET,
    OTHER_REGION,
    REGION,
    Caller,
    calling,
    calling_over_http,
    code_of,
    huawei,
    image,
)

LIST = ("GET", "/v2/cloudimages")


# --- faults --------------------------------------------------------------------------------------------------------


async def test_a_given_code_is_answered_for_one_image_only() -> None:
    clock = FakeClock()
    rehearsal = huawei(clock)
    hit, spared = image(rehearsal), image(rehearsal)
    rehearsal.misbehave(Misbehaviour(fault="code", code="IMG.0101", message="no key", image_id=hit))
    async with calling(rehearsal, clock) as caller:
        answer = await caller.export(hit)
        assert (answer.status_code, answer.json()) == (400, {"error": {"code": "IMG.0101", "message": "no key"}})
        assert code_of(await caller.export(spared)) == ""


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("APIGW.0301", 401),
        ("APIGW.0302", 403),
        ("APIGW.0308", 429),
        ("APIGW.0104", 400),
        ("APIGW.0502", 405),
        ("APIGW.0610", 504),
        ("APIGW.0611", 500),
        ("APIGW.0613", 503),
        ("IAM.0062", 401),
        ("IAM.0003", 403),
        ("IMG.0026", 400),
        ("InternalError", 500),
    ],
)
async def test_codes_come_with_their_statuses(code: str, status: int) -> None:
    clock = FakeClock()
    rehearsal = huawei(clock)
    rehearsal.misbehave(Misbehaviour(fault="code", code=code))
    async with calling(rehearsal, clock) as caller:
        answer = await caller.send(*LIST)
    assert (answer.status_code, code_of(answer)) == (status, code)


async def test_throttling_on_request_is_counted_as_throttling() -> None:
    clock = FakeClock()
    rehearsal = huawei(clock)
    rehearsal.misbehave(Misbehaviour(fault="throttle", count=2))
    async with calling(rehearsal, clock) as caller:
        assert [await caller.code(*LIST) for _ in range(3)] == ["APIGW.0308", "APIGW.0308", ""]
    assert rehearsal.requests.throttled == 2


@pytest.mark.parametrize(("work", "tasks"), [("none", 0), ("done", 1)])
@pytest.mark.parametrize("fault", [{"fault": "status", "status": 502}, {"fault": "garbage"}])
async def test_an_unreadable_answer_comes_with_or_without_the_work(
    fault: dict[str, Any], work: Any, tasks: int
) -> None:
    clock = FakeClock()
    rehearsal = huawei(clock)
    rehearsal.misbehave(Misbehaviour(**fault, work=work, count=1))
    async with calling(rehearsal, clock) as caller:
        answer = await caller.export(image(rehearsal))
    with pytest.raises(ValueError, match="line 1"):
        answer.json()
    assert (answer.status_code, len(rehearsal.tasks)) == (fault.get("status", 200), tasks)


async def test_a_dropped_connection_does_its_work_and_answers_nothing() -> None:
    clock = FakeClock()
    rehearsal = huawei(clock)
    image_id = image(rehearsal)
    rehearsal.misbehave(Misbehaviour(fault="drop", work="done", count=1))
    async with calling_over_http(rehearsal, clock) as caller:
        with pytest.raises(httpx.RemoteProtocolError):
            await caller.export(image_id)
        assert code_of(await caller.export(image_id)) == "IMG.0148"
    assert dict(rehearsal.requests.accepted) == {("ExportImage", image_id, BUCKET): 1}


async def test_a_slow_answer_waits_by_the_given_clock_and_its_work_is_done_at_once() -> None:
    clock = FakeClock()
    rehearsal = huawei(clock)
    rehearsal.misbehave(Misbehaviour(fault="slow", after=2, action="CopyImageCrossRegion"))
    async with calling(rehearsal, clock) as caller:
        asked = asyncio.create_task(caller.copy(image(rehearsal)))
        await clock.until_sleeping()
        at_once = (asked.done(), len(rehearsal.tasks))
        await clock.advance(2)
        assert (at_once, code_of(await asked)) == ((False, 1), "")


async def test_late_work_is_done_when_its_time_has_come() -> None:
    clock = FakeClock()
    rehearsal = huawei(clock)
    image_id = image(rehearsal)
    rehearsal.misbehave(Misbehaviour(fault="status", work="late", after=1.5, count=1))
    async with calling(rehearsal, clock) as caller:
        await caller.export(image_id)
        clock.jump(1.4)
        before = (len(rehearsal.tasks), rehearsal.state()["late_work"])
        clock.jump(10)
        (task,) = rehearsal.tasks
        job = await caller.job(task.id)
    assert before == (0, 1)
    assert (task.requested_at, task.accepted_at, task.ends_at) == (START, START + 1_500_000, START + 3_500_000)
    assert (job["status"], job["begin_time"]) == ("SUCCESS", "2026-01-01T00:00:01.500Z")


async def test_late_work_is_refused_unseen_when_the_rules_say_no_by_then() -> None:
    clock = FakeClock()
    rehearsal = huawei(clock)
    image_id = image(rehearsal)
    rehearsal.misbehave(Misbehaviour(fault="status", work="late", after=1, count=1))
    async with calling(rehearsal, clock) as caller:
        for _ in range(2):
            await caller.export(image_id)
    clock.jump(1)
    assert (len(rehearsal.tasks), rehearsal.requests.answered("unseen IMG.0148")) == (1, 1)


async def test_a_fault_is_aimed_at_a_region_a_bucket_or_a_destination() -> None:
    clock = FakeClock()
    rehearsal = huawei(clock)
    first, second = image(rehearsal), image(rehearsal)
    for aim in ({"destination": BUCKET}, {"destination": OTHER_REGION}):
        rehearsal.misbehave(Misbehaviour(fault="code", code="IMG.0037", count=1, **aim))
    async with calling(rehearsal, clock) as caller:
        codes = [code_of(await caller.export(first)) for _ in range(2)]
        codes += [code_of(await caller.copy(second)) for _ in range(2)]
        rehearsal.misbehave(Misbehaviour(fault="code", code="IMG.0018", region=OTHER_REGION))
        codes.append(await caller.code(*LIST))
    assert codes == ["IMG.0037", "", "IMG.0037", "", ""]


async def test_a_request_that_proves_no_key_meets_no_fault() -> None:
    clock = FakeClock()
    rehearsal = huawei(clock)
    rehearsal.misbehave(Misbehaviour(fault="throttle"))
    async with calling(rehearsal, clock) as caller:
        assert await caller.with_key(secret_key="wrong").code(*LIST) == "APIGW.0301"


# --- steering ------------------------------------------------------------------------------------------------------


async def steered(caller: Caller, method: str, path: str, body: Any = None) -> httpx.Response:
    return await caller.client.request(method, f"/_rehearsal{path}", json=body)


async def test_it_is_steered_over_http_as_every_rehearsal_is() -> None:
    clock = FakeClock()
    rehearsal = huawei(clock)
    async with calling(rehearsal, clock) as caller:
        described = {"region": REGION, "name": "web", "count": 2, "extra": {"root_origin": "file"}}
        made = (await steered(caller, "POST", "/images", described)).json()["image_ids"]
        await steered(caller, "POST", "/misbehave", {"fault": "throttle", "count": 1})
        codes = [await caller.code(*LIST) for _ in range(2)]
        await steered(caller, "POST", "/options", {"exports_running": 0})
        codes.append(code_of(await caller.export(made[0])))
        gone = await steered(caller, "DELETE", f"/images/{REGION}/{made[0]}")
        state = (await steered(caller, "GET", "/state")).json()
    assert (codes, gone.json()) == (["APIGW.0308", "", "IMG.0060"], {"removed": 1})
    assert [(each["region"], each["name"], each["__root_origin"]) for each in state["images"]] == [
        (REGION, "web-2", "file")
    ]
    assert (state["requests"]["throttled"], state["late_work"], state["locks"]) == (1, 0, 0)


@pytest.mark.parametrize(
    ("path", "body", "words"),
    [
        ("/options", {"colour": "red"}, "colour"),
        ("/options", {"copies_running": "many"}, "copies_running"),
        ("/images", {"region": REGION, "extra": {"colour": "red"}}, "colour"),
        ("/images", {"region": "mars-1"}, "mars-1"),
    ],
)
async def test_what_does_not_fit_is_answered_with_the_reason(path: str, body: dict[str, Any], words: str) -> None:
    clock = FakeClock()
    async with calling(huawei(clock), clock) as caller:
        answer = await steered(caller, "POST", path, body)
    assert (answer.status_code, words in answer.json()["error"]) == (400, True)


async def test_a_removed_object_is_gone_and_its_key_is_free() -> None:
    clock = FakeClock()
    rehearsal = huawei(clock)
    image_id = image(rehearsal)
    async with calling(rehearsal, clock) as caller:
        await caller.export(image_id, "a/web.qcow2")
        clock.jump(2)
        objects = [each["key"] for each in rehearsal.state(["objects"])["objects"]]
        removed = (await steered(caller, "DELETE", f"/objects/{BUCKET}/a/web.qcow2")).status_code
        assert (await caller.head("a/web.qcow2")).status_code == 404
        assert code_of(await caller.export(image_id, "a/web.qcow2")) == ""
    assert (objects, removed) == (["a/web.qcow2"], 200)


def test_a_part_of_the_state_that_is_not_there_is_an_error() -> None:
    with pytest.raises(ValueError, match="parts"):
        huawei().state(["colours"])


async def test_faults_are_shown_and_taken_away() -> None:
    clock = FakeClock()
    rehearsal = huawei(clock)
    rehearsal.misbehave(Misbehaviour(fault="throttle", count=3))
    async with calling(rehearsal, clock) as caller:
        await caller.code(*LIST)
        standing = rehearsal.state(["misbehaviours"])["misbehaviours"]
        removed = rehearsal.behave()
        assert await caller.code(*LIST) == ""
    assert (standing, removed) == ([{"id": 1, "fault": "throttle", "left": 2, "hits": 1}], 1)


def test_the_same_chance_makes_the_same_ids() -> None:
    first, second = (
        [image(HuaweiRehearsal(HuaweiOptions(), FakeClock(), random.Random(3))) for _ in range(2)] for _ in "ab"
    )
    assert first == second


async def test_durations_spread_as_the_options_say() -> None:
    clock = FakeClock()
    rehearsal = huawei(clock, duration_spread=0.2, export_seconds=100, exports_running=None)
    async with calling(rehearsal, clock) as caller:
        for number in range(20):
            await caller.export(image(rehearsal), f"{number}.qcow2")
    took = [(task.ends_at - task.accepted_at) / 1_000_000 for task in rehearsal.tasks]
    assert (80 <= min(took) < 90, 110 < max(took) <= 120) == (True, True)
