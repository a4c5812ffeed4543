from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from imageferry.rehearsal.tencent import TencentRehearsal
from support.clocks import FakeClock
from support.rehearsals import BUCKET, REGION, Caller, calling, image, tencent


@asynccontextmanager
async def steered(**options: Any) -> AsyncIterator[tuple[TencentRehearsal, Caller, httpx.AsyncClient]]:
    clock = FakeClock()
    rehearsal = tencent(clock, **options)
    async with calling(rehearsal, clock) as caller:
        yield rehearsal, caller, caller.client


async def test_images_are_created_and_described_by_their_facts() -> None:
    async with steered() as (_, caller, client):
        made = await client.post("/_rehearsal/images", json={"region": REGION, "name": "web", "size_gib": 7})
        (shown,) = await caller.images()
    assert (made.status_code, made.json()) == (201, {"image_ids": [shown["ImageId"]]})
    assert (shown["ImageName"], shown["ImageSize"]) == ("web", 7)


async def test_many_images_are_created_at_once_with_numbered_names() -> None:
    async with steered() as (_, caller, client):
        await client.post("/_rehearsal/images", json=[{"region": REGION, "name": "web", "count": 3}])
        assert [each["ImageName"] for each in await caller.images()] == ["web-1", "web-2", "web-3"]


async def test_a_fault_is_asked_for_shown_with_its_hits_and_taken_away() -> None:
    async with steered() as (_, caller, client):
        asked = await client.post("/_rehearsal/misbehave", json={"fault": "throttle", "count": 3})
        code = await caller.code("DescribeImages", {})
        standing = (await client.get("/_rehearsal/state?parts=misbehaviours")).json()["misbehaviours"]
        removed = await client.delete(f"/_rehearsal/misbehave?id={asked.json()['ids'][0]}")
        after = await caller.code("DescribeImages", {})
    assert (code, after, removed.json()) == ("RequestLimitExceeded", "", {"removed": 1})
    assert standing == [{"id": 1, "fault": "throttle", "left": 2, "hits": 1}]


async def test_all_faults_are_taken_away_together() -> None:
    async with steered() as (_, caller, client):
        await client.post("/_rehearsal/misbehave", json=[{"fault": "throttle"}, {"fault": "garbage"}])
        removed = await client.delete("/_rehearsal/misbehave")
        assert (removed.json(), await caller.code("DescribeImages", {})) == ({"removed": 2}, "")


async def test_options_are_changed_while_it_runs() -> None:
    async with steered() as (_, caller, client):
        answer = await client.post("/_rehearsal/options", json={"rates": {"DescribeImages": 0}})
        assert (answer.status_code, await caller.code("DescribeImages", {})) == (200, "RequestLimitExceeded")


async def test_images_and_objects_are_deleted() -> None:
    async with steered() as (rehearsal, caller, client):
        image_id = image(rehearsal)
        key = (await caller.export(image_id))["CosPaths"][0].lstrip("/")
        paths = [f"/_rehearsal/images/{REGION}/{image_id}", f"/_rehearsal/objects/{BUCKET}/{key}"]
        assert [(await client.delete(path)).status_code for path in paths * 2] == [200, 200, 404, 404]


async def test_the_state_holds_tasks_objects_and_counters() -> None:
    async with steered() as (rehearsal, caller, client):
        image_id = image(rehearsal)
        answer = await caller.export(image_id)
        state = (await client.get("/_rehearsal/state")).json()
    key = answer["CosPaths"][0].lstrip("/")
    assert state["tasks"] == [
        {
            "id": str(answer["TaskId"]),
            "action": "ExportImages",
            "region": REGION,
            "image_id": image_id,
            "destination": BUCKET,
            "request_id": answer["RequestId"],
            "requested_at": "2026-01-01T00:00:00.000000Z",
            "accepted_at": "2026-01-01T00:00:00.000000Z",
            "ends_at": "2026-01-01T00:00:02.000000Z",
            "state": "running",
            "objects": [key],
            "new_image_id": "",
        }
    ]
    assert state["requests"] == {
        "total": 1,
        "throttled": 0,
        "outcomes": [{"action": "ExportImages", "outcome": "ok", "count": 1}],
        "accepted": [{"action": "ExportImages", "image_id": image_id, "destination": BUCKET, "count": 1}],
        "busiest": [{"action": "ExportImages", "entry": "cvm.test", "most": 1}],
    }
    assert (state["now"], [each["ImageId"] for each in state["images"]], state["objects"], state["late_work"]) == (
        "2026-01-01T00:00:00.000000Z",
        [image_id],
        [],
        0,
    )


async def test_the_last_requests_are_listed_when_they_are_asked_for() -> None:
    async with steered() as (_, caller, client):
        told = await caller.ask("ExportImages", {"ImageIds": ["img-00000000"], "BucketName": BUCKET})
        state = (await client.get("/_rehearsal/state?parts=recent")).json()
    assert state["recent"] == [
        {
            "at": "2026-01-01T00:00:00.000000Z",
            "action": "ExportImages",
            "region": REGION,
            "image_ids": ["img-00000000"],
            "outcome": "InvalidImageId.NotFound",
            "request_id": told["RequestId"],
        }
    ]


@pytest.mark.parametrize(
    ("path", "body", "says"),
    [
        ("misbehave", {"fault": "sulk"}, "fault"),
        ("misbehave", {"fault": "drop", "colour": "red"}, "colour"),
        ("misbehave", {"fault": "drop", "probability": 2}, "probability"),
        ("misbehave", ["drop"], "JSON object"),
        ("images", {"name": "web"}, "region"),
        ("images", {"region": "mars-1"}, "mars-1"),
        ("images", {"region": REGION, "count": 0}, "count"),
        ("options", {"speed": 3}, "speed"),
    ],
)
async def test_what_cannot_be_read_answers_400_with_the_reason(path: str, body: Any, says: str) -> None:
    async with steered() as (_, _, client):
        answer = await client.post(f"/_rehearsal/{path}", json=body)
    assert (answer.status_code, says in answer.json()["error"]) == (400, True)


@pytest.mark.parametrize("query", ["state?parts=moons", "misbehave?id=first"])
async def test_a_query_that_means_nothing_answers_400(query: str) -> None:
    async with steered() as (_, _, client):
        method = "GET" if query.startswith("state") else "DELETE"
        assert (await client.request(method, f"/_rehearsal/{query}")).status_code == 400


async def test_a_body_that_is_no_json_answers_400() -> None:
    async with steered() as (_, _, client):
        assert (await client.post("/_rehearsal/images", content=b"{")).status_code == 400
