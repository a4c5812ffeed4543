import asyncio
from typing import Any

import httpx
import pytest
from starlette.responses import Response
from starlette.routing import Route

from imageferry.rehearsal.connection import Dropped, Hung, OwnConnection, befallen
from imageferry.rehearsal.misbehaviour import HEAD_OBJECT, Misbehaviour
from support.clocks import FakeClock
from support.rehearsals import BUCKET, calling_over_http, image, tencent


@pytest.mark.parametrize(("work", "tasks"), [("none", 0), ("done", 1)])
async def test_a_dropped_connection_has_no_answer_whether_the_work_was_done_or_not(work: Any, tasks: int) -> None:
    clock = FakeClock()
    rehearsal = tencent(clock)
    rehearsal.misbehave(Misbehaviour(fault="drop", action="ExportImages", work=work))
    async with calling_over_http(rehearsal, clock) as caller:
        with pytest.raises((httpx.RemoteProtocolError, httpx.ReadError)):
            await caller.export(image(rehearsal))
    assert len(rehearsal.tasks) == tasks


async def test_after_a_dropped_connection_the_next_request_is_answered() -> None:
    clock = FakeClock()
    rehearsal = tencent(clock)
    rehearsal.misbehave(Misbehaviour(fault="drop", count=20))
    async with calling_over_http(rehearsal, clock) as caller:
        dropped = await asyncio.gather(*(caller.code("DescribeImages", {}) for _ in range(20)), return_exceptions=True)
        assert await caller.code("DescribeImages", {}) == ""
    assert {isinstance(each, httpx.RemoteProtocolError | httpx.ReadError) for each in dropped} == {True}


async def test_a_storage_connection_can_be_dropped_too() -> None:
    clock = FakeClock()
    rehearsal = tencent(clock)
    rehearsal.misbehave(Misbehaviour(fault="drop", action=HEAD_OBJECT))
    async with calling_over_http(rehearsal, clock) as caller:
        with pytest.raises((httpx.RemoteProtocolError, httpx.ReadError)):
            await caller.head("some.raw")


async def test_a_hung_request_ends_when_its_client_gives_up_and_nobody_else_waits() -> None:
    clock = FakeClock()
    rehearsal = tencent(clock, rates={"GetCallerIdentity": None})
    rehearsal.misbehave(Misbehaviour(fault="hang", action="DescribeImageQuota"))
    async with calling_over_http(rehearsal, clock) as caller:
        hanging = asyncio.create_task(caller.ask("DescribeImageQuota", {}))
        others = [await caller.code("DescribeImages", {})]
        while rehearsal.requests.answered("hang") == 0:
            others.append(await caller.code("GetCallerIdentity", {}, service="sts"))
        was_waiting = not hanging.done()
        hanging.cancel()
        with pytest.raises(asyncio.CancelledError):
            await hanging
    assert (set(others), was_waiting) == ({""}, True)


async def test_over_http_there_is_one_date_and_it_is_the_rehearsals() -> None:
    clock = FakeClock()
    async with calling_over_http(tencent(clock), clock) as caller:
        answers = [await caller.send("DescribeImages", {}), await caller.head("")]
    assert [each.headers.get_list("date") for each in answers] == [["Thu, 01 Jan 2026 00:00:00 GMT"]] * 2


async def test_an_object_is_headed_over_http_without_a_body() -> None:
    clock = FakeClock()
    rehearsal = tencent(clock)
    async with calling_over_http(rehearsal, clock) as caller:
        key = (await caller.export(image(rehearsal, size_gib=1)))["CosPaths"][0].lstrip("/")
        clock.jump(2)
        answers = [await caller.head(key) for _ in range(2)]
    assert [(each.status_code, each.headers["content-length"]) for each in answers] == [(200, str(1 << 30))] * 2


async def test_dropping_without_a_server_behind_it_says_so() -> None:
    async def drop(_request: object) -> Dropped:
        return Dropped()

    app = OwnConnection(routes=[Route(f"/{BUCKET}", drop)])
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://cvm.test") as client:
        with pytest.raises(RuntimeError, match="HTTP server"):
            await client.get(f"/{BUCKET}")


@pytest.mark.parametrize(
    ("fault", "written", "kind", "status", "body"),
    [
        ({"fault": "hang", "work": "late"}, "hang, work late", Hung, 200, b""),
        ({"fault": "drop", "work": "done"}, "drop, work done", Dropped, 200, b""),
        ({"fault": "garbage"}, "garbage", Response, 200, b'{"cut'),
        ({"fault": "status", "status": 502}, "http 502", Response, 502, b"<html>rehearsed</html>"),
    ],
)
def test_what_befalls_an_answer_is_written_down_with_its_work(
    fault: dict[str, Any], written: str, kind: type, status: int, body: bytes
) -> None:
    told, response = befallen(Misbehaviour(**fault), b'{"cut')
    assert (told, type(response), response.status_code, response.body) == (written, kind, status, body)
