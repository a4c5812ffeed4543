"""Whole daemons that hear by webhook: the walk, two ports, and what a 202 is worth after ``kill -9``."""

from __future__ import annotations

import json
import signal
import socket
from pathlib import Path
from typing import Any

import anyio
import httpx

from imageferry.telemetry.clock import SystemClock
from support.daemons import House, account, daemon_process, event, running_daemon
from support.kafka import free_port
from support.rehearsals import image, served, tencent
from support.waiting import until
from support.webhooks import SECRET, bearer, signature

NOWHERE = "http://127.0.0.1:9"
"""No cloud: what is heard stays due."""


def hook(port: int, **more: Any) -> dict[str, Any]:
    return {"type": "webhook", "listen": f"127.0.0.1:{port}", "secret": SECRET, **more}


async def post(client: httpx.AsyncClient, port: int, body: Any) -> int | None:
    """The status of the answer; None where there was none."""
    try:
        url = f"http://127.0.0.1:{port}/events"
        return (await client.post(url, json=body, headers=bearer())).status_code
    except httpx.TransportError:
        return None


def client() -> httpx.AsyncClient:
    return httpx.AsyncClient(trust_env=False, timeout=30.0)


async def test_what_two_webhooks_hear_is_walked_to_its_end(tmp_path: Path) -> None:
    cloud = tencent(SystemClock(), export_seconds=0.2)
    ids = [image(cloud), image(cloud)]
    first, second = free_port(), free_port()
    mapping = {"cloud": "'tencent'", "region": "place", "image_id": "made", "id": "build"}
    async with served(cloud) as url:
        house = House(tmp_path, {"prod": account(url)}, sources=[hook(first), hook(second, mapping=mapping)])
        async with running_daemon(house), client() as http:
            assert await post(http, first, event(ids[0])) == 202
            assert await post(http, second, {"place": "ap-guangzhou", "made": ids[1], "build": 7}) == 202
            assert await post(http, first, {"place": "ap-guangzhou", "made": ids[1], "build": 7}) == 400
            await until(lambda: len(house.completed()) == 2)
    assert {one["subject"]: one["type"] for one in house.completed()} == dict.fromkeys(
        ids, "io.imageferry.job.succeeded"
    )


async def test_readiness_and_metrics_tell_of_the_webhooks(tmp_path: Path) -> None:
    port = free_port()
    house = House(tmp_path, {"prod": account(NOWHERE)}, sources=[hook(port)])
    async with running_daemon(house) as live, client() as http:
        await post(http, port, event("img-1"))
        ops = "http://{}:{}".format(*live.running.ops)
        ready = (await http.get(f"{ops}/readyz")).json()
        metrics = (await http.get(f"{ops}/metrics")).text
    assert ready["checks"]["source webhook"] == {"ok": True, "reason": ""}
    assert 'imageferry_events_total{outcome="accepted",source="webhook"} 1.0' in metrics
    assert 'imageferry_webhook_answers_total{status="202"} 1.0' in metrics


async def test_a_port_that_is_taken_makes_the_daemon_not_ready_and_says_why(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        house = House(tmp_path, {"prod": account(NOWHERE)}, sources=[hook(taken.getsockname()[1])])
        async with running_daemon(house) as live, client() as http:
            answer = await http.get("http://{}:{}/readyz".format(*live.running.ops))
    check = answer.json()["checks"]["source webhook"]
    assert (answer.status_code, check["ok"], "Address already in use" in check["reason"]) == (503, False, True)


async def test_no_secret_and_no_signature_is_written_anywhere(tmp_path: Path) -> None:
    port = free_port()
    logging = {"logging": {"format": "json", "level": "debug"}}
    house = House(tmp_path, {"prod": account(NOWHERE)}, sources=[hook(port)], extra=logging)
    body = json.dumps(event("img-1")).encode()
    signed = str(signature(body)["x-imageferry-signature"])
    url = f"http://127.0.0.1:{port}/events"
    async with daemon_process(house), client() as http:
        await until(lambda: _listens(port))
        statuses = [
            (await http.post(url, content=body, headers=headers)).status_code
            for headers in (
                bearer(),
                bearer(SECRET + "x"),
                {"x-imageferry-signature": signed},
                {"x-secret": SECRET.encode()},
            )
        ]
        garbage = await http.request("BREW", url, content=SECRET.encode(), headers=bearer())
    assert (statuses, garbage.status_code) == ([202, 401, 202, 401], 405)
    files = [house.log, *house.folder.glob("ledger.db*")]
    written = b"".join(file.read_bytes() for file in files if file.is_file())
    assert b"webhook listens" in written
    assert [secret for secret in (SECRET, signed, signed[7:]) if secret.encode() in written] == []


async def test_what_was_answered_202_survives_a_kill(tmp_path: Path) -> None:
    """Eight senders post without a pause; the daemon is killed in the middle, three times."""
    port = free_port()
    house = House(tmp_path, {"prod": account(NOWHERE)}, sources=[hook(port)])
    taken: list[str] = []
    number = 0

    async def send(http: httpx.AsyncClient) -> None:
        nonlocal number
        while True:
            number += 1
            image_id = f"img-{number:06d}"
            status = await post(http, port, event(image_id))
            if status == 202:
                taken.append(image_id)
            elif status is None:
                return

    for _ in range(3):
        async with daemon_process(house) as process, client() as http:
            await until(lambda: _listens(port))
            enough = len(taken) + 200
            async with anyio.create_task_group() as senders:
                for _ in range(8):
                    senders.start_soon(send, http)
                await until(lambda wanted=enough: len(taken) >= wanted)  # type: ignore[misc] # a lambda of no argument
                process.send_signal(signal.SIGKILL)
            await process.wait()
    async with house.reader() as reader:
        lost = [image_id for image_id in taken if not await reader.image(image_id)]
    assert (len(taken) >= 600, lost) == (True, [])


def _listens(port: int) -> bool:
    with socket.socket() as one:
        return one.connect_ex(("127.0.0.1", port)) == 0
